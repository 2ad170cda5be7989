//! What the list of benchmarks and the page of one are made of.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A benchmark in the list: all its versions together.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ListedBenchmark {
    /// Its name.
    pub name: String,
    /// What its newest version does.
    pub description: String,
    /// How many versions there are.
    pub versions: i64,
    /// The suites that hold it, by name.
    pub suites: String,
    /// Runtimes that it was measured on.
    pub runtimes: i64,
    /// When the newest measurement was taken; absent: never.
    pub newest_at: Option<DateTime<Utc>>,
    /// The smallest change that one run a side shows, on the quietest runtime and host.
    pub smallest_change: Option<f64>,
    /// What that rests on.
    pub basis: Option<String>,
}

/// Benchmarks whose name, description or suites have all terms, by name; all of them without terms.
pub async fn list(
    db: impl PgExecutor<'_>,
    metrics: &[&str],
    terms: &[String],
) -> sqlx::Result<Vec<ListedBenchmark>> {
    sqlx::query_as(
        "WITH newest AS (
            SELECT DISTINCT ON (name) name, description FROM benchmark ORDER BY name, origin IS NOT NULL, id DESC),
         held AS (
            SELECT benchmark.name, count(DISTINCT benchmark.id) AS versions,
                   coalesce(string_agg(DISTINCT suite.name, ', ' ORDER BY suite.name), '') AS suites
            FROM benchmark LEFT JOIN suite_benchmark ON benchmark_id = benchmark.id LEFT JOIN suite ON suite.id = suite_id
            GROUP BY benchmark.name),
         measured AS (
            SELECT benchmark.name, count(DISTINCT runtime_id) AS runtimes, max(point.measured_at) AS newest_at,
                   min(smallest_change) AS smallest_change,
                   (array_agg(basis ORDER BY smallest_change NULLS LAST))[1] AS basis
            FROM series JOIN benchmark ON benchmark.id = benchmark_id LEFT JOIN noise_floor ON series_id = series.id
            CROSS JOIN LATERAL (
                SELECT measured_at FROM measurement WHERE series_id = series.id AND position IS NOT NULL
                ORDER BY position DESC, id DESC LIMIT 1) point
            WHERE metric = ANY($1) GROUP BY benchmark.name)
         SELECT newest.name, description, versions, suites, coalesce(runtimes, 0) AS runtimes, newest_at, smallest_change, basis
         FROM newest JOIN held USING (name) LEFT JOIN measured USING (name)
         WHERE NOT EXISTS (SELECT 1 FROM unnest($2::text[]) AS term
                           WHERE strpos(lower(concat_ws(' ', newest.name, description, suites)), term) = 0)
         ORDER BY newest.name",
    )
    .bind(metrics)
    .bind(terms)
    .fetch_all(db)
    .await
}

/// One version of a benchmark.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Version {
    /// Key.
    pub id: i64,
    /// What it does.
    pub description: String,
    /// What makes it the same benchmark.
    pub identity: String,
    /// Hash of its script, or of its workload's definition.
    pub script_sha256: String,
    /// Hash over its inputs.
    pub inputs_sha256: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// When a worker first announced it.
    pub created_at: DateTime<Utc>,
    /// The suites that hold it, by name and version.
    pub suites: String,
    /// The program that it came with, when it was measured elsewhere; its script is not known then.
    pub origin: Option<String>,
}

