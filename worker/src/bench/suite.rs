//! A pinned suite, its lock, and what of it lies on this host's disk.
//!
//! A suite's folder in the repository holds its definition and our own scripts. The field's own scripts come from their
//! package, fetched once. Everything that a benchmark reads is copied below the data folder, because benchmarks run as
//! another user who need not be able to read the repository; every file is checked against its hash before each run.

mod definition;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sha2::{Digest, Sha256};
use speedwell_wire::{BenchmarkIdentity, LockedPackage, SuiteManifest};

use super::fetch;
use super::requirements::{Locked, Requirements};
use crate::build::artefact::hash_file;
use crate::job::{Context as _, Failure};
use crate::registry;
use crate::workload::Workload;

pub use definition::{Benchmark, Definition, Package, Plan, WorkloadFile};
pub use sources::read as read_source;

/// The harness's modules, one for each language, as installed for the benchmark user.
#[derive(Debug, Clone)]
pub struct Harness {
    /// Folder on the module path; `SPEEDWELL_LIBRARY` in a benchmark's environment.
    pub folder: PathBuf,
    /// Lower-case hex SHA-256 over the names and hashes of all modules.
    pub sha256: String,
}

/// The harness's modules.
const MODULES: [&str; 8] = [
    "pyperf.py",
    "speedwell.js",
    "speedwell.php",
    "Speedwell.java",
    "micropython/pyperf.py",
    "micropython/__future__.py",
    "micropython/six/__init__.py",
    "micropython/six/moves.py",
];

/// The suites of a worker.
pub struct Suites {
    all: Vec<Suite>,
    harness: Harness,
}

impl Suites {
    /// Reads every suite, fetches what is not cached, and installs suites and harness below `data`.
    pub fn install(harness: &Path, suites: &Path, data: &Path) -> anyhow::Result<Self> {
        let mut list = String::new();
        for name in MODULES {
            let module = harness.join(name);
            let found = hash_file(&module)
                .with_context(|| format!("harness: cannot read {}", module.display()))?;
            list.push_str(&format!("{name} {found}\n"));
        }
        list.push_str(crate::workload::driver::VERSION);
        let sha256 = hex::encode(Sha256::digest(&list));
        let folder = data.join("harness").join(&sha256[..16]);
        for name in MODULES {
            copy_file(&harness.join(name), &folder.join(name))?;
        }
        // What the harness's hash is made of: whoever has this text knows each module by its hash.
        fs::write(folder.join(sources::LIST), &list).context("cannot write the harness's list")?;
        let mut all = Vec::new();
        let mut folders: Vec<PathBuf> = fs::read_dir(suites)
            .with_context(|| format!("suites: cannot read {}", suites.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("suite.toml").exists())
            .collect();
        folders.sort();
        for source in folders {
            all.push(Suite::install(&source, &data.join("suites"))?);
        }
        if all.iter().any(|suite| !suite.workloads.is_empty()) {
            install_driver(&folder.join("driver"))?;
        }
        ensure!(
            !all.is_empty(),
            "suites: no suite.toml in any folder of {}",
            suites.display()
        );
        Ok(Self {
            all,
            harness: Harness { folder, sha256 },
        })
    }

    /// The harness.
    pub fn harness(&self) -> &Harness {
        &self.harness
    }

    /// A suite by name and version.
    pub fn find(&self, key: &(String, u32)) -> Option<&Suite> {
        self.all
            .iter()
            .find(|suite| suite.definition.name == key.0 && suite.definition.version == key.1)
    }

    /// What the backend is told.
    pub fn manifests(&self) -> Vec<SuiteManifest> {
        self.all.iter().map(Suite::manifest).collect()
    }
}

/// One installed suite.
pub struct Suite {
    /// Its definition.
    pub definition: Definition,
    /// Its workloads.
    pub workloads: Vec<Installed>,
    locked: Vec<Locked>,
    sha256: String,
    folder: PathBuf,
}

/// A workload on this host.
#[derive(Debug)]
pub struct Installed {
    /// Its definition.
    pub workload: Workload,
    /// Name of its requirements.
    pub requires: Option<String>,
    /// What makes each phase the same benchmark, in the order of the phases.
    pub identities: Vec<BenchmarkIdentity>,
}

/// What one process of a run does.
#[derive(Debug, Clone)]
pub enum Program<'a> {
    /// A script: one benchmark.
    Script(&'a Benchmark),
    /// A workload: some of its phases, by index.
    Workload(&'a Installed, Vec<usize>),
}

impl Program<'_> {
    /// The name for logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Script(benchmark) => &benchmark.name,
            Self::Workload(installed, _) => &installed.workload.name,
        }
    }

    /// Name of the requirements.
    pub fn requires(&self) -> Option<&str> {
        match self {
            Self::Script(benchmark) => benchmark.requires.as_deref(),
            Self::Workload(installed, _) => installed.requires.as_deref(),
        }
    }
}

