//! From one release to the next: the measured total, what each confirmed change brought of it, and the unexplained rest.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use serde::Deserialize;
use speedwell_wire::Metric;

use super::{PageError, Shell, render};
use crate::chart::waterfall::{self, Bar, BarKind, Waterfall};
use crate::context::Context;
use crate::db::index;
use crate::db::long_view::{self, RuntimeChoice, StepRow, Stop};
use crate::domain::index::{Total, Values, against, ratio_of};
use crate::domain::waterfall::{Contribution, Explained, Step, explain};
use crate::web::error::Error;
use crate::web::format;

/// Measured releases that are looked at.
const STOPS: i64 = 1000;
/// Confirmed steps between two releases.
const STEPS: i64 = 2000;
/// Bars of their own; smaller changes share one.
const BARS: usize = 14;

#[derive(Template)]
#[template(path = "releases.html")]
struct Page {
    shell: Shell,
    runtimes: Vec<RuntimeChoice>,
    runtime: String,
    hosts: Vec<String>,
    host: String,
    /// Key and words of what can be chosen, in branch order.
    stops: Vec<(String, String)>,
    from: String,
    to: String,
    /// Why there is no waterfall.
    missing: Option<String>,
    fall: Option<Fall>,
}

/// The waterfall of two releases.
struct Fall {
    from: End,
    to: End,
    total: String,
    interval: String,
    within: bool,
    count: usize,
    left_out: Vec<String>,
    svg: String,
    rows: Vec<Row>,
    rest: String,
    rest_interval: String,
    rest_within: bool,
    /// The smaller changes share a bar.
    shared: usize,
}

struct End {
    words: String,
    hash: String,
    run_id: i64,
    /// Whether something on the host disturbed it.
    marked: bool,
    measured: String,
}

struct Row {
    id: i64,
    state: String,
    hash: String,
    short: String,
    subject: String,
    author: String,
    found: bool,
    reaches_beyond: bool,
    benchmarks: String,
    outside: usize,
    share: String,
    interval: String,
    class: &'static str,
}

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    runtime: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

pub(super) async fn releases(
    context: Data<Context>,
    asked: Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let asked = asked.into_inner();
    let runtimes = long_view::list_choices(&context.pool).await?;
    let mut page = Page {
        shell: Shell::new("Releases", "releases"),
        hosts: Vec::new(),
        runtime: asked.runtime.clone(),
        host: String::new(),
        stops: Vec::new(),
        from: String::new(),
        to: String::new(),
        missing: None,
        fall: None,
        runtimes,
    };
    let chosen = page.runtimes.iter().find(|one| {
        one.name == asked.runtime || (asked.runtime.is_empty() && !one.hosts.is_empty())
    });
    let Some(chosen) = chosen.cloned() else {
        if !asked.runtime.is_empty() {
            return Err(
                Error::NotFound(format!("No runtime {:?} is known here.", asked.runtime)).into(),
            );
        }
        page.missing = Some("No runtime has been measured whole yet.".to_owned());
        return render(&page);
    };
    let all = long_view::list_stops(&context.pool, &[chosen.id], STOPS).await?;
    page.host = match chosen.hosts.iter().find(|name| **name == asked.host) {
        Some(name) => name.clone(),
        None if asked.host.is_empty() => best_host(&all, &chosen.hosts),
        None => asked.host.clone(),
    };
    page.runtime.clone_from(&chosen.name);
    page.hosts.clone_from(&chosen.hosts);
    let stops: Vec<&Stop> = all.iter().filter(|one| one.host == page.host).collect();
    page.stops = choices(&stops);
    match pair(&stops, &asked.from, &asked.to) {
        Ok((from, to)) => {
            (page.from, page.to) = (key(from), key(to));
            match fall(&context, from, to).await? {
                Ok(fall) => page.fall = Some(fall),
                Err(words) => page.missing = Some(words),
            }
        }
        Err(words) => {
            (page.from, page.to) = (asked.from, asked.to);
            page.missing = Some(words);
        }
    }
    render(&page)
}

/// The host with most measured releases.
fn best_host(stops: &[Stop], hosts: &[String]) -> String {
    let count = |name: &String| {
        stops
            .iter()
            .filter(|one| one.host == *name && one.tag.is_some())
            .count()
    };
    hosts
        .iter()
        .rev()
        .max_by_key(|name| count(name))
        .cloned()
        .unwrap_or_default()
}

/// What an address calls a stop: the release's tag, or the commit's hash.
fn key(stop: &Stop) -> String {
    stop.tag
        .clone()
        .unwrap_or_else(|| format::short(&stop.hash))
}

