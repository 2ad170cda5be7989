//! The queue: claiming under a lease, keeping it, and giving it back.
//!
//! Every write of a worker names the job and the lease; no row means that the lease is lost. A lease that has
//! merely expired can still be taken up again by its holder as long as nobody else has claimed the job: after an
//! outage of the backend a run goes on instead of starting anew. `lease_id` stays on a job that went back to the
//! queue by expiry for that reason, and is cleared by every other way back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use speedwell_wire::{BuildRecipe, FailureKind, Heartbeat, JobFailure, JobKind, LEASE_SECONDS};
use sqlx::postgres::types::PgInterval;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::domain::job::{AfterFailure, after_failure};
use crate::domain::plan::Reason;

/// What a claim needs to tell the worker.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ClaimedJob {
    /// Key.
    pub id: i64,
    /// `measure` or `build`.
    pub kind: String,
    /// Which try this is, from 1.
    pub attempt: i32,
    /// Runtime's name.
    pub runtime: String,
    /// Key of the runtime.
    pub runtime_id: i64,
    /// Key of the commit.
    pub commit_id: i64,
    /// Recipe as the runtime has it now.
    pub recipe: Json<BuildRecipe>,
    /// Repository's name.
    pub repository: String,
    /// Where to fetch from.
    pub url: String,
    /// Paths that a checkout leaves out.
    pub exclude: Vec<String>,
    /// Hash of the commit to check out.
    pub hash: String,
    /// What is changed in it before it is built.
    pub patch: Option<String>,
    /// Committer's time.
    pub committed_at: DateTime<Utc>,
    /// Suite's name.
    pub suite_name: String,
    /// Newest registered version of the suite.
    pub suite_version: i32,
    /// Limits the suite; empty means all.
    pub benchmarks: Vec<String>,
    /// Which repeat of the build is wanted.
    pub build_repeat: i32,
    /// A try's job whose commit is on no tracked branch.
    pub without_cache: bool,
}

fn lease_interval() -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: (LEASE_SECONDS as i64) * 1_000_000,
    }
}

/// Leases the best queued job for a host. Run it in a transaction of its own.
///
/// The host's row is locked first, so that two claims of one host come one after the other; the partial unique
/// index on running jobs guards the same rule should a later change forget the lock. A host that asks for work
/// has none: what it seemed to be running was lost with its worker and goes back to the queue. Whether the worker applies patches
/// is noted for those who choose a host for one.
pub async fn claim(
    db: &mut PgConnection,
    host_id: i64,
    lease_id: Uuid,
    applies_patches: bool,
) -> sqlx::Result<Option<ClaimedJob>> {
    let (class, noted, disabled): (String, bool, bool) = sqlx::query_as(
        "SELECT class, applies_patches, disabled_at IS NOT NULL FROM host WHERE id = $1 FOR UPDATE",
    )
    .bind(host_id)
    .fetch_one(&mut *db)
    .await?;
    if noted != applies_patches {
        sqlx::query("UPDATE host SET applies_patches = $2 WHERE id = $1")
            .bind(host_id)
            .bind(applies_patches)
            .execute(&mut *db)
            .await?;
    }
    let lost: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM job WHERE running_on = $1 AND state = 'running'")
            .bind(host_id)
            .fetch_all(&mut *db)
            .await?;
    for job_id in lost {
        take_back(
            &mut *db,
            job_id,
            "the worker began anew and no longer knows this job",
        )
        .await?;
    }
    if disabled {
        return Ok(None);
    }
    let least = if is_asked_next(&mut *db, host_id).await? {
        Reason::Bisection.priority()
    } else {
        i32::MIN
    };
    let claimed: Option<i64> = sqlx::query_scalar(
        "SELECT job.id FROM job JOIN runtime ON runtime.id = runtime_id
         WHERE state = 'queued' AND (host_id = $1 OR (host_id IS NULL AND host_class = $2))
           AND not_before <= now() AND paused_at IS NULL AND EXISTS (SELECT 1 FROM suite WHERE name = coalesce(job.suite_name, runtime.suite_name))
           AND ($3 OR (SELECT patch_sha256 FROM commit WHERE commit.id = commit_id) IS NULL) AND priority >= $4
         ORDER BY priority DESC, job.id LIMIT 1 FOR UPDATE OF job SKIP LOCKED",
    )
    .bind(host_id)
    .bind(&class)
    .bind(applies_patches)
    .bind(least)
    .fetch_optional(&mut *db)
    .await?;
    let Some(job_id) = claimed else {
        return Ok(None);
    };
    sqlx::query(
        "UPDATE job SET state = 'running', lease_id = $2, lease_until = now() + $3, running_on = $4,
                attempt = attempt + 1, started_at = now(), phase = 'source', percent = 0, progress = 'claimed',
                failure_kind = NULL, failure_phase = NULL, failure_message = NULL, failure_log = NULL
         WHERE id = $1",
    )
    .bind(job_id)
    .bind(lease_id)
    .bind(lease_interval())
    .bind(host_id)
    .execute(&mut *db)
    .await?;
    insert_event(&mut *db, job_id, Some(host_id), "claimed").await?;
    get_claimed(db, job_id).await.map(Some)
}

