//! Decides who hears of what happened, and puts the messages into the outbox.
//!
//! Two steps, each one transaction: events become notices (who is owed what, and from when on), and notices that are due become
//! messages. Killed anywhere, a step has happened or not; the unique keys of both tables make a repetition change nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};

use super::{Outcome, forges};
use crate::alerts::Payload;
use crate::alerts::audience::{self, MailRules};
use crate::alerts::gather::{Bundle, Owed, gather};
use crate::config::Report;
use crate::context::Context;
use crate::db::outbox::{self, NewMessage, NewNotice, NoticeRow};
use crate::db::{check_runs, stories, subscriptions};
use crate::domain::regression::{EventKind, RegressionState};
use crate::domain::telling::{Channel, Story, Subscription};

/// Events and notices in one transaction.
const BATCH: i64 = 500;
/// How long a `found` waits for its explanation.
const PATIENCE: Duration = Duration::minutes(10);
/// Messages go out at full multiples of so many seconds: what is confirmed within one pass comes due at one moment, and a storm is
/// seen as one.
const BEAT: i64 = 30;

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let now = Utc::now();
    let mut events = 0;
    loop {
        let some = decide(context, now).await?;
        events += some;
        if some == 0 {
            break;
        }
    }
    let mut messages = 0;
    loop {
        let (seen, some) = write(context, now).await?;
        messages += some;
        if seen == 0 {
            break;
        }
    }
    Ok((events + messages > 0)
        .then(|| format!("looked at {events} event(s), wrote {messages} message(s)")))
}

/// Turns events that nobody has looked at into notices, as of `now`. Returns how many it has looked at.
pub async fn decide(context: &Context, now: DateTime<Utc>) -> anyhow::Result<usize> {
    let mut transaction = context.pool.begin().await?;
    let events = outbox::lock_untold(&mut transaction, now - PATIENCE, BATCH).await?;
    if events.is_empty() {
        return Ok(0);
    }
    let known: Vec<Subscription> = subscriptions::list(&mut *transaction)
        .await?
        .into_iter()
        .filter_map(subscriptions::SubscriptionRow::read)
        .collect();
    let opted_out = opted_out(
        context,
        subscriptions::list_opted_out(&mut *transaction).await?,
    );
    let rules = context.config.mail.as_ref().map(|mail| MailRules {
        lists: &mail.lists,
        authors: mail.authors,
        authors_days: mail.authors_days,
        addresses: &mail.addresses,
        opted_out: &opted_out,
    });
    let digest_hour = context.config.report.digest_hour;
    for story in stories::list(&mut transaction, &events).await? {
        for one in audience::audience(&story, &known, rules.as_ref(), digest_hour, now) {
            let notice = NewNotice {
                event_id: story.event_id,
                channel: one.channel.as_str(),
                recipient: &one.recipient,
                subscription_id: one.subscription_id,
                why: &one.why,
                not_before: next_beat(one.not_before),
            };
            outbox::insert_notice(&mut *transaction, &notice).await?;
        }
        tell_forge(context, &mut transaction, &story, now).await?;
    }
    outbox::mark_told(&mut *transaction, &events, now).await?;
    transaction.commit().await?;
    Ok(events.len())
}

/// Everybody who opted out, by the configuration or by a link, in lower case.
fn opted_out(context: &Context, by_link: Vec<String>) -> BTreeSet<String> {
    let configured = context.config.mail.iter().flat_map(|mail| &mail.opted_out);
    configured
        .map(|address| address.to_ascii_lowercase())
        .chain(by_link)
        .collect()
}

/// The first full beat that is not before a moment.
fn next_beat(moment: DateTime<Utc>) -> DateTime<Utc> {
    let passed = moment.timestamp().div_euclid(BEAT) * BEAT;
    let beat = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(moment);
    if beat(passed) >= moment {
        beat(passed)
    } else {
        beat(passed + BEAT)
    }
}

