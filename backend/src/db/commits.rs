//! Commits, branch positions and tags.

use sqlx::{PgConnection, PgExecutor};

use crate::domain::commit::CommitFacts;

/// A branch of a repository.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Branch {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its newest commit as known here.
    pub head: Option<String>,
}

/// The branches that enabled runtimes measure.
pub async fn list_branches(
    db: impl PgExecutor<'_>,
    repository_id: i64,
) -> sqlx::Result<Vec<Branch>> {
    sqlx::query_as(
        "SELECT branch.id, branch.name, commit.hash AS head FROM branch
         LEFT JOIN commit ON commit.id = head_commit_id
         WHERE branch.repository_id = $1 AND EXISTS (SELECT 1 FROM runtime WHERE branch_id = branch.id AND enabled)
         ORDER BY branch.name",
    )
    .bind(repository_id)
    .fetch_all(db)
    .await
}

/// `(hash, position)` of a branch's commits.
pub async fn list_positions(
    db: impl PgExecutor<'_>,
    branch_id: i64,
) -> sqlx::Result<Vec<(String, i32)>> {
    sqlx::query_as(
        "SELECT hash, position FROM branch_commit JOIN commit ON commit.id = commit_id WHERE branch_id = $1",
    )
    .bind(branch_id)
    .fetch_all(db)
    .await
}

/// Adds the commits that are not known yet.
pub async fn insert(
    db: &mut PgConnection,
    repository_id: i64,
    commits: &[CommitFacts],
) -> sqlx::Result<()> {
    let column = |get: fn(&CommitFacts) -> &str| {
        commits
            .iter()
            .map(|c| get(c).to_owned())
            .collect::<Vec<_>>()
    };
    // Arrays of arrays must be rectangular, so parents travel as one text each.
    let parents: Vec<String> = commits.iter().map(|c| c.parents.join(" ")).collect();
    let authored: Vec<_> = commits.iter().map(|c| c.authored_at).collect();
    let committed: Vec<_> = commits.iter().map(|c| c.committed_at).collect();
    sqlx::query(
        "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject,
                             committer_name, committer_email)
         SELECT $1, hash, string_to_array(parents, ' '), author_name, author_email, authored_at, committed_at, subject,
                committer_name, committer_email
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[],
                     $9::text[], $10::text[])
              AS row (hash, parents, author_name, author_email, authored_at, committed_at, subject, committer_name,
                      committer_email)
         ON CONFLICT (repository_id, hash) DO NOTHING",
    )
    .bind(repository_id)
    .bind(column(|c| &c.hash))
    .bind(parents)
    .bind(column(|c| &c.author_name))
    .bind(column(|c| &c.author_email))
    .bind(authored)
    .bind(committed)
    .bind(column(|c| &c.subject))
    .bind(column(|c| &c.committer_name))
    .bind(column(|c| &c.committer_email))
    .execute(db)
    .await
    .map(drop)
}

/// Takes a branch's tail away, from `first` on: its measurements stay but lose their place, its waiting jobs are
/// given up. Returns how many positions went.
pub async fn cut_tail(db: &mut PgConnection, branch_id: i64, first: i32) -> sqlx::Result<u64> {
    let gone: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM branch_commit WHERE branch_id = $1 AND position >= $2 RETURNING commit_id",
    )
    .bind(branch_id)
    .bind(first)
    .fetch_all(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE measurement SET position = NULL FROM series JOIN runtime ON runtime.id = runtime_id
         WHERE series.id = series_id AND branch_id = $1 AND commit_id = ANY($2)",
    )
    .bind(branch_id)
    .bind(&gone)
    .execute(&mut *db)
    .await?;
    // A job that nobody has begun goes without a trace: should the commit come back, it is queued anew.
    sqlx::query(
        "DELETE FROM job USING runtime WHERE runtime.id = runtime_id AND branch_id = $1 AND commit_id = ANY($2)
           AND state = 'queued' AND attempt = 0 AND reason NOT IN ('requested', 'try')",
    )
    .bind(branch_id)
    .bind(&gone)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = now(), failure_kind = 'cancelled',
                failure_message = 'a force push took the commit off the branch'
         FROM runtime WHERE runtime.id = runtime_id AND branch_id = $1 AND commit_id = ANY($2) AND state = 'queued'
           AND reason NOT IN ('requested', 'try')",
    )
    .bind(branch_id)
    .bind(&gone)
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE branch SET rewritten_at = now(), rewritten_count = $2 WHERE id = $1")
        .bind(branch_id)
        .bind(i32::try_from(gone.len()).unwrap_or(i32::MAX))
        .execute(db)
        .await?;
    Ok(gone.len() as u64)
}

