//! The outbox, and what recipients are owed before it becomes a message.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

use crate::domain::regression::EventKind;

/// Locks the events that nobody has looked at, oldest first, for the transaction of `db`; a `found` only once it was explained,
/// or happened before `patience_ends`.
pub async fn lock_untold(
    db: &mut PgConnection,
    patience_ends: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT id FROM regression_event event
         WHERE told_at IS NULL AND (kind <> $2 OR at <= $1 OR EXISTS (
            SELECT 1 FROM regression_event later WHERE later.regression_id = event.regression_id AND later.kind = $3
              AND later.id > event.id))
         ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED",
    )
    .bind(patience_ends)
    .bind(EventKind::Found.as_str())
    .bind(EventKind::Explained.as_str())
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Notes that events were looked at.
pub async fn mark_told(
    db: impl PgExecutor<'_>,
    events: &[i64],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE regression_event SET told_at = $2 WHERE id = ANY($1)")
        .bind(events)
        .bind(now)
        .execute(db)
        .await
        .map(drop)
}

/// Something that a recipient is owed.
#[derive(Debug, Clone, Copy)]
pub struct NewNotice<'a> {
    /// The event.
    pub event_id: i64,
    /// `mail`, `webhook`, `chat` or `forge`.
    pub channel: &'a str,
    /// A mail address or a subscription's name.
    pub recipient: &'a str,
    /// The subscription that led here.
    pub subscription_id: Option<i64>,
    /// Why, in words.
    pub why: &'a str,
    /// When at the earliest.
    pub not_before: DateTime<Utc>,
}

/// Notes what a recipient is owed; nothing happens when it is owed that event already.
pub async fn insert_notice(db: impl PgExecutor<'_>, notice: &NewNotice<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO notice (event_id, channel, recipient, subscription_id, why, not_before)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event_id, channel, recipient) DO NOTHING",
    )
    .bind(notice.event_id)
    .bind(notice.channel)
    .bind(notice.recipient)
    .bind(notice.subscription_id)
    .bind(notice.why)
    .bind(notice.not_before)
    .execute(db)
    .await
    .map(drop)
}

/// What waits to become a message.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct NoticeRow {
    /// Key.
    pub id: i64,
    /// The event.
    pub event_id: i64,
    /// Its regression.
    pub regression_id: i64,
    /// That regression's state.
    pub state: String,
    /// `mail`, `webhook`, `chat` or `forge`.
    pub channel: String,
    /// The recipient.
    pub recipient: String,
    /// The subscription that led here.
    pub subscription_id: Option<i64>,
    /// Why.
    pub why: String,
    /// Whether the subscription wants everything in one message.
    pub digest: bool,
}

/// Locks what is due, by recipient, for the transaction of `db`.
pub async fn lock_due_notices(
    db: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<NoticeRow>> {
    sqlx::query_as(
        "SELECT notice.id, event_id, event.regression_id, regression.state, notice.channel, recipient, subscription_id, why,
                coalesce(subscription.digest = 'daily', false) AS digest
         FROM notice JOIN regression_event event ON event.id = event_id
         JOIN regression ON regression.id = event.regression_id
         LEFT JOIN subscription ON subscription.id = subscription_id
         WHERE outbox_id IS NULL AND dropped IS NULL AND not_before <= $1
         ORDER BY notice.channel, recipient, event_id LIMIT $2 FOR UPDATE OF notice SKIP LOCKED",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Gives notices up, with the reason.
pub async fn drop_notices(db: impl PgExecutor<'_>, notices: &[i64], why: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE notice SET dropped = $2 WHERE id = ANY($1)")
        .bind(notices)
        .bind(why)
        .execute(db)
        .await
        .map(drop)
}

/// A message to be.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// By which a receiver knows it again.
    pub key: &'a str,
    /// `mail`, `webhook`, `chat` or `forge`.
    pub channel: &'a str,
    /// The recipient. Of a forge: the repository's name, a space, and what is sent, so that a forge that asks for patience is known.
    pub recipient: &'a str,
    /// The subscription that led here.
    pub subscription_id: Option<i64>,
    /// The one regression that it is about.
    pub regression_id: Option<i64>,
    /// `alerts::Payload`.
    pub payload: &'a Value,
    /// When at the earliest.
    pub not_before: DateTime<Utc>,
}

/// Puts a message into the outbox; its notices belong to it from then on. `false`: its key is there, and nothing happens.
pub async fn insert(
    db: &mut PgConnection,
    message: &NewMessage<'_>,
    notices: &[i64],
) -> sqlx::Result<bool> {
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO outbox (key, channel, recipient, subscription_id, regression_id, payload, next_attempt_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key) DO NOTHING RETURNING id",
    )
    .bind(message.key)
    .bind(message.channel)
    .bind(message.recipient)
    .bind(message.subscription_id)
    .bind(message.regression_id)
    .bind(message.payload)
    .bind(message.not_before)
    .fetch_optional(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE notice SET outbox_id = coalesce($2, (SELECT id FROM outbox WHERE key = $3)) WHERE id = ANY($1)",
    )
    .bind(notices)
    .bind(id)
    .bind(message.key)
    .execute(db)
    .await?;
    Ok(id.is_some())
}

/// A message that was taken up.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct MessageRow {
    /// Its number.
    pub id: i64,
    /// Its key.
    pub key: String,
    /// `mail`, `webhook`, `chat` or `forge`.
    pub channel: String,
    /// The recipient.
    pub recipient: String,
    /// The subscription that led here; gone when it was removed.
    pub subscription_id: Option<i64>,
    /// `alerts::Payload`.
    pub payload: Value,
    /// Tries begun, this one included.
    pub attempts: i32,
}

