//! Alarms, and what they are judged by.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::alarm::judge::{ClassFacts, HookFacts, HostFacts, RuntimeFacts};
use crate::domain::alarm::{Kind, Open, Wrong};

/// Name, since when something waits, how much, the newest result.
type RuntimeRow = (String, Option<DateTime<Utc>>, i64, Option<DateTime<Utc>>);

/// Runtimes that may be measured, with what waits for them. A job waits from when it may be claimed.
pub async fn list_runtimes(
    db: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<RuntimeFacts>> {
    let rows: Vec<RuntimeRow> = sqlx::query_as(
        "SELECT name, waiting.since, waiting.count,
            (SELECT finished_at FROM run WHERE runtime_id = runtime.id ORDER BY id DESC LIMIT 1)
         FROM runtime, LATERAL (
            SELECT min(greatest(not_before, created_at)) AS since, count(*) AS count FROM job
            WHERE runtime_id = runtime.id AND state IN ('queued', 'running') AND not_before <= $1) waiting
         WHERE enabled AND paused_at IS NULL ORDER BY ordinal, name",
    )
    .bind(now)
    .fetch_all(db)
    .await?;
    let facts = |(name, waiting_since, waiting, last_run_at)| RuntimeFacts {
        name,
        waiting_since,
        waiting,
        last_run_at,
    };
    Ok(rows.into_iter().map(facts).collect())
}

/// Hosts that may claim jobs and have been heard of.
pub async fn list_hosts(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HostFacts>> {
    let rows: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
        "SELECT name, last_seen_at FROM host WHERE disabled_at IS NULL AND last_seen_at IS NOT NULL ORDER BY name",
    )
    .fetch_all(db)
    .await?;
    let facts = |(name, last_seen_at)| HostFacts { name, last_seen_at };
    Ok(rows.into_iter().map(facts).collect())
}

/// Classes of hosts for which jobs wait, with what came in and was done since `since`.
pub async fn list_classes(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ClassFacts>> {
    let rows: Vec<(String, i64, DateTime<Utc>, i64, i64)> = sqlx::query_as(
        "SELECT waiting.host_class, waiting.count, waiting.since,
            (SELECT count(*) FROM job WHERE job.host_class = waiting.host_class AND created_at > $1),
            (SELECT count(*) FROM job WHERE job.host_class = waiting.host_class AND finished_at > $1)
         FROM (SELECT host_class, count(*) AS count, min(greatest(not_before, job.created_at)) AS since
               FROM job JOIN runtime ON runtime.id = runtime_id
               WHERE state = 'queued' AND not_before <= $2 AND paused_at IS NULL GROUP BY host_class) waiting ORDER BY 1",
    )
    .bind(since)
    .bind(now)
    .fetch_all(db)
    .await?;
    let facts = |(name, waiting, waiting_since, arrived, finished)| ClassFacts {
        name,
        waiting,
        waiting_since,
        arrived,
        finished,
    };
    Ok(rows.into_iter().map(facts).collect())
}

/// Repositories whose hook has come, with the newest commit that is known.
pub async fn list_hooks(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<HookFacts>> {
    let rows: Vec<(String, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT name, received.at, newest.at FROM repository,
            LATERAL (SELECT max(received_at) AS at FROM delivery WHERE repository_id = repository.id) received,
            LATERAL (SELECT max(committed_at) AS at FROM branch JOIN commit ON commit.id = head_commit_id
                     WHERE branch.repository_id = repository.id) newest
         WHERE received.at IS NOT NULL AND newest.at IS NOT NULL ORDER BY name",
    )
    .fetch_all(db)
    .await?;
    let facts = |(repository, received_at, committed_at)| HookFacts {
        repository,
        received_at,
        committed_at,
    };
    Ok(rows.into_iter().map(facts).collect())
}

/// Repositories whose newest fetch failed: name, error, when that was.
pub async fn list_unfetched(
    db: impl PgExecutor<'_>,
) -> sqlx::Result<Vec<(String, String, DateTime<Utc>)>> {
    sqlx::query_as(
        "SELECT name, left(last_fetch_error, 300), coalesce(last_fetch_at, created_at) FROM repository
         WHERE last_fetch_error IS NOT NULL ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// How a tick did the last time.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TickRow {
    /// Its name.
    pub name: String,
    /// End of the newest pass that was noted.
    pub ended_at: DateTime<Utc>,
    /// Failures in a row.
    pub failures: i32,
    /// Since when.
    pub failing_since: Option<DateTime<Utc>>,
    /// The newest error.
    pub error: Option<String>,
}

/// Every tick that has run.
pub async fn list_ticks(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<TickRow>> {
    sqlx::query_as(
        "SELECT name, ended_at, failures, failing_since, error FROM tick_state ORDER BY name",
    )
    .fetch_all(db)
    .await
}

/// Notes how a pass ended.
pub async fn note_tick(
    db: impl PgExecutor<'_>,
    name: &str,
    error: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO tick_state (name, ended_at, failures, failing_since, error)
         VALUES ($1, now(), ($2::text IS NOT NULL)::integer, CASE WHEN $2::text IS NOT NULL THEN now() END, $2)
         ON CONFLICT (name) DO UPDATE SET ended_at = now(),
             failures = CASE WHEN $2::text IS NULL THEN 0 ELSE tick_state.failures + 1 END,
             failing_since = CASE WHEN $2::text IS NOT NULL THEN coalesce(tick_state.failing_since, now()) END, error = $2",
    )
    .bind(name)
    .bind(error)
    .execute(db)
    .await
    .map(drop)
}

/// The alarms that are not over, locked.
pub async fn lock_open(db: &mut PgConnection) -> sqlx::Result<Vec<Open>> {
    type Row = (
        i64,
        String,
        String,
        DateTime<Utc>,
        bool,
        Option<DateTime<Utc>>,
    );
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, kind, subject, seen_at, raised_at IS NOT NULL, missing_since FROM alarm WHERE cleared_at IS NULL
         ORDER BY id FOR UPDATE",
    )
    .fetch_all(db)
    .await?;
    let open = |(id, kind, subject, seen_at, is_raised, missing_since): Row| {
        Some(Open {
            id,
            kind: kind.parse().ok()?,
            subject,
            seen_at,
            is_raised,
            missing_since,
        })
    };
    Ok(rows.into_iter().filter_map(open).collect())
}

/// Keeps what is wrong; its key.
pub async fn begin(
    db: impl PgExecutor<'_>,
    wrong: &Wrong,
    raise: bool,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO alarm (kind, subject, words, since, seen_at, raised_at)
         VALUES ($1, $2, $3, $4, $6, CASE WHEN $5 THEN $6 END) RETURNING id",
    )
    .bind(wrong.kind.as_str())
    .bind(&wrong.subject)
    .bind(wrong.words.replace('\0', ""))
    .bind(wrong.since)
    .bind(raise)
    .bind(now)
    .fetch_one(db)
    .await
}

/// It is still so, in these words; `raise`: for long enough now.
pub async fn keep(
    db: impl PgExecutor<'_>,
    id: i64,
    words: &str,
    raise: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE alarm SET words = $2, missing_since = NULL, raised_at = coalesce(raised_at, $3) WHERE id = $1",
    )
    .bind(id)
    .bind(words.replace('\0', ""))
    .bind(raise)
    .execute(db)
    .await
    .map(drop)
}

/// It is not so at this moment.
pub async fn miss(db: impl PgExecutor<'_>, id: i64, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query("UPDATE alarm SET missing_since = $2 WHERE id = $1")
        .bind(id)
        .bind(now)
        .execute(db)
        .await
        .map(drop)
}

/// It passed before anybody was told.
pub async fn forget(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM alarm WHERE id = $1 AND raised_at IS NULL")
        .bind(id)
        .execute(db)
        .await
        .map(drop)
}

/// It is over; who was told of it.
pub async fn clear(
    db: impl PgExecutor<'_>,
    id: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("UPDATE alarm SET cleared_at = $2 WHERE id = $1 RETURNING told")
        .bind(id)
        .bind(now)
        .fetch_one(db)
        .await
}

/// Notes who is told of alarms.
pub async fn mark_told(
    db: impl PgExecutor<'_>,
    ids: &[i64],
    addresses: &[String],
) -> sqlx::Result<()> {
    sqlx::query("UPDATE alarm SET told = $2 WHERE id = ANY($1)")
        .bind(ids)
        .bind(addresses)
        .execute(db)
        .await
        .map(drop)
}

/// An alarm as pages show it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct AlarmRow {
    /// Key.
    pub id: i64,
    /// As [`Kind`].
    pub kind: String,
    /// Which of those.
    pub subject: String,
    /// The rest of the sentence.
    pub words: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it was over.
    pub cleared_at: Option<DateTime<Utc>>,
    /// Who was told.
    pub told: Vec<String>,
}

impl AlarmRow {
    /// What it is about; none in a row of a newer version.
    pub fn kind(&self) -> Option<Kind> {
        self.kind.parse().ok()
    }
}

macro_rules! select_alarms {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, subject, words, since, raised_at, cleared_at, told FROM alarm WHERE raised_at IS NOT NULL ",
            $rest
        )
    };
}

/// The alarms that are raised, the oldest first.
pub async fn list_raised(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<AlarmRow>> {
    sqlx::query_as(select_alarms!(
        "AND cleared_at IS NULL ORDER BY raised_at, id LIMIT $1"
    ))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The alarms that were over last.
pub async fn list_cleared(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<AlarmRow>> {
    sqlx::query_as(select_alarms!(
        "AND cleared_at IS NOT NULL ORDER BY cleared_at DESC LIMIT $1"
    ))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Alarms by their keys.
pub async fn list_by_id(db: impl PgExecutor<'_>, ids: &[i64]) -> sqlx::Result<Vec<AlarmRow>> {
    sqlx::query_as(select_alarms!("AND id = ANY($1) ORDER BY id"))
        .bind(ids)
        .fetch_all(db)
        .await
}
