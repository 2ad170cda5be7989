//! Try runs: the list, asking for one, approving and ending it.

mod one;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Form, Path, Query};
use askama::Template;
use chrono::Utc;
use serde::Deserialize;

pub(super) use one::one;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::tries::show::{self, TryRow};
use crate::domain::role::Role;
use crate::domain::try_run::{Options, TryState, TryVerdict};
use crate::web::error::Error;
use crate::web::format;
use crate::web::session::{Triager, Viewer, Visitor};
use crate::web::tries::{self, Wish};

/// Tries that are listed.
const LISTED: i64 = 100;

#[derive(Template)]
#[template(path = "tries.html")]
struct ListPage {
    shell: Shell,
    rows: Vec<Head>,
}

/// A try in words.
pub(super) struct Head {
    row: TryRow,
    /// Its state, or what came of it.
    state: &'static str,
    /// Colours it.
    class: &'static str,
    what: String,
    when: String,
    head: Option<String>,
    base: Option<String>,
}

pub(super) async fn list(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let rows = show::list(&context.pool, None, LISTED).await?;
    render(&ListPage {
        shell: Shell::new("Try runs", "tries"),
        rows: rows.into_iter().map(head).collect(),
    })
}

fn head(row: TryRow) -> Head {
    let state = row.state.parse::<TryState>();
    let verdict = row.verdict.as_deref().and_then(|one| one.parse().ok());
    let (state, class) = match (state, verdict) {
        (Ok(TryState::Decided), Some(verdict)) => (TryVerdict::words(verdict), class_of(verdict)),
        (Ok(state), _) => (state.words(), ""),
        (Err(_), _) => ("unknown", ""),
    };
    Head {
        state,
        class,
        what: what(&row),
        when: format::ago(row.created_at, Utc::now()),
        head: row.head_hash.as_deref().map(format::short),
        base: row.base_hash.as_deref().map(format::short),
        row,
    }
}

fn class_of(verdict: TryVerdict) -> &'static str {
    match verdict {
        TryVerdict::Worse | TryVerdict::Mixed => "regressed",
        TryVerdict::Better => "improved",
        TryVerdict::Unchanged | TryVerdict::Unclear => "unchanged",
    }
}

fn what(row: &TryRow) -> String {
    let head = match (&row.head_name, row.pull_number, &row.patch_sha256) {
        (Some(name), _, _) => name.clone(),
        (None, Some(number), _) => format!("pull request {number}"),
        (None, None, Some(patch)) => format!("patch {}", format::short(patch)),
        (None, None, None) => "unknown".to_owned(),
    };
    match &row.base_name {
        Some(base) => format!("{head} against {base}"),
        None => head,
    }
}

#[derive(Template)]
#[template(path = "try_new.html")]
struct NewPage {
    shell: Shell,
    may: bool,
    trusted: bool,
    repositories: Vec<String>,
    /// What a link has filled in.
    asked: NewForm,
    rounds: u32,
}

pub(super) async fn new(
    context: Data<Context>,
    visitor: Visitor,
    asked: Query<NewForm>,
) -> Result<HttpResponse, PageError> {
    let repositories = show::list_repositories(&context.pool).await?;
    render(&NewPage {
        shell: Shell::new("Try a change", "tries"),
        may: visitor.0.is_some(),
        trusted: visitor.may(Role::Triager),
        repositories,
        asked: asked.into_inner(),
        rounds: context.config.try_runs.rounds,
    })
}

/// The form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewForm {
    repository: String,
    head: String,
    base: String,
    pull: String,
    patch: String,
    runtime: String,
    suite: String,
    benchmarks: String,
    host: String,
    repeat: String,
}

pub(super) async fn open(
    context: Data<Context>,
    actor: Viewer,
    form: Form<NewForm>,
) -> Result<HttpResponse, PageError> {
    let wish = form.into_inner().wish()?;
    let (id, _) = tries::open(&context, &actor.0, wish).await?;
    Ok(see(id))
}

fn see(id: i64) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, format!("/tries/{id}")))
        .finish()
}

fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn number(field: &str, text: &str) -> Result<Option<u32>, Error> {
    let Some(text) = some(text) else {
        return Ok(None);
    };
    let digits = text.trim_start_matches(['#', '!']);
    let parsed = digits.parse().map(Some);
    parsed.map_err(|_| Error::BadRequest {
        field: field.to_owned(),
        message: format!("{field}: {text:?} is no number"),
    })
}

impl NewForm {
    fn wish(self) -> Result<Wish, Error> {
        let names = self.runtime.split([',', ' ']).filter_map(some);
        Ok(Wish {
            options: Options {
                runtimes: names.collect(),
                suite: some(&self.suite),
                benchmarks: some(&self.benchmarks),
                host: some(&self.host),
                repeat: number("repeat", &self.repeat)?,
            },
            pull: number("pull", &self.pull)?,
            repository: self.repository,
            head: self.head,
            base: self.base,
            patch: patch_of(&self.patch),
        })
    }
}

/// A patch as it was pasted: browsers end each line of a form with CR and LF.
fn patch_of(text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let mut patch = text.replace("\r\n", "\n");
    if !patch.ends_with('\n') {
        patch.push('\n');
    }
    patch
}

pub(super) async fn cancel(
    context: Data<Context>,
    actor: Viewer,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    tries::cancel(&context, &actor.0, *id).await?;
    Ok(see(*id))
}

/// What the triager has looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    head: String,
}

pub(super) async fn approve(
    context: Data<Context>,
    actor: Triager,
    id: Path<i64>,
    form: Form<Approval>,
) -> Result<HttpResponse, PageError> {
    tries::approve(&context, &actor.0, *id, &form.head).await?;
    Ok(see(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_patch_gets_its_line_ends_back() {
        assert_eq!(patch_of("a\r\nb"), "a\nb\n");
        assert_eq!(patch_of(" \r\n"), "");
    }

    #[test]
    fn numbers_may_be_written_as_people_do() {
        assert_eq!(number("pull", " #12 ").unwrap(), Some(12));
        assert_eq!(number("pull", "").unwrap(), None);
        assert!(number("pull", "twelve").is_err());
    }
}