/// The versions of a benchmark, newest first, ours before imported ones.
pub async fn list_versions(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Vec<Version>> {
    sqlx::query_as(
        "SELECT id, description, identity, script_sha256, inputs_sha256, arguments, created_at, origin,
                (SELECT coalesce(string_agg(suite.name || ' ' || suite.version, ', ' ORDER BY suite.name, suite.version), '')
                 FROM suite_benchmark JOIN suite ON suite.id = suite_id WHERE benchmark_id = benchmark.id) AS suites
         FROM benchmark WHERE name = $1 ORDER BY origin IS NOT NULL, id DESC",
    )
    .bind(name)
    .fetch_all(db)
    .await
}

/// A series with its newest measurement and its noise floor.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Standing {
    /// The series.
    pub series_id: i64,
    /// The benchmark's version.
    pub benchmark_id: i64,
    /// The metric.
    pub metric: String,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// The newest commit of the branch that was measured.
    pub hash: String,
    /// The run.
    pub run_id: i64,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// Median in the metric's unit.
    pub median: f64,
    /// 95 % interval of it.
    pub interval_low: f64,
    /// Upper end.
    pub interval_high: f64,
    /// Values that count.
    pub sample_count: i32,
    /// Noise between the processes of one run, relative.
    pub process_deviation: Option<f64>,
    /// Values that it is from.
    pub process_count: Option<i32>,
    /// Between runs of one build.
    pub run_deviation: Option<f64>,
    /// Values that it is from.
    pub run_count: Option<i32>,
    /// Between builds of one commit.
    pub rebuild_deviation: Option<f64>,
    /// Values that it is from.
    pub rebuild_count: Option<i32>,
    /// Between commits that are neighbours on the branch.
    pub neighbour_deviation: Option<f64>,
    /// Commits that it is from.
    pub neighbour_count: Option<i32>,
    /// Smallest change that one run a side shows.
    pub smallest_change: Option<f64>,
    /// That five runs a side show.
    pub smallest_change_of_five: Option<f64>,
    /// What these rest on.
    pub basis: Option<String>,
    /// What the processes of that run do: `flat`, `warmup` …
    pub class: Option<String>,
}

/// The newest measurement of each series of some versions and metrics.
pub async fn list_standings(
    db: impl PgExecutor<'_>,
    versions: &[i64],
    metrics: &[&str],
) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as(
        "SELECT series.id AS series_id, series.benchmark_id, metric, runtime.name AS runtime, host.name AS host, commit.hash,
                point.run_id, point.measured_at, point.median, point.interval_low, point.interval_high, point.sample_count,
                process_deviation, process_count, run_deviation, run_count, rebuild_deviation, rebuild_count, neighbour_deviation, neighbour_count, smallest_change,
                smallest_change_of_five, basis, warmup.class
         FROM series JOIN runtime ON runtime.id = runtime_id JOIN host ON host.id = host_id
         CROSS JOIN LATERAL (
            SELECT * FROM measurement WHERE series_id = series.id AND position IS NOT NULL
            ORDER BY position DESC, id DESC LIMIT 1) point
         JOIN commit ON commit.id = point.commit_id LEFT JOIN noise_floor ON noise_floor.series_id = series.id
         LEFT JOIN warmup ON warmup.run_id = point.run_id AND warmup.benchmark_id = series.benchmark_id
         WHERE series.benchmark_id = ANY($1) AND metric = ANY($2)
         ORDER BY array_position($1, series.benchmark_id), metric DESC, runtime.ordinal, runtime.name, host.name, counter_source",
    )
    .bind(versions)
    .bind(metrics)
    .fetch_all(db)
    .await
}

/// Why a runtime's newest run on a host lacks a benchmark.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Lacking {
    /// The benchmark's version.
    pub benchmark_id: i64,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// The run.
    pub run_id: i64,
    /// Why.
    pub kind: String,
    /// In words.
    pub reason: String,
}

/// The newest reason of each runtime and host why one of these metrics, or the whole benchmark, could not be measured; those alone
/// after which it was not measured again. What somebody tries is no news of the runtime.
pub async fn list_lacking(
    db: impl PgExecutor<'_>,
    versions: &[i64],
    metrics: &[&str],
) -> sqlx::Result<Vec<Lacking>> {
    sqlx::query_as(
        "WITH newest AS (
            SELECT DISTINCT ON (benchmark_id, runtime_id, host_id) benchmark_id, runtime_id, host_id, run_id, kind, reason
            FROM unavailable JOIN run ON run.id = run_id
            WHERE benchmark_id = ANY($1) AND (metric IS NULL OR metric = ANY($2))
              AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = run.job_id AND job.try_id IS NOT NULL)
            ORDER BY benchmark_id, runtime_id, host_id, run_id DESC)
         SELECT benchmark_id, runtime.name AS runtime, host.name AS host, run_id, kind, reason
         FROM newest JOIN runtime ON runtime.id = runtime_id JOIN host ON host.id = host_id
         WHERE NOT EXISTS (
            SELECT 1 FROM series CROSS JOIN LATERAL (
                SELECT max(run_id) AS run_id FROM (
                    SELECT run_id FROM measurement WHERE series_id = series.id AND position IS NOT NULL
                    ORDER BY position DESC, id DESC LIMIT 1) last) later
            WHERE series.benchmark_id = newest.benchmark_id AND series.runtime_id = newest.runtime_id
              AND series.host_id = newest.host_id AND metric = ANY($2) AND later.run_id >= newest.run_id)
         ORDER BY runtime.ordinal, runtime.name, host.name",
    )
    .bind(versions)
    .bind(metrics)
    .fetch_all(db)
    .await
}

