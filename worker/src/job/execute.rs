//! The steps of a job: source, artefact or build, prefix, suite.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use speedwell_wire::{ArtefactReference, BuildReport, JobAssignment, JobKind, Phase, RunReport};

use super::{Context as _, Failure, JobLog, give_tree, given, make_folder};
use crate::backend::Backend;
use crate::bench::{Bench, Suites};
use crate::build::{self, Prefixes, Workshop, artefact};
use crate::config::Config;
use crate::process::{self, Sandbox, Stop, level};
use crate::source;
use crate::spool::{Entry, Spool};

/// What a worker does its jobs with.
pub struct Shop {
    /// The configuration.
    pub config: Config,
    /// The box for builds and benchmarks.
    pub sandbox: Sandbox,
    /// The suites of this worker.
    pub suites: Suites,
    /// Finished results.
    pub spool: Spool,
    /// For fetching artefacts.
    pub backend: Backend,
    /// Fingerprint of the toolchain.
    pub toolchain: String,
}

/// Does a job in its folder. A build's report goes to the spool at once; the run is returned for the agent to keep (there is
/// none for a job that only builds). An error says why there are no results.
pub fn execute(
    shop: &Shop,
    job: &JobAssignment,
    environment_id: i64,
    folder: &Path,
    log: &JobLog,
    stop: &Stop,
) -> Result<Option<RunReport>, Failure> {
    log.line(&format!(
        "{} at commit {}, attempt {}",
        job.runtime, job.source.commit, job.attempt
    ));
    let sandbox = sandbox_of(shop, job, folder);
    let sha256 = match &job.artefact {
        Some(known) => fetch_artefact(shop, known, log)?,
        None => build_commit(shop, job, &sandbox, folder, log, stop)?,
    };
    if job.kind == JobKind::Build {
        return Ok(None);
    }
    log.phase(Phase::Bench, "unpack the interpreter");
    let prefixes = Prefixes::new(shop.config.data.join("prefixes"), shop.config.kept_prefixes);
    let stored = artefact_path(shop, &sha256);
    let prefix = prefixes.get(&stored, &sha256, &job.recipe, &sandbox, stop, log)?;
    let recipe = build::recipe(&job.recipe.method);
    recipe.check(&prefix)?;
    let suite = shop.suites.find(&job.suite).ok_or_else(|| {
        Failure::permanent(format!(
            "this worker has no suite {} version {}",
            job.suite.0, job.suite.1
        ))
    })?;
    let bench = Bench {
        config: &shop.config,
        sandbox: &sandbox,
        suite,
        harness: shop.suites.harness(),
        python: recipe.program(&prefix)?,
        arguments: build::arguments(&job.recipe, &prefix),
        variables: build::variables(&job.recipe, &prefix),
        folder,
        job,
        environment_id,
        artefact_sha256: sha256,
        log,
        stop,
    };
    bench.run().map(Some)
}

/// The box of a job: it may write to the job's folder, and see the program that its runtime refers to.
fn sandbox_of(shop: &Shop, job: &JobAssignment, folder: &Path) -> Sandbox {
    let program = build::recipe(&job.recipe.method).outside();
    let around = program.map(|program| level::around(&program, &shop.config.data));
    shop.sandbox
        .clone()
        .with_writable(folder)
        .with_visible(around.into_iter().flatten())
}

fn artefact_path(shop: &Shop, sha256: &str) -> PathBuf {
    shop.config.data.join("artefacts").join(sha256)
}

