//! What a search by hand names, and whether it is there.

use sqlx::PgExecutor;

/// How many commits lie after one and up to another on a runtime's branch; less than one: the other way round. `None`: one of them is
/// not on it.
pub async fn count_between(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    before_commit_id: i64,
    after_commit_id: i64,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT (last.position - first.position)::bigint FROM runtime
         JOIN branch_commit first ON first.branch_id = runtime.branch_id AND first.commit_id = $2
         JOIN branch_commit last ON last.branch_id = runtime.branch_id AND last.commit_id = $3 WHERE runtime.id = $1",
    )
    .bind(runtime_id)
    .bind(before_commit_id)
    .bind(after_commit_id)
    .fetch_optional(db)
    .await
}

/// Whether the newest version of a runtime's suite holds a benchmark.
pub async fn is_in_suite(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    benchmark: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM suite_benchmark JOIN benchmark ON benchmark.id = benchmark_id AND benchmark.name = $2
         WHERE suite_id = (SELECT suite.id FROM suite JOIN runtime ON runtime.suite_name = suite.name
                           WHERE runtime.id = $1 ORDER BY version DESC LIMIT 1))",
    )
    .bind(runtime_id)
    .bind(benchmark)
    .fetch_one(db)
    .await
}

/// A host of ours by its name, or the one that measured a runtime last.
pub async fn find_host(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    name: Option<&str>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "SELECT host.id FROM host LEFT JOIN LATERAL (
            SELECT id FROM run WHERE run.host_id = host.id AND run.runtime_id = $1 ORDER BY id DESC LIMIT 1) newest ON true
         WHERE NOT host.imported AND (host.name = $2 OR ($2::text IS NULL AND newest.id IS NOT NULL)) ORDER BY newest.id DESC NULLS LAST LIMIT 1",
    )
    .bind(runtime_id)
    .bind(name)
    .fetch_optional(db)
    .await
}

/// The deviation between runs of a series of the newest version of a benchmark, of logarithms, where it was measured.
pub async fn find_noise(
    db: impl PgExecutor<'_>,
    runtime_id: i64,
    host_id: i64,
    benchmark: &str,
    metric: &str,
    counter_source: &str,
) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "SELECT coalesce(run_deviation, process_deviation) FROM noise_floor JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id
         WHERE runtime_id = $1 AND host_id = $2 AND benchmark.name = $3 AND metric = $4 AND counter_source = $5
         ORDER BY benchmark.id DESC LIMIT 1",
    )
    .bind(runtime_id)
    .bind(host_id)
    .bind(benchmark)
    .bind(metric)
    .bind(counter_source)
    .fetch_optional(db)
    .await
    .map(Option::flatten)
}
