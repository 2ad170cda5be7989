//! Ticks get done with fewer connections than there are ticks, and one process at a time does each.

use std::time::Duration;

use futures_util::future::join_all;
use speedwell_backend::context::Context;
use speedwell_backend::scheduler::locks::Locks;
use speedwell_backend::scheduler::{self, TICKS};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::support::TestApp;

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn ticks_do_not_wait_for_each_others_connections(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let few = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(20))
        .connect_with((*pool.connect_options()).clone())
        .await
        .unwrap();
    let context = Context {
        pool: few,
        ..app.context.clone()
    };
    let locks = Locks::new(&context.pool);
    // All at once, as when a backend starts.
    join_all(
        TICKS
            .iter()
            .map(|tick| scheduler::pass(tick, &context, &locks)),
    )
    .await;
    let failed: Vec<(String, String)> =
        sqlx::query_as("SELECT name, error FROM tick_state WHERE failures > 0")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(failed, []);
    let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM tick_state")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(usize::try_from(noted).unwrap(), TICKS.len());
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_lock_is_its_holders_until_it_is_given_up_or_lost(pool: PgPool) {
    let (one, other) = (Locks::new(&pool), Locks::new(&pool));
    assert!(one.take("detect").await.unwrap());
    assert!(one.take("trace").await.unwrap());
    assert!(!other.take("detect").await.unwrap());
    one.release("detect").await.unwrap();
    assert!(other.take("detect").await.unwrap());
    assert!(!other.take("trace").await.unwrap());
    // The server ends the connection: what was held is free, and the holder can take locks again.
    let ended: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE locktype = 'advisory'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(ended, [true, true]);
    assert!(one.take("detect").await.is_err());
    assert!(one.take("detect").await.unwrap());
    assert!(other.release("trace").await.is_err());
    assert!(other.take("trace").await.unwrap());
    assert!(!other.take("detect").await.unwrap());
}