/// Takes up the message that has been due longest and postpones it to `lease_ends`: when this process dies, another tries it
/// then. Two processes never take up the same one. What is for a forge that asked to be left alone waits.
pub async fn claim(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    lease_ends: DateTime<Utc>,
) -> sqlx::Result<Option<MessageRow>> {
    sqlx::query_as(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_at = $2
         WHERE id = (SELECT id FROM outbox WHERE state = 'waiting' AND next_attempt_at <= $1
                       AND (channel <> 'forge' OR NOT EXISTS (
                            SELECT 1 FROM repository WHERE name = split_part(recipient, ' ', 1) AND forge_paused_until > $1))
                     ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id, key, channel, recipient, subscription_id, payload, attempts",
    )
    .bind(now)
    .bind(lease_ends)
    .fetch_optional(db)
    .await
}

/// Notes that the other side took a message. `false`: another try has begun since, and that one decides.
pub async fn mark_sent(
    db: impl PgExecutor<'_>,
    message: &MessageRow,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE outbox SET state = 'sent', finished_at = $3, last_error = NULL
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(message.id)
    .bind(message.attempts)
    .bind(now)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that a try failed: `again` when to try again; `None`: never.
pub async fn mark_failed(
    db: impl PgExecutor<'_>,
    message: &MessageRow,
    error: &str,
    again: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE outbox SET last_error = $3, next_attempt_at = coalesce($4, next_attempt_at),
                state = CASE WHEN $4::timestamptz IS NULL THEN 'dead' ELSE 'waiting' END,
                finished_at = CASE WHEN $4::timestamptz IS NULL THEN $5::timestamptz END
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(message.id)
    .bind(message.attempts)
    .bind(error)
    .bind(again)
    .bind(now)
    .execute(db)
    .await
    .map(drop)
}

/// Puts a message off because the other side asked for it. The try does not count.
pub async fn postpone(
    db: impl PgExecutor<'_>,
    message: &MessageRow,
    why: &str,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE outbox SET attempts = attempts - 1, last_error = $3, next_attempt_at = $4
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(message.id)
    .bind(message.attempts)
    .bind(why)
    .bind(until)
    .execute(db)
    .await
    .map(drop)
}

/// Lets a message that was given up go out again, with the same key. Whether there was one.
pub async fn send_again(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE outbox SET state = 'waiting', attempts = 0, next_attempt_at = now(), finished_at = NULL
         WHERE id = $1 AND state = 'dead'",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// How many answers to commands on a pull request were written since a moment.
pub async fn count_answers(
    db: impl PgExecutor<'_>,
    recipient: &str,
    pull: i64,
    since: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM outbox
         WHERE channel = 'forge' AND recipient = $1 AND created_at > $3 AND payload @> jsonb_build_object('pull', $2::bigint)",
    )
    .bind(recipient)
    .bind(pull)
    .bind(since)
    .fetch_one(db)
    .await
}

/// A message as its page lists it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// Its key.
    pub key: String,
    /// `mail`, `webhook`, `chat` or `forge`.
    pub channel: String,
    /// The recipient.
    pub recipient: String,
    /// The one regression that it is about.
    pub regression_id: Option<i64>,
    /// `waiting`, `sent` or `dead`.
    pub state: String,
    /// Tries begun.
    pub attempts: i32,
    /// When the next is due.
    pub next_attempt_at: DateTime<Utc>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was sent or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The newest messages in each state.
pub async fn list(
    db: impl PgExecutor<'_>,
    state: &str,
    limit: i64,
) -> sqlx::Result<Vec<OutboxRow>> {
    sqlx::query_as(
        "SELECT id, key, channel, recipient, regression_id, state, attempts, next_attempt_at, last_error, created_at,
                finished_at
         FROM outbox WHERE state = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind(state)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How many messages are in each state, and how many notices wait for their hour.
pub async fn count(db: impl PgExecutor<'_>) -> sqlx::Result<(i64, i64, i64, i64)> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'sent'),
                count(*) FILTER (WHERE state = 'dead'),
                (SELECT count(*) FROM notice WHERE outbox_id IS NULL AND dropped IS NULL)
         FROM outbox",
    )
    .fetch_one(db)
    .await
}
