//! Forges that send hooks, signed as each signs.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use speedwell_backend::db::deliveries;
use speedwell_backend::domain::hook::ForgeKind;
use speedwell_backend::scheduler::{discover, hooks};
use sqlx::PgPool;

use super::forge::{ForgeServer, SECRET};
use super::git::{Repository, sync};
use super::{CONFIG, TestApp};

/// The signature of a body: hex.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A hook of a forge for the repository `cpython`, ready to be sent.
pub fn hook(
    app: &TestApp,
    kind: ForgeKind,
    event: &str,
    key: &str,
    body: &[u8],
) -> reqwest::RequestBuilder {
    let address = format!("{}/hooks/{}/cpython", app.address, kind.as_str());
    let request = app
        .client
        .post(address)
        .header("content-type", "application/json");
    let signed = signature(SECRET, body);
    let request = match kind {
        ForgeKind::Github => request
            .header("x-github-event", event)
            .header("x-github-delivery", key)
            .header("x-hub-signature-256", format!("sha256={signed}")),
        ForgeKind::Gitlab => request
            .header("x-gitlab-event", event)
            .header("idempotency-key", key)
            .header("x-gitlab-token", SECRET),
        ForgeKind::Forgejo => request
            .header("x-forgejo-event", event)
            .header("x-gitea-event", event)
            .header("x-forgejo-delivery", key)
            .header("x-forgejo-signature", signed),
    };
    request.body(body.to_vec())
}

/// Sends a hook; the status and the answer.
pub async fn send(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or(Value::Null))
}

/// Sends a hook that is taken, and does what follows: its state, what it caused, and in words.
pub async fn follow(
    app: &TestApp,
    pool: &PgPool,
    kind: ForgeKind,
    event: &str,
    key: &str,
    body: &Value,
) -> (String, Value, String) {
    let (status, answer) = send(hook(app, kind, event, key, body.to_string().as_bytes())).await;
    assert_eq!(status, 202, "{event}: {answer}");
    hooks::tick(&app.context).await.unwrap();
    became(pool, answer["delivery"].as_i64().unwrap()).await
}

/// State, effects and words of a delivery.
pub async fn became(pool: &PgPool, id: i64) -> (String, Value, String) {
    sqlx::query_as("SELECT state, caused, coalesce(words, '') FROM delivery WHERE id = $1")
        .bind(id)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Has the work of a delivery done again, as an operator does: the replay's number, its state and what it says.
pub async fn replay(app: &TestApp, pool: &PgPool, id: i64) -> (i64, String, String) {
    let mut transaction = pool.begin().await.unwrap();
    let new = deliveries::replay(&mut transaction, id, "ops").await;
    transaction.commit().await.unwrap();
    let new = new.unwrap().unwrap();
    hooks::tick(&app.context).await.unwrap();
    let (state, _, words) = became(pool, new).await;
    (new, state, words)
}

/// Keeps a delivery as the door does, without a door; its number.
pub async fn insert(pool: &PgPool, event: &str, key: &str, body: &Value) -> i64 {
    let packed = zstd::encode_all(body.to_string().as_bytes(), 3).unwrap();
    let headers = [("x-github-event".to_owned(), event.to_owned())].into();
    let new = deliveries::NewDelivery {
        repository: "cpython",
        forge: "github",
        key,
        event,
        headers: &headers,
        body: &packed,
        body_bytes: i32::try_from(body.to_string().len()).unwrap(),
    };
    let stored = deliveries::insert(pool, &new).await.unwrap();
    stored.unwrap().0
}

/// A service that tracks a repository (looked at once a year only) and takes GitHub's hooks for a project.
pub async fn start(
    pool: &PgPool,
    repository: &Repository,
    project: &str,
) -> (TestApp, ForgeServer) {
    let forge = ForgeServer::start(ForgeKind::Github).await;
    let settings = forge.config("").replace("python/cpython", project);
    let config = CONFIG.replace("/nowhere", repository.path().to_str().unwrap());
    let config = config.replacen("[[runtime]]", &format!("{settings}[[runtime]]"), 1);
    let config = config.replace(
        "listen =",
        "schedule = \"0 0 0 1 1 *\"\nhooks = { most_bytes = 1000000 }\nlisten =",
    );
    let app = TestApp::start_with(pool, &config).await;
    sync(&app.context).await;
    discover::tick(&app.context).await.unwrap();
    (app, forge)
}

/// A push to a branch or a tag.
pub fn push(reference: &str) -> Value {
    json!({
        "ref": reference, "before": "a".repeat(40), "after": "b".repeat(40),
        "repository": { "full_name": "python/cpython" },
    })
}

/// A number of the database.
pub async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}
