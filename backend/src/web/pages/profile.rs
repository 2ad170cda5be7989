//! Where a benchmark's instructions went in a run: components, functions, flame graph; and against another run.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::{ProfileReport, Unit};

use super::{PageError, Shell, render};
use crate::chart::flame::{self, Flame};
use crate::context::Context;
use crate::db::profiles::{self, Profile};
use crate::domain::components::{self, Mapping};
use crate::web::error::Error;
use crate::web::format;

/// Functions in the table.
const FUNCTIONS: usize = 40;
/// Runs to compare with.
const OTHERS: i64 = 50;
/// A flame graph in a document of its own may run its own script and read its own styles, and nothing else: it has no
/// cookies and no origin (`sandbox`).
const FLAME_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "profile.html")]
struct Page {
    shell: Shell,
    profile: Profile,
    short: String,
    total: String,
    before: Option<Before>,
    components: Vec<Row>,
    functions: Vec<Row>,
    others: Vec<Other>,
    /// Part of the addresses of the pictures: which run it is compared with.
    query: String,
}

/// The run that it is compared with.
struct Before {
    run_id: i64,
    words: String,
    total: String,
    change: String,
}

/// A component or a function.
struct Row {
    name: String,
    /// Instructions of one loop.
    count: String,
    /// Per cent of all.
    share: String,
    /// The same as a number, for the bar.
    width: f64,
    /// What it was before.
    before: String,
    /// The change in per cent of all instructions before.
    change: String,
    /// `regressed`, `improved` or nothing: the change is worth a colour.
    class: &'static str,
}

/// A run that can be compared with.
struct Other {
    run_id: i64,
    words: String,
    chosen: bool,
}

/// What a profile is compared with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Against {
    against: Option<i64>,
}

/// Which picture. Its own script adds what was searched and where it is zoomed to, so that a link shows the same: other keys
/// are not refused.
#[derive(Debug, Deserialize)]
pub(super) struct Picture {
    against: Option<i64>,
    /// The picture without its script, for a page.
    #[serde(default)]
    still: bool,
}

/// A profile with its stacks.
struct Loaded {
    row: Profile,
    report: ProfileReport,
}

async fn load(context: &Context, run_id: i64, benchmark: &str) -> Result<Loaded, Error> {
    let row = profiles::find(&context.pool, run_id, benchmark).await?;
    let row = row
        .ok_or_else(|| Error::NotFound(format!("Run {run_id} has no profile of {benchmark:?}.")))?;
    let bytes = context.artefacts.get(&row.artefact).await?;
    let bytes = bytes.ok_or_else(|| {
        Error::NotFound("The profile's stacks are no longer in the store.".to_owned())
    })?;
    let json = zstd::decode_all(bytes.as_ref()).map_err(anyhow::Error::from)?;
    let report = serde_json::from_slice(&json).map_err(anyhow::Error::from)?;
    Ok(Loaded { row, report })
}

/// Both profiles; they are of the same benchmark, hash and tool.
async fn load_both(
    context: &Context,
    run_id: i64,
    benchmark: &str,
    against: Option<i64>,
) -> Result<(Loaded, Option<Loaded>), Error> {
    let after = load(context, run_id, benchmark).await?;
    let Some(against) = against else {
        return Ok((after, None));
    };
    let before = load(context, against, benchmark).await?;
    if (before.row.benchmark_id, &before.row.tool) != (after.row.benchmark_id, &after.row.tool) {
        return Err(Error::BadRequest {
            field: "against".to_owned(),
            message: format!(
                "run {against} has another version of {benchmark}, or a profile of another tool: the two do not compare"
            ),
        });
    }
    Ok((after, Some(before)))
}

pub(super) async fn profile(
    context: Data<Context>,
    path: Path<(i64, String)>,
    query: Query<Against>,
) -> Result<HttpResponse, PageError> {
    let (run_id, benchmark) = path.into_inner();
    let (after, before) = load_both(&context, run_id, &benchmark, query.against).await?;
    let others = profiles::list_others(&context.pool, &after.row, OTHERS).await?;
    let mapping = components::mapping();
    let old = before.as_ref().map(|before| &before.report);
    let page = Page {
        shell: Shell::new(format!("Profile of {benchmark}, run {run_id}"), "overview"),
        short: format::short(&after.row.hash),
        total: format::value(after.report.total, Unit::Count),
        components: component_rows(mapping, &after.report, old),
        functions: function_rows(&after.report, old),
        query: query
            .against
            .map_or(String::new(), |run| format!("against={run}")),
        before: before.as_ref().map(|before| Before {
            run_id: before.row.run_id,
            words: describe(&before.row),
            total: format::value(before.report.total, Unit::Count),
            change: percent(
                after.report.total - before.report.total,
                before.report.total,
            ),
        }),
        others: others
            .iter()
            .map(|other| Other {
                run_id: other.run_id,
                words: describe(other),
                chosen: Some(other.run_id) == query.against,
            })
            .collect(),
        profile: after.row,
    };
    render(&page)
}

