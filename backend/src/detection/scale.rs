//! How values of a metric are compared: as logarithms, so that a change is a ratio.

use speedwell_wire::{Direction, Metric};

use crate::domain::warmup::{INSTANT, NOTABLE};

/// How far a jump by chance counts, as a part of a change's size. A process that falls either way by chance shows a change that is none in
/// one pair of runs out of four at most, so a pair must not weigh more than ln 4: that is the weight of a pair with this deviation
/// ([`super::confirmation`]).
pub const OF_A_JUMP: f64 = 0.4;

/// How values of a metric are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Smallest change that is worth a word, as a ratio (0.01 is 1 %).
    pub floor: f64,
    /// What is added before the logarithm, in the metric's unit: where zero is a value it is more than nothing.
    pub added: f64,
    /// True when more is better.
    pub higher_is_better: bool,
    /// Whether single processes jump by themselves ([`Metric::jumps`]).
    pub jumps: bool,
}

impl Scale {
    /// That of a metric.
    pub fn of(metric: Metric) -> Self {
        Self {
            floor: floor(metric),
            added: match metric {
                // No warm-up at all is a value.
                Metric::WarmupTime => INSTANT,
                _ if metric.can_be_zero() => 1.0,
                _ => 0.0,
            },
            higher_is_better: metric.direction() == Direction::HigherIsBetter,
            jumps: metric.jumps(),
        }
    }

    /// That of a metric by its name; `None`: a newer version has written it.
    pub fn named(metric: &str) -> Option<Self> {
        metric.parse().ok().map(Self::of)
    }

    /// A value as it is compared.
    pub fn logarithm(&self, value: f64) -> f64 {
        (value + self.added).ln()
    }

    /// A logarithm in the metric's unit.
    pub fn value(&self, logarithm: f64) -> f64 {
        logarithm.exp() - self.added
    }

    /// Whether a difference of logarithms is for the better.
    pub fn is_better(&self, difference: f64) -> bool {
        (difference > 0.0) == self.higher_is_better
    }

    /// A difference of logarithms from a level (in the metric's unit) as people are told it, as a ratio minus one. What jumps is told as
    /// the ratio of the values themselves, unless the level before is next to nothing.
    pub fn told(&self, baseline: f64, difference: f64) -> f64 {
        let change = difference.exp_m1();
        if self.is_told_plainly(baseline) {
            change * (baseline + self.added) / baseline
        } else {
            change
        }
    }

    /// The difference of logarithms that is told as this change.
    pub fn difference(&self, baseline: f64, change: f64) -> f64 {
        if self.is_told_plainly(baseline) {
            (change * baseline / (baseline + self.added)).ln_1p()
        } else {
            change.ln_1p()
        }
    }

    fn is_told_plainly(&self, baseline: f64) -> bool {
        self.jumps && baseline >= self.added && baseline > 0.0
    }

    /// The deviation that a change of this size (a difference of logarithms) is held against, where its series has this one.
    pub fn deviation(&self, noise: f64, size: f64) -> f64 {
        if self.jumps {
            noise.max(OF_A_JUMP * size.abs())
        } else {
            noise
        }
    }
}

/// The smallest change worth a word: 1 % of a time or size; counted instructions repeat to a few parts in ten thousand.
fn floor(metric: Metric) -> f64 {
    match metric {
        Metric::Instructions | Metric::Branches => 0.002,
        Metric::WallTime
        | Metric::SteadyTime
        | Metric::TaskClock
        | Metric::Cycles
        | Metric::Ipc
        | Metric::MaxRss
        | Metric::SteadyRss
        | Metric::GcCollections => 0.01,
        // When a compiler kicks in varies by whole iterations.
        Metric::WarmupTime => NOTABLE - 1.0,
        // Of 0, a half and 1, any other is worth a word.
        Metric::BadWarmup => 0.2,
        Metric::RequestsPerSecond | Metric::CpuPerRequest | Metric::LatencyP50 => 0.03,
        Metric::BranchMisses | Metric::PageFaults | Metric::ContextSwitches => 0.05,
        // Events that are few, shares that the processor tells in 256ths, and what else ran on the machine.
        Metric::L1iMpki
        | Metric::L1dMpki
        | Metric::LlcMpki
        | Metric::ItlbMpki
        | Metric::DtlbMpki
        | Metric::Retiring
        | Metric::BadSpeculation
        | Metric::FrontendBound
        | Metric::BackendBound
        | Metric::HeavyOperations
        | Metric::LightOperations
        | Metric::BranchMispredicts
        | Metric::MachineClears
        | Metric::FetchLatency
        | Metric::FetchBandwidth
        | Metric::MemoryBound
        | Metric::CoreBound
        | Metric::PackageEnergy
        | Metric::MemoryEnergy => 0.05,
        // A share of some hundred samples.
        Metric::MainLoopShare | Metric::CompiledShare => 0.1,
        // A few of the slowest answers decide it.
        Metric::LatencyP95 | Metric::LatencyP99 => 0.05,
        Metric::StepP50 => 0.02,
        Metric::StepP99
        | Metric::StepP999
        | Metric::GcPauseP50
        | Metric::GcPauseP99
        | Metric::GcTimeShare => 0.05,
        // A single stop decides it.
        Metric::StepMax | Metric::GcPauseMax => 0.2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_changes_read_back() {
        for metric in Metric::ALL {
            let scale = Scale::of(*metric);
            assert_eq!(Scale::named(metric.as_str()), Some(scale));
            for value in [1e-3, 0.1, 1.0, 1e9] {
                let back = scale.value(scale.logarithm(value));
                assert!((back / value - 1.0).abs() < 1e-9, "{metric}: {back}");
                for difference in [-0.5, 0.0, 1e-3, 2.0] {
                    let told = scale.told(value, difference);
                    let back = scale.difference(value, told);
                    assert!(
                        (back - difference).abs() < 1e-9,
                        "{metric}: {difference}, {back}"
                    );
                    assert_eq!(told > 0.0, difference > 0.0);
                }
            }
        }
        assert_eq!(Scale::named("new"), None);
    }

    #[test]
    fn a_warm_up_is_told_by_its_seconds_and_none_is_a_value() {
        let scale = Scale::of(Metric::WarmupTime);
        let change = |before: f64, after: f64| {
            scale.told(before, scale.logarithm(after) - scale.logarithm(before))
        };
        assert!((change(0.6, 0.84) - 0.4).abs() < 1e-12);
        assert!((change(2.0, 0.0) + 1.0).abs() < 1e-12);
        assert!(change(0.0, 0.9).is_finite() && change(0.0, 0.9) > 8.0);
        assert_eq!(change(0.0, 0.0), 0.0);
        assert!(change(f64::NAN, 1.0).is_nan());
        assert!(change(1e300, 2e300) > 0.99);
        // Times and counts are told as they were before.
        let time = Scale::of(Metric::WallTime);
        assert_eq!(time.told(0.0, 0.5), 0.5_f64.exp_m1());
        assert_eq!(
            Scale::of(Metric::PageFaults).told(3.0, 0.5),
            0.5_f64.exp_m1()
        );
    }

    #[test]
    fn what_jumps_is_held_against_its_size() {
        let scale = Scale::of(Metric::BadWarmup);
        assert_eq!(scale.deviation(0.0, -0.5), 0.2);
        assert_eq!(scale.deviation(0.3, 0.5), 0.3);
        assert_eq!(Scale::of(Metric::SteadyTime).deviation(0.01, 0.5), 0.01);
    }
}
