//! A comparison to take along: Markdown, CSV, and the raw values as a file that pyperf reads.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Query};
use serde_json::{Value, json};
use speedwell_wire::Unit;

use super::Pairs;
use crate::context::Context;
use crate::db::comparisons::{self, SampledValue};
use crate::domain::comparison::{Compared, Mean, Reason, Side, Verdict};
use crate::web::comparison::{
    self, LETTERS, Loaded, Resolved, bad, interval, parameter, ratio_text, runs_of, source_words,
    verdict_words,
};
use crate::web::error::Error;
use crate::web::format;
use crate::web::pages::PageError;

fn file(kind: &'static str, name: &str, body: String) -> HttpResponse {
    let disposition = format!("inline; filename=\"{name}\"");
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(body)
}

/// The comparison as Markdown tables, for an issue or a pull request.
pub(in crate::web::pages) async fn markdown(
    context: Data<Context>,
    Query(pairs): Pairs,
) -> Result<HttpResponse, PageError> {
    let loaded = comparison::load_all(&context.pool, &comparison::parse(&pairs)?).await?;
    let kind = "text/markdown; charset=utf-8";
    Ok(file(kind, "comparison.md", markdown_text(&loaded)))
}

/// Text as one cell or sentence of Markdown: nothing in it is markup, and it stays on one line.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '!' | '&' | '@' => {
                plain.push('\\');
                plain.push(c);
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

