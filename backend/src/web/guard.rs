//! What every request passes first: how often its address may come, and whether reading needs a sign-in.

use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::Cookie;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};

use super::client;
use super::error::Error;
use super::format;
use super::limits::{Door, Limits, Who};
use super::session::{self, Actor, Cookies, NewCookie, Proof};
use crate::config::{Config, Reading};
use crate::context::Context;

/// What somebody without a sign-in reads where reading needs one.
const SIGN_IN: &str = "Reading here needs a token or a sign-in: open /sign-in in a browser; programs send `authorization: Bearer TOKEN`, or `Basic` \
     with the token as the password.";

/// The middleware.
pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let context = request.app_data::<web::Data<Context>>().cloned();
    let config = context.as_ref().map(|context| &context.config);
    if let Some(config) = config
        && let Err(error) = admit(request.request(), config).await
    {
        let answer = refuse(request.request(), error);
        return Ok(request.into_response(answer));
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(config) = config {
        finish(&mut response, config);
    }
    Ok(response)
}

/// An error unless the request may go on.
async fn admit(request: &HttpRequest, config: &Config) -> Result<(), Error> {
    let path = request.path();
    if let Some(door) = door_of(request.method(), path) {
        count_address(request, door)?;
    }
    match config.reading {
        Reading::Public => Ok(()),
        Reading::SignedIn if is_open(path) => Ok(()),
        Reading::SignedIn => match session::find_actor(request).await? {
            Some(_) => Ok(()),
            None => Err(Error::Unauthorized(SIGN_IN)),
        },
    }
}

/// What a request comes for. Workers come often and with tokens that nobody guesses: they are not counted.
fn door_of(method: &Method, path: &str) -> Option<Door> {
    if path.starts_with("/api/worker/") || path == "/health" {
        return None;
    }
    let reads = is_reading(method);
    Some(if path.starts_with("/hooks/") {
        Door::Hooks
    } else if path.starts_with("/sign-in/") || (path == "/sign-in" && !reads) {
        Door::SigningIn
    } else if reads {
        Door::Reading
    } else {
        Door::Acting
    })
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether an address is open to everybody, whoever may read: it has a proof of its own, or no data.
fn is_open(path: &str) -> bool {
    let starts = [
        "/assets/",
        "/hooks/",
        "/api/worker/",
        "/unsubscribe/",
        "/sign-in/",
        // They ask for a token themselves, and find it where their programs put it.
        "/codespeed/",
        "/lnt/",
        "/api/db_",
    ];
    matches!(path, "/health" | "/sign-in" | "/sign-out")
        || starts.iter().any(|start| path.starts_with(start))
}

fn too_many(wait: Duration) -> Error {
    Error::TooMany(wait.as_secs() + 1)
}

/// Counts a request at a door, for its address.
fn count_address(request: &HttpRequest, door: Door) -> Result<(), Error> {
    let (Some(limits), Some(context)) = (
        request.app_data::<web::Data<Limits>>(),
        request.app_data::<web::Data<Context>>(),
    ) else {
        return Ok(());
    };
    let address = client::address(request, &context.config.trusted_proxies);
    let who = Who::Address(client::household(address));
    limits.check(door, who).map_err(too_many)
}

/// Counts a token that was not accepted as a try to sign in, for its address.
pub(super) fn count_failure(request: &HttpRequest) -> Result<(), Error> {
    count_address(request, Door::SigningIn)
}

/// Counts a request of somebody known, for the token or the sign-in.
pub(super) fn count_actor(request: &HttpRequest, actor: &Actor) -> Result<(), Error> {
    let Some(limits) = request.app_data::<web::Data<Limits>>() else {
        return Ok(());
    };
    let who = match actor.proof {
        Proof::Token(id) => Who::Token(id),
        Proof::Session(id) => Who::Session(id),
    };
    let door = if is_reading(request.method()) {
        Door::Reading
    } else {
        Door::Acting
    };
    limits.check(door, who).map_err(too_many)
}

/// The answer to a request that may not go on. A person is sent to where one signs in, a feed reader is asked for a password.
fn refuse(request: &HttpRequest, error: Error) -> HttpResponse {
    if !matches!(error, Error::Unauthorized(_)) {
        return session::shown(request, error).error_response();
    }
    let text = |name: &str| {
        let value = request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let is_page = is_reading(request.method())
        && !session::is_for_programs(request.path())
        && text("accept").contains("text/html");
    if is_page && text("authorization").is_empty() {
        let here = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        return HttpResponse::SeeOther()
            .insert_header((
                header::LOCATION,
                format!("/sign-in?to={}", format::encode(here)),
            ))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish();
    }
    let mut answer = session::shown(request, error).error_response();
    // A browser would ask for a name and a password in a window of its own, for a script's request, too.
    if text("sec-fetch-mode").is_empty() {
        let basic =
            header::HeaderValue::from_static("Basic realm=\"Speedwell\", charset=\"UTF-8\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    answer
}

/// Hands out the new id of a sign-in, and keeps what not everybody may read out of shared caches.
fn finish(response: &mut ServiceResponse<BoxBody>, config: &Config) {
    let new = response.request().extensions_mut().remove::<NewCookie>();
    let has_own_cookie = response.response().cookies().next().is_some();
    let is_private = config.reading == Reading::SignedIn && !is_open(response.request().path());
    let headers = response.headers_mut();
    if let Some(NewCookie(id)) = new
        && !has_own_cookie
        && let Ok(value) = set_cookie(&Cookies::of(config).session(id))
    {
        headers.append(header::SET_COOKIE, value);
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
    } else if is_private {
        let kept = headers
            .get(header::CACHE_CONTROL)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("no-cache");
        if !kept.contains("no-store") && !kept.contains("private") {
            let words = format!("private, {}", kept.replace("public, ", ""));
            if let Ok(value) = header::HeaderValue::from_str(&words) {
                headers.insert(header::CACHE_CONTROL, value);
            }
        }
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        let bearer = header::HeaderValue::from_static("Bearer realm=\"Speedwell\"");
        let headers = response.headers_mut();
        if !headers.contains_key(header::WWW_AUTHENTICATE) {
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
    }
}

fn set_cookie(cookie: &Cookie<'_>) -> Result<header::HeaderValue, header::InvalidHeaderValue> {
    header::HeaderValue::from_str(&cookie.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_at_its_door() {
        let door = |method: Method, path| door_of(&method, path);
        assert_eq!(door(Method::GET, "/queue"), Some(Door::Reading));
        assert_eq!(door(Method::POST, "/regressions"), Some(Door::Acting));
        assert_eq!(door(Method::GET, "/sign-in"), Some(Door::Reading));
        assert_eq!(door(Method::POST, "/sign-in"), Some(Door::SigningIn));
        assert_eq!(door(Method::GET, "/sign-in/github"), Some(Door::SigningIn));
        assert_eq!(
            door(Method::POST, "/hooks/github/cpython"),
            Some(Door::Hooks)
        );
        assert_eq!(door(Method::POST, "/api/worker/v1/claim"), None);
        assert_eq!(door(Method::GET, "/health"), None);
    }
}
