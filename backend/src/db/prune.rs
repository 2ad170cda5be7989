//! Takes old rows of what is only looked back at: messages, events of jobs, the audit log.
//!
//! Rows are as old as their keys are small. So only the beginning of a table is looked at, a batch at a time, whatever its size.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, Transaction};

use crate::domain::retention::Rows;

/// How many there are from before a moment.
pub async fn count(pool: &PgPool, rows: Rows, before: DateTime<Utc>) -> sqlx::Result<i64> {
    let query = match rows {
        Rows::Messages => {
            "SELECT (SELECT count(*) FROM outbox WHERE state <> 'waiting' AND finished_at < $1)
                  + (SELECT count(*) FROM notice WHERE dropped IS NOT NULL AND outbox_id IS NULL AND not_before < $1)
                  + (SELECT count(*) FROM alarm WHERE cleared_at < $1)"
        }
        // Where the oldest is kept, none is counted.
        Rows::JobEvents => {
            "SELECT count(*) FROM job_event WHERE at < $1 AND (SELECT at FROM job_event ORDER BY id LIMIT 1) < $1"
        }
        Rows::Audit => {
            "SELECT count(*) FROM audit WHERE at < $1 AND (SELECT at FROM audit ORDER BY id LIMIT 1) < $1"
        }
    };
    sqlx::query_scalar(query).bind(before).fetch_one(pool).await
}

/// Takes a batch of the oldest from before a moment; how many. Killed anywhere, a batch is gone or not.
pub async fn take(
    pool: &PgPool,
    rows: Rows,
    before: DateTime<Utc>,
    batch: i64,
) -> sqlx::Result<u64> {
    match rows {
        Rows::Messages => {
            let mut transaction = pool.begin().await?;
            let taken = take_messages(&mut transaction, before, batch).await?;
            transaction.commit().await?;
            Ok(taken)
        }
        Rows::JobEvents => {
            let query = "DELETE FROM job_event WHERE id IN (
                 SELECT id FROM (SELECT id, at FROM job_event ORDER BY id LIMIT $2) oldest WHERE at < $1)";
            run(pool, query, before, batch).await
        }
        Rows::Audit => {
            let query = "DELETE FROM audit WHERE id IN (
                 SELECT id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $2) oldest WHERE at < $1)";
            run(pool, query, before, batch).await
        }
    }
}

async fn run(
    db: impl sqlx::PgExecutor<'_>,
    query: &'static str,
    before: DateTime<Utc>,
    batch: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query(query)
        .bind(before)
        .bind(batch)
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// A notice goes with its message; an event that was told is not told again, with a notice or without.
async fn take_messages(
    transaction: &mut Transaction<'_, Postgres>,
    before: DateTime<Utc>,
    batch: i64,
) -> sqlx::Result<u64> {
    let old: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM outbox WHERE state <> 'waiting' AND finished_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(before)
    .bind(batch)
    .fetch_all(&mut **transaction)
    .await?;
    let mut taken = 0;
    for query in [
        "DELETE FROM notice WHERE outbox_id = ANY($1)",
        "DELETE FROM outbox WHERE id = ANY($1)",
    ] {
        let done = sqlx::query(query)
            .bind(&old)
            .execute(&mut **transaction)
            .await?;
        // Of a message with its notices one is counted.
        taken = done.rows_affected();
    }
    for query in [
        "DELETE FROM notice WHERE id IN (SELECT id FROM notice
             WHERE dropped IS NOT NULL AND outbox_id IS NULL AND not_before < $1 ORDER BY id LIMIT $2)",
        "DELETE FROM alarm WHERE id IN (SELECT id FROM alarm WHERE cleared_at < $1 ORDER BY id LIMIT $2)",
    ] {
        taken += run(&mut **transaction, query, before, batch).await?;
    }
    Ok(taken)
}
