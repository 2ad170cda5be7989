//! Keeping a lease, streaming the log, and giving a job back.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Json, Path, Query};
use serde::Deserialize;
use speedwell_wire::{Heartbeat, HeartbeatResponse, JobFailure, Release};
use uuid::Uuid;

use super::HostToken;
use crate::context::Context;
use crate::db::jobs;
use crate::db::logs::{self, Appended};
use crate::web::error::Error;

/// A log longer than this is cut: nobody reads on, and the database is no log store.
const LONGEST_LOG: i64 = 64 << 20;

/// The lease is lost: the worker must stop what it does for the job.
pub(super) fn lost(job_id: i64) -> Error {
    Error::Conflict(format!(
        "the lease of job {job_id} is lost: stop working on it"
    ))
}

/// Renews the lease.
pub(super) async fn heartbeat(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    Json(request): Json<Heartbeat>,
) -> Result<Json<HeartbeatResponse>, Error> {
    let renewed = match jobs::heartbeat(&context.pool, *job_id, host.id, &request).await {
        // The host has another running job: this one was given up long ago.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => None,
        other => other?,
    };
    renewed
        .map(|cancel| Json(HeartbeatResponse { cancel }))
        .ok_or_else(|| lost(*job_id))
}

/// Where a piece of log belongs.
#[derive(Debug, Deserialize)]
pub(super) struct LogQuery {
    lease: Uuid,
    offset: i64,
}

/// Appends to the job's log; answers 204, or 409 with the end of what is there when bytes are missing in between.
pub(super) async fn log(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    query: Query<LogQuery>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    if query.offset < 0 || query.offset > LONGEST_LOG {
        return Err(Error::TooLarge(format!(
            "offset: a log has at most {LONGEST_LOG} bytes"
        )));
    }
    let mut transaction = context.pool.begin().await?;
    jobs::lock_fenced(&mut transaction, *job_id, host.id, query.lease)
        .await?
        .ok_or_else(|| lost(*job_id))?;
    let appended =
        logs::append(&mut transaction, *job_id, query.lease, query.offset, &body).await?;
    transaction.commit().await?;
    match appended {
        Appended::Ends(_) => Ok(HttpResponse::NoContent().finish()),
        Appended::Gap { end } => Err(Error::Unprocessable {
            field: "offset".to_owned(),
            message: format!("the log ends at {end}: send on from there"),
        }),
    }
}

/// Ends a try without a run.
pub(super) async fn failure(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    Json(failure): Json<JobFailure>,
) -> Result<HttpResponse, Error> {
    let mut transaction = context.pool.begin().await?;
    if !jobs::mark_failed(&mut transaction, *job_id, host.id, &failure).await? {
        return Err(lost(*job_id));
    }
    transaction.commit().await?;
    tracing::warn!(host = host.name, job = *job_id, kind = ?failure.kind, "failed: {}", failure.message);
    Ok(HttpResponse::NoContent().finish())
}

/// Takes an unfinished job back.
pub(super) async fn release(
    context: Data<Context>,
    HostToken(host): HostToken,
    job_id: Path<i64>,
    Json(release): Json<Release>,
) -> Result<HttpResponse, Error> {
    let mut transaction = context.pool.begin().await?;
    if !jobs::release(
        &mut transaction,
        *job_id,
        host.id,
        release.lease_id,
        &release.reason,
    )
    .await?
    {
        return Err(lost(*job_id));
    }
    transaction.commit().await?;
    tracing::info!(
        host = host.name,
        job = *job_id,
        "handed back: {}",
        release.reason
    );
    Ok(HttpResponse::NoContent().finish())
}
