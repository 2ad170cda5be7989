//! Regressions on pages and in the API: who may decide, what a decision writes, and words of people.
use serde_json::{Value, json};
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;

use crate::support::triage::{
    act, insert_point, insert_regression, insert_token, lab, state_of, submit, timeline_of,
};

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn only_a_triager_decides_and_the_timeline_says_who(pool: PgPool) {
    let (app, rows) = lab(&pool).await;
    let id = insert_regression(&pool, &rows, "confirmed", 5, 6).await;
    insert_point(&pool, &rows, id, "nbody", (5, 6), 0.1).await;
    let ada = insert_token(&pool, "ada", Role::Triager).await;
    let bob = insert_token(&pool, "bob", Role::Viewer).await;
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
    assert!(
        status == 403 && text.contains("bob has the role viewer"),
        "{text}"
    );
    // A page of another site in ada's browser.
    let forged = app
        .client
        .post(format!("{}/regressions/{id}", app.address))
        .header("cookie", crate::support::triage::cookie(&app, &ada).await)
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
    assert!(text.contains("Of those that people were told of and decided about, 1 of 2 were none: 50\u{a0}% (95\u{a0}% interval 9 to 91\u{a0}%), 1 by noise and 0 by a host"), "{text}");
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
