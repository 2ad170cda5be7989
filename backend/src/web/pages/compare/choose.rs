//! The form by which subjects are chosen, and comparisons that are ready to be looked at.

use actix_web::HttpResponse;
use actix_web::http::header;
use askama::Template;

use super::presets::{Preset, presets};
use crate::context::Context;
use crate::db::subjects::{self, Measurable};
use crate::domain::subject::{Point, Subject};
use crate::web::comparison::{Address, LETTERS, parameter, parse_metric};
use crate::web::error::Error;
use crate::web::pages::{PageError, Shell, render};

#[derive(Template)]
#[template(path = "compare_choose.html")]
struct Page {
    shell: Shell,
    rows: Vec<Field>,
    runtimes: Vec<Measurable>,
    hosts: Vec<String>,
    tags: Vec<String>,
    presets: Vec<(&'static str, Vec<Preset>)>,
    hidden: Vec<(String, String)>,
    /// What is to be mended; empty for nothing.
    hint: String,
}

/// The fields of one subject.
struct Field {
    letter: &'static str,
    runtime: String,
    point: String,
    host: String,
    /// Whether the comparison needs it.
    is_needed: bool,
}

/// Where the form leads: its fields for each subject become one parameter. `None` when the address has no such fields.
pub(super) fn redirect(pairs: &[(String, String)]) -> Result<Option<HttpResponse>, Error> {
    let field = |letter: &str, name: &str| parameter(pairs, &format!("{letter}_{name}"));
    let mut subjects: Vec<Subject> = Vec::new();
    for letter in LETTERS {
        let Some(runtime) = field(letter, "runtime") else {
            continue;
        };
        let point = field(letter, "point").map_or_else(String::new, |point| format!("@{point}"));
        let host = field(letter, "host").map_or_else(String::new, |host| format!("~{host}"));
        let text = format!("{runtime}{point}{host}");
        let subject = text
            .parse()
            .map_err(|error| crate::web::comparison::bad(letter, error))?;
        subjects.push(subject);
    }
    let is_form = pairs.iter().any(|(name, _)| name.ends_with("_runtime"));
    if !is_form {
        return Ok(None);
    }
    let (metric, source) = parse_metric(pairs)?;
    let address = Address::of(&subjects).with_metric(metric, source);
    let target = format!("/compare?{}", address.query());
    Ok(Some(
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, target))
            .finish(),
    ))
}

/// The form, filled with what is named already.
pub(super) async fn form(
    context: &Context,
    pairs: &[(String, String)],
    named: &[Subject],
) -> Result<HttpResponse, PageError> {
    let runtimes = subjects::list_measurable(&context.pool).await?;
    let tags = subjects::list_measured_tags(&context.pool).await?;
    let (metric, source) = parse_metric(pairs)?;
    let mut hosts: Vec<String> = runtimes
        .iter()
        .flat_map(|one| one.hosts.iter().cloned())
        .collect();
    hosts.sort();
    hosts.dedup();
    let mut names: Vec<String> = Vec::new();
    for (_, tag) in &tags {
        if !names.contains(tag) {
            names.push(tag.clone());
        }
    }
    let hint = match named {
        [] | [_, _, ..] => "",
        [_] => "Name at least one more subject to compare with.",
    };
    let each = LETTERS.iter().enumerate();
    render(&Page {
        shell: Shell::new("Compare", "compare"),
        rows: each
            .map(|(index, letter)| field(letter, index, named.get(index)))
            .collect(),
        presets: grouped(presets(&runtimes, &tags)),
        hidden: Address::default()
            .with_metric(metric, source)
            .pairs()
            .to_vec(),
        hint: hint.to_owned(),
        tags: names,
        runtimes,
        hosts,
    })
}

/// By kind, in order.
fn grouped(presets: Vec<Preset>) -> Vec<(&'static str, Vec<Preset>)> {
    let groups = presets.chunk_by(|a, b| a.kind == b.kind);
    groups
        .map(|group| (group[0].kind, group.to_vec()))
        .collect()
}

fn field(letter: &'static str, index: usize, named: Option<&Subject>) -> Field {
    let point = named.map(|one| match &one.point {
        Point::Head => String::new(),
        Point::Named(name) => name.clone(),
    });
    Field {
        letter,
        runtime: named.map(|one| one.runtime.clone()).unwrap_or_default(),
        point: point.unwrap_or_default(),
        host: named.and_then(|one| one.host.clone()).unwrap_or_default(),
        is_needed: index < 2,
    }
}
