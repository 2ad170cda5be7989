//! Previews of other parameters of the detector.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::detection::segments::Settings;
use crate::domain::recompute::Preview;

/// A preview that somebody asked for.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RecomputeRow {
    /// Key.
    pub id: i64,
    /// The parameters.
    pub settings: Json<Settings>,
    /// Their version.
    pub detector: String,
    /// Only this runtime.
    pub runtime: Option<String>,
    /// Who asked.
    pub requester: String,
    /// `waiting`, `done` or `failed`.
    pub state: String,
    /// What came out.
    pub result: Option<Json<Preview>>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

macro_rules! select_recompute {
    ($rest:literal) => {
        concat!(
            "SELECT recompute.id, settings, detector, runtime.name AS runtime, requester, state, result, failure, recompute.created_at
             FROM recompute LEFT JOIN runtime ON runtime.id = runtime_id ",
            $rest
        )
    };
}

/// Asks for a preview; its number. `runtime`: the name of the only runtime to look at, which must exist.
pub async fn insert(
    db: impl PgExecutor<'_>,
    settings: &Settings,
    runtime: Option<&str>,
    requester: &str,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "INSERT INTO recompute (settings, detector, runtime_id, requester)
         SELECT $1, $2, (SELECT id FROM runtime WHERE name = $3), $4
         WHERE $3::text IS NULL OR EXISTS (SELECT 1 FROM runtime WHERE name = $3) RETURNING id",
    )
    .bind(Json(settings))
    .bind(settings.version())
    .bind(runtime)
    .bind(requester)
    .fetch_optional(db)
    .await
}

/// The newest previews.
pub async fn list(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<RecomputeRow>> {
    sqlx::query_as(select_recompute!("ORDER BY recompute.id DESC LIMIT $1"))
        .bind(limit)
        .fetch_all(db)
        .await
}

/// One preview.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<RecomputeRow>> {
    sqlx::query_as(select_recompute!("WHERE recompute.id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// The oldest preview that waits.
pub async fn next(db: impl PgExecutor<'_>) -> sqlx::Result<Option<RecomputeRow>> {
    sqlx::query_as(select_recompute!(
        "WHERE state = 'waiting' ORDER BY recompute.id LIMIT 1"
    ))
    .fetch_optional(db)
    .await
}

/// Stores what came out, or why nothing did.
pub async fn finish(
    db: impl PgExecutor<'_>,
    id: i64,
    result: Result<&Preview, &str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE recompute SET state = CASE WHEN $3::text IS NULL THEN 'done' ELSE 'failed' END, result = $2, failure = $3,
                finished_at = now() WHERE id = $1 AND state = 'waiting'",
    )
    .bind(id)
    .bind(result.ok().map(Json))
    .bind(result.err())
    .execute(db)
    .await
    .map(drop)
}

/// A series to replay.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeriesToReplay {
    /// Key.
    pub id: i64,
    /// Its runtime.
    pub runtime: String,
    /// Its benchmark.
    pub benchmark: String,
    /// Its metric.
    pub metric: String,
    /// Its host.
    pub host: String,
}

/// The series of the metrics that open regressions, of one runtime or of all that are not controls.
pub async fn list_series(
    db: impl PgExecutor<'_>,
    runtime: Option<&str>,
    metrics: &[&str],
) -> sqlx::Result<Vec<SeriesToReplay>> {
    sqlx::query_as(
        "SELECT series.id, runtime.name AS runtime, benchmark.name AS benchmark, metric, host.name AS host
         FROM series JOIN runtime ON runtime.id = runtime_id JOIN benchmark ON benchmark.id = benchmark_id
         JOIN host ON host.id = host_id
         WHERE metric = ANY($2) AND NOT control AND ($1::text IS NULL OR runtime.name = $1)
         ORDER BY runtime.ordinal, runtime.name, benchmark.name, metric, host.name, series.id",
    )
    .bind(runtime)
    .bind(metrics)
    .fetch_all(db)
    .await
}

/// What became of the stored change points of a series: their commit, and their outcome in a word or two.
pub async fn list_outcomes(
    db: impl PgExecutor<'_>,
    series_id: i64,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "SELECT commit_id, change_point.state || coalesce(', ' || invalid_reason, '')
         FROM change_point LEFT JOIN regression ON regression.id = regression_id WHERE series_id = $1",
    )
    .bind(series_id)
    .fetch_all(db)
    .await
}

/// The hashes of commits.
pub async fn list_hashes(
    db: impl PgExecutor<'_>,
    commits: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as("SELECT id, hash FROM commit WHERE id = ANY($1)")
        .bind(commits)
        .fetch_all(db)
        .await
}
