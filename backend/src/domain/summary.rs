//! The summary of a measurement's samples; pure numbers.

use std::collections::BTreeMap;

/// What is stored beside the raw samples. All in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of samples that count (warm-ups do not).
    pub count: usize,
    /// Median.
    pub median: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median absolute deviation from the median, unscaled.
    pub mad: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Lower end of a 95 % interval of the median.
    pub interval_low: f64,
    /// Upper end of it.
    pub interval_high: f64,
}

impl Summary {
    /// Summarises samples; `None` when there are none or one of them is not finite.
    ///
    /// The interval takes order statistics by the binomial distribution (Conover, *Practical
    /// Nonparametric Statistics*, 3.2): no law of the samples is assumed. With fewer than six
    /// samples no such interval reaches 95 %, and it is the whole range.
    pub fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() || samples.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let median = median_of_sorted(&sorted);
        let mut deviations: Vec<f64> = sorted.iter().map(|value| (value - median).abs()).collect();
        deviations.sort_by(f64::total_cmp);
        let (low, high) = interval_ranks(count);
        Some(Self {
            count,
            median,
            mean: sorted.iter().map(|value| value / count as f64).sum(),
            mad: median_of_sorted(&deviations),
            min: sorted[0],
            max: sorted[count - 1],
            interval_low: sorted[low],
            interval_high: sorted[high],
        })
    }
}

impl Summary {
    /// Summarises samples of several processes, given as `(process, value)`; `None` as in [`Summary::of`].
    ///
    /// Samples of one process resemble each other more than those of two (memory layout, hash seed), so the interval of
    /// the pooled samples alone would promise too much: it is widened until it also holds the median of every process.
    /// Kalibera and Jones, *Rigorous Benchmarking in Reasonable Time* (ISMM 2013), show how far single processes stray.
    pub fn of_processes(samples: &[(u32, f64)]) -> Option<Self> {
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        let mut summary = Self::of(&values)?;
        let mut processes: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (process, value) in samples {
            processes.entry(*process).or_default().push(*value);
        }
        for values in processes.values_mut() {
            values.sort_by(f64::total_cmp);
            let median = median_of_sorted(values);
            summary.interval_low = summary.interval_low.min(median);
            summary.interval_high = summary.interval_high.max(median);
        }
        Some(summary)
    }
}

/// Median of sorted, non-empty values; halves are added after halving so that huge values do not overflow.
pub fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        sorted[middle - 1] / 2.0 + sorted[middle] / 2.0
    }
}

/// A quantile (0 to 1) of sorted, non-empty values, between two of them by its share of the way (type 7 of Hyndman and Fan, *Sample
/// Quantiles in Statistical Packages*, The American Statistician 1996). `None` without values.
pub fn quantile_of_sorted(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    // Between 0 and the last index.
    let below = place.floor() as usize;
    let low = *sorted.get(below)?;
    let high = *sorted.get(below + 1).unwrap_or(&low);
    let rest = place - below as f64;
    // The sum of two shares may lie a rounding beyond both.
    Some((low * (1.0 - rest) + high * rest).max(low).min(high))
}

/// Indices of the order statistics that bound the median with at least 95 % confidence.
fn interval_ranks(count: usize) -> (usize, usize) {
    // Largest r with P(Binomial(n, 1/2) < r) <= 2.5 %; the terms are kept in logarithms for a huge n.
    let mut log_term = -(count as f64) * std::f64::consts::LN_2;
    let mut below = 0.0;
    let mut rank = 0;
    for k in 0..count / 2 {
        below += log_term.exp();
        if below > 0.025 {
            break;
        }
        rank = k + 1;
        log_term += ((count - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    let low = rank.saturating_sub(1);
    (low, count - 1 - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_nonsense_have_no_summary() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
        assert_eq!(Summary::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn one_and_constant_samples() {
        let one = Summary::of(&[2.5]).unwrap();
        assert_eq!(
            (
                one.count,
                one.median,
                one.mad,
                one.interval_low,
                one.interval_high
            ),
            (1, 2.5, 0.0, 2.5, 2.5)
        );
        let constant = Summary::of(&[3.0; 40]).unwrap();
        assert_eq!(
            (constant.median, constant.mad, constant.min, constant.max),
            (3.0, 0.0, 3.0, 3.0)
        );
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile_of_sorted(&[], 0.5), None);
        assert_eq!(quantile_of_sorted(&[3.0], 0.99), Some(3.0));
        let sorted = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(quantile_of_sorted(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile_of_sorted(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile_of_sorted(&sorted, 0.625), Some(3.5));
        assert_eq!(quantile_of_sorted(&sorted, 9.0), Some(5.0));
        assert_eq!(
            quantile_of_sorted(&[f64::MAX, f64::MAX], 0.3),
            Some(f64::MAX)
        );
    }

    #[test]
    fn known_values() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (summary.median, summary.mad, summary.min, summary.max),
            (2.5, 1.0, 1.0, 4.0)
        );
        assert!((summary.mean - 2.5).abs() < 1e-12);
    }

    #[test]
    fn the_interval_uses_the_tabled_ranks() {
        // Conover, table A3 (p = 0.5): n = 6 -> 1st and 6th; n = 10 -> 2nd and 9th; n = 20 -> 6th and 15th.
        assert_eq!(interval_ranks(1), (0, 0));
        assert_eq!(interval_ranks(5), (0, 4));
        assert_eq!(interval_ranks(6), (0, 5));
        assert_eq!(interval_ranks(10), (1, 8));
        assert_eq!(interval_ranks(20), (5, 14));
    }

    #[test]
    fn a_stray_process_widens_the_interval() {
        let mut samples: Vec<(u32, f64)> = (0..30)
            .map(|index| (index / 5, 1.0 + f64::from(index % 5) * 1e-3))
            .collect();
        let close = Summary::of_processes(&samples).unwrap();
        assert!(close.interval_high < 1.004, "{close:?}");
        samples.extend((0..5).map(|_| (6, 1.2)));
        let stray = Summary::of_processes(&samples).unwrap();
        assert_eq!((stray.interval_high, stray.count), (1.2, 35));
        assert_eq!(Summary::of_processes(&[]), None);
        assert_eq!(Summary::of_processes(&[(0, f64::NAN)]), None);
    }

    #[test]
    fn huge_input_and_huge_values() {
        let many: Vec<f64> = (0..200_000).map(f64::from).collect();
        let summary = Summary::of(&many).unwrap();
        assert!(summary.interval_low < summary.median && summary.median < summary.interval_high);
        assert!((summary.interval_high - summary.interval_low) < 1000.0);
        let huge = Summary::of(&[f64::MAX, f64::MAX]).unwrap();
        assert_eq!(huge.median, f64::MAX);
        assert!(huge.mean.is_finite());
    }
}
