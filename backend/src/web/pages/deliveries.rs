//! What forges have sent by hooks, what each delivery caused, and having its work done again.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, Query};
use askama::Template;
use chrono::Utc;
use serde::Deserialize;
use serde_json::Value;

use super::{PageError, Shell, render};
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::deliveries::{self, Filter, Headers, ListedRow, Standing};
use crate::domain::hook::{Effect, ForgeKind};
use crate::domain::redact::leave_secrets_out;
use crate::domain::role::Role;
use crate::web::deliveries::{replay as replay_delivery, state_of};
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{Operator, Visitor};

/// Deliveries on one page.
const SHOWN: usize = 50;
/// Characters of a body on its page.
const LONGEST_BODY: usize = 200_000;

/// Which deliveries are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    repository: String,
    state: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Page {
    shell: Shell,
    doors: Vec<Door>,
    repositories: Vec<String>,
    asked: Asked,
    rows: Vec<Row>,
    older: Option<String>,
}

/// A repository that takes hooks.
struct Door {
    repository: String,
    forge: &'static str,
    address: String,
    last: String,
    paused: Option<String>,
}

/// A delivery as its list and its page show it.
struct Row {
    row: ListedRow,
    forge: String,
    received: String,
    links: Vec<Link>,
    /// When the next try is due, of one that waits.
    next: Option<String>,
}

/// Something that a delivery caused.
struct Link {
    words: String,
    address: Option<String>,
}

pub(super) async fn list(
    context: Data<Context>,
    Query(asked): Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let filter = filter(&asked)?;
    let more = i64::try_from(SHOWN).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = deliveries::list(&context.pool, &filter, more).await?;
    let older = (rows.len() > SHOWN).then(|| {
        rows.truncate(SHOWN);
        let before = rows.last().map_or(0, |row| row.id);
        format!(
            "/deliveries?repository={}&state={}&before={before}",
            format::encode(&asked.repository),
            format::encode(&asked.state)
        )
    });
    let standing = deliveries::list_standing(&context.pool).await?;
    render(&Page {
        shell: Shell::new("Deliveries", ""),
        doors: doors(&context, &standing),
        repositories: standing.into_iter().map(|one| one.repository).collect(),
        asked,
        rows: rows.into_iter().map(row).collect(),
        older,
    })
}

fn filter(asked: &Asked) -> Result<Filter, Error> {
    let state = match asked.state.as_str() {
        "" => None,
        text => Some(state_of(text)?),
    };
    Ok(Filter {
        repository: (!asked.repository.is_empty()).then(|| asked.repository.clone()),
        state,
        before: asked.before,
    })
}

fn doors(context: &Context, standing: &[Standing]) -> Vec<Door> {
    let now = Utc::now();
    let opened = |name: &str, forge: &ForgeConfig| {
        let found = standing.iter().find(|one| one.repository == name);
        let last = found.and_then(|one| one.last_at);
        let paused = found.and_then(|one| one.paused_until);
        Door {
            repository: name.to_owned(),
            forge: forge.kind.label(),
            address: format!(
                "{}/hooks/{}/{name}",
                context.config.public_url(),
                forge.kind.as_str()
            ),
            last: last.map_or_else(|| "never".to_owned(), |at| format::ago(at, now)),
            paused: paused.filter(|until| *until > now).map(format::moment),
        }
    };
    let repositories = context.config.repositories.iter();
    repositories
        .filter_map(|one| Some((one.name.as_str(), one.forge.as_ref()?)))
        .filter(|(_, forge)| forge.hook_secret_file.is_some())
        .map(|(name, forge)| opened(name, forge))
        .collect()
}

fn row(row: ListedRow) -> Row {
    let waits = row.finished_at.is_none();
    Row {
        forge: ForgeKind::from_address(&row.forge)
            .map_or_else(|| row.forge.clone(), |kind| kind.label().to_owned()),
        received: format::moment(row.received_at),
        links: row.caused.iter().map(link).collect(),
        next: (waits && row.attempts > 0).then(|| format::moment(row.next_attempt_at)),
        row,
    }
}

fn link(effect: &Effect) -> Link {
    let address = match effect {
        Effect::Looked { after, .. } => after.as_ref().map(|hash| format!("/commits/{hash}")),
        Effect::Pull { .. } => None,
        Effect::Tried { id } | Effect::Cancelled { id } => Some(format!("/tries/{id}")),
        Effect::Answered { .. } => Some("/outbox".to_owned()),
    };
    Link {
        words: effect.words(),
        address,
    }
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct OnePage {
    shell: Shell,
    one: Row,
    headers: Headers,
    replays: Vec<i64>,
    /// For operators only: it holds people's addresses.
    body: Option<String>,
    body_is_cut: bool,
    size: String,
}

pub(super) async fn one(
    context: Data<Context>,
    id: Path<i64>,
    visitor: Visitor,
) -> Result<HttpResponse, PageError> {
    let mut connection = context.pool.acquire().await?;
    let found = deliveries::find(&mut connection, *id).await?;
    let Some((listed, headers, packed)) = found else {
        return Err(Error::NotFound(format!(
            "There is no delivery {id}: deliveries are kept for {} days.",
            context.config.hooks.keep_days
        ))
        .into());
    };
    let replays = deliveries::list_replays(&mut *connection, *id).await?;
    drop(connection);
    let (body, body_is_cut) = if visitor.may(Role::Operator) {
        let read = web::block(move || readable(&packed)).await;
        let (text, cut) = read.map_err(anyhow::Error::from)??;
        (Some(text), cut)
    } else {
        (None, false)
    };
    render(&OnePage {
        shell: Shell::new(format!("Delivery {id}"), ""),
        size: format!("{} bytes", listed.body_bytes),
        one: row(listed),
        headers,
        replays,
        body,
        body_is_cut,
    })
}

/// A body as people read it: indented, without secrets, and not longer than a page bears.
fn readable(packed: &[u8]) -> anyhow::Result<(String, bool)> {
    let mut value: Value = serde_json::from_slice(&zstd::decode_all(packed)?)?;
    leave_secrets_out(&mut value);
    let text = serde_json::to_string_pretty(&value)?;
    let cut = text.chars().count() > LONGEST_BODY;
    Ok((text.chars().take(LONGEST_BODY).collect(), cut))
}

/// Has the work of a delivery done again.
pub(super) async fn replay(
    context: Data<Context>,
    id: Path<i64>,
    actor: Operator,
) -> Result<HttpResponse, PageError> {
    let new = replay_delivery(&context, &actor, *id).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/deliveries/{new}")))
        .finish())
}
