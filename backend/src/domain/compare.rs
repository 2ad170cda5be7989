//! Comparing two sets of medians; pure.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::summary::median_of_sorted;

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

    /// One value from several runs of the same build or commit in one environment; `None` without any.
    ///
    /// The value is the median of the runs' medians. From three runs on its interval is Student's, on the logarithms of these: it holds
    /// all that differs from run to run. Two say too little of that: the interval holds both of theirs.
    pub fn pooled(runs: &[Self]) -> Option<Self> {
        let mut medians: Vec<f64> = runs.iter().map(|run| run.median).collect();
        medians.sort_by(f64::total_cmp);
        if medians.len() < 2 {
            return runs.first().copied();
        }
        let median = median_of_sorted(&medians);
        let logarithms: Vec<f64> = medians.iter().map(|value| value.ln()).collect();
        let is_usable = logarithms.iter().all(|one| one.is_finite());
        if let Some(factor) = student(medians.len()).filter(|_| is_usable) {
            let number = medians.len() as f64;
            let mean = logarithms.iter().sum::<f64>() / number;
            let squares = logarithms.iter().map(|one| (one - mean).powi(2));
            let deviation = (squares.sum::<f64>() / (number - 1.0) / number).sqrt();
            return Some(Self {
                median,
                low: median * (-factor * deviation).exp(),
                high: median * (factor * deviation).exp(),
            });
        }
        Some(Self {
            median,
            low: runs.iter().map(|run| run.low).fold(median, f64::min),
            high: runs.iter().map(|run| run.high).fold(median, f64::max),
        })
    }

    /// The same with an interval that is no tighter than a deviation of the value's logarithm allows (0.01: 1 %): what one run's own
    /// samples cannot know, because runs and builds differ by themselves. Each end moves apart only.
    pub fn widened(&self, deviation: f64) -> Self {
        let factor = (1.96 * deviation).exp();
        if !factor.is_finite() || self.median <= 0.0 {
            return *self;
        }
        Self {
            low: self.low.min(self.median / factor),
            high: self.high.max(self.median * factor),
            ..*self
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

/// How far values that were measured again stray by themselves: standard deviations of their logarithms (0.01: 1 %), as the noise tick
/// stores them. `None`: nothing of the kind was measured twice.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Repeatability {
    /// Between runs of one build.
    pub runs: Option<f64>,
    /// Between builds of one commit.
    pub rebuilds: Option<f64>,
}

impl Repeatability {
    /// The deviation that a value from so many runs of one build has by itself; `None` when it is not known. More runs make the part
    /// smaller that differs between runs; a build stays the build that it is.
    pub fn deviation(&self, runs: usize) -> Option<f64> {
        let number = runs.max(1) as f64;
        let of_runs = self.runs.map(|one| one.powi(2));
        let variance = match (self.rebuilds, of_runs) {
            (Some(whole), Some(of_runs)) => (whole.powi(2) - of_runs).max(0.0) + of_runs / number,
            (Some(whole), None) => whole.powi(2),
            (None, Some(of_runs)) => of_runs / number,
            (None, None) => return None,
        };
        Some(variance.sqrt()).filter(|one| one.is_finite())
    }
}

/// Two-sided 95 % quantile of Student's distribution for the mean of so many values; `None` below three.
fn student(count: usize) -> Option<f64> {
    const BY_FREEDOM: [f64; 19] = [
        4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    ];
    let index = count.checked_sub(3)?;
    Some(BY_FREEDOM.get(index).copied().unwrap_or(2.086))
}

/// Fewest benchmarks that are drawn again: of fewer, each draw is nearly the same.
const FEWEST_TO_DRAW: usize = 5;
/// Draws.
const DRAWS: usize = 1000;

/// How far the geometric mean of these ratios would move had other benchmarks of their kind been chosen: its 95 % percentile interval
/// over drawing the benchmarks again, with replacement (Efron and Tibshirani, *An Introduction to the Bootstrap*, 13.3). The same
/// ratios give the same interval. `None` with fewer than five.
pub fn choice_interval(ratios: &[f64]) -> Option<(f64, f64)> {
    let logarithms: Vec<f64> = ratios
        .iter()
        .map(|ratio| ratio.ln())
        .filter(|one| one.is_finite())
        .collect();
    if logarithms.len() < FEWEST_TO_DRAW {
        return None;
    }
    let mut random = SmallRng::seed_from_u64(0x5eed);
    let number = logarithms.len();
    let mut draw = || {
        let sum: f64 = (0..number)
            .filter_map(|_| logarithms.get(random.random_range(0..number)))
            .sum();
        sum / number as f64
    };
    let mut means: Vec<f64> = (0..DRAWS).map(|_| draw()).collect();
    means.sort_by(f64::total_cmp);
    let low = means.get(DRAWS / 40)?;
    let high = means.get(DRAWS - 1 - DRAWS / 40)?;
    Some((low.exp(), high.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_runs_are_one_value_that_holds_what_differs_between_them() {
        assert_eq!(Estimate::pooled(&[]), None);
        assert_eq!(Estimate::pooled(&[estimate(2.0)]), Some(estimate(2.0)));
        let two = Estimate::pooled(&[estimate(1.0), estimate(1.1)]).unwrap();
        assert!(
            (two.median - 1.05).abs() < 1e-9 && two.low == 0.99 && (two.high - 1.111).abs() < 1e-9
        );
        // ln: -0.01, 0, 0.01: a deviation of 0.01 / √3, times 4.303.
        let three: Vec<Estimate> = [-0.01_f64, 0.0, 0.01].map(|x| estimate(x.exp())).to_vec();
        let three = Estimate::pooled(&three).unwrap();
        assert!(
            (three.high.ln() - 4.303 * 0.01 / 3.0_f64.sqrt()).abs() < 1e-9,
            "{three:?}"
        );
        let many = Estimate::pooled(&vec![estimate(3.0); 500]).unwrap();
        assert!(
            many.median == 3.0 && many.high - many.low < 1e-12,
            "{many:?}"
        );
        // Counts of nothing have no logarithm.
        let zero = Estimate {
            median: 0.0,
            low: 0.0,
            high: 0.0,
        };
        let zeros = Estimate::pooled(&[zero; 3]).unwrap();
        assert_eq!((zeros.low, zeros.high), (0.0, 0.0));
        let rubbish = Estimate {
            median: f64::NAN,
            ..zero
        };
        assert!(Estimate::pooled(&[rubbish, zero, zero]).is_some());
    }

    #[test]
    fn noise_between_runs_widens_and_never_tightens() {
        let one = estimate(1.0);
        assert_eq!(one.widened(0.0), one);
        let wide = one.widened(0.1);
        assert!((wide.high.ln() - 0.196).abs() < 1e-9 && (wide.low.ln() + 0.196).abs() < 1e-9);
        assert_eq!(one.widened(f64::NAN), one);
        assert_eq!(one.widened(1e9), one, "no number is that large");
        assert!(estimate(1.02).against(&one).unwrap().low < 1.01);
        assert!(
            !estimate(1.2)
                .widened(0.1)
                .against(&wide)
                .unwrap()
                .is_significant()
        );
    }

    #[test]
    fn more_runs_do_not_make_a_build_another_one() {
        let both = Repeatability {
            runs: Some(0.03),
            rebuilds: Some(0.05),
        };
        assert!((both.deviation(1).unwrap() - 0.05).abs() < 1e-12);
        assert!((both.deviation(1_000_000).unwrap() - 0.04).abs() < 1e-6);
        let runs = Repeatability {
            runs: Some(0.04),
            rebuilds: None,
        };
        assert!((runs.deviation(4).unwrap() - 0.02).abs() < 1e-12);
        assert_eq!(runs.deviation(0), runs.deviation(1));
        let builds = Repeatability {
            runs: None,
            rebuilds: Some(0.04),
        };
        assert_eq!(builds.deviation(9), Some(0.04));
        assert_eq!(Repeatability::default().deviation(3), None);
        let odd = Repeatability {
            runs: Some(f64::NAN),
            rebuilds: None,
        };
        assert_eq!(odd.deviation(1), None);
    }

    #[test]
    fn another_choice_of_benchmarks_is_drawn_the_same_way_each_time() {
        assert_eq!(choice_interval(&[]), None);
        assert_eq!(choice_interval(&[2.0; 4]), None);
        let (low, high) = choice_interval(&[2.0; 9]).unwrap();
        assert!((low - 2.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9);
        let ratios: Vec<f64> = (0..40)
            .map(|x| (f64::from(x % 5 - 2) * 0.1).exp())
            .collect();
        let once = choice_interval(&ratios).unwrap();
        assert_eq!(choice_interval(&ratios), Some(once));
        // Deviation √0.02 of one, by √40: ± 0.0438.
        assert!(
            (once.1.ln() - 0.0438).abs() < 0.006 && (once.0.ln() + 0.0438).abs() < 0.006,
            "{once:?}"
        );
        let odd = [f64::NAN, 0.0, -1.0, f64::INFINITY, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(choice_interval(&odd), Some((1.0, 1.0)));
    }

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
