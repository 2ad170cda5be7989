//! Which changes of the cheapest path are worth a word: the weakest is taken out first, and its neighbours looked at again.

use super::density::{Loss, median, spread};
use super::explain::Explanation;
use super::habits::{self, Burst, Stay, to_and_fro};
use super::memory::Memory;
use super::path::{Grid, cheapest, stretches};
use super::place::{Placing, REMEMBERED, in_order};
use super::reading::Told;
use super::{Settings, Step, smooth};

/// Points on each side in which a slope is told from a step, and fewest of them.
const NEIGHBOURHOOD: (usize, usize) = (25, 100);
/// Standard errors: a step beside a slope that is less, where the slope beside the step is more than the second.
const STEP_AND_SLOPE: (f64, f64) = (3.0, 2.0);
/// Points on each side by which the noise about a change is told from the whole series', and how much more it may be by chance.
const NEAR: usize = 30;
const BY_CHANCE: f64 = 1.15;
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
    pub(super) from: usize,
    pub(super) to: usize,
    /// Median of its points.
    pub(super) middle: f64,
    costs: Vec<f32>,
    cost: f32,
    pub(super) level: usize,
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
        is_still: told.is_still,
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
            let left = judged.into_iter().map(|(_, step)| step);
            // One that is badly placed is there all the same: without it, those beside it would be placed badly, too.
            return in_order(left.filter(|step| step.placed >= settings.placed));
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
    is_still: bool,
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
            let known = if after < YOUNG { 0.0 } else { KNOWN };
            let told = !self.is_peaked(beside.noise)
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
        let placing = Placing {
            logarithms: self.logarithms,
            grid: self.grid,
            found: self.found,
            is_still: self.is_still,
        };
        let measured = Measured {
            step: placing.place(left, right, apart / self.found.dearer),
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
        let tail = right.to == self.logarithms.len() && right.to - right.from < self.shortest_tail;
        let points = right.to - right.from;
        let short = points <= habits::OUTLIVES.max(self.settings.shortest_stay + OVERLAP);
        let burst = right.to == self.logarithms.len()
            && short
            && self.bursts.iter().any(|burst| burst.is_like(step.size));
        let habit = burst || self.habitual.contains(&right.from);
        let small = step.size.abs() < self.settings.magnitude;
        if small || tail || habit || is_slope {
            strength = 0.0;
        }
        (strength, step)
    }

    /// Whether the noise has a higher peak than squares know of, that is than normal noise of this deviation has.
    fn is_peaked(&self, deviation: f64) -> bool {
        let normal = self.grid.step / (deviation * std::f64::consts::TAU.sqrt());
        (-self.found.loss.commonest).exp() >= PEAKED * normal
    }

    /// Whether a slope tells the neighbourhood of a change as well as a step does, by least squares over points that are cut at
    /// four deviations; never in noise of which squares know little.
    fn is_slope(&self, from: usize, change: usize, to: usize) -> bool {
        let (left, right) = (change - from, to - change);
        if self.found.flat || left.min(right) < NEIGHBOURHOOD.0 {
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
        if one_error <= 0.0 || self.is_peaked(one_error.sqrt()) {
            return false;
        }
        let step = (slope_alone - both) / one_error;
        let slope = (step_alone - both) / one_error;
        step < STEP_AND_SLOPE.0.powi(2)
            && (slope > STEP_AND_SLOPE.1.powi(2) || slope_alone < step_alone)
    }
}