/// The flame graph as a document of its own, or as a picture of the page.
pub(super) async fn flame(
    context: Data<Context>,
    path: Path<(i64, String)>,
    query: Query<Picture>,
) -> Result<HttpResponse, PageError> {
    let (run_id, benchmark) = path.into_inner();
    let (after, before) = load_both(&context, run_id, &benchmark, query.against).await?;
    let title = match &before {
        None => format!("{benchmark}: {}", describe(&after.row)),
        Some(before) => format!(
            "{benchmark}: {} against {}",
            describe(&after.row),
            describe(&before.row)
        ),
    };
    let interactive = !query.still;
    let svg = web::block(move || {
        flame::draw(Flame {
            title: &title,
            profile: &after.report,
            before: before.as_ref().map(|before| &before.report),
            interactive,
        })
    })
    .await
    .map_err(anyhow::Error::from)?
    .map_err(anyhow::Error::from)?;
    let mut response = HttpResponse::Ok();
    response.content_type("image/svg+xml; charset=utf-8");
    if interactive {
        response.insert_header((header::CONTENT_SECURITY_POLICY, FLAME_POLICY));
    }
    Ok(response.body(svg))
}

fn describe(profile: &Profile) -> String {
    format!(
        "run {}, {} at {}",
        profile.run_id,
        profile.runtime,
        format::short(&profile.hash)
    )
}

fn component_rows(
    mapping: &Mapping,
    after: &ProfileReport,
    before: Option<&ProfileReport>,
) -> Vec<Row> {
    let old = before.map(|before| mapping.shares(before));
    let mut shares = mapping.shares(after);
    // What is gone has a row as well.
    for (name, _) in old.iter().flatten() {
        if !shares.iter().any(|(one, _)| one == name) {
            shares.push((name.clone(), 0.0));
        }
    }
    let of = |name: &str| {
        let mut all = old.iter().flatten();
        all.find(|(one, _)| one == name).map(|(_, count)| *count)
    };
    shares
        .iter()
        .map(|(name, count)| {
            let totals = (after.total, before.map(|before| before.total));
            row(mapping.label(name), *count, of(name), totals)
        })
        .collect()
}

/// Instructions of each function itself, without what it calls.
fn functions(profile: &ProfileReport) -> HashMap<&str, f64> {
    let mut sums = HashMap::new();
    for stack in &profile.stacks {
        let function = stack.frames.rsplit(';').next().unwrap_or_default();
        *sums.entry(function).or_default() += stack.count;
    }
    sums
}

/// The largest functions; in a comparison, those that changed most.
fn function_rows(after: &ProfileReport, before: Option<&ProfileReport>) -> Vec<Row> {
    let new = functions(after);
    let old = before.map(functions).unwrap_or_default();
    let mut names: Vec<&str> = new.keys().chain(old.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let count = |sums: &HashMap<&str, f64>, name: &str| sums.get(name).copied().unwrap_or(0.0);
    let weight = |name: &str| (count(&new, name) - count(&old, name)).abs();
    names.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
    let totals = (after.total, before.map(|before| before.total));
    names
        .into_iter()
        .take(FUNCTIONS)
        .map(|name| {
            let then = before.map(|_| count(&old, name));
            row(name, count(&new, name), then, totals)
        })
        .collect()
}

fn row(name: &str, count: f64, before: Option<f64>, totals: (f64, Option<f64>)) -> Row {
    let share = if totals.0 > 0.0 {
        count / totals.0
    } else {
        0.0
    };
    let change = totals.1.map(|all| (count - before.unwrap_or(0.0)) / all);
    Row {
        name: name.to_owned(),
        count: format::value(count, Unit::Count),
        share: format!("{:.1}\u{a0}%", share * 100.0),
        width: (share * 100.0).clamp(0.0, 100.0),
        before: totals.1.map_or(String::new(), |_| {
            format::value(before.unwrap_or(0.0), Unit::Count)
        }),
        change: change.map_or(String::new(), |change| percent(change, 1.0)),
        class: match change {
            Some(change) if change > 0.005 => "regressed",
            Some(change) if change < -0.005 => "improved",
            _ => "",
        },
    }
}

fn percent(change: f64, of: f64) -> String {
    if of > 0.0 {
        format!("{:+.1}\u{a0}%", change / of * 100.0)
    } else {
        "–".to_owned()
    }
}
