//! The only place that spawns. Code of the tested projects runs in the box that [`sandbox`] describes.
//!
//! Everything runs under `setpriv --pdeathsig KILL`: if the worker dies, however it dies, the kernel kills the
//! program, and with the process namespace all that it has started. The signal is tied to the thread that spawns,
//! so every function here waits in the thread that called it.

pub mod group;
pub mod level;
pub mod sandbox;
pub mod seal;
mod text;
pub mod tree;
pub mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use group::Group;
pub use level::{Level, Reached};
pub use sandbox::Sandbox;
pub use text::{Tail, printable};
pub use watch::{Exhausted, Watch};

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
    /// It was killed because it used up what it shares with others.
    Exhausted(Exhausted),
}

impl End {
    /// True for exit status 0.
    pub fn success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }

    /// The end in words.
    pub fn describe(self) -> String {
        match self {
            Self::Exhausted(what) => format!("no end of its own: it {}", what.describe()),
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
    let mut child = start(sandbox, spec, |command| {
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        Ok(())
    })?;
    let mut watch = Watch::new(sandbox.floor.clone());
    let reader = watch.count(reader);
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
                if let Some(status) = child.child.try_wait()? {
                    break child.end_of(status);
                }
            }
        }
        if let Some(what) = watch.look() {
            break End::Exhausted(what);
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
    folder: &Path,
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

/// Starts a program in its box; `connect` gives the command its descriptors. Whatever it does is over when the guard is dropped.
pub fn start(
    sandbox: &Sandbox,
    spec: &Spec,
    connect: impl FnOnce(&mut Command) -> io::Result<()>,
) -> io::Result<Guard> {
    let group = sandbox
        .groups
        .as_ref()
        .map(group::Groups::make)
        .transpose()?;
    let mut command = prepare(sandbox, spec, group.as_ref().map(Group::folder));
    connect(&mut command)?;
    let child = command.spawn()?;
    // The command holds the other ends of the pipes, and goes here.
    Ok(Guard {
        child,
        namespaces: sandbox.namespaces,
        group,
    })
}

/// The command with its box, environment and process group; descriptors are the caller's.
fn prepare(sandbox: &Sandbox, spec: &Spec, group: Option<&Path>) -> Command {
    let line = sandbox.command_line(&spec.command, group);
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

/// Kills the whole tree when dropped, and reaps the child.
#[derive(Debug)]
pub struct Guard {
    /// The outermost program of the box.
    pub child: Child,
    namespaces: bool,
    group: Option<Group>,
}

/// How long a namespace may take to be empty once its first process is killed: memory is given back meanwhile.
const EMPTYING: Duration = Duration::from_secs(10);

impl Guard {
    /// Kills everything and waits for the child.
    pub fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        if self.namespaces {
            self.empty_namespace();
        }
        if let Some(group) = &self.group {
            group.kill();
        }
        // Fails when everything is gone already.
        if killpg(group, Signal::SIGKILL).is_ok() {
            tracing::debug!(%group, "killed what was left");
        }
        if let Err(error) = self.child.wait() {
            tracing::error!(%group, "cannot reap: {error}");
        }
    }

    /// Kills the first process of the namespace, and waits until all others of it are gone. Were they killed together with `unshare`,
    /// nobody would know when they are, and the next program would be measured beside what is left of this one.
    fn empty_namespace(&mut self) {
        let outermost = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        let Some(first) = tree::first_child(self.child.id()) else {
            return;
        };
        // `unshare` would say in the program's output that its child was killed.
        let first_pid = Pid::from_raw(i32::try_from(first).unwrap_or(i32::MAX));
        if kill(outermost, Signal::SIGSTOP).is_err() || kill(first_pid, Signal::SIGKILL).is_err() {
            return;
        }
        let begun = Instant::now();
        // The kernel lets it be a zombie once the namespace is empty.
        while tree::is_alive(first) && begun.elapsed() < EMPTYING {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What a status of the child means: the kernel may have ended it for its group's memory.
    pub fn end_of(&self, status: ExitStatus) -> End {
        match &self.group {
            Some(group) if !status.success() && group.ran_out_of_memory() => {
                End::Exhausted(Exhausted::Memory)
            }
            Some(_) | None => End::Exited(status),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
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
