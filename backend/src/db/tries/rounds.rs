//! What a try measures: its parts (one runtime on one host each), their rounds, and what those say.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, PgExecutor};

use crate::domain::plan::Reason;
use crate::domain::try_run::TryState;

/// A try that can begin.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Ready {
    /// Key.
    pub id: i64,
    /// Its repository.
    pub repository_id: i64,
    /// The branch that it is meant for.
    pub base_branch: String,
    /// Runtimes that were named; empty: all that measure the base branch.
    pub runtimes: Vec<String>,
    /// Another suite than each runtime's own.
    pub suite_name: Option<String>,
    /// Glob of benchmarks' names.
    pub benchmarks: String,
    /// The host that was named.
    pub host_id: Option<i64>,
    /// Rounds at most.
    pub budget: i32,
    /// Whether its head is a patch, which not every worker can apply.
    pub patched: bool,
    /// How it stands, in words.
    pub message: String,
}

/// Tries that were approved and whose commits are known, oldest first.
pub async fn list_ready(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM try_run WHERE state = 'queued' AND head_commit_id IS NOT NULL ORDER BY id",
    )
    .fetch_all(db)
    .await
}

/// Locks a try that can begin; `None`: it has begun, or is over.
pub async fn lock_ready(db: &mut PgConnection, id: i64) -> sqlx::Result<Option<Ready>> {
    sqlx::query_as(
        "SELECT id, repository_id, coalesce(base_branch, '') AS base_branch, runtimes, suite_name, benchmarks, host_id, budget,
                patch_sha256 IS NOT NULL AS patched, message
         FROM try_run WHERE id = $1 AND state = 'queued' AND head_commit_id IS NOT NULL FOR UPDATE",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}

/// A runtime that a try is to measure.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WantedRuntime {
    /// Key.
    pub id: i64,
    /// Name.
    pub name: String,
    /// Its suite.
    pub suite_name: String,
}

/// The runtimes of a try: those that were named, or all that measure its base branch.
pub async fn list_runtimes(
    db: impl PgExecutor<'_>,
    ready: &Ready,
) -> sqlx::Result<Vec<WantedRuntime>> {
    sqlx::query_as(
        "SELECT runtime.id, runtime.name, coalesce($4, runtime.suite_name) AS suite_name
         FROM runtime JOIN branch ON branch.id = branch_id
         WHERE repository_id = $1 AND enabled AND NOT control
           AND CASE WHEN $2 = '{}' THEN branch.name = $3 ELSE runtime.name = ANY($2) END
         ORDER BY ordinal, runtime.name",
    )
    .bind(ready.repository_id)
    .bind(&ready.runtimes)
    .bind(&ready.base_branch)
    .bind(&ready.suite_name)
    .fetch_all(db)
    .await
}

/// Names of the benchmarks of a suite's newest version.
pub async fn list_benchmarks(db: impl PgExecutor<'_>, suite: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT name FROM suite_benchmark JOIN benchmark ON benchmark.id = benchmark_id
         WHERE suite_id = (SELECT id FROM suite WHERE name = $1 ORDER BY version DESC LIMIT 1) ORDER BY ordinal",
    )
    .bind(suite)
    .fetch_all(db)
    .await
}

/// The host to measure on: the named one; else, of the classes, the one that was heard of lately and has least to do. One that cannot
/// apply a patch is none for a patch.
pub async fn find_host(
    db: impl PgExecutor<'_>,
    ready: &Ready,
    classes: &[String],
    heard_within: Duration,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM host
         WHERE (id = $1 OR ($1::bigint IS NULL AND class = ANY($2) AND last_seen_at > now() - $3)) AND (applies_patches OR NOT $4)
         ORDER BY (SELECT count(*) FROM job WHERE (state = 'running' AND running_on = host.id)
                   OR (state = 'queued' AND host_id = host.id)), id LIMIT 1",
    )
    .bind(ready.host_id)
    .bind(classes)
    .bind(PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(heard_within.as_micros()).unwrap_or(i64::MAX),
    })
    .bind(ready.patched)
    .fetch_optional(db)
    .await
}

/// Adds a part. `benchmarks`: names; empty for the whole suite.
pub async fn insert_part(
    db: impl PgExecutor<'_>,
    try_id: i64,
    runtime_id: i64,
    host_id: i64,
    benchmarks: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO try_part (try_id, runtime_id, host_id, benchmarks) VALUES ($1, $2, $3, $4)",
    )
    .bind(try_id)
    .bind(runtime_id)
    .bind(host_id)
    .bind(benchmarks)
    .execute(db)
    .await
    .map(drop)
}

