//! Tokens and sign-ins: everybody's own, and all of them for an admin. A new token is shown once.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{PageError, Shell, render, sign_in};
use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::audit;
use crate::db::sessions::{self, Session};
use crate::db::tokens::{self, HostTokenRow, NewToken, Token};
use crate::domain::audit::Action;
use crate::domain::role::{Role, is_actor_name, is_owner_name};
use crate::domain::token::{Scope, TokenKind, lifetime};
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{self, Actor, Proof, Viewer};

/// Longest time that a token holds which somebody makes for themselves, in days.
const LONGEST_DAYS: i64 = 366;

#[derive(Template)]
#[template(path = "tokens.html")]
struct Page {
    shell: Shell,
    actor: Actor,
    is_admin: bool,
    /// What the form offers: roles, and `importer` for an admin.
    rights: Vec<&'static str>,
    /// A token that was just made, and its name.
    made: Option<(String, String)>,
    rows: Vec<Row>,
    sessions: Vec<SessionRow>,
    hosts: Vec<(HostTokenRow, String)>,
}

struct Row {
    row: Token,
    rights: String,
    reaches: String,
    made: String,
    used: String,
    end: String,
    is_open: bool,
}

struct SessionRow {
    row: Session,
    begun: String,
    used: String,
    is_this: bool,
}

/// `GET /tokens`.
pub(super) async fn list(context: Data<Context>, actor: Viewer) -> Result<HttpResponse, PageError> {
    page(&context, actor.0, None).await
}

async fn page(
    context: &Context,
    actor: Actor,
    made: Option<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let now = Utc::now();
    let is_admin = actor.role >= Role::Admin;
    let whose = (!is_admin).then_some(actor.name.as_str());
    let rows = tokens::list(&context.pool, whose).await?;
    let open = sessions::list(&context.pool, whose).await?;
    let hosts = if is_admin {
        tokens::list_of_hosts(&context.pool).await?
    } else {
        Vec::new()
    };
    let session = |row: Session| SessionRow {
        begun: format::ago(row.created_at, now),
        used: format::ago(row.last_used_at, now),
        is_this: actor.proof == Proof::Session(row.id),
        row,
    };
    let host = |row: HostTokenRow| {
        let seen = row.last_seen_at.map(|at| format::ago(at, now));
        (row, seen.unwrap_or_else(|| "never".to_owned()))
    };
    let roles = Role::ALL.iter().filter(|role| **role <= actor.role);
    let mut rights: Vec<&str> = roles.map(|role| role.as_str()).collect();
    if is_admin {
        rights.push(TokenKind::Importer.as_str());
    }
    let mut response = render(&Page {
        shell: Shell::new("Tokens", ""),
        is_admin,
        rights,
        made,
        rows: rows.into_iter().map(|one| row(one, now)).collect(),
        sessions: open.into_iter().map(session).collect(),
        hosts: hosts.into_iter().map(host).collect(),
        actor,
    })?;
    let value = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    Ok(response)
}

fn row(row: Token, now: DateTime<Utc>) -> Row {
    let end = match (row.revoked_at, row.expires_at) {
        (Some(at), _) => format!("revoked {}", format::ago(at, now)),
        (None, Some(at)) if at <= now => format!("expired {}", format::ago(at, now)),
        (None, Some(at)) => format::moment(at),
        (None, None) => "never".to_owned(),
    };
    let is_importer = row.kind == TokenKind::Importer.as_str();
    Row {
        rights: if is_importer { &row.kind } else { &row.role }.clone(),
        reaches: row.scope().words(),
        made: format::ago(row.created_at, now),
        used: row
            .last_used_at
            .map_or_else(|| "never".to_owned(), |at| format::ago(at, now)),
        end,
        is_open: row.revoked_at.is_none(),
        row,
    }
}

/// What the form sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewForm {
    name: String,
    rights: String,
    expires: String,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    runtimes: String,
    #[serde(default)]
    hosts: String,
}

fn wrong(field: &str, message: impl AsRef<str>) -> Error {
    Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {}", message.as_ref()),
    }
}

