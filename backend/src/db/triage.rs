//! What people decide about regressions. Each of these is run in one transaction, and writes the timeline with it.

use sqlx::PgConnection;

use super::jobs;
use super::regressions::{insert_event, transition};
use crate::domain::regression::{EventKind, InvalidReason, RegressionState, Transition};
use crate::domain::triage::Action;

/// How a decision ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the regression to look at now.
    Done(i64),
    /// There is no such regression.
    Unknown,
    /// It does not fit the present state: why, in words. Nothing was written.
    Refused(String),
}

fn refused(words: impl Into<String>) -> sqlx::Result<Outcome> {
    Ok(Outcome::Refused(words.into()))
}

/// A regression as decisions need it.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Standing {
    id: i64,
    branch_id: i64,
    better: bool,
    state: String,
    before_commit_id: i64,
    after_commit_id: i64,
    merged_into: Option<i64>,
    confirmed: bool,
}

impl Standing {
    fn state(&self) -> RegressionState {
        self.state.parse().unwrap_or(RegressionState::Invalid)
    }
}

/// Locks regressions in the order of their keys, so that two decisions never wait for each other.
async fn lock(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as(
        "SELECT id, branch_id, better, state, before_commit_id, after_commit_id, merged_into,
                EXISTS (SELECT 1 FROM regression_event WHERE regression_id = regression.id AND kind = $2) AS confirmed
         FROM regression WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(ids)
    .bind(EventKind::Confirmed.as_str())
    .fetch_all(db)
    .await
}

/// Does what somebody has decided.
pub async fn act(
    db: &mut PgConnection,
    id: i64,
    action: &Action,
    actor: &str,
    note: &str,
) -> sqlx::Result<Outcome> {
    if let Action::Merge { into } = action {
        return merge(db, id, *into, actor, note).await;
    }
    let Some(standing) = lock(db, &[id]).await?.pop() else {
        return Ok(Outcome::Unknown);
    };
    if let Some(other) = standing.merged_into {
        return refused(format!("#{id} is part of #{other}: decide there"));
    }
    let step = match action {
        Action::Note => {
            insert_event(&mut *db, id, actor, EventKind::Note, note).await?;
            return Ok(Outcome::Done(id));
        }
        Action::Split { points } => return split(db, &standing, points, actor, note).await,
        Action::Acknowledge { owner } => {
            let owner = owner.clone().unwrap_or_else(|| actor.to_owned());
            if standing.state() == RegressionState::Acknowledged {
                return hand_over(db, id, &owner, actor, note).await;
            }
            Transition::Acknowledge { owner }
        }
        Action::Accept => Transition::Accept,
        Action::Invalidate { reason } => Transition::Invalidate { reason: *reason },
        Action::Reopen if standing.state().is_open() => {
            return refused(format!("#{id} is open: it is {}", standing.state));
        }
        // What was never measured twice is measured again first.
        Action::Reopen if standing.confirmed => Transition::Reopen,
        Action::Reopen => Transition::Suspect,
        Action::Merge { .. } => return refused("a merge has two sides"),
    };
    let words = describe(&step, note);
    if transition(db, id, &step, actor, &words).await? {
        Ok(Outcome::Done(id))
    } else {
        refused(format!(
            "#{id} is {}: that does not lead to {}",
            standing.state,
            step.target(false).as_str()
        ))
    }
}

/// The line of the timeline: what was decided, then the words that came with it.
fn describe(step: &Transition, note: &str) -> String {
    let what = match step {
        Transition::Acknowledge { owner } => format!("{owner} takes it on"),
        Transition::Accept => "accepted: the new level is the baseline".to_owned(),
        Transition::Invalidate { reason } => format!("invalid: {}", reason.as_str()),
        Transition::Reopen => "reopened".to_owned(),
        Transition::Suspect => "reopened; it is measured again first".to_owned(),
        Transition::Confirm
        | Transition::Bisect
        | Transition::GiveUp
        | Transition::Find { .. }
        | Transition::Fix { .. } => step.event().as_str().to_owned(),
    };
    with_note(what, note)
}

fn with_note(what: String, note: &str) -> String {
    if note.is_empty() {
        what
    } else {
        format!("{what}. {note}")
    }
}

/// Another owner of one that has been taken on.
async fn hand_over(
    db: &mut PgConnection,
    id: i64,
    owner: &str,
    actor: &str,
    note: &str,
) -> sqlx::Result<Outcome> {
    sqlx::query("UPDATE regression SET owner = $2, changed_at = now() WHERE id = $1")
        .bind(id)
        .bind(owner)
        .execute(&mut *db)
        .await?;
    let words = with_note(format!("the owner is {owner} now"), note);
    insert_event(&mut *db, id, actor, EventKind::Note, &words).await?;
    Ok(Outcome::Done(id))
}

/// Makes one regression part of another on the same branch and in the same direction: its change points go over, its measuring
/// ends, and what referred to it refers to the other.
async fn merge(
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
    let points = sqlx::query("UPDATE change_point SET regression_id = $2, changed_at = now() WHERE regression_id = $1")
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
    insert_event(&mut *db, into, actor, EventKind::Merged, &with_note(count, note)).await?;
    Ok(Outcome::Done(into))
}

fn why_not_merge(from: &Standing, to: &Standing) -> Option<String> {
    if from.id == to.id {
        Some("a regression cannot be merged into itself".to_owned())
    } else if let Some(other) = from.merged_into {
        Some(format!("#{} is part of #{other} already", from.id))
    } else if let Some(other) = to.merged_into {
        Some(format!("#{} is part of #{other}: merge into that one", to.id))
    } else if from.branch_id != to.branch_id {
        Some("they are on different branches: the same change on another branch is a sibling".to_owned())
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

/// Takes change points out of a regression into a new one. It is confirmed when one of them is and the old one was; the commit
/// behind it is to be found anew.
async fn split(
    db: &mut PgConnection,
    from: &Standing,
    points: &[i64],
    actor: &str,
    note: &str,
) -> sqlx::Result<Outcome> {
    let id = from.id;
    if !from.state().is_open() {
        return refused(format!("#{id} is {}: reopen it first", from.state));
    }
    let own: Vec<i64> = sqlx::query_scalar("SELECT id FROM change_point WHERE regression_id = $1")
        .bind(id)
        .fetch_all(&mut *db)
        .await?;
    if let Some(strange) = points.iter().find(|point| !own.contains(point)) {
        return refused(format!("change point {strange} does not belong to #{id}"));
    }
    if own.iter().all(|point| points.contains(point)) {
        return refused("at least one change point has to stay");
    }
    let was_confirmed = from.state().is_confirmed();
    let new: (i64, bool) = sqlx::query_as(
        "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
         SELECT $2, $3, CASE WHEN $4 AND bool_or(point.state = 'confirmed') THEN 'confirmed' ELSE 'suspected' END,
            -- The narrowest range that they share; where they share none, that of the one which is placed best.
            (array_agg(point.before_commit_id ORDER BY low.position DESC NULLS LAST, placed DESC))[1],
            (array_agg(point.after_commit_id ORDER BY
                CASE WHEN high.position > (SELECT max(position) FROM branch_commit JOIN change_point one
                        ON one.before_commit_id = commit_id WHERE branch_id = $2 AND one.id = ANY($1))
                     THEN high.position END ASC NULLS LAST, placed DESC))[1]
         FROM change_point point
         LEFT JOIN branch_commit low ON low.branch_id = $2 AND low.commit_id = point.before_commit_id
         LEFT JOIN branch_commit high ON high.branch_id = $2 AND high.commit_id = point.after_commit_id
         WHERE point.id = ANY($1)
         RETURNING id, state = 'confirmed'",
    )
    .bind(points)
    .bind(from.branch_id)
    .bind(from.better)
    .bind(was_confirmed)
    .fetch_one(&mut *db)
    .await?;
    let (new, confirmed) = new;
    sqlx::query("UPDATE change_point SET regression_id = $2, changed_at = now() WHERE id = ANY($1)")
        .bind(points)
        .bind(new)
        .execute(&mut *db)
        .await?;
    sqlx::query("UPDATE regression SET changed_at = now() WHERE id = $1")
        .bind(id)
        .execute(&mut *db)
        .await?;
    let count = points.len();
    let plural = if count == 1 { "" } else { "s" };
    let words = format!("{count} change point{plural} went to #{new}");
    insert_event(&mut *db, id, actor, EventKind::Split, &with_note(words, note)).await?;
    let words = format!("split from #{id} with {count} change point{plural}");
    insert_event(&mut *db, new, actor, EventKind::Split, &with_note(words, note)).await?;
    if confirmed {
        let words = format!("confirmed as part of #{id}");
        insert_event(&mut *db, new, actor, EventKind::Confirmed, &words).await?;
    }
    Ok(Outcome::Done(new))
}

/// Counts of decisions about regressions that people were told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Decisions {
    /// Told of, and not part of another.
    pub told: i64,
    /// Of these, decided: taken on, fixed, accepted, or said to be none.
    pub decided: i64,
    /// Of these, said to be noise.
    pub noise: i64,
    /// Of these, said to be the host's.
    pub infrastructure: i64,
    /// Suspicions that the second measurement did not show: nobody was told.
    pub not_confirmed: i64,
}

/// What people have decided so far.
pub async fn count_decisions(db: impl sqlx::PgExecutor<'_>) -> sqlx::Result<Decisions> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE told) AS told,
                count(*) FILTER (WHERE told AND (state IN ('acknowledged', 'fixed', 'accepted')
                                                 OR invalid_reason IN ('noise', 'infrastructure'))) AS decided,
                count(*) FILTER (WHERE told AND invalid_reason = 'noise') AS noise,
                count(*) FILTER (WHERE told AND invalid_reason = 'infrastructure') AS infrastructure,
                count(*) FILTER (WHERE NOT told AND invalid_reason = 'not_confirmed') AS not_confirmed
         FROM (SELECT state, invalid_reason,
                      EXISTS (SELECT 1 FROM regression_event WHERE regression_id = regression.id AND kind = 'confirmed') AS told
               FROM regression WHERE merged_into IS NULL) regression",
    )
    .fetch_one(db)
    .await
}
