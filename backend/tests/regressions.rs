//! Regressions on pages and in the API: who may decide, what a decision writes, merging, splitting, and words of people.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;
use support::TestApp;
use support::triage::{
    insert_point, insert_regression, insert_token, state_of, submit, timeline_of,
};
use support::worker::{Rows, insert_rows, measure};

/// Ten commits, all measured: 10 % slower from the seventh on.
async fn lab(pool: &PgPool) -> (TestApp, Rows) {
    let app = TestApp::start(pool).await;
    let rows = insert_rows(pool, 10).await;
    let seconds = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.11, 0.11, 0.11, 0.11];
    measure(pool, &app, &rows, &seconds).await;
    (app, rows)
}

async fn act(app: &TestApp, token: &str, id: i64, body: Value) -> (u16, Value) {
    let request = app
        .client
        .post(format!("{}/api/v1/regressions/{id}/actions", app.address))
        .bearer_auth(token)
        .json(&body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

async fn regression_of(pool: &PgPool, point: i64) -> i64 {
    sqlx::query_scalar("SELECT regression_id FROM change_point WHERE id = $1")
        .bind(point)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn only_a_triager_decides_and_the_timeline_says_who(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let id = insert_regression(&pool, &rows, "confirmed", 5, 6).await;
    insert_point(&pool, &rows, id, "nbody", (5, 6), 0.1).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let bob = insert_token(&pool, "bob", Role::Reader).await;
    // Nobody, a stranger, a reader.
    let (status, answer) = act(&app, "", id, json!({"action": "accept"})).await;
    assert_eq!(status, 401, "{answer}");
    let (status, answer) = act(&app, &bob, id, json!({"action": "accept"})).await;
    assert!(
        status == 403 && answer["error"].as_str().unwrap().contains("--role triager"),
        "{answer}"
    );
    let (status, text) = submit(
        &app,
        &bob,
        &format!("/regressions/{id}"),
        &[("action", "accept")],
    )
    .await;
    assert!(status == 403 && text.contains("bob is a reader"), "{text}");
    // A page of another site in ada's browser.
    let forged = app
        .client
        .post(format!("{}/regressions/{id}", app.address))
        .header("cookie", format!("speedwell_token={ada}"))
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("action=accept");
    assert_eq!(forged.send().await.unwrap().status().as_u16(), 403);
    assert_eq!(state_of(&pool, id).await.0, "confirmed");
    assert_eq!(timeline_of(&pool, id).await.len(), 2);
    // What cannot be read, names its field.
    for (body, field) in [
        (json!({"action": "burn"}), "action"),
        (json!({"action": "merge"}), "into"),
        (json!({"action": "split"}), "points"),
        (json!({"action": "note", "note": "x".repeat(2001)}), "note"),
        (json!({"action": "accept", "speed": 1}), "body"),
    ] {
        let (status, answer) = act(&app, &ada, id, body.clone()).await;
        assert_eq!(
            (status, answer["field"].as_str().unwrap()),
            (400, field),
            "{body}"
        );
    }
    // A whole life.
    let note = "mine <b>now</b>";
    let (status, text) = submit(
        &app,
        &ada,
        &format!("/regressions/{id}"),
        &[
            ("action", "acknowledge"),
            ("owner", "guido"),
            ("note", note),
        ],
    )
    .await;
    assert!(
        status == 200 && text.contains("mine &#60;b&#62;now") && !text.contains(note),
        "{text}"
    );
    assert_eq!(
        act(
            &app,
            &ada,
            id,
            json!({"action": "acknowledge", "owner": "bob"})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        act(&app, &ada, id, json!({"action": "reopen"})).await.0,
        409
    );
    assert_eq!(
        act(
            &app,
            &ada,
            id,
            json!({"action": "noise", "note": "one bad day"})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        state_of(&pool, id).await,
        ("invalid".to_owned(), Some("noise".to_owned()))
    );
    assert_eq!(
        act(&app, &ada, id, json!({"action": "accept"})).await.0,
        409
    );
    assert_eq!(
        act(&app, &ada, id, json!({"action": "reopen"})).await.0,
        200
    );
    assert_eq!(state_of(&pool, id).await, ("confirmed".to_owned(), None));
    assert_eq!(
        act(&app, &ada, 999, json!({"action": "accept"})).await.0,
        404
    );
    let events = timeline_of(&pool, id).await;
    assert_eq!(
        events[2..],
        [
            format!("acknowledged ada: guido takes it on. {note}"),
            "note ada: the owner is bob now".to_owned(),
            "invalid ada: invalid: noise. one bad day".to_owned(),
            "reopened ada: reopened".to_owned(),
        ]
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn what_is_closed_with_a_commit_reopens_with_it_and_a_suspicion_as_one(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let found = insert_regression(&pool, &rows, "found", 5, 6).await;
    let suspected = insert_regression(&pool, &rows, "suspected", 5, 6).await;
    for close in ["accept", "noise"] {
        assert_eq!(
            act(&app, &ada, found, json!({"action": close})).await.0,
            200
        );
        assert_eq!(
            act(&app, &ada, found, json!({"action": "reopen"})).await.0,
            200
        );
        assert_eq!(state_of(&pool, found).await.0, "found", "{close}");
    }
    assert_eq!(
        act(&app, &ada, suspected, json!({"action": "infrastructure"}))
            .await
            .0,
        200
    );
    assert_eq!(
        act(&app, &ada, suspected, json!({"action": "reopen"}))
            .await
            .0,
        200
    );
    assert_eq!(state_of(&pool, suspected).await.0, "suspected");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn merging_moves_points_narrows_the_range_and_ends_measuring(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let one = insert_regression(&pool, &rows, "confirmed", 3, 8).await;
    let other = insert_regression(&pool, &rows, "suspected", 5, 9).await;
    let point = insert_point(&pool, &rows, other, "nbody", (5, 9), 0.1).await;
    let chained = insert_regression(&pool, &rows, "suspected", 5, 9).await;
    sqlx::query(
        "WITH begun AS (INSERT INTO confirmation (regression_id, runtime_id, host_id, before_commit_id, after_commit_id,
                benchmarks, state) SELECT $1, $2, host.id, $3, $3, '{nbody}', 'measuring' FROM host RETURNING id)
         INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester, confirmation_id,
            confirmation_round) SELECT 'measure', $2, $3, 'local', 1, 'confirmation', 'scheduler', id, 1 FROM begun",
    )
    .bind(other)
    .bind(rows.runtime_id)
    .bind(rows.commits[9])
    .execute(&pool)
    .await
    .unwrap();
    // What cannot be.
    for (from, into) in [(one, one), (one, other), (one, 999)] {
        let (status, answer) =
            act(&app, &ada, from, json!({"action": "merge", "into": into})).await;
        assert_eq!(status, 409, "{from} {into}: {answer}");
    }
    assert_eq!(
        act(
            &app,
            &ada,
            chained,
            json!({"action": "merge", "into": other})
        )
        .await
        .0,
        200
    );
    let (status, answer) = act(&app, &ada, other, json!({"action": "merge", "into": one})).await;
    assert_eq!(
        (status, answer["id"].as_i64()),
        (200, Some(one)),
        "{answer}"
    );
    assert_eq!(regression_of(&pool, point).await, one);
    assert_eq!(
        state_of(&pool, other).await,
        ("invalid".to_owned(), Some("merged".to_owned()))
    );
    let parts: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM regression WHERE merged_into = $1 ORDER BY id")
            .bind(one)
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(parts, [other, chained], "references follow");
    let range: (i64, i64) =
        sqlx::query_as("SELECT before_commit_id, after_commit_id FROM regression WHERE id = $1")
            .bind(one)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(range, (rows.commits[5], rows.commits[8]));
    let ended: (String, String) =
        sqlx::query_as("SELECT confirmation.state, job.state FROM confirmation JOIN job ON confirmation_id = confirmation.id")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(ended, ("abandoned".to_owned(), "cancelled".to_owned()));
    let events = timeline_of(&pool, one).await;
    assert!(
        events.last().unwrap().contains(&format!(
            "#{other} was merged into this one, with 1 change point; the range"
        )),
        "{events:?}"
    );
    // What is part of another is decided there, and its page says so.
    let (status, answer) = act(&app, &ada, other, json!({"action": "reopen"})).await;
    assert!(
        status == 409
            && answer["error"]
                .as_str()
                .unwrap()
                .contains(&format!("part of #{one}")),
        "{answer}"
    );
    let (_, text) = app.get(&format!("/regressions/{other}")).await;
    assert!(
        text.contains(&format!("It is part of <a href=\"/regressions/{one}\">")),
        "{text}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn splitting_makes_another_with_its_own_range(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let id = insert_regression(&pool, &rows, "found", 5, 6).await;
    let stays = insert_point(&pool, &rows, id, "nbody", (5, 6), 0.1).await;
    let goes = insert_point(&pool, &rows, id, "richards", (2, 4), 0.05).await;
    for points in [json!([stays, goes]), json!([goes, 999])] {
        assert_eq!(
            act(&app, &ada, id, json!({"action": "split", "points": points}))
                .await
                .0,
            409
        );
    }
    let (status, text) = submit(
        &app,
        &ada,
        &format!("/regressions/{id}"),
        &[("point", &goes.to_string()), ("action", "split")],
    )
    .await;
    assert_eq!(status, 200);
    let new = regression_of(&pool, goes).await;
    assert!(
        new != id && text.contains(&format!("Regression #{new}")),
        "it leads to the new one"
    );
    assert_eq!(regression_of(&pool, stays).await, id);
    let row: (String, i64, i64, Option<i64>) = sqlx::query_as(
        "SELECT state, before_commit_id, after_commit_id, culprit_commit_id FROM regression WHERE id = $1",
    )
    .bind(new)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        row,
        (
            "confirmed".to_owned(),
            rows.commits[2],
            rows.commits[4],
            None
        )
    );
    assert_eq!(
        timeline_of(&pool, new).await,
        [
            format!("split ada: split from #{id} with 1 change point"),
            format!("confirmed ada: confirmed as part of #{id}")
        ]
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_list_filters_and_many_are_decided_at_once(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let (_, text) = app.get("/regressions").await;
    assert!(
        text.contains("None of this kind") && text.contains("Nothing is suspected"),
        "{text}"
    );
    let one = insert_regression(&pool, &rows, "confirmed", 5, 6).await;
    insert_point(&pool, &rows, one, "nbody", (5, 6), 0.1).await;
    let two = insert_regression(&pool, &rows, "found", 5, 6).await;
    insert_point(&pool, &rows, two, "richards", (5, 6), 0.07).await;
    let suspect = insert_regression(&pool, &rows, "suspected", 1, 3).await;
    let link = |id: i64| format!("href=\"/regressions/{id}\"");
    let (_, text) = app.get("/regressions").await;
    let (open, suspects) = text.split_once("id=\"suspects\"").unwrap();
    assert!(
        open.contains(&link(one)) && open.contains(&link(two)) && !open.contains(&link(suspect))
    );
    assert!(suspects.contains(&link(suspect)) && !suspects.contains(&link(one)));
    assert!(
        open.contains("+10.0\u{a0}%") && open.contains("+9.0\u{a0}% to +11.0\u{a0}%"),
        "{open}"
    );
    assert!(
        !text.contains("type=\"checkbox\" name=\"id\""),
        "nobody is signed in"
    );
    for (query, shown) in [
        ("state=found", vec![two]),
        ("benchmark=nbody", vec![one]),
        ("runtime=cpython-main", vec![one, two]),
        ("runtime=pypy", vec![]),
        ("direction=better", vec![]),
        ("direction=worse&state=suspected", vec![suspect]),
        ("owner=ada", vec![]),
        (
            &format!("state=confirmed&state=found&before={two}"),
            vec![one],
        ),
    ] {
        let (status, text) = app.get(&format!("/regressions?{query}")).await;
        assert_eq!(status, 200, "{query}");
        for id in [one, two, suspect] {
            assert_eq!(
                text.contains(&link(id)),
                shown.contains(&id),
                "{query} {id}"
            );
        }
        let (status, text) = app.get(&format!("/api/v1/regressions?{query}")).await;
        assert_eq!(status, 200, "{query}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<i64> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_i64().unwrap())
            .collect();
        for id in &shown {
            assert!(ids.contains(id), "{query}: {ids:?}");
        }
    }
    for bad in ["state=sleeping", "direction=up", "before=x"] {
        assert_eq!(
            app.get(&format!("/regressions?{bad}")).await.0,
            400,
            "{bad}"
        );
        assert_eq!(
            app.get(&format!("/api/v1/regressions?{bad}")).await.0,
            400,
            "{bad}"
        );
    }
    assert_eq!(app.get("/api/v1/regressions?speed=1").await.0, 400);
    // One of them does not fit: it is named, the others are done.
    let ids = [one, two, suspect].map(|id| id.to_string());
    let fields = [
        ("id", ids[0].as_str()),
        ("id", &ids[1]),
        ("id", &ids[2]),
        ("action", "acknowledge"),
    ];
    let (status, text) = submit(&app, &ada, "/regressions", &fields).await;
    assert_eq!(status, 200);
    assert!(
        text.contains(&format!(
            "Not done, for it does not fit their state: <a {}",
            link(suspect)
        )),
        "{text}"
    );
    assert!(text.contains("type=\"checkbox\" name=\"id\""));
    assert_eq!(state_of(&pool, two).await.0, "acknowledged");
    assert_eq!(
        submit(&app, &ada, "/regressions", &[("action", "accept")])
            .await
            .0,
        400
    );
    // How often it was wrong.
    assert_eq!(
        submit(
            &app,
            &ada,
            "/regressions",
            &[("id", &ids[0]), ("action", "noise")]
        )
        .await
        .0,
        200
    );
    let (_, text) = app.get("/regressions").await;
    assert!(text.contains("1 of 2 decided were none: 50\u{a0}% (95\u{a0}% interval 9 to 91\u{a0}%), 1 by noise and 0 by a host"), "{text}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn words_on_commits_and_hosts_are_in_the_timeline(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let eve = insert_token(&pool, "eve", Role::Triager).await;
    let id = insert_regression(&pool, &rows, "confirmed", 5, 6).await;
    insert_point(&pool, &rows, id, "nbody", (5, 6), 0.1).await;
    let hash = |commit: i32| format!("{:0>40}", format!("{:x}", commit + 1));
    let inside = format!("/commits/{}", hash(6));
    let outside = format!("/commits/{}", hash(2));
    for (page, words) in [
        (inside.as_str(), "inside <i>"),
        (&outside, "outside"),
        ("/hosts/lab-1", "new fan"),
    ] {
        assert_eq!(
            submit(
                &app,
                "",
                &format!("{page}/annotations"),
                &[("message", words)]
            )
            .await
            .0,
            401
        );
        let (status, text) = submit(
            &app,
            &ada,
            &format!("{page}/annotations"),
            &[("message", words)],
        )
        .await;
        assert!(
            status == 200 && text.contains(&words.replace('<', "&#60;").replace('>', "&#62;")),
            "{page}: {text}"
        );
        assert_eq!(
            submit(
                &app,
                &ada,
                &format!("{page}/annotations"),
                &[("message", " ")]
            )
            .await
            .0,
            400
        );
    }
    let (_, text) = app.get(&format!("/regressions/{id}")).await;
    assert!(
        text.contains("inside &#60;i&#62;")
            && text.contains("new fan")
            && !text.contains("outside"),
        "{text}"
    );
    let key: i64 = sqlx::query_scalar("SELECT id FROM annotation WHERE message LIKE 'inside%'")
        .fetch_one(&pool)
        .await
        .unwrap();
    let remove = format!("/annotations/{key}/remove");
    assert_eq!(
        submit(&app, &eve, &remove, &[]).await.0,
        404,
        "somebody else's"
    );
    let (status, text) = submit(&app, &ada, &remove, &[]).await;
    assert!(
        status == 200 && text.contains("Nobody has said anything"),
        "{text}"
    );
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_page_shows_its_range_evidence_and_that_it_left_the_branch(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let id = insert_regression(&pool, &rows, "confirmed", 5, 6).await;
    insert_point(&pool, &rows, id, "nbody", (5, 6), 0.1).await;
    sqlx::query(
        "INSERT INTO confirmation (regression_id, runtime_id, host_id, before_commit_id, after_commit_id, benchmarks, state,
            rounds, message, finished_at)
         SELECT $1, $2, host.id, $3, $4, '{nbody}', 'confirmed', 4, 'slower in 4 of 4 pairs', now() FROM host",
    )
    .bind(id)
    .bind(rows.runtime_id)
    .bind(rows.commits[5])
    .bind(rows.commits[6])
    .execute(&pool)
    .await
    .unwrap();
    let (status, text) = app.get(&format!("/regressions/{id}")).await;
    assert_eq!(status, 200);
    for part in [
        "class=\"range\"",
        "slower in 4 of 4 pairs",
        "confirmed in 4 rounds",
        "one commit",
        "+10.0\u{a0}%",
        "The same as a table",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, text) = app.get(&format!("/api/v1/regressions/{id}")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["regression"]["worst_benchmark"], "nbody");
    assert_eq!(answer["change_points"][0]["points_after"], 3);
    assert_eq!(answer["confirmations"][0]["rounds"], 4);
    // A force push.
    sqlx::query("DELETE FROM branch_commit WHERE position > 4")
        .execute(&pool)
        .await
        .unwrap();
    let (status, text) = app.get(&format!("/regressions/{id}")).await;
    assert!(
        status == 200 && text.contains("no longer on the branch"),
        "{text}"
    );
    assert_eq!(app.get("/regressions").await.0, 200);
    assert_eq!(app.get("/regressions/999").await.0, 404);
}
