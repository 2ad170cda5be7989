//! What the tests of imports share: a service with rules for names of others, a host for imports, tokens, and a file of pyperf.

use serde_json::{Value, json};
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::imports;
use speedwell_backend::db::tokens::{self, NewToken};
use speedwell_backend::domain::role::Role;
use speedwell_backend::domain::token::{Scope, TokenKind};
use sqlx::PgPool;

use super::worker::{Rows, insert_rows};
use super::{CONFIG, TestApp};

/// The names that results of others come under.
pub const RULES: &str = r#"
[[import]]
project = "CPython"
environment = "lab-of-others"
runtime = "cpython-main"
host = "others"
[[import]]
project = "nts"
environment = "machine"
runtime = "cpython-main"
host = "others"
[[import]]
project = "bench"
environment = "testbed"
branch = "main"
runtime = "cpython-main"
host = "others"
"#;

/// The token of an importer that may write results of `cpython-*` on `others`.
pub const TOKEN: &str = "token-of-importer";

/// Starts it with so many commits, a host `lab-1` of its own, and one named `others`.
pub async fn start(pool: &PgPool, commits: i32) -> (TestApp, Rows) {
    let app = TestApp::start_with(pool, &format!("{CONFIG}{RULES}")).await;
    let rows = insert_rows(pool, commits).await;
    open(pool).await;
    (app, rows)
}

/// Adds the host `others` and the token of who may write its results.
pub async fn open(pool: &PgPool) {
    let added = imports::add_host(pool, "others", &sha256_hex(b"nobody")).await;
    assert!(added.unwrap());
    let scope = Scope::read(&["cpython-*".to_owned()], &["others".to_owned()]).unwrap();
    let hash = sha256_hex(TOKEN.as_bytes());
    let new = NewToken {
        name: "importer",
        owner: "ada",
        kind: TokenKind::Importer,
        role: Role::Viewer,
        scope,
        expires_at: None,
        sha256: &hash,
    };
    let mut connection = pool.acquire().await.unwrap();
    tokens::upsert(&mut connection, &new).await.unwrap();
}

/// The hash of a commit by its place on the branch.
pub fn hash(place: usize) -> String {
    format!("{:0>40}", format!("{:x}", place + 1))
}

/// A file as pyperformance writes it: two benchmarks, each of three processes with a warm-up and two values, and calibration.
pub fn file(seconds: f64) -> Value {
    let run = |offset: f64| {
        json!({"metadata": {"date": "2026-11-01 10:01:00", "duration": 2.5, "mem_max_rss": 20_000_000}, "warmups": [[4, seconds * 3.0]],
            "values": [seconds + offset, seconds + offset + 1e-5]})
    };
    let benchmark = |name: &str, factor: f64| {
        json!({"metadata": {"name": name, "loops": 4}, "runs": [
            {"metadata": {"calibrate_loops": 4, "date": "2026-11-01 10:00:00"}, "warmups": [[1, 9.0], [4, 9.0]]},
            run(0.0 * factor), run(2e-5 * factor), run(4e-5 * factor)]})
    };
    json!({
        "version": "1.0",
        "metadata": {"performance_version": "1.14.0", "unit": "second", "cpu_model_name": "Xeon", "cpu_count": 8, "platform": "Linux-6.1",
            "python_implementation": "cpython", "python_version": "3.14.0", "python_compiler": "GCC 12", "hostname": "elsewhere"},
        "benchmarks": [benchmark("nbody", 1.0), benchmark("json_dumps", 2.0)],
    })
}

/// Sends a body to `/api/v1/results`; status and answer.
pub async fn send(app: &TestApp, query: &str, body: Vec<u8>) -> (u16, Value) {
    let response = app
        .client
        .post(format!("{}/api/v1/results?{query}", app.address))
        .bearer_auth(TOKEN)
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// Runs, measurements, jobs, and lines of the audit log.
pub async fn counts(pool: &PgPool) -> (i64, i64, i64, i64) {
    sqlx::query_as("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM measurement), (SELECT count(*) FROM job), (SELECT count(*) FROM audit)")
        .fetch_one(pool)
        .await
        .unwrap()
}
