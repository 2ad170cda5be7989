//! Comparisons over real uploads: what is compared, what is refused and why, and what can be taken along.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::hosts;
use speedwell_backend::scheduler::noise;
use speedwell_wire::{CounterSource, MeasurementReport, Metric, Sample, UnavailableKind};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::comparing::{PAIR, insert_other_runtime, json, row, tag, two_runtimes};
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn two_runtimes_stand_side_by_side(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    let answer = json(&app, PAIR).await;
    assert_eq!(answer["metric"], "wall_time");
    let nbody = &row(&answer, "nbody")["values"];
    assert!(
        (nbody[1]["ratio"].as_f64().unwrap() - 0.2).abs() < 0.01,
        "{nbody}"
    );
    assert_eq!(nbody[1]["verdict"], "better");
    assert_eq!(nbody[1]["noise_is_known"], false);
    let mean = &answer["means"][0];
    // 0.2 and 0.12 / 0.2.
    assert!(
        (mean["ratio"].as_f64().unwrap() - (0.2_f64 * 0.6).sqrt()).abs() < 0.01,
        "{mean}"
    );
    assert_eq!(mean["benchmarks"], 2);
    assert_eq!(answer["left_out"], serde_json::json!([]));
    let (status, page) = app.get(&format!("/compare?{PAIR}")).await;
    assert_eq!(status, 200, "{page}");
    for text in [
        "× faster",
        "2 of 2 shown",
        "every benchmark has a value",
        "pypy jit",
        "/compare/nbody?a=cpython-main&#38;b=pypy-main",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // Turned round, the same is slower.
    let (_, page) = app.get("/compare?a=pypy-main&b=cpython-main").await;
    assert!(page.contains(">slower</span>"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn points_are_tags_commits_and_the_head(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, _) = two_runtimes(&pool, &app).await;
    let hash = format!("{:0>40}", "2");
    let answer = json(
        &app,
        &format!("a=cpython-main@v1.0&b=cpython-main@{}&c=cpython-main", hash),
    )
    .await;
    assert_eq!(answer["subjects"][0]["tags"][0], "v1.0");
    assert_eq!(answer["subjects"][2]["commit"], format!("{:0>40}", "3"));
    let nbody = &row(&answer, "nbody")["values"];
    assert_eq!(nbody[1]["verdict"], "within_noise");
    // A second run of one commit: both are one value.
    let worker = TestWorker::register(&app, "secret").await;
    insert_job(&pool, &rows, 0, 1).await;
    worker.deliver(0.101, &[]).await;
    let answer = json(&app, "a=cpython-main@v1.0&b=cpython-main@v1.1").await;
    assert_eq!(answer["subjects"][0]["runs"].as_array().unwrap().len(), 2);
    let base = &row(&answer, "nbody")["values"][0];
    assert_eq!(
        (base["runs"].as_i64(), base["samples"].as_i64()),
        (Some(2), Some(16))
    );
    // The floor between runs is known now, and a difference below it is within the noise.
    noise::tick(&app.context).await.unwrap();
    let answer = json(&app, "a=cpython-main@v1.0&b=cpython-main@v1.1").await;
    let nbody = &row(&answer, "nbody")["values"][1];
    assert_eq!(
        (nbody["noise_is_known"].as_bool(), nbody["verdict"].as_str()),
        (Some(true), Some("within_noise"))
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_cannot_be_named_is_said_with_what_can(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    tag(&pool, "unmeasured", insert_commit(&pool).await).await;
    for (query, status, words) in [
        ("a=cpython-main", 400, "b: name two to six"),
        (
            "a=cpython-main&b=jython",
            404,
            "Measured runtimes: cpython-main, pypy-main",
        ),
        (
            "a=cpython-main&b=cpython-main@v9",
            404,
            "head, v1.1, v1.0, on lab-1",
        ),
        (
            "a=cpython-main@unmeasured&b=pypy-main",
            404,
            "a: unmeasured of cpython-main was not measured",
        ),
        ("a=cpython-main@0000000&b=pypy-main", 404, "several commits"),
        ("a=cpython-main&b=pypy-main~nowhere", 404, "on host"),
        ("a=cpython-main&b=@v1", 400, "runtime is missing"),
        ("a=cpython-main&b=pypy-main&metric=speed", 400, "metric"),
        ("a=cpython-main&b=pypy-main&source=guess", 400, "source"),
        ("a=cpython-main&b=pypy-main&sort=c", 400, "sort"),
        ("a=cpython-main&b=pypy-main&only=best", 400, "only"),
        ("a_runtime=&b_runtime=pypy-main&a_point=x", 303, ""),
    ] {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let response = client
            .get(format!("{}/compare?{query}&x=", app.address))
            .send()
            .await
            .unwrap();
        let found = response.status().as_u16();
        let page = response.text().await.unwrap();
        // One subject alone gets the form.
        if query == "a=cpython-main" {
            assert!(
                found == 200 && page.contains("at least one more subject"),
                "{page}"
            );
            let (found, text) = app.get(&format!("/api/v1/compare?{query}")).await;
            assert!(found == status && text.contains(words), "{text}");
            continue;
        }
        assert!(
            found == status && page.contains(words),
            "{query}: {found} {page}"
        );
    }
    let (status, text) = app
        .get("/api/v1/compare?a=cpython-main&b=pypy-main&sort=b")
        .await;
    assert!(status == 400 && text.contains("sort: unknown"), "{text}");
}

async fn insert_commit(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject)
         SELECT id, repeat('f', 40), '{}', 'A', 'a@example.org', now(), now(), 'x' FROM repository RETURNING id",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Measures PyPy's head once more, with a report that was changed.
async fn deliver_changed(
    pool: &PgPool,
    app: &TestApp,
    rows: &Rows,
    change: impl Fn(&mut speedwell_wire::RunReport),
) {
    let worker = TestWorker::register(app, "secret").await;
    insert_job(pool, rows, 2, 1).await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    let mut report = worker.report(&job, &artefact, 0.02);
    change(&mut report);
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
}

fn counted(metric: Metric, source: CounterSource, values: &[f64]) -> MeasurementReport {
    let sample = |(process, value): (usize, &f64)| Sample {
        process: u32::try_from(process).unwrap(),
        warmup: false,
        value: *value,
    };
    MeasurementReport {
        metric,
        source,
        samples: values.iter().enumerate().map(sample).collect(),
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_missing_or_not_alike_is_left_out_with_its_reason(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    let other = insert_other_runtime(&pool, &rows).await;
    deliver_changed(&pool, &app, &rows, |report| {
        for (benchmark, source) in report
            .benchmarks
            .iter_mut()
            .zip([CounterSource::Pmu, CounterSource::Pmu])
        {
            benchmark.unavailable.clear();
            benchmark
                .measurements
                .push(counted(Metric::Instructions, source, &[5e6, 5e6, 5e6]));
            benchmark.measurements.push(counted(
                Metric::PageFaults,
                CounterSource::Software,
                &[0.0, 0.0, 0.0],
            ));
        }
    })
    .await;
    deliver_changed(&pool, &app, &other, |report| {
        let gone = report.benchmarks.pop().unwrap();
        let nbody = &mut report.benchmarks[0];
        nbody.unavailable.clear();
        nbody.measurements.push(counted(
            Metric::Instructions,
            CounterSource::Valgrind,
            &[4e6],
        ));
        nbody.measurements.push(counted(
            Metric::PageFaults,
            CounterSource::Software,
            &[7.0, 7.0, 7.0],
        ));
        report.benchmarks.push(speedwell_wire::BenchmarkResult {
            measurements: Vec::new(),
            unavailable: vec![speedwell_wire::Unavailable {
                metric: None,
                kind: UnavailableKind::Crashed,
                reason: "<script>alert(1)</script>|=cmd".to_owned(),
            }],
            ..gone
        });
    })
    .await;
    let answer = json(&app, PAIR).await;
    let richards = &row(&answer, "richards")["values"][1];
    assert!(
        richards["reason"]
            .as_str()
            .unwrap()
            .starts_with("unavailable: <script>")
    );
    assert_eq!(answer["means"][0]["benchmarks"], 1);
    assert_eq!(answer["left_out"][0]["letter"], "b");
    let (_, page) = app.get(&format!("/compare?{PAIR}")).await;
    assert!(
        page.contains("unavailable: &#60;script&#62;") && !page.contains("<script>alert"),
        "{page}"
    );
    let (_, text) = app.get(&format!("/compare.md?{PAIR}")).await;
    assert!(
        text.contains("\\<script\\>") && text.contains("\\|=cmd"),
        "{text}"
    );
    // Counters of two sources are never compared, and zero is no base.
    let answer = json(&app, &format!("{PAIR}&metric=instructions")).await;
    let reason = row(&answer, "nbody")["values"][1]["reason"]
        .as_str()
        .unwrap();
    assert_eq!(reason, "counted by another source (valgrind)");
    assert!(answer["means"][0]["ratio"].is_null());
    let answer = json(&app, &format!("{PAIR}&metric=page_faults")).await;
    assert!(
        row(&answer, "nbody")["values"][1]["reason"]
            .as_str()
            .unwrap()
            .contains("zero")
    );
    let (_, page) = app
        .get(&format!("/compare?{PAIR}&metric=page_faults"))
        .await;
    assert!(
        page.contains("there is no mean") && page.contains("Nothing here can be compared"),
        "{page}"
    );
    // Another version of a benchmark is another benchmark.
    sqlx::query(
        "WITH new AS (INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
            VALUES ('nbody', 'x', 'x', 'x', '{}', 'fedcba9876543210') RETURNING id)
         UPDATE series SET benchmark_id = new.id FROM new
         WHERE runtime_id = $1 AND metric = 'wall_time' AND benchmark_id IN (SELECT id FROM benchmark WHERE name = 'nbody')",
    )
    .bind(other.runtime_id)
    .execute(&pool)
    .await
    .unwrap();
    let answer = json(&app, PAIR).await;
    let nbody = row(&answer, "nbody");
    assert_eq!(
        nbody["values"][1]["reason"],
        "another version of the benchmark (fedcba987654)"
    );
    let (status, page) = app.get(&format!("/compare/nbody?{PAIR}")).await;
    assert!(
        status == 200 && page.contains("another version of the benchmark"),
        "{page}"
    );
    let (_, page) = app.get("/matrix").await;
    assert!(
        page.contains("other version") && page.contains("unavailable"),
        "{page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn another_host_or_environment_is_marked(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, other) = two_runtimes(&pool, &app).await;
    let (_, page) = app.get(&format!("/compare?{PAIR}")).await;
    assert!(!page.contains("note grave"), "{page}");
    // PyPy at another commit on another host alone.
    hosts::upsert(&pool, "lab-2", "local", &sha256_hex(b"other"))
        .await
        .unwrap();
    let mut facts = crate::support::worker::facts();
    facts.kernel = "another".into();
    let worker = TestWorker::register_with(&app, "other", facts.clone()).await;
    insert_job(&pool, &other, 1, 1).await;
    worker.deliver(0.02, &[]).await;
    let query = "a=cpython-main@v1.1&b=pypy-main@v1.1";
    let (_, page) = app.get(&format!("/compare?{query}")).await;
    assert!(
        page.contains("Different hosts") && page.contains("a: lab-1, b: lab-2"),
        "{page}"
    );
    // The head is looked for on the host that both share.
    let answer = json(&app, PAIR).await;
    assert_eq!(answer["subjects"][1]["host"], "lab-1");
    let answer = json(&app, "a=cpython-main&b=pypy-main~lab-2").await;
    assert_eq!(answer["subjects"][1]["tags"][0], "v1.1");
    assert!(
        answer["marks"][0]
            .as_str()
            .unwrap()
            .starts_with("Different hosts")
    );
    // The first host with another kernel.
    let worker = TestWorker::register_with(&app, "secret", facts).await;
    insert_job(&pool, &rows, 1, 1).await;
    worker.deliver(0.1, &[]).await;
    let answer = json(&app, "a=cpython-main@v1.0&b=cpython-main@v1.1").await;
    assert_eq!(
        answer["marks"],
        serde_json::json!([]),
        "the run that is alike is taken"
    );
    assert_eq!(answer["subjects"][1]["runs"].as_array().unwrap().len(), 1);
    let answer = json(&app, "a=cpython-main@v1.1&b=cpython-main@v1.0").await;
    assert!(
        answer["marks"][0]
            .as_str()
            .unwrap()
            .starts_with("Different environments"),
        "{answer}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_table_is_sorted_and_filtered_by_its_address(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    let place = |page: &str, name: &str| {
        page.find(&format!(">{name}</a></th>"))
            .unwrap_or(usize::MAX)
    };
    let (_, page) = app.get(&format!("/compare?{PAIR}&sort=-ratio")).await;
    assert!(
        place(&page, "richards") < place(&page, "nbody")
            && page.contains("aria-sort=\"descending\"")
    );
    let (_, page) = app.get(&format!("/compare?{PAIR}&sort=b")).await;
    assert!(place(&page, "nbody") < place(&page, "richards"));
    let (_, page) = app.get(&format!("/compare?{PAIR}&match=RICH")).await;
    assert!(page.contains("1 of 2 shown") && place(&page, "nbody") == usize::MAX);
    let (_, page) = app
        .get(&format!("/compare?{PAIR}&match=%22%3E%3Cb%3E"))
        .await;
    assert!(
        page.contains("No benchmark fits the filter") && !page.contains("\"><b>"),
        "{page}"
    );
    let (_, page) = app
        .get("/compare?a=cpython-main@v1.0&b=cpython-main&only=changed")
        .await;
    assert!(page.contains("No benchmark fits the filter"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_form_offers_what_was_measured(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (status, page) = app.get("/compare").await;
    assert!(
        status == 200 && page.contains("Nothing was measured yet"),
        "{page}"
    );
    let (status, page) = app.get("/matrix").await;
    assert!(
        status == 200 && page.contains("Nothing was measured yet"),
        "{page}"
    );
    two_runtimes(&pool, &app).await;
    let (_, page) = app.get("/compare").await;
    for text in [
        "The last two releases",
        "a=cpython-main@v1.0&#38;b=cpython-main@v1.1",
        "Since the last release",
        "Build options",
        "<option value=\"v1.0\">",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    // The form's fields become the address.
    let (status, page) = app.get("/compare?a_runtime=cpython-main&a_point=v1.0&a_host=&b_runtime=pypy-main&b_point=&b_host=lab-1&c_runtime=").await;
    assert!(
        status == 200 && page.contains("a=cpython-main@v1.0&#38;b=pypy-main~lab-1"),
        "{page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_benchmark_shows_its_values_and_all_metrics(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    let (status, page) = app.get(&format!("/compare/nbody?{PAIR}")).await;
    assert_eq!(status, 200, "{page}");
    // Ten samples of which two are warm-ups, of each subject.
    assert_eq!(page.matches("class=\"dot").count(), 16);
    assert!(
        page.contains("8 values of 2 processes") && page.contains("2 warm-ups left out"),
        "{page}"
    );
    assert!(
        page.contains("<strong>0.2") && page.contains("× faster"),
        "{page}"
    );
    assert_eq!(app.get(&format!("/compare/nothing?{PAIR}")).await.0, 404);
    let (status, page) = app
        .get(&format!("/compare/nbody?{PAIR}&metric=instructions"))
        .await;
    assert!(
        status == 200 && page.contains("no distribution to draw"),
        "{page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_matrix_groups_runtimes_by_language(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    two_runtimes(&pool, &app).await;
    let (status, page) = app.get("/matrix").await;
    assert_eq!(status, 200, "{page}");
    let (two, three) = (
        page.find(">Python 2<").unwrap(),
        page.find(">Python 3<").unwrap(),
    );
    assert!(two < three);
    assert!(
        page.contains("class=\"m b3\"><a href=\"/compare/nbody?a=cpython-main&amp;b=pypy-main\""),
        "{page}"
    );
    assert!(
        page.contains(">0.20</a>") && page.contains("of 2</small>"),
        "{page}"
    );
    let (_, page) = app.get("/matrix?base=pypy-main").await;
    assert!(
        page.contains("class=\"m w3\"") && page.contains("5.0"),
        "{page}"
    );
    let (_, page) = app
        .get("/matrix?base=cpython-main@v1.0&runtime=cpython-main@v1.1&runtime=jython")
        .await;
    assert!(
        page.contains("= 1.00") && page.contains("jython: there is no runtime"),
        "{page}"
    );
    assert!(
        app.get("/matrix?suite=portable")
            .await
            .1
            .contains(">nbody</a>")
    );
    assert_eq!(app.get("/matrix?suite=x").await.0, 400);
    assert_eq!(app.get("/matrix?host=x").await.0, 400);
    assert_eq!(app.get("/matrix?base=x").await.0, 404);
}
