//! The points of series as charts want them: which there are now says the database, and what they hold is mostly in memory.
//!
//! A chunk of points is known by the hash of what it is packed from, so what is kept is never out of date: a chunk that changes has another hash, and the
//! old one goes when there is no more room. Reading all anew took a megabyte through the socket for a timeline of ten series.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sqlx::PgPool;

use crate::db::traces::{self, Chunk, Range};
use crate::domain::trace::{CHUNK, TracePoint, chunk_of};

/// Bytes of all points together.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes of one entry beside its points.
const OVERHEAD: u64 = 200;

/// The points of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The series.
    pub series_id: i64,
    /// Its points in branch order.
    pub points: Vec<TracePoint>,
}

#[derive(Debug, Clone)]
struct Size;

impl Weighter<Vec<u8>, Arc<[TracePoint]>> for Size {
    fn weight(&self, _digest: &Vec<u8>, points: &Arc<[TracePoint]>) -> u64 {
        OVERHEAD + u64::try_from(size_of::<TracePoint>() * points.len()).unwrap_or(u64::MAX)
    }
}

/// Points by the hash of their chunk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Cache<Vec<u8>, Arc<[TracePoint]>, Size>>);

impl Default for Traces {
    fn default() -> Self {
        let of_chunk = size_of::<TracePoint>() * usize::try_from(CHUNK).unwrap_or(1);
        let chunks = usize::try_from(MOST_BYTES).unwrap_or(usize::MAX) / of_chunk;
        Self(Arc::new(Cache::with_weighter(chunks, MOST_BYTES, Size)))
    }
}

impl Traces {
    /// The points of series in a range, in the order of `series`; those without a point there are left out. Two queries, or one when all is in memory.
    ///
    /// # Errors
    /// When the database fails, or holds what are no packed points.
    pub async fn list(
        &self,
        db: &PgPool,
        series: &[i64],
        range: &Range,
    ) -> sqlx::Result<Vec<Trace>> {
        let chunks = traces::list_chunks(db, series, range).await?;
        let known = self.points(db, &chunks).await?;
        let mut found: Vec<Trace> = Vec::new();
        for of_series in chunks.chunk_by(|a, b| a.series_id == b.series_id) {
            let points = of_series
                .iter()
                .filter_map(|chunk| known.get(&key(chunk)))
                .flat_map(|points| points.iter());
            let mut within: Vec<TracePoint> =
                points.filter(|one| range.holds(one)).copied().collect();
            within.drain(..within.len().saturating_sub(range.newest));
            found.extend(
                of_series
                    .first()
                    .filter(|_| !within.is_empty())
                    .map(|first| Trace {
                        series_id: first.series_id,
                        points: within,
                    }),
            );
        }
        Ok(found)
    }

    /// One point of each of these series, at a branch position; those without one there are left out. Two queries at most.
    ///
    /// # Errors
    /// When the database fails, or holds what are no packed points.
    pub async fn list_at(
        &self,
        db: &PgPool,
        series: &[i64],
        positions: &[i32],
    ) -> sqlx::Result<Vec<(i64, TracePoint)>> {
        let chunks = traces::list_chunks_at(db, series, positions).await?;
        let known = self.points(db, &chunks).await?;
        let at = |(series, position): (&i64, &i32)| {
            let points = known.get(&(*series, chunk_of(*position)))?;
            let point = points.iter().find(|point| point.position == *position)?;
            Some((*series, *point))
        };
        Ok(series.iter().zip(positions).filter_map(at).collect())
    }

    /// What chunks hold, by series and number. What was not in memory is, afterwards.
    async fn points(
        &self,
        db: &PgPool,
        chunks: &[Chunk],
    ) -> sqlx::Result<HashMap<(i64, i32), Arc<[TracePoint]>>> {
        let mut known = HashMap::with_capacity(chunks.len());
        let mut missing = Vec::new();
        for chunk in chunks {
            match self.0.get(&chunk.digest) {
                Some(points) => drop(known.insert(key(chunk), points)),
                None => missing.push(chunk),
            }
        }
        if missing.is_empty() {
            return Ok(known);
        }
        for (chunk, points) in traces::read_chunks(db, &missing).await? {
            let points: Arc<[TracePoint]> = points.into();
            known.insert(key(&chunk), points.clone());
            self.0.insert(chunk.digest, points);
        }
        Ok(known)
    }
}

fn key(chunk: &Chunk) -> (i64, i32) {
    (chunk.series_id, chunk.chunk)
}
