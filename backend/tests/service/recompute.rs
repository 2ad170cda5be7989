//! Previews of other parameters of the detector: asked for on the page, made by the tick, read on the page.

use speedwell_backend::artefacts::sha256_hex;
use speedwell_backend::scheduler::{detect, recompute};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{insert_rows, measure};

async fn post(app: &TestApp, token: &str, body: &'static str) -> (u16, String, String) {
    let response = app
        .client
        .post(format!("{}/recompute", app.address))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    // The client follows to the page of the new preview.
    let to = response.url().path().to_owned();
    (status, to, response.text().await.unwrap())
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_coarser_detector_is_seen_to_lose_a_small_step(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    sqlx::query("INSERT INTO token (name, owner, role, sha256) VALUES ('ann', 'ann', 'triager', $1), ('bob', 'bob', 'viewer', $2)")
        .bind(sha256_hex(b"secret-of-ann"))
        .bind(sha256_hex(b"secret-of-bob"))
        .execute(&pool)
        .await
        .unwrap();
    let rows = insert_rows(&pool, 12).await;
    let seconds = [
        0.1, 0.1001, 0.1, 0.1002, 0.1, 0.1001, 0.1, 0.103, 0.1031, 0.103, 0.1031, 0.103,
    ];
    measure(&pool, &app, &rows, &seconds).await;
    detect::tick(&app.context).await.unwrap();

    let (status, _, _) = post(&app, "secret-of-bob", "magnitude=0.2").await;
    assert_eq!(status, 403, "reading is not acting");
    for (body, words) in [
        ("magnitude=much", "magnitude: &#34;much&#34; is no number"),
        ("moon=3", "moon: no parameter; known: penalty"),
        ("penalty=-1", "penalty: -1 is not between"),
        ("penalty=2&runtime=nowhere", "runtime: there is none"),
    ] {
        let (status, _, page) = post(&app, "secret-of-ann", body).await;
        assert!(
            status == 400 && page.contains(words),
            "{body}: {status} {page}"
        );
    }
    let (status, to, page) = post(&app, "secret-of-ann", "penalty=&magnitude=0.2").await;
    assert_eq!((status, to.as_str()), (200, "/recompute/1"), "{page}");
    let (_, page) = app.get("/recompute/1").await;
    assert!(page.contains("History is being replayed"), "{page}");
    let before: Vec<(i64, String)> = verdicts(&pool).await;
    let note = recompute::tick(&app.context).await.unwrap().unwrap();
    assert!(note.contains("segments-5 magnitude=0.2"), "{note}");
    assert_eq!(recompute::tick(&app.context).await.unwrap(), None);
    let (_, page) = app.get("/recompute/1").await;
    assert!(
        page.contains("Alarms that would be lost: 2")
            && page.contains("Alarms that would be new: 0"),
        "{page}"
    );
    assert!(
        page.contains("+2.96") && page.contains("suspected") && page.contains("still seen"),
        "{page}"
    );
    let (_, page) = app.get("/recompute").await;
    assert!(page.contains("segments-5 magnitude=0.2") && page.contains("ann"));
    assert_eq!(verdicts(&pool).await, before, "a preview changes nothing");
    assert_eq!(app.get("/recompute/9").await.0, 404);
}

async fn verdicts(pool: &PgPool) -> Vec<(i64, String)> {
    sqlx::query_as("SELECT commit_id, state || detector FROM verdict ORDER BY series_id, commit_id")
        .fetch_all(pool)
        .await
        .unwrap()
}
