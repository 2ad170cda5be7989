//! What the processes of one benchmark gave, put together.

use speedwell_wire::{
    BenchmarkResult, CounterSource, MeasurementReport, Metric, Sample, Unavailable, UnavailableKind,
};

use super::plan::{Mode, Turn};
use super::session::{Outcome, Record};
use super::suite::Benchmark;

/// The processes of one benchmark so far.
#[derive(Debug, Default)]
pub struct Collected {
    /// Timing processes, with their index.
    pub timing: Vec<(u32, Record)>,
    /// The counters' process.
    counters: Option<Record>,
    /// Why the benchmark, or only its counters, could not be measured.
    lost: Option<(UnavailableKind, String)>,
    counters_lost: Option<(UnavailableKind, String)>,
    /// The interpreter's word about itself.
    pub interpreter: Option<String>,
}

impl Collected {
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

    /// Takes a process's outcome.
    pub fn add(&mut self, turn: &Turn, outcome: Outcome) {
        match (turn.mode, outcome) {
            (Mode::Timing, Outcome::Measured(record)) => {
                self.interpreter
                    .get_or_insert_with(|| record.interpreter.clone());
                self.timing.push((turn.process, *record));
            }
            (Mode::Counters, Outcome::Measured(record)) => self.counters = Some(*record),
            (Mode::Timing, Outcome::Lost(kind, reason)) => self.lost = Some((kind, reason)),
            (Mode::Counters, Outcome::Lost(kind, reason)) => {
                self.counters_lost = Some((kind, reason))
            }
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
        let peaks: Option<Vec<Sample>> = self
            .timing
            .iter()
            .map(|(process, record)| peak(*process, record))
            .collect();
        match peaks {
            Some(samples) if !samples.is_empty() => result.measurements.push(MeasurementReport {
                metric: Metric::MaxRss,
                source: CounterSource::Software,
                samples,
            }),
            Some(_) | None => result.unavailable.push(Unavailable {
                metric: Some(Metric::MaxRss),
                kind: UnavailableKind::Unsupported,
                reason: "the kernel did not say it".to_owned(),
            }),
        }
        match (self.counters, self.counters_lost) {
            (Some(record), _) => add_counters(&mut result, record),
            (None, Some((kind, reason))) => {
                let reason = format!("the process with counters: {reason}");
                result.unavailable.push(Unavailable {
                    metric: Some(Metric::TaskClock),
                    kind,
                    reason,
                });
            }
            (None, None) => {}
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

fn peak(process: u32, record: &Record) -> Option<Sample> {
    record
        .max_rss
        .filter(|bytes| *bytes > 0)
        .map(|bytes| Sample {
            process,
            warmup: false,
            value: bytes as f64,
        })
}

fn add_counters(result: &mut BenchmarkResult, record: Record) {
    for metric in Metric::ALL {
        let of_metric = || record.counts.iter().filter(|count| count.metric == *metric);
        let Some(first) = of_metric().next() else {
            continue;
        };
        let samples = of_metric().map(|count| Sample {
            process: 0,
            warmup: count.warmup,
            value: count.value,
        });
        result.measurements.push(MeasurementReport {
            metric: *metric,
            source: first.source,
            samples: samples.collect(),
        });
    }
    result.unavailable.extend(record.unavailable);
}
