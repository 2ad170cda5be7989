//! Empty, one, constant, not finite where it may be, huge; and series whose steps are known.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Normal noise of a deviation of 1 %, the same for ever.
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut random = SmallRng::seed_from_u64(seed);
    // The sum of twelve uniform numbers is normal enough.
    let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    (0..count).map(|_| 0.01 * normal()).collect()
}

fn with_steps(mut series: Vec<f64>, steps: &[(usize, f64)]) -> Vec<f64> {
    for (at, size) in steps {
        series[*at..].iter_mut().for_each(|one| *one += size);
    }
    series
}

fn places(series: &[f64]) -> Vec<usize> {
    let found = find(series, 0.0, &Settings::default());
    found.steps.iter().map(|step| step.at).collect()
}

#[test]
fn nothing_and_little_have_no_steps() {
    for count in 0..5 {
        assert!(places(&vec![1.0; count]).is_empty());
    }
    assert!(places(&[0.0, 0.0, 0.0, 9.0]).is_empty());
}

#[test]
fn a_constant_series_has_none_and_a_step_between_constants_is_exact() {
    assert!(places(&[3.0; 50]).is_empty());
    assert!(places(&[1e300_f64.ln(); 50]).is_empty());
    let step = with_steps(vec![1.0; 40], &[(17, 0.02)]);
    assert_eq!(places(&step), [17]);
    let found = find(&step, 0.0, &Settings::default()).steps[0];
    assert!((found.size - 0.02).abs() < 2e-4, "{found:?}");
    assert_eq!(found.between, (17, 17));
    // Its own samples say that a point is not known as well as that.
    assert!(find(&step, 0.05, &Settings::default()).steps.is_empty());
}

#[test]
fn steps_are_placed_sized_and_bounded() {
    let series = with_steps(noise(300, 1), &[(100, 0.05), (200, -0.03)]);
    let found = find(&series, 0.0, &Settings::default());
    assert_eq!(found.steps.len(), 2, "{found:?}");
    for (step, (at, size)) in found.steps.iter().zip([(100, 0.05), (200, -0.03)]) {
        assert!(step.at.abs_diff(at) <= 1, "{step:?}");
        assert!((step.size - size).abs() < 4.0 * step.error, "{step:?}");
        let (first, last) = step.between;
        assert!(first <= at && at <= last && last - first < 10, "{step:?}");
        assert!(step.placed > 0.9 && step.gain > 20.0, "{step:?}");
    }
    assert!((found.noise - 0.01).abs() < 0.002, "{}", found.noise);
    assert_eq!(found.correlation, 0.0);
}

#[test]
fn noise_alone_has_no_steps() {
    let alarms: usize = (0..20)
        .map(|seed| places(&noise(300, 100 + seed)).len())
        .sum();
    assert_eq!(alarms, 0);
}

#[test]
fn an_outlier_is_no_step_and_one_point_at_the_end_is_none_yet() {
    let mut series = noise(100, 2);
    series[50] += 0.2;
    series[99] += 0.2;
    assert!(places(&series).is_empty());
    let later = with_steps(noise(105, 2), &[(100, 0.1)]);
    assert_eq!(places(&later), [100]);
    assert!(places(&later[..101]).is_empty(), "one point");
    assert_eq!(places(&later[..103]), [100], "three points");
}

#[test]
fn a_badly_placed_step_is_not_told_and_those_beside_it_are_placed_well() {
    let series = with_steps(noise(600, 12), &[(150, 0.03), (300, 0.009), (450, 0.03)]);
    let near = |found: &[usize], at: usize| found.iter().any(|one| one.abs_diff(at) <= 3);
    let found = places(&series);
    assert!(near(&found, 150) && near(&found, 450), "{found:?}");
    let strict = Settings {
        placed: 0.95,
        ..Settings::default()
    };
    let told = find(&series, 0.0, &strict).steps;
    let told: Vec<usize> = told.iter().map(|step| step.at).collect();
    assert!(
        near(&told, 150) && near(&told, 450) && told.len() == 2,
        "{told:?}"
    );
}

#[test]
fn up_and_back_within_a_few_points_is_an_event() {
    let series = with_steps(noise(200, 3), &[(80, 0.08), (84, -0.08)]);
    assert!(places(&series).is_empty());
    let stays = with_steps(noise(200, 3), &[(80, 0.08), (120, -0.08)]);
    assert_eq!(places(&stays).len(), 2);
}

#[test]
fn a_second_burst_like_the_first_is_no_step_until_it_stays() {
    let again = [(60, 0.08), (64, -0.08), (150, 0.08)];
    let series = with_steps(noise(171, 3), &again);
    for count in [154, 160, 170] {
        assert!(places(&series[..count]).is_empty(), "{count} points");
    }
    let at = |series: &[f64]| match places(series)[..] {
        [place] => (149..=151).contains(&place),
        _ => false,
    };
    assert!(at(&series), "it stays");
    let first = with_steps(noise(154, 3), &[(150, 0.08)]);
    assert!(at(&first), "nothing like it came before");
    let down = with_steps(noise(154, 3), &[(60, 0.08), (64, -0.08), (150, -0.08)]);
    assert!(at(&down), "the other way");
}

#[test]
fn to_and_fro_between_two_levels_is_a_habit_and_a_third_level_is_news() {
    let habit = [(40, 0.05), (52, -0.05), (64, 0.05)];
    let series = with_steps(noise(90, 3), &habit);
    assert!(
        places(&series[..72]).is_empty(),
        "{:?}",
        places(&series[..72])
    );
    let other = with_steps(noise(120, 3), &[(30, 0.05), (60, -0.05), (90, -0.05)]);
    let found = places(&other);
    assert!(found.len() == 3 && found[2].abs_diff(90) <= 1, "{found:?}");
}

#[test]
fn two_modes_are_noise_and_a_step_of_both_is_found() {
    let mut random = SmallRng::seed_from_u64(4);
    let modes: Vec<f64> = noise(400, 5)
        .iter()
        .map(|one| one / 2.0 + if random.random::<bool>() { 0.04 } else { 0.0 })
        .collect();
    assert!(places(&modes).is_empty());
    let found = places(&with_steps(modes, &[(250, 0.02)]));
    assert!(found.len() == 1 && found[0].abs_diff(250) <= 3, "{found:?}");
}

#[test]
fn a_slope_is_no_staircase() {
    let series: Vec<f64> = noise(400, 6)
        .iter()
        .enumerate()
        .map(|(index, one)| one + 0.03 * index as f64 / 400.0)
        .collect();
    let found = find(&series, 0.0, &Settings::default());
    assert!(found.steps.len() <= 1, "{found:?}");
}

#[test]
fn points_that_remember_each_other_make_changes_dearer() {
    let mut last = 0.0;
    let series: Vec<f64> = noise(600, 7)
        .iter()
        .map(|one| {
            last = 0.6 * last + 0.8 * one;
            last
        })
        .collect();
    let found = find(&series, 0.0, &Settings::default());
    assert!(found.steps.is_empty(), "{found:?}");
    assert!(
        (0.4..0.8).contains(&found.correlation),
        "{}",
        found.correlation
    );
}

#[test]
fn the_largest_steps_and_the_longest_series_end() {
    let wild = with_steps(noise(200, 8), &[(50, 600.0), (120, -1_300.0)]);
    assert_eq!(places(&wild).len(), 2, "{:?}", places(&wild));
    let long = with_steps(noise(20_000, 9), &[(15_000, 0.05)]);
    let found = places(&long);
    assert!(
        found.len() == 1 && found[0].abs_diff(15_000) <= 2,
        "{found:?}"
    );
}
