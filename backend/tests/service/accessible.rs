//! Every page in a real browser under axe-core's rules for WCAG 2.2 AA, light and dark, on a desktop and on a phone. With `SPEEDWELL_SCREENSHOTS=FOLDER`
//! a picture of each is left there, for people to look at.

use std::path::PathBuf;

use fantoccini::Client;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::browser::{fits, open, start_driver};
use crate::support::{npm, tour};

/// axe-core of the npm registry.
fn axe() -> String {
    let sha256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";
    let script = npm::file("axe-core@4.14.1", "axe.min.js", sha256);
    String::from_utf8(script).unwrap()
}

/// What breaks a rule of the open page: the rule, what it asks, and the first elements.
async fn violations(client: &Client, script: &str) -> Vec<String> {
    client.execute(script, vec![]).await.unwrap();
    let answer = client
        .execute_async(
            "const done = arguments[arguments.length - 1];
             axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
                .then((found) => done({ violations: found.violations.map((one) => ({ id: one.id, help: one.help,
                    nodes: one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? node.all[0]?.message ?? '')) })) }),
                      (error) => done({ error: String(error) }))",
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(answer.get("error"), None, "axe did not run");
    let all = answer["violations"].as_array().unwrap();
    let text = |one: &Value| {
        let nodes = one["nodes"].as_array().unwrap();
        let nodes: Vec<&str> = nodes.iter().filter_map(Value::as_str).collect();
        format!("{} ({}): {}", one["id"], one["help"], nodes.join(" | "))
    };
    all.iter().map(text).collect()
}

async fn picture(client: &Client, path: &str, kind: &str) {
    let Some(folder) = std::env::var_os("SPEEDWELL_SCREENSHOTS").map(PathBuf::from) else {
        return;
    };
    let name: String = path
        .chars()
        .map(|one| {
            if one.is_ascii_alphanumeric() {
                one
            } else {
                '_'
            }
        })
        .take(80)
        .collect();
    std::fs::create_dir_all(&folder).unwrap();
    // A picture holds what the window does: the whole page, but for the longest ones.
    let (width, height) = client.get_window_size().await.unwrap();
    let script =
        "return document.documentElement.scrollHeight + window.outerHeight - window.innerHeight";
    let whole = client.execute(script, vec![]).await.unwrap().as_u64();
    let whole = whole.unwrap().clamp(height, 6000);
    let tall = u32::try_from(whole).unwrap();
    let [width, height] = [width, height].map(|one| u32::try_from(one).unwrap());
    client.set_window_size(width, tall).await.unwrap();
    let image = client.screenshot().await.unwrap();
    client.set_window_size(width, height).await.unwrap();
    std::fs::write(folder.join(format!("{name}-{kind}.png")), image).unwrap();
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn every_page_keeps_the_rules(pool: PgPool) {
    let (app, pages) = tour::start(&pool).await;
    let script = axe();
    let driver = start_driver();
    let mut wrong = Vec::new();
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        let kind = format!("{width}-{}", if dark { "dark" } else { "light" });
        let client = open(&driver, width, dark).await;
        tour::sign_in(&client, &app).await;
        for path in &pages {
            client
                .goto(&format!("{}{path}", app.address))
                .await
                .unwrap();
            fits(&client, &format!("{path} at {width} pixels")).await;
            picture(&client, path, &kind).await;
            // Colours differ by theme, everything else by width: three of the four are enough for the rules.
            if width < 600 && dark {
                continue;
            }
            for violation in violations(&client, &script).await {
                wrong.push(format!("{path} {kind}: {violation}"));
            }
        }
        client.close().await.unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{} violations:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