/// Whether a search, a confirmation or a try has just got a run from this host and has not said yet what it wants next. A job of the policy
/// that were begun meanwhile would make each of its steps longer by as much. It says so within seconds, or the host goes on.
async fn is_asked_next(db: impl PgExecutor<'_>, host_id: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (
            SELECT 1 FROM job LEFT JOIN bisection ON bisection.id = bisection_id LEFT JOIN confirmation ON confirmation.id = confirmation_id
            LEFT JOIN try_run ON try_run.id = try_id
            WHERE job.host_id = $1 AND job.finished_at > now() - interval '10 seconds' AND job.state = 'succeeded'
              AND (bisection.state = 'searching' OR confirmation.state = 'measuring' OR try_run.state = 'running'))",
    )
    .bind(host_id)
    .fetch_one(db)
    .await
}

async fn get_claimed(db: &mut PgConnection, job_id: i64) -> sqlx::Result<ClaimedJob> {
    sqlx::query_as(
        "SELECT job.id, job.kind, job.attempt, runtime.name AS runtime, runtime.id AS runtime_id,
                commit.id AS commit_id, runtime.recipe, repository.name AS repository, repository.url,
                repository.exclude, CASE WHEN patch_sha256 IS NULL THEN commit.hash ELSE parents[1] END AS hash,
                commit.committed_at, coalesce(job.suite_name, runtime.suite_name) AS suite_name,
                (SELECT max(version) FROM suite WHERE suite.name = coalesce(job.suite_name, runtime.suite_name)) AS suite_version,
                job.benchmarks, job.build_repeat, patch.content AS patch,
                job.try_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM branch_commit WHERE branch_commit.commit_id = commit.id) AS without_cache
         FROM job JOIN runtime ON runtime.id = job.runtime_id
         JOIN commit ON commit.id = job.commit_id
         JOIN repository ON repository.id = commit.repository_id
         LEFT JOIN patch ON patch.sha256 = commit.patch_sha256
         WHERE job.id = $1",
    )
    .bind(job_id)
    .fetch_one(db)
    .await
}

/// Renews a lease and stores the progress. `None`: the lease is lost. `Some(cancel)`: go on, or stop.
pub async fn heartbeat(
    db: impl PgExecutor<'_>,
    job_id: i64,
    host_id: i64,
    heartbeat: &Heartbeat,
) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(
        "UPDATE job SET state = 'running', lease_until = now() + $4, phase = $5, percent = $6, progress = $7
         WHERE id = $1 AND lease_id = $2 AND running_on = $3 AND state IN ('running', 'queued')
         RETURNING cancel_requested",
    )
    .bind(job_id)
    .bind(heartbeat.lease_id)
    .bind(host_id)
    .bind(lease_interval())
    .bind(heartbeat.phase.as_str())
    .bind(heartbeat.percent.clamp(0.0, 100.0))
    .bind(printable(&heartbeat.message, 300))
    .fetch_optional(db)
    .await
}