/// A moment across which nothing is compared on a host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct HostBreak {
    /// When.
    pub at: DateTime<Utc>,
    /// The host.
    pub host: String,
    /// The control that moved; absent: its environment is another one.
    pub control: Option<String>,
    /// How far the control moved, as a ratio minus one.
    pub change: Option<f64>,
}

/// The newest breaks of the hosts that measured some versions, newest first. The first environment of a host is none.
pub async fn list_breaks(
    db: impl PgExecutor<'_>,
    versions: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<HostBreak>> {
    sqlx::query_as(
        "WITH on_host AS (SELECT DISTINCT host_id FROM series WHERE benchmark_id = ANY($1)),
         parted AS (
            SELECT first_seen_at AS at, host_id, NULL::bigint AS runtime_id, NULL::float8 AS change
            FROM environment JOIN on_host USING (host_id)
            WHERE first_seen_at > (SELECT min(first_seen_at) FROM environment first WHERE first.host_id = environment.host_id)
            UNION ALL
            SELECT begins_at, host_id, runtime_id, change FROM host_epoch JOIN on_host USING (host_id))
         SELECT at, host.name AS host, runtime.name AS control, change
         FROM parted JOIN host ON host.id = host_id LEFT JOIN runtime ON runtime.id = runtime_id
         ORDER BY at DESC, host.name LIMIT $2",
    )
    .bind(versions)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// What a regression or improvement did to a benchmark: its largest change there.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct BenchmarkChange {
    /// The regression.
    pub regression_id: i64,
    /// True: an improvement.
    pub better: bool,
    /// Where it is in its life.
    pub state: String,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// The metric.
    pub metric: String,
    /// The change, as a ratio minus one.
    pub change: f64,
    /// 95 % interval of it.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// The commit that it came with, or is likeliest to have.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// When that was committed.
    pub committed_at: DateTime<Utc>,
}

/// The regressions and improvements of some versions, the newest commit first; without those that were found to be none.
pub async fn list_changes(
    db: impl PgExecutor<'_>,
    versions: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<BenchmarkChange>> {
    sqlx::query_as(
        "WITH largest AS (
            SELECT DISTINCT ON (regression.id) regression.id AS regression_id, regression.better, regression.state, series.runtime_id,
                   series.host_id, metric, change, change_low, change_high, coalesce(culprit_commit_id, point.commit_id) AS commit_id
            FROM series JOIN change_point point ON point.series_id = series.id JOIN regression ON regression.id = regression_id
            WHERE benchmark_id = ANY($1) AND regression.state <> 'invalid' AND point.state IN ('confirmed', 'suspected')
            ORDER BY regression.id, point.state, metric IN ('wall_time', 'requests_per_second') DESC,
                     abs(ln(greatest(1 + change, 1e-9))) DESC, point.id)
         SELECT regression_id, better, state, runtime.name AS runtime, host.name AS host, metric, change, change_low, change_high, hash,
                subject, committed_at
         FROM largest JOIN runtime ON runtime.id = runtime_id JOIN host ON host.id = host_id JOIN commit ON commit.id = commit_id
         ORDER BY committed_at DESC, regression_id DESC LIMIT $2",
    )
    .bind(versions)
    .bind(limit)
    .fetch_all(db)
    .await
}
