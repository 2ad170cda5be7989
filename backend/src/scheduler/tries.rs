//! Measures somebody's changes against their base: looks their commits up, queues both sides in turn on one host, round after round, and
//! ends a try when enough is known.
//!
//! Each step is one transaction that decides anew from what the database says: a pass that is killed is simply repeated. Nothing of a
//! head that waits for approval is built or run: only its history is fetched, and its difference kept for whom has to look at it.

mod answer;
mod resolve;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use speedwell_wire::Metric;
use speedwell_wire::metric::Direction;
use sqlx::PgConnection;

use super::Outcome;
use crate::context::Context;
use crate::db::tries::rounds::{self, NewResult, Part, Ready, Side, WantedRuntime};
use crate::db::tries::{self, results};
use crate::detection::trial::{FEWEST_ROUNDS, Finding, Opinion, Wanted, judge};
use crate::domain::compare::Repeatability;
use crate::domain::try_run::{Answer, Change, TryState, read_glob, sum_up};

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut said = resolve::look_up(context).await?;
    for id in rounds::list_ready(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        said.extend(begin(context, &mut transaction, id).await?);
        transaction.commit().await?;
    }
    for part in rounds::list_measured(&context.pool).await? {
        let mut transaction = context.pool.begin().await?;
        said.extend(step(context, &mut transaction, &part).await?);
        transaction.commit().await?;
    }
    said.extend(answer::write(context).await?);
    Ok((!said.is_empty()).then(|| said.join("; ")))
}

/// Begins a try on a host for each of its runtimes, or notes what it waits for.
async fn begin(
    context: &Context,
    db: &mut PgConnection,
    id: i64,
) -> anyhow::Result<Option<String>> {
    let Some(ready) = rounds::lock_ready(&mut *db, id).await? else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    let runtimes = rounds::list_runtimes(&mut *db, &ready).await?;
    for runtime in &runtimes {
        match plan(context, &mut *db, &ready, runtime).await? {
            Plan::Measure { host_id, names } => parts.push((runtime.id, host_id, names)),
            Plan::Wait(words) => {
                if words != ready.message {
                    tries::resolve::note_look(&mut *db, id, &words).await?;
                }
                return Ok(None);
            }
            Plan::Impossible(words) => {
                tries::finish(&mut *db, id, TryState::Failed, None, &words).await?;
                return Ok(Some(format!("try {id} fails: {words}")));
            }
        }
    }
    if parts.is_empty() {
        let words = format!("No runtime measures the branch {}.", ready.base_branch);
        tries::finish(&mut *db, id, TryState::Failed, None, &words).await?;
        return Ok(Some(format!("try {id} fails: {words}")));
    }
    for (runtime_id, host_id, names) in &parts {
        rounds::insert_part(&mut *db, id, *runtime_id, *host_id, names).await?;
        for _ in 0..FEWEST_ROUNDS.min(ready.budget) {
            rounds::insert_round(&mut *db, id, *runtime_id).await?;
        }
    }
    rounds::mark_running(&mut *db, id).await?;
    Ok(Some(format!("try {id} begins")))
}

/// Where and what one runtime of a try is measured.
enum Plan {
    Measure { host_id: i64, names: Vec<String> },
    Wait(String),
    Impossible(String),
}

async fn plan(
    context: &Context,
    db: &mut PgConnection,
    ready: &Ready,
    runtime: &WantedRuntime,
) -> anyhow::Result<Plan> {
    let names = if ready.benchmarks == "*" {
        Vec::new()
    } else {
        let glob = read_glob(&ready.benchmarks)?;
        let mut names = rounds::list_benchmarks(&mut *db, &runtime.suite_name).await?;
        names.retain(|name| glob.is_match(name));
        if names.is_empty() {
            return Ok(Plan::Impossible(format!(
                "No benchmark of the suite {} matches {}.",
                runtime.suite_name, ready.benchmarks
            )));
        }
        names
    };
    let settings = context.config.runtimes.iter();
    let mut settings = settings.filter(|one| one.name == runtime.name);
    let Some(settings) = settings.next() else {
        let words = format!("{} is gone from the configuration.", runtime.name);
        return Ok(Plan::Impossible(words));
    };
    let heard = Duration::from_secs(context.config.stale_seconds);
    let host = rounds::find_host(db, ready, &settings.host_classes, heard).await?;
    Ok(match host {
        Some(host_id) => Plan::Measure { host_id, names },
        None => Plan::Wait(format!(
            "Waits for a host of the class {} that is there{}.",
            settings.host_classes.join(" or "),
            if ready.patched {
                " and can apply patches (an older worker cannot)"
            } else {
                ""
            }
        )),
    })
}

