//! Atom feeds: what people are told, for those who would rather look.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use super::PageError;
use crate::alerts::message::{headline, one_line};
use crate::alerts::report::cell_with_interval;
use crate::context::Context;
use crate::db::{reports, repositories, series, stories};
use crate::domain::regression::EventKind;
use crate::domain::report::Report;
use crate::domain::telling::{Story, is_told};
use crate::web::error::Error;
use crate::web::format;

/// Entries of a feed.
const SHOWN: i64 = 50;

#[derive(Template)]
#[template(path = "feed.atom", escape = "html")]
struct Feed {
    title: String,
    /// The feed's own address, which is its id, too.
    address: String,
    /// The page that it goes with.
    page: String,
    updated: String,
    entries: Vec<Entry>,
}

struct Entry {
    /// Never another for the same event.
    id: String,
    title: String,
    link: String,
    updated: String,
    text: String,
}

fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) async fn runtime(
    context: Data<Context>,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    let known = repositories::list_runtimes(&context.pool).await?;
    if !known.iter().any(|runtime| runtime.name == *name) {
        return Err(Error::NotFound(format!("No runtime {name:?} is known here.")).into());
    }
    let events = stories::list_newest(&context.pool, Some(&name), None, &told(), SHOWN).await?;
    events_feed(&context, &events, &name, ("runtimes", "runtimes")).await
}

pub(super) async fn benchmark(
    context: Data<Context>,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    if series::list_of_benchmark(&context.pool, &name)
        .await?
        .is_empty()
    {
        return Err(Error::NotFound(format!("No benchmark {name:?} is known here.")).into());
    }
    let events = stories::list_newest(&context.pool, None, Some(&name), &told(), SHOWN).await?;
    events_feed(&context, &events, &name, ("benchmarks", "benchmarks")).await
}

fn told() -> Vec<&'static str> {
    let kinds = EventKind::ALL.iter().filter(|kind| is_told(**kind));
    kinds.map(|kind| kind.as_str()).collect()
}

async fn events_feed(
    context: &Context,
    events: &[i64],
    name: &str,
    (folder, page): (&str, &str),
) -> Result<HttpResponse, PageError> {
    let mut connection = context.pool.acquire().await?;
    let mut told = stories::list(&mut connection, events).await?;
    told.reverse();
    let base = context.config.public_url();
    let entries = told.iter().map(|story| entry(story, &base)).collect();
    let newest = told.first().map_or(DateTime::UNIX_EPOCH, |story| story.at);
    render(&Feed {
        title: format!("Speedwell: {name}"),
        address: format!("{base}/feeds/{folder}/{}.atom", format::encode(name)),
        page: format!("{base}/{page}/{}", format::encode(name)),
        updated: moment(newest),
        entries,
    })
}

fn entry(story: &Story, base: &str) -> Entry {
    let explanation = story.explanation.clone().unwrap_or_default();
    Entry {
        id: format!(
            "{base}/regressions/{}#event-{}",
            story.regression_id, story.event_id
        ),
        title: one_line(&headline(story), 300),
        link: format!("{base}/regressions/{}", story.regression_id),
        updated: moment(story.at),
        text: one_line(format!("{} {explanation}", story.message).trim(), 2000),
    }
}

pub(super) async fn reports(
    context: Data<Context>,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    let known = repositories::list_runtimes(&context.pool).await?;
    if !known.iter().any(|runtime| runtime.name == *name) {
        return Err(Error::NotFound(format!("No runtime {name:?} is known here.")).into());
    }
    let rows = reports::list(&context.pool, Some(&name), SHOWN).await?;
    let base = context.config.public_url();
    let newest = rows.first().map_or(DateTime::UNIX_EPOCH, |row| row.2);
    let entries = rows.into_iter().filter_map(|(runtime, day, at, facts)| {
        let report: Report = serde_json::from_value(facts).ok()?;
        let link = format!("{base}/reports/{runtime}/{day}");
        Some(Entry {
            id: link.clone(),
            title: format!("{runtime}, {day}"),
            link,
            updated: moment(at),
            text: format!(
                "Geometric mean of the times since yesterday: {}",
                cell_with_interval(&report.means[0])
            ),
        })
    });
    render(&Feed {
        title: format!("Speedwell: daily reports of {name}"),
        address: format!("{base}/feeds/reports/{}.atom", format::encode(&name)),
        page: format!("{base}/reports"),
        updated: moment(newest),
        entries: entries.collect(),
    })
}

fn render(feed: &Feed) -> Result<HttpResponse, PageError> {
    let text = feed.render().map_err(anyhow::Error::from)?;
    Ok(HttpResponse::Ok()
        .content_type("application/atom+xml; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "max-age=60"))
        .body(text))
}
