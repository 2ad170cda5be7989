//! What stands still raises one alarm, on the pages, in the metrics and as one mail, and one more mail when it is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use speedwell_backend::db::alarms::list_raised;
use speedwell_backend::domain::alarm::judge::{DiskFacts, Facts};
use speedwell_backend::scheduler::locks::Locks;
use speedwell_backend::scheduler::{self, Tick, alarms};
use sqlx::PgPool;

use crate::support::smtp::SmtpServer;
use crate::support::telling::deliver;
use crate::support::worker::{TestWorker, insert_job, insert_rows, measure};
use crate::support::{CONFIG, TestApp};

async fn lab(pool: &PgPool, smtp: &SmtpServer) -> TestApp {
    let (head, rest) = CONFIG.split_once("[[repository]]").unwrap();
    let mail = format!(
        "public_url = \"https://speed.example\"\n[mail]\nsmtp = \"smtp://127.0.0.1:{}\"\nfrom = \"Speedwell <speed@example.org>\"\n\
         operators = [\"ops@example.org\", \"night@example.org\"]\n[alarms]\nruntime_hours = 24\n",
        smtp.port
    );
    TestApp::start_with(pool, &format!("{head}{mail}[[repository]]{rest}")).await
}

/// One pass as of a moment; how many were raised and cleared.
async fn look(app: &TestApp, now: DateTime<Utc>) -> (usize, usize) {
    let facts = alarms::gather(&app.context, now).await.unwrap();
    alarms::look(&app.context, &facts, now).await.unwrap()
}

