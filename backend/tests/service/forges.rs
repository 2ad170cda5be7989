//! What leaves for forges: comments that are edited in place, statuses, questions, and waiting when one is asked to.

use chrono::{Duration, Utc};
use speedwell_backend::domain::hook::{Author, ForgeKind, PullState};
use speedwell_backend::forge::{self, CommitState, Forge, Tokens, Verdict};

use crate::support::forge::{ForgeServer, PROJECT, Pull, TOKEN};

const KINDS: [ForgeKind; 3] = [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Forgejo];

fn pull(fork: bool) -> Pull {
    Pull {
        title: "Make it <b>fast</b>".to_owned(),
        author: "ada".to_owned(),
        head: "a".repeat(40),
        head_branch: "fast".to_owned(),
        base_branch: "main".to_owned(),
        fork,
    }
}

async fn open(server: &ForgeServer) -> Forge {
    let config = crate::support::CONFIG.replace(
        "[[runtime]]\nname = \"cpython-main\"",
        &format!("{}[[runtime]]\nname = \"cpython-main\"", server.config("")),
    );
    let config = speedwell_backend::config::Config::parse(&config, "test.toml").unwrap();
    let settings = config.repositories[0].forge.as_ref().unwrap();
    let place = (
        settings.kind,
        settings.api.as_str(),
        settings.project.as_str(),
    );
    let client = forge::client().unwrap();
    Tokens::default()
        .open(&client, place, settings.actor().unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_comment_is_made_once_and_edited_in_place() {
    let client = forge::client().unwrap();
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        server.put_pull(7, pull(true));
        // More comments than a page holds.
        for _ in 0..230 {
            server.put_comment(7, "me too");
        }
        let forge = open(&server).await;
        let id = forge
            .comment_on_pull(&client, 7, "waiting", "try 1", None)
            .await
            .unwrap();
        // The answer was lost: the comment is found by its mark.
        let again = forge
            .comment_on_pull(&client, 7, "measuring", "try 1", None)
            .await
            .unwrap();
        assert_eq!(id, again, "{kind:?}");
        forge
            .comment_on_pull(&client, 7, "done", "try 1", Some(id))
            .await
            .unwrap();
        let other = forge
            .comment_on_pull(&client, 7, "waiting", "try 2", None)
            .await
            .unwrap();
        assert_ne!(other, id);
        let comments = server.comments();
        assert_eq!(comments.len(), 232, "{kind:?}");
        let ours = comments.iter().find(|one| one.id == id).unwrap();
        assert_eq!(
            (ours.body.as_str(), ours.edits),
            ("done\n\n<!-- speedwell try 1 -->", 2)
        );
        // Somebody has removed it.
        server.remove_comment(id);
        let new = forge
            .comment_on_pull(&client, 7, "done", "try 1", Some(id))
            .await
            .unwrap();
        assert_ne!(new, id);
        let failure = forge
            .comment_on_pull(&client, 8, "x", "try 3", None)
            .await
            .unwrap_err();
        assert!(
            failure.permanent && failure.message.contains("404"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn pull_requests_and_permissions_are_read() {
    let client = forge::client().unwrap();
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        server.put_pull(7, pull(true));
        server.put_pull(8, pull(false));
        server.put_member("ada", 11, "write");
        server.put_member("bob", 12, "read");
        let forge = open(&server).await;
        let facts = forge.find_pull(&client, 7).await.unwrap();
        assert_eq!(
            (facts.number, facts.state, facts.fork),
            (7, PullState::Open, true),
            "{kind:?}"
        );
        assert_eq!(
            (facts.author.as_deref(), facts.head_branch.as_str()),
            (Some("ada"), "fast")
        );
        assert!(facts.updated_at.is_some());
        assert!(!forge.find_pull(&client, 8).await.unwrap().fork);
        assert!(forge.find_pull(&client, 9).await.unwrap_err().permanent);
        for (name, id, expected) in [("ada", 11, true), ("bob", 12, false), ("eve", 13, false)] {
            let author = Author {
                name: name.to_owned(),
                id: Some(id),
            };
            assert_eq!(
                forge.may_push(&client, &author).await.unwrap(),
                expected,
                "{kind:?} {name}"
            );
        }
    }
}

#[tokio::test]
async fn a_status_goes_from_pending_to_its_end() {
    let client = forge::client().unwrap();
    for kind in KINDS {
        let server = ForgeServer::start(kind).await;
        let forge = Forge {
            token: TOKEN.to_owned(),
            project: PROJECT.to_owned(),
            ..open(&server).await
        };
        let hash = "b".repeat(40);
        for state in [
            CommitState::Pending,
            CommitState::Pending,
            CommitState::Failure,
        ] {
            let verdict = Verdict {
                hash: &hash,
                state,
                description: &"ä".repeat(200),
                target_url: "https://speed.example/tries/1",
                context: "speedwell/try",
            };
            forge.set_status(&client, &verdict).await.unwrap();
        }
        let statuses = server.statuses();
        let last = statuses.last().unwrap();
        let word = if kind == ForgeKind::Gitlab {
            "failed"
        } else {
            "failure"
        };
        assert_eq!(
            (last.state.as_str(), last.context.as_str()),
            (word, "speedwell/try")
        );
        assert_eq!(statuses[0].state, "pending");
    }
}

#[tokio::test]
async fn who_asks_for_patience_gets_it() {
    let client = forge::client().unwrap();
    let server = ForgeServer::start(ForgeKind::Github).await;
    server.put_pull(7, pull(false));
    let reset = (Utc::now() + Duration::minutes(20)).timestamp().to_string();
    server.refuse_next(
        403,
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", &reset),
        ],
        "API rate limit exceeded",
    );
    server.refuse_next(403, &[], "Resource not accessible by personal access token");
    let forge = open(&server).await;
    let failure = forge.find_pull(&client, 7).await.unwrap_err();
    assert_eq!(failure.wait_until.unwrap().timestamp().to_string(), reset);
    assert!(!failure.permanent);
    let failure = forge.find_pull(&client, 7).await.unwrap_err();
    assert!(failure.permanent && failure.wait_until.is_none());
}
