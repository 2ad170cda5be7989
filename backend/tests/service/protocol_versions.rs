//! Backend and workers need not be exchanged at once: the version before is spoken too, any other is told what to do.

use serde_json::{Value, json};
use speedwell_wire::{
    ClaimResponse, OLDEST_PROTOCOL_VERSION, PROTOCOL_HEADER, PROTOCOL_VERSION, ProfilePolicy,
    SuiteManifest, paths,
};
use sqlx::PgPool;

use crate::support::worker::{TestWorker, insert_job, insert_rows, manifest};
use crate::support::{CONFIG, TestApp};

/// Sends JSON as a worker of a version; status and answer.
async fn post(app: &TestApp, version: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = app
        .client
        .post(format!("{}{path}", app.address))
        .bearer_auth("secret")
        .header(PROTOCOL_HEADER, version)
        .json(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn other_versions_are_told_what_to_upgrade(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 1).await;
    let too_old = (OLDEST_PROTOCOL_VERSION - 1).to_string();
    let too_new = (PROTOCOL_VERSION + 1).to_string();
    for (version, words) in [
        (
            too_old.as_str(),
            "Upgrade the worker: install the `speedwell-worker` of this backend's version",
        ),
        (too_new.as_str(), "upgrade the backend first"),
        ("five", "is no version"),
        ("-5", "is no version"),
    ] {
        let (status, answer) = post(&app, version, paths::CLAIM, &json!({})).await;
        assert_eq!(status, 426, "{version}: {answer}");
        let said = answer["error"].as_str().unwrap();
        assert!(said.contains(words), "{version}: {said}");
    }
}

/// The messages that workers of the version before sent, byte for byte but for what names the job.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_worker_of_the_version_before_measures(pool: PgPool) {
    let config = CONFIG.replace(
        "name = \"cpython-main\"",
        "name = \"cpython-main\"\nprofiler = \"sampling\"",
    );
    let app = TestApp::start_with(&pool, &config).await;
    let rows = insert_rows(&pool, 2).await;
    insert_job(&pool, &rows, 0, 1).await;
    let version = OLDEST_PROTOCOL_VERSION.to_string();
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut register = read(include_str!(
        "../../../wire/tests/golden/previous/register_request.json"
    ));
    let known = manifest();
    register["suites"] = serde_json::to_value::<Vec<SuiteManifest>>(vec![known.clone()]).unwrap();
    let (status, answer) = post(&app, &version, paths::REGISTER, &register).await;
    assert_eq!(status, 200, "{answer}");
    let environment = answer["environment_id"].clone();

    let mut claim = read(include_str!(
        "../../../wire/tests/golden/previous/claim_request.json"
    ));
    claim["environment_id"] = environment.clone();
    claim["wait_seconds"] = json!(0);
    let (status, answer) = post(&app, &version, paths::CLAIM, &claim).await;
    assert_eq!(status, 200, "{answer}");
    let job = serde_json::from_value::<ClaimResponse>(answer)
        .unwrap()
        .job
        .unwrap();
    assert_eq!(
        job.profile,
        ProfilePolicy::Never,
        "it cannot read what sampling is"
    );

    let mut beat = read(include_str!(
        "../../../wire/tests/golden/previous/heartbeat.json"
    ));
    beat["lease_id"] = json!(job.lease_id);
    let (status, answer) = post(&app, &version, &paths::heartbeat(job.job_id), &beat).await;
    assert_eq!(status, 200, "{answer}");

    // The artefact and the build go as they always did; the report is the old one with the job's own names.
    let worker = TestWorker::register(&app, "secret").await;
    let artefact = worker.build(&job, b"build").await;
    let mut report = read(include_str!(
        "../../../wire/tests/golden/previous/run_report.json"
    ));
    for (key, value) in [
        ("lease_id", json!(job.lease_id)),
        ("environment_id", environment),
        ("suite", json!(job.suite)),
        ("artefact_sha256", json!(artefact)),
    ] {
        report[key] = value;
    }
    let benchmark = &mut report["benchmarks"][0];
    benchmark["identity"] = json!(known.benchmarks[0].identity());
    benchmark["name"] = json!(known.benchmarks[0].name);
    report["benchmarks"] = json!([benchmark.clone()]);
    let body = zstd::encode_all(report.to_string().as_bytes(), 3).unwrap();
    let request = app
        .client
        .post(format!("{}{}", app.address, paths::run(job.job_id)))
        .bearer_auth("secret")
        .header(PROTOCOL_HEADER, &version)
        .body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let answer = response.text().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let measured: i64 = sqlx::query_scalar("SELECT count(*) FROM measurement")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(measured > 0);

    // One of today is asked for what it can.
    insert_job(&pool, &rows, 1, 1).await;
    let job = worker.claim().await.unwrap();
    assert_eq!(job.profile, ProfilePolicy::Sampling);
}
