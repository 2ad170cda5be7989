//! A job's log file and its standing, written by the job's thread and read by the agent.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use speedwell_wire::Phase;
use tokio::sync::watch;

/// The log is cut here, in bytes: the backend takes no more.
const LONGEST: u64 = 60 << 20;

/// Where a job stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its phase.
    pub phase: Phase,
    /// Progress of the whole job, 0 to 100.
    pub percent: f32,
    /// What it is doing.
    pub message: String,
}

/// The log of one job. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobLog {
    path: PathBuf,
    file: Arc<Mutex<(File, u64)>>,
    standing: watch::Sender<Standing>,
}

impl JobLog {
    /// Begins a log in a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let standing = Standing {
            phase: Phase::Source,
            percent: 0.0,
            message: "begins".to_owned(),
        };
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new((File::create(path)?, 0))),
            standing: watch::Sender::new(standing),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line with the time of day (UTC). A full disk loses log lines, never the job.
    pub fn line(&self, text: &str) {
        let line = format!("{} {text}\n", chrono::Utc::now().format("%H:%M:%S"));
        let mut file = self.lock();
        if file.1 + line.len() as u64 > LONGEST {
            return;
        }
        match file.0.write_all(line.as_bytes()) {
            Ok(()) => file.1 += line.len() as u64,
            Err(error) => tracing::warn!("the job's log cannot be written: {error}"),
        }
    }

    /// Enters a phase.
    pub fn phase(&self, phase: Phase, message: &str) {
        self.line(&format!("── {message}"));
        let percent = share_of(phase).0;
        self.standing.send_replace(Standing {
            phase,
            percent,
            message: message.to_owned(),
        });
    }

    /// Says how far the phase is, 0 to 100.
    pub fn progress(&self, percent: f32, message: &str) {
        self.standing.send_modify(|standing| {
            let (from, to) = share_of(standing.phase);
            standing.percent = from + (to - from) * percent.clamp(0.0, 100.0) / 100.0;
            standing.message = message.to_owned();
        });
    }

    /// Says what the job is doing, without being any further.
    pub fn note(&self, message: &str) {
        self.standing
            .send_modify(|standing| message.clone_into(&mut standing.message));
    }

    /// Follows the standing.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, (File, u64)> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the job's percentage that a phase takes, from measured jobs of the portable suite: a quarter is the build.
fn share_of(phase: Phase) -> (f32, f32) {
    match phase {
        Phase::Source => (0.0, 2.0),
        Phase::Build => (2.0, 25.0),
        Phase::Bench => (25.0, 99.0),
        Phase::Upload => (99.0, 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_a_phase_is_part_of_the_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let log = JobLog::create(&folder.path().join("log")).unwrap();
        let standing = log.standing();
        log.phase(Phase::Bench, "run the suite");
        log.progress(50.0, "nbody");
        assert_eq!(standing.borrow().percent, 62.0);
        log.progress(400.0, "nbody");
        assert_eq!(standing.borrow().percent, 99.0);
        let text = std::fs::read_to_string(log.path()).unwrap();
        assert!(text.ends_with("── run the suite\n"), "{text}");
    }
}
