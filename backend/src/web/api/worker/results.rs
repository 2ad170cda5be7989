//! Artefacts, builds and runs.

use std::collections::HashMap;
use std::io::Read as _;

use actix_web::web::{self, Bytes, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use speedwell_wire::{BuildReport, HostFlag, JobKind, RunReceipt, RunReport};
use sqlx::PgConnection;
use uuid::Uuid;

use super::HostToken;
use super::lease::lost;
use crate::artefacts::{is_sha256, sha256_hex};
use crate::context::Context;
use crate::db::hosts::Host;
use crate::db::ingest::{self, RunKeys};
use crate::db::profiles::{self, NewProfile};
use crate::db::{builds, hosts, jobs, repetitions, suites};
use crate::domain::components;
use crate::domain::profile;
use crate::domain::repetition;
use crate::domain::run_report::{Invalid, validate};
use crate::web::error::Error;
use crate::web::file::{File, Shown};

/// A report that unpacks to more than this is no report.
const LARGEST_UNPACKED: u64 = 1 << 30;

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Unprocessable {
            field: invalid.field,
            message: invalid.message,
        }
    }
}

/// Sends an artefact's bytes.
pub(super) async fn get_artefact(
    context: Data<Context>,
    request: HttpRequest,
    _: HostToken,
    sha256: Path<String>,
) -> Result<HttpResponse, Error> {
    let bytes = context.artefacts.get(&sha256).await?;
    let bytes = bytes.ok_or_else(|| Error::NotFound(format!("no artefact {sha256}")))?;
    let file = File {
        name: &sha256,
        kind: "application/octet-stream",
        shown: Shown::Attachment,
        bytes,
    };
    Ok(file.answer(&request))
}

