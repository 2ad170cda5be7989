//! Whether a host has changed, by what a control does on it; pure.
//!
//! A control is an interpreter that stays as it is, so what moves is the host. Its newest runs are compared with the
//! earlier ones of the same environment, all benchmarks together: the geometric mean over benchmarks of each run against
//! the median of the earlier runs. The host has changed when the median of the newest runs lies further off than chance
//! would have it, and each of them on that side: one run on a bad day moves nothing.

use std::collections::BTreeMap;

use super::noise::spread;
use crate::domain::summary::median_of_sorted;

/// Version of the rules in this module, stored with every epoch.
pub const CONTROL_VERSION: &str = "control-1";

/// Newest runs that must agree.
const NEWEST: usize = 3;
/// Fewest earlier runs to compare them with.
const FEWEST: usize = 4;
/// Most earlier runs.
const WINDOW: usize = 20;
/// Standard deviations of the difference that it must pass, as the detector asks of every change.
const DEVIATIONS: f64 = 4.0;
/// A smaller change of a host is no matter, whatever its certainty: the detector's floor for times.
const FLOOR: f64 = 0.01;
/// Variance of a median against that of a mean, for a normal distribution.
const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;

/// What the newest run of a control says of its host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// Too few runs before it to compare it with.
    Unknown,
    /// It is what it was.
    Steady,
    /// It is not; whether it stays so the next runs tell.
    Unsteady {
        /// Newest runs in a row that are not.
        runs: usize,
        /// Of the newest, as [`Move::change`].
        change: f64,
        /// What it has passed.
        threshold: f64,
    },
}

impl Standing {
    /// The stable name used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Steady => "steady",
            Self::Unsteady { .. } => "unsteady",
        }
    }

    /// Whether the control should run again at once: until as many runs in a row differ as make a move. If they do not
    /// agree even then, more of them at once are no help.
    pub fn asks_again(self) -> bool {
        matches!(self, Self::Unsteady { runs, .. } if runs < NEWEST)
    }
}

/// One run of a control on a host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControlRun {
    /// Runs of different environments are never compared.
    pub environment: i64,
    /// Logarithm of each benchmark's time by the benchmark; more is slower.
    pub values: BTreeMap<i64, f64>,
}

/// A host has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// The first run that differs.
    pub index: usize,
    /// Geometric mean over benchmarks, as a ratio minus one (0.02: 2 % slower).
    pub change: f64,
    /// What it had to pass.
    pub threshold: f64,
}

/// The first move in the history of a control on one host since its last epoch, oldest run first.
pub fn find_move(history: &[ControlRun]) -> Option<Move> {
    let mut begins = 0;
    for end in 0..history.len() {
        if end > 0 && history[end].environment != history[end - 1].environment {
            begins = end;
        }
        let Some(first) = (end + 1)
            .checked_sub(NEWEST)
            .filter(|first| *first >= begins)
        else {
            continue;
        };
        let from = begins.max(first.saturating_sub(WINDOW));
        let found = compare(&history[from..first], &history[first..=end]);
        if let Some((change, threshold)) = found {
            return Some(Move {
                index: first,
                change,
                threshold,
            });
        }
    }
    None
}

/// How a control stands by its newest run since the last epoch, oldest run first: one run that lies so far off that two more like
/// it would be a move makes it unsteady.
pub fn standing(history: &[ControlRun]) -> Standing {
    let newest_first = (1..=history.len()).rev();
    let judged = newest_first.map(|end| judge_newest(&history[..end]));
    let mut unsteady = judged.take_while(|one| matches!(one, Some((_, _, true))));
    match unsteady.next().flatten() {
        Some((change, threshold, _)) => Standing::Unsteady {
            runs: 1 + unsteady.count(),
            change,
            threshold,
        },
        None => judge_newest(history).map_or(Standing::Unknown, |_| Standing::Steady),
    }
}

/// Change, threshold, and whether the one is beyond the other, of the last run against those before it in its environment.
fn judge_newest(history: &[ControlRun]) -> Option<(f64, f64, bool)> {
    let (newest, earlier) = history.split_last()?;
    let same = |run: &&ControlRun| run.environment == newest.environment;
    let count = earlier.iter().rev().take_while(same).take(WINDOW).count();
    let earlier = &earlier[earlier.len() - count..];
    let difference = difference(earlier, std::slice::from_ref(newest))?;
    let beyond = difference.shift.abs() > difference.threshold;
    Some((
        difference.shift.exp_m1(),
        difference.threshold.exp_m1(),
        beyond,
    ))
}

