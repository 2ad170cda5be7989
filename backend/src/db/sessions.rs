//! Sign-ins of browsers. The cookie holds a random id; only its hash is kept, and it is replaced from time to time.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::domain::role::Role;

/// A sign-in.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Session {
    /// Key.
    pub id: i64,
    /// Who.
    pub actor: String,
    /// What it allows, as [`Role`]: the token's, or what the forge's groups gave.
    pub role: String,
    /// Globs over the runtimes that it reaches: the token's.
    pub runtimes: Vec<String>,
    /// Globs over the hosts that it reaches: the token's.
    pub hosts: Vec<String>,
    /// The token's name, or the forge's.
    pub by: String,
    /// What the browser said of itself.
    pub browser: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to a minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// Whether its id should be replaced: it is an hour old, or its successor has not been seen for a minute. `false` in lists.
    pub is_stale: bool,
}

/// Sign-ins that hold: not ended, not expired, and neither is the token that they were made with; `$stale`: whether the id should be replaced.
macro_rules! select_session {
    ($stale:literal, $rest:literal) => {
        concat!(
            "SELECT session.id, actor, coalesce(token.role, session.role) AS role, coalesce(token.runtimes, '{*}') AS runtimes,
                coalesce(token.hosts, '{*}') AS hosts, coalesce('token ' || token.name, provider, '') AS by, browser,
                session.created_at, session.last_used_at, session.expires_at,
                ", $stale, " AS is_stale
             FROM session LEFT JOIN token ON token.id = session.token_id
             WHERE ended_at IS NULL AND session.expires_at > now() AND token.revoked_at IS NULL
               AND (token.expires_at IS NULL OR token.expires_at > now()) ",
            $rest
        )
    };
}

/// Who signs in, and how.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// With this token; its role and its end hold for the sign-in, too.
    Token(i64),
    /// At a forge, which gave this role.
    Forge {
        /// The forge's name in the configuration.
        provider: &'a str,
        /// What its users and organisations may do.
        role: Role,
    },
}

/// A sign-in to be made.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Hash of the id.
    pub sha256: &'a str,
    /// Who.
    pub actor: &'a str,
    /// How.
    pub by: By<'a>,
    /// What the browser said of itself.
    pub browser: &'a str,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

/// Adds a sign-in; its key.
pub async fn insert(db: impl PgExecutor<'_>, new: &NewSession<'_>) -> sqlx::Result<i64> {
    let (token_id, provider, role) = match new.by {
        By::Token(id) => (Some(id), None, None),
        By::Forge { provider, role } => (None, Some(provider), Some(role.as_str())),
    };
    sqlx::query_scalar(
        "INSERT INTO session (sha256, actor, token_id, provider, role, browser, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING id",
    )
    .bind(new.sha256)
    .bind(new.actor)
    .bind(token_id)
    .bind(provider)
    .bind(role)
    .bind(new.browser)
    .bind(new.expires_at)
    .fetch_one(db)
    .await
}

/// The sign-in whose id, or the one before, has this hash. That it was used is written at most once a minute; seeing the present id a
/// minute after it was given out forgets the one before.
pub async fn find_by_hash(db: impl PgExecutor<'_>, sha256: &str) -> sqlx::Result<Option<Session>> {
    sqlx::query_as(concat!(
        "WITH used AS (
            UPDATE session SET last_used_at = now(),
                previous_sha256 = CASE WHEN sha256 = $1 AND rotated_at < now() - interval '1 minute' THEN NULL ELSE previous_sha256 END
            WHERE (sha256 = $1 OR previous_sha256 = $1) AND ended_at IS NULL AND last_used_at < now() - interval '1 minute') ",
        select_session!(
            "rotated_at < now() - CASE WHEN session.sha256 = $1 THEN interval '1 hour' ELSE interval '1 minute' END",
            "AND (session.sha256 = $1 OR previous_sha256 = $1)"
        )
    ))
    .bind(sha256)
    .fetch_optional(db)
    .await
}

/// Replaces the id that has the hash `known` by another. The one that the browser has is accepted until the new one has been seen.
/// `false`: another request has just done it.
pub async fn rotate(
    db: impl PgExecutor<'_>,
    id: i64,
    known: &str,
    new: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE session SET sha256 = $3, previous_sha256 = $2, rotated_at = now()
         WHERE id = $1 AND ended_at IS NULL
           AND (sha256 = $2 AND rotated_at < now() - interval '1 hour'
                OR previous_sha256 = $2 AND rotated_at < now() - interval '1 minute')",
    )
    .bind(id)
    .bind(known)
    .bind(new)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a sign-in: anybody's, or only this actor's. Whose it was; `None`: there is none that goes on.
pub async fn end(
    db: impl PgExecutor<'_>,
    id: i64,
    actor: Option<&str>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "UPDATE session SET ended_at = now() WHERE id = $1 AND ended_at IS NULL AND ($2::text IS NULL OR actor = $2) RETURNING actor",
    )
    .bind(id)
    .bind(actor)
    .fetch_optional(db)
    .await
}

/// The sign-ins that hold, the newest first: everybody's, or one actor's.
pub async fn list(db: impl PgExecutor<'_>, actor: Option<&str>) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as(select_session!(
        "false",
        "AND ($1::text IS NULL OR actor = $1) ORDER BY session.id DESC LIMIT 500"
    ))
    .bind(actor)
    .fetch_all(db)
    .await
}

/// Forgets sign-ins that ended a month ago; how many.
pub async fn forget_old(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM session WHERE coalesce(ended_at, expires_at) < now() - interval '30 days'",
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
