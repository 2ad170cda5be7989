//! Suites and benchmarks. A suite is immutable: a second definition under the same name and version is refused.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use speedwell_wire::{BenchmarkIdentity, LockedPackage, RunReport, SuiteManifest};
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

/// What came of registering a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is known now, or was known with the same hash.
    Known(i64),
    /// Another definition has this name and version.
    Conflict,
}

/// Makes a suite and its benchmarks known.
pub async fn register(db: &mut PgConnection, suite: &SuiteManifest) -> sqlx::Result<Registered> {
    let version = i32::try_from(suite.version).unwrap_or(i32::MAX);
    let inserted: Option<i64> = sqlx::query_scalar(
        "INSERT INTO suite (name, version, sha256, description, lock) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name, version) DO NOTHING RETURNING id",
    )
    .bind(&suite.name)
    .bind(version)
    .bind(&suite.sha256)
    .bind(&suite.description)
    .bind(Json(&suite.lock))
    .fetch_optional(&mut *db)
    .await?;
    let Some(suite_id) = inserted else {
        let (id, sha256): (i64, String) =
            sqlx::query_as("SELECT id, sha256 FROM suite WHERE name = $1 AND version = $2")
                .bind(&suite.name)
                .bind(version)
                .fetch_one(db)
                .await?;
        return Ok(if sha256 == suite.sha256 {
            Registered::Known(id)
        } else {
            Registered::Conflict
        });
    };
    for (ordinal, benchmark) in suite.benchmarks.iter().enumerate() {
        insert_benchmark(&mut *db, suite_id, ordinal, benchmark).await?;
    }
    let (names, baselines): (Vec<&str>, Vec<&str>) = suite
        .baselines
        .iter()
        .map(|(name, baseline)| (name.as_str(), baseline.as_str()))
        .unzip();
    sqlx::query(
        "WITH of_suite AS (
            SELECT benchmark_id, benchmark.name FROM suite_benchmark JOIN benchmark ON benchmark.id = benchmark_id
            WHERE suite_id = $1)
         UPDATE suite_benchmark SET baseline_id = base.benchmark_id
         FROM unnest($2::text[], $3::text[]) AS pair (name, baseline)
         JOIN of_suite ON of_suite.name = pair.name JOIN of_suite base ON base.name = pair.baseline
         WHERE suite_id = $1 AND suite_benchmark.benchmark_id = of_suite.benchmark_id",
    )
    .bind(suite_id)
    .bind(names)
    .bind(baselines)
    .execute(db)
    .await?;
    Ok(Registered::Known(suite_id))
}

/// Makes a benchmark known, and one of a suite.
async fn insert_benchmark(
    db: &mut PgConnection,
    suite_id: i64,
    ordinal: usize,
    benchmark: &BenchmarkIdentity,
) -> sqlx::Result<()> {
    // The description may be reworded; everything else is in the identity.
    sqlx::query(
        "WITH known AS (
            INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
            VALUES ($3, $4, $5, $6, $7, $8)
            ON CONFLICT (identity) DO UPDATE SET description = excluded.description
            RETURNING id)
         INSERT INTO suite_benchmark (suite_id, benchmark_id, ordinal) SELECT $1, id, $2 FROM known
         ON CONFLICT DO NOTHING",
    )
    .bind(suite_id)
    .bind(i32::try_from(ordinal).unwrap_or(i32::MAX))
    .bind(&benchmark.name)
    .bind(&benchmark.description)
    .bind(&benchmark.script_sha256)
    .bind(&benchmark.inputs_sha256)
    .bind(&benchmark.arguments)
    .bind(benchmark.identity())
    .execute(db)
    .await
    .map(drop)
}

