//! What benchmarks import beyond the standard library: a lock, its wheel house, and an environment for each interpreter.
//!
//! A lock is a requirements file of pip's: exact versions, environment markers, and the SHA-256 of every file that any
//! interpreter may need. The files are fetched once into a wheel house and checked before each use. For an interpreter, a
//! pinned pip installs from the house, without network and in the box, into a folder of its own; source archives are
//! compiled there. A crash leaves a folder `*.part`, which the next try removes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::fetch;
use super::suite::Package;
use crate::build::artefact::hash_file;
use crate::build::prefix::mark_and_drop_oldest;
use crate::job::{Context as _, Failure, JobLog, give_tree, make_folder};
use crate::process::{self, End, Sandbox, Spec, Stop, Tail};
use crate::registry::{self, pypi};

/// Installing, with everything that has to be compiled.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// A lock as the suite names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// Its name: benchmarks say `requires = NAME`.
    pub name: String,
    /// The requirements file, in the suite's own folder.
    pub file: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// A second requirements file, installed before: what source archives are compiled with.
    pub tools: Option<String>,
    /// Lower-case hex SHA-256 of that file.
    pub tools_sha256: Option<String>,
}

/// One line of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    /// `name==version ; marker`, as pip takes it.
    requirement: String,
    hashes: Vec<String>,
}

/// Parses a requirements file: pinned versions with hashes, and nothing else.
fn parse(text: &str, file: &str) -> anyhow::Result<Vec<Line>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(" --hash=sha256:");
            let requirement = words.next().unwrap_or_default().trim().to_owned();
            let hashes: Vec<String> = words.map(|word| word.trim().to_owned()).collect();
            let name = requirement
                .split("==")
                .next()
                .unwrap_or_default()
                .to_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                requirement.contains("==") && !name.is_empty() && name.chars().all(plain),
                "{file}: {requirement:?} is not NAME==VERSION"
            );
            let hex = |hash: &String| {
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            ensure!(
                !hashes.is_empty() && hashes.iter().all(hex),
                "{file}: {name} needs --hash=sha256:… for each of its files"
            );
            Ok(Line {
                name,
                requirement,
                hashes,
            })
        })
        .collect()
}

/// A lock whose files lie in the wheel house.
#[derive(Debug)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Hash over both files of the lock.
    pub sha256: String,
    stages: Vec<Vec<Line>>,
    house: PathBuf,
    pips: PathBuf,
}

/// pip for interpreters before 3.8, and for all others.
const PIPS: [(&str, &str, &str); 2] = [
    (
        "20.3.4",
        "pip-20.3.4-py2.py3-none-any.whl",
        "217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d",
    ),
    (
        "25.0.1",
        "pip-25.0.1-py3-none-any.whl",
        "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f",
    ),
];

impl Requirements {
    /// Reads the lock from the suite's own folder. Nothing is fetched before a job needs it: an index that is away must not
    /// keep a worker from everything else.
    pub fn install(&self, own: &Path, data: &Path) -> anyhow::Result<Locked> {
        let mut stages = Vec::new();
        let mut hash = Sha256::new();
        for (file, sha256) in self.files() {
            let path = own.join(file);
            registry::verify(&path, sha256)?;
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            stages.push(parse(&text, file)?);
            hash.update(sha256.as_bytes());
        }
        let sha256 = hex::encode(hash.finalize());
        Ok(Locked {
            name: self.name.clone(),
            house: data.join("house"),
            pips: data.join("pip"),
            stages,
            sha256,
        })
    }

    /// The files of the lock with their hashes, in the order of installing.
    pub fn files(&self) -> Vec<(&str, &str)> {
        let tools = self.tools.as_deref().zip(self.tools_sha256.as_deref());
        tools
            .into_iter()
            .chain([(self.file.as_str(), self.sha256.as_str())])
            .collect()
    }
}

/// A file of the house carries its hash in front of its name, so that it is found and checked without an index.
fn fetch_into(name: &str, sha256: &str, house: &Path, stop: &Stop) -> anyhow::Result<()> {
    let temporary = house.join(format!("{}.part", &sha256[..16]));
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    let file = pypi::download(name, sha256, &temporary, stop)?;
    registry::verify(&file, sha256)?;
    fs::rename(&temporary, house.join(&sha256[..16]))?;
    Ok(())
}

