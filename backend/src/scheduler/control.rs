//! Controls: queues them by their schedule on every host of their classes, holds changes back while one differs, and begins a
//! host's epoch when it has moved.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use speedwell_wire::{Direction, Metric};
use sqlx::PgConnection;

use super::Outcome;
use crate::config::RuntimeConfig;
use crate::context::Context;
use crate::db::controls::{self, ControlToJudge, ControlValue};
use crate::db::{enqueue, holds};
use crate::detection::control::{ControlRun, Standing, find_move, standing};

/// Newest runs of a control that are read; an epoch rarely has more, and older ones are beyond the window anyway.
const RUNS: i64 = 200;

/// Queues a control where it is due; how many jobs. Part of the enqueue tick.
pub(super) async fn enqueue(
    context: &Context,
    runtime_id: i64,
    settings: &RuntimeConfig,
) -> anyhow::Result<usize> {
    let commit = match &settings.pinned {
        None => controls::find_head(&context.pool, runtime_id).await?,
        Some(name) => {
            let found = enqueue::find_commits(&context.pool, runtime_id, name).await?;
            if found.len() > 1 {
                tracing::warn!("{}: several commits begin with {name}", settings.name);
            }
            // None yet: the repository has not been fetched.
            found
                .first()
                .filter(|_| found.len() == 1)
                .map(|(id, _)| *id)
        }
    };
    let Some(commit_id) = commit else {
        return Ok(0);
    };
    let heard = i64::try_from(context.config.stale_seconds).unwrap_or(i64::MAX);
    let mut count = 0;
    for class in &settings.host_classes {
        let hosts =
            controls::list_hosts(&context.pool, runtime_id, commit_id, class, heard).await?;
        for host in hosts {
            let schedule = &context.config.control.schedule;
            if host.open || !is_due(schedule, host.queued_at, Utc::now()) {
                continue;
            }
            let queued =
                controls::insert_job(&context.pool, runtime_id, commit_id, class, host.id).await?;
            count += usize::from(queued);
        }
    }
    Ok(count)
}

/// Due: never queued, or a moment of the schedule has come since.
fn is_due(schedule: &str, queued_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let Some(last) = queued_at else { return true };
    let schedule = cron::Schedule::from_str(schedule);
    schedule.is_ok_and(|schedule| schedule.after(&last).next().is_some_and(|next| next <= now))
}

/// One pass: judges every control that a host has run anew, one transaction each; then holds back what is in doubt, and lets go
/// what is not any more.
pub async fn tick(context: &Context) -> Outcome {
    let mut notes = Vec::new();
    for control in controls::list_to_judge(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        notes.extend(judge(&mut transaction, &control).await?);
        transaction.commit().await?;
    }
    // Whoever judged a series while a control was being judged has not seen its standing: so at every pass.
    for (host_id, settled) in controls::list_unsteady(&context.pool).await? {
        holds::update_host(&context.pool, host_id, settled).await?;
    }
    let changed = holds::update_held(&context.pool).await?;
    if changed > 0 {
        notes.push(format!(
            "{changed} change(s) are no longer held back as they were"
        ));
    }
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}

/// Judges a control up to its newest run; what there is to say.
async fn judge(db: &mut PgConnection, control: &ControlToJudge) -> sqlx::Result<Vec<String>> {
    let mut notes = Vec::new();
    // A move begins an epoch, and what follows it is judged anew within that: as often as there are runs for it.
    for _ in 0..RUNS {
        let (host_id, runtime_id) = (control.host_id, Some(control.runtime_id));
        let values = controls::list_values(&mut *db, host_id, runtime_id, RUNS).await?;
        let runs = newest_epoch(&values);
        let history: Vec<ControlRun> = runs.iter().map(|run| control_run(run)).collect();
        let Some(moved) = find_move(&history) else {
            notes.extend(stand(&mut *db, control, &runs, &history).await?);
            return Ok(notes);
        };
        let first = runs[moved.index][0];
        let before = moved.index.checked_sub(1);
        let steady_until = before.map(|index| runs[index][0].measured_at);
        controls::begin_epoch(&mut *db, control, first.measured_at, &moved, steady_until).await?;
        notes.push(describe(control, first, moved.change));
    }
    controls::mark_judged(db, control, Standing::Unknown, control.run_id).await?;
    Ok(notes)
}

/// Notes how a control stands, and lets it run once more where that helps.
async fn stand(
    db: &mut PgConnection,
    control: &ControlToJudge,
    runs: &[Vec<&ControlValue>],
    history: &[ControlRun],
) -> sqlx::Result<Option<String>> {
    let standing = standing(history);
    let unsteady = match standing {
        Standing::Unknown | Standing::Steady => 0,
        Standing::Unsteady { runs, .. } => runs,
    };
    // A run in which nothing could be measured is not among the runs, and unsettles nothing.
    let settled = match runs.len().checked_sub(unsteady + 1) {
        Some(index) if unsteady > 0 => runs[index][0].run_id,
        _ => control.run_id,
    };
    controls::mark_judged(&mut *db, control, standing, settled).await?;
    let again = standing.asks_again() && controls::insert_again(&mut *db, control).await?;
    Ok(match standing {
        Standing::Unknown | Standing::Steady => None,
        Standing::Unsteady { change, .. } => Some(format!(
            "host {}: its control {} takes {:+.1} % in run {}{}",
            control.host_id,
            control.runtime_id,
            change * 100.0,
            control.run_id,
            if again { "; it is measured again" } else { "" }
        )),
    })
}

fn describe(control: &ControlToJudge, first: &ControlValue, change: f64) -> String {
    format!(
        "host {} is not what it was since {}: its control {} takes {:+.1} %",
        control.host_id,
        first.measured_at,
        first.runtime,
        change * 100.0
    )
}

/// The runs of the newest version of a control within its host's newest epoch, oldest first.
fn newest_epoch(values: &[ControlValue]) -> Vec<Vec<&ControlValue>> {
    let Some(newest) = values.iter().max_by_key(|one| one.run_id) else {
        return Vec::new();
    };
    let own: Vec<&ControlValue> = values
        .iter()
        .filter(|one| one.hash == newest.hash && one.host_epoch == newest.host_epoch)
        .collect();
    let runs = own.chunk_by(|a, b| a.run_id == b.run_id);
    runs.map(<[&ControlValue]>::to_vec).collect()
}

/// Throughput is turned over, so that more is slower everywhere.
fn control_run(run: &[&ControlValue]) -> ControlRun {
    let value = |one: &&ControlValue| {
        let logarithm = one.median.ln();
        let direction = one.metric.parse::<Metric>().map(Metric::direction);
        let slower = match direction {
            Ok(Direction::HigherIsBetter) => -logarithm,
            _ => logarithm,
        };
        (one.benchmark_id, slower)
    };
    ControlRun {
        environment: run.first().map_or(0, |one| one.environment_id),
        values: run.iter().map(value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_is_due_once_for_each_moment_of_its_schedule() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let due = |queued: Option<&str>, now: &str| is_due("0 0 3 * * *", queued.map(at), at(now));
        assert!(due(None, "2026-11-25T00:00:00Z"));
        assert!(!due(Some("2026-11-25T03:00:01Z"), "2026-11-25T23:00:00Z"));
        assert!(due(Some("2026-11-25T03:00:01Z"), "2026-11-26T03:00:00Z"));
        assert!(due(Some("2026-11-20T03:00:01Z"), "2026-11-26T02:00:00Z"));
    }
}
