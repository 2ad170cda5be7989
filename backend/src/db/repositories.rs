//! Repositories and runtimes as the configuration has them.

use chrono::{DateTime, Utc};
use speedwell_wire::BuildRecipe;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

/// A repository's row.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Repository {
    /// Key.
    pub id: i64,
    /// Its name in the configuration.
    pub name: String,
    /// Where to fetch from.
    pub url: String,
    /// When it was last looked at, with or without success.
    pub last_fetch_at: Option<DateTime<Utc>>,
    /// Set: to be looked at without waiting for the schedule.
    pub due_at: Option<DateTime<Utc>>,
}

/// A runtime's row as the scheduler needs it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Runtime {
    /// Key.
    pub id: i64,
    /// Its name in the configuration.
    pub name: String,
    /// Its branch.
    pub branch_id: i64,
}

/// Adds a repository or gives a known one its settings.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    name: &str,
    url: &str,
    commit_url: Option<&str>,
    exclude: &[String],
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO repository (name, url, commit_url, exclude) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET commit_url = excluded.commit_url, exclude = excluded.exclude,
             url = excluded.url,
             last_fetch_at = CASE WHEN repository.url = excluded.url THEN repository.last_fetch_at END
         RETURNING id",
    )
    .bind(name)
    .bind(url)
    .bind(commit_url)
    .bind(exclude)
    .fetch_one(db)
    .await
}

/// What the configuration says of a runtime.
#[derive(Debug)]
pub struct RuntimeSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// `python2` or `python3`.
    pub language: &'a str,
    /// Its branch's name.
    pub branch: &'a str,
    /// Its recipe.
    pub recipe: &'a BuildRecipe,
    /// Its suite's name.
    pub suite: &'a str,
    /// Its place on pages.
    pub ordinal: i32,
    /// Whether it is a control.
    pub control: bool,
    /// How often a marked run is repeated at most.
    pub repeat_marked: u32,
}

/// Adds a runtime or gives a known one its settings; makes its branch.
pub async fn upsert_runtime(
    db: &mut PgConnection,
    repository_id: i64,
    settings: &RuntimeSettings<'_>,
) -> sqlx::Result<i64> {
    let branch_id: i64 = sqlx::query_scalar(
        "INSERT INTO branch (repository_id, name) VALUES ($1, $2)
         ON CONFLICT (repository_id, name) DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(repository_id)
    .bind(settings.branch)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query_scalar(
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, ordinal, control,
                              repeat_marked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (name) DO UPDATE SET language = excluded.language, branch_id = excluded.branch_id,
             recipe = excluded.recipe, recipe_sha256 = excluded.recipe_sha256, suite_name = excluded.suite_name,
             ordinal = excluded.ordinal, control = excluded.control, repeat_marked = excluded.repeat_marked, enabled = true
         RETURNING id",
    )
    .bind(settings.name)
    .bind(settings.language)
    .bind(branch_id)
    .bind(Json(settings.recipe))
    .bind(&settings.recipe.sha256)
    .bind(settings.suite)
    .bind(settings.ordinal)
    .bind(settings.control)
    .bind(i32::try_from(settings.repeat_marked).unwrap_or(i32::MAX))
    .fetch_one(db)
    .await
}

/// Runtimes that are no longer configured keep their history and get no more jobs. Made-up ones never were.
pub async fn disable_runtimes_except(db: &mut PgConnection, kept: &[i64]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE runtime SET enabled = false FROM branch JOIN repository ON repository.id = repository_id
         WHERE branch.id = branch_id AND enabled AND NOT synthetic AND NOT (runtime.id = ANY($1))",
    )
    .bind(kept)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = now()
         FROM runtime WHERE runtime.id = runtime_id AND state = 'queued' AND NOT runtime.enabled",
    )
    .execute(db)
    .await
    .map(drop)
}

/// All repositories.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Repository>> {
    sqlx::query_as("SELECT id, name, url, last_fetch_at, due_at FROM repository ORDER BY name")
        .fetch_all(db)
        .await
}

/// The enabled runtimes that are not paused.
pub async fn list_runtimes(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Runtime>> {
    sqlx::query_as("SELECT id, name, branch_id FROM runtime WHERE enabled AND paused_at IS NULL ORDER BY ordinal, name")
        .fetch_all(db)
        .await
}

/// Notes whether a runtime's results come from elsewhere alone.
pub async fn set_imported(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    imported: bool,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE runtime SET imported = $2 WHERE id = $1 AND imported <> $2")
        .bind(runtime_id)
        .bind(imported)
        .execute(db)
        .await
        .map(drop)
}

/// The key of an enabled runtime.
pub async fn find_runtime(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM runtime WHERE name = $1 AND enabled")
        .bind(name)
        .fetch_optional(db)
        .await
}

/// Notes a look at a repository, as it was listed before; `error` is shown until a later one succeeds. When it was asked for anew
/// meanwhile it stays due.
pub async fn mark_fetched(
    db: impl PgExecutor<'_>,
    repository: &Repository,
    error: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE repository SET last_fetch_at = now(), last_fetch_error = $2,
                due_at = CASE WHEN due_at IS DISTINCT FROM $3 THEN due_at END WHERE id = $1",
    )
    .bind(repository.id)
    .bind(error)
    .bind(repository.due_at)
    .execute(db)
    .await
    .map(drop)
}

/// Has a repository looked at at once.
pub async fn mark_due(db: impl PgExecutor<'_>, repository_id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE repository SET due_at = clock_timestamp() WHERE id = $1")
        .bind(repository_id)
        .execute(db)
        .await
        .map(drop)
}

/// Leaves a repository's forge alone until a moment.
pub async fn pause_forge(
    db: impl PgExecutor<'_>,
    name: &str,
    until: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE repository SET forge_paused_until = $2 WHERE name = $1")
        .bind(name)
        .bind(until)
        .execute(db)
        .await
        .map(drop)
}
