//! The pages over a real database: what they say, what they refuse, what they escape.

use speedwell_backend::db::suites;
use speedwell_backend::scheduler::{index, trace};
use speedwell_wire::{FailureKind, HostFlag, HostSeverity, JobFailure, Phase, paths};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{TestWorker, insert_job, insert_rows, measure};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn an_empty_service_says_what_to_do(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    for (path, words) in [
        ("/", "No runtime is configured"),
        ("/queue", "No host is registered"),
        ("/benchmarks", "No worker has registered a suite yet"),
        ("/hosts", "No host is registered"),
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(page.contains(words), "{path}: {page}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_not_there_is_a_page_that_says_so(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    for path in [
        "/runs/7",
        "/jobs/7",
        "/benchmarks/x",
        "/runtimes/x",
        "/hosts/x",
        "/commits/0123456789",
        "/no/such/page",
        "/runs/x",
        "/regressions/x",
        "/bisections/x",
        "/recompute/x",
        "/bisections/7",
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 404, "{path}: {page}");
        assert!(page.contains("<h1>"), "{path} is no page: {page}");
    }
    let (status, page) = app.get("/commits/xyz").await;
    assert!(
        status == 400 && page.contains("seven hexadecimal digits"),
        "{page}"
    );
    let (status, answer) = app.get("/api/v1/runs/7").await;
    assert!(
        status == 404 && answer.contains("There is no run 7"),
        "{answer}"
    );
    let (status, answer) = app.get("/api/v1/jobs?limit=5000").await;
    assert!(
        status == 400 && answer.contains("\"field\":\"limit\""),
        "{answer}"
    );
    let (status, answer) = app.get("/api/v1/jobs?sate=queued").await;
    assert!(status == 400 && answer.contains("sate"), "{answer}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn nothing_from_outside_becomes_markup(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    let worker = TestWorker::register(&app, "secret").await;
    sqlx::query(
        "UPDATE commit SET subject = '<script>alert(1)</script> \"&', author_name = '<b>bold</b>'",
    )
    .execute(&pool)
    .await
    .unwrap();
    insert_job(&pool, &rows, 0, 1).await;
    let job = worker.claim().await.unwrap();
    let evil = "\u{1b}]0;title\u{7}<img src=x onerror=alert(1)>\n";
    let log = app.client.post(format!(
        "{}{}?lease={}&offset=0",
        app.address,
        paths::log(job.job_id),
        job.lease_id
    ));
    assert_eq!(worker.send(log.body(evil)).await.0, 204);
    let failure = JobFailure {
        lease_id: job.lease_id,
        kind: FailureKind::Permanent,
        phase: Phase::Build,
        message: "make failed: <img src=x>".into(),
        log_tail: "ceval.c:1: error: <iostream>\n".into(),
    };
    assert_eq!(
        worker.post(&paths::failure(job.job_id), &failure).await.0,
        204
    );
    insert_job(&pool, &rows, 1, 1).await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    assert_eq!(
        worker
            .upload(job.job_id, &worker.report(&job, &artefact, 0.1))
            .await
            .0,
        200
    );
    trace::tick(&app.context).await.unwrap();
    for path in [
        "/",
        "/queue",
        "/jobs/1",
        "/runs/1",
        "/benchmarks/nbody",
        "/timeline?benchmark=nbody&metric=wall_time",
        "/runs/1/reproduce/nbody",
        "/runtimes/cpython-main",
        "/commits/0000000000000000000000000000000000000002",
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 200, "{path}");
        for forbidden in ["<script>", "<img src=x", "<b>bold", "\u{1b}", "\u{7}"] {
            assert!(!page.contains(forbidden), "{path} holds {forbidden:?}");
        }
    }
    let (_, page) = app.get("/jobs/1").await;
    assert!(
        page.contains("Why it failed") && page.contains("error: &#60;iostream&#62;"),
        "{page}"
    );
    let response = app
        .client
        .get(format!("{}/", app.address))
        .send()
        .await
        .unwrap();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn every_number_leads_to_its_source(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    measure(&pool, &app, &rows, &[0.1, 0.1]).await;
    index::tick(&app.context).await.unwrap();
    trace::tick(&app.context).await.unwrap();
    let (_, overview) = app.get("/runtimes/cpython-main").await;
    assert!(
        overview.contains("/timeline?benchmark=nbody&#38;runtime=cpython-main")
            && overview.contains("<svg class=\"spark\""),
        "{overview}"
    );
    let (_, series) = app
        .get("/timeline?benchmark=nbody&runtime=cpython-main&metric=wall_time&last=10")
        .await;
    assert!(
        series.contains("/runs/2")
            && series.contains("/commits/0000000000000000000000000000000000000002")
            && series.contains("href=\"/benchmarks/nbody\""),
        "{series}"
    );
    let (status, both) = app
        .get("/timeline?benchmark=nbody&runtime=cpython-main&runtime=cpython-2.7&last=20")
        .await;
    assert!(
        status == 200
            && both.contains("<svg class=\"chart\"")
            && both.contains("cpython-2.7: nothing"),
        "{both}"
    );
    let (status, page) = app.get("/runtimes/cpython-main?before=x").await;
    assert!(status == 400 && page.contains("<nav"), "{page}");
    let (_, list) = app.get("/suites").await;
    assert!(list.contains("/suites/portable"), "{list}");
    let (_, suite) = app.get("/suites/portable").await;
    assert!(
        suite.contains("Wall time")
            && suite.contains("/matrix?suite=portable")
            && suite.contains("Version 1"),
        "{suite}"
    );
    for words in [
        "Two for a test",
        "pyperformance==0.9.1",
        "richards against nbody",
    ] {
        assert!(suite.contains(words), "{words}: {suite}");
    }
    // A metric that is only ever unavailable has no table; beside values its reason stands in the cell.
    sqlx::query(
        "INSERT INTO unavailable (run_id, benchmark_id, metric, kind, reason)
         SELECT run_id, benchmark_id, 'max_rss', 'unsupported', 'the kernel is mute'
         FROM measurement JOIN series ON series.id = series_id",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (status, suite) = app.get("/suites/portable").await;
    assert!(status == 200 && !suite.contains("Peak memory"), "{suite}");
    let cells = suites::list_results(&pool, "portable", &["max_rss"])
        .await
        .unwrap();
    assert!(!cells.is_empty());
    for cell in cells {
        let reason = cell.reason.as_deref();
        assert_eq!(
            (cell.metric.as_deref(), cell.median, reason),
            (Some("max_rss"), None, Some("the kernel is mute"))
        );
    }
    assert_eq!(app.get("/suites/none").await.0, 404);
    let (_, run) = app.get("/runs/2").await;
    for words in [
        "Unavailable metrics",
        "no counters on this machine",
        "ccache",
        "fingerprint",
        "/api/v1/runs/2/pyperf",
    ] {
        assert!(
            run.replace("compiler cache", "ccache").contains(words),
            "{words} is missing in {run}"
        );
    }
    let (status, raw) = app.get("/api/v1/runs/2/pyperf").await;
    assert!(
        status == 200 && raw.contains("\"version\":\"1.0\""),
        "{raw}"
    );
    let (_, commit) = app
        .get("/commits/0000000000000000000000000000000000000002")
        .await;
    assert!(
        commit.contains("the commit before") && commit.contains("geometric mean of 2 benchmarks"),
        "{commit}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn results_carry_what_was_wrong_with_their_host(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    let mut report = worker.report(&job, &artefact, 1.0);
    let flag = |name: &str, severity, value: &str| HostFlag {
        name: name.to_owned(),
        severity,
        value: value.to_owned(),
        good: "less".to_owned(),
    };
    report.host_flags = vec![
        flag("isolated", HostSeverity::Warning, "none"),
        flag("busy", HostSeverity::Unfit, "<b>40 %</b> just now"),
    ];
    let mut wrong = report.clone();
    wrong.host_flags[1].value = "a\0b".to_owned();
    let (status, answer) = worker.upload(job.job_id, &wrong).await;
    assert!(
        status == 422 && answer.to_string().contains("host_flags[1].value"),
        "{answer}"
    );
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
    let run = answer["run_id"].as_i64().unwrap();
    let (_, page) = app.get(&format!("/runs/{run}")).await;
    for words in [
        "The host was not as it should be",
        "badge unfit",
        "&#60;b&#62;40 %",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app
        .get("/timeline?benchmark=nbody&runtime=cpython-main")
        .await;
    assert!(page.contains("badge unfit"), "{page}");
    let (_, json) = app.get(&format!("/api/v1/runs/{run}")).await;
    assert!(json.contains("\"severity\":\"unfit\""), "{json}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_waits_says_why_and_silent_hosts_are_marked(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    insert_job(&pool, &rows, 0, 1).await;
    let (_, page) = app.get("/queue").await;
    assert!(
        page.contains("every host of class local is silent") && page.contains(">silent<"),
        "{page}"
    );
    let worker = TestWorker::register(&app, "secret").await;
    insert_job(&pool, &rows, 1, 5).await;
    worker.claim().await.unwrap();
    let (_, page) = app.get("/queue").await;
    assert!(
        page.contains("its hosts are busy") && !page.contains(">silent<"),
        "{page}"
    );
    sqlx::query("UPDATE job SET host_class = 'skylake' WHERE state = 'queued'")
        .execute(&pool)
        .await
        .unwrap();
    let (_, page) = app.get("/queue").await;
    assert!(
        page.contains("no host of class skylake is registered"),
        "{page}"
    );
    sqlx::query("UPDATE repository SET last_fetch_error = 'git fetch failed: gone'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(app.get("/queue").await.1.contains("git fetch failed: gone"));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_api_is_described_and_health_is_honest(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, text) = app.get("/api/v1/openapi.json").await;
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let described = description["paths"].as_object().unwrap();
    assert_eq!(described.len(), 31);
    for (path, item) in described {
        if item.get("get").is_none() {
            continue;
        }
        let path = path
            .replace("{id}", "1")
            .replace("{name}", "x")
            .replace("{hash}", "0123456789");
        // What it cannot do without.
        let path = match path.as_str() {
            "/api/v1/compare" => "/api/v1/compare?a=x&b=y".to_owned(),
            "/api/v1/search" => "/api/v1/search?q=x".to_owned(),
            "/api/v1/series.parquet" => "/api/v1/series.parquet?runtime=x".to_owned(),
            _ => path,
        };
        let (status, answer) = app.get(&path).await;
        assert!(status == 200 || status == 404, "{path}: {status}");
        assert!(
            !answer.contains("There is nothing at this address"),
            "{path} has no route"
        );
    }
    assert_eq!(app.get("/health").await.0, 200);
    assert_eq!(app.get("/metrics").await.0, 200);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn benchmarks_of_one_name_are_told_apart_by_their_version(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    measure(&pool, &app, &rows, &[0.25]).await;
    // Another suite has another script of the same name, which another runtime ran: half as long.
    for statement in [
        "INSERT INTO suite (name, version, sha256) VALUES ('modern', 1, 's')",
        "INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
         VALUES ('nbody', 'Another', 'x', 'y', '{}', repeat('f', 64))",
        "INSERT INTO suite_benchmark SELECT suite.id, benchmark.id, 0 FROM suite, benchmark
         WHERE suite.name = 'modern' AND benchmark.identity = repeat('f', 64)",
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name)
         SELECT 'cpython-modern', language, branch_id, recipe, recipe_sha256, 'modern' FROM runtime",
        "INSERT INTO series (runtime_id, benchmark_id, metric, counter_source, host_id)
         SELECT runtime.id, benchmark.id, 'wall_time', 'software', host.id FROM runtime, benchmark, host
         WHERE runtime.name = 'cpython-modern' AND benchmark.identity = repeat('f', 64)",
        "INSERT INTO measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count, median,
            mean, mad, min, max, interval_low, interval_high, sample_values, sample_process, sample_warmup)
         SELECT now(), series.id, run.id, run.commit_id, run.environment_id, 0, 1, 0.125, 0.125, 0, 0.125, 0.125, 0.125,
            0.125, '{0.125}', '{0}', '{f}' FROM run, series JOIN runtime ON runtime.id = series.runtime_id
         WHERE runtime.name = 'cpython-modern'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    trace::tick(&app.context).await.unwrap();
    let all = "/timeline?benchmark=nbody";
    for (query, seconds, other) in [
        ("&runtime=cpython-main", "250", "125"),
        ("&runtime=cpython-modern", "125", "250"),
        ("&metric=wall_time", "125", "250"),
        ("&version=ffffffffffff", "125", "250"),
        (
            "&version=ffffffffffff&runtime=cpython-modern&runtime=cpython-main",
            "125",
            "250",
        ),
    ] {
        let path = format!("{all}{query}");
        let (status, page) = app.get(&path).await;
        assert_eq!(status, 200, "{path}");
        let shows = |value: &str| {
            page.contains(&format!("{value}\u{a0}ms"))
                || page.contains(&format!("{value}.0\u{a0}ms"))
        };
        assert!(shows(seconds) && !shows(other), "{path}: {page}");
        for words in ["2 versions of nbody", "modern 1", "portable 1"] {
            assert!(page.contains(words), "{path}: {words}: {page}");
        }
    }
    // The other version is asked for without the runtime that never ran it, and a version that is not there is named.
    let (_, page) = app.get(&format!("{all}&runtime=cpython-main")).await;
    assert!(
        page.contains("Shown is ")
            && page.contains(
                "<a href=\"/timeline?benchmark=nbody&#38;version=ffffffffffff\">ffffffffffff of modern 1</a>"
            ),
        "{page}"
    );
    let query = "&runtime=cpython-main&version=ffffffffffff";
    let (_, page) = app.get(&format!("{all}{query}")).await;
    assert!(
        page.contains("version ffffffffffff: nothing was measured for this together"),
        "{page}"
    );
}
