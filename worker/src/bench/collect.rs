//! What the processes of one benchmark gave, put together.

use std::collections::BTreeSet;

use speedwell_wire::{
    BenchmarkResult, CounterSource, MeasurementReport, Metric, ProfileReport, Sample, Unavailable,
    UnavailableKind,
};

use super::callgrind::Profiling;
use super::groups::{self, Found};
use super::plan::{Mode, Turn};
use super::sampled;
use super::session::{Outcome, Record};
use super::suite::{Benchmark, Plan};
use super::valgrind;
use crate::counters::plan::of_host;

/// The processes of one benchmark so far.
#[derive(Debug, Default)]
pub struct Collected {
    /// Timing processes, with their index.
    pub timing: Vec<(u32, Record)>,
    /// The processes of the counters' groups, with their index.
    counters: Vec<(u32, Found)>,
    /// Why the benchmark could not be measured.
    lost: Option<(UnavailableKind, String)>,
    instructions: Instructions,
    /// Where they go.
    pub profiling: Profiling,
    sampled: Option<Result<ProfileReport, (UnavailableKind, String)>>,
    /// The interpreter's word about itself.
    pub interpreter: Option<String>,
}

/// What valgrind gave so far.
#[derive(Debug, Default, PartialEq)]
enum Instructions {
    /// Nothing was asked, or not yet.
    #[default]
    None,
    /// All of the first process, and its loops.
    Once { total: u64, loops: u64 },
    /// Of one loop.
    Counted(f64),
    /// It cannot be had.
    Lost(UnavailableKind, String),
}

impl Collected {
    /// Whether a turn is worth its time, after what earlier ones said.
    pub fn wants(&mut self, turn: &Turn) -> bool {
        if turn.mode == Mode::Counters {
            // Without the first group there is nothing to compare the others with.
            let first = self.counters.iter().find(|(group, _)| *group == 0);
            return turn.process == 0 || first.is_some_and(|(_, found)| found.is_ok());
        }
        if !turn.mode.is_under_valgrind() {
            return true;
        }
        let mut records = self.timing.iter();
        if records.any(|(_, record)| record.measures_children) {
            let reason = "valgrind counts one process, and child processes are this benchmark";
            match turn.mode {
                Mode::Profile => self.profiling.lose(reason),
                Mode::Timing | Mode::Counters | Mode::Instructions | Mode::Sampling => {
                    self.lose_instructions(reason);
                }
            }
        }
        if turn.mode == Mode::Profile {
            return self.profiling.wants(turn);
        }
        match self.instructions {
            Instructions::None => turn.process == 0,
            Instructions::Once { .. } => turn.process == 1,
            Instructions::Counted(_) | Instructions::Lost(..) => false,
        }
    }

    /// Valgrind will not count here.
    pub fn lose_instructions(&mut self, reason: &str) {
        self.instructions = Instructions::Lost(UnavailableKind::Unsupported, reason.to_owned());
    }

    /// Takes the outcome of a process under valgrind with the log that valgrind left; what it gave, in words.
    pub fn add_instructions(&mut self, turn: &Turn, outcome: Outcome, log: &str) -> String {
        let lost = |kind, reason| {
            Instructions::Lost(kind, format!("the process under valgrind: {reason}"))
        };
        let found = match (outcome, valgrind::instructions(log)) {
            (Outcome::Lost(kind, reason), _) => lost(kind, reason),
            (Outcome::Measured(_), None) => {
                let last = log.lines().last().unwrap_or("nothing").chars().take(200);
                let reason = format!("valgrind said no count, but {:?}", last.collect::<String>());
                lost(UnavailableKind::Invalid, reason)
            }
            (Outcome::Measured(record), Some(total)) => match (turn.process, &self.instructions) {
                (1, Instructions::Once { total: once, loops }) => {
                    match valgrind::per_loop(*once, total, *loops) {
                        Ok(count) => Instructions::Counted(count),
                        Err(reason) => lost(UnavailableKind::Invalid, reason),
                    }
                }
                _ => Instructions::Once {
                    total,
                    loops: record.loops * record.inner_loops,
                },
            },
        };
        let words = match &found {
            Instructions::None => String::new(),
            Instructions::Once { total, .. } => format!("{total} in all"),
            Instructions::Counted(count) => format!("{count:.0} a loop"),
            Instructions::Lost(kind, reason) => format!("{}: {reason}", kind.as_str()),
        };
        self.instructions = found;
        words
    }

    /// Whether the benchmark is given up: a process of it failed. A few good processes beside a failed one are no
    /// measurement that one could trust.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Why it is lost.
    pub fn why(&self) -> String {
        self.lost
            .as_ref()
            .map_or_else(String::new, |(kind, reason)| {
                format!("{}: {reason}", kind.as_str())
            })
    }

    /// Gives the benchmark up before it began.
    pub fn lose(&mut self, kind: UnavailableKind, reason: String) {
        self.lost = Some((kind, reason));
    }

    /// How many values a process takes.
    pub fn values(&self, plan: &Plan, turn: &Turn) -> u32 {
        match turn.mode {
            Mode::Timing => plan.values,
            Mode::Counters => plan.counter_values,
            Mode::Instructions | Mode::Profile => 1,
            Mode::Sampling => sampled::values(&self.timing),
        }
    }

