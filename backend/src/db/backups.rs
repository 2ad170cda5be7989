//! What a backup needs to know of the database, and whether one may be restored into it.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool, Postgres, Transaction};

/// A moment of the database that other connections (`pg_dump --snapshot`) can look at too, for as long as this is kept.
pub struct Snapshot {
    /// The transaction that sees the moment.
    pub transaction: Transaction<'static, Postgres>,
    /// Its name.
    pub name: String,
}

/// Takes a snapshot.
pub async fn open_snapshot(pool: &PgPool) -> sqlx::Result<Snapshot> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let name = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(&mut *transaction)
        .await?;
    Ok(Snapshot { transaction, name })
}

/// Name and size in bytes of every object that the database refers to, in the order of their names.
pub async fn list_artefacts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT sha256, bytes FROM artefact ORDER BY sha256")
        .fetch_all(db)
        .await
}

/// The rows of every table; of a partitioned one, those of each partition.
pub async fn count_rows(db: &mut PgConnection) -> sqlx::Result<BTreeMap<String, i64>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(&mut *db)
    .await?;
    let mut counts = BTreeMap::new();
    for table in tables {
        let quoted = table.replace('"', "\"\"");
        let count = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM \"{quoted}\"")))
            .fetch_one(&mut *db)
            .await?;
        counts.insert(table, count);
    }
    Ok(counts)
}

/// Version of the server (`15.18 (Debian …)`).
pub async fn server_version(db: impl PgExecutor<'_>) -> sqlx::Result<String> {
    sqlx::query_scalar("SHOW server_version")
        .fetch_one(db)
        .await
}

/// The newest migration of the database.
pub async fn newest_migration(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(db)
        .await
}

/// Whether the database holds no table at all.
pub async fn is_empty(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S'))",
    )
    .fetch_one(db)
    .await
}

/// Gathers what the planner wants to know; a dump does not hold it.
pub async fn analyze(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query("ANALYZE").execute(db).await.map(drop)
}

/// Gives up every message that waits, and what would become one: a copy of the service tells nobody. How many messages there were.
pub async fn hold_messages(db: &mut PgConnection) -> sqlx::Result<u64> {
    const WHY: &str = "held back: this is a restored copy";
    sqlx::query("UPDATE notice SET dropped = $1 WHERE outbox_id IS NULL AND dropped IS NULL")
        .bind(WHY)
        .execute(&mut *db)
        .await?;
    let held = sqlx::query(
        "UPDATE outbox SET state = 'dead', finished_at = now(), last_error = $1 WHERE state = 'waiting'",
    )
    .bind(WHY)
    .execute(db)
    .await?;
    Ok(held.rows_affected())
}
