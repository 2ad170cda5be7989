//! Bisections as people see them: the list, one search, its commits and its runs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A search, with what names it and what it has cost.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct SearchRow {
    /// Key.
    pub id: i64,
    /// The regression that it is for; `None`: asked for by hand.
    pub regression_id: Option<i64>,
    /// The runtime's name.
    pub runtime: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The counter source.
    pub counter_source: String,
    /// The end before.
    pub before_hash: String,
    /// The end after.
    pub after_hash: String,
    /// The hosts' names.
    pub hosts: Vec<String>,
    /// State, by its stable name.
    pub state: String,
    /// How it ended, in words.
    pub message: String,
    /// Who asked.
    pub requester: String,
    /// Runs that it may ask for.
    pub budget: i32,
    /// Runs that it has asked for.
    pub asked: i64,
    /// Runs that came of it.
    pub runs: i64,
    /// Builds that were made for it; others were there.
    pub builds: i64,
    /// Seconds that hosts have spent on its finished jobs.
    pub seconds: f64,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// The columns of [`SearchRow`] with their tables, before what chooses and orders the rows.
macro_rules! select_search {
    ($rest:literal) => {
        concat!(
            "SELECT bisection.id, regression_id, runtime.name AS runtime, benchmark, metric, counter_source,
                first.hash AS before_hash, last.hash AS after_hash, bisection.state, message, bisection.requester, budget,
                bisection.created_at,
                ARRAY(SELECT name FROM bisection_host own JOIN host ON host.id = own.host_id
                      WHERE own.bisection_id = bisection.id ORDER BY name) AS hosts,
                (SELECT count(*) FROM job WHERE job.bisection_id = bisection.id) AS asked,
                (SELECT count(*) FROM build JOIN job ON job.id = build.job_id WHERE job.bisection_id = bisection.id) AS builds,
                (SELECT count(*) FROM run JOIN job ON job.id = run.job_id WHERE job.bisection_id = bisection.id) AS runs,
                (SELECT coalesce(sum(extract(epoch FROM finished_at - started_at)), 0)::float8 FROM job
                 WHERE job.bisection_id = bisection.id AND finished_at IS NOT NULL AND started_at IS NOT NULL) AS seconds
             FROM bisection JOIN runtime ON runtime.id = bisection.runtime_id
             JOIN commit first ON first.id = bisection.before_commit_id JOIN commit last ON last.id = bisection.after_commit_id ",
            $rest
        )
    };
}

/// The searches: those that go on first, newest first.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<SearchRow>> {
    sqlx::query_as(select_search!(
        "ORDER BY (bisection.state = 'searching') DESC, bisection.id DESC LIMIT $1"
    ))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The searches of a regression, oldest first.
pub async fn list_of_regression(
    db: impl PgExecutor<'_>,
    regression_id: i64,
) -> sqlx::Result<Vec<SearchRow>> {
    sqlx::query_as(select_search!(
        "WHERE regression_id = $1 ORDER BY bisection.id LIMIT 20"
    ))
    .bind(regression_id)
    .fetch_all(db)
    .await
}

/// One search.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<SearchRow>> {
    sqlx::query_as(select_search!("WHERE bisection.id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// A change that a search has located.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct LocatedRow {
    /// The last commit that is as before.
    pub before_hash: String,
    /// The first that is changed.
    pub after_hash: String,
    /// The commit that it came with, where one can be told.
    pub culprit_hash: Option<String>,
    /// First line of its message.
    pub subject: Option<String>,
    /// Size as a ratio minus one.
    pub change: f64,
    /// How sure that is, 0 to 1.
    pub probability: f64,
}

/// The changes that a search has located, in branch order.
pub async fn list_located(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<LocatedRow>> {
    sqlx::query_as(
        "SELECT before.hash AS before_hash, after.hash AS after_hash, culprit.hash AS culprit_hash, culprit.subject, change, probability
         FROM bisection_change located JOIN commit before ON before.id = before_commit_id
         JOIN commit after ON after.id = after_commit_id LEFT JOIN commit culprit ON culprit.id = culprit_commit_id
         WHERE bisection_id = $1 ORDER BY ordinal",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// A commit of the range, as the search sees it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct PlaceRow {
    /// Place in the range, from 0: the end before.
    pub ordinal: i32,
    /// Hash.
    pub hash: String,
    /// First line of its message.
    pub subject: String,
    /// Why it is not measured.
    pub skipped: Option<String>,
    /// That the change came with it, 0 to 1.
    pub probability: f64,
    /// 0: measured as before … 1: as after; `None`: not measured.
    pub likeness: Option<f64>,
}

/// The range in branch order, at most `limit` commits: those that are measured or likeliest are kept.
pub async fn list_places(
    db: impl PgExecutor<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<PlaceRow>> {
    sqlx::query_as(
        "SELECT ordinal, hash, subject, skipped, probability, likeness FROM (
            SELECT * FROM bisection_commit WHERE bisection_id = $1
            ORDER BY (likeness IS NOT NULL) DESC, probability DESC, ordinal LIMIT $2) place
         JOIN commit ON commit.id = commit_id ORDER BY ordinal",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A run that a search has asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct StepRow {
    /// The job.
    pub job_id: i64,
    /// Its state.
    pub state: String,
    /// Its host.
    pub host: Option<String>,
    /// The commit.
    pub hash: String,
    /// First line of its message.
    pub subject: String,
    /// Median in the metric's unit; `None`: no value (yet).
    pub median: Option<f64>,
    /// Its 95 % interval.
    pub interval_low: Option<f64>,
    /// Upper end.
    pub interval_high: Option<f64>,
}

/// What the search has asked for, in the order of measuring.
pub async fn list_steps(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<StepRow>> {
    sqlx::query_as(
        "SELECT job.id AS job_id, job.state, host.name AS host, hash, subject, median, interval_low, interval_high
         FROM job JOIN bisection ON bisection.id = job.bisection_id JOIN commit ON commit.id = job.commit_id
         LEFT JOIN host ON host.id = job.host_id
         LEFT JOIN LATERAL (
            SELECT median, interval_low, interval_high FROM run JOIN measurement ON measurement.run_id = run.id
            JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
            WHERE run.job_id = job.id AND benchmark.name = bisection.benchmark AND series.metric = bisection.metric
              AND series.counter_source = bisection.counter_source ORDER BY measurement.id DESC LIMIT 1) told ON true
         WHERE job.bisection_id = $1 ORDER BY job.started_at NULLS LAST, job.id",
    )
    .bind(id)
    .fetch_all(db)
    .await
}
