//! The audit log: who did what, to what, when. For operators.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::audit::{self, AuditRow, Filter};
use crate::domain::audit::Action;
use crate::web::format;
use crate::web::session::Operator;

/// Lines on one page.
const SHOWN: i64 = 100;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    shell: Shell,
    filter: Filter,
    /// What the form offers: what actions are about, and the actions.
    actions: Vec<Choice>,
    rows: Vec<Row>,
    /// The address of the next page.
    next: Option<String>,
    is_filtered: bool,
}

struct Choice {
    value: &'static str,
    words: String,
    is_chosen: bool,
}

struct Row {
    row: AuditRow,
    when: String,
    details: String,
}

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    subject: String,
    before: Option<i64>,
}

/// `GET /audit`.
pub(super) async fn audit(
    context: Data<Context>,
    _operator: Operator,
    asked: Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let asked = asked.into_inner();
    let filter = Filter {
        actor: asked.actor.trim().to_owned(),
        action: asked.action.trim().to_owned(),
        subject: asked.subject.trim().to_owned(),
        before: asked.before,
    };
    let rows = audit::list(&context.pool, &filter, SHOWN).await?;
    let is_full = i64::try_from(rows.len()).unwrap_or(0) >= SHOWN;
    let next = rows.last().filter(|_| is_full).map(|last| {
        format!(
            "/audit?actor={}&action={}&subject={}&before={}",
            format::encode(&filter.actor),
            format::encode(&filter.action),
            format::encode(&filter.subject),
            last.id
        )
    });
    render(&Page {
        shell: Shell::new("Audit log", ""),
        actions: choices(&filter.action),
        rows: rows.into_iter().map(row).collect(),
        next,
        is_filtered: filter != Filter::default(),
        filter,
    })
}

/// What actions are about, each followed by its actions.
fn choices(chosen: &str) -> Vec<Choice> {
    let mut all = Vec::new();
    let mut last = "";
    for action in Action::ALL {
        let name = action.as_str();
        let about = name.split('.').next().unwrap_or(name);
        if about != last {
            all.push(Choice {
                value: about,
                words: format!("all of {about}"),
                is_chosen: about == chosen,
            });
            last = about;
        }
        all.push(Choice {
            value: name,
            words: name.to_owned(),
            is_chosen: name == chosen,
        });
    }
    all
}

fn row(row: AuditRow) -> Row {
    Row {
        when: format::moment(row.at),
        details: words(&row.details),
        row,
    }
}

/// `key: value` of each, in words.
fn words(details: &Value) -> String {
    let Value::Object(fields) = details else {
        return details.to_string();
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let fields = fields
        .iter()
        .map(|(key, value)| format!("{}: {}", key.replace('_', " "), text(value)));
    fields.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn details_are_words() {
        let details = json!({ "expires_at": null, "role": "admin", "times": 3 });
        assert_eq!(words(&details), "expires at: none; role: admin; times: 3");
        assert_eq!(words(&json!({})), "");
    }

    #[test]
    fn every_action_can_be_chosen() {
        let all = choices("token");
        assert!(all.len() > Action::ALL.len());
        let chosen: Vec<_> = all.iter().filter(|one| one.is_chosen).collect();
        assert_eq!(chosen.len(), 1);
    }
}