/// Change and threshold when the newest runs lie beyond it.
fn compare(earlier: &[ControlRun], newest: &[ControlRun]) -> Option<(f64, f64)> {
    let found = difference(earlier, newest)?;
    let shift = found.shift;
    let agrees = |level: &f64| (level - found.centre) * shift.signum() > shift.abs() / 2.0;
    let moved = shift.abs() > found.threshold && found.after.iter().all(agrees);
    moved.then(|| (shift.exp_m1(), found.threshold.exp_m1()))
}

/// How far runs lie from those before them, as logarithms.
struct Difference {
    /// Level of the earlier runs.
    centre: f64,
    /// Median of the newest against it.
    shift: f64,
    /// What it has to pass; that of as many newest runs as make a move, also when there are fewer.
    threshold: f64,
    /// Levels of the newest runs.
    after: Vec<f64>,
}

fn difference(earlier: &[ControlRun], newest: &[ControlRun]) -> Option<Difference> {
    if earlier.len() < FEWEST {
        return None;
    }
    let centres = centres(earlier, newest);
    let before: Vec<f64> = earlier
        .iter()
        .filter_map(|run| level(run, &centres))
        .collect();
    let after: Vec<f64> = newest
        .iter()
        .filter_map(|run| level(run, &centres))
        .collect();
    if before.len() < FEWEST || after.len() < newest.len() {
        return None;
    }
    let deviation = noise(earlier, &centres, &before);
    let shares = 1.0 / before.len() as f64 + 1.0 / NEWEST as f64;
    let threshold = (DEVIATIONS * deviation * (MEDIAN_VARIANCE * shares).sqrt()).max(FLOOR);
    let centre = median(before);
    Some(Difference {
        centre,
        shift: median(after.clone()) - centre,
        threshold,
        after,
    })
}

/// The deviation of a run's level while nothing changed: as the earlier runs' levels show it, or as the noise floors of the
/// single benchmarks make it, whichever is larger. A few levels may lie close by chance; many benchmarks do not. The
/// floors are those of the earlier runs alone: over all runs, the change itself would count as noise.
fn noise(earlier: &[ControlRun], centres: &BTreeMap<i64, f64>, levels: &[f64]) -> f64 {
    let seen = spread(&[levels.to_vec()]);
    let variance: f64 = centres
        .keys()
        .filter_map(|benchmark| {
            let values = earlier.iter().filter_map(|run| run.values.get(benchmark));
            let values = values.copied().filter(|value| value.is_finite());
            Some(spread(&[values.collect()])?.deviation.powi(2))
        })
        .sum();
    let of_benchmarks = variance.sqrt() / centres.len() as f64;
    seen.map_or(0.0, |spread| spread.deviation)
        .max(of_benchmarks)
}

/// The earlier median of each benchmark that all of the newest runs and at least half of the earlier ones have.
fn centres(earlier: &[ControlRun], newest: &[ControlRun]) -> BTreeMap<i64, f64> {
    let number = |run: &ControlRun, benchmark: i64| {
        let value = run.values.get(&benchmark).copied();
        value.filter(|value| value.is_finite())
    };
    let benchmarks = newest.first().into_iter().flat_map(|run| run.values.keys());
    let everywhere = benchmarks.filter(|one| newest.iter().all(|run| number(run, **one).is_some()));
    let centre = |benchmark: &i64| {
        let values: Vec<f64> = earlier
            .iter()
            .filter_map(|run| number(run, *benchmark))
            .collect();
        (values.len() * 2 >= earlier.len()).then(|| (*benchmark, median(values)))
    };
    everywhere.filter_map(centre).collect()
}

/// Mean over benchmarks of a run against the centres.
fn level(run: &ControlRun, centres: &BTreeMap<i64, f64>) -> Option<f64> {
    let differences: Vec<f64> = centres
        .iter()
        .filter_map(|(benchmark, centre)| Some(run.values.get(benchmark)? - centre))
        .filter(|difference| difference.is_finite())
        .collect();
    let number = differences.len();
    (number > 0).then(|| differences.iter().sum::<f64>() / number as f64)
}

