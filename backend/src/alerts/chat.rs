//! Chats and webhooks: what is posted, signed how.

use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::{Value, json};

use super::link::sign;
use super::message::{MOST_STORIES, headline, one_line};
use crate::domain::telling::{CommitLine, Failure, Story, SubscriptionChannel};
use crate::forge;

/// Where a message goes.
#[derive(Clone)]
pub struct Target<'a> {
    /// What listens there.
    pub kind: SubscriptionChannel,
    /// The URL; of a Matrix room `https://SERVER/_matrix/client/v3/rooms/ROOM`.
    pub url: &'a str,
    /// Webhook: key of the signature; Matrix: access token.
    pub secret: Option<&'a str>,
    /// The message's key: the same for every try.
    pub key: &'a str,
}

/// What a generic webhook gets.
pub fn webhook_body(stories: &[Story], base: &str) -> Value {
    let one = |story: &Story| {
        json!({
            "regression": story.regression_id,
            "event": story.event_id,
            "kind": story.kind.as_str(),
            "at": story.at,
            "better": story.better,
            "repository": story.repository,
            "branch": story.branch,
            "before": story.before,
            "after": story.after,
            "culprit": story.culprit,
            "fixed": story.fixed,
            "changes": story.changes,
            "explanation": story.explanation,
            "headline": one_line(&headline(story), 300),
            "url": format!("{base}/regressions/{}", story.regression_id),
        })
    };
    json!({ "version": 1, "events": stories.iter().map(one).collect::<Vec<_>>() })
}

/// One line for each story, as a chat shows it.
fn lines(stories: &[Story], base: &str, link: fn(&str, &str) -> String) -> String {
    let one = |story: &Story| {
        let sign = if story.better { "better" } else { "worse" };
        let address = format!("{base}/regressions/{}", story.regression_id);
        let explanation = story.explanation.as_deref().unwrap_or_default();
        let mut line = format!(
            "{sign}: {}",
            link(&address, &one_line(&headline(story), 300))
        );
        if stories.len() == 1 && !explanation.is_empty() {
            line = format!("{line}\n{}", quiet(&one_line(explanation, 600)));
        }
        line
    };
    let mut all: Vec<String> = stories.iter().take(MOST_STORIES).map(one).collect();
    if let Some(left) = stories.len().checked_sub(MOST_STORIES + 1) {
        all.push(format!("and {} more: {base}/regressions", left + 1));
    }
    all.join("\n")
}

/// Anyone's text that calls nobody: chats take `@channel` for everybody, and Slack takes `<!…>`.
fn quiet(text: &str) -> String {
    text.replace('@', "@\u{200b}")
}

fn slack_link(address: &str, text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('|', "\u{2502}");
    format!("<{address}|{}>", quiet(&text))
}

fn markdown_link(address: &str, text: &str) -> String {
    let safe = |c: char| match c {
        '[' | ']' | '(' | ')' | '*' | '_' | '`' | '<' | '>' | '\\' | '#' | '!' | '~' | '|' => {
            format!("\\{c}")
        }
        other => other.to_string(),
    };
    let text: String = text.chars().map(safe).collect();
    format!("[{}]({address})", quiet(&text))
}

fn plain_link(address: &str, text: &str) -> String {
    format!("{} {address}", quiet(text))
}

/// What a chat gets.
pub fn chat_body(kind: SubscriptionChannel, stories: &[Story], base: &str) -> Value {
    match kind {
        SubscriptionChannel::Slack => json!({ "text": lines(stories, base, slack_link) }),
        SubscriptionChannel::Mattermost | SubscriptionChannel::Zulip => {
            json!({ "text": lines(stories, base, markdown_link) })
        }
        SubscriptionChannel::Matrix => {
            json!({ "msgtype": "m.notice", "body": lines(stories, base, plain_link) })
        }
        SubscriptionChannel::Webhook | SubscriptionChannel::Mail => webhook_body(stories, base),
    }
}

/// The signature of a webhook's body: HMAC-SHA256 over `TIMESTAMP.BODY`.
pub fn signature(secret: &str, timestamp: i64, body: &[u8]) -> String {
    let mut text = format!("{timestamp}.").into_bytes();
    text.extend_from_slice(body);
    format!("sha256={}", hex::encode(sign(secret.as_bytes(), &text)))
}

