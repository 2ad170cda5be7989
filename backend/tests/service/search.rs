//! The search: commits, names and regressions by words; exact hits first; hostile input; many commits.

use serde_json::Value;
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::triage::{insert_point, insert_regression};
use crate::support::worker::{Rows, insert_rows, measure};

async fn found(app: &TestApp, query: &str) -> Value {
    let (status, text) = app.get(&format!("/api/v1/search?{query}")).await;
    assert_eq!(status, 200, "{query}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The names of the hits of a kind.
fn names(found: &Value, kind: &str) -> Vec<String> {
    let groups = found["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["kind"] == kind);
    let hits = group.and_then(|group| group["hits"].as_array());
    let name = |hit: &Value| hit["name"].as_str().unwrap().to_owned();
    hits.into_iter().flatten().map(name).collect()
}

async fn describe(pool: &PgPool, rows: &Rows, place: usize, subject: &str, author: &str) {
    sqlx::query("UPDATE commit SET subject = $2, author_name = $3, author_email = lower($3) || '@example.org' WHERE id = $1")
        .bind(rows.commits[place])
        .bind(subject)
        .bind(author)
        .execute(pool)
        .await
        .unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn everything_that_has_a_name_is_found(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 30).await;
    measure(&pool, &app, &rows, &[0.1, 0.1]).await;
    describe(&pool, &rows, 3, "gh-12345: Speed up os.path.join", "Zadie").await;
    describe(
        &pool,
        &rows,
        4,
        "100% of the \u{e9}toile's <b>tests</b>",
        "Guido",
    )
    .await;
    sqlx::query("INSERT INTO tag SELECT repository_id, 'v3.13.0', hash FROM commit WHERE id = $1")
        .bind(rows.commits[3])
        .execute(&pool)
        .await
        .unwrap();
    let id = insert_regression(&pool, &rows, "confirmed", 2, 3).await;
    insert_point(&pool, &rows, id, "nbody", (2, 3), 0.1).await;

    for words in [
        "gh-12345",
        "12345",
        "OS.path",
        "speed zad",
        "zadie@example",
        "join speed",
    ] {
        let hits = names(&found(&app, &format!("q={words}")).await, "commits");
        assert_eq!(
            hits,
            ["0000000000 gh-12345: Speed up os.path.join"],
            "{words}"
        );
    }
    // Not a word's middle, and all words are wanted.
    for words in ["peed", "zadie guido"] {
        assert!(names(&found(&app, &format!("q={words}")).await, "commits").is_empty());
    }
    let all = found(&app, "q=change").await;
    assert_eq!(names(&all, "commits").len(), 20);
    assert_eq!(names(&all, "commits")[0], "0000000000 Change 29");
    let group = all["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["kind"] == "commits");
    assert_eq!(group.unwrap()["next"], 20);
    let more = found(&app, "q=change&kind=commits&from=20").await;
    assert_eq!(names(&more, "commits").len(), 8);

    // An exact hit is offered before all others.
    let exact = |found: &Value| found["exact"][0]["link"].as_str().map(str::to_owned);
    let hash = format!("{:0>40}", "4");
    let by_hash = found(&app, &format!("q={}", hash.to_uppercase())).await;
    assert_eq!(exact(&by_hash).unwrap(), format!("/commits/{hash}"));
    let by_number = found(&app, &format!("q=%23{id}")).await;
    assert_eq!(exact(&by_number).unwrap(), format!("/regressions/{id}"));
    for (words, link) in [
        ("NBODY", "/benchmarks/nbody".to_owned()),
        ("cpython-main", "/runtimes/cpython-main".to_owned()),
        ("lab-1", "/hosts/lab-1".to_owned()),
        ("portable", "/suites/portable".to_owned()),
        ("v3.13.0", format!("/commits/{hash}")),
    ] {
        assert_eq!(
            exact(&found(&app, &format!("q={words}")).await).unwrap(),
            link
        );
    }
    assert_eq!(names(&found(&app, "q=3.13").await, "releases"), ["v3.13.0"]);
    let hits = names(&found(&app, "q=nbody+regression").await, "regressions");
    assert_eq!(hits, [format!("#{id} Regression of nbody")]);

    let (status, page) = app.get("/search?q=toile").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("Nothing here has all of these words"),
        "{page}"
    );
    let (_, page) = app.get("/search?q=%C3%A9toile").await;
    assert!(
        page.contains("&#60;b&#62;tests") && !page.contains("<b>tests"),
        "{page}"
    );
    let (_, page) = app.get("/search").await;
    assert!(page.contains("What can be searched"), "{page}");
    let (_, page) = app.get("/search?q=change").await;
    let link = "/search?q=change&#38;kind=commits&#38;from=0";
    assert!(page.contains(link), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn hostile_input_is_an_error_or_no_hit(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    for words in [
        "'",
        "%27%20OR%201=1--",
        "%25",
        "_",
        "%5C",
        "a%00b",
        "%00",
        "!%26%7C()%3C-%3E:*",
        "%F0%9F%90%8D",
        "':*",
        "a:b*c",
        "%3Cscript%3E",
        "%23",
        "%23-1",
        "%2399999999999999999999999",
        "0x41",
        "1e400",
        "%E2%80%AE",
        "..%2F..%2F",
        "%0d%0aSet-Cookie:x",
    ] {
        for path in ["/search", "/api/v1/search"] {
            let (status, text) = app.get(&format!("{path}?q={words}")).await;
            let good = status == 200 || (status == 400 && text.contains("word"));
            assert!(good, "{path}?q={words}: {status} {text}");
            let is_page = !path.starts_with("/api");
            assert!(!(is_page && text.contains("<script>")), "{words}");
        }
    }
    let long = "x".repeat(10_000);
    for query in [
        format!("q={long}"),
        "q=a&kind=cats".to_owned(),
        "q=a&from=-1".to_owned(),
        "q=a&from=99999999".to_owned(),
    ] {
        assert_eq!(app.get(&format!("/search?{query}")).await.0, 400);
        assert_eq!(app.get(&format!("/api/v1/search?{query}")).await.0, 400);
    }
    assert_eq!(app.get("/api/v1/search").await.0, 400);
    // What Postgres has to read as a pattern elsewhere is a letter here.
    assert!(names(&found(&app, "q=%25").await, "benchmarks").is_empty());
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn commits_are_found_by_their_indexes(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    insert_rows(&pool, 1).await;
    sqlx::query(
        "INSERT INTO commit (repository_id, hash, parents, author_name, author_email, authored_at, committed_at, subject)
         SELECT repository.id, encode(sha256(number::text::bytea), 'hex'), '{}', 'Author ' || number % 500, 'a@example.org', now(),
                now() - number * interval '1 hour', 'Fix issue ' || number || ' in module' || number % 97
         FROM repository, generate_series(1, 20000) AS number",
    )
    .execute(&pool)
    .await
    .unwrap();
    // What autovacuum does after so many: the words that wait beside their index go into it.
    sqlx::query("VACUUM ANALYZE commit")
        .execute(&pool)
        .await
        .unwrap();
    // Both conditions of the search's query.
    for (condition, index) in [
        (
            "words @@ to_tsquery('simple', '12345')".to_owned(),
            "commit_words",
        ),
        (
            "hash ~>=~ 'abcdef1' AND hash ~<~ 'abcdef1g'".to_owned(),
            "commit_hash_beginning",
        ),
    ] {
        let explain = format!("EXPLAIN SELECT id FROM commit WHERE {condition}");
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
            .fetch_all(&pool)
            .await
            .unwrap();
        assert!(plan.join("\n").contains(index), "{plan:#?}");
    }
    let rare = found(&app, "q=12345+module26").await;
    assert_eq!(names(&rare, "commits").len(), 1, "{rare}");
    let begun = found(&app, "q=issue+1234").await;
    assert_eq!(names(&begun, "commits").len(), 11);
    let hash = speedwell_backend::artefacts::sha256_hex(b"777");
    let exact = found(&app, &format!("q={}", &hash[..12])).await;
    assert_eq!(exact["exact"][0]["link"], format!("/commits/{hash}"));
}
