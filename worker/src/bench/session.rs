//! One benchmark's process: started in the box, listened to, its counters switched, killed when it takes too long.
//!
//! The process says what it does as JSON lines on one pipe and waits for `ok` on another (see `harness/pyperf.py`).
//! Nothing that it says is trusted: a line that is no event, a number that is no time, an end without a result make the
//! benchmark unavailable with the reason, and never fail the run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use command_fds::{CommandFdExt, FdMapping};
use serde::Deserialize;
use speedwell_wire::{CounterSource, Metric, Unavailable, UnavailableKind};

use super::command::{CONTROL_FD, EVENTS_FD};
use super::plan::Mode;
use crate::counters::CounterSet;
use crate::job::{Context as _, Failure};
use crate::process::{self, End, Guard, Sandbox, Spec, Stop, Tail};

/// More events than any process of a suite sends.
const MOST_EVENTS: usize = 200_000;
/// Lines of output kept for the reason.
const TAIL_LINES: usize = 15;

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
    End {
        children_max_rss_bytes: Option<u64>,
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

/// One iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// Before the measured ones.
    pub warmup: bool,
    /// Loops of the benchmark's own loop.
    pub loops: u64,
    /// Seconds of one loop.
    pub seconds: f64,
}

/// One counter over one iteration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count {
    /// The metric.
    pub metric: Metric,
    /// Where it comes from.
    pub source: CounterSource,
    /// Before the measured iterations.
    pub warmup: bool,
    /// Per loop, in the metric's unit.
    pub value: f64,
}

/// What one process gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// How long it lived, in seconds.
    pub duration: f64,
    /// The interpreter: implementation and build.
    pub interpreter: String,
    /// The clock it used.
    pub clock: String,
    /// The benchmark's name as the script says it.
    pub name: String,
    /// Loops per value.
    pub loops: u64,
    /// Repetitions inside the script's own loop.
    pub inner_loops: u64,
    /// The script's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Iterations in order.
    pub values: Vec<Value>,
    /// Counters in order.
    pub counts: Vec<Count>,
    /// Counters that are not there.
    pub unavailable: Vec<Unavailable>,
    /// Largest resident set in bytes.
    pub max_rss: Option<u64>,
}

/// How a process went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It measured.
    Measured(Box<Record>),
    /// It did not.
    Lost(UnavailableKind, String),
}

impl Outcome {
    /// The outcome in a few words, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Measured(record) => {
                let mut seconds: Vec<f64> = record
                    .values
                    .iter()
                    .filter(|value| !value.warmup)
                    .map(|value| value.seconds)
                    .collect();
                seconds.sort_by(f64::total_cmp);
                let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
                format!("{:.6} s, {} values", median, seconds.len())
            }
            Self::Lost(kind, reason) => format!("{}: {reason}", kind.as_str()),
        }
    }
}

/// Runs one process to its end. An error is the host's trouble or a request to stop.
pub fn run(sandbox: &Sandbox, spec: &Spec, mode: Mode, stop: &Stop) -> Result<Outcome, Failure> {
    let started_at = Utc::now();
    let begun = Instant::now();
    let mut running =
        Running::start(sandbox, spec).transient("cannot start the benchmark's process")?;
    let mut listener = Listener {
        mode,
        sandboxed: sandbox.namespaces,
        ..Listener::new(started_at)
    };
    let verdict = running.listen(&mut listener, spec.timeout, stop);
    let end = running.finish(
        matches!(verdict, Verdict::Ended),
        spec.timeout.saturating_sub(begun.elapsed()),
        stop,
    );
    listener.record.duration = begun.elapsed().as_secs_f64();
    match (verdict, end) {
        (Verdict::Stopped, _) | (Verdict::Ended, End::Stopped) => Err(Failure::stopped()),
        (Verdict::TimedOut, _) | (Verdict::Ended, End::TimedOut) => Ok(Outcome::Lost(
            UnavailableKind::TimedOut,
            with_words(
                &format!("no end in {} s; it was killed", spec.timeout.as_secs()),
                &running.tail(),
            ),
        )),
        (Verdict::Invalid(reason), _) => Ok(Outcome::Lost(
            UnavailableKind::Invalid,
            with_words(&reason, &running.tail()),
        )),
        (Verdict::Ended, end) if !end.success() => Ok(lost_by(end, &running.tail())),
        (Verdict::Ended, _) if listener.ended => match listener.complete() {
            Ok(record) => Ok(Outcome::Measured(Box::new(record))),
            Err(reason) => Ok(Outcome::Lost(UnavailableKind::Invalid, reason)),
        },
        (Verdict::Ended, _) => Ok(Outcome::Lost(
            UnavailableKind::Invalid,
            with_words("it ended without measuring anything", &running.tail()),
        )),
    }
}

