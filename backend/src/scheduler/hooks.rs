//! Does what follows from deliveries of forges, one by one, oldest first.
//!
//! What a delivery causes and that it is done are written in one transaction: killed anywhere, it is done anew when its lease ends.
//! Everything that follows can be repeated: a repository is due once however often it is said, a pull request is as its newest
//! delivery says, and a comment asks for one try run only.

mod again;
mod commands;

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Outcome, forges};
use crate::alerts::when;
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::deliveries::{self, DeliveryRow};
use crate::db::{commits, pulls, repositories, tries};
use crate::domain::hook::{DeliveryState, Effect, Hook, PullFacts, PullState};
use crate::domain::telling::Failure;
use crate::forge::payload;

/// Deliveries in one pass; more wait for the next.
const BATCH: usize = 200;
/// How long a try may take before another process may begin the next.
const LEASE: Duration = Duration::minutes(3);
/// Tries until a delivery is given up; an operator can replay it.
const MOST_ATTEMPTS: i32 = 8;

/// What became of a delivery.
pub struct Ended {
    /// `Noted` when it caused nothing.
    pub state: DeliveryState,
    /// What it caused.
    pub caused: Vec<Effect>,
    /// In words.
    pub words: String,
}

impl Ended {
    fn noted(words: impl Into<String>) -> Self {
        Self {
            state: DeliveryState::Noted,
            caused: Vec::new(),
            words: words.into(),
        }
    }

    fn done(effect: Effect, words: impl Into<String>) -> Self {
        Self {
            state: DeliveryState::Done,
            caused: vec![effect],
            words: words.into(),
        }
    }

    fn failed(words: impl Into<String>) -> Self {
        Self {
            state: DeliveryState::Failed,
            caused: Vec::new(),
            words: words.into(),
        }
    }
}

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let (mut done, mut failed) = (0, 0);
    while done + failed < BATCH {
        let now = Utc::now();
        let Some(delivery) = deliveries::claim(&context.pool, now, now + LEASE).await? else {
            break;
        };
        match work(context, &delivery).await {
            Ok(()) => done += 1,
            Err(failure) => {
                failed += 1;
                let failure = forges::renew(context, &delivery.repository, failure);
                give_back(context, &delivery, &failure, Utc::now()).await?;
            }
        }
    }
    Ok((done + failed > 0)
        .then(|| format!("{done} delivery(s) done, {failed} to be tried again or given up")))
}

/// Does what follows from a delivery, and notes it.
async fn work(context: &Context, delivery: &DeliveryRow) -> Result<(), Failure> {
    let prepared = match read(context, delivery) {
        Ok((settings, Hook::Comment(comment))) => {
            let asked = commands::prepare(context, settings, delivery, comment).await?;
            asked.map(|asked| Prepared::Command(settings, Box::new(asked)))
        }
        Ok((settings, Hook::Rerequest(wish))) => {
            let asked = again::prepare(context, settings, delivery, wish).await?;
            asked.map(|asked| Prepared::Command(settings, Box::new(asked)))
        }
        Ok((_, hook)) => Ok(Prepared::Hook(hook)),
        Err(ended) => Err(ended),
    };
    let mut transaction = context.pool.begin().await.map_err(passing)?;
    let ended = match prepared {
        Ok(Prepared::Hook(hook)) => follow(&mut transaction, delivery, hook).await?,
        Ok(Prepared::Command(settings, asked)) => {
            commands::follow(context, settings, &mut transaction, delivery, *asked).await?
        }
        Err(ended) => ended,
    };
    let settled = deliveries::settle(
        &mut *transaction,
        delivery,
        ended.state,
        &ended.caused,
        &ended.words,
    )
    .await
    .map_err(passing)?;
    if settled {
        transaction.commit().await.map_err(passing)?;
    }
    Ok(())
}

/// What is to be followed, with all that a forge had to be asked for.
enum Prepared<'a> {
    /// What the delivery says is enough.
    Hook(Hook),
    /// A command in a comment, or the wish for a check again.
    Command(&'a ForgeConfig, Box<commands::Asked>),
}

fn passing(error: impl std::fmt::Display) -> Failure {
    Failure::passing(format!("here: {error}"))
}

/// What a delivery says; what is not to be followed has ended.
fn read<'a>(
    context: &'a Context,
    delivery: &DeliveryRow,
) -> Result<(&'a ForgeConfig, Hook), Ended> {
    let Some(settings) = forges::settings(context, &delivery.repository) else {
        return Err(Ended::failed(
            "the configuration has no [repository.forge] for this repository any more",
        ));
    };
    let body: Value = zstd::decode_all(delivery.body.as_slice())
        .map_err(|error| Ended::failed(format!("the body cannot be unpacked: {error}")))
        .and_then(|json| {
            serde_json::from_slice(&json)
                .map_err(|error| Ended::failed(format!("the body cannot be read: {error}")))
        })?;
    // A secret that several projects share is no reason to take one for the other.
    if let Some(project) = payload::project(settings.kind, &body)
        && !project.eq_ignore_ascii_case(&settings.project)
    {
        let words = format!(
            "about the project {:?}, not {:?}",
            shown(project),
            settings.project
        );
        return Err(Ended::noted(words));
    }
    let hook = payload::hook(settings.kind, &delivery.event, &body);
    hook.map(|hook| (settings, hook))
        .map_err(|wrong| Ended::failed(wrong.to_string()))
}

