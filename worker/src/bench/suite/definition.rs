//! `suite.toml` as it is written: plans, the lock, benchmarks, workloads; parsed and checked.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use speedwell_wire::BenchmarkIdentity;

use super::super::requirements::Requirements;

/// The definition of a suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The suite's name.
    pub name: String,
    /// Its version; any change of this file is a new one.
    pub version: u32,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// How processes and iterations are planned, by runtime family.
    pub plan: BTreeMap<String, Plan>,
    /// The lock: packages with hashes.
    #[serde(default, rename = "package")]
    pub packages: Vec<Package>,
    /// Locks of what benchmarks import beyond the standard library.
    #[serde(default)]
    pub requirements: Vec<Requirements>,
    /// The benchmarks, in the order they run.
    #[serde(default, rename = "benchmark")]
    pub benchmarks: Vec<Benchmark>,
    /// Server workloads; each of their phases is a benchmark too.
    #[serde(default, rename = "workload")]
    pub workloads: Vec<WorkloadFile>,
}

/// A workload as the suite names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadFile {
    /// The workload's definition, in the suite's own folder.
    pub file: String,
    /// Lower-case hex SHA-256 of the definition.
    pub sha256: String,
    /// Name of the requirements that its services import.
    pub requires: Option<String>,
    /// Added to the name of each phase, where a suite has one workload with several requirements. Such a phase is compared with
    /// the phase of the plain name.
    #[serde(default)]
    pub suffix: String,
    /// Files that it uses besides, in the suite's own folder, with their SHA-256.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
}

/// Processes and iterations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Timing processes per benchmark.
    pub processes: u32,
    /// Fewest warm-up iterations of each process.
    pub warmups: u32,
    /// Warm-ups go on for at least this many seconds.
    #[serde(default)]
    pub warmup_seconds: f64,
    /// A workload's warm-up ends after this many seconds, also when it is not flat.
    #[serde(default)]
    pub warmup_limit_seconds: f64,
    /// Measured iterations of each process; nothing to a workload, whose phases say how long they are.
    #[serde(default)]
    pub values: u32,
    /// Measured iterations of the counters' process; 0: no such process.
    pub counter_values: u32,
    /// Whether valgrind can count here: an interpreter that compiles while it runs is not warm after so few loops. Absent:
    /// for family `cpython` alone.
    pub valgrind: Option<bool>,
    /// The family whose loop counts are used; absent: the plan's own.
    pub loops_of: Option<String>,
}

/// A package of the lock.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name on the package index.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file's name.
    pub file: String,
    /// Lower-case hex SHA-256 of the file.
    pub sha256: String,
    /// Folder inside the unpacked file that scripts are named from, or that is importable.
    #[serde(default)]
    pub folder: String,
    /// True: a library that benchmarks import.
    #[serde(default)]
    pub library: bool,
}

/// A benchmark of the suite.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Its name.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Name of its package, or `own`.
    pub source: String,
    /// The script, relative to the source.
    pub script: String,
    /// Lower-case hex SHA-256 of the script.
    pub sha256: String,
    /// Arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// For a script that defines several benchmarks: the one that is meant, as the script calls it.
    pub select: Option<String>,
    /// Files that it reads besides, relative to the source, with their SHA-256.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Loops per value by runtime family: fixed, and kept for the life of this version.
    pub loops: BTreeMap<String, u64>,
    /// Its process is killed after this many seconds where the worker would wait for longer: an interpreter that is not made
    /// for it must not hold up the others.
    pub timeout_seconds: Option<u64>,
    /// True: it writes beside its script, so script and inputs are copied into the process's own folder.
    #[serde(default)]
    pub copied: bool,
    /// Name of the requirements that it imports.
    pub requires: Option<String>,
    /// The benchmark of this suite that does the same work otherwise: what this one is compared with.
    pub baseline: Option<String>,
    /// Hash of their lock: what is imported is part of what is measured.
    #[serde(skip)]
    lock_sha256: Option<String>,
}

