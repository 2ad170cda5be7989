//! Comparing two sets of medians; pure.

/// A value with the 95 % interval of its median, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// Standard deviation of the median's logarithm, by its interval.
    fn deviation(&self) -> f64 {
        let deviation = (self.high.ln() - self.low.ln()) / 3.92;
        if deviation.is_finite() {
            deviation
        } else {
            0.0
        }
    }

    /// This value against another as a ratio (1.02: 2 % more), with its 95 % interval. `None` when one is not positive.
    pub fn against(&self, other: &Self) -> Option<Ratio> {
        geometric_mean(&[(*self, *other)])
    }
}

/// A ratio with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// New against old.
    pub ratio: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs that it was made from.
    pub count: usize,
}

impl Ratio {
    /// Whether the interval leaves out "no change".
    pub fn is_significant(&self) -> bool {
        self.low > 1.0 || self.high < 1.0
    }
}

/// The geometric mean of new against old over all pairs with positive values: every benchmark weighs the same.
///
/// The interval holds what each run's own samples say (their medians' intervals, as independent errors); it knows
/// nothing of a host that was slower on another day. `None` without a usable pair.
pub fn geometric_mean(pairs: &[(Estimate, Estimate)]) -> Option<Ratio> {
    let mut sum = 0.0;
    let mut variance = 0.0;
    let mut count = 0_usize;
    for (new, old) in pairs {
        let logarithm = (new.median / old.median).ln();
        if new.median > 0.0 && old.median > 0.0 && logarithm.is_finite() {
            sum += logarithm;
            variance += new.deviation().powi(2) + old.deviation().powi(2);
            count += 1;
        }
    }
    if count == 0 {
        return None;
    }
    let number = count as f64;
    let (mean, deviation) = (sum / number, variance.sqrt() / number);
    Some(Ratio {
        ratio: mean.exp(),
        low: (mean - 1.96 * deviation).exp(),
        high: (mean + 1.96 * deviation).exp(),
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(median: f64) -> Estimate {
        Estimate {
            median,
            low: median * 0.99,
            high: median * 1.01,
        }
    }

    #[test]
    fn the_mean_weighs_each_benchmark_the_same() {
        let ratio = geometric_mean(&[
            (estimate(2.0), estimate(1.0)),
            (estimate(50.0), estimate(100.0)),
        ])
        .unwrap();
        assert!((ratio.ratio - 1.0).abs() < 1e-12 && ratio.count == 2);
        assert!(ratio.low < 1.0 && ratio.high > 1.0 && !ratio.is_significant());
        assert!(
            estimate(1.1)
                .against(&estimate(1.0))
                .unwrap()
                .is_significant()
        );
    }

    #[test]
    fn what_cannot_be_compared_is_left_out() {
        assert_eq!(geometric_mean(&[]), None);
        let zero = Estimate {
            median: 0.0,
            low: 0.0,
            high: 0.0,
        };
        assert_eq!(geometric_mean(&[(zero, estimate(1.0))]), None);
        let rubbish = Estimate {
            median: f64::NAN,
            low: 0.0,
            high: 0.0,
        };
        let pairs = [
            (rubbish, estimate(1.0)),
            (estimate(1.0), zero),
            (estimate(3.0), estimate(1.5)),
        ];
        assert_eq!(geometric_mean(&pairs).unwrap().count, 1);
        let exact = Estimate {
            median: 1.0,
            low: 1.0,
            high: 1.0,
        };
        assert_eq!(
            exact.against(&exact).unwrap(),
            Ratio {
                ratio: 1.0,
                low: 1.0,
                high: 1.0,
                count: 1
            }
        );
        let huge = estimate(1e300);
        assert!(
            huge.against(&estimate(1e-300)).is_none()
                || huge.against(&huge).unwrap().ratio.is_finite()
        );
    }
}
