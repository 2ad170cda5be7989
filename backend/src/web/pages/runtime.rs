//! A runtime's commits, newest first.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use askama::Template;
use serde::Deserialize;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::compare::{self, RuntimeCommit};
use crate::web::error::Error;
use crate::web::format;

/// Commits on a page.
const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "runtime.html")]
struct Page {
    shell: Shell,
    name: String,
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
    let shell = Shell::new(name.as_str(), "home");
    render(&Page {
        shell,
        name: name.into_inner(),
        commits: rows.collect(),
        next,
    })
}
