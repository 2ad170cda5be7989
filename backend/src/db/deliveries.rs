//! What forges have sent by hooks, and what became of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;

use super::audit;
use crate::domain::audit::Action;
use crate::domain::hook::{DeliveryState, Effect};

/// Names of headers and their values.
pub type Headers = BTreeMap<String, String>;

/// A delivery that has arrived.
#[derive(Debug)]
pub struct NewDelivery<'a> {
    /// The repository's name.
    pub repository: &'a str,
    /// `github`, `gitlab` or `forgejo`.
    pub forge: &'a str,
    /// By which the forge knows it.
    pub key: &'a str,
    /// The forge's name of what has happened.
    pub event: &'a str,
    /// Those of interest; never a secret.
    pub headers: &'a Headers,
    /// JSON, compressed by zstd.
    pub body: &'a [u8],
    /// Size before compression.
    pub body_bytes: i32,
}

/// Keeps a delivery for the tick. The same key once more is counted and causes nothing. Its number, and whether it is new; nothing
/// when the repository is not in the database.
pub async fn insert(
    db: impl PgExecutor<'_>,
    new: &NewDelivery<'_>,
) -> sqlx::Result<Option<(i64, bool)>> {
    sqlx::query_as(
        "INSERT INTO delivery (repository_id, forge, delivery_key, event, headers, body, body_bytes)
         SELECT id, $2, $3, $4, $5, $6, $7 FROM repository WHERE name = $1
         ON CONFLICT (repository_id, delivery_key) DO UPDATE SET repeats = delivery.repeats + 1
         RETURNING id, xmax = 0",
    )
    .bind(new.repository)
    .bind(new.forge)
    .bind(new.key)
    .bind(new.event)
    .bind(Json(new.headers))
    .bind(new.body)
    .bind(new.body_bytes)
    .fetch_optional(db)
    .await
}

/// A delivery whose work was taken up.
#[derive(Debug, sqlx::FromRow)]
pub struct DeliveryRow {
    /// Its number.
    pub id: i64,
    /// Its repository.
    pub repository_id: i64,
    /// That repository's name.
    pub repository: String,
    /// `github`, `gitlab` or `forgejo`.
    pub forge: String,
    /// The forge's name of what has happened.
    pub event: String,
    /// JSON, compressed by zstd.
    pub body: Vec<u8>,
    /// Tries begun, this one included.
    pub attempts: i32,
    /// Itself; of a replay the delivery whose work it does again. What was done in this one's name is not done twice.
    pub first_id: i64,
    /// Of a replay: when the work that it does again was over. Later things were not meant.
    pub first_finished_at: Option<DateTime<Utc>>,
}

