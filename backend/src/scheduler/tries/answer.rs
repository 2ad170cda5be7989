//! Has the forge told how the tries of pull requests stand: what is new becomes messages of the outbox, whose text is made when they
//! leave. While one waits no other is written: it will say what is known by then.

use chrono::Utc;
use serde_json::Value;
use sqlx::PgConnection;

use crate::alerts::Payload;
use crate::config::ForgeConfig;
use crate::context::Context;
use crate::db::outbox::{self, NewMessage};
use crate::db::tries::show::{self, Unanswered};
use crate::domain::telling::Channel;

/// Writes what is new to the outbox. Notes for the log.
pub(super) async fn write(context: &Context) -> anyhow::Result<Vec<String>> {
    let with_forge: Vec<&str> = context
        .config
        .repositories
        .iter()
        .filter(|one| one.forge.as_ref().is_some_and(ForgeConfig::can_send))
        .map(|one| one.name.as_str())
        .collect();
    let mut notes = Vec::new();
    for one in show::list_unanswered(&context.pool, &with_forge).await? {
        let mut transaction = context.pool.begin().await?;
        let payload = Payload::TryComment { try_id: one.id };
        insert(&mut transaction, &one, "comment", &payload).await?;
        if one.head_known {
            let payload = Payload::TryStatus { try_id: one.id };
            insert(&mut transaction, &one, "status", &payload).await?;
        }
        show::mark_answered(&mut *transaction, &one).await?;
        transaction.commit().await?;
        notes.push(format!("try {}: answered as {}", one.id, one.state));
    }
    Ok(notes)
}

async fn insert(
    db: &mut PgConnection,
    one: &Unanswered,
    what: &str,
    payload: &Payload,
) -> anyhow::Result<()> {
    let payload: Value = serde_json::to_value(payload)?;
    let moment = one.changed_at.timestamp_micros();
    let message = NewMessage {
        key: &format!("try:{}:{what}:{moment}", one.id),
        channel: Channel::Forge.as_str(),
        recipient: &format!("{} {what}", one.repository),
        subscription_id: None,
        regression_id: None,
        payload: &payload,
        not_before: Utc::now(),
    };
    outbox::insert(db, &message, &[]).await?;
    Ok(())
}
