//! Daily reports: their facts, and the reports as they were made.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::domain::compare::Estimate;
use crate::domain::report::{HostLine, SeriesFacts};

/// A runtime that gets reports.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ReportRuntime {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Newest measured commit.
    pub hash: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Tag of the newest measured release before it.
    pub release: Option<String>,
    /// Branch position of that release.
    pub release_position: Option<i32>,
    /// Its commit.
    pub release_commit_id: Option<i64>,
}

/// Enabled runtimes, controls left out, that have no report of a day yet and had a run by `now`.
pub async fn list_due(
    db: impl PgExecutor<'_>,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ReportRuntime>> {
    sqlx::query_as(
        "SELECT runtime.id, runtime.name, newest.hash, newest.subject, release.name AS release, release.position AS release_position,
                release.commit_id AS release_commit_id
         FROM runtime
         CROSS JOIN LATERAL (
            SELECT commit.hash, commit.subject, place.position
            FROM run JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = run.commit_id
            JOIN commit ON commit.id = run.commit_id
            WHERE run.runtime_id = runtime.id AND run.finished_at <= $2 ORDER BY place.position DESC LIMIT 1) newest
         LEFT JOIN LATERAL (
            SELECT beside.name, beside.position, beside.commit_id
            FROM run JOIN branch_release beside ON beside.branch_id = runtime.branch_id AND beside.commit_id = run.commit_id
            WHERE run.runtime_id = runtime.id AND beside.position < newest.position
            ORDER BY beside.position DESC, own_commits DESC LIMIT 1) release ON true
         WHERE enabled AND NOT control AND NOT EXISTS (
            SELECT 1 FROM report WHERE report.runtime_id = runtime.id AND report.day = $1)
         ORDER BY ordinal, runtime.name",
    )
    .bind(day)
    .bind(now)
    .fetch_all(db)
    .await
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct FactsRow {
    benchmark: String,
    metric: String,
    source: String,
    host: String,
    newest: Vec<f64>,
    position: i32,
    day_before: Option<Vec<f64>>,
    day_position: Option<i32>,
    week_before: Option<Vec<f64>>,
    week_position: Option<i32>,
    release: Option<Vec<f64>>,
}

/// The newest value of each series of a runtime by `now`, and what it was by a day and a week before, and at a release's position.
/// Only what may be compared with the newest value: the same environment, and no epoch of the host begun between. Series whose newest
/// value is older than thirty days are left out.
pub async fn list_facts(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    (release_position, release_commit_id): (Option<i32>, Option<i64>),
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<SeriesFacts>> {
    let rows: Vec<FactsRow> = sqlx::query_as(
        "SELECT benchmark.name AS benchmark, metric, counter_source AS source, host.name AS host,
            ARRAY[newest.median, newest.interval_low, newest.interval_high] AS newest, newest.position,
            day.value AS day_before, day.position AS day_position, week.value AS week_before, week.position AS week_position,
            release.value AS release
         FROM series JOIN benchmark ON benchmark.id = benchmark_id JOIN host ON host.id = host_id
         CROSS JOIN LATERAL (
            SELECT * FROM measurement WHERE series_id = series.id AND position IS NOT NULL AND measured_at <= $3
            ORDER BY position DESC, id DESC LIMIT 1) newest
         CROSS JOIN LATERAL (
            SELECT coalesce(max(begins_at), '-infinity') AS begins_at FROM host_epoch
            WHERE host_epoch.host_id = series.host_id AND begins_at <= newest.measured_at) epoch
         LEFT JOIN LATERAL (
            SELECT ARRAY[median, interval_low, interval_high] AS value, position FROM measurement
            WHERE series_id = series.id AND position IS NOT NULL AND measured_at <= $3 - interval '1 day'
              AND environment_id = newest.environment_id AND measured_at >= epoch.begins_at
            ORDER BY position DESC, id DESC LIMIT 1) day ON true
         LEFT JOIN LATERAL (
            SELECT ARRAY[median, interval_low, interval_high] AS value, position FROM measurement
            WHERE series_id = series.id AND position IS NOT NULL AND measured_at <= $3 - interval '7 days'
              AND environment_id = newest.environment_id AND measured_at >= epoch.begins_at
            ORDER BY position DESC, id DESC LIMIT 1) week ON true
         LEFT JOIN LATERAL (
            SELECT ARRAY[median, interval_low, interval_high] AS value FROM measurement
            WHERE series_id = series.id AND (position = $2 OR position IS NULL) AND commit_id = $4 AND measured_at <= $3
              AND environment_id = newest.environment_id AND measured_at >= epoch.begins_at
            ORDER BY id DESC LIMIT 1) release ON true
         WHERE series.runtime_id = $1 AND newest.measured_at > $3 - interval '30 days'
         ORDER BY benchmark.name, host.name, metric",
    )
    .bind(runtime_id)
    .bind(release_position)
    .bind(now)
    .bind(release_commit_id)
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| facts(row, release_position))
        .collect())
}