/// Stores an artefact under its own hash; a wrong hash is refused.
pub(super) async fn put_artefact(
    context: Data<Context>,
    _: HostToken,
    sha256: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    let (body, found) = web::block(move || {
        let found = sha256_hex(&body);
        (body, found)
    })
    .await
    .map_err(anyhow::Error::from)?;
    if !is_sha256(&sha256) || found != *sha256 {
        return Err(Error::Unprocessable {
            field: "sha256".to_owned(),
            message: format!("the bytes hash to {found}: the upload was damaged, send it again"),
        });
    }
    let bytes = body.len() as u64;
    context.artefacts.put(body).await?;
    builds::insert_artefact(&context.pool, &sha256, bytes, "build").await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The lease in the query.
#[derive(Debug, Deserialize)]
pub(super) struct LeaseQuery {
    lease: Uuid,
}

/// Records a build, good or failed. Repeating it changes nothing.
pub(super) async fn build(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    query: Query<LeaseQuery>,
    Json(report): Json<BuildReport>,
) -> Result<HttpResponse, Error> {
    check_build(&context, &report).await?;
    let mut transaction = context.pool.begin().await?;
    let job = jobs::lock_fenced(&mut transaction, *job_id, host.id, query.lease)
        .await?
        .ok_or_else(|| lost(*job_id))?;
    builds::insert(
        &mut transaction,
        *job_id,
        host.id,
        job.runtime_id,
        job.commit_id,
        &report,
    )
    .await?;
    if report.failure.is_none() && jobs::kind(&mut *transaction, *job_id).await? == JobKind::Build {
        jobs::mark_succeeded(&mut transaction, *job_id, host.id, "build stored").await?;
    }
    transaction.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn check_build(context: &Context, report: &BuildReport) -> Result<(), Error> {
    match (&report.artefact_sha256, &report.failure) {
        (Some(sha256), None) => match builds::find_artefact(&context.pool, sha256).await? {
            Some(_) => {}
            None => {
                return Err(Invalid::new(
                    "artefact_sha256",
                    "is not in the store: upload the artefact first",
                )
                .into());
            }
        },
        (None, Some(_)) => {}
        (Some(_), Some(_)) | (None, None) => {
            return Err(Invalid::new(
                "failure",
                "exactly one of artefact_sha256 and failure must be given",
            )
            .into());
        }
    }
    for (step, seconds) in &report.step_seconds {
        if !seconds.is_finite() || *seconds < 0.0 {
            return Err(Invalid::new(format!("step_seconds[{step:?}]"), "is no duration").into());
        }
    }
    Ok(())
}

/// The shares that do not follow from a benchmark's profile are unavailable, with the reason.
fn add_what_profiles_lack(report: &mut RunReport) {
    for benchmark in &mut report.benchmarks {
        let missing = benchmark.profile.iter().flat_map(profile::unavailable);
        benchmark.unavailable.extend(missing);
    }
}

/// Stores a run in one transaction. An upload that has been stored before is answered with its receipt again.
pub(super) async fn run(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    body: Bytes,
) -> Result<Json<RunReceipt>, Error> {
    let mut report = web::block(move || unpack(&body))
        .await
        .map_err(anyhow::Error::from)??;
    if let Some(receipt) = earlier_receipt(&context, &host, report.upload_id).await? {
        return Ok(Json(receipt));
    }
    let measurements = validate(&report, Utc::now())?;
    add_what_profiles_lack(&mut report);
    if !hosts::owns_environment(&context.pool, host.id, report.environment_id).await? {
        return Err(Invalid::new(
            "environment_id",
            "is no environment of this host: register first",
        )
        .into());
    }
    let (suite_id, benchmarks) = known_benchmarks(&context, &report).await?;

    // Files go to the store first: a crash after it leaves an unused object, not a run without its file.
    let (raw_artefact, raw_bytes) = store_json(&context, &report.pyperf).await?;
    let profiles = store_profiles(&context, &report, &benchmarks).await?;

    let mut transaction = context.pool.begin().await?;
    let job = jobs::lock_for_result(&mut transaction, *job_id, host.id, report.lease_id).await?;
    let Some(job) = job else {
        transaction.rollback().await?;
        // The same upload may have been stored by a request that the worker gave up waiting for.
        let receipt = earlier_receipt(&context, &host, report.upload_id).await?;
        return receipt.map(Json).ok_or_else(|| lost(*job_id));
    };
    let build_id = builds::find_by_artefact(
        &mut *transaction,
        job.runtime_id,
        job.commit_id,
        &report.artefact_sha256,
        *job_id,
    )
    .await?
    .ok_or_else(|| {
        Invalid::new(
            "artefact_sha256",
            "is no recorded build of this runtime and commit",
        )
    })?;
    let keys = RunKeys {
        job_id: *job_id,
        host_id: host.id,
        build_id,
        runtime_id: job.runtime_id,
        commit_id: job.commit_id,
        suite_id,
    };
    builds::insert_artefact(&mut *transaction, &raw_artefact, raw_bytes, "run").await?;
    let run_id = ingest::insert_run(&mut transaction, &keys, &report, &raw_artefact).await?;
    ingest::insert_measurements(
        &mut transaction,
        &keys,
        run_id,
        &report,
        &benchmarks,
        &measurements,
    )
    .await?;
    ingest::insert_unavailable(&mut transaction, run_id, &report, &benchmarks).await?;
    ingest::insert_latencies(&mut transaction, run_id, &report, &benchmarks).await?;
    profiles::insert(&mut transaction, run_id, &profiles).await?;
    finish_job(&mut transaction, &keys, run_id, &report.host_flags).await?;
    transaction.commit().await?;
    tracing::info!(host = host.name, job = *job_id, run = run_id, "run stored");
    Ok(Json(RunReceipt {
        run_id,
        created: true,
    }))
}

/// Puts a value into the store as compressed JSON; its address and size.
async fn store_json(context: &Context, value: &impl Serialize) -> Result<(String, u64), Error> {
    let json = serde_json::to_vec(value).map_err(anyhow::Error::from)?;
    let packed = zstd::encode_all(json.as_slice(), 6).map_err(anyhow::Error::from)?;
    let bytes = packed.len() as u64;
    Ok((context.artefacts.put(Bytes::from(packed)).await?, bytes))
}

/// Puts the stacks of a run's profiles into the store and sums them up.
async fn store_profiles(
    context: &Context,
    report: &RunReport,
    benchmarks: &[i64],
) -> Result<Vec<NewProfile<'static>>, Error> {
    let mapping = components::mapping();
    let mut profiles = Vec::new();
    for (benchmark, id) in report.benchmarks.iter().zip(benchmarks) {
        let Some(profile) = &benchmark.profile else {
            continue;
        };
        let (artefact, bytes) = store_json(context, profile).await?;
        profiles.push(NewProfile {
            benchmark_id: *id,
            tool: profile.tool.as_str(),
            source: profile.tool.source().as_str(),
            total: profile.total,
            components: mapping.shares(profile),
            mapping: &mapping.version,
            bytes,
            artefact,
        });
    }
    Ok(profiles)
}

/// Ends the job well, and repeats its run or lets it stand in for those that it repeats.
async fn finish_job(
    db: &mut PgConnection,
    keys: &RunKeys,
    run_id: i64,
    flags: &[HostFlag],
) -> sqlx::Result<()> {
    let message = format!("run {run_id} stored");
    jobs::mark_succeeded(db, keys.job_id, keys.host_id, &message).await?;
    let message = if repetition::is_marked(flags) {
        let limit = repetition::EARLIER as i64;
        let earlier = repetitions::list_earlier_flags(&mut *db, keys.host_id, run_id, limit);
        // What a newer version has written in another form marks nothing.
        let read = |flags| serde_json::from_value(flags).unwrap_or_default();
        let earlier: Vec<Vec<HostFlag>> = earlier.await?.into_iter().map(read).collect();
        if !repetition::is_worthwhile(flags, &earlier) {
            "measured under bad conditions as the runs before it; not repeated".to_owned()
        } else if let Some(job) = repetitions::insert_job(&mut *db, run_id).await? {
            format!("measured under bad conditions; job {job} repeats it")
        } else {
            "measured under bad conditions; the policy allows no further repetition".to_owned()
        }
    } else {
        let superseded = repetitions::supersede(db, keys, run_id).await?;
        if superseded == 0 {
            return Ok(());
        }
        format!(
            "counts in the place of {superseded} run(s) that were measured under bad conditions"
        )
    };
    jobs::insert_event(db, keys.job_id, Some(keys.host_id), &message).await
}

/// The receipt of an upload that is stored already.
async fn earlier_receipt(
    context: &Context,
    host: &Host,
    upload_id: Uuid,
) -> Result<Option<RunReceipt>, Error> {
    match ingest::find_upload(&context.pool, upload_id).await? {
        None => Ok(None),
        Some((run_id, owner)) if owner == host.id => Ok(Some(RunReceipt {
            run_id,
            created: false,
        })),
        Some(_) => Err(Invalid::new("upload_id", "belongs to another host's run").into()),
    }
}

/// Bodies are zstd-compressed JSON; the unpacked size is bounded.
fn unpack(body: &[u8]) -> Result<RunReport, Error> {
    let complain = |message: String| Error::BadRequest {
        field: "body".to_owned(),
        message,
    };
    let decoder =
        zstd::Decoder::new(body).map_err(|error| complain(format!("is not zstd: {error}")))?;
    let mut json = Vec::new();
    decoder
        .take(LARGEST_UNPACKED + 1)
        .read_to_end(&mut json)
        .map_err(|error| complain(format!("does not unpack: {error}")))?;
    if json.len() as u64 > LARGEST_UNPACKED {
        return Err(Error::TooLarge(format!(
            "body: unpacks to more than {LARGEST_UNPACKED} bytes"
        )));
    }
    serde_json::from_slice(&json).map_err(|error| complain(format!("is no run report: {error}")))
}

/// The suite's key, and the key of each reported benchmark in the report's order.
async fn known_benchmarks(context: &Context, report: &RunReport) -> Result<(i64, Vec<i64>), Error> {
    let (name, version) = &report.suite;
    let suite_id = suites::find(&context.pool, name, *version)
        .await?
        .ok_or_else(|| {
            Invalid::new(
                "suite",
                format!("{name} version {version} is not registered"),
            )
        })?;
    let known: HashMap<String, i64> = suites::list_benchmarks(&context.pool, suite_id)
        .await?
        .into_iter()
        .collect();
    let mut ids = Vec::with_capacity(report.benchmarks.len());
    for (index, benchmark) in report.benchmarks.iter().enumerate() {
        let id = known.get(&benchmark.identity).ok_or_else(|| {
            let message = format!(
                "{:?} is no benchmark of {name} version {version}",
                benchmark.name
            );
            Invalid::new(format!("benchmarks[{index}].identity"), message)
        })?;
        ids.push(*id);
    }
    Ok((suite_id, ids))
}