/// Posts a body.
pub async fn post(
    client: &Client,
    target: &Target<'_>,
    body: &Value,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(body).map_err(|error| Failure::permanent(error.to_string()))?;
    let json = "application/json";
    let request = match target.kind {
        SubscriptionChannel::Matrix => {
            // The transaction's name makes the server drop a second one.
            let address = format!(
                "{}/send/m.room.message/{}",
                target.url.trim_end_matches('/'),
                hex::encode(target.key)
            );
            let request = client.put(address).header("content-type", json);
            match target.secret {
                Some(secret) => request.bearer_auth(secret),
                None => request,
            }
        }
        SubscriptionChannel::Webhook => {
            let timestamp = now.timestamp();
            let request = client
                .post(target.url)
                .header("content-type", json)
                .header("x-speedwell-delivery", target.key)
                .header("x-speedwell-timestamp", timestamp.to_string());
            match target.secret {
                Some(secret) => request.header(
                    "x-speedwell-signature-256",
                    signature(secret, timestamp, &bytes),
                ),
                None => request,
            }
        }
        SubscriptionChannel::Slack
        | SubscriptionChannel::Mattermost
        | SubscriptionChannel::Zulip
        | SubscriptionChannel::Mail => client.post(target.url).header("content-type", json),
    };
    forge::send(request.body(bytes)).await.map(drop)
}

/// The comment that a forge shows under the culprit, as Markdown.
pub fn comment(story: &Story, culprit: &CommitLine, base: &str) -> String {
    let address = format!("{base}/regressions/{}", story.regression_id);
    let row = |change: &crate::domain::telling::Change| {
        format!(
            "| {} | {} | {} | {} | {} |",
            cell(&change.runtime),
            cell(&change.benchmark),
            cell(change.label()),
            super::message::size(change),
            super::message::interval(change)
        )
    };
    let rows: Vec<String> = story.changes.iter().take(12).map(row).collect();
    let explanation = story
        .explanation
        .as_deref()
        .map_or_else(String::new, |words| {
            format!("\n\n{}", cell(&one_line(words, 1000)))
        });
    format!(
        "Speedwell measured that this commit ({}) made these {}, confirmed by a second measurement and found by bisection:\n\n\
         | Runtime | Benchmark | Metric | Change | 95 % interval |\n|---|---|---|---:|---:|\n{}{explanation}\n\n[Everything about it]({address})",
        culprit.hash.chars().take(10).collect::<String>(),
        if story.better { "better" } else { "worse" },
        rows.join("\n")
    )
}

fn cell(text: &str) -> String {
    quiet(&text.replace('|', "\\|").replace('<', "&lt;"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::telling::example::story;

    #[test]
    fn a_commit_calls_nobody() {
        let mut hostile = story();
        if let Some(culprit) = &mut hostile.culprit {
            culprit.subject = "<!channel> @everyone [x](http://evil) | y".to_owned();
        }
        let all = [hostile];
        let slack = chat_body(SubscriptionChannel::Slack, &all, "https://s.example");
        let slack = slack["text"].as_str().unwrap();
        assert!(
            !slack.contains("<!channel>") && !slack.contains("@everyone"),
            "{slack}"
        );
        assert!(
            slack.starts_with("worse: <https://s.example/regressions/7|"),
            "{slack}"
        );
        let other = chat_body(SubscriptionChannel::Mattermost, &all, "https://s.example");
        let other = other["text"].as_str().unwrap();
        assert!(
            !other.contains("[x](") && !other.contains("@everyone"),
            "{other}"
        );
        assert!(
            other.ends_with("](https://s.example/regressions/7)"),
            "{other}"
        );
        let matrix = chat_body(SubscriptionChannel::Matrix, &all, "https://s.example");
        assert_eq!(matrix["msgtype"], "m.notice");
    }

    #[test]
    fn a_storm_is_cut() {
        let storm = vec![story(); MOST_STORIES + 3];
        let body = chat_body(SubscriptionChannel::Zulip, &storm, "https://s.example");
        let text = body["text"].as_str().unwrap();
        assert_eq!(text.lines().count(), MOST_STORIES + 1);
        assert!(
            text.ends_with("and 3 more: https://s.example/regressions"),
            "{text}"
        );
    }

    #[test]
    fn the_webhook_tells_facts_but_no_addresses() {
        let body = webhook_body(&[story()], "https://s.example");
        let event = &body["events"][0];
        assert_eq!(event["kind"], "found");
        assert_eq!(event["changes"][0]["benchmark"], "richards");
        assert_eq!(event["url"], "https://s.example/regressions/7");
        assert!(!body.to_string().contains("ann@example.org"));
    }

    #[test]
    fn the_signature_is_what_others_compute() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let expected = "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature("key", 1_700_000_000, b"{}"), expected);
    }

    #[test]
    fn the_comment_is_a_table() {
        let one = story();
        let text = comment(&one, one.culprit.as_ref().unwrap(), "https://s.example");
        assert!(
            text.contains("| cpython-main | richards |") && text.contains("+4.8 to +5.6 %"),
            "{text}"
        );
    }
}
