//! What the home page shows beside the runtimes: each query is bounded in rows, whatever there is.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

/// A point of the index, as charts show it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct PointRow {
    /// The runtime.
    pub runtime_id: i64,
    /// The host.
    pub host_id: i64,
    /// True: of the long chart; false: of the newest points.
    pub long: bool,
    /// The run.
    pub run_id: i64,
    /// Its commit; of points of the long chart alone.
    pub hash: Option<String>,
    /// Place of the commit.
    pub position: i32,
    /// When it was committed.
    pub committed_at: DateTime<Utc>,
    /// The release that it is.
    pub tag: Option<String>,
    /// What it is compared with.
    pub reference_run_id: Option<i64>,
    /// The release that this is.
    pub reference_tag: Option<String>,
    /// Mean of ln(time / reference's time).
    pub mean: Option<f64>,
    /// Its standard error.
    pub deviation: Option<f64>,
    /// Benchmarks in common.
    pub common: i32,
}

/// The newest points of runtimes on their hosts, and those of the long chart; oldest first.
pub async fn list_points(
    db: impl PgExecutor<'_>,
    pairs: &[(i64, i64)],
    newest: i64,
    long: i64,
) -> sqlx::Result<Vec<PointRow>> {
    sqlx::query_as(
        "SELECT point.*, CASE WHEN long THEN (SELECT hash FROM commit WHERE id = point.commit_id) END AS hash FROM unnest($1::bigint[], $2::bigint[]) AS wanted (runtime_id, host_id)
         CROSS JOIN LATERAL (
            (SELECT runtime_id, host_id, false AS long, run_id, commit_id, position, committed_at, tag, reference_run_id,
                    reference_tag, mean, deviation, common
             FROM index_point WHERE runtime_id = wanted.runtime_id AND host_id = wanted.host_id AND position IS NOT NULL
             ORDER BY position DESC, run_id DESC LIMIT $3)
            UNION ALL
            (SELECT runtime_id, host_id, true AS long, run_id, commit_id, position, committed_at, tag, reference_run_id,
                    reference_tag, mean, deviation, common
             FROM index_point WHERE runtime_id = wanted.runtime_id AND host_id = wanted.host_id AND weekly
                AND position IS NOT NULL
             ORDER BY position DESC LIMIT $4)) point
         ORDER BY point.runtime_id, point.long, point.position, point.run_id",
    )
    .bind(pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())
    .bind(pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())
    .bind(newest)
    .bind(long)
    .fetch_all(db)
    .await
}

/// A change that was first seen lately, in one runtime: its largest step there.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RecentRow {
    /// The runtime.
    pub runtime_id: i64,
    /// The regression or improvement.
    pub id: i64,
    /// True: for the better.
    pub better: bool,
    /// False: suspected only.
    pub confirmed: bool,
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Change as a ratio minus one.
    pub change: f64,
    /// 95 % interval of it.
    pub change_low: f64,
    /// Upper end.
    pub change_high: f64,
    /// Series of this runtime that moved.
    pub series: i64,
}

/// Changes that were first seen after a moment, with the largest step of each in each runtime (of a main metric where there is
/// one); the newest ones.
pub async fn list_recent(
    db: impl PgExecutor<'_>,
    since: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<RecentRow>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (series.runtime_id, recent.id) series.runtime_id, recent.id, recent.better,
            recent.state <> 'suspected' AS confirmed, benchmark.name AS benchmark, metric, change, change_low, change_high,
            count(*) OVER (PARTITION BY series.runtime_id, recent.id) AS series
         FROM (SELECT id, better, state FROM regression WHERE created_at > $1 AND state <> 'invalid'
               ORDER BY created_at DESC LIMIT $2) recent
         JOIN change_point point ON point.regression_id = recent.id
            AND point.state = CASE recent.state WHEN 'suspected' THEN 'suspected' ELSE 'confirmed' END
         JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id
         ORDER BY series.runtime_id, recent.id, metric IN ('wall_time', 'requests_per_second') DESC, abs(ln(greatest(1 + change, 1e-9))) DESC, point.id",
    )
    .bind(since)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How the service stands, in a few numbers; each stops counting at a bound.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Confirmed regressions that nobody has taken on.
    pub open: i64,
    /// Those that somebody has.
    pub taken_on: i64,
    /// Suspicions that wait for their second measurement.
    pub suspected: i64,
    /// Jobs that wait.
    pub queued: i64,
    /// Jobs that run.
    pub running: i64,
    /// Repositories whose last fetch failed.
    pub unfetched: i64,
}

/// Counting stops here: a page says "or more".
pub const COUNTED: i64 = 1000;

/// How the service stands.
pub async fn find_standing(db: impl PgExecutor<'_>) -> sqlx::Result<Standing> {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM (SELECT FROM regression WHERE state IN ('confirmed', 'bisecting', 'found')
                    AND NOT better LIMIT $1) counted) AS open,
                (SELECT count(*) FROM (SELECT FROM regression WHERE state = 'acknowledged' AND NOT better LIMIT $1) counted)
                    AS taken_on,
                (SELECT count(*) FROM (SELECT FROM regression WHERE state = 'suspected' LIMIT $1) counted) AS suspected,
                (SELECT count(*) FROM (SELECT FROM job WHERE state = 'queued' LIMIT $1) counted) AS queued,
                (SELECT count(*) FROM (SELECT FROM job WHERE state = 'running' LIMIT $1) counted) AS running,
                (SELECT count(*) FROM (SELECT FROM repository WHERE last_fetch_error IS NOT NULL LIMIT $1) counted) AS unfetched",
    )
    .bind(COUNTED)
    .fetch_one(db)
    .await
}

/// A host in one line.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// When it was last heard of.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// The job that it runs.
    pub job_id: Option<i64>,
    /// That job's runtime.
    pub runtime: Option<String>,
    /// How far it is.
    pub percent: Option<f32>,
}

/// Our hosts, those heard of last first.
pub async fn list_hosts(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<HostRow>> {
    sqlx::query_as(
        "SELECT host.name, last_seen_at, job.id AS job_id, runtime.name AS runtime, job.percent
         FROM host LEFT JOIN job ON job.running_on = host.id AND job.state = 'running'
         LEFT JOIN runtime ON runtime.id = job.runtime_id
         WHERE NOT host.imported ORDER BY last_seen_at DESC NULLS LAST, host.name LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}
