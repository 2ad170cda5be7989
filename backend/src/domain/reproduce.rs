//! One measured point as something that a stranger can repeat: the facts, a shell script, and a text that explains both.
//!
//! Nothing from outside is trusted: whatever came from a worker, a repository or the configuration goes into the script by
//! [`quote`] alone, and into comments not at all.

mod interpreter;
pub mod quote;
mod readme;
pub mod script;

use speedwell_wire::{BuildRecipe, LockedPackage};

pub use readme::readme;

use crate::domain::definition::{Definition, Script};
use quote::plain_path;

/// Everything that the script needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The run.
    pub run_id: i64,
    /// The benchmark's name.
    pub benchmark: String,
    /// The runtime's name.
    pub runtime: String,
    /// Whether the source is Python 2.
    pub python2: bool,
    /// The repository's address, as strangers may see it; empty for a program that nobody builds.
    pub url: String,
    /// The commit; the hash of its recipe for a program that nobody builds.
    pub commit: String,
    /// Committer's time, in seconds since the epoch.
    pub committed_at: i64,
    /// How the interpreter came about.
    pub recipe: BuildRecipe,
    /// False: the runtime is configured otherwise since, so that the recipe is not the one of this run.
    pub recipe_is_of_run: bool,
    /// What the interpreter said of itself.
    pub interpreter: String,
    /// The host.
    pub host: String,
    /// The suite and its version.
    pub suite: (String, i32),
    /// The benchmark's arguments.
    pub arguments: Vec<String>,
    /// What was measured of wall time, or why that cannot be repeated.
    pub ours: Result<Ours, String>,
    /// What the benchmark is made of, or why that is not known.
    pub parts: Result<Parts, String>,
}

impl Subject {
    /// Why the script cannot run the benchmark; nothing where it can.
    pub fn obstacle(&self) -> Option<&str> {
        match (&self.ours, &self.parts) {
            (Ok(_), Ok(_)) => None,
            (Err(why), _) | (_, Err(why)) => Some(why),
        }
    }
}

/// The wall time that was measured, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Ours {
    /// Median in seconds of one loop.
    pub median: f64,
    /// 95 % interval of it.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Values that count.
    pub count: i32,
    /// Loops of one value.
    pub loops: i64,
    /// Processes.
    pub processes: usize,
    /// Warm-ups of each process.
    pub warmups: usize,
    /// Values of each process.
    pub values: usize,
}

impl Ours {
    /// From the samples of a measurement; nothing without any that count. Processes differ in their warm-ups where these go by
    /// time: the largest number stands for all.
    pub fn of(
        (median, low, high): (f64, f64, f64),
        count: i32,
        loops: Option<i64>,
        process: &[i16],
        warmup: &[bool],
    ) -> Option<Self> {
        let mut tally: std::collections::BTreeMap<i16, (usize, usize)> = Default::default();
        for (process, warmup) in process.iter().zip(warmup) {
            let (warm, measured) = tally.entry(*process).or_default();
            if *warmup {
                *warm += 1;
            } else {
                *measured += 1;
            }
        }
        let values = tally.values().map(|(_, measured)| *measured).max()?;
        (values > 0).then_some(Self {
            median,
            low,
            high,
            count,
            loops: loops.unwrap_or(1).max(1),
            processes: tally.len(),
            warmups: tally.values().map(|(warm, _)| *warm).max()?,
            values,
        })
    }
}

/// The files of a benchmark within the bundle, and what has to be fetched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// Path of the script below `files/`.
    pub script: String,
    /// For a script of several benchmarks: the one that is meant.
    pub select: Option<String>,
    /// Packages that are importable once unpacked: name, SHA-256, folder within.
    pub libraries: Vec<(String, String, String)>,
    /// Requirements files below `requirements/`, in the order of installing.
    pub requirements: Vec<String>,
    /// What these name: project and SHA-256 of each file.
    pub required: Vec<(String, String)>,
    /// Files of the bundle: path in it, and SHA-256 of its source.
    pub files: Vec<(String, String)>,
}

impl Parts {
    /// What a benchmark is made of, by its suite's definition and lock. `list`: the harness's modules, a line each of name and
    /// SHA-256. The error is a sentence for people.
    pub fn find(
        definition: &Definition,
        list: &str,
        name: &str,
        lock: &[LockedPackage],
    ) -> Result<Self, String> {
        let script = definition.script(name).ok_or(
            "It is a phase of a server workload: only the worker's own driver can start its servers and make its load. Run \
             speedwell-worker with this suite.",
        )?;
        if script.script.ends_with(".java") {
            return Err("The worker compiles programs in Java together with its harness before it runs them; this script does not.".to_owned());
        }
        let mut parts = Self {
            script: checked(&script.script)?,
            select: script.select.clone(),
            ..Self::default()
        };
        for (path, sha256) in script
            .inputs
            .iter()
            .chain([(&script.script, &script.sha256)])
        {
            let path = format!("files/{}", checked(path)?);
            parts.files.push((path, sha256.clone()));
        }
        for line in list.lines() {
            // The last line is the version of the driver of workloads.
            let Some((path, sha256)) = line.split_once(' ').filter(|(_, hash)| hash.len() == 64)
            else {
                continue;
            };
            let path = format!("harness/{}", checked(path)?);
            parts.files.push((path, sha256.to_owned()));
        }
        let libraries = definition.packages.iter().filter(|one| one.library);
        for one in libraries {
            let folder = if one.folder.is_empty() {
                String::new()
            } else {
                checked(&one.folder)?
            };
            parts
                .libraries
                .push((one.name.clone(), one.sha256.clone(), folder));
        }
        parts.add_requirements(definition, script, lock)?;
        Ok(parts)
    }

    fn add_requirements(
        &mut self,
        definition: &Definition,
        script: &Script,
        lock: &[LockedPackage],
    ) -> Result<(), String> {
        let Some(name) = &script.requires else {
            return Ok(());
        };
        let found = definition
            .requirements_of(script)
            .ok_or_else(|| format!("The suite's definition names no requirements {name:?}."))?;
        if !found.unpacked.is_empty() || found.build.is_some() {
            return Err(format!(
                "Its requirements {name:?} are more than packages: the worker unpacks libraries of the system or compiles the \
                 benchmark, which this script does not."
            ));
        }
        for (path, sha256) in found.files() {
            let path = checked(path)?;
            self.files
                .push((format!("requirements/{path}"), sha256.to_owned()));
            self.requirements.push(path);
        }
        for package in lock.iter().filter(|one| &one.requirements == name) {
            let project = package.requirement.split(['=', ' ', '[', ';']).next();
            for sha256 in &package.sha256 {
                let project = project.unwrap_or_default().to_owned();
                self.required.push((project, sha256.clone()));
            }
        }
        Ok(())
    }
}

fn checked(path: &str) -> Result<String, String> {
    let plain = plain_path(path).map(str::to_owned);
    plain.ok_or_else(|| "A file of the benchmark has a path that is not plain.".to_owned())
}

#[cfg(test)]
mod tests;
