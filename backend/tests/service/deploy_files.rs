//! What `deploy/` holds is true: the annotated configurations have every key there is, and rules and dashboard ask for metrics that are
//! served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use speedwell_backend::config::Config;
use sqlx::PgPool;

use crate::support::operate::url_of;
use crate::support::worker::{insert_rows, measure};
use crate::support::{CONFIG, TestApp};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// `#key = …` and `#[table]`: a setting that is shown and not set.
fn is_shown(line: &str) -> bool {
    let rest = line.strip_prefix('#').unwrap_or_default();
    let key: String = rest
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || *c == '_')
        .collect();
    rest.starts_with('[') || (!key.is_empty() && rest[key.len()..].starts_with(" = "))
}

/// The keys of each table, set and shown; those of inline tables under the key's name.
fn keys(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines() {
        let line = if is_shown(line) { &line[1..] } else { line };
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
            if let Some((parent, child)) = table.rsplit_once('.') {
                found
                    .entry(parent.to_owned())
                    .or_default()
                    .insert(child.to_owned());
            } else {
                found
                    .entry(String::new())
                    .or_default()
                    .insert(table.clone());
            }
        } else if let Some((key, value)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            found
                .entry(table.clone())
                .or_default()
                .insert(key.to_owned());
            if let Some(inner) = value.strip_prefix('{') {
                let path = format!("{table}.{key}");
                let inner = inner.trim_end_matches('}').split(',');
                let names = inner.filter_map(|one| Some(one.split_once('=')?.0.trim().to_owned()));
                found.entry(path).or_default().extend(names);
            }
        }
    }
    found
}

/// The keys that a table may have, as the refusal of an unknown one names them.
fn known(refusal: &str) -> BTreeSet<String> {
    let list = refusal
        .split_once("expected")
        .unwrap_or_else(|| panic!("no list of keys: {refusal}"))
        .1;
    list.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn speedwell_toml_has_every_key() {
    let text = read("deploy/speedwell.toml");
    Config::parse(&text, "deploy/speedwell.toml").unwrap();
    let shown = keys(&text);
    let refusal = |text: &str| Config::parse(text, "x").unwrap_err().to_string();
    let base = "data = \"x\"\n";
    let repository = "[[repository]]\nname = \"r\"\nurl = \"/r\"\n";
    let top = known(&refusal("data = \"x\"\nno_such_key = 1\n"));
    assert!(top.len() > 10, "{top:?}");
    let mut tables: Vec<(String, String)> = vec![
        (String::new(), format!("no_such_key = 1\n{base}")),
        (
            "repository".to_owned(),
            format!("{base}{repository}no_such_key = 1\n"),
        ),
        (
            "repository.forge".to_owned(),
            format!("{base}{repository}[repository.forge]\nno_such_key = 1\n"),
        ),
        (
            "runtime".to_owned(),
            format!("{base}[[runtime]]\nno_such_key = 1\n"),
        ),
        (
            "runtime.policy".to_owned(),
            format!(
                "{base}[[runtime]]\nname = \"x\"\nlanguage = \"python3\"\npolicy = {{ no_such_key = 1 }}\n"
            ),
        ),
    ];
    // Every other table of the top, whatever it is: a key of the top that takes a table refuses an unknown key in it by name.
    for key in &top {
        for text in [
            format!("{base}[{key}]\nno_such_key = 1\n"),
            format!("{base}[[{key}]]\nno_such_key = 1\n"),
        ] {
            let said = refusal(&text);
            let is_known = tables.iter().any(|(path, _)| path == key);
            if said.contains("unknown field `no_such_key`") && !is_known {
                tables.push((key.clone(), text));
            }
        }
    }
    assert!(tables.len() > 9, "{tables:?}");
    for (path, text) in tables {
        let wanted = known(&refusal(&text));
        let found = shown.get(&path).cloned().unwrap_or_default();
        let missing: Vec<&String> = wanted.difference(&found).collect();
        assert!(
            missing.is_empty(),
            "deploy/speedwell.toml: [{path}] does not show {missing:?}"
        );
    }
}

/// Each setting that is shown can be set as it is shown.
#[test]
fn what_speedwell_toml_shows_can_be_set() {
    let text = read("deploy/speedwell.toml");
    let lines: Vec<&str> = text.lines().collect();
    let mut tried = 0;
    let mut refused = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !is_shown(lines[at]) {
            at += 1;
            continue;
        }
        // A table goes with all that is shown below it.
        let mut end = at + 1;
        if lines[at].starts_with("#[") {
            while end < lines.len() && lines[end].starts_with('#') && is_shown(lines[end]) {
                end += 1;
            }
        }
        let key = lines[at][1..].split(" = ").next().unwrap();
        let mut table_begins = at;
        while table_begins > 0 && !lines[table_begins].starts_with('[') {
            table_begins -= 1;
        }
        let with: Vec<String> = lines
            .iter()
            .enumerate()
            // What is set already gives way.
            .filter(|(place, line)| {
                *place >= at || *place < table_begins || !line.starts_with(&format!("{key} = "))
            })
            .map(|(place, line)| {
                let taken = (at..end).contains(&place);
                line.strip_prefix('#')
                    .filter(|_| taken)
                    .unwrap_or(line)
                    .to_string()
            })
            .collect();
        if let Err(error) = Config::parse(&with.join("\n"), "speedwell.toml") {
            // One alone may lack its neighbour (a user its password, an import its runtime); a wrong name or type is never right.
            let said = error.to_string();
            assert!(!said.contains("TOML parse error"), "{}: {said}", lines[at]);
            refused.push(said);
        }
        tried += 1;
        at = end;
    }
    assert!(tried > 30 && refused.len() < 8, "{tried}: {refused:#?}");
}

