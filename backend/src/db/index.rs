//! The queries of the index tick, and the packed values of runs that pages compare.

use chrono::{DateTime, Utc};
use speedwell_wire::Metric;
use sqlx::PgExecutor;

use crate::domain::index::{Compared, INDEX_VERSION, Values};

/// A runtime on a host whose points may not be what they would be made today.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Waiting {
    /// The runtime.
    pub runtime_id: i64,
    /// The host.
    pub host_id: i64,
    /// What they would be made from.
    pub signature: String,
}

/// The pairs with work. The signature holds what decides about the points: the rules, the newest change of any main series
/// (a run, a repetition, a new place on the branch), the release tags, the host's epochs.
pub async fn list_waiting(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "WITH tags AS (
            SELECT repository_id, md5(string_agg(name || commit_hash, ' ' ORDER BY name)) AS known FROM tag
            WHERE release_line IS NOT NULL GROUP BY repository_id),
         inputs AS (
            SELECT series.runtime_id, series.host_id, concat_ws(' ', $1, extract(epoch FROM max(changed_at)), tags.known,
                extract(epoch FROM branch.rewritten_at),
                (SELECT md5(string_agg(concat(commit_hash, position), ' ' ORDER BY commit_hash)) FROM off_branch_release
                 WHERE off_branch_release.branch_id = branch.id AND position IS NOT NULL),
                (SELECT string_agg(extract(epoch FROM begins_at)::text, ',' ORDER BY begins_at) FROM host_epoch
                 WHERE host_epoch.host_id = series.host_id)) AS signature
            FROM series JOIN runtime ON runtime.id = runtime_id JOIN branch ON branch.id = branch_id
            LEFT JOIN tags ON tags.repository_id = branch.repository_id
            WHERE metric = ANY($2)
            GROUP BY series.runtime_id, series.host_id, tags.known, branch.id)
         SELECT inputs.runtime_id, inputs.host_id, inputs.signature
         FROM inputs LEFT JOIN index_state state ON state.runtime_id = inputs.runtime_id AND state.host_id = inputs.host_id
         WHERE state.signature IS DISTINCT FROM inputs.signature
         ORDER BY inputs.runtime_id, inputs.host_id",
    )
    .bind(INDEX_VERSION)
    .bind(Metric::MAIN.map(Metric::as_str).to_vec())
    .fetch_all(db)
    .await
}

/// A whole run with its place, and what its point says of it; a run of some benchmarks only, of what somebody has tried, or one whose
/// repetition counts in its place, has no point.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RunRow {
    /// The run.
    pub run_id: i64,
    /// Its commit.
    pub commit_id: i64,
    /// Its environment.
    pub environment_id: i64,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// Place of its commit on the branch, or of the newest one there that a release beside it contains.
    pub position: Option<i32>,
    /// Commits beside the branch; 0 for the branch's own.
    pub own_commits: i32,
    /// When its commit was committed.
    pub committed_at: DateTime<Utc>,
    /// When the host's epoch began.
    pub epoch: Option<DateTime<Utc>>,
    /// The release that its commit is.
    pub tag: Option<String>,
    /// That release's line.
    pub release_line: Option<Vec<i32>>,
    /// Whether it is a final one.
    pub release_final: Option<bool>,
    /// Rules of its point; absent: it has none; empty: not compared yet.
    pub version: Option<String>,
    /// Its point's reference.
    pub reference_run_id: Option<i64>,
    /// Whether its point is one of a long chart.
    pub weekly: Option<bool>,
    /// Whether place, epoch and release of its point are still right.
    pub placed: bool,
}

