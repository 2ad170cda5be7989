//! The only place that spawns. Code of the tested projects runs in the box that [`sandbox`] describes.
//!
//! Everything runs under `setpriv --pdeathsig KILL`: if the worker dies, however it dies, the kernel kills the
//! program, and with the process namespace all that it has started. The signal is tied to the thread that spawns,
//! so every function here waits in the thread that called it.

pub mod sandbox;
mod text;
pub mod tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

pub use sandbox::Sandbox;
pub use text::{Tail, printable};

/// Lines of output are cut here, in bytes.
const LONGEST_LINE: u64 = 16 << 10;

/// Asks everything that works for a job to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether someone asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A program to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub environment: BTreeMap<String, OsString>,
    /// Working folder.
    pub folder: PathBuf,
    /// Killed after this long.
    pub timeout: Duration,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It took too long and was killed.
    TimedOut,
    /// It was killed because the job was asked to stop.
    Stopped,
}

impl End {
    /// True for exit status 0.
    pub fn success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }

    /// The end in words.
    pub fn describe(self) -> String {
        match self {
            Self::Exited(status) => match (status.code(), status.signal()) {
                // `unshare` and shells report a program's signal so.
                (Some(code @ 129..=159), _) => {
                    format!("exit status {code} (signal {})", code - 128)
                }
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "an unknown end".to_owned(),
            },
            Self::TimedOut => "no end in time; it was killed".to_owned(),
            Self::Stopped => "the job was asked to stop".to_owned(),
        }
    }

    /// Whether the cause is the host's rather than the program's: killed from outside, or out of memory.
    pub fn was_killed(self) -> bool {
        matches!(self, Self::Exited(status) if status.signal() == Some(9) || status.code() == Some(137))
    }
}

/// How often a program that prints nothing is told of.
const QUIET: Duration = Duration::from_secs(10);

/// Runs a program to its end; each line of its output (both streams) goes to `on_line`, made printable.
pub fn run(
    sandbox: &Sandbox,
    spec: &Spec,
    stop: &Stop,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<End> {
    run_watched(sandbox, spec, stop, &mut |line| {
        if let Some(line) = line {
            on_line(line);
        }
    })
}

/// As [`run`]; `on_output` also hears, with `None`, every ten seconds in which the program printed nothing.
pub fn run_watched(
    sandbox: &Sandbox,
    spec: &Spec,
    stop: &Stop,
    on_output: &mut dyn FnMut(Option<&str>),
) -> io::Result<End> {
    let (reader, writer) = io::pipe()?;
    let mut command = prepare(sandbox, spec);
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = Guard(command.spawn()?);
    drop(command); // It holds the pipe's other end.
    let (sender, lines) = mpsc::sync_channel(1024);
    // Ends with the pipe, or when the receiver is gone.
    let pump = std::thread::spawn(move || each_line(reader, |line| sender.send(line).is_ok()));
    let begun = Instant::now();
    let mut heard = begun;
    let end = loop {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => {
                on_output(Some(&line));
                heard = Instant::now();
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if let Some(status) = child.0.try_wait()? {
                    break End::Exited(status);
                }
            }
        }
        if heard.elapsed() > QUIET {
            on_output(None);
            heard = Instant::now();
        }
        if stop.is_requested() {
            break End::Stopped;
        }
        if begun.elapsed() > spec.timeout {
            break End::TimedOut;
        }
    };
    child.kill();
    // What was printed before the end is read; a process that escaped with the pipe cannot hold us up.
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(200)) {
        on_output(Some(&line));
    }
    drop(lines);
    if pump.is_finished() && pump.join().is_err() {
        return Err(io::Error::other("the reader of the output panicked"));
    }
    Ok(end)
}

/// Runs a trusted program of the host itself (`git`, `pip`, `gcc --version`) outside the box and returns its output.
pub fn output(
    command: &[&str],
    folder: &std::path::Path,
    timeout: Duration,
    stop: &Stop,
) -> io::Result<(End, String)> {
    let mut environment: BTreeMap<String, OsString> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| !name.starts_with("GIT_"))
        .collect();
    environment.insert("GIT_TERMINAL_PROMPT".to_owned(), "0".into());
    environment.insert("LC_ALL".to_owned(), "C.UTF-8".into());
    let spec = Spec {
        command: command.iter().map(OsString::from).collect(),
        environment,
        folder: folder.to_owned(),
        timeout,
    };
    let mut text = String::new();
    let end = run(&Sandbox::trusted(), &spec, stop, &mut |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    Ok((end, text))
}

/// The command with its box, environment and process group; descriptors are the caller's.
pub fn prepare(sandbox: &Sandbox, spec: &Spec) -> Command {
    let line = sandbox.command_line(&spec.command);
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .env_clear()
        .envs(&spec.environment)
        .current_dir(&spec.folder)
        .process_group(0);
    command
}

/// A command for a program that a process in the box starts: pinned, and with nothing else around it.
pub fn pinned(words: &[String], cpus: Option<&str>) -> tokio::process::Command {
    let prefix = cpus.map(|cpus| ["taskset", "-c", cpus]);
    let mut line = prefix
        .iter()
        .flatten()
        .copied()
        .chain(words.iter().map(String::as_str));
    let mut command = tokio::process::Command::new(line.next().unwrap_or_default());
    command.args(line);
    command
}

/// Kills the whole group when dropped, and reaps the child.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Guard {
    /// Kills the group and waits for the child.
    pub fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        // Fails when everything is gone already.
        if killpg(group, Signal::SIGKILL).is_ok() {
            tracing::debug!(%group, "killed what was left");
        }
        if let Err(error) = self.0.wait() {
            tracing::error!(%group, "cannot reap: {error}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

/// Calls `take` with each line, made printable and cut at [`LONGEST_LINE`], until it returns false.
pub fn each_line(reader: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if !take(printable(&bytes)) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