/// Notes that a try has begun.
pub async fn mark_running(db: impl PgExecutor<'_>, try_id: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE try_run SET state = $2, message = '', changed_at = clock_timestamp() WHERE id = $1",
    )
    .bind(try_id)
    .bind(TryState::Running.as_str())
    .execute(db)
    .await
    .map(drop)
}

/// Queues a part's next round: both sides on its host, the other one first than in the round before. The host takes jobs of one
/// priority in the order of their numbers.
pub async fn insert_round(db: &mut PgConnection, try_id: i64, runtime_id: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks, try_id,
                          try_round, suite_name)
         SELECT 'measure', part.runtime_id, side.commit_id, host.class, host.id, $3, $4, requester, part.benchmarks, part.try_id,
                rounds, suite_name
         FROM try_part part JOIN try_run ON try_run.id = try_id JOIN host ON host.id = part.host_id
         CROSS JOIN LATERAL (VALUES (base_commit_id, 0), (head_commit_id, 1)) AS side (commit_id, place)
         WHERE part.try_id = $1 AND part.runtime_id = $2 ORDER BY (place + rounds) % 2",
    )
    .bind(try_id)
    .bind(runtime_id)
    .bind(Reason::Try.priority())
    .bind(Reason::Try.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE try_part SET rounds = rounds + 1 WHERE try_id = $1 AND runtime_id = $2")
        .bind(try_id)
        .bind(runtime_id)
        .execute(db)
        .await
        .map(drop)
}

/// A part with something to decide.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Part {
    /// The try.
    pub try_id: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// Its name.
    pub runtime: String,
    /// Rounds that were queued.
    pub rounds: i32,
    /// Rounds at most.
    pub budget: i32,
    /// What is tried.
    pub head_commit_id: i64,
    /// Why one of its jobs has failed for good, and whether that was the head's.
    pub failure: Option<String>,
    /// Whether that job was the head's.
    pub failed_head: Option<bool>,
    /// Whether it failed before anything was measured, which its next rounds would, too.
    pub failed_build: Option<bool>,
}

/// Parts of running tries whose rounds are over, or one of whose jobs has failed; in order.
pub async fn list_measured(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Part>> {
    sqlx::query_as(
        "SELECT part.try_id, part.runtime_id, runtime.name AS runtime, rounds, budget, head_commit_id,
                failed.failure_message AS failure, failed.commit_id = head_commit_id AS failed_head,
                failed.failure_phase IN ('source', 'build') AND failed.failure_kind = 'permanent' AS failed_build
         FROM try_part part JOIN try_run ON try_run.id = part.try_id JOIN runtime ON runtime.id = part.runtime_id
         LEFT JOIN LATERAL (
            SELECT * FROM job WHERE job.try_id = part.try_id AND job.runtime_id = part.runtime_id AND job.state = 'failed'
            ORDER BY job.id DESC LIMIT 1) failed ON true
         WHERE try_run.state = 'running' AND part.state = 'measuring'
           AND ((failed.failure_phase IN ('source', 'build') AND failed.failure_kind = 'permanent') OR NOT EXISTS (
                SELECT 1 FROM job WHERE job.try_id = part.try_id AND job.runtime_id = part.runtime_id
                  AND job.state IN ('queued', 'running')))
         ORDER BY part.try_id, ordinal, runtime.name",
    )
    .fetch_all(db)
    .await
}

/// Locks a running try, so that nobody ends it meanwhile; `false`: it is over.
pub async fn lock_running(db: &mut PgConnection, try_id: i64) -> sqlx::Result<bool> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT id FROM try_run WHERE id = $1 AND state = 'running' FOR UPDATE")
            .bind(try_id)
            .fetch_optional(db)
            .await?;
    Ok(found.is_some())
}

/// One side of one round, of one series.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Side {
    /// The series.
    pub series_id: i64,
    /// Its benchmark.
    pub benchmark_id: i64,
    /// Its metric.
    pub metric: String,
    /// Its counter source.
    pub counter_source: String,
    /// The round, from 0.
    pub round: i32,
    /// True: the head.
    pub head: bool,
    /// What was measured, in the metric's unit.
    pub median: f64,
    /// Deviation between runs of the series, of logarithms, where it is known.
    pub run_deviation: Option<f64>,
    /// The same between builds.
    pub rebuild_deviation: Option<f64>,
}

