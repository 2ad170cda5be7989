//! Unpacked artefacts, ready to be measured: compiled once, owned by nobody who could change them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use speedwell_wire::BuildRecipe;

use super::artefact;
use crate::job::{Context as _, Failure, JobLog, given};
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
        recipe: &BuildRecipe,
        sandbox: &Sandbox,
        stop: &Stop,
        log: &JobLog,
    ) -> Result<PathBuf, Failure> {
        let prefix = self.path(sha256);
        let ready = prefix.join(artefact::READY);
        if !ready.exists() {
            if prefix.exists() {
                // A worker died while it unpacked.
                given::remove(&prefix).transient("cannot remove an unfinished prefix")?;
            }
            artefact::unpack(artefact, &prefix).map_err(|error| {
                let message = format!("cannot unpack the artefact: {error}");
                match error.kind() {
                    std::io::ErrorKind::InvalidData => Failure::permanent(message),
                    _ => Failure::transient(message),
                }
            })?;
            if super::recipe(&recipe.method).holds_library() {
                compile(&prefix, recipe, sandbox, stop, log)?;
            }
            given::write(&ready, "").transient("cannot mark the prefix")?;
        }
        mark_and_drop_oldest(&self.folder, self.kept, &prefix)
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
}

/// Marks one of a folder's folders as used now, and removes those that were used longest ago until `kept` are left. The
/// time of the file `.ready` in each tells when that was.
pub fn mark_and_drop_oldest(folder: &Path, kept: usize, current: &Path) -> std::io::Result<()> {
    fs::File::open(current.join(".ready"))
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))?;
    let mut all: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(folder)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
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
    let surplus = (all.len() + 1).saturating_sub(kept);
    all.iter()
        .take(surplus)
        .try_for_each(|(_, path)| given::remove(path))
}

/// Byte-compiles the libraries as the benchmark user, then takes the files away from it.
fn compile(
    prefix: &Path,
    recipe: &BuildRecipe,
    sandbox: &Sandbox,
    stop: &Stop,
    log: &JobLog,
) -> Result<(), Failure> {
    let way = super::recipe(&recipe.method);
    let python = way.program(prefix)?;
    let libraries = libraries(prefix);
    if libraries.is_empty() && way.may_lack_library() {
        return crate::job::give_tree(prefix, sandbox.identity.map(|_| (0, 0)));
    }
    if libraries.is_empty() {
        return Err(Failure::permanent("the artefact has no standard library"));
    }
    crate::job::give_tree(prefix, sandbox.identity)?;
    let mut command: Vec<OsString> = vec![python.into_os_string()];
    command.extend(super::arguments(recipe, prefix));
    command.extend(["-m".into(), "compileall".into(), "-q".into()]);
    command.extend(libraries.into_iter().map(PathBuf::into_os_string));
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/bin".into()),
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("PYTHONHASHSEED".to_owned(), "0".into()),
    ]);
    environment.extend(super::variables(recipe, prefix));
    let spec = Spec {
        command,
        environment,
        folder: prefix.to_owned(),
        timeout: Duration::from_secs(300),
    };
    let mut tail = Tail::new(20);
    let sandbox = sandbox.clone().with_writable(prefix);
    let end = process::run(&sandbox, &spec, stop, &mut |line| {
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

/// The folders of the standard library: those with `os.py`, and PyPy's own part beside them.
fn libraries(prefix: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = walkdir::WalkDir::new(prefix)
        .max_depth(6)
        .sort_by_file_name()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.path().parent()?;
            let is_library = entry.file_name() == "os.py" && !folder.ends_with("site-packages");
            if is_library {
                Some(folder.to_owned())
            } else if entry.file_name() == "lib_pypy" && entry.file_type().is_dir() {
                Some(entry.into_path())
            } else {
                None
            }
        })
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_used_longest_ago_go_first() {
        let folder = tempfile::tempdir().unwrap();
        for (name, seconds) in [("a", 30), ("b", 10), ("c", 20)] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            let file = fs::File::create(path.join(".ready")).unwrap();
            let used = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
            file.set_modified(used).unwrap();
        }
        fs::write(folder.path().join("other"), "file").unwrap();
        mark_and_drop_oldest(folder.path(), 2, &folder.path().join("b")).unwrap();
        let left: Vec<bool> = ["a", "b", "c", "other"]
            .map(|name| folder.path().join(name).exists())
            .into();
        assert_eq!(left, [true, true, false, true]);
    }
}
