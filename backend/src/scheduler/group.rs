//! Makes regressions of change points: which suspicions to believe among the many series of a commit, which belong together, which have
//! come to nothing, and which are fixed. One transaction for each: safe to kill and to repeat.

use std::collections::BTreeSet;

use super::Outcome;
use crate::context::Context;
use crate::db::change_points::{self, Ungrouped};
use crate::db::grouping::{self, WithCulprit, rewritten};
use crate::db::regressions;
use crate::detection::discovery::discoveries;
use crate::domain::regression::{InvalidReason, SPEEDWELL, Transition, opens};
use crate::domain::sibling::are_siblings;

/// Change points in one pass, newest commits first.
const BATCH: i64 = 5_000;
/// Share of the suspicions that are measured again which may be chance.
const FALSE_DISCOVERIES: f64 = 0.05;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut notes = Vec::new();
    let points = change_points::list_ungrouped(&context.pool, BATCH).await?;
    let believed = believed(context, &points).await?;
    let opening = points
        .iter()
        .filter(|point| opens(&point.metric) && believed.contains(&point.id));
    for point in opening {
        let mut transaction = context.pool.begin().await?;
        let (id, new) = grouping::gather(&mut transaction, point).await?;
        transaction.commit().await?;
        if new {
            notes.push(format!("regression {id} suspected"));
        }
    }
    let evidence: Vec<i64> = points
        .iter()
        .filter(|point| !opens(&point.metric))
        .map(|point| point.id)
        .collect();
    grouping::attach_evidence(&context.pool, &evidence).await?;
    grouping::narrow_suspected(&context.pool).await?;
    notes.extend(place_again(context).await?);
    notes.extend(close(context).await?);
    notes.extend(follow(context).await?);
    link_siblings(context).await?;
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// The suspicions that hold against the number of series that were looked at with them: those of one runtime, host and commit.
async fn believed(context: &Context, points: &[Ungrouped]) -> sqlx::Result<BTreeSet<i64>> {
    let mut kept = BTreeSet::new();
    let family = |a: &Ungrouped, b: &Ungrouped| {
        (a.commit_id, a.runtime_id, a.host_id) == (b.commit_id, b.runtime_id, b.host_id)
    };
    for points in points.chunk_by(family) {
        let first = &points[0];
        let tests = change_points::count_judged(
            &context.pool,
            first.runtime_id,
            first.host_id,
            first.commit_id,
        )
        .await?;
        let chances: Vec<f64> = points.iter().map(|point| point.chance).collect();
        let found = discoveries(
            &chances,
            usize::try_from(tests).unwrap_or(0),
            FALSE_DISCOVERIES,
        );
        let believed = points.iter().zip(found).filter(|(_, found)| *found);
        kept.extend(believed.map(|(point, _)| point.id));
    }
    Ok(kept)
}

/// Follows regressions over force pushes: to where their change is seen now, or to their end.
async fn place_again(context: &Context) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for lost in rewritten::list_lost(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        rewritten::lose(&mut transaction, &lost).await?;
        transaction.commit().await?;
        notes.push(format!(
            "regression {}: its commit is off the branch",
            lost.id
        ));
    }
    for moved in rewritten::list_moved(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        rewritten::place(&mut transaction, &moved).await?;
        transaction.commit().await?;
        notes.push(format!("regression {} lies elsewhere now", moved.id));
    }
    for id in rewritten::list_taken_away(&context.pool).await? {
        let invalidate = Transition::Invalidate {
            reason: InvalidReason::Withdrawn,
        };
        let words = "a force push took its commits off the branch, and those in their place do not show the change";
        let mut transaction = context.pool.begin().await?;
        if regressions::transition(&mut transaction, id, &invalidate, SPEEDWELL, words).await? {
            notes.push(format!("regression {id} was taken away by a force push"));
        }
        transaction.commit().await?;
    }
    Ok(notes)
}

/// Ends the suspicions of which nothing is left.
async fn close(context: &Context) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for empty in grouping::list_empty(&context.pool).await? {
        let (reason, words) = if empty.refuted {
            (
                InvalidReason::NotConfirmed,
                "measured again, both sides did not differ",
            )
        } else {
            (
                InvalidReason::Withdrawn,
                "with more points the detector no longer sees it",
            )
        };
        let mut transaction = context.pool.begin().await?;
        let done = regressions::transition(
            &mut transaction,
            empty.id,
            &Transition::Invalidate { reason },
            SPEEDWELL,
            words,
        )
        .await?;
        transaction.commit().await?;
        if done {
            notes.push(format!(
                "regression {} is none: {}",
                empty.id,
                reason.as_str()
            ));
        }
    }
    Ok(notes)
}

/// Regressions whose series have returned are fixed, fixes that did not last are reopened.
async fn follow(context: &Context) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    for returned in grouping::list_returned(&context.pool).await? {
        let words = match returned.by {
            Some(other) => format!("its series are as before again: see {other}"),
            None => "its series are as before again".to_owned(),
        };
        let fix = Transition::Fix {
            commit_id: returned.commit_id,
        };
        let mut transaction = context.pool.begin().await?;
        if regressions::transition(&mut transaction, returned.id, &fix, SPEEDWELL, &words).await? {
            notes.push(format!("regression {} is fixed", returned.id));
        }
        transaction.commit().await?;
    }
    for again in grouping::list_come_back(&context.pool).await? {
        let words = match again.by {
            Some(other) => format!("its series changed as before once more: see {other}"),
            None => "its series changed as before once more".to_owned(),
        };
        let mut transaction = context.pool.begin().await?;
        let reopened = regressions::transition(
            &mut transaction,
            again.id,
            &Transition::Reopen,
            SPEEDWELL,
            &words,
        );
        if reopened.await? {
            notes.push(format!("regression {} is back", again.id));
        }
        transaction.commit().await?;
    }
    Ok(notes)
}

/// Links a regression to the oldest one of another branch whose commit is the same change.
async fn link_siblings(context: &Context) -> anyhow::Result<()> {
    // The oldest of each change; what is a sibling already has no siblings of its own.
    let mut originals: Vec<WithCulprit> = Vec::new();
    for one in grouping::list_with_culprit(&context.pool).await? {
        if one.sibling_of.is_some() {
            continue;
        }
        let older = originals.iter().find(|other| {
            other.repository_id == one.repository_id
                && other.branch_id != one.branch_id
                && other.better == one.better
                && are_siblings(&other.subject, &one.subject)
        });
        let Some(older) = older else {
            originals.push(one);
            continue;
        };
        let mut transaction = context.pool.begin().await?;
        grouping::set_sibling(&mut transaction, one.id, older.id).await?;
        transaction.commit().await?;
    }
    Ok(())
}
