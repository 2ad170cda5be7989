//! The doors under load: how soon a forge's hook is answered, and how many files of pyperf a second are taken in.
//!
//!     DATABASE_URL=… cargo bench -p speedwell-backend --bench doors -- rate=20 seconds=20 files=2000 at_once=4
//!
//! Hooks are signed pushes, each a delivery of its own, while the tick does their work. Files are as `pyperformance run` writes them: `benchmarks` (80), each of
//! 20 processes with a warm-up and three values, all for commits of their own. Makes a database and drops it.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/service/support/mod.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what the tests use besides"
)]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use speedwell_backend::db::MIGRATOR;
use speedwell_backend::domain::hook::ForgeKind;
use speedwell_backend::scheduler;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use support::forge::ForgeServer;
use support::worker::insert_rows;
use support::{CONFIG, TestApp, hooks, importing};

/// `name=number` of the command line; the usual one when it is not there.
fn option(name: &str, usual: f64) -> f64 {
    let found = std::env::args().find_map(|text| {
        let (key, value) = text.split_once('=')?;
        (key == name).then(|| value.parse().unwrap())
    });
    found.unwrap_or(usual)
}

/// Sends hooks at an even pace and prints the times of their answers in milliseconds.
async fn send_hooks(app: &Arc<TestApp>) {
    let (rate, seconds) = (option("rate", 20.0), option("seconds", 20.0));
    let count = (rate * seconds) as usize;
    let context = app.context.clone();
    let working = tokio::spawn(async move {
        loop {
            scheduler::hooks::tick(&context).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let begun = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let body = json!({
            "ref": "refs/heads/main", "before": "a".repeat(40), "after": format!("{number:0>40x}"),
            // Forges send some ten kilobytes of what nobody asked for.
            "repository": { "full_name": "python/cpython", "description": "x".repeat(8_000) },
        });
        let body = body.to_string().into_bytes();
        let key = number.to_string();
        let request = hooks::hook(app, ForgeKind::Github, "push", &key, &body);
        waiting.spawn(async move {
            let (status, answer) = hooks::send(request).await;
            assert_eq!(status, 202, "{answer}");
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    let mut times = waiting.join_all().await;
    working.abort();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    println!(
        "{count} hooks at {rate} a second: answered in {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// A file as pyperformance writes it.
fn file(benchmarks: usize, number: usize) -> Value {
    let one = |benchmark: usize| {
        let seconds = 0.01 + benchmark as f64 * 1e-3 + number as f64 * 1e-7;
        let run = |process: usize| {
            let offset = process as f64 * 1e-6;
            json!({
                "metadata": { "date": "2026-11-01 10:01:00", "duration": 2.5, "mem_max_rss": 20_000_000 + process },
                "warmups": [[4, seconds * 1.5]],
                "values": [seconds + offset, seconds + offset * 1.1, seconds + offset * 1.2],
            })
        };
        let runs: Vec<Value> = (0..20).map(run).collect();
        json!({ "metadata": { "name": format!("bench_{benchmark}"), "loops": 4 }, "runs": runs })
    };
    let all: Vec<Value> = (0..benchmarks).map(one).collect();
    json!({
        "version": "1.0",
        "metadata": {
            "performance_version": "1.14.0", "unit": "second", "cpu_model_name": "Xeon", "cpu_count": 8, "platform": "Linux-6.1",
            "python_implementation": "cpython", "python_version": "3.14.0", "python_compiler": "GCC 12", "hostname": "elsewhere",
        },
        "benchmarks": all,
    })
}

/// Sends files and prints how many a second were stored.
async fn import(app: &Arc<TestApp>, files: usize) {
    let (benchmarks, at_once) = (
        option("benchmarks", 80.0) as usize,
        option("at_once", 4.0) as usize,
    );
    let begun = Instant::now();
    let bytes = stream::iter(0..files)
        .map(|number| {
            let app = Arc::clone(app);
            async move {
                let body = file(benchmarks, number).to_string().into_bytes();
                let size = body.len();
                let commit = importing::hash(number);
                let query = format!("runtime=cpython-main&host=others&commit={commit}");
                let (status, answer) = importing::send(&app, &query, body).await;
                assert_eq!(status, 201, "{answer}");
                size
            }
        })
        .buffer_unordered(at_once)
        .fold(0, async |sum, size| sum + size)
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{files} files of {benchmarks} benchmarks and {:.1} MB each, {at_once} at once: {:.1} files a second, {:.0} benchmarks a second",
        bytes as f64 / files as f64 / 1e6,
        files as f64 / seconds,
        (files * benchmarks) as f64 / seconds
    );
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("set DATABASE_URL to a Postgres in which this may make a database");
        std::process::exit(2);
    };
    let options: PgConnectOptions = url.parse().unwrap();
    let admin = PgPool::connect_with(options.clone()).await.unwrap();
    let name = format!("doors_{}", std::process::id());
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create))
        .execute(&admin)
        .await
        .unwrap();
    let pool = PgPoolOptions::new().connect_with(options.database(&name));
    let pool = pool.await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    let files = option("files", 500.0) as usize;
    let forge = ForgeServer::start(ForgeKind::Github).await;
    let settings = format!(
        "{}[limits]\nacting = 1000000\nhooks = 1000000\n[[runtime]]",
        forge.config("")
    );
    let config = CONFIG.replacen("[[runtime]]", &settings, 1);
    let app = Arc::new(TestApp::start_with(&pool, &config).await);
    insert_rows(&pool, i32::try_from(files).unwrap()).await;
    importing::open(&pool).await;

    send_hooks(&app).await;
    import(&app, files).await;

    drop(app);
    pool.close().await;
    sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
        .execute(&admin)
        .await
        .unwrap();
}
