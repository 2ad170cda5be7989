//! Tries whose commits are not looked up yet, and what a look has found.

use sqlx::{PgConnection, PgExecutor};

use crate::domain::try_run::{patch_paths, patched_hash};

/// A try whose commits are wanted.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Unresolved {
    /// Key.
    pub id: i64,
    /// The repository's key.
    pub repository_id: i64,
    /// Its name.
    pub repository: String,
    /// Where to fetch from.
    pub url: String,
    /// As [`crate::domain::try_run::TryState`].
    pub state: String,
    /// Who asked.
    pub requester: String,
    /// Revision: its name.
    pub head_name: Option<String>,
    /// What it is compared with, if that was named.
    pub base_name: Option<String>,
    /// The branch that it is meant for, if that was named.
    pub base_branch: Option<String>,
    /// Pull request's number.
    pub pull_number: Option<i32>,
    /// Of a fork's pull request: the head that was known when it was asked for.
    pub expected_head: Option<String>,
    /// The patch.
    pub patch_sha256: Option<String>,
    /// Runtimes that were named.
    pub runtimes: Vec<String>,
    /// Looks in vain.
    pub looks: i32,
}

/// Tries whose commits are wanted, oldest first; after a look in vain not before half a minute has passed.
pub async fn list_unresolved(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Unresolved>> {
    sqlx::query_as(
        "SELECT try_run.id, repository_id, repository.name AS repository, url, state, requester, head_name, base_name, base_branch,
                pull_number, expected_head, patch_sha256, runtimes, looks
         FROM try_run JOIN repository ON repository.id = repository_id
         WHERE state IN ('waiting_for_approval', 'queued') AND head_commit_id IS NULL
           AND (looked_at IS NULL OR looked_at < now() - interval '30 seconds')
         ORDER BY try_run.id LIMIT 20",
    )
    .fetch_all(db)
    .await
}

/// The branches of a repository that enabled runtimes measure, those of the named ones only if there are any; in the runtimes' order.
pub async fn list_branches(
    db: impl PgExecutor<'_>,
    repository_id: i64,
    runtimes: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT branch.name FROM branch JOIN runtime ON branch_id = branch.id
         WHERE repository_id = $1 AND enabled AND NOT control AND ($2 = '{}' OR runtime.name = ANY($2))
         GROUP BY branch.name ORDER BY min(ordinal), branch.name",
    )
    .bind(repository_id)
    .bind(runtimes)
    .fetch_all(db)
    .await
}

/// Notes a look in vain, and why.
pub async fn note_look(db: impl PgExecutor<'_>, id: i64, message: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE try_run SET looked_at = now(), looks = looks + 1, message = $2, changed_at = clock_timestamp() WHERE id = $1",
    )
    .bind(id)
    .bind(message)
    .execute(db)
    .await
    .map(drop)
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The branch that the head is meant for.
    pub base_branch: String,
    /// Hash of the base; the commit is known.
    pub base: String,
    /// Hash of the head; the commit is known.
    pub head: String,
    /// The difference, for whom has to approve, and whether it was cut.
    pub diff: Option<(String, bool)>,
    /// Whether it is something else than was approved: it waits for approval again.
    pub moved: bool,
}

/// Stores what a look has found. Nothing happens when the try is over, or was looked up meanwhile.
pub async fn set_commits(db: impl PgExecutor<'_>, id: i64, found: &Found) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE try_run SET base_branch = $2, base_commit_id = base.id, head_commit_id = head.id,
                diff = coalesce($5, diff), diff_cut = coalesce($6, diff_cut), changed_at = clock_timestamp(),
                state = CASE WHEN $7 THEN 'waiting_for_approval' ELSE state END,
                approved_by = CASE WHEN $7 THEN NULL ELSE approved_by END,
                approved_at = CASE WHEN $7 THEN NULL ELSE approved_at END,
                message = CASE WHEN $7 THEN 'The pull request has moved on since this was asked for.' ELSE '' END
         FROM commit base, commit head
         WHERE try_run.id = $1 AND head_commit_id IS NULL AND finished_at IS NULL
           AND base.repository_id = try_run.repository_id AND base.hash = $3
           AND head.repository_id = try_run.repository_id AND head.hash = $4",
    )
    .bind(id)
    .bind(&found.base_branch)
    .bind(&found.base)
    .bind(&found.head)
    .bind(found.diff.as_ref().map(|(text, _)| text))
    .bind(found.diff.as_ref().map(|(_, cut)| *cut))
    .bind(found.moved)
    .execute(db)
    .await
    .map(drop)
}

/// The commit that stands for a patch on top of a base, which is known; its hash. It is made of the hashes of both: the same patch on
/// the same base is the same commit, and no other is.
pub async fn insert_patch_commit(
    db: &mut PgConnection,
    wanted: &Unresolved,
    patch_sha256: &str,
    base: &str,
) -> sqlx::Result<String> {
    let text: String = sqlx::query_scalar("SELECT content FROM patch WHERE sha256 = $1")
        .bind(patch_sha256)
        .fetch_one(&mut *db)
        .await?;
    let paths = patch_paths(&text);
    let hash = patched_hash(base, patch_sha256);
    let short = |hash: &str| hash.chars().take(10).collect::<String>();
    sqlx::query(
        "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject,
                             touched_paths, touched_count, patch_sha256)
         SELECT repository_id, $3, ARRAY[hash], $4, '', now(), committed_at, $5, $6, $7, $8
         FROM commit WHERE repository_id = $1 AND hash = $2
         ON CONFLICT (repository_id, hash) DO NOTHING",
    )
    .bind(wanted.repository_id)
    .bind(base)
    .bind(&hash)
    .bind(&wanted.requester)
    .bind(format!("Patch {} on {}", short(patch_sha256), short(base)))
    .bind(&paths)
    .bind(i32::try_from(paths.len()).unwrap_or(i32::MAX))
    .bind(patch_sha256)
    .execute(db)
    .await?;
    Ok(hash)
}
