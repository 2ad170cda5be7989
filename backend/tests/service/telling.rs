//! From a line in a timeline to what people receive: real Postgres, a real SMTP server, a real HTTP server, all on loopback; clocks
//! are the test's.

use chrono::{DateTime, Duration, Utc};
use mail_parser::{MessageParser, MimeHeaders as _};
use speedwell_backend::db::subscriptions;
use speedwell_backend::domain::regression::{InvalidReason, Transition};
use speedwell_backend::domain::telling::{Digest, SubscriptionChannel};
use speedwell_backend::scheduler::deliver::{self, Sender};
use speedwell_backend::scheduler::notify;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::regression::{explain, go, insert};
use crate::support::smtp::{Received, SmtpServer};
use crate::support::telling::{
    deliver, find, notify, recipients, soon, start, states, subscribe, subscription,
};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_found_commit_is_mailed_to_those_who_can_act(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    sqlx::query(
        "INSERT INTO confirmation (regression_id, runtime_id, host_id, before_commit_id, after_commit_id, benchmarks, state, rounds,
            message, finished_at)
         SELECT $1, $2, host.id, $3, $4, '{nbody}', 'confirmed', 6, '+5.1 % (+4.7 to +5.5 %), p = 0.0002', now() FROM host",
    )
    .bind(id)
    .bind(rows.runtime_id)
    .bind(rows.commits[2])
    .bind(rows.commits[3])
    .execute(&pool)
    .await
    .unwrap();
    // Suspected: nobody hears.
    assert_eq!(notify(&app.context, soon()).await, 0);
    go(
        &pool,
        id,
        &[Transition::Confirm, Transition::Bisect, find(&rows, 3)],
    )
    .await;
    // Confirmed goes out, found waits for its explanation.
    assert_eq!(notify(&app.context, soon()).await, 1);
    explain(
        &pool,
        id,
        "Instructions rose by 5.0 %: LONG_ADD is no longer inlined.",
    )
    .await;
    assert_eq!(notify(&app.context, soon()).await, 3);
    assert_eq!(notify(&app.context, soon()).await, 0, "told twice");
    assert_eq!(deliver(&app.context, soon()).await, 4);
    let mails = smtp.received();
    assert_eq!(
        recipients(&mails),
        [
            "a@example.org",
            "carl@example.org",
            "list@example.org",
            "list@example.org"
        ]
    );
    if let Ok(folder) = std::env::var("SPEEDWELL_KEEP_MAILS") {
        for mail in &mails {
            std::fs::write(format!("{folder}/{}.eml", mail.to), &mail.raw).unwrap();
        }
    }
    let author = mails
        .iter()
        .find(|mail| mail.to == "a@example.org")
        .unwrap();
    let list = mails
        .iter()
        .rfind(|mail| mail.to == "list@example.org")
        .unwrap();
    look_at(&app, author, list).await;
}

