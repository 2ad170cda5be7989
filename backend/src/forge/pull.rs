//! Pull requests (on GitLab: merge requests): what they are, who may ask for work on them, and a comment that is edited in place.

use reqwest::Client;
use serde_json::{Value, json};

use super::status::{encode, encode_path, hidden};
use super::{Forge, send};
use crate::domain::fields::Fields;
use crate::domain::hook::{Author, ForgeKind, PullFacts};
use crate::domain::telling::Failure;

/// Comments on a page of a list: the most that all forges give.
const PAGE: usize = 100;
/// Pages that are looked through for a comment of ours.
const MOST_PAGES: usize = 30;
/// GitLab's access level of developers: who may push.
const GITLAB_DEVELOPER: i64 = 30;

impl Forge {
    /// Writes a comment on a pull request, or edits the one that is there, and returns its key for the next time. `known` is that key,
    /// when it is kept somewhere; else the comment is looked for by its mark, so that a try whose answer was lost does not make a
    /// second one. The mark does not show; nobody can know it before the first comment is there.
    pub async fn comment_on_pull(
        &self,
        client: &Client,
        number: i64,
        text: &str,
        mark: &str,
        known: Option<i64>,
    ) -> Result<i64, Failure> {
        let mark = hidden(mark);
        let body = format!("{text}\n\n{mark}");
        if let Some(id) = known {
            match self.edit_comment(client, number, id, &body).await {
                Ok(()) => return Ok(id),
                // Somebody has removed it: another one is written.
                Err(failure) if failure.message.starts_with("answer 404") => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Some((id, there)) = self.find_comment(client, number, &mark).await? {
            if there.trim_end() != body.trim_end() {
                self.edit_comment(client, number, id, &body).await?;
            }
            return Ok(id);
        }
        let address = self.address(&self.comments_path(number));
        let request = self.request(client.post(address));
        let made = read(&send(request.json(&json!({ "body": body }))).await?)?;
        Fields::of(&made).number("id").map_err(unreadable)
    }

    /// The facts of a pull request.
    pub async fn find_pull(&self, client: &Client, number: i64) -> Result<PullFacts, Failure> {
        let address = self.address(&format!("{}/{number}", self.pulls_path()));
        let answer = read(&send(self.request(client.get(address))).await?)?;
        super::payload::pull(self.kind, &answer).map_err(unreadable)
    }

    /// Whether somebody may push to the project, by the forge's own word. Who is unknown there may not.
    pub async fn may_push(&self, client: &Client, author: &Author) -> Result<bool, Failure> {
        let path = match (self.kind, author.id) {
            (ForgeKind::Github | ForgeKind::Forgejo, _) => format!(
                "repos/{}/collaborators/{}/permission",
                encode_path(&self.project),
                encode(&author.name)
            ),
            (ForgeKind::Gitlab, Some(id)) => {
                format!("projects/{}/members/all/{id}", encode(&self.project))
            }
            (ForgeKind::Gitlab, None) => return Ok(false),
        };
        let answer = match send(self.request(client.get(self.address(&path)))).await {
            Ok(text) => read(&text)?,
            Err(failure) if failure.message.starts_with("answer 404") => return Ok(false),
            Err(failure) => return Err(failure),
        };
        Ok(match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => matches!(
                answer["permission"].as_str(),
                Some("owner" | "admin" | "maintain" | "write")
            ),
            ForgeKind::Gitlab => {
                answer["state"] == "active"
                    && answer["access_level"].as_i64() >= Some(GITLAB_DEVELOPER)
            }
        })
    }

    async fn edit_comment(
        &self,
        client: &Client,
        number: i64,
        id: i64,
        body: &str,
    ) -> Result<(), Failure> {
        let request = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => client.patch(self.address(&format!(
                "repos/{}/issues/comments/{id}",
                encode_path(&self.project)
            ))),
            ForgeKind::Gitlab => {
                client.put(self.address(&format!("{}/{id}", self.comments_path(number))))
            }
        };
        let request = self.request(request).json(&json!({ "body": body }));
        send(request).await.map(drop)
    }

    /// The comment with this mark: its key and its text.
    async fn find_comment(
        &self,
        client: &Client,
        number: i64,
        mark: &str,
    ) -> Result<Option<(i64, String)>, Failure> {
        let mut first_of_last = None;
        for page in 1..=MOST_PAGES {
            let path = self.comments_path(number);
            // GitLab gives the newest first unless asked.
            let order = match self.kind {
                ForgeKind::Gitlab => "&sort=asc&order_by=created_at",
                ForgeKind::Github | ForgeKind::Forgejo => "",
            };
            let address = self.address(&format!("{path}?per_page={PAGE}&page={page}{order}"));
            let there = read(&send(self.request(client.get(address))).await?)?;
            let list = there
                .as_array()
                .ok_or_else(|| Failure::permanent("the list of comments is none"))?;
            for one in list {
                let (id, body) = (one["id"].as_i64(), one["body"].as_str());
                if let (Some(id), Some(body)) = (id, body)
                    && body.contains(mark)
                {
                    return Ok(Some((id, body.to_owned())));
                }
            }
            // Forgejo knows no pages here and gives everything each time.
            let first = list.first().and_then(|one| one["id"].as_i64());
            if list.len() < PAGE || first == first_of_last {
                break;
            }
            first_of_last = first;
        }
        Ok(None)
    }

    fn pulls_path(&self) -> String {
        match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => {
                format!("repos/{}/pulls", encode_path(&self.project))
            }
            ForgeKind::Gitlab => format!("projects/{}/merge_requests", encode(&self.project)),
        }
    }

    fn comments_path(&self, number: i64) -> String {
        match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => format!(
                "repos/{}/issues/{number}/comments",
                encode_path(&self.project)
            ),
            ForgeKind::Gitlab => format!("{}/{number}/notes", self.pulls_path()),
        }
    }
}

fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::permanent(format!("the answer is no JSON: {error}")))
}

fn unreadable(error: crate::domain::fields::Wrong) -> Failure {
    Failure::permanent(format!("the answer: {error}"))
}
