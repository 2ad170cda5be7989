//! Bisections: their ranges, what counts as evidence, the jobs they ask for, and how they end.

pub mod by_hand;

use sqlx::{PgConnection, PgExecutor};

use crate::detection::bisection::BISECTION_VERSION;
use crate::domain::bisection::{BisectionState, Skipped};
use crate::domain::plan::Reason;
use crate::domain::regression::{OPENING, SPEEDWELL};

/// What a search is for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBisection {
    /// The regression that it belongs to; `None`: asked for by hand.
    pub regression_id: Option<i64>,
    /// The runtime.
    pub runtime_id: i64,
    /// The benchmark's name.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The counter source.
    pub counter_source: String,
    /// The last commit that is as before.
    pub before_commit_id: i64,
    /// The first that is changed.
    pub after_commit_id: i64,
    /// Logarithm of after / before, if known.
    pub expected: Option<f64>,
    /// Deviation of one run, of logarithms.
    pub noise: f64,
    /// Who asks.
    pub requester: String,
    /// Runs that it may ask for.
    pub budget: i32,
}

/// A search that goes on.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Open {
    /// Key.
    pub id: i64,
    /// Its regression.
    pub regression_id: Option<i64>,
    /// The regression's state.
    pub regression_state: Option<String>,
    /// Whether both ends are on the runtime's branch still.
    pub placed: bool,
    /// The runtime.
    pub runtime_id: i64,
    /// Whether its build is optimised by a training run, which runs the tests.
    pub trained: bool,
    /// The benchmark's name.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Logarithm of after / before, if known.
    pub expected: Option<f64>,
    /// Deviation of one run.
    pub noise: f64,
    /// Runs that it may ask for.
    pub budget: i32,
    /// Runs that it has asked for.
    pub asked: i64,
}

/// A confirmed regression without a search, with what a search of it would measure: the confirmed change point that stands out
/// most, a source almost without noise first.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Waiting {
    /// The regression.
    pub regression_id: i64,
    /// First end.
    pub before_commit_id: i64,
    /// Second end.
    pub after_commit_id: i64,
    /// Commits in `(before, after]`.
    pub commits: i64,
    /// The runtime.
    pub runtime_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The source.
    pub counter_source: String,
    /// The series' host.
    pub host_id: i64,
    /// Ratio minus one.
    pub change: f64,
    /// Deviation of one point.
    pub noise: f64,
}

/// Confirmed regressions to search. One that was searched since it was last reopened, merged or split is left alone, and so is one
/// whose ends are not on its branch (any more).
pub async fn list_waiting(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "SELECT regression.id AS regression_id, regression.before_commit_id, regression.after_commit_id,
                (last.position - first.position)::bigint AS commits, best.*
         FROM regression
         JOIN branch_commit first ON first.branch_id = regression.branch_id AND first.commit_id = regression.before_commit_id
         JOIN branch_commit last ON last.branch_id = regression.branch_id AND last.commit_id = regression.after_commit_id
         CROSS JOIN LATERAL (
            SELECT series.runtime_id, benchmark.name AS benchmark, metric, counter_source, series.host_id, change, noise
            FROM change_point JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
            JOIN runtime ON runtime.id = series.runtime_id
            WHERE regression_id = regression.id AND change_point.state = 'confirmed'
              AND runtime.branch_id = regression.branch_id AND runtime.enabled AND change > -1
              AND metric = ANY($2) AND EXISTS (SELECT 1 FROM suite_benchmark WHERE suite_benchmark.benchmark_id = series.benchmark_id AND suite_id = (
                SELECT suite.id FROM suite WHERE suite.name = runtime.suite_name ORDER BY version DESC LIMIT 1))
            ORDER BY (counter_source = 'valgrind') DESC, abs(ln(1 + change)) / greatest(noise, 1e-6) DESC, change_point.id
            LIMIT 1) best
         WHERE regression.state = 'confirmed' AND first.position < last.position
           AND NOT EXISTS (SELECT 1 FROM bisection WHERE bisection.regression_id = regression.id
               AND bisection.created_at > coalesce((SELECT max(at) FROM regression_event event
                   WHERE event.regression_id = regression.id AND kind IN ('reopened', 'merged', 'split')), '-infinity'))
         ORDER BY regression.id LIMIT $1",
    )
    .bind(limit)
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .fetch_all(db)
    .await
}

