//! A job's log: chunks while it runs, one compressed artefact afterwards.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// What came of appending to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The log of this lease now ends here, in bytes.
    Ends(i64),
    /// The chunk begins beyond the end: bytes in between are missing.
    Gap {
        /// Where the log of this lease ends.
        end: i64,
    },
}

/// Appends bytes that begin at `offset`. Bytes that are already there are skipped, so a repeated request is harmless.
/// The caller holds the job's lock.
pub async fn append(
    db: &mut PgConnection,
    job_id: i64,
    lease_id: Uuid,
    offset: i64,
    bytes: &[u8],
) -> sqlx::Result<Appended> {
    let end: i64 = sqlx::query_scalar(
        "SELECT coalesce(max(start_offset + octet_length(chunk)), 0) FROM job_log WHERE job_id = $1 AND lease_id = $2",
    )
    .bind(job_id)
    .bind(lease_id)
    .fetch_one(&mut *db)
    .await?;
    if offset > end {
        return Ok(Appended::Gap { end });
    }
    let skipped = usize::try_from(end - offset).unwrap_or(usize::MAX);
    let Some(fresh) = bytes.get(skipped..).filter(|fresh| !fresh.is_empty()) else {
        return Ok(Appended::Ends(end));
    };
    sqlx::query(
        "INSERT INTO job_log (job_id, lease_id, start_offset, chunk) VALUES ($1, $2, $3, $4)",
    )
    .bind(job_id)
    .bind(lease_id)
    .bind(end)
    .bind(fresh)
    .execute(db)
    .await?;
    Ok(Appended::Ends(
        end + i64::try_from(fresh.len()).unwrap_or(0),
    ))
}

/// Jobs that are over and whose log still lies in chunks.
pub async fn list_to_archive(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM job WHERE finished_at < now() - interval '5 seconds'
           AND EXISTS (SELECT 1 FROM job_log WHERE job_id = job.id) ORDER BY finished_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The chunks of a job in order: lease by lease as they began, then by offset.
pub async fn list_chunks(
    db: impl PgExecutor<'_>,
    job_id: i64,
) -> sqlx::Result<Vec<(Uuid, Vec<u8>)>> {
    sqlx::query_as(
        "SELECT lease_id, chunk FROM job_log WHERE job_id = $1
         ORDER BY min(created_at) OVER (PARTITION BY lease_id), lease_id, start_offset",
    )
    .bind(job_id)
    .fetch_all(db)
    .await
}

/// Chunks as one log, with a line between two tries.
pub fn join(chunks: &[(Uuid, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut lease = None;
    for (lease_id, chunk) in chunks {
        if lease.is_some_and(|lease| lease != lease_id) {
            bytes.extend_from_slice("\n══ another try ══\n".as_bytes());
        }
        lease = Some(lease_id);
        bytes.extend_from_slice(chunk);
    }
    bytes
}

/// Replaces a job's chunks by the artefact that holds them.
pub async fn mark_archived(db: &mut PgConnection, job_id: i64, sha256: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE job SET log_artefact = $2 WHERE id = $1")
        .bind(job_id)
        .bind(sha256)
        .execute(&mut *db)
        .await?;
    sqlx::query("DELETE FROM job_log WHERE job_id = $1")
        .bind(job_id)
        .execute(db)
        .await
        .map(drop)
}
