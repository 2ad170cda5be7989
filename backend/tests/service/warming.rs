//! A change of the warm-up goes the way of every other change: from iterations to a regression that is confirmed, searched and told, by the
//! real API and the real ticks.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use speedwell_backend::scheduler::{bisect, confirm, detect, explain, group, warmup};
use speedwell_wire::{JobAssignment, Sample};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{Rows, TestWorker, insert_job, insert_rows};

/// Iterations of a process, the warm-ups of its plan among them.
const ITERATIONS: usize = 60;
/// Those.
const WARMUPS: usize = 30;

/// What the processes of a run do.
#[derive(Clone, Copy)]
struct Processes {
    /// Iterations before they are steady, about; 0: they are so from the first on.
    slow: usize,
    /// Whether they are steady at their end.
    steady: bool,
    /// Seconds of a steady iteration.
    seconds: f64,
}

/// Those that become steady after so many iterations.
fn after(slow: usize) -> Processes {
    Processes {
        slow,
        steady: true,
        seconds: 0.05,
    }
}

/// What the processes of a run of a commit do.
type Truth = fn(usize, &mut SmallRng) -> Processes;

/// Three processes, of which iterations take three times as long at first. When a compiler begins varies by two iterations.
fn samples(truth: Processes, random: &mut SmallRng) -> Vec<Sample> {
    let mut all = Vec::new();
    for process in 0..3 {
        let slow = match truth.slow {
            0 => 0,
            slow => slow + random.random_range(0..3_usize),
        };
        all.extend((0..ITERATIONS).map(|index| {
            let is_late = !truth.steady && index >= ITERATIONS - 8;
            let factor = if index < slow || is_late { 3.0 } else { 1.0 };
            Sample {
                process,
                warmup: index < WARMUPS,
                value: truth.seconds * factor * (1.0 + 0.01 * (random.random::<f64>() - 0.5)),
            }
        }));
    }
    all
}

/// Delivers every queued job; what they asked for.
async fn work(worker: &TestWorker<'_>, truth: Truth, random: &mut SmallRng) -> Vec<JobAssignment> {
    let mut done = Vec::new();
    while let Some(job) = worker.claim().await {
        let commit = usize::from_str_radix(&job.source.commit, 16).unwrap() - 1;
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, 0.1);
        report.benchmarks[0].measurements[0].samples = samples(truth(commit, random), random);
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
        done.push(job);
    }
    done
}

/// From iterations to what is queued because of them. What is told of each pass is thrown away.
async fn ticks(app: &TestApp) {
    while warmup::tick(&app.context).await.unwrap().is_some() {}
    detect::tick(&app.context).await.unwrap();
    group::tick(&app.context).await.unwrap();
    confirm::tick(&app.context).await.unwrap();
}

/// Measures every so many commits.
async fn measure(pool: &PgPool, rows: &Rows, step: usize, last: usize) {
    for commit in (0..=last).step_by(step) {
        // Older ones first.
        let priority = 1_000 - i32::try_from(commit).unwrap();
        insert_job(pool, rows, commit, priority).await;
    }
}

/// Rounds of confirmation until nothing is asked for; the jobs.
async fn confirm_all(
    app: &TestApp,
    worker: &TestWorker<'_>,
    truth: Truth,
    random: &mut SmallRng,
) -> Vec<JobAssignment> {
    let mut jobs = Vec::new();
    for _ in 0..15 {
        ticks(app).await;
        let done = work(worker, truth, random).await;
        if done.is_empty() {
            return jobs;
        }
        jobs.extend(done);
    }
    panic!("it never ends: {} jobs", jobs.len());
}

/// Lets the search and the worker take turns until the first regression's commit is found.
async fn search(
    pool: &PgPool,
    app: &TestApp,
    worker: &TestWorker<'_>,
    truth: Truth,
    random: &mut SmallRng,
) {
    for _ in 0..12 {
        bisect::tick(&app.context).await.unwrap();
        let asked = work(worker, truth, random).await;
        ticks(app).await;
        if asked.is_empty() && regressions(pool).await[0].1 == "found" {
            return;
        }
    }
}

