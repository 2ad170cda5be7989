//! `POST /hooks/{forge}/{repository}`: takes what a forge sends, once it is known to come from it. Everything else is the tick's.

use std::time::Instant;

use actix_web::http::header::HeaderMap;
use actix_web::web::{Data, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use bytes::BytesMut;
use chrono::Utc;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::artefacts::sha256_hex;
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::deliveries::{self, Headers, NewDelivery};
use crate::domain::hook::ForgeKind;
use crate::forge::signature::is_genuine;
use crate::web::error::Error;

/// Headers that are kept: what was sent, by what, and under which number. None of them is a secret.
const KEPT: &[&str] = &[
    "content-type",
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-gitlab-instance",
    "x-gitlab-webhook-uuid",
    "idempotency-key",
    "webhook-id",
    "webhook-timestamp",
    "x-forgejo-delivery",
    "x-forgejo-event",
    "x-forgejo-event-type",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-gitea-event-type",
];
/// Longest value of a header that is kept.
const LONGEST: usize = 200;

/// Takes a delivery.
pub(super) async fn take(
    context: Data<Context>,
    place: Path<(String, String)>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let begun = Instant::now();
    let (forge, repository) = place.into_inner();
    let done = receive(&context, &forge, &repository, request.headers(), body).await;
    let outcome = match &done {
        Ok((_, true)) => "taken",
        Ok((_, false)) => "repeated",
        Err(Error::NotFound(_)) => "unknown",
        Err(Error::Unauthorized(_)) => "refused",
        Err(Error::TooLarge(_)) => "too_large",
        Err(Error::BadRequest { .. }) => "unreadable",
        Err(_) => "failed",
    };
    // Only names of our own become labels: anybody may ask for others.
    let kind = ForgeKind::from_address(&forge).map_or("unknown", ForgeKind::as_str);
    metrics::counter!("speedwell_hooks_total", "forge" => kind, "outcome" => outcome).increment(1);
    metrics::histogram!("speedwell_hook_seconds").record(begun.elapsed().as_secs_f64());
    let (id, new) = done?;
    Ok(HttpResponse::Accepted().json(json!({
        "delivery": id,
        "repeated": !new,
        "page": format!("{}/deliveries/{id}", context.config.public_url()),
    })))
}

/// Reads, checks and keeps it: its number, and whether it is new.
async fn receive(
    context: &Context,
    forge: &str,
    repository: &str,
    headers: &HeaderMap,
    body: Payload,
) -> Result<(i64, bool), Error> {
    let (kind, settings) = find_door(context, forge, repository)?;
    let secrets = settings.hook_secrets()?;
    let body = read(headers, body, context.config.hooks.most_bytes).await?;
    let header = |name: &str| headers.get(name)?.to_str().ok();
    if !is_genuine(kind, header, &body, &secrets, Utc::now()) {
        tracing::warn!(
            repository,
            forge = kind.as_str(),
            "a hook without a right signature"
        );
        return Err(Error::Unauthorized(
            "The signature of this hook is missing or wrong: give the forge the secret of `[repository.forge] hook_secret_file`.",
        ));
    }
    let json = json_of(headers, &body)?;
    let event = event(kind, header)?;
    let key = key(kind, header, &body);
    let kept: Headers = KEPT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), cut(header(name)?))))
        .collect();
    let body_bytes = i32::try_from(json.len()).unwrap_or(i32::MAX);
    let packed = zstd::encode_all(json.as_slice(), 3).map_err(anyhow::Error::from)?;
    let new = NewDelivery {
        repository,
        forge: kind.as_str(),
        key: &key,
        event: &event,
        headers: &kept,
        body: &packed,
        body_bytes,
    };
    let stored = deliveries::insert(&context.pool, &new).await?;
    stored.ok_or_else(|| no_door(forge, repository))
}

