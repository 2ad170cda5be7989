//! Performs what the protocol decides: the loop of one worker.

mod companion;
mod deliver;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use speedwell_wire::{
    CLAIM_WAIT_SECONDS, ClaimRequest, EnvironmentFacts, FailureKind, JobAssignment, JobFailure,
    Phase, RegisterRequest, Release, RunReport,
};
use tokio::sync::watch;

use crate::backend::Refusal;
use crate::bench::read_source;
use crate::config::UnfitHost;
use crate::host::{self, System, doctor};
use crate::job::{self, Failure, JobLog, Shop, given};
use crate::process::Stop;
use crate::protocol::{self, Farewell, Situation, Step, StopReason};
use crate::spool::Entry;

/// How long a worker waits for its host to be ready again.
const HOST_PAUSE: Duration = Duration::from_secs(15);

/// One worker.
pub struct Agent {
    shop: Arc<Shop>,
    ending: watch::Receiver<bool>,
    environment_id: Option<i64>,
    /// What the backend was told of the host.
    facts: Option<EnvironmentFacts>,
    away: u32,
    /// Ends after one job, or when there is none.
    once: bool,
}

impl Agent {
    /// A worker that runs until `ending` says true; with `once`, until one job is done and delivered.
    pub fn new(shop: Arc<Shop>, ending: watch::Receiver<bool>, once: bool) -> Self {
        Self {
            shop,
            ending,
            environment_id: None,
            facts: None,
            away: 0,
            once,
        }
    }

    /// Runs. An error is one that an operator must mend: an unknown token, a disk that refuses.
    pub async fn run(mut self) -> anyhow::Result<()> {
        clean_up(&self.shop.config.data)?;
        let mut done = false;
        loop {
            let waiting = self.shop.spool.list()?;
            if done && waiting.is_empty() {
                return Ok(());
            }
            self.look_at_facts().await?;
            let obstacle = self.obstacle().await?;
            let step = protocol::next(Situation {
                ending: *self.ending.borrow(),
                registered: self.environment_id.is_some(),
                results_wait: !waiting.is_empty(),
                host_ready: obstacle.is_none(),
                away: self.away,
            });
            let outcome = match step {
                Step::End => return Ok(()),
                Step::Register => self.register().await,
                Step::Deliver => deliver::all(&self.shop).await,
                Step::WaitForHost => {
                    let words = obstacle.unwrap_or_default();
                    anyhow::ensure!(!self.once, "{words}: no job is taken");
                    tracing::error!("{words}: no job is taken");
                    self.rest(HOST_PAUSE).await;
                    Ok(())
                }
                Step::Claim => match self.claim().await {
                    Ok(Some((job, environment_id))) => {
                        self.work(job, environment_id).await?;
                        done = self.once;
                        Ok(())
                    }
                    Ok(None) => {
                        done = self.once;
                        Ok(())
                    }
                    Err(refusal) => Err(refusal),
                },
            };
            self.after(outcome).await?;
        }
    }

    async fn after(&mut self, outcome: Result<(), Refusal>) -> anyhow::Result<()> {
        match outcome {
            Ok(()) => self.away = 0,
            Err(Refusal::NotWelcome(message)) => {
                anyhow::bail!("the backend does not accept this worker: {message}")
            }
            Err(Refusal::Outdated(message)) => {
                anyhow::ensure!(!self.once, "{message}");
                // Whoever upgrades the backend before the workers need not start those again.
                if self.away == 0 {
                    tracing::error!("{message}; waiting, results are kept on disk meanwhile");
                }
                self.away = self.away.saturating_add(1);
                self.environment_id = None;
                self.rest(protocol::pause(self.away)).await;
            }
            Err(refusal) => {
                if self.away == 0 {
                    tracing::warn!("{refusal}; results are kept on disk meanwhile");
                }
                self.away = self.away.saturating_add(1);
                if matches!(refusal, Refusal::Refused(_)) {
                    self.environment_id = None;
                }
                self.rest(protocol::pause(self.away)).await;
            }
        }
        Ok(())
    }

    /// Waits, but not longer than until the worker is asked to end.
    async fn rest(&mut self, pause: Duration) {
        let mut ending = self.ending.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }

    /// Lets the host be registered anew when it is no longer what the backend was told.
    async fn look_at_facts(&mut self) -> anyhow::Result<()> {
        let (Some(facts), Some(_)) = (self.facts.clone(), self.environment_id) else {
            return Ok(());
        };
        let shop = Arc::clone(&self.shop);
        let look = move || host::have_changed(&shop.config, &facts);
        if tokio::task::spawn_blocking(look).await? {
            tracing::warn!(
                "the host's settings, mitigations or microcode have changed: registering it anew"
            );
            self.environment_id = None;
        }
        Ok(())
    }