/// Takes up the oldest delivery that is due and postpones it to `lease_ends`: when this process dies, another does it then. What is
/// for a forge that asked to be left alone is done all the same: most of it asks the forge nothing.
pub async fn claim(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
    lease_ends: DateTime<Utc>,
) -> sqlx::Result<Option<DeliveryRow>> {
    sqlx::query_as(
        "UPDATE delivery SET attempts = attempts + 1, next_attempt_at = $2 FROM repository
         WHERE repository.id = repository_id
           AND delivery.id = (SELECT id FROM delivery WHERE state = 'waiting' AND next_attempt_at <= $1
                              ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING delivery.id, repository_id, repository.name AS repository, forge, event, body, attempts,
                   coalesce(replay_of, delivery.id) AS first_id,
                   (SELECT finished_at FROM delivery AS first WHERE first.id = delivery.replay_of) AS first_finished_at",
    )
    .bind(now)
    .bind(lease_ends)
    .fetch_optional(db)
    .await
}

/// Notes how a delivery ended, in the transaction of its work. `false`: another try has begun since, and that one decides.
pub async fn settle(
    db: impl PgExecutor<'_>,
    delivery: &DeliveryRow,
    state: DeliveryState,
    caused: &[Effect],
    words: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE delivery SET state = $3, caused = $4, words = $5, finished_at = now()
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(delivery.id)
    .bind(delivery.attempts)
    .bind(state.as_str())
    .bind(Json(caused))
    .bind(words)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Puts a delivery off after a try that something else made fail; `counted`: it was a failure, not a request to wait.
pub async fn postpone(
    db: impl PgExecutor<'_>,
    delivery: &DeliveryRow,
    words: &str,
    until: DateTime<Utc>,
    counted: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE delivery SET words = $3, next_attempt_at = $4, attempts = attempts - CASE WHEN $5 THEN 0 ELSE 1 END
         WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
    )
    .bind(delivery.id)
    .bind(delivery.attempts)
    .bind(words)
    .bind(until)
    .bind(counted)
    .execute(db)
    .await
    .map(drop)
}

/// Has the work of a delivery that is over done again, as a delivery of its own, and notes who wanted it in the audit log: its number.
/// The replay of a replay is one of the first delivery, so that all of them know what was done in its name. Nothing when there is no such one. To be called within a transaction.
pub async fn replay(db: &mut PgConnection, id: i64, actor: &str) -> sqlx::Result<Option<i64>> {
    let new: Option<i64> = sqlx::query_scalar(
        "INSERT INTO delivery (repository_id, forge, delivery_key, event, headers, body, body_bytes, replay_of, replayed_by)
         SELECT repository_id, forge, format('replay %s %s', id, gen_random_uuid()), event, headers, body, body_bytes,
                coalesce(replay_of, id), $2
         FROM delivery WHERE id = $1 AND state <> 'waiting' RETURNING id",
    )
    .bind(id)
    .bind(actor)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(new) = new {
        let details = json!({ "replay": new });
        audit::record(
            db,
            actor,
            Action::HookReplay,
            &format!("delivery {id}"),
            details,
        )
        .await?;
    }
    Ok(new)
}

/// Forgets deliveries that arrived before a moment and are over, a batch at a time; how many.
pub async fn prune(
    db: impl PgExecutor<'_>,
    before: DateTime<Utc>,
    batch: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM delivery WHERE id IN (
            SELECT id FROM delivery WHERE received_at < $1 AND state <> 'waiting' ORDER BY received_at LIMIT $2)",
    )
    .bind(before)
    .bind(batch)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A delivery as lists show it.
#[derive(Debug, Clone, Serialize, sqlx::FromRow, ToSchema)]
pub struct ListedRow {
    /// Its number.
    pub id: i64,
    /// Its repository's name.
    pub repository: String,
    /// `github`, `gitlab` or `forgejo`.
    pub forge: String,
    /// By which the forge knows it.
    pub delivery_key: String,
    /// The forge's name of what has happened.
    pub event: String,
    /// Size of the body in bytes.
    pub body_bytes: i32,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// How often it came again.
    pub repeats: i32,
    /// The one whose work it does again.
    pub replay_of: Option<i64>,
    /// Who wanted that.
    pub replayed_by: Option<String>,
    /// As [`DeliveryState`].
    pub state: String,
    /// Tries begun.
    pub attempts: i32,
    /// When the next is due.
    pub next_attempt_at: DateTime<Utc>,
    /// What it has caused.
    #[schema(value_type = Vec<Effect>)]
    pub caused: Json<Vec<Effect>>,
    /// What followed, why nothing did, or what is wrong.
    pub words: Option<String>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Which deliveries a list holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this repository.
    pub repository: Option<String>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// Older than this one.
    pub before: Option<i64>,
}

const LISTED: &str = "SELECT delivery.id, repository.name AS repository, forge, delivery_key, event, body_bytes, received_at, repeats,
            replay_of, replayed_by, state, attempts, next_attempt_at, caused, words, finished_at
     FROM delivery JOIN repository ON repository.id = repository_id";

/// The newest deliveries.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<ListedRow>> {
    let query = format!(
        "{LISTED} WHERE ($1::text IS NULL OR repository_id = (SELECT id FROM repository WHERE name = $1))
           AND ($2::text IS NULL OR state = $2) AND ($3::bigint IS NULL OR delivery.id < $3)
         ORDER BY delivery.id DESC LIMIT $4"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(&filter.repository)
        .bind(filter.state.map(DeliveryState::as_str))
        .bind(filter.before)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// One delivery, with its headers and its compressed body.
pub async fn find(
    db: &mut PgConnection,
    id: i64,
) -> sqlx::Result<Option<(ListedRow, Headers, Vec<u8>)>> {
    let query = format!("{LISTED} WHERE delivery.id = $1");
    let row = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(id)
        .fetch_optional(&mut *db)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let more: Option<(Json<Headers>, Vec<u8>)> =
        sqlx::query_as("SELECT headers, body FROM delivery WHERE id = $1")
            .bind(id)
            .fetch_optional(db)
            .await?;
    Ok(more.map(|(Json(headers), body)| (row, headers, body)))
}

/// The deliveries that did the work of this one again, oldest first.
pub async fn list_replays(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM delivery WHERE replay_of = $1 ORDER BY id LIMIT 50")
        .bind(id)
        .fetch_all(db)
        .await
}

/// How hooks of a repository come.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Standing {
    /// The repository's name.
    pub repository: String,
    /// When the newest delivery came that is no replay.
    pub last_at: Option<DateTime<Utc>>,
    /// Until when its forge asked to be left alone.
    pub paused_until: Option<DateTime<Utc>>,
}

/// How hooks of each repository come, by name.
pub async fn list_standing(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as(
        "SELECT name AS repository, forge_paused_until AS paused_until,
                (SELECT received_at FROM delivery WHERE repository_id = repository.id AND replay_of IS NULL
                 ORDER BY id DESC LIMIT 1) AS last_at
         FROM repository ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// How many deliveries are in each state.
pub async fn count(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state")
        .fetch_all(db)
        .await
}
