//! Chats, webhooks and forges over real HTTP; feeds, daily reports, and the pages about them.

use chrono::{DateTime, Duration, Utc};
use serde_json::Value;
use speedwell_backend::alerts::chat::signature;
use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::db::tokens;
use speedwell_backend::domain::regression::Transition;
use speedwell_backend::domain::role::Role;
use speedwell_backend::domain::telling::SubscriptionChannel;
use speedwell_backend::scheduler::report;
use sqlx::PgPool;
use wiremock::matchers::{body_partial_json, header, method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::TestApp;
use crate::support::regression::{explain, go, insert};
use crate::support::smtp::SmtpServer;
use crate::support::telling::{
    deliver, find, notify, recipients, soon, start, states, subscribe, subscription,
};

fn text_header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn webhooks_are_signed_and_chats_get_their_own_words(pool: PgPool) {
    let (smtp, server) = (SmtpServer::start().await, MockServer::start().await);
    let (app, rows) = start(&pool, &smtp, "").await;
    // The webhook is busy at first.
    let hook = || Mock::given(method("POST")).and(path("/hook"));
    hook()
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    hook()
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    Mock::given(path_regex("^/(slack|mattermost|zulip)$"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(method("PUT"))
        .and(header("authorization", "Bearer key"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    for (name, channel) in [
        ("hook", SubscriptionChannel::Webhook),
        ("slack", SubscriptionChannel::Slack),
        ("mattermost", SubscriptionChannel::Mattermost),
        ("zulip", SubscriptionChannel::Zulip),
    ] {
        subscribe(
            &pool,
            &subscription(name, channel, &format!("{}/{name}", server.uri())),
            Some("key"),
        )
        .await;
    }
    let room = format!("{}/_matrix/client/v3/rooms/!room:x.org", server.uri());
    subscribe(
        &pool,
        &subscription("matrix", SubscriptionChannel::Matrix, &room),
        Some("key"),
    )
    .await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm, find(&rows, 3)]).await;
    explain(&pool, id, "Only alignment moved.").await;
    let now = soon();
    notify(&app.context, now).await;
    deliver(&app.context, now).await;
    deliver(&app.context, now + Duration::minutes(1)).await;
    let requests = server.received_requests().await.unwrap();
    let hooks: Vec<&Request> = requests
        .iter()
        .filter(|one| one.url.path() == "/hook")
        .collect();
    assert_eq!(hooks.len(), 2);
    let last = hooks[1];
    let timestamp: i64 = text_header(last, "x-speedwell-timestamp").parse().unwrap();
    assert_eq!(
        text_header(last, "x-speedwell-signature-256"),
        signature("key", timestamp, &last.body)
    );
    assert_eq!(
        text_header(last, "x-speedwell-delivery"),
        text_header(hooks[0], "x-speedwell-delivery")
    );
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    // Confirmed and found at once are told as found.
    assert_eq!(body["events"].as_array().unwrap().len(), 1);
    assert_eq!(body["events"][0]["kind"], "found");
    assert_eq!(body["events"][0]["explanation"], "Only alignment moved.");
    for place in ["/slack", "/mattermost", "/zulip"] {
        let one = requests.iter().find(|one| one.url.path() == place).unwrap();
        let body: Value = serde_json::from_slice(&one.body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(
            text.contains("nbody") && text.contains("https://speed.example/regressions/1"),
            "{text}"
        );
    }
    let matrix = requests
        .iter()
        .find(|one| one.url.path().contains("/send/m.room.message/"))
        .unwrap();
    let body: Value = serde_json::from_slice(&matrix.body).unwrap();
    assert_eq!(body["msgtype"], "m.notice");
    assert!(
        states(&pool).await.iter().all(|one| one.0 == "sent"),
        "{:?}",
        states(&pool).await
    );
}

/// `[repository.forge]` for a server on loopback.
fn forge(kind: &str, server: &MockServer, token: &std::path::Path) -> String {
    format!(
        "[repository.forge]\nkind = \"{kind}\"\napi = \"{}\"\nproject = \"python/cpython\"\ntoken_file = \"{}\"",
        server.uri(),
        token.display()
    )
}

/// A found commit on a forge: the requests that it got.
async fn on_forge(pool: &PgPool, kind: &str, server: &MockServer) -> (Vec<Request>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "forge-token\n").unwrap();
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(pool, &smtp, &forge(kind, server, &token)).await;
    let id = insert(pool, &rows, 2, 3).await;
    go(pool, id, &[Transition::Confirm, find(&rows, 3)]).await;
    explain(pool, id, "Only alignment moved.").await;
    let now = soon();
    notify(&app.context, now).await;
    deliver(&app.context, now).await;
    // As a process that died before it settled leaves them.
    sqlx::query("UPDATE outbox SET state = 'waiting', finished_at = NULL WHERE channel = 'forge'")
        .execute(pool)
        .await
        .unwrap();
    deliver(&app.context, now + Duration::hours(1)).await;
    let failed = states(pool)
        .await
        .iter()
        .filter(|one| one.0 != "sent")
        .count();
    assert_eq!(failed, 0, "{:?}", states(pool).await);
    let messages: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE channel = 'forge'")
        .fetch_one(pool)
        .await
        .unwrap();
    (
        server.received_requests().await.unwrap(),
        usize::try_from(messages).unwrap(),
    )
}

const CULPRIT: &str = "0000000000000000000000000000000000000004";

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn github_gets_a_status_and_one_comment(pool: PgPool) {
    let server = MockServer::start().await;
    let status = format!("/repos/python/cpython/statuses/{CULPRIT}");
    let comments = format!("/repos/python/cpython/commits/{CULPRIT}/comments");
    Mock::given(method("POST"))
        .and(path(&status))
        .and(header("authorization", "Bearer forge-token"))
        .and(body_partial_json(serde_json::json!({
            "state": "failure", "target_url": "https://speed.example/regressions/1",
            "description": "cpython-main nbody +5.2 %", "context": "speedwell/regression-1"
        })))
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::<Value>::new()));
    let (post, get) = (written.clone(), written.clone());
    Mock::given(method("POST"))
        .and(path(&comments))
        .respond_with(move |request: &Request| {
            post.lock()
                .unwrap()
                .push(serde_json::from_slice(&request.body).unwrap());
            ResponseTemplate::new(201)
        })
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path(&comments))
        .respond_with(move |_: &Request| {
            ResponseTemplate::new(200).set_body_json(get.lock().unwrap().clone())
        })
        .mount(&server)
        .await;
    let (requests, messages) = on_forge(&pool, "github", &server).await;
    assert_eq!(messages, 2);
    assert_eq!(
        requests
            .iter()
            .filter(|one| one.url.path() == status)
            .count(),
        2
    );
    let written = written.lock().unwrap();
    assert_eq!(written.len(), 1, "a second comment");
    let body = written[0]["body"].as_str().unwrap();
    assert!(
        body.contains("| cpython-main | nbody |") && body.contains("Only alignment moved."),
        "{body}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn gitlab_and_forgejo_get_theirs(pool: PgPool) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("private-token", "forge-token"))
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("[]"))
        .mount(&server)
        .await;
    let (requests, messages) = on_forge(&pool, "gitlab", &server).await;
    assert_eq!(messages, 2);
    let base = "/projects/python%2Fcpython";
    let status = requests
        .iter()
        .find(|one| one.url.path() == format!("{base}/statuses/{CULPRIT}"))
        .unwrap();
    let body: Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(
        (body["state"].as_str(), body["name"].as_str()),
        (Some("failed"), Some("speedwell/regression-1"))
    );
    let note = requests.iter().find(|one| {
        one.method == wiremock::http::Method::POST && one.url.path().ends_with("/comments")
    });
    let body: Value = serde_json::from_slice(&note.unwrap().body).unwrap();
    assert!(body["note"].as_str().unwrap().contains("nbody"));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn forgejo_has_no_comments(pool: PgPool) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("/repos/python/cpython/statuses/{CULPRIT}")))
        .and(header("authorization", "token forge-token"))
        .respond_with(ResponseTemplate::new(201))
        .mount(&server)
        .await;
    let (requests, messages) = on_forge(&pool, "forgejo", &server).await;
    assert_eq!((requests.len(), messages), (2, 1));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn feeds_are_well_formed_and_keep_their_ids(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    let hidden = insert(&pool, &rows, 3, 4).await;
    go(
        &pool,
        id,
        &[Transition::Confirm, Transition::Bisect, find(&rows, 3)],
    )
    .await;
    let read = async |address: &str| {
        let (status, text) = app.get(address).await;
        assert_eq!(status, 200, "{address}: {text}");
        let document = roxmltree::Document::parse(&text).unwrap();
        let texts = |name: &str| -> Vec<String> {
            let found = document
                .descendants()
                .filter(|node| node.has_tag_name(("http://www.w3.org/2005/Atom", name)));
            found
                .map(|node| node.text().unwrap_or_default().to_owned())
                .collect()
        };
        (texts("id"), texts("title"), texts("updated"))
    };
    let (ids, titles, updated) = read("/feeds/runtimes/cpython-main.atom").await;
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!(
        ids[0],
        "https://speed.example/feeds/runtimes/cpython-main.atom"
    );
    assert!(
        titles[1].contains("by 0000000000: Rewrite <b>it</b>"),
        "{titles:?}"
    );
    assert_eq!(updated[0], updated[1]);
    assert!(DateTime::parse_from_rfc3339(&updated[0]).is_ok());
    assert!(
        ids.iter()
            .all(|one| !one.contains(&format!("regressions/{hidden}#"))),
        "a suspicion is told"
    );
    go(
        &pool,
        id,
        &[Transition::Fix {
            commit_id: rows.commits[5],
        }],
    )
    .await;
    let (more, _, _) = read("/feeds/benchmarks/nbody.atom").await;
    assert_eq!(more.len(), 4);
    assert_eq!(more[2..], ids[1..], "ids changed");
    assert_eq!(app.get("/feeds/runtimes/nobody.atom").await.0, 404);
    assert_eq!(app.get("/feeds/benchmarks/nothing.atom").await.0, 404);
    assert_eq!(read("/feeds/reports/cpython-main.atom").await.0.len(), 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_report_is_made_once_a_day_and_mailed(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, _) = start(&pool, &smtp, "").await;
    subscribe(
        &pool,
        &subscription("mine", SubscriptionChannel::Mail, "mine@example.org"),
        None,
    )
    .await;
    subscribe(
        &pool,
        &subscription("again", SubscriptionChannel::Mail, "Mine@example.org"),
        None,
    )
    .await;
    let mut other = subscription("other", SubscriptionChannel::Mail, "other@example.org");
    other.runtimes = "pypy*".to_owned();
    subscribe(&pool, &other, None).await;
    // The first three commits were measured two days ago, the others today.
    sqlx::query(
        "UPDATE measurement SET measured_at = now() - interval '2 days' WHERE position < 3",
    )
    .execute(&pool)
    .await
    .unwrap();
    let now = Utc::now() + Duration::seconds(1);
    assert_eq!(report::look(&app.context, now).await.unwrap(), 1);
    assert_eq!(
        report::look(&app.context, now).await.unwrap(),
        0,
        "made twice"
    );
    deliver(&app.context, now).await;
    let mails = smtp.received();
    assert_eq!(recipients(&mails).len(), 2, "{:?}", recipients(&mails));
    let list = mails
        .iter()
        .find(|mail| mail.to == "list@example.org")
        .unwrap();
    if let Ok(folder) = std::env::var("SPEEDWELL_KEEP_MAILS") {
        let mail = mail_parser::MessageParser::default()
            .parse(list.raw.as_bytes())
            .unwrap();
        std::fs::write(
            format!("{folder}/report.html"),
            mail.body_html(0).unwrap().as_bytes(),
        )
        .unwrap();
        std::fs::write(
            format!("{folder}/report.txt"),
            mail.body_text(0).unwrap().as_bytes(),
        )
        .unwrap();
    }
    let (_, all) = app.get("/reports").await;
    let link = all
        .split("href=\"/reports/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let (status, page) = app.get(&format!("/reports/{link}")).await;
    assert_eq!(status, 200);
    // 0.1051 against 0.0999.
    assert!(page.contains("+5.2 % ("), "{page}");
    assert!(
        page.contains(
            "Not compared with a week ago, for want of a value in the same environment: all of them"
        ),
        "{page}"
    );
    assert!(
        list.raw.contains("report of") && list.raw.contains("+5.2 %"),
        "{}",
        list.raw
    );
    assert_eq!(app.get("/reports/cpython-main/yesterday").await.0, 400);
    assert_eq!(app.get("/reports/cpython-main/2001-01-01").await.0, 404);
}

async fn post(app: &TestApp, path: &str, token: &str, body: &str) -> (u16, String) {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let request = client
        .post(format!("{}{path}", app.address))
        .bearer_auth(token);
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn subscribing_and_sending_again_need_a_role(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    for (name, role) in [
        ("ada", Role::Viewer),
        ("bob", Role::Viewer),
        ("tri", Role::Triager),
        ("ops", Role::Operator),
    ] {
        let hash = sha256_hex(name.as_bytes());
        let new = tokens::NewToken::of_person(name, role, &hash);
        let mut connection = pool.acquire().await.unwrap();
        tokens::upsert(&mut connection, &new).await.unwrap();
    }
    let form =
        "name=mine&channel=mail&address=ada%40example.org&runtimes=cpython-*&smallest=2&quiet=22-7";
    assert_eq!(post(&app, "/subscriptions", "nobody", form).await.0, 401);
    assert_eq!(post(&app, "/subscriptions", "ada", form).await.0, 303);
    assert_eq!(
        post(&app, "/subscriptions", "bob", form).await.0,
        400,
        "the name is taken"
    );
    let (status, page) = post(&app, "/subscriptions", "ada", &form.replace("22-7", "7")).await;
    assert!(status == 400 && page.contains("quiet"), "{page}");
    let hook = "name=hook&channel=webhook&address=http%3A%2F%2F169.254.169.254%2Flatest%2Fsecret";
    assert_eq!(post(&app, "/subscriptions", "tri", hook).await.0, 403);
    assert_eq!(post(&app, "/subscriptions", "ops", hook).await.0, 303);
    let (_, page) = app.get("/subscriptions").await;
    assert!(
        page.contains("a…@example.org") && !page.contains("ada@example.org"),
        "{page}"
    );
    assert!(
        page.contains("http://169.254.169.254") && !page.contains("/latest"),
        "{page}"
    );
    let hook: i64 = sqlx::query_scalar("SELECT id FROM subscription WHERE name = 'hook'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let remove = format!("/subscriptions/{hook}/remove");
    assert_eq!(post(&app, &remove, "ada", "").await.0, 403);
    assert_eq!(post(&app, &remove, "ops", "").await.0, 303);
    assert_eq!(post(&app, &remove, "ops", "").await.0, 404);
    // A message that was given up.
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let now = soon();
    notify(&app.context, now).await;
    smtp.refuse_next("550 no <b>such</b> user");
    deliver(&app.context, now).await;
    let (_, page) = app.get("/outbox").await;
    assert!(
        page.contains("no &#60;b&#62;such&#60;/b&#62; user") && page.contains("l…@example.org"),
        "{page}"
    );
    assert!(!page.contains("Send again"));
    let dead: i64 = sqlx::query_scalar("SELECT id FROM outbox WHERE state = 'dead'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let again = format!("/outbox/{dead}/send-again");
    assert_eq!(post(&app, &again, "ada", "").await.0, 403);
    assert_eq!(post(&app, &again, "tri", "").await.0, 303);
    assert_eq!(post(&app, &again, "tri", "").await.0, 409);
    deliver(&app.context, now).await;
    assert!(states(&pool).await.iter().all(|one| one.0 != "dead"));
}
