//! Runtimes at a glance, and what `/health` and `/metrics` show.

use chrono::{DateTime, Utc};
use serde::Serialize;
use speedwell_wire::Metric;
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// Whether the database answers.
pub async fn ping(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query("SELECT 1").execute(db).await.map(drop)
}

/// Jobs by state.
pub async fn count_jobs(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as("SELECT state, count(*) FROM job GROUP BY state")
        .fetch_all(db)
        .await
}

/// A runtime at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct RuntimeOverview {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// `python2` or `python3`.
    pub language: String,
    /// Its branch.
    pub branch: String,
    /// The repository's name.
    pub repository: String,
    /// Newest commit of the branch.
    pub head_hash: Option<String>,
    /// Its subject.
    pub head_subject: Option<String>,
    /// When it was committed.
    pub head_committed_at: Option<DateTime<Utc>>,
    /// State of the newest job for it; absent: not asked for.
    pub head_job_state: Option<String>,
    /// Number of that job.
    pub head_job_id: Option<i64>,
    /// Newest measured commit in branch order.
    pub measured_hash: Option<String>,
    /// Its position.
    pub measured_position: Option<i32>,
    /// When its run ended.
    pub measured_at: Option<DateTime<Utc>>,
    /// Host of that run.
    pub host_id: Option<i64>,
    /// That host's name.
    pub host: Option<String>,
    /// What it is compared with, within its host's epoch: the newest measured release before it, else the oldest measured
    /// commit.
    pub reference_hash: Option<String>,
    /// Its position.
    pub reference_position: Option<i32>,
    /// The release's tag; absent when no release was measured.
    pub reference_tag: Option<String>,
    /// Commits of the branch that have been measured whole on that host.
    pub measured_count: i32,
    /// Of the newest job for the head, where it failed: `build`, `bench` …
    pub head_job_failure: Option<String>,
    /// Place of the head on the branch.
    pub head_position: Option<i32>,
    /// Whether it is a control: a frozen interpreter by which its host is watched.
    pub control: bool,
    /// Whether its results come from elsewhere alone: no commit waits to be measured.
    pub imported: bool,
    /// Newest run of the measured commit.
    pub run_id: Option<i64>,
    /// Mean over the benchmarks in common of ln(time / reference's time).
    pub mean: Option<f64>,
    /// Its standard error.
    pub deviation: Option<f64>,
    /// Benchmarks in common.
    pub common: Option<i32>,
    /// Left out of the mean: benchmarks that only one of the two has.
    pub left_out: Option<i32>,
    /// Whether something on the host disturbed one of the two runs.
    pub disturbed: bool,
}

/// Every enabled runtime, or the one of a name, with the newest of its points that the index tick has made.
pub async fn list_runtimes(
    db: impl PgExecutor<'_>,
    name: Option<&str>,
) -> sqlx::Result<Vec<RuntimeOverview>> {
    sqlx::query_as(
        "SELECT runtime.id, runtime.name, runtime.language, runtime.control, runtime.imported, branch.name AS branch,
            repository.name AS repository, head.hash AS head_hash, head.subject AS head_subject,
            head.committed_at AS head_committed_at, head_place.position AS head_position, head_job.state AS head_job_state,
            head_job.id AS head_job_id, head_job.failure_phase AS head_job_failure,
            commit.hash AS measured_hash, newest.position AS measured_position, newest.measured_at, newest.host_id,
            host.name AS host, newest.run_id, reference_commit.hash AS reference_hash,
            reference.position AS reference_position, reference.tag AS reference_tag, newest.mean, newest.deviation,
            newest.common, cardinality(newest.only_here) + cardinality(newest.only_reference) AS left_out,
            EXISTS (SELECT 1 FROM run WHERE run.id IN (newest.run_id, newest.reference_run_id) AND marked) AS disturbed,
            coalesce((SELECT commits FROM index_state WHERE index_state.runtime_id = runtime.id
                      AND index_state.host_id = newest.host_id), 0) AS measured_count
         FROM runtime
         JOIN branch ON branch.id = branch_id
         JOIN repository ON repository.id = branch.repository_id
         LEFT JOIN commit head ON head.id = branch.head_commit_id
         LEFT JOIN branch_commit head_place ON head_place.branch_id = branch.id AND head_place.commit_id = head.id
         LEFT JOIN LATERAL (
            SELECT id, state, failure_phase FROM job WHERE runtime_id = runtime.id AND commit_id = head.id
            ORDER BY id DESC LIMIT 1
         ) head_job ON true
         LEFT JOIN LATERAL (
            SELECT * FROM index_point WHERE runtime_id = runtime.id AND position IS NOT NULL
            ORDER BY position DESC, run_id DESC LIMIT 1
         ) newest ON true
         LEFT JOIN commit ON commit.id = newest.commit_id LEFT JOIN host ON host.id = newest.host_id
         LEFT JOIN index_point reference ON reference.run_id = newest.reference_run_id
         LEFT JOIN commit reference_commit ON reference_commit.id = reference.commit_id
         WHERE ($1::text IS NULL AND enabled) OR runtime.name = $1 ORDER BY ordinal, runtime.name",
    )
    .bind(name)
    .fetch_all(db)
    .await
}

