//! Advisory locks: a named piece of work is done by one backend at a time.

use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

/// Held while the work goes on; dropping it (or losing the connection) gives the lock up.
#[must_use = "the lock is given up when this is dropped"]
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Transaction<'static, Postgres>);

/// Takes the lock `name`, or returns `None` at once when another connection has it. It keeps a connection of the pool: for single
/// commands. What takes many locks and works with the pool meanwhile would wait for itself: see the scheduler's `Locks`.
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

/// Takes the lock `name` for a connection, until it is given up or the connection ends: whether no other connection has it. One who holds it
/// must not ask for it again.
pub async fn take(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('speedwell.' || $1, 0))")
        .bind(name)
        .fetch_one(db)
        .await
}

/// Gives a connection's lock up: whether it had it.
pub async fn release(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_advisory_unlock(hashtextextended('speedwell.' || $1, 0))")
        .bind(name)
        .fetch_one(db)
        .await
}
