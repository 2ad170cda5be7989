//! Addresses: those of before lead on, and what has not changed since is not sent again.

use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::worker::{insert_rows, measure};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn old_addresses_of_series_lead_to_the_timeline(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    for (old, new) in [
        (
            "/benchmarks/nbody?runtime=a%26b&runtime=c&host=lab%201&metric=wall_time&last=20&version=ffff",
            "/timeline?benchmark=nbody&runtime=a%26b&runtime=c&host=lab%201&metric=wall_time&version=ffff&last=20",
        ),
        (
            "/benchmarks/nbody?before=7&benchmark=other",
            "/timeline?benchmark=nbody&to=6",
        ),
        (
            "/benchmarks/n%0d%0a%2f%2fx?metric=",
            "/timeline?benchmark=n%0D%0A%2F%2Fx",
        ),
    ] {
        let request = client.get(format!("{}{old}", app.address));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 307, "{old}");
        assert_eq!(answer.headers()["location"].to_str().unwrap(), new, "{old}");
    }
    for (query, words) in [
        ("last=many", "last: &#34;many&#34; is no number"),
        ("before=x", "before: &#34;x&#34; is no number"),
        ("metric=speed", "metric: &#34;speed&#34; is no metric"),
    ] {
        let (status, page) = app.get(&format!("/benchmarks/nbody?{query}")).await;
        assert!(
            status == 400 && page.contains(words) && page.contains("<nav"),
            "{query}: {page}"
        );
    }
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn an_unchanged_page_is_not_sent_again(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 3).await;
    measure(&pool, &app, &rows, &[0.1, 0.1]).await;
    let get = async |path: &str, known: Option<&str>| {
        let mut request = app.client.get(format!("{}{path}", app.address));
        if let Some(tag) = known {
            request = request.header("if-none-match", tag);
        }
        request.send().await.unwrap()
    };
    for path in ["/suites", "/api/v1/runtimes"] {
        let first = get(path, None).await;
        assert_eq!(first.status(), 200, "{path}");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        let text = first.text().await.unwrap();
        assert!(tag.starts_with("W/\"") && !text.is_empty(), "{tag}");
        let again = get(path, Some(&tag)).await;
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.headers()["etag"].to_str().unwrap(), tag);
        assert!(again.text().await.unwrap().is_empty());
        assert_eq!(get(path, Some("W/\"another\"")).await.status(), 200);
    }
    // What changes has another tag; errors have none.
    let old = get("/suites", None).await.headers()["etag"].clone();
    sqlx::query("UPDATE suite SET description = 'reworded'")
        .execute(&pool)
        .await
        .unwrap();
    assert_ne!(get("/suites", None).await.headers()["etag"], old);
    assert!(!get("/nowhere", None).await.headers().contains_key("etag"));
    // A file that pages load is kept for ever, under an address of its content.
    let (_, page) = app.get("/suites").await;
    for (mark, kind) in [
        ("href=\"/assets/", "text/css"),
        ("src=\"/assets/", "text/javascript"),
    ] {
        let from = page.find(mark).unwrap() + mark.len() - "/assets/".len();
        let path = page[from..].split('"').next().unwrap();
        let file = get(path, None).await;
        assert_eq!(file.status(), 200, "{path}");
        assert!(
            file.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind)
        );
        assert!(
            file.headers()["cache-control"]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }
    assert_eq!(get("/assets/style-0.css", None).await.status(), 404);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn those_who_ask_at_once_get_the_same_page(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 3).await;
    for (path, expected) in [("/runtimes/cpython-main", 200), ("/nowhere", 404)] {
        let asked = (0..12).map(|_| app.get(path));
        let answers = futures_util::future::join_all(asked).await;
        assert!(
            answers
                .iter()
                .all(|(status, text)| *status == expected && !text.is_empty()),
            "{path}"
        );
        assert!(
            expected == 404 || answers.windows(2).all(|two| two[0] == two[1]),
            "one state, one page"
        );
    }
}
