//! How far a series has moved over a range: its last points against its first, within the newest epoch.

use super::compare::{Estimate, Ratio};
use super::trace::TracePoint;

/// Points of each end that are taken together, when there are enough.
pub const ENDS: usize = 3;

/// The movement of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Last against first, with its 95 % interval.
    pub ratio: Ratio,
    /// Points that each end is the median of.
    pub ends: usize,
    /// Points of the newest epoch.
    pub points: usize,
}

/// The last points of the newest epoch against its first, at most [`ENDS`] each: medians of their medians and of their intervals' ends.
/// `None` when the epoch has one point, or a value is not positive.
pub fn drift(points: &[TracePoint]) -> Option<Drift> {
    let newest = points.chunk_by(|a, b| a.epoch() == b.epoch()).next_back()?;
    let ends = (newest.len() / 2).min(ENDS);
    let first = middle(newest.get(..ends)?)?;
    let last = middle(newest.get(newest.len() - ends..)?)?;
    Some(Drift {
        ratio: last.against(&first)?,
        ends,
        points: newest.len(),
    })
}

fn middle(points: &[TracePoint]) -> Option<Estimate> {
    let median = |get: fn(&TracePoint) -> f64| {
        let mut values: Vec<f64> = points.iter().map(get).collect();
        values.sort_by(f64::total_cmp);
        let at = values.len() / 2;
        let upper = *values.get(at)?;
        if values.len().is_multiple_of(2) {
            Some((values.get(at.checked_sub(1)?)? + upper) / 2.0)
        } else {
            Some(upper)
        }
    };
    Some(Estimate {
        median: median(|point| point.median)?,
        low: median(|point| point.low)?,
        high: median(|point| point.high)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[(f64, i64)]) -> Vec<TracePoint> {
        let point = |(position, (median, epoch)): (i32, &(f64, i64))| TracePoint {
            position,
            committed_at: 0,
            median: *median,
            low: median * 0.99,
            high: median * 1.01,
            environment_id: *epoch,
            host_epoch: 0,
            run_id: 1,
            samples: 5,
        };
        (0..).zip(values).map(point).collect()
    }

    #[test]
    fn the_ends_of_the_newest_epoch_are_compared() {
        let one = |value: f64| (value, 1);
        let found = drift(&points(&[
            (9.0, 0),
            one(1.0),
            one(1.2),
            one(1.1),
            one(5.0),
            one(2.2),
            one(2.3),
            one(2.1),
        ]))
        .unwrap();
        assert_eq!((found.ends, found.points), (3, 7));
        assert!((found.ratio.ratio - 2.0).abs() < 1e-9, "{found:?}");
        assert!(found.ratio.is_significant());
        let same = drift(&points(&[one(1.0), one(1.001)])).unwrap();
        assert!(!same.ratio.is_significant() && same.ends == 1);
    }

    #[test]
    fn nothing_one_zero_and_odd_values_have_no_drift() {
        for values in [
            &[][..],
            &[(1.0, 1)],
            &[(1.0, 1), (1.0, 2)],
            &[(0.0, 1), (1.0, 1)],
            &[(f64::NAN, 1), (1.0, 1)],
        ] {
            assert_eq!(drift(&points(values)), None, "{values:?}");
        }
        let huge = drift(&points(&[(1e-300, 1), (1e300, 1)]));
        assert!(
            huge.is_none_or(|found| found.ratio.ratio.is_infinite() || found.ratio.ratio > 1e300)
        );
    }
}
