//! Migrations up, down, up again, on an empty and on a filled database.

use speedwell_backend::db::MIGRATOR;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::operate::{operate, url_of};
use crate::support::worker::{insert_rows, measure};

async fn tables(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations' ORDER BY 1")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrations = false)]
async fn up_down_and_up_again(pool: PgPool) {
    MIGRATOR.run(&pool).await.unwrap();
    let first = tables(&pool).await;
    assert!(first.contains(&"measurement".to_owned()));
    MIGRATOR.undo(&pool, 0).await.unwrap();
    assert!(tables(&pool).await.is_empty());
    let functions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(functions, 0, "a function is left behind");
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(tables(&pool).await, first);
}

/// The newest migration goes down and up over real rows, and loses none of them.
#[sqlx::test(migrator = "MIGRATOR")]
async fn the_newest_goes_down_and_up_over_a_filled_database(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    sqlx::query("UPDATE job SET reason = 'control'")
        .execute(&pool)
        .await
        .unwrap();
    let count = || async {
        let counts: (i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM run), (SELECT count(*) FROM measurement)",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        counts
    };
    let before = count().await;
    assert_eq!(before, (1, 1, 2));
    let versions: Vec<i64> = MIGRATOR
        .iter()
        .filter(|one| one.migration_type.is_up_migration())
        .map(|one| one.version)
        .collect();
    MIGRATOR
        .undo(&pool, versions[versions.len() - 2])
        .await
        .unwrap();
    assert_eq!(count().await, before);
    MIGRATOR.run(&pool).await.unwrap();
    assert_eq!(count().await, before);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_database_of_a_newer_version_is_refused_with_the_way_out(pool: PgPool) {
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (30000101000000, 'later', true, '', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let (folder, url) = (tempfile::tempdir().unwrap(), url_of(&pool).await);
    let (done, said) = operate(folder.path(), Some(&url), &["host", "list"]);
    assert!(
        !done
            && said.contains("migration 30000101000000 is not known here")
            && said.contains("restore"),
        "{said}"
    );
}
