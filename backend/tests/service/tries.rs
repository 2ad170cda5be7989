//! Try runs from the wish to the answer: with a real repository, a worker's requests over HTTP, and a forge in memory.

use speedwell_backend::domain::hook::ForgeKind;
use speedwell_backend::domain::try_run::{Source, Trust};
use speedwell_backend::scheduler::{deliver, detect, index, trace};
use sqlx::PgPool;

use crate::support::forge::{ForgeServer, Pull};
use crate::support::git::Repository;
use crate::support::tries::{PATCH, TryLab, deliver as deliver_run, pull, revision, trusted};
use crate::support::worker::TestWorker;

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

async fn forge_with_the_pull(kind: ForgeKind) -> ForgeServer {
    let server = ForgeServer::start(kind).await;
    server.put_pull(
        7,
        Pull {
            title: "A change".to_owned(),
            author: "ada".to_owned(),
            head: "a".repeat(40),
            head_branch: "topic".to_owned(),
            base_branch: "main".to_owned(),
            fork: true,
        },
    );
    server
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_slower_pull_request_is_measured_in_turn_and_answered(pool: PgPool) {
    let server = forge_with_the_pull(ForgeKind::Github).await;
    let lab = TryLab::start(&pool, &server.config("")).await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(pull(), trusted()).await;
    lab.tick().await;
    deliver::tick(&lab.app.context).await.unwrap();
    let errors: Vec<Option<String>> = sqlx::query_scalar("SELECT last_error FROM outbox")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(server.comments().len(), 1, "{errors:?}");

    let order = lab.measure(&worker, 0.1, 0.106).await;
    // What is not known of the noise takes a third round.
    assert_eq!(order, "abbaab");
    let (state, verdict, message) = lab.status(id).await;
    assert_eq!(state, "decided", "{message}");
    assert_eq!(verdict.as_deref(), Some("worse"));
    assert!(
        message.starts_with("Of 2 benchmarks: 2 slower; geometric mean of their times +4."),
        "{message}"
    );

    let (low, high): (f64, f64) = sqlx::query_as(
        "SELECT change_low, change_high FROM try_result JOIN benchmark ON benchmark.id = benchmark_id WHERE name = 'nbody'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(low < 0.06 && high > 0.06 && low > 0.0, "{low} {high}");

    deliver::tick(&lab.app.context).await.unwrap();
    lab.tick().await;
    deliver::tick(&lab.app.context).await.unwrap();
    let comments = server.comments();
    assert_eq!(comments.len(), 1, "one comment for each try: {comments:?}");
    assert!(comments[0].edits > 0);
    assert!(
        comments[0].body.contains("| nbody | +6.00 % |"),
        "{}",
        comments[0].body
    );
    let statuses = server.statuses();
    assert!(
        statuses
            .iter()
            .all(|one| one.hash == lab.head && one.context == "speedwell/try")
    );
    assert_eq!(statuses.first().unwrap().state, "pending");
    assert_eq!(statuses.last().unwrap().state, "failure");

    let (_, page) = lab.app.get(&format!("/tries/{id}")).await;
    assert!(page.contains("slower") && page.contains("+6.0"), "{page}");
    let compare = format!(
        "/compare?a=cpython-main@{}~lab-1&b=cpython-main@{}~lab-1",
        lab.base, lab.head
    );
    let (status, page) = lab.app.get(&compare).await;
    assert!(
        status == 200 && page.contains("nbody") && page.contains("1.06"),
        "{page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_head_without_a_change_is_within_the_noise(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(revision("topic"), trusted()).await;
    assert_eq!(lab.measure(&worker, 0.1, 0.1).await, "abba");
    let (state, verdict, message) = lab.status(id).await;
    assert_eq!(
        (state.as_str(), verdict.as_deref()),
        ("decided", Some("unchanged"))
    );
    assert!(message.contains("2 within the noise"), "{message}");
    // Faster has the other sign.
    let id = lab.open(revision("topic"), trusted()).await;
    lab.measure(&worker, 0.1, 0.09).await;
    assert_eq!(lab.status(id).await.1.as_deref(), Some("better"));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_was_tried_is_no_point_of_the_branch(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    lab.open(revision("topic"), trusted()).await;
    lab.measure(&worker, 0.1, 0.2).await;
    for _ in 0..2 {
        detect::tick(&lab.app.context).await.unwrap();
        trace::tick(&lab.app.context).await.unwrap();
        index::tick(&lab.app.context).await.unwrap();
    }
    let of_head = "SELECT count(*) FROM measurement JOIN commit ON commit.id = commit_id WHERE subject LIKE 'Somebody%'";
    assert!(count(&pool, of_head).await > 0);
    let placed = "SELECT count(*) FROM measurement JOIN commit ON commit.id = commit_id
                  WHERE subject LIKE 'Somebody%' AND position IS NOT NULL";
    assert_eq!(count(&pool, placed).await, 0);
    let judged = "SELECT count(*) FROM verdict JOIN commit ON commit.id = commit_id WHERE subject LIKE 'Somebody%'";
    assert_eq!(count(&pool, judged).await, 0);
    let indexed = "SELECT count(*) FROM index_point JOIN commit ON commit.id = commit_id WHERE subject LIKE 'Somebody%'";
    assert_eq!(count(&pool, indexed).await, 0);
    assert_eq!(count(&pool, "SELECT count(*) FROM change_point").await, 0);
    // The base is a commit of the branch and a point as any.
    assert!(count(&pool, "SELECT count(*) FROM verdict").await > 0);
    let (status, page) = lab.app.get("/timeline?benchmark=nbody").await;
    assert!(
        status == 200 && !page.contains(&lab.head),
        "the head is on the timeline"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_patch_is_a_build_of_its_own_and_only_for_workers_that_know_patches(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let source = Source::Patch {
        base: Some("main".to_owned()),
        text: PATCH.to_owned(),
    };
    let id = lab.open(source.clone(), trusted()).await;
    // Nobody has said yet that they know patches.
    lab.tick().await;
    assert!(worker.claim_as(false).await.is_none());
    assert!(
        lab.status(id).await.2.contains("can apply patches"),
        "{:?}",
        lab.status(id).await
    );
    assert!(worker.claim().await.is_none());
    lab.tick().await;
    assert_eq!(lab.status(id).await.0, "running");

    let base = worker.claim_as(false).await.unwrap();
    assert_eq!(
        (base.source.commit.as_str(), &base.source.patch),
        (lab.base.as_str(), &None)
    );
    deliver_run(&worker, &base, 0.1).await;
    // The worker was set back to an older version: what is left for it is the plain commit, never the patch.
    let plain = worker.claim_as(false).await.unwrap();
    assert_eq!(plain.source.patch, None);
    assert!(plain.artefact.is_some(), "the base is built once");
    deliver_run(&worker, &plain, 0.1).await;
    assert!(worker.claim_as(false).await.is_none());
    let patched = worker.claim().await.unwrap();
    assert_eq!(patched.source.patch.as_deref(), Some(PATCH));
    assert_eq!(
        patched.source.commit, lab.base,
        "the patch goes on top of the base"
    );
    assert!(
        patched.artefact.is_none(),
        "the base's build is none of the patched one"
    );
    deliver_run(&worker, &patched, 0.1).await;
    assert_eq!(lab.measure(&worker, 0.1, 0.1).await, "b");
    assert_eq!(lab.status(id).await.1.as_deref(), Some("unchanged"));
    assert_eq!(
        count(&pool, "SELECT count(DISTINCT commit_id) FROM build").await,
        2
    );

    // The same patch on the same base is known, and its build is used again.
    lab.open(source, trusted()).await;
    lab.tick().await;
    worker.claim().await.unwrap();
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM commit WHERE patch_sha256 IS NOT NULL"
        )
        .await,
        1
    );
    let hash: String = sqlx::query_scalar("SELECT hash FROM commit WHERE patch_sha256 IS NOT NULL")
        .fetch_one(&pool)
        .await
        .unwrap();
    let (status, page) = lab.app.get(&format!("/commits/{hash}")).await;
    assert!(status == 200 && page.contains("Patch "), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_head_that_does_not_build_fails_at_once_and_says_why(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(revision("topic"), trusted()).await;
    lab.tick().await;
    let base = worker.claim().await.unwrap();
    deliver_run(&worker, &base, 0.1).await;
    let head = worker.claim().await.unwrap();
    assert_eq!(head.source.commit, lab.head);
    worker.fail(&head).await;
    lab.tick().await;
    let (state, verdict, message) = lab.status(id).await;
    assert_eq!((state.as_str(), verdict), ("failed", None));
    assert_eq!(
        message,
        "cpython-main: the head cannot be built: make failed."
    );
    // What was left of it is taken back.
    assert!(worker.claim().await.is_none());
    assert_eq!(
        count(&pool, "SELECT count(*) FROM job WHERE state = 'cancelled'").await,
        2
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_benchmark_that_only_the_head_cannot_run_is_the_verdict(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(revision("topic"), trusted()).await;
    for _ in 0..4 {
        lab.tick().await;
        let job = worker.claim().await.unwrap();
        let artefact = worker.build(&job, b"build").await;
        let mut report = worker.report(&job, &artefact, 0.1);
        if job.source.commit == lab.head {
            let richards = &mut report.benchmarks[1];
            richards.measurements.clear();
            richards.unavailable = vec![speedwell_wire::Unavailable {
                metric: None,
                kind: speedwell_wire::UnavailableKind::Crashed,
                reason: "Segmentation fault <b>".to_owned(),
            }];
        }
        let (status, answer) = worker.upload(job.job_id, &report).await;
        assert_eq!(status, 200, "{answer}");
    }
    lab.tick().await;
    let (_, verdict, message) = lab.status(id).await;
    assert_eq!(verdict.as_deref(), Some("worse"), "{message}");
    assert!(
        message.ends_with("1 benchmark fails with the head and not with the base."),
        "{message}"
    );
    let (_, page) = lab.app.get(&format!("/tries/{id}")).await;
    assert!(page.contains("Segmentation fault &#60;b&#62;"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_strangers_head_runs_only_as_it_was_approved(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(pull(), Trust::Withheld).await;
    lab.tick().await;
    assert_eq!(lab.status(id).await.0, "waiting_for_approval");
    assert_eq!(count(&pool, "SELECT count(*) FROM job").await, 0);
    let (_, page) = lab.app.get(&format!("/tries/{id}")).await;
    assert!(
        page.contains("Waits for approval") && page.contains("&#60;script&#62;alert(1)"),
        "{page}"
    );
    assert!(
        !page.contains("<script>alert(1)") && page.contains("U+202E"),
        "{page}"
    );
    // The pull request moves on before the approval: what was looked at is what runs.
    lab.repository.git(&["checkout", "--quiet", "topic"]);
    lab.repository.commit("Something else in the meantime");
    lab.repository
        .git(&["update-ref", "refs/pull/7/head", "topic"]);
    let mut transaction = pool.begin().await.unwrap();
    use speedwell_backend::db::tries::{Approval, approve};
    let other = approve(&mut transaction, id, &"0".repeat(40), "ada")
        .await
        .unwrap();
    assert_eq!(other, Approval::Changed);
    let given = approve(&mut transaction, id, &lab.head, "ada")
        .await
        .unwrap();
    assert_eq!(given, Approval::Given);
    let again = approve(&mut transaction, id, &lab.head, "ada")
        .await
        .unwrap();
    assert_eq!(again, Approval::NotWaiting);
    transaction.commit().await.unwrap();
    assert_eq!(lab.measure(&worker, 0.1, 0.1).await, "abba");
    let heads: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT hash FROM job JOIN commit ON commit.id = commit_id ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let mut expected = vec![lab.base.clone(), lab.head.clone()];
    expected.sort();
    assert_eq!(heads, expected);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_forks_head_that_moves_after_it_was_vouched_for_waits(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    TestWorker::register(&lab.app, "secret").await;
    let known = "INSERT INTO pull_request (repository_id, number, title, head_hash, head_branch, base_branch, state, fork, updated_at)
                 SELECT id, 7, 'A change', $1, 'topic', 'main', 'open', true, now() FROM repository";
    sqlx::query(known)
        .bind(&lab.head)
        .execute(&pool)
        .await
        .unwrap();
    let same = lab.open(pull(), trusted()).await;
    lab.tick().await;
    assert_eq!(lab.status(same).await.0, "running");
    let mut connection = pool.acquire().await.unwrap();
    speedwell_backend::db::tries::cancel(&mut connection, same, "ada")
        .await
        .unwrap();
    drop(connection);

    let moved = lab.open(pull(), trusted()).await;
    lab.repository.git(&["checkout", "--quiet", "topic"]);
    lab.repository.commit("Something else in the meantime");
    lab.repository
        .git(&["update-ref", "refs/pull/7/head", "topic"]);
    lab.tick().await;
    let (state, _, message) = lab.status(moved).await;
    assert_eq!(state, "waiting_for_approval", "{message}");
    assert!(message.contains("moved on"), "{message}");
    let waiting = "SELECT count(*) FROM job WHERE state <> 'cancelled'";
    assert_eq!(count(&pool, waiting).await, 0);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_cannot_be_tried_fails_with_words_that_help(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let pull = |number| Source::Pull {
        number,
        base_branch: None,
    };
    let against = |head: &str, base: &str| Source::Revision {
        head: head.to_owned(),
        base: Some(base.to_owned()),
    };
    lab.repository
        .git(&["checkout", "--quiet", "--orphan", "stranger"]);
    lab.repository.commit("No history in common");
    lab.repository
        .git(&["update-ref", "refs/pull/8/head", "main"]);
    for (source, words) in [
        (revision("none"), "no branch, tag or commit none"),
        (revision(&"f".repeat(40)), "no branch, tag or commit fff"),
        (pull(99), "no pull request 99"),
        (pull(8), "nothing to try"),
        (against("topic", "none"), "no base none"),
        (against("topic", "topic"), "the same commit"),
        (revision("stranger"), "shares no history"),
    ] {
        let id = lab.open(source, trusted()).await;
        lab.tick().await;
        let (state, _, message) = lab.status(id).await;
        assert!(
            state == "failed" && message.contains(words),
            "{words}: {state} {message}"
        );
    }
    // A commit of the branch itself is tried against the one before it; and a hash that no branch leads to is fetched by itself.
    let id = lab.open(revision(&lab.base[..10]), trusted()).await;
    lab.tick().await;
    let parents: bool = sqlx::query_scalar(
        "SELECT base.hash = head.parents[1] FROM try_run JOIN commit base ON base.id = base_commit_id
         JOIN commit head ON head.id = head_commit_id WHERE try_run.id = $1",
    )
    .bind(id)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(parents);
    lab.repository.git(&["branch", "--quiet", "-D", "topic"]);
    lab.repository
        .git(&["update-ref", "refs/hidden/it", &lab.head]);
    let id = lab.open(revision(&lab.head), trusted()).await;
    lab.tick().await;
    let (state, _, message) = lab.status(id).await;
    assert_eq!(state, "queued", "{message}");
    assert!(message.contains("Waits for a host"), "{message}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_forge_that_is_away_is_asked_again(pool: PgPool) {
    let lab = TryLab::start(&pool, "").await;
    let gone: Repository = Repository::new();
    let path = gone.path().to_owned();
    drop(gone);
    sqlx::query("UPDATE repository SET url = $1")
        .bind(path.display().to_string())
        .execute(&pool)
        .await
        .unwrap();
    let id = lab.open(revision("topic"), trusted()).await;
    lab.tick().await;
    let (state, _, message) = lab.status(id).await;
    assert!(
        state == "queued" && message.contains("cannot be fetched"),
        "{state} {message}"
    );
    sqlx::query("UPDATE repository SET url = $1")
        .bind(lab.repository.path().display().to_string())
        .execute(&pool)
        .await
        .unwrap();
    // Not at once.
    lab.tick().await;
    assert!(lab.status(id).await.2.contains("cannot be fetched"));
    sqlx::query("UPDATE try_run SET looked_at = now() - interval '1 minute'")
        .execute(&pool)
        .await
        .unwrap();
    lab.tick().await;
    assert!(!lab.status(id).await.2.contains("cannot be fetched"));
}
