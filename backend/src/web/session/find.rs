//! From what a request carries to who it is.

use actix_web::http::header::HeaderName;
use actix_web::http::{Method, header};
use actix_web::{HttpMessage as _, HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;

use super::{Actor, Cookies, Proof, require_own_site};
use crate::artefacts::sha256_hex;
use crate::context::Context;
use crate::db::sessions::{self, Session};
use crate::db::tokens::{self, Token};
use crate::domain::token::{Scope, TokenKind};
use crate::web::error::Error;
use crate::web::guard;

const UNKNOWN: &str = "This token is unknown, or was taken back. An admin makes another at /tokens, or with `speedwell-backend token add`; \
     sign in with it at /sign-in.";
const EXPIRED: &str = "This token has expired. Make another at /tokens after signing in otherwise, or ask an admin for one.";
const FORMS: &str = "authorization: this service knows `Bearer TOKEN`, and `Basic` with any name and the token as the password";

/// Who a request is from; an error when what it carries is not accepted, or comes with a request that another site made. Looked up once for
/// each request.
pub(in crate::web) async fn find_actor(request: &HttpRequest) -> Result<Option<Actor>, Error> {
    if let Some(Known(known)) = request.extensions().get::<Known>() {
        return known.clone().map_err(Error::Unauthorized);
    }
    let found = look_up(request).await;
    if let Ok(Some(actor)) = &found {
        guard::count_actor(request, actor)?;
    }
    let known = match &found {
        Ok(actor) => Ok(actor.clone()),
        Err(Error::Unauthorized(words)) => Err(*words),
        Err(_) => return found,
    };
    request.extensions_mut().insert(Known(known));
    found
}

/// What was found out about a request before.
struct Known(Result<Option<Actor>, &'static str>);

/// The new id of a sign-in, for the answer to carry.
pub(in crate::web) struct NewCookie(pub(in crate::web) String);

async fn look_up(request: &HttpRequest) -> Result<Option<Actor>, Error> {
    let context = context_of(request)?;
    if let Some(value) = header_text(request, &header::AUTHORIZATION) {
        let token = token_in(value).ok_or(Error::Unauthorized(FORMS))?;
        let found = check_token(&context, &token).await;
        if let Err(Error::Unauthorized(_)) = &found {
            guard::count_failure(request)?;
        }
        return found.map(Some);
    }
    let Some(cookie) = request.cookie(Cookies::of(&context.config).session_name()) else {
        return Ok(None);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        require_own_site(request)?;
    }
    let hash = sha256_hex(cookie.value().as_bytes());
    let Some(session) = sessions::find_by_hash(&context.pool, &hash).await? else {
        return Err(Error::Unauthorized(
            "This sign-in has ended: sign in anew at /sign-in.",
        ));
    };
    if session.is_stale {
        let id = super::random();
        if sessions::rotate(&context.pool, session.id, &hash, &sha256_hex(id.as_bytes())).await? {
            request.extensions_mut().insert(NewCookie(id));
        }
    }
    actor_of_session(session).map(Some)
}

/// The token in an `authorization` header.
fn token_in(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (_, password) = decoded.split_once(':')?;
    Some(password.trim().to_owned())
}

/// The owner of a token; an error when it is not accepted.
pub(in crate::web) async fn check_token(context: &Context, token: &str) -> Result<Actor, Error> {
    let hash = sha256_hex(token.trim().as_bytes());
    match tokens::find_by_hash(&context.pool, &hash).await? {
        Some(token) if token.is_expired(Utc::now()) => Err(Error::Unauthorized(EXPIRED)),
        Some(token) => actor_of_token(token),
        None => Err(Error::Unauthorized(UNKNOWN)),
    }
}

fn actor_of_token(token: Token) -> Result<Actor, Error> {
    let kind: TokenKind = token.kind.parse().map_err(anyhow::Error::from)?;
    Ok(Actor {
        role: token.role.parse().map_err(anyhow::Error::from)?,
        kind,
        scope: token.scope(),
        proof: Proof::Token(token.id),
        // What a program has sent is known by the program's own name.
        name: match kind {
            TokenKind::Person => token.owner,
            TokenKind::Importer => token.name,
        },
    })
}

fn actor_of_session(session: Session) -> Result<Actor, Error> {
    Ok(Actor {
        role: session.role.parse().map_err(anyhow::Error::from)?,
        kind: TokenKind::Person,
        scope: Scope {
            runtimes: session.runtimes,
            hosts: session.hosts,
        },
        proof: Proof::Session(session.id),
        name: session.actor,
    })
}

pub(super) fn context_of(request: &HttpRequest) -> Result<web::Data<Context>, Error> {
    let context = request.app_data::<web::Data<Context>>().cloned();
    context
        .ok_or_else(|| anyhow::anyhow!("the context is not registered with the application").into())
}

pub(super) fn header_text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_as_bearer_or_as_a_password() {
        let token = Some("abc".to_owned());
        assert_eq!(token_in("Bearer abc"), token);
        assert_eq!(token_in("bearer  abc"), token);
        // `printf ada:abc | base64`, and without a name.
        assert_eq!(token_in("Basic YWRhOmFiYw=="), token);
        assert_eq!(token_in("basic OmFiYw=="), token);
        for bad in ["abc", "Digest abc", "Basic ???", "Basic YWJj", ""] {
            assert_eq!(token_in(bad), None, "{bad:?}");
        }
    }
}
