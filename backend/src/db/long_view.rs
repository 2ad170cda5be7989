//! What the pages of releases, generations and top-down shares read. Each query is bounded in rows.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

/// A runtime to choose.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RuntimeChoice {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Hosts that have measured it whole.
    pub hosts: Vec<String>,
}

/// The runtimes that are no controls, in the order of the configuration.
pub async fn list_choices(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<RuntimeChoice>> {
    sqlx::query_as(
        "SELECT runtime.id, runtime.name, ARRAY(SELECT host.name FROM index_state state JOIN host ON host.id = state.host_id
                WHERE state.runtime_id = runtime.id ORDER BY state.commits DESC, host.name) AS hosts
         FROM runtime WHERE NOT control ORDER BY enabled DESC, ordinal, name LIMIT 200",
    )
    .fetch_all(db)
    .await
}

/// A measured release, or the newest measured commit of a runtime on a host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Stop {
    /// The run.
    pub run_id: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// Its name.
    pub runtime: String,
    /// The host.
    pub host_id: i64,
    /// Its name.
    pub host: String,
    /// The environment.
    pub environment_id: i64,
    /// When the host's epoch began.
    pub epoch_begins_at: Option<DateTime<Utc>>,
    /// The commit.
    pub commit_id: i64,
    /// Its hash.
    pub hash: String,
    /// Its place on the branch.
    pub position: i32,
    /// The release that it is.
    pub tag: Option<String>,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
    /// Whether something on the host disturbed it.
    pub marked: bool,
    /// The build's recipe.
    pub recipe_sha256: String,
    /// The build's toolchain.
    pub toolchain: String,
}

/// The measured releases of runtimes, and the newest measured commit of each on each host: the newest run of each commit in
/// each environment and epoch; by runtime, host and branch order.
pub async fn list_stops(
    db: impl PgExecutor<'_>,
    runtimes: &[i64],
    limit: i64,
) -> sqlx::Result<Vec<Stop>> {
    sqlx::query_as(
        "WITH newest AS (
            SELECT point.run_id FROM index_state state CROSS JOIN LATERAL (
                SELECT run_id FROM index_point WHERE runtime_id = state.runtime_id AND host_id = state.host_id
                    AND position IS NOT NULL ORDER BY position DESC, run_id DESC LIMIT 1) point
            WHERE state.runtime_id = ANY($1)),
         chosen AS (
            SELECT DISTINCT ON (runtime_id, host_id, environment_id, epoch_begins_at, commit_id) *
            FROM index_point WHERE runtime_id = ANY($1) AND position IS NOT NULL
                AND (tag IS NOT NULL OR run_id IN (SELECT run_id FROM newest))
            ORDER BY runtime_id, host_id, environment_id, epoch_begins_at, commit_id, run_id DESC)
         SELECT chosen.run_id, chosen.runtime_id, runtime.name AS runtime, chosen.host_id, host.name AS host,
            chosen.environment_id, chosen.epoch_begins_at, chosen.commit_id, commit.hash, chosen.position, chosen.tag,
            chosen.measured_at, run.marked, build.recipe_sha256, build.toolchain
         FROM chosen JOIN runtime ON runtime.id = chosen.runtime_id JOIN host ON host.id = chosen.host_id
         JOIN commit ON commit.id = chosen.commit_id JOIN run ON run.id = chosen.run_id JOIN build ON build.id = run.build_id
         ORDER BY array_position($1, chosen.runtime_id), host.name, chosen.position, chosen.run_id LIMIT $2",
    )
    .bind(runtimes)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A confirmed step of a main metric.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StepRow {
    /// The regression or improvement.
    pub regression_id: i64,
    /// Its state.
    pub state: String,
    /// The benchmark.
    pub benchmark_id: i64,
    /// Its name.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Change as a ratio minus one.
    pub change: f64,
    /// 95 % interval of it.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// The commit behind it, or the likeliest one.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// Its author.
    pub author: String,
    /// Whether that commit has been found.
    pub found: bool,
    /// Whether the range of commits that it may lie in reaches beyond the two places.
    pub reaches_beyond: bool,
}

