//! Repetitions of runs that were measured under bad conditions. All of it happens in the transaction that stores a run, so that
//! a repetition is neither lost nor made twice.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use super::ingest::RunKeys;
use crate::domain::plan::Reason;

/// The flags of the newest `limit` runs of a host before a run, as [`speedwell_wire::HostFlag`].
pub async fn list_earlier_flags(
    db: impl PgExecutor<'_>,
    host_id: i64,
    run_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<Value>> {
    sqlx::query_scalar(
        "SELECT host_flags FROM run WHERE host_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(host_id)
    .bind(run_id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Queues the repetition of a marked run for the same runtime, build and host, as long as its runtime's policy allows one
/// more; the job's number. A try measures in pairs, and asks for another pair itself.
pub async fn insert_job(db: impl PgExecutor<'_>, run_id: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks,
                          build_repeat, repeats_run_id, repetition)
         SELECT job.kind, job.runtime_id, job.commit_id, job.host_class, run.host_id, greatest(job.priority, $2), $3,
                'scheduler', job.benchmarks, job.build_repeat, run.id, job.repetition + 1
         FROM run JOIN job ON job.id = run.job_id JOIN runtime ON runtime.id = job.runtime_id
         WHERE run.id = $1 AND runtime.enabled AND job.try_id IS NULL AND job.repetition < runtime.repeat_marked
         ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(run_id)
    .bind(Reason::Repetition.priority())
    .bind(Reason::Repetition.as_str())
    .fetch_optional(db)
    .await
}

/// Lets an unmarked repetition count in the place of the runs of the same build that led to it: their measurements stay but
/// lose their position. Returns how many runs.
pub async fn supersede(db: &mut PgConnection, keys: &RunKeys, run_id: i64) -> sqlx::Result<usize> {
    let earlier: Vec<i64> = sqlx::query_scalar(
        "WITH RECURSIVE earlier (run_id) AS (
            SELECT repeats_run_id FROM job WHERE id = $1 AND repeats_run_id IS NOT NULL
            UNION
            SELECT repeats_run_id FROM earlier JOIN run ON run.id = earlier.run_id JOIN job ON job.id = job_id
            WHERE repeats_run_id IS NOT NULL)
         UPDATE run SET superseded_by = $2 FROM earlier WHERE run.id = earlier.run_id AND build_id = $3 RETURNING run.id",
    )
    .bind(keys.job_id)
    .bind(run_id)
    .bind(keys.build_id)
    .fetch_all(&mut *db)
    .await?;
    if earlier.is_empty() {
        return Ok(0);
    }
    sqlx::query("UPDATE measurement SET position = NULL WHERE run_id = ANY($1)")
        .bind(&earlier)
        .execute(&mut *db)
        .await?;
    // Also the series that the repetition has no value for.
    sqlx::query(
        "UPDATE series SET changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
         WHERE id IN (SELECT series_id FROM measurement WHERE run_id = ANY($1))",
    )
    .bind(&earlier)
    .execute(db)
    .await?;
    Ok(earlier.len())
}