fn markdown_text(loaded: &Loaded) -> String {
    let comparison = &loaded.comparison;
    let columns = loaded.columns();
    let mut text = format!(
        "**{}**\n\n",
        plain(&source_words(comparison.metric, comparison.source))
    );
    for (letter, one) in LETTERS.iter().zip(&loaded.subjects) {
        let Some(run) = one.newest() else { continue };
        let line = format!(
            "{}, commit {}, on {}, run {}",
            one.label(),
            format::short(&run.hash),
            run.host,
            run.run_id
        );
        let more = if one.runs.len() > 1 {
            format!(" (and {} more)", one.runs.len() - 1)
        } else {
            String::new()
        };
        text.push_str(&format!("- **{letter}**: {}{more}\n", plain(&line)));
    }
    for mark in &loaded.marks {
        text.push_str(&format!("- **{}.** {}\n", mark.title, plain(&mark.text)));
    }
    text.push_str("\n| Benchmark | a |");
    for letter in LETTERS.iter().take(loaded.subjects.len()).skip(1) {
        text.push_str(&format!(" {letter} |"));
    }
    text.push_str(&format!(
        "\n|---|{}\n",
        "--:|".repeat(loaded.subjects.len())
    ));
    let value = |side: &Side| format::value(side.estimate.median, comparison.metric.unit());
    for row in comparison.rows.iter().filter(|row| row.is_compared()) {
        let base = row.base.as_ref().map_or_else(Reason::words, value);
        text.push_str(&format!("| {} | {} |", plain(&row.benchmark), plain(&base)));
        for cell in &row.others {
            let cell = match cell {
                Ok(one) => ratio_words(one, &verdict_words(one, comparison.metric)),
                Err(other) => plain(&other.reason.words()),
            };
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text.push_str("| **Geometric mean** | |");
    for column in &columns {
        let mean = comparison.mean(*column, &columns);
        let words = mean.map_or_else(|| "none".to_owned(), |mean| mean_words(&mean));
        text.push_str(&format!(" {words} |"));
    }
    text.push('\n');
    let left_out = comparison.left_out(&columns);
    if !left_out.is_empty() {
        text.push_str("\nLeft out of the means:\n\n");
        for one in left_out {
            let letter = LETTERS.get(one.subject).copied().unwrap_or_default();
            text.push_str(&format!(
                "- {} of {letter}: {}\n",
                plain(&one.benchmark),
                plain(&one.reason)
            ));
        }
    }
    text
}

fn ratio_words(one: &Compared, words: &str) -> String {
    match one.verdict {
        Verdict::TooFew => format!("{}×, {words}", ratio_text(&one.ratio)),
        Verdict::Better | Verdict::Worse | Verdict::Within => {
            format!(
                "{}× ({}), {words}",
                ratio_text(&one.ratio),
                interval(&one.ratio)
            )
        }
    }
}

fn mean_words(mean: &Mean) -> String {
    format!(
        "**{}×** ({}), over {}",
        ratio_text(&mean.ratio),
        interval(&mean.ratio),
        mean.ratio.count
    )
}

/// The comparison as CSV: one line for each benchmark and subject.
pub(in crate::web::pages) async fn csv(
    context: Data<Context>,
    Query(pairs): Pairs,
) -> Result<HttpResponse, PageError> {
    let loaded = comparison::load_all(&context.pool, &comparison::parse(&pairs)?).await?;
    let kind = "text/csv; charset=utf-8";
    Ok(file(kind, "comparison.csv", csv_text(&loaded)))
}

/// A cell: quoted where it must be, and text that a spreadsheet would take for a formula is led by an apostrophe.
fn cell(text: &str) -> String {
    let harmless = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if harmless.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", harmless.replace('"', "\"\""))
    } else {
        harmless
    }
}

fn csv_text(loaded: &Loaded) -> String {
    let comparison = &loaded.comparison;
    let source = comparison.source.map_or("", |source| source.as_str());
    let mut text = "benchmark,identity,metric,unit,source,letter,subject,commit,host,run,value,low,high,runs,samples,\
                    ratio,ratio_low,ratio_high,verdict,note\n"
        .to_owned();
    for row in &comparison.rows {
        for (index, subject) in loaded.subjects.iter().enumerate() {
            let cells = match index.checked_sub(1) {
                None => match &row.base {
                    Ok(side) => numbers(side, None, ""),
                    Err(reason) => nothing(&reason.words()),
                },
                Some(column) => match row.others.get(column) {
                    Some(Ok(one)) => numbers(&one.side, Some(one), ""),
                    Some(Err(other)) => match &other.side {
                        Some(side) => numbers(side, None, &other.reason.words()),
                        None => nothing(&other.reason.words()),
                    },
                    None => nothing(""),
                },
            };
            let run = subject.newest();
            let head = [
                row.benchmark.as_str(),
                row.identity.as_str(),
                comparison.metric.as_str(),
                format::unit_name(comparison.metric.unit()),
                source,
                LETTERS.get(index).copied().unwrap_or_default(),
                &subject.label(),
                run.map_or("", |run| run.hash.as_str()),
                run.map_or("", |run| run.host.as_str()),
            ]
            .map(cell);
            text.push_str(&format!("{},{}\n", head.join(","), cells.join(",")));
        }
    }
    text
}

/// Run to note. Numbers are as they are: a minus sign in front of one is no formula.
fn numbers(side: &Side, compared: Option<&Compared>, note: &str) -> Vec<String> {
    let mut cells = vec![
        side.run_id.to_string(),
        side.estimate.median.to_string(),
        side.estimate.low.to_string(),
        side.estimate.high.to_string(),
        side.runs.to_string(),
        side.samples.to_string(),
    ];
    let known = compared.filter(|one| one.verdict != Verdict::TooFew);
    let text = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    cells.push(text(compared.map(|one| one.ratio.ratio)));
    cells.push(text(known.map(|one| one.ratio.low)));
    cells.push(text(known.map(|one| one.ratio.high)));
    cells.push(compared.map_or("", |one| one.verdict.as_str()).to_owned());
    let unknown = compared.is_some_and(|one| !one.noise_is_known);
    let note = if unknown {
        "noise between runs not known"
    } else {
        note
    };
    cells.push(cell(note));
    cells
}

fn nothing(note: &str) -> Vec<String> {
    let mut cells = vec![String::new(); 10];
    cells.push(cell(note));
    cells
}

/// One subject's values as a suite of pyperf, with warm-ups.
pub(in crate::web::pages) async fn json(
    context: Data<Context>,
    Query(pairs): Pairs,
) -> Result<HttpResponse, PageError> {
    let choice = comparison::parse(&pairs)?;
    let letter = parameter(&pairs, "subject").unwrap_or("a");
    let index = LETTERS.iter().position(|one| *one == letter);
    let index = index.filter(|index| *index < choice.subjects.len());
    let index = index.ok_or_else(|| {
        bad(
            "subject",
            format!("{letter:?} is not the letter of a subject"),
        )
    })?;
    let loaded = comparison::load_all(&context.pool, &choice).await?;
    let metric = loaded.comparison.metric;
    if metric.unit() != Unit::Seconds {
        return Err(bad(
            "metric",
            format!("pyperf knows times; {metric} has another unit: take CSV"),
        )
        .into());
    }
    let Some(subject) = loaded.subjects.get(index) else {
        return Err(Error::NotFound(format!("There is no subject {letter}.")).into());
    };
    let runs = runs_of(std::slice::from_ref(subject));
    let samples = comparisons::list_samples(&context.pool, &runs, metric.as_str()).await?;
    let source = loaded
        .comparison
        .source
        .map_or("", |source| source.as_str());
    let suite = pyperf(subject, metric.as_str(), source, &samples);
    if suite["benchmarks"].as_array().is_none_or(Vec::is_empty) {
        let message = format!(
            "{letter}: no benchmark of {} has values of {metric}.",
            subject.label()
        );
        return Err(Error::NotFound(message).into());
    }
    Ok(file(
        "application/json",
        &format!("comparison-{letter}.json"),
        suite.to_string(),
    ))
}

/// A suite in pyperf's format 1.0: a benchmark for each name (its newest version), a run for each process of each run.
fn pyperf(subject: &Resolved, metric: &str, source: &str, samples: &[SampledValue]) -> Value {
    let of_source = samples
        .iter()
        .filter(|one| one.value.counter_source == source);
    let mut by_name: BTreeMap<&str, Vec<&SampledValue>> = BTreeMap::new();
    for one in of_source {
        by_name.entry(&one.value.benchmark).or_default().push(one);
    }
    let mut benchmarks = Vec::new();
    for (name, mut measured) in by_name {
        measured.sort_by_key(|one| one.value.run_id);
        let Some(identity) = measured.last().map(|one| one.value.identity.clone()) else {
            continue;
        };
        measured.retain(|one| one.value.identity == identity);
        let runs: Vec<Value> = measured
            .iter()
            .flat_map(|one| pyperf_runs(subject, one))
            .collect();
        if !runs.is_empty() {
            let metadata = json!({"name": name, "unit": "second", "speedwell_identity": identity, "speedwell_metric": metric});
            benchmarks.push(json!({"metadata": metadata, "runs": runs}));
        }
    }
    let run = subject.newest();
    let metadata = json!({
        "hostname": run.map(|run| run.host.clone()),
        "python_version": run.map(|run| run.interpreter.chars().take(200).collect::<String>()),
        "python_implementation": subject.subject.runtime,
        "speedwell_commit": run.map(|run| run.hash.clone()),
        "description": subject.label(),
    });
    json!({"version": "1.0", "metadata": metadata, "benchmarks": benchmarks})
}

/// A run of pyperf for each process that has values.
fn pyperf_runs(subject: &Resolved, one: &SampledValue) -> Vec<Value> {
    let loops = one.loops.unwrap_or(1).max(1);
    let date = subject
        .runs
        .iter()
        .find(|run| run.run_id == one.value.run_id);
    let date = date.map(|run| run.finished_at.format("%Y-%m-%d %H:%M:%S").to_string());
    let mut processes: BTreeMap<i16, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    let each = one
        .sample_values
        .iter()
        .zip(&one.sample_process)
        .zip(&one.sample_warmup);
    // pyperf takes positive values only.
    for ((value, process), warmup) in
        each.filter(|((value, _), _)| **value > 0.0 && value.is_finite())
    {
        let (values, warmups) = processes.entry(*process).or_default();
        if *warmup {
            warmups.push(json!([loops, value]));
        } else {
            values.push(json!(value));
        }
    }
    let runs = processes
        .into_values()
        .filter(|(values, _)| !values.is_empty());
    runs.map(|(values, warmups)| {
        let metadata = json!({"loops": loops, "date": date, "speedwell_run": one.value.run_id});
        if warmups.is_empty() {
            json!({"metadata": metadata, "values": values})
        } else {
            json!({"metadata": metadata, "values": values, "warmups": warmups})
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_no_text_is_markup() {
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@x,\"y\""), "\"'@x,\"\"y\"\"\"");
        assert_eq!(cell("-2"), "'-2");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell("plain"), "plain");
        assert_eq!(plain("a|b\n<img> [x](y)"), "a\\|b \\<img\\> \\[x\\](y)");
    }
}