/// Makes a suite known that stands for another program's benchmarks, or adds those of them that are new; its key. Such a suite grows
/// with what is imported; what is known is not written again, so that many imports do not wait for each other.
pub async fn extend(db: &mut PgConnection, suite: &SuiteManifest) -> sqlx::Result<i64> {
    let version = i32::try_from(suite.version).unwrap_or(i32::MAX);
    let mut known = find(&mut *db, &suite.name, suite.version).await?;
    if known.is_none() {
        sqlx::query(
            "INSERT INTO suite (name, version, sha256, description) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(&suite.name)
        .bind(version)
        .bind(&suite.sha256)
        .bind(&suite.description)
        .execute(&mut *db)
        .await?;
        known = find(&mut *db, &suite.name, suite.version).await?;
    }
    let suite_id = known.ok_or(sqlx::Error::RowNotFound)?;
    let listed = list_benchmarks(&mut *db, suite_id).await?;
    let listed: HashSet<String> = listed.into_iter().map(|(identity, _)| identity).collect();
    let mut missing: Vec<(usize, &BenchmarkIdentity)> = suite
        .benchmarks
        .iter()
        .enumerate()
        .filter(|(_, one)| !listed.contains(&one.identity()))
        .collect();
    // In one order everywhere: two imports that add the same never wait for each other in a circle.
    missing.sort_by_key(|(_, one)| one.identity());
    for (ordinal, benchmark) in missing {
        insert_benchmark(&mut *db, suite_id, listed.len() + ordinal, benchmark).await?;
    }
    Ok(suite_id)
}

/// The key of each benchmark of a report, in its order.
pub async fn keys_in_order(db: &mut PgConnection, report: &RunReport) -> sqlx::Result<Vec<i64>> {
    let identities = report.benchmarks.iter().map(|one| one.identity.as_str());
    let identities: Vec<&str> = identities.collect();
    let keys: Vec<i64> = sqlx::query_scalar(
        "SELECT benchmark.id FROM unnest($1::text[]) WITH ORDINALITY AS asked (identity, place)
         JOIN benchmark USING (identity) ORDER BY place",
    )
    .bind(&identities)
    .fetch_all(db)
    .await?;
    if keys.len() == identities.len() {
        Ok(keys)
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

/// A suite's key.
pub async fn find(db: impl PgExecutor<'_>, name: &str, version: u32) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM suite WHERE name = $1 AND version = $2")
        .bind(name)
        .bind(i32::try_from(version).unwrap_or(i32::MAX))
        .fetch_optional(db)
        .await
}

/// The `(identity, key)` of each benchmark of a suite.
pub async fn list_benchmarks(
    db: impl PgExecutor<'_>,
    suite_id: i64,
) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT benchmark.identity, benchmark.id FROM suite_benchmark
         JOIN benchmark ON benchmark.id = benchmark_id WHERE suite_id = $1",
    )
    .bind(suite_id)
    .fetch_all(db)
    .await
}

/// A suite by its name.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SuiteName {
    /// Its name.
    pub name: String,
    /// Its newest version.
    pub version: i32,
    /// Benchmarks of that version.
    pub benchmarks: i64,
    /// Runtimes that run it.
    pub runtimes: i64,
    /// What it is.
    pub description: String,
}

/// Every suite.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<SuiteName>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (name) name, version, description,
            (SELECT count(*) FROM suite_benchmark WHERE suite_id = suite.id) AS benchmarks,
            (SELECT count(*) FROM runtime WHERE suite_name = suite.name AND enabled) AS runtimes
         FROM suite ORDER BY name, version DESC",
    )
    .fetch_all(db)
    .await
}

/// One benchmark of one version of a suite.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SuiteBenchmark {
    /// The suite's version.
    pub version: i32,
    /// Hash of the suite's definition.
    pub suite_sha256: String,
    /// When a worker first announced it.
    pub created_at: DateTime<Utc>,
    /// The benchmark.
    pub name: String,
    /// In a sentence.
    pub description: String,
    /// What makes it the same benchmark.
    pub identity: String,
    /// Hash of its script, or of its workload's definition.
    pub script_sha256: String,
    /// The benchmark of the suite that does the same work otherwise.
    pub baseline: Option<String>,
}

