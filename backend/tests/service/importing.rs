//! Results that others measured, by our own door: stored whole or not at all, once, apart from our own, and by whom they may be.

use std::io::Write as _;

use serde_json::{Value, json};
use speedwell_backend::scheduler::{bisect, confirm, detect, enqueue, group, index, trace, warmup};
use sqlx::PgPool;

use crate::support::importing::{counts, file, hash, send, start};
use crate::support::worker::{measure, series_id};

const PLACE: &str = "runtime=cpython-main&host=others";

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_file_is_stored_once_whole_and_says_where_it_came_from(pool: PgPool) {
    let (app, rows) = start(&pool, 3).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    let own = series_id(&pool).await;
    let query = format!("{PLACE}&commit={}&file=a.json", hash(1));
    let body = file(0.1).to_string().into_bytes();
    let (status, answer) = send(&app, &query, body.clone()).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(
        (&answer["benchmarks"], &answer["measurements"]),
        (&json!(2), &json!(4))
    );
    let before = counts(&pool).await;
    // The same again, packed: nothing changes.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&body).unwrap();
    let (status, again) = send(&app, &query, packer.finish().unwrap()).await;
    assert_eq!(
        (status, &again["run_id"], &again["created"]),
        (200, &answer["run_id"], &json!(false))
    );
    assert_eq!(counts(&pool).await, before);
    assert_eq!(before.3, 1, "one line in the audit log");

    let run = answer["run_id"].as_i64().unwrap();
    let (_, text) = app.get(&format!("/api/v1/runs/{run}")).await;
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["imported"]["origin"], "pyperformance 1.14.0");
    assert_eq!(shown["imported"]["importer"], "importer");
    assert_eq!(shown["run"]["started_at"], "2026-11-01T10:00:00Z");
    let nbody = &shown["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["benchmark"] == "nbody" && one["metric"] == "wall_time")
        .unwrap()
        .clone();
    assert_eq!(
        nbody["sample_values"].as_array().unwrap().len(),
        9,
        "{nbody}"
    );
    assert_eq!(nbody["sample_count"], 6);
    // The raw file as it came, byte by byte.
    let (_, raw) = app.get(&format!("/api/v1/runs/{run}/pyperf")).await;
    assert_eq!(raw.into_bytes(), body);
    let (status, page) = app.get(&format!("/runs/{run}")).await;
    assert!(
        status == 200 && page.contains("Imported, and not measured by a host of this service"),
        "{page}"
    );
    let (status, page) = app.get(&format!("/runs/{run}/reproduce/nbody")).await;
    assert!(
        status == 404 && page.contains("measured elsewhere and imported"),
        "{page}"
    );
    // So no page offers it.
    for page in [
        "/benchmarks/nbody".to_owned(),
        format!("/commits/{}", hash(1)),
    ] {
        let (status, text) = app.get(&page).await;
        let offers = text.contains(&format!("/runs/{run}/reproduce"));
        assert!(
            status == 200 && text.contains(&format!("/runs/{run}\"")) && !offers,
            "{page}: {text}"
        );
    }
    // Another benchmark than ours of the same name: another series, another identity.
    let series: Vec<(i64, String, Option<String>)> = sqlx::query_as(
        "SELECT series.id, host.name, origin FROM series JOIN benchmark ON benchmark.id = benchmark_id JOIN host ON host.id = host_id
         WHERE benchmark.name = 'nbody' AND metric = 'wall_time' ORDER BY series.id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let origin = Some("pyperformance 1.14.0".to_owned());
    assert_eq!(series[0], (own, "lab-1".to_owned(), None));
    assert_eq!((series[1].1.as_str(), &series[1].2), ("others", &origin));
    let (_, text) = app.get("/api/v1/series?benchmark=nbody").await;
    assert!(
        text.contains("\"origin\":\"pyperformance 1.14.0\""),
        "{text}"
    );
    let (_, page) = app.get("/benchmarks/nbody").await;
    assert!(page.contains("imported-pyperformance-1.14.0"), "{page}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_refused_says_the_field_and_stores_nothing(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let body = || file(0.1).to_string().into_bytes();
    let first = hash(0);
    let mut negative = file(0.1);
    negative["benchmarks"][1]["runs"][2]["values"][0] = json!(-1.0);
    let cases: [(String, Vec<u8>, u16, &str, &str); 9] = [
        (
            format!("runtime=cpython-x&host=others&commit={first}"),
            body(),
            422,
            "runtime",
            "add a [[runtime]]",
        ),
        (
            format!("runtime=pypy&host=others&commit={first}"),
            body(),
            403,
            "",
            "does not reach runtime pypy on host others",
        ),
        (
            format!("runtime=cpython-main&host=lab-1&commit={first}"),
            body(),
            403,
            "",
            "does not reach",
        ),
        (
            format!("{PLACE}&commit=v9"),
            body(),
            422,
            "commit",
            "no commit or tag",
        ),
        (
            format!("{PLACE}&commit=000000"),
            body(),
            422,
            "commit",
            "no commit or tag",
        ),
        (
            format!("{PLACE}&commit=0000000"),
            body(),
            422,
            "commit",
            "more than one commit",
        ),
        (PLACE.to_owned(), body(), 422, "commit", "commit_id"),
        (
            format!("{PLACE}&commit={first}"),
            b"rubbish".to_vec(),
            422,
            "body",
            "is no pyperf JSON",
        ),
        (
            format!("{PLACE}&commit={first}"),
            negative.to_string().into_bytes(),
            422,
            "benchmarks[1].samples[4]",
            "-1 is not positive",
        ),
    ];
    for (query, body, expected, field, words) in cases {
        let (status, answer) = send(&app, &query, body).await;
        assert_eq!(status, expected, "{query}: {answer}");
        assert!(
            answer["error"].as_str().unwrap().contains(words),
            "{query}: {answer}"
        );
        assert_eq!(
            answer["field"].as_str().unwrap_or_default(),
            field,
            "{answer}"
        );
    }
    let url = format!("{}/api/v1/results?{PLACE}&commit={first}", app.address);
    let nobody = app.client.post(&url).body(body()).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(counts(&pool).await, (0, 0, 0, 0));
    // A host of ours takes none, whoever asks.
    let token = crate::support::triage::insert_token(
        &pool,
        "op",
        speedwell_backend::domain::role::Role::Operator,
    )
    .await;
    let url = format!(
        "{}/api/v1/results?runtime=cpython-main&host=lab-1&commit={first}",
        app.address
    );
    let answer = app
        .client
        .post(&url)
        .bearer_auth(token)
        .body(body())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 422);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("host add NAME --imported")
    );
    assert_eq!(counts(&pool).await.0, 0);
}

