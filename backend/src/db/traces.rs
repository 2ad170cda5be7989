//! Traces: the points of series, packed by the trace tick. Charts read them ([`crate::traces`]), and never the measurements.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::trace::{self, TracePoint, chunk_of};

/// A series whose points have changed since its trace was made.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeriesToTrace {
    /// Key.
    pub id: i64,
    /// What the trace will answer for.
    pub changed_at: DateTime<Utc>,
}

/// Series with work, oldest change first.
pub async fn list_to_trace(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> sqlx::Result<Vec<SeriesToTrace>> {
    sqlx::query_as(
        "SELECT id, changed_at FROM series WHERE traced_at IS NULL OR traced_at < changed_at ORDER BY changed_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// When commits were made, in seconds since 1970, by key.
pub async fn list_times(
    db: impl PgExecutor<'_>,
    commits: &[i64],
) -> sqlx::Result<HashMap<i64, i64>> {
    let rows: Vec<(i64, DateTime<Utc>)> =
        sqlx::query_as("SELECT id, committed_at FROM commit WHERE id = ANY($1)")
            .bind(commits)
            .fetch_all(db)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(id, at)| (id, at.timestamp()))
        .collect())
}

/// Makes a series' trace exactly these points (in branch order). Chunks that are as they were are not written. `changed_at` is the one that the points
/// were read after: a run that came in meanwhile has moved it on, and the series is packed again. Returns how many chunks were written.
pub async fn replace(
    db: &mut PgConnection,
    series: &SeriesToTrace,
    points: &[TracePoint],
) -> sqlx::Result<u64> {
    let mut numbers: Vec<i32> = points
        .iter()
        .map(|point| chunk_of(point.position))
        .collect();
    numbers.dedup();
    sqlx::query("DELETE FROM trace WHERE series_id = $1 AND NOT (chunk = ANY($2))")
        .bind(series.id)
        .bind(&numbers)
        .execute(&mut *db)
        .await?;
    let written = write(db, [(series.id, points)]).await?;
    sqlx::query("UPDATE series SET traced_at = $2 WHERE id = $1")
        .bind(series.id)
        .bind(series.changed_at)
        .execute(db)
        .await?;
    Ok(written)
}

/// Writes the chunks that hold these points (series and its points, in branch order), each as a whole; those that are as they were are not written.
/// Returns how many were.
pub(super) async fn write(
    db: &mut PgConnection,
    points: impl IntoIterator<Item = (i64, &[TracePoint])>,
) -> sqlx::Result<u64> {
    let chunks: Vec<(i64, &[TracePoint])> = points
        .into_iter()
        .flat_map(|(series, points)| {
            points
                .chunk_by(|a, b| chunk_of(a.position) == chunk_of(b.position))
                .map(move |chunk| (series, chunk))
        })
        .collect();
    let number = |chunk: &[TracePoint]| chunk.first().map_or(0, |point| chunk_of(point.position));
    let edge = |largest: bool, get: fn(&TracePoint) -> i64| -> Vec<i64> {
        let of_chunk = |chunk: &[TracePoint]| {
            let values = chunk.iter().map(get);
            if largest { values.max() } else { values.min() }.unwrap_or(0)
        };
        chunks.iter().map(|(_, chunk)| of_chunk(chunk)).collect()
    };
    let count = |chunk: &[TracePoint]| i64::try_from(chunk.len()).unwrap_or(i64::MAX);
    let done = sqlx::query(
        "INSERT INTO trace (series_id, chunk, first_position, last_position, first_time, last_time, point_count, points)
         SELECT series, chunk, first, last, to_timestamp(first_time), to_timestamp(last_time), count, points
         FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
              AS row (series, chunk, first, last, first_time, last_time, count, points)
         ON CONFLICT (series_id, chunk) DO UPDATE SET first_position = excluded.first_position,
            last_position = excluded.last_position, first_time = excluded.first_time, last_time = excluded.last_time,
            point_count = excluded.point_count, points = excluded.points
         WHERE trace.points IS DISTINCT FROM excluded.points",
    )
    .bind(chunks.iter().map(|(series, _)| *series).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(_, chunk)| number(chunk)).collect::<Vec<_>>())
    .bind(edge(false, |point| i64::from(point.position)))
    .bind(edge(true, |point| i64::from(point.position)))
    .bind(edge(false, |point| point.committed_at))
    .bind(edge(true, |point| point.committed_at))
    .bind(chunks.iter().map(|(_, chunk)| count(chunk)).collect::<Vec<_>>())
    .bind(chunks.iter().map(|(_, chunk)| trace::pack(chunk)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// What to read of each series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// From this branch position …
    pub from_position: i32,
    /// … to this one, both included.
    pub to_position: i32,
    /// Commits from this second since 1970 …
    pub from_time: i64,
    /// … to this one.
    pub to_time: i64,
    /// The newest so many of what is left.
    pub newest: usize,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            from_position: 0,
            to_position: i32::MAX,
            from_time: EARLIEST,
            to_time: LATEST,
            newest: usize::MAX,
        }
    }
}

