//! Results that others measured, by the doors of other services: Codespeed's, LNT's and Bencher's clients get the answers that they know.

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::TestApp;
use crate::support::importing::{TOKEN, counts, hash, start};

async fn post_form(
    app: &TestApp,
    path: &str,
    token: Option<&str>,
    fields: &[(&str, &str)],
) -> (u16, String) {
    let request = app.client.post(format!("{}{path}", app.address));
    let body: String = fields
        .iter()
        .map(|(key, value)| format!("{key}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&");
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let request = match token {
        Some(token) => request.basic_auth("anybody", Some(token)),
        None => request,
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn result(benchmark: &str, value: f64, commit: usize) -> Value {
    json!({"commitid": hash(commit), "branch": "main", "project": "CPython", "executable": "main", "benchmark": benchmark,
        "environment": "lab-of-others", "result_value": value, "std_dev": 0.001, "min": value - 0.002, "max": value + 0.002,
        "revision_date": "2026-11-01T10:00:00+00:00"})
}

async fn placed(pool: &PgPool, benchmark: &str) -> Vec<f64> {
    sqlx::query_scalar(
        "SELECT median FROM measurement JOIN series ON series.id = series_id JOIN benchmark ON benchmark.id = benchmark_id
         WHERE benchmark.name = $1 AND position IS NOT NULL ORDER BY position",
    )
    .bind(benchmark)
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn codespeeds_clients_get_the_answers_that_they_know(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let list = json!([
        result("nbody", 0.1, 0),
        result("richards", 0.2, 0),
        result("nbody", 0.11, 1)
    ])
    .to_string();
    let path = "/result/add/json/";
    assert_eq!(post_form(&app, path, None, &[("json", &list)]).await.0, 401);
    assert_eq!(
        post_form(&app, path, Some("wrong"), &[("json", &list)])
            .await
            .0,
        403
    );
    let done = post_form(&app, path, Some(TOKEN), &[("json", &list)]).await;
    assert_eq!(done, (202, "All result data saved successfully".to_owned()));
    assert_eq!(placed(&pool, "nbody").await, [0.1, 0.11]);
    // By the token in the address; a later value of the same benchmark counts in the place of the first.
    let one = result("nbody", 0.105, 0);
    let fields: Vec<(String, String)> = one
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            (
                key.clone(),
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
            )
        })
        .collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let address = format!("/codespeed/{TOKEN}/result/add/");
    let done = post_form(&app, &address, None, &fields).await;
    assert_eq!(done, (202, "Result data saved successfully".to_owned()));
    assert_eq!(placed(&pool, "nbody").await, [0.105, 0.11]);
    assert_eq!(placed(&pool, "richards").await, [0.2], "the others stay");
    let interval: (f64, f64) =
        sqlx::query_as("SELECT interval_low, interval_high FROM measurement WHERE median = 0.105")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(
        (interval.0 - 0.103).abs() < 1e-9 && (interval.1 - 0.107).abs() < 1e-9,
        "{interval:?}"
    );
    let before = counts(&pool).await;
    for (list, words) in [
        (String::new(), "No key 'json' in POST payload"),
        ("[".to_owned(), "is no list of objects"),
        (
            json!([result("a", 0.1, 0), {"commitid": "x"}]).to_string(),
            "Key \"branch\" missing from request",
        ),
        (
            json!([result("a", 0.1, 0), result("b", 0.1, 7)]).to_string(),
            "is no commit or tag",
        ),
        (
            list.replace("lab-of-others", "nowhere"),
            "Environment nowhere not found: no [[import]]",
        ),
    ] {
        let (status, text) = post_form(&app, path, Some(TOKEN), &[("json", &list)]).await;
        assert!(status == 400 && text.contains(words), "{status} {text}");
    }
    assert_eq!(
        counts(&pool).await,
        before,
        "nothing of a list is stored when one of it is wrong"
    );
    assert_eq!(app.get("/result/add/json/").await.0, 405);
    // pyperf reads what came as means.
    let (status, text) = app.get("/api/v1/runs/1/pyperf").await;
    assert!(status == 200 && text.contains("\"values\":[0.1]"), "{text}");
    let (_, raw) = app.get("/api/v1/runs/1/raw").await;
    assert!(raw.contains("\"std_dev\":0.001"), "{raw}");
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn lnt_submissions_are_replaced_refused_or_added_as_they_ask(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let report = |seconds: f64| {
        json!({"format_version": "2", "machine": {"name": "machine", "os": "Linux"},
            "run": {"start_time": "2026-11-01T10:00:00", "end_time": "2026-11-01T10:05:00", "llvm_project_revision": hash(1)},
            "tests": [{"name": "nbody", "execution_time": [seconds, seconds + 0.001], "compile_time": 2.0}]})
        .to_string()
    };
    let submit = format!("/lnt/{TOKEN}/db_default/v4/nts/submitRun");
    let send = async |seconds: f64, merge: &str| {
        let (status, text) = post_form(
            &app,
            &submit,
            None,
            &[("input_data", &report(seconds)), ("merge", merge)],
        )
        .await;
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, answer) = send(0.1, "replace").await;
    assert!(
        status == 200
            && answer["success"] == true
            && answer["message"].as_str().unwrap().contains("compile_time"),
        "{answer}"
    );
    let (status, answer) = send(0.2, "reject").await;
    assert!(
        status == 400
            && answer["message"]
                .as_str()
                .unwrap()
                .starts_with("Duplicate submission for '"),
        "{answer}"
    );
    assert_eq!(send(0.2, "replace").await.0, 200);
    assert_eq!(placed(&pool, "nbody").await, [0.2005]);
    assert_eq!(send(0.3, "append").await.0, 200);
    assert_eq!(placed(&pool, "nbody").await.len(), 2);
    let superseded: Vec<Option<i64>> =
        sqlx::query_scalar("SELECT superseded_by FROM run ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(superseded, [Some(2), None, None]);
    // The other way in, with the header that its clients know.
    let url = format!("{}/api/db_default/v4/nts/runs?merge=append", app.address);
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = client
        .post(&url)
        .header("AuthToken", TOKEN)
        .body(report(0.4))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 301);
    assert!(
        answer.headers()["location"]
            .to_str()
            .unwrap()
            .ends_with("/runs/4")
    );
    let answer = client
        .post(&url)
        .header("AuthToken", TOKEN)
        .body(report(0.4).replace("machine\"", "other\""))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    let answer = client.post(&url).body(report(0.4)).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(counts(&pool).await.0, 4);
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn benchers_reports_become_runs(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let bmf = |value: f64| {
        json!({"nbody": {"latency": {"value": value, "lower_value": value * 0.9, "upper_value": value * 1.1}}}).to_string()
    };
    let report = json!({"project": "bench", "branch": "main", "testbed": "testbed", "hash": hash(2), "start_time": "2026-11-01T10:00:00Z",
        "end_time": "2026-11-01T10:01:00Z", "results": [bmf(1e8)], "settings": {"adapter": "json"}});
    let post = async |report: &Value| {
        let request = app
            .client
            .post(format!("{}/v0/run", app.address))
            .bearer_auth(TOKEN)
            .json(report);
        let response = request.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let (status, answer) = post(&report).await;
    assert!(
        status == 201 && answer["alerts"] == json!([]) && answer["speedwell"]["created"] == true,
        "{answer}"
    );
    let (_, again) = post(&report).await;
    assert_eq!(again["speedwell"]["created"], false);
    assert_eq!(placed(&pool, "nbody").await, [0.1]);
    let mut wrong = report.clone();
    wrong["branch"] = json!("other");
    let (status, answer) = post(&wrong).await;
    assert!(
        status == 400
            && answer["message"]
                .as_str()
                .unwrap()
                .contains("branch \"other\""),
        "{answer}"
    );
    assert_eq!(counts(&pool).await.0, 1);
}

/// Posts a form in parts, encoded by curl; a value that begins with `@` is a file.
async fn post_parts(app: &TestApp, path: &str, fields: &[(&str, String)]) -> (u16, String) {
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--write-out", "\n%{http_code}"]);
    for (name, value) in fields {
        let option = if value.starts_with('@') {
            "--form"
        } else {
            "--form-string"
        };
        curl.args([option, &format!("{name}={value}")]);
    }
    curl.arg(format!("{}{path}", app.address));
    let done = tokio::task::spawn_blocking(move || curl.output().unwrap());
    let text = String::from_utf8(done.await.unwrap().stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[sqlx::test(migrator = "speedwell_backend::db::MIGRATOR")]
async fn forms_in_parts_are_taken_as_others_are(pool: PgPool) {
    let (app, _) = start(&pool, 3).await;
    let list = json!([result("nbody", 0.1, 0), result("nbody", 0.11, 1)]).to_string();
    let path = format!("/codespeed/{TOKEN}/result/add/json/");
    let done = post_parts(&app, &path, &[("json", list)]).await;
    assert_eq!(done, (202, "All result data saved successfully".to_owned()));
    let one = result("nbody", 0.12, 2);
    let fields: Vec<(&str, String)> = one
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let text = value.as_str().map(str::to_owned);
            (key.as_str(), text.unwrap_or_else(|| value.to_string()))
        })
        .collect();
    let single = format!("/codespeed/{TOKEN}/result/add/");
    assert_eq!(post_parts(&app, &single, &fields).await.0, 202);
    assert_eq!(placed(&pool, "nbody").await, [0.1, 0.11, 0.12]);

    // LNT's own page sends a file.
    let report = json!({"format_version": "2", "machine": {"name": "machine", "os": "Linux"},
        "run": {"start_time": "2026-11-01T10:00:00", "end_time": "2026-11-01T10:05:00", "llvm_project_revision": hash(1)},
        "tests": [{"name": "richards", "execution_time": [0.2, 0.2]}]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    std::fs::write(&file, report.to_string()).unwrap();
    let submit = format!("/lnt/{TOKEN}/db_default/v4/nts/submitRun");
    let fields = [
        ("file", format!("@{}", file.display())),
        ("input_data", String::new()),
        ("merge", "replace".to_owned()),
    ];
    let (status, answer) = post_parts(&app, &submit, &fields).await;
    assert!(
        status == 200 && answer.contains("\"success\":true"),
        "{answer}"
    );
    assert_eq!(placed(&pool, "richards").await, [0.2]);

    // What cannot be read is told in each service's words, and nothing of it is stored.
    let before = counts(&pool).await;
    let many: Vec<(&str, String)> = (0..65).map(|_| ("json", "[]".to_owned())).collect();
    let (status, text) = post_parts(&app, &path, &many).await;
    assert!(
        status == 400 && text == "The form cannot be read: more than 64 parts",
        "{text}"
    );
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let binary = [("file", format!("@{}", file.display()))];
    let (status, text) = post_parts(&app, &submit, &binary).await;
    assert!(
        status == 400 && text.contains("is not UTF-8") && text.contains("\"success\":false"),
        "{text}"
    );
    let cut = app
        .client
        .post(format!("{}{path}", app.address))
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--x\r\ncontent-disposition: form-data; name=\"json\"\r\n\r\n[")
        .send()
        .await
        .unwrap();
    assert_eq!(cut.status(), 400);
    let none = app
        .client
        .post(format!("{}{path}", app.address))
        .header("content-type", "multipart/form-data")
        .body("x");
    assert_eq!(none.send().await.unwrap().status(), 400);
    assert_eq!(counts(&pool).await, before);
}