/// A job under its fence, locked.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Fenced {
    /// What it measures.
    pub runtime_id: i64,
    /// The commit.
    pub commit_id: i64,
    /// Which try this is.
    pub attempt: i32,
    /// How many there may be.
    pub max_attempts: i32,
}

/// Locks a job if the lease still holds it (or could take it up again). `None`: the lease is lost.
pub async fn lock_fenced(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    lease_id: Uuid,
) -> sqlx::Result<Option<Fenced>> {
    sqlx::query_as(
        "SELECT runtime_id, commit_id, attempt, max_attempts FROM job
         WHERE id = $1 AND lease_id = $2 AND running_on = $3 AND state IN ('running', 'queued') FOR UPDATE",
    )
    .bind(job_id)
    .bind(lease_id)
    .bind(host_id)
    .fetch_optional(db)
    .await
}

/// Ends a job well. The caller holds its lock.
pub async fn mark_succeeded(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'succeeded', finished_at = now(), lease_until = NULL, percent = 100, progress = NULL,
                failure_kind = NULL, failure_phase = NULL, failure_message = NULL, failure_log = NULL
         WHERE id = $1",
    )
    .bind(job_id)
    .execute(&mut *db)
    .await?;
    insert_event(db, job_id, Some(host_id), message).await
}

/// Stores a failed try: back to the queue, or over. `false`: the lease is lost.
pub async fn mark_failed(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    failure: &JobFailure,
) -> sqlx::Result<bool> {
    let Some(job) = lock_fenced(&mut *db, job_id, host_id, failure.lease_id).await? else {
        return Ok(false);
    };
    let (state, pause, note) = match after_failure(failure.kind, job.attempt, job.max_attempts) {
        AfterFailure::Retry(pause) => (
            "queued",
            pause,
            format!("will be tried again in {} s", pause.as_secs()),
        ),
        AfterFailure::Failed => (
            "failed",
            Duration::ZERO,
            "will not be tried again".to_owned(),
        ),
        AfterFailure::Cancelled => ("cancelled", Duration::ZERO, "cancelled".to_owned()),
    };
    sqlx::query(
        "UPDATE job SET state = $2, lease_id = NULL, lease_until = NULL,
                finished_at = CASE WHEN $2 = 'queued' THEN NULL ELSE now() END, not_before = now() + $3,
                failure_kind = $4, failure_phase = $5, failure_message = $6, failure_log = $7, progress = NULL
         WHERE id = $1",
    )
    .bind(job_id)
    .bind(state)
    .bind(PgInterval { months: 0, days: 0, microseconds: i64::try_from(pause.as_micros()).unwrap_or(i64::MAX) })
    .bind(match failure.kind {
        FailureKind::Transient => "transient",
        FailureKind::Permanent => "permanent",
        FailureKind::Cancelled => "cancelled",
    })
    .bind(failure.phase.as_str())
    .bind(printable(&failure.message, 2_000))
    .bind(printable(&failure.log_tail, 40_000))
    .execute(&mut *db)
    .await?;
    let message = format!(
        "failed in {}: {}; {note}",
        failure.phase.as_str(),
        printable(&failure.message, 500)
    );
    insert_event(db, job_id, Some(host_id), &message).await?;
    Ok(true)
}

/// Hands a job back unfinished; the try does not count. `false`: the lease is lost.
pub async fn release(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    lease_id: Uuid,
    reason: &str,
) -> sqlx::Result<bool> {
    if lock_fenced(&mut *db, job_id, host_id, lease_id)
        .await?
        .is_none()
    {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE job SET state = 'queued', lease_id = NULL, lease_until = NULL, attempt = greatest(attempt - 1, 0),
                progress = NULL, percent = NULL, phase = NULL
         WHERE id = $1",
    )
    .bind(job_id)
    .execute(&mut *db)
    .await?;
    insert_event(
        db,
        job_id,
        Some(host_id),
        &format!("handed back: {}", printable(reason, 300)),
    )
    .await?;
    Ok(true)
}

