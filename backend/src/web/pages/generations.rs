//! Processor generations against software versions: what the silicon gave, and what the software.
//!
//! A column is a host as it was measured last, in the order of its processor's launch; a row is one commit of a runtime by one
//! recipe. All cells are compared with one of them over the benchmarks that every cell has.

mod cells;

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use serde_json::Value;
use speedwell_wire::Metric;

use super::{PageError, Shell, render};
use crate::chart::Point;
use crate::chart::labelled::{self, Labelled, Named};
use crate::context::Context;
use crate::db::index::{self, Packed};
use crate::db::long_view::{self, EnvironmentRow, RuntimeChoice, Stop};
use crate::domain::generation::generation;
use crate::web::error::Error;
use crate::web::format;

use cells::{Cell, Grid, Software};

/// Stops that are looked at.
const STOPS: i64 = 1000;
/// Hosts and versions that are shown; more do not fit on a page.
pub(super) const HOSTS: usize = 10;
/// Versions of one runtime.
const VERSIONS: usize = 5;
/// Rows in all.
pub(super) const ROWS: usize = 30;

#[derive(Template)]
#[template(path = "generations.html")]
struct Page {
    shell: Shell,
    choices: Vec<(RuntimeChoice, bool)>,
    benchmark: String,
    benchmarks: Vec<String>,
    base_words: String,
    hosts: Vec<Host>,
    rows: Vec<Row>,
    silicon: Vec<Gain>,
    software: Vec<Gain>,
    chart: String,
    common: usize,
    left_out: Vec<String>,
    /// Cells of other states of their hosts, which are not compared.
    earlier: usize,
    /// Why the counters are missing.
    reasons: Vec<(String, i64)>,
}

/// A column.
struct Host {
    name: String,
    generation: String,
    cpu: String,
    compiler: String,
    kernel: String,
}

struct Row {
    name: String,
    cells: Vec<Shown>,
}

/// A cell as it is shown.
enum Shown {
    Value {
        run_id: i64,
        link: String,
        text: String,
        interval: String,
        class: String,
        is_base: bool,
        marked: bool,
        counters: String,
    },
    /// Why there is no value.
    Missing(String),
}

/// One step along a row or a column.
struct Gain {
    from: String,
    to: String,
    of: String,
    text: String,
    interval: String,
    words: &'static str,
}

#[derive(Debug, Default)]
struct Asked {
    runtimes: Vec<String>,
    benchmark: String,
    base: Option<i64>,
}

fn parse(pairs: Vec<(String, String)>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    let bad = |field: &str, message: String| Error::BadRequest {
        field: field.to_owned(),
        message,
    };
    for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        match key.as_str() {
            "runtime" => asked.runtimes.push(value),
            "benchmark" => asked.benchmark = value,
            "base" => {
                let Ok(number) = value.parse() else {
                    let words = "base: the number of a run that is a cell of this page";
                    return Err(bad("base", words.to_owned()));
                };
                asked.base = Some(number);
            }
            _ => {
                return Err(bad(
                    "query",
                    format!(
                        "{key}: there is no such parameter; known are runtime, benchmark, base"
                    ),
                ));
            }
        }
    }
    Ok(asked)
}

pub(super) async fn generations(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let asked = parse(pairs)?;
    let choices = long_view::list_choices(&context.pool).await?;
    let wanted: Vec<i64> = choices
        .iter()
        .filter(|one| asked.runtimes.is_empty() || asked.runtimes.contains(&one.name))
        .filter(|one| !one.hosts.is_empty())
        .map(|one| one.id)
        .collect();
    let stops = long_view::list_stops(&context.pool, &wanted, STOPS).await?;
    let (chosen, earlier) = cells::newest_states(stops, VERSIONS);
    let runs: Vec<i64> = chosen.iter().map(|stop| stop.run_id).collect();
    let packed: BTreeMap<i64, Packed> = index::list_packed(&context.pool, &runs)
        .await?
        .into_iter()
        .collect();
    let environments: Vec<i64> = chosen.iter().map(|stop| stop.environment_id).collect();
    let environments = long_view::list_environments(&context.pool, &environments).await?;
    let known: Vec<i64> = packed
        .values()
        .flat_map(|one| one.values.benchmark_ids.iter().copied())
        .collect();
    let names = index::list_names(&context.pool, &known).await?;
    let counters = [Metric::Ipc.as_str(), Metric::FrontendBound.as_str()];
    let reasons = long_view::list_reasons(&context.pool, &runs, &counters, 100).await?;
    if !asked.benchmark.is_empty() && !names.iter().any(|(_, name)| *name == asked.benchmark) {
        let message = format!("No run on this page has a benchmark {:?}.", asked.benchmark);
        return Err(Error::NotFound(message).into());
    }
    let order = |stop: &Stop| host_order(&environments, stop.environment_id);
    let of_name = |id: i64| {
        asked.benchmark.is_empty()
            || names
                .iter()
                .any(|(one, name)| *one == id && *name == asked.benchmark)
    };
    let grid = Grid::new(&chosen, &packed, order, of_name, asked.base);
    let mut benchmarks: Vec<String> = names.iter().map(|(_, name)| name.clone()).collect();
    benchmarks.dedup();
    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    for one in reasons {
        let most = told.entry(one.reason).or_default();
        *most = one.benchmarks.max(*most);
    }
    render(&page(
        &asked,
        choices,
        &grid,
        &environments,
        &names,
        benchmarks,
        earlier,
        told.into_iter().collect(),
    ))
}

