//! Verdicts on every point of a series, and its change points: segments within each epoch, and a suspicion about the last point.
//!
//! Values are compared as logarithms, so that a change is a ratio and 2 % up undoes 2 % down. Epochs are never looked across. Within
//! an epoch the levels and the noise are those of [`segments`]; the whole epoch is read again whenever a point comes, so a verdict
//! may change with what follows it. A single point at the end is no segment: far from its level it is a suspect, which is measured
//! again before anyone hears of it. `docs/detection.md` tells the whole with its limits.

use super::segments::{self, Segmentation, Settings, Stay, Step};
use crate::domain::summary::median_of_sorted;

/// Fewest predecessors in the epoch before a point is judged.
const FEWEST: usize = 3;
/// Deviations of noise that a last point must pass to be a suspect; of a series of four points half as many again and more.
const DEVIATIONS: f64 = 4.0;
/// What a series has done by itself before is not extreme: a suspect lies so many times as far out as the farthest point on either side.
const BEYOND: f64 = 2.0;
/// Widens the noise of a few points, which is known badly: by 1 + this / number.
const FEW: f64 = 4.0;
/// Where neighbours correlate by more than the first, the newest change is told when chance explains it with less than the second.
const REMEMBERS: f64 = 0.4;
const STAYED_BY_CHANCE: f64 = 1e-3;
/// The floor to which the detector's smallest step refers: that of times.
const FLOOR_OF_TIMES: f64 = 0.01;

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

impl Scale {
    fn shift(&self) -> f64 {
        if self.zero_is_a_value { 1.0 } else { 0.0 }
    }

    fn is_better(&self, difference: f64) -> bool {
        (difference > 0.0) == self.higher_is_better
    }
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
    let mut judged = Judged {
        judgements: vec![
            Judgement {
                state: State::TooFew,
                change: None,
                predecessors: 0,
            };
            points.len()
        ],
        changes: Vec::new(),
    };
    let mut from = 0;
    for epoch in points.chunk_by(|a, b| a.epoch == b.epoch) {
        Epoch::read(epoch, from, scale, settings).judge(&mut judged);
        from += epoch.len();
    }
    judged
}

/// The points of one epoch that have a logarithm.
struct Epoch {
    scale: Scale,
    /// Index in the series of each.
    places: Vec<usize>,
    logarithms: Vec<f64>,
    /// Median deviation of a point by its own samples.
    within: f64,
    /// Smallest change that is worth a word, as a difference of logarithms.
    floor: f64,
    /// One of the series' steps was shown by measuring again: it goes by its commits, and by no habit.
    is_confirmed: bool,
    found: Segmentation,
}

impl Epoch {
    fn read(points: &[Point], from: usize, scale: Scale, settings: &Settings) -> Self {
        let shift = scale.shift();
        let mut places = Vec::new();
        let mut logarithms = Vec::new();
        let mut withins = Vec::new();
        for (index, point) in points.iter().enumerate() {
            let value = (point.value + shift).ln();
            // A 95 % interval is 2 x 1.96 standard deviations wide.
            let within = ((point.high + shift).ln() - (point.low + shift).ln()) / 3.92;
            if value.is_finite() && within.is_finite() && within >= 0.0 {
                places.push(from + index);
                logarithms.push(value);
                withins.push(within);
            }
        }
        let within = median(withins).unwrap_or(0.0);
        let settings = Settings {
            magnitude: settings.magnitude * scale.floor / FLOOR_OF_TIMES,
            ..*settings
        };
        let found = segments::find(&logarithms, within, &settings);
        Self {
            scale,
            places,
            logarithms,
            within,
            floor: scale.floor.ln_1p().max(settings.magnitude),
            is_confirmed: settings.is_confirmed,
            found,
        }
    }