/// Appends commits to a branch from position `first` on, oldest first, and makes the last one its head. Measurements of
/// commits that come back find their place again, but for those that a repetition stands in for.
pub async fn append(
    db: &mut PgConnection,
    repository_id: i64,
    branch_id: i64,
    first: i32,
    hashes: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO branch_commit (branch_id, position, commit_id)
         SELECT $1, ($2 + ordinal - 1)::integer, commit.id
         FROM unnest($3::text[]) WITH ORDINALITY AS row (hash, ordinal)
         JOIN commit ON commit.repository_id = $4 AND commit.hash = row.hash",
    )
    .bind(branch_id)
    .bind(first)
    .bind(hashes)
    .bind(repository_id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE measurement SET position = place.position
         FROM series, runtime, branch_commit place
         WHERE series.id = series_id AND runtime.id = runtime_id AND runtime.branch_id = $1
           AND place.branch_id = $1 AND place.commit_id = measurement.commit_id AND place.position >= $2
           AND measurement.position IS DISTINCT FROM place.position
           AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = run_id AND superseded_by IS NOT NULL)",
    )
    .bind(branch_id)
    .bind(first)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE series SET changed_at = greatest(clock_timestamp(), changed_at + interval '1 microsecond')
         FROM runtime WHERE runtime.id = runtime_id AND branch_id = $1
           AND EXISTS (SELECT 1 FROM branch WHERE id = $1 AND rewritten_at > coalesce(series.detected_at, '-infinity'))",
    )
    .bind(branch_id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE branch SET head_commit_id = (
            SELECT commit_id FROM branch_commit WHERE branch_id = $1 ORDER BY position DESC LIMIT 1) WHERE id = $1",
    )
    .bind(branch_id)
    .execute(db)
    .await
    .map(drop)
}

/// Appends the version of a program that nobody builds to its runtime's branch, unless it is there, and gives up what waits
/// for other versions.
pub async fn append_program(
    db: &mut PgConnection,
    runtime_id: i64,
    version: &CommitFacts,
) -> sqlx::Result<()> {
    let (repository_id, branch_id, next, known): (i64, i64, i32, bool) = sqlx::query_as(
        "SELECT branch.repository_id, branch.id, count(place.position)::integer, coalesce(bool_or(commit.hash = $2), false)
         FROM runtime JOIN branch ON branch.id = runtime.branch_id
         LEFT JOIN branch_commit place ON place.branch_id = branch.id
         LEFT JOIN commit ON commit.id = place.commit_id
         WHERE runtime.id = $1 GROUP BY branch.id",
    )
    .bind(runtime_id)
    .bind(&version.hash)
    .fetch_one(&mut *db)
    .await?;
    // What waits for another version can no longer be done: the recipe of that version is gone from the configuration.
    sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = now(), failure_kind = 'cancelled',
                failure_message = 'the configuration names another version of this program'
         FROM commit WHERE commit.id = commit_id AND runtime_id = $1 AND state = 'queued' AND hash <> $2",
    )
    .bind(runtime_id)
    .bind(&version.hash)
    .execute(&mut *db)
    .await?;
    if known {
        return Ok(());
    }
    insert(&mut *db, repository_id, std::slice::from_ref(version)).await?;
    // It touches no files: the paths tick has nothing to read.
    sqlx::query(
        "UPDATE commit SET touched_paths = '{}', touched_count = 0 WHERE repository_id = $1 AND hash = $2",
    )
    .bind(repository_id)
    .bind(&version.hash)
    .execute(&mut *db)
    .await?;
    let hashes = std::slice::from_ref(&version.hash);
    append(db, repository_id, branch_id, next, hashes).await
}

/// Tells the planner how large the tables of commits are.
pub async fn analyze(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query("ANALYZE commit, branch_commit, tag")
        .execute(db)
        .await
        .map(drop)
}

/// Makes the tags exactly these.
pub async fn replace_tags(
    db: &mut PgConnection,
    repository_id: i64,
    tags: &[(String, String)],
) -> sqlx::Result<()> {
    let (names, hashes): (Vec<&str>, Vec<&str>) = tags
        .iter()
        .map(|(name, hash)| (name.as_str(), hash.as_str()))
        .unzip();
    sqlx::query("DELETE FROM tag WHERE repository_id = $1 AND NOT (name = ANY($2))")
        .bind(repository_id)
        .bind(&names)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "INSERT INTO tag (repository_id, name, commit_hash)
         SELECT $1, * FROM unnest($2::text[], $3::text[])
         ON CONFLICT (repository_id, name) DO UPDATE SET commit_hash = excluded.commit_hash
         WHERE tag.commit_hash <> excluded.commit_hash",
    )
    .bind(repository_id)
    .bind(&names)
    .bind(&hashes)
    .execute(db)
    .await
    .map(drop)
}

/// Commits whose paths have not been read yet, with keys below `before`: key and hash, newest first.
pub async fn list_without_paths(
    db: impl PgExecutor<'_>,
    repository_id: i64,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT id, hash FROM commit WHERE repository_id = $1 AND touched_paths IS NULL AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(repository_id)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Stores the paths of commits: key, paths joined by NUL, count.
pub async fn set_paths(
    db: impl PgExecutor<'_>,
    rows: &[(i64, Vec<String>, usize)],
) -> sqlx::Result<()> {
    let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
    // Paths hold no control characters here, so a line break separates them.
    let paths: Vec<String> = rows.iter().map(|row| row.1.join("\n")).collect();
    let counts: Vec<i32> = rows
        .iter()
        .map(|row| i32::try_from(row.2).unwrap_or(i32::MAX))
        .collect();
    sqlx::query(
        "UPDATE commit SET touched_paths = CASE WHEN paths = '' THEN '{}' ELSE string_to_array(paths, E'\\n') END,
                touched_count = count
         FROM unnest($1::bigint[], $2::text[], $3::integer[]) AS row (key, paths, count) WHERE commit.id = key",
    )
    .bind(ids)
    .bind(paths)
    .bind(counts)
    .execute(db)
    .await
    .map(drop)
}
