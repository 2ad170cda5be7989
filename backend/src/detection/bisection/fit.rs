//! How well one step, or two, explain what was measured: a level before and a level after for each group of comparable readings.

use super::Reading;

/// Share of commits whose measured value may lie anywhere: a host that was disturbed, a build with an unlucky layout. It bounds
/// what a single commit can say, so that a wrong one is survived.
const STRAY: f64 = 0.02;
/// The same for the two ends: each is measured several times, and everything else is compared with them.
const STRAY_END: f64 = 1e-8;
/// Share of the variance that repeated runs of one build do not take away: what a build adds of its own.
const SHARED: f64 = 0.2;
/// Passes that refine a level.
const PASSES: usize = 2;

/// What was measured at one commit in one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datum {
    pub(super) index: usize,
    group: usize,
    /// Median of its runs.
    value: f64,
    /// Deviation of that median about the level.
    deviation: f64,
    /// Density of a stray value here.
    stray: f64,
    /// One of the ends of the stretch.
    anchor: bool,
}

/// The readings of a stretch of commits.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    /// By index.
    data: Vec<Datum>,
    /// Measured indices, ascending, without doubles.
    pub(super) places: Vec<usize>,
    groups: usize,
}

/// The deviation of one run: what was expected, raised when repeated runs of one commit scatter more. One that scatters
/// widely counts as if by three deviations, so that it does not hide what the others say.
pub(super) fn deviation(readings: &[Reading], expected: f64) -> f64 {
    const KNOWN: f64 = 10.0;
    let mut sorted: Vec<&Reading> = readings.iter().collect();
    sorted.sort_by_key(|one| (one.group, one.index));
    let (mut squares, mut freedom) = (0.0, 0.0);
    for same in sorted.chunk_by(|a, b| (a.group, a.index) == (b.group, b.index)) {
        if same.len() < 2 {
            continue;
        }
        let mut values: Vec<f64> = same.iter().map(|one| one.value).collect();
        let centre = median(&mut values);
        let own = values.len() as f64 - 1.0;
        let far = |value: &f64| ((value - centre) / expected).powi(2);
        squares += values.iter().map(far).sum::<f64>().min(own * 9.0);
        freedom += own;
    }
    expected * ((KNOWN + squares) / (KNOWN + freedom)).sqrt().max(1.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

impl Fit {
    /// The readings with an index in `low..=high`; `sigma`: deviation of one run.
    pub(super) fn new(readings: &[Reading], low: usize, high: usize, sigma: f64) -> Self {
        let mut within: Vec<&Reading> = readings
            .iter()
            .filter(|one| (low..=high).contains(&one.index))
            .collect();
        within.sort_by_key(|one| (one.index, one.group));
        let mut data = Vec::new();
        for same in within.chunk_by(|a, b| (a.group, a.index) == (b.group, b.index)) {
            let mut values: Vec<f64> = same.iter().map(|one| one.value).collect();
            data.push(Datum {
                index: same[0].index,
                group: same[0].group,
                value: median(&mut values),
                deviation: sigma * (SHARED + (1.0 - SHARED) / values.len() as f64).sqrt(),
                stray: STRAY,
                anchor: same[0].index == low || same[0].index == high,
            });
        }
        let mut places: Vec<usize> = data.iter().map(|one| one.index).collect();
        places.dedup();
        let groups = data.iter().map(|one| one.group + 1).max().unwrap_or(0);
        let widest = (0..groups)
            .map(|group| {
                let of = data.iter().filter(|one| one.group == group);
                let (low, high) = of.fold((f64::MAX, f64::MIN), |(low, high), one| {
                    (low.min(one.value), high.max(one.value))
                });
                (high - low).max(0.0)
            })
            .fold(0.0, f64::max);
        for one in &mut data {
            let share = if one.anchor { STRAY_END } else { STRAY };
            one.stray = share / (widest + 6.0 * sigma);
        }
        Self {
            data,
            places,
            groups,
        }
    }

    /// The data whose index lies in `from..to`.
    fn slice(&self, from: usize, to: usize) -> &[Datum] {
        let begin = self.data.partition_point(|one| one.index < from);
        let end = self.data.partition_point(|one| one.index < to);
        &self.data[begin..end.max(begin)]
    }

    fn density(&self, datum: &Datum, level: f64) -> f64 {
        let far = (datum.value - level) / datum.deviation;
        (1.0 - STRAY) * (-0.5 * far * far).exp() / (datum.deviation * std::f64::consts::TAU.sqrt())
    }

    /// The level of a group in `from..to`: that of the end within, else the weighted median; then means that strays hardly count in.
    pub(super) fn level(&self, group: usize, from: usize, to: usize) -> Option<f64> {
        let own = || {
            self.slice(from, to)
                .iter()
                .filter(move |one| one.group == group)
        };
        let mut sorted: Vec<&Datum> = own().collect();
        sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
        let weight = |one: &Datum| one.deviation.powi(-2);
        let half = sorted.iter().map(|one| weight(one)).sum::<f64>() / 2.0;
        let mut passed = 0.0;
        let first = sorted.iter().find(|one| {
            passed += weight(one);
            passed >= half * (1.0 - 1e-9)
        });
        let mut level = own().find(|one| one.anchor).or(first.copied())?.value;
        for _ in 0..PASSES {
            let (mut sum, mut total) = (0.0, 0.0);
            for one in own() {
                let here = self.density(one, level);
                let share = weight(one) * here / (here + one.stray);
                sum += share * (one.value - level);
                total += share;
            }
            if total > 0.0 {
                level += sum / total;
            }
        }
        Some(level)
    }

    /// Logarithm of the likelihood of the data in `from..to` as one level for each group.
    pub(super) fn score(&self, from: usize, to: usize) -> f64 {
        let mut score = 0.0;
        for group in 0..self.groups {
            let Some(level) = self.level(group, from, to) else {
                continue;
            };
            let of = self.slice(from, to).iter().filter(|one| one.group == group);
            score += of
                .map(|one| (self.density(one, level) + one.stray).ln())
                .sum::<f64>();
        }
        score
    }

    /// The step between the levels of `low..cut` and `cut..=high`: mean over the groups that have both, with its deviation;
    /// `None` when no group has.
    pub(super) fn step(&self, low: usize, cut: usize, high: usize) -> Option<(f64, f64)> {
        self.difference((low, cut), (cut, high + 1))
    }

    /// As [`Fit::step`], of the first index and the last alone.
    pub(super) fn step_between(&self, last: usize) -> Option<(f64, f64)> {
        self.difference((0, 1), (last, last + 1))
    }

    fn difference(&self, first: (usize, usize), second: (usize, usize)) -> Option<(f64, f64)> {
        let (mut sum, mut total) = (0.0, 0.0);
        for group in 0..self.groups {
            let before = self.level(group, first.0, first.1);
            let after = self.level(group, second.0, second.1);
            let (Some(before), Some(after)) = (before, after) else {
                continue;
            };
            let variance_of = |(from, to)| {
                let of = self.slice(from, to).iter().filter(|one| one.group == group);
                of.map(|one| one.deviation.powi(-2)).sum::<f64>().recip()
            };
            let variance = variance_of(first) + variance_of(second);
            sum += (after - before) / variance;
            total += variance.recip();
        }
        (total > 0.0).then(|| (sum / total, total.powf(-0.5)))
    }

    /// How much more the data at an index look like the end after than like the end before, as a probability.
    pub(super) fn likeness(&self, index: usize, last: usize) -> Option<f64> {
        let mut ratio: Option<f64> = None;
        for one in self.slice(index, index + 1) {
            let before = self.level(one.group, 0, 1);
            let after = self.level(one.group, last, last + 1);
            if let (Some(before), Some(after)) = (before, after) {
                let here = (self.density(one, after) + one.stray).ln()
                    - (self.density(one, before) + one.stray).ln();
                ratio = Some(ratio.unwrap_or(0.0) + here);
            }
        }
        ratio.map(|ratio| 1.0 / (1.0 + (-ratio).exp()))
    }

    /// The measured indices of a level of its own between two others, when that explains the data better than one step by more
    /// than `gain` (of logarithms), and both steps are at least `smallest` of the whole. The first and the last measured index are
    /// the levels' anchors.
    pub(super) fn plateau(
        &self,
        low: usize,
        high: usize,
        gain: f64,
        smallest: f64,
    ) -> Option<(usize, usize)> {
        let places = &self.places;
        if places.len() < 3 {
            return None;
        }
        let ends: Vec<f64> = places
            .iter()
            .map(|cut| self.score(*cut, high + 1))
            .collect();
        let begins: Vec<f64> = places.iter().map(|cut| self.score(low, *cut)).collect();
        let single = (1..places.len())
            .map(|at| begins[at] + ends[at])
            .fold(f64::MIN, f64::max);
        let mut best: Option<(f64, usize, usize)> = None;
        for first in 1..places.len() - 1 {
            for last in first + 1..places.len() {
                let score = begins[first] + self.score(places[first], places[last]) + ends[last];
                // One that explains more but is too small must not hide another that is not.
                if score > single + gain
                    && best.is_none_or(|(known, ..)| score > known)
                    && self.is_large(low, (places[first], places[last]), high, smallest)
                {
                    best = Some((score, first, last));
                }
            }
        }
        best.map(|(_, first, last)| (places[first], places[last - 1]))
    }

    /// Whether both steps of a level of its own, from the first index to before the second, are at least `smallest` of the whole.
    fn is_large(&self, low: usize, (from, to): (usize, usize), high: usize, smallest: f64) -> bool {
        let up = self.step(low, from, to - 1);
        let down = self.step(from, to, high);
        let (Some((up, _)), Some((down, _))) = (up, down) else {
            return false;
        };
        let whole = (up + down).abs().max(up.abs()).max(down.abs());
        up.abs().min(down.abs()) >= smallest * whole
    }
}
