//! Two runtimes that can be compared, and what the API says of them.

use serde_json::Value;
use sqlx::PgPool;

use super::TestApp;
use super::worker::{Rows, insert_rows, measure};

/// A runtime `pypy-main` on the same branch, with another recipe.
pub async fn insert_other_runtime(pool: &PgPool, rows: &Rows) -> Rows {
    let runtime_id: i64 = sqlx::query_scalar(
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, ordinal)
         SELECT 'pypy-main', 'python2', branch_id, $2, 'r2', suite_name, 1 FROM runtime WHERE id = $1 RETURNING id",
    )
    .bind(rows.runtime_id)
    .bind(serde_json::json!({"name": "pypy", "translation": "jit", "family": "pypy", "sha256": "r2"}))
    .fetch_one(pool)
    .await
    .unwrap();
    Rows {
        runtime_id,
        commits: rows.commits.clone(),
    }
}

pub async fn tag(pool: &PgPool, name: &str, commit: i64) {
    sqlx::query("INSERT INTO tag (repository_id, name, commit_hash) SELECT repository_id, $1, hash FROM commit WHERE id = $2")
        .bind(name)
        .bind(commit)
        .execute(pool)
        .await
        .unwrap();
}

/// CPython at two tagged commits and its head, PyPy at the head: 0.1 s, 0.1 s, 0.1 s and 0.02 s for nbody.
pub async fn two_runtimes(pool: &PgPool, app: &TestApp) -> (Rows, Rows) {
    let rows = insert_rows(pool, 3).await;
    measure(pool, app, &rows, &[0.1, 0.1, 0.1]).await;
    let other = insert_other_runtime(pool, &rows).await;
    super::worker::measure_places(pool, app, &other, &[(2, 0.02)]).await;
    tag(pool, "v1.0", rows.commits[0]).await;
    tag(pool, "v1.1", rows.commits[1]).await;
    (rows, other)
}

pub const PAIR: &str = "a=cpython-main&b=pypy-main";

pub async fn json(app: &TestApp, query: &str) -> Value {
    let (status, text) = app.get(&format!("/api/v1/compare?{query}")).await;
    assert_eq!(status, 200, "{text}");
    assert!(!text.contains("NaN"), "{text}");
    serde_json::from_str(&text).unwrap()
}

pub fn row<'a>(answer: &'a Value, benchmark: &str) -> &'a Value {
    let rows = answer["benchmarks"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == benchmark).unwrap()
}
