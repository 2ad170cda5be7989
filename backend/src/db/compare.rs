//! A commit's runs, and each of them against the measured commit before it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A commit with its place.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct CommitDetail {
    /// Key.
    #[serde(skip)]
    pub id: i64,
    /// The repository.
    pub repository: String,
    /// Link template of the forge.
    #[serde(skip)]
    pub commit_url: Option<String>,
    /// Full hash.
    pub hash: String,
    /// Parents' hashes.
    pub parents: Vec<String>,
    /// Author's name.
    pub author_name: String,
    /// When it was written.
    pub authored_at: DateTime<Utc>,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// First line of the message.
    pub subject: String,
    /// Paths that it touches (cut); absent until they are read.
    pub touched_paths: Option<Vec<String>>,
    /// How many it touches.
    pub touched_count: Option<i32>,
    /// `branch position` of each branch that holds it.
    pub places: Vec<String>,
    /// Tags that name it.
    pub tags: Vec<String>,
}

/// Commits whose hash begins with `prefix` (lower-case hex), at most two.
pub async fn find_commits(
    db: impl PgExecutor<'_>,
    prefix: &str,
) -> sqlx::Result<Vec<CommitDetail>> {
    sqlx::query_as(
        "SELECT commit.id, repository.name AS repository, CASE WHEN patch_sha256 IS NULL THEN commit_url END AS commit_url, hash, parents, author_name, authored_at,
            committed_at, subject, touched_paths, touched_count,
            ARRAY(SELECT format('%s %s', branch.name, position) FROM branch_commit JOIN branch ON branch.id = branch_id
                  WHERE commit_id = commit.id ORDER BY branch.name) AS places,
            ARRAY(SELECT tag.name FROM tag WHERE tag.repository_id = commit.repository_id AND commit_hash = hash
                  ORDER BY tag.name) AS tags
         FROM commit JOIN repository ON repository.id = commit.repository_id
         WHERE hash >= $1 AND hash < $1 || 'g' ORDER BY hash LIMIT 2",
    )
    .bind(prefix)
    .fetch_all(db)
    .await
}

/// A run of a commit, with the measured commit before it on the same branch and host.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct CommitRun {
    /// The run.
    pub run_id: i64,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The run before: of the nearest earlier measured commit.
    pub previous_run_id: Option<i64>,
    /// That commit.
    pub previous_hash: Option<String>,
    /// Commits between the two, this one included; 1: the parent itself.
    pub distance: Option<i32>,
    /// Whether both were measured in the same environment.
    pub same_environment: Option<bool>,
    /// Whether it was measured elsewhere.
    pub imported: bool,
}

/// The newest run of each runtime and host on a commit.
pub async fn list_runs(db: impl PgExecutor<'_>, commit_id: i64) -> sqlx::Result<Vec<CommitRun>> {
    sqlx::query_as(
        "SELECT run.id AS run_id, runtime.name AS runtime, host.name AS host, run.finished_at,
            previous.id AS previous_run_id, previous.hash AS previous_hash,
            place.position - previous.position AS distance,
            previous.environment_id = run.environment_id AND NOT EXISTS (
                SELECT 1 FROM host_epoch WHERE host_epoch.host_id = run.host_id
                  AND begins_at > least(previous.finished_at, run.finished_at)
                  AND begins_at <= greatest(previous.finished_at, run.finished_at)) AS same_environment,
            host.imported
         FROM (SELECT DISTINCT ON (runtime_id, host_id) * FROM run WHERE commit_id = $1
               ORDER BY runtime_id, host_id, id DESC) run
         JOIN runtime ON runtime.id = run.runtime_id JOIN host ON host.id = run.host_id
         LEFT JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = run.commit_id
         LEFT JOIN LATERAL (
            SELECT earlier.id, commit.hash, before.position, earlier.environment_id, earlier.finished_at
            FROM run earlier
            JOIN branch_commit before ON before.branch_id = runtime.branch_id AND before.commit_id = earlier.commit_id
            JOIN commit ON commit.id = earlier.commit_id
            WHERE earlier.runtime_id = run.runtime_id AND earlier.host_id = run.host_id
              AND before.position < place.position
            ORDER BY before.position DESC, earlier.id DESC LIMIT 1
         ) previous ON true
         ORDER BY runtime.ordinal, runtime.name, host.name",
    )
    .bind(commit_id)
    .fetch_all(db)
    .await
}

