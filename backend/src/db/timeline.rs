//! What the timeline reads besides traces: names to choose from, series, marks, commits of points, breaks.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

/// Something that can be chosen: `benchmark`, `runtime` or `host`, and its name. Only what has been measured, runtimes in the order of the configuration.
pub async fn list_names(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT kind, name FROM (
            SELECT 'benchmark' AS kind, name, 0 AS ordinal FROM benchmark
            WHERE EXISTS (SELECT 1 FROM series WHERE benchmark_id = benchmark.id) GROUP BY name
            UNION ALL SELECT 'runtime', name, ordinal FROM runtime
            WHERE EXISTS (SELECT 1 FROM series WHERE runtime_id = runtime.id)
            UNION ALL SELECT 'host', name, 0 FROM host) found
         ORDER BY kind, ordinal, name",
    )
    .fetch_all(db)
    .await
}

/// A series with all that its line needs.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct TimelineSeries {
    /// Key.
    pub id: i64,
    /// Its runtime's key.
    pub runtime_id: i64,
    /// Its host's key.
    pub host_id: i64,
    /// The branch that its runtime measures.
    pub branch_id: i64,
    /// The runtime.
    pub runtime: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// The benchmark's identity.
    pub identity: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
    /// The host.
    pub host: String,
    /// Version of the detector that looks for its changes.
    pub detector: Option<String>,
    /// Whether its trace has been made.
    pub traced: bool,
}

/// Which series; an empty list means all.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names of benchmarks; none means none.
    pub benchmarks: Vec<String>,
    /// Names of metrics.
    pub metrics: Vec<String>,
    /// Names of runtimes.
    pub runtimes: Vec<String>,
    /// Names of hosts.
    pub hosts: Vec<String>,
}

/// The series that are wanted: benchmarks by name, the newest version of each first (ours before imported ones), then runtimes in the order of the configuration.
pub async fn list_series(
    db: impl PgExecutor<'_>,
    wanted: &Wanted,
    limit: i64,
) -> sqlx::Result<Vec<TimelineSeries>> {
    sqlx::query_as(
        "SELECT series.id, runtime_id, host_id, branch_id, runtime.name AS runtime, benchmark.name AS benchmark, identity, metric,
                counter_source, host.name AS host, detector, traced_at IS NOT NULL AS traced
         FROM benchmark JOIN series ON benchmark_id = benchmark.id JOIN runtime ON runtime.id = runtime_id
         JOIN host ON host.id = host_id
         WHERE benchmark.name = ANY($1) AND ($2 = '{}' OR metric = ANY($2)) AND ($3 = '{}' OR runtime.name = ANY($3))
           AND ($4 = '{}' OR host.name = ANY($4))
         ORDER BY benchmark.name, origin IS NOT NULL, benchmark.id DESC, runtime.ordinal, runtime.name, metric, counter_source, host.name LIMIT $5",
    )
    .bind(&wanted.benchmarks)
    .bind(&wanted.metrics)
    .bind(&wanted.runtimes)
    .bind(&wanted.hosts)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A version of a benchmark that has been measured.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MeasuredVersion {
    /// The benchmark's name.
    pub benchmark: String,
    /// The version's identity.
    pub identity: String,
    /// The suites that hold it, as `name version`; empty when none does any more.
    pub suites: String,
}

/// The measured versions of benchmarks, whatever runtime or host measured them: by name, the newest first.
pub async fn list_versions(
    db: impl PgExecutor<'_>,
    benchmarks: &[&str],
) -> sqlx::Result<Vec<MeasuredVersion>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, identity,
                (SELECT coalesce(string_agg(suite.name || ' ' || suite.version, ', ' ORDER BY suite.id), '')
                 FROM suite_benchmark JOIN suite ON suite.id = suite_id
                 WHERE suite_benchmark.benchmark_id = benchmark.id) AS suites
         FROM benchmark WHERE name = ANY($1) AND EXISTS (SELECT 1 FROM series WHERE benchmark_id = benchmark.id)
         ORDER BY name, origin IS NOT NULL, id DESC",
    )
    .bind(benchmarks)
    .fetch_all(db)
    .await
}

/// The benchmarks that the newest version of a suite has, by name.
pub async fn list_suite(
    db: impl PgExecutor<'_>,
    suite: &str,
) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT benchmark.name, identity FROM suite_benchmark JOIN benchmark ON benchmark.id = benchmark_id
         WHERE suite_id = (SELECT id FROM suite WHERE name = $1 ORDER BY version DESC LIMIT 1) ORDER BY benchmark.name",
    )
    .bind(suite)
    .fetch_all(db)
    .await
}

