//! A forge in memory, served over real HTTP: pull requests, comments that are edited, statuses, check runs of an app, who may push, and
//! limits. Shaped as the API documentation of GitHub, GitLab and Forgejo says.

pub mod app;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use speedwell_backend::domain::hook::ForgeKind;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use app::{INSTALLATION, StoredCheck, bearer, check_json};

/// The token that it accepts.
pub const TOKEN: &str = "forge-token";
/// The project that it has.
pub const PROJECT: &str = "python/cpython";

/// A pull request.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Its title.
    pub title: String,
    /// Who has made it.
    pub author: String,
    /// Newest commit.
    pub head: String,
    /// Its branch.
    pub head_branch: String,
    /// The branch that it is for.
    pub base_branch: String,
    /// Whether it comes from another project.
    pub fork: bool,
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredComment {
    /// Its key.
    pub id: i64,
    /// Its pull request.
    pub pull: i64,
    /// Its text.
    pub body: String,
    /// How often it was edited.
    pub edits: usize,
}

/// A status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredStatus {
    /// The commit.
    pub hash: String,
    /// The forge's word.
    pub state: String,
    /// Whose.
    pub context: String,
    /// In one line.
    pub description: String,
    /// Where more is.
    pub target_url: String,
}

/// Status, headers, body.
type Refusal = (u16, Vec<(String, String)>, String);

#[derive(Debug, Default)]
struct State {
    pulls: BTreeMap<i64, Pull>,
    comments: Vec<StoredComment>,
    statuses: Vec<StoredStatus>,
    checks: Vec<StoredCheck>,
    /// Tokens of the app's installation that hold.
    app_tokens: Vec<String>,
    /// How often the app has signed in.
    sign_ins: usize,
    /// For so long a new token holds.
    token_seconds: i64,
    /// Name, key and permission: GitHub's and Forgejo's word.
    members: Vec<(String, i64, String)>,
    refusals: VecDeque<Refusal>,
    requests: Vec<String>,
    last_id: i64,
}

/// The forge; it ends with the test.
pub struct ForgeServer {
    /// Which.
    pub kind: ForgeKind,
    server: MockServer,
    state: Arc<Mutex<State>>,
    folder: tempfile::TempDir,
}

impl ForgeServer {
    /// Listens on a free port.
    pub async fn start(kind: ForgeKind) -> Self {
        let server = MockServer::start().await;
        let state = Arc::new(Mutex::new(State {
            token_seconds: 3600,
            ..State::default()
        }));
        let folder = tempfile::tempdir().unwrap();
        let responder = Responder {
            kind,
            state: Arc::clone(&state),
            folder: folder.path().to_owned(),
        };
        Mock::given(any())
            .respond_with(responder)
            .mount(&server)
            .await;
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(folder.path().join("hook-secret"), format!("{SECRET}\n")).unwrap();
        Self {
            kind,
            server,
            state,
            folder,
        }
    }

    /// `[repository.forge]` for it; `more` goes into that table.
    pub fn config(&self, more: &str) -> String {
        format!(
            "[repository.forge]\nkind = \"{}\"\napi = \"{}\"\nproject = \"{PROJECT}\"\ntoken_file = \"{}\"\n\
             hook_secret_file = \"{}\"\n{more}\n",
            self.kind.as_str(),
            self.server.uri(),
            self.folder.path().join("token").display(),
            self.folder.path().join("hook-secret").display(),
        )
    }

    /// Adds a pull request, or changes it.
    pub fn put_pull(&self, number: i64, pull: Pull) {
        self.state.lock().unwrap().pulls.insert(number, pull);
    }

    /// Lets somebody push (`write`), or only read (`read`).
    pub fn put_member(&self, name: &str, id: i64, permission: &str) {
        let member = (name.to_owned(), id, permission.to_owned());
        self.state.lock().unwrap().members.push(member);
    }

    /// A comment that somebody else has written.
    pub fn put_comment(&self, pull: i64, body: &str) -> i64 {
        let mut state = self.state.lock().unwrap();
        state.add_comment(pull, body)
    }

    /// Removes a comment.
    pub fn remove_comment(&self, id: i64) {
        let mut state = self.state.lock().unwrap();
        state.comments.retain(|one| one.id != id);
    }

    /// Answers the next request with this instead of doing it.
    pub fn refuse_next(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let refusal = (status, headers, body.to_owned());
        self.state.lock().unwrap().refusals.push_back(refusal);
    }

