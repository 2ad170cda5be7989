//! A comparison as JSON.

use actix_web::web::{Data, Json, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::Context;
use crate::domain::comparison::{Compared, Mean, Side, Verdict};
use crate::web::comparison::{self, LETTERS, Loaded, bad};
use crate::web::error::Error;
use crate::web::format::unit_name;

/// Subjects side by side by one metric.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ComparisonAnswer {
    /// The metric.
    metric: String,
    /// Its unit.
    unit: String,
    /// Where the values come from; absent without any value.
    source: Option<String>,
    /// The base first.
    subjects: Vec<SubjectAnswer>,
    /// What else differs between the subjects than what they are.
    marks: Vec<String>,
    /// By benchmark.
    benchmarks: Vec<BenchmarkAnswer>,
    /// The geometric mean of each subject after the base, over the benchmarks that all subjects have.
    means: Vec<MeanAnswer>,
    /// What the means leave out.
    left_out: Vec<LeftOutAnswer>,
}

/// A subject.
#[derive(Debug, Serialize, ToSchema)]
struct SubjectAnswer {
    /// Its parameter: `a` is the base.
    letter: String,
    /// As it was asked for.
    subject: String,
    /// The runtime.
    runtime: String,
    /// The commit.
    commit: String,
    /// Tags of the commit.
    tags: Vec<String>,
    /// The host.
    host: String,
    /// The environment's fingerprint.
    environment: String,
    /// The runs that stand for it, newest first.
    runs: Vec<i64>,
}

/// One benchmark.
#[derive(Debug, Serialize, ToSchema)]
struct BenchmarkAnswer {
    /// Its name.
    name: String,
    /// Its identity.
    identity: String,
    /// A value or a reason for each subject, the base first.
    values: Vec<ValueAnswer>,
}

/// A subject's value and its ratio to the base.
#[derive(Debug, Serialize, ToSchema, Default)]
struct ValueAnswer {
    /// The subject's letter.
    letter: String,
    /// Median over the runs.
    median: Option<f64>,
    /// Lower end of its 95 % interval, by the runs' own samples.
    low: Option<f64>,
    /// Upper end.
    high: Option<f64>,
    /// Runs.
    runs: Option<usize>,
    /// Samples.
    samples: Option<i64>,
    /// Value by the base's.
    ratio: Option<f64>,
    /// Lower end of its 95 % interval, with noise between runs where it is known.
    ratio_low: Option<f64>,
    /// Upper end.
    ratio_high: Option<f64>,
    /// `better`, `worse`, `within_noise`, `too_few_values`.
    verdict: Option<String>,
    /// Whether the noise between runs is in the interval.
    noise_is_known: Option<bool>,
    /// Why there is no value or no ratio.
    reason: Option<String>,
}

/// A geometric mean.
#[derive(Debug, Serialize, ToSchema)]
struct MeanAnswer {
    /// The subject.
    letter: String,
    /// Benchmarks that it is over.
    benchmarks: usize,
    /// Ratio to the base; absent without a common benchmark.
    ratio: Option<f64>,
    /// Lower end of its 95 % interval by the noise of its benchmarks.
    low: Option<f64>,
    /// Upper end.
    high: Option<f64>,
    /// Lower end of where it would be had other benchmarks of the kind been chosen; absent for fewer than five.
    choice_low: Option<f64>,
    /// Upper end.
    choice_high: Option<f64>,
    /// Its verdict.
    verdict: Option<String>,
}

/// A benchmark that the means leave out.
#[derive(Debug, Serialize, ToSchema)]
struct LeftOutAnswer {
    /// The benchmark.
    benchmark: String,
    /// Of which subject.
    letter: String,
    /// Why.
    reason: String,
}

