//! Looks for what stands still, and tells the operators once when it begins and once when it is over.
//!
//! One transaction for each pass: alarms and messages. Killed anywhere, the next pass sees the same and does it.

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::statvfs::statvfs;
use sqlx::PgConnection;

use super::{Outcome, TICKS, Tick};
use crate::alerts::Payload;
use crate::context::Context;
use crate::db::alarms::{self, TickRow};
use crate::db::outbox::{self, NewMessage};
use crate::db::subscriptions;
use crate::domain::alarm::judge::{DiskFacts, Facts, TickFacts, judge};
use crate::domain::alarm::{Step, settle};
use crate::domain::telling::Channel;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let now = Utc::now();
    let mut facts = gather(context, now).await?;
    let folder = context.config.data.clone();
    facts.disks = tokio::task::spawn_blocking(move || disk(&folder))
        .await?
        .into_iter()
        .collect();
    let (raised, cleared) = look(context, &facts, now).await?;
    let said = raised + cleared > 0;
    Ok(said.then(|| format!("raised {raised} alarm(s), cleared {cleared}")))
}

/// What the database says. Disks are the machine's matter.
pub async fn gather(context: &Context, now: DateTime<Utc>) -> anyhow::Result<Facts> {
    let pool = &context.pool;
    let hours = i64::from(context.config.alarms.queue_hours);
    let ticks = alarms::list_ticks(pool).await?;
    Ok(Facts {
        runtimes: alarms::list_runtimes(pool, now).await?,
        hosts: alarms::list_hosts(pool).await?,
        classes: alarms::list_classes(pool, now - TimeDelta::hours(hours), now).await?,
        hooks: alarms::list_hooks(pool).await?,
        unfetched: alarms::list_unfetched(pool).await?,
        ticks: with_pauses(&ticks),
        disks: Vec::new(),
    })
}

/// What is known of each tick of the table of ticks. (No `async`: that table holds the future of this one.)
fn with_pauses(rows: &[TickRow]) -> Vec<TickFacts> {
    let facts = |tick: &Tick| {
        let row = rows.iter().find(|row| row.name == tick.name)?.clone();
        Some(TickFacts {
            name: row.name,
            every: tick.every,
            ended_at: row.ended_at,
            failures: row.failures,
            failing_since: row.failing_since,
            error: row.error,
        })
    };
    TICKS.iter().filter_map(facts).collect()
}

fn disk(folder: &std::path::Path) -> Option<DiskFacts> {
    let found = statvfs(folder).ok()?;
    let unit = found.fragment_size();
    Some(DiskFacts {
        folder: folder.display().to_string(),
        free: found.blocks_available().saturating_mul(unit),
        total: found.blocks().saturating_mul(unit),
    })
}

/// Keeps, raises and clears alarms as of `now`; how many were raised and cleared.
pub async fn look(
    context: &Context,
    facts: &Facts,
    now: DateTime<Utc>,
) -> anyhow::Result<(usize, usize)> {
    let stale_hours = |name: &str| {
        let runtimes = context.config.runtimes.iter();
        let settings = runtimes.into_iter().find(|one| one.name == name)?;
        settings.policy.stale_hours
    };
    let wrong = judge(facts, &context.config.alarms, stale_hours, now);
    let mut transaction = context.pool.begin().await?;
    let open = alarms::lock_open(&mut transaction).await?;
    let mut raised = Vec::new();
    let mut cleared: Vec<(i64, Vec<String>)> = Vec::new();
    for step in settle(&open, wrong, now) {
        let db = &mut *transaction;
        match step {
            Step::Begin { wrong, raise } => {
                let id = alarms::begin(db, &wrong, raise, now).await?;
                raised.extend(raise.then_some(id));
            }
            Step::Keep { id, words } => alarms::keep(db, id, &words, None).await?,
            Step::Raise { id, words } => {
                alarms::keep(db, id, &words, Some(now)).await?;
                raised.push(id);
            }
            Step::Forget(id) => alarms::forget(db, id).await?,
            Step::Miss(id) => alarms::miss(db, id, now).await?,
            Step::Clear(id) => cleared.push((id, alarms::clear(db, id, now).await?)),
        }
    }
    tell(context, &mut transaction, &raised, &cleared, now).await?;
    transaction.commit().await?;
    Ok((raised.len(), cleared.len()))
}

/// One message to each operator of everything that this pass has raised, and cleared of what the operator was told.
async fn tell(
    context: &Context,
    db: &mut PgConnection,
    raised: &[i64],
    cleared: &[(i64, Vec<String>)],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Some(mail) = &context.config.mail else {
        return Ok(());
    };
    let out = subscriptions::list_opted_out(&mut *db).await?;
    let operators: Vec<String> = mail
        .operators
        .iter()
        .filter(|one| !out.contains(&one.to_ascii_lowercase()))
        .cloned()
        .collect();
    alarms::mark_told(&mut *db, raised, &operators).await?;
    let knew = |address: &String| -> Vec<i64> {
        let told = cleared.iter().filter(|(_, told)| told.contains(address));
        told.map(|(id, _)| *id).collect()
    };
    // An operator of before is told of the end, too.
    let mut addresses = operators.clone();
    let told = cleared.iter().flat_map(|(_, told)| told.iter());
    addresses.extend(told.filter(|one| !operators.contains(one)).cloned());
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let raised = if operators.contains(&address) {
            raised.to_vec()
        } else {
            Vec::new()
        };
        let cleared = knew(&address);
        if raised.is_empty() && cleared.is_empty() {
            continue;
        }
        let key = format!(
            "alarms:{raised:?}:{cleared:?}:{}",
            address.to_ascii_lowercase()
        );
        let message = NewMessage {
            key: &key,
            channel: Channel::Mail.as_str(),
            recipient: &address,
            subscription_id: None,
            regression_id: None,
            payload: &serde_json::to_value(Payload::Alarms { raised, cleared })?,
            not_before: now,
        };
        outbox::insert(&mut *db, &message, &[]).await?;
    }
    Ok(())
}
