//! Advisory locks: a named piece of work is done by one backend at a time.

use sqlx::{PgPool, Postgres, Transaction};

/// Held while the work goes on; dropping it (or losing the connection) gives the lock up.
#[must_use = "the lock is given up when this is dropped"]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Transaction<'static, Postgres>);

/// Takes the lock `name`, or returns `None` at once when another connection has it.
pub async fn try_lock(pool: &PgPool, name: &str) -> sqlx::Result<Option<Lock>> {
    let mut transaction = pool.begin().await?;
    let taken: bool = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('speedwell.' || $1, 0))",
    )
    .bind(name)
    .fetch_one(&mut *transaction)
    .await?;
    Ok(taken.then(|| Lock(transaction)))
}
