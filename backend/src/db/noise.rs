//! The queries of the noise tick, and what pages read of its answers.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::detection::noise::{NOISE_VERSION, NoiseFloor};

/// Measurements of a series that its floor is made from, the newest ones.
const NEWEST: i64 = 200;

/// A series whose floor is missing, of other rules, or older than its measurements.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SeriesToMeasure {
    /// Key.
    pub id: i64,
    /// Its metric's name.
    pub metric: String,
    /// What the floor will answer for.
    pub changed_at: DateTime<Utc>,
}

/// Series with work, oldest change first.
pub async fn list_series(
    db: impl PgExecutor<'_>,
    limit: i64,
) -> sqlx::Result<Vec<SeriesToMeasure>> {
    sqlx::query_as(
        "SELECT id, metric, changed_at FROM series LEFT JOIN noise_floor ON series_id = id
         WHERE (series_id IS NULL OR answers_for < changed_at OR version <> $1)
           AND EXISTS (SELECT 1 FROM measurement WHERE measurement.series_id = series.id)
         ORDER BY changed_at LIMIT $2",
    )
    .bind(NOISE_VERSION)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// One measurement with the samples that a floor is made from.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Repetition {
    /// The environment.
    pub environment_id: i64,
    /// Commit, recipe and toolchain, numbered.
    pub source: i64,
    /// The build.
    pub build_id: i64,
    /// The commit's place on its branch.
    pub position: Option<i32>,
    /// Every sample.
    pub sample_values: Vec<f64>,
    /// Its process.
    pub sample_process: Vec<i16>,
    /// Whether it is a warm-up.
    pub sample_warmup: Vec<bool>,
}

/// The newest measurements of a series within its newest epoch.
pub async fn list_repetitions(
    db: impl PgExecutor<'_>,
    series_id: i64,
) -> sqlx::Result<Vec<Repetition>> {
    sqlx::query_as(
        "WITH newest AS (
            SELECT environment_id, host_id, measured_at FROM measurement JOIN series ON series.id = series_id
            WHERE series_id = $1 ORDER BY measured_at DESC, measurement.id DESC LIMIT 1),
         epoch AS (
            SELECT environment_id, (SELECT max(begins_at) FROM host_epoch
                WHERE host_epoch.host_id = newest.host_id AND begins_at <= measured_at) AS begins_at
            FROM newest)
         SELECT measurement.environment_id, build_id, measurement.position, sample_values, sample_process, sample_warmup,
                dense_rank() OVER (ORDER BY build.commit_id, build.recipe_sha256, build.toolchain) AS source
         FROM epoch JOIN measurement ON measurement.series_id = $1 AND measurement.environment_id = epoch.environment_id
              AND (epoch.begins_at IS NULL OR measured_at >= epoch.begins_at)
         JOIN run ON run.id = run_id AND superseded_by IS NULL JOIN build ON build.id = build_id
         ORDER BY measurement.id DESC LIMIT $2",
    )
    .bind(series_id)
    .bind(NEWEST)
    .fetch_all(db)
    .await
}

/// Lets a floor stand that was made of samples which retention has taken since. Whether there is one.
pub async fn keep(db: impl PgExecutor<'_>, series: &SeriesToMeasure) -> sqlx::Result<bool> {
    let kept =
        sqlx::query("UPDATE noise_floor SET version = $2, answers_for = $3 WHERE series_id = $1")
            .bind(series.id)
            .bind(NOISE_VERSION)
            .bind(series.changed_at)
            .execute(db)
            .await?;
    Ok(kept.rows_affected() > 0)
}

