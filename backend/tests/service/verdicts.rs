//! From runs to verdicts, by the real API and the real tick.

use speedwell_backend::db::{commits, enqueue, repetitions};
use speedwell_backend::scheduler::{detect, noise, trace};
use speedwell_wire::{HostFlag, HostSeverity};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, confirm_all, insert_job, insert_rows, measure};

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

/// Points of a chart that lead to their commits.
fn linked_points(page: &str) -> usize {
    let links = page.split("<a href=\"/commits/").skip(1);
    let points = links.filter(|rest| rest[40..].starts_with("\"><circle"));
    points.count()
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
    let (_, page) = app.get(&format!("/commits/{hash}")).await;
    assert!(
        page.contains("both sides are to be measured again first"),
        "{page}"
    );
    confirm_all(&pool).await;
    let (status, page) = app.get(&format!("/commits/{hash}")).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("worse, beyond the noise") && page.contains("+19."),
        "{page}"
    );
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/timeline?benchmark=nbody&metric=wall_time").await;
    assert_eq!(page.matches("class=\"point s0 regressed\"").count(), 1);
    assert_eq!(linked_points(&page), 6, "every point is a link");
    assert_eq!(page.matches("<a href=\"/commits/").count(), 6 + 1);
    assert!(
        page.contains("class=\"change regressed ")
            && page.contains("source software, detector segments-"),
        "and the step is marked, with what judges them: {page}"
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

/// Every repetition: the run that it repeats, the host, its state and which one in a row it is.
async fn repeats(pool: &PgPool) -> Vec<(i64, String, String, i32)> {
    sqlx::query_as(
        "SELECT repeats_run_id, host.name, state, repetition FROM job JOIN host ON host.id = host_id
         WHERE reason = 'repetition' ORDER BY job.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Four commits measured well, then the fifth slowly while the host throttled; the marked run.
async fn marked(pool: &PgPool, app: &TestApp) -> (Rows, i64) {
    let rows = insert_rows(pool, 6).await;
    measure(pool, app, &rows, &[0.1, 0.1001, 0.1, 0.1002]).await;
    let worker = TestWorker::register(app, "secret").await;
    insert_job(pool, &rows, 4, 100).await;
    let (_, run) = worker.deliver(0.13, &["throttled", "busy"]).await;
    (rows, run)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_marked_run_is_repeated_and_its_repetition_counts_instead(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, run) = marked(&pool, &app).await;
    let waiting = enqueue::count_queued(&pool, rows.runtime_id, "local").await;
    assert_eq!(
        waiting.unwrap(),
        0,
        "a repetition takes no room of the policy's"
    );
    let queued = |state: &str| (run, "lab-1".to_owned(), state.to_owned(), 1);
    assert_eq!(repeats(&pool).await, [queued("queued")]);
    assert_eq!(
        repetitions::insert_job(&pool, run).await.unwrap(),
        None,
        "a run is repeated once"
    );
    detect::tick(&app.context).await.unwrap();
    assert_eq!(
        states(&pool).await[4],
        "regressed",
        "all that is known so far"
    );
    for (path, words) in [
        (
            format!("/runs/{run}"),
            "<a href=\"/jobs/6\">Job 6</a> repeats it",
        ),
        ("/jobs/6".to_owned(), "Repetition of <a href=\"/runs/5\">"),
        ("/queue".to_owned(), "repetition of <a href=\"/runs/5\">"),
        ("/jobs/5".to_owned(), "bad conditions; job 6 repeats it"),
    ] {
        let (_, page) = app.get(&path).await;
        assert!(page.contains(words), "{path}: {page}");
    }

    let worker = TestWorker::register(&app, "secret").await;
    let (_, good) = worker.deliver(0.1001, &[]).await;
    assert_eq!(repeats(&pool).await, [queued("succeeded")]);
    detect::tick(&app.context).await.unwrap();
    assert_eq!(states(&pool).await[4], "unchanged");
    let (_, page) = app.get(&format!("/runs/{run}")).await;
    let words =
        format!("Repeated by <a href=\"/runs/{good}\">run {good}</a>, which counts in its place");
    assert!(page.contains(&words), "{page}");
    let (_, page) = app.get(&format!("/runs/{good}")).await;
    assert!(
        page.contains("Repetition of <a href=\"/runs/5\">run 5</a>"),
        "{page}"
    );
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/timeline?benchmark=nbody&metric=wall_time").await;
    assert_eq!(linked_points(&page), 5);
    assert!(!page.contains("href=\"/runs/5\""), "{page}");
    let (_, answer) = app.get(&format!("/api/v1/runs/{run}")).await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["run"]["superseded_by"], good);
    // Neither the noise floor nor a history that is written anew brings it back.
    noise::tick(&app.context).await.unwrap();
    let counted: i32 = sqlx::query_scalar("SELECT max(process_count) FROM noise_floor")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(counted, 10, "two processes of each of five runs");
    let mut connection = pool.acquire().await.unwrap();
    commits::cut_tail(&mut connection, 1, 4).await.unwrap();
    let hashes = [format!("{:0>40}", "5")];
    commits::append(&mut connection, 1, 1, 4, &hashes)
        .await
        .unwrap();
    let placed: Vec<i64> =
        sqlx::query_scalar("SELECT DISTINCT run_id FROM measurement WHERE position = 4")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(placed, [good]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn repetitions_end(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, first) = marked(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    // Bad again: the policy allows one repetition, so both count.
    let (_, second) = worker.deliver(0.1001, &["busy"]).await;
    assert_eq!(repeats(&pool).await.len(), 1);
    let (_, page) = app.get(&format!("/runs/{second}")).await;
    assert!(page.contains("It is not repeated"), "{page}");
    let counting: i64 = sqlx::query_scalar("SELECT count(*) FROM measurement WHERE position = 4")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(counting, 4, "two benchmarks of two runs");
    // A policy that allows two: the good one stands in for both before it.
    sqlx::query("UPDATE runtime SET repeat_marked = 2")
        .execute(&pool)
        .await
        .unwrap();
    let third = repetitions::insert_job(&pool, second).await.unwrap();
    assert!(third.is_some());
    let (_, good) = worker.deliver(0.1, &[]).await;
    let superseded: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, superseded_by FROM run WHERE superseded_by IS NOT NULL ORDER BY id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(superseded, [(first, good), (second, good)]);

    // A policy that allows none, and a mark that the host carries always.
    sqlx::query("UPDATE runtime SET repeat_marked = 0")
        .execute(&pool)
        .await
        .unwrap();
    for _ in 0..3 {
        insert_job(&pool, &rows, 5, 100).await;
        worker.deliver(0.1, &["stolen"]).await;
    }
    assert_eq!(repeats(&pool).await.len(), 2);
    sqlx::query("UPDATE runtime SET repeat_marked = 1")
        .execute(&pool)
        .await
        .unwrap();
    let job = insert_job(&pool, &rows, 5, 100).await;
    worker.deliver(0.1, &["stolen"]).await;
    assert_eq!(repeats(&pool).await.len(), 2, "the host is always so");
    let (_, page) = app.get(&format!("/jobs/{job}")).await;
    assert!(
        page.contains("as the runs before it; not repeated"),
        "{page}"
    );
    insert_job(&pool, &rows, 5, 100).await;
    worker.deliver(0.1, &["stolen", "throttled"]).await;
    assert_eq!(repeats(&pool).await.len(), 3, "throttling is new");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_run_and_its_repetition_are_stored_together_or_not_at_all(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    insert_job(&pool, &rows, 0, 100).await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    let mut report = worker.report(&job, &artefact, 0.1);
    report.host_flags = vec![HostFlag::meanwhile(
        "throttled",
        HostSeverity::Unfit,
        "3 times".to_owned(),
        "never",
    )];
    // The last step of the transaction fails: nothing of it stays.
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a crash'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON job_event FOR EACH ROW WHEN (NEW.message LIKE '%repeats it') EXECUTE FUNCTION refuse()",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    assert_eq!(worker.upload(job.job_id, &report).await.0, 500);
    let counts = async || -> (i64, i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM job WHERE reason = 'repetition'),
                    (SELECT count(*) FROM job WHERE state = 'running')",
        )
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    assert_eq!(counts().await, (0, 0, 1));
    sqlx::query("DROP TRIGGER refuse ON job_event")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
    assert_eq!(counts().await, (1, 1, 0));
}
