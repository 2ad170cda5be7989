//! Asking for try runs, approving and ending them, as the form and the API do it: one transaction each, with its line in the audit log.

use serde_json::json;

use crate::context::Context;
use crate::db::audit;
use crate::db::tries::{self, Approval, Opened};
use crate::domain::audit::Action;
use crate::domain::role::Role;
use crate::domain::token::TokenKind;
use crate::domain::try_run::{Options, Refused, Request, Source, Trust};
use crate::web::error::Error;
use crate::web::session::Actor;

/// What somebody wants tried, as a form or a program sends it; an empty text means that nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Repository's name.
    pub(super) repository: String,
    /// A branch, tag or commit.
    pub(super) head: String,
    /// What it is compared with.
    pub(super) base: String,
    /// Or a pull request's number.
    pub(super) pull: Option<u32>,
    /// Or a patch.
    pub(super) patch: String,
    /// How it is measured.
    pub(super) options: Options,
}

impl Wish {
    /// What is tried: exactly one of head, pull request and patch.
    fn source(&self) -> Result<Source, Error> {
        let base = Some(self.base.trim().to_owned()).filter(|base| !base.is_empty());
        let head = self.head.trim();
        let given = [
            !head.is_empty(),
            self.pull.is_some(),
            !self.patch.is_empty(),
        ];
        if given.iter().filter(|one| **one).count() != 1 {
            let message =
                "Give exactly one of head (a branch, tag or commit), pull (a number) and patch.";
            return Err(Error::BadRequest {
                field: "head".to_owned(),
                message: message.to_owned(),
            });
        }
        Ok(match self.pull {
            Some(_) if base.is_some() => {
                return Err(Error::BadRequest {
                    field: "base".to_owned(),
                    message: "base: a pull request knows its base itself".to_owned(),
                });
            }
            Some(number) => Source::Pull {
                number,
                base_branch: None,
            },
            None if head.is_empty() => Source::Patch {
                base,
                text: self.patch.clone(),
            },
            None => Source::Revision {
                head: head.to_owned(),
                base,
            },
        })
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::BadRequest {
            field: refused.field.to_owned(),
            message: refused.to_string(),
        }
    }
}

/// Opens a try; its key, and whether it is new. What a triager asks for runs at once, what anybody else asks for waits for approval.
pub(super) async fn open(
    context: &Context,
    actor: &Actor,
    wish: Wish,
) -> Result<(i64, bool), Error> {
    if actor.kind != TokenKind::Person {
        let words = "A token of a program that sends results asks for no try runs.";
        return Err(Error::Forbidden(words.to_owned()));
    }
    require_scope(actor, &wish.options)?;
    let trust = if actor.role >= Role::Triager {
        Trust::Given {
            by: actor.name.clone(),
        }
    } else {
        Trust::Withheld
    };
    let request = Request {
        source: wish.source()?,
        repository: wish.repository,
        options: wish.options,
        requester: actor.name.clone(),
        trust,
        origin: None,
    };
    let mut transaction = context.pool.begin().await?;
    let rounds = context.config.try_runs.rounds;
    match tries::open(&mut transaction, &request, rounds).await? {
        Opened::New(id) => {
            let details =
                json!({ "repository": request.repository, "source": request.source.as_str() });
            let subject = format!("try {id}");
            audit::record(
                &mut *transaction,
                &actor.name,
                Action::TryOpen,
                &subject,
                details,
            )
            .await?;
            transaction.commit().await?;
            Ok((id, true))
        }
        Opened::Known(id) => Ok((id, false)),
        Opened::UnderWay(id) => Err(Error::Conflict(format!(
            "Try {id} of this pull request is under way: cancel it first, or wait for it."
        ))),
        Opened::Refused(refused) => Err(refused.into()),
    }
}

/// A token that does not reach everything says what it wants, so that it can be held to it.
fn require_scope(actor: &Actor, options: &Options) -> Result<(), Error> {
    if actor.scope.is_everything() {
        return Ok(());
    }
    let Some(host) = &options.host else {
        let words = format!(
            "This token reaches {}: name the runtimes and the host.",
            actor.scope.words()
        );
        return Err(Error::Forbidden(words));
    };
    if options.runtimes.is_empty() {
        let words = format!(
            "This token reaches {}: name the runtimes.",
            actor.scope.words()
        );
        return Err(Error::Forbidden(words));
    }
    let mut runtimes = options.runtimes.iter();
    runtimes.try_for_each(|runtime| actor.require_scope(runtime, Some(host)))
}

/// Ends a try: its requester may, and every triager. Ending one that waits for approval refuses it.
pub(super) async fn cancel(context: &Context, actor: &Actor, id: i64) -> Result<(), Error> {
    let mut transaction = context.pool.begin().await?;
    let status = tries::status(&mut *transaction, id).await?;
    let status = status.ok_or_else(|| unknown(id))?;
    let own = status.requester == actor.name;
    if !own && actor.role < Role::Triager {
        let words = format!(
            "Try {id} is {}'s: only they and triagers end it.",
            status.requester
        );
        return Err(Error::Forbidden(words));
    }
    if !tries::cancel(&mut transaction, id, &actor.name).await? {
        return Err(Error::Conflict(format!("Try {id} is over already.")));
    }
    let action = if status.state == "waiting_for_approval" && !own {
        Action::TryRefuse
    } else {
        Action::TryCancel
    };
    let subject = format!("try {id}");
    audit::record(&mut *transaction, &actor.name, action, &subject, json!({})).await?;
    transaction.commit().await?;
    Ok(())
}

/// Lets a try run. `head`: the hash of what the triager has looked at.
pub(super) async fn approve(
    context: &Context,
    actor: &Actor,
    id: i64,
    head: &str,
) -> Result<(), Error> {
    let mut transaction = context.pool.begin().await?;
    match tries::approve(&mut transaction, id, head, &actor.name).await? {
        Approval::Given => {}
        Approval::NotWaiting => {
            return Err(Error::Conflict(format!("No try {id} waits for approval.")));
        }
        Approval::NotReady => {
            let words =
                format!("The commits of try {id} are not looked up yet: try again in a moment.");
            return Err(Error::Conflict(words));
        }
        Approval::Changed => {
            let words = format!("Try {id} is not what the page showed: look at it again.");
            return Err(Error::Conflict(words));
        }
    }
    let subject = format!("try {id}");
    let details = json!({ "head": head });
    audit::record(
        &mut *transaction,
        &actor.name,
        Action::TryApprove,
        &subject,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// No such try.
pub(super) fn unknown(id: i64) -> Error {
    Error::NotFound(format!("There is no try {id}."))
}
