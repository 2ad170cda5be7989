//! Where a change between two levels lies, and how sure that is.

use super::density::{Loss, median};
use super::explain::Explanation;
use super::path::Grid;
use super::prune::Segment;
use super::{Step, correlated};

/// How far from the path's place the likeliest one is looked for.
const ELSEWHERE: usize = 30;
/// Share of the probability that [`Step::between`] holds.
const BETWEEN: f64 = 0.95;
/// Correlation from which a change is placed by what is new in each point.
pub(super) const REMEMBERED: f64 = 0.4;
/// The nearest points on each side by which a step's size is looked at again.
const BESIDE: usize = 3;
/// Standard errors that 95 % of a normal distribution lie within.
const NORMAL: f64 = 1.96;
/// A median's standard error, relative to a mean's, of normal noise.
const OF_MEDIAN: f64 = 1.253_314_137_315_5;

/// A series in which changes are placed.
pub(super) struct Placing<'a> {
    pub(super) logarithms: &'a [f64],
    pub(super) grid: &'a Grid,
    pub(super) found: &'a Explanation,
    pub(super) is_still: bool,
}

impl Placing<'_> {
    /// The place of a change between two levels, by the likelihood of each.
    pub(super) fn place(&self, left: &Segment, right: &Segment, gain: f64) -> Step {
        let (costs, dearer) = if self.found.correlation > REMEMBERED {
            let value = |level: usize| self.grid.low + level as f64 * self.grid.step;
            let points = &self.logarithms[left.from..right.to];
            let levels = (value(left.level), value(right.level));
            let found = self.found;
            let costs = correlated::costs_of_places(points, levels, found.correlation, found.fresh);
            (costs, 1.0)
        } else {
            (self.costs_of_places(left, right), self.found.dearer)
        };
        let lowest = costs[1..].iter().copied().fold(f64::INFINITY, f64::min);
        let weights: Vec<f64> = costs
            .iter()
            .enumerate()
            .map(|(place, cost)| {
                if place == 0 {
                    0.0
                } else {
                    (-(cost - lowest) / dearer).exp()
                }
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let near = |place: usize| {
            let to = (place + 4).min(weights.len());
            weights[place.saturating_sub(3)..to].iter().sum::<f64>() / total
        };
        let found = right.from - left.from;
        let mut best = (found, near(found));
        let from = found.saturating_sub(ELSEWHERE).max(1);
        for place in from..(found + ELSEWHERE + 1).min(weights.len()) {
            let here = near(place);
            // Of places that are as good, the likeliest.
            let likelier = weights[place] > weights[best.0];
            if here > best.1 + 1e-9 || likelier && here > best.1 - 1e-9 {
                best = (place, here);
            }
        }
        let (first, last) = between(&weights, total);
        let at = left.from + best.0;
        let size = if self.is_still {
            // The grid's levels are a fraction of the noise apart, which is taken to be larger than it is.
            right.middle - left.middle
        } else {
            (right.level as f64 - left.level as f64) * self.grid.step
        };
        let error = self.error(right.from - left.from, right.to - right.from);
        let apart = self.apart_beside((left.from, at, right.to), size);
        Step {
            at,
            between: (left.from + first, left.from + last),
            placed: best.1,
            size,
            error: error.max(apart / NORMAL),
            gain,
        }
    }

    /// Standard error of the difference of two levels of so many points each, by the noise.
    fn error(&self, before: usize, after: usize) -> f64 {
        let variance = 1.0 / before as f64 + 1.0 / after as f64;
        let correlation = self.found.correlation;
        let shared = (1.0 + correlation) / (1.0 - correlation);
        OF_MEDIAN * self.found.noise * (variance * shared).sqrt()
    }

    /// How far the difference of the nearest points on both sides lies from the step's size, where noise does not explain it: then a level has
    /// moved meanwhile by less than a change, and the step's own size is not known better. Else 0, and in a still series, of whose levels such moves
    /// are no part.
    fn apart_beside(&self, (from, at, to): (usize, usize, usize), size: f64) -> f64 {
        if self.is_still {
            return 0.0;
        }
        let before = &self.logarithms[at.saturating_sub(BESIDE).max(from)..at];
        let after = &self.logarithms[at..(at + BESIDE).min(to)];
        let apart = (median(after.to_vec()) - median(before.to_vec()) - size).abs();
        if apart > NORMAL * self.error(before.len(), after.len()) {
            apart
        } else {
            0.0
        }
    }

    /// Of each place from the left segment's first point on: what both segments cost if the change were there.
    fn costs_of_places(&self, left: &Segment, right: &Segment) -> Vec<f64> {
        let loss: &Loss = &self.found.loss;
        let mut sum = 0.0;
        let cells = &self.grid.cells[left.from..right.to];
        cells
            .iter()
            .map(|cell| {
                let here = sum;
                let row = loss.row(*cell, self.grid.levels);
                sum += f64::from(row[left.level] - row[right.level]);
                here
            })
            .collect()
    }
}

/// Steps without those whose likeliest places are not behind the place of the one before: of two that close, one is told.
pub(super) fn in_order(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    let mut ordered: Vec<Step> = Vec::new();
    for step in steps {
        if ordered.last().is_none_or(|last| last.at < step.at) {
            ordered.push(step);
        }
    }
    ordered
}

/// First and last place of the shortest run about the heaviest that holds [`BETWEEN`] of all.
fn between(weights: &[f64], total: f64) -> (usize, usize) {
    let heaviest = weights.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (mut first, mut last) = heaviest.map_or((0, 0), |(place, _)| (place, place));
    let mut held = weights.get(first).copied().unwrap_or(0.0);
    while held < BETWEEN * total {
        let before = first.checked_sub(1).and_then(|place| weights.get(place));
        let after = weights.get(last + 1);
        match (before, after) {
            (Some(before), Some(after)) if before >= after => {
                held += before;
                first -= 1;
            }
            (_, Some(after)) => {
                held += after;
                last += 1;
            }
            (Some(before), None) => {
                held += before;
                first -= 1;
            }
            (None, None) => break,
        }
    }
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: usize) -> Step {
        Step {
            at,
            between: (at, at),
            placed: 1.0,
            size: 0.1,
            error: 0.01,
            gain: 20.0,
        }
    }

    #[test]
    fn of_steps_that_cross_one_is_told() {
        let ordered = |places: &[usize]| {
            let steps = places.iter().map(|at| step(*at));
            in_order(steps).iter().map(|one| one.at).collect::<Vec<_>>()
        };
        assert!(ordered(&[]).is_empty());
        assert_eq!(ordered(&[5]), [5]);
        assert_eq!(ordered(&[5, 5, 9, 7, 12]), [5, 9, 12]);
    }

    #[test]
    fn the_shortest_run_that_holds_most_grows_to_its_heavier_side() {
        assert_eq!(between(&[], 0.0), (0, 0));
        assert_eq!(between(&[0.0, 1.0, 0.0], 1.0), (1, 1));
        assert_eq!(between(&[0.0, 0.3, 0.6, 0.1], 1.0), (1, 3));
        assert_eq!(between(&[f64::NAN; 2], f64::NAN), (1, 1));
    }
}