fn facts(row: FactsRow, release_position: Option<i32>) -> Option<SeriesFacts> {
    let then =
        |value: Option<Vec<f64>>, position: Option<i32>| Some((estimate(&value?)?, position?));
    Some(SeriesFacts {
        newest: estimate(&row.newest)?,
        position: row.position,
        before: [
            then(row.day_before, row.day_position),
            then(row.week_before, row.week_position),
            then(row.release, release_position),
        ],
        benchmark: row.benchmark,
        metric: row.metric,
        source: row.source,
        host: row.host,
    })
}

fn estimate(values: &[f64]) -> Option<Estimate> {
    match values {
        [median, low, high] => Some(Estimate {
            median: *median,
            low: *low,
            high: *high,
        }),
        _ => None,
    }
}

/// Host, when it was last heard of, runs, those with something wrong, unsteady controls.
type HostRow = (String, Option<DateTime<Utc>>, i64, i64, i64);

/// The hosts that measured a runtime within thirty days of `now`, and how they fare.
pub async fn list_hosts(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<HostLine>> {
    let rows: Vec<HostRow> = sqlx::query_as(
        "SELECT host.name, host.last_seen_at, count(*) FILTER (WHERE run.finished_at > $2 - interval '1 day'),
                count(*) FILTER (WHERE run.finished_at > $2 - interval '1 day' AND host_worst IS NOT NULL),
                (SELECT count(*) FROM control_judged JOIN runtime ON runtime.id = control_judged.runtime_id
                 WHERE control_judged.host_id = host.id AND standing = 'unsteady' AND control AND enabled)
         FROM run JOIN host ON host.id = run.host_id
         WHERE run.runtime_id = $1 AND run.finished_at > $2 - interval '30 days' AND run.finished_at <= $2
         GROUP BY host.id ORDER BY host.name",
    )
    .bind(runtime_id)
    .bind(now)
    .fetch_all(db)
    .await?;
    let line = |(host, last_seen_at, runs, flagged, unsteady): HostRow| HostLine {
        host,
        last_seen_at,
        runs,
        flagged,
        unsteady,
    };
    Ok(rows.into_iter().map(line).collect())
}

/// Stores a report. `false`: there is one of that day already, and it stays.
pub async fn insert(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    day: NaiveDate,
    facts: &Value,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO report (runtime_id, day, facts) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(runtime_id)
    .bind(day)
    .bind(facts)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A report by its runtime's key.
pub async fn find(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    day: NaiveDate,
) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar("SELECT facts FROM report WHERE runtime_id = $1 AND day = $2")
        .bind(runtime_id)
        .bind(day)
        .fetch_optional(db)
        .await
}

/// A report by its runtime's name.
pub async fn find_by_name(
    db: impl PgExecutor<'_>,
    runtime: &str,
    day: NaiveDate,
) -> sqlx::Result<Option<Value>> {
    sqlx::query_scalar(
        "SELECT facts FROM report JOIN runtime ON runtime.id = runtime_id WHERE runtime.name = $1 AND day = $2",
    )
    .bind(runtime)
    .bind(day)
    .fetch_optional(db)
    .await
}

/// The newest reports, of one runtime or of all: runtime, day, when it was made.
pub async fn list(
    db: impl PgExecutor<'_>,
    runtime: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<(String, NaiveDate, DateTime<Utc>, Value)>> {
    sqlx::query_as(
        "SELECT runtime.name, day, report.created_at, facts FROM report JOIN runtime ON runtime.id = runtime_id
         WHERE $1::text IS NULL OR runtime.name = $1 ORDER BY day DESC, ordinal, runtime.name LIMIT $2",
    )
    .bind(runtime)
    .bind(limit)
    .fetch_all(db)
    .await
}
