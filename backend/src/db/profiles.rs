//! Profiles: where the instructions or the time of a benchmark went in a run.

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};

use super::builds::insert_artefact;

/// A profile to be stored; its stacks are in the store already.
#[derive(Debug, Clone)]
pub struct NewProfile<'a> {
    /// The benchmark's key.
    pub benchmark_id: i64,
    /// What made it.
    pub tool: &'a str,
    /// Where its counts come from.
    pub source: &'a str,
    /// Instructions of one loop, or samples.
    pub total: f64,
    /// The same by component.
    pub components: Vec<(String, f64)>,
    /// Version of the mapping from functions to components.
    pub mapping: &'a str,
    /// Address of its stacks.
    pub artefact: String,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Inserts a run's profiles.
pub async fn insert(
    db: &mut PgConnection,
    run_id: i64,
    profiles: &[NewProfile<'_>],
) -> sqlx::Result<()> {
    for one in profiles {
        insert_artefact(&mut *db, &one.artefact, one.bytes, "profile").await?;
        sqlx::query(
            "INSERT INTO profile (run_id, benchmark_id, tool, source, total, components, mapping, artefact)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(run_id)
        .bind(one.benchmark_id)
        .bind(one.tool)
        .bind(one.source)
        .bind(one.total)
        .bind(Json(&one.components))
        .bind(one.mapping)
        .bind(&one.artefact)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// A profile with the run that it belongs to.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Profile {
    /// The run.
    pub run_id: i64,
    /// The benchmark.
    pub benchmark: String,
    /// The benchmark's key.
    pub benchmark_id: i64,
    /// The runtime.
    pub runtime: String,
    /// The commit.
    pub hash: String,
    /// Its subject.
    pub subject: String,
    /// The host.
    pub host: String,
    /// What made it.
    pub tool: String,
    /// Where its counts come from.
    pub source: String,
    /// Instructions of one loop, or samples.
    pub total: f64,
    /// The same by component, the largest first.
    pub components: Json<Vec<(String, f64)>>,
    /// Version of the mapping from functions to components.
    pub mapping: String,
    /// Address of its stacks in the store.
    pub artefact: String,
}

/// The columns of [`Profile`] with a condition.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT run_id, benchmark.name AS benchmark, benchmark_id, runtime.name AS runtime, commit.hash, commit.subject,
                    host.name AS host, tool, source, total, components, mapping, artefact
             FROM profile JOIN benchmark ON benchmark.id = benchmark_id JOIN run ON run.id = run_id
             JOIN runtime ON runtime.id = run.runtime_id JOIN commit ON commit.id = run.commit_id
             JOIN host ON host.id = run.host_id ",
            $condition
        )
    };
}

/// The profile of a benchmark in a run.
pub async fn find(
    db: impl PgExecutor<'_>,
    run_id: i64,
    benchmark: &str,
) -> sqlx::Result<Option<Profile>> {
    sqlx::query_as(select!(
        "WHERE run_id = $1 AND benchmark.name = $2 ORDER BY tool LIMIT 1"
    ))
    .bind(run_id)
    .bind(benchmark)
    .fetch_optional(db)
    .await
}

/// Names of the benchmarks that a run has profiles of.
pub async fn list_benchmarks(db: impl PgExecutor<'_>, run_id: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT DISTINCT name FROM profile JOIN benchmark ON benchmark.id = benchmark_id WHERE run_id = $1 ORDER BY 1",
    )
    .bind(run_id)
    .fetch_all(db)
    .await
}

/// The newest profiles of the same benchmark, by the same tool and from the same source, of other runs.
pub async fn list_others(
    db: impl PgExecutor<'_>,
    of: &Profile,
    limit: i64,
) -> sqlx::Result<Vec<Profile>> {
    sqlx::query_as(select!(
        "WHERE benchmark_id = $1 AND tool = $2 AND source = $3 AND run_id <> $4 ORDER BY run_id DESC LIMIT $5"
    ))
    .bind(of.benchmark_id)
    .bind(&of.tool)
    .bind(&of.source)
    .bind(of.run_id)
    .bind(limit)
    .fetch_all(db)
    .await
}
