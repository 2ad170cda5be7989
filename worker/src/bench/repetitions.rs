//! What the repetitions of a workload gave, put together; and the one face of scripts and workloads.

use std::collections::BTreeMap;

use speedwell_wire::{
    BenchmarkResult, CounterSource, LatencyHistogram, MeasurementReport, Metric, ProfileReport,
    Sample, Unavailable, UnavailableKind,
};

use super::collect::Collected;
use super::plan::{Mode, Turn};
use super::sampled;
use super::suite::{Installed, Program};
use super::workload::{Measured, Repetition};

/// What the processes of one program gave so far.
#[derive(Debug)]
pub enum Collecting {
    /// Of a script.
    Script(Collected),
    /// Of a workload.
    Workload(Repetitions),
}

impl Collecting {
    /// Nothing so far.
    pub fn new(program: &Program<'_>) -> Self {
        match program {
            Program::Script(_) => Self::Script(Collected::default()),
            Program::Workload(_, phases) => Self::Workload(Repetitions {
                chosen: phases.clone(),
                ..Repetitions::default()
            }),
        }
    }

    /// Gives the program up.
    pub fn lose(&mut self, kind: UnavailableKind, reason: &str) {
        match self {
            Self::Script(one) => one.lose(kind, reason.to_owned()),
            Self::Workload(one) => one.lost = Some((kind, reason.to_owned())),
        }
    }

    /// Whether nothing of the program will count.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Script(one) => one.is_lost(),
            Self::Workload(one) => {
                one.lost.is_some()
                    || one
                        .chosen
                        .iter()
                        .all(|index| one.invalid.contains_key(index))
            }
        }
    }

    /// Whether a turn is worth its time. Servers are not run under valgrind: twenty times slower, they are others.
    pub fn wants(&mut self, turn: &Turn) -> bool {
        match self {
            Self::Script(one) => one.wants(turn),
            Self::Workload(_) => !turn.mode.is_under_valgrind(),
        }
    }

    /// Valgrind will not count here.
    pub fn lose_instructions(&mut self, reason: &str) {
        if let Self::Script(one) = self {
            one.lose_instructions(reason);
        }
    }

    /// There will be no profile here.
    pub fn lose_profile(&mut self, reason: &str) {
        if let Self::Script(one) = self {
            one.profiling.lose(reason);
        }
    }

    /// Why it is lost.
    pub fn why(&self) -> String {
        match self {
            Self::Script(one) => one.why(),
            Self::Workload(one) => match (&one.lost, one.invalid.values().next()) {
                (Some((kind, reason)), _) => format!("{}: {reason}", kind.as_str()),
                (None, Some(reason)) => reason.clone(),
                (None, None) => String::new(),
            },
        }
    }

    /// The interpreter's word about itself.
    pub fn interpreter(&self) -> Option<String> {
        match self {
            Self::Script(one) => one.interpreter.clone(),
            Self::Workload(_) => None,
        }
    }

    /// The program's part of the report: one result per benchmark.
    pub fn into_results(self, program: &Program<'_>) -> Vec<BenchmarkResult> {
        match (self, program) {
            (Self::Script(one), Program::Script(benchmark)) => vec![one.into_result(benchmark)],
            (Self::Workload(one), Program::Workload(installed, _)) => one.into_results(installed),
            // Each program is collected by its own kind.
            (Self::Script(_), Program::Workload(..)) | (Self::Workload(_), Program::Script(_)) => {
                Vec::new()
            }
        }
    }
}

/// The repetitions of a workload.
#[derive(Debug, Default)]
pub struct Repetitions {
    chosen: Vec<usize>,
    timing: Vec<(u32, Repetition)>,
    counters: Option<Repetition>,
    sampled: Option<Result<Repetition, (UnavailableKind, String)>>,
    /// Phases with an invalid window: a few good windows beside a bad one are no measurement that one could trust.
    invalid: BTreeMap<usize, String>,
    lost: Option<(UnavailableKind, String)>,
    counters_lost: Option<String>,
}

impl Repetitions {
    /// Takes a repetition's outcome, and says it in a few words.
    pub fn add(
        &mut self,
        turn: &Turn,
        outcome: Result<Repetition, (UnavailableKind, String)>,
    ) -> String {
        match (turn.mode, outcome) {
            (Mode::Timing, Ok(repetition)) => {
                for (index, phase) in &repetition.phases {
                    if let Err(reason) = phase {
                        self.invalid.entry(*index).or_insert_with(|| {
                            format!("repetition {}: {reason}", turn.process + 1)
                        });
                    }
                }
                let words = format!(
                    "{} windows of warm-up, {} phases",
                    repetition.warmup.len(),
                    repetition.phases.len()
                );
                self.timing.push((turn.process, repetition));
                words
            }
            (Mode::Counters, Ok(repetition)) => {
                self.counters = Some(repetition);
                "counted".to_owned()
            }
            (Mode::Sampling, outcome) => {
                let words = match &outcome {
                    Ok(_) => "sampled".to_owned(),
                    Err((kind, reason)) => format!("{}: {reason}", kind.as_str()),
                };
                self.sampled = Some(outcome);
                words
            }
            (Mode::Instructions | Mode::Profile, _) => {
                "servers are not run under valgrind".to_owned()
            }
            (Mode::Timing, Err((kind, reason))) => {
                let words = format!("{}: {reason}", kind.as_str());
                self.lost = Some((kind, reason));
                words
            }
            (Mode::Counters, Err((kind, reason))) => {
                let words = format!("{}: {reason}", kind.as_str());
                self.counters_lost = Some(reason);
                words
            }
        }
    }

