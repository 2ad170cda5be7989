//! GitHub's check runs: how a commit is, with a text of any length, edited in place. Only apps may write them.
//!
//! A check run that is over keeps its state and its conclusion: GitHub changes neither any more, only the text (github.com/orgs/community,
//! discussion 24761). What follows an end is a new one of the same name, which is the one that GitHub shows and counts.

use reqwest::Client;
use serde_json::{Value, json};

use super::status::{encode, encode_path};
use super::{Forge, send};
use crate::domain::hook::ForgeKind;
use crate::domain::telling::Failure;

/// Longest text that GitHub takes, in characters.
const LONGEST: usize = 65_535;

/// Where a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Not begun.
    Queued,
    /// Under way.
    InProgress,
    /// Over.
    Completed(Conclusion),
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Fine.
    Success,
    /// Not fine.
    Failure,
    /// Neither.
    Neutral,
    /// Ended before there was an answer.
    Cancelled,
    /// Somebody has to do something.
    ActionRequired,
}

impl CheckState {
    /// GitHub's word for how it ended; nothing while it is not over.
    pub fn ended(self) -> Option<&'static str> {
        match self {
            Self::Queued | Self::InProgress => None,
            Self::Completed(conclusion) => Some(conclusion.as_str()),
        }
    }

    /// Whether a check run with this conclusion (nothing: not over) can be edited to be so.
    pub fn may_follow(self, ended: Option<&str>) -> bool {
        ended.is_none() || ended == self.ended()
    }

    /// GitHub's word for where it is.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed(_) => "completed",
        }
    }
}

impl Conclusion {
    /// GitHub's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Cancelled => "cancelled",
            Self::ActionRequired => "action_required",
        }
    }
}

/// What a check says.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// Its name in the list of checks: of several with one name the newest counts.
    pub name: &'a str,
    /// The commit's full hash.
    pub hash: &'a str,
    /// By which it is found again.
    pub external_id: &'a str,
    /// Where more is.
    pub details_url: &'a str,
    /// Where it is.
    pub state: CheckState,
    /// In one line.
    pub title: &'a str,
    /// In full: Markdown.
    pub summary: &'a str,
}

impl Forge {
    /// Writes a check run, or edits the one that is there, and returns its key for the next time. `known` is that key, when it is kept
    /// somewhere and can be edited; else it is looked for by name and external id, so that a try whose answer was lost makes no second one.
    pub async fn set_check(
        &self,
        client: &Client,
        check: &Check<'_>,
        known: Option<i64>,
    ) -> Result<i64, Failure> {
        match self.kind {
            ForgeKind::Github => {}
            ForgeKind::Gitlab | ForgeKind::Forgejo => {
                return Err(Failure::permanent("only GitHub has check runs"));
            }
        }
        if let Some(id) = known {
            match self.edit_check(client, check, id).await {
                Ok(()) => return Ok(id),
                Err(failure) if failure.message.starts_with("answer 404") => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some(id) = self.find_check(client, check).await? {
            self.edit_check(client, check, id).await?;
            return Ok(id);
        }
        let mut body = body(check);
        body["head_sha"] = json!(check.hash);
        let request = self.request(client.post(self.checks_address())).json(&body);
        let answer: Value = serde_json::from_str(&send(request).await?).unwrap_or_default();
        answer["id"]
            .as_i64()
            .ok_or_else(|| Failure::permanent("the answer: field id: is missing"))
    }

    async fn edit_check(&self, client: &Client, check: &Check<'_>, id: i64) -> Result<(), Failure> {
        let address = format!("{}/{id}", self.checks_address());
        let request = self.request(client.patch(address)).json(&body(check));
        send(request).await.map(drop)
    }

    async fn find_check(&self, client: &Client, check: &Check<'_>) -> Result<Option<i64>, Failure> {
        let path = format!(
            "repos/{}/commits/{}/check-runs?check_name={}&filter=all&per_page=100",
            encode_path(&self.project),
            encode(check.hash),
            encode(check.name)
        );
        let answer = send(self.request(client.get(self.address(&path)))).await?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        // Another app's with our name is not ours to edit.
        let is_ours = |one: &&Value| {
            one["external_id"] == check.external_id
                && (self.app.is_none() || one["app"]["id"].as_i64() == self.app)
        };
        let runs = answer["check_runs"].as_array().into_iter().flatten();
        let newest = runs.filter(is_ours).max_by_key(|one| one["id"].as_i64());
        let editable = newest.filter(|one| check.state.may_follow(one["conclusion"].as_str()));
        Ok(editable.and_then(|one| one["id"].as_i64()))
    }

    fn checks_address(&self) -> String {
        self.address(&format!("repos/{}/check-runs", encode_path(&self.project)))
    }
}

/// What a request to write or edit says.
fn body(check: &Check<'_>) -> Value {
    let summary: String = check.summary.chars().take(LONGEST).collect();
    let mut body = json!({
        "name": check.name,
        "external_id": check.external_id,
        "details_url": check.details_url,
        "status": check.state.as_str(),
        "output": { "title": check.title, "summary": summary },
    });
    if let Some(conclusion) = check.state.ended() {
        body["conclusion"] = json!(conclusion);
    }
    body
}
