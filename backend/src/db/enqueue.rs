//! The queries of the enqueue tick.

use sqlx::{AssertSqlSafe, PgExecutor};

use crate::domain::plan::{Candidate, Reason};

/// Jobs of a runtime that wait, for one class of hosts. Repetitions, confirmations, bisections and tries take nobody's room.
pub async fn count_queued(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    class: &str,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM job WHERE runtime_id = $1 AND host_class = $2 AND state = 'queued'
           AND reason NOT IN ('repetition', 'confirmation', 'bisection', 'try')",
    )
    .bind(runtime_id)
    .bind(class)
    .fetch_one(db)
    .await
}

/// The release on or beside a runtime's branch before its head: what the overview compares with. That is the newest final release
/// (`v3.9.2`, not `v3.9.3rc1`), or a preview where the branch leads to a line that has no final one (`v3.15.0a2`). Settled: a job for it, of the whole
/// suite and (of a try) only one that has measured, is open, or was begun in the present epoch of the host that measured the runtime last; nothing is compared with other epochs.
pub async fn find_release(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    class: &str,
) -> sqlx::Result<Option<(i64, bool)>> {
    sqlx::query_as(
        "SELECT release.commit_id,
            EXISTS (SELECT 1 FROM job WHERE job.runtime_id = runtime.id AND job.commit_id = release.commit_id
                    AND job.kind = 'measure' AND job.host_class = $2 AND job.suite_name IS NULL AND job.benchmarks = '{}'
                    AND (job.reason <> 'try' OR job.state = 'succeeded')
                    AND (job.state IN ('queued', 'running')
                         OR coalesce(job.started_at, job.created_at) >= coalesce(epoch.begins_at, '-infinity'))) AS settled
         FROM runtime JOIN branch ON branch.id = runtime.branch_id
         JOIN branch_release release ON release.branch_id = branch.id
         LEFT JOIN LATERAL (
            SELECT greatest(first_seen_at, (SELECT max(begins_at) FROM host_epoch WHERE host_epoch.host_id = host.id)) AS begins_at
            FROM run JOIN host ON host.id = run.host_id JOIN environment ON environment.id = host.environment_id
            WHERE run.runtime_id = runtime.id AND host.class = $2 ORDER BY run.id DESC LIMIT 1
         ) epoch ON true
         WHERE runtime.id = $1 AND release.commit_id <> branch.head_commit_id
         ORDER BY release_line DESC, release_final DESC, position DESC, own_commits DESC LIMIT 1",
    )
    .bind(runtime_id)
    .bind(class)
    .fetch_optional(db)
    .await
}

/// Whether the commit `place.commit_id` is settled for the runtime `$1` on hosts of the class `$2`: it has a run there, or a job that is open or
/// over, of the runtime's own whole suite. What was limited to some benchmarks (a request, a confirmation, a bisection) settles nothing, and of a
/// try only what it has measured.
const SETTLED: &str =
    "(EXISTS (SELECT 1 FROM job WHERE job.runtime_id = $1 AND job.commit_id = place.commit_id
              AND job.kind = 'measure' AND job.host_class = $2 AND job.benchmarks = '{}' AND job.suite_name IS NULL
              AND job.reason <> 'try')
   OR EXISTS (SELECT 1 FROM run JOIN host ON host.id = run.host_id JOIN job ON job.id = run.job_id
              WHERE job.benchmarks = '{}' AND job.suite_name IS NULL AND run.runtime_id = $1
                AND run.commit_id = place.commit_id AND host.class = $2))";

/// A runtime's commits in branch order, oldest first, each [`SETTLED`] or not; with `newest` only that many from the end.
pub async fn list_candidates(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    class: &str,
    newest: Option<i64>,
) -> sqlx::Result<Vec<Candidate>> {
    let query = format!(
        "SELECT * FROM (
            SELECT place.position, commit.id,
                EXISTS (SELECT 1 FROM tag WHERE tag.repository_id = commit.repository_id AND commit_hash = commit.hash),
                {SETTLED}
            FROM runtime JOIN branch_commit place ON place.branch_id = runtime.branch_id
            JOIN commit ON commit.id = place.commit_id
            WHERE runtime.id = $1 ORDER BY place.position DESC LIMIT $3
         ) newest ORDER BY position"
    );
    let rows: Vec<CandidateRow> = sqlx::query_as(AssertSqlSafe(query))
        .bind(runtime_id)
        .bind(class)
        .bind(newest)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(candidate).collect())
}

