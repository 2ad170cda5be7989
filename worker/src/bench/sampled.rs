//! Profiles by samples: what is sampled, for how long, and what the report says of it.

use speedwell_wire::{
    BenchmarkResult, Metric, ProfilePolicy, ProfileReport, Unavailable, UnavailableKind,
};

use super::plan::Mode;
use super::session::Record;
use crate::profile::Sampling;

/// What a sampled process is given to run, in seconds: ten thousand samples know a half to half a per cent.
const SAMPLED_SECONDS: f64 = 10.0;
/// Values of a sampled process at most, each of which is asked for.
const MOST_SAMPLED_VALUES: u32 = 20_000;

/// Whether a workload's repetition is sampled: the one that is for that, or else the one with counters.
pub fn wants(mode: Mode, policy: ProfilePolicy) -> bool {
    match mode {
        Mode::Sampling => true,
        Mode::Counters => !policy.is_sampling(),
        Mode::Timing | Mode::Instructions | Mode::Profile => false,
    }
}

/// As many values as give [`SAMPLED_SECONDS`] by what the timing processes took.
pub fn values(timing: &[(u32, Record)]) -> u32 {
    let values = timing.iter().flat_map(|(_, record)| {
        let measured = record.values.iter().filter(|value| !value.warmup);
        measured.map(|value| value.seconds * value.loops as f64 * record.inner_loops as f64)
    });
    let seconds: Vec<f64> = values.collect();
    let mean = seconds.iter().sum::<f64>() / seconds.len().max(1) as f64;
    // A cast of what is no number is zero.
    ((SAMPLED_SECONDS / mean).ceil() as u32).clamp(1, MOST_SAMPLED_VALUES)
}

/// The profile by samples, or why there is none.
pub fn add(
    result: &mut BenchmarkResult,
    sampled: Option<Result<ProfileReport, (UnavailableKind, String)>>,
) {
    match sampled {
        None => {}
        Some(Ok(profile)) => result.profile = Some(profile),
        Some(Err((kind, reason))) => result.unavailable.push(Unavailable {
            metric: Some(Metric::MainLoopShare),
            kind,
            reason,
        }),
    }
}

/// The samples of one process's values.
#[derive(Debug)]
pub struct SampledValues {
    sampling: Sampling,
    loops: f64,
}

impl SampledValues {
    /// Prepares to sample a process.
    pub fn open(pid: u32) -> Result<Self, String> {
        let sampling = Sampling::open(&[pid])?;
        Ok(Self {
            sampling,
            loops: 0.0,
        })
    }

    /// The timed region begins.
    pub fn enable(&self) -> Result<(), String> {
        self.sampling.enable()
    }

    /// It has ended.
    pub fn disable(&self) -> Result<(), String> {
        self.sampling.disable()
    }

    /// What was just timed was so many loops; of a warm-up nothing is kept.
    pub fn take_value(&mut self, warmup: bool, loops: f64) -> Result<(), String> {
        if warmup {
            return self.sampling.forget();
        }
        self.loops += loops;
        Ok(())
    }

    /// The profile. Call it while the process lives.
    pub fn finish(self) -> Result<ProfileReport, String> {
        self.sampling.finish(self.loops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_sampled_once() {
        let turns = |policy| {
            let modes = [Mode::Timing, Mode::Counters, Mode::Sampling];
            modes.map(|mode| wants(mode, policy))
        };
        assert_eq!(turns(ProfilePolicy::Never), [false, true, true]);
        assert_eq!(turns(ProfilePolicy::Sampling), [false, false, true]);
        assert_eq!(turns(ProfilePolicy::SamplingPython), [false, false, true]);
    }
}