/// Parses the author's mail back and looks at every part of it.
async fn look_at(app: &TestApp, author: &Received, list: &Received) {
    let mail = MessageParser::default()
        .parse(author.raw.as_bytes())
        .unwrap();
    let subject = mail.subject().unwrap();
    assert!(
        subject.starts_with("[speedwell] cpython-main: nbody +5.2 % (+4.8 to +5.6 %) by 0000000000: Rewrite <b>it</b>"),
        "{subject}"
    );
    assert!(mail.header("Bcc").is_none() && !author.raw.contains("\r\nBcc:"));
    let header = |name: &str| {
        let value = mail.header_raw(name).unwrap_or_default();
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(header("List-Id"), "Speedwell <speedwell.example.org>");
    assert_eq!(
        header("List-Unsubscribe-Post"),
        "List-Unsubscribe=One-Click"
    );
    assert!(
        header("References").ends_with("@example.org>")
            && header("In-Reply-To") == header("References")
    );
    assert!(list.raw.contains(&header("References")), "another thread");
    assert!(
        !list.raw.contains(&header("Message-ID")),
        "one id for two recipients"
    );
    assert!(
        !list.raw.contains("List-Unsubscribe"),
        "one reader could end it for all"
    );
    let text = mail.body_text(0).unwrap();
    for words in [
        "was traced to one commit",
        "LONG_ADD is no longer inlined",
        "p = 0.0002",
        "on lab-1",
        "https://speed.example/regressions/1",
        "you wrote the commit",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let html = mail.body_html(0).unwrap();
    assert!(
        html.contains("cid:chart") && !html.contains("<b>it</b>") && html.contains("LONG_ADD"),
        "{html}"
    );
    let picture = mail.attachments().next().unwrap();
    assert_eq!(picture.content_id(), Some("chart"));
    assert!(picture.contents().starts_with(b"\x89PNG"), "no PNG");
    assert!(picture.contents().len() > 5_000, "an empty chart");
    if let Ok(folder) = std::env::var("SPEEDWELL_KEEP_MAILS") {
        std::fs::write(format!("{folder}/chart.png"), picture.contents()).unwrap();
        std::fs::write(
            format!("{folder}/mail.html"),
            html.replace("cid:chart", "chart.png"),
        )
        .unwrap();
        std::fs::write(format!("{folder}/mail.txt"), text.as_bytes()).unwrap();
    }
    end_by_link(app, &header("List-Unsubscribe")).await;
}

/// The one-click link ends mails to that address, and only a true one does.
async fn end_by_link(app: &TestApp, header: &str) {
    let path = header
        .trim_matches(['<', '>'])
        .strip_prefix("https://speed.example")
        .unwrap();
    let (status, page) = app.get(path).await;
    assert_eq!(status, 200, "{page}");
    let out = || async {
        subscriptions::list_opted_out(&app.context.pool)
            .await
            .unwrap()
    };
    assert!(out().await.is_empty(), "a look at the page ended it");
    let post = |path: String| {
        let request = app.client.post(format!("{}{path}", app.address));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        async move {
            request
                .body("List-Unsubscribe=One-Click")
                .send()
                .await
                .unwrap()
                .status()
        }
    };
    assert_eq!(post(format!("{path}x")).await, 404);
    assert_eq!(post(path.to_owned()).await, 200);
    assert_eq!(out().await, ["a@example.org"]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_found_waits_ten_minutes_for_its_explanation(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm, find(&rows, 3)]).await;
    assert_eq!(notify(&app.context, soon()).await, 1);
    assert_eq!(notify(&app.context, soon() + Duration::minutes(9)).await, 0);
    assert_eq!(
        notify(&app.context, soon() + Duration::minutes(11)).await,
        3
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_has_fallen_is_not_told(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let invalid = Transition::Invalidate {
        reason: InvalidReason::Noise,
    };
    // Before anybody looked; after the decision; after the message was written.
    let first = insert(&pool, &rows, 0, 1).await;
    go(&pool, first, &[Transition::Confirm, invalid.clone()]).await;
    assert_eq!(notify(&app.context, soon()).await, 0);
    let second = insert(&pool, &rows, 1, 2).await;
    go(&pool, second, &[Transition::Confirm]).await;
    assert_eq!(notify::decide(&app.context, soon()).await.unwrap(), 1);
    go(&pool, second, std::slice::from_ref(&invalid)).await;
    assert_eq!(notify(&app.context, soon()).await, 0);
    let third = insert(&pool, &rows, 2, 3).await;
    go(&pool, third, &[Transition::Confirm]).await;
    assert_eq!(notify(&app.context, soon()).await, 1);
    go(&pool, third, &[invalid]).await;
    assert_eq!(deliver(&app.context, soon()).await, 1);
    assert!(smtp.received().is_empty());
    assert_eq!(states(&pool).await[0].0, "dead");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_storm_is_one_message_and_a_digest_waits_for_morning(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let mut daily = subscription("daily", SubscriptionChannel::Mail, "daily@example.org");
    daily.digest = Digest::Daily;
    subscribe(&pool, &daily, None).await;
    let mut night = subscription("night", SubscriptionChannel::Mail, "night@example.org");
    night.quiet = Some((22, 7));
    subscribe(&pool, &night, None).await;
    for commit in 0..6 {
        let id = insert(&pool, &rows, commit, commit + 1).await;
        go(&pool, id, &[Transition::Confirm]).await;
    }
    let night: DateTime<Utc> = (Utc::now() + Duration::days(1))
        .date_naive()
        .and_hms_opt(23, 0, 0)
        .unwrap()
        .and_utc();
    // The list hears at once, of all six in one.
    assert_eq!(notify(&app.context, night).await, 1);
    deliver(&app.context, night).await;
    assert_eq!(recipients(&smtp.received()), ["list@example.org"]);
    assert!(
        smtp.received()[0].raw.contains("6 changes: 6 worse"),
        "{}",
        smtp.received()[0].raw
    );
    assert_eq!(notify(&app.context, night + Duration::hours(6)).await, 0);
    // The digest at six, those with quiet hours at seven.
    assert_eq!(
        notify(&app.context, night + Duration::minutes(7 * 60)).await,
        1
    );
    assert_eq!(
        notify(&app.context, night + Duration::minutes(8 * 60)).await,
        1
    );
    deliver(&app.context, night + Duration::hours(8)).await;
    assert_eq!(
        recipients(&smtp.received()),
        ["daily@example.org", "list@example.org", "night@example.org"]
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn refusals_are_tried_again_or_given_up(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let now = soon();
    notify(&app.context, now).await;
    smtp.refuse_next("451 4.7.1 greylisted, come back later");
    assert_eq!(deliver(&app.context, now).await, 1);
    let (state, attempts, error) = states(&pool).await.remove(0);
    assert_eq!((state.as_str(), attempts), ("waiting", 1));
    assert!(error.unwrap().contains("greylisted"));
    assert_eq!(
        deliver(&app.context, now + Duration::seconds(29)).await,
        0,
        "no pause"
    );
    assert_eq!(deliver(&app.context, now + Duration::seconds(31)).await, 1);
    assert_eq!(states(&pool).await[0], ("sent".to_owned(), 2, None));
    // For ever.
    go(
        &pool,
        id,
        &[Transition::Fix {
            commit_id: rows.commits[5],
        }],
    )
    .await;
    let now = now + Duration::minutes(5);
    notify(&app.context, now).await;
    smtp.refuse_next("550 5.1.1 no such user");
    deliver(&app.context, now).await;
    let (state, attempts, error) = states(&pool).await.remove(1);
    assert_eq!((state.as_str(), attempts), ("dead", 1));
    assert!(error.unwrap().contains("no such user"));
    assert_eq!(smtp.received().len(), 1);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_server_that_is_away_is_waited_for_and_then_given_up(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let mut away = smtp.clone();
    away.port = 1;
    let (app, rows) = start(&pool, &away, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let mut now = soon();
    notify(&app.context, now).await;
    for _ in 0..12 {
        assert_eq!(deliver(&app.context, now).await, 1);
        now += Duration::hours(6);
    }
    assert_eq!(deliver(&app.context, now).await, 0);
    let (state, attempts, _) = states(&pool).await.remove(0);
    assert_eq!((state.as_str(), attempts), ("dead", 12));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_kill_between_any_two_steps_loses_nothing(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let now = soon();
    // Killed after the decision: what is owed is written by the next process.
    assert_eq!(notify::decide(&app.context, now).await.unwrap(), 1);
    assert_eq!(notify::decide(&app.context, now).await.unwrap(), 0);
    assert_eq!(notify(&app.context, now).await, 1);
    // Killed after taking up: nobody else takes it until the lease ends.
    let first = deliver::claim(&app.context, now).await.unwrap().unwrap();
    assert_eq!(deliver::claim(&app.context, now).await.unwrap(), None);
    let later = now + Duration::minutes(11);
    // Killed after sending, before settling: it comes twice, with one id.
    let sender = Sender::open(&app.context).await.unwrap();
    let second = deliver::claim(&app.context, later).await.unwrap().unwrap();
    assert_eq!((second.id, second.attempts), (first.id, 2));
    deliver::send(&app.context, &sender, &second, later)
        .await
        .unwrap();
    // The process that lost its lease settles nothing.
    deliver::settle(&app.context, &first, Ok(()), later)
        .await
        .unwrap();
    assert_eq!(states(&pool).await[0].0, "waiting");
    assert_eq!(
        deliver(&app.context, later + Duration::minutes(11)).await,
        1
    );
    let ids: Vec<String> = smtp
        .received()
        .iter()
        .map(|mail| {
            let parsed = MessageParser::default().parse(mail.raw.as_bytes()).unwrap();
            parsed.message_id().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(deliver(&app.context, later + Duration::days(1)).await, 0);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn two_backends_at_once_send_each_message_once(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let address = format!("{name}@sub.example");
        subscribe(
            &pool,
            &subscription(name, SubscriptionChannel::Mail, &address),
            None,
        )
        .await;
    }
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    let now = soon();
    let one = tokio::join!(notify(&app.context, now), notify(&app.context, now));
    let rest = notify(&app.context, now).await;
    assert_eq!(one.0 + one.1 + rest, 9);
    let tries = tokio::join!(deliver(&app.context, now), deliver(&app.context, now));
    assert_eq!(tries.0 + tries.1, 9);
    let mails = smtp.received();
    let mut distinct = recipients(&mails);
    distinct.dedup();
    assert_eq!((mails.len(), distinct.len()), (9, 9));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_ticks_do_all_of_it_by_themselves(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let (app, rows) = start(&pool, &smtp, "").await;
    let id = insert(&pool, &rows, 2, 3).await;
    go(&pool, id, &[Transition::Confirm]).await;
    // The first looks at the event; the message waits for the next half minute, which is made to have come.
    assert!(notify::tick(&app.context).await.unwrap().is_some());
    assert_eq!(deliver::tick(&app.context).await.unwrap(), None);
    sqlx::query("UPDATE notice SET not_before = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    let words = notify::tick(&app.context).await.unwrap();
    assert_eq!(
        words.as_deref(),
        Some("looked at 0 event(s), wrote 1 message(s)")
    );
    let words = deliver::tick(&app.context).await.unwrap();
    assert_eq!(
        words.as_deref(),
        Some("sent 1 message(s), 0 could not be sent")
    );
    assert_eq!(notify::tick(&app.context).await.unwrap(), None);
    assert_eq!(deliver::tick(&app.context).await.unwrap(), None);
    assert_eq!(recipients(&smtp.received()), ["list@example.org"]);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn without_mail_in_the_configuration_none_is_made(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = crate::support::worker::insert_rows(&pool, 4).await;
    crate::support::worker::measure(&pool, &app, &rows, &[0.1, 0.1, 0.1]).await;
    let one = subscription("mine", SubscriptionChannel::Mail, "mine@example.org");
    subscribe(&pool, &one, None).await;
    let id = insert(&pool, &rows, 1, 2).await;
    go(&pool, id, &[Transition::Confirm]).await;
    assert_eq!(notify(&app.context, soon()).await, 0);
    assert!(states(&pool).await.is_empty());
    let (_, page) = app.get("/outbox").await;
    assert!(page.contains("no mails are made"), "{page}");
}
