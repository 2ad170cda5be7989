//! The pages that explain a number, over a real database: profiles, counters, what a step costs.

use speedwell_wire::{
    CounterSource, MeasurementReport, Metric, ProfileReport, ProfileStack, ProfileTool, Sample,
    Sampled,
};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{TestWorker, insert_job, insert_rows};

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
    assert!(!page.contains("<script>"), "{page}");
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
    crate::support::worker::manifest().benchmarks[0]
        .name
        .clone()
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
