//! The command line and environment of one benchmark's process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::Bench;
use super::callgrind;
use super::java;
use super::plan::{Mode, Turn};
use super::suite::{Benchmark, Plan};
use super::valgrind;
use crate::job::{Context as _, Failure, give_tree, given, make_folder};
use crate::process::Spec;

/// The descriptor on which a benchmark's process writes events.
pub const EVENTS_FD: i32 = 3;
/// The descriptor from which it reads answers.
pub const CONTROL_FD: i32 = 4;

/// The variable `SPEEDWELL_HARNESS`: what the worker wants from one process. Read by `harness/pyperf.py`.
#[derive(Debug, Serialize)]
struct Settings<'a> {
    protocol: u32,
    events_fd: i32,
    control_fd: i32,
    mode: &'static str,
    loops: u64,
    warmups: u32,
    warmup_seconds: f64,
    values: u32,
    max_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<&'a str>,
}

/// The process of one turn. Its environment is built anew: nothing of the operator's shell reaches a benchmark, and its
/// size is the same in every process of a run.
pub fn spec(
    bench: &Bench<'_>,
    benchmark: &Benchmark,
    plan: &Plan,
    turn: &Turn,
    environment: Option<&Path>,
    values: u32,
) -> Result<Spec, Failure> {
    let home = bench.folder.join("home");
    make_folder(&home, bench.sandbox)?;
    let timeout = benchmark
        .timeout_seconds
        .unwrap_or(u64::MAX)
        .min(bench.config.benchmark_timeout);
    let settings = settings(bench, benchmark, plan, turn, timeout, values)?;
    let mut path = bench.harness.folder.clone().into_os_string();
    for library in bench.suite.libraries() {
        path.push(":");
        path.push(library);
    }
    if let Some(environment) = environment {
        path.push(":");
        path.push(environment);
    }
    // MicroPython's modules of its own come from `.frozen`, which a path of ours would replace.
    let mut micropython = OsString::from(".frozen:");
    micropython.push(bench.harness.folder.join("micropython"));
    let mut variables = BTreeMap::from([
        ("PATH".to_owned(), OsString::from("/usr/bin:/bin")),
        ("LANG".to_owned(), "C.UTF-8".into()),
        ("TZ".to_owned(), "UTC".into()),
        ("HOME".to_owned(), home.clone().into()),
        ("TMPDIR".to_owned(), home.clone().into()),
        (
            "PYTHONHASHSEED".to_owned(),
            turn.hash_seed().to_string().into(),
        ),
        // Compiled files are made when the prefix is unpacked, never by a benchmark.
        ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".into()),
        ("PYTHONPATH".to_owned(), path.clone()),
        ("JYTHONPATH".to_owned(), path),
        ("MICROPYPATH".to_owned(), micropython),
        (
            "SPEEDWELL_LIBRARY".to_owned(),
            bench.harness.folder.clone().into(),
        ),
        ("SPEEDWELL_HARNESS".to_owned(), settings.into()),
    ]);
    for (name, value) in &bench.variables {
        variables
            .entry(name.clone())
            .or_insert_with(|| value.clone());
    }
    variables.extend(bench.variable_of(turn));
    let script = script(bench, benchmark, &home)?;
    let mut command = match turn.mode {
        Mode::Timing | Mode::Counters | Mode::Sampling => Vec::new(),
        Mode::Instructions => valgrind::prefix(&home),
        Mode::Profile => callgrind::prefix(&home),
    };
    command.push(bench.python.clone().into());
    command.extend(bench.arguments.iter().cloned());
    match environment {
        Some(classes) if java::is_script(&benchmark.script) => {
            command.extend(java::arguments(&benchmark.script, classes));
        }
        _ => command.push(script.into()),
    }
    command.extend(benchmark.arguments.iter().map(OsString::from));
    Ok(Spec {
        command,
        environment: variables,
        folder: home,
        timeout: Duration::from_secs(timeout),
    })
}

/// What the harness is told.
fn settings(
    bench: &Bench<'_>,
    benchmark: &Benchmark,
    plan: &Plan,
    turn: &Turn,
    timeout: u64,
    values: u32,
) -> Result<String, Failure> {
    // Valgrind's first process is the warm-up of its second.
    let warm = !turn.mode.is_under_valgrind();
    let loops = benchmark
        .loops
        .get(plan.loops_of.as_ref().unwrap_or(&bench.job.recipe.family))
        .copied()
        .unwrap_or(1);
    let settings = Settings {
        protocol: 1,
        events_fd: EVENTS_FD,
        control_fd: CONTROL_FD,
        mode: match turn.mode {
            Mode::Timing | Mode::Instructions | Mode::Profile => "timing",
            // Both are switched on and off around the very region that the script times.
            Mode::Counters | Mode::Sampling => "counters",
        },
        loops: match turn.mode {
            Mode::Timing | Mode::Counters | Mode::Sampling => loops,
            Mode::Instructions | Mode::Profile => loops * u64::from(turn.process + 1),
        },
        warmups: if warm { plan.warmups } else { 0 },
        warmup_seconds: if warm { plan.warmup_seconds } else { 0.0 },
        values,
        max_seconds: timeout as f64 * 0.8,
        select: benchmark.select.as_deref(),
    };
    serde_json::to_string(&settings).map_err(|error| Failure::permanent(error.to_string()))
}

/// The script: where it was installed, or a fresh copy of it and of its inputs that the process may write beside.
fn script(bench: &Bench<'_>, benchmark: &Benchmark, home: &Path) -> Result<PathBuf, Failure> {
    let source = bench.suite.source_folder(benchmark);
    if !benchmark.copied {
        return Ok(source.join(&benchmark.script));
    }
    let copy = home.join("copy");
    if copy.exists() {
        given::remove(&copy).transient("cannot remove the copy of a benchmark")?;
    }
    for name in benchmark.inputs.keys().chain([&benchmark.script]) {
        let to = copy.join(name);
        let folder = to.parent().unwrap_or(&copy);
        fs::create_dir_all(folder)
            .and_then(|()| fs::copy(source.join(name), &to))
            .transient(&format!("cannot copy {name} of {}", benchmark.name))?;
    }
    give_tree(&copy, bench.sandbox.identity)?;
    Ok(copy.join(&benchmark.script))
}
