//! The noise of a series: its size, its correlation, and what a distance from the level costs.

use std::ops::Range;

use super::path::{Grid, stretches};

/// From a median absolute deviation to the standard deviation of a normal distribution.
const TO_DEVIATION: f64 = 1.482_602_218_505_602;
/// Most that a point costs by the bounded parabola: three standard deviations.
const BOUND: f32 = 4.5;
/// Share of points that could lie anywhere within [`ANYWHERE`] standard deviations.
const STRAY: f64 = 0.01;
const ANYWHERE: f64 = 40.0;
/// The learned density counts as much as the normal one when there are so many points.
const TRUSTED: f64 = 40.0;
/// Even parts of the most that a point costs, by which the cheaper levels are found.
const BINS: usize = 64;

/// Nats by the distance of a level from a point, in steps of the grid.
pub(super) struct Loss {
    table: Vec<f32>,
    reach: usize,
    /// First and last place in the table of what costs less than each of [`BINS`] even parts of the most.
    cheaper: Vec<(usize, usize)>,
    /// The most that a point costs.
    most: f32,
    /// Nats of the commonest distance, of which all others are told.
    pub(super) commonest: f64,
}

impl Loss {
    /// A parabola with an upper bound.
    pub(super) fn bounded(grid: &Grid, noise: f64) -> Self {
        let reach = grid.levels;
        let cost = |index: usize| {
            let deviations = (index as f64 - reach as f64) * grid.step / noise;
            ((deviations * deviations / 2.0) as f32).min(BOUND)
        };
        Self::new((0..=2 * reach).map(cost).collect(), 0.0)
    }

    fn new(table: Vec<f32>, commonest: f64) -> Self {
        let most = table.iter().copied().fold(0.0, f32::max);
        let reach = table.len() / 2;
        let mut cheaper = vec![(reach, reach); BINS + 1];
        for (place, cost) in table.iter().enumerate().filter(|(_, cost)| **cost < most) {
            let (first, last) = &mut cheaper[bin(*cost, most)];
            (*first, *last) = (place.min(*first), place.max(*last));
        }
        for index in 1..cheaper.len() {
            let (first, last) = cheaper[index - 1];
            let here = &mut cheaper[index];
            *here = (first.min(here.0), last.max(here.1));
        }
        Self {
            table,
            reach,
            cheaper,
            most,
            commonest,
        }
    }

    /// All levels that cost a point less than `cost`, and maybe some that do not.
    pub(super) fn cheaper_than(&self, cost: f32, cell: usize) -> Range<usize> {
        let (first, last) = self.cheaper[bin(cost, self.most)];
        let level = |place: usize| (place + cell).saturating_sub(self.reach);
        level(first)..level(last) + 1
    }

    /// The residuals' own density, smoothed by Silverman's rule, mixed with a normal one (which a few points know better) and
    /// a share that could lie anywhere (which bounds the cost).
    pub(super) fn learned(grid: &Grid, residuals: &[f64], noise: f64) -> Self {
        let reach = grid.levels;
        let count = residuals.len() as f64;
        let mut counts = vec![0.0; 2 * reach + 1];
        for residual in residuals {
            // A level lies at minus the residual from its point.
            let index = (reach as f64 - residual / grid.step).round();
            if let Some(one) = counts.get_mut(index.max(0.0) as usize) {
                *one += 1.0 / count;
            }
        }
        let width = (0.72 * noise * count.powf(-0.2)).max(grid.step);
        let smooth = smoothed(&counts, width / grid.step);
        let trust = count / (count + TRUSTED);
        let normal = grid.step / (noise * std::f64::consts::TAU.sqrt());
        let anywhere = grid.step / (ANYWHERE * noise);
        let density: Vec<f64> = smooth
            .iter()
            .enumerate()
            .map(|(index, learned)| {
                let deviations = (index as f64 - reach as f64) * grid.step / noise;
                let normal = normal * (-deviations * deviations / 2.0).exp();
                let mixed = trust * learned + (1.0 - trust) * normal;
                (1.0 - STRAY) * mixed + STRAY * anywhere
            })
            .collect();
        let peak = density.iter().copied().fold(0.0, f64::max);
        let table = density.iter().map(|one| (peak / one).ln() as f32).collect();
        Self::new(table, -peak.ln())
    }

    /// The costs of all levels for a point.
    pub(super) fn row(&self, cell: usize, levels: usize) -> &[f32] {
        let from = self.reach - cell;
        &self.table[from..from + levels]
    }
}

/// In which of the even parts of the most a cost lies.
fn bin(cost: f32, most: f32) -> usize {
    ((cost / most.max(f32::MIN_POSITIVE) * BINS as f32) as usize).min(BINS)
}