/// Takes every expired lease back; returns how many.
pub async fn reclaim_expired(db: &mut PgConnection) -> sqlx::Result<usize> {
    let expired: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM job WHERE state = 'running' AND lease_until < now() FOR UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *db)
    .await?;
    for job_id in &expired {
        take_back(
            &mut *db,
            *job_id,
            "the lease expired: nothing was heard from the worker",
        )
        .await?;
    }
    Ok(expired.len())
}

/// Puts a job whose worker is gone back into the queue, or fails it when its attempts are used up.
/// The lease stays, so that the worker can take it up again if it was only out of reach.
async fn take_back(db: &mut PgConnection, job_id: i64, why: &str) -> sqlx::Result<()> {
    let (state, host_id): (String, Option<i64>) = sqlx::query_as(
        "UPDATE job SET
            state = CASE WHEN cancel_requested THEN 'cancelled'
                         WHEN attempt >= max_attempts THEN 'failed' ELSE 'queued' END,
            finished_at = CASE WHEN cancel_requested OR attempt >= max_attempts THEN now() END,
            failure_kind = 'transient', failure_phase = phase, failure_message = $2, lease_until = NULL,
            progress = NULL
         WHERE id = $1 RETURNING state, running_on",
    )
    .bind(job_id)
    .bind(why)
    .fetch_one(&mut *db)
    .await?;
    let message = match state.as_str() {
        "queued" => format!("{why}; queued again"),
        other => format!("{why}; {other}"),
    };
    insert_event(db, job_id, host_id, &message).await
}

/// Asks for a job's end: a queued one is cancelled at once, a running one at its next heartbeat.
/// Returns the state it had, or `None` when it is over or unknown.
pub async fn cancel(
    db: &mut PgConnection,
    job_id: i64,
    requester: &str,
) -> sqlx::Result<Option<String>> {
    let state: Option<String> = sqlx::query_scalar(
        "SELECT state FROM job WHERE id = $1 AND state IN ('queued', 'running') FOR UPDATE",
    )
    .bind(job_id)
    .fetch_optional(&mut *db)
    .await?;
    let Some(state) = state else { return Ok(None) };
    sqlx::query(
        "UPDATE job SET cancel_requested = true,
                state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state = 'queued' THEN now() END
         WHERE id = $1",
    )
    .bind(job_id)
    .execute(&mut *db)
    .await?;
    insert_event(
        db,
        job_id,
        None,
        &format!("cancellation asked for by {requester}"),
    )
    .await?;
    Ok(Some(state))
}

/// Adds a line to a job's history.
pub async fn insert_event(
    db: impl PgExecutor<'_>,
    job_id: i64,
    host_id: Option<i64>,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (job_id, host_id, message) VALUES ($1, $2, $3)")
        .bind(job_id)
        .bind(host_id)
        .bind(message)
        .execute(db)
        .await
        .map(drop)
}

/// Text from outside, fit for a text column: no NUL, at most `longest` characters.
fn printable(text: &str, longest: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(longest).collect()
}

/// Locks a job for its finished run. As [`lock_fenced`], and also a job that was given up only because nothing was
/// heard from this very lease: the run is whole, and throwing it away would lose a result.
pub async fn lock_for_result(
    db: &mut PgConnection,
    job_id: i64,
    host_id: i64,
    lease_id: Uuid,
) -> sqlx::Result<Option<Fenced>> {
    sqlx::query_as(
        "SELECT runtime_id, commit_id, attempt, max_attempts FROM job
         WHERE id = $1 AND lease_id = $2 AND running_on = $3
           AND (state IN ('running', 'queued') OR (state = 'failed' AND failure_kind = 'transient')) FOR UPDATE",
    )
    .bind(job_id)
    .bind(lease_id)
    .bind(host_id)
    .fetch_optional(db)
    .await
}

/// What a job asks for.
pub async fn kind(db: impl PgExecutor<'_>, job_id: i64) -> sqlx::Result<JobKind> {
    let kind: String = sqlx::query_scalar("SELECT kind FROM job WHERE id = $1")
        .bind(job_id)
        .fetch_one(db)
        .await?;
    Ok(if kind == "build" {
        JobKind::Build
    } else {
        JobKind::Measure
    })
}
