//! Sends what waits in the outbox, message by message.
//!
//! A message is taken up (its try counted, its next one postponed), sent, and settled; the database knows of each before the next.
//! A process that dies between taking up and settling leaves a message that is tried again when its lease ends. If the other side
//! had taken it by then, it comes a second time, with the same key: mails have the same Message-ID, webhooks the same
//! `X-Speedwell-Delivery`, Matrix the same transaction, comments of a forge are looked for first, and a status is set anew to what
//! it is. Only Slack, Mattermost and Zulip show a second line then: their incoming webhooks know no key.

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Duration, Utc};

use super::Outcome;
use crate::alerts::mail::Transport;
use crate::alerts::{mail, when};
use crate::config::holds;
use crate::context::Context;
use crate::db::outbox::{self, MessageRow};
use crate::db::{repositories, subscriptions};
use crate::domain::address::is_public;
use crate::domain::telling::{Channel, Failure};
use crate::forge::{self, Allows, Outgoing};

mod alarms;
mod checks;
mod perform;
mod picture;
mod regression;
mod report;
mod try_run;

/// Messages in one pass; more wait for the next.
const BATCH: usize = 200;
/// How long a try may take before another process may begin the next: longer than all timeouts of a try.
const LEASE: Duration = Duration::minutes(10);

/// What sending needs.
pub struct Sender {
    /// To forges, whose addresses the configuration holds.
    http: reqwest::Client,
    /// To addresses that people have given.
    outgoing: Outgoing,
    smtp: Option<Transport>,
    /// Signs links and makes message ids.
    key: Vec<u8>,
}

impl Sender {
    /// Opens the ways out. No connection is made yet.
    pub async fn open(context: &Context) -> anyhow::Result<Self> {
        let smtp = match &context.config.mail {
            Some(mail) => {
                let authorities = mail.authorities()?;
                let transport =
                    mail::transport(&mail.smtp, mail.credentials()?, authorities.as_deref());
                Some(transport.context("mail.smtp or mail.ca_file cannot be used")?)
            }
            None => None,
        };
        Ok(Self {
            http: forge::client()?,
            outgoing: Outgoing::open(allowed(context))?,
            smtp,
            key: subscriptions::link_key(&context.pool).await?,
        })
    }
}

/// Public addresses, and the networks that the configuration allows.
fn allowed(context: &Context) -> Allows {
    let networks = context.config.outgoing.allow.clone();
    Arc::new(move |address| is_public(address) || holds(&networks, address))
}

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let mut sender = None;
    let (mut sent, mut failed) = (0, 0);
    while sent + failed < BATCH {
        let Some(message) = claim(context, Utc::now()).await? else {
            break;
        };
        if sender.is_none() {
            sender = Some(Sender::open(context).await);
        }
        let done = match &sender {
            Some(Ok(sender)) => perform::perform(context, sender, &message, Utc::now()).await,
            // A password file that cannot be read, say: every message waits until it can.
            Some(Err(error)) => Err(Failure::passing(format!("{error:#}"))),
            None => Err(Failure::passing("the ways out were not opened")),
        };
        match done {
            Ok(()) => sent += 1,
            Err(_) => failed += 1,
        }
        settle(context, &message, done, Utc::now()).await?;
    }
    Ok((sent + failed > 0).then(|| format!("sent {sent} message(s), {failed} could not be sent")))
}

/// Takes up the message that has been due longest.
pub async fn claim(context: &Context, now: DateTime<Utc>) -> sqlx::Result<Option<MessageRow>> {
    outbox::claim(&context.pool, now, now + LEASE).await
}

/// Sends a message that was taken up.
pub async fn send(
    context: &Context,
    sender: &Sender,
    message: &MessageRow,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    perform::perform(context, sender, message, now).await
}

/// Notes what became of a try.
pub async fn settle(
    context: &Context,
    message: &MessageRow,
    done: Result<(), Failure>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    match done {
        Ok(()) => {
            outbox::mark_sent(&context.pool, message, now).await?;
        }
        Err(Failure {
            wait_until: Some(until),
            message: words,
            ..
        }) => {
            outbox::postpone(&context.pool, message, &words, until).await?;
            if message.channel == Channel::Forge.as_str() {
                // The others for the same forge wait, too: who goes on asking is shut out.
                let repository = message.recipient.split(' ').next().unwrap_or_default();
                repositories::pause_forge(&context.pool, repository, until).await?;
            }
        }
        Err(failure) => {
            let last = failure.permanent || message.attempts >= when::MOST_ATTEMPTS;
            let again = (!last).then(|| now + when::pause(message.attempts));
            outbox::mark_failed(&context.pool, message, &failure.message, again, now).await?;
        }
    }
    Ok(())
}
