//! What the page of one measured point is made of, beside the run itself.

use chrono::{DateTime, Utc};
use serde::Serialize;
use speedwell_wire::LockedPackage;
use sqlx::PgExecutor;
use sqlx::types::Json;

use super::runs::{RunMeasurement, RunUnavailable};

/// Where a benchmark of a run came from.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct Origin {
    /// The repository's name.
    pub repository: String,
    /// Its address, as the operator wrote it: with name and password, if that is in it.
    #[serde(skip)]
    pub url: String,
    /// Paths that the worker's checkout leaves out.
    pub exclude: Vec<String>,
    /// When the commit was made.
    pub committed_at: DateTime<Utc>,
    /// The runtime's language.
    pub language: String,
    /// Hash of the runtime's recipe as it is now.
    pub recipe_sha256: String,
    /// Hash of the recipe of this run's build.
    pub build_recipe_sha256: String,
    /// Hash of the suite's definition.
    pub suite_sha256: String,
    /// The suite's packages.
    pub lock: Json<Vec<LockedPackage>>,
    /// What the benchmark does.
    pub description: String,
    /// Hash of its script.
    pub script_sha256: String,
    /// Hash over its inputs.
    pub inputs_sha256: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its identity.
    pub identity: String,
}

/// The origin of a benchmark in a run.
pub async fn find_origin(
    db: impl PgExecutor<'_>,
    run_id: i64,
    benchmark: &str,
) -> sqlx::Result<Option<Origin>> {
    sqlx::query_as(
        "SELECT repository.name AS repository, repository.url, repository.exclude, commit.committed_at, runtime.language,
                runtime.recipe_sha256, build.recipe_sha256 AS build_recipe_sha256, suite.sha256 AS suite_sha256, suite.lock,
                benchmark.description, script_sha256, inputs_sha256, arguments, identity
         FROM run JOIN commit ON commit.id = run.commit_id JOIN repository ON repository.id = commit.repository_id
         JOIN runtime ON runtime.id = run.runtime_id JOIN build ON build.id = run.build_id JOIN suite ON suite.id = run.suite_id
         JOIN suite_benchmark ON suite_benchmark.suite_id = suite.id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run.id = $1 AND benchmark.name = $2",
    )
    .bind(run_id)
    .bind(benchmark)
    .fetch_optional(db)
    .await
}

/// A measurement with the loops of its values.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Measured {
    /// The measurement.
    #[sqlx(flatten)]
    pub measurement: RunMeasurement,
    /// Iterations of the benchmark's own loop in one value.
    pub loops: Option<i64>,
}

/// Every measurement of one benchmark in a run.
pub async fn list_measurements(
    db: impl PgExecutor<'_>,
    run_id: i64,
    benchmark: &str,
) -> sqlx::Result<Vec<Measured>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, metric, counter_source, sample_count, median, mean, mad, min, max,
                interval_low, interval_high, sample_values, sample_process, sample_warmup, loops
         FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = $1 AND benchmark.name = $2 ORDER BY metric, counter_source",
    )
    .bind(run_id)
    .bind(benchmark)
    .fetch_all(db)
    .await
}

/// What a run could not measure of one benchmark.
pub async fn list_unavailable(
    db: impl PgExecutor<'_>,
    run_id: i64,
    benchmark: &str,
) -> sqlx::Result<Vec<RunUnavailable>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, metric, kind, reason FROM unavailable
         JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = $1 AND benchmark.name = $2 ORDER BY metric NULLS FIRST",
    )
    .bind(run_id)
    .bind(benchmark)
    .fetch_all(db)
    .await
}
