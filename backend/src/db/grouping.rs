//! Which change points have one cause: the same branch and direction, and ranges of commits that overlap.

pub mod rewritten;

use sqlx::{PgConnection, PgExecutor};

use super::change_points::Ungrouped;
use super::regressions;
use crate::detection::Scale;
use crate::domain::regression::{EventKind, OPENING, SPEEDWELL};

fn opening() -> Vec<&'static str> {
    OPENING.map(|metric| metric.as_str()).to_vec()
}

/// What is added to the values of the same metrics before they are compared.
fn added() -> Vec<f64> {
    OPENING.map(|metric| Scale::of(metric).added).to_vec()
}

/// Puts a change point into the regression that it belongs to, or makes one of it; the regression's number, and whether it is new.
/// It belongs to one of its branch and direction whose range overlaps (holds the culprit, where that is known), and that has no other
/// step of the same series. Run it in a transaction.
pub async fn gather(db: &mut PgConnection, point: &Ungrouped) -> sqlx::Result<(i64, bool)> {
    let known: Option<i64> = sqlx::query_scalar(
        "SELECT regression.id FROM regression
         JOIN branch_commit before ON before.branch_id = regression.branch_id AND before.commit_id = before_commit_id
         JOIN branch_commit after ON after.branch_id = regression.branch_id AND after.commit_id = after_commit_id
         LEFT JOIN branch_commit culprit ON culprit.branch_id = regression.branch_id AND culprit.commit_id = culprit_commit_id
         WHERE regression.branch_id = $1 AND better = $2 AND state <> 'invalid'
           AND before.position < $4 AND $3 < after.position
           AND (culprit.position IS NULL OR (culprit.position > $3 AND culprit.position <= $4))
           AND NOT EXISTS (SELECT 1 FROM change_point WHERE regression_id = regression.id AND series_id = $5
                           AND change_point.state IN ('suspected', 'confirmed'))
         ORDER BY after.position - before.position, regression.id LIMIT 1 FOR UPDATE OF regression",
    )
    .bind(point.branch_id)
    .bind(point.better)
    .bind(point.before_position)
    .bind(point.after_position)
    .bind(point.series_id)
    .fetch_optional(&mut *db)
    .await?;
    let id = match known {
        Some(id) => id,
        None => sqlx::query_scalar(
            "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
                 VALUES ($1, $2, 'suspected', $3, $4) RETURNING id",
        )
        .bind(point.branch_id)
        .bind(point.better)
        .bind(point.before_commit_id)
        .bind(point.after_commit_id)
        .fetch_one(&mut *db)
        .await?,
    };
    sqlx::query(
        "UPDATE change_point SET regression_id = $2 WHERE id = $1 AND regression_id IS NULL",
    )
    .bind(point.id)
    .bind(id)
    .execute(&mut *db)
    .await?;
    let words = format!(
        "{} {} {:+.2} %",
        point.benchmark,
        point.metric,
        point.change * 100.0
    );
    let kind = if known.is_some() {
        EventKind::Changed
    } else {
        EventKind::Suspected
    };
    regressions::insert_event(&mut *db, id, SPEEDWELL, kind, &words).await?;
    Ok((id, known.is_none()))
}

