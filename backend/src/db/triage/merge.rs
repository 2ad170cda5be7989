//! Making one regression part of another.

use sqlx::PgConnection;

use super::{Outcome, Standing, lock, refused, with_note};
use crate::db::jobs;
use crate::db::regressions::insert_event;
use crate::domain::regression::{EventKind, InvalidReason, RegressionState};

/// Makes one regression part of another on the same branch and in the same direction: its change points go over, its measuring
/// ends, and what referred to it refers to the other.
pub(super) async fn merge(
    db: &mut PgConnection,
    id: i64,
    into: i64,
    actor: &str,
    note: &str,
) -> sqlx::Result<Outcome> {
    let both = lock(db, &[id, into]).await?;
    let Some(from) = both.iter().find(|one| one.id == id) else {
        return Ok(Outcome::Unknown);
    };
    let Some(to) = both.iter().find(|one| one.id == into) else {
        return refused(format!("there is no regression #{into}"));
    };
    if let Some(words) = why_not_merge(from, to) {
        return refused(words);
    }
    let points = sqlx::query(
        "UPDATE change_point SET regression_id = $2, changed_at = now() WHERE regression_id = $1",
    )
    .bind(id)
    .bind(into)
    .execute(&mut *db)
    .await?
    .rows_affected();
    // Together, so that a reader who follows the reference always finds it.
    sqlx::query(
        "UPDATE regression SET state = $3, invalid_reason = $4, merged_into = $2, fixed_commit_id = NULL, changed_at = now()
         WHERE id = $1",
    )
    .bind(id)
    .bind(into)
    .bind(RegressionState::Invalid.as_str())
    .bind(InvalidReason::Merged.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE regression SET merged_into = CASE WHEN merged_into = $1 THEN $2 ELSE merged_into END,
                sibling_of = CASE WHEN sibling_of = $1 THEN nullif($2, id) ELSE sibling_of END
         WHERE merged_into = $1 OR sibling_of = $1",
    )
    .bind(id)
    .bind(into)
    .execute(&mut *db)
    .await?;
    end_confirmations(db, id, actor).await?;
    let narrowed = narrow(db, from, to).await?;
    let words = with_note(format!("merged into #{into}"), note);
    insert_event(&mut *db, id, actor, EventKind::Merged, &words).await?;
    let count = format!(
        "#{id} was merged into this one, with {points} change point{}{}",
        if points == 1 { "" } else { "s" },
        if narrowed {
            "; the range of commits is narrower now"
        } else {
            ""
        }
    );
    insert_event(
        &mut *db,
        into,
        actor,
        EventKind::Merged,
        &with_note(count, note),
    )
    .await?;
    Ok(Outcome::Done(into))
}

fn why_not_merge(from: &Standing, to: &Standing) -> Option<String> {
    if from.id == to.id {
        Some("a regression cannot be merged into itself".to_owned())
    } else if let Some(other) = from.merged_into {
        Some(format!("#{} is part of #{other} already", from.id))
    } else if let Some(other) = to.merged_into {
        Some(format!(
            "#{} is part of #{other}: merge into that one",
            to.id
        ))
    } else if from.branch_id != to.branch_id {
        Some(
            "they are on different branches: the same change on another branch is a sibling"
                .to_owned(),
        )
    } else if from.better != to.better {
        Some("one is better, the other worse".to_owned())
    } else if to.state() == RegressionState::Invalid {
        Some(format!("#{} is invalid: reopen it first", to.id))
    } else if from.state().is_confirmed() && !to.state().is_confirmed() {
        Some(format!(
            "#{} is confirmed and #{} is not: merge the suspected one into the confirmed one",
            from.id, to.id
        ))
    } else {
        None
    }
}

/// What it was being measured for is measured for the other; jobs that wait are taken back.
async fn end_confirmations(db: &mut PgConnection, id: i64, actor: &str) -> sqlx::Result<()> {
    let jobs: Vec<i64> = sqlx::query_scalar(
        "SELECT job.id FROM job JOIN confirmation ON confirmation.id = confirmation_id
         WHERE regression_id = $1 AND confirmation.state = 'measuring' AND job.state IN ('queued', 'running')
         ORDER BY job.id",
    )
    .bind(id)
    .fetch_all(&mut *db)
    .await?;
    for job in jobs {
        jobs::cancel(db, job, actor).await?;
    }
    sqlx::query(
        "UPDATE confirmation SET state = 'abandoned', finished_at = now(), message = 'its regression was merged into another'
         WHERE regression_id = $1 AND state = 'measuring'",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(())
}

/// One cause lies in both ranges. A range is left alone once a search goes on in it or has ended, when the two do not overlap (one
/// of them is not placed well), or when a force push has removed an end.
async fn narrow(db: &mut PgConnection, from: &Standing, to: &Standing) -> sqlx::Result<bool> {
    let may = matches!(
        to.state(),
        RegressionState::Suspected | RegressionState::Confirmed
    );
    if !may {
        return Ok(false);
    }
    let done = sqlx::query(
        "WITH place AS (SELECT position, commit_id FROM branch_commit WHERE branch_id = $2),
              ends AS (
                SELECT max(position) FILTER (WHERE commit_id IN ($3, $4)) AS low,
                       min(position) FILTER (WHERE commit_id IN ($5, $6)) AS high,
                       count(*) FILTER (WHERE commit_id IN ($3, $4)) = (SELECT count(DISTINCT c) FROM unnest(ARRAY[$3, $4]) c)
                       AND count(*) FILTER (WHERE commit_id IN ($5, $6)) = (SELECT count(DISTINCT c) FROM unnest(ARRAY[$5, $6]) c)
                       AS whole
                FROM place WHERE commit_id IN ($3, $4, $5, $6))
         UPDATE regression SET before_commit_id = low.commit_id, after_commit_id = high.commit_id, changed_at = now()
         FROM ends JOIN place low ON low.position = ends.low JOIN place high ON high.position = ends.high
         WHERE regression.id = $1 AND whole AND ends.low < ends.high
           AND (before_commit_id, after_commit_id) IS DISTINCT FROM (low.commit_id, high.commit_id)",
    )
    .bind(to.id)
    .bind(to.branch_id)
    .bind(from.before_commit_id)
    .bind(to.before_commit_id)
    .bind(from.after_commit_id)
    .bind(to.after_commit_id)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