/// The whole runs of a runtime on a host, by key.
pub async fn list_runs(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    host_id: i64,
) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as(
        "SELECT *, (position IS NOT DISTINCT FROM old_position AND epoch IS NOT DISTINCT FROM old_epoch
                AND tag IS NOT DISTINCT FROM old_tag) AS placed
         FROM (
            SELECT run.id AS run_id, run.commit_id, run.environment_id, run.finished_at,
                coalesce(place.position, release.position) AS position,
                CASE WHEN place.position IS NULL THEN coalesce(release.own_commits, 0) ELSE 0 END AS own_commits, commit.committed_at,
                (SELECT max(begins_at) FROM host_epoch WHERE host_epoch.host_id = run.host_id
                 AND begins_at <= run.finished_at) AS epoch,
                release.name AS tag, release.release_line, release.release_final,
                point.version, point.reference_run_id, point.weekly, point.position AS old_position,
                point.epoch_begins_at AS old_epoch, point.tag AS old_tag
            FROM run JOIN job ON job.id = run.job_id JOIN runtime ON runtime.id = run.runtime_id
            JOIN commit ON commit.id = run.commit_id
            LEFT JOIN branch_commit place ON place.branch_id = runtime.branch_id AND place.commit_id = run.commit_id
            LEFT JOIN LATERAL (
                SELECT name, release_line, release_final, position, own_commits FROM branch_release
                WHERE branch_release.branch_id = runtime.branch_id AND branch_release.commit_id = run.commit_id
                ORDER BY release_line DESC, release_final DESC, name LIMIT 1) release ON true
            LEFT JOIN index_point point ON point.run_id = run.id
            WHERE run.runtime_id = $1 AND run.host_id = $2 AND run.superseded_by IS NULL AND job.benchmarks = '{}'
              AND job.suite_name IS NULL AND (job.try_id IS NULL OR place.position IS NOT NULL)) runs
         ORDER BY run_id",
    )
    .bind(runtime_id)
    .bind(host_id)
    .fetch_all(db)
    .await
}

/// Removes the points of runs that have none any more; how many.
pub async fn forget(db: impl PgExecutor<'_>, waiting: &Waiting, runs: &[i64]) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM index_point WHERE runtime_id = $1 AND host_id = $2 AND run_id <> ALL($3)",
    )
    .bind(waiting.runtime_id)
    .bind(waiting.host_id)
    .bind(runs)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Makes or moves the point of a run: everything but its comparison.
pub async fn place(
    db: impl PgExecutor<'_>,
    waiting: &Waiting,
    run: &RunRow,
    weekly: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO index_point (run_id, runtime_id, host_id, environment_id, commit_id, position, epoch_begins_at,
                                  committed_at, measured_at, tag, weekly)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (run_id) DO UPDATE SET position = excluded.position, epoch_begins_at = excluded.epoch_begins_at,
            tag = excluded.tag, weekly = excluded.weekly",
    )
    .bind(run.run_id)
    .bind(waiting.runtime_id)
    .bind(waiting.host_id)
    .bind(run.environment_id)
    .bind(run.commit_id)
    .bind(run.position)
    .bind(run.epoch)
    .bind(run.committed_at)
    .bind(run.finished_at)
    .bind(&run.tag)
    .bind(weekly)
    .execute(db)
    .await
    .map(drop)
}

/// A value that is packed.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ValueRow {
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark_id: i64,
    /// The metric.
    pub metric: String,
    /// Where it comes from.
    pub counter_source: String,
    /// Median in the metric's unit.
    pub median: f64,
    /// 95 % interval of it.
    pub interval_low: f64,
    /// Upper end.
    pub interval_high: f64,
}

/// What is packed of runs: the main metrics, instructions per cycle, the front end's share. By run and benchmark, times first.
pub async fn list_values(db: impl PgExecutor<'_>, runs: &[i64]) -> sqlx::Result<Vec<ValueRow>> {
    let metrics = Metric::MAIN
        .into_iter()
        .chain([Metric::Ipc, Metric::FrontendBound]);
    sqlx::query_as(
        "SELECT run_id, benchmark_id, metric, counter_source, median, interval_low, interval_high
         FROM measurement JOIN series ON series.id = series_id
         WHERE run_id = ANY($1) AND metric = ANY($2)
         ORDER BY run_id, benchmark_id, metric = 'wall_time' DESC, measurement.id",
    )
    .bind(runs)
    .bind(metrics.map(Metric::as_str).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// The values of a run, packed, with counters beside.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Packed {
    /// Times.
    pub values: Values,
    /// Source of the counters.
    pub source: Option<String>,
    /// Instructions per cycle of each benchmark.
    pub ipc: Vec<Option<f64>>,
    /// The front end's share of the slots.
    pub frontend_bound: Vec<Option<f64>>,
}

/// Stores the values of a run. Those of a run never change: what is there stays.
pub async fn store_values(
    db: impl PgExecutor<'_>,
    run_id: i64,
    packed: &Packed,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO index_values (run_id, benchmark_ids, logarithms, deviations, counter_source, ipc, frontend_bound)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (run_id) DO UPDATE SET benchmark_ids = excluded.benchmark_ids, logarithms = excluded.logarithms,
            deviations = excluded.deviations, counter_source = excluded.counter_source, ipc = excluded.ipc,
            frontend_bound = excluded.frontend_bound",
    )
    .bind(run_id)
    .bind(&packed.values.benchmark_ids)
    .bind(&packed.values.logarithms)
    .bind(&packed.values.deviations)
    .bind(&packed.source)
    .bind(&packed.ipc)
    .bind(&packed.frontend_bound)
    .execute(db)
    .await
    .map(drop)
}

