//! `worker.toml`: every setting of a worker, checked before anything starts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::process::Level;
use crate::process::watch::memory;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The backend's address: `http://host:port` or `https://…`.
    pub backend: String,
    /// File with this host's token, readable only by the worker's user.
    pub token_file: PathBuf,
    /// Folder that the worker owns: jobs, caches, spool.
    pub data: PathBuf,
    /// Folder with the harness module.
    pub harness: PathBuf,
    /// Folder with one folder per suite.
    pub suites: PathBuf,
    /// How builds and benchmarks are kept apart from the host.
    #[serde(default)]
    pub isolation: Level,
    /// Folders beside the system's own (`/usr`, `/etc`, `/opt` …) that builds and benchmarks may read: where interpreters of the
    /// host lie. The folder of a prebuilt runtime's program needs no mention.
    #[serde(default)]
    pub visible: Vec<PathBuf>,
    /// The user that builds and benchmarks run as when the worker is root.
    #[serde(default = "default_user")]
    pub user: String,
    /// What a host does that the doctor calls unfit.
    #[serde(default)]
    pub unfit_host: UnfitHost,
    /// Whether the worker makes the host quieter while it runs (see `speedwell-worker tune`).
    #[serde(default)]
    pub tune: bool,
    /// Processors for the benchmarks, as `taskset -c` takes them (`3` or `2-3`); default: not pinned.
    pub cpus: Option<String>,
    /// Processors for the load of server workloads; best others than `cpus`. Default: not pinned.
    pub load_cpus: Option<String>,
    /// Parallel jobs of `make`; default: the number of processors.
    pub make_jobs: Option<usize>,
    /// A Python 2 that runs RPython's translations of PyPy, best a PyPy; default: `pypy` or `python2.7` on the path.
    pub translator: Option<PathBuf>,
    /// Largest size of the compiler cache, as ccache takes it.
    #[serde(default = "default_ccache")]
    pub ccache_size: String,
    /// No job is claimed with less free disk than this, in MiB.
    #[serde(default = "default_min_free")]
    pub min_free_mib: u64,
    /// Address space of one process of a build or benchmark, in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: u64,
    /// Memory of all processes of a build or benchmark together, in MiB, where the host has control groups. Default: what the host
    /// has, less an eighth, and less 1 GiB at least.
    pub tree_memory_mib: Option<u64>,
    /// Processes and threads of the benchmark user.
    #[serde(default = "default_processes")]
    pub processes: u64,
    /// A build that takes longer is killed, in seconds.
    #[serde(default = "default_build_timeout")]
    pub build_timeout: u64,
    /// A benchmark's process that takes longer is killed, in seconds; a suite may ask for less.
    #[serde(default = "default_benchmark_timeout")]
    pub benchmark_timeout: u64,
    /// Overrides the suite's number of processes per benchmark.
    pub suite_processes: Option<u32>,
    /// How many unpacked interpreters are kept.
    #[serde(default = "default_prefixes")]
    pub kept_prefixes: usize,
    /// The file that all this was read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// What to do on a host that is not fit to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnfitHost {
    /// Measure nothing until it is fit.
    #[default]
    Refuse,
    /// Measure all the same: each result carries what was wrong.
    Measure,
}

fn default_user() -> String {
    "speedwell-bench".to_owned()
}
fn default_ccache() -> String {
    "5G".to_owned()
}
fn default_min_free() -> u64 {
    2048
}
fn default_memory() -> u64 {
    8192
}
fn default_processes() -> u64 {
    2048
}
fn default_build_timeout() -> u64 {
    7200
}
fn default_benchmark_timeout() -> u64 {
    300
}
fn default_prefixes() -> usize {
    20
}

