//! What becomes of a confirmed regression whose commits a force push takes off the branch, by the real ticks. With real workers and a real
//! force push: `faults::rewriting`.

use speedwell_backend::db::commits;
use speedwell_backend::scheduler::{bisect, confirm, detect, group};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows};

/// Commits before the slow one.
const BEFORE: usize = 9;
/// All of them.
const ALL: usize = 12;

/// Delivers what is queued, and looks at it, until nothing more is asked for. `slow` says which commits are, by their place among all that
/// ever were.
async fn settle(app: &TestApp, worker: &TestWorker<'_>, slow: impl Fn(usize) -> bool) {
    for turn in 0..20 {
        let mut idle = true;
        while let Some(job) = worker.claim().await {
            idle = false;
            let commit = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
            let seconds = if slow(commit) { 0.12 } else { 0.1 };
            let artefact = worker.build(&job, b"build").await;
            let report = worker.report(&job, &artefact, seconds + f64::from(turn % 3) * 1e-5);
            assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
        }
        // First what was asked for is concluded, then the points with the new runs are judged.
        confirm::tick(&app.context).await.unwrap();
        detect::tick(&app.context).await.unwrap();
        group::tick(&app.context).await.unwrap();
        confirm::tick(&app.context).await.unwrap();
        if idle && turn > 0 {
            return;
        }
    }
    panic!("it never ends");
}

/// A confirmed regression, and a branch whose tail was written anew since; the rows with the new commits in the place of the old ones.
/// `found`: its commit was known.
async fn rewritten<'a>(pool: &PgPool, app: &'a TestApp, found: bool) -> (Rows, TestWorker<'a>) {
    let mut rows = insert_rows(pool, i32::try_from(ALL).unwrap()).await;
    let worker = TestWorker::register(app, "secret").await;
    for commit in 0..ALL {
        insert_job(pool, &rows, commit, 1).await;
    }
    settle(app, &worker, |commit| commit >= BEFORE).await;
    assert_eq!(
        state(pool).await,
        [("confirmed".to_owned(), None, Some(8), Some(9))]
    );
    if found {
        bisect::tick(&app.context).await.unwrap();
        assert_eq!(
            culprit(pool).await,
            ("found".to_owned(), Some(rows.commits[BEFORE]))
        );
    }
    let hashes: Vec<String> = (ALL..2 * ALL - BEFORE)
        .map(|number| format!("{:040x}", number + 1))
        .collect();
    let mut transaction = pool.begin().await.unwrap();
    let cut = commits::cut_tail(&mut transaction, 1, i32::try_from(BEFORE).unwrap());
    assert_eq!(cut.await.unwrap(), 3);
    rows.commits.truncate(BEFORE);
    for hash in &hashes {
        let key: i64 = sqlx::query_scalar(
            "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject)
             VALUES (1, $1, '{}', 'A', 'a@example.org', now(), now(), 'Again') RETURNING id",
        )
        .bind(hash)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        rows.commits.push(key);
    }
    commits::append(
        &mut transaction,
        1,
        1,
        i32::try_from(BEFORE).unwrap(),
        &hashes,
    )
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    settle(app, &worker, |_| unreachable!("nothing is asked for")).await;
    (rows, worker)
}

/// State and known commit of the only regression.
async fn culprit(pool: &PgPool) -> (String, Option<i64>) {
    sqlx::query_as("SELECT state, culprit_commit_id FROM regression")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// State, reason, and the places of the range's ends of each regression.
async fn state(pool: &PgPool) -> Vec<(String, Option<String>, Option<i32>, Option<i32>)> {
    sqlx::query_as(
        "SELECT state, invalid_reason, before.position, after.position FROM regression
         LEFT JOIN branch_commit before ON before.commit_id = before_commit_id
         LEFT JOIN branch_commit after ON after.commit_id = after_commit_id ORDER BY regression.id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_change_that_the_new_tail_has_too_goes_on_there_and_is_measured_again(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker) = rewritten(&pool, &app, false).await;
    for commit in BEFORE..ALL {
        insert_job(&pool, &rows, commit, 1).await;
    }
    settle(&app, &worker, |commit| commit >= BEFORE).await;
    assert_eq!(
        state(&pool).await,
        [("confirmed".to_owned(), None, Some(8), Some(9))],
        "no second regression"
    );
    let confirmations: Vec<String> =
        sqlx::query_scalar("SELECT state FROM confirmation ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(confirmations, ["confirmed", "confirmed"]);
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM regression_event WHERE message LIKE 'a force push took its commits%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(told, 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_change_that_the_new_tail_only_seems_to_have_ends(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker) = rewritten(&pool, &app, false).await;
    for commit in BEFORE..ALL {
        insert_job(&pool, &rows, commit, 1).await;
        let slow = worker.deliver(0.12, &[]).await;
        assert_eq!(slow.0, "cpython-main");
    }
    settle(&app, &worker, |_| false).await;
    // What else the slow runs looked like has ended in the same way.
    let all = state(&pool).await;
    let is_over = |one: &(String, Option<String>, Option<i32>, Option<i32>)| {
        one.0 == "invalid" && one.1.as_deref() == Some("not_confirmed")
    };
    assert!(all.iter().all(is_over), "{all:?}");
    let confirmed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM regression_event WHERE kind = 'confirmed'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(confirmed, 1, "before the force push");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_change_that_a_force_push_took_away_ends_when_the_new_tail_was_measured(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker) = rewritten(&pool, &app, false).await;
    for commit in BEFORE..ALL {
        let all = state(&pool).await;
        assert_eq!(
            all,
            [("confirmed".to_owned(), None, Some(8), None)],
            "not yet"
        );
        insert_job(&pool, &rows, commit, 1).await;
        settle(&app, &worker, |_| false).await;
    }
    let all = state(&pool).await;
    assert!(
        all.len() == 1 && all[0].0 == "invalid" && all[0].1.as_deref() == Some("withdrawn"),
        "{all:?}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_known_commit_that_was_pushed_away_is_found_again_under_its_new_hash(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker) = rewritten(&pool, &app, true).await;
    assert_eq!(culprit(&pool).await, ("confirmed".to_owned(), None));
    bisect::tick(&app.context).await.unwrap();
    assert_eq!(
        culprit(&pool).await,
        ("confirmed".to_owned(), None),
        "nothing to search yet"
    );
    for commit in BEFORE..ALL {
        insert_job(&pool, &rows, commit, 1).await;
    }
    settle(&app, &worker, |commit| commit >= BEFORE).await;
    bisect::tick(&app.context).await.unwrap();
    assert_eq!(
        culprit(&pool).await,
        ("found".to_owned(), Some(rows.commits[BEFORE])),
        "and there is no second regression"
    );
    let kinds: Vec<String> = sqlx::query_scalar(
        "SELECT kind FROM regression_event WHERE kind IN ('found', 'changed') AND (kind = 'found' OR message LIKE 'a force push took%')
         ORDER BY id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(kinds, ["found", "changed", "changed", "found"]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_known_commit_that_was_pushed_away_for_good_ends_its_regression(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let (rows, worker) = rewritten(&pool, &app, true).await;
    for commit in BEFORE..ALL {
        insert_job(&pool, &rows, commit, 1).await;
    }
    settle(&app, &worker, |_| false).await;
    let all = state(&pool).await;
    assert!(
        all.len() == 1 && all[0].0 == "invalid" && all[0].1.as_deref() == Some("withdrawn"),
        "{all:?}"
    );
}
