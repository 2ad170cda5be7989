//! The first detector: each point against the median of its predecessors, with a robust measure of the noise.
//!
//! Values are compared as logarithms, so that a change is a ratio and 2 % up undoes 2 % down. The noise of a series is
//! the median absolute difference of neighbours (a step moves one difference only, so changes do not count as noise)
//! together with the spread inside each run. A baseline never reaches over a break of the epoch, and begins anew at a
//! point that was judged changed. `docs/detection.md` tells the whole with its limits.

use crate::domain::summary::median_of_sorted;

/// Predecessors in a baseline.
const WINDOW: usize = 10;
/// Fewest predecessors in the epoch before a point is judged.
const FEWEST: usize = 3;
/// Standard deviations of noise that a change must pass. 4 of a normal distribution are passed by chance once in
/// 16,000 points; with few neighbours to estimate from it happens far more often, which confirmation is for.
const DEVIATIONS: f64 = 4.0;
/// From the median absolute difference of neighbours to a standard deviation: 1.4826 for a median absolute deviation of
/// a normal distribution, and the root of two because a difference has two points' noise.
const DIFFERENCE_TO_DEVIATION: f64 = 1.482_602_218_505_602 / std::f64::consts::SQRT_2;

/// One commit's value in a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Median in the metric's unit.
    pub value: f64,
    /// 95 % interval of the median.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Points of different epochs are never compared.
    pub epoch: i64,
}

/// How values of a metric are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Smallest change that is worth a word, as a ratio (0.01 is 1 %).
    pub floor: f64,
    /// True for counts, where zero is a value: 1 is added before the logarithm.
    pub zero_is_a_value: bool,
    /// True when more is better.
    pub higher_is_better: bool,
}

/// A verdict's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not enough predecessors, or no number.
    TooFew,
    /// Within the noise.
    Unchanged,
    /// Beyond it, for the better.
    Improved,
    /// Beyond it, for the worse.
    Regressed,
}

impl State {
    /// All outcomes.
    pub const ALL: &'static [Self] = &[
        Self::TooFew,
        Self::Unchanged,
        Self::Improved,
        Self::Regressed,
    ];

    /// The stable name used in the database, the API and pages' classes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooFew => "too_few",
            Self::Unchanged => "unchanged",
            Self::Improved => "improved",
            Self::Regressed => "regressed",
        }
    }
}

/// A measured change, as ratios minus one (0.02: 2 % more).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Median of the predecessors, in the metric's unit.
    pub baseline: f64,
    /// Value against baseline.
    pub change: f64,
    /// 95 % interval of the change.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The noise: a smaller change says nothing.
    pub threshold: f64,
}

/// The verdict on one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The outcome.
    pub state: State,
    /// The numbers; absent when there are too few.
    pub change: Option<Change>,
    /// Predecessors that it was compared with.
    pub predecessors: usize,
}

/// Judges every point of a series; `points` are in branch order. Returns as many judgements as points.
pub fn judge(points: &[Point], scale: Scale) -> Vec<Judgement> {
    let mut judgements = Vec::with_capacity(points.len());
    // Logarithms of the epoch so far, and where the present baseline begins among them.
    let mut epoch: Vec<Logarithm> = Vec::new();
    let mut begins = 0;
    let mut current = None;
    for point in points {
        if current != Some(point.epoch) {
            current = Some(point.epoch);
            epoch.clear();
            begins = 0;
        }
        let Some(value) = Logarithm::of(point, scale) else {
            judgements.push(Judgement {
                state: State::TooFew,
                change: None,
                predecessors: 0,
            });
            continue;
        };
        let judgement = judge_one(&epoch, begins, &value, scale);
        if matches!(judgement.state, State::Improved | State::Regressed) {
            begins = epoch.len();
        }
        epoch.push(value);
        judgements.push(judgement);
    }
    judgements
}

/// A point as logarithms.
#[derive(Debug, Clone, Copy)]
struct Logarithm {
    value: f64,
    /// Standard deviation of the median by the run's own samples.
    within: f64,
}

impl Logarithm {
    /// `None` for what has no logarithm.
    fn of(point: &Point, scale: Scale) -> Option<Self> {
        let shift = if scale.zero_is_a_value { 1.0 } else { 0.0 };
        let value = (point.value + shift).ln();
        // A 95 % interval is 2 x 1.96 standard deviations wide.
        let within = ((point.high + shift).ln() - (point.low + shift).ln()) / 3.92;
        let finite = value.is_finite() && within.is_finite() && within >= 0.0;
        finite.then_some(Self { value, within })
    }
}

fn judge_one(epoch: &[Logarithm], begins: usize, point: &Logarithm, scale: Scale) -> Judgement {
    let window = &epoch[begins
        .max(epoch.len().saturating_sub(WINDOW))
        .min(epoch.len())..];
    if epoch.len() < FEWEST || window.is_empty() {
        return Judgement {
            state: State::TooFew,
            change: None,
            predecessors: window.len(),
        };
    }
    let values: Vec<f64> = window.iter().map(|one| one.value).collect();
    let Some(baseline) = median(values) else {
        return Judgement {
            state: State::TooFew,
            change: None,
            predecessors: 0,
        };
    };
    let between = noise(epoch);
    let within = median(window.iter().map(|one| one.within).collect())
        .unwrap_or(0.0)
        .max(point.within);
    let count = window.len() as f64;
    let deviation = (between.powi(2).max(within.powi(2)) * (1.0 + 1.0 / count)).sqrt();
    let difference = point.value - baseline;
    let threshold = (DEVIATIONS * deviation).max(scale.floor.ln_1p());
    let state = if difference.abs() <= threshold {
        State::Unchanged
    } else if (difference > 0.0) == scale.higher_is_better {
        State::Improved
    } else {
        State::Regressed
    };
    let shift = if scale.zero_is_a_value { 1.0 } else { 0.0 };
    let change = Change {
        baseline: baseline.exp() - shift,
        change: difference.exp_m1(),
        low: (difference - 1.96 * deviation).exp_m1(),
        high: (difference + 1.96 * deviation).exp_m1(),
        threshold: threshold.exp_m1(),
    };
    Judgement {
        state,
        change: Some(change),
        predecessors: window.len(),
    }
}

