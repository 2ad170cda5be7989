//! What the processes of one benchmark gave, put together.

use std::collections::BTreeSet;

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
        add_once(&mut result, &self.timing);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(once: &[(Metric, Result<f64, &str>)]) -> Record {
        let unsupported = |reason: &str| (UnavailableKind::Unsupported, reason.to_owned());
        Record {
            started_at: chrono::DateTime::UNIX_EPOCH,
            duration: 1.0,
            interpreter: String::new(),
            clock: String::new(),
            name: String::new(),
            loops: 1,
            inner_loops: 1,
            metadata: std::collections::BTreeMap::new(),
            values: Vec::new(),
            counts: Vec::new(),
            unavailable: Vec::new(),
            once: once
                .iter()
                .map(|(metric, found)| (*metric, found.map_err(unsupported)))
                .collect(),
        }
    }

    #[test]
    fn a_metric_that_one_process_lacks_is_unavailable() {
        let mut result = BenchmarkResult {
            identity: String::new(),
            name: String::new(),
            loops: 1,
            measurements: Vec::new(),
            unavailable: Vec::new(),
            latencies: Vec::new(),
        };
        let whole = record(&[
            (Metric::SteadyRss, Ok(1e6)),
            (Metric::GcPauseMax, Ok(0.5)),
            (Metric::StepMax, Ok(0.25)),
        ]);
        let half = record(&[(Metric::SteadyRss, Ok(2e6)), (Metric::StepMax, Err("no"))]);
        add_once(&mut result, &[(0, whole), (1, half)]);
        let [steady] = &result.measurements[..] else {
            panic!("{:?}", result.measurements)
        };
        assert_eq!(steady.metric, Metric::SteadyRss);
        assert_eq!(steady.samples.len(), 2);
        assert_eq!(steady.samples[1].value, 2e6);
        let missing: Vec<_> = result
            .unavailable
            .iter()
            .map(|one| (one.metric, one.kind, one.reason.as_str()))
            .collect();
        assert_eq!(
            missing,
            [
                (Some(Metric::StepMax), UnavailableKind::Unsupported, "no"),
                (
                    Some(Metric::GcPauseMax),
                    UnavailableKind::Invalid,
                    "process 1 did not report it, as others did"
                ),
            ]
        );
    }
}
