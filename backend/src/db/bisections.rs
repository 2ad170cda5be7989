//! Searches for the commit behind a change: what opens one, what they know, what they ask for.

use sqlx::{PgConnection, PgExecutor};

use crate::detection::bisection::{BISECTION_VERSION, Located};
use crate::domain::bisection::{BisectionState, Skipped};
use crate::domain::plan::Reason;
use crate::domain::regression::OPENING;

/// A confirmed regression without a search.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Unsearched {
    /// The regression.
    pub regression_id: i64,
    /// Its branch.
    pub branch_id: i64,
    /// The end before.
    pub before_position: i32,
    /// The end after.
    pub after_position: i32,
    /// The end after.
    pub after_commit_id: i64,
    /// Runtime of its clearest series.
    pub runtime_id: i64,
    /// Benchmark of it.
    pub benchmark: String,
    /// Metric of it.
    pub metric: String,
    /// Counter source of it.
    pub counter_source: String,
    /// Size, as a ratio minus one.
    pub change: f64,
    /// Noise of one point, of logarithms.
    pub noise: f64,
}

/// Confirmed regressions whose commit is not known and that nobody has searched, with the clearest of their confirmed change points;
/// what valgrind counts is nearly without noise and goes first. While a confirmation goes on it is waited for: it may know a clearer one.
pub async fn list_unsearched(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Unsearched>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (regression.id) regression.id AS regression_id, regression.branch_id, before.position AS before_position,
                after.position AS after_position, regression.after_commit_id, series.runtime_id, benchmark.name AS benchmark, metric,
                counter_source, point.change, point.noise
         FROM regression
         JOIN branch_commit before ON before.branch_id = regression.branch_id AND before.commit_id = regression.before_commit_id
         JOIN branch_commit after ON after.branch_id = regression.branch_id AND after.commit_id = regression.after_commit_id
         JOIN change_point point ON point.regression_id = regression.id AND point.state = 'confirmed'
         JOIN series ON series.id = point.series_id JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN runtime ON runtime.id = series.runtime_id
         WHERE regression.state IN ('confirmed', 'acknowledged') AND culprit_commit_id IS NULL AND metric = ANY($1)
           AND runtime.enabled AND before.position < after.position
           AND NOT EXISTS (SELECT 1 FROM bisection WHERE bisection.regression_id = regression.id)
           AND NOT EXISTS (SELECT 1 FROM confirmation WHERE confirmation.regression_id = regression.id
                           AND confirmation.state = 'measuring')
         ORDER BY regression.id, counter_source = 'valgrind' DESC,
                  abs(ln(greatest(1 + point.change, 1e-9))) / greatest(point.noise, 1e-4) DESC, point.id",
    )
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .fetch_all(db)
    .await
}

/// A commit of a range.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct RangeCommit {
    /// Key.
    pub commit_id: i64,
    /// What it touches; `None`: not read yet.
    pub touched_paths: Option<Vec<String>>,
    /// How many paths it touches.
    pub touched_count: Option<i32>,
}

/// The commits of a branch from one position to another, both included.
pub async fn list_range(
    db: impl PgExecutor<'_>,
    branch_id: i64,
    before: i32,
    after: i32,
) -> sqlx::Result<Vec<RangeCommit>> {
    sqlx::query_as(
        "SELECT commit.id AS commit_id, touched_paths, touched_count FROM branch_commit JOIN commit ON commit.id = commit_id
         WHERE branch_id = $1 AND position BETWEEN $2 AND $3 ORDER BY position",
    )
    .bind(branch_id)
    .bind(before)
    .bind(after)
    .fetch_all(db)
    .await
}

