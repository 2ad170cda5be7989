//! Makes the daily report of each runtime when its hour has come. One transaction for each: the report and the messages that carry
//! it; the report's row tells that it was made.

use std::str::FromStr as _;

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::Outcome;
use crate::alerts::{Payload, audience, when};
use crate::context::Context;
use crate::db::outbox::{self, NewMessage};
use crate::db::reports::{self, ReportRuntime};
use crate::db::subscriptions;
use crate::domain::report::{Heading, make};
use crate::domain::telling::Channel;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let made = look(context, Utc::now()).await?;
    Ok((made > 0).then(|| format!("made {made} daily report(s)")))
}

/// Makes the reports that are due as of `now`. Returns how many.
pub async fn look(context: &Context, now: DateTime<Utc>) -> anyhow::Result<usize> {
    let Some(moment) = last_moment(&context.config.report.schedule, now) else {
        return Ok(0);
    };
    let day = moment.date_naive();
    let due = reports::list_due(&context.pool, day, now).await?;
    for runtime in &due {
        report(context, runtime, day, now).await?;
    }
    Ok(due.len())
}

/// The newest moment of the schedule within the last day; an older one is past: nobody wants a report of last week.
fn last_moment(schedule: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let schedule = cron::Schedule::from_str(schedule).ok()?;
    let since = now - Duration::days(1);
    schedule.after(&since).take_while(|one| *one <= now).last()
}

async fn report(
    context: &Context,
    runtime: &ReportRuntime,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let mut transaction = context.pool.begin().await?;
    let series = reports::list_facts(
        &mut *transaction,
        runtime.id,
        (runtime.release_position, runtime.release_commit_id),
        now,
    )
    .await?;
    let hosts = reports::list_hosts(&mut *transaction, runtime.id, now).await?;
    let heading = Heading {
        runtime: runtime.name.clone(),
        day,
        hash: runtime.hash.clone(),
        subject: runtime.subject.clone(),
        release: runtime.release.clone(),
    };
    let facts = serde_json::to_value(make(heading, &series, hosts))?;
    if reports::insert(&mut *transaction, runtime.id, day, &facts).await? {
        tell(context, &mut transaction, runtime, day, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Lists, and subscribers by mail who asked for reports of this runtime.
async fn tell(
    context: &Context,
    db: &mut sqlx::PgConnection,
    runtime: &ReportRuntime,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Some(mail) = &context.config.mail else {
        return Ok(());
    };
    let out = subscriptions::list_opted_out(&mut *db).await?;
    let configured: Vec<String> = mail
        .opted_out
        .iter()
        .map(|one| one.to_ascii_lowercase())
        .collect();
    let is_out = |address: &str| {
        let lower = address.to_ascii_lowercase();
        out.contains(&lower) || configured.contains(&lower)
    };
    let mut recipients: Vec<(String, Option<i64>, String, DateTime<Utc>)> = mail
        .lists
        .iter()
        .map(|list| {
            (
                list.clone(),
                None,
                "the list gets the daily reports".to_owned(),
                now,
            )
        })
        .collect();
    for row in subscriptions::list(&mut *db)
        .await?
        .into_iter()
        .filter(|row| row.reports)
    {
        let Some(one) = row.read() else { continue };
        if one.channel.channel() == Channel::Mail && audience::fits(&one.runtimes, &runtime.name) {
            let why = format!("the subscription {:?} with daily reports", one.name);
            let at = when::not_before(&one, context.config.report.digest_hour, now);
            recipients.push((one.address, Some(one.id), why, at));
        }
    }
    recipients.retain(|(address, ..)| !is_out(address));
    for (address, subscription_id, why, not_before) in recipients {
        let payload = serde_json::to_value(Payload::Report {
            runtime_id: runtime.id,
            day,
            why,
        })?;
        let message = NewMessage {
            // Two reasons to get it make one key.
            key: &format!(
                "report:{}:{day}:{}",
                runtime.name,
                address.to_ascii_lowercase()
            ),
            channel: Channel::Mail.as_str(),
            recipient: &address,
            subscription_id,
            regression_id: None,
            payload: &payload,
            not_before,
        };
        outbox::insert(db, &message, &[]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_comes_once_a_day_and_a_missed_one_is_made_up_for() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let daily = |now| last_moment("0 0 5 * * *", at(now));
        assert_eq!(
            daily("2026-11-28T05:00:00Z"),
            Some(at("2026-11-28T05:00:00Z"))
        );
        assert_eq!(
            daily("2026-11-28T04:59:59Z"),
            Some(at("2026-11-27T05:00:00Z"))
        );
        assert_eq!(last_moment("0 0 5 1 1 *", at("2026-11-28T05:00:00Z")), None);
        assert_eq!(last_moment("rubbish", at("2026-11-28T05:00:00Z")), None);
    }
}
