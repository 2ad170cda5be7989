//! Deliveries: one that comes again, their pages, their API, and an operator who has the work of one done again.

use serde_json::{Value, json};
use speedwell_backend::domain::hook::ForgeKind;
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::{discover, hooks, maintain};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::git::Repository;
use crate::support::hooks::{count, hook, push, send, start};
use crate::support::triage::{insert_token, submit};

const KIND: ForgeKind = ForgeKind::Github;

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_comes_twice_is_done_once_and_an_operator_replays(pool: PgPool) {
    let repository = Repository::new();
    repository.commit("one");
    let (app, _forge) = start(&pool, &repository, "python/cpython").await;
    let mut body = push("refs/heads/main");
    body["pusher"] =
        json!({ "email": "ann@example.org", "name": "<script>alert(1)</script>", "token": "hush" });
    let bytes = body.to_string().into_bytes();
    let both = futures_util::future::join_all(
        (0..8).map(|_| send(hook(&app, KIND, "push", "same", &bytes))),
    )
    .await;
    assert!(both.iter().all(|one| one.0 == 202));
    assert_eq!(
        both.iter().filter(|one| one.1["repeated"] == false).count(),
        1
    );
    assert_eq!(count(&pool, "SELECT count(*) FROM delivery").await, 1);
    assert_eq!(
        count(&pool, "SELECT repeats::bigint FROM delivery").await,
        7
    );
    assert!(
        hooks::tick(&app.context)
            .await
            .unwrap()
            .unwrap()
            .starts_with("1 delivery")
    );
    discover::tick(&app.context).await.unwrap();
    // Again after it was done: nothing is done again.
    send(hook(&app, KIND, "push", "same", &bytes)).await;
    assert_eq!(hooks::tick(&app.context).await.unwrap(), None);
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM repository WHERE due_at IS NOT NULL"
        )
        .await,
        0
    );
    let (_, page) = app.get("/deliveries?repository=cpython&state=done").await;
    assert!(
        page.contains("came 9 times") && page.contains("looked at main"),
        "{page}"
    );
    let (_, page) = app.get("/deliveries/1").await;
    assert!(
        !page.contains("ann@example.org") && page.contains("x-github-delivery"),
        "{page}"
    );
    assert!(!page.contains("x-hub-signature"), "{page}");
    let (operator, triager) = (
        insert_token(&pool, "ops", Role::Operator).await,
        insert_token(&pool, "tri", Role::Triager).await,
    );
    assert_eq!(
        submit(&app, &triager, "/deliveries/1/replay", &[]).await.0,
        403
    );
    let (status, page) = submit(&app, &operator, "/deliveries/1/replay", &[]).await;
    assert!(
        status == 200 && page.contains("A replay of"),
        "{status} {page}"
    );
    let page = app
        .client
        .get(format!("{}/deliveries/1", app.address))
        .bearer_auth(&operator);
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("ann@example.org") && page.contains("&#60;script&#62;alert"),
        "{page}"
    );
    assert!(
        !page.contains("hush") && !page.contains("<script>alert"),
        "{page}"
    );
    assert!(page.contains("/deliveries/10"), "{page}");
    hooks::tick(&app.context).await.unwrap();
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM repository WHERE due_at IS NOT NULL"
        )
        .await,
        1,
        "not done again"
    );
    let (_, page) = app.get("/deliveries").await;
    assert!(
        page.contains("<span class=\"badge\">replay</span>"),
        "{page}"
    );
    assert_eq!(app.get("/deliveries?state=lost").await.0, 400);
    by_the_api(&app, (&operator, &triager)).await;
    assert_eq!(app.get("/deliveries/99").await.0, 404);
    // What is old is forgotten.
    sqlx::query("UPDATE delivery SET received_at = received_at - interval '31 days' WHERE replay_of IS NULL")
        .execute(&pool)
        .await
        .unwrap();
    maintain::tick(&app.context).await.unwrap();
    assert_eq!(count(&pool, "SELECT count(*) FROM delivery").await, 2);
}

/// The same as JSON: of two deliveries the second is a replay, and one more is asked for.
async fn by_the_api(app: &TestApp, (operator, triager): (&str, &str)) {
    let (status, text) = app
        .get("/api/v1/deliveries?state=done&repository=cpython")
        .await;
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200, "{text}");
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(
        (&items[0]["replay_of"], &items[1]["repeats"]),
        (&json!(1), &json!(8))
    );
    assert_eq!(items[1]["caused"][0]["what"], "looked");
    let (_, text) = app.get("/api/v1/deliveries/1").await;
    assert!(
        !text.contains("ann@example.org") && text.contains("x-github-delivery"),
        "{text}"
    );
    assert_eq!(app.get("/api/v1/deliveries?state=lost").await.0, 400);
    for (token, path, status) in [
        (triager, "1", 403),
        (operator, "99", 409),
        (operator, "1", 201),
    ] {
        let request = app
            .client
            .post(format!("{}/api/v1/deliveries/{path}/replay", app.address));
        assert_eq!(
            request
                .bearer_auth(token)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16(),
            status
        );
    }
}
