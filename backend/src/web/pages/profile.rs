//! Where a benchmark's instructions or its time went in a run: components, functions, flame graph; and against another run.

mod rows;

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
use crate::domain::components;
use crate::domain::profile::{cost, share_error};
use crate::domain::profile_difference::scaled;
use crate::web::error::Error;
use crate::web::format;
use rows::{Row, component_rows, function_rows, percent, share_text};

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
        shell: Shell::new(format!("Profile of {benchmark}, run {run_id}"), "home"),
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
