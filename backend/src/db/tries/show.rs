//! Tries as pages, the API and answers show them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// A try.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TryRow {
    /// Key.
    pub id: i64,
    /// Repository's name.
    pub repository: String,
    /// Link of a commit on the forge, with `{commit}` in place of the hash.
    #[serde(skip)]
    pub commit_url: Option<String>,
    /// Who asked.
    pub requester: String,
    /// `revision`, `pull` or `patch`.
    pub source: String,
    /// The branch, tag or commit that was named.
    pub head_name: Option<String>,
    /// The base that was named.
    pub base_name: Option<String>,
    /// The branch that it is meant for.
    pub base_branch: Option<String>,
    /// The pull request.
    pub pull_number: Option<i32>,
    /// The patch.
    pub patch_sha256: Option<String>,
    /// Runtimes that were named; empty: all that measure the base branch.
    pub runtimes: Vec<String>,
    /// Another suite than each runtime's own.
    pub suite_name: Option<String>,
    /// Glob of benchmarks' names.
    pub benchmarks: String,
    /// The host that was named.
    pub host: Option<String>,
    /// Rounds at most; a round measures both sides once.
    pub budget: i32,
    /// `waiting_for_approval`, `queued`, `running`, `decided`, `cancelled` or `failed`.
    pub state: String,
    /// `worse`, `better`, `mixed`, `unchanged` or `unclear`, once it is decided.
    pub verdict: Option<String>,
    /// How it stands, in words.
    pub message: String,
    /// Hash of the head, once it is known. Of a patch: what stands for it.
    pub head_hash: Option<String>,
    /// Its subject.
    pub head_subject: Option<String>,
    /// Hash of the base.
    pub base_hash: Option<String>,
    /// Who answers for its running.
    pub approved_by: Option<String>,
    /// The forge's key of the answer.
    #[serde(skip)]
    pub comment_id: Option<i64>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The columns of [`TryRow`] with their tables, before what chooses and orders the rows.
macro_rules! select_tries {
    ($rest:literal) => {
        concat!(
            "SELECT try_run.id, repository.name AS repository, commit_url, requester, source, head_name, base_name, base_branch,
                    pull_number, try_run.patch_sha256, runtimes, suite_name, benchmarks, host.name AS host, budget, state, verdict,
                    message, head.hash AS head_hash, head.subject AS head_subject, base.hash AS base_hash, approved_by, comment_id,
                    try_run.created_at, finished_at
             FROM try_run JOIN repository ON repository.id = try_run.repository_id
             LEFT JOIN commit head ON head.id = head_commit_id LEFT JOIN commit base ON base.id = base_commit_id
             LEFT JOIN host ON host.id = host_id ",
            $rest
        )
    };
}

