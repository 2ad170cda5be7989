//! The pages under load, over made-up data in the real tables: fifty requests a second, each for another choice, as the 50th and 99th percentiles of the
//! server's times.
//!
//!     DATABASE_URL=… cargo bench -p speedwell-backend --bench load -- measurements=10000000 seconds=20 rate=50 writes=1
//!
//! Meanwhile something is committed `writes` times a second, as by workers that report: what the service keeps of a page holds only until then. `kept=no` asks
//! as somebody who is signed in would: each page is made anew.
//!
//! Needs a Postgres in which it may make a database (`speedwell-backend cluster --fast FOLDER` starts one). The database `load_N` is kept and used again; drop it
//! to begin anew. `measurements=A,B` takes one size after the other and prints the ratio between them.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/service/support/mod.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what the tests use besides"
)]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use speedwell_backend::db::{MIGRATOR, synthetic};
use speedwell_backend::domain::synthetic::Plan;
use speedwell_backend::scheduler;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use support::TestApp;

/// A service that has nothing configured: what it shows is in the database.
const CONFIG: &str = "data = \"DATA\"\nlisten = \"127.0.0.1:0\"\n";

/// A page and the addresses that are asked for in turn: `N` is the number of the request.
type Address = fn(&Plan, usize) -> String;

const PAGES: [(&str, Address); 5] = [
    ("home", |_, _| "/".to_owned()),
    ("timeline, 10 series of 2,000 points", |plan, number| {
        let first = number * 7 % 90;
        let names: String = (first..first + 10)
            .map(|n| format!("&benchmark=bench_{n}"))
            .collect();
        format!(
            "/timeline?runtime=made-up-0&metric=wall_time&last=2000{names}&from={}",
            plan.longest - 2_000
        )
    }),
    ("compare, 100 benchmarks", |_, number| {
        let (one, other) = (number % 10, (number / 10 + number + 1) % 10);
        format!("/compare?a=made-up-{one}&b=made-up-{other}")
    }),
    ("matrix, 100 x 10", |_, number| {
        format!("/matrix?base=made-up-{}", number % 10)
    }),
    ("grid, 100 series", |_, number| {
        format!("/grid?runtime=made-up-{}", number % 10)
    }),
];

/// `name=value` of the command line; the usual one when it is not there.
fn option(name: &str, usual: &str) -> String {
    let found = std::env::args().find_map(|text| {
        let (key, value) = text.split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    found.unwrap_or_else(|| usual.to_owned())
}

/// The database of a size: filled unless it is there, and worked over by the ticks that pages rely on.
async fn database(options: &PgConnectOptions, plan: &Plan) -> PgPool {
    let name = format!("load_{}", plan.measurements());
    let admin = PgPool::connect_with(options.clone()).await.unwrap();
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
            .bind(&name)
            .fetch_one(&admin)
            .await
            .unwrap();
    if !known {
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&admin)
            .await
            .unwrap();
    }
    let connect = options.clone().database(&name);
    let pool = PgPoolOptions::new().connect_with(connect).await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    if !synthetic::is_in_use(&pool).await.unwrap() {
        let begun = Instant::now();
        synthetic::fill(&pool, plan, |_| {}).await.unwrap();
        eprintln!("{name}: loaded in {:.0} s", begun.elapsed().as_secs_f64());
    }
    pool
}

/// Lets the ticks work off what loading has left.
async fn work_off(app: &TestApp) {
    for name in ["trace", "index"] {
        let begun = Instant::now();
        let tick = scheduler::TICKS.iter().find(|tick| tick.name == name);
        let pass = tick.unwrap().pass;
        while pass(&app.context).await.unwrap().is_some() {}
        eprintln!(
            "{name}: worked off in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
    }
    sqlx::query("VACUUM ANALYZE")
        .execute(&app.context.pool)
        .await
        .unwrap();
}

struct Times {
    median: f64,
    rare: f64,
    kilobytes: f64,
}

/// Commits what a worker's sign of life does, so many times a second, for as long as it is not dropped.
fn write_meanwhile(pool: &PgPool, rate: f64) -> tokio::task::JoinHandle<()> {
    let pool = pool.clone();
    tokio::spawn(async move {
        if rate <= 0.0 {
            return;
        }
        loop {
            sqlx::query("UPDATE host SET last_seen_at = now()")
                .execute(&pool)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_secs_f64(1.0 / rate)).await;
        }
    })
}

/// Asks at an even pace whatever the answers take: who waits because the one before him was slow waits in the figures, too.
async fn load(app: &TestApp, plan: &Plan, address: Address, rate: f64, seconds: f64) -> Times {
    let client = support::client();
    let kept = option("kept", "yes") == "yes";
    let writing = write_meanwhile(&app.context.pool, option("writes", "1").parse().unwrap());
    // Connections and prepared statements first.
    for number in 0..8 {
        let url = format!("{}{}", app.address, address(plan, number));
        let response = client.get(url).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(
            status.is_success(),
            "{}: {status} {text}",
            address(plan, number)
        );
    }
    let count = (rate * seconds) as usize;
    let begun = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let mut request = client
            .get(format!("{}{}", app.address, address(plan, number)))
            .header("accept-encoding", "gzip");
        if !kept {
            request = request.header("cookie", "load=1");
        }
        waiting.spawn(async move {
            let response = request.send().await.unwrap().error_for_status().unwrap();
            let bytes = response.bytes().await.unwrap().len();
            (due.elapsed().as_secs_f64() * 1e3, bytes)
        });
    }
    let mut times = Vec::with_capacity(count);
    let mut bytes = 0;
    while let Some(answer) = waiting.join_next().await {
        let (time, size) = answer.unwrap();
        times.push(time);
        bytes += size;
    }
    writing.abort();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Times {
        median: at(0.5),
        rare: at(0.99),
        kilobytes: bytes as f64 / count as f64 / 1024.0,
    }
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("set DATABASE_URL to a Postgres in which this may make a database");
        std::process::exit(2);
    };
    let options: PgConnectOptions = url.parse().unwrap();
    let (rate, seconds) = (option("rate", "50"), option("seconds", "20"));
    let (rate, seconds): (f64, f64) = (rate.parse().unwrap(), seconds.parse().unwrap());
    let only = option("page", "");
    println!(
        "{rate} requests a second for {seconds} s each; milliseconds, and kilobytes as they travel"
    );
    println!("| page | measurements | p50 | p99 | kB | p50 against the first size |");
    println!("|---|---|---|---|---|---|");
    let mut first: BTreeMap<&str, f64> = BTreeMap::new();
    for size in option("measurements", "10000000").split(',') {
        let plan = Plan::of(size.parse().unwrap());
        let pool = database(&options, &plan).await;
        let app = TestApp::start_with(&pool, CONFIG).await;
        work_off(&app).await;
        for (name, address) in PAGES.iter().filter(|page| page.0.starts_with(&only)) {
            let times = load(&app, &plan, *address, rate, seconds).await;
            let ratio = times.median / *first.entry(name).or_insert(times.median);
            println!(
                "| {name} | {} | {:.1} | {:.1} | {:.0} | {ratio:.2} |",
                plan.measurements(),
                times.median,
                times.rare,
                times.kilobytes
            );
        }
    }
}
