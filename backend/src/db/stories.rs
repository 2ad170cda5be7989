//! Regressions as messages and feeds tell them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::regression::{EventKind, RegressionState};
use crate::domain::telling::{Change, CommitLine, Story};

#[derive(Debug, Clone, sqlx::FromRow)]
struct EventRow {
    event_id: i64,
    kind: String,
    at: DateTime<Utc>,
    message: String,
    regression_id: i64,
    better: bool,
    state: String,
    repository: String,
    commit_url: Option<String>,
    branch: String,
    before_commit_id: i64,
    after_commit_id: i64,
    culprit_commit_id: Option<i64>,
    fixed_commit_id: Option<i64>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct CommitRow {
    id: i64,
    hash: String,
    subject: String,
    author_name: String,
    author_email: String,
    committer_email: String,
    committed_at: DateTime<Utc>,
    paths: Vec<String>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
struct ChangeRow {
    regression_id: i64,
    series_id: i64,
    runtime: String,
    benchmark: String,
    metric: String,
    host: String,
    change: f64,
    low: f64,
    high: f64,
}

/// The stories of events, in the order of the events' keys. Those of a kind that this version does not know are left out.
pub async fn list(db: &mut PgConnection, events: &[i64]) -> sqlx::Result<Vec<Story>> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "SELECT event.id AS event_id, event.kind, event.at, event.message, regression.id AS regression_id, regression.better,
                regression.state, repository.name AS repository, repository.commit_url, branch.name AS branch,
                before_commit_id, after_commit_id, culprit_commit_id, fixed_commit_id
         FROM regression_event event JOIN regression ON regression.id = event.regression_id
         JOIN branch ON branch.id = regression.branch_id JOIN repository ON repository.id = branch.repository_id
         WHERE event.id = ANY($1) ORDER BY event.id",
    )
    .bind(events)
    .fetch_all(&mut *db)
    .await?;
    let regressions: Vec<i64> = rows.iter().map(|row| row.regression_id).collect();
    let commits = commits(&mut *db, &rows).await?;
    let changes = changes(&mut *db, &regressions).await?;
    let confirmations = confirmations(&mut *db, &regressions).await?;
    let explanations = explanations(db, &regressions).await?;
    let story = |row: EventRow| {
        let commit = |id: i64| commits.get(&id).cloned();
        let mut story = Story {
            event_id: row.event_id,
            kind: row.kind.parse::<EventKind>().ok()?,
            at: row.at,
            message: row.message,
            regression_id: row.regression_id,
            better: row.better,
            // What this version does not know is told to nobody.
            state: row.state.parse().unwrap_or(RegressionState::Invalid),
            repository: row.repository,
            commit_url: row.commit_url,
            branch: row.branch,
            before: commit(row.before_commit_id)?,
            after: commit(row.after_commit_id)?,
            culprit: row.culprit_commit_id.and_then(commit),
            fixed: row.fixed_commit_id.and_then(commit),
            changes: changes.get(&row.regression_id).cloned().unwrap_or_default(),
            confirmations: confirmations
                .get(&row.regression_id)
                .cloned()
                .unwrap_or_default(),
            explanation: explanations.get(&row.regression_id).cloned(),
        };
        story.order_changes();
        Some(story)
    };
    Ok(rows.into_iter().filter_map(story).collect())
}

