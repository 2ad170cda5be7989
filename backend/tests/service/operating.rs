//! An operator holds runtimes and hosts back, asks for work once more and tends indexes, without writing SQL.

use speedwell_wire::{ClaimRequest, paths};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::operate::{operate, url_of};
use crate::support::worker::{TestWorker, insert_job, insert_rows, measure};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_held_back_is_not_claimed(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let url = url_of(&pool).await;
    let run = |arguments: &[&str]| operate(app.data.path(), Some(&url), arguments);
    let (good, said) = run(&["runtime", "pause", "cpython-main"]);
    assert!(good && said.contains("is paused since"), "{said}");
    assert!(worker.claim().await.is_none(), "the runtime is paused");
    let (good, said) = run(&["runtime", "list"]);
    assert!(
        good && said.contains("paused 20") && said.contains("      1       0  none"),
        "{said}"
    );
    assert!(run(&["runtime", "resume", "cpython-main"]).0);

    let (good, said) = run(&["host", "disable", "lab-1"]);
    assert!(good, "{said}");
    assert!(worker.claim().await.is_none(), "the host is disabled");
    let (_, said) = run(&["host", "list"]);
    assert!(said.contains("disabled since"), "{said}");
    assert!(run(&["host", "enable", "lab-1"]).0);
    let job = worker.claim().await.unwrap();

    // What runs on a host that is disabled meanwhile is finished and taken.
    assert!(run(&["host", "disable", "lab-1"]).0);
    assert_eq!(worker.heartbeat(&job).await.0, 200);
    let artefact = worker.build(&job, b"build").await;
    let (status, answer) = worker
        .upload(job.job_id, &worker.report(&job, &artefact, 0.1))
        .await;
    assert_eq!(status, 200, "{answer}");

    for wrong in [
        ["runtime", "pause", "nothing"],
        ["host", "disable", "nothing"],
        ["host", "rotate-token", "nothing"],
        ["job", "retry", "99"],
        ["delivery", "replay", "99"],
    ] {
        let (good, said) = run(&wrong);
        assert!(!good && said.contains("there is no"), "{wrong:?}: {said}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_token_is_exchanged_and_a_job_asked_for_once_more(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    let id = insert_job(&pool, &rows, 0, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let url = url_of(&pool).await;
    let run = |arguments: &[&str]| operate(app.data.path(), Some(&url), arguments);
    let number = id.to_string();
    let (good, said) = run(&["job", "retry", &number]);
    assert!(
        !good && said.contains("is queued: there is nothing to repeat yet"),
        "{said}"
    );
    let job = worker.claim().await.unwrap();
    worker.fail(&job).await;
    let (_, said) = run(&["job", "list", "--state", "failed"]);
    assert!(
        said.contains("cpython-main") && said.contains("make failed"),
        "{said}"
    );
    let (good, said) = run(&["job", "retry", &number]);
    assert!(good && said.contains("/jobs/2"), "{said}");
    let (_, page) = app.get(&format!("/jobs/{id}")).await;
    assert!(page.contains("queued once more as job 2 by cli:"), "{page}");
    let (_, said) = run(&["job", "list"]);
    assert!(
        said.contains("queued") && said.contains("requested"),
        "{said}"
    );
    let (good, said) = run(&["job", "cancel", "2"]);
    assert!(good && said.contains("cancelled"), "{said}");
    let (_, said) = run(&["job", "list"]);
    assert!(said.contains("no job is queued or running"), "{said}");
    let (good, said) = run(&["delivery", "list", "--state", "failed"]);
    assert!(
        good && said.contains("no delivery is as asked for"),
        "{said}"
    );

    let (good, token) = run(&["host", "rotate-token", "lab-1"]);
    assert!(good && token.trim().len() == 64, "{token}");
    let claim = ClaimRequest {
        environment_id: worker.environment_id,
        wait_seconds: 0,
        toolchain: "gcc".to_owned(),
        applies_patches: false,
    };
    let (status, _) = worker.post(paths::CLAIM, &claim).await;
    assert_eq!(status, 401, "the token of before is refused");
    TestWorker::register(&app, token.trim()).await;
    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action || ' ' || subject FROM audit ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        actions,
        [
            "job.request job 2",
            "job.cancel job 2",
            "host.change host lab-1"
        ]
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn indexes_are_built_anew_and_leftovers_go(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    measure(&pool, &app, &rows, &[0.1, 0.1]).await;
    // As an interrupted REINDEX CONCURRENTLY leaves it.
    sqlx::query("CREATE INDEX run_job_ccnew ON run (job_id)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'run_job_ccnew'::regclass",
    )
    .execute(&pool)
    .await
    .unwrap();
    let url = url_of(&pool).await;
    let run = |arguments: &[&str]| operate(app.data.path(), Some(&url), arguments);
    let (good, said) = run(&["reindex", "--dry-run"]);
    assert!(
        good && said.contains("would be built anew: run_job_ccnew of run"),
        "{said}"
    );
    let (good, said) = run(&["reindex", "--all"]);
    assert!(
        good && said.contains("measurement_pkey") || said.contains("run_pkey"),
        "{said}"
    );
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_index ON indexrelid = pg_class.oid WHERE NOT indisvalid OR relname LIKE '%ccnew%'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(left.is_empty(), "{left:?}");
    let (good, said) = run(&["reindex", "--bloat", "0.5"]);
    assert!(!good && said.contains("above 1"), "{said}");

    // The estimate of what rows need is near the size of an index that was just built.
    sqlx::query("CREATE TABLE many AS SELECT n::bigint AS id, 'name ' || n AS name FROM generate_series(1, 100000) n")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("CREATE INDEX many_id ON many (id)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("CREATE INDEX many_both ON many (name, id)")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("ANALYZE many").execute(&pool).await.unwrap();
    let of_many = async || {
        let all = speedwell_backend::db::reindex::list(&pool).await.unwrap();
        all.into_iter()
            .filter(|one| one.table_name == "many")
            .map(|one| one.bloat())
            .collect::<Vec<f64>>()
    };
    let bloat = of_many().await;
    assert!(
        bloat.len() == 2 && bloat.iter().all(|one| (0.8..1.3).contains(one)),
        "{bloat:?}"
    );
    sqlx::query("DELETE FROM many WHERE id % 5 > 0")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("VACUUM ANALYZE many")
        .execute(&pool)
        .await
        .unwrap();
    let bloat = of_many().await;
    assert!(bloat.iter().all(|one| *one > 3.0), "{bloat:?}");
}

/// Root's command once gave the running service's Postgres to another user, and the service was down at its next start.
#[test]
fn root_leaves_the_folder_of_a_service_alone() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("not tested, for only root can be somebody else");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let postgres = data.path().join("postgres");
    std::fs::create_dir(&postgres).unwrap();
    for folder in [data.path(), &postgres] {
        chown(folder, Some(65_534), Some(65_534)).unwrap();
    }
    let (good, said) = operate(data.path(), None, &["host", "list"]);
    assert!(
        !good && said.contains("belongs to nobody") && said.contains("runuser -u nobody -- "),
        "{said}"
    );
    assert_eq!(std::fs::metadata(&postgres).unwrap().uid(), 65_534);
    assert_eq!(std::fs::read_dir(&postgres).unwrap().count(), 0);
}
