//! The list of regressions and improvements, with filters in the address, and decisions about several at once.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Query};
use askama::Template;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::regression_lists::{self, Choices, Filter, RegressionRow};
use crate::db::triage::{self, Decisions};
use crate::domain::regression::RegressionState;
use crate::domain::role::Role;
use crate::domain::triage::false_alarms;
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{Triager, Visitor};
use crate::web::triage::{decide, number, request_of};

/// Regressions on one page.
const ROWS: i64 = 50;
/// Suspects beside them.
const SUSPECTS: i64 = 20;

#[derive(Template)]
#[template(path = "regressions.html")]
struct Page {
    shell: Shell,
    states: Vec<(&'static str, bool)>,
    choices: Choices,
    filter: Filter,
    direction: &'static str,
    rows: Vec<Row>,
    suspects: Vec<Row>,
    suspects_apart: bool,
    older: Option<String>,
    alarms: String,
    not_confirmed: i64,
    actor: Option<String>,
    done: Vec<i64>,
    refused: Vec<i64>,
}

/// A regression as lists and its page show it.
pub(super) struct Row {
    pub(super) row: RegressionRow,
    /// `+5.2 %`; empty without a change point.
    pub(super) size: String,
    pub(super) interval: String,
    pub(super) class: &'static str,
    /// What the size is of.
    pub(super) of: String,
    /// The range of commits, in words.
    pub(super) range: String,
    pub(super) before_short: String,
    pub(super) after_short: String,
    pub(super) culprit_short: String,
    pub(super) sure: String,
    pub(super) state: String,
    pub(super) changed: String,
}

impl Row {
    pub(super) fn new(row: RegressionRow) -> Self {
        let commits = row
            .before_position
            .zip(row.after_position)
            .map(|(before, after)| i64::from(after) - i64::from(before));
        let worst = row.worst_change.zip(row.worst_low.zip(row.worst_high));
        let worst = worst.map(|(change, (low, high))| format::change(change, low, high));
        let (size, interval) = worst.unwrap_or_default();
        let metric = row.worst_metric.as_deref().unwrap_or_default();
        Self {
            size,
            interval,
            class: if row.better { "improved" } else { "regressed" },
            of: row.worst_benchmark.as_ref().map_or_else(
                || "no change point counts".to_owned(),
                |benchmark| format!("{} of {benchmark}", format::metric_label(metric)),
            ),
            range: match commits {
                Some(1) => "one commit".to_owned(),
                Some(count) if count > 1 => format!("one of {count} commits"),
                Some(_) | None => "no longer on the branch".to_owned(),
            },
            before_short: format::short(&row.before_hash),
            after_short: format::short(&row.after_hash),
            culprit_short: row
                .culprit_hash
                .as_deref()
                .map_or_else(String::new, format::short),
            sure: sure(&row),
            state: state_words(&row),
            changed: format::day(row.changed_at),
            row,
        }
    }
}

fn sure(row: &RegressionRow) -> String {
    if row.confirmations == 0 {
        return "not measured again".to_owned();
    }
    let rounds = format!(
        "confirmed in {} round{}",
        row.rounds,
        if row.rounds == 1 { "" } else { "s" }
    );
    if row.confirmations == 1 {
        rounds
    } else {
        format!("{rounds}, in {} places", row.confirmations)
    }
}

fn state_words(row: &RegressionRow) -> String {
    match (row.invalid_reason.as_deref(), row.merged_into) {
        (_, Some(other)) => format!("part of #{other}"),
        (Some("not_confirmed"), None) => "not confirmed".to_owned(),
        (Some(reason), None) => format!("invalid: {reason}"),
        (None, None) => row.state.clone(),
    }
}

/// Reads `?state=&runtime=&benchmark=&direction=&owner=&before=`; empty values are as if absent.
pub(in crate::web) fn parse_filter(pairs: &[(String, String)]) -> Result<Filter, Error> {
    let mut filter = Filter::default();
    let bad = |field: &str, message: String| Error::BadRequest {
        field: field.to_owned(),
        message,
    };
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        match key.as_str() {
            "state" => {
                let state = value.parse::<RegressionState>().map_err(|unknown| {
                    let known: Vec<&str> = RegressionState::ALL
                        .iter()
                        .map(|one| one.as_str())
                        .collect();
                    bad(
                        "state",
                        format!("state: {unknown}; known: {}", known.join(", ")),
                    )
                })?;
                filter.states.push(state.as_str().to_owned());
            }
            "runtime" => filter.runtime = Some(value.clone()),
            "benchmark" => filter.benchmark = Some(value.clone()),
            "owner" => filter.owner = Some(value.clone()),
            "direction" if value == "worse" => filter.better = Some(false),
            "direction" if value == "better" => filter.better = Some(true),
            "direction" => {
                return Err(bad("direction", "direction: worse or better".to_owned()));
            }
            "before" => filter.before = Some(number("before", value)?),
            // What another page adds, and keys of newer versions.
            _ => {}
        }
    }
    Ok(filter)
}

