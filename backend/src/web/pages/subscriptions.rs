//! Subscriptions: who hears what; adding and removing one's own.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use serde::Deserialize;
use serde_json::json;

use super::outbox::masked;
use super::{PageError, Shell, render};
use crate::alerts::audience::check_glob;
use crate::context::Context;
use crate::db::audit;
use crate::db::subscriptions::{self, NewSubscription, SubscriptionRow};
use crate::domain::audit::Action;
use crate::domain::role::Role;
use crate::domain::subscription::Words;
use crate::domain::telling::SubscriptionChannel;
use crate::web::error::Error;
use crate::web::session::{Actor, Viewer, Visitor};

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct Page {
    shell: Shell,
    rows: Vec<Row>,
    lists: Vec<String>,
    authors: bool,
    has_mail: bool,
    /// When digests go out, UTC.
    digest_hour: u32,
    /// May add one.
    may_add: bool,
    /// May add webhooks and chats, too.
    operator: bool,
}

struct Row {
    row: SubscriptionRow,
    address: String,
    smallest: String,
    quiet: String,
    removable: bool,
}

pub(super) async fn list(
    context: Data<Context>,
    visitor: Visitor,
) -> Result<HttpResponse, PageError> {
    let rows = subscriptions::list(&context.pool).await?;
    let mail = context.config.mail.as_ref();
    render(&Page {
        shell: Shell::new("Subscriptions", ""),
        rows: rows
            .into_iter()
            .map(|one| row(one, visitor.0.as_ref()))
            .collect(),
        lists: mail.map(|mail| mail.lists.clone()).unwrap_or_default(),
        authors: mail.is_some_and(|mail| mail.authors),
        has_mail: mail.is_some(),
        digest_hour: context.config.report.digest_hour,
        may_add: visitor.may(Role::Viewer),
        operator: visitor.may(Role::Operator),
    })
}

fn row(row: SubscriptionRow, actor: Option<&Actor>) -> Row {
    Row {
        // The path of a chat's URL is its password.
        address: match row.channel.parse() {
            Ok(SubscriptionChannel::Mail) => masked(&row.address),
            _ => row.address.split('/').take(3).collect::<Vec<_>>().join("/"),
        },
        smallest: format!("{} %", (row.smallest * 1000.0).round() / 10.0),
        quiet: match (row.quiet_from, row.quiet_to) {
            (Some(from), Some(to)) => format!("{from}–{to} UTC"),
            _ => "none".to_owned(),
        },
        removable: actor.is_some_and(|actor| may_remove(&row, actor)),
        row,
    }
}

/// One's own, or everybody's for an operator.
fn may_remove(row: &SubscriptionRow, actor: &Actor) -> bool {
    actor.role >= Role::Operator || row.created_by == actor.name
}

/// The form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewForm {
    name: String,
    channel: String,
    address: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    runtimes: String,
    #[serde(default)]
    benchmarks: String,
    #[serde(default)]
    paths: String,
    #[serde(default)]
    smallest: String,
    #[serde(default)]
    direction: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    quiet: String,
    #[serde(default)]
    reports: String,
}

fn wrong(field: &str, message: impl Into<String>) -> PageError {
    Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {}", message.into()),
    }
    .into()
}

pub(super) async fn add(
    context: Data<Context>,
    actor: Viewer,
    form: Form<NewForm>,
) -> Result<HttpResponse, PageError> {
    let form = form.into_inner();
    let words = Words {
        name: form.name,
        channel: form.channel,
        address: form.address,
        runtimes: form.runtimes,
        benchmarks: form.benchmarks,
        paths: form.paths,
        smallest: form.smallest,
        direction: form.direction,
        digest: form.digest,
        quiet: form.quiet,
    };
    let subscription = words
        .read()
        .map_err(|refused| wrong(refused.field, refused.message))?;
    // This service stands where others do not reach: whom it talks to, its operator decides.
    if subscription.channel != SubscriptionChannel::Mail && actor.0.role < Role::Operator {
        let message = "webhooks and chats are added by an operator, here or with `speedwell-backend subscription add`";
        return Err(Error::Forbidden(message.to_owned()).into());
    }
    for (field, glob) in [
        ("runtimes", &subscription.runtimes),
        ("benchmarks", &subscription.benchmarks),
        ("paths", &subscription.paths),
    ] {
        check_glob(glob).map_err(|error| wrong(field, error.to_string()))?;
    }
    let new = NewSubscription {
        subscription: &subscription,
        secret: Some(form.secret.as_str()).filter(|secret| !secret.is_empty()),
        reports: !form.reports.is_empty(),
        created_by: &actor.0.name,
    };
    let mut transaction = context.pool.begin().await?;
    if subscriptions::insert(&mut *transaction, &new)
        .await?
        .is_none()
    {
        return Err(wrong(
            "name",
            "there is a subscription with this name: take another",
        ));
    }
    // The path of a chat's URL is its password: the log has the channel only.
    let details =
        json!({ "channel": subscription.channel.as_str(), "runtimes": subscription.runtimes });
    let subject = format!("subscription {}", subscription.name);
    let action = Action::SubscriptionAdd;
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(back())
}

pub(super) async fn remove(
    context: Data<Context>,
    id: Path<i64>,
    actor: Viewer,
) -> Result<HttpResponse, PageError> {
    let mut transaction = context.pool.begin().await?;
    let all = subscriptions::list(&mut *transaction).await?;
    let Some(row) = all.iter().find(|row| row.id == *id) else {
        return Err(Error::NotFound(format!("There is no subscription {id}.")).into());
    };
    if !may_remove(row, &actor.0) {
        let message = format!(
            "This is {}'s: its owner or an operator removes it.",
            row.created_by
        );
        return Err(Error::Forbidden(message).into());
    }
    subscriptions::delete(&mut transaction, *id).await?;
    let subject = format!("subscription {}", row.name);
    let details = json!({ "of": row.created_by, "channel": row.channel });
    let action = Action::SubscriptionRemove;
    audit::record(&mut *transaction, &actor.0.name, action, &subject, details).await?;
    transaction.commit().await?;
    Ok(back())
}

fn back() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/subscriptions"))
        .finish()
}
