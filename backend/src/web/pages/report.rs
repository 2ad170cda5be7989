//! Daily reports: the newest, and one.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::NaiveDate;

use super::{PageError, Shell, render};
use crate::alerts::report::{cell_with_interval, left_out};
use crate::context::Context;
use crate::db::reports;
use crate::domain::report::{BASES, Moved, Report};
use crate::web::error::Error;
use crate::web::format;

/// Reports on the list.
const SHOWN: i64 = 100;

#[derive(Template)]
#[template(path = "reports.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<(String, NaiveDate, String)>,
    schedule: String,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    shell: Shell,
    report: Report,
    short: String,
    hosts: Vec<(String, String)>,
}

pub(super) async fn list(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let rows = reports::list(&context.pool, None, SHOWN).await?;
    let row = |(runtime, day, _, facts): (String, NaiveDate, _, _)| {
        let mean = serde_json::from_value::<Report>(facts)
            .ok()
            .and_then(|report| report.means[0]);
        (runtime, day, cell_with_interval(&mean))
    };
    render(&ListPage {
        shell: Shell::new("Daily reports", ""),
        rows: rows.into_iter().map(row).collect(),
        schedule: context.config.report.schedule.clone(),
    })
}

pub(super) async fn report(
    context: Data<Context>,
    path: Path<(String, String)>,
) -> Result<HttpResponse, PageError> {
    let (runtime, day) = path.into_inner();
    let day: NaiveDate = day.parse().map_err(|_unreadable| Error::BadRequest {
        field: "date".to_owned(),
        message: format!("{day:?} is no day like 2026-11-28"),
    })?;
    let facts = reports::find_by_name(&context.pool, &runtime, day).await?;
    let facts = facts
        .ok_or_else(|| Error::NotFound(format!("There is no report of {runtime:?} for {day}.")))?;
    let report: Report = serde_json::from_value(facts).map_err(anyhow::Error::from)?;
    let hosts = report.hosts.iter().map(|host| {
        let seen = host
            .last_seen_at
            .map_or_else(|| "never".to_owned(), format::moment);
        (host.host.clone(), seen)
    });
    render(&Page {
        shell: Shell::new(format!("{runtime}, {day}"), ""),
        short: report
            .hash
            .as_deref()
            .map(format::short)
            .unwrap_or_default(),
        hosts: hosts.collect(),
        report,
    })
}

/// The class of a cell: of a time, more is worse.
fn class(moved: &Option<Moved>, higher_is_better: bool) -> &'static str {
    match moved {
        Some(one) if one.is_significant() && (one.change > 0.0) == higher_is_better => {
            "verdict improved"
        }
        Some(one) if one.is_significant() => "verdict regressed",
        Some(_) | None => "quiet",
    }
}
