//! Hooks of GitLab, Forgejo and Gitea in the shapes of their documentation.

use serde_json::{Value, json};
use speedwell_backend::domain::hook::ForgeKind;
use sqlx::PgPool;

use crate::support::forge::{ForgeServer, SECRET};
use crate::support::git::sync;
use crate::support::hooks::{follow, hook, send, signature};
use crate::support::{CONFIG, TestApp};

async fn start(pool: &PgPool, kind: ForgeKind) -> (TestApp, ForgeServer) {
    let forge = ForgeServer::start(kind).await;
    let config = CONFIG.replacen(
        "[[runtime]]",
        &format!("{}[[runtime]]", forge.config("")),
        1,
    );
    let app = TestApp::start_with(pool, &config).await;
    sync(&app.context).await;
    (app, forge)
}

async fn pull(pool: &PgPool) -> (i64, String, Option<String>, String, bool) {
    sqlx::query_as("SELECT number, head_hash, author, state, fork FROM pull_request")
        .fetch_one(pool)
        .await
        .unwrap()
}

fn gitlab_merge_request(action: &str, state: &str, updated: &str) -> Value {
    json!({
        "object_kind": "merge_request", "event_type": "merge_request",
        "user": { "id": 1, "name": "Administrator", "username": "root", "email": "admin@example.com" },
        "project": { "id": 1, "name": "CPython", "path_with_namespace": "python/cpython", "default_branch": "main" },
        "object_attributes": {
            "id": 99, "iid": 7, "target_branch": "main", "source_branch": "fast", "source_project_id": 14, "author_id": 51,
            "title": "MS-Viewport", "created_at": "2013-12-03T17:23:34Z", "updated_at": updated, "state": state,
            "merge_status": "unchecked", "target_project_id": 1, "description": "", "action": action, "oldrev": "",
            "last_commit": { "id": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "message": "fixed readme" },
            "source": { "path_with_namespace": "awesome_space/cpython" }, "target": { "path_with_namespace": "python/cpython" },
        },
    })
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn gitlab(pool: PgPool) {
    const KIND: ForgeKind = ForgeKind::Gitlab;
    let (app, _forge) = start(&pool, KIND).await;
    let push = |kind: &str, reference: &str, after: &str| {
        json!({
            "object_kind": kind, "event_name": kind, "before": "95790bf891e76fee5e1747ab589903a6a1f80f22", "after": after,
            "ref": reference, "checkout_sha": after, "user_username": "jsmith",
            "project": { "id": 15, "path_with_namespace": "python/cpython" }, "commits": [], "total_commits_count": 4,
        })
    };
    let after = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7";
    let main = push("push", "refs/heads/main", after);
    let (state, caused, _) = follow(&app, &pool, KIND, "Push Hook", "1", &main).await;
    assert_eq!(
        (state.as_str(), caused[0]["after"].as_str()),
        ("done", Some(after))
    );
    let gone = push("push", "refs/heads/main", &"0".repeat(40));
    let (_, caused, words) = follow(&app, &pool, KIND, "Push Hook", "2", &gone).await;
    assert_eq!(
        (caused[0]["after"].as_str(), words.as_str()),
        (None, "the branch main has gone away")
    );
    let tag = push("tag_push", "refs/tags/v1.0.0", after);
    assert_eq!(
        follow(&app, &pool, KIND, "Tag Push Hook", "3", &tag)
            .await
            .0,
        "done"
    );
    let release = json!({ "object_kind": "release", "action": "create", "tag": "v1.1", "name": "v1.1", "project": { "path_with_namespace": "python/cpython" } });
    assert_eq!(
        follow(&app, &pool, KIND, "Release Hook", "4", &release)
            .await
            .0,
        "done"
    );
    let opened = gitlab_merge_request("open", "opened", "2013-12-03 17:23:34 UTC");
    assert_eq!(
        follow(&app, &pool, KIND, "Merge Request Hook", "5", &opened)
            .await
            .0,
        "done"
    );
    assert_eq!(
        pull(&pool).await,
        (
            7,
            after.to_owned(),
            Some("root".to_owned()),
            "open".to_owned(),
            true
        )
    );
    let merged = gitlab_merge_request("merge", "merged", "2013-12-04T17:23:34Z");
    follow(&app, &pool, KIND, "Merge Request Hook", "6", &merged).await;
    let row = pull(&pool).await;
    assert_eq!(
        (row.3.as_str(), row.2.as_deref()),
        ("merged", Some("root")),
        "who merges is not the author"
    );
    let pipeline = json!({ "object_kind": "pipeline", "object_attributes": { "id": 31 }, "project": { "path_with_namespace": "python/cpython" } });
    let (state, _, words) = follow(&app, &pool, KIND, "Pipeline Hook", "7", &pipeline).await;
    assert!(state == "noted" && words.contains("pipeline"), "{words}");
    let note = json!({ "object_kind": "note", "user": { "id": 1, "username": "root" }, "project": { "path_with_namespace": "python/cpython" },
        "object_attributes": { "id": 1243, "note": "fine", "noteable_type": "Commit", "author_id": 1, "system": false, "action": "create" } });
    assert_eq!(
        follow(&app, &pool, KIND, "Note Hook", "8", &note).await.0,
        "noted"
    );
    // Signed instead, and an older GitLab without a number for each delivery.
    let body = main.to_string();
    let address = format!("{}/hooks/gitlab/cpython", app.address);
    let request = || {
        app.client
            .post(&address)
            .header("content-type", "application/json")
            .header("x-gitlab-event", "Push Hook")
            .body(body.clone())
    };
    let now = chrono::Utc::now().timestamp().to_string();
    let signed = hex::decode(signature(SECRET, format!("id-9.{now}.{body}").as_bytes())).unwrap();
    let signed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signed);
    let standard = request()
        .header("webhook-id", "id-9")
        .header("webhook-timestamp", &now);
    let (status, answer) = send(standard.header("webhook-signature", format!("v1,{signed}"))).await;
    assert_eq!(
        (status, answer["repeated"].as_bool()),
        (202, Some(false)),
        "{answer}"
    );
    for expected in [false, true] {
        let old = request()
            .header("x-gitlab-token", SECRET)
            .header("x-gitlab-event-uuid", "u");
        let (status, answer) = send(old).await;
        assert_eq!(
            (status, answer["repeated"].as_bool()),
            (202, Some(expected)),
            "{answer}"
        );
    }
    assert_eq!(
        send(request().header("x-gitlab-token", "guess")).await.0,
        401
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn forgejo_and_gitea(pool: PgPool) {
    const KIND: ForgeKind = ForgeKind::Forgejo;
    let (app, _forge) = start(&pool, KIND).await;
    let repository = json!({ "id": 140, "full_name": "python/cpython", "default_branch": "main" });
    let after = "bffeb74224043ba2feb48d137756c8a9331c449a";
    let push = json!({
        "ref": "refs/heads/main", "before": "28e1879d029cb852e4844d9c718537df08844e03", "after": after,
        "compare_url": "http://localhost:3000/python/cpython/compare/28e1…bffe", "commits": [{ "id": after, "message": "Webhooks Yay!" }],
        "repository": repository, "pusher": { "id": 1, "login": "gitea" }, "sender": { "id": 1, "login": "gitea" },
    });
    let (state, caused, _) = follow(&app, &pool, KIND, "push", "1", &push).await;
    assert_eq!(
        (state.as_str(), caused[0]["after"].as_str()),
        ("done", Some(after))
    );
    let create =
        json!({ "sha": after, "ref": "v1.0", "ref_type": "tag", "repository": repository });
    assert_eq!(
        follow(&app, &pool, KIND, "create", "2", &create).await.0,
        "done"
    );
    let pull_request = json!({
        "action": "synchronized", "number": 7, "repository": repository, "commit_id": after,
        "pull_request": {
            "id": 5, "number": 7, "title": "Faster", "state": "open", "merged": false, "merged_at": null, "user": { "id": 3, "login": "ada" },
            "head": { "label": "fast", "ref": "fast", "sha": after, "repo": { "full_name": "python/cpython" } },
            "base": { "label": "main", "ref": "main", "sha": after, "repo": { "full_name": "python/cpython" } },
            "updated_at": "2026-11-29T03:00:00+01:00",
        },
    });
    assert_eq!(
        follow(&app, &pool, KIND, "pull_request", "3", &pull_request)
            .await
            .0,
        "done"
    );
    assert_eq!(
        pull(&pool).await,
        (
            7,
            after.to_owned(),
            Some("ada".to_owned()),
            "open".to_owned(),
            false
        )
    );
    let release = json!({ "action": "published", "release": { "id": 1, "tag_name": "v1.1" }, "repository": repository });
    assert_eq!(
        follow(&app, &pool, KIND, "release", "4", &release).await.0,
        "done"
    );
    assert_eq!(
        follow(
            &app,
            &pool,
            KIND,
            "wiki",
            "5",
            &json!({ "action": "created", "repository": repository })
        )
        .await
        .0,
        "noted"
    );
    // Gitea: its own headers, and its own name in the address.
    let body = push.to_string();
    let gitea = app
        .client
        .post(format!("{}/hooks/gitea/cpython", app.address))
        .header("content-type", "application/json")
        .header("x-gitea-event", "push")
        .header("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473")
        .header("x-gitea-signature", signature(SECRET, body.as_bytes()));
    assert_eq!(send(gitea.body(body.clone())).await.0, 202);
    let request = hook(&app, KIND, "push", "6", body.as_bytes());
    let (status, _) = send(request.body(body.replace("main", "evil"))).await;
    assert_eq!(status, 401, "changed on its way");
}
