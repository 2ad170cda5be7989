//! One try of what a forge is told of a regression: the state of its culprit, as a status or as a check, and the comment.

use super::perform::{id, passing};
use super::{Sender, checks};
use crate::alerts::{chat, check};
use crate::config::Report;
use crate::context::Context;
use crate::db::check_runs::Subject;
use crate::db::outbox::MessageRow;
use crate::db::stories;
use crate::domain::telling::{CommitLine, Failure, Story};
use crate::forge::{Check, CommitState, Forge, Verdict};
use crate::scheduler::forges;

/// The story of an event, and its culprit. A check tells of one that has fallen, too.
async fn read(context: &Context, event: i64) -> Result<(Story, CommitLine), Failure> {
    let mut connection = context.pool.acquire().await.map_err(passing)?;
    let mut told = stories::list(&mut connection, &[event])
        .await
        .map_err(passing)?;
    let story = told
        .pop()
        .ok_or_else(|| Failure::permanent("the regression is gone"))?;
    let culprit = story
        .culprit
        .clone()
        .ok_or_else(|| Failure::permanent("its commit is not known any more"))?;
    Ok((story, culprit))
}

fn fallen() -> Failure {
    Failure::permanent("no regression any more: there is nothing to tell")
}

fn address(context: &Context, story: &Story) -> String {
    let base = context.config.public_url();
    format!("{base}/regressions/{}", story.regression_id)
}

/// Tells how the culprit is.
pub(super) async fn state(context: &Context, sender: &Sender, event: i64) -> Result<(), Failure> {
    let (story, culprit) = read(context, event).await?;
    let (settings, forge) = forges::open(context, &sender.http, &story.repository).await?;
    match settings.report {
        Report::Check => set_check(context, sender, &forge, &story, &culprit).await,
        Report::Status if !story.is_standing() => Err(fallen()),
        Report::Status => {
            let verdict = Verdict {
                hash: &culprit.hash,
                state: if story.better {
                    CommitState::Success
                } else {
                    CommitState::Failure
                },
                description: &check::headline(&story),
                target_url: &address(context, &story),
                context: &format!("speedwell/regression-{}", story.regression_id),
            };
            forge.set_status(&sender.http, &verdict).await
        }
    }
}

async fn set_check(
    context: &Context,
    sender: &Sender,
    forge: &Forge,
    story: &Story,
    culprit: &CommitLine,
) -> Result<(), Failure> {
    let subject = Subject::Regression(story.regression_id);
    let known = checks::find(context, subject, &culprit.hash).await?;
    if known.is_none() && !story.is_standing() {
        return Err(fallen());
    }
    let (state, title) = check::of_regression(story);
    let check = Check {
        name: &format!("speedwell/regression-{}", story.regression_id),
        hash: &culprit.hash,
        external_id: &id(sender, &format!("regression {}", story.regression_id)),
        details_url: &address(context, story),
        state,
        title: &title,
        summary: &chat::comment(story, culprit, &context.config.public_url()),
    };
    let place = (story.repository.as_str(), forge);
    checks::set(context, sender, place, subject, &check).await
}

/// Writes the comment on the culprit.
pub(super) async fn comment(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    event: i64,
) -> Result<(), Failure> {
    let (story, culprit) = read(context, event).await?;
    if !story.is_standing() {
        return Err(fallen());
    }
    let (_, forge) = forges::open(context, &sender.http, &story.repository).await?;
    let text = chat::comment(&story, &culprit, &context.config.public_url());
    forge
        .comment(&sender.http, &culprit.hash, &text, &id(sender, &row.key))
        .await
}
