//! Hooks of GitHub, from door to effect, with the payloads that GitHub's community publishes; and the pages about them.

use std::collections::BTreeMap;

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use speedwell_backend::db::deliveries;
use speedwell_backend::domain::hook::{DeliveryState, ForgeKind};
use speedwell_backend::scheduler::{discover, hooks};
use sqlx::PgPool;

use crate::support::forge::SECRET;
use crate::support::git::Repository;
use crate::support::hooks::{became, count, follow, hook, push, send, signature, start};
use crate::support::npm;

const KIND: ForgeKind = ForgeKind::Github;

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn every_published_payload_goes_through_the_door(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "Codertocat/Hello-World").await;
    // Push payloads are for the branches main and master, and for tags.
    sqlx::query("UPDATE branch SET name = 'master' WHERE name = 'main'")
        .execute(&pool)
        .await
        .unwrap();
    let examples = npm::file(
        "@octokit/webhooks-examples@7.6.1",
        "api.github.com/index.json",
        "09d8f0c617876ae9dad22e26fea5510bfcaad50ee7e602659f6db25b87b25815",
    );
    let events: Vec<Value> = serde_json::from_slice(&examples).unwrap();
    let mut sent = 0;
    for event in &events {
        let name = event["name"].as_str().unwrap();
        for example in event["examples"].as_array().unwrap() {
            sent += 1;
            let body = serde_json::to_vec(example).unwrap();
            let (status, answer) =
                send(hook(&app, KIND, name, &format!("{name} {sent}"), &body)).await;
            assert_eq!(status, 202, "{name}: {answer}");
        }
    }
    assert!(sent > 300, "{sent}");
    while count(
        &pool,
        "SELECT count(*) FROM delivery WHERE state = 'waiting'",
    )
    .await
        > 0
    {
        hooks::tick(&app.context).await.unwrap();
    }
    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "SELECT event, state, min(words), count(*) FROM delivery GROUP BY event, state ORDER BY event, state",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| row.1 == "failed").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let done: BTreeMap<&str, i64> = rows
        .iter()
        .filter(|row| row.1 == "done")
        .map(|row| (row.0.as_str(), row.3))
        .collect();
    println!("{rows:#?}");
    let known: Vec<&str> = done.keys().copied().collect();
    assert_eq!(known, ["create", "pull_request", "push", "release"]);
    let pulls = count(&pool, "SELECT count(*) FROM pull_request").await;
    assert!(pulls >= 1, "{pulls}");
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM repository WHERE due_at IS NOT NULL"
        )
        .await,
        1
    );
    let (status, page) = app.get("/deliveries").await;
    assert_eq!(status, 200, "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_push_is_looked_at_without_waiting(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "python/cpython").await;
    repository.commit("a second one");
    // The schedule alone would wait for the year to end.
    discover::tick(&app.context).await.unwrap();
    assert_eq!(count(&pool, "SELECT count(*) FROM commit").await, 1);
    let (state, caused, words) =
        follow(&app, &pool, KIND, "push", "k1", &push("refs/heads/main")).await;
    assert_eq!(
        (state.as_str(), words.as_str()),
        ("done", "the branch main has moved")
    );
    assert_eq!(
        (caused[0]["what"].as_str(), caused[0]["name"].as_str()),
        (Some("looked"), Some("main"))
    );
    discover::tick(&app.context).await.unwrap();
    assert_eq!(count(&pool, "SELECT count(*) FROM commit").await, 2);
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM repository WHERE due_at IS NOT NULL"
        )
        .await,
        0
    );
    // Other branches cause nothing, tags do.
    let (state, caused, words) =
        follow(&app, &pool, KIND, "push", "k2", &push("refs/heads/fix<b>")).await;
    assert_eq!(
        (state.as_str(), words.as_str()),
        ("noted", "no runtime follows the branch fix<b>")
    );
    assert_eq!(caused, json!([]));
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM repository WHERE due_at IS NOT NULL"
        )
        .await,
        0
    );
    let (state, ..) = follow(&app, &pool, KIND, "push", "k3", &push("refs/tags/v1")).await;
    assert_eq!(state, "done");
    // What is missing is named.
    let mut body = push("refs/heads/main");
    body["after"] = Value::Null;
    let (state, _, words) = follow(&app, &pool, KIND, "push", "k4", &body).await;
    assert_eq!(
        (state.as_str(), words.as_str()),
        ("failed", "field after: is missing")
    );
    let mut body = push("refs/heads/main");
    body["repository"]["full_name"] = json!("evil/cpython");
    let (state, _, words) = follow(&app, &pool, KIND, "push", "k5", &body).await;
    assert!(
        state == "noted" && words.contains("evil/cpython"),
        "{words}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_door_keeps_out_what_does_not_belong(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "python/cpython").await;
    let body = push("refs/heads/main").to_string().into_bytes();
    let wrong = format!("sha256={}", signature("guess", &body));
    let send_to = |path: &str, signed: &str, body: Vec<u8>| {
        send(
            app.client
                .post(format!("{}{path}", app.address))
                .header("content-type", "application/json")
                .header("x-github-event", "push")
                .header("x-github-delivery", "k")
                .header("x-hub-signature-256", signed)
                .body(body),
        )
    };
    let right = |body: &[u8]| format!("sha256={}", signature(SECRET, body));
    let home = "/hooks/github/cpython";
    let (status, answer) = send_to(home, &wrong, body.clone()).await;
    assert!(
        status == 401
            && answer["error"]
                .as_str()
                .unwrap()
                .contains("hook_secret_file"),
        "{answer}"
    );
    assert_eq!(send_to(home, "", body.clone()).await.0, 401);
    for path in [
        "/hooks/github/pypy",
        "/hooks/gitlab/cpython",
        "/hooks/sourceforge/cpython",
    ] {
        let (status, answer) = send_to(path, &right(&body), body.clone()).await;
        assert!(
            status == 404 && answer["error"].as_str().unwrap().contains("/hooks/"),
            "{answer}"
        );
    }
    let large = vec![b' '; 30_000_000];
    let (status, answer) = send_to(home, &right(&large), large).await;
    assert!(
        status == 413 && answer["error"].as_str().unwrap().contains("1000000 bytes"),
        "{answer}"
    );
    let text = b"no json".to_vec();
    let (status, answer) = send_to(home, &right(&text), text.clone()).await;
    assert_eq!(
        (status, answer["field"].as_str()),
        (400, Some("body")),
        "{answer}"
    );
    let bare = app
        .client
        .post(format!("{}{home}", app.address))
        .header("x-hub-signature-256", right(&body))
        .body(body.clone());
    let (status, answer) = send(bare).await;
    assert!(
        status == 400 && answer["field"] == "content-type",
        "{answer}"
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM delivery").await,
        0,
        "something was kept"
    );
    assert_eq!(app.get(home).await.0, 404);
    // A form, as GitHub can be told to send it.
    let form = format!(
        "payload={}",
        speedwell_backend::web::format::encode(std::str::from_utf8(&body).unwrap())
    );
    let request = app
        .client
        .post(format!("{}{home}", app.address))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-github-event", "push")
        .header("x-github-delivery", "form")
        .header("x-hub-signature-256", right(form.as_bytes()))
        .body(form);
    let (status, answer) = send(request).await;
    assert_eq!(status, 202, "{answer}");
    hooks::tick(&app.context).await.unwrap();
    assert_eq!(
        became(&pool, answer["delivery"].as_i64().unwrap()).await.0,
        "done"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn pull_requests_are_as_the_latest_says(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "python/cpython").await;
    let pull = |head: char, state: &str, at: &str| {
        json!({ "action": "x", "repository": { "full_name": "python/cpython" }, "pull_request": {
            "number": 7, "title": "a\u{0}b", "state": state, "merged": false, "user": { "login": "ada" }, "updated_at": at,
            "head": { "sha": head.to_string().repeat(40), "ref": "fast", "repo": null },
            "base": { "ref": "main", "repo": { "full_name": "python/cpython" } } } })
    };
    let newest = pull('c', "closed", "2026-11-29T12:00:00Z");
    assert_eq!(
        follow(
            &app,
            &pool,
            KIND,
            "pull_request",
            "1",
            &pull('a', "open", "2026-11-29T10:00:00Z")
        )
        .await
        .0,
        "done"
    );
    assert_eq!(
        follow(&app, &pool, KIND, "pull_request", "2", &newest)
            .await
            .0,
        "done"
    );
    // Forges do not keep the order.
    assert_eq!(
        follow(
            &app,
            &pool,
            KIND,
            "pull_request",
            "3",
            &pull('b', "open", "2026-11-29T11:00:00Z")
        )
        .await
        .0,
        "noted"
    );
    let row: (String, String, bool, String) =
        sqlx::query_as("SELECT head_hash, state, fork, title FROM pull_request WHERE number = 7")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(
        row,
        ("c".repeat(40), "closed".to_owned(), true, "ab".to_owned())
    );
    let mut broken = newest.clone();
    broken["pull_request"]["head"] = json!({ "ref": "fast" });
    let (state, _, words) = follow(&app, &pool, KIND, "pull_request", "4", &broken).await;
    assert_eq!(
        (state.as_str(), words.as_str()),
        ("failed", "field pull_request.head.sha: is missing")
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn work_that_was_cut_off_is_done_when_its_lease_ends(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "python/cpython").await;
    let id = crate::support::hooks::insert(&pool, "push", "1", &push("refs/heads/main")).await;
    let now = Utc::now();
    let lease_ends = now + Duration::minutes(3);
    let claimed = deliveries::claim(&pool, now, lease_ends).await.unwrap();
    // Nobody else takes it up meanwhile.
    assert_eq!(hooks::tick(&app.context).await.unwrap(), None);
    sqlx::query("UPDATE delivery SET next_attempt_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    hooks::tick(&app.context).await.unwrap();
    assert_eq!(became(&pool, id).await.0, "done");
    // The first comes back too late, and decides nothing.
    let failed = DeliveryState::Failed;
    let late = deliveries::settle(&pool, &claimed.unwrap(), failed, &[], "late").await;
    assert!(!late.unwrap());
    assert_eq!(became(&pool, id).await.0, "done");
}
