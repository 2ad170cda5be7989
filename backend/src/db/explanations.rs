//! What explanations are made from, and the explanations.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::regressions::insert_event;
use crate::domain::explain::Explanation;
use crate::domain::regression::{EventKind, SPEEDWELL};

/// A regression whose commit is known and that has no explanation of this version for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ToExplain {
    /// The regression.
    pub id: i64,
    /// Its branch.
    pub branch_id: i64,
    /// The last commit that is as before.
    pub before_commit_id: i64,
    /// The first that is known to be changed.
    pub after_commit_id: i64,
    /// The commit behind it.
    pub culprit_commit_id: i64,
    /// Its first parent, when it is known.
    pub parent_commit_id: Option<i64>,
}

/// Regressions that wait for an explanation, the newest first.
pub async fn list_to_explain(
    db: impl PgExecutor<'_>,
    version: i32,
    limit: i64,
) -> sqlx::Result<Vec<ToExplain>> {
    sqlx::query_as(
        "SELECT regression.id, branch_id, regression.before_commit_id, regression.after_commit_id, culprit_commit_id,
                parent.id AS parent_commit_id
         FROM regression JOIN commit ON commit.id = culprit_commit_id
         LEFT JOIN commit parent ON parent.repository_id = commit.repository_id AND parent.hash = commit.parents[1]
         WHERE state IN ('found', 'acknowledged')
           -- An explanation of another commit, before a search that ended elsewhere, is made again; and so is one that had to
           -- look at the ends of the range, when the commit or its parent has been measured since.
           AND NOT EXISTS (
                SELECT 1 FROM explanation made WHERE made.regression_id = regression.id AND version = $1
                  AND made.culprit_commit_id = regression.culprit_commit_id
                  AND ((made.before_commit_id, made.after_commit_id) = (parent.id, regression.culprit_commit_id)
                       OR NOT EXISTS (SELECT 1 FROM run WHERE run.commit_id IN (parent.id, regression.culprit_commit_id)
                                      AND run.created_at > made_at)))
         ORDER BY regression.id DESC LIMIT $2",
    )
    .bind(version)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A metric of one benchmark on one host, on both sides.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SidesRow {
    /// The benchmark.
    pub benchmark: String,
    /// The host.
    pub host: String,
    /// The metric.
    pub metric: String,
    /// Where its values come from.
    pub counter_source: String,
    /// Median before, over the runs of the commit.
    pub before: f64,
    /// Its interval.
    pub before_low: f64,
    /// Upper end.
    pub before_high: f64,
    /// Median after.
    pub after: f64,
    /// Its interval.
    pub after_low: f64,
    /// Upper end.
    pub after_high: f64,
}

/// Every metric of the benchmarks, runtimes and hosts that a regression concerns, on two commits: medians over their runs, within
/// the environment of the newest of them. What has no value on one side is left out.
pub async fn list_sides(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
) -> sqlx::Result<Vec<SidesRow>> {
    sqlx::query_as(
        "WITH wanted AS (
            SELECT DISTINCT series.runtime_id, series.benchmark_id, series.host_id
            FROM change_point point JOIN series ON series.id = series_id
            WHERE regression_id = $1 AND state IN ('confirmed', 'suspected')),
         value AS (
            SELECT series.id AS series_id, measurement.commit_id, median, interval_low, interval_high,
                   measurement.environment_id,
                   first_value(measurement.environment_id) OVER (PARTITION BY series.id ORDER BY measurement.id DESC) AS newest
            FROM wanted JOIN series USING (runtime_id, benchmark_id, host_id)
            JOIN measurement ON measurement.series_id = series.id AND measurement.commit_id IN ($2, $3)
            JOIN run ON run.id = measurement.run_id AND superseded_by IS NULL),
         side AS (
            SELECT series_id, commit_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY median) AS median,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY interval_low) AS low,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY interval_high) AS high
            FROM value WHERE environment_id = newest GROUP BY series_id, commit_id)
         SELECT benchmark.name AS benchmark, host.name AS host, metric, counter_source, before.median AS before,
                before.low AS before_low, before.high AS before_high, after.median AS after, after.low AS after_low,
                after.high AS after_high
         FROM side before JOIN side after ON after.series_id = before.series_id AND after.commit_id = $3
         JOIN series ON series.id = before.series_id JOIN benchmark ON benchmark.id = benchmark_id
         JOIN host ON host.id = series.host_id
         WHERE before.commit_id = $2 ORDER BY benchmark.name, host.name, metric LIMIT 5000",
    )
    .bind(regression_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .fetch_all(db)
    .await
}

