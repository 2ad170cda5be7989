//! Making summaries again from the samples that are kept: after the rule for a summary has changed.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::summary::Summary;

/// The samples of one stored measurement.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredSamples {
    /// Key.
    pub id: i64,
    /// Chooses the partition.
    pub measured_at: DateTime<Utc>,
    /// Every sample.
    pub sample_values: Vec<f64>,
    /// Its process.
    pub sample_process: Vec<i16>,
    /// Whether it is a warm-up.
    pub sample_warmup: Vec<bool>,
}

/// Measurements by key, a batch of them. Those of which a summary alone was imported are left out: their values say less than it.
pub async fn list(
    db: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<StoredSamples>> {
    sqlx::query_as(
        "SELECT id, measured_at, sample_values, sample_process, sample_warmup FROM measurement
         WHERE id > $1 AND NOT EXISTS (SELECT 1 FROM import WHERE import.run_id = measurement.run_id
            AND format IN ('codespeed', 'bencher')) ORDER BY id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Replaces the summary of a measurement.
pub async fn update(
    db: &mut PgConnection,
    stored: &StoredSamples,
    summary: &Summary,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE measurement SET sample_count = $3, median = $4, mean = $5, mad = $6, min = $7, max = $8,
                interval_low = $9, interval_high = $10 WHERE id = $1 AND measured_at = $2",
    )
    .bind(stored.id)
    .bind(stored.measured_at)
    .bind(i32::try_from(summary.count).unwrap_or(i32::MAX))
    .bind(summary.median)
    .bind(summary.mean)
    .bind(summary.mad)
    .bind(summary.min)
    .bind(summary.max)
    .bind(summary.interval_low)
    .bind(summary.interval_high)
    .execute(db)
    .await
    .map(drop)
}
