//! Whether this host can do a worker's work: programs, box, disk, suites. `speedwell-worker check` prints it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use crate::config::Config;
use crate::counters::CounterSet;
use crate::process::{self, Reached, Spec, Stop};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// `Err`: why the worker cannot work so, and what to do.
    pub outcome: Result<String, String>,
}

/// Programs that every job needs.
const PROGRAMS: &[&str] = &[
    "git", "gcc", "g++", "make", "ccache", "strip", "python3", "setpriv", "unshare", "prlimit",
    "taskset", "setarch", "ip",
];

/// Looks at everything that a job needs.
pub fn check(config: &Config, reached: &Reached) -> Vec<Finding> {
    let mut findings = vec![programs(), free_disk(config), boxed(config, reached)];
    let counters = CounterSet::open(0);
    let missing: Vec<String> = counters
        .unavailable
        .iter()
        .filter_map(|missing| missing.metric.map(|metric| metric.to_string()))
        .collect();
    let words = match counters.unavailable.first() {
        None => "all".to_owned(),
        Some(first) => format!("without {} ({})", missing.join(", "), first.reason),
    };
    findings.push(Finding {
        what: "counters".to_owned(),
        outcome: Ok(words),
    });
    findings
}

/// Free space for an unprivileged user, in MiB.
pub fn free_mib(folder: &Path) -> std::io::Result<u64> {
    let statistics = statvfs(folder)?;
    Ok(statistics.blocks_available() * statistics.fragment_size() / (1 << 20))
}

fn programs() -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .copied()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        .collect();
    let outcome = if missing.is_empty() {
        Ok(format!("{} found", PROGRAMS.len()))
    } else {
        Err(format!(
            "not found: {}; install the packages that deploy/quickstart lists",
            missing.join(", ")
        ))
    };
    Finding {
        what: "programs".to_owned(),
        outcome,
    }
}

fn free_disk(config: &Config) -> Finding {
    let outcome = match free_mib(&config.data) {
        Ok(free) if free >= config.min_free_mib => {
            Ok(format!("{free} MiB free in {}", config.data.display()))
        }
        Ok(free) => Err(format!(
            "{free} MiB free in {}, min_free_mib is {}: make room",
            config.data.display(),
            config.min_free_mib
        )),
        Err(error) => Err(format!(
            "{} cannot be looked at: {error}",
            config.data.display()
        )),
    };
    Finding {
        what: "disk".to_owned(),
        outcome,
    }
}

/// Runs a program in the box, in a folder of the worker's: the folders above it may be closed to the other user.
fn boxed(config: &Config, reached: &Reached) -> Finding {
    Finding {
        what: "box".to_owned(),
        outcome: look_inside(config, reached).map(|()| match &reached.obstacle {
            Some(obstacle) => format!("{}; not more, because {obstacle}", reached.describe()),
            None => reached.describe(),
        }),
    }
}

fn look_inside(config: &Config, reached: &Reached) -> Result<(), String> {
    let folder = config.data.join("jobs");
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let spec = Spec {
        command: vec!["ls".into(), folder.clone().into()],
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: folder.clone(),
        timeout: Duration::from_secs(20),
    };
    let sandbox = reached.sandbox.clone().with_writable(&folder);
    let sandbox = sandbox.pinned(config.cpus.as_deref()).with_fixed_layout();
    let mut text = String::new();
    match process::run(&sandbox, &spec, &Stop::default(), &mut |line| {
        line.clone_into(&mut text);
    }) {
        Ok(end) if end.success() => Ok(()),
        Ok(end) => Err(format!(
            "a program in the box ended with {}: {text}; every folder above {} must be open to the other user (chmod o+x), and the \
             processors of `cpus` must be there",
            end.describe(),
            config.data.display()
        )),
        Err(error) => Err(format!("a program in the box cannot be started: {error}")),
    }
}