impl Config {
    /// Reads and validates a file; relative paths in it are relative to its folder. Errors name file, line and key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        // Absolute first: the parent of a bare file name is empty.
        let path = std::path::absolute(path)?;
        let folder = path.parent().unwrap_or(&path);
        for setting in [
            &mut config.token_file,
            &mut config.data,
            &mut config.harness,
            &mut config.suites,
        ] {
            *setting = folder.join(&*setting);
        }
        config.translator = config.translator.map(|program| folder.join(program));
        for shown in &mut config.visible {
            *shown = folder.join(&*shown);
        }
        config.file = Some(path.clone());
        Ok(config)
    }

    /// Memory of all processes of a box together, in MiB.
    pub fn tree_memory_mib(&self) -> u64 {
        let all = memory("MemTotal:").unwrap_or(u64::MAX) >> 20;
        let left = || all.saturating_sub(1024.max(all / 8)).max(256);
        self.tree_memory_mib.unwrap_or_else(left)
    }

    /// How many compilers run at once.
    pub fn make_jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().ok().map(Into::into);
        self.make_jobs.or_else(processors).unwrap_or(1)
    }

    /// Parses and validates the text of a configuration; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|error| anyhow::anyhow!("{origin}: {error}"))?;
        let line = |key: &str| {
            let index = text
                .lines()
                .position(|line| line.trim_start().starts_with(key));
            index.map_or(1, |index| index + 1)
        };
        ensure!(
            config.backend.starts_with("http://") || config.backend.starts_with("https://"),
            "{origin}:{}: backend: {:?} must start with http:// or https://",
            line("backend"),
            config.backend
        );
        for (key, cpus) in [("cpus", &config.cpus), ("load_cpus", &config.load_cpus)] {
            let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b'-');
            ensure!(
                cpus.as_ref()
                    .is_none_or(|cpus| !cpus.is_empty() && cpus.bytes().all(digits)),
                "{origin}:{}: {key}: {cpus:?} is no list of processors such as \"1\" or \"2-3\"",
                line(key)
            );
        }
        ensure!(
            config.make_jobs != Some(0),
            "{origin}:{}: make_jobs: must be 1 or more",
            line("make_jobs")
        );
        ensure!(
            config.suite_processes != Some(0),
            "{origin}:{}: suite_processes: must be 1 or more",
            line("suite_processes")
        );
        ensure!(
            config
                .tree_memory_mib
                .is_none_or(|mebibytes| mebibytes >= 64),
            "{origin}:{}: tree_memory_mib: must be 64 or more",
            line("tree_memory_mib")
        );
        for shown in &config.visible {
            ensure!(
                shown.components().count() > 1 || shown.is_relative(),
                "{origin}:{}: visible: {} is everything, and the worker's secrets with it; name the folders that are needed",
                line("visible"),
                shown.display()
            );
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "backend = \"http://127.0.0.1:1\"\ntoken_file = \"token\"\ndata = \"data\"\nharness = \"h\"\nsuites = \"s\"\n";

    /// `deploy/worker.toml` is read, and shows every key there is: set, or as `#key = …`.
    #[test]
    fn the_annotated_file_has_every_key() {
        let text = include_str!("../../deploy/worker.toml");
        Config::parse(text, "deploy/worker.toml").unwrap();
        let refusal = Config::parse(&format!("{GOOD}no_such_key = 1\n"), "x").unwrap_err();
        let refusal = refusal.to_string();
        let (_, list) = refusal.split_once("expected").unwrap();
        let known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 15, "{known:?}");
        for key in known {
            let shown = |line: &str| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{key} = "))
            };
            assert!(
                text.lines().any(shown),
                "deploy/worker.toml does not show {key}"
            );
        }
        // Each that is shown can be set as it is shown.
        for line in text
            .lines()
            .filter(|line| line.starts_with('#') && !line.starts_with("# "))
        {
            let with = format!("{GOOD}{}\n", &line[1..]);
            Config::parse(&with, "worker.toml").unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        assert!(Config::parse(GOOD, "worker.toml").is_ok());
        let error = |text: &str| Config::parse(text, "worker.toml").unwrap_err().to_string();
        let unknown = error(&format!("{GOOD}cpu = 1\n"));
        assert!(
            unknown.contains("worker.toml")
                && unknown.contains("line 6")
                && unknown.contains("cpu"),
            "{unknown}"
        );
        assert!(error(&format!("{GOOD}cpus = \"1;rm\"\n")).starts_with("worker.toml:6: cpus"));
        assert!(error(&GOOD.replace("http:", "ftp:")).starts_with("worker.toml:1: backend"));
    }
}
