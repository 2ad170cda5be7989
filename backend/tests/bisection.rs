//! From a confirmed regression to its commit, by a worker's runs and the real tick.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use speedwell_backend::scheduler::{bisect, enqueue};
use sqlx::PgPool;
use support::TestApp;
use support::worker::{Rows, TestWorker, insert_rows, measure_places};

/// What a commit takes, by its place and the number of the run.
type Truth = fn(usize, usize) -> f64;

/// A confirmed regression between two measured places of sixteen commits, 12 % slower.
async fn regressed(pool: &PgPool, app: &TestApp, before: usize, after: usize) -> Rows {
    let rows = insert_rows(pool, 16).await;
    measure_places(pool, app, &rows, &[(before, 0.1), (after, 0.112)]).await;
    let regression: i64 = sqlx::query_scalar(
        "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
         SELECT id, false, 'confirmed', $1, $2 FROM branch RETURNING id",
    )
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline, value,
                change, change_low, change_high, noise, chance, placed, points_after, state, detector)
         SELECT series.id, $1, $2, $3, $3, false, 0.1, 0.112, 0.12, 0.11, 0.13, 0.004, 1e-9, 1, 3, 'confirmed', 'test'
         FROM series JOIN benchmark ON benchmark.id = benchmark_id WHERE name = 'nbody' AND metric = 'wall_time'",
    )
    .bind(regression)
    .bind(rows.commits[before])
    .bind(rows.commits[after])
    .execute(pool)
    .await
    .unwrap();
    rows
}

/// Ticks (twice at each point: a repeated pass changes nothing) and works until nothing is asked for; the places that were measured.
async fn search(
    app: &TestApp,
    worker: &TestWorker<'_>,
    truth: Truth,
    fails: &[usize],
) -> Vec<usize> {
    let mut measured = Vec::new();
    loop {
        bisect::tick(&app.context).await.unwrap();
        bisect::tick(&app.context).await.unwrap();
        let Some(job) = worker.claim().await else {
            return measured;
        };
        let place = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
        measured.push(place);
        assert!(measured.len() < 60, "it does not end: {measured:?}");
        if fails.contains(&place) {
            worker.fail(&job).await;
            continue;
        }
        let artefact = worker.build(&job, b"build").await;
        let report = worker.report(&job, &artefact, truth(place, measured.len()));
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
    }
}

