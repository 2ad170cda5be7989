//! Hosts and their environments.

use chrono::{DateTime, Utc};
use serde_json::Value;
use speedwell_wire::EnvironmentFacts;
use sqlx::{PgConnection, PgExecutor};

/// A host as a worker's request needs it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Host {
    /// Key.
    pub id: i64,
    /// The operator's name for it.
    pub name: String,
    /// Its class: jobs name a class or a host.
    pub class: String,
}

/// The host that owns a token, and a note that it has been heard of.
pub async fn find_by_token(
    db: impl PgExecutor<'_>,
    token_sha256: &str,
) -> sqlx::Result<Option<Host>> {
    sqlx::query_as(
        "UPDATE host SET last_seen_at = now() WHERE token_sha256 = $1 RETURNING id, name, class",
    )
    .bind(token_sha256)
    .fetch_optional(db)
    .await
}

/// A host by its name.
pub async fn find_by_name(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Host>> {
    sqlx::query_as("SELECT id, name, class FROM host WHERE name = $1")
        .bind(name)
        .fetch_optional(db)
        .await
}

/// Adds a host, or gives a known one a new class and token.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    name: &str,
    class: &str,
    token_sha256: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO host (name, class, token_sha256) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET class = excluded.class, token_sha256 = excluded.token_sha256
         RETURNING id",
    )
    .bind(name)
    .bind(class)
    .bind(token_sha256)
    .fetch_one(db)
    .await
}

/// Records the host's environment and worker version; returns the environment's key.
pub async fn register(
    db: &mut PgConnection,
    host_id: i64,
    worker_version: &str,
    facts: &EnvironmentFacts,
) -> sqlx::Result<i64> {
    let environment_id: i64 = sqlx::query_scalar(
        "INSERT INTO environment (host_id, fingerprint, facts) VALUES ($1, $2, $3)
         ON CONFLICT (host_id, fingerprint) DO UPDATE SET facts = excluded.facts
         RETURNING id",
    )
    .bind(host_id)
    .bind(facts.fingerprint())
    .bind(sqlx::types::Json(facts))
    .fetch_one(&mut *db)
    .await?;
    sqlx::query("UPDATE host SET environment_id = $2, worker_version = $3, last_seen_at = now() WHERE id = $1")
        .bind(host_id)
        .bind(environment_id)
        .bind(worker_version)
        .execute(db)
        .await?;
    Ok(environment_id)
}

/// Whether an environment belongs to a host.
pub async fn owns_environment(
    db: impl PgExecutor<'_>,
    host_id: i64,
    environment_id: i64,
) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM environment WHERE id = $1 AND host_id = $2)")
        .bind(environment_id)
        .bind(host_id)
        .fetch_one(db)
        .await
}

/// A host as its page shows it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HostDetail {
    /// Key.
    pub id: i64,
    /// The operator's name for it.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Version of its worker.
    pub worker_version: Option<String>,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Its present environment.
    pub environment_id: Option<i64>,
    /// The job it runs.
    pub job_id: Option<i64>,
    /// Runs it has delivered.
    pub runs: i64,
    /// Whether its results are imported: no worker of ours runs there.
    pub imported: bool,
}

/// A host by its name, for its page.
pub async fn find_detail(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<HostDetail>> {
    sqlx::query_as(
        "SELECT id, name, class, worker_version, last_seen_at, environment_id, imported,
            (SELECT id FROM job WHERE running_on = host.id AND state = 'running') AS job_id,
            (SELECT count(*) FROM run WHERE host_id = host.id) AS runs
         FROM host WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(db)
    .await
}

/// One environment of a host.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EnvironmentRow {
    /// Key.
    pub id: i64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its facts.
    pub facts: Value,
    /// When a worker first told it.
    pub first_seen_at: DateTime<Utc>,
    /// End of its newest run.
    pub last_run_at: Option<DateTime<Utc>>,
    /// Its runs.
    pub runs: i64,
}

/// The newest environments of a host, newest first.
pub async fn list_environments(
    db: impl PgExecutor<'_>,
    host_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<EnvironmentRow>> {
    sqlx::query_as(
        "SELECT environment.id, fingerprint, facts, first_seen_at, max(finished_at) AS last_run_at, count(run.id) AS runs
         FROM environment LEFT JOIN run ON run.environment_id = environment.id AND run.host_id = $1
         WHERE environment.host_id = $1 GROUP BY environment.id ORDER BY first_seen_at DESC, environment.id DESC LIMIT $2",
    )
    .bind(host_id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// An epoch of a host that a control has begun.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EpochRow {
    /// Since when nothing is compared with what was before.
    pub begins_at: DateTime<Utc>,
    /// The control that moved.
    pub runtime: String,
    /// By how much, as a ratio minus one.
    pub change: f64,
    /// What it had to pass.
    pub threshold: f64,
}

/// The newest epochs of a host that controls have begun, newest first.
pub async fn list_epochs(
    db: impl PgExecutor<'_>,
    host_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<EpochRow>> {
    sqlx::query_as(
        "SELECT begins_at, runtime.name AS runtime, change, threshold FROM host_epoch
         JOIN runtime ON runtime.id = runtime_id WHERE host_id = $1 ORDER BY begins_at DESC LIMIT $2",
    )
    .bind(host_id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A run with what was not as it should be on its host.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FlaggedRun {
    /// Key.
    pub id: i64,
    /// The runtime.
    pub runtime: String,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The weight of the worst.
    pub host_worst: Option<String>,
    /// As [`speedwell_wire::HostFlag`].
    pub host_flags: Value,
}

/// The newest runs of a host, newest first.
pub async fn list_runs(
    db: impl PgExecutor<'_>,
    host_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<FlaggedRun>> {
    sqlx::query_as(
        "SELECT run.id, runtime.name AS runtime, finished_at, host_worst, host_flags
         FROM run JOIN runtime ON runtime.id = runtime_id WHERE host_id = $1 ORDER BY run.id DESC LIMIT $2",
    )
    .bind(host_id)
    .bind(limit)
    .fetch_all(db)
    .await
}
