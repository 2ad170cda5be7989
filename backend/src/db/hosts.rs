//! Hosts and their environments.

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
