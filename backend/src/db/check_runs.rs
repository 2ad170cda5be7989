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

/// The forge's key of the check run about something on a commit.
pub async fn find(
    db: impl PgExecutor<'_>,
    subject: Subject,
    hash: &str,
) -> sqlx::Result<Option<i64>> {
    let (try_id, regression_id) = subject.columns();
    sqlx::query_scalar(
        "SELECT key FROM check_run WHERE (try_id = $1 OR regression_id = $2) AND hash = $3",
    )
    .bind(try_id)
    .bind(regression_id)
    .bind(hash)
    .fetch_optional(db)
    .await
}

/// Keeps the forge's key of a check run; another about the same on the same commit gives way to it.
pub async fn keep(
    db: &mut sqlx::PgConnection,
    repository: &str,
    subject: Subject,
    hash: &str,
    key: i64,
) -> sqlx::Result<()> {
    let (try_id, regression_id) = subject.columns();
    sqlx::query(
        "DELETE FROM check_run WHERE (try_id = $1 OR regression_id = $2) AND hash = $3 AND key <> $4",
    )
    .bind(try_id)
    .bind(regression_id)
    .bind(hash)
    .bind(key)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO check_run (repository_id, key, hash, try_id, regression_id)
         SELECT id, $2, $3, $4, $5 FROM repository WHERE name = $1 ON CONFLICT DO NOTHING",
    )
    .bind(repository)
    .bind(key)
    .bind(hash)
    .bind(try_id)
    .bind(regression_id)
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
pub async fn knows_regression(
    db: impl PgExecutor<'_>,
    regression_id: i64,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM check_run WHERE regression_id = $1)
             OR EXISTS (SELECT 1 FROM outbox WHERE regression_id = $1 AND channel = 'forge' AND state = 'waiting'
                          AND payload->>'what' = 'status')",
    )
    .bind(regression_id)
    .fetch_one(db)
    .await
}