/// A text of somebody's for a sentence of ours.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

async fn follow(
    db: &mut PgConnection,
    delivery: &DeliveryRow,
    hook: Hook,
) -> Result<Ended, Failure> {
    match hook {
        Hook::Ping => Ok(Ended::noted("the forge tries whether anybody is here: yes")),
        Hook::Other(why) => Ok(Ended::noted(shown(&why))),
        Hook::Push {
            reference,
            before,
            after,
        } => push(db, delivery, &reference, (before, after)).await,
        Hook::Tag(name) => {
            let name = shown(&name);
            let words = format!("the tag {name} is looked for");
            look(db, delivery, (name, None, None), words).await
        }
        Hook::Pull(facts) => pull(db, delivery, &facts).await,
        // These are read apart: the forge may have to be asked.
        Hook::Comment(_) => Ok(Ended::noted("a comment")),
        Hook::Rerequest(_) => Ok(Ended::noted("the wish for a check again")),
    }
}

/// Keeps what is known of a pull request. With its end there is nothing left to try.
async fn pull(
    db: &mut PgConnection,
    delivery: &DeliveryRow,
    facts: &PullFacts,
) -> Result<Ended, Failure> {
    let number = facts.number;
    let newer = pulls::upsert(&mut *db, delivery.repository_id, facts).await;
    if !newer.map_err(passing)? {
        let words = format!("something newer is known of pull request {number} already");
        return Ok(Ended::noted(words));
    }
    let state = facts.state.as_str();
    let mut ended = Ended::done(
        Effect::Pull { number },
        format!("pull request {number} is {state}"),
    );
    let over = match facts.state {
        PullState::Open => false,
        PullState::Closed | PullState::Merged => true,
    };
    if over && let Ok(number) = u32::try_from(number) {
        let found = tries::find_open_of_pull(&mut *db, &delivery.repository, number).await;
        if let Some(id) = found.map_err(passing)? {
            let actor = format!("speedwell: its pull request is {state}");
            tries::cancel(db, id, &actor).await.map_err(passing)?;
            ended.caused.push(Effect::Cancelled { id });
        }
    }
    Ok(ended)
}

async fn push(
    db: &mut PgConnection,
    delivery: &DeliveryRow,
    reference: &str,
    (before, after): (Option<String>, Option<String>),
) -> Result<Ended, Failure> {
    let what = match &after {
        Some(_) => "moved",
        None => "gone away",
    };
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        let name = shown(tag);
        let words = format!("the tag {name} has {what}");
        // The hash may be that of the tag itself, which is no commit.
        return look(db, delivery, (name, None, None), words).await;
    }
    let Some(branch) = reference.strip_prefix("refs/heads/") else {
        let words = format!("{:?} is neither a branch nor a tag", shown(reference));
        return Ok(Ended::noted(words));
    };
    let name = shown(branch);
    let tracked = commits::list_branches(&mut *db, delivery.repository_id)
        .await
        .map_err(passing)?;
    if !tracked.iter().any(|one| one.name == branch) {
        let words = format!("no runtime follows the branch {name}");
        return Ok(Ended::noted(words));
    }
    let words = format!("the branch {name} has {what}");
    look(db, delivery, (name, before, after), words).await
}

/// Has the repository looked at without waiting for its schedule.
async fn look(
    db: &mut PgConnection,
    delivery: &DeliveryRow,
    (name, before, after): (String, Option<String>, Option<String>),
    words: String,
) -> Result<Ended, Failure> {
    repositories::mark_due(db, delivery.repository_id)
        .await
        .map_err(passing)?;
    let effect = Effect::Looked {
        name,
        before,
        after,
    };
    Ok(Ended::done(effect, words))
}

/// After a try that failed: later again, or never.
async fn give_back(
    context: &Context,
    delivery: &DeliveryRow,
    failure: &Failure,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let words = &failure.message;
    if let Some(until) = failure.wait_until {
        repositories::pause_forge(&context.pool, &delivery.repository, until).await?;
        return deliveries::postpone(&context.pool, delivery, words, until, false).await;
    }
    if failure.permanent || delivery.attempts >= MOST_ATTEMPTS {
        return deliveries::settle(&context.pool, delivery, DeliveryState::Failed, &[], words)
            .await
            .map(drop);
    }
    let again = now + when::pause(delivery.attempts);
    deliveries::postpone(&context.pool, delivery, words, again, true).await
}