/// The confirmed steps of main metrics of a runtime on a host whose commit lies in `(from, to]` of the branch.
pub async fn list_steps(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    host_id: i64,
    (from, to): (i32, i32),
    limit: i64,
) -> sqlx::Result<Vec<StepRow>> {
    sqlx::query_as(
        "SELECT regression.id AS regression_id, regression.state, series.benchmark_id, benchmark.name AS benchmark,
            series.metric, point.change, point.change_low, point.change_high, commit.hash, commit.subject,
            commit.author_name AS author, regression.culprit_commit_id IS NOT NULL AS found,
            regression.culprit_commit_id IS NULL AND (coalesce(before.position < $3, true)
                OR coalesce(after.position > $4, true)) AS reaches_beyond
         FROM series JOIN runtime ON runtime.id = series.runtime_id
         JOIN change_point point ON point.series_id = series.id AND point.state = 'confirmed'
         JOIN regression ON regression.id = point.regression_id AND regression.state NOT IN ('suspected', 'invalid')
         JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN commit ON commit.id = coalesce(regression.culprit_commit_id, point.commit_id)
         JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = commit.id
         LEFT JOIN branch_commit before ON before.branch_id = runtime.branch_id
            AND before.commit_id = point.before_commit_id
         LEFT JOIN branch_commit after ON after.branch_id = runtime.branch_id AND after.commit_id = point.after_commit_id
         WHERE series.runtime_id = $1 AND series.host_id = $2 AND series.metric IN ('wall_time', 'requests_per_second')
            AND place.position > $3 AND place.position <= $4
         ORDER BY regression.id, benchmark.name, point.id LIMIT $5",
    )
    .bind(runtime_id)
    .bind(host_id)
    .bind(from)
    .bind(to)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// An environment with its facts.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct EnvironmentRow {
    /// Key.
    pub id: i64,
    /// What the worker told.
    pub facts: Value,
}

/// Environments by key.
pub async fn list_environments(
    db: impl PgExecutor<'_>,
    environments: &[i64],
) -> sqlx::Result<Vec<EnvironmentRow>> {
    sqlx::query_as("SELECT id, facts FROM environment WHERE id = ANY($1)")
        .bind(environments)
        .fetch_all(db)
        .await
}

/// Why a metric is missing in a run, and of how many benchmarks.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ReasonRow {
    /// The run.
    pub run_id: i64,
    /// The metric.
    pub metric: String,
    /// In words.
    pub reason: String,
    /// Benchmarks.
    pub benchmarks: i64,
}

/// Why metrics are missing in runs; the commonest reasons first.
pub async fn list_reasons(
    db: impl PgExecutor<'_>,
    runs: &[i64],
    metrics: &[&str],
    limit: i64,
) -> sqlx::Result<Vec<ReasonRow>> {
    sqlx::query_as(
        "SELECT run_id, metric, reason, count(*) AS benchmarks FROM unavailable
         WHERE run_id = ANY($1) AND metric = ANY($2) GROUP BY run_id, metric, reason
         ORDER BY run_id, count(*) DESC, metric, reason LIMIT $3",
    )
    .bind(runs)
    .bind(metrics)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A run to take apart.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RunChoice {
    /// The runtime.
    pub runtime: String,
    /// The run.
    pub run_id: i64,
    /// The host.
    pub host: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// The release that it is.
    pub tag: Option<String>,
    /// When it was measured.
    pub measured_at: DateTime<Utc>,
}

/// The newest run of each runtime, by key; of one host or one commit where these are given.
pub async fn list_newest(
    db: impl PgExecutor<'_>,
    runtimes: &[i64],
    host: Option<&str>,
    commit_id: Option<i64>,
) -> sqlx::Result<Vec<RunChoice>> {
    sqlx::query_as(
        "SELECT runtime.name AS runtime, point.run_id, host.name AS host, commit.hash, commit.subject, point.tag,
            point.measured_at
         FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (runtime_id, place)
         JOIN runtime ON runtime.id = wanted.runtime_id
         CROSS JOIN LATERAL (
            SELECT * FROM index_point WHERE runtime_id = wanted.runtime_id AND position IS NOT NULL
                AND ($2::text IS NULL OR host_id = (SELECT id FROM host WHERE name = $2))
                AND ($3::bigint IS NULL OR commit_id = $3)
            ORDER BY position DESC, run_id DESC LIMIT 1) point
         JOIN host ON host.id = point.host_id JOIN commit ON commit.id = point.commit_id
         ORDER BY wanted.place",
    )
    .bind(runtimes)
    .bind(host)
    .bind(commit_id)
    .fetch_all(db)
    .await
}

/// A counter of a benchmark in a run.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct CounterRow {
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// Its identity.
    pub identity: String,
    /// The metric.
    pub metric: String,
    /// Where it comes from.
    pub counter_source: String,
    /// Median.
    pub median: f64,
    /// 95 % interval of it.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Some metrics of runs, without their samples.
pub async fn list_counters(
    db: impl PgExecutor<'_>,
    runs: &[i64],
    metrics: &[&str],
) -> sqlx::Result<Vec<CounterRow>> {
    sqlx::query_as(
        "SELECT run_id, benchmark.name AS benchmark, identity, metric, counter_source, median, interval_low AS low,
            interval_high AS high
         FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = ANY($1) AND metric = ANY($2)
         ORDER BY array_position($1, run_id), benchmark.name, metric, counter_source",
    )
    .bind(runs)
    .bind(metrics)
    .fetch_all(db)
    .await
}

/// The benchmarks of runs that have a profile.
pub async fn list_profiles(
    db: impl PgExecutor<'_>,
    runs: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT DISTINCT run_id, name FROM profile JOIN benchmark ON benchmark.id = benchmark_id
         WHERE run_id = ANY($1) ORDER BY run_id, name",
    )
    .bind(runs)
    .fetch_all(db)
    .await
}
