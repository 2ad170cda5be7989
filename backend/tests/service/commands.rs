//! Commands in comments on pull requests: from hook to try and to the answer on the forge, for each forge.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use speedwell_backend::domain::hook::ForgeKind;
use sqlx::PgPool;

use crate::support::forge::{ForgeServer, Pull};
use crate::support::git::sync;
use crate::support::hooks::{follow, replay};
use crate::support::telling::{deliver, states};
use crate::support::{CONFIG, TestApp};

const KINDS: [ForgeKind; 3] = [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Forgejo];

fn pull() -> Pull {
    Pull {
        title: "Make it fast".to_owned(),
        author: "eve".to_owned(),
        head: "a".repeat(40),
        head_branch: "fast".to_owned(),
        base_branch: "main".to_owned(),
        fork: true,
    }
}

async fn start(pool: &PgPool, kind: ForgeKind) -> (TestApp, ForgeServer) {
    let forge = ForgeServer::start(kind).await;
    forge.put_pull(7, pull());
    forge.put_member("ada", 11, "write");
    forge.put_member("bob", 12, "read");
    let settings = forge.config("try_users = [\"Carl\"]");
    let config = CONFIG.replacen("[[runtime]]", &format!("{settings}[[runtime]]"), 1);
    let config = config.replace(
        "listen =",
        "public_url = \"https://speed.example\"\nlisten =",
    );
    let app = TestApp::start_with(pool, &config).await;
    sync(&app.context).await;
    (app, forge)
}

/// A comment as the forge's hook says it.
fn comment(
    kind: ForgeKind,
    id: i64,
    author: (&str, i64),
    association: &str,
    text: &str,
) -> (&'static str, Value) {
    match kind {
        ForgeKind::Github | ForgeKind::Forgejo => {
            let mut body = json!({
                "action": "created", "is_pull": true, "repository": { "full_name": "python/cpython" },
                "issue": { "number": 7, "pull_request": { "url": "…" } },
                "comment": { "id": id, "body": text, "user": { "login": author.0, "id": author.1, "type": "User" } },
            });
            if kind == ForgeKind::Github {
                body["comment"]["author_association"] = json!(association);
            }
            ("issue_comment", body)
        }
        ForgeKind::Gitlab => (
            "Note Hook",
            json!({
                "object_kind": "note", "user": { "id": author.1, "username": author.0 },
                "project": { "path_with_namespace": "python/cpython" }, "merge_request": { "iid": 7 },
                "object_attributes": { "id": id, "note": text, "noteable_type": "MergeRequest", "author_id": author.1,
                    "system": false, "action": "create" },
            }),
        ),
    }
}

struct Talk<'a> {
    app: &'a TestApp,
    pool: &'a PgPool,
    kind: ForgeKind,
    next: i64,
}

impl Talk<'_> {
    /// Says something; state, effects and words of the delivery.
    async fn say(
        &mut self,
        author: (&str, i64),
        association: &str,
        text: &str,
    ) -> (String, Value, String) {
        self.next += 1;
        let (event, body) = comment(self.kind, self.next, author, association, text);
        follow(
            self.app,
            self.pool,
            self.kind,
            event,
            &format!("k{}", self.next),
            &body,
        )
        .await
    }
}

