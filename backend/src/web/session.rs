//! Who is asking: the owner of a bearer token, or of the cookie that signing in has set. Reading needs neither.
//!
//! The cookie holds the token, is out of reach of scripts and of other sites (`HttpOnly`, `SameSite=Strict`), and a request that
//! changes something with it must come from a page of our own. A bearer token is sent on purpose, so it needs no such proof.

use std::future::Future;
use std::pin::Pin;

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::{FromRequest, HttpRequest, web};

use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::tokens::{self, Token};
use crate::domain::role::Role;
use crate::web::error::Error;
use crate::web::pages::PageError;

/// Name of the cookie.
const COOKIE: &str = "speedwell_token";
/// Days until one has to sign in anew.
const DAYS: i64 = 90;
/// What somebody without a token reads.
const HOW_TO_GET_ONE: &str = "Acting here needs a token. An operator makes one with `speedwell-backend token add NAME --role triager`; \
     sign in with it at /sign-in, or send it as `authorization: Bearer …`.";

/// Somebody known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token's name: the actor in timelines.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// Anybody: a request's actor, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor(pub Option<Actor>);

impl Visitor {
    /// Whether the visitor may do what needs this role.
    pub fn may(&self, role: Role) -> bool {
        self.0.as_ref().is_some_and(|actor| actor.role >= role)
    }
}

/// Somebody with the role `reader` or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader(pub Actor);

/// Somebody with the role `triager` or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triager(pub Actor);

/// Somebody with the role `operator`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub Actor);

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, actix_web::Error>>>>;

impl FromRequest for Visitor {
    type Error = actix_web::Error;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match find_actor(&request).await {
                // A page can be read with a token that is no longer accepted.
                Err(Error::Unauthorized(_)) => Ok(Self(None)),
                found => found.map(Self).map_err(|error| shown(&request, error)),
            }
        })
    }
}

/// The actor of a request, when it may do what needs `role`.
fn require<T: 'static>(request: &HttpRequest, role: Role, wrap: fn(Actor) -> T) -> Pending<T> {
    let request = request.clone();
    Box::pin(async move {
        let found = find_actor(&request).await;
        let allowed = found.and_then(|actor| match actor {
            Some(actor) if actor.role >= role => Ok(wrap(actor)),
            Some(actor) => Err(Error::Forbidden(format!(
                "{} is a {}: this needs the role {}. An operator gives it with `speedwell-backend token add {} --role {}`.",
                actor.name,
                actor.role.as_str(),
                role.as_str(),
                actor.name,
                role.as_str()
            ))),
            None => Err(Error::Unauthorized(HOW_TO_GET_ONE)),
        });
        allowed.map_err(|error| shown(&request, error))
    })
}

impl FromRequest for Reader {
    type Error = actix_web::Error;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        require(request, Role::Reader, Self)
    }
}

impl FromRequest for Triager {
    type Error = actix_web::Error;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        require(request, Role::Triager, Self)
    }
}

impl FromRequest for Operator {
    type Error = actix_web::Error;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        require(request, Role::Operator, Self)
    }
}

/// As JSON below `/api`, as a page elsewhere.
fn shown(request: &HttpRequest, error: Error) -> actix_web::Error {
    if request.path().starts_with("/api") {
        error.into()
    } else {
        PageError::from(error).into()
    }
}

/// The owner of the request's token; an error when it is not accepted, or comes with a request that another site made.
async fn find_actor(request: &HttpRequest) -> Result<Option<Actor>, Error> {
    let token = match header_text(request, &header::AUTHORIZATION) {
        Some(value) => {
            value
                .strip_prefix("Bearer ")
                .map(str::to_owned)
                .ok_or(Error::Unauthorized(
                    "authorization: this service knows `Bearer` and a token only",
                ))?
        }
        None => {
            let Some(cookie) = request.cookie(COOKIE) else {
                return Ok(None);
            };
            if *request.method() != Method::GET && *request.method() != Method::HEAD {
                require_own_site(request)?;
            }
            cookie.value().to_owned()
        }
    };
    let found = tokens::find_by_hash(
        &context_of(request)?.pool,
        &sha256_hex(token.trim().as_bytes()),
    )
    .await?;
    match found {
        Some(token) => Ok(Some(actor(token)?)),
        None => Err(Error::Unauthorized(
            "This token is unknown, or was taken back. An operator makes another with `speedwell-backend token add`; sign in with it at /sign-in.",
        )),
    }
}

fn actor(token: Token) -> Result<Actor, Error> {
    let role = token.role.parse::<Role>().map_err(anyhow::Error::from)?;
    Ok(Actor {
        name: token.name,
        role,
    })
}

fn context_of(request: &HttpRequest) -> Result<web::Data<Context>, Error> {
    let context = request.app_data::<web::Data<Context>>().cloned();
    context
        .ok_or_else(|| anyhow::anyhow!("the context is not registered with the application").into())
}

fn header_text<'a>(request: &'a HttpRequest, name: &header::HeaderName) -> Option<&'a str> {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// Refuses what a page of another site sends in somebody's name. Browsers tell with `Sec-Fetch-Site`, and where that is missing
/// (plain HTTP) with `Origin`; a request with neither is from no browser and has no business with a cookie.
pub(super) fn require_own_site(request: &HttpRequest) -> Result<(), Error> {
    let refused = || {
        Error::Forbidden(
            "This request comes from another site: open the page here and send it again. Programs send `authorization: Bearer …`."
                .to_owned(),
        )
    };
    if let Some(site) = header_text(request, &header::HeaderName::from_static("sec-fetch-site")) {
        return if site == "same-origin" {
            Ok(())
        } else {
            Err(refused())
        };
    }
    let origin = header_text(request, &header::ORIGIN).ok_or_else(refused)?;
    let public = context_of(request)?.config.public_url();
    let host = header_text(request, &header::HOST).unwrap_or_default();
    let own = origin == public
        || (!host.is_empty()
            && ["http://", "https://"]
                .iter()
                .any(|scheme| origin.strip_prefix(scheme) == Some(host)));
    if own { Ok(()) } else { Err(refused()) }
}

/// The owner of a token that somebody has pasted.
pub(super) async fn check(context: &Context, token: &str) -> Result<Option<Actor>, Error> {
    let hash = sha256_hex(token.trim().as_bytes());
    let found = tokens::find_by_hash(&context.pool, &hash).await?;
    found.map(actor).transpose()
}

/// The cookie that signs in with a token.
pub(super) fn cookie(context: &Context, token: &str) -> Cookie<'static> {
    Cookie::build(COOKIE, token.trim().to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(context.config.public_url().starts_with("https://"))
        .max_age(Duration::days(DAYS))
        .finish()
}

/// The cookie that signs out.
pub(super) fn no_cookie(context: &Context) -> Cookie<'static> {
    let mut cookie = cookie(context, "");
    cookie.set_max_age(Duration::ZERO);
    cookie
}

/// A path of our own to go to after signing in; anything else becomes the overview.
pub(super) fn own_path(path: &str) -> &str {
    let own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control);
    if own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        assert_eq!(own_path("/regressions/3?a=b#c"), "/regressions/3?a=b#c");
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nset-cookie: x",
            "javascript:alert(1)",
        ] {
            assert_eq!(own_path(bad), "/", "{bad:?}");
        }
    }
}
