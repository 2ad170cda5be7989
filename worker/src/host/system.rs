//! Reads what the kernel tells in files, below a folder: `/` on a host, a recorded tree in tests.

use std::fs;
use std::path::{Path, PathBuf};

use super::processors::ProcessorSet;

/// The kernel's files below a root.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This host.
    pub fn here() -> Self {
        Self::below("/")
    }

    /// A tree that stands for a host.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The real path of one of the kernel's (`/proc/swaps`).
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without the white space around it; `None`: it is not there, or not to be read.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// A file that holds one number.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.read(path)?.parse().ok()
    }

    /// The names in a folder, sorted; none when it is not there.
    pub fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(path))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// All processors that are switched on.
    pub fn online(&self) -> ProcessorSet {
        self.read("/sys/devices/system/cpu/online")
            .and_then(|text| ProcessorSet::from_list(&text))
            .unwrap_or_default()
    }

    /// Writes one of the kernel's settings.
    pub fn write(&self, path: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.path(path), value)
    }

    /// Whether a program of this name runs.
    pub fn runs(&self, program: &str) -> bool {
        self.names("/proc")
            .iter()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .any(|id| self.read(&format!("/proc/{id}/comm")).as_deref() == Some(program))
    }

    /// The root, for messages.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
