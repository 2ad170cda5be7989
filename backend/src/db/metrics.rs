//! What `/metrics` says of the service as it is now.

use sqlx::PgExecutor;

/// Name, label and value of gauges; the label's name is the reader's matter.
pub type Labelled = (String, f64);

/// Seconds since 1970 of each host's last request, by host; disabled ones are left out.
pub async fn list_hosts_seen(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Labelled>> {
    sqlx::query_as(
        "SELECT name, extract(epoch FROM last_seen_at)::float8 FROM host WHERE last_seen_at IS NOT NULL AND disabled_at IS NULL ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// Seconds since 1970 of each runtime's newest result, by runtime.
pub async fn list_results(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Labelled>> {
    sqlx::query_as(
        "SELECT name, extract(epoch FROM newest.at)::float8 FROM runtime,
            LATERAL (SELECT finished_at AS at FROM run WHERE runtime_id = runtime.id ORDER BY id DESC LIMIT 1) newest
         WHERE enabled ORDER BY ordinal, name",
    )
    .fetch_all(db)
    .await
}

/// Age in seconds of the oldest job that waits, by class of hosts.
pub async fn list_oldest(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Labelled>> {
    sqlx::query_as(
        "SELECT host_class, extract(epoch FROM now() - min(greatest(not_before, created_at)))::float8 FROM job
         WHERE state = 'queued' AND not_before <= now() GROUP BY host_class ORDER BY 1",
    )
    .fetch_all(db)
    .await
}

/// Messages by state.
pub async fn list_messages(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Labelled>> {
    sqlx::query_as("SELECT state, count(*)::float8 FROM outbox GROUP BY state ORDER BY state")
        .fetch_all(db)
        .await
}

/// Bytes in the store, by kind of object.
pub async fn list_stored(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Labelled>> {
    sqlx::query_as(
        "SELECT kind, sum(bytes)::float8 FROM artefact WHERE removed_at IS NULL GROUP BY kind ORDER BY kind",
    )
    .fetch_all(db)
    .await
}

/// Size of the database in bytes.
pub async fn database_bytes(db: impl PgExecutor<'_>) -> sqlx::Result<f64> {
    sqlx::query_scalar("SELECT pg_database_size(current_database())::float8")
        .fetch_one(db)
        .await
}
