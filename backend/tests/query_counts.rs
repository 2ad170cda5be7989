//! Pages do a bounded number of queries, whatever the number of series. A program of its own: it counts every query of its process.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "service/support/mod.rs"]
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "what the other tests use besides"
)]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use speedwell_backend::domain::regression::Transition;
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::{bisect, index, noise, report, trace};
use sqlx::PgPool;
use support::regression::{go, insert};
use support::triage::{insert_point, insert_regression, insert_token};
use support::worker::{insert_job, insert_rows, measure};
use support::{TestApp, hooks};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

static QUERIES: AtomicUsize = AtomicUsize::new(0);

/// Counts what sqlx logs: one event for each statement, but for what a new connection is told once.
struct Counter;

/// Whether an event is of a statement that belongs to opening a connection.
#[derive(Default)]
struct Opens(bool);

impl Visit for Opens {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 |= field.name() == "summary" && format!("{value:?}").contains("SET plan_cache_mode");
    }
}

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut opens = Opens::default();
        event.record(&mut opens);
        if event.metadata().target() == "sqlx::query" && !opens.0 {
            QUERIES.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The queries that make a page, and those that find it again while nothing has changed.
async fn count(app: &TestApp, path: &str) -> usize {
    // Once before, so that connections and prepared statements are there.
    assert_eq!(app.get(path).await.0, 200, "{path}");
    // Something is committed, so that the page is made anew.
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&app.context.pool)
        .await
        .unwrap();
    QUERIES.store(0, Ordering::SeqCst);
    assert_eq!(app.get(path).await.0, 200, "{path}");
    // Pages ask first which state of the database they show.
    let asks = usize::from(!path.starts_with("/api/") && !path.starts_with("/feeds/"));
    let made = QUERIES.swap(0, Ordering::SeqCst) - asks;
    assert_eq!(app.get(path).await.0, 200, "{path}");
    // Other tests' databases share the numbers of transactions: then it is made once more.
    let again = QUERIES.load(Ordering::SeqCst);
    assert!(again == asks || again == made + asks, "{path}: {again}");
    made
}

