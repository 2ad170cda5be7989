//! One regression or improvement: its chart, its evidence, what explains it, its timeline, and what can be decided.

mod explanation;
mod warmups;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path};
use askama::Template;

use super::line_chart::{by_commit, chart_of};
use super::regressions::{Row, keep_private};
use super::{PageError, Shell, render};
use crate::chart::{self, Band};
use crate::context::Context;
use crate::db::annotations;
use crate::db::explanations;
use crate::db::imports;
use crate::db::regression_lists::{
    self, ChangePointRow, ConfirmationRow, EventRow, RegressionRow, Relative,
};
use crate::db::searches::{self, SearchRow};
use crate::db::series::{self, SeriesName, SeriesPoint};
use crate::db::warmup;
use crate::domain::regression::RegressionState;
use crate::domain::role::Role;
use crate::web::error::Error;
use crate::web::format::{self, Rounded};
use crate::web::session::{Triager, Visitor};
use crate::web::timeline::asked::Asked;
use crate::web::triage::{decide, request_of};
use explanation::{Explained, explained};
use warmups::{WarmupRow, warmup_rows};

/// Change points that are shown.
const POINTS: i64 = 200;
/// Confirmations that are shown.
const CONFIRMATIONS: i64 = 50;
/// Lines of the timeline.
const EVENTS: i64 = 500;
/// Annotations in it.
const ANNOTATIONS: i64 = 100;
/// Measured commits of the chart on each side of the range.
const AROUND: i64 = 15;
/// Most points of the chart.
const CHART_POINTS: i64 = 300;

#[derive(Template)]
#[template(path = "regression.html")]
struct Page {
    shell: Shell,
    one: Row,
    chart: Option<Picture>,
    points: Vec<PointRow>,
    warmups: Vec<WarmupRow>,
    confirmations: Vec<Confirmation>,
    explanation: Option<Explained>,
    timeline: Vec<Line>,
    relatives: Vec<Relative>,
    searches: Vec<SearchRow>,
    actor: Option<String>,
    actions: Vec<(&'static str, &'static str)>,
    may_split: bool,
    /// Its hosts on which nothing of ours runs.
    elsewhere: Vec<String>,
}

struct Picture {
    svg: String,
    label: String,
    link: String,
    rows: Vec<(String, String, String, String)>,
}

struct PointRow {
    row: ChangePointRow,
    link: String,
    short: String,
    metric: String,
    change: String,
    interval: String,
    levels: String,
    chance: String,
    class: &'static str,
}

struct Confirmation {
    row: ConfirmationRow,
    before_short: String,
    after_short: String,
    when: String,
}

struct Line {
    at: chrono::DateTime<chrono::Utc>,
    when: String,
    actor: String,
    kind: String,
    message: String,
    link: Option<(String, String)>,
}

/// The page.
pub(super) async fn regression(
    context: Data<Context>,
    visitor: Visitor,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let pool = &context.pool;
    let row = regression_lists::find(pool, *id).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("There is no regression {id}.")))?;
    let points = regression_lists::list_points(pool, *id, POINTS).await?;
    let confirmations = regression_lists::list_confirmations(pool, *id, CONFIRMATIONS).await?;
    let events = regression_lists::list_events(pool, *id, EVENTS).await?;
    let notes = annotations::list_of_regression(pool, *id, ANNOTATIONS).await?;
    let relatives = regression_lists::list_relatives(pool, *id).await?;
    let explanation = explanations::find(pool, *id).await?;
    let searches = searches::list_of_regression(pool, *id).await?;
    let classes = warmup::list_classes(pool, *id).await?;
    let elsewhere = imports::list_imported(pool, &row.hosts).await?;
    let may_act = visitor.may(Role::Triager);
    let word = if row.better {
        "Improvement"
    } else {
        "Regression"
    };
    let page = Page {
        shell: Shell::new(format!("{word} #{id}"), "regressions"),
        elsewhere,
        chart: picture(&context, &row).await?,
        may_split: points.len() > 1 && row.state.parse().is_ok_and(RegressionState::is_open),
        points: points.into_iter().map(point_row).collect(),
        warmups: warmup_rows(&classes),
        confirmations: confirmations.into_iter().map(confirmation).collect(),
        explanation: explanation.map(explained),
        timeline: timeline(events, notes),
        relatives,
        searches,
        actor: visitor.0.filter(|_| may_act).map(|actor| actor.name),
        actions: actions(&row),
        one: Row::new(row),
    };
    let mut response = render(&page)?;
    keep_private(&mut response);
    Ok(response)
}

/// The decisions that fit a state; merging and splitting have forms of their own.
fn actions(row: &RegressionRow) -> Vec<(&'static str, &'static str)> {
    let Ok(state) = row.state.parse::<RegressionState>() else {
        return Vec::new();
    };
    if row.merged_into.is_some() {
        return Vec::new();
    }
    let fits = |name: &str| match name {
        "acknowledge" => {
            state.may_become(RegressionState::Acknowledged)
                || state == RegressionState::Acknowledged
        }
        "accept" => state.may_become(RegressionState::Accepted),
        "noise" | "infrastructure" => state.may_become(RegressionState::Invalid),
        "reopen" => !state.is_open(),
        "note" => true,
        _ => false,
    };
    let known = crate::domain::triage::ACTIONS.iter().copied();
    known.filter(|(name, _)| fits(name)).collect()
}

