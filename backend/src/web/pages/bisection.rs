//! Searches for the commit behind a change: the list, one search with its steps, and ending one by hand.

mod picture;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path, Query};
use askama::Template;
use chrono::Utc;
use serde_json::json;
use speedwell_wire::{CounterSource, Metric};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::audit;
use crate::db::searches::{self, LocatedRow, PlaceRow, SearchRow, StepRow};
use crate::db::subjects::{self, Measurable};
use crate::db::{bisections, regressions};
use crate::domain::audit::Action;
use crate::domain::bisection::{BisectionState, Skipped};
use crate::domain::regression::Transition;
use crate::domain::role::Role;
use crate::web::error::Error;
use crate::web::format::{self, Rounded};
use crate::web::search_by_hand::{self, ByHand};
use crate::web::session::{Triager, Visitor};

/// Searches that are listed.
const LISTED: i64 = 100;
/// Commits of a range that are shown.
const SHOWN: i64 = 300;

#[derive(Template)]
#[template(path = "bisections.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Head>,
    may: bool,
    /// What the form begins with, from the address.
    asked: ByHand,
    runtimes: Vec<Measurable>,
    metrics: Vec<(&'static str, String, bool)>,
    sources: Vec<(&'static str, bool)>,
}

/// A search in words.
struct Head {
    row: SearchRow,
    metric: String,
    state: &'static str,
    when: String,
    before: String,
    after: String,
    cost: String,
}

pub(super) async fn list(
    context: Data<Context>,
    visitor: Visitor,
    asked: Query<ByHand>,
) -> Result<HttpResponse, PageError> {
    let rows = searches::list(&context.pool, LISTED).await?;
    let asked = asked.into_inner();
    let metrics = Metric::ALL.iter().map(|metric| {
        let name = metric.as_str();
        (name, format::metric_label(name), name == asked.metric)
    });
    let sources = CounterSource::ALL.iter().map(|source| {
        let name = source.as_str();
        (name, name == asked.source)
    });
    render(&ListPage {
        shell: Shell::new("Bisections", "regressions"),
        rows: rows.into_iter().map(head).collect(),
        may: visitor.may(Role::Triager),
        metrics: metrics.collect(),
        sources: sources.collect(),
        runtimes: subjects::list_measurable(&context.pool).await?,
        asked,
    })
}

/// Opens a search by hand.
pub(super) async fn ask(
    context: Data<Context>,
    triager: Triager,
    wanted: Form<ByHand>,
) -> Result<HttpResponse, PageError> {
    let host = Some(wanted.host.trim()).filter(|host| !host.is_empty());
    triager.0.require_scope(wanted.runtime.trim(), host)?;
    let opened = search_by_hand::open(&context.pool, &wanted, &triager.0.name).await?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/bisections/{}", opened.id)))
        .finish())
}

fn head(row: SearchRow) -> Head {
    let state = match row.state.parse::<BisectionState>() {
        Ok(BisectionState::Searching) => "searching",
        Ok(BisectionState::Found) => "located",
        Ok(BisectionState::Several) => "several changes located",
        Ok(BisectionState::Exhausted) => "given up",
        Ok(BisectionState::Cancelled) => "cancelled",
        Err(_) => "unknown",
    };
    Head {
        metric: format::metric_label(&row.metric),
        state,
        when: format::ago(row.created_at, Utc::now()),
        before: format::short(&row.before_hash),
        after: format::short(&row.after_hash),
        cost: format!("{:.1}", row.seconds / 60.0),
        row,
    }
}

#[derive(Template)]
#[template(path = "bisection.html")]
struct Page {
    shell: Shell,
    head: Head,
    searching: bool,
    may: bool,
    chart: Option<String>,
    /// How long it will still take, while it goes on.
    left: Option<String>,
    located: Vec<Located>,
    steps: Vec<Step>,
    places: Vec<Place>,
}

