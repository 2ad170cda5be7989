//! Has both sides of suspected changes measured again, and draws the conclusion. One transaction for each step: a killed pass leaves
//! an open confirmation whose jobs are over, which the next pass takes up.

mod words;

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::Outcome;
use crate::context::Context;
use crate::db::change_points::{self, ChangePointState};
use crate::db::confirmations::{self, Measured, Side, Wanted, WarmupSide};
use crate::db::{holds, regressions};
use crate::detection::Scale;
use crate::detection::confirmation::{
    Decision, FEWEST_ROUNDS, MOST_ROUNDS, Suspicion, builds_of, decide,
};
use crate::domain::regression::{RegressionState, SPEEDWELL, Transition, opens};
use words::words;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut notes = Vec::new();
    for measured in confirmations::list_measured(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        notes.extend(conclude(&mut transaction, &measured).await?);
        transaction.commit().await?;
    }
    let wanted = confirmations::list_wanted(&context.pool).await?;
    let together = |a: &Wanted, b: &Wanted| {
        (a.regression_id, a.runtime_id, a.host_id) == (b.regression_id, b.runtime_id, b.host_id)
    };
    for group in wanted.chunk_by(together) {
        let mut transaction = context.pool.begin().await?;
        let builds = group
            .iter()
            .map(|one| builds_of(one.change.ln_1p(), one.rebuild_deviation, one.time_only));
        let builds = builds.max().unwrap_or(1);
        if let Some(id) = confirmations::insert(&mut transaction, group, builds).await? {
            for _ in 0..FEWEST_ROUNDS {
                confirmations::insert_round(&mut transaction, id).await?;
            }
            notes.push(format!(
                "confirmation {id} of regression {} begins",
                group[0].regression_id
            ));
        }
        transaction.commit().await?;
    }
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// What was decided about one change point.
struct Answer {
    change_point_id: i64,
    series_id: i64,
    /// Whether the confirmation goes on for its sake.
    opens: bool,
    decision: Decision,
    words: String,
}

/// Looks at the rounds that are over: ends the confirmation, or queues one more round.
async fn conclude(db: &mut PgConnection, measured: &Measured) -> sqlx::Result<Option<String>> {
    if measured.regression_state == RegressionState::Invalid.as_str() {
        let why = "the regression is none any more";
        confirmations::finish(db, measured.id, confirmations::Outcome::Abandoned, why).await?;
        return Ok(Some(format!("confirmation {} abandoned", measured.id)));
    }
    let sides = confirmations::list_sides(&mut *db, measured.id).await?;
    let warmups = confirmations::list_warmup_sides(&mut *db, measured.id).await?;
    let answers = answers(&sides, &warmups, measured);
    store(&mut *db, measured, &answers).await?;
    let message = message(&answers);
    let complete = answers.iter().any(|one| one.decision.evidence().pairs > 0);
    let rounds = usize::try_from(measured.rounds).unwrap_or(usize::MAX);
    let open = answers
        .iter()
        .any(|one| one.opens && matches!(one.decision, Decision::Open(_)));
    if open && complete && rounds < MOST_ROUNDS {
        confirmations::set_message(&mut *db, measured.id, &message).await?;
        confirmations::insert_round(&mut *db, measured.id).await?;
        return Ok(Some(format!(
            "confirmation {}: one more round",
            measured.id
        )));
    }
    let any = |wanted: fn(&Decision) -> bool| {
        answers.iter().any(|one| one.opens && wanted(&one.decision))
    };
    let outcome = if any(|decision| matches!(decision, Decision::Confirmed(_))) {
        confirmations::Outcome::Confirmed
    } else if !complete {
        confirmations::Outcome::Abandoned
    } else if any(|decision| matches!(decision, Decision::Undecided(_) | Decision::Open(_))) {
        confirmations::Outcome::Undecided
    } else {
        confirmations::Outcome::Refuted
    };
    let message = if complete {
        message
    } else {
        "no round has both sides: its jobs failed, or its change points are gone".to_owned()
    };
    confirmations::finish(&mut *db, measured.id, outcome, &message).await?;
    Ok(Some(format!(
        "confirmation {}: {}",
        measured.id,
        outcome.as_str()
    )))
}

/// Decides about each change point that has been measured.
fn answers(sides: &[Side], warmups: &[WarmupSide], measured: &Measured) -> Vec<Answer> {
    let of_point = sides.chunk_by(|a, b| a.change_point_id == b.change_point_id);
    let answer = |sides: &[Side]| {
        let first = &sides[0];
        let scale = Scale::named(&first.metric);
        let mut pairs: BTreeMap<i32, (f64, f64)> = (0..measured.rounds)
            .map(|round| (round, (f64::NAN, f64::NAN)))
            .collect();
        for side in sides {
            let pair = pairs.entry(side.round).or_insert((f64::NAN, f64::NAN));
            let place = if side.after { &mut pair.1 } else { &mut pair.0 };
            *place = scale.map_or(side.median.ln(), |scale| scale.logarithm(side.median));
        }
        let pairs: Vec<(f64, f64)> = pairs.into_values().collect();
        let suspicion = suspicion(first, scale);
        let decision = decide(&pairs, suspicion);
        Answer {
            change_point_id: first.change_point_id,
            series_id: first.series_id,
            opens: opens(&first.metric),
            words: words(sides, scale, &decision, warmups, measured),
            decision,
        }
    };
    of_point.map(answer).collect()
}

/// What is tested for.
fn suspicion(side: &Side, scale: Option<Scale>) -> Suspicion {
    let Some(scale) = scale else {
        return Suspicion {
            size: side.change.ln_1p(),
            noise: side.noise,
        };
    };
    let size = scale.difference(side.baseline, side.change);
    Suspicion {
        size,
        noise: scale.deviation(side.noise, size),
    }
}

fn message(answers: &[Answer]) -> String {
    let words: Vec<&str> = answers.iter().map(|one| one.words.as_str()).collect();
    words.join("; ")
}

/// Writes what was decided: of change points, of their verdicts' holds, of the regression.
async fn store(db: &mut PgConnection, measured: &Measured, answers: &[Answer]) -> sqlx::Result<()> {
    let with = |wanted: fn(&Decision) -> bool| -> Vec<i64> {
        let kept = answers.iter().filter(|one| wanted(&one.decision));
        kept.map(|one| one.change_point_id).collect()
    };
    let confirmed = with(|decision| matches!(decision, Decision::Confirmed(_)));
    let refuted = with(|decision| matches!(decision, Decision::Refuted(_)));
    change_points::set_state(&mut *db, &confirmed, ChangePointState::Confirmed).await?;
    change_points::set_state(&mut *db, &refuted, ChangePointState::Refuted).await?;
    for answer in answers {
        holds::update_series(&mut *db, answer.series_id).await?;
    }
    let shown: Vec<&str> = answers
        .iter()
        .filter(|one| one.opens && matches!(one.decision, Decision::Confirmed(_)))
        .map(|one| one.words.as_str())
        .collect();
    if !shown.is_empty() && measured.regression_state == RegressionState::Suspected.as_str() {
        regressions::transition(
            &mut *db,
            measured.regression_id,
            &Transition::Confirm,
            SPEEDWELL,
            &shown.join("; "),
        )
        .await?;
    }
    Ok(())
}