impl NewForm {
    /// The token that this person may make; without its hash.
    fn read<'a>(&'a self, actor: &'a Actor) -> Result<NewToken<'a>, Error> {
        let is_admin = actor.role >= Role::Admin;
        if !actor.scope.is_everything() {
            let words = "Whoever came in with a token that reaches only some runtimes or hosts makes no others.";
            return Err(Error::Forbidden(words.to_owned()));
        }
        let name = self.name.trim();
        if !is_actor_name(name) {
            let form = "use 1 to 64 letters, digits, '-', '_', '.' and '@', and not \"speedwell\"";
            return Err(wrong("name", form));
        }
        let owner = match self.owner.trim() {
            "" => actor.name.as_str(),
            owner if owner == actor.name || (is_admin && is_owner_name(owner)) => owner,
            _ if is_admin => return Err(wrong("owner", "not a name like ada or github:ada")),
            _ => {
                let words = "Tokens of others are made by an admin.".to_owned();
                return Err(Error::Forbidden(words));
            }
        };
        let (kind, role) = self.read_rights(actor)?;
        let long = lifetime(&self.expires).map_err(|message| wrong("expires", message))?;
        let long_enough = |long: &chrono::Duration| long.num_days() <= LONGEST_DAYS;
        if !is_admin && !long.as_ref().is_some_and(long_enough) {
            let message = format!(
                "write a number of days up to {LONGEST_DAYS}d; longer ones are made by an admin"
            );
            return Err(wrong("expires", message));
        }
        let texts = |text: &String| vec![text.clone()];
        let scope = Scope::read(&texts(&self.runtimes), &texts(&self.hosts));
        Ok(NewToken {
            name,
            owner,
            kind,
            role,
            scope: scope.map_err(|(field, message)| wrong(&format!("{field}s"), message))?,
            expires_at: long.map(|long| Utc::now() + long),
            sha256: "",
        })
    }

    fn read_rights(&self, actor: &Actor) -> Result<(TokenKind, Role), Error> {
        if self.rights == TokenKind::Importer.as_str() {
            if actor.role < Role::Admin {
                let words = "Tokens of programs that send results are made by an admin.";
                return Err(Error::Forbidden(words.to_owned()));
            }
            return Ok((TokenKind::Importer, Role::Viewer));
        }
        let role = self.rights.parse::<Role>().map_err(|_unknown| {
            wrong("rights", "use viewer, triager, operator, admin or importer")
        })?;
        if role > actor.role {
            return Err(Error::Forbidden(format!(
                "{} has the role {}, and gives no higher one.",
                actor.name,
                actor.role.as_str()
            )));
        }
        Ok((TokenKind::Person, role))
    }
}

/// `POST /tokens`: makes a token, and shows it once.
pub(super) async fn add(
    context: Data<Context>,
    actor: Viewer,
    form: Form<NewForm>,
) -> Result<HttpResponse, PageError> {
    let token = session::random();
    let hash = sha256_hex(token.as_bytes());
    let new = NewToken {
        sha256: &hash,
        ..form.read(&actor.0)?
    };
    let mut transaction = context.pool.begin().await?;
    let taken = tokens::find_by_name(&mut *transaction, new.name).await?;
    let is_taken =
        taken.is_some_and(|known| known.revoked_at.is_none() || known.owner != new.owner);
    if is_taken || tokens::upsert(&mut transaction, &new).await?.is_none() {
        let message = "there is a token of this name: take another, or revoke it first";
        return Err(wrong("name", message).into());
    }
    let details = json!({
        "owner": new.owner, "kind": new.kind.as_str(), "role": new.role.as_str(), "reaches": new.scope.words(),
        "until": new.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
    });
    let subject = format!("token {}", new.name);
    let action = Action::TokenAdd;
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    let made = (new.name.to_owned(), token);
    page(&context, actor.0, Some(made)).await
}

/// `POST /tokens/{name}/revoke`: takes one's own back, or anybody's.
pub(super) async fn revoke(
    context: Data<Context>,
    actor: Viewer,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    let mut transaction = context.pool.begin().await?;
    let known = tokens::find_by_name(&mut *transaction, &name).await?;
    let known = known.filter(|known| known.owner == actor.0.name || actor.0.role >= Role::Admin);
    let Some(known) = known else {
        let words = format!("There is no token {name:?}, or it is somebody else's.");
        return Err(Error::NotFound(words).into());
    };
    if !tokens::revoke(&mut transaction, &known.name).await? {
        let words = format!("The token {name} was taken back before.");
        return Err(Error::Conflict(words).into());
    }
    let subject = format!("token {}", known.name);
    let details = json!({ "owner": known.owner });
    let action = Action::TokenRevoke;
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(back())
}

/// `POST /sessions/{id}/end`: ends one's own sign-in, or anybody's.
pub(super) async fn end_session(
    context: Data<Context>,
    actor: Viewer,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let own = (actor.0.role < Role::Admin).then_some(actor.0.name.as_str());
    if !sign_in::end(&context, *id, &actor.0, own).await? {
        let words = "There is no such sign-in that goes on, or it is somebody else's.";
        return Err(Error::NotFound(words.to_owned()).into());
    }
    Ok(back())
}

fn back() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/tokens"))
        .finish()
}