/// The names of all suites.
pub async fn list_suites(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT name FROM suite GROUP BY name ORDER BY name")
        .fetch_all(db)
        .await
}

/// A release on a branch.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Release {
    /// The tag.
    pub name: String,
    /// The branch.
    pub branch_id: i64,
    /// Its position there.
    pub position: i32,
    /// When its commit was made.
    pub committed_at: DateTime<Utc>,
    /// Whether it is no preview.
    pub release_final: bool,
    /// Commits that it has beside the branch; 0: it is one of the branch's.
    pub own_commits: i32,
}

/// The releases on branches, between two positions.
pub async fn list_releases(
    db: impl PgExecutor<'_>,
    branches: &[i64],
    (from, to): (i32, i32),
) -> sqlx::Result<Vec<Release>> {
    sqlx::query_as(
        "SELECT name, branch_id, position, committed_at, release_final, own_commits
         FROM branch_release JOIN commit ON commit.id = commit_id
         WHERE branch_id = ANY($1) AND position BETWEEN $2 AND $3 ORDER BY position, own_commits, release_line, name",
    )
    .bind(branches)
    .bind(from)
    .bind(to)
    .fetch_all(db)
    .await
}

/// A change point as a chart marks it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ChangeMark {
    /// Its series.
    pub series_id: i64,
    /// Likeliest position.
    pub position: i32,
    /// When that commit was made.
    pub committed_at: DateTime<Utc>,
    /// That commit's hash.
    pub hash: String,
    /// `suspected` or `confirmed`.
    pub state: String,
    /// Direction.
    pub better: bool,
    /// Size as a ratio minus one.
    pub change: f64,
    /// Its 95 % interval.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// The regression that it belongs to.
    pub regression_id: Option<i64>,
}

/// The newest suspected and confirmed change points of series, oldest first.
pub async fn list_changes(
    db: impl PgExecutor<'_>,
    series: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<ChangeMark>> {
    sqlx::query_as(
        "SELECT point.series_id, position, committed_at, hash, state, better, change, change_low, change_high, regression_id
         FROM change_point point JOIN series ON series.id = point.series_id JOIN runtime ON runtime.id = series.runtime_id
         JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = point.commit_id
         JOIN commit ON commit.id = point.commit_id
         WHERE point.series_id = ANY($1) AND state IN ('suspected', 'confirmed') ORDER BY position DESC, point.id LIMIT $2",
    )
    .bind(series)
    .bind(limit)
    .fetch_all(db)
    .await
    .map(|mut rows: Vec<ChangeMark>| {
        rows.reverse();
        rows
    })
}

/// Somebody's words on a commit of a branch, or on a host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct NoteMark {
    /// When they were written.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// The words.
    pub message: String,
    /// Position of the commit.
    pub position: Option<i32>,
    /// When the commit was made.
    pub committed_at: Option<DateTime<Utc>>,
    /// The commit.
    pub hash: Option<String>,
    /// The host.
    pub host: Option<String>,
}

/// The newest annotations on commits of branches between two positions, and on hosts; the oldest first.
pub async fn list_notes(
    db: impl PgExecutor<'_>,
    branches: &[i64],
    (from, to): (i32, i32),
    hosts: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<NoteMark>> {
    sqlx::query_as(
        "SELECT at, actor, message, position, committed_at, hash, host.name AS host
         FROM annotation
         LEFT JOIN branch_commit place ON place.commit_id = annotation.commit_id AND branch_id = ANY($1)
            AND position BETWEEN $2 AND $3
         LEFT JOIN commit ON commit.id = place.commit_id LEFT JOIN host ON host.id = host_id
         WHERE place.commit_id IS NOT NULL OR host_id = ANY($4) ORDER BY annotation.id DESC LIMIT $5",
    )
    .bind(branches)
    .bind(from)
    .bind(to)
    .bind(hosts)
    .bind(limit)
    .fetch_all(db)
    .await
    .map(|mut rows: Vec<NoteMark>| {
        rows.reverse();
        rows
    })
}

/// What is known of a point besides its numbers.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct PointDetail {
    /// The series.
    pub series_id: i64,
    /// Branch position.
    pub position: i32,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// The verdict: `too_few`, `unchanged`, `improved`, `regressed`; absent until it is made.
    pub verdict: Option<String>,
    /// Why a change is held back.
    pub held: Option<String>,
    /// Change against the predecessors, as a ratio minus one.
    pub change: Option<f64>,
    /// How bad the host was meanwhile.
    pub host_worst: Option<String>,
}

