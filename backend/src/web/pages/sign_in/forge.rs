//! Signing in at a forge: away to it, and back with a code.
//!
//! What belongs to one way there and back (a random state, the PKCE verifier, where to go afterwards) lives in a cookie of the browser
//! that went, for ten minutes: whoever is sent the way back by somebody else does not have it.

use actix_web::http::header;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Duration;
use serde::Deserialize;

use super::{PageError, insert, refused};
use crate::artefacts::sha256_hex;
use crate::config::SignInConfig;
use crate::context::Context;
use crate::db::sessions::By;
use crate::domain::role::is_actor_name;
use crate::forge::{self, Trip};
use crate::web::error::Error;
use crate::web::session::{self, Cookies, own_path};

/// Days after which a forge is asked again: who has left an organisation loses the role by then.
const DAYS: i64 = 7;

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
pub(in crate::web::pages) struct Destination {
    #[serde(default)]
    to: String,
}

/// What the forge sends the browser back with.
#[derive(Debug, Deserialize)]
pub(in crate::web::pages) struct Back {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What the cookie of the way holds.
struct Away {
    name: String,
    state: String,
    verifier: String,
    to: String,
}

impl Away {
    fn text(&self) -> String {
        let to = hex::encode(&self.to);
        format!(
            "{}.{}.{}.{to}",
            hex::encode(&self.name),
            self.state,
            self.verifier
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let plain = |part: Option<&str>| String::from_utf8(hex::decode(part?).ok()?).ok();
        let name = plain(parts.next())?;
        let (state, verifier) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let to = plain(parts.next())?;
        (parts.next().is_none() && state.len() == 64 && verifier.len() == 64).then_some(Self {
            name,
            state,
            verifier,
            to,
        })
    }
}

fn settings<'a>(context: &'a Context, name: &str) -> Result<&'a SignInConfig, Error> {
    let found = context.config.sign_ins.iter().find(|one| one.name == name);
    found.ok_or_else(|| Error::NotFound(format!("Nobody signs in at {name:?} here.")))
}

fn way_back(context: &Context, name: &str) -> String {
    format!("{}/sign-in/{name}/back", context.config.public_url())
}

/// `GET /sign-in/{name}`: away.
pub(in crate::web::pages) async fn go(
    context: Data<Context>,
    name: Path<String>,
    destination: Query<Destination>,
) -> Result<HttpResponse, PageError> {
    let provider = settings(&context, &name)?.open()?;
    let away = Away {
        state: session::random(),
        verifier: session::random(),
        to: own_path(&destination.to).to_owned(),
        name: name.into_inner(),
    };
    let back = way_back(&context, &away.name);
    let trip = Trip {
        back: &back,
        state: &away.state,
        verifier: &away.verifier,
    };
    let question = provider.question(&trip)?;
    Ok(HttpResponse::SeeOther()
        .cookie(Cookies::of(&context.config).away(away.text()))
        .insert_header((header::LOCATION, question))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// `GET /sign-in/{name}/back`: with a code, or with why there is none.
pub(in crate::web::pages) async fn back(
    context: Data<Context>,
    request: HttpRequest,
    name: Path<String>,
    answer: Query<Back>,
) -> Result<HttpResponse, PageError> {
    let cookies = Cookies::of(&context.config);
    let without = cookies.without(cookies.away_name());
    let done = match come_in(&context, &request, &name, &answer).await {
        Ok((cookie, to)) => Ok(HttpResponse::SeeOther()
            .cookie(cookie)
            .insert_header((header::LOCATION, to))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish()),
        Err(Error::Forbidden(words)) => refused(&context, "/", words),
        Err(error) => Err(error.into()),
    };
    let mut response = done?;
    response.add_cookie(&without).map_err(anyhow::Error::from)?;
    Ok(response)
}

/// The cookie of the new sign-in, and where to go; `Forbidden`: not in, and why.
async fn come_in(
    context: &Context,
    request: &HttpRequest,
    name: &str,
    answer: &Back,
) -> Result<(actix_web::cookie::Cookie<'static>, String), Error> {
    let no = |words: String| Error::Forbidden(words);
    let settings = settings(context, name)?;
    let cookie = request.cookie(Cookies::of(&context.config).away_name());
    let away = cookie.and_then(|cookie| Away::read(cookie.value()));
    let away = away.filter(|away| away.name == name && is_same(&away.state, &answer.state));
    let Some(away) = away else {
        let words = "This way back does not belong to a sign-in that this browser has begun within ten minutes: begin anew.";
        return Err(no(words.to_owned()));
    };
    if answer.code.is_empty() {
        let words = [&answer.error_description, &answer.error];
        let words = words.iter().find(|words| !words.is_empty());
        let words: String = words
            .map_or("no code", |words| words)
            .chars()
            .take(200)
            .collect();
        return Err(no(format!("{name} says: {words}")));
    }
    let back = way_back(context, name);
    let trip = Trip {
        back: &back,
        state: &away.state,
        verifier: &away.verifier,
    };
    let provider = settings.open()?;
    let client = forge::client()?;
    let person = provider.person(&client, &trip, &answer.code).await;
    let person = person.map_err(|failure| {
        tracing::warn!(forge = name, "a sign-in failed: {}", failure.message);
        no(format!("{name} did not say who you are: try again."))
    })?;
    if !is_actor_name(&person.user) {
        return Err(no(format!(
            "{name} gave a user name that cannot be one here."
        )));
    }
    let actor = format!("{name}:{}", person.user);
    let role = settings.role_of(&person.user, &person.organisations);
    let role = role.ok_or_else(|| {
        let key = settings.organisations.keys();
        let groups = key.map(String::as_str).collect::<Vec<_>>().join(", ");
        let words = if groups.is_empty() {
            String::new()
        } else {
            format!(" Members of these have one: {groups}.")
        };
        no(format!(
            "{actor} has no role here.{words} An operator gives one in the configuration."
        ))
    })?;
    let by = By::Forge {
        provider: name,
        role,
    };
    let cookie = insert(context, request, &actor, by, Duration::days(DAYS)).await?;
    Ok((cookie, away.to))
}

/// In a time that says nothing about where two texts differ.
fn is_same(one: &str, other: &str) -> bool {
    sha256_hex(one.as_bytes()) == sha256_hex(other.as_bytes())
}
