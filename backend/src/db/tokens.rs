//! Tokens of people and programs that act, and their roles.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::domain::role::Role;

/// A token, without itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Token {
    /// Key.
    pub id: i64,
    /// The actor in timelines.
    pub name: String,
    /// As [`Role`].
    pub role: String,
    /// When it was made; again for a new one under the same name.
    pub created_at: DateTime<Utc>,
    /// When it was last accepted.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when it is not accepted.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The token with this hash, unless it is revoked, and a note that it was used.
pub async fn find_by_hash(db: impl PgExecutor<'_>, sha256: &str) -> sqlx::Result<Option<Token>> {
    sqlx::query_as(
        "UPDATE token SET last_used_at = now() WHERE sha256 = $1 AND revoked_at IS NULL
         RETURNING id, name, role, created_at, last_used_at, revoked_at",
    )
    .bind(sha256)
    .fetch_optional(db)
    .await
}

/// Adds a token, or gives a known name a new one: the old is not accepted any more.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    name: &str,
    role: Role,
    sha256: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO token (name, role, sha256) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET role = excluded.role, sha256 = excluded.sha256, created_at = now(),
            last_used_at = NULL, revoked_at = NULL
         RETURNING id",
    )
    .bind(name)
    .bind(role.as_str())
    .bind(sha256)
    .fetch_one(db)
    .await
}

/// All tokens by name.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as(
        "SELECT id, name, role, created_at, last_used_at, revoked_at FROM token ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// Takes a token back; `false`: there is none of this name, or it is revoked already.
pub async fn revoke(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<bool> {
    let done =
        sqlx::query("UPDATE token SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL")
            .bind(name)
            .execute(db)
            .await?;
    Ok(done.rows_affected() > 0)
}