impl Locked {
    fn find(&self, sha256: &str) -> Option<PathBuf> {
        let mut files = fs::read_dir(self.house.join(&sha256[..16])).ok()?.flatten();
        files.next().map(|entry| entry.path())
    }

    /// Fetches what the house lacks, and pip.
    fn fetch(&self, stop: &Stop) -> anyhow::Result<()> {
        fs::create_dir_all(&self.house)?;
        for line in self.stages.iter().flatten() {
            for sha256 in &line.hashes {
                if self.find(sha256).is_none() {
                    fetch_into(&line.name, sha256, &self.house, stop)?;
                }
            }
        }
        for (version, file, sha256) in PIPS {
            let package = Package {
                name: "pip".to_owned(),
                version: version.to_owned(),
                file: file.to_owned(),
                sha256: sha256.to_owned(),
                folder: String::new(),
                library: false,
            };
            fetch::ensure(&package, &self.pips.join(version))?;
        }
        Ok(())
    }

    /// The folder with everything installed for an interpreter, made if it is not there. A lock that cannot be installed
    /// is an error of the benchmarks that need it (`Ok(Err(reason))`), and tried again in the next run: a header may have been
    /// missing.
    pub fn environment(&self, place: &Place<'_>) -> Result<Result<PathBuf, String>, Failure> {
        let key = hex::encode(Sha256::digest(format!(
            "1 {} {}",
            place.artefact_sha256, self.sha256
        )));
        let folder = place.environments.join(&key[..16]);
        if folder.join(".ready").exists() {
            self.keep(&folder, place)?;
            return Ok(Ok(folder));
        }
        place
            .log
            .line(&format!("install the requirements {:?}", self.name));
        if let Err(error) = self.fetch(place.stop) {
            return Err(if place.stop.is_requested() {
                Failure::stopped()
            } else {
                Failure::transient(format!("the requirements {:?}: {error:#}", self.name))
            });
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).transient("cannot remove an unfinished environment")?;
        }
        fs::create_dir_all(&place.environments).transient("cannot make a folder")?;
        // Another interpreter's folder is of no use to anybody: the box sees nothing that it could change.
        make_folder(&folder, place.sandbox)?;
        let work = place.folder.join("install");
        make_folder(&work, place.sandbox)?;
        let outcome = self.fill(&folder, &work, place)?;
        fs::remove_dir_all(&work).transient("cannot remove the folder of an installation")?;
        if let Err(reason) = outcome {
            fs::remove_dir_all(&folder).transient("cannot remove an unfinished environment")?;
            return Ok(Err(reason));
        }
        fs::write(folder.join(".ready"), "").transient("cannot mark the environment")?;
        give_tree(&folder, place.sandbox.identity.map(|_| (0, 0)))?;
        self.keep(&folder, place)?;
        Ok(Ok(folder))
    }

    fn keep(&self, folder: &Path, place: &Place<'_>) -> Result<(), Failure> {
        mark_and_drop_oldest(&place.environments, place.kept, folder)
            .transient("cannot remove old environments")
    }

    fn fill(
        &self,
        folder: &Path,
        work: &Path,
        place: &Place<'_>,
    ) -> Result<Result<(), String>, Failure> {
        // One flat folder for pip, checked file by file.
        let links = work.join("links");
        make_folder(&links, place.sandbox)?;
        for sha256 in self.stages.iter().flatten().flat_map(|line| &line.hashes) {
            let file = self.find(sha256).ok_or_else(|| {
                Failure::transient(format!(
                    "the wheel house {} lacks a file",
                    self.house.display()
                ))
            })?;
            let found = hash_file(&file).transient("cannot read the wheel house")?;
            if &found != sha256 {
                return Err(Failure::transient(format!(
                    "{} was changed after it was fetched",
                    file.display()
                )));
            }
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, links.join(name)).transient("cannot copy from the wheel house")?;
        }
        let version = place.python(
            &["-c", "import sys; print('%d %d' % sys.version_info[:2])"],
            folder,
            work,
        )?;
        let old = version.as_ref().is_ok_and(|text| {
            let mut numbers = text
                .split(' ')
                .filter_map(|number| number.parse::<u32>().ok());
            (numbers.next(), numbers.next()) < (Some(3), Some(8))
        });
        let pip = self
            .pips
            .join(PIPS[usize::from(!old)].0)
            .join("packages/pip/pip");
        for (index, stage) in self.stages.iter().enumerate() {
            let list = work.join(format!("requirements-{index}.txt"));
            let text: Vec<&str> = stage.iter().map(|line| line.requirement.as_str()).collect();
            fs::write(&list, text.join("\n")).transient("cannot write the requirements")?;
            let (list, links, target) = (
                list.to_string_lossy(),
                links.to_string_lossy(),
                folder.to_string_lossy(),
            );
            let command = [
                pip.to_string_lossy().into_owned(),
                "install".to_owned(),
                "--quiet".to_owned(),
                "--disable-pip-version-check".to_owned(),
                "--no-index".to_owned(),
                format!("--find-links={links}"),
                "--no-deps".to_owned(),
                "--no-build-isolation".to_owned(),
                "--no-cache-dir".to_owned(),
                format!("--target={target}"),
                format!("--requirement={list}"),
            ];
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            if let Err(reason) = place.python(&words, folder, work)? {
                return Ok(Err(format!(
                    "the requirements {:?} cannot be installed: {reason}",
                    self.name
                )));
            }
        }
        // What is on PYTHONPATH has its `.pth` files read only when asked for: namespace packages need them.
        let hook = "import os, site\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\n";
        fs::write(folder.join("sitecustomize.py"), hook)
            .transient("cannot write the environment")?;
        Ok(Ok(()))
    }
}

