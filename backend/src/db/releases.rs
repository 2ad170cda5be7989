//! Releases that lie beside a branch: which are to be looked for, and what was found.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// Where a release's commit lies beside a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The release's commit.
    pub hash: String,
    /// Position of the branch's newest commit that it contains, and how many commits it has of its own; `None`: it is no release of
    /// this branch.
    pub fork: Option<(i32, i32)>,
}

/// Commits of releases that are not on a branch, and that nobody has looked for yet.
pub async fn list_unplaced(db: impl PgExecutor<'_>, branch_id: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT commit_hash FROM branch JOIN tag ON tag.repository_id = branch.repository_id AND release_line IS NOT NULL
         WHERE branch.id = $1 AND branch.head_commit_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM commit JOIN branch_commit place ON place.commit_id = commit.id AND place.branch_id = branch.id
               WHERE commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash)
           AND NOT EXISTS (SELECT 1 FROM off_branch_release beside
               WHERE beside.branch_id = branch.id AND beside.commit_hash = tag.commit_hash)
         ORDER BY 1",
    )
    .bind(branch_id)
    .fetch_all(db)
    .await
}

/// Stores what was found.
pub async fn insert(db: impl PgExecutor<'_>, branch_id: i64, rows: &[Beside]) -> sqlx::Result<()> {
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let positions: Vec<Option<i32>> = rows.iter().map(|row| row.fork.map(|fork| fork.0)).collect();
    let own: Vec<Option<i32>> = rows.iter().map(|row| row.fork.map(|fork| fork.1)).collect();
    sqlx::query(
        "INSERT INTO off_branch_release (branch_id, commit_hash, position, own_commits)
         SELECT $1, * FROM unnest($2::text[], $3::integer[], $4::integer[]) ON CONFLICT DO NOTHING",
    )
    .bind(branch_id)
    .bind(hashes)
    .bind(positions)
    .bind(own)
    .execute(db)
    .await
    .map(drop)
}

/// Lets a branch's releases be looked for anew where its new commits, from position `first` on, may have changed the answer: those that
/// lay there, and those looked for since `recent` that were none of it (a tag may come before the commits that lead to it).
pub async fn forget(
    db: &mut PgConnection,
    branch_id: i64,
    first: i32,
    recent: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM off_branch_release WHERE branch_id = $1 AND (position >= $2 OR (position IS NULL AND looked_at >= $3))",
    )
    .bind(branch_id)
    .bind(first)
    .bind(recent)
    .execute(db)
    .await
    .map(drop)
}
