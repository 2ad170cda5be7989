//! The doors of try runs: form, pages, API, and who may do what.

use serde_json::{Value, json};
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;

use crate::support::triage::{insert_token, submit};
use crate::support::tries::{PATCH, TryLab, deliver, revision, trusted};
use crate::support::worker::TestWorker;

async fn lab(pool: &PgPool) -> TryLab {
    let lab = TryLab::start(pool, "").await;
    insert_token(pool, "vera", Role::Viewer).await;
    insert_token(pool, "ada", Role::Triager).await;
    lab
}

async fn audited(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT format('%s %s %s', actor, action, subject) FROM audit WHERE action LIKE 'try.%' ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_triagers_wish_runs_and_a_viewers_waits(pool: PgPool) {
    let lab = lab(&pool).await;
    let wish =
        json!({ "repository": "cpython", "head": "topic", "benchmarks": "nb*", "repeat": 3 });
    let (status, answer) = lab.send("POST", "/api/v1/tries", "ada", wish.clone()).await;
    assert_eq!(status, 201, "{answer}");
    let (status, answer) = lab.send("POST", "/api/v1/tries", "vera", wish).await;
    assert_eq!(status, 201, "{answer}");
    let worker = TestWorker::register(&lab.app, "secret").await;
    lab.tick().await;
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM try_run ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(states, ["running", "waiting_for_approval"]);
    let job = worker.claim().await.unwrap();
    assert_eq!(job.benchmarks, ["nbody"]);
    let (_, page) = lab.app.get("/tries/1").await;
    assert!(page.contains("of the 2 rounds asked for"), "{page}");

    let head = json!({ "head": lab.head });
    let (status, _) = lab
        .send("POST", "/api/v1/tries/2/approve", "vera", head.clone())
        .await;
    assert_eq!(status, 403);
    let wrong = json!({ "head": lab.base });
    let (status, answer) = lab
        .send("POST", "/api/v1/tries/2/approve", "ada", wrong)
        .await;
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = lab
        .send("POST", "/api/v1/tries/2/approve", "ada", head)
        .await;
    assert_eq!(status, 204, "{answer}");
    let (_, answer) = lab
        .send("GET", "/api/v1/tries/2", "vera", Value::Null)
        .await;
    assert_eq!(
        (&answer["try"]["state"], &answer["try"]["approved_by"]),
        (&json!("queued"), &json!("ada"))
    );
    let expected = [
        "ada try.open try 1",
        "vera try.open try 2",
        "ada try.approve try 2",
    ];
    assert_eq!(audited(&pool).await, expected);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn errors_name_the_field_and_nothing_is_half_saved(pool: PgPool) {
    let lab = lab(&pool).await;
    let large = format!("{PATCH}{}", "+x\n".repeat(200_000));
    for (wish, field, words) in [
        (json!({}), "head", "exactly one"),
        (json!({ "head": "a", "pull": 7 }), "head", "exactly one"),
        (
            json!({ "repository": "none", "head": "a" }),
            "repository",
            "no such repository",
        ),
        (
            json!({ "repository": "cpython", "head": "-x" }),
            "head",
            "a branch, a tag",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "base": "b..c" }),
            "base",
            "a branch, a tag",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "runtimes": ["pypy"] }),
            "runtime",
            "none of cpython-main",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "host": "lab-9" }),
            "host",
            "no host lab-9",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "suite": "huge" }),
            "suite",
            "no worker has registered",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "benchmarks": "[" }),
            "benchmarks",
            "glob",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "repeat": 0 }),
            "repeat",
            "1 to 50",
        ),
        (
            json!({ "repository": "cpython", "pull": 0 }),
            "pull",
            "from 1",
        ),
        (
            json!({ "repository": "cpython", "patch": "hello" }),
            "patch",
            "git diff",
        ),
        (
            json!({ "repository": "cpython", "patch": large }),
            "patch",
            "KiB",
        ),
        (
            json!({ "repository": "cpython", "head": "a", "colour": "red" }),
            "body",
            "colour",
        ),
    ] {
        let (status, answer) = lab.send("POST", "/api/v1/tries", "ada", wish.clone()).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM try_run) + (SELECT count(*) FROM patch) + (SELECT count(*) FROM audit WHERE action LIKE 'try.%')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    let nobody = lab
        .app
        .client
        .post(format!("{}/api/v1/tries", lab.app.address));
    assert_eq!(
        nobody
            .json(&json!({}))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16(),
        401
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_form_takes_a_patch_and_the_page_ends_it(pool: PgPool) {
    let lab = lab(&pool).await;
    let (status, page) = lab.app.get("/tries/new").await;
    assert!(status == 200 && page.contains("sign in"), "{page}");
    // As browsers send it.
    let pasted = PATCH.replace('\n', "\r\n");
    let fields = [
        ("repository", "cpython"),
        ("patch", pasted.as_str()),
        ("runtime", "cpython-main"),
        ("repeat", ""),
    ];
    let (status, page) = submit(&lab.app, "token-of-vera", "/tries", &fields).await;
    assert!(
        status == 200 && page.contains("Waits for approval"),
        "{page}"
    );
    assert!(page.contains("+Two") && !page.contains("Approve"), "{page}");
    let kept: String = sqlx::query_scalar("SELECT content FROM patch")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, PATCH);
    // A triager refuses it.
    lab.tick().await;
    let (status, page) = submit(&lab.app, "token-of-ada", "/tries/1/cancel", &[]).await;
    assert!(
        status == 200 && page.contains("Cancelled by ada."),
        "{page}"
    );
    let (status, _) = submit(&lab.app, "token-of-ada", "/tries/1/cancel", &[]).await;
    assert_eq!(status, 409);
    assert_eq!(
        audited(&pool).await,
        ["vera try.open try 1", "ada try.refuse try 1"]
    );
    let (_, page) = lab.app.get("/tries").await;
    assert!(
        page.contains("cancelled") && page.contains("patch "),
        "{page}"
    );
    let (status, _) = submit(
        &lab.app,
        "token-of-ada",
        "/tries",
        &[("repository", "cpython"), ("pull", "x")],
    )
    .await;
    assert_eq!(status, 400);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn its_requester_and_triagers_end_it(pool: PgPool) {
    let lab = lab(&pool).await;
    insert_token(&pool, "eve", Role::Viewer).await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let wish = json!({ "repository": "cpython", "head": "topic" });
    lab.send("POST", "/api/v1/tries", "vera", wish).await;
    let (status, _) = lab
        .send("DELETE", "/api/v1/tries/1", "eve", Value::Null)
        .await;
    assert_eq!(status, 403);
    let (status, _) = lab
        .send("DELETE", "/api/v1/tries/1", "vera", Value::Null)
        .await;
    assert_eq!(status, 204);
    let (status, _) = lab
        .send("DELETE", "/api/v1/tries/1", "vera", Value::Null)
        .await;
    assert_eq!(status, 409);
    let (status, _) = lab
        .send("DELETE", "/api/v1/tries/9", "ada", Value::Null)
        .await;
    assert_eq!(status, 404);

    // One that runs: what waits goes, what is measured is stopped at its next heartbeat.
    let id = lab.open(revision("topic"), trusted()).await;
    lab.tick().await;
    let first = worker.claim().await.unwrap();
    deliver(&worker, &first, 0.1).await;
    let running = worker.claim().await.unwrap();
    let (status, _) = lab
        .send("DELETE", &format!("/api/v1/tries/{id}"), "ada", Value::Null)
        .await;
    assert_eq!(status, 204);
    let (_, beat) = worker.heartbeat(&running).await;
    assert_eq!(beat["cancel"], true);
    assert!(worker.claim().await.is_none());
    lab.tick().await;
    assert_eq!(lab.status(id).await.0, "cancelled");
}