async fn commits(
    db: impl PgExecutor<'_>,
    rows: &[EventRow],
) -> sqlx::Result<HashMap<i64, CommitLine>> {
    let ids: Vec<i64> = rows
        .iter()
        .flat_map(|row| {
            let known = [row.culprit_commit_id, row.fixed_commit_id];
            [row.before_commit_id, row.after_commit_id]
                .into_iter()
                .chain(known.into_iter().flatten())
        })
        .collect();
    let found: Vec<CommitRow> = sqlx::query_as(
        "SELECT id, hash, subject, author_name, author_email, coalesce(committer_email, '') AS committer_email,
                committed_at, coalesce(touched_paths, '{}') AS paths
         FROM commit WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(db)
    .await?;
    let line = |row: CommitRow| {
        let line = CommitLine {
            hash: row.hash,
            subject: row.subject,
            author_name: row.author_name,
            author_email: row.author_email,
            committer_email: row.committer_email,
            committed_at: row.committed_at,
            paths: row.paths,
        };
        (row.id, line)
    };
    Ok(found.into_iter().map(line).collect())
}

async fn changes(
    db: impl PgExecutor<'_>,
    regressions: &[i64],
) -> sqlx::Result<HashMap<i64, Vec<Change>>> {
    let found: Vec<ChangeRow> = sqlx::query_as(
        "SELECT point.regression_id, series.id AS series_id, runtime.name AS runtime, benchmark.name AS benchmark, metric,
                host.name AS host, change, change_low AS low, change_high AS high
         FROM change_point point JOIN series ON series.id = series_id JOIN runtime ON runtime.id = runtime_id
         JOIN benchmark ON benchmark.id = benchmark_id JOIN host ON host.id = host_id
         WHERE point.regression_id = ANY($1) AND point.state = 'confirmed'",
    )
    .bind(regressions)
    .fetch_all(db)
    .await?;
    let mut all: HashMap<i64, Vec<Change>> = HashMap::new();
    for row in found {
        all.entry(row.regression_id).or_default().push(Change {
            series_id: row.series_id,
            runtime: row.runtime,
            benchmark: row.benchmark,
            metric: row.metric,
            host: row.host,
            change: row.change,
            low: row.low,
            high: row.high,
        });
    }
    Ok(all)
}

async fn confirmations(
    db: impl PgExecutor<'_>,
    regressions: &[i64],
) -> sqlx::Result<HashMap<i64, Vec<String>>> {
    let found: Vec<(i64, String)> = sqlx::query_as(
        "SELECT regression_id, runtime.name || ' on ' || host.name || ', ' || rounds || ' rounds: ' || message
         FROM confirmation JOIN runtime ON runtime.id = runtime_id JOIN host ON host.id = host_id
         WHERE regression_id = ANY($1) AND state = 'confirmed' ORDER BY confirmation.id",
    )
    .bind(regressions)
    .fetch_all(db)
    .await?;
    let mut all: HashMap<i64, Vec<String>> = HashMap::new();
    for (regression, words) in found {
        all.entry(regression).or_default().push(words);
    }
    Ok(all)
}

async fn explanations(
    db: impl PgExecutor<'_>,
    regressions: &[i64],
) -> sqlx::Result<HashMap<i64, String>> {
    let found: Vec<(i64, String)> = sqlx::query_as(
        "SELECT DISTINCT ON (regression_id) regression_id, message FROM regression_event
         WHERE regression_id = ANY($1) AND kind = $2 AND message <> '' ORDER BY regression_id, id DESC",
    )
    .bind(regressions)
    .bind(EventKind::Explained.as_str())
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().collect())
}

/// The newest told events of confirmed regressions that concern a runtime or a benchmark, newest first: for feeds.
pub async fn list_newest(
    db: impl PgExecutor<'_>,
    runtime: Option<&str>,
    benchmark: Option<&str>,
    kinds: &[&str],
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT event.id FROM regression_event event JOIN regression ON regression.id = event.regression_id
         WHERE event.kind = ANY($3) AND regression.state NOT IN ('suspected', 'invalid') AND EXISTS (
            SELECT 1 FROM change_point point JOIN series ON series.id = series_id JOIN runtime ON runtime.id = runtime_id
            JOIN benchmark ON benchmark.id = benchmark_id
            WHERE point.regression_id = regression.id AND point.state = 'confirmed'
              AND ($1::text IS NULL OR runtime.name = $1) AND ($2::text IS NULL OR benchmark.name = $2))
         ORDER BY event.id DESC LIMIT $4",
    )
    .bind(runtime)
    .bind(benchmark)
    .bind(kinds)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A point of the chart of a mail.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct ChartPoint {
    /// Branch position.
    pub position: i32,
    /// Median, in the metric's unit.
    pub median: f64,
    /// 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Points of another environment are another stretch.
    pub environment_id: i64,
}

/// Where a regression's series is drawn: the positions of its last good and its first changed commit (of the culprit, when it is
/// known), and the level before. `None` when a force push took one of them off the branch.
pub async fn find_range(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    series_id: i64,
) -> sqlx::Result<Option<(i32, i32, f64)>> {
    sqlx::query_as(
        "SELECT before.position, after.position, point.baseline
         FROM regression JOIN change_point point ON point.regression_id = regression.id AND point.series_id = $2
         JOIN branch_commit before ON before.branch_id = regression.branch_id AND before.commit_id = regression.before_commit_id
         JOIN branch_commit after ON after.branch_id = regression.branch_id
              AND after.commit_id = coalesce(regression.culprit_commit_id, regression.after_commit_id)
         WHERE regression.id = $1 AND point.state = 'confirmed' ORDER BY point.id LIMIT 1",
    )
    .bind(regression_id)
    .bind(series_id)
    .fetch_optional(db)
    .await
}

/// The points of a series about a range, oldest first: at most `limit` on each side of its end.
pub async fn list_points(
    db: impl PgExecutor<'_>,
    series_id: i64,
    end: i32,
    limit: i64,
) -> sqlx::Result<Vec<ChartPoint>> {
    sqlx::query_as(
        "SELECT * FROM (
            (SELECT position, median, interval_low AS low, interval_high AS high, environment_id, id FROM measurement
             WHERE series_id = $1 AND position < $2 ORDER BY position DESC, id DESC LIMIT $3)
            UNION ALL
            (SELECT position, median, interval_low, interval_high, environment_id, id FROM measurement
             WHERE series_id = $1 AND position >= $2 ORDER BY position, id LIMIT $3)) both_sides
         ORDER BY position, id",
    )
    .bind(series_id)
    .bind(end)
    .bind(limit)
    .fetch_all(db)
    .await
}
