//! Series and their points, for charts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A series with its names.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct SeriesName {
    /// Key.
    pub id: i64,
    /// The runtime.
    pub runtime: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// The benchmark's identity: name, script, inputs and arguments.
    pub identity: String,
    /// The suites that hold it, as `name version`.
    pub suites: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
    /// The host.
    pub host: String,
    /// Version of the detector that made the verdicts.
    pub detector: Option<String>,
    /// The program that measured it elsewhere, with its version; absent for what our hosts measure.
    pub origin: Option<String>,
}

/// The columns of [`SeriesName`] with their tables, before what chooses and orders the rows.
macro_rules! select_series {
    ($rest:literal) => {
        concat!(
            "SELECT series.id, runtime.name AS runtime, benchmark.name AS benchmark, benchmark.identity, metric,
                counter_source, host.name AS host, detector, origin,
                (SELECT coalesce(string_agg(suite.name || ' ' || suite.version, ', ' ORDER BY suite.id), '')
                 FROM suite_benchmark JOIN suite ON suite.id = suite_id
                 WHERE suite_benchmark.benchmark_id = benchmark.id) AS suites
             FROM series JOIN benchmark ON benchmark.id = benchmark_id JOIN runtime ON runtime.id = runtime_id
             JOIN host ON host.id = host_id ",
            $rest
        )
    };
}

/// Every series of the benchmarks with a name, newest benchmark first.
pub async fn list_of_benchmark(
    db: impl PgExecutor<'_>,
    benchmark: &str,
) -> sqlx::Result<Vec<SeriesName>> {
    sqlx::query_as(
        select_series!("WHERE benchmark.name = $1 ORDER BY origin IS NOT NULL, benchmark.id DESC, runtime.ordinal, runtime.name, host.name, metric"),
    )
    .bind(benchmark)
    .fetch_all(db)
    .await
}

/// Series by key order, a page of them.
pub async fn list(
    db: impl PgExecutor<'_>,
    runtime: Option<&str>,
    benchmark: Option<&str>,
    metric: Option<&str>,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<SeriesName>> {
    sqlx::query_as(select_series!(
        "WHERE series.id > $4 AND ($1::text IS NULL OR runtime.name = $1)
           AND ($2::text IS NULL OR benchmark.name = $2) AND ($3::text IS NULL OR metric = $3)
         ORDER BY series.id LIMIT $5"
    ))
    .bind(runtime)
    .bind(benchmark)
    .bind(metric)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A series by its key.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<SeriesName>> {
    sqlx::query_as(select_series!("WHERE series.id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// One measurement of a series, with its commit and verdict.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct SeriesPoint {
    /// The series.
    pub series_id: i64,
    /// Branch position.
    pub position: i32,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// The run.
    pub run_id: i64,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// Points of different environments belong to different epochs.
    pub environment_id: i64,
    /// How many epochs controls had begun on the host by then; another number is another epoch too.
    pub host_epoch: i64,
    /// Samples that count.
    pub sample_count: i32,
    /// Median in the metric's unit.
    pub median: f64,
    /// 95 % interval of the median.
    pub interval_low: f64,
    /// Upper end.
    pub interval_high: f64,
    /// Smallest sample.
    pub min: f64,
    /// Largest sample.
    pub max: f64,
    /// The verdict: `too_few`, `unchanged`, `improved`, `regressed`; absent until it is made.
    pub verdict: Option<String>,
    /// Why a change is held back: `repetition_pending`, `control_pending`, `control_unsteady`, `control_moved`; absent when it is not.
    pub held: Option<String>,
    /// How bad the host was meanwhile: `note`, `warning`, `unfit`; absent when nothing was wrong.
    pub host_worst: Option<String>,
    /// Change against the predecessors, as a ratio minus one.
    pub change: Option<f64>,
    /// The noise: a smaller change says nothing.
    pub threshold: Option<f64>,
}

/// The newest `limit` measurements of each series, in branch order; each is one range scan of `measurement_series`.
/// `before`: only positions below it.
pub async fn list_points(
    db: impl PgExecutor<'_>,
    series: &[i64],
    before: Option<i32>,
    limit: i64,
) -> sqlx::Result<Vec<SeriesPoint>> {
    sqlx::query_as(
        "SELECT point.series_id, point.position, commit.hash, commit.subject, commit.committed_at, point.run_id,
                point.measured_at, point.environment_id, point.sample_count, point.median, point.interval_low,
                point.interval_high, point.min, point.max, verdict.state AS verdict, verdict.held, verdict.change, verdict.threshold,
                run.host_worst,
                (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = run.host_id
                    AND begins_at <= point.measured_at) AS host_epoch
         FROM unnest($1::bigint[]) AS wanted (series_id)
         CROSS JOIN LATERAL (
            SELECT * FROM measurement WHERE series_id = wanted.series_id AND position IS NOT NULL
              AND position < coalesce($2, 2147483647)
            ORDER BY position DESC, id DESC LIMIT $3
         ) point
         JOIN commit ON commit.id = point.commit_id
         JOIN run ON run.id = point.run_id
         LEFT JOIN verdict ON verdict.series_id = point.series_id AND verdict.commit_id = point.commit_id
         ORDER BY point.series_id, point.position, point.id",
    )
    .bind(series)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The branch positions of the `count`th commit that was measured before a range, or at its beginning, and of the `count`th after it; `None`
/// where there are fewer.
pub async fn find_around(
    db: impl PgExecutor<'_>,
    series_id: i64,
    (before, after): (i32, i32),
    count: i64,
) -> sqlx::Result<(Option<i32>, Option<i32>)> {
    sqlx::query_as(
        "SELECT (SELECT position FROM (SELECT DISTINCT position FROM measurement WHERE series_id = $1 AND position <= $2
                                       ORDER BY position DESC LIMIT $4) earlier OFFSET $4 - 1),
                (SELECT position FROM (SELECT DISTINCT position FROM measurement WHERE series_id = $1 AND position > $3
                                       ORDER BY position LIMIT $4) later OFFSET $4 - 1)",
    )
    .bind(series_id)
    .bind(before)
    .bind(after)
    .bind(count)
    .fetch_one(db)
    .await
}

/// A benchmark as the lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct BenchmarkName {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its identity.
    pub identity: String,
    /// Hash of its script.
    pub script_sha256: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Every benchmark that a suite has, by name.
pub async fn list_benchmarks(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<BenchmarkName>> {
    sqlx::query_as("SELECT name, description, identity, script_sha256, arguments FROM benchmark ORDER BY name, id DESC")
        .fetch_all(db)
        .await
}
