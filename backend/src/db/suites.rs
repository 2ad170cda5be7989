//! Suites and benchmarks. A suite is immutable: a second definition under the same name and version is refused.

use speedwell_wire::SuiteManifest;
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
        "INSERT INTO suite (name, version, sha256) VALUES ($1, $2, $3)
         ON CONFLICT (name, version) DO NOTHING RETURNING id",
    )
    .bind(&suite.name)
    .bind(version)
    .bind(&suite.sha256)
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
        // The description may be reworded; everything else is in the identity.
        let benchmark_id: i64 = sqlx::query_scalar(
            "INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (identity) DO UPDATE SET description = excluded.description
             RETURNING id",
        )
        .bind(&benchmark.name)
        .bind(&benchmark.description)
        .bind(&benchmark.script_sha256)
        .bind(&benchmark.inputs_sha256)
        .bind(&benchmark.arguments)
        .bind(benchmark.identity())
        .fetch_one(&mut *db)
        .await?;
        sqlx::query(
            "INSERT INTO suite_benchmark (suite_id, benchmark_id, ordinal) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(suite_id)
        .bind(benchmark_id)
        .bind(i32::try_from(ordinal).unwrap_or(i32::MAX))
        .execute(&mut *db)
        .await?;
    }
    Ok(Registered::Known(suite_id))
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
