//! Verdicts on every point of a series, and its change points: segments within each epoch, and a suspicion about the last point.
//!
//! Values are compared as logarithms, so that a change is a ratio and 2 % up undoes 2 % down. Epochs are never looked across. Within
//! an epoch the levels and the noise are those of [`super::segments`]; all points of the epoch decide about each of its levels, so a verdict
//! may change with what follows it. A single point at the end is no segment: far from its level it is a suspect, which is measured
//! again before anyone hears of it. `docs/detection.md` tells the whole with its limits.

mod epoch;
mod kept;

use super::scale::Scale;
use super::segments::Settings;
pub use kept::{Kept, Shelf};

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

/// A verdict's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not enough predecessors, or no number.
    TooFew,
    /// Of the same level as the points before it.
    Unchanged,
    /// The first of a better level.
    Improved,
    /// The first of a worse one.
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
    /// The level that the point is compared with, in the metric's unit.
    pub baseline: f64,
    /// Of a change point the new level, else the value, against the baseline.
    pub change: f64,
    /// 95 % interval of the change.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The noise: a smaller change of one point says nothing.
    pub threshold: f64,
}

/// The verdict on one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The outcome.
    pub state: State,
    /// The numbers; absent when there are too few.
    pub change: Option<Change>,
    /// Points of the level that it was compared with.
    pub predecessors: usize,
}

/// Where a series steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The likeliest first point of the new level.
    pub at: usize,
    /// The last point that is as before, and the last that may be the first of the new level, with 95 % confidence.
    pub between: (usize, usize),
    /// Whether the new level is better.
    pub better: bool,
    /// The new level in the metric's unit.
    pub value: f64,
    /// Its size.
    pub change: Change,
    /// Deviation of one point about its level, of logarithms.
    pub noise: f64,
    /// Probability that noise alone looks so, with all places considered where it might have.
    pub chance: f64,
    /// Probability that it lies within three points of `at`.
    pub placed: f64,
    /// Points of the new level; 1: a suspect.
    pub points_after: usize,
}

/// A whole series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// As many as points.
    pub judgements: Vec<Judgement>,
    /// In order.
    pub changes: Vec<ChangePoint>,
}

/// Judges a series; `points` are in branch order.
pub fn judge(points: &[Point], scale: Scale, settings: &Settings) -> Judged {
    Kept::new(scale, settings).into_judged(points)
}

#[cfg(test)]
mod tests;