/// Hosts in the order of their processors' launch; unknown ones last.
fn host_order(environments: &[EnvironmentRow], id: i64) -> (u16, String) {
    let facts = environments
        .iter()
        .find(|one| one.id == id)
        .map(|one| &one.facts);
    let signature = facts.and_then(|facts| facts.get("cpu_signature")?.as_str());
    match signature.and_then(generation) {
        Some(one) => (one.year, one.name.clone()),
        None => (u16::MAX, String::new()),
    }
}

fn host(grid: &Grid, index: usize, environments: &[EnvironmentRow]) -> Host {
    let column = grid.hosts.get(index);
    let id = column.map_or(0, |column| column.environment_id);
    let facts = environments
        .iter()
        .find(|one| one.id == id)
        .map(|one| &one.facts);
    let fact = |name: &str| {
        let value = facts.and_then(|facts| facts.get(name));
        value
            .and_then(Value::as_str)
            .unwrap_or("not told")
            .to_owned()
    };
    Host {
        name: column.map(|column| column.name.clone()).unwrap_or_default(),
        generation: match generation(&fact("cpu_signature")) {
            Some(one) => format!("{}, {}", one.name, one.year),
            None => format!("generation unknown ({})", fact("cpu_signature")),
        },
        cpu: fact("cpu_model"),
        compiler: fact("compiler"),
        kernel: fact("kernel"),
    }
}

#[expect(clippy::too_many_arguments, reason = "what the queries brought, once")]
fn page(
    asked: &Asked,
    choices: Vec<RuntimeChoice>,
    grid: &Grid,
    environments: &[EnvironmentRow],
    names: &[(i64, String)],
    benchmarks: Vec<String>,
    earlier: usize,
    reasons: Vec<(String, i64)>,
) -> Page {
    let hosts: Vec<Host> = (0..grid.hosts.len())
        .map(|index| host(grid, index, environments))
        .collect();
    let name_of = |id: &i64| {
        names
            .iter()
            .find(|(one, _)| one == id)
            .map_or("?", |(_, name)| name)
    };
    let mut left_out: Vec<String> = grid
        .left_out
        .iter()
        .map(|id| name_of(id).to_owned())
        .collect();
    left_out.sort();
    let choices = choices.into_iter().filter(|one| !one.hosts.is_empty());
    Page {
        shell: Shell::new("Generations", "generations"),
        choices: choices
            .map(|one| {
                let on = asked.runtimes.is_empty() || asked.runtimes.contains(&one.name);
                (one, on)
            })
            .collect(),
        benchmark: asked.benchmark.clone(),
        benchmarks,
        base_words: grid.base_words(),
        rows: grid
            .rows
            .iter()
            .map(|row| shown(asked, grid, row))
            .collect(),
        silicon: gains(grid.silicon()),
        software: gains(grid.software()),
        chart: chart(grid, &hosts),
        common: grid.common,
        left_out,
        earlier,
        reasons,
        hosts,
    }
}

