//! Confirmations: both sides of a suspected change measured again, round by round.

use sqlx::{PgConnection, PgExecutor};

use crate::db::warmup;
use crate::domain::plan::Reason;
use crate::domain::regression::OPENING;

/// How often both sides of one suspicion are measured when nothing comes of it.
const MOST_TRIES: i64 = 3;

/// A suspected change point that nobody has measured again, of a metric that opens regressions.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Wanted {
    /// Its regression.
    pub regression_id: i64,
    /// Runtime of its series.
    pub runtime_id: i64,
    /// Host of its series.
    pub host_id: i64,
    /// The side before.
    pub before_commit_id: i64,
    /// The side after.
    pub after_commit_id: i64,
    /// Its benchmark.
    pub benchmark: String,
    /// Its size, as a ratio minus one.
    pub change: f64,
    /// Deviation between builds of one commit, of logarithms, where some were measured.
    pub rebuild_deviation: Option<f64>,
    /// The benchmark's instructions were counted there, and have not changed with it.
    pub time_only: bool,
}

/// What is to be measured again, by regression, runtime and host, the clearest change first. Not what the host may have made: that
/// waits for the host's control; nor what others measured; nor what the newest version of the suite no longer holds. One that the rounds did not decide is tried again a day later, one of which nothing came (its points
/// moved meanwhile, or jobs failed) at once, three times at most.
pub async fn list_wanted(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Wanted>> {
    sqlx::query_as(
        "SELECT point.regression_id, series.runtime_id, series.host_id, point.before_commit_id, point.after_commit_id,
                benchmark.name AS benchmark, point.change, noise_floor.rebuild_deviation,
                metric <> 'instructions' AND EXISTS (SELECT 1 FROM series counted WHERE counted.benchmark_id = series.benchmark_id
                    AND counted.runtime_id = series.runtime_id AND counted.host_id = series.host_id AND counted.metric = 'instructions')
                AND NOT EXISTS (SELECT 1 FROM change_point sibling JOIN series counted ON counted.id = sibling.series_id
                    WHERE sibling.regression_id = point.regression_id AND counted.benchmark_id = series.benchmark_id
                    AND counted.metric = 'instructions') AS time_only
         FROM change_point point JOIN regression ON regression.id = point.regression_id
         JOIN series ON series.id = point.series_id JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN runtime ON runtime.id = series.runtime_id LEFT JOIN noise_floor ON noise_floor.series_id = series.id
         JOIN host ON host.id = series.host_id AND NOT host.imported
         JOIN verdict ON verdict.series_id = point.series_id AND verdict.commit_id = point.commit_id
         WHERE point.state = 'suspected' AND regression.state <> 'invalid' AND runtime.enabled
           AND (verdict.held IS NULL OR verdict.held = 'unconfirmed') AND metric = ANY($1)
           AND EXISTS (SELECT 1 FROM suite_benchmark WHERE suite_benchmark.benchmark_id = series.benchmark_id AND suite_id = (
                SELECT suite.id FROM suite WHERE suite.name = runtime.suite_name ORDER BY version DESC LIMIT 1))
           AND NOT EXISTS (SELECT 1 FROM confirmation earlier WHERE earlier.regression_id = point.regression_id
                AND earlier.runtime_id = series.runtime_id AND earlier.host_id = series.host_id
                AND (earlier.state = 'measuring' OR (earlier.state = 'undecided' AND benchmark.name = ANY(earlier.benchmarks)
                     AND earlier.finished_at > now() - interval '1 day')))
           AND (SELECT count(*) FROM confirmation earlier WHERE earlier.regression_id = point.regression_id
                AND earlier.runtime_id = series.runtime_id AND earlier.host_id = series.host_id
                AND benchmark.name = ANY(earlier.benchmarks) AND earlier.state IN ('undecided', 'abandoned')) < $2
         ORDER BY 1, 2, 3, abs(ln(greatest(1 + point.change, 1e-9))) / greatest(point.noise, 1e-4) DESC, point.id",
    )
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .bind(MOST_TRIES)
    .fetch_all(db)
    .await
}

/// Opens a confirmation for one or more suspicions of one regression, runtime and host; the first tells the sides. Its rounds take
/// `builds` builds of each side in turn. `None`: one is open.
pub async fn insert(
    db: &mut PgConnection,
    wanted: &[Wanted],
    builds: i32,
) -> sqlx::Result<Option<i64>> {
    let Some(first) = wanted.first() else {
        return Ok(None);
    };
    let mut benchmarks: Vec<&str> = wanted.iter().map(|one| one.benchmark.as_str()).collect();
    benchmarks.sort_unstable();
    benchmarks.dedup();
    sqlx::query_scalar(
        "INSERT INTO confirmation (regression_id, runtime_id, host_id, before_commit_id, after_commit_id, benchmarks, builds, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'measuring') ON CONFLICT DO NOTHING RETURNING id",
    )
    .bind(first.regression_id)
    .bind(first.runtime_id)
    .bind(first.host_id)
    .bind(first.before_commit_id)
    .bind(first.after_commit_id)
    .bind(benchmarks)
    .bind(builds)
    .fetch_optional(db)
    .await
}

/// Queues the next round: both sides on the confirmation's host, the other one first than in the round before. The host takes jobs of
/// one priority in the order of their numbers.
pub async fn insert_round(db: &mut PgConnection, confirmation_id: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks,
                          confirmation_id, confirmation_round, build_repeat)
         SELECT 'measure', runtime_id, side.commit_id, host.class, host.id, $2, $3, 'scheduler', benchmarks, confirmation.id, rounds,
                rounds % builds
         FROM confirmation JOIN host ON host.id = host_id
         CROSS JOIN LATERAL (VALUES (before_commit_id, 0), (after_commit_id, 1)) AS side (commit_id, place)
         WHERE confirmation.id = $1 ORDER BY (place + rounds) % 2",
    )
    .bind(confirmation_id)
    .bind(Reason::Confirmation.priority())
    .bind(Reason::Confirmation.as_str())
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE confirmation SET rounds = rounds + 1 WHERE id = $1")
        .bind(confirmation_id)
        .execute(db)
        .await
        .map(drop)
}