/// Stores the floor of a series. `changed_at` is the one that its measurements were read after.
pub async fn replace(
    db: impl PgExecutor<'_>,
    series: &SeriesToMeasure,
    environment_id: i64,
    floor: &NoiseFloor,
) -> sqlx::Result<()> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    // Both or neither are there: what one run a side cannot tell, five cannot.
    let one = floor.smallest_change(1);
    let five = one.and(floor.smallest_change(5));
    sqlx::query(
        "INSERT INTO noise_floor (series_id, environment_id, version, answers_for, process_deviation, process_count,
                                  run_deviation, run_count, rebuild_deviation, rebuild_count, smallest_change,
                                  smallest_change_of_five, basis, neighbour_deviation, neighbour_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (series_id) DO UPDATE SET environment_id = excluded.environment_id, version = excluded.version,
             answers_for = excluded.answers_for, made_at = now(), process_deviation = excluded.process_deviation,
             process_count = excluded.process_count, run_deviation = excluded.run_deviation,
             run_count = excluded.run_count, rebuild_deviation = excluded.rebuild_deviation,
             rebuild_count = excluded.rebuild_count, smallest_change = excluded.smallest_change,
             smallest_change_of_five = excluded.smallest_change_of_five, basis = excluded.basis,
             neighbour_deviation = excluded.neighbour_deviation, neighbour_count = excluded.neighbour_count",
    )
    .bind(series.id)
    .bind(environment_id)
    .bind(NOISE_VERSION)
    .bind(series.changed_at)
    .bind(floor.processes.map(|spread| spread.deviation))
    .bind(floor.processes.map(|spread| count(spread.count)))
    .bind(floor.runs.map(|spread| spread.deviation))
    .bind(floor.runs.map(|spread| count(spread.count)))
    .bind(floor.rebuilds.map(|spread| spread.deviation))
    .bind(floor.rebuilds.map(|spread| count(spread.count)))
    .bind(five.and(one).map(|(change, _)| change))
    .bind(five.map(|(change, _)| change))
    .bind(five.map(|(_, basis)| basis.as_str()))
    .bind(floor.neighbours.map(|spread| spread.deviation))
    .bind(floor.neighbours.map(|spread| count(spread.count)))
    .execute(db)
    .await
    .map(drop)
}

/// The floor of one series as pages show it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct FloorRow {
    /// The benchmark.
    pub benchmark: String,
    /// Its identity.
    pub identity: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
    /// Between the processes of one run.
    pub process_deviation: Option<f64>,
    /// Values that it is from.
    pub process_count: Option<i32>,
    /// Between runs of one build.
    pub run_deviation: Option<f64>,
    /// Values that it is from.
    pub run_count: Option<i32>,
    /// Between builds of one commit.
    pub rebuild_deviation: Option<f64>,
    /// Values that it is from.
    pub rebuild_count: Option<i32>,
    /// Between commits that are neighbours on the branch.
    pub neighbour_deviation: Option<f64>,
    /// Commits that it is from.
    pub neighbour_count: Option<i32>,
    /// Smallest change that one run a side shows.
    pub smallest_change: Option<f64>,
    /// That five runs a side show.
    pub smallest_change_of_five: Option<f64>,
    /// What these rest on.
    pub basis: Option<String>,
}

/// The runtimes that have floors on a host: those with most kinds of repetition first.
pub async fn list_runtimes(db: impl PgExecutor<'_>, host_id: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT runtime.name FROM noise_floor JOIN series ON series.id = series_id
         JOIN runtime ON runtime.id = runtime_id WHERE host_id = $1 GROUP BY runtime.id
         ORDER BY count(rebuild_deviation) > 0 DESC, count(run_deviation) > 0 DESC, ordinal, runtime.name",
    )
    .bind(host_id)
    .fetch_all(db)
    .await
}

/// The floors of a runtime on a host, by benchmark.
pub async fn list_floors(
    db: impl PgExecutor<'_>,
    host_id: i64,
    runtime: &str,
) -> sqlx::Result<Vec<FloorRow>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, identity, metric, counter_source, process_deviation, process_count,
                run_deviation, run_count, rebuild_deviation, rebuild_count, neighbour_deviation, neighbour_count, smallest_change, smallest_change_of_five, basis
         FROM noise_floor JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         JOIN runtime ON runtime.id = runtime_id
         WHERE host_id = $1 AND runtime.name = $2 ORDER BY benchmark.name, origin IS NOT NULL, benchmark.id DESC, metric, counter_source",
    )
    .bind(host_id)
    .bind(runtime)
    .fetch_all(db)
    .await
}