async fn execute(pool: &PgPool, statement: &'static str) {
    sqlx::query(statement).execute(pool).await.unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn one_alarm_one_mail_and_one_when_it_is_over(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let app = lab(&pool, &smtp).await;
    let rows = insert_rows(&pool, 4).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    insert_job(&pool, &rows, 1, 1).await;
    let begun = Utc::now();
    let at = |hours: i64| begun + TimeDelta::hours(hours);
    assert_eq!(look(&app, at(0)).await, (0, 0));
    let (status, page) = app.get("/alarms").await;
    assert!(
        status == 200 && page.contains("Nothing stands still"),
        "{page}"
    );

    // A day later the host has been silent, the job has waited, and nothing has come.
    assert_eq!(look(&app, at(25)).await, (3, 0));
    assert_eq!(look(&app, at(26)).await, (0, 0), "said once");
    assert_eq!(
        deliver(&app.context, at(26)).await,
        2,
        "one mail to each operator"
    );
    assert_eq!(deliver(&app.context, at(27)).await, 0);
    let mails = smtp.received();
    assert_eq!(mails.len(), 2);
    assert!(
        mails[0].raw.contains("Subject: [speedwell] 3 alarms"),
        "{}",
        mails[0].raw
    );
    for words in [
        "runtime cpython-main has no new result",
        "host lab-1 was last",
        "hosts of class local have 1 job",
    ] {
        assert!(
            mails[0].raw.replace("=\r\n", "").contains(words),
            "{words}: {}",
            mails[0].raw
        );
    }
    let (_, page) = app.get("/alarms").await;
    for words in [
        "runtime cpython-main",
        "/hosts/lab-1",
        "2 operators",
        "1 job waits (allowed: 24 hours)",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (_, home) = app.get("/").await;
    assert!(
        home.contains("Hosts of class local</a> have 1 job waiting"),
        "{home}"
    );
    let (_, text) = app.get("/metrics").await;
    for words in [
        "speedwell_alarm{kind=\"silent_host\",subject=\"lab-1\"} 1",
        "speedwell_alarm{kind=\"growing_queue\",subject=\"local\"} 1",
        "speedwell_jobs{state=\"queued\"} 1",
        "speedwell_build_info{version=",
        "speedwell_host_last_seen_timestamp_seconds{host=\"lab-1\"} 1",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    // The worker comes back for a moment and is gone again: that is one alarm, not three.
    sqlx::query("UPDATE host SET last_seen_at = $1")
        .bind(at(27))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(look(&app, at(27)).await, (0, 0));
    assert_eq!(
        look(&app, at(28)).await,
        (0, 0),
        "silent again before it was over"
    );
    sqlx::query("UPDATE host SET last_seen_at = $1")
        .bind(at(29))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(look(&app, at(29)).await, (0, 0));
    assert_eq!(look(&app, at(29) + TimeDelta::minutes(9)).await, (0, 0));
    assert_eq!(look(&app, at(29) + TimeDelta::minutes(11)).await, (0, 1));

    // The job is done: both others are over, in one mail.
    TestWorker::register(&app, "secret")
        .await
        .deliver(0.1, &[])
        .await;
    sqlx::query("UPDATE host SET last_seen_at = $1")
        .bind(at(30))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(look(&app, at(30)).await, (0, 0));
    sqlx::query("UPDATE host SET last_seen_at = $1")
        .bind(at(31))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(look(&app, at(31)).await, (0, 2));
    assert_eq!(deliver(&app.context, at(32)).await, 4);
    let mails = smtp.received();
    assert_eq!(mails.len(), 6);
    assert!(
        mails
            .iter()
            .any(|one| one.raw.contains("Subject: [speedwell] over: host lab-1"))
    );
    assert!(
        mails
            .iter()
            .any(|one| one.raw.contains("Subject: [speedwell] 2 alarms are over"))
    );
    let (_, page) = app.get("/alarms").await;
    assert!(
        page.contains("Nothing stands still") && page.contains("the last 3"),
        "{page}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_an_operator_holds_back_raises_nothing(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let app = lab(&pool, &smtp).await;
    let rows = insert_rows(&pool, 2).await;
    TestWorker::register(&app, "secret").await;
    insert_job(&pool, &rows, 1, 1).await;
    execute(&pool, "UPDATE runtime SET paused_at = now()").await;
    execute(&pool, "UPDATE host SET disabled_at = now()").await;
    assert_eq!(look(&app, Utc::now() + TimeDelta::days(9)).await, (0, 0));
    execute(&pool, "UPDATE runtime SET paused_at = NULL").await;
    assert_eq!(look(&app, Utc::now() + TimeDelta::days(9)).await, (2, 0));
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_hook_that_stopped_and_a_fetch_that_fails(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let app = lab(&pool, &smtp).await;
    insert_rows(&pool, 2).await;
    execute(
        &pool,
        "UPDATE branch SET head_commit_id = (SELECT max(id) FROM commit)",
    )
    .await;
    let now = Utc::now();
    assert_eq!(
        look(&app, now).await,
        (0, 0),
        "a hook that never came is none"
    );
    execute(
        &pool,
        "INSERT INTO delivery (repository_id, forge, delivery_key, event, headers, body, body_bytes, received_at, state, finished_at)
         VALUES (1, 'github', 'k', 'push', '{}', '', 0, now() - interval '9 days 1 hour', 'done', now())",
    )
    .await;
    assert_eq!(look(&app, now).await, (0, 0), "the newest commit is new");
    execute(
        &pool,
        "UPDATE commit SET committed_at = now() - interval '1 day'",
    )
    .await;
    assert_eq!(look(&app, now).await, (1, 0));
    let raised = list_raised(&pool, 9).await.unwrap();
    assert!(
        raised[0].kind == "silent_hook" && raised[0].words.contains("came last 9 days ago"),
        "{raised:?}"
    );
    // A fetch that fails once is the network's way; one that fails for a quarter of an hour is not.
    execute(
        &pool,
        "UPDATE repository SET last_fetch_error = E'no route\\n<b>', last_fetch_at = now()",
    )
    .await;
    assert_eq!(look(&app, now).await, (0, 0));
    assert_eq!(look(&app, now + TimeDelta::minutes(14)).await, (0, 0));
    assert_eq!(look(&app, now + TimeDelta::minutes(15)).await, (1, 0));
    let (_, page) = app.get("/alarms").await;
    assert!(
        page.contains("cannot be fetched: no route\n&#60;b&#62;"),
        "{page}"
    );
}

const BROKEN: Tick = Tick {
    name: "detect",
    every: Duration::from_secs(3),
    pass: |_| Box::pin(async { Err(anyhow::anyhow!("no such table")) }),
};
const MENDED: Tick = Tick {
    name: "detect",
    every: Duration::from_secs(3),
    pass: |_| Box::pin(async { Ok(None) }),
};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_tick_that_fails_and_a_disk_that_fills(pool: PgPool) {
    let smtp = SmtpServer::start().await;
    let app = lab(&pool, &smtp).await;
    let locks = Locks::new(&pool);
    let failures = async || -> i32 {
        sqlx::query_scalar("SELECT coalesce(max(failures), 0) FROM tick_state")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    for _ in 0..3 {
        scheduler::pass(&BROKEN, &app.context, &locks).await;
    }
    assert_eq!(failures().await, 3);
    let now = Utc::now();
    assert_eq!(look(&app, now).await, (0, 0), "not for long yet");
    assert_eq!(look(&app, now + TimeDelta::minutes(6)).await, (1, 0));
    let raised = list_raised(&pool, 9).await.unwrap();
    assert_eq!(raised[0].words, "failed 3 times in a row: no such table");
    scheduler::pass(&MENDED, &app.context, &locks).await;
    assert_eq!(failures().await, 0);
    assert_eq!(look(&app, now + TimeDelta::minutes(7)).await, (0, 0));
    let (_, text) = app.get("/metrics").await;
    assert!(
        text.contains("speedwell_tick_failures{tick=\"detect\"} 0"),
        "{text}"
    );
    // No pass is noted any more: the backend hangs. The failing one is over then, and a late one begins.
    assert_eq!(look(&app, now + TimeDelta::minutes(20)).await, (1, 1));

    let disk = |free| Facts {
        disks: vec![DiskFacts {
            folder: "/srv".to_owned(),
            free,
            total: 1000,
        }],
        ..Facts::default()
    };
    let at = |minutes| now + TimeDelta::minutes(minutes);
    assert_eq!(
        alarms::look(&app.context, &disk(99), at(30))
            .await
            .unwrap()
            .0,
        1
    );
    assert_eq!(
        alarms::look(&app.context, &disk(500), at(31))
            .await
            .unwrap()
            .0,
        0
    );
    // The real disk of this machine can be looked at.
    alarms::tick(&app.context).await.unwrap();
}
