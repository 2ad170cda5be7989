//! Signing in by pasting a token or at a forge, and out.

pub(super) mod forge;

use actix_web::http::header;
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use chrono::{Duration, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{PageError, Shell, render};
use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::audit;
use crate::db::sessions::{self, By, NewSession};
use crate::domain::audit::Action;
use crate::domain::token::TokenKind;
use crate::domain::triage::clean;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{self, Actor, Cookies, Proof, Visitor};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    shell: Shell,
    actor: Option<Actor>,
    to: String,
    /// Why it was refused.
    refused: Option<String>,
    /// Forges where one can sign in, and their addresses.
    forges: Vec<(String, String)>,
}

fn forges(context: &Context, to: &str) -> Vec<(String, String)> {
    let names = context.config.sign_ins.iter().map(|one| &one.name);
    let to = format::encode(to);
    names
        .map(|name| (name.clone(), format!("/sign-in/{name}?to={to}")))
        .collect()
}

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
pub(super) struct Destination {
    #[serde(default)]
    to: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Pasted {
    #[serde(default)]
    token: String,
    #[serde(default)]
    to: String,
}

pub(super) async fn form(
    context: Data<Context>,
    visitor: Visitor,
    destination: Query<Destination>,
) -> Result<HttpResponse, PageError> {
    let to = session::own_path(&destination.to).to_owned();
    let mut response = render(&Page {
        shell: Shell::new("Sign in", ""),
        actor: visitor.0,
        forges: forges(&context, &to),
        to,
        refused: None,
    })?;
    keep_out_of_caches(&mut response);
    Ok(response)
}

pub(super) async fn sign_in(
    context: Data<Context>,
    request: HttpRequest,
    pasted: Form<Pasted>,
) -> Result<HttpResponse, PageError> {
    session::require_own_site(&request)?;
    let to = session::own_path(&pasted.to).to_owned();
    let words = match session::check_token(&context, &pasted.token).await {
        Ok(actor) if actor.kind == TokenKind::Importer => {
            "This is the token of a program that sends results; people sign in with their own."
        }
        Ok(actor) => return begin(&context, &request, &actor, &to).await,
        Err(Error::Unauthorized(words)) => words,
        Err(error) => return Err(error.into()),
    };
    refused(&context, &to, words.to_owned())
}

/// The page again, with why somebody did not come in.
fn refused(context: &Context, to: &str, words: String) -> Result<HttpResponse, PageError> {
    let mut response = render(&Page {
        shell: Shell::new("Sign in", ""),
        actor: None,
        forges: forges(context, to),
        to: to.to_owned(),
        refused: Some(words),
    })?;
    *response.status_mut() = actix_web::http::StatusCode::UNAUTHORIZED;
    keep_out_of_caches(&mut response);
    Ok(response)
}

/// Begins a sign-in with a token that was accepted.
async fn begin(
    context: &Context,
    request: &HttpRequest,
    actor: &Actor,
    to: &str,
) -> Result<HttpResponse, PageError> {
    let by = match actor.proof {
        Proof::Token(id) => By::Token(id),
        Proof::Session(_) => {
            return Err(anyhow::anyhow!("a pasted token is no sign-in").into());
        }
    };
    let until = Duration::days(session::DAYS);
    let cookie = insert(context, request, &actor.name, by, until).await?;
    Ok(HttpResponse::SeeOther()
        .cookie(cookie)
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// Adds a sign-in, notes it, and ends the one that the browser had; the cookie of the new one.
async fn insert(
    context: &Context,
    request: &HttpRequest,
    actor: &str,
    by: By<'_>,
    until: Duration,
) -> Result<actix_web::cookie::Cookie<'static>, Error> {
    let id = session::random();
    let browser = request.headers().get(header::USER_AGENT);
    let browser = browser.and_then(|value| value.to_str().ok());
    let short: String = browser.unwrap_or("unknown").chars().take(200).collect();
    let browser = clean(&short, 200, false).unwrap_or_else(|| "unknown".to_owned());
    let new = NewSession {
        sha256: &sha256_hex(id.as_bytes()),
        actor,
        by,
        browser: &browser,
        expires_at: Utc::now() + until,
    };
    let earlier = match session::find_actor(request).await {
        Ok(Some(Actor {
            proof: Proof::Session(id),
            ..
        })) => Some(id),
        _ => None,
    };
    let mut transaction = context.pool.begin().await?;
    if let Some(earlier) = earlier {
        sessions::end(&mut *transaction, earlier, None).await?;
    }
    let key = sessions::insert(&mut *transaction, &new).await?;
    let details = match by {
        By::Token(token) => json!({ "by": "token", "token": token, "browser": browser }),
        By::Forge { provider, role } => {
            json!({ "by": provider, "role": role.as_str(), "browser": browser })
        }
    };
    let subject = format!("session {key}");
    audit::record(
        &mut *transaction,
        actor,
        Action::SessionBegin,
        &subject,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(Cookies::of(&context.config).session(id))
}

pub(super) async fn sign_out(
    context: Data<Context>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    session::require_own_site(&request)?;
    if let Ok(Some(actor)) = session::find_actor(&request).await
        && let Proof::Session(id) = actor.proof
    {
        end(&context, id, &actor, None).await?;
    }
    let cookies = Cookies::of(&context.config);
    Ok(HttpResponse::SeeOther()
        .cookie(cookies.without(cookies.session_name()))
        .insert_header((header::LOCATION, "/"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// Ends a sign-in, anybody's or only this person's, and notes it; whether there was one.
pub(super) async fn end(
    context: &Context,
    id: i64,
    by: &Actor,
    of: Option<&str>,
) -> Result<bool, Error> {
    let mut transaction = context.pool.begin().await?;
    let Some(whose) = sessions::end(&mut *transaction, id, of).await? else {
        return Ok(false);
    };
    let subject = format!("session {id}");
    let details = json!({ "of": whose });
    let action = Action::SessionEnd;
    audit::record(&mut *transaction, &by.name, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(true)
}

fn keep_out_of_caches(response: &mut HttpResponse) {
    let value = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
}