fn shown(asked: &Asked, grid: &Grid, row: &Software) -> Row {
    let cells = row.cells.iter().map(|cell| match cell {
        Cell::Missing(why) => Shown::Missing(why.clone()),
        Cell::Value(value) => {
            let ratio = value.ratio();
            let change = ratio.ratio - 1.0;
            let side = match (
                value.run_id == grid.base,
                ratio.is_significant(),
                change < 0.0,
            ) {
                (true, _, _) => "base",
                (false, false, _) => "even",
                (false, true, true) => "better",
                (false, true, false) => "worse",
            };
            // Four steps of heat: 2, 5, 15 and 40 %.
            let heat = [0.02, 0.05, 0.15, 0.4]
                .iter()
                .filter(|limit| change.abs() >= **limit)
                .count();
            let ipc = value.ipc.map_or_else(
                || "IPC not measured".to_owned(),
                |ipc| format!("IPC {ipc:.2}"),
            );
            let front = value.frontend_bound.map_or_else(
                || "front end not measured".to_owned(),
                |share| format!("front end {:.1}\u{a0}%", share * 100.0),
            );
            Shown::Value {
                run_id: value.run_id,
                link: address(asked, value.run_id),
                text: if value.run_id == grid.base {
                    "base".to_owned()
                } else {
                    format::percent(change)
                },
                interval: format!(
                    "{} to {}",
                    format::percent(ratio.low - 1.0),
                    format::percent(ratio.high - 1.0)
                ),
                class: format!("heat {side} h{heat}"),
                is_base: value.run_id == grid.base,
                marked: value.marked,
                counters: format!("{ipc}, {front}"),
            }
        }
    });
    Row {
        name: row.name.clone(),
        cells: cells.collect(),
    }
}

fn gains(steps: Vec<cells::Gained>) -> Vec<Gain> {
    let steps = steps.into_iter().map(|step| {
        let ratio = step.ratio;
        Gain {
            from: step.from,
            to: step.to,
            of: step.of,
            text: format::percent(ratio.ratio - 1.0),
            interval: format!(
                "{} to {}",
                format::percent(ratio.low - 1.0),
                format::percent(ratio.high - 1.0)
            ),
            words: match (ratio.is_significant(), ratio.ratio < 1.0) {
                (false, _) => "within the noise",
                (true, true) => "faster",
                (true, false) => "slower",
            },
        }
    });
    steps.collect()
}

/// One line per version over the generations; with one host alone, one line per runtime over its versions.
fn chart(grid: &Grid, hosts: &[Host]) -> String {
    let point = |x: usize, cell: &Cell, title: String| {
        let Cell::Value(value) = cell else {
            return None;
        };
        let ratio = value.ratio();
        Some(Point {
            x: x as f64,
            value: ratio.ratio - 1.0,
            low: ratio.low - 1.0,
            high: ratio.high - 1.0,
            title: format!("{title}: {}", format::percent(ratio.ratio - 1.0)),
            link: format!("/runs/{}", value.run_id),
            class: "",
        })
    };
    let (lines, ticks): (Vec<Named>, Vec<(f64, String)>) = if hosts.len() > 1 {
        let lines = grid.rows.iter().enumerate().map(|(colour, row)| Named {
            name: row.name.clone(),
            colour,
            stretches: vec![
                row.cells
                    .iter()
                    .enumerate()
                    .filter_map(|(x, cell)| {
                        point(x, cell, format!("{} on {}", row.name, hosts.get(x)?.name))
                    })
                    .collect(),
            ],
        });
        let ticks = hosts
            .iter()
            .enumerate()
            .map(|(x, host)| (x as f64, host.name.clone()));
        (lines.collect(), ticks.collect())
    } else {
        let mut lines: Vec<Named> = Vec::new();
        for (x, row) in grid.rows.iter().enumerate() {
            let Some(point) = row
                .cells
                .first()
                .and_then(|cell| point(x, cell, row.name.clone()))
            else {
                continue;
            };
            match lines.last_mut().filter(|line| line.name == row.runtime) {
                Some(line) => line
                    .stretches
                    .iter_mut()
                    .for_each(|stretch| stretch.push(point.clone())),
                None => lines.push(Named {
                    name: row.runtime.clone(),
                    colour: lines.len(),
                    stretches: vec![vec![point]],
                }),
            }
        }
        let ticks = grid
            .rows
            .iter()
            .enumerate()
            .map(|(x, row)| (x as f64, row.version.clone()));
        (lines, ticks.collect())
    };
    if lines
        .iter()
        .all(|line| line.stretches.iter().all(|stretch| stretch.len() < 2))
    {
        return String::new();
    }
    labelled::svg(&Labelled {
        label: format!("Time against {}", grid.base_words()),
        height: 320,
        lines,
        ticks,
        format: format::percent,
        base: Some((0.0, grid.base_words())),
    })
}

fn address(asked: &Asked, base: i64) -> String {
    let mut parts: Vec<String> = asked
        .runtimes
        .iter()
        .map(|name| format!("runtime={}", format::encode(name)))
        .collect();
    if !asked.benchmark.is_empty() {
        parts.push(format!("benchmark={}", format::encode(&asked.benchmark)));
    }
    parts.push(format!("base={base}"));
    format!("/generations?{}", parts.join("&"))
}
