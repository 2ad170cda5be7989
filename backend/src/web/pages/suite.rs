//! The suites: what each is, what changed between its versions, and benchmarks beside those that do the same work.

mod tables;

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use speedwell_wire::{CounterSource, LockedPackage, Metric};

use self::tables::{Cell, Kind, Table, by_baseline};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::suites::{self, SuiteBenchmark, SuiteName, SuiteResult};
use crate::web::error::Error;
use crate::web::format;

/// The metrics that benchmarks are compared by, as far as a suite has them.
const COMPARED: [Metric; 19] = [
    Metric::WallTime,
    Metric::SteadyTime,
    Metric::Instructions,
    Metric::RequestsPerSecond,
    Metric::LatencyP50,
    Metric::LatencyP95,
    Metric::LatencyP99,
    Metric::CpuPerRequest,
    Metric::MainLoopShare,
    Metric::CompiledShare,
    Metric::MaxRss,
    Metric::SteadyRss,
    Metric::StepP50,
    Metric::StepP99,
    Metric::StepP999,
    Metric::StepMax,
    Metric::GcPauseP99,
    Metric::GcPauseMax,
    Metric::GcTimeShare,
];

#[derive(Template)]
#[template(path = "suites.html")]
struct ListPage {
    shell: Shell,
    suites: Vec<SuiteName>,
}

/// Every suite.
pub(super) async fn suites(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let suites = suites::list(&context.pool).await?;
    render(&ListPage {
        shell: Shell::new("Suites", "suites"),
        suites,
    })
}

#[derive(Template)]
#[template(path = "suite.html")]
struct Page {
    shell: Shell,
    name: String,
    description: String,
    locks: Vec<Lock>,
    versions: Vec<Version>,
    benchmarks: Vec<SuiteBenchmark>,
    host: String,
    runtimes: Vec<Runtime>,
    /// Benchmarks against their baselines.
    within: Vec<Table>,
}

/// One lock of the suite.
struct Lock {
    /// Name of the requirements; empty: the suite's own.
    name: String,
    packages: Vec<LockedPackage>,
}

struct Version {
    number: i32,
    sha256: String,
    announced: String,
    count: usize,
    changes: Vec<String>,
}

struct Runtime {
    name: String,
    run_id: i64,
}

pub(super) async fn suite(
    context: Data<Context>,
    name: Path<String>,
) -> Result<HttpResponse, PageError> {
    let all = suites::list_versions(&context.pool, &name).await?;
    let Some(newest) = all.first().map(|one| one.version) else {
        return Err(Error::NotFound(format!("No worker has announced a suite {name:?}.")).into());
    };
    let text = suites::find_text(&context.pool, &name).await?;
    let (description, packages) = text
        .map(|text| (text.description, text.lock.0))
        .unwrap_or_default();
    let metrics = COMPARED.map(Metric::as_str);
    let results = suites::list_results(&context.pool, &name, &metrics).await?;
    let mut runtimes: Vec<Runtime> = Vec::new();
    for one in &results {
        if runtimes.last().is_none_or(|last| last.name != one.runtime) {
            runtimes.push(Runtime {
                name: one.runtime.clone(),
                run_id: one.run_id,
            });
        }
    }
    let versions = versions(&all);
    let benchmarks: Vec<SuiteBenchmark> = all
        .into_iter()
        .filter(|one| one.version == newest)
        .collect();
    let kinds = kinds(&results);
    let each = kinds.iter();
    render(&Page {
        shell: Shell::new(format!("Suite {name}"), "suites"),
        description,
        locks: locks(&packages),
        versions,
        within: each
            .filter_map(|kind| by_baseline(kind, &runtimes, &benchmarks, &results))
            .collect(),
        benchmarks,
        host: results
            .first()
            .map(|one| one.host.clone())
            .unwrap_or_default(),
        runtimes,
        name: name.into_inner(),
    })
}

/// What benchmarks are compared by here: each metric by each source that gave values, for values of two sources are never compared.
fn kinds(results: &[SuiteResult]) -> Vec<Kind> {
    let sources = |metric: Metric| {
        let of_metric = results
            .iter()
            .filter(move |one| one.metric.as_deref() == Some(metric.as_str()));
        let named = of_metric.filter_map(|one| one.counter_source.as_deref()?.parse().ok());
        named.collect::<BTreeSet<CounterSource>>()
    };
    let each = |metric| {
        sources(metric)
            .into_iter()
            .map(move |source| Kind { metric, source })
    };
    COMPARED.into_iter().flat_map(each).collect()
}

/// The packages by the lock that they belong to.
fn locks(packages: &[LockedPackage]) -> Vec<Lock> {
    let groups = packages.chunk_by(|a, b| a.requirements == b.requirements);
    groups
        .map(|group| Lock {
            name: group[0].requirements.clone(),
            packages: group.to_vec(),
        })
        .collect()
}

/// Each version with what it changed.
fn versions(all: &[SuiteBenchmark]) -> Vec<Version> {
    let groups: Vec<&[SuiteBenchmark]> = all.chunk_by(|a, b| a.version == b.version).collect();
    groups
        .iter()
        .enumerate()
        .map(|(index, group)| Version {
            number: group[0].version,
            sha256: group[0].suite_sha256.chars().take(12).collect(),
            announced: format::day(group[0].created_at),
            count: group.len(),
            changes: groups
                .get(index + 1)
                .map(|older| changes(older, group))
                .unwrap_or_default(),
        })
        .collect()
}

fn changes(older: &[SuiteBenchmark], newer: &[SuiteBenchmark]) -> Vec<String> {
    let find =
        |all: &[SuiteBenchmark], name: &str| all.iter().find(|one| one.name == name).cloned();
    let come = newer.iter().filter_map(|one| match find(older, &one.name) {
        None => Some(format!("{} is new", one.name)),
        Some(before) if before.script_sha256 != one.script_sha256 => {
            Some(format!("{} has another script", one.name))
        }
        Some(before) if before.identity != one.identity => {
            Some(format!("{} has other inputs or arguments", one.name))
        }
        Some(_) => None,
    });
    let gone = older
        .iter()
        .filter(|one| find(newer, &one.name).is_none())
        .map(|one| format!("{} is gone", one.name));
    let changes: Vec<String> = come.chain(gone).collect();
    if changes.is_empty() {
        vec!["the same benchmarks: only their plan changed".to_owned()]
    } else {
        changes
    }
}
