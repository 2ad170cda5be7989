//! A search that two hosts share, and a force push in its middle.

use std::time::Duration;

use sqlx::PgPool;

use crate::support::lab::Lab;

/// As slow as the interpreter says, whatever else this machine does.
const WORK: &str = "import os, pyperf, time\n\
                    pyperf.Runner().bench_func('work', time.sleep, float(os.environ['WORK']))\n";
const BUILD: &str = "echo compiled\n";
const FAST: &str = "export WORK=0.1";
const SLOW: &str = "export WORK=0.6";
const LIMIT: Duration = Duration::from_secs(120);

async fn number(pool: &PgPool, question: &'static str) -> i64 {
    sqlx::query_scalar(question).fetch_one(pool).await.unwrap()
}

/// Lets one host take jobs, and the other none.
async fn only(lab: &Lab, host: &str, other: &str) {
    for arguments in [["host", "disable", other], ["host", "enable", host]] {
        let (well, said) = lab.command(&arguments).await;
        assert!(well, "{said}");
    }
}

/// Waits for so many runs.
async fn until_runs(lab: &Lab, pool: &PgPool, runs: i64) {
    lab.until(&format!("{runs} runs"), LIMIT, async |_| {
        number(pool, "SELECT count(*) FROM run").await >= runs
    })
    .await;
}

/// Asks for a run of a commit.
async fn request(lab: &Lab, revision: &str) {
    let hash = lab.revision(revision);
    let (well, said) = lab.command(&["request", "project-main", &hash]).await;
    assert!(well, "{said}");
}

/// A lab whose two hosts look for the one slow commit of eight.
async fn searching() -> (Lab, PgPool) {
    let mut lab = Lab::new(&[("work", WORK)]);
    for _ in 0..5 {
        lab.commit_with(BUILD, FAST);
    }
    // Two at once on a small machine: a benchmark that is slow is none that is lost.
    let path = lab.path("worker.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("benchmark_timeout = 4", "benchmark_timeout = 60"),
    )
    .unwrap();
    lab.start_backend().await;
    lab.start_worker();
    lab.start_another_worker("second").await;
    let pool = lab.pool().await;
    only(&lab, "lab", "second").await;
    until_runs(&lab, &pool, 1).await;
    for revision in ["HEAD~1", "HEAD~2", "HEAD~3", "HEAD~4"] {
        request(&lab, revision).await;
    }
    until_runs(&lab, &pool, 5).await;
    // The other host has both ends, too.
    only(&lab, "second", "lab").await;
    request(&lab, "HEAD").await;
    until_runs(&lab, &pool, 6).await;
    lab.git(&["checkout", "--quiet", "-b", "next"]);
    for number in 6..=13 {
        lab.commit_with(BUILD, if number < 9 { FAST } else { SLOW });
    }
    lab.git(&["checkout", "--quiet", "main"]);
    lab.git(&["merge", "--quiet", "--ff-only", "next"]);
    until_runs(&lab, &pool, 7).await;
    only(&lab, "lab", "second").await;
    request(&lab, "HEAD").await;
    lab.until("the change is confirmed", LIMIT, async |_| {
        number(
            &pool,
            "SELECT count(*) FROM confirmation WHERE state = 'confirmed'",
        )
        .await
            == 1
    })
    .await;
    let (well, said) = lab.command(&["host", "enable", "second"]).await;
    assert!(well, "{said}");
    let asked =
        "SELECT count(DISTINCT host_id) FROM job WHERE bisection_id = 1 AND state <> 'queued'";
    lab.until("both hosts search", LIMIT, async |_| {
        number(&pool, asked).await == 2
    })
    .await;
    (lab, pool)
}

#[tokio::test]
async fn a_force_push_in_the_middle_of_a_search_on_two_hosts() {
    let (mut lab, pool) = searching().await;
    // The tail is written anew: the slow commit stays, the end of the range goes.
    lab.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    for _ in 0..2 {
        lab.commit_with(BUILD, SLOW);
    }
    lab.until("the commit is found", LIMIT, async |_| {
        number(
            &pool,
            "SELECT count(*) FROM regression WHERE state = 'found'",
        )
        .await
            == 1
    })
    .await;
    let found: Vec<(i64, String, Option<String>)> = sqlx::query_as(
        "SELECT regression.id, state, subject FROM regression LEFT JOIN commit ON commit.id = culprit_commit_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let culprit = Some("Change 9".to_owned());
    assert_eq!(
        found,
        [(1, "found".to_owned(), culprit)],
        "one regression, before and after: {}",
        lab.log("backend.log")
    );
    let searches: Vec<(String, String)> =
        sqlx::query_as("SELECT state, message FROM bisection ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(
        searches.len() == 2 && searches[0].0 == "cancelled" && searches[1].0 == "found",
        "{searches:?}"
    );
    let page = lab.get("/regressions/1").await;
    for words in [
        "a force push took its commits off the branch",
        "the branch was rewritten",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let open = "SELECT count(*) FROM job WHERE state IN ('queued', 'running') AND commit_id NOT IN (SELECT commit_id FROM branch_commit)";
    assert_eq!(
        number(&pool, open).await,
        0,
        "nothing of the old tail waits"
    );
    pool.close().await;
}
