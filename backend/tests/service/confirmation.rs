//! From a suspicion to a regression or to nothing: gathering, confirming by a worker's runs, fixes and their end, by the real ticks.

use speedwell_backend::scheduler::{confirm, detect, group};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows, measure};

/// What the commits truly take, by their place, with the small differences that the runs have.
type Truth = fn(usize, u32) -> f64;

/// Detects, gathers, and queues what is to be measured again.
async fn ticks(app: &TestApp) {
    detect::tick(&app.context).await.unwrap();
    group::tick(&app.context).await.unwrap();
    confirm::tick(&app.context).await.unwrap();
}

/// Delivers every queued job; the commits in the order they were measured, each with its benchmarks.
async fn work(app: &TestApp, worker: &TestWorker<'_>, truth: Truth) -> Vec<usize> {
    let mut order = Vec::new();
    while let Some(job) = worker.claim().await {
        let commit = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
        let artefact = worker.build(&job, b"build").await;
        let turn = u32::try_from(order.len()).unwrap();
        let report = worker.report(&job, &artefact, truth(commit, turn));
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
        order.push(commit);
    }
    assert!(app.address.starts_with("http"));
    order
}

async fn regressions(pool: &PgPool) -> Vec<(i64, String, bool, Option<String>)> {
    sqlx::query_as("SELECT id, state, better, invalid_reason FROM regression ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn held(pool: &PgPool) -> Vec<Option<String>> {
    sqlx::query_scalar("SELECT DISTINCT held FROM verdict WHERE state IN ('regressed', 'improved')")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn events(pool: &PgPool, regression: i64) -> Vec<String> {
    sqlx::query_scalar("SELECT kind FROM regression_event WHERE regression_id = $1 ORDER BY id")
        .bind(regression)
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Commits that were measured, the last of them slower.
async fn suspicious(pool: &PgPool, app: &TestApp) -> Rows {
    let rows = insert_rows(pool, 26).await;
    measure(
        pool,
        app,
        &rows,
        &[0.1, 0.1001, 0.1, 0.1002, 0.1001, 0.1, 0.112],
    )
    .await;
    rows
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_slow_commit_is_measured_again_on_both_sides_before_it_is_a_regression(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    ticks(&app).await;
    assert_eq!(
        regressions(&pool).await,
        [(1, "suspected".to_owned(), false, None)],
        "two benchmarks, one cause"
    );
    assert_eq!(held(&pool).await, [Some("unconfirmed".to_owned())]);
    // Killed or repeated anywhere, nothing is asked for twice.
    for _ in 0..3 {
        ticks(&app).await;
    }
    let order = work(&app, &worker, |commit, turn| {
        (if commit == 6 { 0.112 } else { 0.1 }) + f64::from(turn) * 1e-5
    })
    .await;
    assert_eq!(order, [5, 6, 6, 5], "A B B A");
    let limited: Vec<Vec<String>> = sqlx::query_scalar(
        "SELECT DISTINCT benchmarks FROM job WHERE reason = 'confirmation' AND host_id IS NOT NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(limited, [["nbody".to_owned(), "richards".to_owned()]]);
    ticks(&app).await;
    assert_eq!(
        regressions(&pool).await,
        [(1, "confirmed".to_owned(), false, None)]
    );
    assert_eq!(held(&pool).await, [None]);
    let message: String = sqlx::query_scalar("SELECT message FROM confirmation")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(
        message.contains("nbody wall_time confirmed: +11.99 % (+11.")
            && message.contains("2 pairs of runs on lab-1"),
        "{message}"
    );
    let before = events(&pool, 1).await;
    assert_eq!(before, ["suspected", "changed", "confirmed"]);
    for _ in 0..3 {
        ticks(&app).await;
    }
    assert_eq!(events(&pool, 1).await, before, "nothing is said twice");
    assert!(worker.claim().await.is_none(), "nothing more is asked for");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_slow_run_that_does_not_repeat_reaches_nobody(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    ticks(&app).await;
    work(&app, &worker, |_, turn| 0.1 + f64::from(turn) * 1e-5).await;
    // First the confirmation is concluded, then the points with the new runs are judged.
    confirm::tick(&app.context).await.unwrap();
    ticks(&app).await;
    ticks(&app).await;
    assert_eq!(
        regressions(&pool).await,
        [(
            1,
            "invalid".to_owned(),
            false,
            Some("not_confirmed".to_owned())
        )]
    );
    assert!(held(&pool).await.iter().all(Option::is_some), "no news");
    let states: Vec<String> = sqlx::query_scalar("SELECT DISTINCT state FROM confirmation")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(states, ["refuted"]);
    assert!(worker.claim().await.is_none());
}

/// A series with sticky modes: the values are those of the build, not of the commit.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_mode_of_one_build_does_not_pass_for_the_commit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    suspicious(&pool, &app).await;
    sqlx::query(
        "INSERT INTO noise_floor (series_id, environment_id, version, answers_for, rebuild_deviation, rebuild_count)
         SELECT id, (SELECT max(id) FROM environment), 'test', changed_at, 0.05, 6 FROM series
         ON CONFLICT (series_id) DO UPDATE SET rebuild_deviation = 0.05, rebuild_count = 6",
    )
    .execute(&pool)
    .await
    .unwrap();
    let worker = TestWorker::register(&app, "secret").await;
    let mut seen = Vec::new();
    let mut ended = false;
    ticks(&app).await;
    for _ in 0..10 {
        // What new points say of the change is another test's matter.
        confirm::tick(&app.context).await.unwrap();
        while let Some(job) = worker.claim().await {
            let commit = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
            seen.push((commit, job.build_repeat));
            let artefact = worker.build(&job, b"build").await;
            // The first build of commit 6 has fallen into the slow mode, none of the others has.
            let slow = commit == 6 && job.build_repeat == 0;
            let seconds = if slow { 0.112 } else { 0.1 } + f64::from(job.build_repeat) * 1e-5;
            let report = worker.report(&job, &artefact, seconds);
            let (status, answer) = worker.upload(job.job_id, &report).await;
            assert_eq!(status, 200, "{answer}");
        }
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM confirmation WHERE state = 'measuring'")
                .fetch_one(&pool)
                .await
                .unwrap();
        if open == 0 && !seen.is_empty() {
            ended = true;
            break;
        }
    }
    assert!(ended, "{seen:?}");
    assert_eq!(
        &seen[..4],
        [(5, 0), (6, 0), (6, 1), (5, 1)],
        "each round has builds of its own"
    );
    let (state, message): (String, String) =
        sqlx::query_as("SELECT state, message FROM confirmation")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_ne!(state, "confirmed", "{message}");
    assert!(
        message.contains("builds of each side on lab-1"),
        "{message}"
    );
    let state = regressions(&pool).await.remove(0).1;
    assert_ne!(state, "confirmed");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn unclear_pairs_go_on_until_the_budget_ends_and_stay_a_suspicion(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut runs = 0;
    ticks(&app).await;
    for _ in 0..12 {
        confirm::tick(&app.context).await.unwrap();
        // The rounds contradict each other.
        let wild: Truth = |commit, turn| match (commit, turn) {
            (6, 1) => 0.13,
            (6, _) => 0.085,
            _ => 0.1,
        };
        runs += work(&app, &worker, wild).await.len();
    }
    assert_eq!(runs, 20, "ten rounds of two");
    let (state, finished): (String, bool) =
        sqlx::query_as("SELECT state, finished_at IS NOT NULL FROM confirmation")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(state == "undecided" && finished, "{state}");
    assert!(
        !regressions(&pool)
            .await
            .iter()
            .any(|one| one.1 == "confirmed")
    );
    assert!(held(&pool).await.iter().all(Option::is_some), "no news");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_suspicion_that_the_next_point_takes_back_is_withdrawn(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    ticks(&app).await;
    // The next commit comes in before the confirmation's jobs were claimed.
    insert_job(&pool, &rows, 7, 300).await;
    worker.deliver(0.1001, &[]).await;
    ticks(&app).await;
    assert_eq!(
        regressions(&pool).await,
        [(1, "invalid".to_owned(), false, Some("withdrawn".to_owned()))]
    );
    ticks(&app).await;
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 'queued'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(open, 0, "its jobs are taken out of the queue");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn jobs_that_fail_end_a_confirmation_without_an_answer(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    suspicious(&pool, &app).await;
    ticks(&app).await;
    for _ in 0..5 {
        sqlx::query(
            "UPDATE job SET state = 'failed', finished_at = now() WHERE reason = 'confirmation' AND state = 'queued'",
        )
        .execute(&pool)
        .await
        .unwrap();
        ticks(&app).await;
    }
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM confirmation")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(states, ["abandoned"; 3], "tried three times");
    assert_eq!(
        regressions(&pool).await,
        [(1, "suspected".to_owned(), false, None)],
        "listed, told to nobody"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_fix_is_seen_and_so_is_its_end(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = suspicious(&pool, &app).await;
    let worker = TestWorker::register(&app, "secret").await;
    let truth: Truth = |commit, turn| {
        let slow = (6..14).contains(&commit) || commit >= 22;
        (if slow { 0.112 } else { 0.1 }) + f64::from(turn % 3) * 1e-5
    };
    let mut seen = Vec::new();
    for commit in 7..26 {
        insert_job(&pool, &rows, commit, 300).await;
        work(&app, &worker, truth).await;
        for _ in 0..3 {
            ticks(&app).await;
            work(&app, &worker, truth).await;
        }
        let first = regressions(&pool).await[0].1.clone();
        if seen.last() != Some(&first) {
            seen.push(first);
        }
    }
    assert_eq!(seen, ["confirmed", "fixed", "confirmed"]);
    assert_eq!(
        events(&pool, 1).await,
        ["suspected", "changed", "confirmed", "fixed", "reopened"]
    );
    let all = regressions(&pool).await;
    assert!(
        all.iter()
            .any(|one| one.2 && ["fixed", "confirmed"].contains(&one.1.as_str())),
        "the fix is an improvement of its own: {all:?}"
    );
    let fixed_by: Option<i64> =
        sqlx::query_scalar("SELECT fixed_commit_id FROM regression WHERE id = 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(fixed_by, None, "reopened");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_same_change_on_two_branches_is_told_as_siblings(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    for statement in [
        "INSERT INTO branch (repository_id, name) SELECT repository_id, '3.13' FROM branch",
        "INSERT INTO branch_commit SELECT (SELECT max(id) FROM branch), position, commit_id FROM branch_commit",
        "UPDATE commit SET subject = 'gh-4753: computed gotos' WHERE hash LIKE '%2'",
        "UPDATE commit SET subject = '[3.13] gh-4753: computed gotos (#999999)' WHERE hash LIKE '%3'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    for (branch, culprit) in [(1, 1), (2, 2), (1, 2)] {
        sqlx::query(
            "INSERT INTO regression (branch_id, better, state, before_commit_id, after_commit_id, culprit_commit_id)
             VALUES ($1, true, 'found', $2, $3, $3)",
        )
        .bind(i64::from(branch))
        .bind(rows.commits[0])
        .bind(rows.commits[culprit])
        .execute(&pool)
        .await
        .unwrap();
    }
    for _ in 0..2 {
        group::tick(&app.context).await.unwrap();
    }
    let siblings: Vec<Option<i64>> =
        sqlx::query_scalar("SELECT sibling_of FROM regression ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(siblings, [None, Some(1), None], "of another branch only");
    assert_eq!(events(&pool, 2).await, ["changed"], "said once");
}