/// Names that begin with `speedwell_` in a text.
fn metrics_of(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = BTreeSet::new();
    for rest in text.split("speedwell_").skip(1) {
        let name: String = rest.chars().take_while(|c| part(*c)).collect();
        found.insert(format!("speedwell_{name}"));
    }
    found
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn rules_and_dashboard_ask_for_metrics_that_are_served(pool: PgPool) {
    // A service that has something to say, and one of whose ticks fails.
    let app = TestApp::start(&pool).await;
    let rows = insert_rows(&pool, 2).await;
    measure(&pool, &app, &rows, &[0.1]).await;
    for statement in [
        "INSERT INTO alarm (kind, subject, words, since, seen_at, raised_at) VALUES ('full_disk', '/srv', 'is full', now(), now(), now())",
        "INSERT INTO outbox (key, channel, recipient, payload, next_attempt_at, state, finished_at) VALUES ('k', 'mail', 'a', '{}', now(), 'dead', now())",
        "INSERT INTO job (kind, runtime_id, commit_id, host_class, priority, reason, requester) VALUES ('measure', 1, 1, 'local', 1, 'requested', 'x')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("speedwell.toml");
    let folder = data.path().display();
    let text = CONFIG
        .replace("DATA", &folder.to_string())
        .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    fs::write(&file, text).unwrap();
    let mut backend = Command::new(env!("CARGO_BIN_EXE_speedwell-backend"))
        .arg("--config")
        .arg(&file)
        .args(["--database-url", &url_of(&pool).await, "serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = format!("http://127.0.0.1:{port}/metrics");
    let begun = Instant::now();
    // The first pass of each tick comes with the start.
    let scraped = loop {
        if let Ok(answer) = app.client.get(&address).send().await {
            let text = answer.text().await.unwrap();
            if text.contains("speedwell_tick_seconds_count") && text.contains("tick=\"alarms\"} 1")
            {
                break text;
            }
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the backend did not start"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(backend.id()).unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert!(backend.wait().unwrap().success());
    let served: BTreeSet<String> = scraped
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .collect();
    // Counted only when something fails.
    let seldom = ["speedwell_tick_errors_total", "speedwell_deliveries"];
    let mut asked = 0;
    for name in [
        "deploy/monitoring/speedwell.rules.yml",
        "deploy/monitoring/grafana.json",
    ] {
        for metric in metrics_of(&read(name)) {
            asked += 1;
            assert!(
                served.contains(&metric) || seldom.contains(&metric.as_str()),
                "{name} asks for {metric}, which is not among {served:?}"
            );
        }
    }
    assert!(asked > 15, "{asked}");
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/monitoring/grafana.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let expressions: Vec<&str> = panel["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["expr"].as_str().unwrap())
            .collect();
        assert!(
            !expressions.is_empty() && !panel["title"].as_str().unwrap().is_empty(),
            "{panel}"
        );
    }
    // What the text says is what Prometheus reads, where its tool is there (deploy/test installs it).
    let mut tool = match Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(tool) => tool,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "promtool should be here: {error}"
            );
            return;
        }
    };
    std::io::Write::write_all(&mut tool.stdin.take().unwrap(), scraped.as_bytes()).unwrap();
    let said = tool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!words.contains("parsing error"), "{words}");
}