impl Suite {
    fn install(source: &Path, data: &Path) -> anyhow::Result<Self> {
        let path = source.join("suite.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let definition = Definition::parse(&text, &path.display().to_string())?;
        let folder = data.join(format!("{}-{}", definition.name, definition.version));
        copy_file(&path, &folder.join(sources::DEFINITION))?;
        let own = source.join("own");
        for (name, sha256) in definition.own_files() {
            registry::verify(&own.join(name), sha256)
                .with_context(|| path.display().to_string())?;
            copy_file(&own.join(name), &folder.join("own").join(name))?;
        }
        let workloads = definition
            .workloads
            .iter()
            .map(|file| Installed::read(file, &own, &definition))
            .collect::<anyhow::Result<_>>()?;
        let sources: Vec<(String, PathBuf)> = definition
            .packages
            .iter()
            .map(|package| (package.name.clone(), fetch::unpacked(package, &folder)))
            .chain([("own".to_owned(), folder.join("own"))])
            .collect();
        let locked = definition
            .requirements
            .iter()
            .map(|lock| lock.install(&own, &folder, &sources))
            .collect::<anyhow::Result<_>>()?;
        let suite = Self {
            workloads,
            locked,
            sha256: hex::encode(Sha256::digest(text.as_bytes())),
            definition,
            folder,
        };
        for package in &suite.definition.packages {
            fetch::ensure(package, &suite.folder)?;
        }
        for benchmark in suite
            .definition
            .benchmarks
            .iter()
            .filter(|benchmark| benchmark.source == "own")
        {
            for name in benchmark.inputs.keys().chain([&benchmark.script]) {
                copy_file(
                    &source.join("own").join(name),
                    &suite.folder.join("own").join(name),
                )?;
            }
        }
        let mut names = BTreeSet::new();
        for benchmark in suite.manifest().benchmarks {
            ensure!(
                names.insert(benchmark.name.clone()),
                "{}: {:?} is there twice: a second workload of the same phases needs a suffix",
                path.display(),
                benchmark.name
            );
        }
        if let Err(failure) = suite.verify() {
            anyhow::bail!("{}: {}", path.display(), failure.message);
        }
        Ok(suite)
    }

    /// What the backend is told.
    pub fn manifest(&self) -> SuiteManifest {
        SuiteManifest {
            name: self.definition.name.clone(),
            version: self.definition.version,
            sha256: self.sha256.clone(),
            description: self.definition.description.clone(),
            lock: self.lock(),
            baselines: self.baselines(),
            benchmarks: self
                .definition
                .benchmarks
                .iter()
                .map(Benchmark::identity)
                .chain(
                    self.workloads
                        .iter()
                        .flat_map(|one| one.identities.iter().cloned()),
                )
                .collect(),
        }
    }

    /// What each benchmark is compared with.
    fn baselines(&self) -> BTreeMap<String, String> {
        let scripts = self.definition.benchmarks.iter();
        let scripts = scripts.filter_map(|one| Some((one.name.clone(), one.baseline.clone()?)));
        let workloads = self.definition.workloads.iter().zip(&self.workloads);
        let phases = workloads
            .filter(|(file, _)| !file.suffix.is_empty())
            .flat_map(|(file, installed)| {
                let phases = installed.workload.phases.iter();
                phases.filter_map(|phase| {
                    let plain = phase.name.strip_suffix(&file.suffix)?;
                    Some((phase.name.clone(), plain.to_owned()))
                })
            });
        scripts.chain(phases).collect()
    }

    fn lock(&self) -> Vec<LockedPackage> {
        let packages = self.definition.packages.iter().map(|one| LockedPackage {
            requirements: String::new(),
            requirement: format!("{}=={}", one.name, one.version),
            sha256: vec![one.sha256.clone()],
        });
        let required = self.locked.iter().flat_map(Locked::packages);
        packages.chain(required).collect()
    }

    /// Refuses to go on with a file whose hash is not the locked one.
    pub fn verify(&self) -> Result<(), Failure> {
        for (name, sha256) in self.definition.own_files() {
            registry::verify(&self.folder.join("own").join(name), sha256).transient("the suite")?;
        }
        for benchmark in &self.definition.benchmarks {
            let script = [(&benchmark.script, &benchmark.sha256)];
            for (name, sha256) in script.into_iter().chain(&benchmark.inputs) {
                let path = self.source_folder(benchmark).join(name);
                let found =
                    hash_file(&path).transient(&format!("cannot read {}", path.display()))?;
                if &found != sha256 {
                    return Err(Failure::transient(format!(
                        "{} of benchmark {} has the hash {found}, the suite is locked to {sha256}: it was changed after \
                         it was fetched; remove {} to fetch it again",
                        path.display(),
                        benchmark.name,
                        self.folder.display()
                    )));
                }
            }
        }
        Ok(())
    }

    /// The plan for a runtime family.
    pub fn plan(&self, family: &str) -> Result<Plan, Failure> {
        self.definition.plan.get(family).cloned().ok_or_else(|| {
            Failure::permanent(format!(
                "suite {} has no plan for runtimes of family {family:?}",
                self.definition.name
            ))
        })
    }

    /// The benchmarks by name; all of them when no name is given.
    pub fn select(&self, names: &[String]) -> Result<Vec<Program<'_>>, Failure> {
        let wanted = |name: &String| names.is_empty() || names.contains(name);
        let scripts = self
            .definition
            .benchmarks
            .iter()
            .filter(|one| wanted(&one.name))
            .map(Program::Script);
        let workloads = self.workloads.iter().filter_map(|installed| {
            let phases = installed.workload.phases.iter().enumerate();
            let chosen: Vec<usize> = phases
                .filter(|(_, phase)| wanted(&phase.name))
                .map(|(index, _)| index)
                .collect();
            (!chosen.is_empty()).then_some(Program::Workload(installed, chosen))
        });
        let identities = self.manifest().benchmarks;
        if let Some(unknown) = names
            .iter()
            .find(|name| !identities.iter().any(|known| &known.name == *name))
        {
            return Err(Failure::permanent(format!(
                "suite {} has no benchmark {unknown:?}",
                self.definition.name
            )));
        }
        Ok(scripts.chain(workloads).collect())
    }

