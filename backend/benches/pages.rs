//! How the pages and the API's points grow with a history: the same requests against a short and a long one, as medians
//! and as the ratio between them, in one run.
//!
//!     DATABASE_URL=… cargo bench -p speedwell-backend --bench pages
//!
//! Needs a Postgres in which it may make a database (`speedwell-backend cluster --fast FOLDER` starts one).

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/service/support/mod.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what the tests use besides"
)]
mod support;

use std::time::Instant;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use support::TestApp;
use support::worker::insert_rows;

/// Benchmarks of the suite, one series each.
const BENCHMARKS: i32 = 40;
/// Lengths of the histories, in measured commits.
const SHORT: i32 = 50;
const LONG: i32 = 5_000;
/// Requests that are timed for each page.
const REQUESTS: usize = 21;

/// Measurements of every benchmark at every commit, as ingest leaves them: five samples from one process each.
const FILL: &[&str] = &[
    "INSERT INTO artefact (sha256, bytes, kind) VALUES (repeat('a', 64), 1, 'build'), (repeat('b', 64), 1, 'run')",
    "INSERT INTO environment (host_id, fingerprint, facts) SELECT id, 'f', '{}' FROM host",
    "INSERT INTO suite (name, version, sha256) VALUES ('portable', 1, 's')",
    "INSERT INTO benchmark (name, description, script_sha256, inputs_sha256, arguments, identity)
     SELECT 'bench_' || n, 'Number ' || n, 's', 'i', '{}', 'b' || n FROM generate_series(1, BENCHMARKS) n",
    "INSERT INTO suite_benchmark SELECT 1, id, id FROM benchmark",
    "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester, state, finished_at)
     SELECT 'measure', runtime.id, commit.id, 'local', 1, 'newest', 'bench', 'succeeded', now() FROM runtime, commit",
    "INSERT INTO build (runtime_id, commit_id, recipe_sha256, toolchain, job_id, host_id, artefact_sha256,
        installed_bytes, step_seconds, ccache_hits, ccache_misses, version, log_tail)
     SELECT runtime_id, commit_id, 'r1', 't', job.id, host.id, repeat('a', 64), 1, '{}', 0, 0, '3', '' FROM job, host",
    "INSERT INTO run (upload_id, job_id, build_id, runtime_id, commit_id, suite_id, host_id, environment_id,
        harness_sha256, interpreter, host_notes, raw_artefact, started_at, finished_at)
     SELECT gen_random_uuid(), build.job_id, build.id, runtime_id, commit_id, 1, build.host_id, environment.id, 'h',
        'cpython 3', '{}', repeat('b', 64), now(), now() FROM build, environment",
    "INSERT INTO series (runtime_id, benchmark_id, metric, counter_source, host_id, detected_at, detector)
     SELECT runtime.id, benchmark.id, 'wall_time', 'software', host.id, now() + interval '1 day', 'baseline-1'
     FROM runtime, benchmark, host",
    "INSERT INTO measurement (measured_at, series_id, run_id, commit_id, environment_id, position, sample_count, median,
        mean, mad, min, max, interval_low, interval_high, sample_values, sample_process, sample_warmup)
     SELECT run.finished_at, series.id, run.id, run.commit_id, run.environment_id, place.position, 5,
        0.1, 0.1, 0.001, 0.09, 0.11, 0.099, 0.101, '{0.1,0.1,0.1,0.1,0.1}', '{0,1,2,3,4}', '{f,f,f,f,f}'
     FROM run JOIN branch_commit place USING (commit_id), series",
    "INSERT INTO verdict (series_id, commit_id, position, detector, state, baseline, value, change, change_low,
        change_high, threshold, predecessors)
     SELECT series_id, commit_id, position, 'baseline-1', 'unchanged', 0.1, 0.1, 0, -0.01, 0.01, 0.02, 8
     FROM measurement",
    "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    "VACUUM ANALYZE",
];

/// A filled database of its own, with the application on it.
async fn history(options: &PgConnectOptions, commits: i32) -> (TestApp, PgPool) {
    let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
    let admin = PgPool::connect_with(options.clone()).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&admin)
        .await
        .unwrap();
    let pool = PgPoolOptions::new()
        .connect_with(options.clone().database(&name))
        .await
        .unwrap();
    speedwell_backend::db::MIGRATOR.run(&pool).await.unwrap();
    insert_rows(&pool, commits).await;
    for statement in FILL {
        let text = statement.replace("BENCHMARKS", &BENCHMARKS.to_string());
        sqlx::query(AssertSqlSafe(text))
            .execute(&pool)
            .await
            .unwrap();
    }
    (TestApp::start(&pool).await, pool)
}

/// Median time of a request in milliseconds, over one connection that the first request, which does not count, opens.
async fn time(app: &TestApp, path: &str) -> f64 {
    let client = support::client();
    let mut times = Vec::new();
    for number in 0..=REQUESTS {
        let begun = Instant::now();
        let response = client.get(format!("{}{path}", app.address)).send();
        let response = response.await.unwrap().error_for_status().unwrap();
        response.bytes().await.unwrap();
        if number > 0 {
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("set DATABASE_URL to a Postgres in which this may make a database");
        std::process::exit(2);
    };
    let options: PgConnectOptions = url.parse().unwrap();
    let (short, _short_pool) = history(&options, SHORT).await;
    let (long, _long_pool) = history(&options, LONG).await;
    println!("{BENCHMARKS} series; medians of {REQUESTS} requests in ms");
    println!("{:40} {SHORT:>8} {LONG:>8} {:>6}", "commits", "ratio");
    for path in [
        "/",
        "/benchmarks",
        "/benchmarks/bench_7",
        "/timeline?benchmark=bench_7",
        "/runtimes/cpython-main",
        "/commits/0000000000000000000000000000000000000020",
        "/runs/20",
        "/queue",
        "/jobs/20",
        "/api/v1/runtimes",
        "/api/v1/series/7/points",
    ] {
        let (one, other) = (time(&short, path).await, time(&long, path).await);
        println!("{path:40} {one:8.1} {other:8.1} {:6.1}", other / one);
    }
}
