//! What a host's epochs separate: verdicts, the overview's comparison, the release that it is made with.

use speedwell_backend::db::enqueue;
use speedwell_backend::scheduler::{control, detect, index, noise, trace};
use speedwell_wire::{HostFlag, HostSeverity};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{TestWorker, facts, insert_job, insert_rows};

/// Measures commits in turn, a day apart, with hosts that have flags.
async fn measure(pool: &PgPool, app: &TestApp, measured: &[(usize, f64)]) {
    let rows = insert_rows(pool, 5).await;
    let worker = TestWorker::register(app, "secret").await;
    let begin = chrono::Utc::now() - chrono::Duration::days(100);
    for (day, (commit, seconds)) in measured.iter().enumerate() {
        insert_job(pool, &rows, *commit, 1).await;
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, *seconds);
        report.started_at = begin + chrono::Duration::days(i64::try_from(day).unwrap());
        report.finished_at = report.started_at;
        report.host_flags = vec![HostFlag {
            name: "<i>busy</i>".to_owned(),
            severity: HostSeverity::Warning,
            value: "<b>40 %</b>".to_owned(),
            good: "less".to_owned(),
        }];
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_control_that_moves_begins_an_epoch_that_nothing_looks_across(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    // Four commits and the control's runs at the fifth; then the host is slower and the first commits come again.
    let quiet = [
        (0, 1.0),
        (1, 1.0),
        (2, 1.0),
        (4, 1.0),
        (4, 1.001),
        (4, 1.0),
        (4, 1.001),
    ];
    let slow = [(4, 1.2), (4, 1.201), (4, 1.2), (3, 1.2)];
    let all: Vec<(usize, f64)> = quiet.into_iter().chain(slow).collect();
    measure(&pool, &app, &all).await;
    detect::tick(&app.context).await.unwrap();
    let verdict = async || -> Vec<(i32, String)> {
        sqlx::query_as(
            "SELECT position, state FROM verdict JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
             WHERE benchmark.name = 'nbody' AND metric = 'wall_time' AND position >= 3 ORDER BY position",
        )
        .fetch_all(&pool)
        .await
        .unwrap()
    };
    // Without a control, the slow host looks like a commit among others that is slow by chance.
    assert_eq!(verdict().await[0], (3, "unchanged".to_owned()));
    control::tick(&app.context).await.unwrap();
    let epochs = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM host_epoch")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    assert_eq!(epochs().await, 0, "no runtime is a control");

    // The control is another runtime, which has the fifth commit's runs for its own.
    for statement in [
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, control)
         SELECT '<b>frozen</b>', language, branch_id, recipe, recipe_sha256, suite_name, true FROM runtime",
        "UPDATE run SET runtime_id = (SELECT max(id) FROM runtime) WHERE commit_id = (SELECT max(commit_id) FROM run)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    noise::tick(&app.context).await.unwrap();
    let note = control::tick(&app.context).await.unwrap().unwrap();
    assert!(note.contains("is not what it was"), "{note}");
    assert_eq!(
        control::tick(&app.context).await.unwrap(),
        None,
        "it is done once"
    );
    assert_eq!(epochs().await, 1);
    let (change, right): (f64, bool) = sqlx::query_as(
        "SELECT change, begins_at = (SELECT finished_at FROM run WHERE id = 8) FROM host_epoch",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(right && (change - 0.2).abs() < 0.03, "{change}");

    assert!(
        detect::tick(&app.context).await.unwrap().is_some(),
        "its series are judged anew"
    );
    assert_eq!(verdict().await[0], (3, "too_few".to_owned()));

    let (status, page) = app.get("/hosts/lab-1").await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page.matches("<svg class=\"chart\"").count(), 1);
    assert_eq!(
        page.matches("class=\"break\"").count(),
        1,
        "the chart shows the break"
    );
    for words in [
        "&#60;b&#62;frozen&#60;/b&#62;",
        "7 runs",
        "Moved, though its facts are the same",
        "the first that is known",
        "&#60;i&#62;busy&#60;/i&#62;",
        "Between rebuilds",
        "not repeated",
        "/timeline?benchmark=nbody&#38;runtime=cpython-main&#38;host=lab-1&#38;metric=wall_time&#38;version=",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for forbidden in ["<b>", "<i>", "<script>"] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
    assert_eq!(app.get("/hosts/lab-1?runtime=none").await.0, 404);
    let (_, list) = app.get("/hosts").await;
    assert!(list.contains("href=\"/hosts/lab-1\""), "{list}");
    for path in ["/queue", "/runs/1"] {
        let (_, page) = app.get(path).await;
        assert!(page.contains("href=\"/hosts/lab-1\""), "{path}: {page}");
    }
    trace::tick(&app.context).await.unwrap();
    let (_, page) = app
        .get("/timeline?benchmark=nbody&runtime=cpython-main")
        .await;
    assert!(page.contains("class=\"break\""), "{page}");
}

/// The overview's comparison of the only runtime: the release or commit, and the badge's text.
async fn reference(app: &TestApp) -> (serde_json::Value, Option<String>) {
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/").await;
    let mean = page.split("badge large").nth(1);
    let text = mean.and_then(|rest| rest.split('>').nth(1)?.split('<').next());
    let (_, answer) = app.get("/api/v1/runtimes").await;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    (answer[0]["reference_tag"].clone(), text.map(str::to_owned))
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_overview_compares_within_the_hosts_epoch_and_has_the_release_measured_anew(
    pool: PgPool,
) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 4).await;
    for statement in [
        "INSERT INTO tag SELECT repository_id, 'v3.9.0', hash FROM commit WHERE subject = 'Change 1'",
        "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let measured = async |worker: &TestWorker<'_>, commit: usize, seconds: f64| {
        insert_job(&pool, &rows, commit, 1).await;
        worker.deliver(seconds, &[]).await;
    };
    let settled = async || -> bool {
        let found = enqueue::find_release(&pool, rows.runtime_id, "local").await;
        let (commit, settled) = found.unwrap().unwrap();
        assert_eq!(commit, rows.commits[1]);
        settled
    };
    let release = || serde_json::Value::from("v3.9.0");
    let worker = TestWorker::register(&app, "secret").await;
    assert!(!settled().await);
    for commit in 1..3 {
        measured(&worker, commit, 0.1).await;
    }
    assert_eq!(
        reference(&app).await,
        (release(), Some("±0.0\u{a0}%".to_owned()))
    );
    assert!(settled().await);

    // The host becomes another one: nothing is compared with what it was, and the release is wanted again.
    sqlx::query(
        "INSERT INTO host_epoch (host_id, begins_at, runtime_id, change, threshold, version) VALUES (1, now(), 1, 1, 0.1, 't')",
    )
    .execute(&pool)
    .await
    .unwrap();
    measured(&worker, 3, 0.2).await;
    assert_eq!(reference(&app).await, (serde_json::Value::Null, None));
    assert!(!settled().await);
    measured(&worker, 1, 0.2).await;
    assert!(settled().await);
    assert_eq!(
        reference(&app).await,
        (release(), Some("±0.0\u{a0}%".to_owned()))
    );

    // Microcode and mitigations are part of what the host is.
    let mut other = facts();
    other.microcode = "0x1000065".to_owned();
    let with_microcode = TestWorker::register_with(&app, "secret", other.clone()).await;
    other
        .settings
        .insert("mitigation_spectre_v2".to_owned(), "Vulnerable".to_owned());
    let with_both = TestWorker::register_with(&app, "secret", other.clone()).await;
    let again = TestWorker::register_with(&app, "secret", other).await;
    let environments = [&worker, &with_microcode, &with_both].map(|one| one.environment_id);
    let different: std::collections::BTreeSet<i64> = environments.into_iter().collect();
    assert_eq!(different.len(), 3);
    assert_eq!(again.environment_id, with_both.environment_id);
    measured(&again, 3, 0.3).await;
    assert_eq!(reference(&app).await, (serde_json::Value::Null, None));
    assert!(!settled().await);
    let (_, page) = app.get("/hosts/lab-1").await;
    assert!(
        page.contains("settings: mitigation spectre v2</strong>: not told → Vulnerable"),
        "{page}"
    );
    assert!(page.contains("<strong>microcode</strong>:"), "{page}");
}