async fn regressions(pool: &PgPool) -> Vec<(i64, String, bool)> {
    sqlx::query_as("SELECT id, state, better FROM regression ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn confirmed_metrics(pool: &PgPool) -> Vec<(String, f64, f64, f64)> {
    sqlx::query_as(
        "SELECT metric, baseline, value, change FROM change_point JOIN series ON series.id = series_id
         WHERE change_point.state = 'confirmed' ORDER BY metric",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn confirmation(pool: &PgPool) -> (String, i32, String) {
    sqlx::query_as("SELECT state, rounds, message FROM confirmation ORDER BY id LIMIT 1")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_longer_warm_up_is_confirmed_told_in_words_and_searched(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 46).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut random = SmallRng::seed_from_u64(1);
    let truth: Truth = |commit, _| after(if commit >= 38 { 20 } else { 10 });
    measure(&pool, &rows, 3, 45).await;
    work(&worker, truth, &mut random).await;
    ticks(&app).await;
    assert_eq!(
        regressions(&pool).await,
        [(1, "suspected".to_owned(), false)]
    );

    // The first round is over, and its warm-ups are not looked at yet: nothing is concluded, whatever other ticks do.
    let first = work(&worker, truth, &mut random).await;
    assert!(
        first.len() == 4 && first.iter().all(|job| job.benchmarks == ["nbody"]),
        "{first:?}"
    );
    assert!(
        first.iter().all(|job| job.processes.is_none()),
        "the whole plan: {first:?}"
    );
    confirm::tick(&app.context).await.unwrap();
    assert_eq!(confirmation(&pool).await.0, "measuring");
    let more = confirm_all(&app, &worker, truth, &mut random).await;
    assert!((4..=16).contains(&more.len()), "{} runs", more.len());
    let (state, rounds, message) = confirmation(&pool).await;
    assert!(state == "confirmed" && rounds >= 5, "{rounds}: {message}");
    assert!(
        message.contains("nbody warmup_time confirmed: +")
            && message.contains("% longer until it is steady (")
            && message.contains("; the steady speed is the same ("),
        "{message}"
    );
    let found = confirmed_metrics(&pool).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let (metric, before, after, change) = &found[0];
    // 11 and 21 iterations of 150 ms.
    assert!(
        metric == "warmup_time" && (before - 1.65).abs() < 0.2 && (after - 3.15).abs() < 0.2,
        "{found:?}"
    );
    assert!(
        (change - (after / before - 1.0)).abs() < 0.02,
        "told by the seconds themselves: {found:?}"
    );

    // The commit is searched by the warm-up.
    search(&pool, &app, &worker, truth, &mut random).await;
    let culprit: Option<String> = sqlx::query_scalar(
        "SELECT subject FROM regression JOIN commit ON commit.id = culprit_commit_id WHERE regression.id = 1",
    )
    .fetch_optional(&pool)
    .await
    .unwrap();
    assert_eq!(culprit.as_deref(), Some("Change 38"));
    let (metric, words): (String, String) = sqlx::query_as("SELECT metric, message FROM bisection")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(
        metric == "warmup_time" && (words.contains("(+9") || words.contains("(+8")),
        "{words}"
    );
    explain::tick(&app.context).await.unwrap();
    let page = app.get("/regressions/1").await.1;
    for part in [
        "<strong>nbody takes ",
        "the steady speed is the same",
        "Warm-up on both sides",
        "are as before",
        "Warm-up time",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn processes_that_are_never_steady_any_more_are_told_though_no_time_is_left(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 16).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut random = SmallRng::seed_from_u64(2);
    let truth: Truth = |commit, _| Processes {
        steady: commit < 12,
        ..after(10)
    };
    measure(&pool, &rows, 1, 15).await;
    work(&worker, truth, &mut random).await;
    confirm_all(&app, &worker, truth, &mut random).await;
    let all = regressions(&pool).await;
    assert_eq!(all, [(1, "confirmed".to_owned(), false)]);
    let metrics: Vec<String> = confirmed_metrics(&pool)
        .await
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert!(metrics.contains(&"bad_warmup".to_owned()), "{metrics:?}");
    let message = confirmation(&pool).await.2;
    assert!(
        message.contains("it slows down or never becomes steady in most processes"),
        "{message}"
    );
    let page = app.get("/regressions/1").await.1;
    for part in [
        "warms up in ",
        "no steady state in ",
        "<strong>differ from before</strong>",
        "Slows down or is never steady",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let answer = app.get("/api/v1/regressions/1").await.1;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let classes = answer["warmups"].as_array().unwrap();
    let after = classes.iter().find(|one| one["after"] == true).unwrap();
    assert_eq!(after["class"], "no_steady_state");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_warm_up_and_a_time_that_step_at_one_commit_are_one_regression(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 16).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut random = SmallRng::seed_from_u64(4);
    let truth: Truth = |commit, _| {
        if commit < 12 {
            after(10)
        } else {
            Processes {
                seconds: 0.055,
                ..after(20)
            }
        }
    };
    measure(&pool, &rows, 1, 15).await;
    work(&worker, truth, &mut random).await;
    confirm_all(&app, &worker, truth, &mut random).await;
    assert_eq!(
        regressions(&pool).await,
        [(1, "confirmed".to_owned(), false)]
    );
    let metrics: Vec<String> = confirmed_metrics(&pool)
        .await
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(metrics, ["steady_time", "wall_time", "warmup_time"]);
    let words: String = sqlx::query_scalar(
        "SELECT string_agg(message, '; ') FROM regression_event WHERE kind = 'confirmed'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(words.contains("; once steady it is slower (+"), "{words}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_warm_up_where_there_was_none_is_told_and_its_end_is_the_fix(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 34).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut random = SmallRng::seed_from_u64(5);
    let truth: Truth = |commit, _| after(if (12..22).contains(&commit) { 20 } else { 0 });
    for commits in [0..22, 22..34] {
        for commit in commits {
            insert_job(&pool, &rows, commit, 1).await;
        }
        work(&worker, truth, &mut random).await;
        confirm_all(&app, &worker, truth, &mut random).await;
    }
    ticks(&app).await;
    let all = regressions(&pool).await;
    assert_eq!(
        all,
        [
            (1, "fixed".to_owned(), false),
            (2, "confirmed".to_owned(), true)
        ]
    );
    let message = confirmation(&pool).await.2;
    assert!(
        message.contains("s until it is steady, where it was steady at once"),
        "{message}"
    );
}

/// The same interpreter again and again, with a warm-up that varies by itself and is none in some processes.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn warm_ups_that_vary_by_themselves_are_no_regression(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 50).await;
    let worker = TestWorker::register(&app, "secret").await;
    let mut random = SmallRng::seed_from_u64(3);
    let truth: Truth = |_, random| Processes {
        steady: random.random::<f64>() > 0.1,
        ..after(random.random_range(3..8_usize))
    };
    let mut asked = 0;
    for commit in 0..50 {
        insert_job(&pool, &rows, commit, 1).await;
        work(&worker, truth, &mut random).await;
        asked += confirm_all(&app, &worker, truth, &mut random).await.len();
    }
    let told: Vec<(i64, String, bool)> = regressions(&pool)
        .await
        .into_iter()
        .filter(|one| one.1 != "invalid" && one.1 != "suspected")
        .collect();
    assert!(told.is_empty(), "{told:?}");
    let judged: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM verdict JOIN series ON series.id = series_id WHERE metric = 'warmup_time' AND state <> 'too_few'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(judged > 35, "{judged}");
    assert!(asked <= 24, "{asked} runs for nothing");
}
