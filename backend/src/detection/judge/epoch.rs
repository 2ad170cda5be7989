//! Verdicts on the points of one epoch.

use super::super::scale::Scale;
use super::super::segments::{self, Prepared, Reading, Segmentation, Settings, Stay, Step, median};
use super::{Change, ChangePoint, Judged, Judgement, Point, State};
use crate::domain::summary::median_of_sorted;

/// Fewest predecessors in the epoch before a point is judged.
const FEWEST: usize = 3;
/// Deviations of noise that a last point must pass to be a suspect; of a series of four points half as many again and more.
const DEVIATIONS: f64 = 4.0;
/// What a series has done by itself before is not extreme: a suspect lies so many times as far out as the farthest point on either side.
const BEYOND: f64 = 2.0;
/// Widens the noise of a few points, which is known badly: by 1 + this / number.
const FEW: f64 = 4.0;
/// The newest change is told when chance explains it with less than this; with less than the last where neighbours correlate by more
/// than the second.
const BY_CHANCE: f64 = 1e-2;
const REMEMBERS: f64 = 0.4;
const STAYED_BY_CHANCE: f64 = 1e-3;
/// The floor to which the detector's smallest step refers: that of times.
const FLOOR_OF_TIMES: f64 = 0.01;

/// No level: what is to be compared.
const NONE: usize = usize::MAX;

/// The points of one epoch that have a logarithm, and what was made of them.
pub(super) struct Epoch {
    scale: Scale,
    settings: Settings,
    /// Smallest change that is worth a word, as a difference of logarithms.
    floor: f64,
    /// Index in the series of each.
    places: Vec<usize>,
    /// Deviation of each by its own samples.
    withins: Vec<f64>,
    /// The median of those that the noise was learned from.
    within: f64,
    /// The points' logarithms.
    logarithms: Vec<f64>,
    /// The same as they are read.
    reading: Reading,
    found: Segmentation,
    levels: Vec<Stay>,
    /// Of each: the first point of the level that it was compared with.
    compared: Vec<usize>,
}

impl Epoch {
    /// Without points.
    pub(super) fn new(scale: Scale, settings: &Settings) -> Self {
        let settings = Settings {
            magnitude: settings.magnitude * scale.floor / FLOOR_OF_TIMES,
            ..*settings
        };
        let mut reading = Reading::new(Prepared::new(&[], &settings), 0.0, &settings);
        Self {
            scale,
            settings,
            floor: scale.floor.ln_1p().max(settings.magnitude),
            places: Vec::new(),
            withins: Vec::new(),
            within: 0.0,
            logarithms: Vec::new(),
            found: reading.segmentation(),
            reading,
            levels: Vec::new(),
            compared: Vec::new(),
        }
    }

    /// Reads further points, the first of which is number `from` in the series.
    pub(super) fn read(&mut self, points: &[Point], from: usize) {
        let scale = self.scale;
        for (index, point) in points.iter().enumerate() {
            let value = scale.logarithm(point.value);
            // A 95 % interval is 2 x 1.96 standard deviations wide.
            let within = (scale.logarithm(point.high) - scale.logarithm(point.low)) / 3.92;
            if value.is_finite() && within.is_finite() && within >= 0.0 {
                self.places.push(from + index);
                self.logarithms.push(value);
                self.withins.push(within);
            }
        }
        let prepared = Prepared::new(&self.logarithms, &self.settings);
        if !self.reading.goes_on(&prepared) {
            self.within = median(self.withins[..prepared.learned].to_vec());
            self.reading = Reading::new(prepared, self.within, &self.settings);
            self.compared.clear();
        }
        self.found = self.reading.segmentation();
        let logarithms = &self.reading.logarithms;
        self.compared.resize(logarithms.len(), NONE);
        let ends = self.found.steps.iter().map(|step| step.at);
        let mut from = 0;
        let level = |to: usize| {
            let level = median(logarithms[from..to].to_vec());
            let stay = Stay { from, to, level };
            from = to;
            stay
        };
        self.levels = ends
            .chain(std::iter::once(logarithms.len()))
            .map(level)
            .collect();
    }

