//! Turns what one process says into a record: every line checked, counters switched and read when it asks.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use speedwell_wire::{Metric, Unavailable, UnavailableKind};

use super::super::plan::{Mode, Turn};
use super::super::sampled::SampledValues;
use super::{Count, Hear, Record, Reply, Value};
use crate::counters::derive::{Counts, derive};
use crate::counters::{CounterSet, Quantity, Reading, plan};
use crate::process::{printable, tree};

/// What the harness says. Unknown fields are ignored, unknown events refused.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Start {
        clock: String,
        python: Python,
    },
    Benchmark {
        name: String,
        loops: u64,
        inner_loops: u64,
        metadata: BTreeMap<String, String>,
    },
    Enable,
    Disable,
    Value {
        warmup: bool,
        loops: u64,
        inner_loops: u64,
        seconds: f64,
    },
    Measure {
        metric: String,
        value: Option<f64>,
        reason: Option<String>,
    },
    Resting,
    End {
        children_max_rss_bytes: Option<u64>,
        children_max_rss_reason: Option<String>,
    },
    Error {
        message: String,
    },
}

/// The interpreter's word about itself.
#[derive(Debug, Deserialize)]
struct Python {
    implementation: String,
    build: String,
}

impl Hear for Listener {
    fn hear(&mut self, line: &str, child: &Child) -> Result<Reply, String> {
        let waits = self.take(line, child)?;
        Ok(if waits { Reply::Ok } else { Reply::None })
    }
}

/// Turns events into a record.
pub(super) struct Listener {
    turn: Turn,
    /// The program is a grandchild, in a namespace.
    sandboxed: bool,
    /// When it was started.
    pub(super) begun: Instant,
    started: bool,
    /// It said that it is through.
    pub(super) ended: bool,
    pid: u32,
    counters: Option<CounterSet>,
    sampled: Option<SampledValues>,
    reading: Option<Reading>,
    /// What it gave so far.
    pub(super) record: Record,
}

impl Listener {
    pub(super) fn new(turn: &Turn, sandboxed: bool, started_at: DateTime<Utc>) -> Self {
        Self {
            turn: *turn,
            sandboxed,
            begun: Instant::now(),
            started: false,
            ended: false,
            pid: 0,
            counters: None,
            sampled: None,
            reading: None,
            record: Record::beginning(started_at),
        }
    }

    fn take(&mut self, line: &str, child: &Child) -> Result<bool, String> {
        let event: Event = serde_json::from_str(line).map_err(|error| {
            let start: String = line.chars().take(200).collect();
            format!("it sent what is no event ({error}): {start:?}")
        })?;
        if !self.started && !matches!(event, Event::Start { .. } | Event::Error { .. }) {
            return Err("it sent an event before its start".to_owned());
        }
        match event {
            Event::Start { clock, python } => self.start(clock, &python, child).map(|()| true),
            Event::Benchmark {
                name,
                loops,
                inner_loops,
                metadata,
            } => {
                self.record.name = name;
                self.record.loops = loops;
                self.record.inner_loops = inner_loops;
                self.record.metadata = metadata;
                Ok(false)
            }
            Event::Enable => self.enable().map(|()| true),
            Event::Disable => self.disable().map(|()| true),
            Event::Value {
                warmup,
                loops,
                inner_loops,
                seconds,
            } => self
                .take_value(warmup, loops, inner_loops, seconds)
                .map(|()| false),
            Event::Measure {
                metric,
                value,
                reason,
            } => self.take_report(&metric, value, reason).map(|()| false),
            Event::Resting => {
                let child = only_child(self.pid)?;
                self.record.measures_children = true;
                self.take_memory(
                    [tree::peak_memory(child), tree::resident_memory(child)],
                    [None, None],
                );
                Ok(true)
            }
            Event::End {
                children_max_rss_bytes: peak,
                children_max_rss_reason: no_peak,
            } => {
                self.end(peak, no_peak);
                Ok(true)
            }
            // JSON can carry any character; what reaches logs and pages is printable.
            Event::Error { message } => Err(printable(message.as_bytes())),
        }
    }

    /// The program says what it is; its own process is found, and its counters are opened.
    fn start(&mut self, clock: String, python: &Python, child: &Child) -> Result<(), String> {
        self.started = true;
        self.pid = if self.sandboxed {
            only_child(only_child(child.id())?)?
        } else {
            child.id()
        };
        self.record.clock = clock;
        self.record.interpreter = format!("{} {}", python.implementation, python.build);
        if self.turn.mode == Mode::Counters {
            let pid = i32::try_from(self.pid).unwrap_or(0);
            let set = CounterSet::open_planned(pid, self.turn.process as usize);
            self.record.unavailable.clone_from(&set.unavailable);
            self.counters = Some(set);
        }
        if self.turn.mode == Mode::Sampling {
            match SampledValues::open(self.pid) {
                Ok(sampled) => self.sampled = Some(sampled),
                Err(reason) => self.record.profile = Some(Err(reason)),
            }
        }
        Ok(())
    }

    /// The timed region begins.
    fn enable(&self) -> Result<(), String> {
        self.sampled
            .as_ref()
            .map_or(Ok(()), SampledValues::enable)?;
        let done = self.counters.as_ref().map_or(Ok(()), CounterSet::enable);
        done.map_err(|error| format!("the counters cannot be switched on: {error}"))
    }

