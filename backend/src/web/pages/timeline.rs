//! The timeline: any benchmarks, metrics, runtimes and hosts over commits. Its state is its address.

mod gaps;
mod marked;
mod picture;
mod rows;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::Metric;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::timeline::TimelineSeries;
use crate::domain::role::Role;
use crate::web::assets::Asset;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::Visitor;
use crate::web::timeline::asked::{Asked, End, LAST, MOST_POINTS};
use crate::web::timeline::choose::MOST_LINES;
use crate::web::timeline::read::{Line, MOST_DOTS, Timeline, read};
use crate::web::timeline::{details, marks};

use gaps::Gaps;
pub(super) use gaps::queue;
use marked::Marked;
use picture::Picture;
use rows::Row;
pub(super) use rows::csv;

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
    versions: Vec<(String, String)>,
    grid: Option<String>,
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
        notes: notes(&read, asked),
        versions: versions(&read, asked),
        grid: (!read.chosen.left_out.is_empty()).then(|| grid_address(&read)),
        drawn: drawn(&read, dots),
        moves: moves(&read, asked),
        marked: marked::words(&read, &marks),
        many: read.lines.len() > 1,
        first_other: rows::first_other(&rows),
        rows,
        older,
        csv: format!("/timeline.csv?{}", asked.query()),
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

/// What is not on the chart, and why.
fn notes(read: &Timeline, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    let mut say = |names: &[String], words: &str| {
        if !names.is_empty() {
            notes.push(format!("{}: {words}", names.join("; ")));
        }
    };
    let left_out: Vec<String> = read
        .chosen
        .left_out
        .iter()
        .map(|one| {
            format!(
                "{} {} {} on {}",
                one.benchmark,
                format::metric_label(&one.metric),
                one.runtime,
                one.host
            )
        })
        .collect();
    say(
        &left_out,
        &format!("left out, for a chart holds {MOST_LINES} lines."),
    );
    say(
        &read.chosen.absent,
        "nothing was measured for this together with the rest of the choice.",
    );
    say(
        &read.pending,
        "being prepared; their points are packed within a minute or so. Load the page again.",
    );
    say(
        &read.without_base,
        &format!(
            "not measured at {}, so there is nothing to divide by.",
            asked.base
        ),
    );
    say(&read.empty, "no points in this range.");
    if read.forced_date && !read.lines.is_empty() {
        notes.push("Drawn by date: positions of different branches do not compare.".to_owned());
    }
    let nothing_positive = |line: &Line| line.points.iter().any(|point| point.low <= 0.0);
    if asked.log && read.lines.iter().any(nothing_positive) {
        notes.push("Where values or their intervals reach zero, the axis stays linear.".to_owned());
    }
    if asked.base.is_empty() && !asked.log && read.panels().iter().any(|lines| spread(lines) > 20.0)
    {
        notes.push("Some lines are many times as high as others, which look flat beside them: choose a logarithmic scale, or divide each by its value at a release (Relative to).".to_owned());
    }
    if !asked.base.is_empty() && read.lines.iter().any(|line| line.breaks().next().is_some()) {
        notes.push(format!(
            "Beyond a break (dashed) values are not comparable with those at {}: something else than the interpreter changed.",
            asked.base
        ));
    }
    notes
}

/// How many times the highest line of a panel is the lowest, by their last values.
fn spread(lines: &[&Line]) -> f64 {
    let last = lines.iter().filter_map(|line| line.points.last());
    let sizes = last
        .map(|point| point.median.abs())
        .filter(|size| *size > 0.0);
    let (least, most) = sizes.fold((f64::INFINITY, 0.0_f64), |found, size| {
        (found.0.min(size), found.1.max(size))
    });
    if least > 0.0 { most / least } else { 1.0 }
}

/// Other versions of the benchmarks: in words, and where they are.
fn versions(read: &Timeline, asked: &Asked) -> Vec<(String, String)> {
    let link = |(benchmark, version): &(String, String)| {
        let mut other = asked.clone();
        other.version.clone_from(version);
        (format!("{benchmark}, version {version}"), other.address())
    };
    read.chosen.versions.iter().map(link).collect()
}

fn grid_address(read: &Timeline) -> String {
    let first = read
        .lines
        .first()
        .map(|line| &line.series)
        .or(read.chosen.left_out.first());
    first.map_or_else(
        || "/grid".to_owned(),
        |one| {
            format!(
                "/grid?runtime={}&host={}&metric={}",
                format::encode(&one.runtime),
                format::encode(&one.host),
                format::encode(&one.metric)
            )
        },
    )
}

/// How many points there are and how they are drawn.
fn drawn(read: &Timeline, dots: bool) -> String {
    let count = read.count();
    let lines = read.lines.len();
    let words = format!(
        "{count} points in {lines} {}",
        if lines == 1 { "line" } else { "lines" }
    );
    if dots {
        format!("{words}.")
    } else {
        format!(
            "{words}, thinned out for drawing: first, last, lowest and highest of each few pixels stay, so steps and outliers do. Zoom in for single points."
        )
    }
}

/// Zooming and moving by links.
fn moves(read: &Timeline, asked: &Asked) -> Vec<(&'static str, String)> {
    let (from, to) = read.axis.range;
    if read.lines.is_empty() {
        return Vec::new();
    }
    let least = if read.axis.by_date { 86_400.0 } else { 4.0 };
    let span = (to - from).max(least);
    let to_range = |from: f64, to: f64| {
        let mut moved = asked.clone();
        let from = if read.axis.by_date {
            from
        } else {
            from.max(0.0)
        };
        moved.from = Some(read.axis.end(from));
        moved.to = Some(read.axis.end(to.max(from)));
        moved.last = None;
        moved.address()
    };
    let mut whole = asked.clone();
    (whole.from, whole.to, whole.last) = (None, None, Some(MOST_POINTS));
    let mut newest = asked.clone();
    (newest.from, newest.to, newest.last) = (None, None, None);
    vec![
        ("Earlier", to_range(from - span / 2.0, to - span / 2.0)),
        ("Later", to_range(from + span / 2.0, to + span / 2.0)),
        ("Zoom in", to_range(from + span / 4.0, to - span / 4.0)),
        ("Zoom out", to_range(from - span / 2.0, to + span / 2.0)),
        ("Newest", newest.address()),
        ("Everything", whole.address()),
    ]
}
