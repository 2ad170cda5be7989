//! Verdicts: derived from measurements, made by the detect tick, made again by the `redetect` command.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::detection::Judgement;

/// A series whose points have changed since its verdicts were made.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeriesToDetect {
    /// Key.
    pub id: i64,
    /// Its metric's name.
    pub metric: String,
    /// What the verdicts will answer for.
    pub changed_at: DateTime<Utc>,
    /// Whether one of its steps was confirmed by measuring both sides again.
    pub is_confirmed: bool,
}

/// One commit of a series.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct DetectPoint {
    /// The commit.
    pub commit_id: i64,
    /// Its branch position.
    pub position: i32,
    /// The newest of its runs; not one that only the loop asked for, where there is another.
    pub run_id: i64,
    /// Breaks the epoch when it differs from the neighbour's.
    pub environment_id: i64,
    /// How many epochs its host had begun by then; breaks the epoch likewise.
    pub host_epoch: i64,
    /// Median over the commit's runs, of the medians.
    pub median: f64,
    /// Lower end of the interval, the same way.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Samples that count, of all its runs.
    pub sample_count: i64,
}

/// Series with work, oldest change first.
pub async fn list_to_detect(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> sqlx::Result<Vec<SeriesToDetect>> {
    sqlx::query_as(
        "SELECT id, metric, changed_at,
            EXISTS (SELECT 1 FROM change_point WHERE series_id = series.id AND state = 'confirmed') AS is_confirmed
         FROM series WHERE detected_at IS NULL OR detected_at < changed_at
         ORDER BY changed_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The points of a series in branch order. Several runs of a commit in one epoch (environment, and what controls said of
/// the host) are one point; of several epochs the newest one's runs count.
pub async fn list_points(
    db: impl PgExecutor<'_>,
    series_id: i64,
) -> sqlx::Result<Vec<DetectPoint>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (position) commit_id, position, environment_id, host_epoch,
                coalesce(max(run_id) FILTER (WHERE asked_for), max(run_id)) AS run_id,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY median) AS median,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY interval_low) AS low,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY interval_high) AS high,
                sum(sample_count)::bigint AS sample_count
         FROM (SELECT measurement.*, (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = series.host_id
                   AND begins_at <= measured_at) AS host_epoch, job.reason NOT IN ('confirmation', 'bisection', 'try') AS asked_for
               FROM measurement JOIN series ON series.id = series_id JOIN run ON run.id = run_id JOIN job ON job.id = job_id
               WHERE series_id = $1 AND position IS NOT NULL) measured
         GROUP BY position, commit_id, environment_id, host_epoch ORDER BY position, max(id) DESC",
    )
    .bind(series_id)
    .fetch_all(db)
    .await
}

/// Replaces a series' verdicts by those of a detector (version and parameters). Those that are as before are left as they are, with what
/// holds them: of a long series one more point changes few, and writing all takes longer than anything else. `changed_at` is the one
/// that the points were read after: a run that came in meanwhile has moved it on, and the series is looked at again.
pub async fn replace(
    db: &mut PgConnection,
    series: &SeriesToDetect,
    detector: &str,
    points: &[DetectPoint],
    judgements: &[Judgement],
) -> sqlx::Result<()> {
    let commits: Vec<i64> = points.iter().map(|point| point.commit_id).collect();
    sqlx::query(
        "DELETE FROM verdict WHERE series_id = $1
            AND NOT EXISTS (SELECT 1 FROM unnest($2::bigint[]) AS present (commit_id) WHERE present.commit_id = verdict.commit_id)",
    )
    .bind(series.id)
    .bind(&commits)
    .execute(&mut *db)
    .await?;
    let changes = || judgements.iter().map(|judgement| judgement.change);
    sqlx::query(
        "INSERT INTO verdict (series_id, commit_id, position, detector, state, baseline, value, change, change_low,
                              change_high, threshold, predecessors, run_id)
         SELECT $1, commit_id, position, $2, state, baseline, value, change, low, high, threshold, predecessors, run_id
         FROM unnest($3::bigint[], $4::integer[], $5::text[], $6::float8[], $7::float8[], $8::float8[], $9::float8[],
                     $10::float8[], $11::float8[], $12::integer[], $13::bigint[])
              AS row (commit_id, position, state, baseline, value, change, low, high, threshold, predecessors, run_id)
         WHERE NOT EXISTS (
            SELECT 1 FROM verdict known WHERE known.series_id = $1 AND known.commit_id = row.commit_id
              AND (known.position, known.detector, known.state, known.baseline, known.value, known.change, known.change_low,
                   known.change_high, known.threshold, known.predecessors, known.run_id)
                  IS NOT DISTINCT FROM (row.position, $2, row.state, row.baseline, row.value, row.change, row.low,
                                        row.high, row.threshold, row.predecessors, row.run_id))
         ON CONFLICT (series_id, commit_id) DO UPDATE SET position = excluded.position, detector = excluded.detector,
            state = excluded.state, baseline = excluded.baseline, value = excluded.value, change = excluded.change,
            change_low = excluded.change_low, change_high = excluded.change_high, threshold = excluded.threshold,
            predecessors = excluded.predecessors, run_id = excluded.run_id, created_at = excluded.created_at, held = NULL",
    )
    .bind(series.id)
    .bind(detector)
    .bind(&commits)
    .bind(points.iter().map(|point| point.position).collect::<Vec<_>>())
    .bind(judgements.iter().map(|judgement| judgement.state.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.map(|change| change.baseline)).collect::<Vec<_>>())
    .bind(points.iter().map(|point| point.median).collect::<Vec<_>>())
    .bind(changes().map(|change| change.map(|change| change.change)).collect::<Vec<_>>())
    .bind(changes().map(|change| change.map(|change| change.low)).collect::<Vec<_>>())
    .bind(changes().map(|change| change.map(|change| change.high)).collect::<Vec<_>>())
    .bind(changes().map(|change| change.map(|change| change.threshold)).collect::<Vec<_>>())
    .bind(
        judgements
            .iter()
            .map(|judgement| i32::try_from(judgement.predecessors).unwrap_or(i32::MAX))
            .collect::<Vec<_>>(),
    )
    .bind(points.iter().map(|point| point.run_id).collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE series SET detected_at = $2, detector = $3 WHERE id = $1")
        .bind(series.id)
        .bind(series.changed_at)
        .bind(detector)
        .execute(db)
        .await
        .map(drop)
}

/// Makes the detect tick look at every series again. Returns how many.
pub async fn forget_all(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    let done = sqlx::query("UPDATE series SET detected_at = NULL")
        .execute(db)
        .await?;
    Ok(done.rows_affected())
}

/// Makes the detect tick look at the series again whose verdicts another version, or other parameters, made.
pub async fn forget_others(db: impl PgExecutor<'_>, detector: &str) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "UPDATE series SET detected_at = NULL WHERE detected_at IS NOT NULL AND detector <> $1",
    )
    .bind(detector)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
