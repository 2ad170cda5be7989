//! One try of one message: brings the facts, has the text made, and sends it by its channel.

use chrono::{DateTime, Utc};

use super::Sender;
use crate::alerts::link::{self, Ends};
use crate::alerts::mail::{self, Envelope};
use crate::alerts::message::{self, Frame, Message};
use crate::alerts::{Payload, chat};
use crate::chart;
use crate::context::Context;
use crate::db::outbox::MessageRow;
use crate::db::{stories, subscriptions};
use crate::domain::telling::{Channel, Failure, Story};
use crate::scheduler::forges;

/// Sends. What the database or a file cannot give now may be there at the next try.
pub(super) async fn perform(
    context: &Context,
    sender: &Sender,
    message: &MessageRow,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let done = perform_once(context, sender, message, now).await;
    done.map_err(|failure| {
        if message.channel == Channel::Forge.as_str() {
            forges::renew(context, repository_of(message), failure)
        } else {
            failure
        }
    })
}

/// The repository whose forge a message is for.
fn repository_of(message: &MessageRow) -> &str {
    message.recipient.split(' ').next().unwrap_or_default()
}

async fn perform_once(
    context: &Context,
    sender: &Sender,
    message: &MessageRow,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let payload: Payload = serde_json::from_value(message.payload.clone())
        .map_err(|error| Failure::permanent(format!("payload: {error}")))?;
    let channel: Channel = message
        .channel
        .parse()
        .map_err(|_unreadable| Failure::permanent("an unknown channel"))?;
    match (payload, channel) {
        (Payload::Events { events, why }, Channel::Mail) => {
            let told = standing(context, &events).await?;
            mail_stories(context, sender, message, &told, &why).await
        }
        (Payload::Events { events, .. }, Channel::Webhook | Channel::Chat) => {
            let told = standing(context, &events).await?;
            post(context, sender, message, &told, now).await
        }
        (Payload::Status { event }, Channel::Forge) => {
            super::regression::state(context, sender, event).await
        }
        (Payload::Comment { event }, Channel::Forge) => {
            super::regression::comment(context, sender, message, event).await
        }
        (Payload::Answer { pull, text }, Channel::Forge) => {
            let repository = repository_of(message);
            let (_, forge) = forges::open(context, &sender.http, repository).await?;
            let mark = id(sender, &message.key);
            let written = forge.comment_on_pull(&sender.http, pull, &text, &mark, None);
            written.await.map(drop)
        }
        (Payload::TryStatus { try_id }, Channel::Forge) => {
            super::try_run::state(context, sender, try_id).await
        }
        (Payload::TryComment { try_id }, Channel::Forge) => {
            super::try_run::comment(context, sender, try_id).await
        }
        (
            Payload::Report {
                runtime_id,
                day,
                why,
            },
            Channel::Mail,
        ) => super::report::mail(context, sender, message, (runtime_id, day), &why).await,
        (Payload::Alarms { raised, cleared }, Channel::Mail) => {
            super::alarms::mail(context, sender, message, &raised, &cleared).await
        }
        (
            Payload::Report { .. }
            | Payload::Alarms { .. }
            | Payload::Events { .. }
            | Payload::Status { .. }
            | Payload::Comment { .. }
            | Payload::Answer { .. }
            | Payload::TryStatus { .. }
            | Payload::TryComment { .. },
            _,
        ) => Err(Failure::permanent(
            "this channel does not carry such a message",
        )),
    }
}

pub(super) fn passing(error: impl std::fmt::Display) -> Failure {
    Failure::passing(format!("here: {error}"))
}

/// The stories that stand; a regression that has fallen since the message was written is not told.
async fn standing(context: &Context, events: &[i64]) -> Result<Vec<Story>, Failure> {
    let mut connection = context.pool.acquire().await.map_err(passing)?;
    let mut told = stories::list(&mut connection, events)
        .await
        .map_err(passing)?;
    told.retain(|story| story.is_standing());
    if told.is_empty() {
        return Err(Failure::permanent(
            "no regression any more: there is nothing to tell",
        ));
    }
    Ok(told)
}

