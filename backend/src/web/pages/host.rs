//! Hosts: what each is, what it was, how its controls move, and how far its values spread by themselves.

mod controls;
mod floors;

pub(super) use floors::percent;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use chrono::Utc;
use serde_json::Value;
use speedwell_wire::HostFlag;

use super::annotations::{Block, block};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::annotations::Subject;
use crate::db::controls::StandingRow;
use crate::db::hosts::{self, EnvironmentRow, EpochRow, FlaggedRun, HostDetail};
use crate::db::queue::{self, HostRow};
use crate::db::{controls as control_queries, noise};
use crate::web::error::Error;
use crate::web::facts::{Difference, differences, spread};
use crate::web::format;
use crate::web::session::Visitor;

use controls::{ControlChart, charts};
use floors::{Table, tables};

/// Environments and epochs that are shown.
const ENVIRONMENTS: i64 = 50;
/// Newest runs whose flags are shown.
const RUNS: i64 = 20;
/// Newest runs of each control on its chart.
const CONTROL_RUNS: i64 = 200;

#[derive(Template)]
#[template(path = "hosts.html")]
struct ListPage {
    shell: Shell,
    hosts: Vec<Listed>,
}

struct Listed {
    link: String,
    row: HostRow,
    seen: String,
    cpu: String,
}

/// Every host.
pub(super) async fn list(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let now = Utc::now();
    let listed = |row: HostRow| {
        let cpu = row.facts.as_ref().and_then(|facts| facts.get("cpu_model"));
        Listed {
            link: format!("/hosts/{}", format::encode(&row.name)),
            seen: row
                .last_seen_at
                .map_or_else(|| "never".to_owned(), |at| format::ago(at, now)),
            cpu: cpu
                .and_then(Value::as_str)
                .unwrap_or("not registered yet")
                .to_owned(),
            row,
        }
    };
    let hosts = queue::list_hosts(&context.pool).await?;
    render(&ListPage {
        shell: Shell::new("Hosts", "hosts"),
        hosts: hosts.into_iter().map(listed).collect(),
    })
}

#[derive(Template)]
#[template(path = "host.html")]
struct Page {
    shell: Shell,
    annotations: Block,
    host: HostDetail,
    seen: String,
    facts: Vec<(String, String)>,
    environments: Vec<Environment>,
    epochs: Vec<Epoch>,
    standings: Vec<Standing>,
    controls: Vec<ControlChart>,
    flagged: Vec<Flagged>,
    looked_at: usize,
    runtimes: Vec<(String, String, bool)>,
    tables: Vec<Table>,
}

struct Environment {
    first: String,
    last: String,
    short: String,
    runs: i64,
    changes: Vec<Difference>,
    /// The oldest one that is known: there is nothing to compare it with.
    oldest: bool,
}

/// How a control stands.
struct Standing {
    row: StandingRow,
    words: String,
}

struct Epoch {
    begins: String,
    runtime: String,
    change: String,
    threshold: String,
}

struct Flagged {
    id: i64,
    runtime: String,
    when: String,
    worst: String,
    flags: Vec<HostFlag>,
}

