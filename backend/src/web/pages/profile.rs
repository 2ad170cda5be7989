//! Where a benchmark's instructions or its time went in a run: components, functions, flame graph; and against another run.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, Path, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::{ProfileReport, ProfileTool, Unit};

use super::{PageError, Shell, render};
use crate::chart::flame::{self, Flame};
use crate::context::Context;
use crate::db::profiles::{self, Profile};
use crate::domain::components::{self, Mapping};
use crate::domain::profile::{cost, share_error};
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
    /// What is counted, for people.
    noun: &'static str,
    sampled: Option<Samples>,
    before: Option<Before>,
    build_ids: Vec<(String, String)>,
    components: Vec<Row>,
    functions: Vec<Row>,
    others: Vec<Other>,
    /// Part of the addresses of the pictures: which run it is compared with.
    query: String,
}

/// How it was sampled, and how sure that makes it.
struct Samples {
    count: String,
    clock: &'static str,
    period: String,
    lost: u64,
    counted: String,
    /// Per cent of what was counted that the samples account for.
    seen: String,
    /// The standard error of a share of a half.
    error: String,
    /// Python functions were made visible.
    shows_python: bool,
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
    /// What it took of one loop or request.
    count: String,
    /// Per cent of all.
    share: String,
    /// The same as a number, for the bar.
    width: f64,
    /// What it was before.
    before: String,
    /// The change in per cent of all before.
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

/// Both profiles; they are of the same benchmark, hash, tool and source.
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
    let kind = |row: &Profile| (row.benchmark_id, row.tool.clone(), row.source.clone());
    if kind(&before.row) != kind(&after.row) {
        return Err(Error::BadRequest {
            field: "against".to_owned(),
            message: format!(
                "run {against} has another version of {benchmark}, or a profile of another tool or source ({}, {}): the two do not compare",
                before.row.tool, before.row.source
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
        total: total(&after.report),
        noun: cost(&after.report).noun,
        sampled: samples(&after.report),
        build_ids: after.report.build_ids.clone().into_iter().collect(),
        components: component_rows(mapping, &after.report, old),
        functions: function_rows(&after.report, old),
        query: query
            .against
            .map_or(String::new(), |run| format!("against={run}")),
        before: before.as_ref().map(|before| Before {
            run_id: before.row.run_id,
            words: describe(&before.row),
            total: total(&before.report),
            change: percent(scaled(&after.report), scaled(&before.report)),
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
            noun: match after.report.tool.sampled() {
                None => "instructions",
                Some(_) => "samples",
            },
            profile: &after.report,
            before: before.as_ref().map(|before| {
                let factor = cost(&before.report).of_one / cost(&after.report).of_one;
                (&before.report, factor)
            }),
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

/// All of one loop or request, in what is counted.
fn scaled(profile: &ProfileReport) -> f64 {
    profile.total * cost(profile).of_one
}

fn total(profile: &ProfileReport) -> String {
    format::value(scaled(profile), cost(profile).unit)
}

fn samples(profile: &ProfileReport) -> Option<Samples> {
    let sampled = profile.tool.sampled()?;
    let unit = cost(profile).unit;
    let is_clock = unit == Unit::Seconds;
    Some(Samples {
        count: format!("{:.0}", profile.total),
        clock: if is_clock {
            "of the kernel's processor clock"
        } else {
            "cycles of the processor"
        },
        period: format::value(sampled.period, unit),
        lost: sampled.lost,
        counted: format::value(sampled.counted, unit),
        seen: share_text(profile.total * sampled.period / sampled.counted),
        error: share_text(share_error(profile, 0.5)),
        shows_python: matches!(profile.tool, ProfileTool::SamplingPython(_)),
    })
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
        all.find(|(one, _)| one == name)
            .map_or(0.0, |(_, count)| *count)
    };
    shares
        .iter()
        .map(|(name, count)| {
            let before = before.map(|before| (before, of(name)));
            row(mapping.label(name), (after, *count), before)
        })
        .collect()
}

/// Counts of each function itself, without what it calls.
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
    let factor = before.map_or(0.0, |before| cost(before).of_one) / cost(after).of_one;
    let weight = |name: &str| (count(&new, name) - count(&old, name) * factor).abs();
    names.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
    names
        .into_iter()
        .take(FUNCTIONS)
        .map(|name| {
            let then = before.map(|before| (before, count(&old, name)));
            row(name, (after, count(&new, name)), then)
        })
        .collect()
}

/// A row of a part of a profile, and of the same part of an earlier one.
fn row(
    name: &str,
    (after, count): (&ProfileReport, f64),
    before: Option<(&ProfileReport, f64)>,
) -> Row {
    let share = count / after.total;
    let error = share_error(after, share);
    let change = before.map(|(before, old)| Change::of((after, count), (before, old)));
    let now = cost(after);
    Row {
        name: name.to_owned(),
        count: format::value(count * now.of_one, now.unit),
        share: with_error(share_text(share), error),
        width: (share * 100.0).clamp(0.0, 100.0),
        before: before.map_or(String::new(), |(before, old)| {
            format::value(old * cost(before).of_one, now.unit)
        }),
        change: change.as_ref().map_or(String::new(), |one| {
            with_error(signed(one.share), one.error)
        }),
        class: change.map_or("", |one| one.class()),
    }
}

/// A change, as a share of all that was before.
struct Change {
    share: f64,
    /// Its standard error, from the numbers of samples alone.
    error: f64,
}

impl Change {
    fn of((after, new): (&ProfileReport, f64), (before, old): (&ProfileReport, f64)) -> Self {
        let all = scaled(before);
        let growth = scaled(after) / all;
        let error = |profile: &ProfileReport, count| share_error(profile, count / profile.total);
        Self {
            share: (new * cost(after).of_one - old * cost(before).of_one) / all,
            error: (error(after, new) * growth).hypot(error(before, old)),
        }
    }

    /// A colour for what is worth one: half a per cent of all, and twice its error.
    fn class(&self) -> &'static str {
        if self.share.abs() <= (2.0 * self.error).max(0.005) {
            ""
        } else if self.share > 0.0 {
            "regressed"
        } else {
            "improved"
        }
    }
}

fn share_text(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

fn with_error(text: String, error: f64) -> String {
    if error > 0.0 {
        format!("{text} ± {:.1}", error * 100.0)
    } else {
        text
    }
}

/// How much more than before, in per cent.
fn percent(after: f64, before: f64) -> String {
    if before > 0.0 {
        signed((after - before) / before)
    } else {
        "–".to_owned()
    }
}

fn signed(share: f64) -> String {
    format!("{:+.1}\u{a0}%", share * 100.0)
}
