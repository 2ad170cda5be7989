//! The audit log: who did what, to what, when.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;

use crate::domain::audit::Action;

/// Notes an action; call it in the transaction that does it. `subject`: what was acted on, as in `regression 3`; `details`: an object with
/// what else will be asked for one day, without secrets.
pub async fn record(
    db: impl PgExecutor<'_>,
    actor: &str,
    action: Action,
    subject: &str,
    details: Value,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO audit (actor, action, subject, details) VALUES ($1, $2, $3, $4)")
        .bind(actor)
        .bind(action.as_str())
        .bind(subject)
        .bind(details)
        .execute(db)
        .await
        .map(drop)
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AuditRow {
    /// Key; larger ones are later.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// As [`Action`].
    pub action: String,
    /// What was acted on.
    pub subject: String,
    /// What else there is to say.
    pub details: Value,
}

/// Which lines; an empty text leaves a filter out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Exactly this actor.
    pub actor: String,
    /// This action, or all about one thing: `token`.
    pub action: String,
    /// The subject's beginning.
    pub subject: String,
    /// Only lines with a smaller key: the next page.
    pub before: Option<i64>,
}

/// The newest lines, newest first.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<AuditRow>> {
    sqlx::query_as(
        "SELECT id, at, actor, action, subject, details FROM audit
         WHERE ($1 = '' OR actor = $1) AND ($2 = '' OR action = $2 OR starts_with(action, $2 || '.'))
           AND ($3 = '' OR starts_with(subject, $3)) AND ($4::bigint IS NULL OR id < $4)
         ORDER BY id DESC LIMIT $5",
    )
    .bind(&filter.actor)
    .bind(&filter.action)
    .bind(&filter.subject)
    .bind(filter.before)
    .bind(limit)
    .fetch_all(db)
    .await
}
