//! What the confirmed changes between two releases brought, so that it adds up to the measured total; pure.
//!
//! Logarithms add up where percentages do not. A change's share of the mean is the sum of its steps' logarithms, one for each
//! benchmark that it moved, divided by the number of benchmarks in the mean. What is left is not explained, and shown.

use std::collections::BTreeMap;

use super::index::Total;

/// A confirmed step of one benchmark's time between the two releases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The regression or improvement that it belongs to.
    pub regression_id: i64,
    /// The benchmark.
    pub benchmark_id: i64,
    /// Change of the metric, as a ratio minus one, with its 95 % interval.
    pub change: (f64, f64, f64),
    /// More of the metric is less time: a throughput.
    pub is_rate: bool,
}

/// What one regression or improvement brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// Its key.
    pub regression_id: i64,
    /// Its share of the mean, a logarithm; below zero: less time.
    pub value: f64,
    /// Standard error of it.
    pub deviation: f64,
    /// Benchmarks of the mean that it moved.
    pub benchmarks: usize,
    /// Benchmarks that it moved and that are not in the mean: they count nothing.
    pub outside: usize,
}

/// The whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The largest first.
    pub contributions: Vec<Contribution>,
    /// The total without them.
    pub rest: f64,
    /// Standard error of it, as if its parts were independent.
    pub rest_deviation: f64,
}

/// Takes the total apart. The contributions and the rest add up to `total.mean`.
pub fn explain(total: &Total, steps: &[Step]) -> Explained {
    let count = total.common.len().max(1) as f64;
    let mut by_regression: BTreeMap<i64, (f64, f64, Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for step in steps {
        let (change, low, high) = step.change;
        let logarithm = change.ln_1p();
        if !logarithm.is_finite() {
            continue;
        }
        let one = by_regression.entry(step.regression_id).or_default();
        if total.common.binary_search(&step.benchmark_id).is_err() {
            one.3.push(step.benchmark_id);
            continue;
        }
        let deviation = (high.ln_1p() - low.ln_1p()) / 3.92;
        one.0 += if step.is_rate { -logarithm } else { logarithm };
        one.1 += if deviation.is_finite() {
            deviation.powi(2)
        } else {
            0.0
        };
        one.2.push(step.benchmark_id);
    }
    let distinct = |mut all: Vec<i64>| {
        all.sort_unstable();
        all.dedup();
        all.len()
    };
    let mut contributions: Vec<Contribution> = by_regression
        .into_iter()
        .map(
            |(regression_id, (sum, variance, inside, outside))| Contribution {
                regression_id,
                value: sum / count,
                deviation: variance.sqrt() / count,
                benchmarks: distinct(inside),
                outside: distinct(outside),
            },
        )
        .collect();
    contributions.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    let explained: f64 = contributions.iter().map(|one| one.value).sum();
    let variance: f64 = contributions.iter().map(|one| one.deviation.powi(2)).sum();
    Explained {
        rest: total.mean - explained,
        rest_deviation: (total.deviation.powi(2) + variance).sqrt(),
        contributions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(mean: f64) -> Total {
        Total {
            mean,
            deviation: 0.01,
            common: vec![1, 2, 3, 4],
            only_new: vec![],
            only_old: vec![9],
        }
    }

    fn step(regression_id: i64, benchmark_id: i64, change: f64) -> Step {
        Step {
            regression_id,
            benchmark_id,
            change: (change, change - 0.01, change + 0.01),
            is_rate: false,
        }
    }

    #[test]
    fn parts_and_rest_add_up_to_the_total() {
        let steps = [
            step(1, 1, 0.10),
            step(1, 2, 0.20),
            step(2, 3, -0.30),
            Step {
                is_rate: true,
                ..step(3, 4, 0.5)
            },
            step(3, 9, 0.5),
        ];
        let explained = explain(&total(0.02), &steps);
        let ids: Vec<i64> = explained
            .contributions
            .iter()
            .map(|one| one.regression_id)
            .collect();
        assert_eq!(ids, [3, 2, 1]);
        let sum: f64 = explained.contributions.iter().map(|one| one.value).sum();
        assert!((sum + explained.rest - 0.02).abs() < 1e-15);
        let first = &explained.contributions[0];
        assert!(
            (first.value + 1.5_f64.ln() / 4.0).abs() < 1e-12,
            "more requests are less time"
        );
        assert_eq!((first.benchmarks, first.outside), (1, 1));
        let last = &explained.contributions[2];
        assert!((last.value - (1.1_f64.ln() + 1.2_f64.ln()) / 4.0).abs() < 1e-12);
        assert!(explained.rest_deviation > 0.01);
    }

    #[test]
    fn without_changes_all_is_rest_and_rubbish_counts_nothing() {
        assert_eq!(explain(&total(0.5), &[]).rest, 0.5);
        let odd = [step(1, 1, -1.0), step(1, 1, -2.0), step(1, 1, f64::NAN)];
        let explained = explain(&total(0.5), &odd);
        assert_eq!((explained.rest, explained.contributions.len()), (0.5, 0));
    }
}
