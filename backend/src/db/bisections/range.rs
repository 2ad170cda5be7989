//! The range of a search: its commits, those that are left out, and what was measured on them.

use sqlx::{PgConnection, PgExecutor};

use crate::db::warmup;
use crate::domain::bisection::Skipped;

/// A commit of a search's range.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RangeCommit {
    /// Key.
    pub commit_id: i64,
    /// Hash.
    pub hash: String,
    /// Why it is not measured.
    pub skipped: Option<String>,
    /// The paths that it touches; `None` until they were read.
    pub touched_paths: Option<Vec<String>>,
    /// How many.
    pub touched_count: Option<i32>,
}

/// The range in branch order, with both ends.
pub async fn list_commits(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<RangeCommit>> {
    sqlx::query_as(
        "SELECT commit.id AS commit_id, hash, skipped, touched_paths, touched_count
         FROM bisection_commit JOIN commit ON commit.id = commit_id WHERE bisection_id = $1 ORDER BY ordinal",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// Leaves commits out for a reason; one that is left out already keeps its reason.
pub async fn skip(
    db: impl PgExecutor<'_>,
    id: i64,
    commits: &[i64],
    reason: Skipped,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE bisection_commit SET skipped = $3 WHERE bisection_id = $1 AND commit_id = ANY($2) AND skipped IS NULL",
    )
    .bind(id)
    .bind(commits)
    .bind(reason.as_str())
    .execute(db)
    .await
    .map(drop)
}

/// Leaves out what cannot be measured: commits without a run whose build has failed for good in whatever job, and commits whose
/// jobs for this search are over without a value.
pub async fn skip_failed(db: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE bisection_commit place SET skipped = CASE
            WHEN failed.failure_phase = 'build' AND failed.failure_kind = 'permanent' THEN 'does_not_build'
            WHEN failed.state = 'cancelled' THEN 'job_cancelled' ELSE 'not_measurable' END
         FROM bisection CROSS JOIN LATERAL (
            SELECT DISTINCT ON (job.commit_id) job.commit_id, job.state, job.failure_phase, job.failure_kind FROM job
            WHERE job.runtime_id = bisection.runtime_id AND job.commit_id IN
                (SELECT commit_id FROM bisection_commit WHERE bisection_id = bisection.id AND skipped IS NULL)
              AND (job.bisection_id = bisection.id AND bisection.benchmark = ANY(job.benchmarks) AND job.state IN ('succeeded', 'failed', 'cancelled')
                   OR job.state = 'failed' AND job.failure_kind = 'permanent' AND job.failure_phase = 'build')
            ORDER BY job.commit_id, (job.failure_phase IS NOT DISTINCT FROM 'build') DESC, job.id DESC) failed
         WHERE bisection.id = $1 AND place.bisection_id = bisection.id AND place.commit_id = failed.commit_id
           AND NOT EXISTS (SELECT 1 FROM job WHERE job.bisection_id = bisection.id AND job.commit_id = place.commit_id
                           AND job.state IN ('queued', 'running'))
           AND NOT EXISTS (SELECT 1 FROM run WHERE run.runtime_id = bisection.runtime_id AND run.commit_id = place.commit_id
                           AND warmup_version = '' AND metric = ANY($2))
           AND NOT EXISTS (
                SELECT 1 FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
                WHERE measurement.commit_id = place.commit_id AND series.runtime_id = bisection.runtime_id
                  AND benchmark.name = bisection.benchmark AND series.metric = bisection.metric
                  AND series.counter_source = bisection.counter_source)",
    )
    .bind(id)
    .bind(warmup::derived_metrics())
    .execute(db)
    .await
    .map(drop)
}

/// A run's value on a commit of the range.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Evidence {
    /// Index into the range.
    pub ordinal: i32,
    /// The host.
    pub host_id: i64,
    /// The series.
    pub series_id: i64,
    /// Its epoch: environment, and moves of controls before it.
    pub environment_id: i64,
    /// The latter.
    pub host_epoch: i64,
    /// Whether what the host measures next can be compared with it.
    pub current: bool,
    /// Median, in the metric's unit.
    pub median: f64,
}

/// Whatever was measured on commits of the range, by whatever job; superseded runs do not count.
pub async fn list_evidence(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<Evidence>> {
    sqlx::query_as(
        "SELECT ordinal, host_id, series_id, environment_id, host_epoch, median,
                environment_id = present AND host_epoch = (SELECT count(*) FROM host_epoch known WHERE known.host_id = measured.host_id)
                AND series_id = max(series_id) OVER (PARTITION BY host_id) AS current
         FROM (SELECT place.ordinal, series.host_id, series.id AS series_id, measurement.environment_id, measurement.median,
                      host.environment_id AS present, measurement.id AS number,
                      (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = series.host_id
                       AND begins_at <= measurement.measured_at) AS host_epoch
               FROM bisection JOIN bisection_host own ON own.bisection_id = bisection.id
               JOIN host ON host.id = own.host_id
               JOIN benchmark ON benchmark.name = bisection.benchmark
               JOIN series ON series.host_id = host.id AND series.benchmark_id = benchmark.id
                    AND series.runtime_id = bisection.runtime_id AND series.metric = bisection.metric
                    AND series.counter_source = bisection.counter_source
               JOIN measurement ON measurement.series_id = series.id
               JOIN bisection_commit place ON place.bisection_id = bisection.id AND place.commit_id = measurement.commit_id
               JOIN run ON run.id = measurement.run_id
               WHERE bisection.id = $1 AND run.superseded_by IS NULL) measured
         ORDER BY ordinal, number",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// The hosts of a search, each with the commits (indices) that it is about to measure for it, repetitions of marked runs included.
pub async fn list_hosts(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<(i64, Vec<i32>)>> {
    sqlx::query_as(
        "SELECT own.host_id, ARRAY(
            SELECT ordinal FROM job JOIN bisection_commit place ON place.bisection_id = $1 AND place.commit_id = job.commit_id
            WHERE job.host_id = own.host_id AND job.state IN ('queued', 'running')
              AND (job.bisection_id = $1 OR job.repeats_run_id IN
                   (SELECT run.id FROM run JOIN job asked ON asked.id = run.job_id WHERE asked.bisection_id = $1)))
         FROM bisection_host own WHERE bisection_id = $1 ORDER BY own.host_id",
    )
    .bind(id)
    .fetch_all(db)
    .await
}