/// A process that ended badly: a missing module means that the runtime cannot run the benchmark.
fn lost_by(end: End, tail: &str) -> Outcome {
    let missing = tail.lines().last().is_some_and(|line| {
        line.starts_with("ImportError") || line.starts_with("ModuleNotFoundError")
    });
    let kind = if missing {
        UnavailableKind::NotApplicable
    } else {
        UnavailableKind::Crashed
    };
    Outcome::Lost(kind, with_words(&end.describe(), tail))
}

fn with_words(reason: &str, tail: &str) -> String {
    if tail.is_empty() {
        reason.to_owned()
    } else {
        format!("{reason}; its last words:\n{tail}")
    }
}

/// Why listening ended.
#[derive(Debug)]
enum Verdict {
    /// The events' pipe ended.
    Ended,
    Invalid(String),
    TimedOut,
    Stopped,
}

struct Running {
    child: Guard,
    control: io::PipeWriter,
    events: Receiver<String>,
    output: JoinHandle<Tail>,
    text: Option<String>,
}

impl Running {
    fn start(sandbox: &Sandbox, spec: &Spec) -> io::Result<Self> {
        let (events_reader, events_writer) = io::pipe()?;
        let (control_reader, control) = io::pipe()?;
        let (output_reader, output_writer) = io::pipe()?;
        let mut command = process::prepare(sandbox, spec);
        command
            .stdin(Stdio::null())
            .stdout(output_writer.try_clone()?)
            .stderr(output_writer);
        command
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: OwnedFd::from(events_writer),
                    child_fd: EVENTS_FD,
                },
                FdMapping {
                    parent_fd: OwnedFd::from(control_reader),
                    child_fd: CONTROL_FD,
                },
            ])
            .map_err(io::Error::other)?;
        let child = Guard(command.spawn()?);
        drop(command); // It holds the pipes' other ends.
        let (sender, events) = mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            process::each_line(events_reader, |line| sender.send(line).is_ok())
        });
        let output = std::thread::spawn(move || {
            let mut tail = Tail::new(TAIL_LINES);
            process::each_line(output_reader, |line| {
                tail.push(&line);
                true
            });
            tail
        });
        Ok(Self {
            child,
            control,
            events,
            output,
            text: None,
        })
    }

    fn listen(&mut self, listener: &mut Listener, timeout: Duration, stop: &Stop) -> Verdict {
        let begun = Instant::now();
        let mut count = 0;
        loop {
            if stop.is_requested() {
                return Verdict::Stopped;
            }
            if begun.elapsed() > timeout {
                return Verdict::TimedOut;
            }
            let line = match self.events.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Verdict::Ended,
            };
            count += 1;
            if count > MOST_EVENTS {
                return Verdict::Invalid(format!("it sent more than {MOST_EVENTS} events"));
            }
            match listener.hear(&line, &self.child.0) {
                Ok(false) => {}
                // A process that is gone meanwhile shows by the end of its events.
                Ok(true) => drop(self.control.write_all(b"ok\n")),
                Err(reason) => return Verdict::Invalid(reason),
            }
        }
    }

    /// Waits for the end of a process that has said all, or kills one that has not.
    fn finish(&mut self, ended: bool, left: Duration, stop: &Stop) -> End {
        let begun = Instant::now();
        let deadline = if ended { begun + left } else { begun };
        loop {
            match self.child.0.try_wait() {
                Ok(Some(status)) if ended => {
                    self.child.kill();
                    return End::Exited(status);
                }
                Ok(None) if Instant::now() < deadline && !stop.is_requested() => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(_) | Err(_) => break,
            }
        }
        self.child.kill();
        if stop.is_requested() {
            End::Stopped
        } else {
            End::TimedOut
        }
    }

    /// The last lines of its output. Call it after [`Running::finish`].
    fn tail(&mut self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        // Everything is dead, so the pipe has ended, unless something escaped with it: then its words are lost.
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.output.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        let output = std::mem::replace(&mut self.output, std::thread::spawn(|| Tail::new(1)));
        let text = if output.is_finished() {
            output.join().map_or(String::new(), |tail| tail.text())
        } else {
            String::new()
        };
        self.text = Some(text.trim_end().to_owned());
        text.trim_end().to_owned()
    }
}

