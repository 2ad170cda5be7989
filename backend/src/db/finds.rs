//! What the search box finds. Each query takes the words as [`crate::domain::query::Query`] has cleaned them.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A part of a list: how many to leave out, and how many to give at most.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Left out at the beginning.
    pub from: i64,
    /// Given at most.
    pub limit: i64,
}

/// A commit that was found.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FoundCommit {
    /// The repository.
    pub repository: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// Its author.
    pub author_name: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// Whether its hash was asked for.
    pub by_hash: bool,
    /// Whether anything was measured at it.
    pub measured: bool,
}

/// Commits whose hash begins with `hash`, and then those that have all words; the newest first.
pub async fn list_commits(
    db: impl PgExecutor<'_>,
    hash: Option<&str>,
    tsquery: Option<&str>,
    part: Part,
) -> sqlx::Result<Vec<FoundCommit>> {
    sqlx::query_as(
        "WITH named AS (
            SELECT id, committed_at, true AS by_hash FROM commit
            WHERE hash ~>=~ $1 AND hash ~<~ ($1 || 'g') ORDER BY committed_at DESC, id DESC LIMIT $3 + $4),
         worded AS (
            SELECT id, committed_at, false AS by_hash FROM commit
            WHERE words @@ to_tsquery('simple', $2)
              AND ($1 IS NULL OR NOT (hash ~>=~ $1 AND hash ~<~ ($1 || 'g')))
            ORDER BY committed_at DESC, id DESC LIMIT $3 + $4),
         found AS (
            SELECT * FROM named UNION ALL SELECT * FROM worded
            ORDER BY by_hash DESC, committed_at DESC, id DESC OFFSET $3 LIMIT $4)
         SELECT repository.name AS repository, hash, subject, author_name, commit.committed_at, by_hash,
                EXISTS (SELECT 1 FROM run WHERE run.commit_id = commit.id) AS measured
         FROM found JOIN commit ON commit.id = found.id JOIN repository ON repository.id = repository_id
         ORDER BY by_hash DESC, commit.committed_at DESC, commit.id DESC",
    )
    .bind(hash)
    .bind(tsquery)
    .bind(part.from)
    .bind(part.limit)
    .fetch_all(db)
    .await
}

/// Something with a name that was found.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FoundName {
    /// [`crate::domain::query::Kind::as_str`].
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub detail: String,
    /// The commit of a release; empty for all others.
    pub hash: String,
}

/// Benchmarks, runtimes, hosts, suites and releases whose name or description has all terms: those of that very name first, then
/// those whose name begins so. `part` counts within each kind.
pub async fn list_names(
    db: impl PgExecutor<'_>,
    text: &str,
    terms: &[String],
    part: Part,
) -> sqlx::Result<Vec<FoundName>> {
    sqlx::query_as(
        "WITH named AS (
            SELECT * FROM (SELECT DISTINCT ON (name) 'benchmarks' AS kind, name, description AS detail, '' AS hash
                           FROM benchmark ORDER BY name, id DESC) newest
            UNION ALL
            SELECT 'runtimes', runtime.name, language || ', ' || repository.name || ' ' || branch.name
                   || CASE WHEN enabled THEN '' ELSE ', no longer measured' END, ''
            FROM runtime JOIN branch ON branch.id = branch_id JOIN repository ON repository.id = repository_id
            UNION ALL
            SELECT 'hosts', name, 'class ' || class, '' FROM host
            UNION ALL
            SELECT * FROM (SELECT DISTINCT ON (name) 'suites', name, description, '' FROM suite
                           ORDER BY name, version DESC) newest
            UNION ALL
            SELECT 'releases', tag.name, repository.name, commit_hash FROM tag JOIN repository ON repository.id = repository_id),
         found AS (
            SELECT *, row_number() OVER (PARTITION BY kind ORDER BY lower(name) = lower($1) DESC,
                        starts_with(lower(name), lower($1)) DESC, name DESC) AS place
            FROM named
            WHERE NOT EXISTS (SELECT 1 FROM unnest($2::text[]) AS term
                              WHERE strpos(lower(name || ' ' || detail), term) = 0))
         SELECT kind, name, detail, hash FROM found WHERE place > $3 AND place <= $3 + $4 ORDER BY kind, place",
    )
    .bind(text)
    .bind(terms)
    .bind(part.from)
    .bind(part.limit)
    .fetch_all(db)
    .await
}

/// A regression or improvement that was found.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FoundRegression {
    /// Its number.
    pub id: i64,
    /// True: an improvement.
    pub better: bool,
    /// Where it is in its life.
    pub state: String,
    /// Benchmarks that it moved, by name.
    pub benchmarks: Vec<String>,
    /// Runtimes.
    pub runtimes: Vec<String>,
    /// The subject of the commit behind it, once that is known.
    pub subject: Option<String>,
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
}

/// The regression of that number, and then those whose commit, owner, benchmarks or runtimes have all terms; the newest first.
pub async fn list_regressions(
    db: impl PgExecutor<'_>,
    number: Option<i64>,
    terms: &[String],
    part: Part,
) -> sqlx::Result<Vec<FoundRegression>> {
    sqlx::query_as(
        "WITH sized AS (
            SELECT regression_id, array_agg(DISTINCT benchmark.name ORDER BY benchmark.name) AS benchmarks,
                   array_agg(DISTINCT runtime.name ORDER BY runtime.name) AS runtimes
            FROM change_point JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
            JOIN runtime ON runtime.id = series.runtime_id WHERE regression_id IS NOT NULL GROUP BY regression_id)
         SELECT regression.id, better, state, coalesce(benchmarks, '{}') AS benchmarks, coalesce(runtimes, '{}') AS runtimes,
                culprit.subject, regression.created_at
         FROM regression LEFT JOIN sized ON regression_id = regression.id LEFT JOIN commit culprit ON culprit.id = culprit_commit_id
         WHERE regression.id = $1 OR NOT EXISTS (
            SELECT 1 FROM unnest($2::text[]) AS term
            WHERE strpos(lower(concat_ws(' ', culprit.subject, culprit.author_name, owner, state,
                                         CASE WHEN better THEN 'improvement' ELSE 'regression' END,
                                         array_to_string(benchmarks, ' '), array_to_string(runtimes, ' '))), term) = 0)
         ORDER BY regression.id = $1 DESC NULLS LAST, regression.id DESC OFFSET $3 LIMIT $4",
    )
    .bind(number)
    .bind(terms)
    .bind(part.from)
    .bind(part.limit)
    .fetch_all(db)
    .await
}