/// The metrics of which a regression has a confirmed change point.
pub async fn list_confirmed_metrics(
    db: impl PgExecutor<'_>,
    regression_id: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT metric FROM change_point JOIN series ON series.id = series_id
         WHERE regression_id = $1 AND state = 'confirmed' ORDER BY metric",
    )
    .bind(regression_id)
    .fetch_all(db)
    .await
}

/// Two profiles that compare.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ProfilePair {
    /// The benchmark.
    pub benchmark: String,
    /// The run before.
    pub before_run_id: i64,
    /// Address of its stacks.
    pub before_artefact: String,
    /// The run after.
    pub after_run_id: i64,
    /// Address of its stacks.
    pub after_artefact: String,
}

/// The newest profiles of both commits by the same tool, of the benchmarks that changed most.
pub async fn list_profile_pairs(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
    limit: i64,
) -> sqlx::Result<Vec<ProfilePair>> {
    sqlx::query_as(
        "WITH wanted AS (
            SELECT series.runtime_id, series.benchmark_id, series.host_id, max(abs(change)) AS size
            FROM change_point point JOIN series ON series.id = series_id
            WHERE regression_id = $1 AND state IN ('confirmed', 'suspected') GROUP BY 1, 2, 3),
         pair AS (
            SELECT DISTINCT ON (benchmark.name) benchmark.name AS benchmark, size, old.run_id AS before_run_id,
                   old.artefact AS before_artefact, new.run_id AS after_run_id, new.artefact AS after_artefact
            FROM wanted JOIN benchmark ON benchmark.id = benchmark_id
            JOIN run after ON after.commit_id = $3 AND after.runtime_id = wanted.runtime_id AND after.host_id = wanted.host_id
            JOIN profile new ON new.run_id = after.id AND new.benchmark_id = wanted.benchmark_id
            JOIN run before ON before.commit_id = $2 AND before.runtime_id = wanted.runtime_id
                 AND before.host_id = wanted.host_id
            JOIN profile old ON old.run_id = before.id AND old.benchmark_id = wanted.benchmark_id
                 AND (old.tool, old.source) = (new.tool, new.source)
            ORDER BY benchmark.name, new.run_id DESC, old.run_id DESC)
         SELECT benchmark, before_run_id, before_artefact, after_run_id, after_artefact FROM pair
         ORDER BY size DESC, benchmark LIMIT $4",
    )
    .bind(regression_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The builds of two commits by the recipe and the toolchain that both have, for the runtime with most change points: the artefacts.
pub async fn find_builds(
    db: impl PgExecutor<'_>,
    regression_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query_as(
        "SELECT old.artefact_sha256, new.artefact_sha256
         FROM (SELECT runtime_id, count(*) AS points FROM change_point JOIN series ON series.id = series_id
               WHERE regression_id = $1 GROUP BY runtime_id) wanted
         JOIN build new ON new.runtime_id = wanted.runtime_id AND new.commit_id = $3 AND new.artefact_sha256 IS NOT NULL
         JOIN build old ON old.runtime_id = wanted.runtime_id AND old.commit_id = $2 AND old.artefact_sha256 IS NOT NULL
              AND (old.recipe_sha256, old.toolchain) = (new.recipe_sha256, new.toolchain)
         ORDER BY points DESC, wanted.runtime_id, new.id DESC, old.id DESC LIMIT 1",
    )
    .bind(regression_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .fetch_optional(db)
    .await
}

/// What the commits between two sides touch.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Touched {
    /// How many commits.
    pub commits: i64,
    /// How many of them have been read.
    pub read: i64,
    /// Paths, cut.
    pub paths: Vec<String>,
    /// How many there are; those that several commits touch count again.
    pub count: i64,
}

/// Paths of the commits after one and up to another of a branch.
pub async fn find_touched(
    db: impl PgExecutor<'_>,
    branch_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
) -> sqlx::Result<Touched> {
    sqlx::query_as(
        "WITH between_sides AS (
            SELECT commit.touched_paths, commit.touched_count FROM branch_commit low
            JOIN branch_commit high ON high.branch_id = $1 AND high.commit_id = $3
            JOIN branch_commit place ON place.branch_id = $1 AND place.position > low.position
                 AND place.position <= high.position
            JOIN commit ON commit.id = place.commit_id
            WHERE low.branch_id = $1 AND low.commit_id = $2)
         SELECT count(*) AS commits, count(touched_paths) AS read, coalesce(sum(touched_count), 0)::bigint AS count,
                ARRAY(SELECT DISTINCT unnest(touched_paths) FROM between_sides ORDER BY 1 LIMIT 50) AS paths
         FROM between_sides",
    )
    .bind(branch_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .fetch_one(db)
    .await
}

/// Stores an explanation and, when it says something new, the line of the timeline; run it in a transaction. `false`: the regression has been decided about
/// meanwhile, or has this explanation already; nothing is written.
pub async fn store(
    db: &mut PgConnection,
    of: &ToExplain,
    sides: (i64, i64),
    version: i32,
    explanation: &Explanation,
) -> sqlx::Result<bool> {
    let before: Option<String> =
        sqlx::query_scalar("SELECT sentence FROM explanation WHERE regression_id = $1")
            .bind(of.id)
            .fetch_optional(&mut *db)
            .await?;
    let done = sqlx::query(
        "INSERT INTO explanation (regression_id, version, culprit_commit_id, before_commit_id, after_commit_id, findings, sentence)
         SELECT id, $2, $7, $3, $4, $5, $6 FROM regression
         WHERE id = $1 AND state IN ('found', 'acknowledged') AND culprit_commit_id = $7
         ON CONFLICT (regression_id) DO UPDATE SET version = excluded.version, culprit_commit_id = excluded.culprit_commit_id,
            before_commit_id = excluded.before_commit_id,
            after_commit_id = excluded.after_commit_id, findings = excluded.findings, sentence = excluded.sentence,
            made_at = now()",
    )
    .bind(of.id)
    .bind(version)
    .bind(sides.0)
    .bind(sides.1)
    .bind(Json(explanation))
    .bind(&explanation.sentence)
    .bind(of.culprit_commit_id)
    .execute(&mut *db)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    if before.as_ref() != Some(&explanation.sentence) {
        let kind = EventKind::Explained;
        insert_event(db, of.id, SPEEDWELL, kind, &explanation.sentence).await?;
    }
    Ok(true)
}

/// A stored explanation with its sides.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct ExplanationRow {
    /// Its version.
    pub version: i32,
    /// The commit before.
    pub before_hash: String,
    /// The commit after.
    pub after_hash: String,
    /// What was found.
    pub findings: Json<Explanation>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// The explanation of a regression.
pub async fn find(
    db: impl PgExecutor<'_>,
    regression_id: i64,
) -> sqlx::Result<Option<ExplanationRow>> {
    sqlx::query_as(
        "SELECT version, before.hash AS before_hash, after.hash AS after_hash, findings, made_at
         FROM explanation JOIN commit before ON before.id = before_commit_id JOIN commit after ON after.id = after_commit_id
         WHERE regression_id = $1",
    )
    .bind(regression_id)
    .fetch_optional(db)
    .await
}
