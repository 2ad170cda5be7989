//! How far the measuring is, for the `progress` command.

use sqlx::PgExecutor;

/// One runtime's counts of commits.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct RuntimeProgress {
    /// The runtime's name.
    pub name: String,
    /// Commits on its branch.
    pub commits: i64,
    /// Commits with a run.
    pub measured: i64,
    /// Commits whose newest job failed, without a run.
    pub failed: i64,
    /// Jobs that wait.
    pub queued: i64,
    /// Jobs under way.
    pub running: i64,
}

/// The counts of every enabled runtime.
pub async fn list_runtimes(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<RuntimeProgress>> {
    sqlx::query_as(
        "SELECT name,
            (SELECT count(*) FROM branch_commit WHERE branch_id = runtime.branch_id) AS commits,
            (SELECT count(DISTINCT commit_id) FROM run WHERE runtime_id = runtime.id) AS measured,
            (SELECT count(DISTINCT commit_id) FROM job WHERE runtime_id = runtime.id AND state = 'failed'
               AND NOT EXISTS (SELECT 1 FROM run WHERE run.runtime_id = runtime.id AND run.commit_id = job.commit_id)
            ) AS failed,
            (SELECT count(*) FROM job WHERE runtime_id = runtime.id AND state = 'queued') AS queued,
            (SELECT count(*) FROM job WHERE runtime_id = runtime.id AND state = 'running') AS running
         FROM runtime WHERE enabled ORDER BY ordinal, name",
    )
    .fetch_all(db)
    .await
}

/// What each running job is doing: its number and a line for people.
pub async fn list_running(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT job.id, format('%s %s on %s: %s %s%% %s', runtime.name, left(commit.hash, 10), host.name, phase,
                               round(coalesce(percent, 0)), coalesce(progress, ''))
         FROM job JOIN runtime ON runtime.id = job.runtime_id JOIN commit ON commit.id = commit_id
         JOIN host ON host.id = running_on WHERE state = 'running' ORDER BY job.id",
    )
    .fetch_all(db)
    .await
}

/// Repositories that cannot be fetched, and jobs' newest failures: a name and a line for people.
pub async fn list_troubles(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as(
        "SELECT name, 'cannot be fetched: ' || last_fetch_error FROM repository WHERE last_fetch_error IS NOT NULL
         UNION ALL
         SELECT format('%s, job %s', runtime.name, job.id), format('%s: %s', state, failure_message)
         FROM job JOIN runtime ON runtime.id = runtime_id WHERE failure_message IS NOT NULL AND state <> 'running'
         ORDER BY 1",
    )
    .fetch_all(db)
    .await
}

/// One measured (or failed) commit of a runtime.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SummaryRow {
    /// The runtime's name.
    pub runtime: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// State of the newest job.
    pub state: String,
    /// Seconds of all build steps of its newest build.
    pub build_seconds: Option<f64>,
    /// Seconds from the first benchmark to the last of its newest run.
    pub run_seconds: Option<f64>,
    /// Benchmarks of that run with a wall time.
    pub benchmarks: i64,
    /// Geometric mean of their medians, in seconds.
    pub geomean: Option<f64>,
}

/// Every commit with a finished job, newest branch position first.
pub async fn list_summary(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<SummaryRow>> {
    sqlx::query_as(
        "WITH newest AS (
            SELECT DISTINCT ON (runtime_id, commit_id) id, runtime_id, commit_id, state FROM job
            WHERE finished_at IS NOT NULL ORDER BY runtime_id, commit_id, id DESC
         )
         SELECT runtime.name AS runtime, commit.hash, commit.subject, newest.state,
            (SELECT sum(value::float8) FROM jsonb_each_text(build.step_seconds)) AS build_seconds,
            extract(epoch FROM run.finished_at - run.started_at)::float8 AS run_seconds,
            times.benchmarks, times.geomean
         FROM newest
         JOIN runtime ON runtime.id = newest.runtime_id
         JOIN commit ON commit.id = newest.commit_id
         LEFT JOIN branch_commit place
           ON place.branch_id = runtime.branch_id AND place.commit_id = newest.commit_id
         LEFT JOIN LATERAL (SELECT * FROM build WHERE build.runtime_id = newest.runtime_id
            AND build.commit_id = newest.commit_id ORDER BY id DESC LIMIT 1) build ON true
         LEFT JOIN LATERAL (SELECT * FROM run WHERE run.runtime_id = newest.runtime_id
            AND run.commit_id = newest.commit_id ORDER BY id DESC LIMIT 1) run ON true
         LEFT JOIN LATERAL (SELECT count(*) AS benchmarks, exp(avg(ln(median))) AS geomean
            FROM measurement JOIN series ON series.id = series_id
            WHERE run_id = run.id AND metric = 'wall_time') times ON true
         ORDER BY runtime.ordinal, runtime.name, place.position DESC NULLS LAST",
    )
    .fetch_all(db)
    .await
}