    /// Why this host may not measure now: too little disk, or the doctor.
    async fn obstacle(&self) -> anyhow::Result<Option<String>> {
        let config = &self.shop.config;
        let free = host::free_mib(&config.data)?;
        if free < config.min_free_mib {
            let wanted = config.min_free_mib;
            return Ok(Some(format!("{free} MiB of disk free, {wanted} wanted")));
        }
        if self.environment_id.is_none() || config.unfit_host == UnfitHost::Measure {
            return Ok(None);
        }
        let cpus = config.cpus.clone();
        // It watches the processors for a moment.
        let examine = move || doctor::examine(&System::here(), cpus.as_deref());
        let checks = tokio::task::spawn_blocking(examine).await?;
        Ok(doctor::unfit(&checks).map(|words| {
            format!(
                "this host is not fit to measure ({words}; see `speedwell-worker doctor`, or set unfit_host = \"measure\")"
            )
        }))
    }

    async fn register(&mut self) -> Result<(), Refusal> {
        let shop = Arc::clone(&self.shop);
        let facts = tokio::task::spawn_blocking(move || host::facts(&shop.config))
            .await
            .map_err(|error| Refusal::Away(error.to_string()))?;
        let shop = Arc::clone(&self.shop);
        let sources = tokio::task::spawn_blocking(move || shop.suites.sources())
            .await
            .map_err(|error| Refusal::Away(error.to_string()))?;
        let request = RegisterRequest {
            worker_version: env!("CARGO_PKG_VERSION").to_owned(),
            facts: facts.clone(),
            suites: self.shop.suites.manifests(),
            sources: sources.keys().cloned().collect(),
        };
        let response = match self.shop.backend.register(&request).await {
            // A suite that was changed without a new version: nothing mends itself here.
            Err(Refusal::Refused(message)) => return Err(Refusal::NotWelcome(message)),
            other => other?,
        };
        tracing::info!(
            host = response.host,
            environment = response.environment_id,
            "registered"
        );
        self.environment_id = Some(response.environment_id);
        self.facts = Some(facts);
        self.send_sources(&response.wanted_sources, &sources).await
    }