    /// All comments.
    pub fn comments(&self) -> Vec<StoredComment> {
        self.state.lock().unwrap().comments.clone()
    }

    /// All statuses, in the order in which they were set.
    pub fn statuses(&self) -> Vec<StoredStatus> {
        self.state.lock().unwrap().statuses.clone()
    }

    /// `METHOD PATH` of all requests, refused ones too.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// The secret of its hooks.
pub const SECRET: &str = "It's a Secret to Everybody";

impl State {
    fn add_comment(&mut self, pull: i64, body: &str) -> i64 {
        self.last_id += 1;
        let id = 1000 + self.last_id;
        self.comments.push(StoredComment {
            id,
            pull,
            body: body.to_owned(),
            edits: 0,
        });
        id
    }
}

struct Responder {
    kind: ForgeKind,
    state: Arc<Mutex<State>>,
    folder: std::path::PathBuf,
}

type Answer = (u16, Value);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.state.lock().unwrap();
        let line = format!("{} {}", request.method, request.url.path());
        state.requests.push(line);
        if let Some((status, headers, body)) = state.refusals.pop_front() {
            let answer = ResponseTemplate::new(status).set_body_string(body);
            return headers.iter().fold(answer, |answer, (name, value)| {
                answer.insert_header(name.as_str(), value.as_str())
            });
        }
        let sign_in = format!("/app/installations/{INSTALLATION}/access_tokens");
        let by_app = state
            .app_tokens
            .iter()
            .any(|token| bearer(request) == Some(token.as_str()));
        let (status, body) = if request.url.path() == sign_in {
            self.sign_in(&mut state, request)
        } else if by_app || self.is_known(request) {
            self.answer(&mut state, request, by_app)
        } else {
            (401, json!({ "message": "Bad credentials" }))
        };
        ResponseTemplate::new(status).set_body_json(body)
    }
}

impl Responder {
    fn is_known(&self, request: &Request) -> bool {
        let (name, value) = match self.kind {
            ForgeKind::Github => ("authorization", format!("Bearer {TOKEN}")),
            ForgeKind::Gitlab => ("private-token", TOKEN.to_owned()),
            ForgeKind::Forgejo => ("authorization", format!("token {TOKEN}")),
        };
        request
            .headers
            .get(name)
            .is_some_and(|given| given.as_bytes() == value.as_bytes())
    }

    fn answer(&self, state: &mut State, request: &Request, by_app: bool) -> Answer {
        let missing = (404, json!({ "message": "Not Found" }));
        let base = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => format!("/repos/{PROJECT}/"),
            ForgeKind::Gitlab => format!("/projects/{}/", PROJECT.replace('/', "%2F")),
        };
        let Some(rest) = request.url.path().strip_prefix(&base) else {
            return missing;
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let number = |text: &str| text.parse::<i64>().unwrap_or(-1);
        match (self.kind, request.method.as_str(), parts.as_slice()) {
            (_, "GET", ["pulls" | "merge_requests", one]) => {
                let one = number(one);
                let found = state.pulls.get(&one);
                found.map_or(missing, |pull| (200, self.pull(one, pull)))
            }
            (_, "GET", ["issues", one, "comments"] | ["merge_requests", one, "notes"]) => {
                (200, self.list(state, number(one), request))
            }
            (_, "POST", ["issues", one, "comments"] | ["merge_requests", one, "notes"]) => {
                let one = number(one);
                let text = body["body"].as_str().unwrap_or_default();
                if !state.pulls.contains_key(&one) {
                    return missing;
                }
                if text.is_empty() {
                    return (422, json!({ "message": "body is empty" }));
                }
                let id = state.add_comment(one, text);
                (201, json!({ "id": id, "body": text }))
            }
            (ForgeKind::Github | ForgeKind::Forgejo, "PATCH", ["issues", "comments", id])
            | (ForgeKind::Gitlab, "PUT", ["merge_requests", _, "notes", id]) => {
                let id = number(id);
                let Some(comment) = state.comments.iter_mut().find(|one| one.id == id) else {
                    return missing;
                };
                comment.body = body["body"].as_str().unwrap().to_owned();
                comment.edits += 1;
                (200, json!({ "id": id, "body": comment.body }))
            }
            (ForgeKind::Github, "POST", ["check-runs"]) if by_app => {
                Self::set_check(state, None, &body)
            }
            (ForgeKind::Github, "PATCH", ["check-runs", id]) if by_app => {
                Self::set_check(state, Some(number(id)), &body)
            }
            (ForgeKind::Github, "POST" | "PATCH", ["check-runs", ..]) => {
                let message = "You must authenticate via a GitHub App.";
                (403, json!({ "message": message }))
            }
            (ForgeKind::Github, "GET", ["commits", hash, "check-runs"]) => {
                let mut asked = request.url.query_pairs();
                let name = asked.find(|(key, _)| key == "check_name").unwrap().1;
                let found = state.checks.iter();
                let found = found.filter(|one| one.hash == *hash && one.name == name);
                let found: Vec<Value> = found.map(check_json).collect();
                (
                    200,
                    json!({ "total_count": found.len(), "check_runs": found }),
                )
            }
            (_, "POST", ["statuses", hash]) => self.set_status(state, hash, &body),
            (_, "GET", ["collaborators", name, "permission"]) => {
                let found = state.members.iter().find(|one| one.0 == *name);
                found.map_or(missing, |one| (200, json!({ "permission": one.2 })))
            }
            (ForgeKind::Gitlab, "GET", ["members", "all", id]) => {
                let found = state.members.iter().find(|one| one.1 == number(id));
                found.map_or(missing, |one| {
                    let level = if one.2 == "read" { 20 } else { 30 };
                    (200, json!({ "state": "active", "access_level": level }))
                })
            }
            _ => missing,
        }
    }