/// Fetches a stored artefact unless its prefix or its file is here.
fn fetch_artefact(shop: &Shop, known: &ArtefactReference, log: &JobLog) -> Result<String, Failure> {
    log.phase(
        Phase::Build,
        &format!("use the stored build {}", known.build_id),
    );
    let path = artefact_path(shop, &known.sha256);
    let unpacked = Prefixes::new(shop.config.data.join("prefixes"), shop.config.kept_prefixes);
    if path.exists() || unpacked.has(&known.sha256) {
        return Ok(known.sha256.clone());
    }
    log.line(&format!("fetch {} bytes", known.bytes));
    let bytes = tokio::runtime::Handle::current()
        .block_on(shop.backend.get_artefact(&known.sha256))
        .transient("cannot fetch the artefact")?;
    fs::create_dir_all(shop.config.data.join("artefacts")).transient("cannot make a folder")?;
    let temporary = path.with_extension("part");
    fs::write(&temporary, bytes).transient("cannot write the artefact")?;
    let found = artefact::hash_file(&temporary).transient("cannot read the artefact")?;
    if found != known.sha256 {
        return Err(Failure::transient("the fetched artefact is damaged"));
    }
    fs::rename(&temporary, &path).transient("cannot keep the artefact")?;
    Ok(known.sha256.clone())
}

/// Builds the commit and spools the build's report, good or bad. Returns the artefact's hash.
fn build_commit(
    shop: &Shop,
    job: &JobAssignment,
    sandbox: &Sandbox,
    folder: &Path,
    log: &JobLog,
    stop: &Stop,
) -> Result<String, Failure> {
    let mut report = empty_report(shop, job);
    let outcome = try_build(shop, job, sandbox, folder, log, stop, &mut report);
    if let Err(failure) = &outcome {
        report.failure = Some(failure.message.clone());
        report.log_tail.clone_from(&failure.log);
    }
    // Only a build that failed by its commit's fault is a fact worth keeping; a stopped one says nothing.
    let worth_keeping = match &outcome {
        Ok(_) => true,
        Err(failure) => failure.kind == speedwell_wire::FailureKind::Permanent,
    };
    if worth_keeping {
        let artefact = outcome
            .as_ref()
            .ok()
            .map(|sha256| artefact_path(shop, sha256));
        shop.spool
            .put(&Entry::Build {
                job_id: job.job_id,
                report: Box::new(report),
                artefact,
            })
            .transient("cannot keep the build's report on disk")?;
    }
    outcome
}

fn empty_report(shop: &Shop, job: &JobAssignment) -> BuildReport {
    BuildReport {
        lease_id: job.lease_id,
        toolchain: shop.toolchain.clone(),
        artefact_sha256: None,
        artefact_bytes: 0,
        installed_bytes: 0,
        step_seconds: BTreeMap::new(),
        ccache_hits: 0,
        ccache_misses: 0,
        version: String::new(),
        failure: None,
        log_tail: String::new(),
    }
}

fn try_build(
    shop: &Shop,
    job: &JobAssignment,
    sandbox: &Sandbox,
    folder: &Path,
    log: &JobLog,
    stop: &Stop,
    report: &mut BuildReport,
) -> Result<String, Failure> {
    let source = folder.join("source");
    if job.recipe.method.needs_source() {
        let seconds = check_out(shop, job, &source, log, stop)?;
        report.step_seconds.insert("checkout".to_owned(), seconds);
    } else if job.source.commit != job.recipe.sha256 {
        return Err(Failure::permanent(
            "the runtime's configuration is another one since this job was asked for",
        ));
    }

    log.phase(Phase::Build, "build");
    let workplace = folder.join("build");
    make_folder(&workplace, &shop.sandbox)?;
    let use_cache = job.build_repeat == 0 && !job.without_cache;
    let cache = shop.config.data.join("ccache");
    make_folder(&cache, &shop.sandbox)?;
    // Only builds: a benchmark could put objects into the cache that a later build takes for its own. So could the build of a try.
    let boxed = if use_cache {
        sandbox.clone().with_writable(&cache)
    } else {
        sandbox.clone()
    };
    let recipe = build::recipe(&job.recipe.method);
    let built = recipe.build(
        &job.recipe,
        &Workshop {
            config: &shop.config,
            sandbox: &boxed,
            source: &source,
            build: &workplace,
            committed_at: job.source.committed_at,
            use_cache,
            stop,
            log,
        },
    )?;
    report.step_seconds.extend(built.step_seconds);
    report.ccache_hits = built.ccache_hits;
    report.ccache_misses = built.ccache_misses;
    report.version = version_of(sandbox, job, &built.prefix, folder, stop)?;
    log.line(&report.version);
    if let Some(wanted) = recipe.version()
        && !report.version.contains(wanted)
    {
        return Err(Failure::permanent(format!(
            "the interpreter says {:?}, the configuration expects {wanted:?}",
            report.version
        )));
    }

    let sha256 = pack(shop, job, &built.prefix, log, report)?;
    for name in ["source", "build"] {
        // Only space: the job's folder is removed at its end anyway.
        if let Err(error) = given::remove(&folder.join(name)) {
            tracing::debug!("cannot remove {name}: {error}");
        }
    }
    Ok(sha256)
}

