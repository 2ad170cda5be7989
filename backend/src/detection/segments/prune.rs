//! Which changes of the cheapest path are worth a word: the weakest is taken out first, and its neighbours looked at again.

use super::density::{self, Loss, median, spread};
use super::habits::{self, Burst};
use super::path::{Grid, cheapest, stretches};
use super::{Explanation, Settings, Step, correlated, smooth};

/// Points on each side in which a slope is told from a step, and fewest of them.
const NEIGHBOURHOOD: (usize, usize) = (25, 100);
/// Standard errors: a step beside a slope that is less, where the slope beside the step is more than the second.
const STEP_AND_SLOPE: (f64, f64) = (3.0, 2.0);
/// How far from the path's place the likeliest one is looked for.
const ELSEWHERE: usize = 30;
/// Share of the probability that [`Step::between`] holds.
const BETWEEN: f64 = 0.95;
/// Points on each side by which the noise about a change is told from the whole series', and how much more it may be by chance.
const NEAR: usize = 30;
const BY_CHANCE: f64 = 1.15;
/// Correlation from which a change is placed by what is new in each point.
const REMEMBERED: f64 = 0.4;
/// A burst may be so many points longer than the longest that is an event.
const OVERLAP: usize = 2;
/// Shortest series in which a slow movement is looked for, and fewest points on each side of a step for it.
const SHORTEST_MOVEMENT: usize = 150;
const LEAST_SIDE: usize = 5;
/// Deviations of noise beyond which no step is told by a movement.
const MOVES: f64 = 3.0;
/// Squared standard errors: a step beside a movement that is less; a movement beside the step that is certain, or worth a look where
/// it tells more than the step does (of a step with fewer points after it than [`YOUNG`] any).
const STEP_AND_MOVEMENT: f64 = 12.0;
const CERTAIN: f64 = 12.0;
const KNOWN: f64 = 6.0;
const YOUNG: usize = 30;
/// Noise flatter than this (its kurtosis), or with a peak so many times as high as normal noise has, is none of which squares know.
const FLAT: f64 = 2.5;
const PEAKED: f64 = 1.3;
/// A median's standard error, relative to a mean's, of normal noise.
const OF_MEDIAN: f64 = 1.253_314_137_315_5;

/// A segment with what each level would cost it.
struct Segment {
    from: usize,
    to: usize,
    costs: Vec<f32>,
    cost: f32,
    level: usize,
}

impl Segment {
    fn new(from: usize, to: usize, costs: Vec<f32>) -> Self {
        let (cost, level) = cheapest(&costs);
        Self {
            from,
            to,
            costs,
            cost,
            level,
        }
    }

    fn with(&self, next: &Self) -> Self {
        let both = self.costs.iter().zip(&next.costs);
        Self::new(self.from, next.to, both.map(|(a, b)| a + b).collect())
    }
}

/// The steps that are left.
pub(super) fn prune(
    logarithms: &[f64],
    grid: &Grid,
    found: &Explanation,
    penalty: f64,
    settings: &Settings,
    habitual: &[usize],
) -> Vec<Step> {
    let all = stretches(&found.changes, logarithms.len());
    let mut segments: Vec<Segment> = all
        .map(|(from, to)| Segment::new(from, to, grid.costs(&found.loss, from..to)))
        .collect();
    let residuals = density::residuals(logarithms, &found.changes);
    let mut pruning = Pruning {
        logarithms,
        grid,
        found,
        penalty,
        settings,
        shortest_tail: settings.shortest_tail,
        bursts: habits::bursts(&residuals, found.noise),
        flat: kurtosis(&residuals, found.noise) < FLAT,
        fresh: found.fresh_noise(&residuals),
        habitual,
    };
    pruning.forget_events(&mut segments);
    let mut judged: Vec<(f64, Step)> = segments
        .windows(2)
        .map(|pair| pruning.judge(&pair[0], &pair[1]))
        .collect();
    loop {
        let weak = judged
            .iter()
            .enumerate()
            .filter(|(_, (strength, _))| *strength < 1.0);
        let weakest = weak.min_by(|a, b| a.1.0.total_cmp(&b.1.0));
        let weakest = weakest.map(|(index, _)| index);
        let Some(index) = weakest.or_else(|| pruning.told_by_movement(&judged)) else {
            return judged.into_iter().map(|(_, step)| step).collect();
        };
        let merged = segments[index].with(&segments[index + 1]);
        segments.splice(index..index + 2, [merged]);
        judged.remove(index);
        for changed in [index.checked_sub(1), Some(index)].into_iter().flatten() {
            if let Some(one) = judged.get_mut(changed) {
                *one = pruning.judge(&segments[changed], &segments[changed + 1]);
            }
        }
    }
}