/// The median of values, of which there is at least one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    median_of_sorted(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of two benchmarks; a level of 0.02 makes both 2 % slower.
    fn history(levels: &[f64]) -> Vec<ControlRun> {
        let run = |(index, level): (usize, &f64)| {
            let noise = (index as f64 * 0.618_033_988_749_894_9).fract() * 0.002;
            ControlRun {
                environment: 1,
                values: [(1, level + noise), (2, 5.0 + level - noise / 2.0)].into(),
            }
        };
        levels.iter().enumerate().map(run).collect()
    }

    fn found(levels: &[f64]) -> Option<Move> {
        find_move(&history(levels))
    }

    #[test]
    fn a_host_that_became_slower_is_found_where_it_did() {
        let levels = [0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.05, 0.05];
        let moved = found(&levels).unwrap();
        assert_eq!(moved.index, 5);
        assert!((moved.change - 0.051).abs() < 0.003, "{moved:?}");
        assert!(moved.threshold >= 0.01, "{moved:?}");
        let faster: Vec<f64> = levels.iter().map(|level| -level).collect();
        assert!(found(&faster).unwrap().change < -0.04);
    }

    #[test]
    fn too_little_and_too_few_move_nothing() {
        for levels in [
            &[][..],
            &[0.0],
            &[0.0, 0.0, 0.0, 0.05, 0.05, 0.05],
            &[0.0, 0.0, 0.0, 0.0, 0.05, 0.05],
            // One bad run, two bad runs with a good one between them.
            &[0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.05, 0.0],
            // Half a percent is no matter.
            &[0.0, 0.0, 0.0, 0.0, 0.005, 0.005, 0.005, 0.005],
            &[0.0; 200],
        ] {
            assert_eq!(found(levels), None, "{levels:?}");
        }
    }

    #[test]
    fn one_run_that_differs_makes_a_control_unsteady_until_the_next_ones_decide() {
        let stands = |levels: &[f64]| standing(&history(levels));
        for few in [
            &[][..],
            &[0.0],
            &[0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.5],
        ] {
            assert_eq!(stands(few), Standing::Unknown, "{few:?}");
        }
        let calm = [0.0; 6];
        assert_eq!(stands(&calm), Standing::Steady);
        let then = |levels: &[f64]| stands(&[&calm[..], levels].concat());
        let unsteady = |standing: Standing| match standing {
            Standing::Unsteady { runs, change, .. } => (runs, (change * 100.0).round()),
            other => panic!("{other:?}"),
        };
        assert_eq!(unsteady(then(&[0.05])), (1, 5.0));
        assert_eq!(unsteady(then(&[-0.05])), (1, -5.0));
        assert_eq!(unsteady(then(&[0.05, 0.05])), (2, 5.0));
        assert!(then(&[0.05, 0.05]).asks_again());
        // It goes to both sides: no move, and asking again is no help.
        let wild = then(&[0.05, -0.05, 0.05]);
        assert_eq!(unsteady(wild), (3, 5.0));
        assert!(!wild.asks_again() && !Standing::Steady.asks_again());
        assert_eq!(then(&[0.05, 0.0]), Standing::Steady);
        assert_eq!(then(&[0.05, 0.0, 0.001]), Standing::Steady);
        // Another environment begins anew.
        let mut runs = history(&[&calm[..], &[0.05]].concat());
        runs[6].environment = 2;
        assert_eq!(standing(&runs), Standing::Unknown);
        runs[6].values.clear();
        assert_eq!(standing(&runs), Standing::Unknown);
    }

    #[test]
    fn a_noisy_host_needs_a_larger_change() {
        let mut runs = history(&[0.0, 0.03, -0.03, 0.02, -0.02, 0.03, 0.05, 0.05, 0.05]);
        assert_eq!(find_move(&runs), None);
        // Levels that lie close by chance: the benchmarks go up and down against each other.
        runs = history(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.05]);
        for (index, run) in runs.iter_mut().enumerate().take(5) {
            let swing = 0.1 * (index as f64 - 2.0);
            run.values = [(1, swing), (2, 5.0 - swing)].into();
        }
        assert_eq!(find_move(&runs), None);
    }

    #[test]
    fn environments_are_not_compared_and_rubbish_is_left_out() {
        let levels = [0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.05, 0.05, 0.05];
        let mut runs = history(&levels);
        for run in &mut runs[5..] {
            run.environment = 2;
        }
        assert_eq!(find_move(&runs), None);
        let mut runs = history(&levels);
        for run in &mut runs {
            run.values.insert(3, f64::NAN);
        }
        runs[1].values.clear();
        assert_eq!(find_move(&runs).unwrap().index, 5);
        // A benchmark that only the newest runs have says nothing.
        let mut runs = history(&[0.0; 9]);
        for run in &mut runs[5..] {
            run.values.insert(4, 100.0);
        }
        assert_eq!(find_move(&runs), None);
    }
}
