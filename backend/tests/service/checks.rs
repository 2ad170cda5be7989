//! A GitHub App: how it signs in, the check runs that it writes and edits, and checks that somebody wants again.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use speedwell_backend::db::tries;
use speedwell_backend::domain::hook::ForgeKind;
use speedwell_backend::domain::regression::{InvalidReason, Transition};
use speedwell_backend::domain::try_run::Trust;
use speedwell_backend::scheduler::deliver as sending;
use sqlx::PgPool;

use crate::support::forge::app::APP;
use crate::support::forge::{ForgeServer, PROJECT, Pull};
use crate::support::hooks::{follow, replay};
use crate::support::npm;
use crate::support::regression::{explain, go, insert};
use crate::support::smtp::SmtpServer;
use crate::support::telling::{deliver, find, notify, soon, start};
use crate::support::tries::{TryLab, pull, trusted};
use crate::support::worker::TestWorker;

const KIND: ForgeKind = ForgeKind::Github;

async fn lab(pool: &PgPool, more: &str) -> (ForgeServer, TryLab) {
    let server = ForgeServer::start(KIND).await;
    let config = server.config_of_app(&format!("report = \"check\"\n{more}"));
    let lab = TryLab::start(pool, &config).await;
    let facts = Pull {
        title: "A change".to_owned(),
        author: "ada".to_owned(),
        head: lab.head.clone(),
        head_branch: "topic".to_owned(),
        base_branch: "main".to_owned(),
        fork: false,
    };
    server.put_pull(7, facts);
    (server, lab)
}

async fn send(lab: &TryLab) {
    lab.tick().await;
    sending::tick(&lab.app.context).await.unwrap();
}

async fn cancel(pool: &PgPool, id: i64) {
    let mut connection = pool.acquire().await.unwrap();
    assert!(tries::cancel(&mut connection, id, "ada").await.unwrap());
}