struct Pruning<'a> {
    logarithms: &'a [f64],
    grid: &'a Grid,
    found: &'a Explanation,
    penalty: f64,
    settings: &'a Settings,
    /// A series in which things came and went before is given the time that they took.
    shortest_tail: usize,
    /// Noise of two modes, flatter than normal.
    flat: bool,
    /// Standard deviation of what a point does not share with the one before it.
    fresh: f64,
    /// What came and went before.
    bursts: Vec<Burst>,
    /// Changes that the series makes to and fro by itself.
    habitual: &'a [usize],
}

/// Fourth moment by the square of the second, of residuals that are cut at four deviations: 3 of normal noise, less than 2 of two modes.
fn kurtosis(residuals: &[f64], noise: f64) -> f64 {
    let cut: Vec<f64> = residuals
        .iter()
        .map(|one| one.clamp(-4.0 * noise, 4.0 * noise))
        .collect();
    let count = cut.len().max(1) as f64;
    let mean = cut.iter().sum::<f64>() / count;
    let moment = |power: i32| cut.iter().map(|one| (one - mean).powi(power)).sum::<f64>() / count;
    moment(4) / moment(2).powi(2).max(f64::MIN_POSITIVE)
}

impl Pruning<'_> {
    /// Up and back within a few points happened to the host, not to the program: both changes go, and the stretch between
    /// belongs to what is around it.
    fn forget_events(&mut self, segments: &mut Vec<Segment>) {
        let mut lengths = Vec::new();
        let mut index = 1;
        while index + 1 < segments.len() {
            let (before, event, after) =
                (&segments[index - 1], &segments[index], &segments[index + 1]);
            let around = before.with(after);
            let apart = f64::from(around.cost - before.cost - after.cost);
            if event.to - event.from < self.settings.shortest_stay
                && apart < self.penalty * self.found.dearer
            {
                lengths.push(event.to - event.from);
                self.bursts.push(Burst {
                    points: event.to - event.from,
                    size: (event.level as f64 - around.level as f64) * self.grid.step,
                });
                let merged = before.with(event).with(after);
                segments.splice(index - 1..index + 2, [merged]);
            } else {
                index += 1;
            }
        }
        if lengths.len() >= 2 {
            let longest = lengths.iter().copied().max().unwrap_or(0);
            self.shortest_tail = self.shortest_tail.max(longest + 1);
        }
    }

    /// How much noisier the neighbourhood of a change is than the series, as a ratio of variances, at least 1.
    fn local_noise(&self, left: &Segment, right: &Segment) -> f64 {
        let change = right.from;
        let apart = |from: usize, to: usize, level: usize| {
            let cells = &self.grid.cells[from..to];
            let apart = cells
                .iter()
                .map(move |cell| cell.abs_diff(level) as f64 * self.grid.step);
            apart.collect::<Vec<f64>>()
        };
        let from = left.from.max(change.saturating_sub(NEAR));
        let mut residuals = apart(from, change, left.level);
        residuals.extend(apart(change, right.to.min(change + NEAR), right.level));
        (spread(&residuals) / self.found.noise / BY_CHANCE)
            .max(1.0)
            .powi(2)
    }

    /// The change that is least beside a slow movement, of those which the movement tells better; none in short series, where
    /// a movement is anything, and none in two modes or in points that remember each other, of which squares know little.
    fn told_by_movement(&self, judged: &[(f64, Step)]) -> Option<usize> {
        let remembers = self.found.correlation > REMEMBERED;
        if self.flat || remembers || self.logarithms.len() < SHORTEST_MOVEMENT {
            return None;
        }
        let places: Vec<usize> = judged.iter().map(|(_, step)| step.at).collect();
        let beside = |step: &Step| {
            let after = self.logarithms.len() - step.at;
            if step.at.min(after) < LEAST_SIDE || step.size.abs() > MOVES * self.found.noise {
                return None;
            }
            let beside = smooth::beside(self.logarithms, &places, step.at)?;
            let normal = self.grid.step / (beside.noise * std::f64::consts::TAU.sqrt());
            let known = if after < YOUNG { 0.0 } else { KNOWN };
            let told = (-self.found.loss.commonest).exp() < PEAKED * normal
                && beside.step < STEP_AND_MOVEMENT
                && (beside.movement > CERTAIN || beside.better > 0.0 && beside.movement > known);
            told.then_some(beside.step)
        };
        let told = judged.iter().enumerate();
        told.filter_map(|(index, (_, step))| Some((index, beside(step)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| index)
    }

    /// How strong a change is, at least 1 to stay, and the step that it would be.
    fn judge(&self, left: &Segment, right: &Segment) -> (f64, Step) {
        let dearer = self.found.dearer;
        let gain = f64::from(left.with(right).cost - left.cost - right.cost) / dearer;
        let step = self.place(left, right, gain);
        let mut strength = gain / self.penalty / self.local_noise(left, right);
        if step.placed < self.settings.placed {
            strength = strength.min(0.5);
        }
        let tail = right.to == self.logarithms.len() && right.to - right.from < self.shortest_tail;
        let points = right.to - right.from;
        let burst = right.to == self.logarithms.len()
            && self.bursts.iter().any(|burst| {
                let may_last = burst.may_last().max(self.settings.shortest_stay + OVERLAP);
                points <= may_last && burst.is_like(step.size)
            });
        let habit = burst || self.habitual.contains(&right.from);
        let small = step.size.abs() < self.settings.magnitude;
        if small || tail || habit || self.is_slope(left.from, right.from, right.to) {
            strength = 0.0;
        }
        (strength, step)
    }

    /// The place of a change between two levels, by the likelihood of each.
    fn place(&self, left: &Segment, right: &Segment, gain: f64) -> Step {
        let (costs, dearer) = if self.found.correlation > REMEMBERED {
            let value = |level: usize| self.grid.low + level as f64 * self.grid.step;
            let points = &self.logarithms[left.from..right.to];
            let levels = (value(left.level), value(right.level));
            let found = self.found;
            let costs = correlated::costs_of_places(points, levels, found.correlation, self.fresh);
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
            if here > best.1 + 1e-9 {
                best = (place, here);
            }
        }
        let (first, last) = between(&weights, total);
        let points = [(right.from - left.from), (right.to - right.from)];
        let variance: f64 = points.iter().map(|count| 1.0 / *count as f64).sum();
        Step {
            at: left.from + best.0,
            between: (left.from + first, left.from + last),
            placed: best.1,
            size: (right.level as f64 - left.level as f64) * self.grid.step,
            error: OF_MEDIAN
                * self.found.noise
                * (variance * (1.0 + self.found.correlation) / (1.0 - self.found.correlation))
                    .sqrt(),
            gain,
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

    /// Whether a slope tells the neighbourhood of a change as well as a step does, by least squares over points that are cut at
    /// four deviations.
    fn is_slope(&self, from: usize, change: usize, to: usize) -> bool {
        let (left, right) = (change - from, to - change);
        if left.min(right) < NEIGHBOURHOOD.0 {
            return false;
        }
        let (left, right) = (left.min(NEIGHBOURHOOD.1), right.min(NEIGHBOURHOOD.1));
        let near = &self.logarithms[change - left..change + right];
        let middle = median(near.to_vec());
        let apart: Vec<f64> = near.iter().map(|one| one - middle).collect();
        let most = 4.0 * spread(&apart);
        let cut: Vec<f64> = apart.iter().map(|one| one.clamp(-most, most)).collect();
        let equations = smooth::Equations::new(&cut, |index| {
            let time = index as f64 / cut.len() as f64 - 0.5;
            [1.0, f64::from(u8::from(index >= left)), time]
        });
        let both = equations.left(|_| true);
        let (step_alone, slope_alone) = (
            equations.left(|one| one != 2),
            equations.left(|one| one != 1),
        );
        let one_error = both / (cut.len() as f64 - 3.0);
        if one_error <= 0.0 {
            return false;
        }
        let step = (slope_alone - both) / one_error;
        let slope = (step_alone - both) / one_error;
        step < STEP_AND_SLOPE.0.powi(2)
            && (slope > STEP_AND_SLOPE.1.powi(2) || slope_alone < step_alone)
    }
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
