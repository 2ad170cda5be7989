//! What a try has found, as pages, answers and its end read it.

use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// What the rounds say of one series.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct ResultRow {
    /// The runtime.
    pub runtime: String,
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The counter source.
    pub counter_source: String,
    /// Pairs that have both sides.
    pub pairs: i32,
    /// Geometric mean of the base's medians, in the metric's unit.
    pub base: f64,
    /// The head's.
    pub head: f64,
    /// Head / base - 1.
    pub change: f64,
    /// Its 95 % interval.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// `worse`, `better`, `unchanged` or `unclear`.
    pub verdict: String,
}

/// What a try has found, by runtime; what changed most, of what is clear, first.
pub async fn list_results(db: impl PgExecutor<'_>, try_id: i64) -> sqlx::Result<Vec<ResultRow>> {
    sqlx::query_as(
        "SELECT runtime.name AS runtime, benchmark.name AS benchmark, metric, counter_source, pairs, base, head, change, change_low,
                change_high, verdict
         FROM try_result JOIN runtime ON runtime.id = runtime_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE try_id = $1
         ORDER BY ordinal, runtime.name, verdict IN ('worse', 'better') DESC, abs(ln(greatest(1 + change, 1e-9))) DESC,
                  benchmark.name, metric, counter_source",
    )
    .bind(try_id)
    .fetch_all(db)
    .await
}

/// A benchmark that a side could not run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct FailingRow {
    /// The runtime.
    pub runtime: String,
    /// The benchmark.
    pub benchmark: String,
    /// `crashed`, `timed_out`, `invalid`, …
    pub kind: String,
    /// In the worker's words.
    pub reason: String,
    /// Whether the base cannot run it either.
    pub base_too: bool,
}

/// Benchmarks that the head could not run, the new ones first.
pub async fn list_failing(db: impl PgExecutor<'_>, try_id: i64) -> sqlx::Result<Vec<FailingRow>> {
    sqlx::query_as(
        "SELECT * FROM (
            SELECT runtime.name AS runtime, benchmark.name AS benchmark,
                   (array_agg(unavailable.kind ORDER BY unavailable.id DESC) FILTER (WHERE run.commit_id = head_commit_id))[1] AS kind,
                   (array_agg(unavailable.reason ORDER BY unavailable.id DESC) FILTER (WHERE run.commit_id = head_commit_id))[1] AS reason,
                   bool_or(run.commit_id = base_commit_id) AS base_too
            FROM try_run JOIN job ON job.try_id = try_run.id JOIN run ON run.job_id = job.id
            JOIN unavailable ON unavailable.run_id = run.id AND unavailable.metric IS NULL
            JOIN runtime ON runtime.id = run.runtime_id JOIN benchmark ON benchmark.id = unavailable.benchmark_id
            WHERE try_run.id = $1 GROUP BY runtime.name, benchmark.name) failing
         WHERE kind IS NOT NULL ORDER BY base_too, runtime, benchmark",
    )
    .bind(try_id)
    .fetch_all(db)
    .await
}