/// Counts under a normal kernel of that width, in cells.
fn smoothed(counts: &[f64], width: f64) -> Vec<f64> {
    let reach = (4.0 * width).ceil() as usize;
    let kernel: Vec<f64> = (0..=2 * reach)
        .map(|index| (-((index as f64 - reach as f64) / width).powi(2) / 2.0).exp())
        .collect();
    let sum: f64 = kernel.iter().sum();
    let mut smooth = vec![0.0; counts.len()];
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        for (index, weight) in kernel.iter().enumerate() {
            let target = (place + index).checked_sub(reach);
            if let Some(one) = target.and_then(|target| smooth.get_mut(target)) {
                *one += count * weight / sum;
            }
        }
    }
    smooth
}

/// Median, 0 of nothing; without sorting more than it needs.
pub(in crate::detection) fn median(values: Vec<f64>) -> f64 {
    let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return 0.0;
    }
    let mut ranks: Vec<i64> = values.into_iter().map(rank).collect();
    let (below, upper, _) = ranks.select_nth_unstable(middle);
    let upper = ranked(*upper);
    match below.iter().max() {
        // Halved first, so that huge ones do not overflow.
        Some(lower) if !is_odd => ranked(*lower) / 2.0 + upper / 2.0,
        Some(_) | None => upper,
    }
}

/// The value below which that share of the values lies, 0 of nothing.
pub(super) fn quantile(values: Vec<f64>, share: f64) -> f64 {
    let mut ranks: Vec<i64> = values.into_iter().map(rank).collect();
    let Some(last) = ranks.len().checked_sub(1) else {
        return 0.0;
    };
    let place = (share * last as f64) as usize;
    ranked(*ranks.select_nth_unstable(place.min(last)).1)
}

/// A whole number by which numbers are ordered as by [`f64::total_cmp`], which makes it anew for each comparison.
fn rank(value: f64) -> i64 {
    flipped(value.to_bits().cast_signed())
}

fn ranked(rank: i64) -> f64 {
    f64::from_bits(flipped(rank).cast_unsigned())
}

/// The bits behind the sign turned over where it is set; twice is as before.
fn flipped(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The noise by differences of neighbours, of which a step moves one only.
pub(super) fn of_neighbours(logarithms: &[f64]) -> f64 {
    let differences = logarithms.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    median(differences.collect()) * TO_DEVIATION / std::f64::consts::SQRT_2
}

/// The noise by residuals.
pub(super) fn spread(residuals: &[f64]) -> f64 {
    median(residuals.iter().map(|one| one.abs()).collect()) * TO_DEVIATION
}

/// Each point less the median of its segment.
pub(super) fn residuals(logarithms: &[f64], changes: &[usize]) -> Vec<f64> {
    let mut residuals = Vec::with_capacity(logarithms.len());
    for (from, to) in stretches(changes, logarithms.len()) {
        let level = median(logarithms[from..to].to_vec());
        residuals.extend(logarithms[from..to].iter().map(|one| one - level));
    }
    residuals
}

/// Correlation of neighbouring residuals, cut at three deviations; 0 where chance alone gives as much, at most 0.95.
pub(super) fn correlation(residuals: &[f64], noise: f64) -> f64 {
    if residuals.len() < 10 {
        return 0.0;
    }
    let cut: Vec<f64> = residuals
        .iter()
        .map(|one| one.clamp(-3.0 * noise, 3.0 * noise))
        .collect();
    let mean = cut.iter().sum::<f64>() / cut.len() as f64;
    let variance: f64 = cut.iter().map(|one| (one - mean).powi(2)).sum();
    let together = cut
        .windows(2)
        .map(|pair| (pair[0] - mean) * (pair[1] - mean));
    let correlation = together.sum::<f64>() / variance.max(f64::MIN_POSITIVE);
    let chance = 2.0 / (cut.len() as f64).sqrt();
    if correlation < chance {
        0.0
    } else {
        correlation.min(0.95)
    }
}

/// Fourth moment by the square of the second, of residuals that are cut at four deviations: 3 of normal noise, less than 2 of two modes.
pub(super) fn kurtosis(residuals: &[f64], noise: f64) -> f64 {
    let cut: Vec<f64> = residuals
        .iter()
        .map(|one| one.clamp(-4.0 * noise, 4.0 * noise))
        .collect();
    let count = cut.len().max(1) as f64;
    let mean = cut.iter().sum::<f64>() / count;
    let moment = |power: i32| cut.iter().map(|one| (one - mean).powi(power)).sum::<f64>() / count;
    moment(4) / moment(2).powi(2).max(f64::MIN_POSITIVE)
}

/// How much less correlated points say of a level: the variance of their mean is (1 + r) / (1 - r) times as large. Beyond 0.6 the
/// noise is no longer one that remembers its last point only, and changes are dearer still.
pub(super) fn dearer(correlation: f64) -> f64 {
    (1.0 + correlation) / (1.0 - correlation) * (1.0 + 4.0 * (correlation - 0.6).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_sorted_values() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![2.0; 8]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(median(vec![f64::NAN, 1.0, 2.0]), 2.0);
    }
}