/// Detection, comparisons and charts treat them as our own; our hosts never measure them again.
#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn imported_series_are_judged_and_left_alone_by_the_scheduler(pool: PgPool) {
    let (app, _) = start(&pool, 24).await;
    for place in 0..24 {
        let seconds = if place < 12 { 0.1 } else { 0.12 } + f64::from(place % 3) * 1e-4;
        let place = usize::try_from(place).unwrap();
        let (status, answer) = send(
            &app,
            &format!("{PLACE}&commit={}", hash(place)),
            file(seconds).to_string().into_bytes(),
        )
        .await;
        assert_eq!(status, 201, "{answer}");
    }
    for _ in 0..2 {
        warmup::tick(&app.context).await.unwrap();
        trace::tick(&app.context).await.unwrap();
        detect::tick(&app.context).await.unwrap();
        group::tick(&app.context).await.unwrap();
        index::tick(&app.context).await.unwrap();
    }
    let changes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM change_point WHERE state = 'suspected'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(changes >= 1, "a step of 20 % is seen");
    confirm::tick(&app.context).await.unwrap();
    bisect::tick(&app.context).await.unwrap();
    let queued: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE state IN ('queued', 'running') AND (host_id IS NOT NULL OR host_class = 'imported')")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(queued, 0, "nothing is queued for a host that is not ours");
    // Our own hosts measure the same runtime as before: what others measured settles nothing for them.
    enqueue::tick(&app.context).await.unwrap();
    let own: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM job WHERE state = 'queued' AND host_class = 'local'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(own > 0);
    let (status, page) = app.get("/regressions/1").await;
    assert!(
        status == 200 && page.contains("Measured elsewhere and imported: others"),
        "{page}"
    );
    let (status, page) = app.get("/timeline?benchmark=nbody&host=others").await;
    assert!(status == 200 && page.contains("24 points"), "{page}");
    let (status, text) = app
        .get(&format!(
            "/api/v1/compare?a=cpython-main@{}~others&b=cpython-main@{}~others",
            hash(0),
            hash(20)
        ))
        .await;
    assert!(
        status == 200 && text.contains("\"name\":\"nbody\""),
        "{text}"
    );
    let (_, page) = app.get("/hosts/others").await;
    assert!(
        page.contains("no worker of this service runs on it"),
        "{page}"
    );
    let (_, page) = app.get("/").await;
    assert!(
        !page.contains("silent"),
        "an imported host raises no alarm: {page}"
    );
}
