//! What the processes of a regression's benchmarks did on both sides of it.

use sqlx::PgExecutor;

/// Commits on each side of the range whose runs are asked.
const AROUND: i32 = 20;
/// Rows of an answer.
const MOST: i64 = 500;

/// How many runs of a benchmark had a class, on one side of a regression.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow, serde::Serialize, utoipa::ToSchema)]
pub struct SideClass {
    /// The benchmark.
    pub benchmark: String,
    /// The runtime.
    pub runtime: String,
    /// The host.
    pub host: String,
    /// True: of the commits from the regression's last on; false: up to the commit before it.
    pub after: bool,
    /// The class of a run's processes together.
    pub class: String,
    /// Runs.
    pub runs: i64,
}

/// The classes of the benchmarks of a regression, of the runs of the commits next to its range; by series, side, and the most runs first.
pub async fn list_classes(
    db: impl PgExecutor<'_>,
    regression_id: i64,
) -> sqlx::Result<Vec<SideClass>> {
    sqlx::query_as(
        "WITH wanted AS (
            SELECT DISTINCT series.runtime_id, series.benchmark_id, series.host_id
            FROM change_point JOIN series ON series.id = series_id
            WHERE regression_id = $1 AND state IN ('confirmed', 'suspected'))
         SELECT benchmark.name AS benchmark, runtime.name AS runtime, host.name AS host, place.position >= last.position AS after,
                warmup.class, count(*) AS runs
         FROM regression
         JOIN branch_commit first ON first.branch_id = regression.branch_id AND first.commit_id = before_commit_id
         JOIN branch_commit last ON last.branch_id = regression.branch_id AND last.commit_id = after_commit_id
         JOIN branch_commit place ON place.branch_id = regression.branch_id
              AND (place.position BETWEEN first.position - $2 AND first.position
                   OR place.position BETWEEN last.position AND last.position + $2)
         JOIN run ON run.commit_id = place.commit_id AND superseded_by IS NULL
         JOIN wanted ON wanted.runtime_id = run.runtime_id AND wanted.host_id = run.host_id
         JOIN warmup ON warmup.run_id = run.id AND warmup.benchmark_id = wanted.benchmark_id
         JOIN benchmark ON benchmark.id = wanted.benchmark_id JOIN runtime ON runtime.id = wanted.runtime_id
         JOIN host ON host.id = wanted.host_id
         WHERE regression.id = $1 GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 6 DESC, 5 LIMIT $3",
    )
    .bind(regression_id)
    .bind(AROUND)
    .bind(MOST)
    .fetch_all(db)
    .await
}
