//! What the operator's commands ask and change: runtimes, hosts, jobs.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::jobs;

/// A runtime as the operator's list shows it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RuntimeLine {
    /// Its name.
    pub name: String,
    /// False: it is no longer configured.
    pub enabled: bool,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Jobs that wait.
    pub queued: i64,
    /// Jobs that run.
    pub running: i64,
    /// End of its newest run.
    pub last_run_at: Option<DateTime<Utc>>,
}

/// All runtimes.
pub async fn list_runtimes(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<RuntimeLine>> {
    sqlx::query_as(
        "SELECT name, enabled, paused_at,
            (SELECT count(*) FROM job WHERE runtime_id = runtime.id AND state = 'queued') AS queued,
            (SELECT count(*) FROM job WHERE runtime_id = runtime.id AND state = 'running') AS running,
            (SELECT finished_at FROM run WHERE runtime_id = runtime.id ORDER BY id DESC LIMIT 1) AS last_run_at
         FROM runtime ORDER BY enabled DESC, ordinal, name",
    )
    .fetch_all(db)
    .await
}

/// Pauses a runtime or lets it go on; since when it is paused. `None`: there is none of this name.
pub async fn set_paused(
    db: impl PgExecutor<'_>,
    name: &str,
    paused: bool,
) -> sqlx::Result<Option<Option<DateTime<Utc>>>> {
    sqlx::query_scalar(
        "UPDATE runtime SET paused_at = CASE WHEN $2 THEN coalesce(paused_at, now()) END WHERE name = $1 RETURNING paused_at",
    )
    .bind(name)
    .bind(paused)
    .fetch_optional(db)
    .await
}

/// A host as the operator's list shows it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HostLine {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Version of its worker.
    pub worker_version: Option<String>,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Since when it gets no jobs.
    pub disabled_at: Option<DateTime<Utc>>,
    /// The job it runs.
    pub job_id: Option<i64>,
}

/// All hosts.
pub async fn list_hosts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HostLine>> {
    sqlx::query_as(
        "SELECT name, class, worker_version, last_seen_at, disabled_at,
            (SELECT id FROM job WHERE running_on = host.id AND state = 'running') AS job_id FROM host ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// Lets a host claim jobs or not. False: there is none of this name.
pub async fn set_disabled(
    db: impl PgExecutor<'_>,
    name: &str,
    disabled: bool,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE host SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END WHERE name = $1",
    )
    .bind(name)
    .bind(disabled)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a host another token; the one of before is refused from now on. False: there is none of this name.
pub async fn set_token(
    db: impl PgExecutor<'_>,
    name: &str,
    token_sha256: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query("UPDATE host SET token_sha256 = $2 WHERE name = $1")
        .bind(name)
        .bind(token_sha256)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What came of asking for a job once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// It is queued as this job.
    Queued(i64),
    /// It is not over: its state.
    Open(String),
    /// There is none of this number.
    Unknown,
}

/// Queues the work of a job that is over once more, as a job of its own, so that the history of the first stays.
pub async fn retry(db: &mut PgConnection, job_id: i64, requester: &str) -> sqlx::Result<Retry> {
    let state: Option<String> =
        sqlx::query_scalar("SELECT state FROM job WHERE id = $1 FOR UPDATE")
            .bind(job_id)
            .fetch_optional(&mut *db)
            .await?;
    let Some(state) = state else {
        return Ok(Retry::Unknown);
    };
    if state == "queued" || state == "running" {
        return Ok(Retry::Open(state));
    }
    let new: i64 = sqlx::query_scalar(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks, build_repeat)
         SELECT kind, runtime_id, commit_id, host_class, host_id, priority, 'requested', $2, benchmarks, build_repeat
         FROM job WHERE id = $1 RETURNING id",
    )
    .bind(job_id)
    .bind(requester)
    .fetch_one(&mut *db)
    .await?;
    let before = format!("queued once more as job {new} by {requester}");
    jobs::insert_event(&mut *db, job_id, None, &before).await?;
    let after = format!("asked for by {requester}: job {job_id} once more");
    jobs::insert_event(&mut *db, new, None, &after).await?;
    Ok(Retry::Queued(new))
}