    /// First and one past the last index of each level.
    fn levels(&self) -> Vec<(usize, usize)> {
        let mut ends: Vec<usize> = self.found.steps.iter().map(|step| step.at).collect();
        ends.push(self.logarithms.len());
        let mut begins = 0;
        let level = |end: usize| {
            let level = (begins, end);
            begins = end;
            level
        };
        ends.into_iter().map(level).collect()
    }

    fn judge(&self, judged: &mut Judged) {
        let levels = self.levels();
        let not_yet = self.returned(&levels);
        for (number, (begins, ends)) in levels.iter().enumerate() {
            let first = *begins;
            if number > 0 {
                let step = &self.found.steps[number - 1];
                let change = self.change_of_step(step, levels[number - 1], (first, *ends));
                let is_told = not_yet != Some(first) && !self.is_weak(&change, *ends);
                judged.judgements[self.places[first]] = Judgement {
                    state: if is_told {
                        self.state_of(step.size)
                    } else {
                        State::Unchanged
                    },
                    change: Some(change.change),
                    predecessors: first - levels[number - 1].0,
                };
                if is_told {
                    judged.changes.push(change);
                }
            }
            let rest = if number > 0 { first + 1 } else { first };
            let mut before = self.logarithms[first..rest].to_vec();
            for index in rest..*ends {
                judged.judgements[self.places[index]] = self.compare(index, &before);
                let value = self.logarithms[index];
                let place = before.partition_point(|other| other.total_cmp(&value).is_le());
                before.insert(place, value);
            }
        }
        self.suspect_last(levels.last().map_or(0, |level| level.0), judged);
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

    /// What a single point must pass, as a difference of logarithms.
    fn threshold(&self, count: usize) -> f64 {
        let few = 1.0 + FEW / self.logarithms.len() as f64;
        (DEVIATIONS * few * self.deviation(count)).max(self.floor)
    }

    /// The median of a stretch, in the metric's unit.
    fn level(&self, begins: usize, ends: usize) -> f64 {
        let level = median(self.logarithms[begins..ends].to_vec()).unwrap_or(0.0);
        level.exp() - self.scale.shift()
    }

    /// A point of a level against those before it, which are sorted.
    fn compare(&self, index: usize, before: &[f64]) -> Judgement {
        let predecessors = before.len();
        let mut judgement = Judgement {
            state: State::TooFew,
            change: None,
            predecessors,
        };
        if index < FEWEST || before.is_empty() {
            return judgement;
        }
        let level = median_of_sorted(before);
        let difference = self.logarithms[index] - level;
        let deviation = self.deviation(predecessors);
        judgement.state = State::Unchanged;
        judgement.change = Some(Change {
            baseline: level.exp() - self.scale.shift(),
            change: difference.exp_m1(),
            low: (difference - 1.96 * deviation).exp_m1(),
            high: (difference + 1.96 * deviation).exp_m1(),
            threshold: self.threshold(predecessors).exp_m1(),
        });
        judgement
    }

    fn change_of_step(
        &self,
        step: &Step,
        before: (usize, usize),
        after: (usize, usize),
    ) -> ChangePoint {
        let count = self.logarithms.len();
        let first = step.between.0.clamp(before.0 + 1, step.at);
        let last = step.between.1.clamp(step.at, after.1 - 1);
        ChangePoint {
            at: self.places[step.at],
            between: (self.places[first - 1], self.places[last]),
            better: self.scale.is_better(step.size),
            value: self.level(after.0, after.1),
            change: Change {
                baseline: self.level(before.0, before.1),
                change: step.size.exp_m1(),
                low: (step.size - 1.96 * step.error).exp_m1(),
                high: (step.size + 1.96 * step.error).exp_m1(),
                threshold: self.threshold(step.at - before.0).exp_m1(),
            },
            noise: self.found.noise,
            // Twice a gain in likelihood is distributed as chi-squared, with two degrees for a level and a place; and every
            // place had its chance.
            chance: (count as f64 * (-step.gain).exp()).min(1.0),
            placed: step.placed,
            points_after: after.1 - after.0,
        }
    }

    /// How far the farthest point lies from its level, on either side; the last point is left out.
    fn farthest(&self) -> f64 {
        let mut farthest = 0.0_f64;
        for (begins, ends) in self.levels() {
            let level = median(self.logarithms[begins..ends].to_vec()).unwrap_or(0.0);
            let ends = ends.min(self.logarithms.len() - 1);
            for value in &self.logarithms[begins..ends] {
                farthest = farthest.max((value - level).abs());
            }
        }
        farthest
    }

    /// What the series stays at, as far as `last`, which is left out.
    fn stays(&self, levels: &[(usize, usize)], last: usize) -> Vec<Stay> {
        let stay = |(from, to): &(usize, usize)| {
            let (from, to) = (*from, (*to).min(last));
            let level = median(self.logarithms[from..to].to_vec())?;
            Some(Stay { from, to, level })
        };
        levels.iter().filter_map(stay).collect()
    }

    /// The first point of the last level, when the series is back where it was, and it is too early to tell.
    fn returned(&self, levels: &[(usize, usize)]) -> Option<usize> {
        if self.is_confirmed {
            return None;
        }
        segments::there_and_back(&self.stays(levels, self.logarithms.len()))
    }

    /// Whether a change to the level at the end may be no more than a long stay: where points remember each other it takes more to tell.
    fn is_weak(&self, change: &ChangePoint, ends: usize) -> bool {
        ends == self.logarithms.len()
            && !self.is_confirmed
            && self.found.correlation > REMEMBERS
            && change.chance > STAYED_BY_CHANCE
    }

    /// Whether the last point lies where the series has been before, and gone from, to and fro.
    fn is_habit(&self, last: usize) -> bool {
        if self.is_confirmed {
            return false;
        }
        let mut stays = self.stays(&self.levels(), last);
        stays.push(Stay {
            from: last,
            to: last + 1,
            level: self.logarithms[last],
        });
        segments::to_and_fro(&stays).contains(&last)
            || segments::there_and_back(&stays) == Some(last)
    }

    /// The last point, when it lies alone far from its level.
    fn suspect_last(&self, begins: usize, judged: &mut Judged) {
        let Some(last) = self.logarithms.len().checked_sub(1) else {
            return;
        };
        let Some(change) = judged.judgements[self.places[last]].change else {
            return;
        };
        let predecessors = last - begins;
        let Some(level) = median(self.logarithms[begins..last].to_vec()) else {
            return;
        };
        let difference = self.logarithms[last] - level;
        let threshold = self.threshold(predecessors);
        if last < FEWEST || difference.abs() <= threshold {
            return;
        }
        // Three like it would be a level: if it were one, the segments would have it.
        let is_like_it = |value: &f64| {
            let away = value - level;
            away.abs() > threshold && (away > 0.0) == (difference > 0.0)
        };
        if self.logarithms[last - 2..last].iter().all(is_like_it) {
            return;
        }
        if difference.abs() <= BEYOND * self.farthest() || self.is_habit(last) {
            return;
        }
        let few = 1.0 + FEW / self.logarithms.len() as f64;
        let state = self.state_of(difference);
        judged.judgements[self.places[last]].state = state;
        judged.changes.push(ChangePoint {
            at: self.places[last],
            between: (self.places[last - 1], self.places[last]),
            better: state == State::Improved,
            value: self.logarithms[last].exp() - self.scale.shift(),
            change,
            noise: self.found.noise,
            chance: two_sided(difference.abs() / (few * self.deviation(predecessors))),
            placed: 1.0,
            points_after: 1,
        });
    }
}

/// Probability that a normal variable lies so many deviations away on either side: the bound of Chernoff, which is never too small.
fn two_sided(deviations: f64) -> f64 {
    (2.0 * (-deviations * deviations / 2.0).exp()).min(1.0)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| median_of_sorted(&values))
}

#[cfg(test)]
mod tests;