/// A benchmark's metric in two runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Comparison {
    /// The new run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// New median.
    pub median: f64,
    /// Its 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Samples behind it.
    pub sample_count: i32,
    /// Old median.
    pub previous_median: Option<f64>,
    /// Its interval.
    pub previous_low: Option<f64>,
    /// Upper end.
    pub previous_high: Option<f64>,
    /// The verdict on the new commit.
    pub verdict: Option<String>,
    /// Why it is held back; absent when it is not.
    pub held: Option<String>,
    /// The verdict's threshold.
    pub threshold: Option<f64>,
}

/// Compares pairs of runs by one metric, for all pairs at once.
pub async fn list_comparisons(
    db: impl PgExecutor<'_>,
    runs: &[CommitRun],
    metric: &str,
) -> sqlx::Result<Vec<Comparison>> {
    sqlx::query_as(
        "SELECT wanted.run_id, benchmark.name AS benchmark, new.median, new.interval_low AS low,
                new.interval_high AS high, new.sample_count, old.median AS previous_median,
                old.interval_low AS previous_low, old.interval_high AS previous_high,
                verdict.state AS verdict, verdict.held, verdict.threshold
         FROM unnest($1::bigint[], $2::bigint[]) AS wanted (run_id, previous_run_id)
         JOIN measurement new ON new.run_id = wanted.run_id
         JOIN series ON series.id = new.series_id AND series.metric = $3
         JOIN benchmark ON benchmark.id = series.benchmark_id
         LEFT JOIN measurement old ON old.run_id = wanted.previous_run_id AND old.series_id = new.series_id
         LEFT JOIN verdict ON verdict.series_id = series.id AND verdict.commit_id = new.commit_id
         ORDER BY wanted.run_id, benchmark.name",
    )
    .bind(runs.iter().map(|run| run.run_id).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.previous_run_id).collect::<Vec<_>>())
    .bind(metric)
    .fetch_all(db)
    .await
}

/// A commit of a runtime's branch with its newest job and run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RuntimeCommit {
    /// Branch position.
    pub position: i32,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// Its author.
    pub author_name: String,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// State of its newest job.
    pub job_state: Option<String>,
    /// That job.
    pub job_id: Option<i64>,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// Its newest run.
    pub run_id: Option<i64>,
    /// Wall times that improved, without those that are held back.
    pub improved: i64,
    /// Wall times that regressed, without those that are held back.
    pub regressed: i64,
    /// Wall times whose change is held back.
    pub held: i64,
}

/// Commits of a runtime's branch, newest first, below a position.
pub async fn list_runtime_commits(
    db: impl PgExecutor<'_>,
    runtime: &str,
    before: Option<i32>,
    limit: i64,
) -> sqlx::Result<Vec<RuntimeCommit>> {
    sqlx::query_as(
        "SELECT place.position, commit.hash, commit.subject, commit.author_name, commit.committed_at,
            job.state AS job_state, job.id AS job_id, job.failure_message, run.id AS run_id,
            coalesce(verdicts.improved, 0) AS improved, coalesce(verdicts.regressed, 0) AS regressed,
            coalesce(verdicts.held, 0) AS held
         FROM runtime
         CROSS JOIN LATERAL (SELECT position, commit_id FROM branch_commit WHERE branch_id = runtime.branch_id
            AND position < coalesce($2, 2147483647) ORDER BY position DESC LIMIT $3) place
         JOIN commit ON commit.id = place.commit_id
         LEFT JOIN LATERAL (SELECT * FROM job WHERE runtime_id = runtime.id AND commit_id = commit.id
            ORDER BY id DESC LIMIT 1) job ON true
         LEFT JOIN LATERAL (SELECT id FROM run WHERE runtime_id = runtime.id AND commit_id = commit.id
            ORDER BY id DESC LIMIT 1) run ON true
         LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE state = 'improved' AND held IS NULL) AS improved,
                   count(*) FILTER (WHERE state = 'regressed' AND held IS NULL) AS regressed,
                   count(held) AS held
            FROM verdict JOIN series ON series.id = series_id
            WHERE verdict.commit_id = commit.id AND series.runtime_id = runtime.id
                AND metric IN ('wall_time', 'requests_per_second')
         ) verdicts ON run.id IS NOT NULL
         WHERE runtime.name = $1 ORDER BY place.position DESC",
    )
    .bind(runtime)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}