/// Opens a search over the commits of the branch between the ends, on the given hosts; its key. Run it in a transaction.
pub async fn insert(db: &mut PgConnection, new: &NewBisection, hosts: &[i64]) -> sqlx::Result<i64> {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO bisection (regression_id, runtime_id, benchmark, metric, counter_source, before_commit_id, after_commit_id,
                                expected, noise, requester, state, budget, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id",
    )
    .bind(new.regression_id)
    .bind(new.runtime_id)
    .bind(&new.benchmark)
    .bind(&new.metric)
    .bind(&new.counter_source)
    .bind(new.before_commit_id)
    .bind(new.after_commit_id)
    .bind(new.expected)
    .bind(new.noise)
    .bind(&new.requester)
    .bind(BisectionState::Searching.as_str())
    .bind(new.budget)
    .bind(BISECTION_VERSION)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO bisection_commit (bisection_id, ordinal, commit_id)
         SELECT $1, place.position - first.position, place.commit_id
         FROM runtime JOIN branch_commit first ON first.branch_id = runtime.branch_id AND first.commit_id = $3
         JOIN branch_commit last ON last.branch_id = runtime.branch_id AND last.commit_id = $4
         JOIN branch_commit place ON place.branch_id = runtime.branch_id
              AND place.position BETWEEN first.position AND last.position
         WHERE runtime.id = $2",
    )
    .bind(id)
    .bind(new.runtime_id)
    .bind(new.before_commit_id)
    .bind(new.after_commit_id)
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO bisection_host SELECT $1, unnest($2::bigint[])")
        .bind(id)
        .bind(hosts)
        .execute(db)
        .await?;
    Ok(id)
}

/// The hosts that a search of a regression's series may use: its own, and those of the same class where both ends were measured.
pub async fn list_fitting_hosts(
    db: impl PgExecutor<'_>,
    waiting: &Waiting,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT host.id FROM host JOIN host own ON own.id = $1 AND own.class = host.class
         WHERE host.id = own.id OR 2 = (
            SELECT count(DISTINCT measurement.commit_id) FROM measurement JOIN series ON series.id = series_id
            JOIN benchmark ON benchmark.id = benchmark_id JOIN run ON run.id = run_id
            WHERE series.host_id = host.id AND series.runtime_id = $2 AND benchmark.name = $3 AND metric = $4
              AND counter_source = $5 AND measurement.commit_id IN ($6, $7) AND superseded_by IS NULL)
         ORDER BY host.id",
    )
    .bind(waiting.host_id)
    .bind(waiting.runtime_id)
    .bind(&waiting.benchmark)
    .bind(&waiting.metric)
    .bind(&waiting.counter_source)
    .bind(waiting.before_commit_id)
    .bind(waiting.after_commit_id)
    .fetch_all(db)
    .await
}

/// What a search would better go by.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Clearer {
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The source.
    pub counter_source: String,
    /// Logarithm of after / before.
    pub expected: f64,
    /// Deviation of one run, of logarithms.
    pub noise: f64,
}

/// A series of the search's regression, runtime and hosts that was confirmed since and stands out three times as far from its noise as
/// the one that the search goes by.
pub async fn find_clearer(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Option<Clearer>> {
    sqlx::query_as(
        "SELECT found.* FROM (
            SELECT benchmark.name AS benchmark, series.metric, series.counter_source, ln(1 + change) AS expected, point.noise,
                   abs(ln(1 + change)) / greatest(point.noise, 1e-4) AS clear,
                   abs(bisection.expected) / greatest(bisection.noise, 1e-4) AS known
            FROM bisection JOIN change_point point ON point.regression_id = bisection.regression_id AND point.state = 'confirmed'
            JOIN series ON series.id = point.series_id AND series.runtime_id = bisection.runtime_id
            JOIN bisection_host own ON own.bisection_id = bisection.id AND own.host_id = series.host_id
            JOIN benchmark ON benchmark.id = series.benchmark_id JOIN runtime ON runtime.id = series.runtime_id
            WHERE bisection.id = $1 AND series.metric = ANY($2) AND change > -1
              AND (benchmark.name, series.metric, series.counter_source)
                  IS DISTINCT FROM (bisection.benchmark, bisection.metric, bisection.counter_source)
              AND EXISTS (SELECT 1 FROM suite_benchmark WHERE suite_benchmark.benchmark_id = series.benchmark_id AND suite_id = (
                SELECT suite.id FROM suite WHERE suite.name = runtime.suite_name ORDER BY version DESC LIMIT 1))) found
         WHERE clear >= 3 * known ORDER BY clear DESC LIMIT 1",
    )
    .bind(id)
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .fetch_optional(db)
    .await
}

/// Lets a search go by a clearer series: its evidence is read anew from what was measured. What it has asked for of another benchmark
/// is taken out of the queue.
pub async fn retarget(db: &mut PgConnection, id: i64, to: &Clearer) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE job SET state = 'cancelled', cancel_requested = true, finished_at = now()
         WHERE bisection_id = $1 AND state = 'queued' AND NOT $2 = ANY(benchmarks)",
    )
    .bind(id)
    .bind(&to.benchmark)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE bisection SET benchmark = $2, metric = $3, counter_source = $4, expected = $5, noise = $6 WHERE id = $1",
    )
    .bind(id)
    .bind(&to.benchmark)
    .bind(&to.metric)
    .bind(&to.counter_source)
    .bind(to.expected)
    .bind(to.noise)
    .execute(db)
    .await
    .map(drop)
}