/// Two to six subjects, each `RUNTIME[@POINT][~HOST]`: a point is a tag, seven digits or more of a commit, or `head`.
#[utoipa::path(get, path = "/api/v1/compare",
    params(("a" = String, Query, description = "the base"), ("b" = String, Query, description = "compared with it; up to `f`"),
           ("metric" = Option<String>, Query), ("source" = Option<String>, Query)),
    responses((status = 200, body = ComparisonAnswer), (status = 400, body = super::ErrorBodySchema),
              (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn compare(
    context: Data<Context>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<ComparisonAnswer>, Error> {
    let is_known = |name: &str| LETTERS.contains(&name) || matches!(name, "metric" | "source");
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !is_known(name)) {
        return Err(bad(name, "unknown; known are a to f, metric and source"));
    }
    let choice = comparison::parse(&pairs)?;
    let loaded = comparison::load_all(&context.pool, &choice).await?;
    Ok(Json(answer(&loaded)))
}

fn letter(index: usize) -> String {
    LETTERS.get(index).copied().unwrap_or_default().to_owned()
}

fn answer(loaded: &Loaded) -> ComparisonAnswer {
    let comparison = &loaded.comparison;
    let columns = loaded.columns();
    let left_out = comparison.left_out(&columns).into_iter();
    let mean = |column: &usize| mean_answer(*column, comparison.mean(*column, &columns).as_ref());
    ComparisonAnswer {
        metric: comparison.metric.as_str().to_owned(),
        unit: unit_name(comparison.metric.unit()).to_owned(),
        source: comparison.source.map(|source| source.as_str().to_owned()),
        subjects: subjects(loaded),
        marks: loaded
            .marks
            .iter()
            .map(|mark| format!("{}. {}", mark.title, mark.text))
            .collect(),
        benchmarks: comparison.rows.iter().map(benchmark).collect(),
        means: columns.iter().map(mean).collect(),
        left_out: left_out
            .map(|one| LeftOutAnswer {
                benchmark: one.benchmark,
                letter: letter(one.subject),
                reason: one.reason,
            })
            .collect(),
    }
}

fn subjects(loaded: &Loaded) -> Vec<SubjectAnswer> {
    let each = loaded.subjects.iter().enumerate();
    each.filter_map(|(index, one)| {
        let run = one.newest()?;
        Some(SubjectAnswer {
            letter: letter(index),
            subject: one.subject.to_string(),
            runtime: one.subject.runtime.clone(),
            commit: run.hash.clone(),
            tags: run.tags.clone(),
            host: run.host.clone(),
            environment: run.fingerprint.clone(),
            runs: one.runs.iter().map(|run| run.run_id).collect(),
        })
    })
    .collect()
}

fn benchmark(row: &crate::domain::comparison::Row) -> BenchmarkAnswer {
    let mut values = vec![match &row.base {
        Ok(side) => value(0, side, None),
        Err(reason) => missing(0, reason.words()),
    }];
    for (column, found) in row.others.iter().enumerate() {
        values.push(match found {
            Ok(one) => value(column + 1, &one.side, Some(one)),
            Err(other) => {
                let answer = other
                    .side
                    .as_ref()
                    .map(|side| value(column + 1, side, None));
                ValueAnswer {
                    reason: Some(other.reason.words()),
                    ..answer.unwrap_or_else(|| missing(column + 1, String::new()))
                }
            }
        });
    }
    BenchmarkAnswer {
        name: row.benchmark.clone(),
        identity: row.identity.clone(),
        values,
    }
}

fn value(index: usize, side: &Side, compared: Option<&Compared>) -> ValueAnswer {
    let known = compared.filter(|one| one.verdict != Verdict::TooFew);
    ValueAnswer {
        letter: letter(index),
        median: Some(side.estimate.median),
        low: Some(side.estimate.low),
        high: Some(side.estimate.high),
        runs: Some(side.runs),
        samples: Some(side.samples),
        ratio: compared.map(|one| one.ratio.ratio),
        ratio_low: known.map(|one| one.ratio.low),
        ratio_high: known.map(|one| one.ratio.high),
        verdict: compared.map(|one| one.verdict.as_str().to_owned()),
        noise_is_known: compared.map(|one| one.noise_is_known),
        reason: None,
    }
}

fn missing(index: usize, reason: String) -> ValueAnswer {
    ValueAnswer {
        letter: letter(index),
        reason: Some(reason),
        ..ValueAnswer::default()
    }
}

fn mean_answer(column: usize, mean: Option<&Mean>) -> MeanAnswer {
    let choice = mean.and_then(Mean::choice);
    MeanAnswer {
        letter: letter(column + 1),
        benchmarks: mean.map_or(0, |mean| mean.ratio.count),
        ratio: mean.map(|mean| mean.ratio.ratio),
        low: mean.map(|mean| mean.ratio.low),
        high: mean.map(|mean| mean.ratio.high),
        choice_low: choice.map(|(low, _)| low),
        choice_high: choice.map(|(_, high)| high),
        verdict: mean.map(|mean| mean.verdict.as_str().to_owned()),
    }
}
