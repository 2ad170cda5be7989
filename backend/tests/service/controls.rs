//! Controls from the configuration and from suspicions to jobs, and what they hold back, by the real API and the real ticks.

use speedwell_backend::db::repositories::{self, RuntimeSettings};
use speedwell_backend::db::{controls, repetitions};
use speedwell_backend::scheduler::{control, detect, enqueue, index, trace};
use sqlx::PgPool;

use crate::support::worker::{Rows, TestWorker, confirm_all, insert_job, insert_rows};
use crate::support::{CONFIG, TestApp};

/// The runtime of [`insert_rows`] as a control at its first commit, and a second host of its class.
async fn start(pool: &PgPool) -> TestApp {
    let hash = format!("{:0>40}", "1");
    let branch = "branch = \"main\"\n";
    let config = CONFIG.replacen(
        branch,
        &format!("{branch}control = true\npinned = \"{hash}\"\n"),
        1,
    );
    TestApp::start_with(pool, &config).await
}

async fn jobs(pool: &PgPool) -> Vec<(String, Option<String>, i32)> {
    sqlx::query_as(
        "SELECT reason, host.name, priority FROM job LEFT JOIN host ON host.id = host_id ORDER BY job.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn each_host_that_is_there_gets_the_control_when_it_is_due(pool: PgPool) {
    let app = start(&pool).await;
    insert_rows(&pool, 3).await;
    let mut connection = pool.acquire().await.unwrap();
    let runtime = &app.context.config.runtimes[0];
    let repository: i64 = sqlx::query_scalar("SELECT id FROM repository")
        .fetch_one(&pool)
        .await
        .unwrap();
    let settings = RuntimeSettings {
        name: &runtime.name,
        language: "python3",
        branch: "main",
        recipe: &runtime.build_recipe().unwrap(),
        suite: "portable",
        ordinal: 0,
        control: runtime.control,
        repeat_marked: 1,
    };
    repositories::upsert_runtime(&mut connection, repository, &settings)
        .await
        .unwrap();
    sqlx::query("INSERT INTO host (name, class, token_sha256) VALUES ('silent', 'local', 's'), ('other', 'skylake', 'o')")
        .execute(&pool)
        .await
        .unwrap();
    enqueue::tick(&app.context).await.unwrap();
    assert!(jobs(&pool).await.is_empty(), "nobody is there");
    let worker = TestWorker::register(&app, "secret").await;
    for _ in 0..3 {
        enqueue::tick(&app.context).await.unwrap();
    }
    let job = || ("control".to_owned(), Some("lab-1".to_owned()), 150);
    assert_eq!(jobs(&pool).await, [job()], "only the control, only once");
    let claimed = worker.claim().await.unwrap();
    assert_eq!(claimed.source.commit, format!("{:0>40}", "1"));
    sqlx::query("UPDATE job SET state = 'succeeded', finished_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    enqueue::tick(&app.context).await.unwrap();
    assert_eq!(
        jobs(&pool).await,
        [job()],
        "not before its schedule says so"
    );
    sqlx::query("UPDATE job SET created_at = now() - interval '25 hours'")
        .execute(&pool)
        .await
        .unwrap();
    enqueue::tick(&app.context).await.unwrap();
    assert_eq!(jobs(&pool).await, [job(), job()]);
}

/// A frozen runtime of a language, measured on the host once.
async fn insert_control(pool: &PgPool, name: &str, language: &str) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, control)
         SELECT $1, $2, branch_id, recipe, recipe_sha256, suite_name, true FROM runtime LIMIT 1 RETURNING id",
    )
    .bind(name)
    .bind(language)
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Measures a commit on the host.
async fn measure_commit(
    pool: &PgPool,
    worker: &TestWorker<'_>,
    rows: &Rows,
    commit: usize,
    seconds: f64,
) -> i64 {
    insert_job(pool, rows, commit, 300).await;
    let (runtime, run) = worker.deliver(seconds, &[]).await;
    assert_eq!(runtime, "cpython-main");
    run
}