/// The details of points, given by series, position and run.
pub async fn list_details(
    db: impl PgExecutor<'_>,
    series: &[i64],
    positions: &[i32],
    runs: &[i64],
) -> sqlx::Result<Vec<PointDetail>> {
    sqlx::query_as(
        "SELECT wanted.series_id, wanted.position, hash, subject, verdict.state AS verdict, held, change, host_worst
         FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS wanted (series_id, position, run_id)
         JOIN series ON series.id = wanted.series_id JOIN runtime ON runtime.id = series.runtime_id
         JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.position = wanted.position
         JOIN commit ON commit.id = place.commit_id LEFT JOIN run ON run.id = wanted.run_id
         LEFT JOIN verdict ON verdict.series_id = wanted.series_id AND verdict.commit_id = place.commit_id",
    )
    .bind(series)
    .bind(positions)
    .bind(runs)
    .fetch_all(db)
    .await
}

/// The hashes at positions of branches.
pub async fn list_hashes(
    db: impl PgExecutor<'_>,
    branches: &[i64],
    positions: &[i32],
) -> sqlx::Result<Vec<(i64, i32, String)>> {
    sqlx::query_as(
        "SELECT branch_id, wanted.position, hash
         FROM unnest($1::bigint[], $2::integer[]) AS wanted (branch, position)
         JOIN branch_commit place ON branch_id = branch AND place.position = wanted.position
         JOIN commit ON commit.id = commit_id",
    )
    .bind(branches)
    .bind(positions)
    .fetch_all(db)
    .await
}

/// The facts of environments.
pub async fn list_facts(
    db: impl PgExecutor<'_>,
    environments: &[i64],
) -> sqlx::Result<Vec<(i64, Value)>> {
    sqlx::query_as("SELECT id, facts FROM environment WHERE id = ANY($1)")
        .bind(environments)
        .fetch_all(db)
        .await
}

/// An epoch of a host that a control has begun.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct HostEpoch {
    /// The host.
    pub host_id: i64,
    /// Which one in a row, from one on.
    pub number: i64,
    /// Since when.
    pub begins_at: DateTime<Utc>,
    /// The control that moved.
    pub runtime: String,
    /// By how much, as a ratio minus one.
    pub change: f64,
}

/// The epochs of hosts that controls have begun.
pub async fn list_epochs(db: impl PgExecutor<'_>, hosts: &[i64]) -> sqlx::Result<Vec<HostEpoch>> {
    sqlx::query_as(
        "SELECT host_id, row_number() OVER (PARTITION BY host_id ORDER BY begins_at) AS number, begins_at,
                runtime.name AS runtime, change
         FROM host_epoch JOIN runtime ON runtime.id = runtime_id WHERE host_id = ANY($1)",
    )
    .bind(hosts)
    .fetch_all(db)
    .await
}

/// Where a tag, or the beginning of a hash (seven digits at least), lies on branches.
pub async fn find_base(
    db: impl PgExecutor<'_>,
    branches: &[i64],
    name: &str,
) -> sqlx::Result<Vec<(i64, i32)>> {
    sqlx::query_as(
        "WITH named AS (
            SELECT commit.id FROM branch JOIN tag ON tag.repository_id = branch.repository_id AND tag.name = $2
            JOIN commit ON commit.repository_id = tag.repository_id AND hash = commit_hash WHERE branch.id = ANY($1)
            UNION SELECT commit.id FROM branch JOIN commit ON commit.repository_id = branch.repository_id
            WHERE branch.id = ANY($1) AND length($2) >= 7 AND $2 ~ '^[0-9a-f]+$' AND hash >= $2 AND hash < $2 || 'g')
         SELECT branch_id, position FROM named JOIN branch_commit ON commit_id = named.id WHERE branch_id = ANY($1)",
    )
    .bind(branches)
    .bind(name)
    .fetch_all(db)
    .await
}

/// The smallest change that one run a side shows in each series (0.01: 1 %), where it is known.
pub async fn list_floors(db: impl PgExecutor<'_>, series: &[i64]) -> sqlx::Result<Vec<(i64, f64)>> {
    sqlx::query_as(
        "SELECT series_id, smallest_change FROM noise_floor WHERE series_id = ANY($1) AND smallest_change IS NOT NULL",
    )
    .bind(series)
    .fetch_all(db)
    .await
}

/// The suite that a runtime runs, when a worker has registered it.
pub async fn find_suite(db: impl PgExecutor<'_>, runtime: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "SELECT suite_name FROM runtime WHERE name = $1 AND EXISTS (SELECT 1 FROM suite WHERE name = suite_name)",
    )
    .bind(runtime)
    .fetch_optional(db)
    .await
}
