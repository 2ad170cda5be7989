//! Running a suite on one interpreter.
//!
//! Processes are the outermost loop: every benchmark runs once before any runs a second time, so that a slow minute of
//! the host touches all of them a little instead of one of them wholly. Timing processes have no counters; one further
//! process per benchmark has them, with hash seed 0 and a fixed address space layout.

mod callgrind;
mod collect;
mod command;
mod fetch;
mod groups;
mod java;
mod plan;
mod pyperf_file;
mod repetitions;
mod requirements;
mod sampled;
mod session;
mod suite;
pub(crate) mod valgrind;
mod workload;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use chrono::Utc;
use speedwell_wire::{JobAssignment, ProfilePolicy, RunReport, UnavailableKind, ValgrindPolicy};

use crate::config::{Config, UnfitHost};
use crate::counters;
use crate::host::{System, Watch};
use crate::job::{Context as _, Failure, JobLog, given, make_folder};
use crate::process::{Sandbox, Stop};

use plan::{Mode, Turn};
use repetitions::Collecting;
use requirements::Place;
use suite::Program;
pub use suite::{Suite, Suites, read_source};

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
    /// Its own arguments, before any script.
    pub arguments: Vec<OsString>,
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
        let programs = self.suite.select(&self.job.benchmarks)?;
        let environments = self.environments(&programs)?;
        let mut collected: Vec<Collecting> = programs.iter().map(Collecting::new).collect();
        let turns = self.turns(&plan, &programs, processes, &mut collected);
        for (one, environment) in collected.iter_mut().zip(&environments) {
            if let Err(reason) = environment {
                one.lose(UnavailableKind::NotApplicable, reason);
            }
        }
        let watch = Watch::begin(System::here(), self.config.cpus.as_deref());
        if let (UnfitHost::Refuse, Some(words)) = (self.config.unfit_host, watch.unfit()) {
            return Err(Failure::transient(format!(
                "this host is not fit to measure: {words}"
            )));
        }
        let started_at = Utc::now();
        for (number, turn) in turns.iter().enumerate() {
            let program = &programs[turn.benchmark];
            let one = &mut collected[turn.benchmark];
            let Ok(environment) = &environments[turn.benchmark] else {
                continue;
            };
            if one.is_lost() || !one.wants(turn) {
                continue;
            }
            let percent = number as f32 * 100.0 / turns.len() as f32;
            let words = format!("{}, {}", program.name(), turn.describe(processes));
            self.log.progress(percent, &words);
            let said = self.turn(program, one, &plan, turn, environment.as_deref())?;
            self.log.line(&format!("{words}: {said}"));
        }
        let finished_at = Utc::now();
        let host = watch.end();
        if collected.iter().all(Collecting::is_lost) {
            let words = collected.first().map(Collecting::why).unwrap_or_default();
            return Err(Failure::permanent(format!(
                "no benchmark of the suite could be measured; the first: {words}"
            )));
        }
        let interpreter = match collected.iter().find_map(Collecting::interpreter) {
            Some(interpreter) => interpreter,
            None => self.ask_interpreter()?,
        };
        let pyperf = pyperf_file::write(&programs, &collected, &interpreter);
        let results = programs
            .iter()
            .zip(collected)
            .flat_map(|(program, one)| one.into_results(program));
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
            host_notes: host.notes,
            host_flags: host.flags,
            benchmarks: results.collect(),
            pyperf,
        })
    }

    /// Every process of the run in order. What a mode cannot give here is said in every script's result.
    fn turns(
        &self,
        plan: &suite::Plan,
        programs: &[Program<'_>],
        processes: u32,
        collected: &mut [Collecting],
    ) -> Vec<Turn> {
        let valgrind = self.counts_by_valgrind(plan, collected);
        let profiles = self.profiles(plan, collected);
        if self.job.profile == ProfilePolicy::SamplingPython && self.perf_folder().is_none() {
            let reason = "Python functions will not be in the profiles: the box cannot have a /tmp of its own here (isolation, \
                          or folders of the worker below /tmp)";
            self.log.line(reason);
        }
        let groups = if plan.counter_values > 0 {
            counters::groups_of_host()
        } else {
            0
        };
        let further = |mode: Mode, index: usize| match (mode, &programs[index]) {
            (Mode::Timing, _) => 0,
            (Mode::Counters, Program::Script(_)) => groups,
            // A repetition of a workload takes minutes: the first group only.
            (Mode::Counters, Program::Workload(..)) => groups.min(1),
            (Mode::Instructions, _) => 2 * u32::from(valgrind),
            (Mode::Profile, _) => 2 * u32::from(profiles),
            (Mode::Sampling, _) => u32::from(self.job.profile.is_sampling()),
        };
        plan::turns(programs.len(), processes, further)
    }

    /// Runs one process of a program; what came of it in a few words.
    fn turn(
        &self,
        program: &Program<'_>,
        one: &mut Collecting,
        plan: &suite::Plan,
        turn: &Turn,
        environment: Option<&Path>,
    ) -> Result<String, Failure> {
        match (program, one) {
            (Program::Script(benchmark), Collecting::Script(one)) => {
                let values = one.values(plan, turn);
                let prepare = || command::spec(self, benchmark, plan, turn, environment, values);
                let sandbox = self.sandbox_for(turn)?;
                let sandbox = sandbox.pinned(self.config.cpus.as_deref());
                if turn.mode == Mode::Counters {
                    let outcome = session::run_counted(&sandbox, prepare, turn, self.stop)?;
                    let said = outcome.describe();
                    one.add(turn, outcome);
                    return Ok(said);
                }
                let spec = prepare()?;
                let outcome = session::run(&sandbox, &spec, turn, self.stop)?;
                if turn.mode == Mode::Instructions {
                    let log = given::read_text(&valgrind::log_file(&spec.folder), 16 << 20);
                    return Ok(one.add_instructions(turn, outcome, &log.unwrap_or_default()));
                }
                if turn.mode == Mode::Profile {
                    return Ok(one.profiling.add(outcome, &spec.folder));
                }
                let said = outcome.describe();
                one.add(turn, outcome);
                Ok(said)
            }
            (Program::Workload(installed, phases), Collecting::Workload(one)) => {
                let outcome = workload::run(self, installed, phases, plan, turn, environment)?;
                Ok(one.add(turn, outcome))
            }
            (Program::Script(_), Collecting::Workload(_))
            | (Program::Workload(..), Collecting::Script(_)) => Err(Failure::permanent(
                "a program is collected as one of another kind",
            )),
        }
    }

    /// The environment of each program: its folder (what it imports, or its own classes), none that it needs, or why it cannot be had.
    fn environments(
        &self,
        programs: &[Program<'_>],
    ) -> Result<Vec<Result<Option<PathBuf>, String>>, Failure> {
        let place = self.place();
        let of = |program: &Program<'_>| {
            if let Program::Script(benchmark) = program
                && java::is_script(&benchmark.script)
            {
                return Ok(java::compile(self, benchmark)?.map(Some));
            }
            if matches!(program, Program::Workload(..)) && !self.arguments.is_empty() {
                let reason = "a workload starts its interpreter by its name alone, and this runtime's has arguments";
                return Ok(Err(reason.to_owned()));
            }
            let Some(lock) = program.requires().and_then(|name| self.suite.locked(name)) else {
                return Ok(Ok(None));
            };
            self.log
                .progress(0.0, &format!("requirements of {}", program.name()));
            Ok(lock.environment(&place)?.map(Some))
        };
        programs.iter().map(of).collect()
    }

    /// Whether valgrind counts in this run. Where the policy asks for it and it cannot, every script's result says why.
    fn counts_by_valgrind(&self, plan: &suite::Plan, collected: &mut [Collecting]) -> bool {
        let wanted = valgrind::is_wanted(self.job.valgrind);
        self.fits_valgrind(plan, wanted).unwrap_or_else(|reason| {
            for one in collected {
                one.lose_instructions(&reason);
            }
            false
        })
    }

    /// Whether callgrind profiles in this run, in the same way.
    fn profiles(&self, plan: &suite::Plan, collected: &mut [Collecting]) -> bool {
        let wanted = match self.job.profile {
            ProfilePolicy::Callgrind => valgrind::is_wanted(ValgrindPolicy::Always),
            ProfilePolicy::Never | ProfilePolicy::Sampling | ProfilePolicy::SamplingPython => {
                Ok(false)
            }
        };
        self.fits_valgrind(plan, wanted).unwrap_or_else(|reason| {
            for one in collected {
                one.lose_profile(&reason);
            }
            false
        })
    }

    fn fits_valgrind(
        &self,
        plan: &suite::Plan,
        wanted: Result<bool, String>,
    ) -> Result<bool, String> {
        let fits = plan.valgrind.unwrap_or(self.job.recipe.family == "cpython");
        if wanted == Ok(true) && !fits {
            let reason = "an interpreter that compiles while it runs is not warm after what valgrind can wait for";
            return Err(reason.to_owned());
        }
        wanted
    }

    fn place(&self) -> Place<'_> {
        Place {
            environments: self.config.data.join("environments"),
            // A suite may have several locks, and each interpreter an environment for each; all of this run's stay.
            kept: self
                .config
                .kept_prefixes
                .max(self.suite.lock_count())
                .max(1)
                * 2,
            artefact_sha256: &self.artefact_sha256,
            python: &self.python,
            interpreter_arguments: &self.arguments,
            variables: &self.variables,
            folder: self.folder,
            sandbox: self.sandbox,
            log: self.log,
            stop: self.stop,
        }
    }

    /// What the interpreter says of itself, where no harness told it.
    fn ask_interpreter(&self) -> Result<String, Failure> {
        let probe = self.job.recipe.method.probe();
        let words: Vec<&str> = probe.iter().map(String::as_str).collect();
        let answer = self.place().python(&words, self.folder, self.folder)?;
        answer.map_err(|reason| {
            Failure::permanent(format!("the interpreter does not start: {reason}"))
        })
    }

    /// The box of a turn, not yet pinned.
    fn sandbox_for(&self, turn: &Turn) -> Result<Sandbox, Failure> {
        let sandbox = self.sandbox.clone();
        Ok(match (turn.mode, self.perf_folder()) {
            (Mode::Timing, _) => sandbox,
            (Mode::Sampling, Some(folder)) => {
                if folder.exists() {
                    given::remove(&folder).transient("cannot remove the last /tmp of a box")?;
                }
                make_folder(&folder, self.sandbox)?;
                sandbox.with_fixed_layout().with_tmp(folder)
            }
            (Mode::Counters | Mode::Instructions | Mode::Profile | Mode::Sampling, _) => {
                sandbox.with_fixed_layout()
            }
        })
    }

    /// What makes Python functions visible to samples (docs.python.org/3/howto/perf_profiling.html). Never in a timed process.
    fn variable_of(&self, turn: &Turn) -> Option<(String, OsString)> {
        let wanted = self.job.profile == ProfilePolicy::SamplingPython
            && turn.mode == Mode::Sampling
            && self.perf_folder().is_some();
        wanted.then(|| ("PYTHONPERFSUPPORT".to_owned(), "1".into()))
    }

    /// What a sampled process has in place of `/tmp`: programs write the names of what they compile there, by the number that
    /// they have in the box, and boxes beside each other have the same numbers. None where the box has no namespaces, or
    /// where something that it needs lies below `/tmp`.
    fn perf_folder(&self) -> Option<PathBuf> {
        let needed = [
            self.folder,
            &self.config.data,
            &self.python,
            &self.harness.folder,
            &self.suite.own(),
        ];
        let is_hidden = needed.iter().any(|path| path.starts_with("/tmp"));
        (self.sandbox.namespaces && !is_hidden).then(|| self.folder.join("tmp"))
    }
}