    /// Sets the judgements of its points, and adds its change points.
    pub(super) fn judge(&mut self, judged: &mut Judged) {
        let not_yet = self.returned();
        for number in 0..self.levels.len() {
            let Stay { from, to, .. } = self.levels[number];
            let mut rest = from;
            if let Some(before) = number.checked_sub(1) {
                let step = &self.found.steps[before];
                let change = self.change_of_step(step, &self.levels[before], &self.levels[number]);
                let is_told = not_yet != Some(from) && !self.is_weak(&change, to);
                judged.judgements[self.places[from]] = Judgement {
                    state: if is_told {
                        self.state_of(step.size)
                    } else {
                        State::Unchanged
                    },
                    change: Some(change.change),
                    predecessors: from - self.levels[before].from,
                };
                if is_told {
                    judged.changes.push(change);
                }
                self.compared[from] = NONE;
                rest += 1;
            }
            self.compare_all(from, rest, to, judged);
        }
        self.suspect_last(judged);
    }

    /// Compares the points of a level from `rest` to `to` with those before them, but for those that were compared with the same ones.
    fn compare_all(&mut self, begins: usize, rest: usize, to: usize, judged: &mut Judged) {
        let compared = self.compared[rest..to].iter();
        let from = rest + compared.take_while(|level| **level == begins).count();
        if from == to {
            return;
        }
        let mut before = self.reading.logarithms[begins..from].to_vec();
        if from + 1 == to {
            let level = median(before);
            judged.judgements[self.places[from]] = self.compare(from, from - begins, level);
        } else {
            before.sort_by(f64::total_cmp);
            for index in from..to {
                let level = if before.is_empty() {
                    0.0
                } else {
                    median_of_sorted(&before)
                };
                judged.judgements[self.places[index]] = self.compare(index, before.len(), level);
                let value = self.reading.logarithms[index];
                let place = before.partition_point(|other| other.total_cmp(&value).is_le());
                before.insert(place, value);
            }
        }
        self.compared[from..to].fill(begins);
    }

    fn state_of(&self, difference: f64) -> State {
        if self.scale.is_better(difference) {
            State::Improved
        } else {
            State::Regressed
        }
    }

    /// Deviation of one point about a level of so many points.
    fn deviation(&self, count: usize) -> f64 {
        let noise = self.found.noise.max(self.within);
        noise * (1.0 + 1.0 / count.max(1) as f64).sqrt()
    }

    /// How much wider noise is that few points have told.
    fn few(&self) -> f64 {
        1.0 + FEW / self.reading.learned as f64
    }

    /// What a single point must pass, as a difference of logarithms.
    fn threshold(&self, count: usize) -> f64 {
        (DEVIATIONS * self.few() * self.deviation(count)).max(self.floor)
    }

    /// A change from a level, for people: its size, how far that may be off (a standard deviation), and the noise, all differences of
    /// logarithms.
    fn told(&self, level: f64, size: f64, error: f64, threshold: f64) -> Change {
        let baseline = self.scale.value(level);
        let told = |difference: f64| self.scale.told(baseline, difference);
        Change {
            baseline,
            change: told(size),
            low: told(size - 1.96 * error),
            high: told(size + 1.96 * error),
            threshold: told(threshold),
        }
    }

    /// A level of what is read, as it is in the series beside a point: of a still series it moves with what is too small to tell.
    fn level_beside(&self, index: usize, level: f64) -> f64 {
        level + (self.logarithms[index] - self.reading.logarithms[index])
    }

    /// A point against the level of those before it.
    fn compare(&self, index: usize, predecessors: usize, level: f64) -> Judgement {
        let mut judgement = Judgement {
            state: State::TooFew,
            change: None,
            predecessors,
        };
        if index < FEWEST || predecessors == 0 {
            return judgement;
        }
        let difference = self.reading.logarithms[index] - level;
        let deviation = self.deviation(predecessors);
        judgement.state = State::Unchanged;
        let threshold = self.threshold(predecessors);
        let level = self.level_beside(index, level);
        judgement.change = Some(self.told(level, difference, deviation, threshold));
        judgement
    }

