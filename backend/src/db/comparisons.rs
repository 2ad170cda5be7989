//! What a comparison's runs gave: one metric of every benchmark, every metric of one benchmark, and the samples themselves.
//!
//! A run has thousands of measurements and a comparison needs one metric of them, so they are found by their series. Times narrow the partitions.

use chrono::{DateTime, Duration, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, PgPool};

use super::subjects::SubjectRun;

/// Measurements are stamped with the end of their run; this much is allowed for.
const SLACK: Duration = Duration::days(7);

/// One run of a subject, as these queries need it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Runs {
    subject: Vec<i32>,
    run_id: Vec<i64>,
    runtime_id: Vec<i64>,
    host_id: Vec<i64>,
    position: Vec<Option<i32>>,
    earliest: Vec<DateTime<Utc>>,
    latest: Vec<DateTime<Utc>>,
}

impl Runs {
    /// Adds a run of a subject (from 0).
    pub fn push(&mut self, subject: usize, run: &SubjectRun) {
        self.subject
            .push(i32::try_from(subject).unwrap_or(i32::MAX));
        self.run_id.push(run.run_id);
        self.runtime_id.push(run.runtime_id);
        self.host_id.push(run.host_id);
        self.position.push(run.position);
        self.earliest.push(run.finished_at - SLACK);
        self.latest.push(run.finished_at + SLACK);
    }
}

/// Measurements of runs: for commits on the branch, and for those that have left it. Between the two goes what chooses the series. These are a table of their own, so that
/// what is said of each is looked up once for all runs; then there is one probe of `measurement_series` for each series and run. Adding nothing to the run's key
/// keeps Postgres from reading whole runs by it: that takes as much longer as a run has metrics.
macro_rules! select_measurements {
    ($columns:literal, $chosen:literal) => {
        [
            select_measurements!($columns, $chosen, "position = wanted.position"),
            select_measurements!($columns, $chosen, "wanted.position IS NULL AND position IS NULL"),
        ]
    };
    ($columns:literal, $chosen:literal, $place:literal) => {
        concat!(
            "WITH wanted AS (
                SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $6::timestamptz[], $7::timestamptz[])
                    AS wanted (subject, run_id, runtime_id, host_id, position, earliest, latest)),
             series AS MATERIALIZED (
                SELECT series.id, runtime_id, host_id, benchmark.name AS benchmark, benchmark.identity, metric, counter_source, run_deviation,
                    coalesce(rebuild_deviation, neighbour_deviation) AS build_deviation
                FROM series JOIN benchmark ON benchmark.id = series.benchmark_id LEFT JOIN noise_floor ON noise_floor.series_id = series.id
                WHERE runtime_id = ANY($3) AND host_id = ANY($4) AND ",
            $chosen,
            ")
             SELECT wanted.subject, wanted.run_id, series.benchmark, series.identity, series.metric, series.counter_source, own.median,
                own.interval_low AS low, own.interval_high AS high, own.sample_count::bigint AS samples, run_deviation, build_deviation",
            $columns,
            " FROM wanted JOIN series ON series.runtime_id = wanted.runtime_id AND series.host_id = wanted.host_id
             CROSS JOIN LATERAL (
                SELECT * FROM measurement
                WHERE series_id = series.id AND run_id + 0 = wanted.run_id AND measured_at BETWEEN wanted.earliest AND wanted.latest AND ",
            $place,
            " OFFSET 0) own"
        )
    };
}

/// Asks for the runs on their branches, and, where there are any, for those whose commit has left it. `own`: the parameters after the seventh.
async fn fetch<T>(
    pool: &PgPool,
    texts: [&'static str; 2],
    runs: &Runs,
    own: &[&str],
) -> sqlx::Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let asked = [true, runs.position.iter().any(Option::is_none)];
    let mut found = Vec::new();
    for (text, _) in texts.into_iter().zip(asked).filter(|(_, asked)| *asked) {
        let query = sqlx::query_as(text)
            .bind(&runs.subject)
            .bind(&runs.run_id)
            .bind(&runs.runtime_id)
            .bind(&runs.host_id)
            .bind(&runs.position)
            .bind(&runs.earliest)
            .bind(&runs.latest);
        let query = own.iter().fold(query, |query, one| query.bind(*one));
        found.extend(query.fetch_all(pool).await?);
    }
    Ok(found)
}

/// A measurement of one run.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Value {
    /// Which subject, from 0.
    pub subject: i32,
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// Its identity.
    pub identity: String,
    /// The metric.
    pub metric: String,
    /// Where the value comes from.
    pub counter_source: String,
    /// Median in the metric's unit.
    pub median: f64,
    /// Lower end of its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Samples that count.
    pub samples: i64,
    /// Deviation between runs of one build.
    pub run_deviation: Option<f64>,
    /// Deviation between builds of one commit; where none was repeated, between neighbours on the branch.
    pub build_deviation: Option<f64>,
}