    fn pull(&self, number: i64, pull: &Pull) -> Value {
        match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => {
                let head = if pull.fork {
                    "stranger/cpython"
                } else {
                    PROJECT
                };
                json!({
                    "number": number, "title": pull.title, "state": "open", "merged": false, "merged_at": null,
                    "user": { "login": pull.author },
                    "head": { "sha": pull.head, "ref": pull.head_branch, "repo": { "full_name": head } },
                    "base": { "sha": "0".repeat(40), "ref": pull.base_branch, "repo": { "full_name": PROJECT } },
                    "updated_at": "2026-11-29T00:00:00Z",
                })
            }
            ForgeKind::Gitlab => json!({
                "iid": number, "title": pull.title, "state": "opened", "author": { "username": pull.author },
                "sha": pull.head, "source_branch": pull.head_branch, "target_branch": pull.base_branch,
                "source_project_id": if pull.fork { 2 } else { 1 }, "target_project_id": 1,
                "updated_at": "2026-11-29T00:00:00.000Z",
            }),
        }
    }

    fn list(&self, state: &State, pull: i64, request: &Request) -> Value {
        let asked = |name: &str, default: usize| {
            let mut pairs = request.url.query_pairs();
            let found = pairs.find(|(key, _)| key == name);
            found.map_or(default, |(_, value)| value.parse().unwrap())
        };
        let all = state.comments.iter().filter(|one| one.pull == pull);
        let all = all.map(|one| json!({ "id": one.id, "body": one.body }));
        // Forgejo knows no pages here.
        if self.kind == ForgeKind::Forgejo {
            return all.collect();
        }
        let size = asked("per_page", 30).min(100);
        let page = asked("page", 1).max(1);
        all.skip((page - 1) * size).take(size).collect()
    }

    fn set_status(&self, state: &mut State, hash: &str, body: &Value) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (context, words): (_, &[&str]) = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => {
                ("context", &["pending", "success", "failure", "error"])
            }
            ForgeKind::Gitlab => (
                "name",
                &["pending", "running", "success", "failed", "canceled"],
            ),
        };
        let status = StoredStatus {
            hash: hash.to_owned(),
            state: text("state"),
            context: text(context),
            description: text("description"),
            target_url: text("target_url"),
        };
        if !words.contains(&status.state.as_str()) || status.description.chars().count() > 140 {
            return (422, json!({ "message": "Validation Failed" }));
        }
        let newest = state.statuses.iter().rev();
        let mut same = newest.filter(|one| one.hash == hash && one.context == status.context);
        if self.kind == ForgeKind::Gitlab
            && same.next().is_some_and(|one| one.state == status.state)
        {
            let message = format!(
                "Cannot transition status via :enqueue from :{}",
                status.state
            );
            return (400, json!({ "message": message }));
        }
        state.statuses.push(status);
        (201, json!({}))
    }
}
