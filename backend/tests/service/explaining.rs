//! The explain tick over a real database: which sides it reads, what it finds there, and that it says so once.

use serde_json::Value;
use speedwell_backend::scheduler::explain;
use speedwell_wire::{
    CounterSource, MeasurementReport, Metric, ProfileReport, ProfileStack, ProfileTool, Sample,
};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::triage::{insert_point, insert_regression, timeline_of};
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows};

fn samples(value: f64) -> Vec<Sample> {
    let sample = |index: u32| Sample {
        process: index / 5,
        warmup: index.is_multiple_of(5),
        value: value * (1.0 + f64::from(index) * 1e-5),
    };
    (0..10).map(sample).collect()
}

/// A build as the worker packs it: a small program of the system stands for the interpreter.
fn build() -> &'static [u8] {
    let own = std::fs::read("/bin/true").unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(own.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_data(
            &mut header,
            "opt/speedwell/python/bin/python3.14",
            own.as_slice(),
        )
        .unwrap();
    let packed = zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap();
    Box::leak(packed.into_boxed_slice())
}

/// Measures a commit: seconds, instructions and cycles of nbody, and a profile whose main loop has that many instructions.
async fn measure(
    pool: &PgPool,
    worker: &TestWorker<'_>,
    rows: &Rows,
    commit: usize,
    (seconds, instructions, cycles): (f64, f64, f64),
    artefact: &'static [u8],
) {
    insert_job(pool, rows, commit, 1).await;
    let job = worker.claim().await.unwrap();
    let sha256 = worker.build(&job, artefact).await;
    let mut report = worker.report(&job, &sha256, seconds);
    let nbody = &mut report.benchmarks[0];
    nbody.unavailable.clear();
    nbody.measurements[0].samples = samples(seconds);
    for (metric, value) in [
        (Metric::Instructions, instructions),
        (Metric::Cycles, cycles),
    ] {
        nbody.measurements.push(MeasurementReport {
            metric,
            source: CounterSource::Pmu,
            samples: samples(value),
        });
    }
    nbody.profile = Some(ProfileReport {
        tool: ProfileTool::Callgrind,
        total: instructions,
        stacks: [
            ("long_add", 3e6),
            ("_PyEval_EvalFrameDefault", instructions - 3e6),
        ]
        .map(|(function, count)| ProfileStack {
            frames: format!("main;{function}"),
            object: "python3.14".to_owned(),
            count,
        })
        .into(),
        build_ids: [].into(),
    });
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
}

