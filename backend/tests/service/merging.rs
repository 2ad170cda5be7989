//! Merging and splitting of regressions: what moves, what ends, and what is refused.

use serde_json::json;
use speedwell_backend::domain::role::Role;
use sqlx::PgPool;

use crate::support::triage::{
    act, insert_point, insert_regression, insert_token, lab, state_of, submit, timeline_of,
};

async fn regression_of(pool: &PgPool, point: i64) -> i64 {
    sqlx::query_scalar("SELECT regression_id FROM change_point WHERE id = $1")
        .bind(point)
        .fetch_one(pool)
        .await
        .unwrap()
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