/// One host.
pub(super) async fn host(
    context: Data<Context>,
    visitor: Visitor,
    name: Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<HttpResponse, PageError> {
    let pool = &context.pool;
    let host = hosts::find_detail(pool, &name).await?;
    let host = host.ok_or_else(|| Error::NotFound(format!("There is no host {name:?}.")))?;
    let environments = hosts::list_environments(pool, host.id, ENVIRONMENTS + 1).await?;
    let epochs = hosts::list_epochs(pool, host.id, ENVIRONMENTS).await?;
    let runs = hosts::list_runs(pool, host.id, RUNS).await?;
    let values = control_queries::list_values(pool, host.id, None, CONTROL_RUNS).await?;
    let standings = control_queries::list_standings(pool, host.id).await?;
    let runtimes = noise::list_runtimes(pool, host.id).await?;
    let asked = pairs.into_iter().find(|(key, _)| key == "runtime");
    let chosen = match asked {
        Some((_, asked)) if !runtimes.contains(&asked) => {
            let words = format!("There is no noise floor of {asked:?} on {name}.");
            return Err(Error::NotFound(words).into());
        }
        Some((_, asked)) => Some(asked),
        None => runtimes.first().cloned(),
    };
    let floors = match &chosen {
        Some(runtime) => noise::list_floors(pool, host.id, runtime).await?,
        None => Vec::new(),
    };
    let address = format!("/hosts/{}", format::encode(&host.name));
    let annotations = block(&context, &visitor, Subject::Host(host.id), &address).await?;
    let page = Page {
        annotations,
        shell: Shell::new(format!("Host {}", host.name), "hosts"),
        seen: host
            .last_seen_at
            .map_or_else(|| "never".to_owned(), |at| format::ago(at, Utc::now())),
        facts: present_facts(&host, &environments),
        environments: history(&host, &environments),
        epochs: epochs.into_iter().map(epoch).collect(),
        standings: standings.into_iter().map(standing).collect(),
        controls: charts(&values),
        looked_at: runs.len(),
        flagged: runs.into_iter().filter_map(flagged).collect(),
        runtimes: runtimes
            .into_iter()
            .map(|one| {
                let link = format!("?runtime={}#noise", format::encode(&one));
                let on = chosen.as_ref() == Some(&one);
                (one, link, on)
            })
            .collect(),
        tables: tables(&floors, &host.name, chosen.as_deref().unwrap_or_default()),
        host,
    };
    render(&page)
}

fn facts_of(environment: &EnvironmentRow) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    spread("", &environment.facts, &mut rows);
    rows
}

fn present_facts(host: &HostDetail, environments: &[EnvironmentRow]) -> Vec<(String, String)> {
    let present = environments
        .iter()
        .find(|one| Some(one.id) == host.environment_id);
    present.map(facts_of).unwrap_or_default()
}

/// Each environment with what changed against the one before it; the newest first.
fn history(host: &HostDetail, environments: &[EnvironmentRow]) -> Vec<Environment> {
    let shown = usize::try_from(ENVIRONMENTS).unwrap_or(usize::MAX);
    let of = |(index, one): (usize, &EnvironmentRow)| {
        let before = environments.get(index + 1);
        let last = if host.environment_id == Some(one.id) {
            host.last_seen_at
        } else {
            one.last_run_at
        };
        Environment {
            first: format::moment(one.first_seen_at),
            last: last
                .filter(|at| *at >= one.first_seen_at)
                .map_or_else(|| "not in a run".to_owned(), format::moment),
            short: format::short(&one.fingerprint),
            runs: one.runs,
            changes: before.map_or_else(Vec::new, |before| {
                differences(&facts_of(before), &facts_of(one))
            }),
            oldest: before.is_none(),
        }
    };
    environments
        .iter()
        .take(shown)
        .enumerate()
        .map(of)
        .collect()
}

fn standing(row: StandingRow) -> Standing {
    let words = match (row.standing.as_str(), row.change, row.threshold) {
        ("steady", _, _) => "as it was".to_owned(),
        ("unsteady", Some(change), Some(threshold)) => format!(
            "not as it was: {}, where {:.1}\u{a0}% may be chance; changes measured since are held back until it is known whether it stays so",
            format::percent(change),
            threshold * 100.0
        ),
        _ => "too few runs to say".to_owned(),
    };
    Standing { row, words }
}

fn epoch(row: EpochRow) -> Epoch {
    Epoch {
        begins: format::moment(row.begins_at),
        change: format::percent(row.change),
        threshold: format!("{:.1}\u{a0}%", row.threshold * 100.0),
        runtime: row.runtime,
    }
}

/// A run with flags; what a newer worker wrote in another form still has its weight.
fn flagged(run: FlaggedRun) -> Option<Flagged> {
    Some(Flagged {
        worst: run.host_worst?,
        flags: serde_json::from_value(run.host_flags).unwrap_or_default(),
        when: format::moment(run.finished_at),
        id: run.id,
        runtime: run.runtime,
    })
}
