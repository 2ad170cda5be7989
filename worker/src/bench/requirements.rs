//! What benchmarks import beyond the standard library: a lock, its wheel house, and an environment for each interpreter.
//!
//! A lock is a requirements file of pip's: exact versions, environment markers, and the SHA-256 of every file that any
//! interpreter may need. Those that an interpreter can use are fetched once into a wheel house and checked before each use. A
//! pinned pip installs from the house, without network and in the box, into a folder of the interpreter's own; source archives
//! are compiled there. A crash leaves a folder `*.part`, which the next try removes.

mod lock;
mod pip;
mod place;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use speedwell_wire::LockedPackage;

use self::lock::{Chosen, Line};
pub use self::place::Place;
use crate::build::prefix::mark_and_drop_oldest;
use crate::job::{Context as _, Failure, give_tree, given, make_folder};
use crate::process::Stop;
use crate::registry::{self, pypi};

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
    /// Packages of the lock that are no Python but libraries of the system: unpacked once for all interpreters, and linked into
    /// each environment as `unpacked/NAME`. pip would leave out what such a wheel wants beside `site-packages`.
    #[serde(default)]
    pub unpacked: Vec<String>,
    /// What is made once everything is installed.
    pub build: Option<BuildStep>,
}

/// A script that makes what no package has, such as a benchmark compiled for this interpreter. It runs in the box with the
/// environment on its path and gets the environment's folder, and `NAME=FOLDER` for each source of scripts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildStep {
    /// The script, in the suite's own folder.
    pub script: String,
    /// Lower-case hex SHA-256 of the script.
    pub sha256: String,
    /// Files of the suite's own folder that it reads, with their SHA-256.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
}

/// A lock whose files lie in the wheel house.
#[derive(Debug)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Hash over both files of the lock.
    pub sha256: String,
    stages: Vec<Vec<Line>>,
    unpacked: Vec<String>,
    house: PathBuf,
    pips: PathBuf,
    /// The script of the build step and its arguments behind the environment's folder.
    build: Option<Vec<String>>,
}

impl Requirements {
    /// Reads the lock from the suite's own folder. Nothing is fetched before a job needs it: an index that is away must not
    /// keep a worker from everything else.
    ///
    /// `sources`: the folders of scripts by name, for the build step.
    pub fn install(
        &self,
        own: &Path,
        data: &Path,
        sources: &[(String, PathBuf)],
    ) -> anyhow::Result<Locked> {
        let mut stages = Vec::new();
        let mut hash = Sha256::new();
        for (file, sha256) in self.files() {
            registry::verify(&own.join(file), sha256)?;
            hash.update(sha256.as_bytes());
        }
        for (file, _) in self.locks() {
            let path = own.join(file);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            stages.push(lock::parse(&text, file)?);
        }
        let build = self.build.as_ref().map(|step| {
            let script = data.join("own").join(&step.script).display().to_string();
            let sources = sources
                .iter()
                .map(|(name, folder)| format!("{name}={}", folder.display()));
            [script].into_iter().chain(sources).collect()
        });
        for name in &self.unpacked {
            let known = stages.iter().flatten().any(|line| &line.name == name);
            anyhow::ensure!(known, "{}: unpacked: {name:?} is not in it", self.file);
            hash.update(name);
        }
        let sha256 = hex::encode(hash.finalize());
        Ok(Locked {
            name: self.name.clone(),
            unpacked: self.unpacked.clone(),
            house: data.join("house"),
            pips: data.join("pip"),
            stages,
            sha256,
            build,
        })
    }

    /// The lock's files with their hashes, in the order of installing.
    fn locks(&self) -> impl Iterator<Item = (&str, &str)> {
        let tools = self.tools.as_deref().zip(self.tools_sha256.as_deref());
        let main = (self.file.as_str(), self.sha256.as_str());
        tools.into_iter().chain([main])
    }