/// Looks at a part whose rounds are over: ends it, or queues one more round.
async fn step(
    context: &Context,
    db: &mut PgConnection,
    part: &Part,
) -> anyhow::Result<Option<String>> {
    if !rounds::lock_running(&mut *db, part.try_id).await? {
        return Ok(None);
    }
    let name = format!("try {} of {}", part.try_id, part.runtime);
    if part.failed_build == Some(true) {
        let words = failure_words(part);
        rounds::end_part(&mut *db, part, false, &words).await?;
        end_when_all_are_over(db, part.try_id).await?;
        return Ok(Some(format!("{name} fails: {words}")));
    }
    let sides = rounds::list_sides(&mut *db, part).await?;
    let found = findings(&sides, part.rounds, &context.config.try_runs.wanted());
    rounds::replace_results(&mut *db, part, &found).await?;
    let deciding = || {
        found.iter().filter(|one| {
            let metric = one.metric.parse::<Metric>();
            metric.is_ok_and(|metric| Metric::MAIN.contains(&metric))
        })
    };
    let pairs = deciding().map(|one| one.pairs).max().unwrap_or(0);
    let clear = deciding().all(|one| one.verdict != Answer::Unclear.as_str());
    // Rounds none of which has both sides would go on so.
    let lost = pairs == 0 && part.rounds >= FEWEST_ROUNDS;
    if lost || part.rounds >= part.budget || (clear && part.rounds >= FEWEST_ROUNDS) {
        let decided = !found.is_empty();
        let words = if decided {
            format!("{pairs} pairs of runs")
        } else {
            failure_words(part)
        };
        rounds::end_part(&mut *db, part, decided, &words).await?;
        end_when_all_are_over(db, part.try_id).await?;
        return Ok(Some(format!("{name} is over: {words}")));
    }
    rounds::insert_round(&mut *db, part.try_id, part.runtime_id).await?;
    Ok(Some(format!("{name}: one more round")))
}

fn failure_words(part: &Part) -> String {
    let side = match part.failed_head {
        Some(true) => "the head",
        Some(false) => "the base",
        None => "",
    };
    match (&part.failure, part.failed_build) {
        (Some(failure), Some(true)) => format!("{side} cannot be built: {failure}"),
        (Some(failure), _) => format!("{side} could not be measured: {failure}"),
        (None, _) => "no round has both sides: its jobs were cancelled".to_owned(),
    }
}

/// Judges each series that a part has measured on both sides.
fn findings(sides: &[Side], rounds: i32, wanted: &Wanted) -> Vec<NewResult> {
    let of_series = sides.chunk_by(|one, other| one.series_id == other.series_id);
    of_series
        .filter_map(|sides| finding(sides, rounds, wanted))
        .collect()
}

fn finding(sides: &[Side], rounds: i32, wanted: &Wanted) -> Option<NewResult> {
    let mut pairs: BTreeMap<i32, (f64, f64)> = (0..rounds)
        .map(|round| (round, (f64::NAN, f64::NAN)))
        .collect();
    for side in sides {
        let pair = pairs.entry(side.round).or_insert((f64::NAN, f64::NAN));
        let place = if side.head { &mut pair.1 } else { &mut pair.0 };
        *place = side.median.ln();
    }
    let pairs: Vec<(f64, f64)> = pairs.into_values().collect();
    let first = sides.first()?;
    let noise = Repeatability {
        runs: first.run_deviation,
        rebuilds: first.rebuild_deviation,
    };
    let found: Finding = judge(&pairs, &noise, wanted)?;
    let metric: Metric = first.metric.parse().ok()?;
    let complete: Vec<&(f64, f64)> = pairs
        .iter()
        .filter(|(base, head)| base.is_finite() && head.is_finite())
        .collect();
    let level = |side: fn(&(f64, f64)) -> f64| {
        let sum: f64 = complete.iter().map(|pair| side(pair)).sum();
        (sum / complete.len() as f64).exp()
    };
    Some(NewResult {
        benchmark_id: first.benchmark_id,
        metric: first.metric.clone(),
        counter_source: first.counter_source.clone(),
        pairs: found.pairs,
        base: level(|pair| pair.0),
        head: level(|pair| pair.1),
        change: found.change,
        low: found.low,
        high: found.high,
        verdict: answer_of(found.opinion, metric).as_str(),
    })
}

fn answer_of(opinion: Opinion, metric: Metric) -> Answer {
    let less_is_better = match metric.direction() {
        Direction::LowerIsBetter => true,
        Direction::HigherIsBetter => false,
    };
    match opinion {
        Opinion::Larger if less_is_better => Answer::Worse,
        Opinion::Larger => Answer::Better,
        Opinion::Smaller if less_is_better => Answer::Better,
        Opinion::Smaller => Answer::Worse,
        Opinion::Same => Answer::Unchanged,
        Opinion::Unclear => Answer::Unclear,
    }
}

/// Ends a try once each of its parts is over: failed when all have, decided else.
async fn end_when_all_are_over(db: &mut PgConnection, id: i64) -> anyhow::Result<()> {
    let ends = rounds::list_ends(&mut *db, id).await?;
    if ends.iter().any(|(_, state, _)| state == "measuring") {
        return Ok(());
    }
    let failed: Vec<String> = ends
        .iter()
        .filter(|(_, state, _)| state == "failed")
        .map(|(runtime, _, message)| format!("{runtime}: {message}."))
        .collect();
    if failed.len() == ends.len() {
        tries::finish(db, id, TryState::Failed, None, &failed.join(" ")).await?;
        return Ok(());
    }
    let rows = results::list_results(&mut *db, id).await?;
    let changes: Vec<Change> = rows
        .iter()
        .filter_map(|row| {
            let size = (row.change, row.change_low, row.change_high);
            Change::read(&row.metric, &row.verdict, size)
        })
        .collect();
    let failing = results::list_failing(&mut *db, id).await?;
    let failing = failing.iter().filter(|one| !one.base_too).count();
    let outcome = sum_up(&changes, failing);
    let mut words = vec![outcome.words()];
    words.extend(failed);
    let verdict = Some(outcome.verdict.as_str());
    tries::finish(db, id, TryState::Decided, verdict, &words.join(" "))
        .await
        .context("the try cannot be ended")?;
    Ok(())
}
