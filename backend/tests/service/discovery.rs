//! From a real git repository to branch positions and jobs, by the real ticks.

use speedwell_backend::db::repositories::{self, RuntimeSettings};
use speedwell_backend::db::{commits, enqueue as queries};
use speedwell_backend::domain::commit::CommitFacts;
use speedwell_backend::domain::plan::Reason;
use speedwell_backend::scheduler::{discover, enqueue, paths};
use sqlx::PgPool;

use crate::support::git::{Repository, sync};
use crate::support::{CONFIG, TestApp};

/// The service's context with this repository as `cpython`, looked at every second.
async fn start(pool: &PgPool, repository: &Repository) -> TestApp {
    let config = CONFIG.replace("/nowhere", repository.path().to_str().unwrap());
    let config = config.replace("listen =", "schedule = \"* * * * * *\"\nlisten =");
    let app = TestApp::start_with(pool, &config).await;
    sync(&app.context).await;
    app
}

async fn look(app: &TestApp) -> Option<String> {
    let context = &app.context;
    // As if a second had passed.
    sqlx::query("UPDATE repository SET last_fetch_at = last_fetch_at - interval '2 seconds'")
        .execute(&context.pool)
        .await
        .unwrap();
    discover::tick(context).await.unwrap()
}

async fn subjects(pool: &PgPool) -> Vec<(i32, String)> {
    sqlx::query_as("SELECT position, subject FROM branch_commit JOIN commit ON commit.id = commit_id ORDER BY position")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn commits_get_dense_positions_by_first_parent(pool: PgPool) {
    let repository = Repository::new();
    for subject in ["a", "bb", "ccc"] {
        repository.commit(subject);
    }
    repository.git(&["tag", "v1.0"]);
    repository.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    repository.commit("side work");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "--no-ff", "-m", "merge side", "side"]);
    let app = start(&pool, &repository).await;

    assert!(look(&app).await.unwrap().contains("4 new commits"));
    let expected =
        [(0, "a"), (1, "bb"), (2, "ccc"), (3, "merge side")].map(|(p, s)| (p, s.to_owned()));
    assert_eq!(subjects(&pool).await, expected);
    assert_eq!(look(&app).await, None, "nothing new, nothing to say");

    repository.commit("\u{1b}[31m<script>alert(1)</script>");
    look(&app).await;
    let newest = subjects(&pool).await.pop().unwrap();
    assert_eq!((newest.0, newest.1.contains('\u{1b}')), (4, false));

    paths::tick(&app.context).await.unwrap();
    let touched: Vec<Option<i32>> =
        sqlx::query_scalar("SELECT touched_count FROM commit JOIN branch_commit ON commit.id = commit_id ORDER BY position")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(touched, [Some(1), Some(1), Some(1), Some(1), Some(1)]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_force_push_rewrites_the_tail_and_says_so(pool: PgPool) {
    let repository = Repository::new();
    for subject in ["a", "bb", "ccc", "dddd"] {
        repository.commit(subject);
    }
    let app = start(&pool, &repository).await;
    look(&app).await;
    enqueue::tick(&app.context).await.unwrap();
    let jobs = || async {
        let jobs: Vec<String> = sqlx::query_scalar(
            "SELECT subject FROM job JOIN commit ON commit.id = commit_id ORDER BY 1",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        jobs
    };
    assert_eq!(jobs().await, ["a", "bb", "ccc", "dddd"]);
    enqueue::tick(&app.context).await.unwrap();
    assert_eq!(jobs().await.len(), 4, "nothing is queued twice");

    repository.git(&["reset", "--quiet", "--hard", "HEAD~2"]);
    repository.commit("other");
    assert!(
        look(&app)
            .await
            .unwrap()
            .contains("a force push took 2 away")
    );
    let expected = [(0, "a"), (1, "bb"), (2, "other")].map(|(p, s)| (p, s.to_owned()));
    assert_eq!(subjects(&pool).await, expected);
    enqueue::tick(&app.context).await.unwrap();
    assert_eq!(
        jobs().await,
        ["a", "bb", "other"],
        "jobs that nobody began are gone with their commits"
    );
    let rewritten: i32 =
        sqlx::query_scalar("SELECT rewritten_count FROM branch WHERE name = 'main'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(rewritten, 2);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_repository_that_is_away_is_said_and_found_again(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("a");
    let app = start(&pool, &repository).await;
    let hidden = repository.path().join(".git-away");
    std::fs::rename(repository.path().join(".git"), &hidden).unwrap();
    look(&app).await;
    let error: Option<String> = sqlx::query_scalar("SELECT last_fetch_error FROM repository")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(error.unwrap().contains("git fetch failed"));
    std::fs::rename(&hidden, repository.path().join(".git")).unwrap();
    look(&app).await;
    let error: Option<String> = sqlx::query_scalar("SELECT last_fetch_error FROM repository")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(error, None);
    assert_eq!(subjects(&pool).await.len(), 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_request_finds_its_commit_and_queues_repeats_of_open_work(pool: PgPool) {
    let rows = crate::support::worker::insert_rows(&pool, 2).await;
    crate::support::worker::insert_job(&pool, &rows, 0, 100).await;
    let find = async |name: &str| {
        queries::find_commits(&pool, rows.runtime_id, name)
            .await
            .unwrap()
    };
    let hash = format!("{:0>40}", 1);
    assert_eq!(
        find(&hash).await,
        [(rows.commits[0], hash.clone())],
        "a whole hash is one commit"
    );
    assert_eq!(find("0000000").await.len(), 2, "a beginning of several");
    for nothing in ["0000", "%%%%%%%", "v9.9", ""] {
        assert!(find(nothing).await.is_empty(), "{nothing:?}");
    }
    sqlx::query("INSERT INTO tag SELECT repository_id, 'v1.0', hash FROM commit WHERE id = $1")
        .bind(rows.commits[0])
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(find("v1.0").await[0].0, rows.commits[0]);

    let request = queries::Request {
        runtime_id: rows.runtime_id,
        commit_id: rows.commits[0],
        class: "local",
        requester: "test",
        benchmarks: &["nbody".to_owned()],
    };
    let jobs = {
        let repeats = queries::Repeats { runs: 3, builds: 0 };
        queries::insert_requests(&pool, &request, repeats)
            .await
            .unwrap()
    };
    assert_eq!(jobs.len(), 3);
    let first: i64 =
        sqlx::query_scalar("SELECT id FROM job WHERE state = 'queued' ORDER BY priority DESC, id")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(first, jobs[0], "what a person waits for goes first");

    let repeats = queries::Repeats { runs: 2, builds: 3 };
    queries::insert_requests(&pool, &request, repeats)
        .await
        .unwrap();
    let builds: Vec<i32> = sqlx::query_scalar("SELECT build_repeat FROM job ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(builds, [0, 0, 0, 0, 1, 1, 2, 2, 3, 3]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_release_to_compare_with_is_the_newest_of_the_branchs_line(pool: PgPool) {
    let rows = crate::support::worker::insert_rows(&pool, 6).await;
    sqlx::query(
        "UPDATE branch SET head_commit_id = $1 WHERE id = (SELECT branch_id FROM runtime WHERE id = $2)",
    )
    .bind(rows.commits[5])
    .bind(rows.runtime_id)
    .execute(&pool)
    .await
    .unwrap();
    let mut releases = Vec::new();
    for (position, name) in [
        (0, "v2.7.99999999999999999999"),
        (1, "v3.9.9"),
        (2, "v3.10.0a1"),
        (3, "v3.10.0"),
        (4, "v3.10.1rc1"),
        (4, "nonsense-9.9"),
        (5, "v3.11.0"),
    ] {
        sqlx::query("INSERT INTO tag SELECT repository_id, $2, hash FROM commit WHERE id = $1")
            .bind(rows.commits[position])
            .bind(name)
            .execute(&pool)
            .await
            .unwrap();
        let found = queries::find_release(&pool, rows.runtime_id, "local")
            .await
            .unwrap();
        releases.push(found.map(|(commit, _)| commit));
    }
    // A preview counts only while its line has no final release; what is at the head is not before it.
    let wanted = [0, 1, 2, 3, 3, 3, 3].map(|position| Some(rows.commits[position]));
    assert_eq!(releases, wanted);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_repeated_build_is_made_anew_and_its_runs_belong_to_it(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = crate::support::worker::insert_rows(&pool, 1).await;
    crate::support::worker::measure(&pool, &app, &rows, &[0.1]).await;
    let request = queries::Request {
        runtime_id: rows.runtime_id,
        commit_id: rows.commits[0],
        class: "local",
        requester: "test",
        benchmarks: &[],
    };
    let repeats = queries::Repeats { runs: 2, builds: 1 };
    queries::insert_requests(&pool, &request, repeats)
        .await
        .unwrap();
    let worker = crate::support::worker::TestWorker::register(&app, "secret").await;
    for (bytes, known) in [(&b"other"[..], false), (b"other", true)] {
        let job = worker.claim().await.unwrap();
        assert_eq!(
            (job.build_repeat, job.artefact.is_some()),
            (1, known),
            "the first build is not taken for its repeat"
        );
        let artefact = match &job.artefact {
            Some(known) => known.sha256.clone(),
            None => worker.build(&job, bytes).await,
        };
        let report = worker.report(&job, &artefact, 0.1);
        assert_eq!(worker.upload(job.job_id, &report).await.0, 200);
    }
    let repeats: Vec<i32> = sqlx::query_scalar(
        "SELECT repeat FROM run JOIN build ON build.id = build_id ORDER BY run.id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(repeats, [0, 1, 1]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_new_version_of_a_program_is_a_point_and_the_older_ones_job_is_given_up(pool: PgPool) {
    let repository = repositories::upsert(&pool, "programs", "", None, &[])
        .await
        .unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let mut hashes = Vec::new();
    for version in ["7.3.11", "7.3.12", "7.3.12"] {
        let text = CONFIG.to_owned()
            + &format!(
                "[[runtime]]\nname = \"pypy3\"\nlanguage = \"python3\"\nrecipe = \"prebuilt\"\n\
                 command = \"/usr/bin/pypy3\"\nversion = \"{version}\"\nfamily = \"pypy\"\n"
            );
        let config = speedwell_backend::config::Config::parse(&text, "test.toml").unwrap();
        let recipe = config.runtimes[2].build_recipe().unwrap();
        let settings = RuntimeSettings {
            name: "pypy3",
            language: "python3",
            branch: "pypy3",
            recipe: &recipe,
            suite: "portable",
            ordinal: 0,
            control: false,
            repeat_marked: 1,
        };
        let runtime = repositories::upsert_runtime(&mut connection, repository, &settings)
            .await
            .unwrap();
        let facts = CommitFacts {
            hash: recipe.sha256.clone(),
            parents: Vec::new(),
            author_name: String::new(),
            author_email: String::new(),
            committer_name: String::new(),
            committer_email: String::new(),
            authored_at: chrono::Utc::now(),
            committed_at: chrono::Utc::now(),
            subject: version.to_owned(),
        };
        commits::append_program(&mut connection, runtime, &facts)
            .await
            .unwrap();
        let found = queries::list_candidates(&mut *connection, runtime, "local", None)
            .await
            .unwrap();
        let newest = found.last().unwrap();
        queries::insert_job(
            &mut *connection,
            runtime,
            newest.commit_id,
            "local",
            Reason::Newest,
        )
        .await
        .unwrap();
        hashes.push(found.len());
    }
    assert_eq!(hashes, [1, 2, 2], "the same version twice is one point");
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM job ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(states, ["cancelled", "queued"]);
}

/// Name, position, commits of its own.
async fn releases(pool: &PgPool) -> Vec<(String, i32, i32)> {
    sqlx::query_as("SELECT name, position, own_commits FROM branch_release ORDER BY position, own_commits, name")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// As CPython made its releases until 2020: a short side branch is tagged and merged back.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_release_that_is_tagged_beside_the_branch_is_one_of_its_releases(pool: PgPool) {
    let repository = Repository::new();
    for subject in ["a", "bb"] {
        repository.commit(subject);
    }
    repository.git(&["checkout", "--quiet", "-b", "release"]);
    repository.commit("version");
    repository.commit("changelog");
    repository.git(&["tag", "-a", "-m", "x", "v2.7.10"]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit("ccc");
    repository.git(&[
        "merge",
        "--quiet",
        "--no-ff",
        "-m",
        "merge release",
        "release",
    ]);
    repository.commit("after it");
    // Nothing in common with the branch.
    repository.git(&["checkout", "--quiet", "--orphan", "other"]);
    repository.commit("elsewhere");
    repository.git(&["tag", "v9.0.0"]);
    repository.git(&["checkout", "--quiet", "main"]);
    let app = start(&pool, &repository).await;
    look(&app).await.unwrap();
    let beside = ("v2.7.10".to_owned(), 1, 2);
    assert_eq!(releases(&pool).await, std::slice::from_ref(&beside));
    let looked: i64 = sqlx::query_scalar("SELECT count(*) FROM off_branch_release")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        looked, 2,
        "what is none of the branch's is not looked for again"
    );

    // It is measured as itself, to compare with.
    let runtime: i64 = sqlx::query_scalar("SELECT id FROM runtime")
        .fetch_one(&pool)
        .await
        .unwrap();
    let (commit, settled) = queries::find_release(&pool, runtime, "local")
        .await
        .unwrap()
        .unwrap();
    let subject: String = sqlx::query_scalar("SELECT subject FROM commit WHERE id = $1")
        .bind(commit)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((&*subject, settled), ("changelog", false));
    let tagged = queries::list_tagged(&pool, runtime, "local").await.unwrap();
    let places: Vec<(i32, i64)> = tagged
        .iter()
        .map(|one| (one.position, one.commit_id))
        .collect();
    assert_eq!(places, [(1, commit)]);

    // A tag that comes before its commits do is found when they come.
    repository.git(&["checkout", "--quiet", "--detach", "main"]);
    repository.commit("not pushed yet");
    repository.git(&["tag", "v2.7.11"]);
    repository.git(&["checkout", "--quiet", "main"]);
    assert_eq!(look(&app).await, None);
    assert_eq!(
        releases(&pool).await,
        [beside.clone(), ("v2.7.11".to_owned(), 4, 1)]
    );
    repository.git(&["merge", "--quiet", "--ff-only", "v2.7.11"]);
    look(&app).await.unwrap();
    assert_eq!(
        releases(&pool).await,
        [beside, ("v2.7.11".to_owned(), 5, 0)]
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn nights_are_read_from_the_end_and_no_further_than_needed(pool: PgPool) {
    let rows = crate::support::worker::insert_rows(&pool, 1).await;
    // A commit every two hours for five years; the last is of 06:00.
    for statement in [
        "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject)
         SELECT id, lpad(to_hex(number + 10), 40, '0'), '{}', 'A', 'a@example.org', at, at, 'Change ' || number
         FROM repository, generate_series(1, 21000) number,
              LATERAL (SELECT timestamptz '2026-11-01 06:00:00Z' - (21000 - number) * interval '2 hours' AS at) time",
        "INSERT INTO branch_commit SELECT branch.id, substr(subject, 8)::integer, commit.id
         FROM branch, commit WHERE subject <> 'Change 0'",
        "UPDATE commit SET committed_at = timestamptz '2020-01-01' WHERE subject = 'Change 0'",
        "ANALYZE commit, branch_commit",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let mut transaction = pool.begin().await.unwrap();
    let before = read_so_far(&mut transaction).await;
    let found = queries::list_nights(&mut *transaction, rows.runtime_id, "local", Some(5))
        .await
        .unwrap();
    let positions: Vec<i32> = found.iter().map(|one| one.position).collect();
    // 22:00 of each day before; the day of the head is not over.
    assert_eq!(positions, [20_948, 20_960, 20_972, 20_984, 20_996]);
    assert!(found.iter().all(|one| one.ends_day && !one.settled));
    let read = read_so_far(&mut transaction).await - before;
    assert!((50..400).contains(&read), "{read} rows of 42002 were read");
    drop(transaction);

    // The whole history is what an unbounded policy asks for; the reader gets days and no other commits.
    let all = queries::list_nights(&pool, rows.runtime_id, "local", None)
        .await
        .unwrap();
    assert!((1750..=1752).contains(&all.len()), "{}", all.len());
    queries::insert_job(
        &pool,
        rows.runtime_id,
        found[4].commit_id,
        "local",
        Reason::Newest,
    )
    .await
    .unwrap();
    let found = queries::list_nights(&pool, rows.runtime_id, "local", Some(2))
        .await
        .unwrap();
    let settled: Vec<bool> = found.iter().map(|one| one.settled).collect();
    assert_eq!(settled, [false, true]);
}

/// Rows of branches that a connection has read by now.
async fn read_so_far(db: &mut sqlx::PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0)::bigint FROM pg_stat_xact_user_tables
         WHERE relname IN ('branch_commit', 'commit')",
    )
    .fetch_one(db)
    .await
    .unwrap()
}
