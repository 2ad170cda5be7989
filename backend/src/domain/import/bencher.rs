//! Bencher's report with its metric format (BMF): benchmarks, their measures, each a value with or without ends.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use speedwell_wire::{Metric, Sample};

use super::mapping::Names;
use super::{
    Earlier, Format, Import, Parts, Taken, TakenMeasurement, assemble, kept, moment, no_facts,
};
use crate::domain::run_report::Invalid;

/// A report as `POST /v0/run` takes it. Thresholds, start points and the context of a CI are Bencher's own affair.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// The project.
    project: Option<String>,
    /// The branch.
    branch: Option<String>,
    /// The commit.
    hash: Option<String>,
    /// The machine.
    testbed: Option<String>,
    /// When it began.
    start_time: Option<String>,
    /// When it ended.
    end_time: Option<String>,
    /// BMF as text (or as itself), one for each iteration.
    results: Vec<Value>,
    /// How the results are to be read.
    settings: Option<Settings>,
    /// Chosen by the sender: the same again is the same report.
    idempotency_key: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Settings {
    adapter: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Measured {
    value: f64,
    lower_value: Option<f64>,
    upper_value: Option<f64>,
}

type Results = BTreeMap<String, BTreeMap<String, Measured>>;

/// Reads a report.
pub fn parse(bytes: &[u8], now: DateTime<Utc>) -> Result<(Names, Import), Invalid> {
    let report: Report = serde_json::from_slice(bytes)
        .map_err(|error| Invalid::new("body", format!("is no report: {error}")))?;
    let adapter = report
        .settings
        .as_ref()
        .and_then(|one| one.adapter.as_deref());
    if !matches!(adapter, None | Some("magic" | "json")) {
        let message = format!(
            "{:?} is not read here: send Bencher's metric format (adapter json)",
            adapter.unwrap_or_default()
        );
        return Err(Invalid::new("settings.adapter", message));
    }
    let date = |field: &str, given: &Option<String>| match given.as_deref() {
        None => Ok(now),
        Some(text) => moment(text)
            .ok_or_else(|| Invalid::new(field, format!("{text:?} is no date of ISO 8601"))),
    };
    let (began, ended) = (
        date("start_time", &report.start_time)?,
        date("end_time", &report.end_time)?,
    );
    let commit = report.hash.clone().ok_or_else(|| {
        Invalid::new(
            "hash",
            "is missing: results here belong to a commit (`bencher run --hash`)",
        )
    })?;
    let names = Names {
        project: report.project.clone().unwrap_or_default(),
        executable: String::new(),
        branch: report.branch.clone().unwrap_or_default(),
        environment: report.testbed.clone().unwrap_or_default(),
    };
    let mut facts = no_facts();
    facts
        .settings
        .insert("testbed".to_owned(), kept(&names.environment));
    let mut notes = BTreeMap::from([("sent as".to_owned(), kept(&names.words()))]);
    notes.extend(
        report
            .idempotency_key
            .map(|key| ("idempotency key".to_owned(), kept(&key))),
    );
    let project: String = kept(&names.project).chars().take(60).collect();
    let benchmarks = read_results(&report.results)?;
    let fields: Vec<String> = benchmarks
        .iter()
        .map(|one| format!("results.{}", kept(&one.name)))
        .collect();
    let parts = Parts {
        format: Format::Bencher,
        origin: format!("bencher {project}").trim_end().to_owned(),
        began,
        ended,
        interpreter: "not said".to_owned(),
        toolchain: "not said".to_owned(),
        facts,
        notes,
        benchmarks,
        raw: bytes.to_vec(),
        commit: Some(commit),
        whole: true,
        earlier: Earlier::Keep,
    };
    let import = assemble(parts, now, |index| {
        fields.get(index).cloned().unwrap_or_default()
    })?;
    Ok((names, import))
}

/// Each benchmark with a sample for each iteration that has it.
fn read_results(results: &[Value]) -> Result<Vec<Taken>, Invalid> {
    let mut found: BTreeMap<String, BTreeMap<Metric, Vec<Measured>>> = BTreeMap::new();
    for (iteration, result) in results.iter().enumerate() {
        let field = format!("results[{iteration}]");
        let complain =
            |error: serde_json::Error| Invalid::new(&field, format!("is no BMF: {error}"));
        let read: Results = match result {
            Value::String(text) => serde_json::from_str(text).map_err(complain)?,
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => serde_json::from_value(other.clone()).map_err(complain)?,
        };
        for (benchmark, measures) in read {
            for (measure, mut one) in measures {
                let (metric, factor) = metric_of(&measure).ok_or_else(|| {
                    let message = format!(
                        "measure {measure:?} is unknown here: send latency (nanoseconds), throughput (requests per second) or memory (bytes)"
                    );
                    Invalid::new(format!("{field}.{}", kept(&benchmark)), message)
                })?;
                one.value *= factor;
                one.lower_value = one.lower_value.map(|value| value * factor);
                one.upper_value = one.upper_value.map(|value| value * factor);
                found
                    .entry(benchmark.clone())
                    .or_default()
                    .entry(metric)
                    .or_default()
                    .push(one);
            }
        }
    }
    let taken = found.into_iter().map(|(name, metrics)| Taken {
        name,
        loops: 1,
        measurements: metrics
            .into_iter()
            .map(|(metric, values)| measured(metric, &values))
            .collect(),
        unavailable: Vec::new(),
    });
    Ok(taken.collect())
}

/// A measure of Bencher's defaults, and what makes its values ours.
fn metric_of(measure: &str) -> Option<(Metric, f64)> {
    match measure.to_lowercase().as_str() {
        "latency" => Some((Metric::WallTime, 1e-9)),
        "throughput" => Some((Metric::RequestsPerSecond, 1.0)),
        "memory" | "max-rss" | "peak-memory" => Some((Metric::MaxRss, 1.0)),
        _ => None,
    }
}

fn measured(metric: Metric, values: &[Measured]) -> TakenMeasurement {
    let sample = |(index, one): (usize, &Measured)| Sample {
        process: u32::try_from(index).unwrap_or(u32::MAX),
        warmup: false,
        value: one.value,
    };
    // The ends of a single value are all that is known of its spread; several values show theirs themselves.
    let known_range = match values {
        [one] => Some((
            one.lower_value.unwrap_or(one.value),
            one.upper_value.unwrap_or(one.value),
        )),
        _ => None,
    };
    TakenMeasurement {
        known_range,
        ..TakenMeasurement::of(metric, values.iter().enumerate().map(sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(report: &Value) -> Result<(Names, Import), Invalid> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        parse(report.to_string().as_bytes(), now)
    }

    #[test]
    fn each_iteration_is_a_sample() {
        let bmf = |value: f64| {
            json!({"nbody": {"latency": {"value": value, "lower_value": value - 1e6, "upper_value": value + 2e6}}}).to_string()
        };
        let report = json!({
            "project": "cpython", "branch": "main", "hash": "a".repeat(40), "testbed": "lab", "start_time": "2026-11-01T10:00:00Z",
            "end_time": "2026-11-01T10:05:00Z", "results": [bmf(1e8), bmf(1.2e8)], "settings": {"adapter": "json"},
        });
        let (names, import) = read(&report).unwrap();
        assert_eq!(
            (
                names.environment.as_str(),
                import.measurements[0].summary.count
            ),
            ("lab", 2)
        );
        let mut single = report.clone();
        single["results"] = json!([bmf(1e8)]);
        let summary = read(&single).unwrap().1.measurements[0].summary;
        assert!(
            (summary.interval_low - 0.099).abs() < 1e-12
                && (summary.interval_high - 0.102).abs() < 1e-12,
            "{summary:?}"
        );
        for (key, value, words) in [
            ("hash", json!(null), "hash: is missing"),
            (
                "settings",
                json!({"adapter": "rust_criterion"}),
                "settings.adapter",
            ),
            ("results", json!(["fast"]), "results[0]: is no BMF"),
            (
                "results",
                json!(["{\"a\": {\"speed\": {\"value\": 1}}}"]),
                "results[0].a: measure \"speed\"",
            ),
            ("results", json!([]), "benchmarks: 0 benchmarks"),
        ] {
            let mut wrong = report.clone();
            wrong[key] = value;
            let error = read(&wrong).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
