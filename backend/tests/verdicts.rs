//! From runs to verdicts, by the real API and the real tick.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use speedwell_backend::scheduler::detect;
use sqlx::PgPool;
use support::TestApp;
use support::worker::{insert_rows, measure};

/// As many commits as there are times, each measured.
async fn measured(pool: &PgPool, app: &TestApp, seconds: &[f64]) {
    let rows = insert_rows(pool, i32::try_from(seconds.len()).unwrap()).await;
    measure(pool, app, &rows, seconds).await;
}

async fn states(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT state FROM verdict JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE benchmark.name = 'nbody' AND metric = 'wall_time' ORDER BY position",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_step_becomes_a_verdict_and_shows_on_every_page(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    measured(&pool, &app, &[0.100, 0.1001, 0.1, 0.1002, 0.120, 0.1201]).await;
    detect::tick(&app.context).await.unwrap();
    let expected = [
        "too_few",
        "too_few",
        "too_few",
        "unchanged",
        "regressed",
        "unchanged",
    ];
    assert_eq!(states(&pool).await, expected);
    assert_eq!(
        detect::tick(&app.context).await.unwrap(),
        None,
        "nothing new, nothing to do"
    );

    let hash = format!("{:0>40}", "5");
    let (status, page) = app.get(&format!("/commits/{hash}")).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("worse, beyond the noise") && page.contains("+19."),
        "{page}"
    );
    let (_, page) = app.get("/benchmarks/nbody").await;
    assert_eq!(page.matches("class=\"point s0 regressed\"").count(), 1);
    assert_eq!(
        page.matches("<a href=\"/commits/").count(),
        6,
        "every point is a link"
    );
    let (_, answer) = app
        .get("/api/v1/series?benchmark=nbody&metric=wall_time")
        .await;
    let series = serde_json::from_str::<serde_json::Value>(&answer).unwrap()["items"][0]["id"]
        .as_i64()
        .unwrap();
    let (_, answer) = app
        .get(&format!("/api/v1/series/{series}/points?limit=2"))
        .await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["items"][0]["verdict"], "regressed");
    assert_eq!(answer["next"], 4);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn verdicts_can_be_made_again(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    measured(&pool, &app, &[0.1, 0.1, 0.1, 0.1, 0.2]).await;
    detect::tick(&app.context).await.unwrap();
    let first = states(&pool).await;
    sqlx::query("DELETE FROM verdict")
        .execute(&pool)
        .await
        .unwrap();
    assert!(
        speedwell_backend::db::verdicts::forget_all(&pool)
            .await
            .unwrap()
            > 0
    );
    detect::tick(&app.context).await.unwrap();
    assert_eq!(states(&pool).await, first);
    assert_eq!(first.last().unwrap(), "regressed");
}

/// The chart's query is one range scan of one index, also when the table is large.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_series_query_is_one_index_range_scan(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    measured(&pool, &app, &[0.1]).await;
    sqlx::query(
        "INSERT INTO measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count, median,
            mean, mad, min, max, interval_low, interval_high, sample_values, sample_process, sample_warmup)
         SELECT measured_at, series_id, run_id, commit_id, environment_id, number, sample_count, median, mean, mad, min, max,
            interval_low, interval_high, sample_values, sample_process, sample_warmup
         FROM measurement, generate_series(1, 20000) number",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("ANALYZE").execute(&pool).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT * FROM measurement WHERE series_id = (SELECT min(id) FROM series) AND position IS NOT NULL
           AND position < coalesce(NULL::integer, 2147483647) ORDER BY position DESC, id DESC LIMIT 100",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let plan = plan.join("\n");
    // One range scan for each partition, merged: nothing is sorted, nothing else is read.
    assert!(
        plan.contains("Index Scan Backward using measurement_2"),
        "{plan}"
    );
    assert!(
        !plan.contains("->  Sort") && !plan.contains("Seq Scan on measurement"),
        "{plan}"
    );
}
