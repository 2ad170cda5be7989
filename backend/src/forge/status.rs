//! A status, and a comment, on a commit, in each forge's own words.

use reqwest::{Client, RequestBuilder};
use serde_json::json;

use crate::domain::hook::ForgeKind;

use super::send;
use crate::domain::telling::Failure;

/// Longest description that all forges take.
const LONGEST: usize = 140;

/// A project on a forge.
#[derive(Clone)]
pub struct Forge {
    /// Its API.
    pub kind: ForgeKind,
    /// Where the API is: `https://api.github.com`, `https://gitlab.example/api/v4`, `https://codeberg.org/api/v1`.
    pub api: String,
    /// `owner/name`; on GitLab the whole path.
    pub project: String,
    /// Token that may set statuses.
    pub token: String,
    /// The app whose token it is: only apps may write checks.
    pub app: Option<i64>,
}

/// How a commit is, by one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitState {
    /// Not known yet.
    Pending,
    /// Fine.
    Success,
    /// Not fine.
    Failure,
}

impl CommitState {
    /// The word that this forge has for it.
    fn word(self, kind: ForgeKind) -> &'static str {
        match (self, kind) {
            (Self::Pending, _) => "pending",
            (Self::Success, _) => "success",
            (Self::Failure, ForgeKind::Github | ForgeKind::Forgejo) => "failure",
            (Self::Failure, ForgeKind::Gitlab) => "failed",
        }
    }
}

/// What is said of a commit.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// The commit's full hash.
    pub hash: &'a str,
    /// How it is.
    pub state: CommitState,
    /// In one line.
    pub description: &'a str,
    /// Where more is.
    pub target_url: &'a str,
    /// Tells our statuses from others', and those of one regression from those of another.
    pub context: &'a str,
}

impl Forge {
    /// Sets the status. Repeating it changes nothing that anybody sees: the newest of a context counts.
    pub async fn set_status(&self, client: &Client, verdict: &Verdict<'_>) -> Result<(), Failure> {
        let description: String = verdict.description.chars().take(LONGEST).collect();
        let hash = encode(verdict.hash);
        let (path, body) = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => (
                format!("repos/{}/statuses/{hash}", encode_path(&self.project)),
                json!({
                    "state": verdict.state.word(self.kind),
                    "target_url": verdict.target_url,
                    "description": description,
                    "context": verdict.context,
                }),
            ),
            ForgeKind::Gitlab => (
                format!("projects/{}/statuses/{hash}", encode(&self.project)),
                json!({
                    "state": verdict.state.word(self.kind),
                    "target_url": verdict.target_url,
                    "description": description,
                    "name": verdict.context,
                }),
            ),
        };
        match send(self.request(client.post(self.address(&path))).json(&body)).await {
            // GitLab refuses to set a status to the state that it has: it is set, then.
            Err(failure)
                if self.kind == ForgeKind::Gitlab
                    && failure.message.contains("Cannot transition status") =>
            {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Writes a comment, unless one with the same mark is there: a try whose answer was lost is not repeated. The mark does not
    /// show. Only the newest hundred comments are looked through.
    pub async fn comment(
        &self,
        client: &Client,
        hash: &str,
        text: &str,
        mark: &str,
    ) -> Result<(), Failure> {
        let mark = hidden(mark);
        let (path, field) = match self.kind {
            ForgeKind::Github => (
                format!(
                    "repos/{}/commits/{}/comments",
                    encode_path(&self.project),
                    encode(hash)
                ),
                "body",
            ),
            ForgeKind::Gitlab => (
                format!(
                    "projects/{}/repository/commits/{}/comments",
                    encode(&self.project),
                    encode(hash)
                ),
                "note",
            ),
            ForgeKind::Forgejo => {
                return Err(Failure::permanent("this forge has no comments on commits"));
            }
        };
        let address = self.address(&path);
        let there = send(self.request(client.get(format!("{address}?per_page=100")))).await?;
        let there: Vec<serde_json::Value> = serde_json::from_str(&there).unwrap_or_default();
        let known =
            |one: &serde_json::Value| one[field].as_str().is_some_and(|body| body.contains(&mark));
        if there.iter().any(known) {
            return Ok(());
        }
        let body = json!({ field: format!("{text}\n\n{mark}") });
        send(self.request(client.post(address)).json(&body)).await?;
        Ok(())
    }

    pub(super) fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.api.trim_end_matches('/'))
    }

    pub(super) fn request(&self, request: RequestBuilder) -> RequestBuilder {
        match self.kind {
            ForgeKind::Github => request
                .bearer_auth(&self.token)
                .header("accept", "application/vnd.github+json")
                .header("x-github-api-version", "2022-11-28"),
            ForgeKind::Gitlab => request.header("private-token", &self.token),
            ForgeKind::Forgejo => request.header("authorization", format!("token {}", self.token)),
        }
    }
}

/// What tells a comment of ours from all others, and does not show.
pub(super) fn hidden(mark: &str) -> String {
    format!("<!-- speedwell {mark} -->")
}

/// Text as one segment of a path: GitLab wants `owner%2Fname`.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

pub(super) fn encode_path(text: &str) -> String {
    text.split('/').map(encode).collect::<Vec<_>>().join("/")
}
