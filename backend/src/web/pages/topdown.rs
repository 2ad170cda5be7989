//! Where the pipeline's slots went: level 1 and 2 of the top-down analysis (Yasin, "A top-down method for performance analysis
//! and counters architecture", 2014) per benchmark, runtimes side by side, with what stands behind the front end's share.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::Metric;

use super::counters::{Bars, TOP_DOWN, Values, bar};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::long_view::{self, CounterRow, ReasonRow, RunChoice, RuntimeChoice};
use crate::web::error::Error;
use crate::web::find::find_commit;
use crate::web::format;

/// Runtimes side by side.
const RUNTIMES: usize = 4;
/// Reasons that are read.
const REASONS: i64 = 200;

/// What stands behind the shares: misses and branches.
const DETAILS: [Metric; 7] = [
    Metric::L1iMpki,
    Metric::ItlbMpki,
    Metric::L1dMpki,
    Metric::DtlbMpki,
    Metric::LlcMpki,
    Metric::Branches,
    Metric::BranchMisses,
];

#[derive(Template)]
#[template(path = "topdown.html")]
struct Page {
    shell: Shell,
    choices: Vec<(RuntimeChoice, bool)>,
    host: String,
    commit: String,
    sorts: Vec<(&'static str, &'static str, bool, String)>,
    /// What is shown, one for each runtime.
    runs: Vec<Run>,
    /// Runtimes that are asked for and have no such run.
    absent: Vec<String>,
    rows: Vec<Row>,
    benchmark: Option<Drill>,
}

struct Run {
    choice: RunChoice,
    words: String,
    /// Source of the shares; empty where there are none.
    source: String,
    /// Why there are none: metric, reason, benchmarks.
    reasons: Vec<(String, String, i64)>,
}

/// A benchmark with a bar for each runtime.
struct Row {
    benchmark: String,
    link: String,
    bars: Vec<Cell>,
}

struct Cell {
    runtime: String,
    bar: Option<Bars>,
    front: String,
    ipc: String,
    /// Address of the profile.
    profile: Option<String>,
}

/// One benchmark closer.
struct Drill {
    name: String,
    columns: Vec<String>,
    /// Metric, its value in each column.
    rows: Vec<(&'static str, Vec<String>)>,
}

/// What the address asks for.
#[derive(Debug, Default)]
struct Asked {
    runtimes: Vec<String>,
    host: String,
    commit: String,
    sort: Sort,
    benchmark: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sort {
    #[default]
    FrontEnd,
    Ipc,
    Name,
}

impl Sort {
    const ALL: [Self; 3] = [Self::FrontEnd, Self::Ipc, Self::Name];

    fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front_end",
            Self::Ipc => "ipc",
            Self::Name => "name",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::FrontEnd => "largest share of the front end first",
            Self::Ipc => "fewest instructions per cycle first",
            Self::Name => "by name",
        }
    }
}

fn parse(pairs: Vec<(String, String)>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    let bad = |field: &str, message: String| Error::BadRequest {
        field: field.to_owned(),
        message,
    };
    for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        match key.as_str() {
            "runtime" if asked.runtimes.len() < RUNTIMES => asked.runtimes.push(value),
            "runtime" => {
                return Err(bad(
                    "runtime",
                    format!("runtime: at most {RUNTIMES} fit side by side"),
                ));
            }
            "host" => asked.host = value,
            "commit" => asked.commit = value,
            "benchmark" => asked.benchmark = value,
            "sort" => {
                let known = Sort::ALL.into_iter().find(|one| one.as_str() == value);
                asked.sort = known
                    .ok_or_else(|| bad("sort", "sort: one of front_end, ipc, name".to_owned()))?;
            }
            _ => {
                return Err(bad(
                    "query",
                    format!(
                        "{key}: there is no such parameter; known are runtime, host, commit, sort, benchmark"
                    ),
                ));
            }
        }
    }
    asked.runtimes.dedup();
    Ok(asked)
}