/// A try by its key.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<TryRow>> {
    sqlx::query_as(select_tries!("WHERE try_run.id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// The newest tries below a key, those that are not over first.
pub async fn list(
    db: impl PgExecutor<'_>,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<TryRow>> {
    sqlx::query_as(select_tries!(
        "WHERE try_run.id < coalesce($1, 9223372036854775807) ORDER BY try_run.id DESC LIMIT $2"
    ))
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// What the head changes, for whom has to approve, and whether it was cut.
pub async fn find_diff(
    db: impl PgExecutor<'_>,
    id: i64,
) -> sqlx::Result<Option<(Option<String>, bool)>> {
    sqlx::query_as("SELECT diff, diff_cut FROM try_run WHERE id = $1")
        .bind(id)
        .fetch_optional(db)
        .await
}

/// One runtime of a try.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct PartRow {
    /// The runtime.
    pub runtime: String,
    /// The host that measures it.
    pub host: String,
    /// Benchmarks; empty: the whole suite.
    pub benchmarks: Vec<String>,
    /// Rounds that were queued.
    pub rounds: i32,
    /// `measuring`, `decided` or `failed`.
    pub state: String,
    /// In words.
    pub message: String,
    /// Its jobs that are over.
    pub jobs_over: i64,
    /// Its jobs that wait or run.
    pub jobs_open: i64,
    /// Jobs that its host will take before the next of these; absent when none waits.
    pub ahead: Option<i64>,
    /// Seconds that a job of this runtime and try takes on that host, by those that are over, of this try if there are any.
    pub typical_seconds: Option<f64>,
    /// Seconds that any job takes there.
    pub host_seconds: Option<f64>,
}

/// The parts of a try.
pub async fn list_parts(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<PartRow>> {
    sqlx::query_as(
        "SELECT runtime.name AS runtime, host.name AS host, part.benchmarks, rounds, part.state, part.message,
                jobs_over, jobs_open, ahead, coalesce(own_seconds, runtime_seconds) AS typical_seconds, host_seconds
         FROM try_part part JOIN runtime ON runtime.id = part.runtime_id JOIN host ON host.id = part.host_id
         CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE finished_at IS NOT NULL) AS jobs_over,
                   count(*) FILTER (WHERE finished_at IS NULL) AS jobs_open,
                   min(id) FILTER (WHERE state = 'queued') AS next,
                   max(priority) AS priority,
                   avg(extract(epoch FROM finished_at - started_at)) FILTER (WHERE state = 'succeeded')::float8 AS own_seconds
            FROM job WHERE job.try_id = part.try_id AND job.runtime_id = part.runtime_id) own
         LEFT JOIN LATERAL (
            SELECT count(*) AS ahead FROM job
            WHERE (state = 'running' AND running_on = host.id)
               OR (state = 'queued' AND not_before <= now() AND (host_id = host.id OR (host_id IS NULL AND host_class = host.class))
                   AND (job.priority, -job.id) > (own.priority, -own.next))) waiting ON own.next IS NOT NULL
         LEFT JOIN LATERAL (
            SELECT avg(seconds)::float8 AS runtime_seconds FROM (
                SELECT extract(epoch FROM finished_at - started_at) AS seconds FROM job
                WHERE job.runtime_id = part.runtime_id AND running_on = host.id AND state = 'succeeded'
                ORDER BY id DESC LIMIT 10) newest) known ON true
         LEFT JOIN LATERAL (
            SELECT avg(seconds)::float8 AS host_seconds FROM (
                SELECT extract(epoch FROM finished_at - started_at) AS seconds FROM job
                WHERE running_on = host.id AND state = 'succeeded' ORDER BY finished_at DESC LIMIT 20) newest) others ON true
         WHERE part.try_id = $1 ORDER BY ordinal, runtime.name",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// One job of a try.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TryJobRow {
    /// Key.
    pub id: i64,
    /// The runtime.
    pub runtime: String,
    /// The round, from 0.
    pub round: i32,
    /// True: the head; false: the base.
    pub head: bool,
    /// Its state.
    pub state: String,
    /// How far it is, in per cent.
    pub percent: Option<f32>,
    /// What it is doing.
    pub progress: Option<String>,
    /// Why it failed.
    pub failure_message: Option<String>,
    /// Its run.
    pub run_id: Option<i64>,
    /// Whether that run was measured under bad conditions.
    pub marked: Option<bool>,
}

/// The jobs of a try, in the order of measuring, the newest `limit` of them.
pub async fn list_jobs(
    db: impl PgExecutor<'_>,
    id: i64,
    limit: i64,
) -> sqlx::Result<Vec<TryJobRow>> {
    sqlx::query_as(
        "SELECT * FROM (
            SELECT job.id, runtime.name AS runtime, try_round AS round, job.commit_id = head_commit_id AS head, job.state, percent,
                   progress, failure_message, newest.id AS run_id, marked
            FROM job JOIN try_run ON try_run.id = try_id JOIN runtime ON runtime.id = job.runtime_id
            LEFT JOIN LATERAL (SELECT id, marked FROM run WHERE job_id = job.id ORDER BY id DESC LIMIT 1) newest ON true
            WHERE try_id = $1 ORDER BY job.id DESC LIMIT $2) last ORDER BY id",
    )
    .bind(id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A try of a pull request of which the forge does not know the newest.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Unanswered {
    /// Key.
    pub id: i64,
    /// Repository's name.
    pub repository: String,
    /// Its state, for the log.
    pub state: String,
    /// Whether its head is known, which a status needs.
    pub head_known: bool,
    /// What the answer will say is at least this new.
    pub changed_at: DateTime<Utc>,
}

/// Tries of pull requests whose newest state was not answered, and of which no answer waits in the outbox; of repositories with a forge.
pub async fn list_unanswered(
    db: impl PgExecutor<'_>,
    repositories: &[&str],
) -> sqlx::Result<Vec<Unanswered>> {
    sqlx::query_as(
        "SELECT try_run.id, repository.name AS repository, state, head_commit_id IS NOT NULL AS head_known, changed_at
         FROM try_run JOIN repository ON repository.id = repository_id
         WHERE pull_number IS NOT NULL AND repository.name = ANY($1) AND (answered_at IS NULL OR answered_at < changed_at)
           AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.state = 'waiting' AND starts_with(key, 'try:' || try_run.id || ':'))
         ORDER BY try_run.id",
    )
    .bind(repositories)
    .fetch_all(db)
    .await
}

/// Notes what an answer says.
pub async fn mark_answered(db: impl PgExecutor<'_>, one: &Unanswered) -> sqlx::Result<()> {
    sqlx::query("UPDATE try_run SET answered_at = $2 WHERE id = $1")
        .bind(one.id)
        .bind(one.changed_at)
        .execute(db)
        .await
        .map(drop)
}

/// Keeps the forge's key of an answer, to be edited.
pub async fn set_comment(db: impl PgExecutor<'_>, id: i64, comment_id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE try_run SET comment_id = $2 WHERE id = $1")
        .bind(id)
        .bind(comment_id)
        .execute(db)
        .await
        .map(drop)
}

/// Names of the repositories whose changes can be tried: a runtime is built from their commits.
pub async fn list_repositories(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT name FROM repository WHERE url <> '' AND EXISTS (
            SELECT 1 FROM runtime JOIN branch ON branch.id = branch_id
            WHERE branch.repository_id = repository.id AND enabled AND NOT control)
         ORDER BY name",
    )
    .fetch_all(db)
    .await
}
