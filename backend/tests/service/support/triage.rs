//! Regressions as the detector and the loop write them, and people who decide about them.

use serde_json::Value;
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::tokens::{self, NewToken};
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;

use super::TestApp;
use super::worker::{Rows, insert_rows, measure};

/// A regression in a state, in the range of two commits (by index); its change points come from [`insert_point`].
pub async fn insert_regression(
    pool: &PgPool,
    rows: &Rows,
    state: &str,
    before: usize,
    after: usize,
) -> i64 {
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id, culprit_commit_id)
         SELECT branch_id, false, $2, $3, $4, CASE WHEN $2 IN ('found', 'acknowledged') THEN $4 END
         FROM runtime WHERE id = $1 RETURNING id",
    )
    .bind(rows.runtime_id)
    .bind(state)
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .fetch_one(pool)
    .await
    .unwrap();
    let kinds: &[&str] = if state == "suspected" {
        &["suspected"]
    } else {
        &["suspected", "confirmed"]
    };
    for kind in kinds {
        sqlx::query("INSERT INTO regression_event (regression_id, actor, kind, message) VALUES ($1, 'speedwell', $2, 'seen')")
            .bind(id)
            .bind(kind)
            .execute(pool)
            .await
            .unwrap();
    }
    id
}

/// A change point of a regression in the wall time of a benchmark that has been measured; its key.
pub async fn insert_point(
    pool: &PgPool,
    rows: &Rows,
    regression_id: i64,
    benchmark: &str,
    (before, after): (usize, usize),
    change: f64,
) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline,
            value, change, change_low, change_high, noise, chance, placed, points_after, state, detector)
         SELECT series.id, $1, $3, $4, $4, false, 0.1, 0.1 * (1 + $5), $5, $5 - 0.01, $5 + 0.01, 0.005, 1e-9, 0.9, 3,
                CASE WHEN regression.state = 'suspected' THEN 'suspected' ELSE 'confirmed' END, 'test 1'
         FROM series JOIN benchmark ON benchmark.id = benchmark_id JOIN regression ON regression.id = $1
         WHERE benchmark.name = $2 AND metric = 'wall_time' RETURNING id",
    )
    .bind(regression_id)
    .bind(benchmark)
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .bind(change)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Makes a token with a role; the token.
pub async fn insert_token(pool: &PgPool, name: &str, role: Role) -> String {
    let token = format!("token-of-{name}");
    let hash = sha256_hex(token.as_bytes());
    let mut connection = pool.acquire().await.unwrap();
    let new = NewToken::of_person(name, role, &hash);
    tokens::upsert(&mut connection, &new).await.unwrap();
    token
}

/// The cookie of somebody who has signed in with a token, as `name=value`.
pub async fn cookie(app: &TestApp, token: &str) -> String {
    let id = format!("session-of-{token}");
    sqlx::query(
        "INSERT INTO session (sha256, actor, token_id, browser, expires_at)
         SELECT $1, owner, id, 'a test', now() + interval '1 day' FROM token WHERE sha256 = $2 ON CONFLICT DO NOTHING",
    )
    .bind(sha256_hex(id.as_bytes()))
    .bind(sha256_hex(token.as_bytes()))
    .execute(&app.context.pool)
    .await
    .unwrap();
    format!("speedwell-session={id}")
}

/// Sends a form as a browser on our own pages does; status and text of the page that it leads to.
pub async fn submit(
    app: &TestApp,
    token: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> (u16, String) {
    let body = fields
        .iter()
        .map(|(key, value)| format!("{key}={}", speedwell_backend::web::format::encode(value)))
        .collect::<Vec<_>>()
        .join("&");
    let response = app
        .client
        .post(format!("{}{path}", app.address))
        .header("cookie", cookie(app, token).await)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// State and reason of a regression.
pub async fn state_of(pool: &PgPool, id: i64) -> (String, Option<String>) {
    sqlx::query_as("SELECT state, invalid_reason FROM regression WHERE id = $1")
        .bind(id)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// `kind actor: message` of a regression's timeline.
pub async fn timeline_of(pool: &PgPool, id: i64) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s: %s', kind, actor, message) FROM regression_event WHERE regression_id = $1 ORDER BY id",
    )
    .bind(id)
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Ten commits, all measured: 10 % slower from the seventh on.
pub async fn lab(pool: &PgPool) -> (TestApp, Rows) {
    let app = TestApp::start(pool).await;
    let rows = insert_rows(pool, 10).await;
    let seconds = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.11, 0.11, 0.11, 0.11];
    measure(pool, &app, &rows, &seconds).await;
    (app, rows)
}

/// Sends a decision to the API; the status and the answer.
pub async fn act(app: &TestApp, token: &str, id: i64, body: Value) -> (u16, Value) {
    let request = app
        .client
        .post(format!("{}/api/v1/regressions/{id}/actions", app.address))
        .bearer_auth(token)
        .json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}
