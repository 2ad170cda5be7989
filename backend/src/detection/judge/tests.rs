//! Verdicts and change points of small series.

use super::State::{Improved, Regressed, TooFew, Unchanged};
use super::epoch::two_sided;
use super::*;

const TIME: Scale = Scale {
    floor: 0.01,
    added: 0.0,
    higher_is_better: false,
    jumps: false,
};

fn points(values: &[f64]) -> Vec<Point> {
    let point = |value: &f64| Point {
        value: *value,
        low: value * 0.998,
        high: value * 1.002,
        epoch: 1,
    };
    values.iter().map(point).collect()
}

fn exact(values: &[f64]) -> Vec<Point> {
    let point = |value: &f64| Point {
        value: *value,
        low: *value,
        high: *value,
        epoch: 1,
    };
    values.iter().map(point).collect()
}

fn judged(values: &[f64]) -> Judged {
    judge(&points(values), TIME, &Settings::default())
}

fn states(judged: &Judged) -> Vec<State> {
    judged.judgements.iter().map(|one| one.state).collect()
}

/// Reproducible noise of about one deviation.
fn noisy(level: f64, deviation: f64, count: usize, from: usize) -> Vec<f64> {
    let wave = |index: usize| {
        let x = (index + from) as f64;
        ((x * 12.9898).sin() * 43_758.545_3).fract() + ((x * 78.233).sin() * 12_543.123).fract()
    };
    (0..count)
        .map(|index| level * (1.0 + deviation * wave(index)))
        .collect()
}

#[test]
fn empty_one_and_few_points_are_too_few() {
    assert_eq!(judged(&[]), Judged::default());
    assert_eq!(states(&judged(&[1.0])), [TooFew]);
    assert_eq!(states(&judged(&[1.0, 2.0, 1.0])), [TooFew; 3]);
}

#[test]
fn a_constant_series_never_changes() {
    let all = judged(&[1.0; 6]);
    assert_eq!(states(&all)[3..], [Unchanged; 3]);
    assert!(all.changes.is_empty());
    let all = judge(&exact(&[7.0; 6]), TIME, &Settings::default());
    assert!(
        all.judgements[3..]
            .iter()
            .all(|one| one.state == Unchanged && one.change.unwrap().change == 0.0)
    );
}

#[test]
fn a_step_is_one_change_point_with_its_size_range_and_direction() {
    let mut values = noisy(1.0, 0.003, 20, 0);
    values.extend(noisy(1.1, 0.003, 8, 50));
    let all = judged(&values);
    let changed: Vec<usize> = (0..28)
        .filter(|index| all.judgements[*index].state == Regressed)
        .collect();
    assert_eq!(changed, [20]);
    let [change] = all.changes[..] else {
        panic!("{:?}", all.changes)
    };
    assert_eq!(
        (change.at, change.between, change.points_after),
        (20, (19, 20), 8)
    );
    assert!((change.change.change - 0.1).abs() < 0.005, "{change:?}");
    assert!(change.change.low < change.change.change && change.change.change < change.change.high);
    assert!(
        !change.better && change.chance < 1e-6 && change.placed > 0.99,
        "{change:?}"
    );
    assert!((change.change.baseline - 1.0).abs() < 0.01 && (change.value - 1.1).abs() < 0.01);
    let more = Scale {
        higher_is_better: true,
        ..TIME
    };
    let all = judge(&points(&values), more, &Settings::default());
    assert_eq!(all.judgements[20].state, Improved);
}

#[test]
fn one_extreme_point_is_a_suspect_and_forgotten_when_the_next_is_as_before() {
    let mut values = noisy(1.0, 0.003, 12, 0);
    values.push(1.2);
    let all = judged(&values);
    assert_eq!(all.judgements[12].state, Regressed);
    let [suspect] = all.changes[..] else {
        panic!("{:?}", all.changes)
    };
    assert_eq!(
        (suspect.points_after, suspect.between, suspect.at),
        (1, (11, 12), 12)
    );
    values.push(1.001);
    let all = judged(&values);
    assert!(all.changes.is_empty(), "{:?}", all.changes);
    assert_eq!(all.judgements[12].state, Unchanged);
    // Few points know their noise badly, and are asked for more.
    let few = judged(&[1.0, 1.001, 0.999, 1.008]);
    assert!(few.changes.is_empty(), "{few:?}");
    assert_eq!(judged(&[1.0, 1.001, 0.999, 1.1]).changes.len(), 1);
}

#[test]
fn what_was_as_far_out_on_either_side_is_not_extreme() {
    let mut values = noisy(1.0, 0.003, 30, 0);
    values.push(1.1);
    assert_eq!(judged(&values).changes.len(), 1);
    values[10] = 0.93;
    assert!(judged(&values).changes.is_empty());
    values[30] = 1.2;
    assert_eq!(judged(&values).changes.len(), 1, "twice as far is");
}

