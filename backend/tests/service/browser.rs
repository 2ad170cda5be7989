//! The main pages in a real browser (Debian's chromium and chromedriver): clicked, by keyboard, on a phone, in the dark.

use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::{explain, index, trace};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::browser::{fits, number, open, sign_in, start_driver};
use crate::support::triage::{insert_point, insert_regression, insert_token, state_of};
use crate::support::worker::{insert_job, insert_rows, measure};

async fn fill(pool: &PgPool, app: &TestApp) {
    let rows = insert_rows(pool, 4).await;
    measure(pool, app, &rows, &[0.1; 3]).await;
    index::tick(&app.context).await.unwrap();
    trace::tick(&app.context).await.unwrap();
    insert_job(pool, &rows, 3, 1).await;
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_main_pages_work_in_a_browser(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    fill(&pool, &app).await;
    let driver = start_driver();
    let client = open(&driver, 1280, false).await;

    client.goto(&format!("{}/", app.address)).await.unwrap();
    client.find(Locator::LinkText("Home")).await.unwrap();
    client
        .goto(&format!("{}/runtimes/cpython-main", app.address))
        .await
        .unwrap();
    // From a tile to the series, from a point to its commit, from the commit to its run, from there to the job.
    client
        .find(Locator::Css(".tile"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await
        .unwrap();
    assert_eq!(
        client
            .find_all(Locator::Css("table.points th a.hash"))
            .await
            .unwrap()
            .len(),
        3
    );
    fits(&client, "the timeline").await;
    // By keyboard: focus a point, press Enter.
    client
        .execute(
            "[...document.querySelectorAll('table.points th a.hash')].at(-1).focus()",
            vec![],
        )
        .await
        .unwrap();
    client
        .active_element()
        .await
        .unwrap()
        .send_keys(&Key::Enter.to_string())
        .await
        .unwrap();
    let commit = format!("/commits/{:0>40}", "1");
    let commit = client.current_url().await.unwrap().join(&commit).unwrap();
    client.wait().for_url(&commit).await.unwrap();
    client
        .wait()
        .for_element(Locator::LinkText("run 1"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    client
        .wait()
        .for_element(Locator::Css("td svg.spark"))
        .await
        .unwrap();
    client
        .find(Locator::Css("details summary"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    assert!(
        client
            .find(Locator::Css(".samples"))
            .await
            .unwrap()
            .is_displayed()
            .await
            .unwrap()
    );
    client
        .find(Locator::Css("main p a[href^='/jobs/']"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    client
        .wait()
        .for_element(Locator::Css("pre.log"))
        .await
        .unwrap();
    // The form of the timeline needs no script.
    client
        .goto(&format!(
            "{}/timeline?benchmark=richards&metric=wall_time",
            app.address
        ))
        .await
        .unwrap();
    client
        .find(Locator::Css("input[name=last]"))
        .await
        .unwrap()
        .clear()
        .await
        .unwrap();
    client
        .find(Locator::Css("input[name=last]"))
        .await
        .unwrap()
        .send_keys("10")
        .await
        .unwrap();
    client
        .find(Locator::Css("form.choices button"))
        .await
        .unwrap()
        .click()
        .await
        .unwrap();
    client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await
        .unwrap();
    assert!(
        client
            .current_url()
            .await
            .unwrap()
            .query()
            .unwrap()
            .contains("last=10")
    );
    client.close().await.unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn pages_fit_a_phone_and_follow_the_dark(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    fill(&pool, &app).await;
    let driver = start_driver();
    let phone = open(&driver, 390, true).await;
    for path in [
        "/",
        "/queue",
        "/benchmarks",
        "/benchmarks/nbody",
        "/timeline?benchmark=nbody&metric=wall_time",
        "/search?q=nbody",
        "/runs/1/reproduce/nbody",
        "/runs/1",
        "/jobs/1",
        "/runtimes/cpython-main",
        "/api",
    ] {
        phone.goto(&format!("{}{path}", app.address)).await.unwrap();
        fits(&phone, path).await;
        let light = number(
            &phone,
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)",
        )
        .await;
        assert!(light < 150.0, "{path} is light in the dark: {light}");
    }
    // The colours of a chart follow too: they are variables.
    phone
        .goto(&format!("{}/benchmarks/nbody", app.address))
        .await
        .unwrap();
    let line = phone
        .execute(
            "return getComputedStyle(document.querySelector('svg.chart polyline[stroke*=series]')).stroke",
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(line.as_str().unwrap(), "rgb(127, 169, 247)");
    phone.close().await.unwrap();
}

/// Presses a key where the keyboard is.
async fn press(client: &Client, key: Key) {
    let active = client.active_element().await.unwrap();
    active.send_keys(&key.to_string()).await.unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn triage_works_by_keyboard_alone(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 4).await;
    measure(&pool, &app, &rows, &[0.1, 0.1, 0.11, 0.11]).await;
    let mut ids = Vec::new();
    for (state, benchmark, after) in [
        ("confirmed", "nbody", 2),
        ("found", "richards", 2),
        ("suspected", "nbody", 3),
    ] {
        let id = insert_regression(&pool, &rows, state, 1, after).await;
        insert_point(&pool, &rows, id, benchmark, (1, after), 0.052).await;
        ids.push(id);
    }
    explain::tick(&app.context).await.unwrap();
    let token = insert_token(&pool, "ada", Role::Triager).await;
    let driver = start_driver();
    let client = open(&driver, 1280, false).await;
    sign_in(&client, &app, &token, "/regressions").await;
    let first = format!("input[name=id][value='{}']", ids[1]);
    let first = client
        .wait()
        .for_element(Locator::Css(&first))
        .await
        .unwrap();
    fits(&client, "the list").await;
    // From the newest regression's box on: choose it, and press the first button that takes one on.
    client
        .execute(
            "arguments[0].focus()",
            vec![serde_json::to_value(&first).unwrap()],
        )
        .await
        .unwrap();
    press(&client, Key::Space).await;
    for _ in 0..40 {
        let active = client.active_element().await.unwrap();
        if active.attr("value").await.unwrap().as_deref() == Some("acknowledge") {
            break;
        }
        // The next in the order of the page, as Tab goes.
        client.perform_actions(tab()).await.unwrap();
    }
    press(&client, Key::Enter).await;
    client
        .wait()
        .for_element(Locator::Css("p[role=status]"))
        .await
        .unwrap();
    assert_eq!(state_of(&pool, ids[1]).await.0, "acknowledged");
    assert_eq!(state_of(&pool, ids[0]).await.0, "confirmed");
    // Its own page, on a phone in the dark as well.
    let page = format!("{}/regressions/{}", app.address, ids[1]);
    client.goto(&page).await.unwrap();
    client
        .find(Locator::Css("svg.chart rect.range"))
        .await
        .unwrap();
    fits(&client, "the regression").await;
    client.close().await.unwrap();
    let phone = open(&driver, 390, true).await;
    for path in [
        page,
        format!("{}/regressions", app.address),
        format!("{}/sign-in", app.address),
    ] {
        phone.goto(&path).await.unwrap();
        fits(&phone, &path).await;
    }
    phone.close().await.unwrap();
}

fn tab() -> fantoccini::actions::KeyActions {
    use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
    let tab = char::from(Key::Tab);
    KeyActions::new("keyboard".to_owned())
        .then(KeyAction::Down { value: tab })
        .then(KeyAction::Up { value: tab })
}