/// Attaches steps of other metrics to the regression of the same runtime, host and benchmark whose range they overlap.
pub async fn attach_evidence(db: impl PgExecutor<'_>, ids: &[i64]) -> sqlx::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(
        "UPDATE change_point SET regression_id = found.regression_id FROM (
            SELECT DISTINCT ON (point.id) point.id, main.regression_id
            FROM change_point point JOIN series ON series.id = point.series_id JOIN runtime ON runtime.id = series.runtime_id
            JOIN series beside ON beside.runtime_id = series.runtime_id AND beside.host_id = series.host_id
                 AND beside.benchmark_id = series.benchmark_id AND beside.metric = ANY($2)
            JOIN change_point main ON main.series_id = beside.id AND main.regression_id IS NOT NULL
                 AND main.state IN ('suspected', 'confirmed')
            JOIN branch_commit before ON before.branch_id = runtime.branch_id AND before.commit_id = point.before_commit_id
            JOIN branch_commit after ON after.branch_id = runtime.branch_id AND after.commit_id = point.after_commit_id
            JOIN branch_commit main_before ON main_before.branch_id = runtime.branch_id
                 AND main_before.commit_id = main.before_commit_id
            JOIN branch_commit main_after ON main_after.branch_id = runtime.branch_id AND main_after.commit_id = main.after_commit_id
            WHERE point.id = ANY($1) AND point.regression_id IS NULL
              AND main_before.position < after.position AND before.position < main_after.position
            ORDER BY point.id, main.regression_id DESC) found
         WHERE change_point.id = found.id",
    )
    .bind(ids)
    .bind(opening())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Narrows the ranges of suspicions to what all of their change points allow, as more points come.
pub async fn narrow_suspected(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "UPDATE regression SET before_commit_id = narrow.before_commit_id, after_commit_id = narrow.after_commit_id
         FROM (
            SELECT regression.id, (array_agg(before.commit_id ORDER BY before.position DESC))[1] AS before_commit_id,
                   (array_agg(after.commit_id ORDER BY after.position))[1] AS after_commit_id
            FROM regression JOIN change_point point ON point.regression_id = regression.id AND point.state IN ('suspected', 'confirmed')
            JOIN series ON series.id = point.series_id AND metric = ANY($1)
            JOIN branch_commit before ON before.branch_id = regression.branch_id AND before.commit_id = point.before_commit_id
            JOIN branch_commit after ON after.branch_id = regression.branch_id AND after.commit_id = point.after_commit_id
            WHERE regression.state = 'suspected' GROUP BY regression.id
            HAVING max(before.position) < min(after.position)) narrow
         WHERE regression.id = narrow.id AND (regression.before_commit_id, regression.after_commit_id)
               IS DISTINCT FROM (narrow.before_commit_id, narrow.after_commit_id)",
    )
    .bind(opening())
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A suspicion without change points that open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Empty {
    /// The regression.
    pub id: i64,
    /// Whether measuring again ended it; else the detector took it back.
    pub refuted: bool,
}

/// Suspicions of which nothing is left, and what was confirmed before a force push and refuted after it.
pub async fn list_empty(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Empty>> {
    sqlx::query_as(
        "SELECT regression.id, coalesce(bool_or(point.state = 'refuted'), false) AS refuted
         FROM regression LEFT JOIN (change_point point JOIN series ON series.id = point.series_id AND metric = ANY($1))
              ON point.regression_id = regression.id
         WHERE regression.state IN ('suspected', 'confirmed') GROUP BY regression.id
         HAVING NOT coalesce(bool_or(point.state IN ('suspected', 'confirmed')), false)
            AND (regression.state = 'suspected' OR coalesce(bool_or(point.state = 'refuted'), false)) ORDER BY regression.id",
    )
    .bind(opening())
    .fetch_all(db)
    .await
}

/// A regression whose series have moved once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Moved {
    /// The regression.
    pub id: i64,
    /// Where they moved.
    pub commit_id: i64,
    /// The regression or improvement that this move is part of.
    pub by: Option<i64>,
}

