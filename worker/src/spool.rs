//! Finished results on disk until the backend has them.
//!
//! An entry is written to a temporary file, flushed to disk and renamed: a crash leaves a whole entry or none. Entries
//! are sent in the order of their numbers. One that the backend refuses for good moves to `refused/`, so that it can be
//! looked at and does not stop the others.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use speedwell_wire::{BuildReport, JobFailure, RunReport};

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// A build, with its artefact's file when it was good.
    Build {
        /// The job.
        job_id: i64,
        /// The report.
        report: Box<BuildReport>,
        /// The artefact's file.
        artefact: Option<PathBuf>,
    },
    /// A run.
    Run {
        /// The job.
        job_id: i64,
        /// The report.
        report: Box<RunReport>,
    },
    /// The job's end without a run.
    Failure {
        /// The job.
        job_id: i64,
        /// The report.
        failure: JobFailure,
    },
}

/// The folder of entries.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    next: AtomicU64,
}

impl Spool {
    /// Opens the folder, which is made when missing. Unfinished entries of a killed worker are removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("refused"))?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "part")
            {
                fs::remove_file(path)?;
            }
        }
        let spool = Self {
            folder: folder.to_owned(),
            next: AtomicU64::new(0),
        };
        let last = spool
            .list()?
            .iter()
            .filter_map(|path| number_of(path))
            .max();
        spool
            .next
            .store(last.map_or(1, |last| last + 1), Ordering::SeqCst);
        Ok(spool)
    }

    /// Keeps an entry; it is on disk when this returns.
    pub fn put(&self, entry: &Entry) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let path = self.folder.join(format!("{number:010}.json.zst"));
        let temporary = path.with_extension("part");
        let bytes = zstd::encode_all(serde_json::to_vec(entry)?.as_slice(), 3)?;
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The files of all entries, oldest first.
    pub fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(&self.folder)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| number_of(path).is_some())
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// Reads an entry.
    pub fn read(path: &Path) -> io::Result<Entry> {
        Ok(serde_json::from_slice(&zstd::decode_all(File::open(
            path,
        )?)?)?)
    }

    /// The backend has it.
    pub fn remove(path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// The backend will never take it.
    pub fn refuse(&self, path: &Path, why: &str) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        let target = self.folder.join("refused").join(name);
        fs::write(target.with_extension("why"), why)?;
        fs::rename(path, target)
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".json.zst")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use speedwell_wire::{FailureKind, Phase};

    fn failure(job_id: i64) -> Entry {
        let failure = JobFailure {
            lease_id: uuid::Uuid::nil(),
            kind: FailureKind::Permanent,
            phase: Phase::Build,
            message: "does not compile".into(),
            log_tail: String::new(),
        };
        Entry::Failure { job_id, failure }
    }

    #[test]
    fn entries_survive_a_restart_in_order_and_refused_ones_step_aside() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.put(&failure(1)).unwrap();
        spool.put(&failure(2)).unwrap();
        fs::write(folder.path().join("0000000009.json.part"), "half").unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.put(&failure(3)).unwrap();
        let paths = spool.list().unwrap();
        let read: Vec<Entry> = paths
            .iter()
            .map(|path| Spool::read(path).unwrap())
            .collect();
        assert_eq!(read, [failure(1), failure(2), failure(3)]);
        spool.refuse(&paths[0], "409").unwrap();
        Spool::remove(&paths[1]).unwrap();
        assert_eq!(spool.list().unwrap(), paths[2..]);
        assert_eq!(
            fs::read_to_string(folder.path().join("refused/0000000001.json.why")).unwrap(),
            "409"
        );
    }
}
