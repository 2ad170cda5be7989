//! What people come for, from the first page to the last, in a real browser: following a regression to its raw samples and taking them
//! away; queueing what was not measured from the chart.

use std::time::Duration;

use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::error::CmdError;
use fantoccini::{Client, Locator};
use serde_json::Value;
use speedwell_backend::domain::role::Role;
use speedwell_backend::scheduler::trace;
use sqlx::PgPool;

use crate::support::browser::{open, sign_in, start_driver, until_query};
use crate::support::triage::insert_token;
use crate::support::worker::{insert_rows, measure_places};
use crate::support::{TestApp, tour};

/// Clicks the first element of a kind.
async fn click(client: &Client, css: &str) {
    let found = client.wait().for_element(Locator::Css(css)).await;
    found
        .unwrap_or_else(|error| panic!("{css}: {error}"))
        .click()
        .await
        .unwrap();
}

/// What the browser gets when the link of these words is followed, with its type and the name it would be saved by.
async fn download(client: &Client, words: &str) -> [String; 3] {
    client
        .wait()
        .for_element(Locator::LinkText(words))
        .await
        .unwrap();
    let answer = client
        .execute_async(
            "const done = arguments[arguments.length - 1];
             const link = [...document.querySelectorAll('a')].find((one) => one.textContent === arguments[0]);
             fetch(link.href).then(async (answer) => done([await answer.text(), answer.headers.get('content-type'),
                 answer.headers.get('content-disposition') ?? '']), (error) => done([String(error), '', '']))",
            vec![words.into()],
        )
        .await
        .unwrap();
    serde_json::from_value(answer).unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn a_regression_is_followed_to_its_samples_and_taken_away(pool: PgPool) {
    let (app, pages) = tour::start(&pool).await;
    let driver = start_driver();
    let client = open(&driver, 1280, false).await;
    client.goto(&app.address).await.unwrap();
    click(&client, "main th a[href^='/regressions/']").await;
    click(&client, "main a.hash[href^='/commits/']").await;
    click(&client, "main h2 a[href^='/runs/']").await;
    click(&client, "main details summary").await;
    let samples = client.find(Locator::Css(".samples")).await.unwrap();
    assert!(samples.is_displayed().await.unwrap());
    let shown = samples.text().await.unwrap();

    assert!(shown.contains("process 0"), "{shown}");

    // The file of a run, as pyperf wrote it.
    let imported = pages.iter().rfind(|page| page.starts_with("/runs/"));
    let address = format!("{}{}", app.address, imported.unwrap());
    client.goto(&address).await.unwrap();
    let [text, kind, name] = download(&client, "pyperf JSON").await;
    let file: Value = serde_json::from_str(&text).unwrap();
    let typed = kind.starts_with("application/json") && name.contains("filename=\"run-");
    assert!(typed, "{kind} {name}");
    let values = &file["benchmarks"][0]["runs"][1]["values"];
    assert_eq!(values.as_array().unwrap().len(), 2);

    // Python 2 against 3: both in one table, which is taken away as three kinds of file.
    let compare = format!("{}/compare?a=cpython-main&b=cpython-2.7", app.address);
    client.goto(&compare).await.unwrap();
    let [text, kind, _] = download(&client, "Markdown").await;
    assert!(
        text.contains("nbody") && kind.starts_with("text/markdown"),
        "{kind} {text}"
    );
    let [text, kind, _] = download(&client, "CSV").await;
    assert!(
        text.lines().count() > 1 && kind.starts_with("text/csv"),
        "{kind} {text}"
    );
    client.close().await.unwrap();
}

/// What the mouse does over the chart.
#[derive(Clone, Copy)]
enum Move {
    /// To a share of its width from its middle, near the upper edge.
    To(f64),
    Press,
    Release,
}

/// Does it; once more while the chart is drawn anew meanwhile, which takes its elements away.
async fn act(client: &Client, moves: &[Move]) {
    for _ in 0..40 {
        match attempt(client, moves).await {
            Ok(()) => return,
            Err(error) if error.is_stale_element_reference() => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the chart does not come to rest");
}

async fn attempt(client: &Client, moves: &[Move]) -> Result<(), CmdError> {
    let over = client.wait().for_element(Locator::Css(".u-over")).await?;
    let (_, _, width, height) = over.rectangle().await?;
    let action = |one: Move| match one {
        Move::To(share) => PointerAction::MoveToElement {
            element: over.clone(),
            duration: Some(Duration::from_millis(50)),
            x: (share * width).round(),
            y: (8.0 - height / 2.0).round(),
        },
        Move::Press => PointerAction::Down { button: 0 },
        Move::Release => PointerAction::Up { button: 0 },
    };
    let mouse = MouseActions::new("mouse".to_owned());
    let all = moves
        .iter()
        .fold(mouse, |mouse, one| mouse.then(action(*one)));
    client.perform_actions(all).await
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn the_mouse_zooms_and_queues_what_was_not_measured(pool: PgPool) {
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 9).await;
    measure_places(
        &pool,
        &app,
        &rows,
        &[(0, 0.1), (1, 0.1), (7, 0.1), (8, 0.1)],
    )
    .await;
    trace::tick(&app.context).await.unwrap();
    insert_token(&pool, "ada", Role::Triager).await;
    let driver = start_driver();
    let client = open(&driver, 1280, false).await;
    sign_in(&client, &app, "token-of-ada", "/queue").await;
    client
        .wait()
        .for_element(Locator::LinkText("Queue"))
        .await
        .unwrap();
    client
        .goto(&format!("{}/timeline?benchmark=nbody", app.address))
        .await
        .unwrap();
    client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await
        .unwrap();

    // Drag over the right half: the address says what is shown. A double click shows all again.
    act(
        &client,
        &[Move::To(0.1), Move::Press, Move::To(0.45), Move::Release],
    )
    .await;
    until_query(&client, |text| {
        text.contains("from=") && text.contains("to=")
    })
    .await;
    let click = [Move::To(0.0), Move::Press, Move::Release];
    act(&client, &[&click[..], &click[1..]].concat()).await;
    until_query(&client, |text| !text.contains("from=")).await;
    client
        .wait()
        .for_element(Locator::Css(".canvas canvas"))
        .await
        .unwrap();

    // A click where nothing was measured offers to have it measured; the chart may be drawn anew just then.
    let mut found = None;
    for _ in 0..20 {
        act(&client, &click).await;
        found = client.find(Locator::Css(".tooltip button")).await.ok();
        if found.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let button = found.expect("a button to queue what is missing");
    assert_eq!(button.text().await.unwrap(), "Queue all 5");
    button.click().await.unwrap();
    // The page that the click leaves has a table, too: what is asked for is the jobs themselves.
    let mut queued: Vec<i32> = Vec::new();
    for _ in 0..60 {
        queued = sqlx::query_scalar(
            "SELECT position FROM job JOIN branch_commit USING (commit_id) WHERE state = 'queued' ORDER BY position",
        )
        .fetch_all(&pool)
        .await
        .unwrap();
        if queued.len() == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(queued, [2, 3, 4, 5, 6]);
    client
        .wait()
        .for_element(Locator::Css("main table"))
        .await
        .unwrap();
    client.close().await.unwrap();
}
