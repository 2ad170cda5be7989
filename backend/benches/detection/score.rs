//! How much of the truth was found, and what was found beside it.

use std::fmt;

use crate::series::Series;

/// A step counts as found when it is told within so many points of its place.
const MARGIN: usize = 3;

#[derive(Debug, Default, Clone, Copy)]
pub struct Score {
    hits: usize,
    told: usize,
    steps: usize,
    alarms: usize,
    quiet_points: usize,
    seconds: f64,
    series: usize,
}

impl Score {
    pub fn add(&mut self, series: &Series, found: &[usize], seconds: f64) {
        self.seconds += seconds;
        self.series += 1;
        if series.steps.is_empty() {
            self.alarms += found.len();
            self.quiet_points += series.values.len();
        } else {
            self.hits += matched(&series.steps, found);
            self.told += found.len();
            self.steps += series.steps.len();
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.hits += other.hits;
        self.told += other.told;
        self.steps += other.steps;
        self.alarms += other.alarms;
        self.quiet_points += other.quiet_points;
        self.seconds += other.seconds;
        self.series += other.series;
    }

    pub fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (self.told + self.steps).max(1) as f64
    }

    /// Per 1000 points of series without steps.
    pub fn false_alarms(&self) -> f64 {
        1_000.0 * self.alarms as f64 / self.quiet_points.max(1) as f64
    }

    /// Of one series.
    pub fn milliseconds(&self) -> f64 {
        1_000.0 * self.seconds / self.series.max(1) as f64
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |of: usize| self.hits as f64 / of.max(1) as f64;
        write!(
            formatter,
            "F1 {:.3}, precision {:.3}, recall {:.3}, {:.2} false alarms per 1000",
            self.f1(),
            share(self.told),
            share(self.steps),
            self.false_alarms()
        )
    }
}

/// Pairs of a step and what was told of it, each used once. Both are in order, so that the nearest first is best.
fn matched(steps: &[usize], found: &[usize]) -> usize {
    let (mut steps, mut found) = (steps, found);
    let mut hits = 0;
    while let ([step, later_steps @ ..], [place, later_found @ ..]) = (steps, found) {
        if step.abs_diff(*place) <= MARGIN {
            hits += 1;
            (steps, found) = (later_steps, later_found);
        } else if step < place {
            steps = later_steps;
        } else {
            found = later_found;
        }
    }
    hits
}
