//! Subscriptions, addresses that opted out, and the key that signs links in mails.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::telling::{Digest, Subscription, SubscriptionChannel, Wanted};

/// A subscription as pages list it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SubscriptionRow {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// `mail`, `webhook`, `slack`, `mattermost`, `zulip` or `matrix`.
    pub channel: String,
    /// A mail address or a URL; may be a secret.
    pub address: String,
    /// Glob over runtimes' names.
    pub runtimes: String,
    /// Glob over benchmarks' names.
    pub benchmarks: String,
    /// Glob over a culprit's paths.
    pub paths: String,
    /// Smallest change, as a ratio.
    pub smallest: f64,
    /// `worse`, `better` or `both`.
    pub direction: String,
    /// `at_once` or `daily`.
    pub digest: String,
    /// First quiet hour, UTC.
    pub quiet_from: Option<i16>,
    /// First hour after the quiet ones.
    pub quiet_to: Option<i16>,
    /// Whether it gets the daily reports of its runtimes.
    pub reports: bool,
    /// Who added it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl SubscriptionRow {
    /// The subscription; `None` when a newer version wrote something that this one does not know.
    pub fn read(self) -> Option<Subscription> {
        let quiet = self
            .quiet_from
            .zip(self.quiet_to)
            .and_then(|(from, to)| Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?)));
        Some(Subscription {
            channel: self.channel.parse::<SubscriptionChannel>().ok()?,
            wanted: self.direction.parse::<Wanted>().ok()?,
            digest: self.digest.parse::<Digest>().ok()?,
            id: self.id,
            name: self.name,
            address: self.address,
            runtimes: self.runtimes,
            benchmarks: self.benchmarks,
            paths: self.paths,
            smallest: self.smallest,
            quiet,
        })
    }
}

/// All subscriptions, by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<SubscriptionRow>> {
    sqlx::query_as(
        "SELECT id, name, channel, address, runtimes, benchmarks, paths, smallest, direction, digest, quiet_from, quiet_to,
                reports, created_by, created_at
         FROM subscription ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// A new subscription; `subscription.id` is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct NewSubscription<'a> {
    /// What it is about.
    pub subscription: &'a Subscription,
    /// Webhook: key of the signature; Matrix: access token.
    pub secret: Option<&'a str>,
    /// Whether it gets daily reports.
    pub reports: bool,
    /// Who adds it.
    pub created_by: &'a str,
}

/// Adds a subscription. `None`: the name is taken.
pub async fn insert(
    db: impl PgExecutor<'_>,
    new: &NewSubscription<'_>,
) -> sqlx::Result<Option<i64>> {
    let one = new.subscription;
    let hour = |hour: u32| i16::try_from(hour).unwrap_or(i16::MAX);
    sqlx::query_scalar(
        "INSERT INTO subscription (name, channel, address, secret, runtimes, benchmarks, paths, smallest, direction, digest,
                                   quiet_from, quiet_to, reports, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (name) DO NOTHING RETURNING id",
    )
    .bind(&one.name)
    .bind(one.channel.as_str())
    .bind(&one.address)
    .bind(new.secret)
    .bind(&one.runtimes)
    .bind(&one.benchmarks)
    .bind(&one.paths)
    .bind(one.smallest)
    .bind(one.wanted.as_str())
    .bind(one.digest.as_str())
    .bind(one.quiet.map(|(from, _)| hour(from)))
    .bind(one.quiet.map(|(_, to)| hour(to)))
    .bind(new.reports)
    .bind(new.created_by)
    .fetch_optional(db)
    .await
}

/// Removes a subscription. What waits for it goes nowhere any more. Whether there was one.
pub async fn delete(db: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    sqlx::query(
        "UPDATE outbox SET state = 'dead', finished_at = now(), last_error = 'the subscription was removed'
         WHERE subscription_id = $1 AND state = 'waiting'",
    )
    .bind(id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE notice SET dropped = 'the subscription was removed'
         WHERE subscription_id = $1 AND outbox_id IS NULL AND dropped IS NULL",
    )
    .bind(id)
    .execute(&mut *db)
    .await?;
    let done = sqlx::query("DELETE FROM subscription WHERE id = $1")
        .bind(id)
        .execute(db)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A subscription's key by its name.
pub async fn find_id(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM subscription WHERE name = $1")
        .bind(name)
        .fetch_optional(db)
        .await
}

/// Where a subscription's messages go: its channel, address and secret.
pub async fn find_target(
    db: impl PgExecutor<'_>,
    id: i64,
) -> sqlx::Result<Option<(String, String, Option<String>)>> {
    sqlx::query_as("SELECT channel, address, secret FROM subscription WHERE id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
}

/// Addresses that asked to hear no more.
pub async fn list_opted_out(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT address FROM opted_out")
        .fetch_all(db)
        .await
}

/// Notes that an address wants to hear no more; what waits for it is not sent.
pub async fn opt_out(db: &mut PgConnection, address: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO opted_out (address) VALUES (lower($1)) ON CONFLICT DO NOTHING")
        .bind(address)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "UPDATE outbox SET state = 'dead', finished_at = now(), last_error = 'the recipient opted out'
         WHERE channel = 'mail' AND lower(recipient) = lower($1) AND state = 'waiting'",
    )
    .bind(address)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE notice SET dropped = 'the recipient opted out'
         WHERE channel = 'mail' AND lower(recipient) = lower($1) AND outbox_id IS NULL AND dropped IS NULL",
    )
    .bind(address)
    .execute(db)
    .await
    .map(drop)
}

/// The key that signs links and message ids.
pub async fn link_key(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<u8>> {
    sqlx::query_scalar("SELECT key FROM link_key")
        .fetch_one(db)
        .await
}
