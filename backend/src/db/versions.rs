//! Which state of the database a page shows.

use sqlx::PgExecutor;

/// A text that differs from every earlier one as soon as anything in this Postgres has been committed since: the snapshot that a
/// statement of this moment sees, by the numbers of transactions that are over and of those that are not
/// (PostgreSQL manual, "pg_snapshot Components").
pub async fn current(db: impl PgExecutor<'_>) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT pg_current_snapshot()::text")
        .fetch_one(db)
        .await
}