pub(super) async fn topdown(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let mut asked = parse(pairs)?;
    let choices = long_view::list_choices(&context.pool).await?;
    if asked.runtimes.is_empty() {
        let first = choices.iter().find(|one| !one.hosts.is_empty());
        asked.runtimes.extend(first.map(|one| one.name.clone()));
    }
    let wanted = keys_of(&asked.runtimes, &choices)?;
    let commit_id = match asked.commit.as_str() {
        "" => None,
        hash => Some(find_commit(&context, hash).await?.id),
    };
    let host = Some(asked.host.as_str()).filter(|name| !name.is_empty());
    let runs = long_view::list_newest(&context.pool, &wanted, host, commit_id).await?;
    let keys: Vec<i64> = runs.iter().map(|run| run.run_id).collect();
    let shares: Vec<&str> = top_down()
        .chain([Metric::Ipc])
        .map(Metric::as_str)
        .collect();
    let all: Vec<&str> = shares
        .iter()
        .copied()
        .chain(DETAILS.map(Metric::as_str))
        .chain([Metric::Instructions.as_str()])
        .collect();
    let counters = long_view::list_counters(&context.pool, &keys, &all).await?;
    // Where not even cycles are counted, that is the reason.
    let reasons_of: Vec<&str> = shares
        .iter()
        .copied()
        .chain([Metric::Cycles, Metric::Instructions].map(Metric::as_str))
        .collect();
    let reasons = long_view::list_reasons(&context.pool, &keys, &reasons_of, REASONS).await?;
    let profiles = long_view::list_profiles(&context.pool, &keys).await?;
    let by_run: Vec<Counted> = runs
        .iter()
        .map(|run| Counted::new(run, &counters))
        .collect();
    let page = Page {
        shell: Shell::new("Top-down", "topdown"),
        absent: asked
            .runtimes
            .iter()
            .filter(|name| runs.iter().all(|run| run.runtime != **name))
            .cloned()
            .collect(),
        rows: rows(&asked, &by_run, &profiles),
        benchmark: drill(&asked.benchmark, &by_run),
        sorts: Sort::ALL
            .map(|sort| {
                (
                    sort.as_str(),
                    sort.words(),
                    sort == asked.sort,
                    address(&asked, Some(sort), None),
                )
            })
            .to_vec(),
        choices: choices
            .into_iter()
            .map(|one| {
                let on = asked.runtimes.contains(&one.name);
                (one, on)
            })
            .collect(),
        runs: by_run
            .into_iter()
            .map(|one| run_words(one, &reasons))
            .collect(),
        host: asked.host,
        commit: asked.commit,
    };
    render(&page)
}

/// The runtimes of these names.
fn keys_of(names: &[String], known: &[RuntimeChoice]) -> Result<Vec<i64>, Error> {
    let key = |name: &String| {
        let found = known.iter().find(|one| one.name == *name);
        found
            .map(|one| one.id)
            .ok_or_else(|| Error::NotFound(format!("No runtime {name:?} is known here.")))
    };
    names.iter().map(key).collect()
}

fn top_down() -> impl Iterator<Item = Metric> {
    TOP_DOWN
        .into_iter()
        .flat_map(|(whole, parts)| [whole].into_iter().chain(parts))
}

/// The counters of a run, of one source.
struct Counted {
    choice: RunChoice,
    source: String,
    /// By benchmark; their identities.
    values: BTreeMap<String, (String, Values)>,
}

impl Counted {
    /// Shares of two sources are not set side by side: the source of the first share is taken, without any the first of all.
    fn new(run: &RunChoice, counters: &[CounterRow]) -> Self {
        let own: Vec<&CounterRow> = counters
            .iter()
            .filter(|one| one.run_id == run.run_id)
            .collect();
        let share = own
            .iter()
            .find(|one| one.metric == Metric::FrontendBound.as_str());
        let source = share
            .or(own.first())
            .map(|one| one.counter_source.clone())
            .unwrap_or_default();
        let mut values: BTreeMap<String, (String, Values)> = BTreeMap::new();
        for one in own.into_iter().filter(|one| one.counter_source == source) {
            if let Ok(metric) = one.metric.parse::<Metric>() {
                let entry = values
                    .entry(one.benchmark.clone())
                    .or_insert_with(|| (one.identity.clone(), Values::new()));
                // Of two versions of one name the first is shown.
                if entry.0 == one.identity {
                    entry.1.insert(metric, one.median);
                }
            }
        }
        Self {
            choice: run.clone(),
            source,
            values,
        }
    }

    fn of(&self, benchmark: &str, metric: Metric) -> Option<f64> {
        self.values.get(benchmark)?.1.get(&metric).copied()
    }

    fn has_shares(&self, benchmark: &str) -> bool {
        TOP_DOWN
            .iter()
            .all(|(whole, _)| self.of(benchmark, *whole).is_some())
    }
}