/// A confirmation whose queued rounds are over.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Measured {
    /// Key.
    pub id: i64,
    /// Its regression.
    pub regression_id: i64,
    /// That one's state.
    pub regression_state: String,
    /// The runtime.
    pub runtime_id: i64,
    /// The host.
    pub host_id: i64,
    /// Its name.
    pub host: String,
    /// Rounds so far.
    pub rounds: i32,
    /// Builds of each side that they take in turn.
    pub builds: i32,
}

/// Open confirmations without a job that waits or runs, nor a run whose warm-up is still to be looked at where that is asked for.
pub async fn list_measured(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Measured>> {
    sqlx::query_as(
        "SELECT confirmation.id, regression_id, regression.state AS regression_state, runtime_id, host_id, host.name AS host, rounds, builds
         FROM confirmation JOIN regression ON regression.id = regression_id JOIN host ON host.id = host_id
         WHERE confirmation.state = 'measuring' AND (regression.state = 'invalid' OR NOT EXISTS (
            SELECT 1 FROM job WHERE confirmation_id = confirmation.id AND state IN ('queued', 'running'))
            AND NOT EXISTS (
                SELECT 1 FROM job JOIN run ON run.job_id = job.id WHERE confirmation_id = confirmation.id AND warmup_version = ''
                AND EXISTS (SELECT 1 FROM change_point point JOIN series ON series.id = series_id
                    WHERE point.regression_id = confirmation.regression_id AND point.state = 'suspected'
                      AND series.runtime_id = confirmation.runtime_id AND series.host_id = confirmation.host_id
                      AND metric = ANY($1))))
         ORDER BY confirmation.id",
    )
    .bind(warmup::derived_metrics())
    .fetch_all(db)
    .await
}

/// One side of one round, of one suspected change point.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Side {
    /// The change point.
    pub change_point_id: i64,
    /// Its series.
    pub series_id: i64,
    /// Its benchmark.
    pub benchmark: String,
    /// Its metric.
    pub metric: String,
    /// The level before, in the metric's unit.
    pub baseline: f64,
    /// Its size, as a ratio minus one.
    pub change: f64,
    /// Its noise, of logarithms; with that between builds where the rounds take several.
    pub noise: f64,
    /// The round, from 0.
    pub round: i32,
    /// True: the side after.
    pub after: bool,
    /// What was measured, in the metric's unit.
    pub median: f64,
}

