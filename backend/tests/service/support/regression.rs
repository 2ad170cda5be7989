//! The rows of a regression, as the detector, the group tick and the bisection write them.

use speedwell_backend::db::regressions::{insert_event, transition};
use speedwell_backend::domain::regression::{EventKind, Transition};
use sqlx::PgPool;

use super::worker::Rows;

/// Inserts a suspected regression over the commits `(before, after]`, with a confirmed change point of nbody's wall time in each
/// runtime's series; needs measurements. Returns its key.
pub async fn insert(pool: &PgPool, rows: &Rows, before: usize, after: usize) -> i64 {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
         SELECT branch_id, false, 'suspected', $2, $3 FROM runtime WHERE id = $1 RETURNING id",
    )
    .bind(rows.runtime_id)
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline,
            value, change, change_low, change_high, noise, chance, placed, points_after, state, detector)
         SELECT series.id, $1, $2, $3, $3, false, 0.1, 0.1052, 0.052, 0.048, 0.056, 0.001, 1e-6, 0.99, 3, 'confirmed', 'test'
         FROM series JOIN benchmark ON benchmark.id = benchmark_id
         WHERE benchmark.name = 'nbody' AND metric = 'wall_time'
         ON CONFLICT (series_id, commit_id) DO NOTHING",
    )
    .bind(id)
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .execute(pool)
    .await
    .unwrap();
    id
}

/// Takes steps of its life.
pub async fn go(pool: &PgPool, id: i64, steps: &[Transition]) {
    let mut connection = pool.acquire().await.unwrap();
    for step in steps {
        assert!(
            transition(&mut connection, id, step, "speedwell", "")
                .await
                .unwrap(),
            "{step:?}"
        );
    }
}

/// Notes an explanation.
pub async fn explain(pool: &PgPool, id: i64, words: &str) {
    insert_event(pool, id, "speedwell", EventKind::Explained, words)
        .await
        .unwrap();
}
