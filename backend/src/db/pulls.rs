//! Pull requests as the newest hook says.

use sqlx::PgExecutor;

use crate::domain::hook::PullFacts;

/// Keeps what is known of a pull request up to date. Whether it did: what is older than what is known changes nothing.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    repository_id: i64,
    facts: &PullFacts,
) -> sqlx::Result<bool> {
    // Text of Postgres holds no zero byte, and JSON may.
    let clean = |text: &str| -> String { text.chars().filter(|c| *c != '\0').take(500).collect() };
    let done = sqlx::query(
        "INSERT INTO pull_request (repository_id, number, title, author, head_hash, head_branch, base_branch, state, fork,
                                   updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, now()))
         ON CONFLICT (repository_id, number) DO UPDATE SET title = excluded.title,
             author = coalesce(excluded.author, pull_request.author), head_hash = excluded.head_hash,
             head_branch = excluded.head_branch, base_branch = excluded.base_branch, state = excluded.state,
             fork = excluded.fork, updated_at = excluded.updated_at
         WHERE pull_request.updated_at <= excluded.updated_at",
    )
    .bind(repository_id)
    .bind(facts.number)
    .bind(clean(&facts.title))
    .bind(facts.author.as_deref().map(clean))
    .bind(&facts.head_hash)
    .bind(clean(&facts.head_branch))
    .bind(clean(&facts.base_branch))
    .bind(facts.state.as_str())
    .bind(facts.fork)
    .bind(facts.updated_at)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}
