//! The queue and the hosts as pages and the API show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A job as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct JobRow {
    /// Key.
    pub id: i64,
    /// `measure` or `build`.
    pub kind: String,
    /// The runtime.
    pub runtime: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled`.
    pub state: String,
    /// Why it was asked for.
    pub reason: String,
    /// The run that it repeats because that was measured under bad conditions.
    pub repeats_run_id: Option<i64>,
    /// The suspicious run that this control was queued because of.
    pub suspected_run_id: Option<i64>,
    /// The try run that it is a part of.
    pub try_id: Option<i64>,
    /// Who asked.
    pub requester: String,
    /// Higher goes first.
    pub priority: i32,
    /// Class of hosts that may take it.
    pub host_class: String,
    /// The host that has it, or had it last.
    pub host: Option<String>,
    /// Tries begun.
    pub attempt: i32,
    /// Tries that are allowed.
    pub max_attempts: i32,
    /// Not claimed before.
    pub not_before: DateTime<Utc>,
    /// Phase of the running try.
    pub phase: Option<String>,
    /// Its progress.
    pub percent: Option<f32>,
    /// What it is doing.
    pub progress: Option<String>,
    /// When the lease ends.
    pub lease_until: Option<DateTime<Utc>>,
    /// Whether someone asked to cancel it.
    pub cancel_requested: bool,
    /// Why the last try failed.
    pub failure_message: Option<String>,
    /// `transient`, `permanent` or `cancelled`.
    pub failure_kind: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When the last try began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its run.
    pub run_id: Option<i64>,
}

/// The columns of [`JobRow`] with their tables, before what chooses and orders the rows.
macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "SELECT job.id, job.kind, runtime.name AS runtime, commit.hash, commit.subject, job.state, job.reason,
                job.repeats_run_id, job.suspected_run_id, job.try_id, job.requester, job.priority, job.host_class, host.name AS host, job.attempt, job.max_attempts,
                job.not_before, job.phase, job.percent, job.progress, job.lease_until, job.cancel_requested,
                job.failure_message, job.failure_kind, job.created_at, job.started_at, job.finished_at,
                (SELECT max(id) FROM run WHERE job_id = job.id) AS run_id
             FROM job JOIN runtime ON runtime.id = job.runtime_id JOIN commit ON commit.id = job.commit_id
             LEFT JOIN host ON host.id = coalesce(job.running_on, job.host_id) ",
            $rest
        )
    };
}

/// Jobs in the given states for people: running first, then as they would be claimed, then the newest that are over.
pub async fn list_jobs(
    db: impl PgExecutor<'_>,
    states: &[&str],
    limit: i64,
) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as(select_jobs!(
        "WHERE job.state = ANY($1)
         ORDER BY job.finished_at DESC NULLS FIRST, (job.state = 'queued'), job.priority DESC, job.id LIMIT $2"
    ))
    .bind(states)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Jobs in the given states, newest key first, below a key.
pub async fn page_jobs(
    db: impl PgExecutor<'_>,
    states: &[&str],
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as(select_jobs!(
        "WHERE job.state = ANY($1) AND job.id < coalesce($2, 9223372036854775807) ORDER BY job.id DESC LIMIT $3"
    ))
    .bind(states)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A job by its key.
pub async fn find_job(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as(select_jobs!("WHERE job.id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct JobEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// On which host.
    pub host: Option<String>,
    /// What.
    pub message: String,
}

/// A job's history, oldest first, the newest hundred.
pub async fn list_events(db: impl PgExecutor<'_>, job_id: i64) -> sqlx::Result<Vec<JobEvent>> {
    sqlx::query_as(
        "SELECT * FROM (SELECT job_event.id AS number, at, host.name AS host, message FROM job_event
            LEFT JOIN host ON host.id = host_id WHERE job_id = $1 ORDER BY job_event.id DESC LIMIT 100) newest
         ORDER BY number",
    )
    .bind(job_id)
    .fetch_all(db)
    .await
}

/// The failing program's last lines, and where the whole log lies once the job is over.
pub async fn find_log(
    db: impl PgExecutor<'_>,
    job_id: i64,
) -> sqlx::Result<Option<(Option<String>, Option<String>)>> {
    sqlx::query_as("SELECT failure_log, log_artefact FROM job WHERE id = $1")
        .bind(job_id)
        .fetch_optional(db)
        .await
}

/// A host as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Version of its worker.
    pub worker_version: Option<String>,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// What it is, as it last said.
    pub facts: Option<Value>,
    /// The job it runs.
    pub job_id: Option<i64>,
    /// Jobs that wait for its class, or for it alone.
    pub waiting: i64,
    /// Runs it has delivered.
    pub runs: i64,
    /// Whether its results are imported: no worker of ours runs there.
    pub imported: bool,
}

/// All hosts.
pub async fn list_hosts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HostRow>> {
    sqlx::query_as(
        "SELECT host.name, host.class, worker_version, last_seen_at, facts, imported,
            (SELECT id FROM job WHERE running_on = host.id AND state = 'running') AS job_id,
            (SELECT count(*) FROM job WHERE state = 'queued'
               AND (host_id = host.id OR (host_id IS NULL AND host_class = host.class))) AS waiting,
            (SELECT count(*) FROM run WHERE host_id = host.id) AS runs
         FROM host LEFT JOIN environment ON environment.id = host.environment_id ORDER BY host.name",
    )
    .fetch_all(db)
    .await
}

/// A repository as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RepositoryRow {
    /// Its name.
    pub name: String,
    /// Where it is fetched from.
    pub url: String,
    /// When it was last looked at.
    pub last_fetch_at: Option<DateTime<Utc>>,
    /// What went wrong then.
    pub last_fetch_error: Option<String>,
    /// Each branch with its commits, and what the newest force push did.
    pub branches: Vec<String>,
}

/// All repositories.
pub async fn list_repositories(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<RepositoryRow>> {
    sqlx::query_as(
        "SELECT repository.name, url, last_fetch_at, last_fetch_error,
            ARRAY(SELECT format('%s: %s commits%s', branch.name,
                    coalesce((SELECT max(position) + 1 FROM branch_commit WHERE branch_id = branch.id), 0),
                    CASE WHEN rewritten_at IS NULL THEN ''
                         ELSE format(', %s rewritten on %s', rewritten_count, rewritten_at::date) END)
                  FROM branch WHERE branch.repository_id = repository.id ORDER BY branch.name) AS branches
         FROM repository ORDER BY repository.name",
    )
    .fetch_all(db)
    .await
}
