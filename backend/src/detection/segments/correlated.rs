//! Noise that remembers its last point: what is new in each point says where a change lies, and what a series costs to tell.

use super::LEAST_NOISE;
use super::density::spread;

/// Most that a point costs: three standard deviations.
const BOUND: f64 = 4.5;

/// Nats of one point that lies so many deviations away.
fn cost(deviations: f64) -> f64 {
    (deviations * deviations / 2.0).min(BOUND)
}

/// What is new in each residual but the first, which has no predecessor.
fn innovations(residuals: &[f64], correlation: f64) -> Vec<f64> {
    residuals
        .windows(2)
        .map(|pair| pair[1] - correlation * pair[0])
        .collect()
}

/// Standard deviation of what a point does not share with the one before it; `noise` where nothing is shared.
pub(super) fn fresh_noise(residuals: &[f64], noise: f64, correlation: f64) -> f64 {
    if correlation > 0.0 {
        spread(&innovations(residuals, correlation)).clamp(LEAST_NOISE, noise.max(LEAST_NOISE))
    } else {
        noise
    }
}

/// Nats by which a series is cheaper to tell, each point from the one before it, than each by itself; at most 0.
pub(super) fn saved(residuals: &[f64], noise: f64, correlation: f64) -> f64 {
    if correlation <= 0.0 {
        return 0.0;
    }
    let fresh = fresh_noise(residuals, noise, correlation);
    let together: f64 = innovations(residuals, correlation)
        .iter()
        .map(|one| cost(one / fresh))
        .sum();
    let alone: f64 = residuals.iter().skip(1).map(|one| cost(one / noise)).sum();
    let points = residuals.len().saturating_sub(1) as f64;
    (together - alone + points * (fresh / noise).ln()).min(0.0)
}

/// Of each place from the first point on: what the points cost if the level changed from `left` to `right` there; and what they cost
/// if it were `level` all along.
pub(super) fn costs_of_places(
    points: &[f64],
    (left, right, level): (f64, f64, f64),
    correlation: f64,
    fresh: f64,
) -> (Vec<f64>, f64) {
    let one = |index: usize, before: f64, here: f64| {
        let last = index.checked_sub(1).and_then(|last| points.get(last));
        let foretold = last.map_or(0.0, |last| correlation * (last - before));
        points
            .get(index)
            .map_or(0.0, |point| cost((point - here - foretold) / fresh))
    };
    let count = points.len();
    let mut after: f64 = (0..count).map(|index| one(index, right, right)).sum();
    let mut before = 0.0;
    let mut costs = Vec::with_capacity(count);
    for index in 0..count {
        after -= one(index, right, right);
        costs.push(before + one(index, left, right) + after);
        before += one(index, left, left);
    }
    let alone = (0..count).map(|index| one(index, level, level)).sum();
    (costs, alone)
}
