//! A benchmark's page, the list of benchmarks, and the texts that workers send.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::scheduler::noise;
use speedwell_wire::{PROTOCOL_HEADER, PROTOCOL_VERSION, RegisterRequest, paths};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::triage::{insert_point, insert_regression};
use crate::support::worker::{TestWorker, facts, insert_rows, manifest, measure};

/// Offers texts; those that the backend wants.
async fn offer(worker: &TestWorker<'_>, sources: Vec<String>) -> (u16, serde_json::Value) {
    let request = RegisterRequest {
        worker_version: "0.1.0".into(),
        facts: facts(),
        suites: vec![manifest()],
        sources,
    };
    worker.post(paths::REGISTER, &request).await
}

async fn put(app: &TestApp, worker: &TestWorker<'_>, sha256: &str, bytes: Vec<u8>) -> u16 {
    let url = format!("{}{}", app.address, paths::source(sha256));
    worker.send(app.client.put(url).body(bytes)).await.0
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn workers_send_each_text_once_and_only_what_its_hash_says(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    // The script of `nbody` in the test's suite is the word itself.
    let script = sha256_hex(b"nbody");
    let other = sha256_hex(b"other");
    let (_, answer) = offer(&worker, vec![other.clone(), script.clone()]).await;
    assert_eq!(answer["wanted_sources"], serde_json::json!([other, script]));
    let (_, page) = app.get("/benchmarks/nbody").await;
    assert!(page.contains("No worker has sent this script"), "{page}");
    assert_eq!(put(&app, &worker, &script, b"changed".to_vec()).await, 422);
    assert_eq!(
        put(&app, &worker, &"x".repeat(64), b"nbody".to_vec()).await,
        422
    );
    assert_eq!(
        put(&app, &worker, &script, vec![b'x'; (1 << 20) + 1]).await,
        413
    );
    for _ in 0..2 {
        assert_eq!(put(&app, &worker, &script, b"nbody".to_vec()).await, 204);
    }
    let (_, answer) = offer(&worker, vec![other.clone(), script]).await;
    assert_eq!(answer["wanted_sources"], serde_json::json!([other]));
    let (status, answer) = offer(&worker, vec!["../../x".to_owned()]).await;
    assert_eq!(
        (status, answer["field"].as_str()),
        (422, Some("sources[0]"))
    );
    // An older worker offers nothing, and is asked for nothing.
    let (_, answer) = offer(&worker, Vec::new()).await;
    assert!(answer.get("wanted_sources").is_none(), "{answer}");
    let request = app
        .client
        .put(format!("{}{}", app.address, paths::source(&other)));
    let refused = request
        .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
        .body("other")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_benchmark_shows_its_source_its_floors_and_what_happened_to_it(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 6).await;
    let (status, page) = app.get("/benchmarks/nbody").await;
    assert!(
        status == 404 && page.contains("No suite has a benchmark"),
        "{page}"
    );
    measure(&pool, &app, &rows, &[0.1, 0.101, 0.1, 0.102, 0.1]).await;
    noise::tick(&app.context).await.unwrap();
    sqlx::query(
        "INSERT INTO warmup SELECT run.id, benchmark.id, 'flat', '{flat,flat}', '{0,0}' FROM run, benchmark WHERE name = 'nbody'
         ON CONFLICT DO NOTHING",
    )
    .execute(&pool)
    .await
    .unwrap();
    // Another version with a hostile script, and an argument.
    let script = "print('<script>alert(1)</script> & more')\nimport pyperf\n";
    let worker = TestWorker::register(&app, "secret").await;
    let sha256 = sha256_hex(script.as_bytes());
    assert_eq!(put(&app, &worker, &sha256, script.into()).await, 204);
    sqlx::query(
        "INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
         SELECT name, 'Bodies that attract each other', $1, inputs_sha256, '{--slow}', repeat('e', 64) FROM benchmark WHERE name = 'nbody'",
    )
    .bind(&sha256)
    .execute(&pool)
    .await
    .unwrap();
    let id = insert_regression(&pool, &rows, "confirmed", 2, 3).await;
    insert_point(&pool, &rows, id, "nbody", (2, 3), 0.1).await;
    sqlx::query("INSERT INTO host_epoch (host_id, begins_at, runtime_id, change, threshold, version) SELECT host.id, now(), runtime.id, 0.02, 0.01, '1' FROM host, runtime")
        .execute(&pool)
        .await
        .unwrap();
    let run: i64 = sqlx::query_scalar("SELECT max(id) FROM run")
        .fetch_one(&pool)
        .await
        .unwrap();
    let (status, page) = app.get("/benchmarks/nbody").await;
    assert_eq!(status, 200);
    for words in [
        "Bodies that attract each other",
        "another script, other arguments",
        "&#60;script&#62;alert(1)",
        "100.0\u{a0}ms",
        "8 values",
        "class=\"spark",
        "svg class=\"chart",
        "badge warmup-",
        "not repeated",
        &format!("/runs/{run}/reproduce/nbody"),
        &format!("#{id} regression"),
        "+10.0",
        "the control cpython-main moved by +2.0",
        "/feeds/benchmarks/nbody.atom",
        "<a href=\"/suites/portable\">portable</a>",
    ] {
        assert!(page.contains(words), "{words:?} is missing: {page}");
    }
    assert!(!page.contains("<script>alert"), "{page}");
    // The version that was measured is not the newest one; its script was never sent.
    let old = page.split("?source=").nth(2).unwrap()[..12].to_owned();
    let (_, page) = app.get(&format!("/benchmarks/nbody?source={old}")).await;
    assert!(page.contains("No worker has sent this script"), "{page}");

    let (_, list) = app.get("/benchmarks").await;
    assert!(
        list.contains("2 versions") && list.contains("never measured") == list.contains("0</td>"),
        "{list}"
    );
    assert!(list.contains("/benchmarks/nbody") && list.contains("/benchmarks/richards"));
    let (_, list) = app.get("/benchmarks?q=attract+bodies").await;
    assert!(
        list.contains("/benchmarks/nbody") && !list.contains("/benchmarks/richards"),
        "{list}"
    );
    let (_, list) = app.get("/benchmarks?q=nothing").await;
    assert!(
        list.contains("No benchmark has all of these words"),
        "{list}"
    );
    // A benchmark that could not be measured says why.
    sqlx::query("INSERT INTO unavailable (run_id, benchmark_id, metric, kind, reason) SELECT $1, id, NULL, 'crashed', 'died <of> it' FROM benchmark WHERE identity = repeat('e', 64)")
        .bind(run)
        .execute(&pool)
        .await
        .unwrap();
    let (_, page) = app.get("/benchmarks/nbody").await;
    assert!(page.contains("died &#60;of&#62; it"), "{page}");
}