    fn into_results(self, installed: &Installed) -> Vec<BenchmarkResult> {
        self.chosen
            .iter()
            .map(|index| self.result(*index, installed))
            .collect()
    }

    fn result(&self, index: usize, installed: &Installed) -> BenchmarkResult {
        let identity = &installed.identities[index];
        let mut result = BenchmarkResult {
            identity: identity.identity(),
            name: identity.name.clone(),
            loops: 1,
            measurements: Vec::new(),
            unavailable: Vec::new(),
            latencies: Vec::new(),
            profile: None,
        };
        let invalid = self
            .invalid
            .get(&index)
            .map(|reason| (UnavailableKind::Invalid, reason.clone()));
        if let Some((kind, reason)) = self.lost.clone().or(invalid) {
            result.unavailable.push(Unavailable {
                metric: None,
                kind,
                reason,
            });
            return result;
        }
        let mut samples: BTreeMap<(Metric, CounterSource), Vec<Sample>> = BTreeMap::new();
        for (process, repetition) in &self.timing {
            let Some(Ok(measured)) = repetition.phases.get(&index) else {
                continue;
            };
            self.add_warmup(&mut samples, *process, repetition);
            add(&mut samples, *process, measured);
            result.latencies.push(LatencyHistogram {
                process: *process,
                hdr: measured.histogram.clone(),
            });
        }
        if let Some(Ok(counted)) = self
            .counters
            .as_ref()
            .and_then(|counters| counters.phases.get(&index))
        {
            let known: Vec<Metric> = samples.keys().map(|(metric, _)| *metric).collect();
            let mut counted = counted.clone();
            // Throughput and latency beside counters are not those of an undisturbed repetition.
            counted
                .values
                .retain(|(metric, _, _)| !known.contains(metric));
            add(&mut samples, 0, &counted);
            result.unavailable.extend(counted.unavailable);
        }
        if let Some(reason) = &self.counters_lost {
            let reason = format!("the repetition with counters: {reason}");
            result.unavailable.push(Unavailable {
                metric: Some(Metric::TaskClock),
                kind: UnavailableKind::Invalid,
                reason,
            });
        }
        sampled::add(&mut result, self.profile(index));
        result.measurements = samples
            .into_iter()
            // A metric of which only the warm-up gave anything is not measured.
            .filter(|(_, samples)| samples.iter().any(|sample| !sample.warmup))
            .map(|((metric, source), samples)| MeasurementReport {
                metric,
                source,
                samples,
            })
            .collect();
        if result.measurements.is_empty() {
            let reason = "no repetition measured it".to_owned();
            result.unavailable.push(Unavailable {
                metric: None,
                kind: UnavailableKind::Invalid,
                reason,
            });
        }
        result
    }

    /// Where a phase's time went: by the repetition that is for that, or the one with counters.
    fn profile(&self, index: usize) -> Option<Result<ProfileReport, (UnavailableKind, String)>> {
        let repetition = match &self.sampled {
            Some(Err((kind, reason))) => {
                let reason = format!("the repetition with samples: {reason}");
                return Some(Err((*kind, reason)));
            }
            Some(Ok(repetition)) => repetition,
            None => self.counters.as_ref()?,
        };
        let unsupported = |reason| (UnavailableKind::Unsupported, reason);
        match repetition.phases.get(&index)? {
            Ok(measured) => Some(measured.profile.clone()?.map_err(unsupported)),
            Err(reason) => Some(Err((UnavailableKind::Invalid, reason.clone()))),
        }
    }

    /// The warm-up's windows, as warm-ups of throughput and of cost: one can see whether the servers were warm.
    fn add_warmup(
        &self,
        samples: &mut BTreeMap<(Metric, CounterSource), Vec<Sample>>,
        process: u32,
        repetition: &Repetition,
    ) {
        for (rate, cost) in &repetition.warmup {
            for (metric, value) in [
                (Metric::RequestsPerSecond, *rate),
                (Metric::CpuPerRequest, *cost),
            ] {
                let good = value.is_finite() && value > 0.0;
                let sample = Sample {
                    process,
                    warmup: true,
                    value,
                };
                if good {
                    samples
                        .entry((metric, CounterSource::Software))
                        .or_default()
                        .push(sample);
                }
            }
        }
    }
}

fn add(
    samples: &mut BTreeMap<(Metric, CounterSource), Vec<Sample>>,
    process: u32,
    measured: &Measured,
) {
    for (metric, source, value) in &measured.values {
        let sample = Sample {
            process,
            warmup: false,
            value: *value,
        };
        samples.entry((*metric, *source)).or_default().push(sample);
    }
}