async fn outcome(pool: &PgPool) -> (String, Option<i64>, String, String) {
    sqlx::query_as(
        "SELECT bisection.state, regression.culprit_commit_id, regression.state, message
         FROM bisection JOIN regression ON regression.id = regression_id",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_commit_is_found_by_halves(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = regressed(&pool, &app, 0, 15).await;
    let worker = TestWorker::register(&app, "secret").await;
    let measured = search(
        &app,
        &worker,
        |place, _| if place >= 11 { 0.112 } else { 0.1 },
        &[],
    )
    .await;
    let (state, culprit, regression, message) = outcome(&pool).await;
    assert_eq!(
        (state.as_str(), regression.as_str()),
        ("found", "found"),
        "{message}"
    );
    assert_eq!(culprit, Some(rows.commits[11]), "{message}");
    assert!(message.contains("Change 11"), "{message}");
    assert!(measured.len() <= 14, "{measured:?}");
    let (range, events): (Vec<i64>, Vec<String>) = (
        sqlx::query_scalar(
            "SELECT unnest(ARRAY[before_commit_id, after_commit_id]) FROM regression",
        )
        .fetch_all(&pool)
        .await
        .unwrap(),
        sqlx::query_scalar("SELECT kind FROM regression_event ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap(),
    );
    assert_eq!(range, [rows.commits[10], rows.commits[11]]);
    assert_eq!(events, ["bisecting", "found"]);
    // A search that is over is not begun again, and what it measured in part is no whole run.
    bisect::tick(&app.context).await.unwrap();
    assert!(worker.claim().await.is_none());
    enqueue_settles_whole_runs_only(&pool, &rows, &measured).await;
    assert!(enqueue::tick(&app.context).await.is_ok());
}

async fn enqueue_settles_whole_runs_only(pool: &PgPool, rows: &Rows, measured: &[usize]) {
    let candidates =
        speedwell_backend::db::enqueue::list_candidates(pool, rows.runtime_id, "local", None)
            .await
            .unwrap();
    for place in measured.iter().filter(|place| ![0, 15].contains(*place)) {
        assert!(!candidates[*place].settled, "{place}");
    }
    assert!(candidates[0].settled && candidates[15].settled);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn one_wrong_run_does_not_lead_astray(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = regressed(&pool, &app, 0, 15).await;
    let worker = TestWorker::register(&app, "secret").await;
    // Whatever is measured fifth lies on the wrong side.
    let truth: Truth = |place, turn| {
        if (place >= 5) != (turn == 5) {
            0.112
        } else {
            0.1
        }
    };
    let measured = search(&app, &worker, truth, &[]).await;
    let (state, culprit, _, message) = outcome(&pool).await;
    assert_eq!(
        (state.as_str(), culprit),
        ("found", Some(rows.commits[5])),
        "{message} {measured:?}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_cannot_matter_or_does_not_build_is_skipped_and_said(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = regressed(&pool, &app, 0, 15).await;
    sqlx::query(
        "UPDATE commit SET touched_paths = '{Doc/a.rst}', touched_count = 1 WHERE id = ANY($1)",
    )
    .bind(
        [1, 2, 3, 6, 7]
            .map(|place: usize| rows.commits[place])
            .to_vec(),
    )
    .execute(&pool)
    .await
    .unwrap();
    let worker = TestWorker::register(&app, "secret").await;
    let truth: Truth = |place, _| if place >= 9 { 0.112 } else { 0.1 };
    let measured = search(&app, &worker, truth, &[8, 9]).await;
    assert!(
        measured
            .iter()
            .all(|place| ![1, 2, 3, 6, 7].contains(place)),
        "{measured:?}"
    );
    let skipped: Vec<(i32, String)> = sqlx::query_as(
        "SELECT ordinal, skipped FROM bisection_commit WHERE skipped IS NOT NULL ORDER BY ordinal",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let said: Vec<&str> = skipped.iter().map(|one| one.1.as_str()).collect();
    assert_eq!(said[..5], ["cannot_matter"; 5]);
    assert!(
        said.contains(&"not_measurable") || said.contains(&"does_not_build"),
        "{skipped:?}"
    );
    // The change came with 9 or a neighbour that does not build either: nobody can tell, and nobody pretends to.
    let (state, culprit, regression, message) = outcome(&pool).await;
    assert_eq!(
        (state.as_str(), culprit, regression.as_str()),
        ("found", None, "confirmed"),
        "{message}"
    );
    assert!(message.contains("cannot be told apart"), "{message}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn several_changes_of_one_range_are_told_each(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = regressed(&pool, &app, 0, 15).await;
    let worker = TestWorker::register(&app, "secret").await;
    let truth: Truth = |place, _| match place {
        0..4 => 0.1,
        4..10 => 0.104,
        _ => 0.112,
    };
    let measured = search(&app, &worker, truth, &[]).await;
    let (state, culprit, _, message) = outcome(&pool).await;
    assert_eq!(
        (state.as_str(), culprit),
        ("several", Some(rows.commits[10])),
        "{message} {measured:?}"
    );
    let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM bisection_change")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(changes, 2);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn ends_that_do_not_differ_end_the_search_and_so_does_triage(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    regressed(&pool, &app, 0, 15).await;
    sqlx::query("UPDATE change_point SET noise = 0.02")
        .execute(&pool)
        .await
        .unwrap();
    let worker = TestWorker::register(&app, "secret").await;
    search(&app, &worker, |_, turn| 0.1 + 0.0001 * turn as f64, &[]).await;
    let (state, _, regression, message) = outcome(&pool).await;
    assert_eq!(
        (state.as_str(), regression.as_str()),
        ("exhausted", "confirmed"),
        "{message}"
    );

    sqlx::query("DELETE FROM job WHERE bisection_id IS NOT NULL AND state <> 'succeeded'")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE bisection SET state = 'searching', finished_at = NULL")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE regression SET state = 'accepted'")
        .execute(&pool)
        .await
        .unwrap();
    bisect::tick(&app.context).await.unwrap();
    assert_eq!(outcome(&pool).await.0, "cancelled");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_range_of_one_commit_needs_no_search(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = regressed(&pool, &app, 6, 7).await;
    bisect::tick(&app.context).await.unwrap();
    let (state, culprit): (String, Option<i64>) =
        sqlx::query_as("SELECT state, culprit_commit_id FROM regression")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((state.as_str(), culprit), ("found", Some(rows.commits[7])));
}
