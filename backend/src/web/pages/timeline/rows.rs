//! The timeline's table: its newest points, and all of them as CSV.

use std::collections::HashMap;
use std::fmt::Write as _;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Query};
use chrono::{DateTime, Utc};

use crate::context::Context;
use crate::db::timeline as stored;
use crate::domain::trace::TracePoint;
use crate::web::error::Error;
use crate::web::format::{self, Rounded};
use crate::web::pages::PageError;
use crate::web::pages::widgets::Badge;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::details::{Details, compare_key};
use crate::web::timeline::read::{Line, Timeline, read};
use crate::web::verdict;

/// Rows on a page.
const SHOWN: usize = 100;
/// Points that one file of values holds.
const MOST_WRITTEN: usize = 200_000;
/// Files above this many bytes are sent without being compared with what a browser has.
const LARGE: usize = 4 << 20;

/// One point in the table.
pub(super) struct Row {
    pub(super) label: String,
    pub(super) colour: usize,
    /// What names it in a comparison.
    pub(super) key: String,
    pub(super) hash: String,
    pub(super) short: String,
    pub(super) day: String,
    pub(super) subject: String,
    pub(super) value: String,
    pub(super) interval: String,
    pub(super) samples: u32,
    pub(super) badge: Option<Badge>,
    pub(super) held: bool,
    pub(super) run: i64,
    pub(super) worst: Option<String>,
}

/// The newest points of all lines, the newest first.
pub(super) fn newest(read: &Timeline) -> Vec<(&Line, &TracePoint)> {
    let newest_of_each = read.lines.iter().flat_map(|line| {
        let from = line.points.len().saturating_sub(SHOWN);
        line.points
            .iter()
            .skip(from)
            .map(move |point| (line, point))
    });
    let mut all: Vec<(&Line, &TracePoint)> = newest_of_each.collect();
    let place = |one: &(&Line, &TracePoint)| read.axis.place(one.1);
    all.sort_by(|a, b| {
        place(b)
            .total_cmp(&place(a))
            .then(a.0.colour.cmp(&b.0.colour))
    });
    all.truncate(SHOWN);
    all
}

/// The rows of the table; points whose commit has just left the branch are left out.
pub(super) fn rows(
    read: &Timeline,
    newest: &[(&Line, &TracePoint)],
    details: &Details,
    asked: &Asked,
) -> Vec<Row> {
    let several = read.panels().len() > 1;
    let row = |(line, point): &(&Line, &TracePoint)| {
        let detail = details.get(&(line.series.id, point.position))?;
        let shown = Rounded::of((point.median, point.low, point.high), &line.series.metric);
        let [value, low, high] = line.values(point);
        let held = detail.held.as_deref();
        Some(Row {
            label: if several {
                format!(
                    "{}, {}",
                    line.label,
                    format::metric_label(&line.series.metric)
                )
            } else {
                line.label.clone()
            },
            colour: line.colour,
            key: compare_key(line, &detail.hash),
            short: format::short(&detail.hash),
            hash: detail.hash.clone(),
            day: day(point.committed_at),
            subject: detail.subject.clone(),
            interval: if asked.base.is_empty() {
                shown.interval()
            } else {
                format!("{low:.3} – {high:.3}")
            },
            value: if asked.base.is_empty() {
                shown.value
            } else {
                format!("{value:.3} ({})", shown.value)
            },
            samples: point.samples,
            badge: detail.verdict.as_ref().map(|state| Badge {
                text: detail
                    .change
                    .map_or_else(|| "–".to_owned(), format::percent),
                class: verdict::class(state, held).to_owned(),
                words: verdict::words(state, held),
            }),
            held: detail.held.is_some(),
            run: point.run_id,
            worst: detail.host_worst.clone(),
        })
    };
    newest.iter().filter_map(row).collect()
}

/// The first row of another commit, runtime or host than the newest row's.
pub(super) fn first_other(rows: &[Row]) -> usize {
    let newest = rows.first().map(|row| &row.key);
    rows.iter()
        .position(|row| Some(&row.key) != newest)
        .unwrap_or(0)
}

fn day(seconds: i64) -> String {
    DateTime::<Utc>::from_timestamp(seconds, 0)
        .map(format::day)
        .unwrap_or_default()
}

/// `GET /timeline.csv`: every point of the choice.
pub(in crate::web::pages) async fn csv(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let asked = Asked::parse(pairs)?;
    let read = read(&context, &asked).await?;
    if read.count() > MOST_WRITTEN {
        let message = format!(
            "last: {} points are more than one file holds, {MOST_WRITTEN}; ask for fewer lines, or a shorter range with from and to",
            read.count()
        );
        return Err(Error::BadRequest {
            field: "last".to_owned(),
            message,
        }
        .into());
    }
    let mut places: Vec<(i64, i32)> = read
        .lines
        .iter()
        .flat_map(|line| {
            line.points
                .iter()
                .map(|point| (line.series.branch_id, point.position))
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    let (branches, positions): (Vec<i64>, Vec<i32>) = places.into_iter().unzip();
    let hashes = stored::list_hashes(&context.planned, &branches, &positions)
        .await
        .map_err(Error::from)?;
    let hashes: HashMap<(i64, i32), String> = hashes
        .into_iter()
        .map(|(branch, position, hash)| ((branch, position), hash))
        .collect();
    let text = write_csv(&read, &hashes);
    let keeping = if text.len() > LARGE {
        "no-store"
    } else {
        "no-cache"
    };
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"timeline.csv\"",
        ))
        .insert_header((header::CACHE_CONTROL, keeping))
        .body(text))
}

fn write_csv(read: &Timeline, hashes: &HashMap<(i64, i32), String>) -> String {
    let mut text = "runtime,host,benchmark,version,metric,counter_source,position,commit,committed_at,median,interval_low,\
                    interval_high,base,samples,environment,host_epoch,run\n"
        .to_owned();
    for line in &read.lines {
        let series = &line.series;
        let names = [
            &series.runtime,
            &series.host,
            &series.benchmark,
            &series.identity,
            &series.metric,
            &series.counter_source,
        ];
        let names: Vec<String> = names.into_iter().map(|name| cell(name)).collect();
        let names = names.join(",");
        for point in &line.points {
            let hash = hashes
                .get(&(series.branch_id, point.position))
                .map_or("", String::as_str);
            let at = DateTime::<Utc>::from_timestamp(point.committed_at, 0).unwrap_or_default();
            let written = writeln!(
                text,
                "{names},{},{hash},{},{},{},{},{},{},{},{},{}",
                point.position,
                at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                point.median,
                point.low,
                point.high,
                line.base,
                point.samples,
                point.environment_id,
                point.host_epoch,
                point.run_id
            );
            if written.is_err() {
                tracing::error!("formatting failed");
            }
        }
    }
    text
}

/// A text of a table of values: quoted, and never a formula for a spreadsheet.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = text.replace('"', "\"\"");
    format!("\"{}{text}\"", if formula { "'" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(cell("a \"b\",c"), "\"a \"\"b\"\",c\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
    }
}
