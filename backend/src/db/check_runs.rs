//! Check runs on a forge: which were written, about what.

use sqlx::PgExecutor;

/// What a check run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A try, by its key.
    Try(i64),
    /// A regression, by its key.
    Regression(i64),
}

impl Subject {
    /// The columns `try_id` and `regression_id`.
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Try(id) => (Some(id), None),
            Self::Regression(id) => (None, Some(id)),
        }
    }
}

/// The newest check run about something on a commit: the forge's key, and the conclusion that it has when it is over.
pub async fn find(
    db: impl PgExecutor<'_>,
    subject: Subject,
    hash: &str,
) -> sqlx::Result<Option<(i64, Option<String>)>> {
    let (try_id, regression_id) = subject.columns();
    sqlx::query_as(
        "SELECT key, ended FROM check_run WHERE (try_id = $1 OR regression_id = $2) AND hash = $3 ORDER BY key DESC LIMIT 1",
    )
    .bind(try_id)
    .bind(regression_id)
    .bind(hash)
    .fetch_optional(db)
    .await
}

/// A check run as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// The repository's name.
    pub repository: &'a str,
    /// What it is about.
    pub subject: Subject,
    /// The commit.
    pub hash: &'a str,
    /// The forge's key.
    pub key: i64,
    /// The conclusion that it has; nothing while it is not over.
    pub ended: Option<&'a str>,
}

/// Keeps the forge's key of a check run, and how it ended.
pub async fn keep(db: impl PgExecutor<'_>, written: &Written<'_>) -> sqlx::Result<()> {
    let (try_id, regression_id) = written.subject.columns();
    sqlx::query(
        "INSERT INTO check_run (repository_id, key, hash, try_id, regression_id, ended)
         SELECT id, $2, $3, $4, $5, $6 FROM repository WHERE name = $1
         ON CONFLICT (repository_id, key) DO UPDATE SET ended = excluded.ended",
    )
    .bind(written.repository)
    .bind(written.key)
    .bind(written.hash)
    .bind(try_id)
    .bind(regression_id)
    .bind(written.ended)
    .execute(db)
    .await
    .map(drop)
}

/// The try that a check run of a repository is about.
pub async fn find_try(
    db: impl PgExecutor<'_>,
    repository: &str,
    key: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT try_id FROM check_run JOIN repository ON repository.id = repository_id
         WHERE repository.name = $1 AND key = $2 AND try_id IS NOT NULL",
    )
    .bind(repository)
    .bind(key)
    .fetch_optional(db)
    .await
}

/// The newest try with a check run on a commit of a repository.
pub async fn find_try_of_commit(
    db: impl PgExecutor<'_>,
    repository: &str,
    hash: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT max(try_id) FROM check_run JOIN repository ON repository.id = repository_id
         WHERE repository.name = $1 AND hash = $2",
    )
    .bind(repository)
    .bind(hash)
    .fetch_one(db)
    .await
}

/// Whether the forge knows of a regression, or is about to: what becomes of it is told there, too.
pub async fn knows_regression(db: impl PgExecutor<'_>, regression_id: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM check_run WHERE regression_id = $1)
             OR EXISTS (SELECT 1 FROM outbox WHERE regression_id = $1 AND channel = 'forge' AND state = 'waiting'
                          AND payload->>'what' = 'status')",
    )
    .bind(regression_id)
    .fetch_one(db)
    .await
}
