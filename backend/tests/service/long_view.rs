//! The index and the pages that read it: home, releases, generations, top-down.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::hosts;
use speedwell_backend::db::index as queries;
use speedwell_backend::scheduler::index;
use speedwell_wire::{CounterSource, MeasurementReport, Metric, Sample};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::triage::{insert_point, insert_regression};
use crate::support::worker::{Rows, TestWorker, facts, insert_job, insert_rows, measure};

/// Run, reference, its release, mean, benchmarks in common; by run.
async fn points(pool: &PgPool) -> Vec<(i64, Option<i64>, Option<String>, Option<f64>, i32)> {
    sqlx::query_as("SELECT run_id, reference_run_id, reference_tag, mean, common FROM index_point ORDER BY run_id")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn tag(pool: &PgPool, name: &str, commit: i32) {
    sqlx::query("INSERT INTO tag SELECT repository_id, $1, hash FROM commit WHERE subject = 'Change ' || $2")
        .bind(name)
        .bind(commit)
        .execute(pool)
        .await
        .unwrap();
}

async fn execute(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

/// Four commits, each measured: 10 % slower at the third. The second is a release, and the head is the last.
async fn lab(pool: &PgPool) -> (TestApp, Rows) {
    let app = TestApp::start(pool).await;
    let rows = insert_rows(pool, 5).await;
    tag(pool, "v3.9.1", 1).await;
    execute(
        pool,
        "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    )
    .await;
    measure(pool, &app, &rows, &[0.1, 0.1, 0.11, 0.11]).await;
    (app, rows)
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn every_whole_run_is_compared_with_the_release_before_it_and_nothing_is_done_twice(
    pool: PgPool,
) {
    let (app, rows) = lab(&pool).await;
    let note = index::tick(&app.context).await.unwrap().unwrap();
    assert!(note.contains("4 runs"), "{note}");
    assert_eq!(
        index::tick(&app.context).await.unwrap(),
        None,
        "level-triggered: done once"
    );
    let all = points(&pool).await;
    let references: Vec<_> = all.iter().map(|one| (one.1, one.2.as_deref())).collect();
    assert_eq!(
        references,
        [
            (None, None),
            (Some(1), None),
            (Some(2), Some("v3.9.1")),
            (Some(2), Some("v3.9.1"))
        ]
    );
    // nbody takes 10 % longer, richards (0.1 s more) 5 %: the mean of both logarithms.
    let expected = ((0.11_f64 / 0.1).ln() + (0.21_f64 / 0.2).ln()) / 2.0;
    assert!(
        (all[3].3.unwrap() - expected).abs() < 1e-4 && all[3].4 == 2,
        "{all:?}"
    );

    // A run of some benchmarks only is no point; a superseded one is none any more, and nothing refers to it.
    insert_job(&pool, &rows, 4, 1).await;
    execute(
        &pool,
        "UPDATE job SET benchmarks = '{nbody}' WHERE state = 'queued'",
    )
    .await;
    let worker = TestWorker::register(&app, "secret").await;
    worker.deliver(0.5, &[]).await;
    insert_job(&pool, &rows, 1, 1).await;
    worker.deliver(0.1, &[]).await;
    index::tick(&app.context).await.unwrap();
    let all = points(&pool).await;
    assert_eq!(
        all.iter().map(|one| one.0).collect::<Vec<_>>(),
        [1, 2, 3, 4, 6]
    );
    assert_eq!(all[2].1, Some(6), "the newest run of the release counts");
    execute(&pool, "UPDATE run SET superseded_by = 2 WHERE id = 6").await;
    execute(&pool, "UPDATE series SET changed_at = clock_timestamp()").await;
    index::tick(&app.context).await.unwrap();
    let all = points(&pool).await;
    assert_eq!((all.len(), all[2].1), (4, Some(2)));

    // A tag that arrives later makes a reference of what was measured before.
    tag(&pool, "v3.9.2", 2).await;
    index::tick(&app.context).await.unwrap();
    let last = points(&pool).await.pop().unwrap();
    assert_eq!((last.1, last.2.as_deref()), (Some(3), Some("v3.9.2")));
    // A host's epoch separates: the last run has nothing before it.
    execute(
        &pool,
        "INSERT INTO host_epoch (host_id, begins_at, runtime_id, change, threshold, version)
         SELECT host_id, finished_at, runtime_id, 1, 0.1, 't' FROM run WHERE id = 4",
    )
    .await;
    index::tick(&app.context).await.unwrap();
    let last = points(&pool).await.pop().unwrap();
    assert_eq!((last.1, last.3, last.4), (None, None, 0));
    // A commit that has left the branch has no place.
    execute(&pool, "DELETE FROM branch_commit WHERE position = 2").await;
    execute(&pool, "UPDATE branch SET rewritten_at = now()").await;
    index::tick(&app.context).await.unwrap();
    let left: Option<i32> = sqlx::query_scalar("SELECT position FROM index_point WHERE run_id = 3")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, None);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_tick_that_was_killed_anywhere_is_made_good_by_the_next(pool: PgPool) {
    let (app, _) = lab(&pool).await;
    index::tick(&app.context).await.unwrap();
    let whole = points(&pool).await;
    // Killed after the points were made and before they were compared; after some were; before the signature was noted.
    for killed in [
        "UPDATE index_point SET version = '', reference_run_id = NULL, reference_tag = NULL, mean = NULL, deviation = NULL, common = 0",
        "DELETE FROM index_point WHERE run_id > 2",
        "UPDATE index_point SET version = '0' WHERE run_id = 3",
        "SELECT 1",
    ] {
        execute(&pool, killed).await;
        execute(&pool, "DELETE FROM index_state").await;
        index::tick(&app.context).await.unwrap();
        assert_eq!(points(&pool).await, whole, "{killed}");
    }
    let packed = queries::list_packed(&pool, &[1]).await.unwrap();
    assert_eq!(packed[0].1.values.benchmark_ids.len(), 2);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn an_empty_service_has_every_page(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    assert_eq!(index::tick(&app.context).await.unwrap(), None);
    for (path, words) in [
        ("/", "No runtime is configured"),
        ("/releases", "No runtime has been measured whole yet"),
        ("/generations", "Nothing has been measured whole yet"),
        ("/topdown", "No whole run fits"),
    ] {
        let (status, page) = app.get(path).await;
        assert!(status == 200 && page.contains(words), "{path}: {page}");
    }
    for path in [
        "/releases?runtime=none",
        "/topdown?runtime=none",
        "/generations?benchmark=none",
    ] {
        assert_eq!(app.get(path).await.0, 404, "{path}");
    }
    for path in [
        "/topdown?sort=x",
        "/topdown?a=b",
        "/generations?base=x",
        "/topdown?commit=xyz",
        "/generations?c=1",
    ] {
        let (status, page) = app.get(path).await;
        assert!(status == 400 && page.contains("<nav"), "{path}: {page}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn home_says_what_is_wrong_and_what_changed(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/").await;
    // The head waits, but the newest result is of today: that is no alarm.
    assert!(page.contains("Nothing is wrong"), "{page}");
    for words in [
        "+7.5\u{a0}%",
        "release v3.9.1",
        "4 commits in all",
        "no confirmed change",
        "The long view",
        "class=\"mark s0\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let id = insert_regression(&pool, &rows, "found", 1, 2).await;
    insert_point(&pool, &rows, id, "nbody", (1, 2), 0.1).await;
    let suspected = insert_regression(&pool, &rows, "suspected", 2, 3).await;
    insert_point(&pool, &rows, suspected, "richards", (2, 3), 0.4).await;
    for statement in [
        "UPDATE host SET last_seen_at = now() - interval '3 hours'",
        "UPDATE index_point SET measured_at = now() - interval '3 days'",
        "UPDATE runtime SET name = '<b>main</b>'",
        "UPDATE commit SET subject = '<script>x</script>'",
    ] {
        execute(&pool, statement).await;
    }
    let (_, page) = app.get("/").await;
    for words in [
        "3 things to look at",
        "1 confirmed regression</a> that nobody has taken on",
        "has no new result for 3\u{a0}days although 1 commit waits",
        "Host lab-1</a> is silent, last heard of 3\u{a0}h ago",
        "worse: Wall time of nbody",
        "1 suspected",
        "&#60;b&#62;main&#60;/b&#62;",
        "href=\"/runtimes/%3Cb%3Emain%3C%2Fb%3E\"",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("+40.0") && !page.contains("<b>main") && !page.contains("<script>x"),
        "{page}"
    );
    // A control is no runtime to look at, but named.
    execute(&pool, "UPDATE runtime SET control = true").await;
    let (_, page) = app.get("/").await;
    assert!(page.contains("No runtime is configured"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_waterfall_adds_up_and_says_what_was_not_measured(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    tag(&pool, "v3.9.3", 3).await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/releases").await;
    assert!(
        page.contains("from v3.9.1 to v3.9.3 on lab-1")
            && page.contains("No confirmed change lies between"),
        "{page}"
    );
    let id = insert_regression(&pool, &rows, "found", 1, 2).await;
    insert_point(&pool, &rows, id, "nbody", (1, 2), 0.1).await;
    // One before the releases, one that is not confirmed: neither counts.
    let before = insert_regression(&pool, &rows, "confirmed", 0, 1).await;
    insert_point(&pool, &rows, before, "nbody", (0, 1), 0.5).await;
    let suspected = insert_regression(&pool, &rows, "suspected", 2, 3).await;
    insert_point(&pool, &rows, suspected, "richards", (2, 3), 0.4).await;
    execute(
        &pool,
        "UPDATE commit SET subject = '<img src=x> it', author_name = '<i>A</i>'",
    )
    .await;
    let (_, page) = app
        .get("/releases?runtime=cpython-main&from=v3.9.1&to=v3.9.3")
        .await;
    // Half of ln 1.1 is 4.9 %, the whole 7.5 %: the rest is half of ln 1.05, 2.5 %.
    for words in [
        "+7.5\u{a0}%",
        "+4.9\u{a0}%",
        "+2.5\u{a0}%",
        "geometric mean over 2 benchmarks",
        "class=\"bar bar-rest\"",
        "&#60;img src=x&#62; it",
        "&#60;i&#62;A&#60;/i&#62;",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(
        page.matches("class=\"bar bar-striped\"").count(),
        1,
        "{page}"
    );
    assert!(
        !page.contains("<img src") && !page.contains("+40") && !page.contains("+50"),
        "{page}"
    );
    let (_, page) = app.get("/releases?runtime=cpython-main&from=v2.0").await;
    assert!(
        page.contains("v2.0 was not measured whole on this host")
            && page.contains("v3.9.1, v3.9.3"),
        "{page}"
    );
    let (_, page) = app.get("/releases?runtime=cpython-main&host=none").await;
    assert!(
        page.contains("No release of this runtime has been measured on this host"),
        "{page}"
    );
    execute(
        &pool,
        "INSERT INTO host_epoch (host_id, begins_at, runtime_id, change, threshold, version)
         SELECT host_id, finished_at, runtime_id, 1, 0.1, 't' FROM run WHERE id = 4",
    )
    .await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app
        .get("/releases?runtime=cpython-main&from=v3.9.1&to=v3.9.3")
        .await;
    assert!(page.contains("different states of the host"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn generations_tell_silicon_from_software(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/generations").await;
    for words in [
        "Everything here was measured on one host",
        "cpython-main v3.9.1 on lab-1",
        "IPC not measured",
        "no counters on this machine",
    ] {
        // The reason of another metric than these is not told.
        assert_eq!(
            page.contains(words),
            words != "no counters on this machine",
            "{words}: {page}"
        );
    }
    assert!(
        page.contains("No version was measured on two hosts"),
        "{page}"
    );
    // An older processor: twice as slow.
    hosts::upsert(&pool, "<old>", "local", &sha256_hex(b"other"))
        .await
        .unwrap();
    let mut other = facts();
    other.cpu_signature = "GenuineIntel 6/62/4".to_owned();
    other.cpu_model = "<Ivy>".to_owned();
    let worker = TestWorker::register_with(&app, "other", other).await;
    insert_job(&pool, &rows, 1, 1).await;
    worker.deliver(0.3, &[]).await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/generations").await;
    for words in [
        "Ivy Bridge-EP, 2013",
        "cpython-main v3.9.1 on &#60;old&#62;",
        "What the silicon gave",
        "&#60;Ivy&#62;",
        "class=\"mark s0\"",
    ] {
        assert!(
            page.contains(words) || words.starts_with("class"),
            "{words}: {page}"
        );
    }
    assert!(
        page.find("&#60;old&#62;").unwrap() < page.find("/hosts/lab-1").unwrap(),
        "the older processor is first"
    );
    // nbody 0.3 s to 0.1 s, richards 0.4 s to 0.2 s: a mean of −59.2 %.
    assert!(
        page.contains("−59.2\u{a0}%") && page.contains("faster"),
        "{page}"
    );
    let (_, page) = app.get("/generations?benchmark=nbody&base=2").await;
    assert!(
        page.contains("of nbody alone") && page.contains("+200\u{a0}%"),
        "{page}"
    );
    assert!(!page.contains("<old>") && !page.contains("<Ivy>"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn top_down_shows_shares_and_why_there_are_none(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    index::tick(&app.context).await.unwrap();
    let (_, page) = app.get("/topdown").await;
    assert!(
        page.contains("no counters on this machine"),
        "not even instructions: {page}"
    );
    execute(
        &pool,
        "UPDATE unavailable SET metric = 'frontend_bound', reason = '<b>no PMU</b>'",
    )
    .await;
    let (_, page) = app.get("/topdown").await;
    assert!(
        page.contains("no top-down shares")
            && page.contains("&#60;b&#62;no PMU")
            && !page.contains("<b>no PMU"),
        "{page}"
    );
    // The next run has counters.
    insert_job(&pool, &rows, 4, 1).await;
    let worker = TestWorker::register(&app, "secret").await;
    let job = worker.claim().await.unwrap();
    let artefact = worker.build(&job, b"build").await;
    let mut report = worker.report(&job, &artefact, 0.1);
    for (index, benchmark) in report.benchmarks.iter_mut().enumerate() {
        benchmark.unavailable.clear();
        let front = 0.2 + 0.2 * index as f64;
        for (metric, value) in [
            (Metric::FrontendBound, front),
            (Metric::BadSpeculation, 0.1),
            (Metric::BackendBound, 0.1),
            (Metric::Retiring, 0.8 - front),
            (Metric::FetchLatency, front / 2.0),
            (Metric::Ipc, 2.5 - front),
            (Metric::L1iMpki, 12.5),
            (Metric::Instructions, 1e6),
            (Metric::BranchMisses, 3e3),
        ] {
            let samples = (0..3).map(|process| Sample {
                process,
                warmup: false,
                value,
            });
            benchmark.measurements.push(MeasurementReport {
                metric,
                source: CounterSource::Pmu,
                samples: samples.collect(),
            });
        }
    }
    let (status, answer) = worker.upload(job.job_id, &report).await;
    assert_eq!(status, 200, "{answer}");
    index::tick(&app.context).await.unwrap();
    let (status, page) = app
        .get("/topdown?runtime=cpython-main&benchmark=nbody")
        .await;
    assert_eq!(status, 200, "{page}");
    for words in [
        "source pmu",
        "<strong>40.0\u{a0}%</strong>",
        "fetch latency 20.0\u{a0}%",
        "2.10",
        "nbody, closer",
        "12.50",
        "Mispredicted branches per 1000 instructions",
        "3.00",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let place = |page: &str, name: &str| page.find(&format!("benchmark={name}#closer")).unwrap();
    assert!(
        place(&page, "richards") < place(&page, "nbody"),
        "the largest share of the front end is first"
    );
    let (_, page) = app.get("/topdown?runtime=cpython-main&sort=name").await;
    assert!(place(&page, "nbody") < place(&page, "richards"));
    // Generations show the counters, too; a commit without a run says so.
    let (_, page) = app.get("/generations").await;
    assert!(
        page.contains("front end 30.0\u{a0}%") && page.contains("IPC 2.20"),
        "{page}"
    );
    let (_, page) = app.get("/topdown?host=none").await;
    assert!(
        page.contains("No whole run fits") && page.contains("on none"),
        "{page}"
    );
}