fn state(status: &str, conclusion: Option<&str>) -> (String, Option<String>) {
    (status.to_owned(), conclusion.map(str::to_owned))
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_try_is_one_check_run_that_is_edited_as_it_goes_on(pool: PgPool) {
    let (server, lab) = lab(&pool, "").await;
    let worker = TestWorker::register(&lab.app, "secret").await;
    let id = lab.open(pull(), Trust::Withheld).await;
    send(&lab).await;
    let failures: Vec<Option<String>> =
        sqlx::query_scalar("SELECT last_error FROM outbox WHERE last_error IS NOT NULL")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(server.checks().len(), 1, "{failures:?}");
    let first = server.checks().remove(0);
    assert_eq!(first.states, [state("completed", Some("action_required"))]);
    assert_eq!(
        (first.hash.as_str(), first.name.as_str()),
        (lab.head.as_str(), "speedwell/try")
    );
    assert!(first.details_url.ends_with(&format!("/tries/{id}")));
    assert_eq!(
        server.statuses(),
        [],
        "a check stands in place of the status"
    );

    let mut connection = pool.acquire().await.unwrap();
    tries::approve(&mut connection, id, &lab.head, "ada")
        .await
        .unwrap();
    drop(connection);
    send(&lab).await;
    lab.measure(&worker, 0.1, 0.106).await;
    send(&lab).await;
    send(&lab).await;
    let checks = server.checks();
    // What asked for an approval is over; all that followed is one, edited in place.
    assert_eq!(checks.len(), 2, "{checks:#?}");
    let check = &checks[1];
    assert_eq!(
        (&check.name, &check.external_id),
        (&first.name, &first.external_id)
    );
    assert!(check.states.len() > 2, "{check:#?}");
    let (status, conclusion) = check.states.last().unwrap();
    assert_eq!(
        (status.as_str(), conclusion.as_deref()),
        ("completed", Some("failure"))
    );
    assert!(
        check.states.contains(&state("in_progress", None)),
        "{check:#?}"
    );
    assert!(
        check.title.starts_with("slower") && check.summary.contains("| nbody | +6.00 % |"),
        "{check:#?}"
    );
    // One token was enough for all of it, and is nowhere but in memory.
    assert_eq!(server.sign_ins(), 1);
    let token = &server.app_tokens()[0];
    let words: Vec<String> = sqlx::query_scalar(
        "SELECT concat(outbox::text, (SELECT string_agg(audit::text, '') FROM audit)) FROM outbox",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(words.iter().all(|row| !row.contains(token.as_str())));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_token_is_renewed_before_it_ends_and_when_it_is_refused(pool: PgPool) {
    let (server, lab) = lab(&pool, "comments = false\n").await;
    // Too short to be kept: the comment and the check sign in one after the other.
    server.tokens_hold_for(200);
    let id = lab.open(pull(), trusted()).await;
    send(&lab).await;
    assert_eq!((server.sign_ins(), server.checks().len()), (2, 1));
    server.tokens_hold_for(3600);
    cancel(&pool, id).await;
    send(&lab).await;
    assert_eq!(server.sign_ins(), 3);
    let ended = server.checks().remove(0);
    assert_eq!(
        ended.states.last(),
        Some(&state("completed", Some("cancelled")))
    );

    // Somebody ends the token: the message waits for its next turn, with a new one, and nothing comes twice.
    server.end_tokens();
    lab.open(pull(), trusted()).await;
    send(&lab).await;
    let waiting: Vec<String> =
        sqlx::query_scalar("SELECT last_error FROM outbox WHERE state = 'waiting'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(
        waiting.iter().all(|one| one.contains("401")) && !waiting.is_empty(),
        "{waiting:?}"
    );
    deliver(&lab.app.context, Utc::now() + Duration::minutes(5)).await;
    let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE state <> 'sent'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((dead, server.checks().len()), (0, 2));

    // A forge that answers no app keeps every message waiting, with the reason.
    server.end_tokens();
    lab.app.context.forge_tokens.forget(PROJECT);
    server.refuse_next(404, &[], "Integration not found");
    let id: i64 = sqlx::query_scalar("SELECT max(id) FROM try_run")
        .fetch_one(&pool)
        .await
        .unwrap();
    cancel(&pool, id).await;
    send(&lab).await;
    let words: String =
        sqlx::query_scalar("SELECT last_error FROM outbox WHERE state = 'waiting' LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(
        words.contains("app_key_file") && words.contains("404"),
        "{words}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_lost_answer_makes_no_second_check(pool: PgPool) {
    let (server, lab) = lab(&pool, "").await;
    lab.open(pull(), trusted()).await;
    send(&lab).await;
    // As if the process had died before it noted the key.
    sqlx::query("DELETE FROM check_run")
        .execute(&pool)
        .await
        .unwrap();
    let worker = TestWorker::register(&lab.app, "secret").await;
    lab.measure(&worker, 0.1, 0.1).await;
    send(&lab).await;
    send(&lab).await;
    let checks = server.checks();
    assert_eq!(checks.len(), 1, "{checks:#?}");
    assert_eq!(
        checks[0].states.last(),
        Some(&state("completed", Some("success")))
    );
    let kept: i64 = sqlx::query_scalar("SELECT key FROM check_run")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, checks[0].id);
}

/// GitHub's own example of an event with an action, about our project.
fn example(events: &[Value], event: &str) -> Value {
    let found = events.iter().find(|one| one["name"] == event).unwrap();
    let mut examples = found["examples"].as_array().unwrap().iter();
    let mut body = examples
        .find(|one| one["action"] == "rerequested")
        .unwrap()
        .clone();
    body["repository"]["full_name"] = json!(PROJECT);
    body[event]["app"]["id"] = json!(APP);
    body
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_check_that_is_wanted_again_opens_its_try_again(pool: PgPool) {
    let (server, lab) = lab(&pool, "").await;
    server.put_member("ada", 11, "write");
    let events = npm::file(
        "@octokit/webhooks-examples@7.6.1",
        "api.github.com/index.json",
        "09d8f0c617876ae9dad22e26fea5510bfcaad50ee7e602659f6db25b87b25815",
    );
    let events: Vec<Value> = serde_json::from_slice(&events).unwrap();
    let id = lab.open(pull(), trusted()).await;
    send(&lab).await;
    let mut run = example(&events, "check_run");
    run["check_run"]["id"] = json!(server.checks()[0].id);
    run["sender"]["login"] = json!("ada");

    // It is under way.
    let (done, caused, words) = follow(&lab.app, &pool, KIND, "check_run", "1", &run).await;
    assert_eq!(
        (done.as_str(), caused[0]["what"].as_str()),
        ("done", Some("answered")),
        "{words}"
    );
    cancel(&pool, id).await;

    let (done, caused, words) = follow(&lab.app, &pool, KIND, "check_run", "2", &run).await;
    let again = caused[0]["id"].as_i64().unwrap();
    assert_eq!((done.as_str(), again), ("done", id + 1), "{words}");
    let (by, pull): (Option<String>, i32) =
        sqlx::query_as("SELECT approved_by, pull_number FROM try_run WHERE id = $1")
            .bind(again)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((by.as_deref(), pull), (Some("GitHub: may push"), 7));
    // The same delivery once more opens nothing.
    let (_, _, _) = follow(&lab.app, &pool, KIND, "check_run", "2", &run).await;
    assert_eq!(count_tries(&pool).await, 2);

    // A stranger's waits for a triager; all checks of a commit are its newest try.
    send(&lab).await;
    assert_eq!(server.checks().len(), 2, "a try has a check of its own");
    cancel(&pool, again).await;
    let mut suite = example(&events, "check_suite");
    suite["check_suite"]["head_sha"] = json!(lab.head);
    suite["sender"]["login"] = json!("eve");
    let (done, _, words) = follow(&lab.app, &pool, KIND, "check_suite", "3", &suite).await;
    assert!(
        done == "done" && words.contains("waits for a triager"),
        "{words}"
    );
    assert_eq!(lab.status(again + 1).await.0, "waiting_for_approval");

    // Of others, of another app, of nothing of ours: noted.
    let mut other = run.clone();
    other["check_run"]["app"]["id"] = json!(1);
    let (done, _, words) = follow(&lab.app, &pool, KIND, "check_run", "4", &other).await;
    assert!(done == "noted" && words.contains("not ours"), "{words}");
    let mut unknown = run.clone();
    unknown["check_run"]["id"] = json!(5);
    assert_eq!(
        follow(&lab.app, &pool, KIND, "check_run", "5", &unknown)
            .await
            .0,
        "noted"
    );
    let mut created = run;
    created["action"] = json!("created");
    assert_eq!(
        follow(&lab.app, &pool, KIND, "check_run", "6", &created)
            .await
            .0,
        "noted"
    );
    assert_eq!(count_tries(&pool).await, 3);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_replay_opens_no_try_that_its_delivery_has_opened(pool: PgPool) {
    let (server, lab) = lab(&pool, "").await;
    server.put_member("ada", 11, "write");
    let id = lab.open(pull(), trusted()).await;
    send(&lab).await;
    cancel(&pool, id).await;
    let sender = json!({ "login": "ada", "id": 11, "type": "User" });
    let project = json!({ "full_name": PROJECT });
    let run = json!({ "action": "rerequested", "sender": sender, "repository": project,
        "check_run": { "id": server.checks()[0].id, "app": { "id": APP } } });
    let suite = json!({ "action": "rerequested", "sender": sender, "repository": project,
        "check_suite": { "head_sha": lab.head, "app": { "id": APP } } });
    for (first, event, body) in [(1, "check_run", run), (4, "check_suite", suite)] {
        let (_, caused, words) = follow(&lab.app, &pool, KIND, event, event, &body).await;
        let opened = caused[0]["id"].as_i64().unwrap();
        assert!(words.contains("was asked for by"), "{words}");
        // It is over and has a check of its own: of all checks of the commit it is the newest.
        send(&lab).await;
        cancel(&pool, opened).await;
        let known = format!("has asked for try {opened} before");
        let (second, _, words) = replay(&lab.app, &pool, first).await;
        assert!(words.contains(&known), "{words}");
        let (_, _, words) = replay(&lab.app, &pool, second).await;
        assert!(words.contains(&known), "{words}");
    }
    assert_eq!(count_tries(&pool).await, 3);
}

async fn count_tries(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM try_run")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_check_of_a_culprit_follows_what_becomes_of_it(pool: PgPool) {
    let server = ForgeServer::start(KIND).await;
    let smtp = SmtpServer::start().await;
    let config = server.config_of_app("report = \"check\"\ncomments = false\n");
    let (app, rows) = start(&pool, &smtp, &config).await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm, find(&rows, 3)]).await;
    explain(&pool, id, "Only alignment moved.").await;
    let mut ends = Vec::new();
    for (step, conclusion, title) in [
        (None, "failure", "cpython-main nbody +5.2 %"),
        // Still a failure: the same one is edited.
        (
            Some(Transition::Acknowledge {
                owner: "ann".to_owned(),
            }),
            "failure",
            "somebody has taken it on",
        ),
        (Some(Transition::Accept), "neutral", "accepted"),
        (Some(Transition::Reopen), "failure", "+5.2 %"),
        (
            Some(Transition::Invalidate {
                reason: InvalidReason::Noise,
            }),
            "neutral",
            "no change after all",
        ),
    ] {
        if let Some(step) = step {
            go(&pool, id, &[step]).await;
        }
        notify(&app.context, soon()).await;
        deliver(&app.context, soon()).await;
        if ends.last() != Some(&conclusion) {
            ends.push(conclusion);
        }
        let checks = server.checks();
        let said: Vec<&str> = checks
            .iter()
            .filter_map(|one| one.states.last()?.1.as_deref())
            .collect();
        assert_eq!(said, ends, "{checks:#?}");
        let check = checks.last().unwrap();
        assert!(check.title.contains(title), "{check:#?}");
        assert!(
            check.summary.contains("| cpython-main | nbody |"),
            "{check:#?}"
        );
        assert!(check.details_url.ends_with(&format!("/regressions/{id}")));
    }
    assert_eq!(server.statuses(), []);
}
