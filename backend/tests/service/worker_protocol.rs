//! A worker's requests against the whole application and a real Postgres: claims, leases, faults, ingest.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::{hosts, jobs};
use speedwell_backend::scheduler::{archive, reclaim};
use speedwell_wire::*;
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows, manifest};

async fn state_of(pool: &PgPool, job_id: i64) -> String {
    sqlx::query_scalar("SELECT state FROM job WHERE id = $1")
        .bind(job_id)
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn count(pool: &PgPool, table: &'static str) -> i64 {
    let statement = match table {
        "run" => "SELECT count(*) FROM run",
        "measurement" => "SELECT count(*) FROM measurement",
        "series" => "SELECT count(*) FROM series",
        "build" => "SELECT count(*) FROM build",
        other => panic!("no count of {other}"),
    };
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

async fn expire_leases(pool: &PgPool) {
    sqlx::query("UPDATE job SET lease_until = now() - interval '1 second' WHERE state = 'running'")
        .execute(pool)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn only_a_known_token_and_protocol_get_in(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 1).await;
    let url = format!("{}{}", app.address, paths::CLAIM);
    let body = ClaimRequest {
        environment_id: 1,
        wait_seconds: 0,
        toolchain: String::new(),
        applies_patches: false,
    };
    let without = app.client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(without.status(), 426);
    let versioned = app
        .client
        .post(&url)
        .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
        .json(&body);
    assert_eq!(
        versioned
            .try_clone()
            .unwrap()
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let wrong = versioned.bearer_auth("guess").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("speedwell-backend host add")
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_changed_suite_needs_a_new_version(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut suite = manifest();
    suite.sha256 = sha256_hex(b"changed");
    let request = RegisterRequest {
        worker_version: "0".into(),
        facts: crate::support::worker::facts(),
        suites: vec![suite],
        sources: Vec::new(),
    };
    let (status, answer) = worker.post(paths::REGISTER, &request).await;
    assert_eq!(
        (status, answer["field"].as_str()),
        (422, Some("suites[0].sha256"))
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_best_job_is_leased_once_and_one_host_runs_one_job(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    let low = insert_job(&pool, &rows, 0, 1).await;
    let high = insert_job(&pool, &rows, 2, 9).await;
    hosts::upsert(&pool, "lab-2", "local", &sha256_hex(b"other"))
        .await
        .unwrap();
    hosts::upsert(&pool, "gpu-1", "elsewhere", &sha256_hex(b"third"))
        .await
        .unwrap();
    let first = TestWorker::register(&app, "secret").await;
    let second = TestWorker::register(&app, "other").await;
    let third = TestWorker::register(&app, "third").await;
    assert!(
        third.claim().await.is_none(),
        "another class of hosts takes nothing"
    );
    let job = first.claim().await.unwrap();
    assert_eq!(
        (job.job_id, job.attempt, job.suite.clone()),
        (high, 1, ("portable".to_owned(), 1))
    );
    assert_eq!(second.claim().await.unwrap().job_id, low);
    assert!(
        second.heartbeat(&job).await.0 == 409,
        "a lease belongs to its host"
    );
    assert_eq!(first.heartbeat(&job).await.0, 200);
    // The index refuses what a careless claim would do.
    let stolen = sqlx::query(
        "UPDATE job SET running_on = (SELECT running_on FROM job WHERE id = $1) WHERE id = $2",
    )
    .bind(high)
    .bind(low)
    .execute(&pool)
    .await;
    assert!(
        stolen
            .unwrap_err()
            .to_string()
            .contains("job_one_running_per_host")
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn eight_claims_at_once_give_one_job(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    insert_job(&pool, &rows, 0, 1).await;
    for index in 0..8 {
        let token = sha256_hex(format!("t{index}").as_bytes());
        hosts::upsert(&pool, &format!("h{index}"), "local", &token)
            .await
            .unwrap();
    }
    let tokens: Vec<String> = (0..8).map(|index| format!("t{index}")).collect();
    let mut workers = Vec::new();
    for token in &tokens {
        workers.push(TestWorker::register(&app, token).await);
    }
    let claims = futures_util::future::join_all(workers.iter().map(TestWorker::claim)).await;
    assert_eq!(claims.iter().flatten().count(), 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_dead_workers_job_goes_back_and_fails_when_its_tries_are_used_up(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let job_id = insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let first = worker.claim().await.unwrap();
    expire_leases(&pool).await;
    assert!(reclaim::tick(&app.context).await.unwrap().is_some());
    assert_eq!(state_of(&pool, job_id).await, "queued");
    let second = worker.claim().await.unwrap();
    assert_eq!(second.attempt, 2);
    assert_eq!(
        worker.heartbeat(&first).await.0,
        409,
        "the first lease is lost"
    );
    // The worker dies again and asks anew: its old job is taken back at once, and its tries are used up.
    assert!(worker.claim().await.is_none());
    assert_eq!(state_of(&pool, job_id).await, "failed");
    assert_eq!(worker.heartbeat(&second).await.0, 409);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn an_expired_lease_is_taken_up_again_by_its_holder_only_while_the_job_is_free(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let job_id = insert_job(&pool, &rows, 0, 1).await;
    hosts::upsert(&pool, "lab-2", "local", &sha256_hex(b"other"))
        .await
        .unwrap();
    let first = TestWorker::register(&app, "secret").await;
    let job = first.claim().await.unwrap();
    expire_leases(&pool).await;
    reclaim::tick(&app.context).await.unwrap();
    assert_eq!(
        first.heartbeat(&job).await.0,
        200,
        "nobody else has it: go on"
    );
    assert_eq!(state_of(&pool, job_id).await, "running");
    expire_leases(&pool).await;
    reclaim::tick(&app.context).await.unwrap();
    let other = TestWorker::register(&app, "other").await;
    let taken = other.claim().await.unwrap();
    assert_eq!(first.heartbeat(&job).await.0, 409);
    let sha256 = other.build(&taken, b"artefact").await;
    let late = first.report(&job, &sha256, 0.5);
    assert_eq!(
        first.upload(job_id, &late).await.0,
        409,
        "the job is another host's now"
    );
    assert_eq!(count(&pool, "run").await, 0);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn failures_are_retried_or_kept_with_their_log(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    let flaky = insert_job(&pool, &rows, 0, 9).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    let mut failure = JobFailure {
        lease_id: job.lease_id,
        kind: FailureKind::Transient,
        phase: Phase::Source,
        message: "no space left on device".into(),
        log_tail: String::new(),
    };
    assert_eq!(worker.post(&paths::failure(flaky), &failure).await.0, 204);
    assert_eq!(state_of(&pool, flaky).await, "queued");
    assert_eq!(
        worker.post(&paths::failure(flaky), &failure).await.0,
        409,
        "the lease ended with the failure"
    );
    assert!(
        worker.claim().await.is_none(),
        "not before its pause is over"
    );
    let broken = insert_job(&pool, &rows, 1, 1).await;
    let job = worker.claim().await.unwrap();
    failure = JobFailure {
        lease_id: job.lease_id,
        kind: FailureKind::Permanent,
        phase: Phase::Build,
        message: "make failed".into(),
        log_tail: "ceval.c:1: error: <b>\0".into(),
    };
    assert_eq!(worker.post(&paths::failure(broken), &failure).await.0, 204);
    assert_eq!(state_of(&pool, broken).await, "failed");
    let log: String = sqlx::query_scalar("SELECT failure_log FROM job WHERE id = $1")
        .bind(broken)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(log, "ceval.c:1: error: <b>");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn handing_back_costs_no_try_and_cancelling_reaches_the_worker(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let job_id = insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    let release = Release {
        lease_id: job.lease_id,
        reason: "shutting down".into(),
    };
    assert_eq!(worker.post(&paths::release(job_id), &release).await.0, 204);
    let again = worker.claim().await.unwrap();
    assert_eq!(again.attempt, 1);
    assert_eq!(worker.heartbeat(&again).await.1["cancel"], false);
    let mut connection = pool.acquire().await.unwrap();
    jobs::cancel(&mut connection, job_id, "test").await.unwrap();
    assert_eq!(worker.heartbeat(&again).await.1["cancel"], true);
    let failure = JobFailure {
        lease_id: again.lease_id,
        kind: FailureKind::Cancelled,
        phase: Phase::Bench,
        message: "cancelled".into(),
        log_tail: String::new(),
    };
    assert_eq!(worker.post(&paths::failure(job_id), &failure).await.0, 204);
    assert_eq!(state_of(&pool, job_id).await, "cancelled");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_log_is_appended_once_and_archived(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let job_id = insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    let send = async |lease: Uuid, offset: usize, text: &'static str| {
        let url = format!(
            "{}{}?lease={lease}&offset={offset}",
            app.address,
            paths::log(job_id)
        );
        worker.send(app.client.post(url).body(text)).await
    };
    assert_eq!(send(job.lease_id, 0, "configure\n").await.0, 204);
    assert_eq!(
        send(job.lease_id, 0, "configure\nmake\n").await.0,
        204,
        "the answer was lost: sent again with more"
    );
    assert_eq!(send(job.lease_id, 0, "configure\n").await.0, 204);
    let (status, answer) = send(job.lease_id, 99, "later").await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (422, Some("the log ends at 15: send on from there"))
    );
    assert_eq!(send(Uuid::new_v4(), 0, "x").await.0, 409);
    let sha256 = worker.build(&job, b"artefact").await;
    assert_eq!(
        worker
            .upload(job_id, &worker.report(&job, &sha256, 0.5))
            .await
            .0,
        200
    );
    sqlx::query("UPDATE job SET finished_at = now() - interval '1 minute'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(archive::tick(&app.context).await.unwrap().is_some());
    assert!(archive::tick(&app.context).await.unwrap().is_none());
    let log: String = sqlx::query_scalar("SELECT log_artefact FROM job WHERE id = $1")
        .bind(job_id)
        .fetch_one(&pool)
        .await
        .unwrap();
    let bytes = app.context.artefacts.get(&log).await.unwrap().unwrap();
    assert_eq!(zstd::decode_all(&bytes[..]).unwrap(), b"configure\nmake\n");
}

async fn claimed_and_built<'a>(
    app: &'a TestApp,
    pool: &PgPool,
) -> (Rows, TestWorker<'a>, JobAssignment, String) {
    let rows = insert_rows(pool, 2).await;
    insert_job(pool, &rows, 1, 1).await;
    let worker = TestWorker::register(app, "secret").await;
    let job = worker.claim().await.unwrap();
    let sha256 = worker.build(&job, b"artefact").await;
    (rows, worker, job, sha256)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_run_is_stored_once_however_often_it_is_sent(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, worker, job, sha256) = claimed_and_built(&app, &pool).await;
    let report = worker.report(&job, &sha256, 0.5);
    let uploads = (0..4).map(|_| worker.upload(job.job_id, &report));
    let answers = futures_util::future::join_all(uploads).await;
    // Sent four times at once, then again: one run, and every answer names it (a loser of the race may have to retry).
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status, 200 | 500)),
        "{answers:?}"
    );
    let (status, again) = worker.upload(job.job_id, &report).await;
    assert_eq!((status, again["created"].as_bool()), (200, Some(false)));
    assert_eq!(count(&pool, "run").await, 1);
    assert_eq!(count(&pool, "measurement").await, 2);
    assert_eq!(state_of(&pool, job.job_id).await, "succeeded");
    let (samples, median, position): (Vec<f64>, f64, i32) = sqlx::query_as(
        "SELECT sample_values, median, position FROM measurement JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id WHERE name = 'nbody'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((samples.len(), position), (10, 1));
    assert!(
        (median - 0.50005).abs() < 1e-9,
        "warm-ups are not in the summary: {median}"
    );
    // The raw file is in the store, and the artefact serves the next claim.
    let raw: String = sqlx::query_scalar("SELECT raw_artefact FROM run")
        .fetch_one(&pool)
        .await
        .unwrap();
    let bytes = app.context.artefacts.get(&raw).await.unwrap().unwrap();
    assert!(zstd::decode_all(&bytes[..]).unwrap().starts_with(b"{"));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_result_that_comes_after_the_lease_expired_is_not_lost(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, worker, job, sha256) = claimed_and_built(&app, &pool).await;
    let report = worker.report(&job, &sha256, 0.5);
    sqlx::query("UPDATE job SET attempt = max_attempts")
        .execute(&pool)
        .await
        .unwrap();
    expire_leases(&pool).await;
    reclaim::tick(&app.context).await.unwrap();
    assert_eq!(state_of(&pool, job.job_id).await, "failed");
    assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
    assert_eq!(state_of(&pool, job.job_id).await, "succeeded");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn bad_reports_are_refused_whole_with_the_field(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (_, worker, job, sha256) = claimed_and_built(&app, &pool).await;
    let good = worker.report(&job, &sha256, 0.5);
    let refused = async |field: &str, change: &dyn Fn(&mut RunReport)| {
        let mut bad = good.clone();
        change(&mut bad);
        let (status, answer) = worker.upload(job.job_id, &bad).await;
        assert_eq!(
            (status, answer["field"].as_str()),
            (422, Some(field)),
            "{answer}"
        );
    };
    refused("benchmarks[1].measurements[0].samples[3]", &|report| {
        report.benchmarks[1].measurements[0].samples[3].value = -1.0;
    })
    .await;
    refused("benchmarks[0].identity", &|report| {
        report.benchmarks[0].identity = "0".repeat(64)
    })
    .await;
    refused("suite", &|report| report.suite.1 = 7).await;
    refused("environment_id", &|report| report.environment_id += 1000).await;
    refused("artefact_sha256", &|report| {
        report.artefact_sha256 = "0".repeat(64)
    })
    .await;
    let url = format!("{}{}", app.address, paths::run(job.job_id));
    let rubbish = worker.send(app.client.post(url).body("rubbish")).await;
    assert_eq!(
        (rubbish.0, rubbish.1["field"].as_str()),
        (400, Some("body"))
    );
    for table in ["run", "measurement", "series"] {
        assert_eq!(
            count(&pool, table).await,
            0,
            "nothing half-saved in {table}"
        );
    }
    assert_eq!(
        worker.upload(job.job_id, &good).await.0,
        200,
        "the lease is still good"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn artefacts_are_checked_and_found_by_the_next_claim(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker, job, sha256) = claimed_and_built(&app, &pool).await;
    let url = format!("{}{}", app.address, paths::artefact(&sha256_hex(b"other")));
    assert_eq!(
        worker.send(app.client.put(url).body("damaged")).await.0,
        422
    );
    let fetched = app
        .client
        .get(format!("{}{}", app.address, paths::artefact(&sha256)))
        .bearer_auth("secret")
        .header(PROTOCOL_HEADER, PROTOCOL_VERSION.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(fetched.bytes().await.unwrap(), "artefact");
    worker
        .upload(job.job_id, &worker.report(&job, &sha256, 0.5))
        .await;
    insert_job(&pool, &rows, 1, 1).await;
    let next = worker.claim().await.unwrap();
    assert_eq!(next.artefact.unwrap().sha256, sha256);
    assert_eq!(count(&pool, "build").await, 1);
}
