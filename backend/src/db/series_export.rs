//! Measurements of many series at once, for files.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// Which measurements; without any name there are none.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this runtime's.
    pub runtime: Option<String>,
    /// Only this benchmark's.
    pub benchmark: Option<String>,
    /// Only this metric's.
    pub metric: Option<String>,
    /// Only this host's.
    pub host: Option<String>,
}

/// A measurement with all that tells it from others.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ExportRow {
    /// The series.
    pub series_id: i64,
    /// Branch position; absent for a commit that is on the branch no more, and for what another run stands in for.
    pub position: Option<i32>,
    /// The commit.
    pub hash: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// The run.
    pub run_id: i64,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// Its environment.
    pub environment_id: i64,
    /// Samples that count.
    pub sample_count: i32,
    /// Median in the metric's unit.
    pub median: f64,
    /// Mean.
    pub mean: f64,
    /// Median absolute deviation, unscaled.
    pub mad: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// 95 % interval of the median.
    pub interval_low: f64,
    /// Upper end.
    pub interval_high: f64,
    /// The verdict.
    pub verdict: Option<String>,
    /// Change against the predecessors, as a ratio minus one.
    pub change: Option<f64>,
}

/// The measurements of a selection, series by series in branch order.
pub async fn list(
    db: impl PgExecutor<'_>,
    selection: &Selection,
    limit: i64,
) -> sqlx::Result<Vec<ExportRow>> {
    sqlx::query_as(
        "SELECT measurement.series_id, measurement.position, commit.hash, commit.committed_at, measurement.run_id, measured_at,
                environment_id, sample_count, median, mean, mad, min, max, interval_low, interval_high,
                verdict.state AS verdict, verdict.change
         FROM (SELECT series.id FROM series JOIN benchmark ON benchmark.id = benchmark_id JOIN runtime ON runtime.id = runtime_id
               JOIN host ON host.id = host_id
               WHERE ($1::text IS NULL OR runtime.name = $1) AND ($2::text IS NULL OR benchmark.name = $2)
                 AND ($3::text IS NULL OR metric = $3) AND ($4::text IS NULL OR host.name = $4)) chosen
         JOIN measurement ON measurement.series_id = chosen.id
         JOIN commit ON commit.id = measurement.commit_id
         LEFT JOIN verdict ON verdict.series_id = measurement.series_id AND verdict.commit_id = measurement.commit_id
         ORDER BY measurement.series_id, measurement.position, measurement.id LIMIT $5",
    )
    .bind(&selection.runtime)
    .bind(&selection.benchmark)
    .bind(&selection.metric)
    .bind(&selection.host)
    .bind(limit)
    .fetch_all(db)
    .await
}