/// The interpreter that an environment is for, and what installing works with.
pub struct Place<'a> {
    /// Folder of all environments.
    pub environments: PathBuf,
    /// How many of them stay.
    pub kept: usize,
    /// Content hash of the interpreter.
    pub artefact_sha256: &'a str,
    /// The interpreter.
    pub python: &'a Path,
    /// Its own arguments, before any others.
    pub interpreter_arguments: &'a [OsString],
    /// The runtime's own variables.
    pub variables: &'a BTreeMap<String, OsString>,
    /// The job's folder.
    pub folder: &'a Path,
    /// The box.
    pub sandbox: &'a Sandbox,
    /// The job's log.
    pub log: &'a JobLog,
    /// Asks the installation to stop.
    pub stop: &'a Stop,
}

impl Place<'_> {
    /// Runs the interpreter in the box; its last line, or why it failed.
    pub fn python(
        &self,
        arguments: &[&str],
        environment: &Path,
        home: &Path,
    ) -> Result<Result<String, String>, Failure> {
        let mut variables = BTreeMap::from([
            ("PATH".to_owned(), OsString::from("/usr/bin:/bin")),
            ("LANG".to_owned(), "C.UTF-8".into()),
            ("HOME".to_owned(), home.into()),
            ("TMPDIR".to_owned(), home.into()),
            ("PYTHONPATH".to_owned(), environment.into()),
            ("PIP_CONFIG_FILE".to_owned(), "/dev/null".into()),
            ("PYTHONHASHSEED".to_owned(), "0".into()),
        ]);
        for (name, value) in self.variables {
            variables
                .entry(name.clone())
                .or_insert_with(|| value.clone());
        }
        let mut command = vec![self.python.as_os_str().to_owned()];
        command.extend(self.interpreter_arguments.iter().cloned());
        command.extend(arguments.iter().map(OsString::from));
        let spec = Spec {
            command,
            environment: variables,
            folder: home.to_owned(),
            timeout: TIMEOUT,
        };
        let mut tail = Tail::new(20);
        let end = process::run(self.sandbox, &spec, self.stop, &mut |line| {
            tail.push(line);
            self.log.line(line);
        })
        .transient("cannot run the interpreter")?;
        match end {
            End::Stopped => Err(Failure::stopped()),
            end if end.success() => Ok(Ok(tail.last().to_owned())),
            end => Ok(Err(format!(
                "{}; its last words:\n{}",
                end.describe(),
                tail.text()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_pins_versions_and_files() {
        let hash = "ab".repeat(32);
        let text = format!(
            "# why\nsix==1.16.0 ; python_version < \"3\" \\\n    --hash=sha256:{hash} \\\n    --hash=sha256:{hash}\n"
        );
        let lines = parse(&text, "lock.txt").unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].requirement, "six==1.16.0 ; python_version < \"3\"");
        assert_eq!(lines[0].hashes.len(), 2);
        for bad in [
            "six",
            "six>=1.0 --hash=sha256:ab",
            "six==1.0",
            "-e .==1",
            "https://x/y==1",
        ] {
            let error = parse(bad, "lock.txt").unwrap_err().to_string();
            assert!(error.starts_with("lock.txt: "), "{bad}: {error}");
        }
    }
}
