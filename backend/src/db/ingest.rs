//! Stores a run: one transaction for the run, its measurements, what is unavailable, and the job's end.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use speedwell_wire::{HostSeverity, RunReport, Sample};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::latency;
use crate::domain::repetition::is_marked;
use crate::domain::run_report::NewMeasurement;

/// The keys that a run refers to, looked up by the caller.
#[derive(Debug, Clone, Copy)]
pub struct RunKeys {
    /// The job that asked for it.
    pub job_id: i64,
    /// The host that ran it.
    pub host_id: i64,
    /// The build that was measured.
    pub build_id: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// The commit.
    pub commit_id: i64,
    /// The suite.
    pub suite_id: i64,
}

/// A run that has been uploaded before, with the host that uploaded it.
pub async fn find_upload(
    db: impl PgExecutor<'_>,
    upload_id: Uuid,
) -> sqlx::Result<Option<(i64, i64)>> {
    sqlx::query_as("SELECT id, host_id FROM run WHERE upload_id = $1")
        .bind(upload_id)
        .fetch_optional(db)
        .await
}

/// Inserts the run's row.
pub async fn insert_run(
    db: &mut PgConnection,
    keys: &RunKeys,
    report: &RunReport,
    raw_artefact: &str,
) -> sqlx::Result<i64> {
    let worst = report.host_flags.iter().map(|flag| flag.severity).max();
    sqlx::query_scalar(
        "INSERT INTO run (upload_id, job_id, build_id, runtime_id, commit_id, suite_id, host_id, environment_id,
                          harness_sha256, interpreter, host_notes, raw_artefact, started_at, finished_at,
                          host_flags, host_worst, marked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) RETURNING id",
    )
    .bind(report.upload_id)
    .bind(keys.job_id)
    .bind(keys.build_id)
    .bind(keys.runtime_id)
    .bind(keys.commit_id)
    .bind(keys.suite_id)
    .bind(keys.host_id)
    .bind(report.environment_id)
    .bind(&report.harness_sha256)
    .bind(&report.interpreter)
    .bind(Json(&report.host_notes))
    .bind(raw_artefact)
    .bind(report.started_at)
    .bind(report.finished_at)
    .bind(Json(&report.host_flags))
    .bind(worst.map(HostSeverity::as_str))
    .bind(is_marked(&report.host_flags))
    .fetch_one(db)
    .await
}

/// Inserts every measurement of a run and marks its series for detection.
/// `benchmarks` holds the key of each of the report's benchmarks, in the report's order.
pub async fn insert_measurements(
    db: &mut PgConnection,
    keys: &RunKeys,
    run_id: i64,
    report: &RunReport,
    benchmarks: &[i64],
    measurements: &[NewMeasurement],
) -> sqlx::Result<()> {
    let position: Option<i32> = sqlx::query_scalar(
        "SELECT position FROM branch_commit JOIN runtime USING (branch_id)
         WHERE runtime.id = $1 AND commit_id = $2",
    )
    .bind(keys.runtime_id)
    .bind(keys.commit_id)
    .fetch_optional(&mut *db)
    .await?;
    let place = Place {
        run_id,
        commit_id: keys.commit_id,
        environment_id: report.environment_id,
        measured_at: report.finished_at,
        position,
    };
    let of_series = (keys.runtime_id, keys.host_id);
    let series = touch_series(&mut *db, of_series, benchmarks, measurements).await?;
    let rows: Vec<Row<'_>> = measurements
        .iter()
        .zip(series)
        .map(|(measurement, series_id)| {
            let loops = i64::try_from(report.benchmarks[measurement.benchmark].loops).ok();
            Row {
                series_id,
                loops: loops.filter(|loops| *loops > 0),
                measurement,
            }
        })
        .collect();
    for some in rows.chunks(AT_ONCE) {
        insert_rows(&mut *db, &place, some).await?;
    }
    Ok(())
}

/// Measurements that are written by one statement: each has eighteen parameters, and Postgres takes 65,535.
const AT_ONCE: usize = 500;

/// A measurement with its series.
pub(super) struct Row<'a> {
    pub(super) series_id: i64,
    pub(super) loops: Option<i64>,
    pub(super) measurement: &'a NewMeasurement,
}

/// Where a run's measurements belong.
pub(super) struct Place {
    pub(super) run_id: i64,
    pub(super) commit_id: i64,
    pub(super) environment_id: i64,
    pub(super) measured_at: DateTime<Utc>,
    pub(super) position: Option<i32>,
}

