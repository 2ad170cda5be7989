//! One job from source to report: what it says while it runs, how it can fail, and the steps themselves.
//!
//! A job runs in one blocking thread. It talks to nobody: its log goes to a file, its results to the spool, and the
//! agent carries both to the backend. Killed anywhere, it leaves a job folder that the next start removes.

mod execute;
pub mod given;
mod log;

use std::fmt::Display;
use std::fs;
use std::path::Path;

use speedwell_wire::FailureKind;

use crate::process::Sandbox;

pub use execute::{Shop, execute};
pub use log::{JobLog, Standing};

/// Why a job ended without a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// One sentence for people.
    pub message: String,
    /// The failing program's last lines.
    pub log: String,
}

impl Failure {
    /// Another try gives the same: the commit does not compile, its interpreter does not start.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Permanent,
            message: message.into(),
            log: String::new(),
        }
    }

    /// Another try may succeed: disk, memory, network.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Transient,
            ..Self::permanent(message)
        }
    }

    /// The job was asked to stop; the agent knows why.
    pub fn stopped() -> Self {
        Self {
            kind: FailureKind::Cancelled,
            ..Self::permanent("the job was asked to stop")
        }
    }

    /// The same failure with the program's last words.
    pub fn with_log(self, log: String) -> Self {
        Self { log, ..self }
    }
}

/// Turns errors of the host into failures.
pub trait Context<T> {
    /// The error as a transient failure; `what` says what was being done.
    fn transient(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn transient(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::transient(format!("{what}: {error}")))
    }
}

/// Makes a folder that the boxed user owns.
pub fn make_folder(path: &Path, sandbox: &Sandbox) -> Result<(), Failure> {
    fs::create_dir_all(path).transient(&format!("cannot make {}", path.display()))?;
    if let Some((user, group)) = sandbox.identity {
        std::os::unix::fs::lchown(path, Some(user), Some(group))
            .transient(&format!("cannot give {} away", path.display()))?;
    }
    Ok(())
}

/// Changes the owner of a folder and all that is in it; nothing to do without another user.
pub fn give_tree(path: &Path, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    let Some((user, group)) = owner else {
        return Ok(());
    };
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry.transient("cannot read a folder")?;
        std::os::unix::fs::lchown(entry.path(), Some(user), Some(group))
            .transient(&format!("cannot give {} away", entry.path().display()))?;
    }
    Ok(())
}
