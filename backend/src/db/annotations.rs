//! Somebody's words on commits and hosts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// What an annotation is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A commit's key.
    Commit(i64),
    /// A host's key.
    Host(i64),
}

impl Subject {
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Commit(id) => (Some(id), None),
            Self::Host(id) => (None, Some(id)),
        }
    }
}

/// An annotation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Annotation {
    /// Key.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// The words.
    pub message: String,
    /// The commit that it is on.
    pub hash: Option<String>,
    /// The host that it is on.
    pub host: Option<String>,
}

/// Adds one; its key.
pub async fn insert(
    db: impl PgExecutor<'_>,
    subject: Subject,
    actor: &str,
    message: &str,
) -> sqlx::Result<i64> {
    let (commit, host) = subject.columns();
    sqlx::query_scalar(
        "INSERT INTO annotation (commit_id, host_id, actor, message) VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(commit)
    .bind(host)
    .bind(actor)
    .bind(message)
    .fetch_one(db)
    .await
}

/// Those on one commit or host, the oldest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    subject: Subject,
    limit: i64,
) -> sqlx::Result<Vec<Annotation>> {
    let (commit, host) = subject.columns();
    sqlx::query_as(
        "SELECT annotation.id, at, actor, message, hash, host.name AS host
         FROM annotation LEFT JOIN commit ON commit.id = commit_id LEFT JOIN host ON host.id = host_id
         WHERE commit_id = $1 OR host_id = $2 ORDER BY annotation.id DESC LIMIT $3",
    )
    .bind(commit)
    .bind(host)
    .bind(limit)
    .fetch_all(db)
    .await
    .map(|mut rows: Vec<Annotation>| {
        rows.reverse();
        rows
    })
}

/// Those on the commits of a regression's range, and on its hosts since thirty days before it was seen; the oldest first.
pub async fn list_of_regression(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<Annotation>> {
    sqlx::query_as(
        "SELECT annotation.id, at, annotation.actor, message, hash, host.name AS host
         FROM regression
         LEFT JOIN branch_commit low ON low.branch_id = regression.branch_id AND low.commit_id = before_commit_id
         LEFT JOIN branch_commit high ON high.branch_id = regression.branch_id AND high.commit_id = after_commit_id
         JOIN annotation ON annotation.commit_id IN (culprit_commit_id, after_commit_id)
            OR annotation.commit_id IN (SELECT commit_id FROM branch_commit place WHERE place.branch_id = regression.branch_id
                AND position > low.position AND position <= high.position)
            OR (at > regression.created_at - interval '30 days' AND annotation.host_id IN (
                SELECT series.host_id FROM change_point JOIN series ON series.id = series_id
                WHERE regression_id = regression.id))
         LEFT JOIN commit ON commit.id = annotation.commit_id LEFT JOIN host ON host.id = annotation.host_id
         WHERE regression.id = $1 ORDER BY annotation.id LIMIT $2",
    )
    .bind(regression_id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Takes one back: its author's, or anybody's for an operator. `None`: there is none, or it is somebody else's.
pub async fn delete(
    db: impl PgExecutor<'_>,
    id: i64,
    actor: &str,
    any: bool,
) -> sqlx::Result<Option<Annotation>> {
    sqlx::query_as(
        "DELETE FROM annotation WHERE id = $1 AND (actor = $2 OR $3)
         RETURNING id, at, actor, message, (SELECT hash FROM commit WHERE commit.id = commit_id) AS hash,
            (SELECT name FROM host WHERE host.id = host_id) AS host",
    )
    .bind(id)
    .bind(actor)
    .bind(any)
    .fetch_optional(db)
    .await
}
