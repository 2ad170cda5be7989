//! One benchmark's process: started in the box, listened to, its counters switched, killed when it takes too long.
//!
//! The process says what it does as JSON lines on one pipe and waits for `ok` on another (see `harness/pyperf.py`).
//! Nothing that it says is trusted: a line that is no event, a number that is no time, an end without a result make the
//! benchmark unavailable with the reason, and never fail the run.

mod listener;
mod once;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use command_fds::{CommandFdExt, FdMapping};
use speedwell_wire::{CounterSource, Metric, ProfileReport, Unavailable, UnavailableKind};

use listener::Listener;

use super::command::{CONTROL_FD, EVENTS_FD};
use super::plan::Turn;
use crate::job::{Context as _, Failure};
use crate::process::{self, End, Exhausted, Guard, Sandbox, Spec, Stop, Tail, Watch};

/// More events than any process of a suite sends.
const MOST_EVENTS: usize = 200_000;
/// Lines of output kept for the reason.
const TAIL_LINES: usize = 15;
/// How often a process with counters is run at most, when they were lent to somebody else each time.
const COUNTINGS: u32 = 3;

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
    /// Whether child processes of it are the benchmark.
    pub measures_children: bool,
    /// The script's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Iterations in order.
    pub values: Vec<Value>,
    /// Counters in order.
    pub counts: Vec<Count>,
    /// Counters that are not there.
    pub unavailable: Vec<Unavailable>,
    /// A reading was rejected, because the counters were lent to somebody else meanwhile.
    pub shared_counters: bool,
    /// Where its time went, of a sampled process; or why that is not known.
    pub profile: Option<Result<ProfileReport, String>>,
    /// What there is one value of: its memory, and what its script reported; or why there is none.
    pub once: BTreeMap<Metric, Result<f64, (UnavailableKind, String)>>,
}

impl Record {
    /// Of a process that has said nothing yet.
    pub fn beginning(started_at: DateTime<Utc>) -> Self {
        Self {
            started_at,
            duration: 0.0,
            interpreter: String::new(),
            clock: String::new(),
            name: String::new(),
            loops: 0,
            inner_loops: 1,
            measures_children: false,
            metadata: BTreeMap::new(),
            values: Vec::new(),
            counts: Vec::new(),
            unavailable: Vec::new(),
            shared_counters: false,
            profile: None,
            once: BTreeMap::new(),
        }
    }
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
                let shared = if record.shared_counters {
                    format!(", somebody else used the counters {COUNTINGS} times")
                } else {
                    String::new()
                };
                format!("{median:.6} s, {} values{shared}", seconds.len())
            }
            Self::Lost(kind, reason) => format!("{}: {reason}", kind.as_str()),
        }
    }
}

/// What a process is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It does not wait.
    None,
    /// Go on.
    Ok,
    /// The same once more.
    Again,
}

/// Makes sense of what a process says.
pub trait Hear {
    /// Takes one line; the error says why it is no acceptable one.
    fn hear(&mut self, line: &str, child: &Child) -> Result<Reply, String>;
}

/// As [`run`], and once more when the kernel has lent the counters to somebody else meanwhile: nothing is scaled, so that
/// repetition is lost. When it happens each time, the last one says so. `prepare`: what to run, made anew for each.
pub fn run_counted(
    sandbox: &Sandbox,
    prepare: impl Fn() -> Result<Spec, Failure>,
    turn: &Turn,
    stop: &Stop,
) -> Result<Outcome, Failure> {
    for _ in 1..COUNTINGS {
        let outcome = run(sandbox, &prepare()?, turn, stop)?;
        match &outcome {
            Outcome::Measured(record) if record.shared_counters => {}
            Outcome::Measured(_) | Outcome::Lost(..) => return Ok(outcome),
        }
    }
    run(sandbox, &prepare()?, turn, stop)
}

/// Runs one process of a script to its end. An error is the host's trouble or a request to stop.
pub fn run(sandbox: &Sandbox, spec: &Spec, turn: &Turn, stop: &Stop) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let mut listener = Listener::new(turn, sandbox.namespaces, Utc::now());
    let heard = hear_out(sandbox, spec, &mut listener, stop)?;
    listener.record.duration = begun.elapsed().as_secs_f64();
    match heard {
        Err((kind, reason)) => Ok(Outcome::Lost(kind, reason)),
        Ok(_) if listener.ended => match listener.complete() {
            Ok(record) => Ok(Outcome::Measured(Box::new(record))),
            Err(reason) => Ok(Outcome::Lost(UnavailableKind::Invalid, reason)),
        },
        Ok(tail) => Ok(Outcome::Lost(
            UnavailableKind::Invalid,
            with_words("it ended without measuring anything", &tail),
        )),
    }
}