/// Packs a prefix into the artefact that the report tells of; its hash.
fn pack(
    shop: &Shop,
    job: &JobAssignment,
    prefix: &Path,
    log: &JobLog,
    report: &mut BuildReport,
) -> Result<String, Failure> {
    let begun = Instant::now();
    let mtime = u64::try_from(job.source.committed_at).unwrap_or(0);
    let packed =
        artefact::pack(prefix, &shop.config.data.join("artefacts"), mtime).map_err(|error| {
            let message = format!("cannot pack the artefact: {error}");
            match error.kind() {
                std::io::ErrorKind::InvalidData => Failure::permanent(message),
                _ => Failure::transient(message),
            }
        })?;
    report
        .step_seconds
        .insert("pack".to_owned(), begun.elapsed().as_secs_f64());
    log.line(&format!(
        "artefact {}: {} bytes, {} unpacked",
        packed.sha256, packed.bytes, packed.installed_bytes
    ));
    report.artefact_sha256 = Some(packed.sha256.clone());
    report.artefact_bytes = packed.bytes;
    report.installed_bytes = packed.installed_bytes;
    Ok(packed.sha256)
}

/// Writes the commit's tree for the benchmark user; returns the seconds it took.
fn check_out(
    shop: &Shop,
    job: &JobAssignment,
    source: &Path,
    log: &JobLog,
    stop: &Stop,
) -> Result<f64, Failure> {
    log.phase(Phase::Source, &format!("check out {}", job.source.commit));
    let begun = Instant::now();
    let mirrors = shop.config.data.join("mirrors");
    let files = source::checkout(&job.source, &mirrors, source, stop)?;
    give_tree(source, shop.sandbox.identity)?;
    let seconds = begun.elapsed().as_secs_f64();
    log.line(&format!("{files} files in {seconds:.1} s"));
    Ok(seconds)
}

/// What the interpreter says of itself. One that does not start is a failed build, permanently.
fn version_of(
    sandbox: &Sandbox,
    job: &JobAssignment,
    prefix: &Path,
    folder: &Path,
    stop: &Stop,
) -> Result<String, Failure> {
    let mut command = vec![build::recipe(&job.recipe.method).program(prefix)?.into()];
    command.extend(build::arguments(&job.recipe, prefix));
    command.extend(job.recipe.method.probe().into_iter().map(OsString::from));
    let mut environment = build::variables(&job.recipe, prefix);
    environment.insert("PATH".to_owned(), "/usr/bin:/bin".into());
    let spec = process::Spec {
        command,
        environment,
        folder: folder.to_owned(),
        timeout: Duration::from_secs(60),
    };
    let mut tail = process::Tail::new(20);
    let end = process::run(sandbox, &spec, stop, &mut |line| tail.push(line))
        .transient("cannot run the interpreter")?;
    if end == process::End::Stopped {
        return Err(Failure::stopped());
    }
    if !end.success() {
        let message = format!("the interpreter does not start: {}", end.describe());
        return Err(Failure::permanent(message).with_log(tail.text()));
    }
    Ok(tail.last().to_owned())
}