/// Makes the missing series of a runtime on a host and moves `changed_at` of all of them forward; their keys in the order
/// of the measurements. The row locks serialise two ingests of one series, and `changed_at` never goes back: the
/// detect tick compares it with the value that it has seen.
pub(super) async fn touch_series(
    db: &mut PgConnection,
    (runtime_id, host_id): (i64, i64),
    benchmarks: &[i64],
    measurements: &[NewMeasurement],
) -> sqlx::Result<Vec<i64>> {
    let ids: Vec<i64> = measurements
        .iter()
        .map(|m| benchmarks[m.benchmark])
        .collect();
    let metrics: Vec<&str> = measurements.iter().map(|m| m.metric.as_str()).collect();
    let sources: Vec<&str> = measurements.iter().map(|m| m.source.as_str()).collect();
    let rows: Vec<(i64, i64, String, String)> = sqlx::query_as(
        "INSERT INTO series (runtime_id, benchmark_id, metric, counter_source, host_id)
         SELECT $1, benchmark_id, metric, counter_source, $2
         FROM unnest($3::bigint[], $4::text[], $5::text[]) AS row (benchmark_id, metric, counter_source)
         ORDER BY 2, 3, 4
         ON CONFLICT (runtime_id, benchmark_id, metric, counter_source, host_id)
         DO UPDATE SET changed_at = greatest(clock_timestamp(), series.changed_at + interval '1 microsecond')
         RETURNING id, benchmark_id, metric, counter_source",
    )
    .bind(runtime_id)
    .bind(host_id)
    .bind(ids)
    .bind(metrics)
    .bind(sources)
    .fetch_all(db)
    .await?;
    let known: HashMap<(i64, &str, &str), i64> = rows
        .iter()
        .map(|(id, benchmark, metric, source)| ((*benchmark, &**metric, &**source), *id))
        .collect();
    let key = |m: &NewMeasurement| {
        let key = (
            benchmarks[m.benchmark],
            m.metric.as_str(),
            m.source.as_str(),
        );
        known.get(&key).copied().ok_or(sqlx::Error::RowNotFound)
    };
    measurements.iter().map(key).collect()
}

/// Inserts measurements of a run.
pub(super) async fn insert_rows(
    db: &mut PgConnection,
    place: &Place,
    rows: &[Row<'_>],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::new(
        "INSERT INTO measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count,
                                  median, mean, mad, min, max, interval_low, interval_high,
                                  sample_values, sample_process, sample_warmup, loops) ",
    );
    query.push_values(rows, |mut row, one| {
        let (summary, samples) = (&one.measurement.summary, &one.measurement.samples);
        let values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
        let process = |sample: &Sample| i16::try_from(sample.process).unwrap_or(i16::MAX);
        let processes: Vec<i16> = samples.iter().map(process).collect();
        let warmups: Vec<bool> = samples.iter().map(|sample| sample.warmup).collect();
        row.push_bind(place.measured_at)
            .push_bind(one.series_id)
            .push_bind(place.run_id)
            .push_bind(place.commit_id)
            .push_bind(place.environment_id)
            .push_bind(place.position)
            .push_bind(i32::try_from(summary.count).unwrap_or(i32::MAX))
            .push_bind(summary.median)
            .push_bind(summary.mean)
            .push_bind(summary.mad)
            .push_bind(summary.min)
            .push_bind(summary.max)
            .push_bind(summary.interval_low)
            .push_bind(summary.interval_high)
            .push_bind(values)
            .push_bind(processes)
            .push_bind(warmups)
            .push_bind(one.loops);
    });
    // As many texts as there are sizes of suites: none is worth keeping prepared.
    query.build().persistent(false).execute(db).await.map(drop)
}

/// Inserts what could not be measured, with the reasons.
pub async fn insert_unavailable(
    db: &mut PgConnection,
    run_id: i64,
    report: &RunReport,
    benchmarks: &[i64],
) -> sqlx::Result<()> {
    let mut ids = Vec::new();
    let mut metrics: Vec<Option<&str>> = Vec::new();
    let mut kinds = Vec::new();
    let mut reasons = Vec::new();
    for (benchmark, id) in report.benchmarks.iter().zip(benchmarks) {
        for missing in &benchmark.unavailable {
            ids.push(*id);
            metrics.push(missing.metric.map(|metric| metric.as_str()));
            kinds.push(missing.kind.as_str());
            reasons.push(missing.reason.as_str());
        }
    }
    sqlx::query(
        "INSERT INTO unavailable (run_id, benchmark_id, metric, kind, reason)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[])",
    )
    .bind(run_id)
    .bind(ids)
    .bind(metrics)
    .bind(kinds)
    .bind(reasons)
    .execute(db)
    .await
    .map(drop)
}

/// Makes the partitions of this year and the next. Called by the maintain tick, ahead of time.
pub async fn ensure_partitions(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT ensure_measurement_partition(now()), ensure_measurement_partition(now() + interval '1 year')")
        .execute(db)
        .await
        .map(drop)
}

/// Inserts the histograms of a run; they have been read once before.
pub async fn insert_latencies(
    db: &mut PgConnection,
    run_id: i64,
    report: &RunReport,
    benchmarks: &[i64],
) -> sqlx::Result<()> {
    let all = report.benchmarks.iter().zip(benchmarks);
    let rows: Vec<(i64, i32, Vec<u8>)> = all
        .flat_map(|(benchmark, id)| {
            let latencies = benchmark.latencies.iter();
            latencies.filter_map(|one| {
                let process = i32::try_from(one.process).ok()?;
                Some((*id, process, latency::check(&one.hdr).ok()?))
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let processes: Vec<i32> = rows.iter().map(|row| row.1).collect();
    let histograms: Vec<Vec<u8>> = rows.into_iter().map(|row| row.2).collect();
    sqlx::query(
        "INSERT INTO latency_histogram (run_id, benchmark_id, process, hdr)
         SELECT $1, * FROM unnest($2::bigint[], $3::integer[], $4::bytea[])",
    )
    .bind(run_id)
    .bind(ids)
    .bind(processes)
    .bind(histograms)
    .execute(db)
    .await
    .map(drop)
}
