//! What the overview, `/health` and `/metrics` show.

use sqlx::PgExecutor;

/// Whether the database answers.
pub async fn ping(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(db).await.map(drop)
}

/// Jobs by state.
pub async fn count_jobs(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state")
        .fetch_all(db)
        .await
}
