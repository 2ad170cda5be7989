//! Regressions and their timelines. A state changes only here, with its event in the same transaction.

use sqlx::{PgConnection, PgExecutor};

use crate::domain::regression::{EventKind, RegressionState, Transition};

/// What a change of state starts from.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Standing {
    state: String,
    culprit_commit_id: Option<i64>,
}

/// Moves a regression on and writes the line of its timeline; run it in a transaction. `false`: there is none, or its present
/// state does not lead there (another has been quicker), and nothing is written. Somebody who has taken a regression on keeps it
/// while its search goes on: then only what was found is noted.
pub async fn transition(
    db: &mut PgConnection,
    regression_id: i64,
    transition: &Transition,
    actor: &str,
    message: &str,
) -> sqlx::Result<bool> {
    let standing: Option<Standing> =
        sqlx::query_as("SELECT state, culprit_commit_id FROM regression WHERE id = $1 FOR UPDATE")
            .bind(regression_id)
            .fetch_optional(&mut *db)
            .await?;
    let Some(standing) = standing else {
        return Ok(false);
    };
    let Ok(present) = standing.state.parse::<RegressionState>() else {
        return Ok(false);
    };
    let mut next = transition.target(standing.culprit_commit_id.is_some());
    let searched = matches!(
        transition,
        Transition::Bisect
            | Transition::Find { .. }
            | Transition::GiveUp
            | Transition::CancelSearch
    );
    if present == RegressionState::Acknowledged && searched {
        next = present;
    } else if !present.may_become(next) {
        return Ok(false);
    }
    let (culprit, owner, fixed, reason) = match transition {
        Transition::Find { culprit_commit_id } => (Some(*culprit_commit_id), None, None, None),
        Transition::Acknowledge { owner } => (None, Some(owner.as_str()), None, None),
        Transition::Fix { commit_id } => (None, None, Some(*commit_id), None),
        Transition::Invalidate { reason } => (None, None, None, Some(reason.as_str())),
        Transition::Confirm
        | Transition::Bisect
        | Transition::GiveUp
        | Transition::CancelSearch
        | Transition::Reopen
        | Transition::Accept
        | Transition::Suspect => (None, None, None, None),
    };
    sqlx::query(
        "UPDATE regression SET state = $2, culprit_commit_id = coalesce($3, culprit_commit_id), owner = coalesce($4, owner),
                fixed_commit_id = $5, invalid_reason = $6, changed_at = now() WHERE id = $1",
    )
    .bind(regression_id)
    .bind(next.as_str())
    .bind(culprit)
    .bind(owner)
    .bind(fixed)
    .bind(reason)
    .execute(&mut *db)
    .await?;
    insert_event(&mut *db, regression_id, actor, transition.event(), message).await?;
    Ok(true)
}

/// Adds a line to a timeline.
pub async fn insert_event(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    actor: &str,
    kind: EventKind,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO regression_event (regression_id, actor, kind, message) VALUES ($1, $2, $3, $4)",
    )
    .bind(regression_id)
    .bind(actor)
    .bind(kind.as_str())
    .bind(message)
    .execute(db)
    .await
    .map(drop)
}
