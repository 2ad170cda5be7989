//! Regressions as pages and the API show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A regression with its size and range.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RegressionRow {
    /// Key.
    pub id: i64,
    /// True: an improvement.
    pub better: bool,
    /// Where it is in its life.
    pub state: String,
    /// Why it is none.
    pub invalid_reason: Option<String>,
    /// Who has taken it on.
    pub owner: Option<String>,
    /// The repository.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The last commit that is known to be as before.
    pub before_hash: String,
    /// The first commit that is known to be changed.
    pub after_hash: String,
    /// Place of the first on the branch; absent when a force push has removed it.
    pub before_position: Option<i32>,
    /// Place of the second.
    pub after_position: Option<i32>,
    /// The commit behind it, once it is found.
    pub culprit_hash: Option<String>,
    /// Its subject.
    pub culprit_subject: Option<String>,
    /// Its author.
    pub culprit_author: Option<String>,
    /// From which commit on its series are as before again.
    pub fixed_hash: Option<String>,
    /// What it is part of now.
    pub merged_into: Option<i64>,
    /// The same change on another branch.
    pub sibling_of: Option<i64>,
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
    /// When anything of it last changed.
    pub changed_at: DateTime<Utc>,
    /// Benchmarks with change points that count.
    pub benchmarks: i64,
    /// Change points that count: the confirmed ones, and as long as there are none, the suspected ones.
    pub points: i64,
    /// The hosts.
    pub hosts: Vec<String>,
    /// The runtimes.
    pub runtimes: Vec<String>,
    /// Key of the change point with the largest change of a main metric.
    pub worst_id: Option<i64>,
    /// Its series.
    pub worst_series_id: Option<i64>,
    /// Its benchmark.
    pub worst_benchmark: Option<String>,
    /// Its metric.
    pub worst_metric: Option<String>,
    /// Its change, as a ratio minus one.
    pub worst_change: Option<f64>,
    /// 95 % interval of it.
    pub worst_low: Option<f64>,
    /// Upper end.
    pub worst_high: Option<f64>,
    /// Confirmations that ended with a yes.
    pub confirmations: i64,
    /// Rounds of A and B that these took.
    pub rounds: i64,
}

/// The columns of [`RegressionRow`] with their tables, for the rows of `regression` that a query chooses, the newest first. Chosen rows stand alone: Postgres
/// reckoned the sizes of all regressions before it left out all but ten. What is one value is a subquery and no join: planning thirteen joined tables
/// took longer than reading them.
macro_rules! select {
    ($chosen:literal) => {
        concat!(
            "WITH regression AS MATERIALIZED (",
            $chosen,
            ")
             SELECT regression.id, regression.better, regression.state, invalid_reason, owner, repository.name AS repository,
                branch.name AS branch, before.hash AS before_hash, after.hash AS after_hash,
                (SELECT position FROM branch_commit WHERE branch_id = regression.branch_id AND commit_id = before.id) AS before_position,
                (SELECT position FROM branch_commit WHERE branch_id = regression.branch_id AND commit_id = after.id) AS after_position,
                (SELECT hash FROM commit WHERE id = culprit_commit_id) AS culprit_hash,
                (SELECT subject FROM commit WHERE id = culprit_commit_id) AS culprit_subject,
                (SELECT author_name FROM commit WHERE id = culprit_commit_id) AS culprit_author,
                (SELECT hash FROM commit WHERE id = fixed_commit_id) AS fixed_hash, merged_into, sibling_of, regression.created_at, regression.changed_at,
                size.benchmarks, size.points, coalesce(size.hosts, '{}') AS hosts, coalesce(size.runtimes, '{}') AS runtimes,
                worst.id AS worst_id, worst.series_id AS worst_series_id, worst.benchmark AS worst_benchmark,
                worst.metric AS worst_metric, worst.change AS worst_change, worst.change_low AS worst_low,
                worst.change_high AS worst_high, sure.confirmations, sure.rounds
             FROM regression
             JOIN branch ON branch.id = regression.branch_id JOIN repository ON repository.id = branch.repository_id
             JOIN commit before ON before.id = regression.before_commit_id
             JOIN commit after ON after.id = regression.after_commit_id
             CROSS JOIN LATERAL (
                SELECT bool_or(state = 'confirmed') AS confirmed FROM change_point WHERE regression_id = regression.id) level
             CROSS JOIN LATERAL (
                SELECT count(DISTINCT benchmark.name) AS benchmarks, count(*) AS points,
                       array_agg(DISTINCT host.name) AS hosts, array_agg(DISTINCT runtime.name) AS runtimes
                FROM change_point point JOIN series ON series.id = series_id
                JOIN benchmark ON benchmark.id = benchmark_id JOIN host ON host.id = series.host_id
                JOIN runtime ON runtime.id = series.runtime_id
                WHERE point.regression_id = regression.id
                  AND point.state = CASE WHEN level.confirmed THEN 'confirmed' ELSE 'suspected' END) size
             LEFT JOIN LATERAL (
                SELECT point.id, point.series_id, benchmark.name AS benchmark, series.metric, change, change_low, change_high
                FROM change_point point JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
                WHERE point.regression_id = regression.id
                ORDER BY point.state = CASE WHEN level.confirmed THEN 'confirmed' ELSE 'suspected' END DESC,
                         series.metric IN ('wall_time', 'requests_per_second') DESC,
                         abs(ln(greatest(1 + change, 1e-9))) DESC, point.id
                LIMIT 1) worst ON true
             CROSS JOIN LATERAL (
                SELECT count(*) AS confirmations, coalesce(sum(rounds), 0)::bigint AS rounds
                FROM confirmation WHERE regression_id = regression.id AND state = 'confirmed') sure
             ORDER BY regression.id DESC"
        )
    };
}

