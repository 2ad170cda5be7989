//! A runtime: every benchmark of its newest run, and its commits, newest first.

mod tiles;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use serde::Deserialize;

use super::home::{Mean, runtime_mean};
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::compare::{self, RuntimeCommit};
use crate::db::overview;
use crate::web::error::Error;
use crate::web::format;

use tiles::{Tally, Tile, tally, tile};

/// Commits on a page.
const PAGE: i64 = 50;
/// Points of a tile's chart.
const HISTORY: i64 = 40;

#[derive(Template)]
#[template(path = "runtime.html")]
struct Page {
    shell: Shell,
    name: String,
    /// The newest run against the release before.
    mean: Option<Mean>,
    benchmarks: Vec<Tile>,
    tally: Tally,
    commits: Vec<Row>,
    next: Option<i32>,
}

struct Row {
    commit: RuntimeCommit,
    short: String,
    day: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    before: Option<i32>,
}

pub(super) async fn runtime(
    context: Data<Context>,
    name: Path<String>,
    paging: Query<Paging>,
) -> Result<HttpResponse, PageError> {
    let commits = compare::list_runtime_commits(&context.pool, &name, paging.before, PAGE).await?;
    if commits.is_empty() && paging.before.is_none() {
        return Err(
            Error::NotFound(format!("No runtime {name:?} with commits is known here.")).into(),
        );
    }
    let next = commits
        .last()
        .map(|commit| commit.position)
        .filter(|position| *position > 0);
    let rows = commits.into_iter().map(|commit| Row {
        short: format::short(&commit.hash),
        day: format::day(commit.committed_at),
        commit,
    });
    // Older pages of commits show commits only.
    let row = match paging.before {
        None => overview::list_runtimes(&context.pool, Some(&name))
            .await?
            .pop(),
        Some(_) => None,
    };
    let benchmarks = match &row {
        Some(row) => {
            overview::list_benchmarks(&context.pool, std::slice::from_ref(row), HISTORY).await?
        }
        None => Vec::new(),
    };
    let shell = Shell::new(name.as_str(), "home");
    render(&Page {
        shell,
        name: name.into_inner(),
        mean: row.as_ref().and_then(runtime_mean),
        tally: tally(&benchmarks),
        benchmarks: row
            .iter()
            .flat_map(|row| benchmarks.iter().map(|one| tile(row, one)))
            .collect(),
        commits: rows.collect(),
        next,
    })
}