    /// Every file of the suite's own folder that decides what is installed, with its hash.
    pub fn files(&self) -> Vec<(&str, &str)> {
        let build = self.build.iter().flat_map(|step| {
            let inputs = step.inputs.iter();
            let inputs = inputs.map(|(path, sha256)| (path.as_str(), sha256.as_str()));
            inputs.chain([(step.script.as_str(), step.sha256.as_str())])
        });
        self.locks().chain(build).collect()
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
    /// What the backend is told of it.
    pub fn packages(&self) -> impl Iterator<Item = LockedPackage> {
        self.stages.iter().flatten().map(|line| LockedPackage {
            requirements: self.name.clone(),
            requirement: line.requirement.clone(),
            sha256: line.hashes.clone(),
        })
    }

    fn find(&self, sha256: &str) -> Option<PathBuf> {
        let mut files = fs::read_dir(self.house.join(&sha256[..16])).ok()?.flatten();
        files.next().map(|entry| entry.path())
    }

    /// Fetches what the house lacks of an interpreter's files.
    fn fetch(&self, chosen: &Chosen<'_>, stop: &Stop) -> anyhow::Result<()> {
        fs::create_dir_all(&self.house)?;
        for line in chosen.stages.iter().flatten() {
            for sha256 in &line.hashes {
                if self.find(sha256).is_none() {
                    fetch_into(&line.name, sha256, &self.house, stop)?;
                }
            }
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
        if folder.exists() {
            given::remove(&folder).transient("cannot remove an unfinished environment")?;
        }
        fs::create_dir_all(&place.environments).transient("cannot make a folder")?;
        // Another interpreter's folder is of no use to anybody: the box sees nothing that it could change.
        make_folder(&folder, place.sandbox)?;
        let work = place.folder.join("install");
        make_folder(&work, place.sandbox)?;
        let outcome = self.fill(&folder, &work, place)?;
        given::remove(&work).transient("cannot remove the folder of an installation")?;
        if let Err(reason) = outcome {
            given::remove(&folder).transient("cannot remove an unfinished environment")?;
            return Ok(Err(reason));
        }
        give_tree(&folder, place.sandbox.identity.map(|_| (0, 0)))?;
        given::write(&folder.join(".ready"), "").transient("cannot mark the environment")?;
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
        self.in_time(pip::fetch(&self.pips), place)?;
        let (old, new) = (
            pip::folder(&self.pips, true),
            pip::folder(&self.pips, false),
        );
        let (old, new) = (old.to_string_lossy(), new.to_string_lossy());
        let mut question = vec!["-c", lock::QUESTION, &old, &new];
        question.extend(lock::markers(&self.stages));
        let chosen = match place.python(&question, folder, work)? {
            Ok(answer) => lock::choose(&answer, &self.stages),
            Err(reason) => Err(anyhow::anyhow!(reason)),
        };
        let chosen = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                return Ok(Err(format!("the requirements {:?}: {error:#}", self.name)));
            }
        };
        self.in_time(self.fetch(&chosen, place.stop), place)?;
        let links = work.join("links");
        make_folder(&links, place.sandbox)?;
        for line in chosen.stages.iter().flatten() {
            self.lay_out(line, &links, folder, place.stop)?;
        }
        for (index, stage) in chosen.stages.iter().enumerate() {
            let installed = stage.iter().filter(|line| !self.is_unpacked(line));
            let text: Vec<&str> = installed.map(|line| line.requirement.as_str()).collect();
            let list = work.join(format!("requirements-{index}.txt"));
            fs::write(&list, text.join("\n")).transient("cannot write the requirements")?;
            let command = pip::command(&pip::folder(&self.pips, chosen.old), &links, folder, &list);
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            if let Err(reason) = place.python(&words, folder, work)? {
                return Ok(Err(format!(
                    "the requirements {:?} cannot be installed: {reason}",
                    self.name
                )));
            }
        }
        if let Some(step) = &self.build {
            let target = folder.to_string_lossy();
            let mut words = vec![step[0].as_str(), &target];
            words.extend(step[1..].iter().map(String::as_str));
            if let Err(reason) = place.python(&words, folder, work)? {
                return Ok(Err(format!(
                    "the requirements {:?} cannot be built: {reason}",
                    self.name
                )));
            }
        }
        // Benchmarks may not write compiled files. Some packages carry files for other versions of Python, which do not compile.
        let target = folder.to_string_lossy();
        if let Err(reason) = place.python(&["-m", "compileall", "-q", &target], folder, work)? {
            place
                .log
                .line(&format!("not everything compiles: {reason}"));
        }
        // What is on PYTHONPATH has its `.pth` files read only when asked for: namespace packages need them.
        let hook = "import os, site\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\n";
        given::write(&folder.join("sitecustomize.py"), hook)
            .transient("cannot write the environment")?;
        Ok(Ok(()))
    }

    /// What an index did not give now, it may give later.
    fn in_time(&self, fetched: anyhow::Result<()>, place: &Place<'_>) -> Result<(), Failure> {
        fetched.map_err(|error| {
            if place.stop.is_requested() {
                Failure::stopped()
            } else {
                Failure::transient(format!("the requirements {:?}: {error:#}", self.name))
            }
        })
    }

    fn is_unpacked(&self, line: &Line) -> bool {
        self.unpacked.contains(&line.name)
    }

    /// Checks the files of a line, and puts them into pip's one flat folder, or unpacks and links them.
    fn lay_out(
        &self,
        line: &Line,
        links: &Path,
        folder: &Path,
        stop: &Stop,
    ) -> Result<(), Failure> {
        for sha256 in &line.hashes {
            let file = self.find(sha256).ok_or_else(|| {
                Failure::transient(format!(
                    "the wheel house {} lacks a file",
                    self.house.display()
                ))
            })?;
            if self.is_unpacked(line) {
                let unpacked = self
                    .unpack(&file, sha256, stop)
                    .transient("cannot unpack a library")?;
                let place = folder.join("unpacked");
                fs::create_dir_all(&place).transient("cannot make a folder")?;
                std::os::unix::fs::symlink(unpacked, place.join(&line.name))
                    .transient("cannot link a library")?;
                continue;
            }
            registry::verify(&file, sha256).transient("the wheel house")?;
            let name = file.file_name().unwrap_or_default();
            fs::copy(&file, links.join(name)).transient("cannot copy from the wheel house")?;
        }
        Ok(())
    }

    /// The folder of an unpacked file, which belongs to the worker: no benchmark can change it.
    fn unpack(&self, file: &Path, sha256: &str, stop: &Stop) -> anyhow::Result<PathBuf> {
        let folder = self.house.join(format!("{}.unpacked", &sha256[..16]));
        if !folder.exists() {
            registry::verify(file, sha256)?;
            let temporary = folder.with_extension("part");
            if temporary.exists() {
                fs::remove_dir_all(&temporary)?;
            }
            fs::create_dir_all(&temporary)?;
            registry::unpack(file, &temporary, stop)?;
            fs::rename(&temporary, &folder)?;
        }
        Ok(fs::canonicalize(folder)?)
    }
}