/// A search to open.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBisection<'a> {
    /// For which regression; by hand: none.
    pub regression_id: Option<i64>,
    /// The runtime that is built.
    pub runtime_id: i64,
    /// The benchmark.
    pub benchmark: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// Its source.
    pub counter_source: &'a str,
    /// Logarithm of after / before, if known.
    pub expected: Option<f64>,
    /// Deviation of one run, of logarithms.
    pub noise: f64,
    /// Who asks.
    pub requester: &'a str,
    /// Runs that it may ask for.
    pub budget: i32,
}

/// Opens a search over commits in branch order, both ends included, on hosts; each commit with the reason why it is left out.
pub async fn insert(
    db: &mut PgConnection,
    new: &NewBisection<'_>,
    commits: &[(i64, Option<Skipped>)],
    hosts: &[i64],
) -> sqlx::Result<i64> {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO bisection (regression_id, runtime_id, benchmark, metric, counter_source, before_commit_id, after_commit_id,
                                expected, noise, requester, state, budget, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'searching', $11, $12) RETURNING id",
    )
    .bind(new.regression_id)
    .bind(new.runtime_id)
    .bind(new.benchmark)
    .bind(new.metric)
    .bind(new.counter_source)
    .bind(commits.first().map(|one| one.0))
    .bind(commits.last().map(|one| one.0))
    .bind(new.expected)
    .bind(new.noise)
    .bind(new.requester)
    .bind(new.budget)
    .bind(BISECTION_VERSION)
    .fetch_one(&mut *db)
    .await?;
    let skipped = commits.iter().map(|one| one.1.map(Skipped::as_str));
    sqlx::query(
        "INSERT INTO bisection_commit (bisection_id, ordinal, commit_id, skipped)
         SELECT $1, ordinality - 1, commit_id, skipped
         FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS row (commit_id, skipped, ordinality)",
    )
    .bind(id)
    .bind(commits.iter().map(|one| one.0).collect::<Vec<_>>())
    .bind(skipped.collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO bisection_host SELECT $1, unnest($2::bigint[])")
        .bind(id)
        .bind(hosts)
        .execute(db)
        .await?;
    Ok(id)
}

/// The hosts on which a regression's change was confirmed in a runtime's benchmark and metric.
pub async fn list_hosts_of_regression(
    db: impl PgExecutor<'_>,
    of: &Unsearched,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT DISTINCT series.host_id FROM change_point point JOIN series ON series.id = point.series_id
         JOIN benchmark ON benchmark.id = series.benchmark_id
         WHERE point.regression_id = $1 AND point.state = 'confirmed' AND series.runtime_id = $2 AND benchmark.name = $3
           AND metric = $4 AND counter_source = $5 ORDER BY 1",
    )
    .bind(of.regression_id)
    .bind(of.runtime_id)
    .bind(&of.benchmark)
    .bind(&of.metric)
    .bind(&of.counter_source)
    .fetch_all(db)
    .await
}

/// A search that goes on.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Searching {
    /// Key.
    pub id: i64,
    /// Its regression.
    pub regression_id: Option<i64>,
    /// That one's state.
    pub regression_state: Option<String>,
    /// The runtime.
    pub runtime_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// Its source.
    pub counter_source: String,
    /// Logarithm of after / before.
    pub expected: Option<f64>,
    /// Deviation of one run.
    pub noise: f64,
    /// Runs that it may ask for.
    pub budget: i32,
    /// Runs that it has asked for.
    pub asked: i64,
}