/// The queries of a request with a token: nothing is kept for it.
async fn count_as(app: &TestApp, path: &str, token: &str) -> usize {
    let mut queries = 0;
    for _ in 0..2 {
        let request = app.client.get(format!("{}{path}", app.address));
        let response = request.bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        queries = QUERIES.swap(0, Ordering::SeqCst);
    }
    queries
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn pages_do_a_bounded_number_of_queries(pool: PgPool) {
    tracing_subscriber::registry().with(Counter).init();
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 6).await;
    measure(&pool, &app, &rows, &[0.1; 5]).await;
    insert_job(&pool, &rows, 5, 1).await;
    sqlx::query("UPDATE runtime SET control = true")
        .execute(&pool)
        .await
        .unwrap();
    // More change points and regressions ask for no more queries.
    for _ in 0..3 {
        let id = insert_regression(&pool, &rows, "confirmed", 1, 2).await;
        insert_point(
            &pool,
            &rows,
            id,
            "nbody",
            (1, 2 + usize::try_from(id).unwrap() % 3),
            0.1,
        )
        .await;
    }
    noise::tick(&app.context).await.unwrap();
    index::tick(&app.context).await.unwrap();
    trace::tick(&app.context).await.unwrap();
    let id = insert_regression(&pool, &rows, "confirmed", 0, 4).await;
    insert_point(&pool, &rows, id, "richards", (0, 4), 0.1).await;
    bisect::tick(&app.context).await.unwrap();
    hooks::insert(&pool, "ping", "1", &serde_json::json!({})).await;
    let hash = format!("{:0>40}", "3");
    let now = chrono::Utc::now() + chrono::Duration::seconds(1);
    sqlx::query("UPDATE runtime SET control = false")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(report::look(&app.context, now).await.unwrap(), 1);
    let day: String = sqlx::query_scalar("SELECT day::text FROM report")
        .fetch_one(&pool)
        .await
        .unwrap();
    let report = format!("/reports/cpython-main/{day}");
    insert_try(&pool).await;
    for commit in 0..5 {
        let id = insert(&pool, &rows, commit, commit + 1).await;
        go(&pool, id, &[Transition::Confirm]).await;
    }
    // (page, most queries)
    let pages = [
        ("/".to_owned(), 8),
        ("/alarms".to_owned(), 2),
        ("/releases".to_owned(), 6),
        ("/generations".to_owned(), 6),
        ("/topdown".to_owned(), 6),
        ("/benchmarks".to_owned(), 1),
        ("/runtimes/cpython-main".to_owned(), 3),
        ("/badges/cpython-main.svg".to_owned(), 1),
        (
            "/badges/compare.svg?a=cpython-main&b=cpython-main".to_owned(),
            5,
        ),
        ("/api/v1/series.parquet?runtime=cpython-main".to_owned(), 2),
        ("/benchmarks/nbody".to_owned(), 6),
        ("/search?q=change".to_owned(), 3),
        ("/search?q=change&kind=commits".to_owned(), 1),
        ("/api/v1/search?q=nbody".to_owned(), 3),
        ("/runs/1/reproduce/nbody".to_owned(), 5),
        ("/runs/1/reproduce/nbody.tar.gz".to_owned(), 5),
        (format!("/commits/{hash}"), 4),
        // Names, series, chunks; versions; releases, changes, annotations; details. With a base two more, with a break two more.
        ("/timeline?benchmark=nbody&benchmark=richards".to_owned(), 8),
        (format!("/timeline?benchmark=nbody&base={hash}"), 10),
        ("/api/v1/timeline?benchmark=nbody".to_owned(), 7),
        ("/grid".to_owned(), 7),
        ("/suites".to_owned(), 1),
        ("/suites/portable".to_owned(), 3),
        ("/runs/1".to_owned(), 7),
        ("/runs/1/counters".to_owned(), 3),
        ("/compare".to_owned(), 2),
        ("/compare?a=cpython-main&b=cpython-main".to_owned(), 5),
        ("/compare/nbody?a=cpython-main&b=cpython-main".to_owned(), 4),
        ("/compare.md?a=cpython-main&b=cpython-main".to_owned(), 5),
        ("/compare.csv?a=cpython-main&b=cpython-main".to_owned(), 5),
        ("/compare.json?a=cpython-main&b=cpython-main".to_owned(), 6),
        ("/matrix".to_owned(), 7),
        ("/steps".to_owned(), 2),
        ("/regressions".to_owned(), 4),
        ("/regressions/1".to_owned(), 13),
        ("/bisections".to_owned(), 2),
        ("/bisections/1".to_owned(), 5),
        ("/recompute".to_owned(), 1),
        ("/tries".to_owned(), 1),
        ("/tries/new".to_owned(), 1),
        ("/tries/1".to_owned(), 6),
        ("/api/v1/tries/1".to_owned(), 5),
        ("/queue".to_owned(), 4),
        ("/hosts".to_owned(), 1),
        ("/hosts/lab-1".to_owned(), 9),
        ("/jobs/1".to_owned(), 5),
        ("/subscriptions".to_owned(), 1),
        ("/outbox".to_owned(), 4),
        ("/deliveries".to_owned(), 2),
        ("/deliveries/1".to_owned(), 3),
        ("/reports".to_owned(), 1),
        (report, 1),
        ("/feeds/runtimes/cpython-main.atom".to_owned(), 7),
        ("/feeds/benchmarks/nbody.atom".to_owned(), 7),
        ("/feeds/reports/cpython-main.atom".to_owned(), 2),
    ];
    for (path, most) in pages {
        let queries = count(&app, &path).await;
        assert!(
            (1..=most).contains(&queries),
            "{path}: {queries} queries, at most {most}"
        );
    }
    // Who it is takes one more, also when several ask for it.
    let admin = insert_token(&pool, "admin", Role::Admin).await;
    for (path, most) in [("/subscriptions", 2), ("/audit", 2), ("/tokens", 4)] {
        let queries = count_as(&app, path, &admin).await;
        assert_eq!(queries, most, "{path}");
    }
}

/// A try with a result for each benchmark.
async fn insert_try(pool: &PgPool) {
    for query in [
        "INSERT INTO try_run (repository_id, requester, source, head_name, runtimes, budget, state, head_commit_id, base_commit_id,
                              approved_by, approved_at)
         VALUES (1, 'ada', 'revision', 'topic', '{}', 10, 'running', 2, 1, 'ada', now())",
        "INSERT INTO try_part (try_id, runtime_id, host_id, benchmarks) VALUES (1, 1, 1, '{}')",
        "INSERT INTO try_result (try_id, runtime_id, benchmark_id, metric, counter_source, pairs, base, head, change, change_low,
                                 change_high, verdict)
         SELECT 1, 1, id, 'wall_time', 'software', 2, 1, 1, 0, 0, 0, 'unchanged' FROM benchmark",
    ] {
        sqlx::query(query).execute(pool).await.unwrap();
    }
}
