//! One try of a daily report.

use chrono::NaiveDate;

use super::Sender;
use super::perform::{passing, send_mail, unsubscribe_link};
use crate::alerts::report;
use crate::context::Context;
use crate::db::outbox::MessageRow;
use crate::db::reports;
use crate::domain::report::Report;
use crate::domain::telling::Failure;

/// Mails the report of a runtime (its key) and a day.
pub(super) async fn mail(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    (runtime_id, day): (i64, NaiveDate),
    why: &str,
) -> Result<(), Failure> {
    let facts = reports::find(&context.pool, runtime_id, day)
        .await
        .map_err(passing)?;
    let facts = facts.ok_or_else(|| Failure::permanent("the report is gone"))?;
    let report: Report = serde_json::from_value(facts)
        .map_err(|error| Failure::permanent(format!("the report cannot be read: {error}")))?;
    let base = context.config.public_url();
    let unsubscribe = unsubscribe_link(context, sender, row, &base);
    let written = report::write(&report, &base, why, unsubscribe.as_deref())
        .map_err(|error| Failure::permanent(error.to_string()))?;
    send_mail(
        context,
        sender,
        row,
        &written,
        None,
        unsubscribe.as_deref(),
        None,
    )
    .await
}