/// One metric of every benchmark of the runs.
pub async fn list_values(pool: &PgPool, runs: &Runs, metric: &str) -> sqlx::Result<Vec<Value>> {
    let texts = select_measurements!("", "metric = $8");
    fetch(pool, texts, runs, &[metric]).await
}

/// A measurement with its samples.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SampledValue {
    /// The measurement.
    #[sqlx(flatten)]
    pub value: Value,
    /// Iterations of the benchmark's own loop for each value; absent when it is not known.
    pub loops: Option<i64>,
    /// Every sample in the order taken; empty where they were not asked for.
    pub sample_values: Vec<f64>,
    /// The process of each.
    pub sample_process: Vec<i16>,
    /// Which of them are warm-ups.
    pub sample_warmup: Vec<bool>,
}

/// Every metric of the benchmarks of one name, with the samples of one metric.
pub async fn list_of_benchmark(
    pool: &PgPool,
    runs: &Runs,
    benchmark: &str,
    sampled: &str,
) -> sqlx::Result<Vec<SampledValue>> {
    let texts = select_measurements!(
        ", own.loops, CASE WHEN series.metric = $9 THEN own.sample_values ELSE '{}' END AS sample_values,
           CASE WHEN series.metric = $9 THEN own.sample_process ELSE '{}' END AS sample_process,
           CASE WHEN series.metric = $9 THEN own.sample_warmup ELSE '{}' END AS sample_warmup",
        "benchmark.name = $8"
    );
    fetch(pool, texts, runs, &[benchmark, sampled]).await
}

/// One metric of every benchmark of the runs, with the samples: for exports.
pub async fn list_samples(
    pool: &PgPool,
    runs: &Runs,
    metric: &str,
) -> sqlx::Result<Vec<SampledValue>> {
    let texts = select_measurements!(
        ", own.loops, own.sample_values, own.sample_process, own.sample_warmup",
        "metric = $8"
    );
    fetch(pool, texts, runs, &[metric]).await
}

/// What a run could not measure.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Missing {
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// Its identity.
    pub identity: String,
    /// The metric; absent for the whole benchmark.
    pub metric: Option<String>,
    /// Why, in words.
    pub reason: String,
}

/// What the runs could not measure: whole benchmarks, and one metric (or every metric of one benchmark).
pub async fn list_missing(
    db: impl PgExecutor<'_>,
    runs: &Runs,
    metric: Option<&str>,
    benchmark: Option<&str>,
) -> sqlx::Result<Vec<Missing>> {
    sqlx::query_as(
        "SELECT run_id, benchmark.name AS benchmark, benchmark.identity, metric, reason
         FROM unavailable JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = ANY($1) AND (metric IS NULL OR $2::text IS NULL OR metric = $2)
           AND ($3::text IS NULL OR benchmark.name = $3)",
    )
    .bind(&runs.run_id)
    .bind(metric)
    .bind(benchmark)
    .fetch_all(db)
    .await
}

/// A metric from a source that a subject's runtime has on its host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Kind {
    /// Which subject, from 0.
    pub subject: i32,
    /// The metric.
    pub metric: String,
    /// The source.
    pub counter_source: String,
}

/// What each subject's runtime was ever measured by on its host: one range of `series_runtime_metric` for each.
pub async fn list_kinds(db: impl PgExecutor<'_>, runs: &Runs) -> sqlx::Result<Vec<Kind>> {
    sqlx::query_as(
        "SELECT DISTINCT wanted.subject, series.metric, series.counter_source
         FROM (SELECT DISTINCT subject, runtime_id, host_id FROM unnest($1::int[], $2::bigint[], $3::bigint[])
               AS wanted (subject, runtime_id, host_id)) wanted
         JOIN series ON series.runtime_id = wanted.runtime_id AND series.host_id = wanted.host_id",
    )
    .bind(&runs.subject)
    .bind(&runs.runtime_id)
    .bind(&runs.host_id)
    .fetch_all(db)
    .await
}

/// The series of one runtime on one host by one metric from one source, as `(identity of the benchmark, series)`.
pub async fn list_series(
    db: impl PgExecutor<'_>,
    run: &SubjectRun,
    metric: &str,
    source: &str,
) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT benchmark.identity, series.id FROM series JOIN benchmark ON benchmark.id = benchmark_id
         WHERE runtime_id = $1 AND metric = $2 AND host_id = $3 AND counter_source = $4",
    )
    .bind(run.runtime_id)
    .bind(metric)
    .bind(run.host_id)
    .bind(source)
    .fetch_all(db)
    .await
}
