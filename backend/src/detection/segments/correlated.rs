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

/// Neighbours that are more alike than this are no noise: levels that change, left in it, look so.
const MOST: f64 = 0.7;

/// Nats by which a series is cheaper to tell, each point from the one before it, than each by itself; at most 0.
pub(super) fn saved(residuals: &[f64], noise: f64, correlation: f64) -> f64 {
    if correlation <= 0.0 || correlation > MOST {
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

/// Of each place from the first point on: what the points cost, each told from the one before it, if the level changed from `left` to
/// `right` there.
pub(super) fn costs_of_places(
    points: &[f64],
    (left, right): (f64, f64),
    correlation: f64,
    fresh: f64,
) -> Vec<f64> {
    let one = |index: usize, before: f64, here: f64| {
        let last = index.checked_sub(1).and_then(|last| points.get(last));
        let foretold = last.map_or(0.0, |last| correlation * (last - before));
        let point = points.get(index);
        point.map_or(0.0, |point| cost((point - here - foretold) / fresh))
    };
    let mut after: f64 = (0..points.len())
        .map(|index| one(index, right, right))
        .sum();
    let mut before = 0.0;
    let cost_of = |index: usize| {
        after -= one(index, right, right);
        let here = before + one(index, left, right) + after;
        before += one(index, left, left);
        here
    };
    (0..points.len()).map(cost_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_one_and_constants_save_nothing() {
        for residuals in [&[][..], &[0.0], &[0.0; 50]] {
            assert_eq!(saved(residuals, 0.01, 0.0), 0.0);
            let some = saved(residuals, 0.01, 0.5);
            assert!(some.is_finite() && some <= 0.0, "{some}");
        }
        assert!(costs_of_places(&[], (0.0, 1.0), 0.5, 0.01).is_empty());
        assert_eq!(costs_of_places(&[0.0], (0.0, 1.0), 0.5, 0.01), [BOUND]);
    }

    #[test]
    fn points_that_remember_each_other_are_cheaper_to_tell_from_each_other() {
        // Slow waves about a level: a neighbour foretells a neighbour.
        let waves: Vec<f64> = (0..200)
            .map(|index| 0.01 * (f64::from(index) / 4.0).sin())
            .collect();
        assert!(saved(&waves, 0.01, 0.7) < -50.0);
        assert_eq!(saved(&waves, 0.01, 0.9), 0.0, "a level that moves");
    }

    #[test]
    fn the_jump_itself_says_where_a_level_changed() {
        let mut points = vec![0.0; 40];
        points[25..].iter_mut().for_each(|one| *one = 0.02);
        let costs = costs_of_places(&points, (0.0, 0.02), 0.6, 0.01);
        let cheapest = (0..40).min_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        assert_eq!(cheapest, Some(25));
    }
}