/// Position, key, tagged, settled.
type CandidateRow = (i32, i64, bool, bool);

fn candidate((position, commit_id, tagged, settled): CandidateRow) -> Candidate {
    Candidate {
        position,
        commit_id,
        tagged,
        ends_day: false,
        settled,
    }
}

/// The last commits of days (UTC) that are over, in branch order, with `newest` only so many from the end; each
/// [`SETTLED`] or not. The branch is read from its end, and no further than to the oldest of them.
pub async fn list_nights(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    class: &str,
    newest: Option<i64>,
) -> sqlx::Result<Vec<Candidate>> {
    let query = format!(
        "SELECT place.position, place.commit_id, false, {SETTLED}
         FROM (
            SELECT night.position, night.commit_id
            FROM branch_commit night JOIN commit ON commit.id = night.commit_id
            JOIN branch_commit after ON after.branch_id = night.branch_id AND after.position = night.position + 1
            JOIN commit next ON next.id = after.commit_id
            WHERE night.branch_id = (SELECT branch_id FROM runtime WHERE id = $1)
              AND (next.committed_at AT TIME ZONE 'UTC')::date > (commit.committed_at AT TIME ZONE 'UTC')::date
            ORDER BY night.position DESC LIMIT $3
         ) place ORDER BY place.position"
    );
    let rows: Vec<CandidateRow> = sqlx::query_as(AssertSqlSafe(query))
        .bind(runtime_id)
        .bind(class)
        .bind(newest)
        .fetch_all(db)
        .await?;
    let night = |row| Candidate {
        ends_day: true,
        ..candidate(row)
    };
    Ok(rows.into_iter().map(night).collect())
}

/// The commits of a runtime's branch that tags name, and the releases beside it, in branch order; each [`SETTLED`] or not.
pub async fn list_tagged(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    class: &str,
) -> sqlx::Result<Vec<Candidate>> {
    let query = format!(
        "SELECT place.position, place.commit_id, true, {SETTLED}
         FROM (
            SELECT on_branch.position, on_branch.commit_id, 0 AS own_commits
            FROM runtime JOIN branch ON branch.id = branch_id JOIN tag ON tag.repository_id = branch.repository_id
            JOIN commit ON commit.repository_id = tag.repository_id AND commit.hash = tag.commit_hash
            JOIN branch_commit on_branch ON on_branch.branch_id = branch.id AND on_branch.commit_id = commit.id
            WHERE runtime.id = $1
            UNION
            SELECT position, commit_id, own_commits FROM runtime JOIN branch_release USING (branch_id) WHERE runtime.id = $1
         ) place JOIN commit ON commit.id = place.commit_id
         ORDER BY place.position, own_commits, place.commit_id"
    );
    let rows: Vec<CandidateRow> = sqlx::query_as(AssertSqlSafe(query))
        .bind(runtime_id)
        .bind(class)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(candidate).collect())
}

/// Queues a measurement; nothing happens when the same work is open already.
pub async fn insert_job(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    commit_id: i64,
    class: &str,
    reason: Reason,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester)
         VALUES ('measure', $1, $2, $3, $4, $5, 'scheduler') ON CONFLICT DO NOTHING",
    )
    .bind(runtime_id)
    .bind(commit_id)
    .bind(class)
    .bind(reason.priority())
    .bind(reason.as_str())
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Queues measurements that somebody asked for, also when the same work is queued or done: repeats of one build show how
/// far its numbers spread, repeats of the build itself how far builds do. Returns the jobs' numbers.
pub async fn insert_requests(
    db: impl PgExecutor<'_>,
    request: &Request<'_>,
    repeats: Repeats,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester, benchmarks,
                          build_repeat)
         SELECT 'measure', $1, $2, $3, $4, $5, $6, $7, build
         FROM generate_series(least($9, 1), $9) build, generate_series(1, $8) ORDER BY build RETURNING id",
    )
    .bind(request.runtime_id)
    .bind(request.commit_id)
    .bind(request.class)
    .bind(Reason::Requested.priority())
    .bind(Reason::Requested.as_str())
    .bind(request.requester)
    .bind(request.benchmarks)
    .bind(repeats.runs)
    .bind(repeats.builds)
    .fetch_all(db)
    .await
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeats {
    /// Runs of each build.
    pub runs: i32,
    /// Repeats of the build; 0: the build that everything uses.
    pub builds: i32,
}