/// What the newest version of a suite is, and what it is locked to.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SuiteText {
    /// In a sentence or two.
    pub description: String,
    /// Its packages.
    pub lock: Json<Vec<LockedPackage>>,
}

/// The description and lock of a suite's newest version.
pub async fn find_text(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<SuiteText>> {
    sqlx::query_as(
        "SELECT description, lock FROM suite WHERE name = $1 ORDER BY version DESC LIMIT 1",
    )
    .bind(name)
    .fetch_optional(db)
    .await
}

/// The benchmarks of every version of a suite, the newest version first.
pub async fn list_versions(
    db: impl PgExecutor<'_>,
    name: &str,
) -> sqlx::Result<Vec<SuiteBenchmark>> {
    sqlx::query_as(
        "SELECT suite.version, suite.sha256 AS suite_sha256, suite.created_at, benchmark.name, benchmark.description,
                benchmark.identity, benchmark.script_sha256, base.name AS baseline
         FROM suite JOIN suite_benchmark ON suite_id = suite.id JOIN benchmark ON benchmark.id = benchmark_id
         LEFT JOIN benchmark base ON base.id = baseline_id
         WHERE suite.name = $1 ORDER BY suite.version DESC, ordinal",
    )
    .bind(name)
    .fetch_all(db)
    .await
}

/// A benchmark's metric in the newest run of a suite's newest version on one runtime and host.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SuiteResult {
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// The metric; absent: the whole benchmark is unavailable.
    pub metric: Option<String>,
    /// Where its values come from; absent when it is unavailable.
    pub counter_source: Option<String>,
    /// Median, and its 95 % interval; absent when it is unavailable.
    pub median: Option<f64>,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// How many values the interval is from.
    pub count: Option<i32>,
    /// Why it is unavailable.
    pub reason: Option<String>,
}

/// The newest results of a suite's newest version by runtime, on the host that ran it last: some metrics, each a
/// value or the reason why there is none, and benchmarks that are unavailable.
pub async fn list_results(
    db: impl PgExecutor<'_>,
    name: &str,
    metrics: &[&str],
) -> sqlx::Result<Vec<SuiteResult>> {
    sqlx::query_as(
        "WITH of_suite AS (
            SELECT run.id, run.runtime_id, run.host_id FROM run
            WHERE suite_id = (SELECT id FROM suite WHERE name = $1 ORDER BY version DESC LIMIT 1)),
         newest AS (
            SELECT DISTINCT ON (runtime_id) id, runtime_id, host_id FROM of_suite
            WHERE host_id = (SELECT host_id FROM of_suite ORDER BY id DESC LIMIT 1)
            ORDER BY runtime_id, id DESC),
         cells AS (
            SELECT measurement.run_id, series.benchmark_id, metric, counter_source, median, interval_low AS low, interval_high AS high,
                   sample_count AS count, NULL::text AS reason
            FROM newest JOIN measurement ON measurement.run_id = newest.id JOIN series ON series.id = series_id
            WHERE metric = ANY($2)
            UNION ALL
            SELECT unavailable.run_id, benchmark_id, metric, NULL, NULL, NULL, NULL, NULL, reason
            FROM newest JOIN unavailable ON unavailable.run_id = newest.id WHERE metric IS NULL OR metric = ANY($2))
         SELECT runtime.name AS runtime, host.name AS host, newest.id AS run_id, benchmark.name AS benchmark, metric, counter_source, median,
                low, high, count, reason
         FROM cells JOIN newest ON newest.id = cells.run_id JOIN runtime ON runtime.id = newest.runtime_id
         JOIN host ON host.id = newest.host_id JOIN benchmark ON benchmark.id = cells.benchmark_id
         ORDER BY runtime.ordinal, runtime.name, benchmark.name, metric",
    )
    .bind(name)
    .bind(metrics)
    .fetch_all(db)
    .await
}