fn rows(asked: &Asked, runs: &[Counted], profiles: &[(i64, String)]) -> Vec<Row> {
    let names: BTreeSet<&String> = runs
        .iter()
        .flat_map(|run| {
            run.values
                .keys()
                .filter(|name| run.has_shares(name) || run.of(name, Metric::Ipc).is_some())
        })
        .collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    let first = |name: &str, metric: Metric| runs.iter().find_map(|run| run.of(name, metric));
    // What is missing goes last.
    match asked.sort {
        Sort::FrontEnd => names.sort_by(|a, b| {
            let share = |name: &str| first(name, Metric::FrontendBound).unwrap_or(-1.0);
            share(b).total_cmp(&share(a))
        }),
        Sort::Ipc => names.sort_by(|a, b| {
            let ipc = |name: &str| first(name, Metric::Ipc).unwrap_or(f64::INFINITY);
            ipc(a).total_cmp(&ipc(b))
        }),
        Sort::Name => {}
    }
    let cell = |run: &Counted, name: &String| Cell {
        runtime: run.choice.runtime.clone(),
        bar: run
            .values
            .get(name)
            .filter(|_| run.has_shares(name))
            .map(|(_, values)| bar(format!("{name}, {}", run.choice.runtime), true, values)),
        front: run
            .of(name, Metric::FrontendBound)
            .map_or_else(|| "not counted".to_owned(), percent),
        ipc: run
            .of(name, Metric::Ipc)
            .map_or_else(|| "not counted".to_owned(), |ipc| format!("{ipc:.2}")),
        profile: profiles
            .iter()
            .any(|(id, one)| *id == run.choice.run_id && one == name)
            .then(|| {
                format!(
                    "/runs/{}/profiles/{}",
                    run.choice.run_id,
                    format::encode(name)
                )
            }),
    };
    names
        .into_iter()
        .map(|name| Row {
            link: address(asked, None, Some(name)),
            bars: runs.iter().map(|run| cell(run, name)).collect(),
            benchmark: name.clone(),
        })
        .collect()
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// One benchmark in every run: the shares, and per 1000 instructions what stands behind them.
fn drill(name: &str, runs: &[Counted]) -> Option<Drill> {
    if name.is_empty() {
        return None;
    }
    let text = |run: &Counted, metric: Metric| {
        let value = run.of(name, metric)?;
        Some(match metric {
            Metric::Branches | Metric::BranchMisses => {
                let instructions = run
                    .of(name, Metric::Instructions)
                    .filter(|count| *count > 0.0)?;
                format!("{:.2}", value / instructions * 1000.0)
            }
            Metric::Ipc => format!("{value:.2}"),
            other if top_down().any(|share| share == other) => percent(value),
            other => format::value(value, other.unit()),
        })
    };
    let label = |metric: Metric| match metric {
        Metric::Branches => "Branches per 1000 instructions",
        Metric::BranchMisses => "Mispredicted branches per 1000 instructions",
        other => other.label(),
    };
    let metrics = [Metric::Ipc].into_iter().chain(top_down()).chain(DETAILS);
    let rows = metrics.map(|metric| {
        let values = runs
            .iter()
            .map(|run| text(run, metric).unwrap_or_else(|| "not counted".to_owned()));
        (label(metric), values.collect())
    });
    Some(Drill {
        name: name.to_owned(),
        columns: runs.iter().map(|run| run.choice.runtime.clone()).collect(),
        rows: rows.collect(),
    })
}

fn run_words(one: Counted, reasons: &[ReasonRow]) -> Run {
    let any = one.values.keys().any(|name| one.has_shares(name));
    let own = reasons
        .iter()
        .filter(|reason| reason.run_id == one.choice.run_id);
    let mut told: Vec<(String, String, i64)> = Vec::new();
    for reason in own {
        let label = format::metric_label(&reason.metric);
        match told
            .iter_mut()
            .find(|(_, words, _)| *words == reason.reason)
        {
            Some((labels, _, _)) if labels.len() < 200 => labels.push_str(&format!(", {label}")),
            Some(_) => {}
            None => told.push((label, reason.reason.clone(), reason.benchmarks)),
        }
    }
    let commit = one
        .choice
        .tag
        .clone()
        .unwrap_or_else(|| format::short(&one.choice.hash));
    Run {
        words: format!(
            "{commit} on {}, {}",
            one.choice.host,
            format::day(one.choice.measured_at)
        ),
        source: if any { one.source } else { String::new() },
        reasons: told,
        choice: one.choice,
    }
}

/// The address of this page with another order or benchmark.
fn address(asked: &Asked, sort: Option<Sort>, benchmark: Option<&str>) -> String {
    let mut pairs: Vec<(&str, &str)> = asked
        .runtimes
        .iter()
        .map(|name| ("runtime", name.as_str()))
        .collect();
    pairs.push(("host", &asked.host));
    pairs.push(("commit", &asked.commit));
    pairs.push(("sort", sort.unwrap_or(asked.sort).as_str()));
    pairs.push(("benchmark", benchmark.unwrap_or(&asked.benchmark)));
    let parts = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<String> = parts
        .map(|(key, value)| format!("{key}={}", format::encode(value)))
        .collect();
    let anchor = if benchmark.is_some() { "#closer" } else { "" };
    format!("/topdown?{}{anchor}", parts.join("&"))
}
