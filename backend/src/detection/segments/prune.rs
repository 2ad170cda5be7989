//! Which changes of the cheapest path are worth a word: the weakest is taken out first, and its neighbours looked at again.

use super::density::{Loss, median, spread};
use super::explain::Explanation;
use super::habits::{self, Burst, Stay, to_and_fro};
use super::memory::Memory;
use super::path::{Grid, cheapest, stretches};
use super::reading::Told;
use super::{Settings, Step, correlated, smooth};

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
/// Noise with a peak so many times as high as normal noise has is none of which squares know.
const PEAKED: f64 = 1.3;
/// A median's standard error, relative to a mean's, of normal noise.
const OF_MEDIAN: f64 = 1.253_314_137_315_5;

/// What two neighbouring segments say of the change between them, wherever in the series they lie.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    step: Step,
    /// How much noisier its neighbourhood is than the series, as a ratio of variances, at least 1.
    noisier: f64,
    is_slope: bool,
}

/// A segment with what each level would cost it.
#[derive(Clone)]
pub(super) struct Segment {
    from: usize,
    to: usize,
    /// Median of its points.
    middle: f64,
    costs: Vec<f32>,
    cost: f32,
    level: usize,
}

impl Segment {
    fn new(logarithms: &[f64], grid: &Grid, loss: &Loss, (from, to): (usize, usize)) -> Self {
        let costs = grid.costs(loss, from..to);
        let (cost, level) = cheapest(&costs);
        Self {
            from,
            to,
            middle: median(logarithms[from..to].to_vec()),
            costs,
            cost,
            level,
        }
    }

    /// The least cost of both at one level.
    fn cost_with(&self, other: &Self) -> (f32, usize) {
        let both = self.costs.iter().zip(&other.costs);
        cheapest(&both.map(|(a, b)| a + b).collect::<Vec<f32>>())
    }
}

/// The steps that are left.
pub(super) fn prune(
    logarithms: &[f64],
    told: &Told,
    settings: &Settings,
    memory: &mut Memory,
) -> Vec<Step> {
    memory.turn();
    let mut pruning = Pruning {
        logarithms,
        grid: &told.grid,
        found: &told.explanation,
        penalty: told.penalty,
        settings,
        shortest_tail: settings.shortest_tail,
        bursts: Vec::new(),
        habitual: Vec::new(),
        memory,
    };
    let mut segments: Vec<Segment> = stretches(&told.explanation.changes, logarithms.len())
        .map(|stretch| pruning.segment(stretch))
        .collect();
    pruning.look_back(&segments, &told.habitual);
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
            return in_order(judged.into_iter().map(|(_, step)| step));
        };
        let merged = pruning.segment((segments[index].from, segments[index + 1].to));
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
    /// What came and went before.
    bursts: Vec<Burst>,
    /// Changes that the series makes to and fro by itself.
    habitual: Vec<usize>,
    memory: &'a mut Memory,
}

impl Pruning<'_> {
    fn segment(&mut self, stretch: (usize, usize)) -> Segment {
        let new =
            |stretch: &_| Segment::new(self.logarithms, self.grid, &self.found.loss, *stretch);
        self.memory.segments.ask(stretch, new)
    }

    /// What the series has done by itself: bursts that no change of level told, and habits, of this explanation and of another.
    fn look_back(&mut self, segments: &[Segment], habitual: &[usize]) {
        let mut residuals = Vec::with_capacity(self.logarithms.len());
        for one in segments {
            let points = &self.logarithms[one.from..one.to];
            residuals.extend(points.iter().map(|point| point - one.middle));
        }
        self.bursts = habits::bursts(&residuals, self.found.noise);
        if !self.settings.is_confirmed {
            let stay = |one: &Segment| Stay {
                from: one.from,
                to: one.to,
                level: one.middle,
            };
            self.habitual = to_and_fro(&segments.iter().map(stay).collect::<Vec<Stay>>());
            self.habitual.extend(habitual);
        }
    }

    /// Up and back within a few points happened to the host, not to the program: both changes go, and the stretch between
    /// belongs to what is around it.
    fn forget_events(&mut self, segments: &mut Vec<Segment>) {
        let mut lengths = Vec::new();
        let mut index = 1;
        while index + 1 < segments.len() {
            let (before, event, after) =
                (&segments[index - 1], &segments[index], &segments[index + 1]);
            let (around, level) = before.cost_with(after);
            let apart = f64::from(around - before.cost - after.cost);
            if event.to - event.from < self.settings.shortest_stay
                && apart < self.penalty * self.found.dearer
            {
                lengths.push(event.to - event.from);
                self.bursts.push(Burst {
                    points: event.to - event.from,
                    size: (event.level as f64 - level as f64) * self.grid.step,
                });
                let whole = (before.from, after.to);
                let merged = self.segment(whole);
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
    fn told_by_movement(&mut self, judged: &[(f64, Step)]) -> Option<usize> {
        let remembers = self.found.correlation > REMEMBERED;
        if self.found.flat || remembers || self.logarithms.len() < SHORTEST_MOVEMENT {
            return None;
        }
        let places: Vec<usize> = judged.iter().map(|(_, step)| step.at).collect();
        let mut beside = |step: &Step| {
            let after = self.logarithms.len() - step.at;
            if step.at.min(after) < LEAST_SIDE || step.size.abs() > MOVES * self.found.noise {
                return None;
            }
            let question = smooth::Question::new(self.logarithms.len(), &places, step.at);
            let answer = |question: &smooth::Question| question.answer(self.logarithms);
            let beside = self.memory.beside.ask(question, answer)?;
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

    /// What two segments say of the change between them.
    fn measure(&mut self, left: &Segment, right: &Segment) -> Measured {
        let question = (left.from, right.from, right.to);
        if let Some(known) = self.memory.measured.known(&question) {
            return known;
        }
        let apart = f64::from(left.cost_with(right).0 - left.cost - right.cost);
        let measured = Measured {
            step: self.place(left, right, apart / self.found.dearer),
            noisier: self.local_noise(left, right),
            is_slope: self.is_slope(left.from, right.from, right.to),
        };
        self.memory.measured.learn(question, measured)
    }

    /// How strong a change is, at least 1 to stay, and the step that it would be.
    fn judge(&mut self, left: &Segment, right: &Segment) -> (f64, Step) {
        let Measured {
            step,
            noisier,
            is_slope,
        } = self.measure(left, right);
        let mut strength = step.gain / self.penalty / noisier;
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
        if small || tail || habit || is_slope {
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
        let equations = smooth::Equations::<3>::new(&cut, 1, &[left]);
        let both = equations.left(|_| true);
        let (step_alone, slope_alone) = (
            equations.left(|one| one != 1),
            equations.left(|one| one != 2),
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

/// Steps without those whose likeliest places are not behind the place of the one before: of two that close, one is told.
fn in_order(steps: impl Iterator<Item = Step>) -> Vec<Step> {
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
