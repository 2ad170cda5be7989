//! Whole searches: a confirmed regression, the real tick, and a worker that measures by the real API.

use speedwell_backend::db::enqueue;
use speedwell_backend::domain::role::Role;
use speedwell_backend::domain::telling::is_told;
use speedwell_backend::scheduler::bisect;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::triage::insert_token;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows, measure};

/// Measures both ends of the rows' commits and writes the confirmed regression that a change between them is.
pub(crate) async fn regress(
    pool: &PgPool,
    worker: &TestWorker<'_>,
    rows: &Rows,
    levels: (f64, f64),
) -> i64 {
    let last = rows.commits.len() - 1;
    for (commit, seconds) in [(0, levels.0), (last, levels.1)] {
        insert_job(pool, rows, commit, 300).await;
        worker.deliver(seconds, &[]).await;
    }
    let regression: i64 = sqlx::query_scalar(
        "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id)
         SELECT branch_id, false, 'confirmed', $1, $2 FROM runtime RETURNING id",
    )
    .bind(rows.commits[0])
    .bind(rows.commits[last])
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline, value,
             change, change_low, change_high, noise, chance, placed, points_after, state, detector)
         SELECT series.id, $1, $2, $3, $3, false, $4, $5, $5 / $4 - 1, 0, 1, 0.01, 0.001, 1, 3, 'confirmed', 'test'
         FROM series JOIN benchmark ON benchmark.id = benchmark_id WHERE benchmark.name = 'nbody' AND metric = 'wall_time'",
    )
    .bind(regression)
    .bind(rows.commits[0])
    .bind(rows.commits[last])
    .bind(levels.0)
    .bind(levels.1)
    .execute(pool)
    .await
    .unwrap();
    regression
}

/// Lets the tick and the worker take turns until the tick asks for nothing more; every tick is made twice, as after a kill. The
/// commit's index, and the how many-th run it is, give the seconds; `None`: it does not build.
async fn search(
    app: &TestApp,
    worker: &TestWorker<'_>,
    seconds: impl Fn(usize, usize) -> Option<f64>,
) -> usize {
    search_by(app, worker, "nbody", seconds).await
}

async fn search_by(
    app: &TestApp,
    worker: &TestWorker<'_>,
    benchmark: &str,
    seconds: impl Fn(usize, usize) -> Option<f64>,
) -> usize {
    let mut runs = 0;
    loop {
        bisect::tick(&app.context).await.unwrap();
        let again = bisect::tick(&app.context).await.unwrap();
        assert_eq!(again, None, "nothing twice");
        let mut idle = true;
        while let Some(job) = worker.claim().await {
            idle = false;
            assert_eq!(job.benchmarks, [benchmark]);
            let index = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
            if let Some(seconds) = seconds(index, runs) {
                let artefact = worker.build(&job, b"build").await;
                let report = worker.report(&job, &artefact, seconds);
                assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
            } else {
                let failure = serde_json::json!({"lease_id": job.lease_id, "kind": "permanent", "phase": "build",
                    "message": "make failed", "log_tail": ""});
                let path = speedwell_wire::paths::failure(job.job_id);
                assert_eq!(worker.post(&path, &failure).await.0, 204);
            }
            runs += 1;
            assert!(runs < 150, "no end");
        }
        if idle {
            return runs;
        }
    }
}