async fn mail_stories(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    told: &[Story],
    why: &[String],
) -> Result<(), Failure> {
    let base = context.config.public_url();
    let unsubscribe = unsubscribe_link(context, sender, row, &base);
    let picture = match told {
        [story] => picture(context, story).await.map_err(passing)?,
        _ => None,
    };
    let frame = Frame {
        base: &base,
        why,
        unsubscribe: unsubscribe.as_deref(),
        chart: picture.as_ref().map(|_| mail::CHART),
    };
    let written =
        message::write(told, &frame).map_err(|error| Failure::permanent(error.to_string()))?;
    let thread = match told {
        [story] => Some(id(sender, &format!("regression {}", story.regression_id))),
        _ => None,
    };
    send_mail(
        context,
        sender,
        row,
        &written,
        thread.as_deref(),
        unsubscribe.as_deref(),
        picture,
    )
    .await
}

/// The left part of a Message-ID: the same for the same words, and another for each installation.
pub(super) fn id(sender: &Sender, words: &str) -> String {
    let signature = hex::encode(link::sign(
        &sender.key,
        format!("message {words}").as_bytes(),
    ));
    signature.chars().take(32).collect()
}

/// The link that ends these mails: the subscription, or everything to a person's address. A list has none: one reader would end it
/// for all.
pub(super) fn unsubscribe_link(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    base: &str,
) -> Option<String> {
    let is_list = context
        .config
        .mail
        .as_ref()
        .is_some_and(|mail| mail.lists.contains(&row.recipient));
    let ends = match row.subscription_id {
        Some(id) => Ends::Subscription(id),
        None if is_list => return None,
        None => Ends::Address(row.recipient.clone()),
    };
    Some(format!(
        "{base}/unsubscribe/{}",
        link::token(&sender.key, &ends)
    ))
}

pub(super) async fn send_mail(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    written: &Message,
    thread: Option<&str>,
    unsubscribe: Option<&str>,
    picture: Option<Vec<u8>>,
) -> Result<(), Failure> {
    let (Some(settings), Some(transport)) = (&context.config.mail, &sender.smtp) else {
        return Err(Failure::passing("the configuration has no [mail]"));
    };
    let list_id = settings.list_id();
    let envelope = Envelope {
        from: &settings.from,
        to: &row.recipient,
        list_id: &list_id,
        id: &id(sender, &row.key),
        thread,
        unsubscribe,
    };
    mail::send(transport, mail::build(written, &envelope, picture)?).await
}

/// The series of the change that stands for all, about its range, as a PNG. Without points, or after a force push, none.
async fn picture(context: &Context, story: &Story) -> sqlx::Result<Option<Vec<u8>>> {
    const SIDE: i64 = 40;
    let Some(change) = story.changes.first() else {
        return Ok(None);
    };
    let range = stories::find_range(&context.pool, story.regression_id, change.series_id).await?;
    let Some((before, after, baseline)) = range else {
        return Ok(None);
    };
    let points = stories::list_points(&context.pool, change.series_id, after, SIDE).await?;
    let title = format!("{} {} on {}", change.runtime, change.benchmark, change.host);
    let chart = super::picture::chart(story.better, title, &points, (before, after), baseline);
    // Drawing takes some tens of milliseconds.
    let drawn = tokio::task::spawn_blocking(move || chart::png(&chart)).await;
    Ok(drawn.ok().flatten())
}

async fn post(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    told: &[Story],
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let gone = || Failure::permanent("the subscription was removed");
    let id = row.subscription_id.ok_or_else(gone)?;
    let found = subscriptions::find_target(&context.pool, id)
        .await
        .map_err(passing)?;
    let (kind, url, secret) = found.ok_or_else(gone)?;
    let kind = kind
        .parse()
        .map_err(|_unreadable| Failure::permanent("an unknown channel"))?;
    let target = chat::Target {
        kind,
        url: &url,
        secret: secret.as_deref(),
        key: &row.key,
    };
    let body = chat::chat_body(kind, told, &context.config.public_url());
    let client = sender.outgoing.client_for(&url)?;
    chat::post(client, &target, &body, now).await
}
