//! What people decide about regressions. Each of these is run in one transaction, and writes the timeline with it.

mod merge;

use sqlx::PgConnection;

use super::regressions::{insert_event, transition};
use crate::domain::regression::{EventKind, RegressionState, Transition};
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
        return merge::merge(db, id, *into, actor, note).await;
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
        | Transition::CancelSearch
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

/// Makes a regression of some change points of another, with the narrowest range that they share; its number, and whether it is
/// confirmed.
async fn insert_part(
    db: &mut PgConnection,
    from: &Standing,
    points: &[i64],
) -> sqlx::Result<(i64, bool)> {
    sqlx::query_as(
        "WITH chosen AS (
            SELECT point.state, point.before_commit_id, point.after_commit_id, placed, low.position AS low, high.position AS high
            FROM change_point point
            LEFT JOIN branch_commit low ON low.branch_id = $2 AND low.commit_id = point.before_commit_id
            LEFT JOIN branch_commit high ON high.branch_id = $2 AND high.commit_id = point.after_commit_id
            WHERE point.id = ANY($1))
         INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
         SELECT $2, $3, CASE WHEN $4::boolean AND (SELECT bool_or(state = 'confirmed') FROM chosen) THEN 'confirmed'
                        ELSE 'suspected' END,
            -- The narrowest range that they share.
            (SELECT before_commit_id FROM chosen ORDER BY low DESC NULLS LAST, placed DESC LIMIT 1),
            (SELECT after_commit_id FROM chosen
             ORDER BY high > (SELECT max(low) FROM chosen) DESC NULLS LAST, high, placed DESC LIMIT 1)
         RETURNING id, state = 'confirmed'",
    )
    .bind(points)
    .bind(from.branch_id)
    .bind(from.better)
    .bind(from.state().is_confirmed())
    .fetch_one(db)
    .await
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
    let (new, confirmed) = insert_part(&mut *db, from, points).await?;
    sqlx::query(
        "UPDATE change_point SET regression_id = $2, changed_at = now() WHERE id = ANY($1)",
    )
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
    insert_event(
        &mut *db,
        id,
        actor,
        EventKind::Split,
        &with_note(words, note),
    )
    .await?;
    let words = format!("split from #{id} with {count} change point{plural}");
    insert_event(
        &mut *db,
        new,
        actor,
        EventKind::Split,
        &with_note(words, note),
    )
    .await?;
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
