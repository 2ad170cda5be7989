//! The queries of the warmup tick, and what pages read of its answers.

mod of_regression;

use chrono::{DateTime, Utc};
pub use of_regression::{SideClass, list_classes};
use speedwell_wire::Metric;
use sqlx::{PgConnection, PgExecutor};

use super::ingest::{self, Place};
use crate::domain::run_report::NewMeasurement;

/// The metrics that the warmup tick derives.
pub fn derived_metrics() -> Vec<&'static str> {
    let derived = Metric::ALL.iter().filter(|metric| metric.is_derived());
    derived.map(|metric| metric.as_str()).collect()
}

/// Runs that were not looked at with these rules yet, oldest first.
pub async fn list_runs_to_judge(
    db: impl PgExecutor<'_>,
    version: &str,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM run WHERE warmup_version < $1 OR warmup_version > $1 ORDER BY id LIMIT $2",
    )
    .bind(version)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The wall times of one benchmark of a run.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Iterations {
    /// The benchmark.
    pub benchmark_id: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// The host.
    pub host_id: i64,
    /// The commit.
    pub commit_id: i64,
    /// The environment.
    pub environment_id: i64,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// The commit's position.
    pub position: Option<i32>,
    /// Work of one iteration.
    pub loops: Option<i64>,
    /// Every iteration of every process.
    pub sample_values: Vec<f64>,
    /// Its process.
    pub sample_process: Vec<i16>,
}

/// The wall times of a run.
pub async fn list_iterations(
    db: impl PgExecutor<'_>,
    run_id: i64,
) -> sqlx::Result<Vec<Iterations>> {
    sqlx::query_as(
        "SELECT benchmark_id, runtime_id, host_id, measurement.commit_id, measurement.environment_id, measured_at,
                position, loops, sample_values, sample_process
         FROM measurement JOIN series ON series.id = series_id
         WHERE run_id = $1 AND metric = 'wall_time' ORDER BY benchmark_id",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}

/// What a benchmark's processes do in one run.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The benchmark.
    pub benchmark_id: i64,
    /// The class of all processes together.
    pub class: &'static str,
    /// The class of each process.
    pub process_class: Vec<&'static str>,
    /// First steady iteration of each process.
    pub steady_from: Vec<Option<i32>>,
}

/// Replaces what is known of a run's warm-up: classes, and the measurements derived from them. `derived` holds, for
/// each element of `iterations`, the measurements made from it.
pub async fn replace(
    db: &mut PgConnection,
    run_id: i64,
    version: &str,
    judged: &[Judged],
    iterations: &[Iterations],
    derived: &[NewMeasurement],
) -> sqlx::Result<()> {
    // Locked, so that a repetition that begins to count meanwhile finds what is derived here.
    let counts: bool =
        sqlx::query_scalar("SELECT superseded_by IS NULL FROM run WHERE id = $1 FOR UPDATE")
            .bind(run_id)
            .fetch_one(&mut *db)
            .await?;
    sqlx::query("DELETE FROM warmup WHERE run_id = $1")
        .bind(run_id)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "DELETE FROM measurement USING series WHERE series.id = series_id AND run_id = $1
           AND metric = ANY($2)",
    )
    .bind(run_id)
    .bind(derived_metrics())
    .execute(&mut *db)
    .await?;
    for one in judged {
        sqlx::query("INSERT INTO warmup VALUES ($1, $2, $3, $4, $5)")
            .bind(run_id)
            .bind(one.benchmark_id)
            .bind(one.class)
            .bind(&one.process_class)
            .bind(&one.steady_from)
            .execute(&mut *db)
            .await?;
    }
    if let Some(first) = iterations.first() {
        let benchmarks: Vec<i64> = iterations.iter().map(|one| one.benchmark_id).collect();
        let of_series = (first.runtime_id, first.host_id);
        let series = ingest::touch_series(&mut *db, of_series, &benchmarks, derived).await?;
        for (measurement, series_id) in derived.iter().zip(series) {
            let from = &iterations[measurement.benchmark];
            let place = Place {
                run_id,
                commit_id: from.commit_id,
                environment_id: from.environment_id,
                measured_at: from.measured_at,
                position: from.position.filter(|_| counts),
            };
            let row = ingest::Row {
                series_id,
                loops: from.loops,
                measurement,
            };
            ingest::insert_rows(&mut *db, &place, &[row]).await?;
        }
    }
    sqlx::query("UPDATE run SET warmup_version = $2 WHERE id = $1")
        .bind(run_id)
        .bind(version)
        .execute(db)
        .await
        .map(drop)
}

/// Lets what is known of a run's warm-up stand, made by older rules.
pub async fn keep(db: impl PgExecutor<'_>, run_id: i64, version: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE run SET warmup_version = $2 WHERE id = $1")
        .bind(run_id)
        .bind(version)
        .execute(db)
        .await
        .map(drop)
}

/// Lets the tick look at every run again.
pub async fn forget_all(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query("UPDATE run SET warmup_version = '' WHERE warmup_version <> ''")
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// The classes of a run's benchmarks.
pub async fn list(db: impl PgExecutor<'_>, run_id: i64) -> sqlx::Result<Vec<RunWarmup>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, class, process_class, steady_from
         FROM warmup JOIN benchmark ON benchmark.id = benchmark_id WHERE run_id = $1 ORDER BY benchmark.name",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}

/// A benchmark's warm-up in one run.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct RunWarmup {
    /// The benchmark.
    pub benchmark: String,
    /// The class of all processes together.
    pub class: String,
    /// The class of each process.
    pub process_class: Vec<String>,
    /// First steady iteration of each process, from 0; null without a steady state.
    pub steady_from: Vec<Option<i32>>,
}