/// One benchmark of a runtime's newest run.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct BenchmarkOverview {
    /// The runtime.
    pub runtime_id: i64,
    /// The benchmark's name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The metric that it is there for.
    pub metric: String,
    /// Median, in the metric's unit.
    pub median: f64,
    /// 95 % interval of it.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The reference's median.
    pub reference_median: Option<f64>,
    /// Its interval.
    pub reference_low: Option<f64>,
    /// Upper end.
    pub reference_high: Option<f64>,
    /// The verdict on the newest commit.
    pub state: Option<String>,
    /// Why it is held back; absent when it is not.
    pub held: Option<String>,
    /// Its change.
    pub change: Option<f64>,
    /// The newest medians, oldest first.
    pub history: Vec<f64>,
}

/// The wall times (of a server workload: the throughputs) of each runtime's newest run, for all runtimes at once.
pub async fn list_benchmarks(
    db: impl PgExecutor<'_>,
    runtimes: &[RuntimeOverview],
    history: i64,
) -> sqlx::Result<Vec<BenchmarkOverview>> {
    let measured: Vec<(i64, i64, i32, Option<i32>)> = runtimes
        .iter()
        .filter_map(|one| {
            Some((
                one.id,
                one.host_id?,
                one.measured_position?,
                one.reference_position,
            ))
        })
        .collect();
    sqlx::query_as(
        "SELECT series.runtime_id, benchmark.name, benchmark.description, metric, newest.median, newest.interval_low AS low,
            newest.interval_high AS high, reference.median AS reference_median,
            reference.interval_low AS reference_low, reference.interval_high AS reference_high,
            verdict.state, verdict.held, verdict.change, history.medians AS history
         FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[])
              AS wanted (runtime_id, host_id, position, reference_position)
         JOIN series ON series.runtime_id = wanted.runtime_id AND series.host_id = wanted.host_id
              AND metric = ANY($6)
         JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN LATERAL (SELECT * FROM measurement WHERE series_id = series.id AND position = wanted.position
              ORDER BY id DESC LIMIT 1) newest ON true
         LEFT JOIN LATERAL (SELECT * FROM measurement WHERE series_id = series.id
              AND position = wanted.reference_position AND environment_id = newest.environment_id AND NOT EXISTS (
                SELECT 1 FROM host_epoch WHERE host_epoch.host_id = series.host_id
                  AND begins_at > least(measurement.measured_at, newest.measured_at)
                  AND begins_at <= greatest(measurement.measured_at, newest.measured_at))
              ORDER BY id DESC LIMIT 1) reference ON true
         LEFT JOIN verdict ON verdict.series_id = series.id AND verdict.commit_id = newest.commit_id
         CROSS JOIN LATERAL (SELECT array_agg(median ORDER BY position, id) AS medians FROM (
              SELECT median, position, id FROM measurement WHERE series_id = series.id AND position IS NOT NULL
              ORDER BY position DESC, id DESC LIMIT $5) points) history
         ORDER BY series.runtime_id, benchmark.name",
    )
    .bind(measured.iter().map(|one| one.0).collect::<Vec<_>>())
    .bind(measured.iter().map(|one| one.1).collect::<Vec<_>>())
    .bind(measured.iter().map(|one| one.2).collect::<Vec<_>>())
    .bind(measured.iter().map(|one| one.3).collect::<Vec<_>>())
    .bind(history)
    .bind(Metric::MAIN.map(Metric::as_str).to_vec())
    .fetch_all(db)
    .await
}
