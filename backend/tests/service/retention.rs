//! What is older than the configuration keeps goes, whole; everything that pages chart stays, and what is gone is said to be gone.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use speedwell_backend::scheduler::{detect, index, maintain, noise, retention, trace, warmup};
use sqlx::PgPool;

use crate::support::operate::{operate_with, url_of};
use crate::support::worker::{TestWorker, insert_job, insert_rows, measure};
use crate::support::{CONFIG, TestApp};

const RETENTION: &str =
    "[retention]\nsamples_days = 365\nraw_files_days = 400\nbuilds_days = 400\n";

fn config() -> String {
    format!("{CONFIG}{RETENTION}")
}

/// Two commits measured as if it had been three years ago, and one now.
async fn lab(pool: &PgPool) -> (TestApp, crate::support::worker::Rows) {
    let app = TestApp::start_with(pool, &config()).await;
    let rows = insert_rows(pool, 4).await;
    measure(pool, &app, &rows, &[0.1, 0.11]).await;
    warmup::tick(&app.context).await.unwrap();
    sqlx::query("SELECT ensure_measurement_partition(now() - interval '3 years')")
        .execute(pool)
        .await
        .unwrap();
    for statement in [
        "UPDATE measurement SET measured_at = measured_at - interval '3 years'",
        "UPDATE run SET finished_at = finished_at - interval '3 years', started_at = started_at - interval '3 years'",
        "UPDATE artefact SET stored_at = stored_at - interval '3 years'",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    age_objects(&app);
    insert_job(pool, &rows, 2, 1).await;
    TestWorker::register(&app, "secret")
        .await
        .deliver(0.12, &[])
        .await;
    warmup::tick(&app.context).await.unwrap();
    (app, rows)
}

fn objects(app: &TestApp) -> Vec<PathBuf> {
    let folders = fs::read_dir(app.data.path().join("artefacts")).unwrap();
    folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn age_objects(app: &TestApp) {
    let old = SystemTime::now() - Duration::from_secs(1000 * 86_400);
    for path in objects(app) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(old).unwrap();
    }
}

/// Everything of a measurement but its samples.
async fn summaries(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s %s %s %s %s %s %s %s', id, measured_at, series_id, run_id, position, sample_count, median, interval_low, loops)
         FROM measurement ORDER BY id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn with_samples(pool: &PgPool) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT DISTINCT run_id FROM measurement WHERE cardinality(sample_values) > 0 ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn samples_of_a_year_go_whole_and_summaries_stay(pool: PgPool) {
    let (app, _) = lab(&pool).await;
    for _ in 0..2 {
        detect::tick(&app.context).await.unwrap();
        noise::tick(&app.context).await.unwrap();
        trace::tick(&app.context).await.unwrap();
        index::tick(&app.context).await.unwrap();
    }
    let before = summaries(&pool).await;
    let classes: i64 = sqlx::query_scalar("SELECT count(*) FROM warmup")
        .fetch_one(&pool)
        .await
        .unwrap();
    let url = url_of(&pool).await;
    let (good, said) = operate_with(
        app.data.path(),
        Some(&url),
        &config(),
        &["retention", "--dry-run"],
    );
    assert!(
        good && said.contains("would go: retention.samples_days: the samples of measurement_2023"),
        "{said}"
    );
    assert_eq!(
        with_samples(&pool).await,
        [1, 2, 3],
        "a dry run takes nothing"
    );
    let done = retention::tick(&app.context).await.unwrap().unwrap();
    assert!(
        done.contains("took the samples of measurement_2023"),
        "{done}"
    );
    assert_eq!(with_samples(&pool).await, [3]);
    assert_eq!(summaries(&pool).await, before, "every summary stays");
    assert!(
        retention::tick(&app.context).await.unwrap().is_none(),
        "nothing is left to take"
    );

    // The table is a partition as before: rows find it, references hold, and indexes are there.
    let (indexes, references): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_indexes WHERE tablename = 'measurement_2023'),
                (SELECT count(*) FROM pg_constraint WHERE conrelid = 'measurement_2023'::regclass AND contype = 'f' AND convalidated)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let (indexes_now, references_now): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_indexes WHERE tablename = 'measurement_2026'),
                (SELECT count(*) FROM pg_constraint WHERE conrelid = 'measurement_2026'::regclass AND contype = 'f')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((indexes, references), (indexes_now, references_now));
    maintain::tick(&app.context).await.unwrap();

    // Pages say so instead of failing.
    for (page, words) in [
        ("/runs/1", "the samples are no longer kept"),
        (
            "/runs/1/reproduce/nbody",
            "The samples of this run are no longer kept",
        ),
        ("/timeline?benchmark=nbody", "nbody"),
        ("/api/v1/runs/1", "\"sample_values\":[]"),
    ] {
        let (status, text) = app.get(page).await;
        assert!(
            status == 200 && text.contains(words),
            "{page}: {status} {text}"
        );
    }
    let (_, whole) = app.get("/runs/3").await;
    assert!(!whole.contains("no longer kept"));
    let hash = |place: usize| format!("{:0>40}", format!("{:x}", place + 1));
    let pair = format!("a=cpython-main@{}&b=cpython-main@{}", hash(0), hash(2));
    let (status, text) = app.get(&format!("/compare/nbody?{pair}")).await;
    assert!(
        status == 200 && text.contains("its samples are no longer kept, only their summary"),
        "{text}"
    );

    // Rules that look at samples again leave what they cannot make anew.
    let (good, said) = operate_with(app.data.path(), Some(&url), &config(), &["redetect"]);
    assert!(
        good && said.contains("samples are no longer kept"),
        "{said}"
    );
    warmup::tick(&app.context).await.unwrap();
    noise::tick(&app.context).await.unwrap();
    let now: i64 = sqlx::query_scalar("SELECT count(*) FROM warmup")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(now, classes);
    assert_eq!(summaries(&pool).await.len(), before.len());
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn old_objects_go_and_a_build_that_is_wanted_is_made_again(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let before: DateTime<Utc> = Utc::now();
    // The three runs were of the same bytes: the newest keeps the build young, and the raw file too.
    assert!(
        retention::find(&app.context, before)
            .await
            .unwrap()
            .iter()
            .all(|due| matches!(due, retention::Due::Samples(_)))
    );
    let (raw, build): (String, String) = sqlx::query_as(
        "SELECT raw_artefact, artefact_sha256 FROM run JOIN build ON build.id = build_id WHERE run.id = 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    age_objects(&app);
    sqlx::query("UPDATE artefact SET stored_at = stored_at - interval '3 years'")
        .execute(&pool)
        .await
        .unwrap();
    let stored = objects(&app).len();
    let done = retention::tick(&app.context).await.unwrap().unwrap();
    assert!(
        done.contains("of the kind run") && done.contains("of the kind build"),
        "{done}"
    );
    assert_eq!(
        objects(&app).len(),
        stored - 2,
        "texts of benchmarks and logs stay"
    );
    for sha256 in [&raw, &build] {
        assert!(app.context.artefacts.get(sha256).await.unwrap().is_none());
    }
    let (status, said) = app.get("/api/v1/runs/1/pyperf").await;
    assert!(status == 404 && said.contains("no longer stored"), "{said}");
    assert_eq!(app.get("/runs/1").await.0, 200);

    // The same commit asked for once more: nothing is offered, so the worker builds, of other bytes, and the run is taken.
    insert_job(&pool, &rows, 0, 9).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    assert!(job.artefact.is_none(), "what is gone is not offered");
    let other = worker.build(&job, b"another build").await;
    let (status, answer) = worker
        .upload(job.job_id, &worker.report(&job, &other, 0.1))
        .await;
    assert_eq!(status, 200, "{answer}");
    // The raw file has the bytes of the old ones: it is there again, for all of them.
    assert_eq!(app.get("/api/v1/runs/1/pyperf").await.0, 200);
    assert!(retention::tick(&app.context).await.unwrap().is_none());
}

/// A backup that copies objects holds retention off.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn retention_and_backup_wait_for_each_other(pool: PgPool) {
    let (app, _) = lab(&pool).await;
    let lock = speedwell_backend::db::locks::try_lock(&pool, "retention")
        .await
        .unwrap();
    assert!(lock.is_some());
    let url = url_of(&pool).await;
    let (good, said) = operate_with(app.data.path(), Some(&url), &config(), &["retention"]);
    assert!(!good && said.contains("a backup is being made"), "{said}");
    drop(lock);
    // The connection gives the lock up when it goes back to its pool.
    loop {
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
            .fetch_one(&pool)
            .await
            .unwrap();
        if held == 0 {
            break;
        }
    }
    let (good, said) = operate_with(app.data.path(), Some(&url), &config(), &["retention"]);
    assert!(good && said.contains("took the samples"), "{said}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_only_looked_back_at_goes_when_it_is_old(pool: PgPool) {
    let config = format!("{CONFIG}[retention]\nmessages_days = 100\naudit_days = 300\n");
    let app = TestApp::start_with(&pool, &config).await;
    let rows = insert_rows(&pool, 4).await;
    measure(&pool, &app, &rows, &[0.1, 0.11]).await;
    let regression = crate::support::regression::insert(&pool, &rows, 1, 2).await;
    crate::support::regression::explain(&pool, regression, "Only alignment moved.").await;
    for statement in [
        // Old and sent, old and given up, old and waiting, new and sent; each with a notice.
        "INSERT INTO outbox (key, channel, recipient, payload, state, next_attempt_at, created_at, finished_at)
         SELECT key, 'mail', 'a@example.org', '{}', state, now(), now() - age, CASE WHEN state <> 'waiting' THEN now() - age END
         FROM (VALUES ('old sent', 'sent', interval '101 days'), ('old dead', 'dead', interval '200 days'),
                      ('old waiting', 'waiting', interval '200 days'), ('new sent', 'sent', interval '99 days')) one (key, state, age)",
        "INSERT INTO notice (event_id, channel, recipient, why, not_before, outbox_id)
         SELECT event.id, 'mail', key, 'why', outbox.created_at, outbox.id
         FROM outbox, (SELECT max(id) AS id FROM regression_event) event",
        "INSERT INTO notice (event_id, channel, recipient, why, not_before, dropped)
         SELECT max(id), 'mail', 'dropped', 'why', now() - interval '101 days', 'no regression any more' FROM regression_event",
        "INSERT INTO notice (event_id, channel, recipient, why, not_before)
         SELECT max(id), 'mail', 'owed', 'why', now() - interval '101 days' FROM regression_event",
        "INSERT INTO alarm (kind, subject, words, since, seen_at, raised_at, cleared_at)
         SELECT 'silent_host', name, 'x', now() - interval '1 year', now() - interval '1 year', now() - interval '1 year', cleared
         FROM (VALUES ('over', now() - interval '101 days'), ('just over', now()), ('open', NULL)) one (name, cleared)",
        "UPDATE job_event SET at = now() - interval '366 days' WHERE job_id = (SELECT min(id) FROM job)",
        "INSERT INTO audit (at, actor, action, subject, details)
         VALUES (now() - interval '301 days', 'ada', 'token.create', 'token x', '{}'), (now() - interval '299 days', 'ada', 'token.create', 'token y', '{}')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let names = async |query: &'static str| -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&pool).await.unwrap()
    };
    let kept_jobs = names("SELECT id::text FROM job ORDER BY id").await;
    let events = names("SELECT id::text FROM job_event WHERE at > now() - interval '1 day'").await;
    assert!(!events.is_empty());
    let url = url_of(&pool).await;
    let dry = ["retention", "--dry-run"];
    let (good, said) = operate_with(app.data.path(), Some(&url), &config, &dry);
    assert!(
        good && said.contains("would go: retention.messages_days: 4 message(s)")
            && said.contains("would go: retention.job_events_days: ")
            && said.contains("would go: retention.audit_days: 1 line(s)"),
        "{said}"
    );
    let done = retention::tick(&app.context).await.unwrap().unwrap();
    assert!(done.contains("took 1 line(s) of the audit log"), "{done}");
    assert_eq!(
        names("SELECT key FROM outbox ORDER BY key").await,
        ["new sent", "old waiting"]
    );
    assert_eq!(
        names("SELECT recipient FROM notice ORDER BY recipient").await,
        ["new sent", "old waiting", "owed"]
    );
    assert_eq!(
        names("SELECT subject FROM alarm ORDER BY subject").await,
        ["just over", "open"]
    );
    assert_eq!(
        names("SELECT subject FROM audit WHERE actor = 'ada'").await,
        ["token y"]
    );
    assert_eq!(names("SELECT id::text FROM job_event").await, events);
    assert_eq!(
        names("SELECT id::text FROM job ORDER BY id").await,
        kept_jobs
    );
    // Nothing that was told is told again, and there is nothing left to take.
    assert_eq!(retention::tick(&app.context).await.unwrap(), None);
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM regression_event WHERE regression_id = $1")
            .bind(regression)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(events > 0);
}
