//! Previews of other parameters of the detector: asking for one, and what came out.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path};
use askama::Template;
use chrono::Utc;
use serde_json::json;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::audit;
use crate::db::recomputes::{self, RecomputeRow};
use crate::domain::audit::Action;
use crate::domain::recompute::AlarmRow;
use crate::domain::role::Role;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{Triager, Visitor};

/// Previews that are listed.
const LISTED: i64 = 30;
/// Alarms that are shown of each kind.
const SHOWN: usize = 500;

#[derive(Template)]
#[template(path = "recomputes.html")]
struct ListPage {
    shell: Shell,
    present: String,
    parameters: Vec<(&'static str, f64)>,
    may: bool,
    rows: Vec<ListRow>,
}

struct ListRow {
    row: RecomputeRow,
    when: String,
}

pub(super) async fn list(
    context: Data<Context>,
    visitor: Visitor,
) -> Result<HttpResponse, PageError> {
    let now = Utc::now();
    let rows = recomputes::list(&context.pool, LISTED).await?;
    let settings = &context.config.detection;
    let page = ListPage {
        shell: Shell::new("Detector previews", "regressions"),
        present: settings.version(),
        parameters: settings.named().to_vec(),
        may: visitor.may(Role::Triager),
        rows: rows
            .into_iter()
            .map(|row| ListRow {
                when: format::ago(row.created_at, now),
                row,
            })
            .collect(),
    };
    render(&page)
}

/// Asks for a preview: every field of the form that is filled is a parameter, but for `runtime`.
pub(super) async fn ask(
    context: Data<Context>,
    triager: Triager,
    form: Form<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let mut settings = context.config.detection;
    let mut runtime = None;
    for (name, text) in &form.0 {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if name == "runtime" {
            runtime = Some(text);
            continue;
        }
        let value = text
            .parse::<f64>()
            .map_err(|_not_a_number| format!("{name}: {text:?} is no number"));
        value
            .and_then(|value| settings.set(name, value))
            .map_err(|message| Error::BadRequest {
                field: name.clone(),
                message,
            })?;
    }
    let mut transaction = context.pool.begin().await?;
    let id = recomputes::insert(&mut *transaction, &settings, runtime, &triager.0.name)
        .await?
        .ok_or_else(|| Error::BadRequest {
            field: "runtime".to_owned(),
            message: "runtime: there is none of this name".to_owned(),
        })?;
    let details = json!({ "detector": settings.version(), "runtime": runtime });
    let subject = format!("preview {id}");
    let action = Action::RecomputeAsk;
    audit::record(
        &mut *transaction,
        &triager.0.name,
        action,
        &subject,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/recompute/{id}")))
        .finish())
}

#[derive(Template)]
#[template(path = "recompute.html")]
struct Page {
    shell: Shell,
    present: String,
    row: RecomputeRow,
    when: String,
    groups: Vec<Group>,
}

struct Group {
    title: &'static str,
    meaning: &'static str,
    count: usize,
    alarms: Vec<Alarm>,
}

struct Alarm {
    row: AlarmRow,
    short: String,
    metric: String,
    change: String,
}

pub(super) async fn one(context: Data<Context>, id: Path<i64>) -> Result<HttpResponse, PageError> {
    let row = recomputes::find(&context.pool, *id).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("There is no preview {id}.")))?;
    let shell = Shell::new(format!("Preview of {}", row.detector), "regressions");
    let groups = row.result.as_ref().map_or_else(Vec::new, |found| {
        vec![
            group(
                "Alarms that would be lost",
                "The present parameters saw them, the proposed ones do not.",
                &found.lost,
            ),
            group(
                "Alarms that would be new",
                "The proposed parameters see them, the present ones do not.",
                &found.gained,
            ),
        ]
    });
    render(&Page {
        shell: if row.state == "waiting" {
            shell.refreshing(3)
        } else {
            shell
        },
        present: context.config.detection.version(),
        when: format::ago(row.created_at, Utc::now()),
        groups,
        row,
    })
}

fn group(title: &'static str, meaning: &'static str, alarms: &[AlarmRow]) -> Group {
    let alarm = |row: &AlarmRow| Alarm {
        short: row.commit.chars().take(10).collect(),
        metric: format::metric_label(&row.metric),
        change: format!("{:+.2}\u{a0}%", row.change * 100.0),
        row: row.clone(),
    };
    Group {
        title,
        meaning,
        count: alarms.len(),
        alarms: alarms.iter().take(SHOWN).map(alarm).collect(),
    }
}