    /// Takes a process's outcome.
    pub fn add(&mut self, turn: &Turn, outcome: Outcome) {
        match (turn.mode, outcome) {
            (Mode::Timing, Outcome::Measured(record)) => {
                self.interpreter
                    .get_or_insert_with(|| record.interpreter.clone());
                self.timing.push((turn.process, *record));
            }
            (Mode::Counters, Outcome::Measured(record)) => {
                self.counters.push((turn.process, Ok(*record)));
            }
            (Mode::Timing, Outcome::Lost(kind, reason)) => self.lost = Some((kind, reason)),
            (Mode::Counters, Outcome::Lost(kind, reason)) => {
                self.counters.push((turn.process, Err((kind, reason))));
            }
            (Mode::Sampling, Outcome::Measured(record)) => {
                self.sampled = record
                    .profile
                    .map(|found| found.map_err(|reason| (UnavailableKind::Unsupported, reason)));
            }
            (Mode::Sampling, Outcome::Lost(kind, reason)) => {
                let reason = format!("the process with samples: {reason}");
                self.sampled = Some(Err((kind, reason)));
            }
            // They come with valgrind's files: `add_instructions`, `Profiling::add`.
            (Mode::Instructions | Mode::Profile, _) => {}
        }
    }

    /// The benchmark's part of the report.
    pub fn into_result(self, benchmark: &Benchmark) -> BenchmarkResult {
        let mut result = BenchmarkResult {
            identity: benchmark.identity().identity(),
            name: benchmark.name.clone(),
            loops: self
                .timing
                .first()
                .map_or(0, |(_, record)| record.loops * record.inner_loops),
            measurements: Vec::new(),
            unavailable: Vec::new(),
            latencies: Vec::new(),
            profile: None,
        };
        if let Some((kind, reason)) = self.lost {
            result.unavailable.push(Unavailable {
                metric: None,
                kind,
                reason,
            });
            return result;
        }
        result.measurements.push(MeasurementReport {
            metric: Metric::WallTime,
            source: CounterSource::Software,
            samples: wall_times(&self.timing),
        });
        add_once(&mut result, &self.timing);
        add_counters(&mut result, self.counters);
        add_instructions(&mut result, self.instructions);
        sampled::add(&mut result, self.sampled);
        match self.profiling {
            Profiling::None => {}
            Profiling::Profiled(profile) => result.profile = Some(profile),
            Profiling::Once { .. } => result.unavailable.push(Unavailable {
                metric: Some(Metric::MainLoopShare),
                kind: UnavailableKind::Invalid,
                reason: "callgrind ran only one of its two processes".to_owned(),
            }),
            Profiling::Lost(kind, reason) => result.unavailable.push(Unavailable {
                metric: Some(Metric::MainLoopShare),
                kind,
                reason,
            }),
        }
        result
    }
}

fn wall_times(timing: &[(u32, Record)]) -> Vec<Sample> {
    let samples = timing.iter().flat_map(|(process, record)| {
        record.values.iter().map(|value| Sample {
            process: *process,
            warmup: value.warmup,
            value: value.seconds,
        })
    });
    samples.collect()
}

/// What each process has one value of. A metric that one process lacks is unavailable: the others alone would be another
/// selection in every run.
fn add_once(result: &mut BenchmarkResult, timing: &[(u32, Record)]) {
    let metrics: BTreeSet<Metric> = timing
        .iter()
        .flat_map(|(_, record)| record.once.keys().copied())
        .collect();
    for metric in metrics {
        let value_of = |(process, record): &(u32, Record)| match record.once.get(&metric) {
            Some(Ok(value)) => Ok(Sample {
                process: *process,
                warmup: false,
                value: *value,
            }),
            Some(Err(missing)) => Err(missing.clone()),
            None => Err((
                UnavailableKind::Invalid,
                format!("process {process} did not report it, as others did"),
            )),
        };
        let samples: Result<Vec<Sample>, _> = timing.iter().map(value_of).collect();
        match samples {
            Ok(samples) => result.measurements.push(MeasurementReport {
                metric,
                source: CounterSource::Software,
                samples,
            }),
            Err((kind, reason)) => result.unavailable.push(Unavailable {
                metric: Some(metric),
                kind,
                reason,
            }),
        }
    }
}

fn add_counters(result: &mut BenchmarkResult, mut counters: Vec<(u32, Found)>) {
    let Some(first) = counters.iter().position(|(group, _)| *group == 0) else {
        return;
    };
    match counters.swap_remove(first).1 {
        Ok(record) => {
            groups::add_counts(result, &record, |_| true);
            groups::add_further(result, of_host(), &record, counters);
        }
        Err((kind, reason)) => result.unavailable.push(Unavailable {
            metric: Some(Metric::TaskClock),
            kind,
            reason: format!("the process with counters: {reason}"),
        }),
    }
}

fn add_instructions(result: &mut BenchmarkResult, instructions: Instructions) {
    match instructions {
        Instructions::None => {}
        Instructions::Counted(value) => {
            // They are there now, whatever the processor's own counters are.
            result
                .unavailable
                .retain(|one| one.metric != Some(Metric::Instructions));
            result.measurements.push(MeasurementReport {
                metric: Metric::Instructions,
                source: CounterSource::Valgrind,
                samples: vec![Sample {
                    process: 0,
                    warmup: false,
                    value,
                }],
            });
        }
        Instructions::Once { .. } => add_instructions(
            result,
            Instructions::Lost(
                UnavailableKind::Invalid,
                "valgrind ran only one of its two processes".to_owned(),
            ),
        ),
        Instructions::Lost(kind, reason) => {
            let measured = |one: &MeasurementReport| one.metric == Metric::Instructions;
            if !result.measurements.iter().any(measured) {
                result
                    .unavailable
                    .retain(|one| one.metric != Some(Metric::Instructions));
                result.unavailable.push(Unavailable {
                    metric: Some(Metric::Instructions),
                    kind,
                    reason,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