async fn tries(pool: &PgPool) -> Vec<(i64, String, String, Option<String>)> {
    sqlx::query_as("SELECT id, requester, state, approved_by FROM try_run ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// The members and strangers of the talk.
const ADA: (&str, i64) = ("ada", 11);
const BOB: (&str, i64) = ("bob", 12);
const CARL: (&str, i64) = ("carl", 13);

/// Who may ask for what; the number of the try that is queued in the end.
async fn ask(talk: &mut Talk<'_>) -> i64 {
    let (ada, bob, carl) = (ADA, BOB, CARL);
    let kind = talk.kind;
    let name = kind.as_str();
    // Nothing is asked for.
    for text in [
        "Nice!",
        "> @speedwell bench",
        "```\n@speedwell bench\n```",
        "@speedwell bench\n\n<!-- speedwell x -->",
    ] {
        let (state, _, words) = talk.say(ada, "MEMBER", text).await;
        assert_eq!(state, "noted", "{kind:?} {text}: {words}");
    }
    assert!(tries(talk.pool).await.is_empty());
    // A stranger's wish waits; a member's is not one more.
    let (state, caused, words) = talk
        .say(bob, "CONTRIBUTOR", "@speedwell bench benchmarks=json_*")
        .await;
    assert!(
        state == "done" && words.contains("waits for a triager"),
        "{words}"
    );
    assert_eq!(caused[0]["what"], "tried");
    assert_eq!(
        tries(talk.pool).await[0],
        (
            1,
            format!("{name}:bob"),
            "waiting_for_approval".to_owned(),
            None
        )
    );
    let (_, caused, words) = talk.say(ada, "MEMBER", "@speedwell bench").await;
    assert!(
        caused[0]["what"] == "answered" && words.contains("under way"),
        "{words}"
    );
    // Carl may end it, for the configuration names him; then a member's wish runs at once.
    assert_eq!(
        talk.say(carl, "NONE", "@speedwell cancel").await.1[0]["what"],
        "cancelled"
    );
    let (_, caused, _) = talk
        .say(ada, "MEMBER", "Once more:\n\n@Speedwell bench repeat=3")
        .await;
    let id = caused[0]["id"].as_i64().unwrap();
    let rows = tries(talk.pool).await;
    let last = rows.last().unwrap();
    assert_eq!((last.0, last.2.as_str()), (id, "queued"));
    assert!(
        last.3.as_deref().unwrap().starts_with(kind.label()),
        "{last:?}"
    );
    // The same comment, said again by another delivery, asks once.
    talk.next -= 1;
    sqlx::query("UPDATE delivery SET delivery_key = 'x' || id")
        .execute(talk.pool)
        .await
        .unwrap();
    let (_, caused, words) = talk.say(ada, "MEMBER", "@speedwell bench repeat=3").await;
    assert_eq!(caused[0]["id"].as_i64(), Some(id), "{words}");
    id
}

async fn converse(pool: &PgPool, kind: ForgeKind) {
    let (app, forge) = start(pool, kind).await;
    let mut talk = Talk {
        app: &app,
        pool,
        kind,
        next: 0,
    };
    let id = ask(&mut talk).await;
    let (ada, bob) = (ADA, BOB);
    let name = kind.as_str();
    // A stranger does not end it, and is told so; status and mistakes are answered.
    assert!(
        talk.say(bob, "NONE", "@speedwell cancel")
            .await
            .2
            .contains("is ended by who")
    );
    assert!(
        talk.say(bob, "NONE", "@speedwell status")
            .await
            .2
            .contains("queued")
    );
    let (_, _, words) = talk.say(bob, "NONE", "@speedwell bench speed=11").await;
    assert!(words.contains("is no option"), "{words}");
    let (_, _, words) = talk
        .say(ada, "MEMBER", "@speedwell dance @everyone <img>")
        .await;
    assert!(words.contains("\"dance\""), "{words}");
    deliver(&app.context, Utc::now() + Duration::seconds(1)).await;
    assert!(
        states(pool).await.iter().all(|one| one.0 == "sent"),
        "{:?}",
        states(pool).await
    );
    let comments = forge.comments();
    assert_eq!(comments.len(), 5, "{comments:#?}");
    let link = format!("@bob: [try {id}](https://speed.example/tries/{id}): queued");
    assert!(
        comments.iter().any(|one| one.body.starts_with(&link)),
        "{comments:#?}"
    );
    assert!(
        comments
            .iter()
            .all(|one| !one.body.contains("@everyone") && one.pull == 7)
    );
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT actor || ' ' || action || ' ' || subject FROM audit ORDER BY id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let expected = [
        format!("{name}:bob try.open try 1"),
        format!("{name}:carl try.cancel try 1"),
        format!("{name}:ada try.open try {id}"),
    ];
    assert_eq!(actions, expected);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn on_github(pool: PgPool) {
    converse(&pool, KINDS[0]).await;
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn on_gitlab(pool: PgPool) {
    converse(&pool, KINDS[1]).await;
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn on_forgejo(pool: PgPool) {
    converse(&pool, KINDS[2]).await;
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_forge_that_asks_for_patience_is_left_alone(pool: PgPool) {
    let (app, forge) = start(&pool, ForgeKind::Github).await;
    let mut talk = Talk {
        app: &app,
        pool: &pool,
        kind: ForgeKind::Github,
        next: 0,
    };
    for _ in 0..3 {
        assert_eq!(
            talk.say(("bob", 12), "NONE", "@speedwell status").await.1[0]["what"],
            "answered"
        );
    }
    let now = Utc::now() + Duration::seconds(1);
    forge.refuse_next(
        403,
        &[("retry-after", "600")],
        "You have exceeded a secondary rate limit",
    );
    assert_eq!(
        deliver(&app.context, now).await,
        1,
        "the others were sent all the same"
    );
    assert_eq!(forge.requests().len(), 1);
    for (state, attempts, _) in states(&pool).await {
        assert_eq!(
            (state.as_str(), attempts),
            ("waiting", 0),
            "the try was counted"
        );
    }
    assert_eq!(deliver(&app.context, now + Duration::minutes(9)).await, 0);
    let (_, page) = app.get("/deliveries").await;
    assert!(page.contains("asked to be left alone until"), "{page}");
    assert_eq!(deliver(&app.context, now + Duration::minutes(11)).await, 3);
    assert_eq!(forge.comments().len(), 3);
    // The same while a command is read: the delivery waits, and its try does not count.
    forge.refuse_next(429, &[("retry-after", "60")], "");
    let (state, _, words) = talk.say(("ada", 11), "MEMBER", "@speedwell bench").await;
    assert!(state == "waiting" && words.contains("429"), "{words}");
    let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM delivery WHERE state = 'waiting'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(attempts, 0);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_end_of_a_pull_request_ends_its_try(pool: PgPool) {
    let kind = ForgeKind::Github;
    let (app, _forge) = start(&pool, kind).await;
    let mut talk = Talk {
        app: &app,
        pool: &pool,
        kind,
        next: 0,
    };
    talk.say(("ada", 11), "MEMBER", "@speedwell bench").await;
    let closed = json!({ "action": "closed", "repository": { "full_name": "python/cpython" }, "pull_request": {
        "number": 7, "title": "x", "state": "closed", "merged": true, "user": { "login": "eve" }, "updated_at": "2027-01-01T00:00:00Z",
        "head": { "sha": "a".repeat(40), "ref": "fast", "repo": null }, "base": { "ref": "main", "repo": { "full_name": "python/cpython" } } } });
    let (_, caused, _) = follow(&app, &pool, kind, "pull_request", "p", &closed).await;
    assert_eq!(caused[1]["what"], "cancelled", "{caused}");
    assert_eq!(tries(&pool).await[0].2, "cancelled");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn nobody_floods_triagers_or_a_pull_request(pool: PgPool) {
    let kind = ForgeKind::Github;
    let (app, forge) = start(&pool, kind).await;
    // Three pull requests of a stranger, and a fourth.
    for number in 8..12 {
        forge.put_pull(number, pull());
        let (event, mut body) = comment(kind, number, ("eve", 14), "NONE", "@speedwell bench");
        body["issue"]["number"] = json!(number);
        let (_, caused, words) = follow(&app, &pool, kind, event, &number.to_string(), &body).await;
        let expected = if number < 11 { "tried" } else { "answered" };
        assert_eq!(caused[0]["what"], expected, "{words}");
    }
    let mut talk = Talk {
        app: &app,
        pool: &pool,
        kind,
        next: 20,
    };
    for count in 0..12 {
        let (state, _, words) = talk.say(("eve", 14), "NONE", "@speedwell status").await;
        let expected = if count < 10 { "done" } else { "noted" };
        assert_eq!(state, expected, "{count}: {words}");
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_replay_does_nothing_twice(pool: PgPool) {
    let (app, forge) = start(&pool, ForgeKind::Github).await;
    let mut talk = Talk {
        app: &app,
        pool: &pool,
        kind: ForgeKind::Github,
        next: 0,
    };
    for words in ["bench", "cancel", "status", "bench"] {
        talk.say(ADA, "MEMBER", &format!("@speedwell {words}"))
            .await;
    }
    for (delivery, expected) in [
        (1, "has asked for try 1 before"),
        // What it ended is over; the one that is under way was asked for later.
        (2, "try 2 was asked for later"),
        (3, "answered before; now: [try 2]"),
    ] {
        let (_, _, words) = replay(&app, &pool, delivery).await;
        assert!(words.contains(expected), "{words}");
    }
    let open: Vec<_> = tries(&pool).await.into_iter().map(|one| one.2).collect();
    assert_eq!(open, ["cancelled", "queued"]);
    deliver(&app.context, Utc::now() + Duration::minutes(5)).await;
    let answers = forge.comments();
    let status = answers.iter().filter(|one| one.body.contains("@ada"));
    assert_eq!(status.count(), 1, "{answers:?}");
}