/// Locks a search that goes on; `None`: it is over.
pub async fn lock(db: &mut PgConnection, id: i64) -> sqlx::Result<Option<Open>> {
    sqlx::query_as(
        "SELECT bisection.id, regression_id, regression.state AS regression_state, runtime_id,
                2 = (SELECT count(*) FROM branch_commit WHERE branch_commit.branch_id = runtime.branch_id
                     AND commit_id IN (bisection.before_commit_id, bisection.after_commit_id)) AS placed,
                coalesce(recipe->>'profile', '') LIKE 'pgo%' AS trained, benchmark, metric, expected, noise, budget,
                (SELECT count(*) FROM job WHERE bisection_id = bisection.id) AS asked
         FROM bisection JOIN runtime ON runtime.id = runtime_id LEFT JOIN regression ON regression.id = regression_id
         WHERE bisection.id = $1 AND bisection.state = 'searching' FOR UPDATE OF bisection",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}

/// Searches that go on, oldest first.
pub async fn list_open(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM bisection WHERE state = 'searching' ORDER BY id")
        .fetch_all(db)
        .await
}

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
                           AND warmup_version = '' AND metric IN ('steady_time', 'warmup_time'))
           AND NOT EXISTS (
                SELECT 1 FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
                WHERE measurement.commit_id = place.commit_id AND series.runtime_id = bisection.runtime_id
                  AND benchmark.name = bisection.benchmark AND series.metric = bisection.metric
                  AND series.counter_source = bisection.counter_source)",
    )
    .bind(id)
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

/// Queues runs of one commit on one host, of the search's benchmark only.
pub async fn insert_jobs(
    db: impl PgExecutor<'_>,
    id: i64,
    host_id: i64,
    commit_id: i64,
    runs: i32,
) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks, bisection_id)
         SELECT 'measure', runtime_id, $3, host.class, host.id, $5, $6, $7, ARRAY[benchmark], bisection.id
         FROM bisection CROSS JOIN host CROSS JOIN generate_series(1, $4) WHERE bisection.id = $1 AND host.id = $2",
    )
    .bind(id)
    .bind(host_id)
    .bind(commit_id)
    .bind(runs)
    .bind(Reason::Bisection.priority())
    .bind(Reason::Bisection.as_str())
    .bind(SPEEDWELL)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Stores how likely each commit is, and what each measured one is like; both in branch order.
pub async fn update_posterior(
    db: impl PgExecutor<'_>,
    id: i64,
    probability: &[f64],
    likeness: &[Option<f64>],
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE bisection_commit place SET probability = told.probability, likeness = told.likeness
         FROM unnest($2::float8[], $3::float8[]) WITH ORDINALITY AS told (probability, likeness, number)
         WHERE bisection_id = $1 AND ordinal = number - 1
           AND (place.probability, place.likeness) IS DISTINCT FROM (told.probability, told.likeness)",
    )
    .bind(id)
    .bind(probability)
    .bind(likeness)
    .execute(db)
    .await
    .map(drop)
}

/// A located change, by commits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewChange {
    /// As before.
    pub before_commit_id: i64,
    /// As after.
    pub after_commit_id: i64,
    /// The commit, if one is known.
    pub culprit_commit_id: Option<i64>,
    /// Ratio minus one.
    pub change: f64,
    /// How sure.
    pub probability: f64,
}

/// Ends a search, stores what it has located, and takes back what waits for it.
pub async fn finish(
    db: &mut PgConnection,
    id: i64,
    state: BisectionState,
    culprit: Option<i64>,
    changes: &[NewChange],
    message: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE bisection SET state = $2, culprit_commit_id = $3, message = $4, finished_at = now() WHERE id = $1",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(culprit)
    .bind(message)
    .execute(&mut *db)
    .await?;
    for (ordinal, one) in (0_i32..).zip(changes) {
        sqlx::query("INSERT INTO bisection_change VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(id)
            .bind(ordinal)
            .bind(one.before_commit_id)
            .bind(one.after_commit_id)
            .bind(one.culprit_commit_id)
            .bind(one.change)
            .bind(one.probability)
            .execute(&mut *db)
            .await?;
    }
    sqlx::query(
        "UPDATE job SET cancel_requested = true, state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                finished_at = CASE WHEN state = 'queued' THEN now() END
         WHERE bisection_id = $1 AND state IN ('queued', 'running')",
    )
    .bind(id)
    .execute(db)
    .await
    .map(drop)
}

/// Narrows a regression's range.
pub async fn narrow(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE regression SET before_commit_id = $2, after_commit_id = $3, changed_at = now() WHERE id = $1",
    )
    .bind(regression_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .execute(db)
    .await
    .map(drop)
}