/// What a confirmation has measured of the suspected change points of its regression; of a side that was measured twice, the last.
pub async fn list_sides(db: impl PgExecutor<'_>, confirmation_id: i64) -> sqlx::Result<Vec<Side>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (point.id, job.confirmation_round, run.commit_id) point.id AS change_point_id, point.series_id,
                benchmark.name AS benchmark, metric, point.baseline, point.change, job.confirmation_round AS round,
                CASE WHEN builds > 1 THEN sqrt(point.noise ^ 2 + coalesce(rebuild_deviation, 0) ^ 2) ELSE point.noise END AS noise,
                run.commit_id = confirmation.after_commit_id AS after, median
         FROM confirmation JOIN job ON job.confirmation_id = confirmation.id JOIN run ON run.job_id = job.id
         JOIN measurement ON measurement.run_id = run.id
         JOIN change_point point ON point.series_id = measurement.series_id AND point.regression_id = confirmation.regression_id
         JOIN series ON series.id = point.series_id JOIN benchmark ON benchmark.id = series.benchmark_id
         LEFT JOIN noise_floor ON noise_floor.series_id = series.id
         WHERE confirmation.id = $1 AND point.state = 'suspected'
         ORDER BY point.id, job.confirmation_round, run.commit_id, run.id DESC",
    )
    .bind(confirmation_id)
    .fetch_all(db)
    .await
}

/// What the warm-up tick has made of one side of one round, of one benchmark.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct WarmupSide {
    /// The benchmark.
    pub benchmark: String,
    /// One of the metrics that are derived.
    pub metric: String,
    /// The round, from 0.
    pub round: i32,
    /// True: the side after.
    pub after: bool,
    /// What was measured, in the metric's unit.
    pub median: f64,
}

/// The warm-ups that a confirmation has measured, in the order of its rounds; of a side that was measured twice, the last.
pub async fn list_warmup_sides(
    db: impl PgExecutor<'_>,
    confirmation_id: i64,
) -> sqlx::Result<Vec<WarmupSide>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (benchmark.name, metric, job.confirmation_round, run.commit_id) benchmark.name AS benchmark, metric,
                job.confirmation_round AS round, run.commit_id = confirmation.after_commit_id AS after, median
         FROM confirmation JOIN job ON job.confirmation_id = confirmation.id JOIN run ON run.job_id = job.id
         JOIN measurement ON measurement.run_id = run.id JOIN series ON series.id = measurement.series_id
         JOIN benchmark ON benchmark.id = series.benchmark_id
         WHERE confirmation.id = $1 AND metric = ANY($2)
         ORDER BY benchmark.name, metric, job.confirmation_round, run.commit_id, run.id DESC",
    )
    .bind(confirmation_id)
    .bind(warmup::derived_metrics())
    .fetch_all(db)
    .await
}

/// How a confirmation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one change was there again.
    Confirmed,
    /// None was.
    Refuted,
    /// The rounds were used up.
    Undecided,
    /// Nothing could be measured, or nobody wants to know any more.
    Abandoned,
}

impl Outcome {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Undecided => "undecided",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Ends a confirmation and takes what it still asks for out of the queue.
pub async fn finish(
    db: &mut PgConnection,
    confirmation_id: i64,
    outcome: Outcome,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE confirmation SET state = $2, message = $3, finished_at = now() WHERE id = $1 AND state = 'measuring'",
    )
    .bind(confirmation_id)
    .bind(outcome.as_str())
    .bind(message)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE job SET state = 'cancelled', cancel_requested = true, finished_at = now()
         WHERE confirmation_id = $1 AND state = 'queued'",
    )
    .bind(confirmation_id)
    .execute(db)
    .await
    .map(drop)
}

/// Says what an open confirmation has found so far.
pub async fn set_message(
    db: impl PgExecutor<'_>,
    confirmation_id: i64,
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE confirmation SET message = $2 WHERE id = $1")
        .bind(confirmation_id)
        .bind(message)
        .execute(db)
        .await
        .map(drop)
}
