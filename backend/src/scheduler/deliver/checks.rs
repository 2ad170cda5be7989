//! Writes a check run, and keeps which it was.

use super::Sender;
use super::perform::passing;
use crate::context::Context;
use crate::db::check_runs::{self, Subject, Written};
use crate::domain::telling::Failure;
use crate::forge::{Check, Forge};

/// The newest check run about something, and how it ended.
pub(super) async fn find(
    context: &Context,
    subject: Subject,
    hash: &str,
) -> Result<Option<(i64, Option<String>)>, Failure> {
    check_runs::find(&context.pool, subject, hash)
        .await
        .map_err(passing)
}

/// Edits the newest check run about something, or writes one where it is over, or where there is none.
pub(super) async fn set(
    context: &Context,
    sender: &Sender,
    (repository, forge): (&str, &Forge),
    subject: Subject,
    check: &Check<'_>,
) -> Result<(), Failure> {
    let newest = find(context, subject, check.hash).await?;
    let editable = newest.filter(|(_, ended)| check.state.may_follow(ended.as_deref()));
    let key = forge
        .set_check(&sender.http, check, editable.map(|(key, _)| key))
        .await?;
    let written = Written {
        repository,
        subject,
        hash: check.hash,
        key,
        ended: check.state.ended(),
    };
    check_runs::keep(&context.pool, &written)
        .await
        .map_err(passing)
}
