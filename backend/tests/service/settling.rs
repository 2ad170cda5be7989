//! What settles a commit, so that nothing more is asked for: the same for every policy and for releases.

use speedwell_backend::db::enqueue;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::TestApp;
use crate::support::worker::{Rows, insert_rows, measure_places};

/// Whether the commit at place 1, which is a release and the last of its day, is settled: by each list that a policy reads, and as release.
async fn settled(pool: &PgPool, rows: &Rows) -> [bool; 4] {
    let (runtime, commit) = (rows.runtime_id, rows.commits[1]);
    let mut connection = pool.acquire().await.unwrap();
    let all = enqueue::list_candidates(&mut *connection, runtime, "local", None).await;
    let nights = enqueue::list_nights(&mut *connection, runtime, "local", None).await;
    let tagged = enqueue::list_tagged(&mut *connection, runtime, "local").await;
    let of = |list: Vec<speedwell_backend::domain::plan::Candidate>| {
        let found = list.into_iter().find(|one| one.commit_id == commit);
        found.unwrap().settled
    };
    let release = enqueue::find_release(&mut *connection, runtime, "local").await;
    let (found, is_settled) = release.unwrap().unwrap();
    assert_eq!(found, commit);
    [
        of(all.unwrap()),
        of(nights.unwrap()),
        of(tagged.unwrap()),
        is_settled,
    ]
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn only_work_on_the_whole_suite_settles_a_commit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    for statement in [
        "INSERT INTO tag (repository_id, name, commit_hash) SELECT 1, 'v3.9.0', hash FROM commit ORDER BY id OFFSET 1 LIMIT 1",
        "UPDATE commit SET committed_at = committed_at - interval '2 days' WHERE id < (SELECT max(id) FROM commit)",
        "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    assert_eq!(settled(&pool, &rows).await, [false; 4]);

    // Part of the suite; another suite; a try that waits: each leaves everything to be done.
    for (columns, values) in [
        ("benchmarks, reason", "'{nbody}', 'confirmation'"),
        ("suite_name, reason", "'modern', 'requested'"),
        ("reason", "'try'"),
    ] {
        let insert = format!(
            "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, requester, {columns})
             SELECT 'measure', runtime.id, commit.id, 'local', 1, 'test', {values} FROM runtime, commit
             WHERE commit.id = {} RETURNING id",
            rows.commits[1]
        );
        let job: i64 = sqlx::query_scalar(AssertSqlSafe(insert))
            .fetch_one(&pool)
            .await
            .unwrap();
        let now = settled(&pool, &rows).await;
        sqlx::query("DELETE FROM job WHERE id = $1")
            .bind(job)
            .execute(&pool)
            .await
            .unwrap();
        assert_eq!(now, [false; 4], "{columns}");
    }

    measure_places(&pool, &app, &rows, &[(1, 0.1)]).await;
    assert_eq!(settled(&pool, &rows).await, [true; 4]);
}
