//! Regressions whose commits a force push took off their branch.

use sqlx::{PgConnection, PgExecutor};

use super::opening;
use crate::db::regressions;
use crate::domain::regression::{EventKind, SPEEDWELL};

/// A regression that lies elsewhere now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Moved {
    /// The regression.
    pub id: i64,
    /// The last commit that is as before.
    pub before_commit_id: i64,
    /// The first that is known to be changed.
    pub after_commit_id: i64,
}

/// Regressions without a known commit of whose range an end is off the branch, with the range that their change points have on it now.
pub async fn list_moved(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Moved>> {
    sqlx::query_as(
        "SELECT regression.id, (array_agg(before.commit_id ORDER BY before.position DESC))[1] AS before_commit_id,
                (array_agg(after.commit_id ORDER BY after.position))[1] AS after_commit_id
         FROM regression JOIN change_point point ON point.regression_id = regression.id AND point.state IN ('suspected', 'confirmed')
         JOIN series ON series.id = point.series_id AND metric = ANY($1)
         JOIN branch_commit before ON before.branch_id = regression.branch_id AND before.commit_id = point.before_commit_id
         JOIN branch_commit after ON after.branch_id = regression.branch_id AND after.commit_id = point.after_commit_id
         WHERE regression.state IN ('confirmed', 'bisecting', 'acknowledged') AND culprit_commit_id IS NULL
           AND 2 > (SELECT count(*) FROM branch_commit place WHERE place.branch_id = regression.branch_id
                    AND place.commit_id IN (regression.before_commit_id, regression.after_commit_id))
         GROUP BY regression.id HAVING max(before.position) < min(after.position) ORDER BY regression.id",
    )
    .bind(opening())
    .fetch_all(db)
    .await
}

/// Gives a regression its range on the branch as it is now. Run it in a transaction.
pub async fn place(db: &mut PgConnection, moved: &Moved) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE regression SET before_commit_id = $2, after_commit_id = $3, changed_at = now() WHERE id = $1",
    )
    .bind(moved.id)
    .bind(moved.before_commit_id)
    .bind(moved.after_commit_id)
    .execute(&mut *db)
    .await?;
    let words = "a force push took its commits off the branch; the same change is seen on the branch as it is now, and is measured again there";
    regressions::insert_event(db, moved.id, SPEEDWELL, EventKind::Changed, words).await
}

/// A regression whose known commit a force push took off its branch.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Lost {
    /// The regression.
    pub id: i64,
    /// Key of the commit.
    pub culprit_commit_id: i64,
    /// Its hash.
    pub hash: String,
}

/// Regressions that a person may still act on, with a known commit that is no longer on their branch.
pub async fn list_lost(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Lost>> {
    sqlx::query_as(
        "SELECT regression.id, culprit_commit_id, commit.hash FROM regression JOIN branch ON branch.id = regression.branch_id
         JOIN commit ON commit.id = culprit_commit_id
         WHERE regression.state IN ('found', 'acknowledged') AND rewritten_at IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM branch_commit place WHERE place.branch_id = regression.branch_id
                           AND place.commit_id = culprit_commit_id)
         ORDER BY regression.id",
    )
    .fetch_all(db)
    .await
}

/// Forgets the commit of a regression: what stands in its place is to be found. Run it in a transaction.
pub async fn lose(db: &mut PgConnection, lost: &Lost) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE regression SET culprit_commit_id = NULL, state = CASE state WHEN 'found' THEN 'confirmed' ELSE state END, changed_at = now()
         WHERE id = $1 AND culprit_commit_id = $2",
    )
    .bind(lost.id)
    .bind(lost.culprit_commit_id)
    .execute(&mut *db)
    .await?;
    let words = format!(
        "a force push took commit {} off the branch; the change is looked for among the commits that are there now",
        lost.hash
    );
    regressions::insert_event(db, lost.id, SPEEDWELL, EventKind::Changed, &words).await
}

/// Commits that must have been measured since a force push before it is told to have taken a change away.
const MEASURED: i64 = 3;

/// Regressions without a known commit whose confirmed change points are all off the branch, and of whose series enough commits were measured
/// since the force push without the detector seeing the change there.
pub async fn list_taken_away(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT regression.id FROM regression JOIN branch ON branch.id = regression.branch_id
         JOIN change_point point ON point.regression_id = regression.id AND point.state IN ('suspected', 'confirmed')
         JOIN series ON series.id = point.series_id AND metric = ANY($1)
         WHERE regression.state IN ('confirmed', 'acknowledged') AND culprit_commit_id IS NULL AND rewritten_at IS NOT NULL
         GROUP BY regression.id HAVING bool_and(
            EXISTS (SELECT 1 FROM unnest(ARRAY[point.before_commit_id, point.commit_id, point.after_commit_id]) AS own (commit_id)
                    WHERE NOT EXISTS (SELECT 1 FROM branch_commit place WHERE place.branch_id = regression.branch_id
                                      AND place.commit_id = own.commit_id))
            AND series.detected_at >= series.changed_at
            AND $2 <= (SELECT count(DISTINCT measurement.commit_id) FROM measurement WHERE measurement.series_id = series.id
                       AND position IS NOT NULL AND measured_at > rewritten_at))
         ORDER BY regression.id",
    )
    .bind(opening())
    .bind(MEASURED)
    .fetch_all(db)
    .await
}