/// The noise between neighbours of an epoch, as a standard deviation of logarithms; the newest 50 count.
fn noise(epoch: &[Logarithm]) -> f64 {
    let newest = &epoch[epoch.len().saturating_sub(50)..];
    let differences: Vec<f64> = newest
        .windows(2)
        .map(|pair| (pair[1].value - pair[0].value).abs())
        .collect();
    median(differences).unwrap_or(0.0) * DIFFERENCE_TO_DEVIATION
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| median_of_sorted(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Scale = Scale {
        floor: 0.01,
        zero_is_a_value: false,
        higher_is_better: false,
    };

    fn points(values: &[f64]) -> Vec<Point> {
        values
            .iter()
            .map(|value| Point {
                value: *value,
                low: value * 0.998,
                high: value * 1.002,
                epoch: 1,
            })
            .collect()
    }

    fn states(values: &[f64], scale: Scale) -> Vec<State> {
        judge(&points(values), scale)
            .iter()
            .map(|judgement| judgement.state)
            .collect()
    }

    use State::{Improved, Regressed, TooFew, Unchanged};

    #[test]
    fn empty_one_and_few_points_are_too_few() {
        assert!(judge(&[], TIME).is_empty());
        assert_eq!(states(&[1.0], TIME), [TooFew]);
        assert_eq!(states(&[1.0, 2.0, 1.0], TIME), [TooFew; 3]);
    }

    #[test]
    fn a_constant_series_never_changes() {
        assert_eq!(states(&[1.0; 6], TIME)[3..], [Unchanged; 3]);
        let exact: Vec<Point> = [7.0; 6]
            .iter()
            .map(|v| Point {
                value: *v,
                low: *v,
                high: *v,
                epoch: 1,
            })
            .collect();
        assert!(
            judge(&exact, TIME)[3..]
                .iter()
                .all(|j| j.state == Unchanged && j.change.unwrap().change == 0.0)
        );
    }

    #[test]
    fn a_step_is_told_once_with_its_size_and_direction() {
        let values = [1.0, 1.003, 0.998, 1.001, 1.002, 1.10, 1.101, 1.099, 0.9];
        let expected = [
            TooFew, TooFew, TooFew, Unchanged, Unchanged, Regressed, Unchanged, Unchanged, Improved,
        ];
        assert_eq!(states(&values, TIME), expected);
        let change = judge(&points(&values), TIME)[5].change.unwrap();
        assert!(
            (change.change - 0.099).abs() < 0.002
                && change.low < change.change
                && change.change < change.high
        );
        assert!(change.threshold < 0.02, "{change:?}");
        let better = Scale {
            higher_is_better: true,
            ..TIME
        };
        assert_eq!(states(&values, better)[5], Improved);
    }

    #[test]
    fn noise_is_not_a_change() {
        let values = [1.0, 1.05, 0.96, 1.04, 0.95, 1.06, 0.97, 1.05];
        assert!(
            states(&values, TIME)[3..]
                .iter()
                .all(|state| *state == Unchanged)
        );
        // A wide interval inside the run is noise too.
        let mut wide = points(&[1.0, 1.001, 1.0, 1.001, 1.05]);
        wide[4] = Point {
            value: 1.05,
            low: 0.98,
            high: 1.12,
            epoch: 1,
        };
        assert_eq!(judge(&wide, TIME)[4].state, Unchanged);
    }

    #[test]
    fn a_break_of_the_epoch_is_never_looked_across() {
        let mut broken = points(&[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        broken[4..].iter_mut().for_each(|point| point.epoch = 2);
        let states: Vec<State> = judge(&broken, TIME)
            .iter()
            .map(|judgement| judgement.state)
            .collect();
        assert_eq!(states[4..], [TooFew, TooFew, TooFew, Unchanged]);
    }

    #[test]
    fn what_is_no_number_is_left_out_and_huge_ones_do_not_overflow() {
        let with_rubbish = [1.0, f64::NAN, 1.0, f64::INFINITY, 1.0, 0.0, -1.0, 1.0];
        let states = states(&with_rubbish, TIME);
        assert_eq!(
            states,
            [
                TooFew, TooFew, TooFew, TooFew, TooFew, TooFew, TooFew, Unchanged
            ]
        );
        let huge = judge(&points(&[1e300; 5]), TIME);
        assert!(huge[4].change.unwrap().baseline.is_finite());
        let many = points(&vec![1.0; 20_000]);
        assert_eq!(judge(&many, TIME).len(), 20_000);
    }

    #[test]
    fn counts_may_be_zero() {
        let counts = Scale {
            floor: 0.002,
            zero_is_a_value: true,
            higher_is_better: false,
        };
        let zeros: Vec<Point> = [0.0, 0.0, 0.0, 0.0, 5.0]
            .iter()
            .map(|v| Point {
                value: *v,
                low: *v,
                high: *v,
                epoch: 1,
            })
            .collect();
        let judged = judge(&zeros, counts);
        assert_eq!(judged[3].state, Unchanged);
        assert_eq!(judged[4].state, Regressed);
        assert_eq!(judged[4].change.unwrap().baseline, 0.0);
    }
}