struct Located {
    row: LocatedRow,
    change: String,
    sure: String,
    what: String,
}

struct Step {
    row: StepRow,
    short: String,
    value: String,
}

struct Place {
    row: PlaceRow,
    short: String,
    probability: String,
    likeness: String,
    skipped: &'static str,
}

pub(super) async fn one(
    context: Data<Context>,
    visitor: Visitor,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let row = searches::find(&context.pool, *id).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("There is no bisection {id}.")))?;
    let steps = searches::list_steps(&context.pool, *id).await?;
    let places = searches::list_places(&context.pool, *id, SHOWN).await?;
    let located = searches::list_located(&context.pool, *id).await?;
    let evidence = bisections::list_evidence(&context.pool, *id).await?;
    let searching = row.state == BisectionState::Searching.as_str();
    let shell = Shell::new(format!("Bisection {id}"), "regressions");
    render(&Page {
        shell: if searching {
            shell.refreshing(15)
        } else {
            shell
        },
        searching,
        may: visitor.may(Role::Triager),
        chart: picture::picture(&row, &places, &evidence),
        left: searching.then(|| picture::left(&row, &places)),
        located: located.into_iter().map(located_row).collect(),
        steps: steps
            .into_iter()
            .map(|one| step(one, &row.metric))
            .collect(),
        places: places.into_iter().map(place).collect(),
        head: head(row),
    })
}

fn step(row: StepRow, metric: &str) -> Step {
    let value = match (row.median, row.interval_low, row.interval_high) {
        (Some(median), Some(low), Some(high)) => {
            let shown = Rounded::of((median, low, high), metric);
            format!("{} ({})", shown.value, shown.interval())
        }
        _ => "no value".to_owned(),
    };
    Step {
        short: format::short(&row.hash),
        value,
        row,
    }
}

fn located_row(row: LocatedRow) -> Located {
    let (before, after) = (
        format::short(&row.before_hash),
        format::short(&row.after_hash),
    );
    Located {
        change: format!("{:+.2}\u{a0}%", row.change * 100.0),
        sure: format!("{:.1}\u{a0}%", row.probability * 100.0),
        what: match &row.subject {
            Some(subject) => subject.clone(),
            None => format!(
                "one of the commits after {before} up to {after}, which cannot be told apart"
            ),
        },
        row,
    }
}

fn place(row: PlaceRow) -> Place {
    let reason = row.skipped.as_deref().and_then(|text| text.parse().ok());
    Place {
        short: format::short(&row.hash),
        probability: format!("{:.1}\u{a0}%", row.probability * 100.0),
        likeness: row
            .likeness
            .map_or_else(String::new, |one| format!("{one:.2}")),
        skipped: reason.map_or("", Skipped::words),
        row,
    }
}

/// Ends a search; its regression stays confirmed, without a culprit.
pub(super) async fn cancel(
    context: Data<Context>,
    triager: Triager,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let actor = &triager.0.name;
    let mut transaction = context.pool.begin().await.map_err(Error::from)?;
    let Some(open) = bisections::lock(&mut transaction, *id).await? else {
        return Err(Error::Conflict(format!("There is no bisection {id} that goes on.")).into());
    };
    let words = format!("The search was ended by {actor}.");
    let state = BisectionState::Cancelled;
    bisections::finish(&mut transaction, *id, state, None, &[], &words).await?;
    if let Some(regression) = open.regression_id {
        // One that has moved on by itself stays where it is.
        let step = Transition::CancelSearch;
        regressions::transition(&mut transaction, regression, &step, actor, &words).await?;
    }
    let subject = format!("bisection {id}");
    let details = json!({ "regression": open.regression_id });
    let action = Action::BisectionCancel;
    audit::record(&mut *transaction, actor, action, &subject, details).await?;
    transaction.commit().await.map_err(Error::from)?;
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/bisections/{id}")))
        .finish())
}