#[test]
fn back_where_it_was_is_told_when_it_stays_or_when_the_series_goes_by_its_commits() {
    let mut values = noisy(1.0, 0.003, 40, 0);
    values.extend(noisy(1.05, 0.003, 15, 40));
    values.extend(noisy(1.0, 0.003, 35, 55));
    let confirmed = Settings {
        is_confirmed: true,
        ..Settings::default()
    };
    let told = |count: usize, settings: &Settings| {
        let all = judge(&points(&values[..count]), TIME, settings);
        all.changes.iter().filter(|one| one.at >= 50).count()
    };
    for count in [58, 60, 84] {
        assert_eq!(told(count, &Settings::default()), 0, "{count} points");
        let all = judge(&points(&values[..count]), TIME, &Settings::default());
        let away = all.changes.first().map(|one| one.change.change);
        assert!(
            away.is_some_and(|one| (one - 0.05).abs() < 0.005),
            "{away:?}"
        );
        assert_eq!(told(count, &confirmed), 1, "{count} points");
    }
    assert_eq!(told(90, &Settings::default()), 1);
}

#[test]
fn noise_is_no_change() {
    let values = [1.0, 1.05, 0.96, 1.04, 0.95, 1.06, 0.97, 1.05];
    assert!(judged(&values).changes.is_empty());
    // A wide interval inside the run is noise too.
    let mut wide = points(&[1.0, 1.001, 1.0, 1.001, 1.05]);
    for point in &mut wide {
        point.low = point.value * 0.95;
        point.high = point.value * 1.05;
    }
    assert!(judge(&wide, TIME, &Settings::default()).changes.is_empty());
}

#[test]
fn a_break_of_the_epoch_is_never_looked_across() {
    let mut broken = points(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
    broken[4..].iter_mut().for_each(|point| point.epoch = 2);
    let all = judge(&broken, TIME, &Settings::default());
    assert_eq!(states(&all)[4..], [TooFew, TooFew, TooFew, Unchanged]);
    assert!(all.changes.is_empty());
}

#[test]
fn what_is_no_number_is_left_out_and_huge_ones_do_not_overflow() {
    let rubbish = [1.0, f64::NAN, 1.0, f64::INFINITY, 1.0, 0.0, -1.0, 1.0];
    let all = judged(&rubbish);
    assert_eq!(
        states(&all),
        [
            TooFew, TooFew, TooFew, TooFew, TooFew, TooFew, TooFew, Unchanged
        ]
    );
    let huge = judged(&[1e300; 5]);
    assert!(huge.judgements[4].change.unwrap().baseline.is_finite());
    // Indices are those of the series, rubbish and all.
    let mut values = vec![f64::NAN, 1.0, f64::NAN];
    values.extend(noisy(1.0, 0.002, 10, 0));
    values.push(1.5);
    assert_eq!(judged(&values).changes[0].at, 13);
    assert_eq!(judged(&vec![1.0; 20_000]).judgements.len(), 20_000);
}

#[test]
fn counts_may_be_zero_and_show_small_steps() {
    let counts = Scale {
        floor: 0.002,
        added: 1.0,
        higher_is_better: false,
        jumps: false,
    };
    let zeros = judge(
        &exact(&[0.0, 0.0, 0.0, 0.0, 5.0]),
        counts,
        &Settings::default(),
    );
    assert_eq!(zeros.judgements[3].state, Unchanged);
    assert_eq!(zeros.judgements[4].state, Regressed);
    assert_eq!(zeros.judgements[4].change.unwrap().baseline, 0.0);
    let mut values = vec![1e9; 10];
    values.extend([1.003e9; 5]);
    let step = judge(&exact(&values), counts, &Settings::default());
    assert_eq!(step.changes.len(), 1, "{step:?}");
    assert_eq!(
        step.changes[0].at, 10,
        "0.3 % of counted instructions, which repeat"
    );
}

#[test]
fn the_chance_of_far_away_is_a_bound() {
    assert_eq!(two_sided(0.0), 1.0);
    assert!((two_sided(4.0) - 6.7e-4).abs() < 1e-5);
    assert_eq!(two_sided(f64::INFINITY), 0.0);
}

/// Instructions of richards by valgrind over ten commits of CPython 2.7 (2016): one is faster by a thousandth, which is less than a change, a
/// later one slower by 2.6 %.
#[test]
fn a_count_that_moves_by_less_than_a_change_keeps_its_place() {
    let counts = [
        1_048_794_722.5,
        1_026_962_363.0,
        1_026_962_168.0,
        1_026_962_068.5,
        1_026_962_386.5,
        1_026_962_532.5,
        1_025_953_204.0,
        1_025_952_225.5,
        1_052_672_870.0,
        1_052_672_614.0,
    ];
    let instructions = Scale {
        floor: 0.002,
        ..TIME
    };
    let judged = judge(&exact(&counts), instructions, &Settings::default());
    let [change] = &judged.changes[..] else {
        panic!("{:?}", judged.changes)
    };
    assert_eq!((change.at, change.between), (8, (7, 8)));
    assert!((change.value / 1_052_672_742.0 - 1.0).abs() < 1e-6);
    // Against the commits just before it, and not against those before the faster one, which is 2.503 %.
    let change = change.change;
    assert!((change.change - 0.02604).abs() < 0.0001, "{change:?}");
    assert!((change.baseline / 1_025_952_714.0 - 1.0).abs() < 1e-5);
    assert!(change.low > 0.025 && change.high < 0.027, "{change:?}");
}
