//! GitLab's hooks, and its API's merge requests, which are shaped otherwise.

use super::commit;
use crate::domain::fields::{Fields, Wrong};
use crate::domain::hook::{Author, Comment, Hook, PullFacts, PullState};

/// What a hook says.
pub(super) fn hook(body: Fields<'_>) -> Result<Hook, Wrong> {
    match body.text("object_kind")? {
        "push" | "tag_push" => Ok(Hook::Push {
            reference: body.text("ref")?.to_owned(),
            before: commit(body.hash("before")?),
            after: commit(body.hash("after")?),
        }),
        "release" => {
            let tag = body.text("tag")?.to_owned();
            Ok(match body.text("action")? {
                "create" => Hook::Tag(tag),
                action => Hook::Other(format!("nothing follows from the {action} of a release")),
            })
        }
        "merge_request" => merge_request(body).map(Hook::Pull),
        "note" => note(body),
        kind => Ok(Hook::Other(format!(
            "nothing follows from the event {kind:?}"
        ))),
    }
}

fn merge_request(body: Fields<'_>) -> Result<PullFacts, Wrong> {
    const AT: &str = "object_attributes";
    let field = |name: &str| format!("{AT}.{name}");
    // `user` is who has done it: the author only when it was opened.
    let opened = body.find_text(&field("action")) == Some("open");
    let author = body.find_text("user.username").filter(|_| opened);
    let source = body.number(&field("source_project_id"))?;
    Ok(PullFacts {
        number: body.number(&field("iid"))?,
        title: body.text(&field("title"))?.to_owned(),
        author: author.map(str::to_owned),
        head_hash: body.hash(&field("last_commit.id"))?.to_owned(),
        head_branch: body.text(&field("source_branch"))?.to_owned(),
        base_branch: body.text(&field("target_branch"))?.to_owned(),
        state: state(body.text(&field("state"))?),
        fork: source != body.number(&field("target_project_id"))?,
        updated_at: body.moment(&field("updated_at")),
    })
}

/// A merge request as the API answers it.
pub(super) fn pull(answer: Fields<'_>) -> Result<PullFacts, Wrong> {
    Ok(PullFacts {
        number: answer.number("iid")?,
        title: answer.text("title")?.to_owned(),
        author: answer.find_text("author.username").map(str::to_owned),
        head_hash: answer.hash("sha")?.to_owned(),
        head_branch: answer.text("source_branch")?.to_owned(),
        base_branch: answer.text("target_branch")?.to_owned(),
        state: state(answer.text("state")?),
        // A fork that is gone is null, and was one.
        fork: answer.find("source_project_id") != answer.find("target_project_id"),
        updated_at: answer.moment("updated_at"),
    })
}

fn state(text: &str) -> PullState {
    match text {
        "merged" => PullState::Merged,
        // `locked` is a merge under way.
        "opened" | "locked" => PullState::Open,
        _ => PullState::Closed,
    }
}

fn note(body: Fields<'_>) -> Result<Hook, Wrong> {
    if body.text("object_attributes.noteable_type")? != "MergeRequest" {
        return Ok(Hook::Other(
            "a comment that is not on a merge request".to_owned(),
        ));
    }
    // Before GitLab 16 a hook for an edited note said nothing; those send no action for new ones.
    let action = body
        .find_text("object_attributes.action")
        .unwrap_or("create");
    if action != "create" {
        return Ok(Hook::Other(format!(
            "nothing follows from the {action} of a comment"
        )));
    }
    if body.is_true("object_attributes.system") {
        return Ok(Hook::Other(
            "a comment that GitLab itself has made".to_owned(),
        ));
    }
    Ok(Hook::Comment(Comment {
        id: body.number("object_attributes.id")?,
        pull: body.number("merge_request.iid")?,
        body: body.text("object_attributes.note")?.to_owned(),
        author: Author {
            name: body.text("user.username")?.to_owned(),
            id: body.number("object_attributes.author_id").ok(),
        },
        association: None,
    }))
}
