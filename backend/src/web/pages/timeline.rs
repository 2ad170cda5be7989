//! The timeline: any benchmarks, metrics, runtimes and hosts over commits. Its state is its address.

mod gaps;
mod marked;
mod picture;
mod png;
mod rows;
mod words;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::Metric;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::timeline::{self, TimelineSeries};
use crate::domain::role::Role;
use crate::web::assets::Asset;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::Visitor;
use crate::web::timeline::asked::{Asked, End, LAST};
use crate::web::timeline::read::{MOST_DOTS, Timeline, read};
use crate::web::timeline::{details, marks};

use gaps::Gaps;
pub(super) use gaps::queue;
use marked::Marked;
use picture::Picture;
pub(super) use png::timeline_png;
use rows::Row;
pub(super) use rows::csv;
use words::Versions;

#[derive(Template)]
#[template(path = "timeline.html")]
struct Page {
    shell: Shell,
    /// Addresses of what the script loads.
    plot: &'static str,
    plot_style: &'static str,
    heading: String,
    choices: Vec<Choice>,
    form: Form,
    notes: Vec<String>,
    versions: Vec<Versions>,
    benchmarks: Vec<(String, String)>,
    grid: String,
    pictures: Vec<Picture>,
    drawn: String,
    moves: Vec<(&'static str, String)>,
    marked: Marked,
    rows: Vec<Row>,
    /// The first row that can be compared with the newest.
    first_other: usize,
    many: bool,
    older: Option<String>,
    csv: String,
    png: String,
    api: String,
    gaps: Vec<Gaps>,
    may_queue: bool,
    back: String,
}

/// A kind of thing to choose from, with boxes.
struct Choice {
    label: &'static str,
    field: &'static str,
    /// What is chosen now, in a line.
    now: String,
    /// Name in the address, name for people, whether it is on.
    boxes: Vec<(String, String, bool)>,
}

/// The other fields.
struct Form {
    version: String,
    from: String,
    to: String,
    last: String,
    by_date: bool,
    log: bool,
    base: String,
}

/// `GET /timeline`.
pub(super) async fn timeline(
    context: Data<Context>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let asked = Asked::parse(pairs)?;
    render(&page(&context, &visitor, &asked).await?)
}

async fn page(context: &Context, visitor: &Visitor, asked: &Asked) -> Result<Page, Error> {
    let read = read(context, asked).await?;
    let mut names: Vec<&str> = read
        .lines
        .iter()
        .map(|line| line.series.benchmark.as_str())
        .collect();
    names.dedup();
    let versions = timeline::list_versions(&context.planned, &names).await?;
    let marks = marks::read(context, &read).await?;
    let dots = read.count() <= MOST_DOTS;
    let newest = rows::newest(&read);
    let every = if dots {
        details::every(&read)
    } else {
        newest.clone()
    };
    let details = details::details(context, &every).await?;
    let pictures = picture::pictures(&read, &marks, &details, asked, dots);
    let older = newest
        .last()
        .filter(|_| read.count() > newest.len())
        .map(|(_, point)| {
            let mut older = asked.clone();
            older.to = Some(read.axis.end(read.axis.place(point) - 1.0));
            older.address()
        });
    let rows = rows::rows(&read, &newest, &details, asked);
    Ok(Page {
        shell: Shell::new("Timeline", "timeline").with_script(Asset::Timeline),
        plot: Asset::Plot.address(),
        plot_style: Asset::PlotStyle.address(),
        heading: heading(&read),
        choices: choices(&read, asked),
        form: form(asked),
        notes: words::notes(&read, asked),
        versions: words::versions(&read, &versions, asked),
        benchmarks: words::benchmarks(&read),
        grid: words::grid_address(&read),
        drawn: words::drawn(&read, dots),
        moves: words::moves(&read, asked),
        marked: marked::words(&read, &marks),
        many: read.lines.len() > 1,
        first_other: rows::first_other(&rows),
        rows,
        older,
        csv: format!("/timeline.csv?{}", asked.query()),
        png: format!("/timeline.png?{}", asked.query()),
        api: format!("/api/v1/timeline?{}", asked.query()),
        gaps: gaps::gaps(&read),
        may_queue: visitor.may(Role::Triager),
        back: asked.address(),
        pictures,
    })
}

/// What all lines have in common.
fn heading(read: &Timeline) -> String {
    let Some(first) = read.lines.first() else {
        return String::new();
    };
    let all = |same: fn(&TimelineSeries) -> &str| {
        let own = same(&first.series);
        let alike = read.lines.iter().all(|line| same(&line.series) == own);
        alike.then(|| own.to_owned())
    };
    let metric = all(|one| &one.metric).map(|name| format::metric_label(&name));
    let parts = [
        all(|one| &one.benchmark),
        metric,
        all(|one| &one.runtime),
        all(|one| &one.host),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

fn choices(read: &Timeline, asked: &Asked) -> Vec<Choice> {
    let shown = |get: fn(&TimelineSeries) -> &str, name: &str| {
        read.lines.iter().any(|line| get(&line.series) == name)
    };
    let of_kind = |kind: &str, asked: &[String], get: fn(&TimelineSeries) -> &str| {
        let names = read.names.iter().filter(|(of, _)| of == kind);
        names
            .map(|(_, name)| {
                let on = if asked.is_empty() {
                    shown(get, name)
                } else {
                    asked.contains(name)
                };
                (name.clone(), name.clone(), on)
            })
            .collect()
    };
    let metric = |metric: &Metric| {
        let on = if asked.metrics.is_empty() {
            shown(|one| &one.metric, metric.as_str())
        } else {
            asked.metrics.contains(metric)
        };
        (metric.as_str().to_owned(), metric.label().to_owned(), on)
    };
    let choice = |label, field, boxes: Vec<(String, String, bool)>| Choice {
        label,
        field,
        now: summary(&boxes),
        boxes,
    };
    vec![
        choice(
            "Benchmarks",
            "benchmark",
            of_kind("benchmark", &asked.benchmarks, |one| &one.benchmark),
        ),
        choice(
            "Metrics",
            "metric",
            Metric::ALL.iter().map(metric).collect(),
        ),
        choice(
            "Runtimes",
            "runtime",
            of_kind("runtime", &asked.runtimes, |one| &one.runtime),
        ),
        choice(
            "Hosts",
            "host",
            of_kind("host", &asked.hosts, |one| &one.host),
        ),
    ]
}

fn summary(boxes: &[(String, String, bool)]) -> String {
    let on: Vec<&str> = boxes
        .iter()
        .filter(|one| one.2)
        .map(|one| one.1.as_str())
        .collect();
    match on.len() {
        0 => "none".to_owned(),
        1..=3 => on.join(", "),
        count => format!(
            "{} and {} more",
            on.get(..2).unwrap_or(&on).join(", "),
            count - 2
        ),
    }
}

fn form(asked: &Asked) -> Form {
    let end = |end: Option<End>| end.map(|end| end.text()).unwrap_or_default();
    Form {
        version: asked.version.clone(),
        from: end(asked.from),
        to: end(asked.to),
        last: match (asked.last, asked.from) {
            (Some(last), _) => last.to_string(),
            (None, None) => LAST.to_string(),
            (None, Some(_)) => String::new(),
        },
        by_date: asked.by_date,
        log: asked.log,
        base: asked.base.clone(),
    }
}