fn query_of(filter: &Filter) -> String {
    let mut parts: Vec<(&str, &str)> = filter
        .states
        .iter()
        .map(|one| ("state", one.as_str()))
        .collect();
    let texts = [
        ("runtime", &filter.runtime),
        ("benchmark", &filter.benchmark),
        ("owner", &filter.owner),
    ];
    parts.extend(
        texts
            .iter()
            .filter_map(|(key, value)| Some((*key, value.as_deref()?))),
    );
    parts.push(("direction", direction_of(filter)));
    let parts = parts.iter().filter(|(_, value)| !value.is_empty());
    let parts = parts.map(|(key, value)| format!("{key}={}", format::encode(value)));
    parts.collect::<Vec<_>>().join("&")
}

fn direction_of(filter: &Filter) -> &'static str {
    match filter.better {
        Some(true) => "better",
        Some(false) => "worse",
        None => "",
    }
}

/// The list.
pub(super) async fn regressions(
    context: Data<Context>,
    visitor: Visitor,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let pool = &context.pool;
    let filter = parse_filter(&pairs)?;
    let suspects_apart = filter.states.is_empty();
    let mut shown = filter.clone();
    let mut suspected = filter.clone();
    if suspects_apart {
        let open = RegressionState::ALL.iter();
        let open = open.filter(|one| one.is_open() && one.is_confirmed());
        shown.states = open.map(|one| one.as_str().to_owned()).collect();
        suspected.states = vec![RegressionState::Suspected.as_str().to_owned()];
        suspected.before = None;
    }
    let rows = regression_lists::list(pool, &shown, ROWS).await?;
    let suspects = if suspects_apart {
        regression_lists::list(pool, &suspected, SUSPECTS).await?
    } else {
        Vec::new()
    };
    let choices = regression_lists::list_choices(pool).await?;
    let decisions = triage::count_decisions(pool).await?;
    let older = rows.last().filter(|_| rows.len() as i64 >= ROWS);
    let numbers = |wanted: &str| -> Vec<i64> {
        let own = pairs.iter().filter(|(key, _)| key == wanted);
        own.filter_map(|(_, value)| value.parse().ok()).collect()
    };
    let page = Page {
        shell: Shell::new("Regressions", "regressions"),
        states: RegressionState::ALL
            .iter()
            .map(|one| {
                (
                    one.as_str(),
                    shown.states.iter().any(|name| name == one.as_str()),
                )
            })
            .collect(),
        direction: direction_of(&filter),
        older: older.map(|last| format!("/regressions?{}&before={}", query_of(&filter), last.id)),
        choices,
        rows: rows.into_iter().map(Row::new).collect(),
        suspects: suspects.into_iter().map(Row::new).collect(),
        suspects_apart,
        alarms: alarm_words(&decisions),
        not_confirmed: decisions.not_confirmed,
        done: numbers("done"),
        refused: numbers("refused"),
        actor: visitor
            .0
            .as_ref()
            .filter(|_| visitor.may(Role::Triager))
            .map(|actor| actor.name.clone()),
        filter,
    };
    let mut response = render(&page)?;
    keep_private(&mut response);
    Ok(response)
}

/// What is shown depends on who asks.
pub(super) fn keep_private(response: &mut HttpResponse) {
    let value = header::HeaderValue::from_static("private, no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
}

fn alarm_words(decisions: &Decisions) -> String {
    let wrong = decisions.noise + decisions.infrastructure;
    match false_alarms(wrong, decisions.decided) {
        None => "Nobody has decided yet about any that people were told of.".to_owned(),
        Some(rate) => format!(
            "Of those that people were told of and decided about, {wrong} of {} were none: {:.0}\u{a0}% (95\u{a0}% interval {:.0} to {:.0}\u{a0}%), {} by noise and {} by a host; not decided: {}.",
            decisions.decided,
            rate.rate * 100.0,
            rate.low * 100.0,
            rate.high * 100.0,
            decisions.noise,
            decisions.infrastructure,
            decisions.told - decisions.decided
        ),
    }
}

/// One decision about each of those chosen; each stands alone, and those that it does not fit are named.
pub(super) async fn decide_many(
    context: Data<Context>,
    actor: Triager,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let request = request_of(&pairs)?;
    let mut chosen = Vec::new();
    for (_, value) in pairs.iter().filter(|(key, _)| key == "id") {
        chosen.push(number("id", value)?);
    }
    if chosen.is_empty() {
        return Err(Error::BadRequest {
            field: "id".to_owned(),
            message: "id: choose at least one regression".to_owned(),
        }
        .into());
    }
    if matches!(request.action.as_str(), "merge" | "split") {
        return Err(Error::BadRequest {
            field: "action".to_owned(),
            message: "action: merging and splitting is done on a regression's own page".to_owned(),
        }
        .into());
    }
    let mut answers = Vec::new();
    for id in chosen {
        match decide(&context, &actor.0, id, &request).await {
            Ok(id) => answers.push(format!("done={id}")),
            Err(Error::Conflict(_) | Error::NotFound(_)) => answers.push(format!("refused={id}")),
            Err(error) => return Err(error.into()),
        }
    }
    let filter = pairs.iter().find(|(key, _)| key == "filter");
    let filter = filter.map_or("", |(_, value)| value.as_str());
    let pairs: Vec<(String, String)> = Query::from_query(filter)
        .map(Query::into_inner)
        .unwrap_or_default();
    let filter = query_of(&parse_filter(&pairs)?);
    let location = format!("/regressions?{filter}&{}", answers.join("&"));
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .finish())
}

impl Page {
    /// The filter as it stands in the address.
    fn query(&self) -> String {
        query_of(&self.filter)
    }
}
