//! A service with something on every page: two runtimes of two languages, a release, a regression in each state, a search, a report.

use fantoccini::{Client, Locator};
use serde_json::json;
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::{self, bisect, detect, explain, index, noise, report, trace};
use sqlx::PgPool;

use super::triage::{insert_point, insert_regression, insert_token};
use super::worker::{Rows, insert_job, insert_rows, measure};
use super::{CONFIG, TestApp, browser, hooks, importing};

/// The token that [`sign_in`] pastes.
const ADMIN: &str = "ada";

/// Starts it; returns it with the address of each of its pages.
pub async fn start(pool: &PgPool) -> (TestApp, Vec<String>) {
    let app = TestApp::start_with(pool, &config()).await;
    let rows = insert_rows(pool, 8).await;
    deliveries(pool, &app).await;
    tag(pool, 1, "v3.9.0").await;
    tag(pool, 4, "v3.9.1").await;
    measure(pool, &app, &rows, &[0.1, 0.1, 0.1, 0.11, 0.11, 0.11]).await;
    let other = second_runtime(pool, &rows).await;
    measure(pool, &app, &other, &[0.12, 0.12, 0.12]).await;
    for (state, benchmark, after) in [
        ("confirmed", "richards", 4),
        ("found", "nbody", 3),
        ("suspected", "richards", 3),
    ] {
        let id = insert_regression(pool, &rows, state, after - 2, after).await;
        insert_point(pool, &rows, id, benchmark, (after - 2, after), 0.1).await;
    }
    for pass in 0..2 {
        noise::tick(&app.context).await.unwrap();
        trace::tick(&app.context).await.unwrap();
        index::tick(&app.context).await.unwrap();
        if pass == 0 {
            bisect::tick(&app.context).await.unwrap();
            explain::tick(&app.context).await.unwrap();
            detect::tick(&app.context).await.unwrap();
        }
    }
    insert_job(pool, &rows, 6, 1).await;
    insert_tries(pool).await;
    let now = chrono::Utc::now() + chrono::Duration::seconds(1);
    report::look(&app.context, now).await.unwrap();
    let day: Option<String> = sqlx::query_scalar("SELECT day::text FROM report LIMIT 1")
        .fetch_optional(pool)
        .await
        .unwrap();
    insert_token(pool, ADMIN, Role::Admin).await;
    let mut pages: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    let run = import(pool, &app).await;
    pages.extend([
        format!("/runs/{run}"),
        format!("/commits/{}", importing::hash(7)),
        "/benchmarks/json_dumps".to_owned(),
        "/hosts/others".to_owned(),
    ]);
    pages.extend(day.map(|day| format!("/reports/cpython-main/{day}")));
    (app, pages)
}

/// What a visitor can open. A page that is not here is not looked at: add it.
const PAGES: &[&str] = &[
    "/",
    "/regressions",
    "/regressions/1",
    "/regressions/2",
    "/bisections",
    "/bisections/1",
    "/recompute",
    "/benchmarks",
    "/benchmarks/nbody",
    "/compare",
    "/compare?a=cpython-main&b=cpython-2.7",
    "/compare/nbody?a=cpython-main&b=cpython-2.7",
    "/matrix",
    "/timeline",
    "/timeline?benchmark=nbody&benchmark=richards&runtime=cpython-main&runtime=cpython-2.7&scale=log&base=v3.9.0",
    "/grid",
    "/releases?runtime=cpython-main",
    "/generations",
    "/topdown?runtime=cpython-main",
    "/search?q=change",
    "/runs/1/reproduce/nbody",
    "/suites",
    "/suites/portable",
    "/steps",
    "/runtimes/cpython-main",
    "/commits/0000000000000000000000000000000000000004",
    "/runs/1",
    "/runs/1/counters",
    "/hosts",
    "/hosts/lab-1",
    "/queue",
    "/jobs/1",
    "/tries",
    "/tries/new",
    "/tries/1",
    "/tries/2",
    "/reports",
    "/subscriptions",
    "/outbox",
    "/alarms",
    "/deliveries",
    "/deliveries/1",
    "/deliveries/3",
    "/api",
    "/sign-in",
    "/tokens",
    "/audit",
    "/nowhere",
];

/// The configuration, with a forge.
pub fn config() -> String {
    CONFIG.replacen("[[runtime]]", FORGE, 1)
}