    /// Sends the texts that the backend lacks. One that it refuses keeps nobody from measuring.
    async fn send_sources(
        &self,
        wanted: &[String],
        sources: &BTreeMap<String, PathBuf>,
    ) -> Result<(), Refusal> {
        for sha256 in wanted {
            let Some(bytes) = sources
                .get(sha256)
                .and_then(|path| read_source(path, sha256))
            else {
                tracing::warn!("the backend wants a source {sha256}, which is not here");
                continue;
            };
            match self.shop.backend.put_source(sha256, bytes).await {
                Err(Refusal::Refused(message)) => tracing::warn!("source {sha256}: {message}"),
                other => other?,
            }
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<Option<(JobAssignment, i64)>, Refusal> {
        let Some(environment_id) = self.environment_id else {
            return Ok(None);
        };
        let request = ClaimRequest {
            environment_id,
            wait_seconds: if self.once { 0 } else { CLAIM_WAIT_SECONDS },
            toolchain: self.shop.toolchain.clone(),
            applies_patches: true,
        };
        let mut ending = self.ending.clone();
        tokio::select! {
            // A claim that is dropped may still have leased a job: the next claim of this host hands it out again.
            _ = ending.wait_for(|ending| *ending) => Ok(None),
            answer = self.shop.backend.claim(&request) => Ok(answer?.job.map(|job| (job, environment_id))),
        }
    }

    /// Does one job with its companion, and keeps what came of it.
    async fn work(&mut self, job: JobAssignment, environment_id: i64) -> anyhow::Result<()> {
        tracing::info!(
            job = job.job_id,
            runtime = job.runtime,
            commit = job.source.commit,
            "begins"
        );
        let folder = self
            .shop
            .config
            .data
            .join("jobs")
            .join(job.job_id.to_string());
        // Beside the folder and not in it: programs of the box may write there.
        let log_file = folder.with_extension("log");
        let log = fs::create_dir_all(&folder).and_then(|()| JobLog::create(&log_file));
        let log = match log {
            Ok(log) => log,
            Err(error) => {
                let failure =
                    Failure::transient(format!("cannot begin in {}: {error}", folder.display()));
                self.say_farewell(&job, failure, Phase::Source, None).await;
                return Ok(());
            }
        };
        let stop = Stop::default();
        let reason = Arc::new(Mutex::new(None));
        let companion = companion::Companion {
            shop: Arc::clone(&self.shop),
            job_id: job.job_id,
            lease_id: job.lease_id,
            log: log.clone(),
            stop: stop.clone(),
            reason: Arc::clone(&reason),
            ending: self.ending.clone(),
        };
        let (finish, finished) = watch::channel(false);
        let companion = tokio::spawn(companion.run(finished));
        let outcome = execute(&self.shop, &job, environment_id, &folder, &log, stop).await;
        let phase = log.standing().borrow().phase;
        match &outcome {
            Ok(_) => log.phase(Phase::Upload, "send the results"),
            Err(failure) => log.line(&format!("failed: {}", failure.message)),
        }
        if finish.send(true).is_ok() {
            companion.await?;
        }
        // Before the results are written: a full disk has room again without the job's files.
        if let Err(error) = given::remove(&folder).and_then(|()| fs::remove_file(&log_file)) {
            tracing::warn!("cannot remove {}: {error}", folder.display());
        }
        match outcome {
            Ok(Some(report)) => {
                self.keep(Entry::Run {
                    job_id: job.job_id,
                    report: Box::new(report),
                })
                .await;
            }
            Ok(None) => {}
            Err(failure) => {
                let reason = *reason.lock().unwrap_or_else(PoisonError::into_inner);
                self.say_farewell(&job, failure, phase, reason).await;
            }
        }
        Ok(())
    }

    /// Keeps a result until the backend has it: on disk, or, when the disk refuses, in memory.
    async fn keep(&mut self, entry: Entry) {
        loop {
            match self.shop.spool.put(&entry) {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!("a result cannot be kept on disk ({error}); sending it at once")
                }
            }
            match deliver::send(&self.shop, &entry).await {
                Ok(()) => return,
                Err(Refusal::Away(message)) => tracing::error!("{message}"),
                Err(refusal) => {
                    tracing::error!("a result is lost: {refusal}");
                    return;
                }
            }
            if *self.ending.borrow() {
                tracing::error!(
                    "a result is lost: the worker ends with a full disk and without its backend"
                );
                return;
            }
            self.rest(HOST_PAUSE).await;
        }
    }

    async fn say_farewell(
        &mut self,
        job: &JobAssignment,
        failure: Failure,
        phase: Phase,
        reason: Option<StopReason>,
    ) {
        tracing::warn!(job = job.job_id, kind = ?failure.kind, "failed: {}", failure.message);
        let farewell = match failure.kind {
            FailureKind::Cancelled => protocol::farewell(reason),
            FailureKind::Transient | FailureKind::Permanent => Farewell::Report,
        };
        match farewell {
            Farewell::Silence => {}
            Farewell::Report => {
                let failure = JobFailure {
                    lease_id: job.lease_id,
                    kind: failure.kind,
                    phase,
                    message: failure.message,
                    log_tail: failure.log,
                };
                self.keep(Entry::Failure {
                    job_id: job.job_id,
                    failure,
                })
                .await;
            }
            Farewell::Release => {
                let release = Release {
                    lease_id: job.lease_id,
                    reason: "the worker ends".to_owned(),
                };
                if let Err(refusal) = self.shop.backend.release(job.job_id, &release).await {
                    tracing::warn!(
                        "could not hand job {} back ({refusal}); its lease will expire",
                        job.job_id
                    );
                }
            }
        }
    }
}

/// Performs a job on a thread of its own: it waits for programs.
async fn execute(
    shop: &Arc<Shop>,
    job: &JobAssignment,
    environment_id: i64,
    folder: &Path,
    log: &JobLog,
    stop: Stop,
) -> Result<Option<RunReport>, Failure> {
    let (shop, job, log) = (Arc::clone(shop), job.clone(), log.clone());
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || {
        job::execute(&shop, &job, environment_id, &folder, &log, &stop)
    })
    .await
    .unwrap_or_else(|error| Err(Failure::permanent(format!("the worker has a bug: {error}"))))
}

/// Removes what a killed worker left: folders of jobs, artefacts that nothing in the spool needs.
fn clean_up(data: &Path) -> anyhow::Result<()> {
    for name in ["jobs", "artefacts"] {
        let folder = data.join(name);
        let spool_is_empty = crate::spool::Spool::open(&data.join("spool"))?
            .list()?
            .is_empty();
        if folder.exists() && (name == "jobs" || spool_is_empty) {
            given::remove(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
    }
    Ok(())
}
