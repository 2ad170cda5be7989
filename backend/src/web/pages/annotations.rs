//! Words of people on commits and hosts.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path};
use serde::Deserialize;
use serde_json::json;

use super::PageError;
use crate::context::Context;
use crate::db::annotations::{self, Annotation, Subject};
use crate::db::{audit, hosts};
use crate::domain::audit::Action;
use crate::domain::role::Role;
use crate::domain::triage::{LONGEST_NOTE, clean};
use crate::web::error::Error;
use crate::web::find::find_commit;
use crate::web::format;
use crate::web::session::{Triager, Visitor};

/// Annotations on one page.
const SHOWN: i64 = 100;

/// The annotations of a page with its form; part of templates (`annotations.html`).
pub(super) struct Block {
    pub(super) lines: Vec<Line>,
    /// Where the form goes; absent for those who may not write.
    pub(super) form: Option<String>,
    pub(super) sign_in: String,
}

/// One annotation.
pub(super) struct Line {
    pub(super) row: Annotation,
    pub(super) when: String,
    pub(super) removable: bool,
}

/// The annotations on something; `address`: its page.
pub(super) async fn block(
    context: &Context,
    visitor: &Visitor,
    subject: Subject,
    address: &str,
) -> Result<Block, Error> {
    let rows = annotations::list(&context.pool, subject, SHOWN).await?;
    let own = |row: &Annotation| {
        let actor = visitor.0.as_ref().filter(|_| visitor.may(Role::Triager));
        visitor.may(Role::Operator) || actor.is_some_and(|actor| actor.name == row.actor)
    };
    let lines = rows.into_iter().map(|row| Line {
        when: format::moment(row.at),
        removable: own(&row),
        row,
    });
    Ok(Block {
        lines: lines.collect(),
        form: visitor
            .may(Role::Triager)
            .then(|| format!("{address}/annotations")),
        sign_in: format!("/sign-in?to={}", format::encode(address)),
    })
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(super) struct Words {
    #[serde(default)]
    message: String,
}

impl Words {
    fn checked(&self) -> Result<String, Error> {
        let text = clean(&self.message, LONGEST_NOTE, true).filter(|text| !text.is_empty());
        text.ok_or_else(|| Error::BadRequest {
            field: "message".to_owned(),
            message: format!("message: 1 to {LONGEST_NOTE} characters, without control characters"),
        })
    }
}

fn back_to(address: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("{address}#annotations")))
        .finish()
}

/// Adds one and notes that; `place`: what it is on, in words.
async fn add(
    context: &Context,
    subject: Subject,
    place: &str,
    actor: &str,
    text: &str,
) -> Result<(), Error> {
    let mut transaction = context.pool.begin().await?;
    let id = annotations::insert(&mut *transaction, subject, actor, text).await?;
    let details = json!({ "on": place, "message": text });
    let action = Action::AnnotationAdd;
    let subject = format!("annotation {id}");
    audit::record(&mut *transaction, actor, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(())
}

/// On a commit.
pub(super) async fn on_commit(
    context: Data<Context>,
    actor: Triager,
    hash: Path<String>,
    words: Form<Words>,
) -> Result<HttpResponse, PageError> {
    let text = words.checked()?;
    let commit = find_commit(&context, &hash).await?;
    let subject = Subject::Commit(commit.id);
    let place = format!("commit {}", commit.hash);
    add(&context, subject, &place, &actor.0.name, &text).await?;
    Ok(back_to(&format!("/commits/{}", commit.hash)))
}

/// On a host.
pub(super) async fn on_host(
    context: Data<Context>,
    actor: Triager,
    name: Path<String>,
    words: Form<Words>,
) -> Result<HttpResponse, PageError> {
    let text = words.checked()?;
    let host = hosts::find_by_name(&context.pool, &name).await?;
    let host = host.ok_or_else(|| Error::NotFound(format!("There is no host {name:?}.")))?;
    let subject = Subject::Host(host.id);
    let place = format!("host {}", host.name);
    add(&context, subject, &place, &actor.0.name, &text).await?;
    Ok(back_to(&format!("/hosts/{}", format::encode(&host.name))))
}

/// Takes one back.
pub(super) async fn remove(
    context: Data<Context>,
    actor: Triager,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let any = actor.0.role >= Role::Operator;
    let mut transaction = context.pool.begin().await?;
    let gone = annotations::delete(&mut *transaction, *id, &actor.0.name, any).await?;
    let gone = gone.ok_or_else(|| {
        Error::NotFound("There is no such annotation, or it is somebody else's.".to_owned())
    })?;
    let details = json!({ "of": gone.actor, "message": gone.message });
    let action = Action::AnnotationRemove;
    let subject = format!("annotation {id}");
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(back_to(&match (gone.hash, gone.host) {
        (Some(hash), _) => format!("/commits/{hash}"),
        (None, Some(host)) => format!("/hosts/{}", format::encode(&host)),
        (None, None) => "/".to_owned(),
    }))
}
