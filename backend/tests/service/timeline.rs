//! The timeline: how its traces are made, what its page shows, what it refuses.

use fantoccini::Locator;
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::trace;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::{open, start_driver, until_query};
use crate::support::triage::{insert_point, insert_regression, insert_token};
use crate::support::worker::{
    TestWorker, facts, insert_job, insert_rows, measure, measure_places, series_id,
};

/// Another series of nbody with the same measurements: of another metric, or of another runtime on a branch of its own.
async fn copy_series(pool: &PgPool, metric: &str, runtime: i64) {
    let id = series_id(pool).await;
    let copy: i64 = sqlx::query_scalar(
        "INSERT INTO series (runtime_id, benchmark_id, metric, counter_source, host_id)
         SELECT $3, benchmark_id, $2, counter_source, host_id FROM series WHERE id = $1 RETURNING id",
    )
    .bind(id)
    .bind(metric)
    .bind(runtime)
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count, median, mean,
                                  mad, min, max, interval_low, interval_high, sample_values, sample_process, sample_warmup)
         SELECT measured_at, $2, run_id, commit_id, environment_id, position, sample_count, median, mean, mad, min, max,
                interval_low, interval_high, sample_values, sample_process, sample_warmup
         FROM measurement WHERE series_id = $1",
    )
    .bind(id)
    .bind(copy)
    .execute(pool)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_page_shows_what_the_traces_hold(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (status, page) = app.get("/timeline").await;
    assert!(
        status == 200 && page.contains("Nothing was measured for this choice"),
        "{page}"
    );
    let rows = insert_rows(&pool, 6).await;
    measure(&pool, &app, &rows, &[0.1, 0.1, 0.2]).await;
    let (_, page) = app.get("/timeline?benchmark=nbody").await;
    assert!(
        page.contains("being prepared") && !page.contains("<svg class=\"chart\""),
        "{page}"
    );
    trace::tick(&app.context).await.unwrap();
    // Nothing is chosen: the first benchmark, the main metric.
    let (_, page) = app.get("/timeline").await;
    for words in [
        "nbody, Wall time, cpython-main, lab-1",
        "3 points in 1 line.",
        "name=\"a\" value=\"cpython-main@0000000000000000000000000000000000000002~lab-1\"",
        "href=\"/runs/3\"",
        "href=\"/timeline.csv?\"",
        "action=\"/compare\"",
        "<option value=\"log\">",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 1);
    assert_eq!(page.matches("class=\"point s0").count(), 3);
    // Change points, releases, annotations.
    let id = insert_regression(&pool, &rows, "confirmed", 1, 2).await;
    insert_point(&pool, &rows, id, "nbody", (1, 2), 1.0).await;
    for statement in [
        "INSERT INTO tag (repository_id, name, commit_hash) SELECT repository_id, 'v3.9.0', hash FROM commit WHERE subject = 'Change 1'",
        "INSERT INTO annotation (commit_id, actor, message) SELECT id, 'ada', 'the <i>fan</i> broke' FROM commit WHERE subject = 'Change 0'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let (_, page) = app.get("/timeline?benchmark=nbody&metric=wall_time").await;
    for words in [
        "class=\"change regressed ",
        "/regressions/1",
        "release v3.9.0",
        "ada: the &lt;i&gt;fan&lt;/i&gt; broke",
        "the &#60;i&#62;fan",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // Divided by the release's value: twice of it at the end.
    let (_, page) = app
        .get("/timeline?benchmark=nbody&base=v3.9.0&scale=log")
        .await;
    assert!(
        page.contains(">2.0") && page.contains("each line divided by its value at v3.9.0"),
        "{page}"
    );
    for (query, words) in [
        ("base=v9", "base: &#34;v9&#34; is no tag"),
        ("base=0000000", "several commits"),
        ("metric=speed", "is no metric; there are wall_time"),
        ("from=yesterday", "neither a branch position nor a day"),
        ("last=many", "is no number"),
        ("x=up", "neither position nor date"),
    ] {
        let (status, page) = app.get(&format!("/timeline?benchmark=nbody&{query}")).await;
        assert!(
            status == 400 && page.contains(words) && page.contains("<nav"),
            "{query}: {page}"
        );
        let (status, _) = app
            .get(&format!("/api/v1/timeline?benchmark=nbody&{query}"))
            .await;
        assert_eq!(status, 400, "{query}");
    }
    let (_, page) = app
        .get("/timeline?benchmark=nbody&benchmark=nothing&runtime=cpython-main&from=1&to=1")
        .await;
    assert!(
        page.contains("nothing: nothing was measured") && page.contains("1 point in 1 line"),
        "{page}"
    );
    let (_, page) = app
        .get("/timeline?benchmark=nbody&from=2001-01-01&to=2001-02-01")
        .await;
    assert!(page.contains("no points in this range"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn several_lines_are_told_apart_and_never_mixed(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 4).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut other = facts();
    other.microcode = "0x<b>1</b>".to_owned();
    insert_job(&pool, &rows, 0, 1).await;
    worker.deliver(0.1, &[]).await;
    insert_job(&pool, &rows, 1, 1).await;
    let again = TestWorker::register_with(&app, "secret", other).await;
    again.deliver(0.1, &[]).await;
    copy_series(&pool, "max_rss", rows.runtime_id).await;
    let runtime: i64 = sqlx::query_scalar(
        "WITH branch AS (INSERT INTO branch (repository_id, name) SELECT repository_id, '3.9' FROM branch RETURNING id)
         INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, ordinal)
         SELECT 'cpython-3.9', language, branch.id, recipe, recipe_sha256, suite_name, 1 FROM runtime, branch RETURNING id",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    sqlx::query("INSERT INTO branch_commit SELECT (SELECT max(id) FROM branch), position, commit_id FROM branch_commit")
        .execute(&pool)
        .await
        .unwrap();
    copy_series(&pool, "wall_time", runtime).await;
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app
        .get("/timeline?benchmark=nbody&metric=wall_time&metric=max_rss&runtime=cpython-main&runtime=cpython-3.9")
        .await;
    assert_eq!(
        page.matches("<svg class=\"chart\"").count(),
        2,
        "a panel for each unit"
    );
    for words in [
        "Drawn by date",
        "6 points in 3 lines",
        "class=\"line-name t1\"",
        "class=\"break\"",
        "microcode: ",
        "0x&#60;b&#62;1&#60;/b&#62;",
        "cpython-3.9, Wall time",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // The API has the same in columns; nothing is drawn across the break.
    let (status, answer) = app
        .get("/api/v1/timeline?benchmark=nbody&runtime=cpython-main")
        .await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (status, answer["points"].as_i64()),
        (200, Some(2)),
        "{answer}"
    );
    let line = &answer["lines"][0];
    assert_eq!(line["x"], serde_json::json!([0.0, 1.0]));
    assert_eq!(line["stretch"], serde_json::json!([0, 1]));
    assert_eq!(line["unit"], "seconds");
    assert_eq!(line["commit"][1]["subject"], "Change 1");
    assert_eq!(answer["breaks"][0]["x"], 0.5);
    let (status, csv) = app
        .get("/timeline.csv?benchmark=nbody&runtime=cpython-main")
        .await;
    assert_eq!((status, csv.lines().count()), (200, 3), "{csv}");
    assert!(
        csv.contains("\"wall_time\",\"software\",1,0000000000000000000000000000000000000002,"),
        "{csv}"
    );
    // A suite on one screen.
    let (status, page) = app
        .get("/grid?runtime=cpython-main&runtime=cpython-3.9&sort=change")
        .await;
    assert_eq!(
        (status, page.matches("<svg class=\"spark\"").count()),
        (200, 2),
        "{page}"
    );
    for words in [
        "one point: nothing to compare",
        "portable at a glance",
        "href=\"/timeline?benchmark=nbody&#38;runtime=cpython-main",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(app.get("/grid?suite=none").await.0, 404);
    assert_eq!(app.get("/grid?sort=up").await.0, 400);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn missing_commits_are_shown_and_can_be_queued(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 40).await;
    measure_places(&pool, &app, &rows, &[(0, 0.1), (3, 0.1), (39, 0.1)]).await;
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/timeline?benchmark=nbody").await;
    for words in [
        "37 commits in 2 stretches",
        "2 after position 0, before 3",
        "sign in",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("action=\"/timeline/queue\""),
        "only those who may see the button"
    );
    let queue = async |token: Option<&str>, after: &str, before: &str| -> (u16, String) {
        let form = format!(
            "runtime=cpython-main&host=lab-1&after={after}&before={before}&back=https%3A%2F%2Felsewhere.example%2F"
        );
        let request = app
            .client
            .post(format!("{}/timeline/queue", app.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.url().path().to_owned())
    };
    assert_eq!(queue(None, "0", "3").await.0, 401);
    let reader = insert_token(&pool, "bob", Role::Viewer).await;
    assert_eq!(queue(Some(&reader), "0", "3").await.0, 403);
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let (status, to) = queue(Some(&ada), "0", "3").await;
    assert_eq!(
        (status, to.as_str()),
        (200, "/queue"),
        "never to another site"
    );
    let queued = async || -> Vec<(i32, String, String)> {
        sqlx::query_as(
            "SELECT position, reason, requester FROM job JOIN branch_commit USING (commit_id) WHERE state = 'queued' ORDER BY position",
        )
        .fetch_all(&pool)
        .await
        .unwrap()
    };
    let asked = |position| (position, "requested".to_owned(), "ada".to_owned());
    assert_eq!(queued().await, [asked(1), asked(2)]);
    assert_eq!(
        queue(Some(&ada), "0", "3").await.0,
        409,
        "they wait already"
    );
    // A long stretch is queued evenly.
    assert_eq!(queue(Some(&ada), "3", "39").await.0, 200);
    let places: Vec<i32> = queued()
        .await
        .into_iter()
        .map(|job| job.0)
        .filter(|place| *place > 3)
        .collect();
    assert_eq!(places.len(), 25, "{places:?}");
    assert!(
        places.windows(2).all(|pair| pair[1] - pair[0] <= 2),
        "{places:?}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn names_from_outside_stay_text(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    measure(&pool, &app, &rows, &[0.1, 0.2]).await;
    for statement in [
        "UPDATE benchmark SET name = '</title><script>alert(1)</script>' WHERE name = 'nbody'",
        "UPDATE runtime SET name = '=\"><img src=x>'",
        "UPDATE host SET name = '<b>lab</b>'",
        "UPDATE commit SET subject = '<svg onload=x> \" &'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    trace::tick(&app.context).await.unwrap();
    let benchmark = "%3C%2Ftitle%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E";
    for path in [
        format!("/timeline?benchmark={benchmark}&benchmark=richards&base=%3Cb%3E&last=9"),
        format!(
            "/timeline?benchmark={benchmark}&benchmark=richards&version=%3Cb%3E&host=%3Ci%3E&host=%3Cb%3Elab%3C%2Fb%3E"
        ),
        format!("/timeline?benchmark={benchmark}"),
        "/grid".to_owned(),
        "/grid?suite=%3Cimg%20src%3Dx%3E".to_owned(),
    ] {
        let (_, page) = app.get(&path).await;
        assert!(page.contains("<h1>"), "{path}");
        for forbidden in ["<script>", "<img", "<b>", "<i>", "<svg onload"] {
            assert!(
                !page.contains(forbidden),
                "{path} holds {forbidden}: {page}"
            );
        }
    }
    let (_, csv) = app
        .get(&format!("/timeline.csv?benchmark={benchmark}"))
        .await;
    assert!(csv.contains("\n\"'=\"\"><img src=x>\","), "{csv}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_browser_zooms_by_keys_and_the_address_follows(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 8).await;
    measure(
        &pool,
        &app,
        &rows,
        &[0.1, 0.1, 0.11, 0.1, 0.1, 0.12, 0.1, 0.1],
    )
    .await;
    trace::tick(&app.context).await.unwrap();
    let driver = start_driver();
    let client = open(&driver, 1280, false).await;
    client
        .goto(&format!("{}/timeline?benchmark=nbody&last=50", app.address))
        .await
        .unwrap();
    // The picture makes room for a canvas.
    let canvas = client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await;
    canvas.unwrap();
    assert!(
        client
            .find_all(Locator::Css("svg.chart"))
            .await
            .unwrap()
            .is_empty()
    );
    let region = client.find(Locator::Css(".chart-scroll")).await.unwrap();
    region.send_keys("+").await.unwrap();
    let zoomed = until_query(&client, |query| query.contains("from=")).await;
    assert!(
        zoomed.contains("benchmark=nbody") && zoomed.contains("to=") && !zoomed.contains("last="),
        "{zoomed}"
    );
    client.refresh().await.unwrap();
    client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await
        .unwrap();
    let value = client.find(Locator::Css("input[name=from]")).await.unwrap();
    let value = value.prop("value").await.unwrap().unwrap();
    assert!(
        zoomed.contains(&format!("from={value}")),
        "the state is in the address: {value}"
    );
    client.close().await.unwrap();
}
