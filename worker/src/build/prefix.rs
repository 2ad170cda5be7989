//! Unpacked artefacts, ready to be measured: compiled once, owned by nobody who could change them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::artefact;
use crate::job::{Context as _, Failure, JobLog};
use crate::process::{self, Sandbox, Spec, Stop, Tail};

/// The unpacked prefixes of a worker.
pub struct Prefixes {
    folder: PathBuf,
    kept: usize,
}

impl Prefixes {
    /// The prefixes below a folder, at most `kept` of them.
    pub fn new(folder: PathBuf, kept: usize) -> Self {
        Self {
            folder,
            kept: kept.max(1),
        }
    }

    /// The prefix of an artefact, unpacked and byte-compiled if it is not there yet. Its path has the same length for
    /// every artefact: a path is part of a process's memory, and moves results.
    pub fn get(
        &self,
        artefact: &Path,
        sha256: &str,
        sandbox: &Sandbox,
        stop: &Stop,
        log: &JobLog,
    ) -> Result<PathBuf, Failure> {
        let prefix = self.path(sha256);
        let ready = prefix.join(".ready");
        if !ready.exists() {
            if prefix.exists() {
                // A worker died while it unpacked.
                fs::remove_dir_all(&prefix).transient("cannot remove an unfinished prefix")?;
            }
            artefact::unpack(artefact, &prefix).transient("cannot unpack the artefact")?;
            compile(&prefix, sandbox, stop, log)?;
            fs::write(&ready, "").transient("cannot mark the prefix")?;
        }
        // The time of the mark tells which prefix was used last.
        fs::File::open(&ready)
            .and_then(|file| file.set_modified(std::time::SystemTime::now()))
            .transient("cannot mark the prefix")?;
        self.drop_old(&prefix)
            .transient("cannot remove old prefixes")?;
        Ok(prefix)
    }

    /// Whether an artefact is unpacked here.
    pub fn has(&self, sha256: &str) -> bool {
        self.path(sha256).join(".ready").exists()
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256.get(..16).unwrap_or(sha256))
    }

    fn drop_old(&self, current: &Path) -> std::io::Result<()> {
        let mut all: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .flatten()
            .map(|entry| {
                let used = entry
                    .path()
                    .join(".ready")
                    .metadata()
                    .and_then(|metadata| metadata.modified());
                (used.unwrap_or(std::time::UNIX_EPOCH), entry.path())
            })
            .filter(|(_, path)| path != current)
            .collect();
        all.sort();
        let surplus = (all.len() + 1).saturating_sub(self.kept);
        all.iter()
            .take(surplus)
            .try_for_each(|(_, path)| fs::remove_dir_all(path))
    }
}

/// The interpreter of a prefix.
pub fn interpreter(prefix: &Path) -> Result<PathBuf, Failure> {
    ["python3", "python2.7", "python", "pypy3", "pypy"]
        .iter()
        .map(|name| prefix.join("bin").join(name))
        .find(|path| path.exists())
        .ok_or_else(|| Failure::permanent("the build installed no interpreter in bin".to_owned()))
}

/// Byte-compiles the library as the benchmark user, then takes the files away from it.
fn compile(prefix: &Path, sandbox: &Sandbox, stop: &Stop, log: &JobLog) -> Result<(), Failure> {
    let python = interpreter(prefix)?;
    let library = fs::read_dir(prefix.join("lib"))
        .transient("the artefact has no lib folder")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("os.py").exists())
        .ok_or_else(|| Failure::permanent("the artefact has no standard library".to_owned()))?;
    crate::job::give_tree(prefix, sandbox.identity)?;
    let spec = Spec {
        command: vec![
            python.into_os_string(),
            "-m".into(),
            "compileall".into(),
            "-q".into(),
            library.into_os_string(),
        ],
        environment: BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".into()),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("PYTHONHASHSEED".to_owned(), "0".into()),
        ]),
        folder: prefix.to_owned(),
        timeout: Duration::from_secs(300),
    };
    let mut tail = Tail::new(20);
    let end = process::run(sandbox, &spec, stop, &mut |line| {
        tail.push(line);
        log.line(line);
    })
    .transient("cannot run the interpreter")?;
    if end == process::End::Stopped {
        return Err(Failure::stopped());
    }
    // Status 1 means that some file did not compile: old libraries carry such files on purpose.
    if !end.success() && end.describe() != "exit status 1" {
        let message = format!(
            "the interpreter cannot compile its own library: {}",
            end.describe()
        );
        return Err(Failure::permanent(message).with_log(tail.text()));
    }
    crate::job::give_tree(prefix, sandbox.identity.map(|_| (0, 0)))
}