/// Which regressions; `None` and empty leave all in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Only these states.
    pub states: Vec<String>,
    /// Only with a change point of this runtime.
    pub runtime: Option<String>,
    /// Only with a change point of this benchmark.
    pub benchmark: Option<String>,
    /// True: only improvements; false: only what got worse.
    pub better: Option<bool>,
    /// Only of this owner.
    pub owner: Option<String>,
    /// Only keys below this one.
    pub before: Option<i64>,
}

/// The five newest regressions and the five newest improvements that have been measured twice, whatever became of them since; the newest first.
/// Without parameters, so that a connection plans it once: planning takes six times as long as reading.
pub async fn list_newest(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<RegressionRow>> {
    sqlx::query_as(select!(
        "(SELECT * FROM regression WHERE better AND state NOT IN ('suspected', 'invalid') ORDER BY id DESC LIMIT 5)
         UNION ALL
         (SELECT * FROM regression WHERE NOT better AND state NOT IN ('suspected', 'invalid') ORDER BY id DESC LIMIT 5)"
    ))
    .fetch_all(db)
    .await
}

/// Regressions, the newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<RegressionRow>> {
    sqlx::query_as(select!(
        "SELECT * FROM regression WHERE (cardinality($1::text[]) = 0 OR regression.state = ANY($1))
           AND ($4::boolean IS NULL OR regression.better = $4) AND ($5::text IS NULL OR owner = $5)
           AND ($6::bigint IS NULL OR regression.id < $6)
           AND (($2::text IS NULL AND $3::text IS NULL) OR EXISTS (
                SELECT 1 FROM change_point point JOIN series ON series.id = series_id
                JOIN runtime ON runtime.id = series.runtime_id JOIN benchmark ON benchmark.id = benchmark_id
                WHERE point.regression_id = regression.id AND ($2 IS NULL OR runtime.name = $2)
                  AND ($3 IS NULL OR benchmark.name = $3)))
         ORDER BY regression.id DESC LIMIT $7"
    ))
    .bind(&filter.states)
    .bind(&filter.runtime)
    .bind(&filter.benchmark)
    .bind(filter.better)
    .bind(&filter.owner)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A regression by its key.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<RegressionRow>> {
    sqlx::query_as(select!("SELECT * FROM regression WHERE id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// The same change elsewhere: siblings, the one that it is a sibling of, and those merged into it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Relative {
    /// Key.
    pub id: i64,
    /// Its branch.
    pub branch: String,
    /// Its state.
    pub state: String,
    /// True: it has been merged into this one.
    pub merged: bool,
}

/// The relatives of a regression by key.
pub async fn list_relatives(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<Relative>> {
    sqlx::query_as(
        "SELECT other.id, branch.name AS branch, other.state, other.merged_into IS NOT DISTINCT FROM own.id AS merged
         FROM regression own JOIN regression other ON other.id <> own.id AND (
            other.merged_into = own.id OR other.sibling_of = own.id OR other.id = own.sibling_of
            OR other.sibling_of = own.sibling_of)
         JOIN branch ON branch.id = other.branch_id WHERE own.id = $1 ORDER BY other.id LIMIT 100",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// A change point with its series.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct ChangePointRow {
    /// Key.
    pub id: i64,
    /// The series.
    pub series_id: i64,
    /// The runtime.
    pub runtime: String,
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
    /// The host.
    pub host: String,
    /// `suspected`, `confirmed`, `refuted`, `withdrawn`.
    pub state: String,
    /// True: for the better.
    pub better: bool,
    /// The likeliest first commit of the new level.
    pub hash: String,
    /// Level before, in the metric's unit.
    pub baseline: f64,
    /// Level after.
    pub value: f64,
    /// Change as a ratio minus one.
    pub change: f64,
    /// 95 % interval of it.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// Probability that noise alone looks so, all places considered.
    pub chance: f64,
    /// Probability that it lies within three points of `hash`.
    pub placed: f64,
    /// Points of the new level.
    pub points_after: i32,
    /// The detector's version and parameters.
    pub detector: String,
}

/// The change points of a regression: those that count first, main metrics first, the largest first.
pub async fn list_points(
    db: impl PgExecutor<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ChangePointRow>> {
    sqlx::query_as(
        "SELECT point.id, series_id, runtime.name AS runtime, benchmark.name AS benchmark, metric, counter_source,
                host.name AS host, point.state, better, commit.hash, baseline, value, change, change_low, change_high, chance,
                placed, points_after, point.detector
         FROM change_point point JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         JOIN runtime ON runtime.id = series.runtime_id JOIN host ON host.id = series.host_id
         JOIN commit ON commit.id = point.commit_id
         WHERE regression_id = $1
         ORDER BY array_position(ARRAY['confirmed', 'suspected', 'refuted', 'withdrawn'], point.state),
                  metric IN ('wall_time', 'requests_per_second') DESC, abs(ln(greatest(1 + change, 1e-9))) DESC, point.id
         LIMIT $2",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A confirmation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct ConfirmationRow {
    /// Key.
    pub id: i64,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// The commit of one side.
    pub before_hash: String,
    /// The commit of the other.
    pub after_hash: String,
    /// What was measured.
    pub benchmarks: Vec<String>,
    /// `measuring`, `confirmed`, `refuted`, `undecided`, `abandoned`.
    pub state: String,
    /// Pairs that have been queued.
    pub rounds: i32,
    /// What the test found.
    pub message: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its jobs that wait or run.
    pub open_jobs: i64,
}

/// The confirmations of a regression, the oldest first.
pub async fn list_confirmations(
    db: impl PgExecutor<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ConfirmationRow>> {
    sqlx::query_as(
        "SELECT confirmation.id, runtime.name AS runtime, host.name AS host, before.hash AS before_hash,
                after.hash AS after_hash, benchmarks, confirmation.state, rounds, message, confirmation.created_at, finished_at,
                (SELECT count(*) FROM job WHERE confirmation_id = confirmation.id AND job.state IN ('queued', 'running'))
                AS open_jobs
         FROM confirmation JOIN runtime ON runtime.id = runtime_id JOIN host ON host.id = host_id
         JOIN commit before ON before.id = before_commit_id JOIN commit after ON after.id = after_commit_id
         WHERE regression_id = $1 ORDER BY confirmation.id LIMIT $2",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct EventRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What about.
    pub kind: String,
    /// In words.
    pub message: String,
}

/// The newest lines of a regression's timeline, the oldest first.
pub async fn list_events(
    db: impl PgExecutor<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<EventRow>> {
    sqlx::query_as(
        "SELECT at, actor, kind, message FROM (
            SELECT * FROM regression_event WHERE regression_id = $1 ORDER BY id DESC LIMIT $2) newest ORDER BY id",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Who owns regressions, and the runtimes: what a filter offers.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Choices {
    /// Names of the runtimes that are not controls.
    pub runtimes: Vec<String>,
    /// Owners.
    pub owners: Vec<String>,
}

/// What filters offer.
pub async fn list_choices(db: impl PgExecutor<'_>) -> sqlx::Result<Choices> {
    sqlx::query_as(
        "SELECT ARRAY(SELECT name FROM runtime WHERE NOT control ORDER BY ordinal, name) AS runtimes,
                ARRAY(SELECT DISTINCT owner FROM regression WHERE owner IS NOT NULL ORDER BY owner LIMIT 200) AS owners",
    )
    .fetch_one(db)
    .await
}