/// A try that is decided, with a change of each kind, and two that wait for approval.
async fn insert_tries(pool: &PgPool) {
    for query in [
        "INSERT INTO try_run (repository_id, requester, source, head_name, runtimes, budget, state, verdict, message, base_branch,
                              head_commit_id, base_commit_id, approved_by, approved_at, finished_at)
         VALUES (1, 'ada', 'revision', 'topic', '{}', 10, 'decided', 'worse', 'Of 2 benchmarks: 2 slower.', 'main', 4, 3, 'ada',
                 now(), now())",
        "INSERT INTO try_run (repository_id, requester, source, pull_number, runtimes, budget, state, head_commit_id, base_commit_id, diff,
                              diff_cut)
         SELECT 1, 'github:eve', 'pull', number, '{}', 10, 'waiting_for_approval', 4, 3, '+<b>x</b>', true
         FROM generate_series(7, 8) AS number ORDER BY number",
        "INSERT INTO try_part (try_id, runtime_id, host_id, benchmarks, rounds, state, message)
         SELECT 1, 1, id, '{}', 3, 'decided', '3 pairs of runs' FROM host LIMIT 1",
        "INSERT INTO try_result (try_id, runtime_id, benchmark_id, metric, counter_source, pairs, base, head, change, change_low,
                                 change_high, verdict)
         SELECT 1, 1, id, metric, 'software', 3, 1, 1 + size, size, size - 0.01, size + 0.01, verdict FROM benchmark
         CROSS JOIN (VALUES ('wall_time', 0.05, 'worse'), ('max_rss', -0.03, 'better')) AS one (metric, size, verdict)",
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, host_id, priority, reason, requester, try_id, try_round, state, finished_at,
                          failure_message)
         SELECT 'measure', 1, 4, 'local', id, 130, 'try', 'ada', 1, 0, 'cancelled', now(), 'taken back' FROM host LIMIT 1",
    ] {
        sqlx::query(query).execute(pool).await.unwrap();
    }
}

/// A run that was measured elsewhere, of the newest commit; its key.
async fn import(pool: &PgPool, app: &TestApp) -> i64 {
    importing::open(pool).await;
    let query = format!(
        "runtime=cpython-main&host=others&commit={}",
        importing::hash(7)
    );
    let body = importing::file(0.1).to_string().into_bytes();
    let (status, answer) = importing::send(app, &query, body).await;
    assert_eq!(status, 201, "{answer}");
    answer["run_id"].as_i64().unwrap()
}

/// A forge that sends hooks and is told nothing.
const FORGE: &str = "[repository.forge]\nkind = \"github\"\napi = \"https://api.github.com\"\nproject = \"python/cpython\"\n\
                     hook_secret_file = \"/nowhere\"\n[[runtime]]";

/// A delivery in each state but waiting.
async fn deliveries(pool: &PgPool, app: &TestApp) {
    let push =
        json!({ "ref": "refs/heads/main", "before": "a".repeat(40), "after": "b".repeat(40) });
    for (event, key, body) in [
        ("push", "1", &push),
        ("ping", "2", &json!({ "zen": "Design for failure." })),
        ("push", "3", &json!({ "ref": "refs/heads/main" })),
    ] {
        hooks::insert(pool, event, key, body).await;
    }
    scheduler::hooks::tick(&app.context).await.unwrap();
}

/// Makes a commit (by its place) a release.
async fn tag(pool: &PgPool, place: i32, name: &str) {
    sqlx::query("INSERT INTO tag (repository_id, name, commit_hash) VALUES (1, $2, lpad(to_hex($1 + 1), 40, '0'))")
        .bind(place)
        .bind(name)
        .execute(pool)
        .await
        .unwrap();
}

/// Another runtime, of Python 2, on a branch of its own that holds the same commits.
async fn second_runtime(pool: &PgPool, rows: &Rows) -> Rows {
    sqlx::query("INSERT INTO branch (repository_id, name) VALUES (1, '2.7')")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO branch_commit SELECT 2, position, commit_id FROM branch_commit")
        .execute(pool)
        .await
        .unwrap();
    let runtime_id: i64 = sqlx::query_scalar(
        "INSERT INTO runtime (name, language, branch_id, recipe, recipe_sha256, suite_name, ordinal)
         SELECT 'cpython-2.7', 'python2', 2, recipe, 'r2', suite_name, 1 FROM runtime RETURNING id",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    sqlx::query("UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)")
        .execute(pool)
        .await
        .unwrap();
    Rows {
        runtime_id,
        commits: rows.commits.clone(),
    }
}

/// Signs in as an admin, so that pages show what only those see.
pub async fn sign_in(client: &Client, app: &TestApp) {
    let token = format!("token-of-{ADMIN}");
    browser::sign_in(client, app, &token, "/queue").await;
    client
        .wait()
        .for_element(Locator::LinkText("Queue"))
        .await
        .unwrap();
}
