//! The matrix: benchmarks by runtimes, each cell a ratio to the base on one host.

mod cells;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use speedwell_wire::{CounterSource, Metric};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::subjects::{self, Measurable};
use crate::domain::comparison::{Comparison, Row};
use crate::domain::subject::{Point, Subject};
use crate::web::comparison::{
    self, Address, Mark, Resolved, bad, marks, parameter, parse_metric, resolve, source_words,
};
use crate::web::error::Error;
use crate::web::format;
use cells::{MeanCell, base_cell, mean, ratio_cell};

/// Most runtimes beside each other.
const MOST: usize = 24;
/// The groups of columns, by what their runtimes execute.
const GROUPS: [(&str, &str); 5] = [
    ("python2", "Python 2"),
    ("python3", "Python 3"),
    ("javascript", "JavaScript"),
    ("php", "PHP"),
    ("java", "Java"),
];

#[derive(Template)]
#[template(path = "matrix.html")]
struct Page {
    shell: Shell,
    /// The base in words; empty when nothing was measured.
    base: String,
    host: String,
    what: String,
    marks: Vec<Mark>,
    bases: Vec<(String, bool)>,
    hosts: Vec<(String, bool)>,
    suites: Vec<(String, bool)>,
    metrics: Vec<(String, String, bool)>,
    hidden: Vec<(String, String)>,
    /// Name and number of columns.
    groups: Vec<(&'static str, usize)>,
    columns: Vec<Column>,
    /// Benchmark, its link, and the cells as HTML.
    rows: Vec<(String, String, String)>,
    means: Vec<MeanCell>,
    /// Runtimes that have no column, and why.
    absent: Vec<(String, String)>,
}

/// The head of a column.
struct Column {
    name: String,
    point: String,
    run_id: i64,
    /// The whole comparison; empty for the base.
    compare: String,
    /// Of the resolved subjects; 0 is the base.
    index: usize,
}

/// What is asked for.
struct Choice {
    base: Subject,
    subjects: Vec<Subject>,
    host: Option<String>,
    suite: Option<String>,
    metric: Option<Metric>,
    source: Option<CounterSource>,
}

/// The newest measured point of every runtime, or those that `runtime` names, against `base`.
pub(super) async fn matrix(
    context: Data<Context>,
    Query(pairs): super::compare::Pairs,
) -> Result<HttpResponse, PageError> {
    let measurable = subjects::list_measurable(&context.planned).await?;
    let Some(choice) = choose(&pairs, &measurable)? else {
        return render(&empty());
    };
    let mut all = vec![choice.base.clone()];
    all.extend(
        choice
            .subjects
            .iter()
            .filter(|one| **one != choice.base)
            .cloned(),
    );
    let mut resolved = Vec::new();
    let mut absent = Vec::new();
    for (subject, found) in all.iter().zip(resolve(&context.planned, &all).await?) {
        match found {
            Ok(one) => resolved.push(one),
            Err(why) if resolved.is_empty() => {
                return Err(Error::NotFound(format!("base: {why}.")).into());
            }
            Err(why) => absent.push((subject.to_string(), why)),
        }
    }
    let base = resolved
        .first()
        .map(std::slice::from_ref)
        .unwrap_or_default();
    let kinds = comparison::shared_kinds(&context.planned, base).await?;
    let metric = choice
        .metric
        .unwrap_or_else(|| comparison::default_metric(&kinds));
    let mut comparison =
        comparison::load(&context.planned, &resolved, metric, choice.source).await?;
    let suites = subjects::list_suites(&context.planned, choice.suite.as_deref()).await?;
    if let Some(suite) = &choice.suite {
        let known = suites.iter().find(|one| one.name == *suite);
        let known = known.ok_or_else(|| bad("suite", format!("there is no suite {suite:?}")))?;
        comparison
            .rows
            .retain(|row| known.identities.contains(&row.identity));
    }
    let suites = suites.into_iter().map(|one| one.name).collect();
    render(&page(
        &choice,
        &measurable,
        &resolved,
        &comparison,
        kinds,
        suites,
        absent,
    ))
}

fn choose(pairs: &[(String, String)], measurable: &[Measurable]) -> Result<Option<Choice>, Error> {
    let host = parameter(pairs, "host").map(str::to_owned);
    if let Some(host) = &host
        && !measurable.iter().any(|one| one.hosts.contains(host))
    {
        return Err(bad("host", format!("nothing was measured on {host:?}")));
    }
    let on_host = |mut subject: Subject| {
        subject.host = subject.host.or_else(|| host.clone());
        subject
    };
    let parse = |name: &str, text: &str| {
        let subject = text.parse::<Subject>().map_err(|error| bad(name, error));
        subject.map(on_host)
    };
    let named = pairs
        .iter()
        .filter(|(name, text)| name == "runtime" && !text.is_empty());
    let named: Result<Vec<Subject>, Error> = named.map(|(name, text)| parse(name, text)).collect();
    let mut subjects = named?;
    if subjects.len() > MOST {
        return Err(bad(
            "runtime",
            format!("at most {MOST} can stand beside each other"),
        ));
    }
    if subjects.is_empty() {
        let live = measurable.iter().filter(|one| one.enabled && !one.control);
        let newest = |one: &Measurable| Subject {
            runtime: one.name.clone(),
            point: Point::Head,
            host: None,
        };
        subjects = live.map(newest).map(on_host).take(MOST).collect();
    }
    let base = match parameter(pairs, "base") {
        Some(text) => Some(parse("base", text)?),
        // The first that was measured on the wanted host.
        None => {
            let fits = |one: &&Subject| {
                one.host.is_none()
                    || measurable.iter().any(|measured| {
                        measured.name == one.runtime
                            && one
                                .host
                                .as_ref()
                                .is_some_and(|host| measured.hosts.contains(host))
                    })
            };
            subjects.iter().find(fits).or(subjects.first()).cloned()
        }
    };
    let (metric, source) = parse_metric(pairs)?;
    Ok(base.map(|base| Choice {
        base,
        subjects,
        host,
        suite: parameter(pairs, "suite").map(str::to_owned),
        metric,
        source,
    }))
}

fn empty() -> Page {
    Page {
        shell: Shell::new("Matrix", "matrix"),
        base: String::new(),
        host: String::new(),
        what: String::new(),
        marks: Vec::new(),
        bases: Vec::new(),
        hosts: Vec::new(),
        suites: Vec::new(),
        metrics: Vec::new(),
        hidden: Vec::new(),
        groups: Vec::new(),
        columns: Vec::new(),
        rows: Vec::new(),
        means: Vec::new(),
        absent: Vec::new(),
    }
}

fn page(
    choice: &Choice,
    measurable: &[Measurable],
    resolved: &[Resolved],
    comparison: &Comparison,
    kinds: Vec<(Metric, CounterSource)>,
    suites: Vec<String>,
    absent: Vec<(String, String)>,
) -> Page {
    let (groups, columns) = columns(choice, resolved);
    let pairs = pair_addresses(choice, resolved);
    let mut hosts: Vec<&String> = measurable.iter().flat_map(|one| &one.hosts).collect();
    hosts.sort();
    hosts.dedup();
    let option = |name: &str, chosen: Option<&str>| (name.to_owned(), Some(name) == chosen);
    let base = choice.base.to_string();
    let mut bases: Vec<String> = choice.subjects.iter().map(Subject::to_string).collect();
    if !bases.contains(&base) {
        bases.push(base.clone());
    }
    let labels: Vec<String> = resolved.iter().map(Resolved::label).collect();
    let names: Vec<&str> = labels.iter().map(String::as_str).collect();
    let host = resolved
        .first()
        .and_then(Resolved::newest)
        .map(|run| run.host.clone());
    Page {
        shell: Shell::new("Matrix", "matrix"),
        base: resolved.first().map(Resolved::label).unwrap_or_default(),
        what: source_words(comparison.metric, comparison.source),
        marks: marks(resolved, &names),
        bases: bases.iter().map(|one| option(one, Some(&base))).collect(),
        hosts: hosts
            .iter()
            .map(|one| option(one, choice.host.as_deref()))
            .collect(),
        suites: suites
            .iter()
            .map(|one| option(one, choice.suite.as_deref()))
            .collect(),
        metrics: metrics(kinds, comparison),
        hidden: hidden(choice, measurable),
        rows: comparison
            .rows
            .iter()
            .map(|row| row_view(row, &columns, &pairs, comparison))
            .collect(),
        means: columns.iter().map(|one| mean(one, comparison)).collect(),
        groups,
        columns,
        absent,
        host: host.unwrap_or_default(),
    }
}

/// Subjects that the address names stay named.
fn hidden(choice: &Choice, measurable: &[Measurable]) -> Vec<(String, String)> {
    let live = measurable.iter().filter(|one| one.enabled && !one.control);
    let live: Vec<&str> = live.map(|one| one.name.as_str()).collect();
    let is_default = choice.subjects.len() == live.len()
        && choice
            .subjects
            .iter()
            .zip(live)
            .all(|(one, name)| one.runtime == name && one.point == Point::Head);
    if is_default {
        return Vec::new();
    }
    let each = choice.subjects.iter().map(|one| {
        // The host is a field of the form.
        let host = one
            .host
            .clone()
            .filter(|host| Some(host) != choice.host.as_ref());
        let subject = Subject {
            host,
            ..one.clone()
        };
        ("runtime".to_owned(), subject.to_string())
    });
    each.collect()
}

fn metrics(
    mut kinds: Vec<(Metric, CounterSource)>,
    comparison: &Comparison,
) -> Vec<(String, String, bool)> {
    let chosen = (comparison.metric, comparison.source);
    if let (metric, Some(source)) = chosen
        && !kinds.contains(&(metric, source))
    {
        kinds.push((metric, source));
    }
    let option = |(metric, source): &(Metric, CounterSource)| {
        let label = match source {
            CounterSource::Software => metric.label().to_owned(),
            CounterSource::Pmu | CounterSource::PmuEmulated | CounterSource::Valgrind => {
                format!("{} ({source})", metric.label())
            }
        };
        (
            format!("{metric}:{source}"),
            label,
            chosen == (*metric, Some(*source)),
        )
    };
    kinds.iter().map(option).collect()
}

/// The comparison of each subject with the base, as a query.
fn pair_addresses(choice: &Choice, resolved: &[Resolved]) -> Vec<String> {
    let Some(base) = resolved.first() else {
        return Vec::new();
    };
    let address = |one: &Resolved| {
        let pair = [base.subject.clone(), one.subject.clone()];
        Address::of(&pair)
            .with_metric(choice.metric, choice.source)
            .query()
    };
    resolved.iter().map(address).collect()
}

/// The columns by language, and the groups with their widths.
fn columns(choice: &Choice, resolved: &[Resolved]) -> (Vec<(&'static str, usize)>, Vec<Column>) {
    let pairs = pair_addresses(choice, resolved);
    let mut groups = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    for (language, name) in GROUPS {
        let own: Vec<Column> = resolved
            .iter()
            .enumerate()
            .filter(|(_, one)| one.language == language)
            .map(|(index, one)| Column {
                name: one.subject.runtime.clone(),
                point: one.point(),
                run_id: one.newest().map_or(0, |run| run.run_id),
                compare: if index == 0 {
                    String::new()
                } else {
                    pairs.get(index).cloned().unwrap_or_default()
                },
                index,
            })
            .collect();
        if !own.is_empty() {
            groups.push((name, own.len()));
            columns.extend(own);
        }
    }
    (groups, columns)
}

fn row_view(
    row: &Row,
    columns: &[Column],
    pairs: &[String],
    comparison: &Comparison,
) -> (String, String, String) {
    let name = format::encode(&row.benchmark);
    let mut cells = String::new();
    for column in columns {
        match column.index.checked_sub(1) {
            None => base_cell(&mut cells, row, comparison.metric),
            Some(other) => {
                let query = pairs.get(column.index).map_or("", String::as_str);
                if let Some(found) = row.others.get(other) {
                    ratio_cell(
                        &mut cells,
                        found,
                        &format!("/compare/{name}?{query}"),
                        comparison.metric,
                    );
                }
            }
        }
    }
    (row.benchmark.clone(), format!("/benchmarks/{name}"), cells)
}
