//! The pages over a real database: what they say, what they refuse, what they escape.

mod support;

use speedwell_backend::db::suites;
use speedwell_wire::{
    CounterSource, FailureKind, HostFlag, HostSeverity, JobFailure, MeasurementReport, Metric,
    Phase, ProfileReport, ProfileStack, ProfileTool, Sample, Sampled, paths,
};
use sqlx::PgPool;
use support::TestApp;
use support::worker::{TestWorker, insert_job, insert_rows, measure};

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
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 404, "{path}: {page}");
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
    for path in [
        "/",
        "/queue",
        "/jobs/1",
        "/runs/1",
        "/benchmarks/nbody",
        "/runtimes/cpython-main",
        "/commits/0000000000000000000000000000000000000002",
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 200, "{path}");
        for forbidden in ["<script", "<img", "<b>bold", "\u{1b}", "\u{7}"] {
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
    let (_, overview) = app.get("/").await;
    assert!(
        overview.contains("/benchmarks/nbody?runtime=cpython-main")
            && overview.contains("<svg class=\"spark\""),
        "{overview}"
    );
    let (_, series) = app
        .get("/benchmarks/nbody?runtime=cpython-main&metric=wall_time&last=10")
        .await;
    assert!(
        series.contains("/runs/2")
            && series.contains("/commits/0000000000000000000000000000000000000002"),
        "{series}"
    );
    let (status, both) = app
        .get("/benchmarks/nbody?runtime=cpython-main&runtime=cpython-2.7&last=20")
        .await;
    assert!(status == 200 && both.contains("svg"), "{both}");
    let (status, page) = app.get("/benchmarks/nbody?last=many").await;
    assert!(
        status == 400 && page.contains("is no number") && page.contains("<nav"),
        "{page}"
    );
    let (status, page) = app.get("/runtimes/cpython-main?before=x").await;
    assert!(status == 400 && page.contains("<nav"), "{page}");
    let (_, list) = app.get("/suites").await;
    assert!(list.contains("/suites/portable"), "{list}");
    let (_, suite) = app.get("/suites/portable?baseline=cpython-2.7").await;
    assert!(
        suite.contains("Wall time") && suite.contains("/runs/") && suite.contains("Version 1"),
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
    let (_, page) = app.get("/benchmarks/nbody?runtime=cpython-main").await;
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
    assert_eq!(described.len(), 14);
    for path in described.keys() {
        let path = path
            .replace("{id}", "1")
            .replace("{name}", "x")
            .replace("{hash}", "0123456789");
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
    let old = "/benchmarks/nbody?runtime=cpython-main";
    let new = "/benchmarks/nbody?runtime=cpython-modern";
    for (path, seconds, other) in [
        (old, "250", "125"),
        (new, "125", "250"),
        ("/benchmarks/nbody", "125", "250"),
        (
            "/benchmarks/nbody?version=ffffffffffff&runtime=cpython-main",
            "125",
            "250",
        ),
    ] {
        let (status, page) = app.get(path).await;
        assert_eq!(status, 200, "{path}");
        let shows = |value: &str| {
            page.contains(&format!("{value}\u{a0}ms"))
                || page.contains(&format!("{value}.0\u{a0}ms"))
        };
        assert!(shows(seconds) && !shows(other), "{path}: {page}");
        assert!(page.contains("2 versions of this benchmark"), "{path}");
        assert!(
            page.contains("modern 1") && page.contains("portable 1"),
            "{path}"
        );
    }
}

/// A profile of two stacks; the second's function has a hostile name.
fn profile(adds: f64) -> ProfileReport {
    let stack = |frames: &str, count| ProfileStack {
        frames: frames.to_owned(),
        object: "python3.14".to_owned(),
        count,
    };
    ProfileReport {
        tool: ProfileTool::Callgrind,
        total: adds + 400.0,
        stacks: vec![
            stack("main;_PyEval_EvalFrameDefault", 300.0),
            stack("main;_PyEval_EvalFrameDefault;long_add", adds),
            stack("main;<script>alert(1)</script>", 50.0),
        ],
        build_ids: std::collections::BTreeMap::new(),
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_profile_has_its_page_and_compares_with_another(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    let worker = TestWorker::register(&app, "secret").await;
    for (commit, adds) in [(0, 600.0), (1, 100.0)] {
        insert_job(&pool, &rows, commit, 1).await;
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, 0.1);
        report.benchmarks[0].profile = Some(ProfileReport {
            total: 1.0,
            ..profile(adds)
        });
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 422);
        assert!(
            answer.to_string().contains("benchmarks[0].profile.total"),
            "{answer}"
        );
        report.benchmarks[0].profile = Some(profile(adds));
        let mut twice = report.clone();
        twice.benchmarks[0].measurements.push(MeasurementReport {
            metric: Metric::MainLoopShare,
            source: CounterSource::Valgrind,
            samples: vec![Sample {
                process: 0,
                warmup: false,
                value: 0.5,
            }],
        });
        let (status, answer) = worker.upload(job.job_id, &twice).await;
        assert_eq!(status, 422);
        assert!(
            answer.to_string().contains("follows from the profile"),
            "{answer}"
        );
        assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
    }
    let name = report_name();
    let (_, page) = app.get("/runs/1").await;
    assert!(page.contains(&format!("/runs/1/profiles/{name}")), "{page}");
    let (status, page) = app.get(&format!("/runs/1/profiles/{name}")).await;
    assert_eq!(status, 200, "{page}");
    for words in [
        "Main interpreter loop",
        "30.0\u{a0}%",
        "60.0\u{a0}%",
        "run 2, cpython-main",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("<script"), "{page}");
    let (_, page) = app.get(&format!("/runs/2/profiles/{name}?against=1")).await;
    // 500 instructions less of 1000.
    assert!(
        page.contains("-50.0\u{a0}%") && page.contains("Numbers"),
        "{page}"
    );
    let (status, svg) = app
        .get(&format!(
            "/runs/2/profiles/{name}/flame.svg?still=true&against=1"
        ))
        .await;
    assert!(status == 200 && svg.contains("long_add"), "{svg}");
    assert!(!svg.contains("<script"), "{svg}");
    // The picture's script writes what was searched into its address; the page takes nothing unknown.
    let searched = format!("/runs/2/profiles/{name}/flame.svg?against=1&s=long&x=1&y=2");
    assert_eq!(app.get(&searched).await.0, 200);
    assert_eq!(
        app.get(&format!("/runs/2/profiles/{name}?s=long")).await.0,
        400
    );
    for path in ["/runs/1/profiles/other", "/runs/9/profiles/nbody"] {
        assert_eq!(app.get(path).await.0, 404, "{path}");
    }
    let missing = format!("/runs/1/profiles/{name}?against=77");
    assert_eq!(app.get(&missing).await.0, 404);
    let share: f64 = sqlx::query_scalar(
        "SELECT median FROM measurement JOIN series ON series.id = series_id
         WHERE metric = 'main_loop_share' AND counter_source = 'valgrind' AND run_id = 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!((share - 0.3).abs() < 1e-9, "{share}");
}

/// Samples of a run: 1000 of them in ten loops of 50 ms.
fn sampled(of_loop: f64) -> ProfileReport {
    ProfileReport {
        tool: ProfileTool::Sampling(Sampled {
            source: CounterSource::Software,
            period: 0.000_5,
            lost: 7,
            counted: 0.5,
            per: 10.0,
        }),
        total: 1000.0,
        stacks: [
            ("main;_PyEval_EvalFrameDefault", of_loop),
            (
                "main;_PyEval_EvalFrameDefault;read;vfs_read_[k]",
                900.0 - of_loop,
            ),
            ("[outer];compiled_[j]", 100.0),
        ]
        .map(|(frames, count)| ProfileStack {
            frames: frames.to_owned(),
            object: String::new(),
            count,
        })
        .into(),
        build_ids: [("python3.14".to_owned(), "c0ffee".to_owned())].into(),
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_profile_by_samples_says_how_sure_it_is_and_compares_with_its_like(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 4).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut without_loop = sampled(400.0);
    without_loop.stacks.remove(0);
    let all = [sampled(400.0), sampled(600.0), profile(100.0), without_loop];
    for (commit, profile) in all.into_iter().enumerate() {
        insert_job(&pool, &rows, commit, 1).await;
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, 0.1);
        report.benchmarks[0].profile = Some(profile);
        assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
    }
    let name = report_name();
    let (status, page) = app.get(&format!("/runs/1/profiles/{name}")).await;
    assert_eq!(status, 200, "{page}");
    for words in [
        "1000 samples",
        "source software",
        "7 lost",
        "50.00\u{a0}ms for each loop",
        "account for 100.0\u{a0}% of it",
        // √(0.4 · 0.6 / 1000)
        "40.0\u{a0}% ± 1.5",
        "Kernel",
        "Code compiled at run time",
        "c0ffee",
        "run 2, cpython-main",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("run 3, cpython-main"),
        "another tool's: {page}"
    );
    let (_, page) = app.get(&format!("/runs/2/profiles/{name}?against=1")).await;
    assert!(page.contains("+20.0\u{a0}% ± 2.2"), "{page}");
    let picture = format!("/runs/2/profiles/{name}/flame.svg?against=1");
    let (_, svg) = app.get(&picture).await;
    assert!(
        svg.contains("samples") && svg.contains("vfs_read ("),
        "{svg}"
    );
    let mixed = format!("/runs/3/profiles/{name}?against=1");
    let (status, page) = app.get(&mixed).await;
    assert!(status == 400 && page.contains("do not compare"), "{page}");
    let shares: Vec<(i64, String, f64)> = sqlx::query_as(
        "SELECT run_id, metric || ' ' || counter_source, median FROM measurement JOIN series ON series.id = series_id
         WHERE metric IN ('main_loop_share', 'compiled_share') ORDER BY run_id, metric",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        (1, "compiled_share software", 0.1),
        (1, "main_loop_share software", 0.4),
        (2, "compiled_share software", 0.1),
        (2, "main_loop_share software", 0.6),
        (3, "main_loop_share valgrind", 0.6),
        (4, "compiled_share software", 0.1),
    ];
    let expected = expected.map(|(run, series, share)| (run, series.to_owned(), share));
    assert_eq!(shares, expected);
    let missing: Vec<(i64, String)> =
        sqlx::query_as("SELECT run_id, reason FROM unavailable WHERE metric = 'main_loop_share'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(
        missing.len() == 1 && missing[0].0 == 4 && missing[0].1.contains("main loop"),
        "{missing:?}"
    );
}

fn report_name() -> String {
    support::worker::manifest().benchmarks[0].name.clone()
}

fn counted(metric: Metric, source: CounterSource, value: f64) -> MeasurementReport {
    MeasurementReport {
        metric,
        source,
        samples: vec![Sample {
            process: 0,
            warmup: false,
            value,
        }],
    }
}

/// Measures two commits with counts of nbody and richards, the latter of the given instructions.
#[expect(clippy::unwrap_used, reason = "a test's helper may panic")]
async fn measure_counts(pool: &PgPool, app: &TestApp) {
    let rows = insert_rows(pool, 2).await;
    let worker = TestWorker::register(app, "secret").await;
    for (commit, instructions) in [(0, 140.0), (1, 121.0)] {
        insert_job(pool, &rows, commit, 1).await;
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, 0.1);
        for (benchmark, value) in report.benchmarks.iter_mut().zip([40.0, instructions]) {
            benchmark.unavailable.clear();
            let pmu = [
                (Metric::FrontendBound, 0.48),
                (Metric::FetchLatency, 0.31),
                (Metric::FetchBandwidth, 0.17),
                (Metric::BadSpeculation, 0.07),
                (Metric::BackendBound, 0.15),
                (Metric::Retiring, 0.30),
            ];
            let pmu = pmu.map(|(metric, share)| counted(metric, CounterSource::Pmu, share));
            benchmark.measurements.extend(pmu);
            benchmark.measurements.push(counted(
                Metric::Instructions,
                CounterSource::Valgrind,
                value,
            ));
        }
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_counters_of_a_run_have_bars_and_a_table_for_each_source(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    assert_eq!(app.get("/runs/1/counters").await.0, 404);
    measure_counts(&pool, &app).await;
    let (_, run) = app.get("/runs/1").await;
    assert!(run.contains("/runs/1/counters"), "{run}");
    let (status, page) = app.get("/runs/1/counters").await;
    assert_eq!(status, 200, "{page}");
    for words in [
        "mean of 2",
        "48.0\u{a0}%",
        "fetch latency 31.0\u{a0}%, fetch bandwidth 17.0\u{a0}%",
        "class=\"frontend_bound part\"",
        "Source valgrind",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("Source pmu<"),
        "its shares are the bars: {page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_step_costs_its_statement_less_another_at_every_commit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (status, page) = app.get("/steps").await;
    assert!(
        status == 200 && page.contains("No runtime has counted"),
        "{page}"
    );
    measure_counts(&pool, &app).await;
    assert_eq!(app.get("/steps/richards").await.0, 404, "of another suite");
    sqlx::query("UPDATE suite SET name = 'micro'")
        .execute(&pool)
        .await
        .unwrap();
    let (_, page) = app.get("/steps").await;
    for words in [
        "<strong>81.00</strong>",
        "121.0 − 40.00",
        "less nbody",
        "Source valgrind",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (status, page) = app.get("/steps/richards").await;
    assert_eq!(status, 200, "{page}");
    for words in [
        "100.0",
        "81.00",
        "less nbody in the same run",
        "/runs/1",
        "/runs/2",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (_, page) = app.get("/steps/nbody?runtime=nobody&last=10").await;
    assert!(
        page.contains("40.00") && !page.contains("in the same run"),
        "{page}"
    );
}
