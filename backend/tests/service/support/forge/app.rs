//! A GitHub App on the forge in memory: its sign-in, its tokens and its check runs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wiremock::Request;

use super::{Answer, ForgeServer, Responder, State};

/// The app that is installed there.
pub const APP: i64 = 29310;
/// Its installation.
pub const INSTALLATION: i64 = 1_234_567;

/// Runs OpenSSL in a folder; whether it was content.
fn openssl(folder: &std::path::Path, arguments: &[&str]) -> bool {
    let mut command = std::process::Command::new("openssl");
    let done = command.args(arguments).current_dir(folder).output();
    done.unwrap().status.success()
}

/// A check run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheck {
    /// Its key.
    pub id: i64,
    /// The commit.
    pub hash: String,
    /// Its name in the list.
    pub name: String,
    /// By which it is found again.
    pub external_id: String,
    /// Where it is, and how it ended: each state that it has had, in order.
    pub states: Vec<(String, Option<String>)>,
    /// In one line.
    pub title: String,
    /// In full.
    pub summary: String,
    /// Where more is.
    pub details_url: String,
}

impl ForgeServer {
    /// As [`Self::config`], with an app in place of a token. The key is made as GitHub makes them, by OpenSSL.
    pub fn config_of_app(&self, more: &str) -> String {
        let key = self.folder.path().join("app.pem");
        openssl(
            self.folder.path(),
            &["genrsa", "-traditional", "-out", "app.pem", "2048"],
        );
        openssl(
            self.folder.path(),
            &["rsa", "-in", "app.pem", "-pubout", "-out", "app.pub"],
        );
        let app = format!(
            "app_id = {APP}\napp_key_file = \"{}\"\ninstallation_id = {INSTALLATION}\n{more}",
            key.display()
        );
        let token = format!(
            "token_file = \"{}\"\n",
            self.folder.path().join("token").display()
        );
        self.config(&app).replace(&token, "")
    }

    /// Refuses all tokens of the app from now on.
    pub fn end_tokens(&self) {
        self.state.lock().unwrap().app_tokens.clear();
    }

    /// New tokens of the app hold for so long.
    pub fn tokens_hold_for(&self, seconds: i64) {
        self.state.lock().unwrap().token_seconds = seconds;
    }

    /// How often the app has signed in.
    pub fn sign_ins(&self) -> usize {
        self.state.lock().unwrap().sign_ins
    }

    /// Tokens that the app was given and that hold: secrets.
    pub fn app_tokens(&self) -> Vec<String> {
        self.state.lock().unwrap().app_tokens.clone()
    }

    /// All check runs.
    pub fn checks(&self) -> Vec<StoredCheck> {
        self.state.lock().unwrap().checks.clone()
    }
}

impl Responder {
    /// Gives a token for a web token that the app's key has signed, as OpenSSL sees it.
    pub(super) fn sign_in(&self, state: &mut State, request: &Request) -> Answer {
        let refused = |why: &str| (401, json!({ "message": why }));
        let parts: Vec<&str> = bearer(request).unwrap_or_default().split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return refused("A JSON web token could not be decoded");
        };
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let read = |text: &str| serde_json::from_slice::<Value>(&decode(text)).unwrap();
        std::fs::write(self.folder.join("signed"), format!("{header}.{claims}")).unwrap();
        std::fs::write(self.folder.join("signature"), decode(signature)).unwrap();
        let verify = [
            "dgst",
            "-sha256",
            "-verify",
            "app.pub",
            "-signature",
            "signature",
            "signed",
        ];
        if !openssl(&self.folder, &verify) {
            return refused("'Issuer' claim ('iss') or its signature is wrong");
        }
        let (header, claims) = (read(header), read(claims));
        let now = chrono::Utc::now().timestamp();
        let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64().unwrap());
        assert_eq!(
            (header["alg"].as_str(), claims["iss"].as_str()),
            (Some("RS256"), Some(APP.to_string().as_str()))
        );
        if issued > Some(now) || expires <= now || expires > now + 600 {
            return refused("'Expiration time' claim ('exp') is too far in the future");
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            body["repositories"],
            json!(["cpython"]),
            "more than is needed"
        );
        state.sign_ins += 1;
        let token = format!("ghs_{}", uuid::Uuid::new_v4().simple());
        state.app_tokens.push(token.clone());
        let ends = chrono::Utc::now() + chrono::TimeDelta::seconds(state.token_seconds);
        let ends = ends.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let answer = json!({ "token": token, "expires_at": ends, "repository_selection": "selected",
            "permissions": { "checks": "write", "metadata": "read" } });
        (201, answer)
    }

    pub(super) fn set_check(state: &mut State, id: Option<i64>, body: &Value) -> Answer {
        let invalid = |field: &str| {
            let message = format!("Invalid request: {field}");
            (422, json!({ "message": message }))
        };
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let output = |name: &str| body["output"][name].as_str().unwrap_or_default().to_owned();
        let (status, conclusion) = (text("status"), body["conclusion"].as_str());
        if !["queued", "in_progress", "completed"].contains(&status.as_str()) {
            return invalid("status");
        }
        let known = [
            "action_required",
            "cancelled",
            "failure",
            "neutral",
            "success",
            "skipped",
            "timed_out",
        ];
        if conclusion.is_some_and(|one| !known.contains(&one))
            || conclusion.is_some() != (status == "completed")
        {
            return invalid("conclusion");
        }
        if output("title").is_empty() || output("summary").is_empty() || text("name").is_empty() {
            return invalid("output");
        }
        let id = match id {
            Some(id) => id,
            None => {
                if text("head_sha").len() != 40 {
                    return invalid("head_sha");
                }
                state.last_id += 1;
                let id = 4_000_000_000 + state.last_id;
                state.checks.push(StoredCheck {
                    id,
                    hash: text("head_sha"),
                    name: String::new(),
                    external_id: String::new(),
                    states: Vec::new(),
                    title: String::new(),
                    summary: String::new(),
                    details_url: String::new(),
                });
                id
            }
        };
        let Some(check) = state.checks.iter_mut().find(|one| one.id == id) else {
            return (404, json!({ "message": "Not Found" }));
        };
        // What is over keeps its state and its conclusion.
        let next = (status.clone(), conclusion.map(str::to_owned));
        if check
            .states
            .last()
            .is_some_and(|last| last.0 == "completed" && *last != next)
        {
            return invalid("a check run that is over cannot be changed");
        }
        check.name = text("name");
        check.external_id = text("external_id");
        check.details_url = text("details_url");
        check.title = output("title");
        check.summary = output("summary");
        check.states.push((status, conclusion.map(str::to_owned)));
        (201, check_json(check))
    }
}

/// What a request's bearer token is.
pub(super) fn bearer(request: &Request) -> Option<&str> {
    let given = request.headers.get("authorization")?.to_str().ok()?;
    given.strip_prefix("Bearer ")
}

pub(super) fn check_json(check: &StoredCheck) -> Value {
    let (status, conclusion) = check.states.last().unwrap();
    json!({ "id": check.id, "head_sha": check.hash, "name": check.name, "external_id": check.external_id,
        "status": status, "conclusion": conclusion, "app": { "id": APP, "slug": "speedwell" } })
}
