//! What hosts do for a search: which of a class share it, and what waits between its steps. By the real tick and the real API.

use std::collections::BTreeMap;

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::hosts;
use speedwell_backend::scheduler::bisect;
use sqlx::PgPool;

use crate::bisection::regress;
use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows};

/// A second host of the class that has measured one commit of the range, and neither end.
async fn second<'a>(pool: &PgPool, app: &'a TestApp, rows: &Rows) -> TestWorker<'a> {
    hosts::upsert(pool, "lab-2", "local", &sha256_hex(b"other"))
        .await
        .unwrap();
    let worker = TestWorker::register(app, "other").await;
    insert_job(pool, rows, 5, 300).await;
    worker.deliver(0.2, &[]).await;
    worker
}

/// The hosts of the only search.
async fn sharing(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT name FROM bisection_host JOIN host ON host.id = host_id ORDER BY name",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_wide_search_is_shared_by_the_hosts_of_the_class(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 60).await;
    let first = TestWorker::register(&app, "secret").await;
    regress(&pool, &first, &rows, (0.1, 0.11)).await;
    let second = second(&pool, &app, &rows).await;
    // It is there, but never measured the series.
    hosts::upsert(&pool, "lab-3", "local", &sha256_hex(b"third"))
        .await
        .unwrap();
    TestWorker::register(&app, "third").await;
    let mut runs: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    loop {
        bisect::tick(&app.context).await.unwrap();
        let mut idle = true;
        // They are claimed by both before either has measured, as on two machines. The second host is half as fast.
        for (name, worker, factor) in [("lab-1", &first, 1.0), ("lab-2", &second, 2.0)] {
            let Some(job) = worker.claim().await else {
                continue;
            };
            idle = false;
            let index = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
            let seconds = if index >= 37 { 0.11 } else { 0.1 };
            let artefact = worker.build(&job, b"build").await;
            let report = worker.report(&job, &artefact, seconds * factor);
            assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
            runs.entry(name).or_default().push(index);
        }
        if idle {
            break;
        }
        assert!(runs.values().flatten().count() < 100, "{runs:?}");
    }
    assert_eq!(sharing(&pool).await, ["lab-1", "lab-2"]);
    let (state, culprit): (String, Option<i64>) =
        sqlx::query_as("SELECT state, culprit_commit_id FROM regression")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((&*state, culprit), ("found", Some(rows.commits[37])));
    // The second measured both ends first, then commits of its own.
    let of_second = &runs["lab-2"];
    assert!(
        of_second.contains(&0) && of_second.contains(&59),
        "{runs:?}"
    );
    let inside = |runs: &[usize]| {
        runs.iter()
            .filter(|index| ![0, 59].contains(*index))
            .count()
    };
    assert!(
        inside(of_second) > 0 && inside(&runs["lab-1"]) > 0,
        "{runs:?}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn hosts_that_are_silent_or_disabled_and_narrow_searches_are_left_alone(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    let first = TestWorker::register(&app, "secret").await;
    let regression = regress(&pool, &first, &rows, (0.1, 0.12)).await;
    second(&pool, &app, &rows).await;
    let ways = [
        (
            "UPDATE host SET disabled_at = now() WHERE name = 'lab-2'",
            0,
            1,
        ),
        (
            "UPDATE host SET disabled_at = NULL, last_seen_at = now() - interval '20 minutes' WHERE name = 'lab-2'",
            0,
            1,
        ),
        (
            "UPDATE host SET last_seen_at = now(), class = 'skylake' WHERE name = 'lab-2'",
            0,
            1,
        ),
        // Fifteen commits: both ends are two runs too many.
        (
            "UPDATE host SET class = 'local' WHERE name = 'lab-2'",
            14,
            1,
        ),
        (
            "UPDATE host SET class = 'local' WHERE name = 'lab-2'",
            13,
            2,
        ),
    ];
    for (way, before, expected) in ways {
        sqlx::query(way).execute(&pool).await.unwrap();
        sqlx::query("UPDATE job SET bisection_id = NULL")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query("DELETE FROM bisection")
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query(
            "UPDATE regression SET state = 'confirmed', before_commit_id = $2 WHERE id = $1",
        )
        .bind(regression)
        .bind(rows.commits[before])
        .execute(&pool)
        .await
        .unwrap();
        bisect::tick(&app.context).await.unwrap();
        let hosts = sharing(&pool).await;
        assert_eq!(hosts.len(), expected, "{way}, from {before}: {hosts:?}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_host_begins_nothing_of_the_policy_before_a_search_has_said_what_is_next(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    let worker = TestWorker::register(&app, "secret").await;
    regress(&pool, &worker, &rows, (0.1, 0.12)).await;
    bisect::tick(&app.context).await.unwrap();
    bisect::tick(&app.context).await.unwrap();
    insert_job(&pool, &rows, 3, 10).await;
    let mut steps = 0;
    while let Some(job) = worker.claim().await {
        assert_eq!(job.benchmarks, ["nbody"], "of the search");
        let artefact = worker.build(&job, b"build").await;
        let report = worker.report(&job, &artefact, 0.1);
        assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
        steps += 1;
    }
    assert!(steps > 0);
    let queued = "SELECT count(*) FROM job WHERE state = 'queued' AND bisection_id IS NULL";
    let waiting: i64 = sqlx::query_scalar(queued).fetch_one(&pool).await.unwrap();
    assert_eq!(waiting, 1, "the policy's");
    // What a person waits for does not wait for it.
    insert_job(&pool, &rows, 4, 200).await;
    let asked = worker.claim().await.unwrap();
    assert_eq!(asked.source.commit, format!("{:040x}", 5));
    worker.fail(&asked).await;
    // A search that says nothing holds nobody up.
    sqlx::query("UPDATE job SET finished_at = finished_at - interval '11 seconds' WHERE state = 'succeeded'")
        .execute(&pool)
        .await
        .unwrap();
    let job = worker.claim().await.unwrap();
    assert_eq!(job.source.commit, format!("{:040x}", 4));
}