/// Open, confirmed regressions of which every confirmed series was last confirmed to step back to the level before: less than half of
/// the change is left of it.
pub async fn list_returned(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Moved>> {
    sqlx::query_as(
        "SELECT regression.id, (array_agg(back.commit_id ORDER BY back.position DESC))[1] AS commit_id,
                (array_agg(back.regression_id ORDER BY back.position DESC))[1] AS by
         FROM regression JOIN change_point point ON point.regression_id = regression.id AND point.state = 'confirmed'
         JOIN series ON series.id = point.series_id
         JOIN unnest($1::text[], $2::float8[]) AS main (metric, added) ON main.metric = series.metric
         JOIN branch_commit place ON place.branch_id = regression.branch_id AND place.commit_id = point.commit_id
         LEFT JOIN LATERAL (
            SELECT later.*, later_place.position FROM change_point later
            JOIN branch_commit later_place ON later_place.branch_id = regression.branch_id AND later_place.commit_id = later.commit_id
            WHERE later.series_id = point.series_id AND later.state = 'confirmed' AND later_place.position > place.position
            ORDER BY later_place.position DESC LIMIT 1) last ON true
         LEFT JOIN LATERAL (SELECT last.commit_id, last.regression_id, last.position
            WHERE last.better <> point.better
              AND last.value + added > 0 AND point.baseline + added > 0 AND point.value + added > 0
              AND abs(ln((last.value + added) / (point.baseline + added)))
                  < abs(ln((point.value + added) / (point.baseline + added))) / 2) back ON true
         WHERE regression.state IN ('confirmed', 'bisecting', 'found', 'acknowledged')
         GROUP BY regression.id HAVING bool_and(back.commit_id IS NOT NULL) ORDER BY regression.id",
    )
    .bind(opening())
    .bind(added())
    .fetch_all(db)
    .await
}

/// Fixed regressions of which a series has a confirmed step, after the fix, in their direction and back to their level.
pub async fn list_come_back(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Moved>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (regression.id) regression.id, later.commit_id, later.regression_id AS by
         FROM regression JOIN change_point point ON point.regression_id = regression.id AND point.state = 'confirmed'
         JOIN series ON series.id = point.series_id
         JOIN unnest($1::text[], $2::float8[]) AS main (metric, added) ON main.metric = series.metric
         JOIN branch_commit fix ON fix.branch_id = regression.branch_id AND fix.commit_id = regression.fixed_commit_id
         JOIN change_point later ON later.series_id = point.series_id AND later.state = 'confirmed' AND later.better = point.better
              AND later.id <> point.id
         JOIN branch_commit later_place ON later_place.branch_id = regression.branch_id AND later_place.commit_id = later.commit_id
              AND later_place.position > fix.position
         WHERE regression.state = 'fixed' AND later.value + added > 0 AND point.baseline + added > 0 AND point.value + added > 0
           AND abs(ln((later.value + added) / (point.value + added))) < abs(ln((point.value + added) / (point.baseline + added))) / 2
         ORDER BY regression.id, later_place.position",
    )
    .bind(opening())
    .bind(added())
    .fetch_all(db)
    .await
}

/// A regression whose commit is known.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WithCulprit {
    /// Key.
    pub id: i64,
    /// Its repository.
    pub repository_id: i64,
    /// Its branch.
    pub branch_id: i64,
    /// Its direction.
    pub better: bool,
    /// Subject of its commit.
    pub subject: String,
    /// The one that it is a sibling of.
    pub sibling_of: Option<i64>,
}

/// Regressions of the last year whose commit is known, oldest first.
pub async fn list_with_culprit(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<WithCulprit>> {
    sqlx::query_as(
        "SELECT regression.id, commit.repository_id, branch_id, better, subject, sibling_of
         FROM regression JOIN commit ON commit.id = culprit_commit_id
         WHERE state <> 'invalid' AND regression.created_at > now() - interval '1 year' ORDER BY regression.id",
    )
    .fetch_all(db)
    .await
}

/// Notes that a regression is the same change as an older one on another branch.
pub async fn set_sibling(
    db: &mut PgConnection,
    regression_id: i64,
    sibling_of: i64,
) -> sqlx::Result<()> {
    let done = sqlx::query(
        "UPDATE regression SET sibling_of = $2, changed_at = now() WHERE id = $1 AND sibling_of IS NULL AND id <> $2",
    )
    .bind(regression_id)
    .bind(sibling_of)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let words = format!("the same change on another branch: see {sibling_of}");
    regressions::insert_event(db, regression_id, SPEEDWELL, EventKind::Changed, &words).await
}
