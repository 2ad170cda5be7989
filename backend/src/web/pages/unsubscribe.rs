//! The link at the end of mails: a look at it changes nothing, its button (or a mail client's) ends them.
//!
//! It needs no signing in and takes requests from other sites: the link itself is the proof, and mail clients send it from anywhere.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use serde_json::json;

use super::outbox::masked;
use super::{PageError, Shell, render};
use crate::alerts::link::{self, Ends};
use crate::context::Context;
use crate::db::audit;
use crate::db::subscriptions;
use crate::domain::audit::Action;
use crate::web::error::Error;

/// The actor in the audit log: whoever has the mail.
const BY_LINK: &str = "link:mail";

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct Page {
    shell: Shell,
    what: String,
    done: bool,
}

async fn read(context: &Context, token: &str) -> Result<Ends, PageError> {
    let key = subscriptions::link_key(&context.pool).await?;
    let ends = link::read(&key, token);
    ends.ok_or_else(|| {
        Error::NotFound("This link was not made here, or is not whole.".to_owned()).into()
    })
}

fn page(ends: &Ends, done: bool) -> Page {
    Page {
        shell: Shell::new("No more mails", ""),
        what: match ends {
            Ends::Subscription(_) => "of this subscription".to_owned(),
            Ends::Address(address) => format!("to {address}"),
        },
        done,
    }
}

/// Asks.
pub(super) async fn ask(
    context: Data<Context>,
    token: Path<String>,
) -> Result<HttpResponse, PageError> {
    let ends = read(&context, &token).await?;
    render(&page(&ends, false))
}

/// Ends them. Repeating it changes nothing.
pub(super) async fn end(
    context: Data<Context>,
    token: Path<String>,
) -> Result<HttpResponse, PageError> {
    let ends = read(&context, &token).await?;
    let mut transaction = context.pool.begin().await?;
    let subject = match &ends {
        Ends::Subscription(id) => {
            subscriptions::delete(&mut transaction, *id).await?;
            format!("subscription number {id}")
        }
        Ends::Address(address) => {
            subscriptions::opt_out(&mut transaction, address).await?;
            format!("mails to {}", masked(address))
        }
    };
    let action = Action::SubscriptionRemove;
    audit::record(&mut *transaction, BY_LINK, action, &subject, json!({})).await?;
    transaction.commit().await?;
    render(&page(&ends, true))
}
