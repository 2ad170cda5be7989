//! The outbox: what waits, what was sent, what was given up, and why.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::Utc;
use serde_json::json;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::audit;
use crate::db::outbox::{self, OutboxRow};
use crate::domain::audit::Action;
use crate::domain::role::Role;
use crate::domain::telling::OutboxState;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{Triager, Visitor};

/// Messages of each state on the page.
const SHOWN: i64 = 50;

#[derive(Template)]
#[template(path = "outbox.html")]
struct Page {
    shell: Shell,
    sections: Vec<Section>,
    /// Waiting for their hour, or for company.
    owed: i64,
    has_mail: bool,
    may_act: bool,
}

struct Section {
    state: &'static str,
    title: &'static str,
    count: i64,
    rows: Vec<Row>,
}

struct Row {
    row: OutboxRow,
    recipient: String,
    when: String,
    created: String,
}

pub(super) async fn outbox(
    context: Data<Context>,
    visitor: Visitor,
) -> Result<HttpResponse, PageError> {
    let (waiting, sent, dead, owed) = outbox::count(&context.pool).await?;
    let mut sections = Vec::new();
    for (state, title, count) in [
        (OutboxState::Dead, "Given up", dead),
        (OutboxState::Waiting, "Waiting", waiting),
        (OutboxState::Sent, "Sent", sent),
    ] {
        let rows = outbox::list(&context.pool, state.as_str(), SHOWN).await?;
        sections.push(Section {
            state: state.as_str(),
            title,
            count,
            rows: rows.into_iter().map(row).collect(),
        });
    }
    render(&Page {
        shell: Shell::new("Outbox", ""),
        sections,
        owed,
        has_mail: context.config.mail.is_some(),
        may_act: visitor.may(Role::Triager),
    })
}

fn row(row: OutboxRow) -> Row {
    let now = Utc::now();
    Row {
        recipient: masked(&row.recipient),
        when: match row.finished_at {
            Some(at) => format::ago(at, now),
            None if row.next_attempt_at <= now => "now".to_owned(),
            None => format!(
                "in {}",
                format::duration((row.next_attempt_at - now).num_seconds())
            ),
        },
        created: format::moment(row.created_at),
        row,
    }
}

/// Everybody may read this page, but not everybody's address.
pub(super) fn masked(recipient: &str) -> String {
    match recipient.rsplit_once('@') {
        Some((local, domain)) => {
            let first: String = local.chars().take(1).collect();
            format!("{first}…@{domain}")
        }
        None => recipient.to_owned(),
    }
}

/// Lets a message that was given up go out again.
pub(super) async fn send_again(
    context: Data<Context>,
    id: Path<i64>,
    actor: Triager,
) -> Result<HttpResponse, PageError> {
    let mut transaction = context.pool.begin().await?;
    if !outbox::send_again(&mut *transaction, *id).await? {
        return Err(Error::Conflict(format!("There is no message {id} that was given up.")).into());
    }
    let subject = format!("message {id}");
    let action = Action::OutboxSendAgain;
    audit::record(
        &mut *transaction,
        &actor.0.name,
        action,
        &subject,
        json!({}),
    )
    .await?;
    transaction.commit().await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/outbox"))
        .finish())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn addresses_are_not_shown() {
        assert_eq!(masked("ann@example.org"), "a…@example.org");
        assert_eq!(masked("cpython status"), "cpython status");
        assert_eq!(masked("@"), "…@");
    }
}
