//! From repeated runs and builds to noise floors, by the real API and the real tick.

use speedwell_backend::db::enqueue::{self, Repeats, Request};
use speedwell_backend::scheduler::noise;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::comparing::{json, row};
use crate::support::worker::{TestWorker, insert_rows, measure, measure_places};

type Floor = (
    Option<f64>,
    Option<i32>,
    Option<f64>,
    Option<i32>,
    Option<f64>,
    Option<i32>,
    Option<f64>,
    Option<String>,
);

async fn floor(pool: &PgPool) -> Floor {
    sqlx::query_as(
        "SELECT process_deviation, process_count, run_deviation, run_count, rebuild_deviation, rebuild_count,
                smallest_change, basis FROM noise_floor JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id WHERE benchmark.name = 'nbody' AND metric = 'wall_time'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn repeats_become_noise_floors(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let request = Request {
        runtime_id: rows.runtime_id,
        commit_id: rows.commits[0],
        class: "local",
        requester: "a test",
        benchmarks: &[],
    };
    let upload = async |seconds: f64| {
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let report = worker.report(&job, &artefact, seconds);
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
    };
    let repeats = |runs, builds| Repeats { runs, builds };

    enqueue::insert_requests(&pool, &request, repeats(1, 0))
        .await
        .unwrap();
    upload(1.0).await;
    assert!(noise::tick(&app.context).await.unwrap().is_some());
    assert!(
        noise::tick(&app.context).await.unwrap().is_none(),
        "it is done once"
    );
    // One run: its two processes are known, the rest is not, and never zero.
    let (process, processes, run, runs, rebuild, rebuilds, smallest, basis) = floor(&pool).await;
    assert!(process.unwrap() > 0.0 && processes == Some(2));
    assert_eq!((run, runs, rebuild, rebuilds), (None, None, None, None));
    assert!(smallest.unwrap() > 0.0 && basis.as_deref() == Some("processes"));

    // Two builds anew with two runs each: 1 % between runs, some 10 % between builds.
    enqueue::insert_requests(&pool, &request, repeats(2, 2))
        .await
        .unwrap();
    for seconds in [1.1, 1.111, 1.21, 1.2221] {
        upload(seconds).await;
    }
    noise::tick(&app.context).await.unwrap();
    let (_, processes, run, runs, rebuild, rebuilds, smallest, basis) = floor(&pool).await;
    assert_eq!((processes, runs, rebuilds), (Some(10), Some(4), Some(3)));
    assert!((run.unwrap() - 0.0104).abs() < 0.001, "{run:?}");
    assert!(
        rebuild.unwrap() > 0.09 && rebuild.unwrap() < 0.12,
        "{rebuild:?}"
    );
    assert!(
        smallest.unwrap() > 0.4 && basis.as_deref() == Some("rebuilds"),
        "{smallest:?}"
    );

    // Another environment begins anew.
    sqlx::query(
        "WITH other AS (INSERT INTO environment (host_id, fingerprint, facts) SELECT host_id, 'other', facts FROM environment RETURNING id)
         UPDATE measurement SET environment_id = other.id FROM other WHERE run_id = (SELECT max(id) FROM run)",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("UPDATE noise_floor SET version = 'old'")
        .execute(&pool)
        .await
        .unwrap();
    noise::tick(&app.context).await.unwrap();
    let (_, processes, _, runs, _, rebuilds, _, _) = floor(&pool).await;
    assert_eq!((processes, runs, rebuilds), (Some(2), None, None));
}

/// Seven commits of one run each stray by some 10 %, whatever their processes say.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn neighbours_stand_in_for_repeats(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 7).await;
    let seconds = [1.0, 1.1, 0.97, 1.08, 1.0, 1.12, 1.02];
    measure(&pool, &app, &rows, &seconds[..5]).await;
    noise::tick(&app.context).await.unwrap();
    let compared = async || {
        let hash = |place: usize| format!("{:0>40}", place + 1);
        let path = format!("a=cpython-main@{}&b=cpython-main@{}", hash(0), hash(1));
        let answer = json(&app, &path).await;
        row(&answer, "nbody")["values"][1].clone()
    };
    // By the spread of their processes alone a tenth more is worse for sure.
    let few = compared().await;
    assert_eq!(
        (&few["verdict"], &few["noise_is_known"]),
        (&"worse".into(), &false.into())
    );
    measure_places(&pool, &app, &rows, &[(5, seconds[5]), (6, seconds[6])]).await;
    noise::tick(&app.context).await.unwrap();
    let (deviation, count): (Option<f64>, Option<i32>) = sqlx::query_as(
        "SELECT neighbour_deviation, neighbour_count FROM noise_floor JOIN series ON series.id = series_id
         JOIN benchmark ON benchmark.id = benchmark_id WHERE benchmark.name = 'nbody' AND metric = 'wall_time'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    // The middle of the six differences, 0.107, over 0.954.
    assert!((deviation.unwrap() - 0.112).abs() < 0.01, "{deviation:?}");
    assert_eq!(count, Some(7));
    let (.., smallest, basis) = floor(&pool).await;
    assert!(smallest.unwrap() > 0.4 && basis.as_deref() == Some("neighbours"));
    let known = compared().await;
    assert_eq!(
        (&known["verdict"], &known["noise_is_known"]),
        (&"within_noise".into(), &true.into()),
        "{known}"
    );
}
