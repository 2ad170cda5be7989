//! Who is asking: the owner of a token, or somebody who has signed in. Handlers name the role that they need as an argument.
//!
//! A token comes as `authorization: Bearer …`, or as the password of Basic authentication for programs that know nothing else. A
//! browser has a cookie with the random id of its sign-in, and what it changes must come from a page of our own. A token is sent on
//! purpose, so it needs no such proof.

mod cookie;
mod find;
mod own_site;

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::domain::role::Role;
use crate::domain::token::{Scope, TokenKind};
use crate::web::error::Error;
use crate::web::pages::PageError;

pub(super) use cookie::{Cookies, DAYS, own_path};
pub(super) use find::{NewCookie, check_token, find_actor};
pub(super) use own_site::require_own_site;

/// What somebody without a token reads.
const HOW_TO_GET_ONE: &str = "Acting here needs a token or a sign-in. An admin makes a token at /tokens, or with \
     `speedwell-backend token add NAME --role triager`; sign in with it at /sign-in, or send it as `authorization: Bearer …`.";

/// 256 random bits as text: the id of a sign-in, or a token.
pub(super) fn random() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// How somebody has proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// By a token, with its key.
    Token(i64),
    /// By the cookie of a sign-in, with its key.
    Session(i64),
}

/// Somebody known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who, in timelines and in the audit log: a token's owner, or `github:ada`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// A person, or a program that sends results.
    pub kind: TokenKind,
    /// The runtimes and hosts that they may ask runs of, or write results of.
    pub scope: Scope,
    /// How it is known.
    pub proof: Proof,
}

impl Actor {
    /// An error unless the scope reaches this runtime and, where there is one, this host.
    pub fn require_scope(&self, runtime: &str, host: Option<&str>) -> Result<(), Error> {
        if self.scope.reaches(runtime, host) {
            return Ok(());
        }
        let place = host.map_or_else(
            || format!("runtime {runtime}"),
            |host| format!("runtime {runtime} on host {host}"),
        );
        Err(Error::Forbidden(format!(
            "This token of {} does not reach {place}; it reaches: {}.",
            self.name,
            self.scope.words()
        )))
    }
}

/// Anybody: a request's actor, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor(pub Option<Actor>);

impl Visitor {
    /// Whether the visitor may do what needs this role.
    pub fn may(&self, role: Role) -> bool {
        let may = |actor: &Actor| actor.kind == TokenKind::Person && actor.role >= role;
        self.0.as_ref().is_some_and(may)
    }
}

/// Somebody with the role `viewer` or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer(pub Actor);

/// Somebody with the role `triager` or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triager(pub Actor);

/// Somebody with the role `operator` or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub Actor);

/// Somebody with the role `admin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Actor);

/// A program with an importer's token, or an operator who does its work: writes results within the token's scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Importer(pub Actor);

impl Importer {
    /// Whether it may write results of this runtime on this host.
    pub fn may_write(&self, runtime: &str, host: &str) -> bool {
        self.0.scope.reaches(runtime, Some(host))
    }

    /// An actor as one, when it is known and may write results at all.
    pub(super) fn of(actor: Option<Actor>) -> Result<Self, Error> {
        let actor = actor.ok_or(Error::Unauthorized(HOW_TO_GET_ONE))?;
        match actor.kind {
            TokenKind::Importer => {}
            TokenKind::Person => require_role(&actor, Role::Operator)?,
        }
        Ok(Self(actor))
    }

    /// An error that says what it reaches, unless it may write results of this runtime on this host.
    pub fn require(&self, runtime: &str, host: &str) -> Result<(), Error> {
        self.0.require_scope(runtime, Some(host))
    }
}

pub(super) type Pending<T> = Pin<Box<dyn Future<Output = Result<T, actix_web::Error>>>>;

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

/// The actor of a request, when `allows` says so.
fn require<T: 'static>(
    request: &HttpRequest,
    allows: fn(&Actor) -> Result<(), Error>,
    wrap: fn(Actor) -> T,
) -> Pending<T> {
    let request = request.clone();
    Box::pin(async move {
        let found = find_actor(&request).await;
        let allowed = found.and_then(|actor| {
            let actor = actor.ok_or(Error::Unauthorized(HOW_TO_GET_ONE))?;
            allows(&actor)?;
            Ok(wrap(actor))
        });
        allowed.map_err(|error| shown(&request, error))
    })
}

fn require_role(actor: &Actor, role: Role) -> Result<(), Error> {
    // A program's token reads and writes results: it has no part in what people do.
    if actor.kind == TokenKind::Person && actor.role >= role {
        return Ok(());
    }
    let needed = role.as_str();
    Err(Error::Forbidden(format!(
        "{} has the role {}: this needs the role {needed}. An admin gives it at /tokens, or with `speedwell-backend token add NAME --role {needed}`.",
        actor.name,
        match actor.kind {
            TokenKind::Person => actor.role.as_str(),
            TokenKind::Importer => actor.kind.as_str(),
        },
    )))
}

macro_rules! extractor {
    ($name:ident, $role:expr) => {
        impl FromRequest for $name {
            type Error = actix_web::Error;
            type Future = Pending<Self>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                require(request, |actor| require_role(actor, $role), Self)
            }
        }
    };
}

extractor!(Viewer, Role::Viewer);
extractor!(Triager, Role::Triager);
extractor!(Operator, Role::Operator);
extractor!(Admin, Role::Admin);

impl FromRequest for Importer {
    type Error = actix_web::Error;
    type Future = Pending<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let allows = |actor: &Actor| match actor.kind {
            TokenKind::Importer => Ok(()),
            TokenKind::Person => require_role(actor, Role::Operator),
        };
        require(request, allows, Self)
    }
}

/// As JSON for programs, as a page elsewhere.
pub(super) fn shown(request: &HttpRequest, error: Error) -> actix_web::Error {
    if is_for_programs(request.path()) {
        error.into()
    } else {
        PageError::from(error).into()
    }
}

/// Whether only programs come to this address.
pub(super) fn is_for_programs(path: &str) -> bool {
    [
        "/api/",
        "/codespeed/",
        "/hooks/",
        "/lnt/",
        "/result/",
        "/v0/",
    ]
    .iter()
    .any(|start| path.starts_with(start))
}