/// Runs a process until it has said everything and ended well: then its last words; else why not.
pub fn hear_out(
    sandbox: &Sandbox,
    spec: &Spec,
    listener: &mut dyn Hear,
    stop: &Stop,
) -> Result<Result<String, (UnavailableKind, String)>, Failure> {
    let begun = Instant::now();
    let mut running =
        Running::start(sandbox, spec).transient("cannot start the benchmark's process")?;
    let verdict = running.listen(listener, spec.timeout, stop);
    let end = running.finish(
        matches!(verdict, Verdict::Ended),
        spec.timeout.saturating_sub(begun.elapsed()),
        stop,
    );
    let tail = running.tail();
    match (verdict, end) {
        (Verdict::Stopped, _) | (Verdict::Ended, End::Stopped) => Err(Failure::stopped()),
        (Verdict::TimedOut, _) | (Verdict::Ended, End::TimedOut) => Ok(Err((
            UnavailableKind::TimedOut,
            with_words(
                &format!("no end in {} s; it was killed", spec.timeout.as_secs()),
                &tail,
            ),
        ))),
        (Verdict::Exhausted(what), _) => Ok(Err((
            UnavailableKind::Crashed,
            with_words(&format!("it {}", what.describe()), &tail),
        ))),
        (Verdict::Invalid(reason), _) => {
            Ok(Err((UnavailableKind::Invalid, with_words(&reason, &tail))))
        }
        (Verdict::Ended, end) if !end.success() => Ok(Err(lost_by(end, &tail))),
        (Verdict::Ended, _) => Ok(Ok(tail)),
    }
}

/// A process that ended badly: a missing module means that the runtime cannot run the benchmark.
fn lost_by(end: End, tail: &str) -> (UnavailableKind, String) {
    let missing = tail.lines().last().is_some_and(|line| {
        line.starts_with("ImportError") || line.starts_with("ModuleNotFoundError")
    });
    let kind = if missing {
        UnavailableKind::NotApplicable
    } else {
        UnavailableKind::Crashed
    };
    (kind, with_words(&end.describe(), tail))
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
    Exhausted(Exhausted),
}

struct Running {
    child: Guard,
    watch: Watch,
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
        if let Some((user, group)) = sandbox.identity {
            // A runtime without descriptors of its own (Jython) opens them by path, which only their owner may.
            std::os::unix::fs::fchown(&events_writer, Some(user), Some(group))?;
            std::os::unix::fs::fchown(&control_reader, Some(user), Some(group))?;
        }
        let pipes = vec![
            FdMapping {
                parent_fd: OwnedFd::from(events_writer),
                child_fd: EVENTS_FD,
            },
            FdMapping {
                parent_fd: OwnedFd::from(control_reader),
                child_fd: CONTROL_FD,
            },
        ];
        let child = process::start(sandbox, spec, |command| {
            command
                .stdin(Stdio::null())
                .stdout(output_writer.try_clone()?)
                .stderr(output_writer);
            command.fd_mappings(pipes).map_err(io::Error::other)?;
            Ok(())
        })?;
        let watch = Watch::new(sandbox.floor.clone());
        let output_reader = watch.count(output_reader);
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
            watch,
            control,
            events,
            output,
            text: None,
        })
    }

    fn listen(&mut self, listener: &mut dyn Hear, timeout: Duration, stop: &Stop) -> Verdict {
        let begun = Instant::now();
        let mut count = 0;
        loop {
            if stop.is_requested() {
                return Verdict::Stopped;
            }
            if begun.elapsed() > timeout {
                return Verdict::TimedOut;
            }
            if let Some(what) = self.watch.look() {
                return Verdict::Exhausted(what);
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
            match listener.hear(&line, &self.child.child) {
                Ok(Reply::None) => {}
                // A process that is gone meanwhile shows by the end of its events.
                Ok(Reply::Ok) => drop(self.control.write_all(b"ok\n")),
                Ok(Reply::Again) => drop(self.control.write_all(b"again\n")),
                Err(reason) => return Verdict::Invalid(reason),
            }
        }
    }

    /// Waits for the end of a process that has said all, or kills one that has not.
    fn finish(&mut self, ended: bool, left: Duration, stop: &Stop) -> End {
        let begun = Instant::now();
        let deadline = if ended { begun + left } else { begun };
        loop {
            if let (true, Some(what)) = (ended, self.watch.look()) {
                self.child.kill();
                return End::Exhausted(what);
            }
            match self.child.child.try_wait() {
                Ok(Some(status)) if ended => {
                    let end = self.child.end_of(status);
                    self.child.kill();
                    return end;
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

#[cfg(test)]
mod emulated_tests;
#[cfg(test)]
mod tests;