/// A culprit gets its status (or its check, which follows what becomes of the regression), and a comment where the forge has them: at once, for these disturb nobody's sleep.
async fn tell_forge(
    context: &Context,
    db: &mut sqlx::PgConnection,
    story: &Story,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let Some(forge) = forges::settings(context, &story.repository).filter(|one| one.can_send())
    else {
        return Ok(());
    };
    if story.culprit.is_none() {
        return Ok(());
    }
    let event = story.event_id;
    let mut requests = Vec::new();
    if story.kind == EventKind::Found && story.is_standing() {
        requests.push(("status", Payload::Status { event }));
        if forge.comments && forge.kind.has_comments() {
            requests.push(("comment", Payload::Comment { event }));
        }
    } else if forge.report == Report::Check
        && changes_check(story.kind)
        && check_runs::knows_regression(&mut *db, story.regression_id).await?
    {
        requests.push(("status", Payload::Status { event }));
    }
    for (what, payload) in requests {
        let payload = serde_json::to_value(payload)?;
        let message = NewMessage {
            key: &format!("forge:{what}:{event}"),
            channel: Channel::Forge.as_str(),
            recipient: &format!("{} {what}", story.repository),
            subscription_id: None,
            regression_id: Some(story.regression_id),
            payload: &payload,
            not_before: now,
        };
        outbox::insert(db, &message, &[]).await?;
    }
    Ok(())
}

/// Whether a check that was written may say something else after an event. (A status stays: there is none for "accepted".)
fn changes_check(kind: EventKind) -> bool {
    match kind {
        EventKind::Found
        | EventKind::Acknowledged
        | EventKind::Fixed
        | EventKind::Reopened
        | EventKind::Accepted
        | EventKind::Invalid
        | EventKind::Changed
        | EventKind::Merged
        | EventKind::Split
        | EventKind::Explained => true,
        EventKind::Suspected
        | EventKind::Confirmed
        | EventKind::Bisecting
        | EventKind::BisectionEnded
        | EventKind::BisectionCancelled
        | EventKind::Note => false,
    }
}

/// Turns notices that are due into messages. Returns how many notices it has looked at and how many messages it wrote.
pub async fn write(context: &Context, now: DateTime<Utc>) -> anyhow::Result<(usize, usize)> {
    let mut transaction = context.pool.begin().await?;
    let rows = outbox::lock_due_notices(&mut transaction, now, BATCH).await?;
    let seen = rows.len();
    if seen == 0 {
        return Ok((0, 0));
    }
    // A regression may have fallen since: nobody hears of it.
    let (standing, fallen): (Vec<NoticeRow>, Vec<NoticeRow>) = rows
        .into_iter()
        .partition(|row| row.state.parse().is_ok_and(RegressionState::is_confirmed));
    let fallen: Vec<i64> = fallen.iter().map(|row| row.id).collect();
    outbox::drop_notices(&mut *transaction, &fallen, "no regression any more").await?;
    let unknown: Vec<i64> = standing
        .iter()
        .filter(|row| row.channel.parse::<Channel>().is_err())
        .map(|row| row.id)
        .collect();
    outbox::drop_notices(&mut *transaction, &unknown, "an unknown channel").await?;
    let bundles = gather(standing.into_iter().filter_map(owed).collect());
    for bundle in &bundles {
        insert(&mut transaction, bundle, now).await?;
    }
    transaction.commit().await?;
    Ok((seen, bundles.len()))
}

fn owed(row: NoticeRow) -> Option<Owed> {
    Some(Owed {
        notice: row.id,
        event: row.event_id,
        regression: row.regression_id,
        channel: row.channel.parse().ok()?,
        recipient: row.recipient,
        subscription: row.subscription_id,
        why: row.why,
        digest: row.digest,
    })
}

async fn insert(
    db: &mut sqlx::PgConnection,
    bundle: &Bundle,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let payload = serde_json::to_value(Payload::Events {
        events: bundle.events.clone(),
        why: bundle.why.clone(),
    })?;
    let message = NewMessage {
        key: &bundle.key,
        channel: bundle.channel.as_str(),
        recipient: &bundle.recipient,
        subscription_id: bundle.subscription,
        regression_id: bundle.regression,
        payload: &payload,
        not_before: now,
    };
    outbox::insert(db, &message, &bundle.notices).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_due_together() {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        assert_eq!(next_beat(at(60)), at(60));
        assert_eq!(next_beat(at(61)), at(90));
        assert_eq!(next_beat(at(60) + Duration::milliseconds(1)), at(90));
        assert_eq!(next_beat(at(89)), at(90));
        assert_eq!(next_beat(at(-1)), at(0));
    }
}
