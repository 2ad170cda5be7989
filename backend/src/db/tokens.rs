//! Tokens of people and importers. Only hashes are kept.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::role::Role;
use crate::domain::token::{Scope, TokenKind};

/// A token, without itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Token {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Who acts with it: the actor in timelines.
    pub owner: String,
    /// As [`TokenKind`].
    pub kind: String,
    /// As [`Role`].
    pub role: String,
    /// Globs over the runtimes that it reaches.
    pub runtimes: Vec<String>,
    /// Globs over the hosts that it reaches.
    pub hosts: Vec<String>,
    /// When it was made; again for a new one under the same name.
    pub created_at: DateTime<Utc>,
    /// When it was last accepted, to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From when it is not accepted; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is not accepted.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Token {
    /// Whether it holds no more at this time.
    pub fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What it reaches.
    pub fn scope(&self) -> Scope {
        Scope {
            runtimes: self.runtimes.clone(),
            hosts: self.hosts.clone(),
        }
    }
}

/// The columns of [`Token`].
macro_rules! columns {
    () => {
        "id, name, owner, kind, role, runtimes, hosts, created_at, last_used_at, expires_at, revoked_at"
    };
}

/// The token with this hash unless it is revoked, also when it is expired. That it was used is written at most once a minute: a
/// program that asks ten times a second would else write ten times a second.
pub async fn find_by_hash(db: impl PgExecutor<'_>, sha256: &str) -> sqlx::Result<Option<Token>> {
    sqlx::query_as(concat!(
        "WITH used AS (
            UPDATE token SET last_used_at = now()
            WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
              AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
         SELECT ",
        columns!(),
        " FROM token WHERE sha256 = $1 AND revoked_at IS NULL"
    ))
    .bind(sha256)
    .fetch_optional(db)
    .await
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// Its name.
    pub name: &'a str,
    /// Who acts with it.
    pub owner: &'a str,
    /// Whose it is.
    pub kind: TokenKind,
    /// What it allows; an importer's is [`Role::Viewer`].
    pub role: Role,
    /// What it reaches.
    pub scope: Scope,
    /// How long it holds.
    pub expires_at: Option<DateTime<Utc>>,
    /// The hash of the token.
    pub sha256: &'a str,
}

impl<'a> NewToken<'a> {
    /// A person's token that reaches everything and never ends.
    pub fn of_person(name: &'a str, role: Role, sha256: &'a str) -> Self {
        Self {
            name,
            owner: name,
            kind: TokenKind::Person,
            role,
            scope: Scope::default(),
            expires_at: None,
            sha256,
        }
    }
}

/// Adds a token, or gives a known name of the same owner a new one: the old is not accepted any more, and who had signed in with it is
/// signed out. `None`: the name is somebody else's.
pub async fn upsert(db: &mut PgConnection, new: &NewToken<'_>) -> sqlx::Result<Option<i64>> {
    let id: Option<i64> = sqlx::query_scalar(
        "INSERT INTO token (name, owner, kind, role, runtimes, hosts, expires_at, sha256) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, role = excluded.role, runtimes = excluded.runtimes,
            hosts = excluded.hosts, expires_at = excluded.expires_at, sha256 = excluded.sha256, created_at = now(),
            last_used_at = NULL, revoked_at = NULL WHERE token.owner = excluded.owner
         RETURNING id",
    )
    .bind(new.name)
    .bind(new.owner)
    .bind(new.kind.as_str())
    .bind(new.role.as_str())
    .bind(&new.scope.runtimes)
    .bind(&new.scope.hosts)
    .bind(new.expires_at)
    .bind(new.sha256)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(id) = id {
        end_sessions(db, id).await?;
    }
    Ok(id)
}

async fn end_sessions(db: &mut PgConnection, token_id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE session SET ended_at = now() WHERE token_id = $1 AND ended_at IS NULL")
        .bind(token_id)
        .execute(db)
        .await
        .map(drop)
}

/// Tokens by name: everybody's, or one owner's.
pub async fn list(db: impl PgExecutor<'_>, owner: Option<&str>) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM token WHERE $1::text IS NULL OR owner = $1 ORDER BY revoked_at IS NOT NULL, name LIMIT 1000"
    ))
    .bind(owner)
    .fetch_all(db)
    .await
}

/// The token of this name, also when it is revoked.
pub async fn find_by_name(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Token>> {
    sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM token WHERE name = $1"
    ))
    .bind(name)
    .fetch_optional(db)
    .await
}

/// Takes a token back and ends the sign-ins with it; `false`: there is none of this name, or it is revoked already.
pub async fn revoke(db: &mut PgConnection, name: &str) -> sqlx::Result<bool> {
    let id: Option<i64> = sqlx::query_scalar(
        "UPDATE token SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING id",
    )
    .bind(name)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(id) = id {
        end_sessions(db, id).await?;
    }
    Ok(id.is_some())
}

/// A host's own token, without itself.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HostTokenRow {
    /// The host's name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// When the host was added.
    pub created_at: DateTime<Utc>,
    /// When its worker was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
}

/// The tokens of hosts' workers, by the hosts' names.
pub async fn list_of_hosts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HostTokenRow>> {
    sqlx::query_as(
        "SELECT name, class, created_at, last_seen_at FROM host ORDER BY name LIMIT 1000",
    )
    .fetch_all(db)
    .await
}