impl Range {
    /// Whether a point is within the ends of the range.
    pub fn holds(&self, point: &TracePoint) -> bool {
        (self.from_position..=self.to_position).contains(&point.position)
            && (self.from_time..=self.to_time).contains(&point.committed_at)
    }
}

/// The year 4000 BC and 10000: what Postgres holds, with room.
const EARLIEST: i64 = -188_000_000_000;
const LATEST: i64 = 253_000_000_000;

/// A chunk of a series as it is now.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Chunk {
    /// The series.
    pub series_id: i64,
    /// Its number.
    pub chunk: i32,
    /// SHA-256 of its packed points.
    pub digest: Vec<u8>,
}

/// The chunks that hold the points of series in a range, and others at most at its edges. In the order of `series`, each one's by rising position.
pub async fn list_chunks(
    db: impl PgExecutor<'_>,
    series: &[i64],
    range: &Range,
) -> sqlx::Result<Vec<Chunk>> {
    // A chunk is left out when later ones hold enough points that are surely in the range: those within it as a whole.
    sqlx::query_as(
        "SELECT series_id, chunk, digest FROM (
            SELECT series_id, chunk, digest, ordinal,
                sum(CASE WHEN last_position <= $3 AND last_time <= to_timestamp($5) AND first_time >= to_timestamp($4)
                    THEN point_count ELSE 0 END)
                    OVER (PARTITION BY ordinal ORDER BY chunk DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
            FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (key, ordinal) JOIN trace ON series_id = key
            WHERE last_position >= $2 AND first_position <= $3 AND last_time >= to_timestamp($4)
              AND first_time <= to_timestamp($5)) chunks
         WHERE coalesce(later, 0) < $6 ORDER BY ordinal, chunk",
    )
    .bind(series)
    .bind(range.from_position)
    .bind(range.to_position)
    .bind(range.from_time.clamp(EARLIEST, LATEST) as f64)
    .bind(range.to_time.clamp(EARLIEST, LATEST) as f64)
    .bind(i64::try_from(range.newest).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await
}

/// The chunk of each of these series that a branch position lies in; those without one are left out.
pub async fn list_chunks_at(
    db: impl PgExecutor<'_>,
    series: &[i64],
    positions: &[i32],
) -> sqlx::Result<Vec<Chunk>> {
    let chunks: Vec<i32> = positions
        .iter()
        .map(|position| chunk_of(*position))
        .collect();
    sqlx::query_as(
        "SELECT series_id, chunk, digest FROM unnest($1::bigint[], $2::integer[]) AS wanted (key, place)
         JOIN trace ON series_id = key AND chunk = place",
    )
    .bind(series)
    .bind(chunks)
    .fetch_all(db)
    .await
}

/// The points of chunks as they are now, which may be another state than the one that they were listed in; a chunk that has gone is left out.
pub async fn read_chunks(
    db: impl PgExecutor<'_>,
    chunks: &[&Chunk],
) -> sqlx::Result<Vec<(Chunk, Vec<TracePoint>)>> {
    let (series, numbers): (Vec<i64>, Vec<i32>) = chunks
        .iter()
        .map(|chunk| (chunk.series_id, chunk.chunk))
        .unzip();
    let rows: Vec<(i64, i32, Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "SELECT series_id, chunk, digest, points FROM unnest($1::bigint[], $2::integer[]) AS wanted (key, place)
         JOIN trace ON series_id = key AND chunk = place",
    )
    .bind(series)
    .bind(numbers)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(series_id, chunk, digest, bytes)| {
            let points =
                trace::unpack(&bytes).map_err(|error| sqlx::Error::Decode(error.into()))?;
            let chunk = Chunk {
                series_id,
                chunk,
                digest,
            };
            Ok((chunk, points))
        })
        .collect()
}