/// All searches that go on, oldest first.
pub async fn list_searching(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Searching>> {
    sqlx::query_as(
        "SELECT bisection.id, regression_id, regression.state AS regression_state, runtime_id, benchmark, metric, counter_source,
                expected, noise, budget, (SELECT count(*) FROM job WHERE bisection_id = bisection.id) AS asked
         FROM bisection LEFT JOIN regression ON regression.id = regression_id
         WHERE bisection.state = 'searching' ORDER BY bisection.id",
    )
    .fetch_all(db)
    .await
}

/// Notes the commits that turn out not to be measurable: their jobs for this search are over without a run.
pub async fn update_skipped(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "UPDATE bisection_commit place SET skipped = CASE
             WHEN over.builds_failed THEN 'does_not_build' WHEN over.cancelled THEN 'job_cancelled' ELSE 'not_measurable' END
         FROM (
            SELECT job.commit_id, bool_and(job.state = 'cancelled') AS cancelled,
                   bool_or(job.failure_phase IS NOT DISTINCT FROM 'build') OR EXISTS (SELECT 1 FROM build WHERE build.runtime_id = bisection.runtime_id AND build.commit_id = job.commit_id
                           AND failure IS NOT NULL) AS builds_failed
            FROM job JOIN bisection ON bisection.id = job.bisection_id
            WHERE bisection.id = $1 GROUP BY job.commit_id, bisection.runtime_id
            HAVING bool_and(job.state IN ('failed', 'cancelled', 'succeeded'))
               AND NOT EXISTS (SELECT 1 FROM run JOIN measurement ON measurement.run_id = run.id
                    JOIN series ON series.id = measurement.series_id JOIN benchmark ON benchmark.id = series.benchmark_id
                    WHERE run.runtime_id = bisection.runtime_id AND run.commit_id = job.commit_id
                      AND benchmark.name = (SELECT benchmark FROM bisection WHERE id = $1)
                      AND metric = (SELECT metric FROM bisection WHERE id = $1))) over
         WHERE place.bisection_id = $1 AND place.commit_id = over.commit_id AND place.skipped IS NULL",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A commit of a search.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Place {
    /// Key of the commit.
    pub commit_id: i64,
    /// Its hash.
    pub hash: String,
    /// First line of its message.
    pub subject: String,
    /// Why it is left out.
    pub skipped: Option<String>,
}

/// The commits of a search, in order.
pub async fn list_places(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as(
        "SELECT commit_id, hash, subject, skipped FROM bisection_commit JOIN commit ON commit.id = commit_id
         WHERE bisection_id = $1 ORDER BY ordinal",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// What was measured on a commit of a search by one of its hosts, by this search or before it.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct ReadingRow {
    /// Place of the commit in the search.
    pub ordinal: i32,
    /// The series.
    pub series_id: i64,
    /// The host.
    pub host_id: i64,
    /// The environment.
    pub environment_id: i64,
    /// How many epochs the host had begun by then.
    pub host_epoch: i64,
    /// The value.
    pub median: f64,
}

/// The readings of a search, oldest first. Runs that a repetition stands in for are left out.
pub async fn list_readings(
    db: impl PgExecutor<'_>,
    search: &Searching,
) -> sqlx::Result<Vec<ReadingRow>> {
    sqlx::query_as(
        "SELECT place.ordinal, series.id AS series_id, series.host_id, measurement.environment_id,
                (SELECT count(*) FROM host_epoch WHERE host_epoch.host_id = series.host_id AND begins_at <= measured_at) AS host_epoch,
                median
         FROM bisection_commit place JOIN measurement ON measurement.commit_id = place.commit_id
         JOIN series ON series.id = measurement.series_id JOIN benchmark ON benchmark.id = series.benchmark_id
         JOIN run ON run.id = measurement.run_id
         JOIN bisection_host ON bisection_host.bisection_id = place.bisection_id AND bisection_host.host_id = series.host_id
         WHERE place.bisection_id = $1 AND series.runtime_id = $2 AND benchmark.name = $3 AND metric = $4 AND counter_source = $5
           AND superseded_by IS NULL
         ORDER BY measurement.id",
    )
    .bind(search.id)
    .bind(search.runtime_id)
    .bind(&search.benchmark)
    .bind(&search.metric)
    .bind(&search.counter_source)
    .fetch_all(db)
    .await
}

/// The hosts of a search.
pub async fn list_hosts(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT host_id FROM bisection_host WHERE bisection_id = $1 ORDER BY host_id",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// The jobs of a search that wait or run: host and place of the commit.
pub async fn list_open_jobs(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<(i64, i32)>> {
    sqlx::query_as(
        "SELECT host_id, ordinal FROM job JOIN bisection_commit place ON place.bisection_id = job.bisection_id
              AND place.commit_id = job.commit_id
         WHERE job.bisection_id = $1 AND job.state IN ('queued', 'running')",
    )
    .bind(id)
    .fetch_all(db)
    .await
}

/// Stores what is known about each commit.
pub async fn set_opinion(
    db: impl PgExecutor<'_>,
    id: i64,
    probability: &[f64],
    likeness: &[Option<f64>],
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE bisection_commit SET probability = row.probability, likeness = row.likeness
         FROM unnest($2::float8[], $3::float8[]) WITH ORDINALITY AS row (probability, likeness, ordinality)
         WHERE bisection_id = $1 AND ordinal = ordinality - 1",
    )
    .bind(id)
    .bind(probability)
    .bind(likeness)
    .execute(db)
    .await
    .map(drop)
}

/// Asks for runs of one commit on one host.
pub async fn insert_jobs(
    db: impl PgExecutor<'_>,
    search: &Searching,
    commit_id: i64,
    host_id: i64,
    runs: i32,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, benchmarks, bisection_id)
         SELECT 'measure', $2, $3, host.class, host.id, $5, $6, bisection.requester, ARRAY[bisection.benchmark], bisection.id
         FROM bisection JOIN host ON host.id = $4 CROSS JOIN generate_series(1, $7) WHERE bisection.id = $1",
    )
    .bind(search.id)
    .bind(search.runtime_id)
    .bind(commit_id)
    .bind(host_id)
    .bind(Reason::Bisection.priority())
    .bind(Reason::Bisection.as_str())
    .bind(runs)
    .execute(db)
    .await
    .map(drop)
}

/// Says how a search stands.
pub async fn set_message(db: impl PgExecutor<'_>, id: i64, message: &str) -> sqlx::Result<()> {
    sqlx::query("UPDATE bisection SET message = $2 WHERE id = $1 AND message <> $2")
        .bind(id)
        .bind(message)
        .execute(db)
        .await
        .map(drop)
}

/// Ends a search and takes what it still asks for out of the queue. `false`: it is over already.
pub async fn finish(
    db: &mut PgConnection,
    id: i64,
    state: BisectionState,
    culprit: Option<i64>,
    message: &str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE bisection SET state = $2, culprit_commit_id = $3, message = $4, finished_at = now()
         WHERE id = $1 AND state = 'searching'",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(culprit)
    .bind(message)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE job SET state = 'cancelled', cancel_requested = true, finished_at = now()
         WHERE bisection_id = $1 AND state = 'queued'",
    )
    .bind(id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE job SET cancel_requested = true WHERE bisection_id = $1 AND state = 'running'",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(true)
}

/// Stores the changes that a search has located.
pub async fn insert_changes(
    db: &mut PgConnection,
    id: i64,
    located: &[Located],
    places: &[Place],
) -> sqlx::Result<()> {
    for (ordinal, one) in located.iter().enumerate() {
        sqlx::query(
            "INSERT INTO bisection_change (bisection_id, ordinal, before_commit_id, after_commit_id, culprit_commit_id, change,
                                           probability) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(i32::try_from(ordinal).unwrap_or(i32::MAX))
        .bind(places[one.low].commit_id)
        .bind(places[one.high].commit_id)
        .bind(one.culprit.map(|culprit| places[culprit].commit_id))
        .bind(one.change.exp_m1())
        .bind(one.probability)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Narrows a regression's range to what a search has shown.
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

/// Whether a runtime's builds are optimised by a training run.
pub async fn is_trained(db: impl PgExecutor<'_>, runtime_id: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT coalesce(recipe->>'profile' LIKE 'pgo%', false) FROM runtime WHERE id = $1",
    )
    .bind(runtime_id)
    .fetch_one(db)
    .await
}
