//! One run with everything that was measured in it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A run with its build and environment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RunDetail {
    /// Key.
    pub id: i64,
    /// The job that asked for it.
    pub job_id: i64,
    /// Whether it was measured under bad conditions: something during it made its results unfit.
    pub marked: bool,
    /// The run that it repeats.
    pub repeats_run_id: Option<i64>,
    /// The job that repeats it.
    pub repeated_by_job: Option<i64>,
    /// The run of that job.
    pub repeated_by_run: Option<i64>,
    /// The control that was queued because a verdict calls what it measured changed.
    pub suspected_by_job: Option<i64>,
    /// The repetition that counts in its place.
    pub superseded_by: Option<i64>,
    /// The runtime.
    pub runtime: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// The suite.
    pub suite: String,
    /// Its version.
    pub suite_version: i32,
    /// The host.
    pub host: String,
    /// Environment's fingerprint.
    pub fingerprint: String,
    /// Environment's facts.
    pub facts: Value,
    /// Notes on the host before and after the run.
    pub host_notes: Value,
    /// What was not as it should be on the host, as [`speedwell_wire::HostFlag`].
    pub host_flags: Value,
    /// Hash of the harness.
    pub harness_sha256: String,
    /// The interpreter's word about itself.
    pub interpreter: String,
    /// Address of the raw file in the artefact store.
    pub raw_artefact: String,
    /// When the first benchmark started.
    pub started_at: DateTime<Utc>,
    /// When the last one ended.
    pub finished_at: DateTime<Utc>,
    /// The build's recipe.
    pub recipe: Value,
    /// Which repeat of the build it is.
    pub build_repeat: i32,
    /// The build's toolchain.
    pub toolchain: String,
    /// Seconds of the build's steps.
    pub step_seconds: Value,
    /// Compiler calls that ccache answered.
    pub ccache_hits: i64,
    /// Compiler calls that it did not.
    pub ccache_misses: i64,
    /// Size of the installed files in bytes.
    pub installed_bytes: i64,
    /// Size of the artefact in bytes; absent for an imported run.
    pub artefact_bytes: Option<i64>,
    /// Content hash of the artefact; absent for an imported run.
    pub artefact_sha256: Option<String>,
}

/// A run by its key.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<RunDetail>> {
    sqlx::query_as(
        "SELECT run.id, run.job_id, run.marked, run.superseded_by, job.repeats_run_id, repeating.id AS repeated_by_job,
            (SELECT max(id) FROM run WHERE job_id = repeating.id) AS repeated_by_run,
            (SELECT id FROM job WHERE suspected_run_id = run.id) AS suspected_by_job, runtime.name AS runtime, commit.hash, commit.subject, suite.name AS suite,
            suite.version AS suite_version, host.name AS host, environment.fingerprint, environment.facts,
            run.host_notes, run.host_flags, harness_sha256, interpreter, raw_artefact, run.started_at, run.finished_at, runtime.recipe,
            build.repeat AS build_repeat, build.toolchain, build.step_seconds, build.ccache_hits, build.ccache_misses, build.installed_bytes,
            artefact.bytes AS artefact_bytes, artefact.sha256 AS artefact_sha256
         FROM run JOIN job ON job.id = run.job_id LEFT JOIN job repeating ON repeating.repeats_run_id = run.id
         JOIN runtime ON runtime.id = run.runtime_id JOIN commit ON commit.id = run.commit_id
         JOIN suite ON suite.id = run.suite_id JOIN host ON host.id = run.host_id
         JOIN environment ON environment.id = run.environment_id JOIN build ON build.id = run.build_id
         LEFT JOIN artefact ON artefact.sha256 = build.artefact_sha256
         WHERE run.id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}

/// One measurement with its samples.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RunMeasurement {
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
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
    /// Every sample in the order taken.
    pub sample_values: Vec<f64>,
    /// The process of each.
    pub sample_process: Vec<i16>,
    /// Which of them are warm-ups.
    pub sample_warmup: Vec<bool>,
}

/// Every measurement of a run.
pub async fn list_measurements(
    db: impl PgExecutor<'_>,
    run_id: i64,
) -> sqlx::Result<Vec<RunMeasurement>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, metric, counter_source, sample_count, median, mean, mad, min, max,
                interval_low, interval_high, sample_values, sample_process, sample_warmup
         FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = $1 ORDER BY benchmark.name, metric",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}

/// What a run could not measure.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RunUnavailable {
    /// The benchmark.
    pub benchmark: String,
    /// The metric; absent: the whole benchmark.
    pub metric: Option<String>,
    /// Why.
    pub kind: String,
    /// In words.
    pub reason: String,
}

/// Everything that a run could not measure.
pub async fn list_unavailable(
    db: impl PgExecutor<'_>,
    run_id: i64,
) -> sqlx::Result<Vec<RunUnavailable>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, metric, kind, reason FROM unavailable
         JOIN benchmark ON benchmark.id = benchmark_id WHERE run_id = $1 ORDER BY metric NULLS FIRST, benchmark.name",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}

/// The histograms of a run: benchmark and encoded histogram, by benchmark and repetition.
pub async fn list_latencies(
    db: impl PgExecutor<'_>,
    run_id: i64,
) -> sqlx::Result<Vec<(String, Vec<u8>)>> {
    sqlx::query_as(
        "SELECT benchmark.name, hdr FROM latency_histogram JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = $1 ORDER BY benchmark.name, process",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}