/// The series with the largest change around the range, which is pointed out.
async fn picture(context: &Context, row: &RegressionRow) -> Result<Option<Picture>, Error> {
    let (Some(series_id), Some(before), Some(after)) =
        (row.worst_series_id, row.before_position, row.after_position)
    else {
        return Ok(None);
    };
    let Some(name) = series::find(&context.pool, series_id).await? else {
        return Ok(None);
    };
    let range = (before, after);
    let (from, to) = series::find_around(&context.pool, series_id, range, AROUND).await?;
    let end = to.map(|to| to.saturating_add(1));
    let mut points = series::list_points(&context.pool, &[series_id], end, CHART_POINTS).await?;
    points.retain(|point| from.is_none_or(|from| point.position >= from));
    let points = by_commit(points);
    if points.is_empty() {
        return Ok(None);
    }
    Ok(Some(draw(&name, &points, (before, after))))
}

fn draw(name: &SeriesName, points: &[SeriesPoint], (before, after): (i32, i32)) -> Picture {
    let mut places: Vec<i32> = points.iter().map(|point| point.position).collect();
    places.sort_unstable();
    places.dedup();
    let from = places
        .iter()
        .rposition(|place| *place <= before)
        .unwrap_or(0);
    let last = places.len().saturating_sub(1);
    let to = places
        .iter()
        .position(|place| *place >= after)
        .unwrap_or(last);
    let band = Band {
        from: from as f64,
        to: to as f64,
        title: "The commit is one of these, after the first".to_owned(),
    };
    let chart = chart_of(&name.benchmark, &name.metric, &[name], points);
    let rows = points.iter().rev().map(|point| {
        let values = (point.median, point.interval_low, point.interval_high);
        let shown = Rounded::of(values, &name.metric);
        let interval = shown.interval();
        (
            point.hash.clone(),
            format::short(&point.hash),
            shown.value,
            interval,
        )
    });
    Picture {
        svg: chart::svg_with_band(&chart, &band),
        label: format!(
            "{} of {} ({} on {})",
            format::metric_label(&name.metric),
            name.benchmark,
            name.runtime,
            name.host
        ),
        link: Asked::of(&name.benchmark, &name.runtime, &name.host, &name.metric).address(),
        rows: rows.collect(),
    }
}

fn point_row(row: ChangePointRow) -> PointRow {
    let (change, interval) = format::change(row.change, row.change_low, row.change_high);
    PointRow {
        link: Asked::of(&row.benchmark, &row.runtime, &row.host, &row.metric).address(),
        short: format::short(&row.hash),
        metric: format::metric_label(&row.metric),
        change,
        interval,
        levels: format!(
            "{} → {}",
            format::metric_value(row.baseline, &row.metric),
            format::metric_value(row.value, &row.metric)
        ),
        chance: if row.chance < 1e-6 {
            "under 1 in a million".to_owned()
        } else {
            format!("{:.1e}", row.chance)
        },
        class: match (row.state.as_str(), row.better) {
            ("confirmed", true) => "improved",
            ("confirmed", false) => "regressed",
            _ => "held",
        },
        row,
    }
}

fn confirmation(row: ConfirmationRow) -> Confirmation {
    Confirmation {
        before_short: format::short(&row.before_hash),
        after_short: format::short(&row.after_hash),
        when: format::moment(row.finished_at.unwrap_or(row.created_at)),
        row,
    }
}

/// Events, and words on the commits of the range and the hosts, by time.
fn timeline(events: Vec<EventRow>, notes: Vec<annotations::Annotation>) -> Vec<Line> {
    let events = events.into_iter().map(|event| Line {
        when: format::moment(event.at),
        at: event.at,
        actor: event.actor,
        kind: event.kind.replace('_', " "),
        message: event.message,
        link: None,
    });
    let notes = notes.into_iter().map(|note| {
        let link = match (&note.hash, &note.host) {
            (Some(hash), _) => Some((
                format!("/commits/{hash}"),
                format!("commit {}", format::short(hash)),
            )),
            (None, Some(host)) => Some((
                format!("/hosts/{}", format::encode(host)),
                format!("host {host}"),
            )),
            (None, None) => None,
        };
        Line {
            when: format::moment(note.at),
            at: note.at,
            actor: note.actor,
            kind: "annotation".to_owned(),
            message: note.message,
            link,
        }
    });
    let mut lines: Vec<Line> = events.chain(notes).collect();
    lines.sort_by_key(|line| line.at);
    lines
}

/// A decision about one.
pub(super) async fn decide_one(
    context: Data<Context>,
    actor: Triager,
    id: Path<i64>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let request = request_of(&pairs)?;
    let now = decide(&context, &actor.0, *id, &request).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/regressions/{now}#timeline")))
        .finish())
}