fn words(stop: &Stop) -> String {
    match &stop.tag {
        Some(tag) => tag.clone(),
        None => format!("newest commit {}", format::short(&stop.hash)),
    }
}

fn choices(stops: &[&Stop]) -> Vec<(String, String)> {
    let mut choices: Vec<(String, String)> =
        stops.iter().map(|one| (key(one), words(one))).collect();
    choices.dedup();
    choices
}

/// Two stops that can be compared: those that are asked for, else the newest and the release before it, in one state of the
/// host. Otherwise what is missing, in words.
fn pair<'a>(stops: &[&'a Stop], from: &str, to: &str) -> Result<(&'a Stop, &'a Stop), String> {
    let named = |name: &str| {
        stops
            .iter()
            .filter(|one| key(one) == name)
            .copied()
            .collect::<Vec<_>>()
    };
    let measured = || {
        let names: Vec<String> = choices(stops).into_iter().map(|(_, words)| words).collect();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    for (field, name) in [("from", from), ("to", to)] {
        if !name.is_empty() && named(name).is_empty() {
            return Err(format!(
                "{field}: {name} was not measured whole on this host. Measured are: {}.",
                measured()
            ));
        }
    }
    let alike = |a: &Stop, b: &Stop| {
        a.environment_id == b.environment_id && a.epoch_begins_at == b.epoch_begins_at
    };
    let ends: Vec<&Stop> = if to.is_empty() {
        stops.to_vec()
    } else {
        named(to)
    };
    let begins: Vec<&Stop> = if from.is_empty() {
        stops
            .iter()
            .filter(|one| one.tag.is_some())
            .copied()
            .collect()
    } else {
        named(from)
    };
    let mut best: Option<(&Stop, &Stop)> = None;
    for end in &ends {
        for begin in begins
            .iter()
            .filter(|begin| begin.position < end.position && alike(begin, end))
        {
            let rank = |pair: (&Stop, &Stop)| {
                (
                    pair.1.position,
                    pair.0.position,
                    pair.1.run_id,
                    pair.0.run_id,
                )
            };
            if best.is_none_or(|best| rank(best) < rank((begin, end))) {
                best = Some((begin, end));
            }
        }
    }
    best.ok_or_else(|| {
        let apart = begins.iter().any(|begin| ends.iter().any(|end| begin.position < end.position));
        if apart {
            "The two were measured in different states of the host (its environment or its epoch changed between them), so \
             they are not compared. Ask for a new run of the older one."
                .to_owned()
        } else if stops.iter().all(|one| one.tag.is_none()) {
            "No release of this runtime has been measured on this host yet. The scheduler measures the newest one; ask for \
             others."
                .to_owned()
        } else {
            format!("There are no two that follow one another on the branch. Measured are: {}.", measured())
        }
    })
}

/// Takes the difference of two stops apart; the words when they have no benchmark in common.
async fn fall(context: &Context, from: &Stop, to: &Stop) -> Result<Result<Fall, String>, Error> {
    let packed = index::list_packed(&context.pool, &[from.run_id, to.run_id]).await?;
    let none = Values::default();
    let of = |stop: &Stop| {
        let found = packed.iter().find(|(run, _)| *run == stop.run_id);
        found.map_or(&none, |(_, packed)| &packed.values)
    };
    let total = match against(of(to), of(from)) {
        Ok(total) => total,
        Err((new, old)) => {
            return Ok(Err(format!(
                "The two have no benchmark in common: {} were run on {}, {} others on {}.",
                old.len(),
                words(from),
                new.len(),
                words(to)
            )));
        }
    };
    let rows = long_view::list_steps(
        &context.pool,
        to.runtime_id,
        to.host_id,
        (from.position, to.position),
        STEPS,
    )
    .await?;
    let steps: Vec<Step> = rows.iter().map(step).collect();
    let explained = explain(&total, &steps);
    let left: Vec<i64> = total
        .only_new
        .iter()
        .chain(&total.only_old)
        .copied()
        .collect();
    let names = index::list_names(&context.pool, &left).await?;
    let left_out = names.into_iter().map(|(id, name)| {
        let only = if total.only_new.contains(&id) {
            words(to)
        } else {
            words(from)
        };
        format!("{name} (only {only} has it)")
    });
    Ok(Ok(assemble(
        from,
        to,
        &total,
        &explained,
        &rows,
        left_out.collect(),
    )))
}

fn step(row: &StepRow) -> Step {
    Step {
        regression_id: row.regression_id,
        benchmark_id: row.benchmark_id,
        change: (row.change, row.change_low, row.change_high),
        is_rate: row.metric == Metric::RequestsPerSecond.as_str(),
    }
}

fn interval(value: f64, deviation: f64) -> (String, bool) {
    let ratio = ratio_of(value, deviation, 1);
    let words = format!(
        "{} to {}",
        format::percent(ratio.low - 1.0),
        format::percent(ratio.high - 1.0)
    );
    (words, !ratio.is_significant())
}

fn assemble(
    from: &Stop,
    to: &Stop,
    total: &Total,
    explained: &Explained,
    steps: &[StepRow],
    left_out: Vec<String>,
) -> Fall {
    let mut by_regression: BTreeMap<i64, Vec<&StepRow>> = BTreeMap::new();
    for step in steps {
        by_regression
            .entry(step.regression_id)
            .or_default()
            .push(step);
    }
    let rows: Vec<Row> = explained
        .contributions
        .iter()
        .filter_map(|one| row(one, by_regression.get(&one.regression_id)?))
        .collect();
    let (total_interval, within) = interval(total.mean, total.deviation);
    let (rest_interval, rest_within) = interval(explained.rest, explained.rest_deviation);
    let end = |stop: &Stop| End {
        words: words(stop),
        hash: stop.hash.clone(),
        run_id: stop.run_id,
        marked: stop.marked,
        measured: format::day(stop.measured_at),
    };
    Fall {
        from: end(from),
        to: end(to),
        total: format::percent(total.mean.exp_m1()),
        interval: total_interval,
        within,
        count: total.common.len(),
        left_out,
        svg: waterfall::svg(&Waterfall {
            label: format!(
                "What brought {} from {} to {}",
                format::percent(total.mean.exp_m1()),
                words(from),
                words(to)
            ),
            bars: bars(total, explained, &rows),
        }),
        rest: format::percent(explained.rest.exp_m1()),
        rest_interval,
        rest_within,
        shared: rows.len().saturating_sub(BARS),
        rows,
    }
}

fn row(one: &Contribution, steps: &[&StepRow]) -> Option<Row> {
    let first = steps.first()?;
    let moved: BTreeSet<&str> = steps.iter().map(|step| step.benchmark.as_str()).collect();
    let (interval, _) = interval(one.value, one.deviation);
    Some(Row {
        id: one.regression_id,
        state: first.state.clone(),
        short: format::short(&first.hash),
        hash: first.hash.clone(),
        subject: first.subject.clone(),
        author: first.author.clone(),
        found: first.found,
        reaches_beyond: steps.iter().any(|step| step.reaches_beyond),
        benchmarks: moved.into_iter().collect::<Vec<_>>().join(", "),
        outside: one.outside,
        share: format::percent(one.value.exp_m1()),
        interval,
        class: if one.value < 0.0 {
            "improved"
        } else {
            "regressed"
        },
    })
}

fn bars(total: &Total, explained: &Explained, rows: &[Row]) -> Vec<Bar> {
    let bar = |name: String, value: f64, deviation: f64, kind: BarKind, link: String| Bar {
        name,
        value,
        interval: Some((value - 1.96 * deviation, value + 1.96 * deviation)),
        text: format::percent(value.exp_m1()),
        kind,
        link,
    };
    let mut bars: Vec<Bar> = explained
        .contributions
        .iter()
        .zip(rows)
        .take(BARS)
        .map(|(one, row)| {
            let name = format!("#{} {}", row.id, row.subject);
            bar(
                name,
                one.value,
                one.deviation,
                BarKind::Part,
                format!("/regressions/{}", row.id),
            )
        })
        .collect();
    let small = explained.contributions.get(BARS..).unwrap_or_default();
    if !small.is_empty() {
        let variance: f64 = small.iter().map(|one| one.deviation.powi(2)).sum();
        let sum = small.iter().map(|one| one.value).sum();
        let name = format!("{} smaller changes", small.len());
        bars.push(bar(
            name,
            sum,
            variance.sqrt(),
            BarKind::Part,
            String::new(),
        ));
    }
    let rest = "not explained by confirmed changes".to_owned();
    bars.push(bar(
        rest,
        explained.rest,
        explained.rest_deviation,
        BarKind::Rest,
        String::new(),
    ));
    bars.push(bar(
        "measured in all".to_owned(),
        total.mean,
        total.deviation,
        BarKind::Total,
        String::new(),
    ));
    bars
}

#[cfg(test)]
mod tests;
