//! The steps of a build: boxed programs whose output is logged, counted and kept for the page when one fails.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Workshop;
use crate::job::{Context as _, Failure};
use crate::process::{self, Exhausted, Spec, Tail};

/// Lines of compiler output that a failure keeps.
const TAIL_LINES: usize = 60;

/// The steps of one build, run one after the other in the box.
pub struct Steps<'a> {
    workshop: &'a Workshop<'a>,
    variables: BTreeMap<String, OsString>,
    /// Seconds of each step so far.
    pub seconds: BTreeMap<String, f64>,
}

/// Part of the build's percentage that a step takes, and how many lines of output it usually has.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    from: f32,
    to: f32,
    expected: usize,
}

impl Progress {
    /// From and to in percent of the build; the expected number of lines.
    pub fn new(from: f32, to: f32, expected: usize) -> Self {
        Self { from, to, expected }
    }

    fn at(&self, lines: usize) -> f32 {
        let share = (lines as f32 / self.expected as f32).min(1.0);
        self.from + (self.to - self.from) * share
    }
}

impl<'a> Steps<'a> {
    /// Steps with the given environment.
    pub fn new(workshop: &'a Workshop<'a>, variables: BTreeMap<String, OsString>) -> Self {
        Self {
            workshop,
            variables,
            seconds: BTreeMap::new(),
        }
    }

    /// Runs one step in a folder. A compile error is permanent; a full disk or a killed compiler is not.
    pub fn run(
        &mut self,
        name: &str,
        folder: &Path,
        command: Vec<OsString>,
        progress: Progress,
    ) -> Result<(), Failure> {
        let mut lines = 0;
        self.watch(name, folder, command, &mut |line| {
            lines += usize::from(line.is_some());
            (progress.at(lines), format!("{lines} lines"))
        })
    }

    /// Runs one step; `standing` sees each line, or `None` after some quiet seconds, and says how far the build is, in
    /// percent and words.
    pub fn watch(
        &mut self,
        name: &str,
        folder: &Path,
        command: Vec<OsString>,
        standing: &mut dyn FnMut(Option<&str>) -> (f32, String),
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let spec = Spec {
            command,
            environment: self.variables.clone(),
            folder: folder.to_owned(),
            timeout: Duration::from_secs(self.workshop.config.build_timeout),
        };
        let log = self.workshop.log;
        log.line(&format!("── {name}"));
        let mut tail = Tail::new(TAIL_LINES);
        let mut first_error = None;
        let end = process::run_watched(
            self.workshop.sandbox,
            &spec,
            self.workshop.stop,
            &mut |line| {
                if let Some(line) = line {
                    tail.push(line);
                    if first_error.is_none() && is_error(line) {
                        first_error = Some(line.chars().take(300).collect::<String>());
                    }
                    log.line(line);
                }
                let (percent, words) = standing(line);
                log.progress(percent, &format!("{name}: {words}"));
            },
        )
        .transient(&format!("cannot run {name}"))?;
        self.seconds
            .insert(name.to_owned(), begun.elapsed().as_secs_f64());
        if end.success() {
            return Ok(());
        }
        Err(failure_of(name, end, first_error, tail.text()))
    }
}

fn failure_of(name: &str, end: process::End, first_error: Option<String>, text: String) -> Failure {
    let why = first_error.map_or_else(String::new, |error| format!(": {error}"));
    let message = format!("{name} failed with {}{why}", end.describe());
    let hosts_fault = end.was_killed() || is_hosts_fault(&text);
    let failure = match end {
        process::End::Stopped => Failure::stopped(),
        process::End::TimedOut => Failure::permanent(format!(
            "{name} took longer than build_timeout and was killed"
        )),
        // Another try prints as much; a disk may have room then, and memory be left by others.
        process::End::Exhausted(Exhausted::Output) => Failure::permanent(message),
        process::End::Exhausted(Exhausted::Disk | Exhausted::Memory) => Failure::transient(message),
        process::End::Exited(_) if hosts_fault => Failure::transient(message),
        process::End::Exited(_) => Failure::permanent(message),
    };
    failure.with_log(text)
}

/// A line that names the cause of a failed build.
fn is_error(line: &str) -> bool {
    line.contains(": error:")
        || line.contains(": fatal error:")
        || line.starts_with("configure: error:")
}

/// Out of disk or memory, or a compiler killed from outside: another try may do better.
fn is_hosts_fault(text: &str) -> bool {
    [
        "No space left on device",
        "Cannot allocate memory",
        "out of memory",
        "Killed signal terminated program",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_faults_are_told_from_the_commits() {
        assert!(is_hosts_fault(
            "cc1: fatal error: x.s: No space left on device"
        ));
        assert!(!is_hosts_fault("ceval.c:1: error: expected ';'"));
        assert!(is_error(
            "../Python/ceval.c:10:1: error: unknown type name 'x'"
        ));
    }
}