    fn change_of_step(&self, step: &Step, before: &Stay, after: &Stay) -> ChangePoint {
        let count = self.places.len();
        let first = step.between.0.clamp(before.from + 1, step.at);
        let last = step.between.1.clamp(step.at, after.to - 1);
        ChangePoint {
            at: self.places[step.at],
            between: (self.places[first - 1], self.places[last]),
            better: self.scale.is_better(step.size),
            value: self.scale.value(self.level_beside(step.at, after.level)),
            change: self.told(
                self.level_beside(step.at, before.level),
                step.size,
                step.error,
                self.threshold(step.at - before.from),
            ),
            noise: self.found.noise,
            // Twice a gain in likelihood is distributed as chi-squared, with two degrees for a level and a place; and every
            // place had its chance.
            chance: (count as f64 * (-step.gain).exp()).min(1.0),
            placed: step.placed,
            points_after: after.points(),
        }
    }

    /// How far the farthest point lies from its level, on either side; the last point is left out.
    fn farthest(&self) -> f64 {
        let values = &self.reading.logarithms;
        let mut farthest = 0.0_f64;
        for stay in &self.levels {
            for value in &values[stay.from..stay.to.min(values.len() - 1)] {
                farthest = farthest.max((value - stay.level).abs());
            }
        }
        farthest
    }

    /// The first point of the last level, when the series is back where it was, and it is too early to tell.
    fn returned(&self) -> Option<usize> {
        if self.settings.is_confirmed {
            return None;
        }
        segments::there_and_back(&self.levels)
    }

    /// Whether a change to the level at the end may be chance, or no more than a long stay: where points remember each other it takes
    /// more to tell.
    fn is_weak(&self, change: &ChangePoint, ends: usize) -> bool {
        let most = if self.found.correlation > REMEMBERS {
            STAYED_BY_CHANCE
        } else {
            BY_CHANCE
        };
        ends == self.places.len() && !self.settings.is_confirmed && change.chance > most
    }

    /// Whether the last point lies where the series has been before, and gone from, to and fro.
    fn is_habit(&self, last: usize) -> bool {
        if self.settings.is_confirmed {
            return false;
        }
        let values = &self.reading.logarithms;
        let mut stays = self.levels.clone();
        if let Some(newest) = stays.pop().filter(|newest| newest.from < last) {
            stays.push(Stay {
                to: last,
                level: median(values[newest.from..last].to_vec()),
                ..newest
            });
        }
        stays.push(Stay {
            from: last,
            to: last + 1,
            level: values[last],
        });
        segments::to_and_fro(&stays).contains(&last)
            || segments::there_and_back(&stays) == Some(last)
    }

    /// The last point, when it lies alone far from its level.
    fn suspect_last(&mut self, judged: &mut Judged) {
        // A single run of what jumps by itself says too little.
        if self.scale.jumps {
            return;
        }
        let values = &self.reading.logarithms;
        let (Some(last), Some(newest)) = (values.len().checked_sub(1), self.levels.last()) else {
            return;
        };
        let Some(change) = judged.judgements[self.places[last]].change else {
            return;
        };
        let predecessors = last - newest.from;
        if last < FEWEST || predecessors == 0 {
            return;
        }
        let level = median(values[newest.from..last].to_vec());
        let difference = values[last] - level;
        let threshold = self.threshold(predecessors);
        // Three like it would be a level: if it were one, the segments would have it.
        let is_like_it = |value: &f64| {
            let away = value - level;
            away.abs() > threshold && (away > 0.0) == (difference > 0.0)
        };
        if difference.abs() <= threshold || values[last - 2..last].iter().all(is_like_it) {
            return;
        }
        if difference.abs() <= BEYOND * self.farthest() || self.is_habit(last) {
            return;
        }
        let state = self.state_of(difference);
        judged.judgements[self.places[last]].state = state;
        judged.changes.push(ChangePoint {
            at: self.places[last],
            between: (self.places[last - 1], self.places[last]),
            better: state == State::Improved,
            value: self.scale.value(values[last]),
            change,
            noise: self.found.noise,
            chance: two_sided(difference.abs() / (self.few() * self.deviation(predecessors))),
            placed: 1.0,
            points_after: 1,
        });
        // One more point makes of it what it is.
        self.compared[last] = NONE;
    }
}

/// Probability that a normal variable lies so many deviations away on either side: the bound of Chernoff, which is never too small.
pub(super) fn two_sided(deviations: f64) -> f64 {
    (2.0 * (-deviations * deviations / 2.0).exp()).min(1.0)
}