/// State and culprit of the regression, state and words of its search.
async fn outcome(pool: &PgPool) -> (String, Option<i64>, String, String) {
    sqlx::query_as(
        "SELECT regression.state, regression.culprit_commit_id, bisection.state, message
         FROM regression JOIN bisection ON regression_id = regression.id",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_confirmed_regression_gets_its_culprit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 40).await;
    let worker = TestWorker::register(&app, "secret").await;
    regress(&pool, &worker, &rows, (0.1, 0.105)).await;
    // One run in the middle of the search is wrong.
    let seconds = |index, run| {
        Some(if (index >= 23) != (run == 6) {
            0.105
        } else {
            0.1
        })
    };
    let runs = search(&app, &worker, seconds).await;
    let (state, culprit, search, words) = outcome(&pool).await;
    assert_eq!(
        (&*state, culprit, &*search),
        ("found", Some(rows.commits[23]), "found"),
        "{words}"
    );
    assert!(runs < 40, "{runs}");
    let events: Vec<String> = sqlx::query_scalar("SELECT kind FROM regression_event ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(events, ["bisecting", "found"]);
    let range: (i64, i64) =
        sqlx::query_as("SELECT before_commit_id, after_commit_id FROM regression")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(range, (rows.commits[22], rows.commits[23]));
    let (status, page) = app.get("/bisections/1").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("What it has located") && page.contains("Change 23</th>"),
        "{page}"
    );
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 1);
    assert!(
        page.contains(&format!("{runs} came of it")) && !page.contains("Still to come"),
        "{page}"
    );
    let (status, answer) = app.get("/api/v1/bisections/1").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answer["located"][0]["subject"], "Change 23");
    assert_eq!(answer["commits"].as_array().unwrap().len(), 40);
    assert_eq!(answer["bisection"]["state"], "found");
    let (_, page) = app.get("/regressions/1").await;
    assert!(page.contains("<a href=\"/bisections/1\">Bisection 1</a>, found"));
    // What was measured for the search alone does not settle a commit.
    let candidates = enqueue::list_candidates(&pool, rows.runtime_id, "local", None)
        .await
        .unwrap();
    let settled: Vec<usize> = (0..40).filter(|index| candidates[*index].settled).collect();
    assert_eq!(settled, [0, 39]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_does_not_build_and_what_cannot_matter_is_left_out(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 20).await;
    let worker = TestWorker::register(&app, "secret").await;
    regress(&pool, &worker, &rows, (0.1, 0.12)).await;
    sqlx::query(
        "UPDATE commit SET touched_paths = '{Doc/a.rst}', touched_count = 1 WHERE id = ANY($1)",
    )
    .bind(&rows.commits[12..15])
    .execute(&pool)
    .await
    .unwrap();
    let seconds = |index, _| match index {
        9 | 10 => None,
        _ => Some(if index >= 10 { 0.12 } else { 0.1 }),
    };
    search(&app, &worker, seconds).await;
    let (state, culprit, search, words) = outcome(&pool).await;
    // No one of three is blamed.
    assert_eq!(
        (&*state, culprit, &*search),
        ("confirmed", None, "found"),
        "{words}"
    );
    assert!(words.contains("one of the 3 commits"), "{words}");
    let skipped: Vec<(i32, String)> = sqlx::query_as(
        "SELECT ordinal, skipped FROM bisection_commit WHERE skipped IS NOT NULL ORDER BY ordinal",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let left = |index, reason: &str| (index, reason.to_owned());
    assert_eq!(
        skipped,
        [
            left(9, "does_not_build"),
            left(10, "does_not_build"),
            left(12, "cannot_matter"),
            left(13, "cannot_matter"),
            left(14, "cannot_matter")
        ]
    );
    // A finished search is not begun anew.
    assert_eq!(bisect::tick(&app.context).await.unwrap(), None);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn two_changes_are_both_told_and_the_larger_is_the_culprit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 60).await;
    let worker = TestWorker::register(&app, "secret").await;
    regress(&pool, &worker, &rows, (0.1, 0.14)).await;
    let seconds = |index, _| {
        Some(match index {
            0..15 => 0.1,
            15..40 => 0.115,
            _ => 0.14,
        })
    };
    search(&app, &worker, seconds).await;
    let (state, culprit, search, words) = outcome(&pool).await;
    assert_eq!(
        (&*state, culprit, &*search),
        ("found", Some(rows.commits[40]), "several"),
        "{words}"
    );
    let changes: Vec<i64> =
        sqlx::query_scalar("SELECT culprit_commit_id FROM bisection_change ORDER BY ordinal")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(changes, [rows.commits[15], rows.commits[40]]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_single_commit_needs_no_search_and_an_invalid_regression_ends_one(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    let worker = TestWorker::register(&app, "secret").await;
    let regression = regress(&pool, &worker, &rows, (0.1, 0.12)).await;
    bisect::tick(&app.context).await.unwrap();
    sqlx::query("UPDATE regression SET state = 'invalid', invalid_reason = 'noise'")
        .execute(&pool)
        .await
        .unwrap();
    bisect::tick(&app.context).await.unwrap();
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 'queued'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let (_, _, search, _) = outcome(&pool).await;
    assert_eq!((open, &*search), (0, "cancelled"));
    sqlx::query("DELETE FROM bisection_commit")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE job SET bisection_id = NULL")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("DELETE FROM bisection")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("UPDATE regression SET state = 'confirmed', invalid_reason = NULL, before_commit_id = $2 WHERE id = $1")
        .bind(regression)
        .bind(rows.commits[28])
        .execute(&pool)
        .await
        .unwrap();
    bisect::tick(&app.context).await.unwrap();
    let found: (String, Option<i64>) =
        sqlx::query_as("SELECT state, culprit_commit_id FROM regression")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(found, ("found".to_owned(), Some(rows.commits[29])));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_search_has_a_page_and_a_triager_ends_it(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    let worker = TestWorker::register(&app, "secret").await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let bob = insert_token(&pool, "bob", Role::Viewer).await;
    regress(&pool, &worker, &rows, (0.1, 0.12)).await;
    bisect::tick(&app.context).await.unwrap();
    bisect::tick(&app.context).await.unwrap();
    let (status, list) = app.get("/bisections").await;
    assert_eq!(status, 200);
    let id: i64 = sqlx::query_scalar("SELECT id FROM bisection")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(list.contains(&format!("/bisections/{id}")), "{list}");
    let (status, page) = app.get(&format!("/bisections/{id}")).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("searching") && page.contains("queued"),
        "{page}"
    );
    assert!(!page.contains("End the search"), "nobody is signed in");
    assert_eq!(app.get("/bisections/999").await.0, 404);
    let cancel = async |token: &str| {
        let address = format!("{}/bisections/{id}/cancel", app.address);
        let request = app.client.post(address).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(cancel(&bob).await, 403);
    assert_eq!(outcome(&pool).await.2, "searching");
    assert!(matches!(cancel(&ada).await, 200 | 303));
    let (state, culprit, search, words) = outcome(&pool).await;
    assert_eq!(
        (&*state, culprit, &*search),
        ("confirmed", None, "cancelled")
    );
    assert!(words.contains("ada"), "{words}");
    let (kind, actor): (String, String) =
        sqlx::query_as("SELECT kind, actor FROM regression_event ORDER BY id DESC LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((&*kind, &*actor), ("bisection_cancelled", "ada"));
    let kind = kind.parse().unwrap();
    assert!(
        !is_told(kind),
        "nobody is told that it could not be traced to a commit"
    );
    assert_eq!(cancel(&ada).await, 409, "it is over");
    let (status, page) = app.get(&format!("/bisections/{id}")).await;
    assert!(status == 200 && page.contains("ended by ada"), "{page}");
    assert_eq!(bisect::tick(&app.context).await.unwrap(), None);
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 'queued'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(waiting, 0);
}

/// As seen on CPython 2.7: a search by peak memory went on for twenty runs after instructions had been confirmed.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_search_goes_on_by_what_was_confirmed_more_clearly(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    let worker = TestWorker::register(&app, "secret").await;
    regress(&pool, &worker, &rows, (0.1, 0.12)).await;
    bisect::tick(&app.context).await.unwrap();
    // Five times as large as its noise: beyond fifty times a search gains nothing.
    sqlx::query("UPDATE bisection SET noise = abs(expected) / 5")
        .execute(&pool)
        .await
        .unwrap();
    bisect::tick(&app.context).await.unwrap();
    let of = async |benchmark: &str, state: &str| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM job WHERE benchmarks = ARRAY[$1] AND state = $2")
            .bind(benchmark)
            .bind(state)
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let asked = of("nbody", "queued").await;
    assert!(asked > 0);
    // Twice as clear is not worth a change of horses; ten times is.
    for (noise, name) in [(0.0048, "nbody"), (0.0005, "richards")] {
        sqlx::query(
            "INSERT INTO change_point (series_id, regression_id, before_commit_id, commit_id, after_commit_id, better, baseline,
                 value, change, change_low, change_high, noise, chance, placed, points_after, state, detector)
             SELECT series.id, regression_id, before_commit_id, commit_id, after_commit_id, false, 0.2, 0.22, 0.1, 0.09, 0.11, $1, 0,
                    1, 3, 'confirmed', 'test'
             FROM change_point, series JOIN benchmark ON benchmark.id = benchmark_id
             WHERE benchmark.name = 'richards' AND metric = 'wall_time' LIMIT 1
             ON CONFLICT (series_id, commit_id) DO UPDATE SET noise = excluded.noise",
        )
        .bind(noise * 2.0)
        .execute(&pool)
        .await
        .unwrap();
        bisect::tick(&app.context).await.unwrap();
        let by: String = sqlx::query_scalar("SELECT benchmark FROM bisection")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(by, name);
    }
    assert_eq!(of("nbody", "queued").await, 0, "nobody needs them");
    assert_eq!(of("nbody", "cancelled").await, asked);
    let seconds = |index, _| Some(if index >= 17 { 0.12 } else { 0.1 });
    search_by(&app, &worker, "richards", seconds).await;
    let (state, culprit, _, words) = outcome(&pool).await;
    assert_eq!(
        (&*state, culprit),
        ("found", Some(rows.commits[17])),
        "{words}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_triager_asks_for_a_search_between_two_points(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let bob = insert_token(&pool, "bob", Role::Viewer).await;
    let ask = async |token: &str, good: &str, bad: &str, benchmark: &str| {
        let fields = [
            ("runtime", "cpython-main"),
            ("benchmark", benchmark),
            ("good", good),
            ("bad", bad),
        ];
        let request = app
            .client
            .post(format!("{}/bisections", app.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(
                fields
                    .map(|(name, value)| format!("{name}={value}"))
                    .join("&"),
            )
            .bearer_auth(token);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (early, late) = (format!("{:0>40}", "3"), format!("{:0>40x}", 20));
    assert_eq!(ask(&bob, &early, &late, "nbody").await.0, 403);
    let (status, page) = ask(&ada, &late, &early, "nbody").await;
    assert!(
        status == 422 && page.contains("does not come before"),
        "{page}"
    );
    let (status, page) = ask(&ada, &early, &late, "<i>").await;
    assert!(
        status == 422 && page.contains("suite has no") && !page.contains("<i>"),
        "{page}"
    );
    let (status, page) = ask(&ada, "v9.9", &late, "nbody").await;
    assert!(status == 422 && page.contains("good: no tag"), "{page}");
    let count = "SELECT count(*) FROM bisection";
    let none: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(none, 0, "nothing is half-saved");
    let (status, _) = ask(&ada, &early, &late, "nbody").await;
    assert!(matches!(status, 200 | 303), "{status}");
    let (requester, metric): (String, String) =
        sqlx::query_as("SELECT requester, metric FROM bisection")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((&*requester, &*metric), ("ada", "wall_time"));
    // The tick asks for its first runs.
    bisect::tick(&app.context).await.unwrap();
    let asked: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE bisection_id IS NOT NULL")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(asked > 0);
    // An address can fill the form in.
    let filled = app.client.get(format!(
        "{}/bisections?runtime=cpython-main&good={early}",
        app.address
    ));
    let page = filled
        .bearer_auth(&ada)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains(&format!("value=\"{early}\"")), "{page}");
}
