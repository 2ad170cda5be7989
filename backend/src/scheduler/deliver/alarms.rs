//! One try of a message about alarms.

use super::Sender;
use super::perform::{passing, send_mail};
use crate::alerts::alarm::{self, Line};
use crate::context::Context;
use crate::db::alarms::{self, AlarmRow};
use crate::db::outbox::MessageRow;
use crate::domain::telling::Failure;

/// Mails alarms that were raised and cleared, by their keys.
pub(super) async fn mail(
    context: &Context,
    sender: &Sender,
    row: &MessageRow,
    raised: &[i64],
    cleared: &[i64],
) -> Result<(), Failure> {
    let read = async |ids: &[i64]| -> Result<Vec<Line>, Failure> {
        let rows = alarms::list_by_id(&context.pool, ids).await;
        Ok(rows.map_err(passing)?.into_iter().map(line).collect())
    };
    let (raised, cleared) = (read(raised).await?, read(cleared).await?);
    if raised.is_empty() && cleared.is_empty() {
        return Err(Failure::permanent("the alarms are gone"));
    }
    let base = context.config.public_url();
    let written = alarm::write(&raised, &cleared, &base)
        .map_err(|error| Failure::permanent(error.to_string()))?;
    send_mail(context, sender, row, &written, None, None, None).await
}

fn line(row: AlarmRow) -> Line {
    let noun = row.kind().map_or("", |kind| kind.noun());
    let minute = "%Y-%m-%d %H:%M";
    Line {
        what: format!("{noun} {}", row.subject).trim().to_owned(),
        words: row.words,
        since: row.since.format(minute).to_string(),
        cleared: row.cleared_at.map(|at| at.format(minute).to_string()),
    }
}
