//! From a run's iterations to classes and derived times, by the real API and the real tick.

use serde_json::Value;
use speedwell_backend::db::warmup as queries;
use speedwell_backend::scheduler::{trace, warmup};
use speedwell_wire::Sample;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{TestWorker, insert_job, insert_rows};

/// One process: `slow` iterations of three seconds, then steady ones of one second.
fn process(number: u32, slow: usize) -> impl Iterator<Item = Sample> {
    (0..60).map(move |index| Sample {
        process: number,
        warmup: index < 30,
        value: if index < slow { 3.0 } else { 1.0 } + (index % 7) as f64 * 1e-3,
    })
}

/// Uploads a run in which one benchmark has these iterations, of four loops each.
async fn upload(pool: &PgPool, app: &TestApp, samples: Vec<Sample>) {
    let rows = insert_rows(pool, 1).await;
    insert_job(pool, &rows, 0, 1).await;
    let worker = TestWorker::register(app, "secret").await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    let mut report = worker.report(&job, &artefact, 0.1);
    report.benchmarks[0].loops = 4;
    report.benchmarks[0].measurements[0].samples = samples;
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
}

async fn derived(pool: &PgPool) -> Vec<(String, String, Vec<f64>)> {
    sqlx::query_as(
        "SELECT benchmark.name, metric, sample_values FROM measurement JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id WHERE metric LIKE '%y_time' OR metric LIKE '%p_time'
         ORDER BY metric, measurement.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn iterations_become_classes_and_times_once(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    upload(&pool, &app, process(0, 10).chain(process(1, 20)).collect()).await;

    assert!(warmup::tick(&app.context).await.unwrap().is_some());
    assert!(
        warmup::tick(&app.context).await.unwrap().is_none(),
        "it is done once"
    );
    let text = app.get("/api/v1/runs/1").await.1;
    let run: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        run["warmup"].as_array().unwrap().len(),
        1,
        "ten samples say nothing"
    );
    assert_eq!(run["warmup"][0]["class"], "warmup");
    assert_eq!(run["warmup"][0]["steady_from"], serde_json::json!([10, 20]));
    let found = derived(&pool).await;
    let metrics: Vec<&str> = found.iter().map(|row| row.1.as_str()).collect();
    assert_eq!(metrics, ["steady_time", "warmup_time"]);
    assert!((found[0].2[0] - 1.003).abs() < 0.002, "{found:?}");
    // Four loops of ten and of twenty slow iterations.
    assert!(
        (found[1].2[0] - 120.1).abs() < 0.2 && (found[1].2[1] - 240.2).abs() < 0.3,
        "{found:?}"
    );
    let page = app.get("/runs/1").await.1;
    assert!(
        page.contains("warms up")
            && page.contains("process 1: warms up, steady after 20 iterations"),
        "{page}"
    );
    trace::tick(&app.context).await.unwrap();
    let (status, page) = app
        .get("/timeline?benchmark=nbody&metric=steady_time")
        .await;
    assert!(
        status == 200 && page.contains("<svg class=\"chart\"") && page.contains("1.003\u{a0}s"),
        "{page}"
    );

    // Made again: the same, and not twice.
    assert_eq!(queries::forget_all(&pool).await.unwrap(), 1);
    warmup::tick(&app.context).await.unwrap();
    assert_eq!(derived(&pool).await, found);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn without_a_steady_state_there_are_no_times(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    upload(&pool, &app, process(0, 55).chain(process(1, 0)).collect()).await;
    warmup::tick(&app.context).await.unwrap();
    assert!(derived(&pool).await.is_empty());
    let page = app.get("/runs/1").await.1;
    assert!(
        page.contains("inconsistent") && page.contains("process 0: no steady state"),
        "{page}"
    );
}