/// Turns events into a record.
struct Listener {
    mode: Mode,
    sandboxed: bool,
    started: bool,
    ended: bool,
    pid: u32,
    counters: Option<CounterSet>,
    reading: Option<crate::counters::Reading>,
    record: Record,
}

impl Listener {
    fn new(started_at: DateTime<Utc>) -> Self {
        Self {
            mode: Mode::Timing,
            sandboxed: false,
            started: false,
            ended: false,
            pid: 0,
            counters: None,
            reading: None,
            record: Record {
                started_at,
                duration: 0.0,
                interpreter: String::new(),
                clock: String::new(),
                name: String::new(),
                loops: 0,
                inner_loops: 1,
                metadata: BTreeMap::new(),
                values: Vec::new(),
                counts: Vec::new(),
                unavailable: Vec::new(),
                max_rss: None,
            },
        }
    }

    /// Takes one line; true when the process waits for an answer.
    fn hear(&mut self, line: &str, child: &Child) -> Result<bool, String> {
        let event: Event = serde_json::from_str(line).map_err(|error| {
            let start: String = line.chars().take(200).collect();
            format!("it sent what is no event ({error}): {start:?}")
        })?;
        if !self.started && !matches!(event, Event::Start { .. } | Event::Error { .. }) {
            return Err("it sent an event before its start".to_owned());
        }
        match event {
            Event::Start { clock, python } => {
                self.started = true;
                self.pid = if self.sandboxed {
                    only_child(only_child(child.id())?)?
                } else {
                    child.id()
                };
                self.record.clock = clock;
                self.record.interpreter = format!("{} {}", python.implementation, python.build);
                if self.mode == Mode::Counters {
                    let set = CounterSet::open(i32::try_from(self.pid).unwrap_or(0));
                    self.record.unavailable.clone_from(&set.unavailable);
                    self.counters = Some(set);
                }
                Ok(true)
            }
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
            Event::Enable => {
                let done = self.counters.as_ref().map_or(Ok(()), CounterSet::enable);
                done.map(|()| true)
                    .map_err(|error| format!("the counters cannot be switched on: {error}"))
            }
            Event::Disable => self.read_counters().map(|()| true),
            Event::Value {
                warmup,
                loops,
                inner_loops,
                seconds,
            } => self
                .take_value(warmup, loops, inner_loops, seconds)
                .map(|()| false),
            Event::End {
                children_max_rss_bytes,
            } => {
                self.ended = true;
                self.record.max_rss = children_max_rss_bytes.or_else(|| peak_memory(self.pid));
                Ok(true)
            }
            Event::Error { message } => Err(message),
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
        let Some(reading) = self.reading.take() else {
            return Ok(());
        };
        for (event, value) in &reading {
            match value {
                Ok(value) => self.record.counts.push(Count {
                    metric: event.metric,
                    source: event.source,
                    warmup,
                    value: value / iterations,
                }),
                Err(reason) => self.reject(event.metric, reason),
            }
        }
        self.add_ipc(warmup);
        Ok(())
    }

    /// A rejected reading makes the metric unavailable for the whole process: a mixture would be worse.
    fn reject(&mut self, metric: Metric, reason: &str) {
        if !self
            .record
            .unavailable
            .iter()
            .any(|known| known.metric == Some(metric))
        {
            self.record.unavailable.push(Unavailable {
                metric: Some(metric),
                kind: UnavailableKind::Unsupported,
                reason: reason.to_owned(),
            });
        }
    }

    fn add_ipc(&mut self, warmup: bool) {
        let newest = |metric: Metric| {
            self.record
                .counts
                .iter()
                .rev()
                .take(8)
                .find(|count| count.metric == metric)
        };
        let (Some(instructions), Some(cycles)) =
            (newest(Metric::Instructions), newest(Metric::Cycles))
        else {
            return;
        };
        if cycles.value > 0.0 {
            let value = instructions.value / cycles.value;
            self.record.counts.push(Count {
                metric: Metric::Ipc,
                source: cycles.source,
                warmup,
                value,
            });
        }
    }

    fn complete(mut self) -> Result<Record, String> {
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

/// `VmHWM`: the largest resident set so far, in bytes.
fn peak_memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix(" kB")?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests;
