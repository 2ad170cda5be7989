//! Running a suite on one interpreter.
//!
//! Processes are the outermost loop: every benchmark runs once before any runs a second time, so that a slow minute of
//! the host touches all of them a little instead of one of them wholly. Timing processes have no counters; one further
//! process per benchmark has them, with hash seed 0 and a fixed address space layout.

mod collect;
mod command;
mod fetch;
mod plan;
mod pyperf_file;
mod session;
mod suite;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::Utc;
use speedwell_wire::{JobAssignment, RunReport};

use crate::config::Config;
use crate::job::{Failure, JobLog};
use crate::process::{Sandbox, Stop};

use collect::Collected;
use plan::{Mode, Turn};
pub use suite::{Suite, Suites};

/// One run of a suite.
pub struct Bench<'a> {
    /// The worker's configuration.
    pub config: &'a Config,
    /// The box.
    pub sandbox: &'a Sandbox,
    /// The suite.
    pub suite: &'a Suite,
    /// The harness as installed.
    pub harness: &'a suite::Harness,
    /// The interpreter.
    pub python: PathBuf,
    /// The runtime's own variables.
    pub variables: BTreeMap<String, OsString>,
    /// The job's folder.
    pub folder: &'a Path,
    /// The job.
    pub job: &'a JobAssignment,
    /// From registering.
    pub environment_id: i64,
    /// Content hash of the build under test.
    pub artefact_sha256: String,
    /// The job's log.
    pub log: &'a JobLog,
    /// Asks the run to stop.
    pub stop: &'a Stop,
}

impl Bench<'_> {
    /// Runs every turn of the plan. A benchmark that fails is unavailable and its later turns are left out; the run goes
    /// on. A run in which nothing could be measured is a failure.
    pub fn run(&self) -> Result<RunReport, Failure> {
        self.suite.verify()?;
        let plan = self.suite.plan(&self.job.recipe.family)?;
        let processes = self
            .job
            .processes
            .or(self.config.suite_processes)
            .unwrap_or(plan.processes);
        let benchmarks = self.suite.select(&self.job.benchmarks)?;
        let turns = plan::turns(benchmarks.len(), processes, plan.counter_values > 0);
        let mut collected: Vec<Collected> =
            benchmarks.iter().map(|_| Collected::default()).collect();
        let notes = host_notes();
        let started_at = Utc::now();
        for (number, turn) in turns.iter().enumerate() {
            let benchmark = benchmarks[turn.benchmark];
            if collected[turn.benchmark].is_lost() {
                continue;
            }
            let percent = number as f32 * 100.0 / turns.len() as f32;
            self.log.progress(
                percent,
                &format!("{}, {}", benchmark.name, turn.describe(processes)),
            );
            let spec = command::spec(self, benchmark, &plan, turn)?;
            let outcome = session::run(&self.sandbox_for(turn), &spec, turn.mode, self.stop)?;
            self.log.line(&format!(
                "{}, {}: {}",
                benchmark.name,
                turn.describe(processes),
                outcome.describe()
            ));
            collected[turn.benchmark].add(turn, outcome);
        }
        let finished_at = Utc::now();
        if collected.iter().all(Collected::is_lost) {
            let words = collected.first().map(Collected::why).unwrap_or_default();
            return Err(Failure::permanent(format!(
                "no benchmark of the suite could be measured; the first: {words}"
            )));
        }
        let interpreter = collected
            .iter()
            .find_map(|one| one.interpreter.clone())
            .unwrap_or_default();
        let pyperf = pyperf_file::write(&benchmarks, &collected, &interpreter);
        let results = benchmarks
            .iter()
            .zip(collected)
            .map(|(benchmark, one)| one.into_result(benchmark));
        Ok(RunReport {
            upload_id: uuid::Uuid::new_v4(),
            lease_id: self.job.lease_id,
            environment_id: self.environment_id,
            suite: self.job.suite.clone(),
            artefact_sha256: self.artefact_sha256.clone(),
            harness_sha256: self.harness.sha256.clone(),
            started_at,
            finished_at,
            interpreter,
            host_notes: notes,
            benchmarks: results.collect(),
            pyperf,
        })
    }

    fn sandbox_for(&self, turn: &Turn) -> Sandbox {
        let sandbox = self.sandbox.clone().pinned(self.config.cpus.as_deref());
        match turn.mode {
            Mode::Timing => sandbox,
            Mode::Counters => sandbox.with_fixed_layout(),
        }
    }
}

/// The host's state just before a run.
fn host_notes() -> BTreeMap<String, String> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().unwrap_or("unknown").to_owned();
    BTreeMap::from([("load_1m".to_owned(), minute)])
}