/// A measurement that somebody asks for.
#[derive(Debug)]
pub struct Request<'a> {
    /// The runtime that builds and runs the commit.
    pub runtime_id: i64,
    /// The commit; of the runtime's repository.
    pub commit_id: i64,
    /// The class of hosts that may take it.
    pub class: &'a str,
    /// Who asks, for the queue's page.
    pub requester: &'a str,
    /// Only these benchmarks; empty means the whole suite.
    pub benchmarks: &'a [String],
}

/// The commits of a runtime's repository that a tag, or a hash's beginning, names; two at most.
pub async fn find_commits(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    name: &str,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT commit.id, commit.hash FROM runtime JOIN branch ON branch.id = runtime.branch_id
         JOIN commit ON commit.repository_id = branch.repository_id
         WHERE runtime.id = $1 AND (commit.hash LIKE $2 || '%' AND length($2) >= 7 AND $2 ~ '^[0-9a-f]+$'
            OR commit.hash IN (SELECT tag.commit_hash FROM tag
                               WHERE tag.repository_id = commit.repository_id AND tag.name = $2))
         LIMIT 2",
    )
    .bind(runtime_id)
    .bind(name)
    .fetch_all(db)
    .await
}

/// A stretch of commits that somebody wants measured.
#[derive(Debug, Clone)]
pub struct Stretch<'a> {
    /// The runtime's name.
    pub runtime: &'a str,
    /// The host's name.
    pub host: &'a str,
    /// Positions between these two, both left out.
    pub between: (i32, i32),
    /// At most so many, at equal distances.
    pub most: i32,
    /// Who asks.
    pub requester: &'a str,
}

/// Queues the whole suite on a host for the commits of a stretch that it has neither measured nor waiting. Returns how many were queued; `None`: there is
/// no such runtime or host.
pub async fn insert_stretch(
    db: impl PgExecutor<'_>,
    stretch: &Stretch<'_>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "WITH asked AS (
            SELECT runtime.id AS runtime_id, branch_id, host.id AS host_id, host.class FROM runtime CROSS JOIN host
            WHERE runtime.name = $1 AND host.name = $2 AND enabled AND NOT host.imported),
         missing AS (
            SELECT asked.*, commit_id, row_number() OVER (ORDER BY place.position) AS number, count(*) OVER () AS total
            FROM asked JOIN branch_commit place USING (branch_id)
            WHERE place.position > $3 AND place.position < $4
              AND NOT EXISTS (SELECT 1 FROM run JOIN job ON job.id = job_id WHERE run.runtime_id = asked.runtime_id
                  AND run.commit_id = place.commit_id AND run.host_id = asked.host_id AND benchmarks = '{}')
              AND NOT EXISTS (SELECT 1 FROM job WHERE job.runtime_id = asked.runtime_id AND job.commit_id = place.commit_id
                  AND job.state IN ('queued', 'running') AND job.kind = 'measure' AND benchmarks = '{}'
                  AND coalesce(job.host_id, asked.host_id) = asked.host_id AND job.host_class = asked.class)),
         queued AS (
            INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester)
            SELECT 'measure', runtime_id, commit_id, class, host_id, $6, $7, $8 FROM missing
            WHERE total <= $5 OR number * $5 / total > (number - 1) * $5 / total RETURNING id)
         SELECT (SELECT count(*) FROM queued) FROM asked",
    )
    .bind(stretch.runtime)
    .bind(stretch.host)
    .bind(stretch.between.0)
    .bind(stretch.between.1)
    .bind(i64::from(stretch.most))
    .bind(Reason::Requested.priority())
    .bind(Reason::Requested.as_str())
    .bind(stretch.requester)
    .fetch_optional(db)
    .await
}
