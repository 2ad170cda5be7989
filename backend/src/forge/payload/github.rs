//! GitHub's hooks, and those of Forgejo and Gitea, which are shaped like them.

use super::commit;
use crate::domain::fields::{Fields, Wrong};
use crate::domain::hook::{Author, Checked, Comment, Hook, PullFacts, PullState, Rerequest};

/// What a hook says.
pub(super) fn hook(event: &str, body: Fields<'_>) -> Result<Hook, Wrong> {
    match event {
        "ping" => Ok(Hook::Ping),
        "push" => Ok(Hook::Push {
            reference: body.text("ref")?.to_owned(),
            before: commit(body.hash("before")?),
            after: commit(body.hash("after")?),
        }),
        "create" => create(body),
        "release" => release(body),
        "pull_request" | "pull_request_sync" => {
            let inner = body.within("pull_request")?;
            pull(inner)
                .map(Hook::Pull)
                .map_err(|wrong| wrong.below("pull_request"))
        }
        "issue_comment" | "pull_request_comment" => comment(body),
        "check_run" | "check_suite" => rerequest(event, body),
        _ => Ok(Hook::Other(format!(
            "nothing follows from the event {event:?}"
        ))),
    }
}

/// Of checks only the wish to have one again: the rest is what we have written ourselves.
fn rerequest(event: &str, body: Fields<'_>) -> Result<Hook, Wrong> {
    let action = body.text("action")?;
    if action != "rerequested" {
        return Ok(Hook::Other(format!(
            "nothing follows from a {event} that is {action}"
        )));
    }
    let checked = if event == "check_run" {
        Checked::Run(body.number("check_run.id")?)
    } else {
        Checked::Commit(body.hash("check_suite.head_sha")?.to_owned())
    };
    Ok(Hook::Rerequest(Rerequest {
        checked,
        app: body.number(&format!("{event}.app.id"))?,
        author: Author {
            name: body.text("sender.login")?.to_owned(),
            id: body.number("sender.id").ok(),
        },
    }))
}

fn create(body: Fields<'_>) -> Result<Hook, Wrong> {
    let name = body.text("ref")?.to_owned();
    Ok(match body.text("ref_type")? {
        "tag" => Hook::Tag(name.trim_start_matches("refs/tags/").to_owned()),
        // A push comes, too, and says more.
        _ => Hook::Other(format!(
            "branch {name:?} was made; the push that goes with it counts"
        )),
    })
}

fn release(body: Fields<'_>) -> Result<Hook, Wrong> {
    let tag = body.text("release.tag_name")?.to_owned();
    Ok(match body.text("action")? {
        "published" | "released" | "prereleased" => Hook::Tag(tag),
        action => Hook::Other(format!("nothing follows from a release that is {action}")),
    })
}

/// A pull request, of the API or of a hook: both have the same shape.
pub(super) fn pull(body: Fields<'_>) -> Result<PullFacts, Wrong> {
    let state = match (
        body.text("state")?,
        body.is_true("merged") || body.find("merged_at").is_some(),
    ) {
        (_, true) => PullState::Merged,
        ("open", false) => PullState::Open,
        (_, false) => PullState::Closed,
    };
    // A fork that is gone is null, and was one.
    let head = body.find_text("head.repo.full_name");
    let base = body.find_text("base.repo.full_name");
    Ok(PullFacts {
        number: body.number("number")?,
        title: body.text("title")?.to_owned(),
        author: body.find_text("user.login").map(str::to_owned),
        head_hash: body.hash("head.sha")?.to_owned(),
        head_branch: body.text("head.ref")?.to_owned(),
        base_branch: body.text("base.ref")?.to_owned(),
        state,
        fork: head.is_none() || head != base,
        updated_at: body.moment("updated_at"),
    })
}

fn comment(body: Fields<'_>) -> Result<Hook, Wrong> {
    let action = body.text("action")?;
    if action != "created" {
        return Ok(Hook::Other(format!(
            "nothing follows from a comment that is {action}"
        )));
    }
    // Forgejo says `is_pull`; both put a `pull_request` into the issue.
    if !body.is_true("is_pull") && body.find("issue.pull_request").is_none() {
        return Ok(Hook::Other(
            "a comment on an issue, not on a pull request".to_owned(),
        ));
    }
    if body.find_text("comment.user.type") == Some("Bot") {
        return Ok(Hook::Other("a comment of a program".to_owned()));
    }
    Ok(Hook::Comment(Comment {
        id: body.number("comment.id")?,
        pull: body.number("issue.number")?,
        body: body.text("comment.body")?.to_owned(),
        author: Author {
            name: body.text("comment.user.login")?.to_owned(),
            id: body.number("comment.user.id").ok(),
        },
        association: body
            .find_text("comment.author_association")
            .map(str::to_owned),
    }))
}
