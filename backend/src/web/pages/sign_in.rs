//! Signing in by pasting a token, and out.

use actix_web::http::header;
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::web::session::{self, Actor, Visitor};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    shell: Shell,
    actor: Option<Actor>,
    to: String,
    refused: bool,
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
    visitor: Visitor,
    destination: Query<Destination>,
) -> Result<HttpResponse, PageError> {
    let mut response = render(&Page {
        shell: Shell::new("Sign in", ""),
        actor: visitor.0,
        to: session::own_path(&destination.to).to_owned(),
        refused: false,
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
    if session::check(&context, &pasted.token).await?.is_none() {
        let mut response = render(&Page {
            shell: Shell::new("Sign in", ""),
            actor: None,
            to,
            refused: true,
        })?;
        *response.status_mut() = actix_web::http::StatusCode::UNAUTHORIZED;
        keep_out_of_caches(&mut response);
        return Ok(response);
    }
    Ok(HttpResponse::SeeOther()
        .cookie(session::cookie(&context, &pasted.token))
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

pub(super) async fn sign_out(
    context: Data<Context>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    session::require_own_site(&request)?;
    Ok(HttpResponse::SeeOther()
        .cookie(session::no_cookie(&context))
        .insert_header((header::LOCATION, "/"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

fn keep_out_of_caches(response: &mut HttpResponse) {
    let value = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
}