/// The controls that are queued around a run: runtime, run, priority.
async fn around(pool: &PgPool) -> Vec<(String, i64, i32)> {
    sqlx::query_as(
        "SELECT runtime.name, suspected_run_id, priority FROM job JOIN runtime ON runtime.id = runtime_id
         WHERE suspected_run_id IS NOT NULL ORDER BY job.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// Measures the control once more and judges it.
async fn control_again(app: &TestApp, worker: &TestWorker<'_>, seconds: f64) -> i64 {
    let (runtime, run) = worker.deliver(seconds, &[]).await;
    assert_eq!(runtime, "frozen-3");
    control::tick(&app.context).await.unwrap();
    run
}

/// State and hold of nbody's verdict at a position.
async fn verdict_at(pool: &PgPool, position: i32) -> (String, Option<String>) {
    sqlx::query_as(
        "SELECT state, held FROM verdict JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         JOIN runtime ON runtime.id = runtime_id
         WHERE benchmark.name = 'nbody' AND metric = 'wall_time' AND NOT control AND position = $1",
    )
    .bind(position)
    .fetch_one(pool)
    .await
    .unwrap()
}

fn regressed(held: Option<&str>) -> (String, Option<String>) {
    ("regressed".to_owned(), held.map(str::to_owned))
}

/// A host whose control is known to be steady, and a commit on it that takes longer; that run.
async fn suspicious(pool: &PgPool, app: &TestApp) -> (Rows, i64) {
    let (rows, frozen) = with_controls(pool, app).await;
    let worker = TestWorker::register(app, "secret").await;
    for seconds in [1.001, 1.0, 1.001, 1.0] {
        controls::insert_job(pool, frozen, rows.commits[0], "local", 1)
            .await
            .unwrap();
        control_again(app, &worker, seconds).await;
    }
    let standing: Vec<String> =
        sqlx::query_scalar("SELECT standing FROM control_judged ORDER BY runtime_id")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(standing, ["unknown", "steady"]);
    let suspect = measure_commit(pool, &worker, &rows, 4, 0.12).await;
    detect::tick(&app.context).await.unwrap();
    assert_eq!(
        verdict_at(pool, 4).await,
        regressed(Some("control_pending"))
    );
    (rows, suspect)
}

/// Controls of two languages that the host was asked for, and four commits that take the same.
async fn with_controls(pool: &PgPool, app: &TestApp) -> (Rows, i64) {
    let rows = insert_rows(pool, 8).await;
    let worker = TestWorker::register(app, "secret").await;
    insert_control(pool, "frozen-2", "python2").await;
    let frozen = insert_control(pool, "frozen-3", "python3").await;
    for runtime in [frozen - 1, frozen] {
        assert!(
            controls::insert_job(pool, runtime, rows.commits[0], "local", 1)
                .await
                .unwrap()
        );
        worker.deliver(1.0, &[]).await;
    }
    for (commit, seconds) in [0.1, 0.1001, 0.1, 0.1002].into_iter().enumerate() {
        measure_commit(pool, &worker, &rows, commit, seconds).await;
    }
    detect::tick(&app.context).await.unwrap();
    assert!(around(pool).await.is_empty(), "nothing has changed");
    (rows, frozen)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_suspicious_run_has_the_control_of_its_language_measured_next(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, frozen) = with_controls(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    let suspect = measure_commit(&pool, &worker, &rows, 4, 0.12).await;
    insert_job(&pool, &rows, 5, 200).await;
    let note = detect::tick(&app.context).await.unwrap().unwrap();
    assert!(note.contains("queued 1 control(s)"), "{note}");
    let expected = || ("frozen-3".to_owned(), suspect, 250);
    assert_eq!(around(&pool).await, [expected()], "two series, one control");
    // Judging again, also after the control has run, asks for no other.
    let again = async || {
        sqlx::query("UPDATE series SET detected_at = NULL")
            .execute(&pool)
            .await
            .unwrap();
        detect::tick(&app.context).await.unwrap();
    };
    again().await;
    for (path, words) in [
        (format!("/runs/{suspect}"), "measures the host's control"),
        ("/queue".to_owned(), "control around <a href=\"/runs/7\">"),
    ] {
        let (_, page) = app.get(&path).await;
        assert!(page.contains(words), "{path}: {page}");
    }
    let (runtime, _) = worker.deliver(1.0, &[]).await;
    assert_eq!(runtime, "frozen-3", "before what somebody asked for");
    again().await;
    assert_eq!(around(&pool).await, [expected()]);

    // A control that waits anyway goes first now, and stands for the suspicion.
    assert!(
        controls::insert_job(&pool, frozen, rows.commits[0], "local", 1)
            .await
            .unwrap()
    );
    let second = measure_commit(&pool, &worker, &rows, 6, 0.2).await;
    again().await;
    let found = around(&pool).await;
    assert_eq!(found, [expected(), ("frozen-3".to_owned(), second, 250)]);
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job WHERE state = 'queued' AND reason = 'control'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(open, 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn without_a_control_of_its_language_nothing_is_queued(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, _) = with_controls(&pool, &app).await;
    sqlx::query("UPDATE runtime SET enabled = false WHERE name = 'frozen-3'")
        .execute(&pool)
        .await
        .unwrap();
    let worker = TestWorker::register(&app, "secret").await;
    measure_commit(&pool, &worker, &rows, 4, 0.12).await;
    let note = detect::tick(&app.context).await.unwrap().unwrap();
    assert!(!note.contains("queued"), "{note}");
    assert!(around(&pool).await.is_empty());
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_change_is_no_news_until_a_steady_control_lets_it_go(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, suspect) = suspicious(&pool, &app).await;
    let hash = format!("{:0>40}", "5");
    index::tick(&app.context).await.unwrap();
    trace::tick(&app.context).await.unwrap();
    let held = [
        (
            "/runtimes/cpython-main".to_owned(),
            "0 worse</span> <span class=\"badge improved\">0 better</span> <span class=\"badge held\"",
        ),
        (
            "/runtimes/cpython-main".to_owned(),
            "2 held back</span> of 2",
        ),
        ("/runtimes/cpython-main".to_owned(), "% held</span>"),
        ("/runtimes/cpython-main".to_owned(), "2 held back"),
        (
            format!("/commits/{hash}"),
            "but held back: the host&#39;s control has not run since",
        ),
        (
            "/timeline?benchmark=nbody&metric=wall_time".to_owned(),
            "class=\"point s0 held\"",
        ),
        (
            "/api/v1/timeline?benchmark=nbody&metric=wall_time".to_owned(),
            "\"held\":\"control_pending\",\"words\":\"worse, beyond the noise, but held back: ",
        ),
        (
            "/hosts/lab-1".to_owned(),
            "2 changes measured here are held back",
        ),
    ];
    for (path, words) in &held {
        let (_, page) = app.get(path).await;
        assert!(page.contains(words), "{path}: {page}");
    }
    let json = async |path: &str| -> serde_json::Value {
        serde_json::from_str(&app.get(path).await.1).unwrap()
    };
    let commits = json("/api/v1/runtimes/cpython-main/commits?limit=4").await;
    let counts = |commits: &serde_json::Value| {
        let one = commits["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["position"] == 4);
        let one = one.unwrap();
        ["regressed", "improved", "held"].map(|name| one[name].as_i64().unwrap())
    };
    assert_eq!(counts(&commits), [0, 0, 2]);
    let comparisons = json(&format!(
        "/api/v1/commits/{hash}/comparisons?metric=wall_time"
    ))
    .await;
    assert!(
        comparisons
            .to_string()
            .contains("\"held\":\"control_pending\""),
        "{comparisons}"
    );
    // Judged again, it stays held.
    sqlx::query("UPDATE series SET detected_at = NULL")
        .execute(&pool)
        .await
        .unwrap();
    detect::tick(&app.context).await.unwrap();
    assert_eq!(
        verdict_at(&pool, 4).await,
        regressed(Some("control_pending"))
    );

    let worker = TestWorker::register(&app, "secret").await;
    worker.deliver(1.001, &[]).await;
    control::tick(&app.context).await.unwrap();
    assert_eq!(verdict_at(&pool, 4).await, regressed(Some("unconfirmed")));
    confirm_all(&pool).await;
    assert_eq!(verdict_at(&pool, 4).await, regressed(None));
    for (path, words) in &held {
        let (_, page) = app.get(path).await;
        assert!(!page.contains(words), "{path}: {page}");
    }
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/runtimes/cpython-main").await;
    assert!(page.contains("2 worse</span>"), "{page}");
    let commits = json("/api/v1/runtimes/cpython-main/commits?limit=4").await;
    assert_eq!(counts(&commits), [2, 0, 0]);
    let (_, page) = app.get("/hosts/lab-1").await;
    assert!(
        page.contains("<span class=\"badge \">steady</span>"),
        "{page}"
    );
    assert_eq!(around(&pool).await, [("frozen-3".to_owned(), suspect, 250)]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_control_that_differs_holds_changes_back_until_it_is_steady_again(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, suspect) = suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    let first = control_again(&app, &worker, 1.08).await;
    assert_eq!(
        verdict_at(&pool, 4).await,
        regressed(Some("control_unsteady"))
    );
    let expected = [suspect, first].map(|run| ("frozen-3".to_owned(), run, 250));
    assert_eq!(
        around(&pool).await,
        expected,
        "it is measured again at once"
    );
    let (_, page) = app.get("/hosts/lab-1").await;
    assert!(
        page.contains(">unsteady</span>") && page.contains("not as it was: +7."),
        "{page}"
    );
    sqlx::query("UPDATE verdict SET held = NULL")
        .execute(&pool)
        .await
        .unwrap();
    control::tick(&app.context).await.unwrap();
    assert_eq!(
        verdict_at(&pool, 4).await,
        regressed(Some("control_unsteady")),
        "every pass sees to it"
    );
    // What is measured meanwhile waits too, whoever looks.
    measure_commit(&pool, &worker, &rows, 5, 0.15).await;
    detect::tick(&app.context).await.unwrap();
    assert_eq!(
        verdict_at(&pool, 5).await,
        regressed(Some("control_unsteady"))
    );
    control_again(&app, &worker, 1.0).await;
    assert_eq!(verdict_at(&pool, 5).await, regressed(Some("unconfirmed")));
    let epochs: i64 = sqlx::query_scalar("SELECT count(*) FROM host_epoch")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(epochs, 0);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_control_that_stays_elsewhere_ends_the_comparison(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, _) = suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    for seconds in [1.08, 1.081] {
        control_again(&app, &worker, seconds).await;
        assert_eq!(
            verdict_at(&pool, 4).await,
            regressed(Some("control_unsteady"))
        );
    }
    let (_, run) = worker.deliver(1.08, &[]).await;
    let note = control::tick(&app.context).await.unwrap().unwrap();
    assert!(note.contains("is not what it was"), "{note}");
    assert!(
        worker.claim().await.is_none(),
        "run {run} decides: no further control"
    );
    // Whether the host changed before or after the run is not known: it never becomes news.
    detect::tick(&app.context).await.unwrap();
    assert_eq!(verdict_at(&pool, 4).await, regressed(Some("control_moved")));
    measure_commit(&pool, &worker, &rows, 5, 0.12).await;
    detect::tick(&app.context).await.unwrap();
    assert_eq!(verdict_at(&pool, 5).await, ("too_few".to_owned(), None));
    control::tick(&app.context).await.unwrap();
    assert_eq!(verdict_at(&pool, 4).await, regressed(Some("control_moved")));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn nothing_is_held_for_a_control_or_a_repetition_that_does_not_come(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, suspect) = suspicious(&pool, &app).await;
    let give_up = async || {
        sqlx::query(
            "UPDATE job SET state = 'cancelled', finished_at = now() WHERE state = 'queued'",
        )
        .execute(&pool)
        .await
        .unwrap();
        let note = control::tick(&app.context).await.unwrap().unwrap();
        assert!(
            note.contains("2 change(s) are no longer held back"),
            "{note}"
        );
        assert_eq!(verdict_at(&pool, 4).await, regressed(Some("unconfirmed")));
    };
    give_up().await;
    // The run was marked, and its repetition is queued.
    for statement in [
        "UPDATE job SET suspected_run_id = NULL",
        "UPDATE series SET detected_at = NULL",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    repetitions::insert_job(&pool, suspect)
        .await
        .unwrap()
        .unwrap();
    detect::tick(&app.context).await.unwrap();
    assert_eq!(
        verdict_at(&pool, 4).await,
        regressed(Some("repetition_pending"))
    );
    assert!(
        around(&pool).await.is_empty(),
        "the repetition is waited for"
    );
    give_up().await;
}