impl Benchmark {
    /// What makes it the same benchmark.
    pub fn identity(&self) -> BenchmarkIdentity {
        let mut inputs = Sha256::new();
        for (path, sha256) in &self.inputs {
            inputs.update(path.as_bytes());
            inputs.update([0]);
            inputs.update(sha256.as_bytes());
        }
        if let Some(lock) = &self.lock_sha256 {
            inputs.update(lock.as_bytes());
        }
        BenchmarkIdentity {
            name: self.name.clone(),
            description: self.description.clone(),
            script_sha256: self.sha256.clone(),
            inputs_sha256: hex::encode(inputs.finalize()),
            arguments: self.arguments.clone(),
        }
    }
}

impl Definition {
    /// Parses and validates; `origin` names the file in errors.
    pub fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        let mut definition: Self =
            toml::from_str(text).map_err(|error| anyhow::anyhow!("{origin}: {error}"))?;
        definition
            .resolve_requirements()
            .map_err(|error| anyhow::anyhow!("{origin}: {error}"))?;
        ensure!(
            safe(&definition.name),
            "{origin}: name: use letters, digits, '-' and '_'"
        );
        ensure!(
            !definition.benchmarks.is_empty() || !definition.workloads.is_empty(),
            "{origin}: benchmark: a suite needs at least one, or a workload"
        );
        let mut names = std::collections::BTreeSet::new();
        for benchmark in &definition.benchmarks {
            let name = &benchmark.name;
            ensure!(
                safe(name),
                "{origin}: benchmark.name: {name:?}: use letters, digits, '-' and '_'"
            );
            ensure!(
                names.insert(name),
                "{origin}: benchmark.name: {name:?} is there twice"
            );
            let known = benchmark.source == "own"
                || definition
                    .packages
                    .iter()
                    .any(|package| package.name == benchmark.source);
            ensure!(
                known,
                "{origin}: {name}: source: no [[package]] is named {:?}",
                benchmark.source
            );
            for path in benchmark.inputs.keys().chain([&benchmark.script]) {
                ensure!(
                    plain(path),
                    "{origin}: {name}: {path:?} is no relative path"
                );
            }
            ensure!(
                benchmark.timeout_seconds != Some(0),
                "{origin}: {name}: timeout_seconds: must be 1 or more"
            );
            for (family, plan) in &definition.plan {
                let family = plan.loops_of.as_ref().unwrap_or(family);
                let loops = benchmark.loops.get(family).copied().unwrap_or(0);
                ensure!(loops > 0, "{origin}: {name}: loops: {family} is missing");
            }
        }
        for benchmark in &definition.benchmarks {
            let Some(baseline) = &benchmark.baseline else {
                continue;
            };
            ensure!(
                baseline != &benchmark.name && names.contains(baseline),
                "{origin}: {}: baseline: {baseline:?} is no other benchmark of this suite",
                benchmark.name
            );
        }
        for path in definition.own_files().map(|(path, _)| path) {
            ensure!(plain(path), "{origin}: {path:?} is no relative path");
        }
        Ok(definition)
    }

    /// Gives each benchmark the hash of what it requires.
    fn resolve_requirements(&mut self) -> anyhow::Result<()> {
        let lock = |name: &Option<String>, place: &str| -> anyhow::Result<Option<String>> {
            let Some(name) = name else { return Ok(None) };
            let found = self.requirements.iter().find(|one| &one.name == name);
            let found = found.with_context(|| {
                format!("{place}: requires: no [[requirements]] is named {name:?}")
            })?;
            Ok(Some(
                found.files().iter().map(|(_, sha256)| *sha256).collect(),
            ))
        };
        for workload in &self.workloads {
            lock(&workload.requires, &workload.file)?;
        }
        let locks: Vec<Option<String>> = self
            .benchmarks
            .iter()
            .map(|benchmark| lock(&benchmark.requires, &benchmark.name))
            .collect::<Result<_, _>>()?;
        for (benchmark, lock) in self.benchmarks.iter_mut().zip(locks) {
            benchmark.lock_sha256 = lock;
        }
        Ok(())
    }

    /// Files of the suite's own folder that workloads and locks are made of, with their hashes.
    pub fn own_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let workloads = self.workloads.iter().flat_map(|workload| {
            let inputs = workload
                .inputs
                .iter()
                .map(|(path, sha256)| (path.as_str(), sha256.as_str()));
            inputs.chain([(workload.file.as_str(), workload.sha256.as_str())])
        });
        workloads.chain(self.requirements.iter().flat_map(Requirements::files))
    }
}

fn plain(path: &str) -> bool {
    let path = Path::new(path);
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

fn safe(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