    /// It has ended.
    fn disable(&mut self) -> Result<(), String> {
        self.sampled
            .as_ref()
            .map_or(Ok(()), SampledValues::disable)?;
        self.read_counters()
    }

    /// The process has measured all, and waits while its memory is read.
    fn end(&mut self, peak: Option<u64>, no_peak: Option<String>) {
        self.ended = true;
        let profile = self.sampled.take().map(SampledValues::finish);
        self.record.profile = profile.or(self.record.profile.take());
        self.record.measures_children |= peak.is_some() || no_peak.is_some();
        if self.record.once.contains_key(&Metric::MaxRss) {
            // A child at rest had its memory read.
        } else if peak.is_some() || no_peak.is_some() {
            let ended = "the child processes that are the benchmark have ended".to_owned();
            self.take_memory([peak, None], [no_peak, Some(ended)]);
        } else {
            let bytes = [tree::peak_memory(self.pid), tree::resident_memory(self.pid)];
            self.take_memory(bytes, [None, None]);
        }
    }

    fn read_counters(&mut self) -> Result<(), String> {
        if let Some(set) = &mut self.counters {
            let read = set.disable().and_then(|()| set.read());
            self.reading =
                Some(read.map_err(|error| format!("the counters cannot be read: {error}"))?);
        }
        Ok(())
    }

    fn take_value(
        &mut self,
        warmup: bool,
        loops: u64,
        inner_loops: u64,
        seconds: f64,
    ) -> Result<(), String> {
        if !(seconds.is_finite() && seconds > 0.0) || loops == 0 || inner_loops == 0 {
            return Err(format!(
                "{seconds} s for {loops} x {inner_loops} loops is no measurement"
            ));
        }
        let iterations = loops as f64 * inner_loops as f64;
        self.record.values.push(Value {
            warmup,
            loops,
            seconds: seconds / iterations,
        });
        let sampled = self.sampled.as_mut();
        sampled.map_or(Ok(()), |one| one.take_value(warmup, iterations))?;
        let Some(reading) = self.reading.take() else {
            return Ok(());
        };
        for (event, value) in &reading {
            match (event.metric(), value) {
                (Some(metric), Ok(value)) => self.record.counts.push(Count {
                    metric,
                    source: event.source,
                    warmup,
                    value: value / iterations,
                }),
                (Some(metric), Err(reason)) => {
                    self.reject(metric, UnavailableKind::Invalid, reason);
                }
                (None, _) => {}
            }
            self.record.shared_counters |= value.is_err();
        }
        self.add_derived(warmup, &reading);
        Ok(())
    }

    /// What follows from the group's counts. What it should give and does not has the reason of what it lacks.
    fn add_derived(&mut self, warmup: bool, reading: &Reading) {
        let plan = plan::of_host();
        let Some(group) = plan.groups.get(self.turn.process as usize) else {
            return;
        };
        let good = reading
            .iter()
            .filter_map(|(event, value)| Some((event.quantity, *value.as_ref().ok()?)));
        let derived = derive(plan.top_down, Counts(&good.collect::<Vec<_>>()));
        let cycles = Quantity::Metric(Metric::Cycles);
        let source = reading.iter().find(|(event, _)| event.quantity == cycles);
        for metric in &group.gives {
            let known = |(event, _): &(crate::counters::Event, _)| event.metric() == Some(*metric);
            if reading.iter().any(known) {
                continue;
            }
            match (derived.iter().find(|(of, _)| of == metric), source) {
                (Some((_, value)), Some((event, _))) => self.record.counts.push(Count {
                    metric: *metric,
                    source: event.source,
                    warmup,
                    value: *value,
                }),
                _ => {
                    let (kind, reason) = self.why_none(reading);
                    self.reject(*metric, kind, &reason);
                }
            }
        }
    }

    /// Why a metric does not follow: a rejected count, one that cannot be opened, or counts that make no number.
    fn why_none(&self, reading: &Reading) -> (UnavailableKind, String) {
        let rejected = reading.iter().find_map(|(_, value)| value.as_ref().err());
        let mut missing = self.counters.iter().flat_map(|set| &set.missing_inputs);
        match (rejected, missing.next()) {
            (Some(reason), _) => (UnavailableKind::Invalid, reason.clone()),
            (None, Some((_, reason))) => (UnavailableKind::Unsupported, reason.clone()),
            (None, None) => (
                UnavailableKind::Invalid,
                "the counts of one iteration give no number".to_owned(),
            ),
        }
    }

    /// A rejected reading makes the metric unavailable for the whole process: a mixture would be worse.
    fn reject(&mut self, metric: Metric, kind: UnavailableKind, reason: &str) {
        if !self
            .record
            .unavailable
            .iter()
            .any(|known| known.metric == Some(metric))
        {
            self.record.unavailable.push(Unavailable {
                metric: Some(metric),
                kind,
                reason: reason.to_owned(),
            });
        }
    }

    pub(super) fn complete(mut self) -> Result<Record, String> {
        if !self.record.values.iter().any(|value| !value.warmup) {
            return Err("it sent no value".to_owned());
        }
        let rejected: Vec<Metric> = self
            .record
            .unavailable
            .iter()
            .filter_map(|missing| missing.metric)
            .collect();
        self.record
            .counts
            .retain(|count| !rejected.contains(&count.metric));
        Ok(self.record)
    }
}

/// The only child of a process, as the host numbers it: inside the box, the program is a child of a child of `unshare`.
fn only_child(pid: u32) -> Result<u32, String> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| format!("{path} names no process"))
}
