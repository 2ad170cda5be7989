//! What the tests of telling people share: a measured application with a mail server, and the two ticks with the test's clock.

use chrono::{DateTime, Utc};
use speedwell_backend::context::Context;
use speedwell_backend::db::subscriptions::{self, NewSubscription};
use speedwell_backend::domain::regression::Transition;
use speedwell_backend::domain::telling::{Digest, Subscription, SubscriptionChannel, Wanted};
use speedwell_backend::scheduler::deliver::{self, Sender};
use speedwell_backend::scheduler::notify;
use sqlx::PgPool;

use super::smtp::{Received, SmtpServer};
use super::worker::{Rows, insert_rows, measure};
use super::{CONFIG, TestApp};

const VALUES: [f64; 6] = [0.1, 0.1001, 0.0999, 0.1052, 0.1053, 0.1051];

/// The application with a mail server, six measured commits, and a culprit whose author tries to write headers.
pub async fn start(pool: &PgPool, smtp: &SmtpServer, more: &str) -> (TestApp, Rows) {
    let server = format!("smtp = \"smtp://127.0.0.1:{}\"", smtp.port);
    start_with(pool, &server, more).await
}

/// As [`start`], with what `[mail]` says of a server.
pub async fn start_with(pool: &PgPool, server: &str, more: &str) -> (TestApp, Rows) {
    let mail = format!(
        "public_url = \"https://speed.example\"\n[mail]\n{server}\nfrom = \"Speedwell <speed@example.org>\"\n\
         lists = [\"list@example.org\"]\n[outgoing]\nallow = [\"127.0.0.1\"]\n"
    );
    let (head, rest) = CONFIG.split_once("[[repository]]").unwrap();
    let rest = rest.replace(
        "[[runtime]]\nname = \"cpython-main\"",
        &format!("{more}\n[[runtime]]\nname = \"cpython-main\""),
    );
    let app = TestApp::start_with(pool, &format!("{head}{mail}[[repository]]{rest}")).await;
    let rows = insert_rows(pool, 8).await;
    sqlx::query(
        "UPDATE commit SET author_name = 'Ann', committer_email = 'carl@example.org', touched_paths = '{Objects/longobject.c}',
                subject = E'Rewrite <b>it</b>\\r\\nBcc: all@example.org' WHERE id = $1",
    )
    .bind(rows.commits[3])
    .execute(pool)
    .await
    .unwrap();
    measure(pool, &app, &rows, &VALUES).await;
    (app, rows)
}

/// A step: the commit is found.
pub fn find(rows: &Rows, commit: usize) -> Transition {
    Transition::Find {
        culprit_commit_id: rows.commits[commit],
    }
}

/// All events into messages, as of a moment; how many messages.
pub async fn notify(context: &Context, now: DateTime<Utc>) -> usize {
    while notify::decide(context, now).await.unwrap() > 0 {}
    let mut messages = 0;
    loop {
        let (seen, some) = notify::write(context, now).await.unwrap();
        messages += some;
        if seen == 0 {
            return messages;
        }
    }
}

/// Everything that is due as of a moment; how many tries.
pub async fn deliver(context: &Context, now: DateTime<Utc>) -> usize {
    let sender = Sender::open(context).await.unwrap();
    let mut tries = 0;
    while let Some(message) = deliver::claim(context, now).await.unwrap() {
        let done = deliver::send(context, &sender, &message, now).await;
        deliver::settle(context, &message, done, now).await.unwrap();
        tries += 1;
    }
    tries
}

/// State, tries and last error of every message.
pub async fn states(pool: &PgPool) -> Vec<(String, i32, Option<String>)> {
    sqlx::query_as("SELECT state, attempts, last_error FROM outbox ORDER BY id")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Who got mails, in order.
pub fn recipients(mails: &[Received]) -> Vec<&str> {
    let mut all: Vec<&str> = mails.iter().map(|mail| mail.to.as_str()).collect();
    all.sort_unstable();
    all
}

/// A subscription to everything.
pub fn subscription(name: &str, channel: SubscriptionChannel, address: &str) -> Subscription {
    Subscription {
        id: 0,
        name: name.to_owned(),
        channel,
        address: address.to_owned(),
        runtimes: "*".to_owned(),
        benchmarks: "*".to_owned(),
        paths: "*".to_owned(),
        smallest: 0.0,
        wanted: Wanted::Both,
        digest: Digest::AtOnce,
        quiet: None,
    }
}

/// Adds a subscription, with daily reports.
pub async fn subscribe(pool: &PgPool, subscription: &Subscription, secret: Option<&str>) -> i64 {
    let new = NewSubscription {
        subscription,
        secret,
        reports: true,
        created_by: "test",
    };
    subscriptions::insert(pool, &new).await.unwrap().unwrap()
}

/// The next full half minute: messages go out at these.
pub fn soon() -> DateTime<Utc> {
    let beat = Utc::now().timestamp() / 30 + 1;
    DateTime::from_timestamp(beat * 30, 0).unwrap()
}