    /// A lock by its name.
    pub fn locked(&self, name: &str) -> Option<&Locked> {
        self.locked.iter().find(|lock| lock.name == name)
    }

    /// How many locks it has.
    pub fn lock_count(&self) -> usize {
        self.locked.len()
    }

    /// The folder with the suite's own files.
    pub fn own(&self) -> PathBuf {
        self.folder.join("own")
    }

    /// The folder that a benchmark's files are named from.
    pub fn source_folder(&self, benchmark: &Benchmark) -> PathBuf {
        let package = self
            .definition
            .packages
            .iter()
            .find(|package| package.name == benchmark.source);
        match package {
            Some(package) => fetch::unpacked(package, &self.folder),
            None => self.folder.join("own"),
        }
    }

    /// Folders of the libraries that benchmarks import.
    pub fn libraries(&self) -> Vec<PathBuf> {
        let libraries = self
            .definition
            .packages
            .iter()
            .filter(|package| package.library);
        libraries
            .map(|package| fetch::unpacked(package, &self.folder))
            .collect()
    }
}

/// Puts this very program where the benchmark user can run it: it is the driver of workloads.
fn install_driver(to: &Path) -> anyhow::Result<()> {
    // By the kernel's own link: the file itself may have been replaced by a newer one meanwhile.
    let temporary = to.with_extension("part");
    fs::copy("/proc/self/exe", &temporary).context("cannot copy the driver of workloads")?;
    // A driver of an earlier start may still be running: it keeps its own file.
    fs::rename(&temporary, to)?;
    Ok(())
}

impl Installed {
    fn read(file: &WorkloadFile, own: &Path, definition: &Definition) -> anyhow::Result<Self> {
        let text = fs::read_to_string(own.join(&file.file))?;
        let mut workload = Workload::parse(&text, &file.file)?;
        workload.name.push_str(&file.suffix);
        for phase in &mut workload.phases {
            phase.name.push_str(&file.suffix);
        }
        let mut inputs = Sha256::new();
        for (path, sha256) in &file.inputs {
            inputs.update(format!("{path}\0{sha256}"));
        }
        let lock = definition
            .requirements
            .iter()
            .find(|lock| Some(&lock.name) == file.requires.as_ref());
        for (_, sha256) in lock.into_iter().flat_map(Requirements::files) {
            inputs.update(sha256);
        }
        let inputs = hex::encode(inputs.finalize());
        let identities = workload.phases.iter().map(|phase| BenchmarkIdentity {
            name: phase.name.clone(),
            description: phase.description.clone(),
            script_sha256: file.sha256.clone(),
            inputs_sha256: inputs.clone(),
            arguments: Vec::new(),
        });
        Ok(Self {
            identities: identities.collect(),
            requires: file.requires.clone(),
            workload,
        })
    }
}

/// Copies a file unless the same bytes are there.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests;