/// The settings of a repository that takes hooks of this forge.
fn find_door<'a>(
    context: &'a Context,
    forge: &str,
    repository: &str,
) -> Result<(ForgeKind, &'a ForgeConfig), Error> {
    let repositories = &context.config.repositories;
    let settings = repositories
        .iter()
        .find(|one| one.name == repository)
        .and_then(|one| one.forge.as_ref())
        .filter(|settings| settings.hook_secret_file.is_some());
    let found = settings.filter(|one| ForgeKind::from_address(forge) == Some(one.kind));
    let settings = found.ok_or_else(|| no_door(forge, repository))?;
    Ok((settings.kind, settings))
}

fn no_door(forge: &str, repository: &str) -> Error {
    Error::NotFound(format!(
        "No hooks are taken at /hooks/{}/{}: the address is /hooks/github|gitlab|forgejo/REPOSITORY, and [repository.forge] of that \
         repository needs this kind and a hook_secret_file.",
        cut(forge),
        cut(repository)
    ))
}

/// The whole body, unless it is too large: then nothing more of it is read.
async fn read(headers: &HeaderMap, mut body: Payload, most: usize) -> Result<BytesMut, Error> {
    let too_large = || {
        Error::TooLarge(format!(
            "body: larger than {most} bytes, the most that is taken here ([hooks] most_bytes); leave out events that are not needed"
        ))
    };
    let said = headers
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|bytes| bytes > most) {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| unreadable("body", format!("was cut off: {error}")))?;
        if whole.len() + part.len() > most {
            return Err(too_large());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

fn unreadable(field: &str, problem: impl std::fmt::Display) -> Error {
    Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {problem}"),
    }
}

#[derive(Deserialize)]
struct Form {
    payload: String,
}

/// The JSON of a body, which may be a form's field `payload`; that it is JSON is all that is looked at here.
fn json_of(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Error> {
    let kind = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    let json = match kind {
        "application/json" => body.to_vec(),
        "application/x-www-form-urlencoded" => {
            let text = std::str::from_utf8(body).map_err(|error| unreadable("body", error))?;
            let form = Query::<Form>::from_query(text)
                .map_err(|error| unreadable("payload", format!("cannot be read: {error}")))?;
            form.into_inner().payload.into_bytes()
        }
        _ => {
            return Err(unreadable(
                "content-type",
                "use application/json or application/x-www-form-urlencoded",
            ));
        }
    };
    match serde_json::from_slice::<IgnoredAny>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(unreadable("body", format!("is no JSON: {error}"))),
    }
}

/// The header's name of what has happened.
fn event<'a>(kind: ForgeKind, header: impl Fn(&str) -> Option<&'a str>) -> Result<String, Error> {
    let names: &[&str] = match kind {
        ForgeKind::Github => &["x-github-event"],
        ForgeKind::Gitlab => &["x-gitlab-event"],
        ForgeKind::Forgejo => &["x-forgejo-event", "x-gitea-event", "x-github-event"],
    };
    let found = names.iter().find_map(|name| header(name));
    let first = names.first().copied().unwrap_or_default();
    found
        .filter(|event| !event.is_empty())
        .map(cut)
        .ok_or_else(|| unreadable(first, "this header is missing"))
}

/// By which a delivery that comes again is known. Where the forge gives no number, by what it says.
fn key<'a>(kind: ForgeKind, header: impl Fn(&str) -> Option<&'a str>, body: &[u8]) -> String {
    let names: &[&str] = match kind {
        ForgeKind::Github => &["x-github-delivery"],
        ForgeKind::Gitlab => &["idempotency-key", "webhook-id"],
        ForgeKind::Forgejo => &[
            "x-forgejo-delivery",
            "x-gitea-delivery",
            "x-github-delivery",
        ],
    };
    let found = names.iter().find_map(|name| header(name));
    match found.filter(|key| !key.is_empty() && key.len() <= LONGEST) {
        Some(key) => key.to_owned(),
        // Older GitLabs: one event's number is the same for all that follows from it.
        None => format!("sha256 {}", sha256_hex(body)),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