/// What a part has measured, series by series; of a side that was measured twice, the last.
pub async fn list_sides(db: impl PgExecutor<'_>, part: &Part) -> sqlx::Result<Vec<Side>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (series.id, job.try_round, run.commit_id) series.id AS series_id, series.benchmark_id, metric,
                counter_source, job.try_round AS round, run.commit_id = $3 AS head, median, run_deviation, rebuild_deviation
         FROM job JOIN run ON run.job_id = job.id JOIN measurement ON measurement.run_id = run.id
         JOIN series ON series.id = measurement.series_id LEFT JOIN noise_floor ON noise_floor.series_id = series.id
         WHERE job.try_id = $1 AND job.runtime_id = $2
         ORDER BY series.id, job.try_round, run.commit_id, run.id DESC",
    )
    .bind(part.try_id)
    .bind(part.runtime_id)
    .bind(part.head_commit_id)
    .fetch_all(db)
    .await
}

/// What the rounds say of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct NewResult {
    /// The benchmark.
    pub benchmark_id: i64,
    /// The metric.
    pub metric: String,
    /// The counter source.
    pub counter_source: String,
    /// Pairs that have both sides.
    pub pairs: usize,
    /// Geometric mean of the base's medians, in the metric's unit.
    pub base: f64,
    /// The head's.
    pub head: f64,
    /// Ratio minus one.
    pub change: f64,
    /// Its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// As [`crate::domain::try_run::Answer`].
    pub verdict: &'static str,
}

/// Replaces what is known of a part.
pub async fn replace_results(
    db: &mut PgConnection,
    part: &Part,
    results: &[NewResult],
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM try_result WHERE try_id = $1 AND runtime_id = $2")
        .bind(part.try_id)
        .bind(part.runtime_id)
        .execute(&mut *db)
        .await?;
    let texts = |get: fn(&NewResult) -> &str| -> Vec<&str> { results.iter().map(get).collect() };
    let numbers = |get: fn(&NewResult) -> f64| -> Vec<f64> { results.iter().map(get).collect() };
    let benchmarks: Vec<i64> = results.iter().map(|one| one.benchmark_id).collect();
    let pairs: Vec<i32> = results
        .iter()
        .map(|one| i32::try_from(one.pairs).unwrap_or(i32::MAX))
        .collect();
    sqlx::query(
        "INSERT INTO try_result (try_id, runtime_id, benchmark_id, metric, counter_source, pairs, base, head, change, change_low,
                                 change_high, verdict)
         SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::integer[], $7::float8[], $8::float8[], $9::float8[],
                                      $10::float8[], $11::float8[], $12::text[])",
    )
    .bind(part.try_id)
    .bind(part.runtime_id)
    .bind(benchmarks)
    .bind(texts(|one| &one.metric))
    .bind(texts(|one| &one.counter_source))
    .bind(pairs)
    .bind(numbers(|one| one.base))
    .bind(numbers(|one| one.head))
    .bind(numbers(|one| one.change))
    .bind(numbers(|one| one.low))
    .bind(numbers(|one| one.high))
    .bind(texts(|one| one.verdict))
    .execute(&mut *db)
    .await?;
    touch(db, part.try_id).await
}

/// Notes that something of a try is new, for its answer.
async fn touch(db: impl PgExecutor<'_>, try_id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE try_run SET changed_at = clock_timestamp() WHERE id = $1")
        .bind(try_id)
        .execute(db)
        .await
        .map(drop)
}

/// Ends a part: `decided` or `failed`.
pub async fn end_part(
    db: &mut PgConnection,
    part: &Part,
    decided: bool,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE try_part SET state = $3, message = $4 WHERE try_id = $1 AND runtime_id = $2",
    )
    .bind(part.try_id)
    .bind(part.runtime_id)
    .bind(if decided { "decided" } else { "failed" })
    .bind(message)
    .execute(&mut *db)
    .await?;
    super::cancel_jobs(&mut *db, part.try_id, Some(part.runtime_id)).await?;
    touch(db, part.try_id).await
}

/// `(runtime, state, message)` of each part of a try, in the runtimes' order.
pub async fn list_ends(
    db: impl PgExecutor<'_>,
    try_id: i64,
) -> sqlx::Result<Vec<(String, String, String)>> {
    sqlx::query_as(
        "SELECT runtime.name, state, message FROM try_part JOIN runtime ON runtime.id = runtime_id
         WHERE try_id = $1 ORDER BY ordinal, runtime.name",
    )
    .bind(try_id)
    .fetch_all(db)
    .await
}
