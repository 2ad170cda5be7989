//! Made-up measurements for load tests: seeded, so that two databases of one size are alike. Never shown beside measured ones.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use speedwell_wire::{CounterSource, Metric};

use super::summary::Summary;

/// The metrics, in the order in which a larger database has more of them.
pub const METRICS: [(Metric, CounterSource); 10] = [
    (Metric::WallTime, CounterSource::Software),
    (Metric::Instructions, CounterSource::Pmu),
    (Metric::Cycles, CounterSource::Pmu),
    (Metric::TaskClock, CounterSource::Software),
    (Metric::FrontendBound, CounterSource::Pmu),
    (Metric::Branches, CounterSource::Pmu),
    (Metric::BranchMisses, CounterSource::Pmu),
    (Metric::L1iMpki, CounterSource::Pmu),
    (Metric::BackendBound, CounterSource::Pmu),
    (Metric::Ipc, CounterSource::Pmu),
];

/// Samples of a measurement, and the processes that they are from.
pub const PROCESSES: [i16; 5] = [0, 0, 1, 1, 2];

/// A change of level about every so many commits.
const STRETCH: u32 = 700;

/// How much is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Runtimes, each on a branch of its own.
    pub runtimes: i32,
    /// Benchmarks of the suite.
    pub benchmarks: i32,
    /// The first so many of [`METRICS`].
    pub metrics: usize,
    /// Measured commits of the first runtime.
    pub longest: i32,
    /// Measured commits of each other.
    pub commits: i32,
}

impl Plan {
    /// About so many measurements of 100 benchmarks on ten runtimes, the first of which always has 2,000 commits or more: what pages show is there in
    /// every size.
    pub fn of(measurements: u64) -> Self {
        let metrics: usize = match measurements {
            0..5_000_000 => 1,
            5_000_000..50_000_000 => 5,
            _ => METRICS.len(),
        };
        let series = 1_000 * metrics as u64;
        let even = measurements / series;
        let longest = even.max(2_000);
        let rest = measurements.saturating_sub(longest * series / 10);
        let bounded = |count: u64| i32::try_from(count.clamp(50, 1_000_000)).unwrap_or(i32::MAX);
        Self {
            runtimes: 10,
            benchmarks: 100,
            metrics,
            longest: bounded(longest),
            commits: bounded(rest / (series / 10 * 9)),
        }
    }

    /// Measured commits of a runtime, the first of which is 0.
    pub fn commits_of(&self, runtime: i32) -> i32 {
        if runtime == 0 {
            self.longest
        } else {
            self.commits
        }
    }

    /// Measurements of one run.
    pub fn of_a_run(&self) -> u64 {
        u64::try_from(self.benchmarks).unwrap_or(0) * self.metrics as u64
    }

    /// All measurements.
    pub fn measurements(&self) -> u64 {
        let commits: i64 = (0..self.runtimes)
            .map(|runtime| i64::from(self.commits_of(runtime)))
            .sum();
        u64::try_from(commits).unwrap_or(0) * self.of_a_run()
    }
}

/// The values of all series of one runtime, commit by commit.
#[derive(Debug)]
pub struct Values {
    random: SmallRng,
    levels: Vec<f64>,
    noise: Vec<f64>,
}

impl Values {
    /// Of a runtime: `runtime` seeds it.
    pub fn new(plan: &Plan, runtime: i32) -> Self {
        let mut random = SmallRng::seed_from_u64(u64::try_from(runtime).unwrap_or(0) + 20_261_129);
        let count = usize::try_from(plan.of_a_run()).unwrap_or(0);
        let metrics = plan.metrics.max(1);
        let levels = (0..count)
            .map(|index| {
                // The same benchmark is of the same size everywhere; runtimes differ from each other by some parts.
                let benchmark = index / metrics;
                let seconds = 0.002 * 1.07_f64.powi(i32::try_from(benchmark % 90).unwrap_or(0));
                let metric = METRICS
                    .get(index % metrics)
                    .map_or(Metric::WallTime, |one| one.0);
                scale(metric, seconds) * random.random_range(0.6..1.4)
            })
            .collect();
        let noise = (0..count)
            .map(|_| random.random_range(0.001..0.02))
            .collect();
        Self {
            random,
            levels,
            noise,
        }
    }

    /// The samples of every series at the next commit, in the order benchmark, metric; with their summary.
    pub fn next_run(&mut self, mut each: impl FnMut(usize, &[f64; 5], &Summary)) {
        for index in 0..self.levels.len() {
            if self.random.random_range(0..STRETCH) == 0 {
                let change = self.random.random_range(-0.04..0.04);
                self.levels[index] *= 1.0 + change;
            }
            let (level, noise) = (self.levels[index], self.noise[index]);
            let of_process = [(); 3].map(|()| self.random.random_range(-noise..noise));
            let samples = PROCESSES.map(|process| {
                let shared = of_process[usize::try_from(process).unwrap_or(0)];
                let own = self.random.random_range(-noise..noise) * 0.5;
                // Seven digits: what a clock gives, and shorter to load.
                let value = level * (1.0 + shared + own);
                let digit = 10_f64.powf(value.abs().log10().floor() - 6.0);
                (value / digit).round() * digit
            });
            if let Some(summary) = Summary::of(&samples) {
                each(index, &samples, &summary);
            }
        }
    }
}

/// A metric's value for a benchmark that takes so many seconds.
fn scale(metric: Metric, seconds: f64) -> f64 {
    if metric == Metric::WallTime || metric == Metric::TaskClock {
        seconds
    } else if metric == Metric::Ipc {
        2.0
    } else if metric == Metric::FrontendBound || metric == Metric::BackendBound {
        0.3
    } else if metric == Metric::L1iMpki {
        5.0
    } else if metric == Metric::BranchMisses {
        seconds * 2e7
    } else {
        seconds * 3e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_about_what_was_asked_for_and_always_a_long_series() {
        for wanted in [1_000_000, 10_000_000, 100_000_000] {
            let plan = Plan::of(wanted);
            let ratio = plan.measurements() as f64 / wanted as f64;
            assert!((0.95..1.05).contains(&ratio), "{plan:?}");
            assert!(plan.longest >= 2_000);
        }
        assert!(Plan::of(0).commits > 0);
    }

    #[test]
    fn values_are_the_same_each_time_and_steps_are_rare() {
        let plan = Plan::of(1_000_000);
        let all = |commits: usize| {
            let mut values = Values::new(&plan, 3);
            let mut medians = Vec::new();
            for _ in 0..commits {
                values.next_run(|index, samples, summary| {
                    assert!(
                        samples
                            .iter()
                            .all(|value| value.is_finite() && *value > 0.0)
                    );
                    if index == 7 {
                        medians.push(summary.median);
                    }
                });
            }
            medians
        };
        assert_eq!(all(50), all(50));
        let many = all(1_400);
        let steps = many
            .chunks(100)
            .map(|chunk| chunk.iter().sum::<f64>() / 100.0);
        let steps: Vec<f64> = steps.collect();
        let moved = steps
            .windows(2)
            .filter(|pair| (pair[1] / pair[0] - 1.0).abs() > 0.004)
            .count();
        assert!(moved <= 8, "{steps:?}");
    }
}
