//! Bisections: their ranges, what counts as evidence, the jobs they ask for, and how they end.

pub mod by_hand;
mod range;

pub use range::{
    Evidence, RangeCommit, list_commits, list_evidence, list_hosts, skip, skip_failed,
};
use speedwell_wire::Metric;
use sqlx::{PgConnection, PgExecutor};

use crate::detection::bisection::BISECTION_VERSION;
use crate::detection::scale::OF_A_JUMP;
use crate::domain::bisection::BisectionState;
use crate::domain::plan::Reason;
use crate::domain::regression::{OPENING, SPEEDWELL};

/// The metrics of which single processes jump by themselves: next to others a search does not go by them.
fn jumping() -> Vec<&'static str> {
    let jumping = Metric::ALL.iter().filter(|metric| metric.jumps());
    jumping.map(|metric| metric.as_str()).collect()
}

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
    /// The level before, in the metric's unit.
    pub baseline: f64,
    /// Ratio minus one.
    pub change: f64,
    /// Deviation of one point.
    pub noise: f64,
}

/// Confirmed regressions to search. One that was searched since it was last reopened, merged or split is left alone, and so is one
/// whose ends are not on its branch (any more). A search of commits that a force push has removed since does not count.
pub async fn list_waiting(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "SELECT regression.id AS regression_id, regression.before_commit_id, regression.after_commit_id,
                (last.position - first.position)::bigint AS commits, best.*
         FROM regression
         JOIN branch_commit first ON first.branch_id = regression.branch_id AND first.commit_id = regression.before_commit_id
         JOIN branch_commit last ON last.branch_id = regression.branch_id AND last.commit_id = regression.after_commit_id
         CROSS JOIN LATERAL (
            SELECT series.runtime_id, benchmark.name AS benchmark, metric, counter_source, series.host_id, baseline, change, noise
            FROM change_point JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
            JOIN runtime ON runtime.id = series.runtime_id JOIN host ON host.id = series.host_id AND NOT host.imported
            WHERE regression_id = regression.id AND change_point.state = 'confirmed'
              AND runtime.branch_id = regression.branch_id AND runtime.enabled AND (change > -1 OR metric = ANY($3))
              AND metric = ANY($2) AND EXISTS (SELECT 1 FROM suite_benchmark WHERE suite_benchmark.benchmark_id = series.benchmark_id AND suite_id = (
                SELECT suite.id FROM suite WHERE suite.name = runtime.suite_name ORDER BY version DESC LIMIT 1))
            ORDER BY (counter_source = 'valgrind') DESC, abs(ln(greatest(1 + change, 1e-9)))
                / greatest(noise, 1e-6, CASE WHEN metric = ANY($3) THEN $4 * abs(ln(greatest(1 + change, 1e-9))) END) DESC, change_point.id
            LIMIT 1) best
         WHERE (regression.state = 'confirmed' OR regression.state = 'acknowledged' AND culprit_commit_id IS NULL)
           AND first.position < last.position
           AND NOT EXISTS (SELECT 1 FROM bisection WHERE bisection.regression_id = regression.id
               AND 2 = (SELECT count(*) FROM branch_commit place WHERE place.branch_id = regression.branch_id
                        AND place.commit_id IN (bisection.before_commit_id, bisection.after_commit_id))
               AND bisection.created_at > coalesce((SELECT max(at) FROM regression_event event
                   WHERE event.regression_id = regression.id AND kind IN ('reopened', 'merged', 'split')), '-infinity'))
         ORDER BY regression.id LIMIT $1",
    )
    .bind(limit)
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .bind(jumping())
    .bind(OF_A_JUMP)
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

/// From so many commits on it pays that another host measures both ends first: the search through the rest takes steps by thirds then
/// instead of halves.
const WIDE: i64 = 16;

/// The hosts that may share a search with its own one: those of the same class that are there and have measured the same series, or, of a
/// range that is not wide, both its ends. Its own one is among them. `commits`: in `(before, after]`.
pub async fn list_fitting_hosts(
    db: impl PgExecutor<'_>,
    host_id: i64,
    new: &NewBisection,
    commits: i64,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT host.id FROM host JOIN host own ON own.id = $1 AND own.class = host.class
         WHERE host.id = own.id
            OR NOT host.imported AND host.disabled_at IS NULL AND host.last_seen_at > now() - interval '15 minutes'
               AND EXISTS (
                SELECT 1 FROM series JOIN benchmark ON benchmark.id = benchmark_id
                WHERE series.host_id = host.id AND series.runtime_id = $2 AND benchmark.name = $3 AND metric = $4 AND counter_source = $5
                  AND ($8 OR 2 = (SELECT count(DISTINCT measurement.commit_id) FROM measurement JOIN run ON run.id = run_id
                                  WHERE measurement.series_id = series.id AND measurement.commit_id IN ($6, $7)
                                    AND superseded_by IS NULL)))
         ORDER BY host.id",
    )
    .bind(host_id)
    .bind(new.runtime_id)
    .bind(&new.benchmark)
    .bind(&new.metric)
    .bind(&new.counter_source)
    .bind(new.before_commit_id)
    .bind(new.after_commit_id)
    .bind(commits >= WIDE)
    .fetch_all(db)
    .await
}

/// What a search could go by instead.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Other {
    /// The benchmark.
    pub benchmark: String,
    /// The metric.
    pub metric: String,
    /// The source.
    pub counter_source: String,
    /// The level before, in the metric's unit.
    pub baseline: f64,
    /// Ratio minus one.
    pub change: f64,
    /// Deviation of one point, of logarithms.
    pub noise: f64,
}

/// The other series of a search's regression, runtime and hosts that are confirmed by now.
pub async fn list_others(db: impl PgExecutor<'_>, id: i64) -> sqlx::Result<Vec<Other>> {
    sqlx::query_as(
        "SELECT benchmark.name AS benchmark, series.metric, series.counter_source, baseline, change, point.noise
         FROM bisection JOIN change_point point ON point.regression_id = bisection.regression_id AND point.state = 'confirmed'
         JOIN series ON series.id = point.series_id AND series.runtime_id = bisection.runtime_id
         JOIN bisection_host own ON own.bisection_id = bisection.id AND own.host_id = series.host_id
         JOIN benchmark ON benchmark.id = series.benchmark_id JOIN runtime ON runtime.id = series.runtime_id
         WHERE bisection.id = $1 AND series.metric = ANY($2) AND (change > -1 OR series.metric = ANY($3))
           AND (benchmark.name, series.metric, series.counter_source)
               IS DISTINCT FROM (bisection.benchmark, bisection.metric, bisection.counter_source)
           AND EXISTS (SELECT 1 FROM suite_benchmark WHERE suite_benchmark.benchmark_id = series.benchmark_id AND suite_id = (
             SELECT suite.id FROM suite WHERE suite.name = runtime.suite_name ORDER BY version DESC LIMIT 1))
         ORDER BY point.id LIMIT 1000",
    )
    .bind(id)
    .bind(OPENING.map(|metric| metric.as_str()).to_vec())
    .bind(jumping())
    .fetch_all(db)
    .await
}

/// Lets a search go by a clearer series: its evidence is read anew from what was measured. What it has asked for of another benchmark
/// is taken out of the queue. `expected`: the logarithm of after / before; `noise`: the deviation of one run.
pub async fn retarget(
    db: &mut PgConnection,
    id: i64,
    to: &Other,
    expected: f64,
    noise: f64,
) -> sqlx::Result<()> {
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
    .bind(expected)
    .bind(noise)
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