async fn explanation(app: &TestApp, id: i64) -> Value {
    let (status, text) = app.get(&format!("/api/v1/regressions/{id}")).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["explanation"].clone()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_commit_and_its_parent_are_compared_and_said_once(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 6).await;
    sqlx::query(
        "UPDATE commit SET touched_paths = ARRAY['Python/ceval.c'], touched_count = 1,
            parents = CASE WHEN id = $1 THEN ARRAY[(SELECT hash FROM commit WHERE id = $2)] ELSE '{}' END",
    )
    .bind(rows.commits[3])
    .bind(rows.commits[2])
    .execute(&pool)
    .await
    .unwrap();
    let worker = TestWorker::register(&app, "secret").await;
    let artefact = build();
    measure(&pool, &worker, &rows, 0, (0.1, 1e7, 5e6), artefact).await;
    measure(&pool, &worker, &rows, 2, (0.1, 1e7, 5e6), artefact).await;
    measure(&pool, &worker, &rows, 3, (0.105, 1.05e7, 5.25e6), artefact).await;
    measure(&pool, &worker, &rows, 5, (0.2, 1e7, 1e7), artefact).await;
    let id = insert_regression(&pool, &rows, "found", 0, 5).await;
    sqlx::query("UPDATE regression SET culprit_commit_id = $2 WHERE id = $1")
        .bind(id)
        .bind(rows.commits[3])
        .execute(&pool)
        .await
        .unwrap();
    insert_point(&pool, &rows, id, "nbody", (0, 5), 0.05).await;
    assert!(explanation(&app, id).await.is_null());
    assert_eq!(
        explain::tick(&app.context).await.unwrap().unwrap(),
        "explained 1"
    );
    let found = explanation(&app, id).await;
    // Not the ends of the range, where other things happened.
    assert!(found["before"].as_str().unwrap().ends_with("03"), "{found}");
    assert!(found["after"].as_str().unwrap().ends_with("04"), "{found}");
    let sentence = found["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("5.0 % slower: it executes more instructions"),
        "{sentence}"
    );
    assert!(
        sentence.contains("_PyEval_EvalFrameDefault changed most (+5.0 % of all)"),
        "{sentence}"
    );
    let words = found["findings"]["findings"].to_string();
    assert!(
        words.contains("The commit touches Python/ceval.c."),
        "{words}"
    );
    assert!(words.contains("the same on both sides"), "{words}");
    assert_eq!(
        found["findings"]["sizes"][0]["file"],
        "opt/speedwell/python/bin/python3.14"
    );
    let (status, page) = app.get(&format!("/regressions/{id}")).await;
    assert!(
        status == 200 && page.contains(sentence) && page.contains("Python/ceval.c"),
        "{page}"
    );
    // Again: nothing. A search that ends elsewhere: made again.
    assert_eq!(explain::tick(&app.context).await.unwrap(), None);
    let said = timeline_of(&pool, id).await;
    assert_eq!(
        said.iter()
            .filter(|line| line.starts_with("explained speedwell: 5.0 %"))
            .count(),
        1,
        "{said:?}"
    );
    sqlx::query("UPDATE regression SET culprit_commit_id = $2 WHERE id = $1")
        .bind(id)
        .bind(rows.commits[4])
        .execute(&pool)
        .await
        .unwrap();
    assert!(explain::tick(&app.context).await.unwrap().is_some());
    // That commit was not measured: the ends of the range tell what there is.
    let found = explanation(&app, id).await;
    assert!(found["before"].as_str().unwrap().ends_with("01"), "{found}");
    assert!(
        found["findings"]["findings"]
            .to_string()
            .contains("The 5 commits between the sides"),
        "{found}"
    );
    assert!(explain::tick(&app.context).await.unwrap().is_none());
    // It is measured after all: now both sides are the commit and its parent, and only then.
    sqlx::query(
        "UPDATE commit SET parents = ARRAY[(SELECT hash FROM commit WHERE id = $2)] WHERE id = $1",
    )
    .bind(rows.commits[4])
    .bind(rows.commits[3])
    .execute(&pool)
    .await
    .unwrap();
    measure(&pool, &worker, &rows, 4, (0.2, 2.1e7, 1e7), artefact).await;
    assert!(explain::tick(&app.context).await.unwrap().is_some());
    let found = explanation(&app, id).await;
    assert!(found["after"].as_str().unwrap().ends_with("05"), "{found}");
    assert!(explain::tick(&app.context).await.unwrap().is_none());
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_not_known_is_said_and_damaged_artefacts_stop_nothing(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 4).await;
    crate::support::worker::measure(&pool, &app, &rows, &[0.1, 0.11]).await;
    let bare = insert_regression(&pool, &rows, "found", 2, 3).await;
    let timed = insert_regression(&pool, &rows, "acknowledged", 0, 1).await;
    insert_point(&pool, &rows, timed, "nbody", (0, 1), 0.1).await;
    let open = insert_regression(&pool, &rows, "confirmed", 0, 1).await;
    explain::tick(&app.context).await.unwrap();
    let sentence = |found: &Value| found["sentence"].as_str().unwrap_or_default().to_owned();
    let nothing = explanation(&app, bare).await;
    assert!(
        sentence(&nothing).starts_with("Nothing is known"),
        "{nothing}"
    );
    let found = explanation(&app, timed).await;
    assert!(
        sentence(&found).contains("not explained by counters"),
        "{found}"
    );
    assert!(
        explanation(&app, open).await.is_null(),
        "its commit is not known"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn another_environment_on_one_side_is_not_compared(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    crate::support::worker::measure(&pool, &app, &rows, &[0.1]).await;
    let mut facts = crate::support::worker::facts();
    facts.kernel = "another".to_owned();
    let worker = TestWorker::register_with(&app, "secret", facts).await;
    measure(&pool, &worker, &rows, 1, (0.2, 1e7, 1e7), b"build").await;
    let id = insert_regression(&pool, &rows, "found", 0, 1).await;
    insert_point(&pool, &rows, id, "nbody", (0, 1), 1.0).await;
    explain::tick(&app.context).await.unwrap();
    let found = explanation(&app, id).await;
    assert!(
        found["sentence"]
            .as_str()
            .unwrap()
            .starts_with("Nothing is known"),
        "{found}"
    );
}