#[derive(sqlx::FromRow)]
struct PackedRow {
    run_id: i64,
    benchmark_ids: Vec<i64>,
    logarithms: Vec<f64>,
    deviations: Vec<f64>,
    counter_source: Option<String>,
    ipc: Vec<Option<f64>>,
    frontend_bound: Vec<Option<f64>>,
}

/// The packed values of runs, by run; those without a point are left out.
pub async fn list_packed(
    db: impl PgExecutor<'_>,
    runs: &[i64],
) -> sqlx::Result<Vec<(i64, Packed)>> {
    let rows: Vec<PackedRow> = sqlx::query_as(
        "SELECT run_id, benchmark_ids, logarithms, deviations, counter_source, ipc, frontend_bound
         FROM index_values WHERE run_id = ANY($1) ORDER BY run_id",
    )
    .bind(runs)
    .fetch_all(db)
    .await?;
    let packed = rows.into_iter().map(|row| {
        let packed = Packed {
            values: Values {
                benchmark_ids: row.benchmark_ids,
                logarithms: row.logarithms,
                deviations: row.deviations,
            },
            source: row.counter_source,
            ipc: row.ipc,
            frontend_bound: row.frontend_bound,
        };
        (row.run_id, packed)
    });
    Ok(packed.collect())
}

/// Stores how a run compares with its reference. `total`: the mean, or what each alone has a value of.
pub async fn store_comparison(
    db: impl PgExecutor<'_>,
    run_id: i64,
    reference: Option<i64>,
    total: Option<&Compared>,
) -> sqlx::Result<()> {
    let mean = total.and_then(|total| total.as_ref().ok());
    let (only_here, only_reference) = match total {
        Some(Ok(total)) => (total.only_new.as_slice(), total.only_old.as_slice()),
        Some(Err((new, old))) => (new.as_slice(), old.as_slice()),
        None => (&[][..], &[][..]),
    };
    sqlx::query(
        "UPDATE index_point SET version = $2, reference_run_id = $3,
            reference_tag = (SELECT tag FROM index_point other WHERE other.run_id = $3), mean = $4, deviation = $5, common = $6,
            only_here = $7, only_reference = $8
         WHERE run_id = $1",
    )
    .bind(run_id)
    .bind(INDEX_VERSION)
    .bind(reference)
    .bind(mean.map(|total| total.mean))
    .bind(mean.map(|total| total.deviation))
    .bind(mean.map_or(0, |total| {
        i32::try_from(total.common.len()).unwrap_or(i32::MAX)
    }))
    .bind(only_here)
    .bind(only_reference)
    .execute(db)
    .await
    .map(drop)
}

/// Notes that the points are made from what the signature stands for.
pub async fn finish(
    db: impl PgExecutor<'_>,
    waiting: &Waiting,
    commits: usize,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO index_state (runtime_id, host_id, signature, commits) VALUES ($1, $2, $3, $4)
         ON CONFLICT (runtime_id, host_id)
         DO UPDATE SET signature = excluded.signature, commits = excluded.commits, made_at = now()",
    )
    .bind(waiting.runtime_id)
    .bind(waiting.host_id)
    .bind(&waiting.signature)
    .bind(i32::try_from(commits).unwrap_or(i32::MAX))
    .execute(db)
    .await
    .map(drop)
}

/// The names of benchmarks.
pub async fn list_names(
    db: impl PgExecutor<'_>,
    benchmarks: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as("SELECT id, name FROM benchmark WHERE id = ANY($1) ORDER BY name, id")
        .bind(benchmarks)
        .fetch_all(db)
        .await
}
