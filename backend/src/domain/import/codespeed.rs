//! What clients of Codespeed send: one dictionary for each benchmark, with a mean and perhaps how far its values spread.
//!
//! The rules and words are those of Codespeed's `views.py`; clients print them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use speedwell_wire::{Metric, Sample};

use super::mapping::Names;
use super::{
    Earlier, Format, Import, Parts, Taken, TakenMeasurement, assemble, kept, moment, no_facts,
};
use crate::domain::run_report::Invalid;

/// Fields that each result needs, in the order in which Codespeed asks for them.
const NEEDED: [&str; 7] = [
    "commitid",
    "branch",
    "project",
    "executable",
    "benchmark",
    "environment",
    "result_value",
];

/// One result.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is of.
    pub names: Names,
    /// The commit.
    pub commit: String,
    benchmark: String,
    metric: Metric,
    value: f64,
    deviation: Option<f64>,
    range: Option<(f64, f64)>,
    at: Option<DateTime<Utc>>,
    raw: Value,
}

/// Reads one dictionary; an error is the sentence that Codespeed would answer, or one of its kind.
pub fn read(fields: &Map<String, Value>) -> Result<Item, String> {
    let mut needed = BTreeMap::new();
    for key in NEEDED {
        let text = fields
            .get(key)
            .map(text)
            .ok_or_else(|| format!("Key \"{key}\" missing from request"))?;
        if text.is_empty() {
            return Err(format!("Value for key \"{key}\" empty in request"));
        }
        needed.insert(key, text);
    }
    let mut take = |key| needed.remove(key).unwrap_or_default();
    let commit = take("commitid");
    if commit == "None" {
        return Err("Invalid commit id None".to_owned());
    }
    let number = |key: &str| match fields.get(key).map(text).as_deref() {
        None | Some("" | "None") => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            Ok(_) | Err(_) => Err(format!("Value {text:?} for key \"{key}\" is not a number")),
        },
    };
    let value = number("result_value")?
        .ok_or_else(|| "Value for key \"result_value\" empty in request".to_owned())?;
    let units = fields.get("units").map(text).unwrap_or_default();
    let (metric, factor) = metric_of(&units)?;
    let scaled = |value: Option<f64>| value.map(|value| value * factor);
    let (low, high) = (scaled(number("min")?), scaled(number("max")?));
    let date = |key: &str| match fields.get(key).map(text).as_deref() {
        None | Some("" | "None") => Ok(None),
        Some(text) => moment(text)
            .map(Some)
            .ok_or_else(|| format!("Value {text:?} for key \"{key}\" is not a date")),
    };
    let revision = date("revision_date")?;
    Ok(Item {
        commit,
        benchmark: take("benchmark"),
        names: Names {
            project: take("project"),
            executable: take("executable"),
            branch: take("branch"),
            environment: take("environment"),
        },
        metric,
        value: value * factor,
        deviation: scaled(number("std_dev")?),
        range: low.zip(high),
        at: date("result_date")?.or(revision),
        raw: Value::Object(fields.clone()),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Null => "None".to_owned(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

/// The metric of Codespeed's units, and what makes its values ours.
fn metric_of(units: &str) -> Result<(Metric, f64), String> {
    let found = match units.to_lowercase().as_str() {
        "" | "none" | "s" | "sec" | "second" | "seconds" => (Metric::WallTime, 1.0),
        "ms" | "millisecond" | "milliseconds" => (Metric::WallTime, 1e-3),
        "us" | "µs" | "microsecond" | "microseconds" => (Metric::WallTime, 1e-6),
        "ns" | "nanosecond" | "nanoseconds" => (Metric::WallTime, 1e-9),
        "b" | "byte" | "bytes" => (Metric::MaxRss, 1.0),
        "kb" | "kib" => (Metric::MaxRss, 1024.0),
        "mb" | "mib" => (Metric::MaxRss, 1_048_576.0),
        "req/s" | "requests/s" | "requests per second" | "requests/second" => {
            (Metric::RequestsPerSecond, 1.0)
        }
        _ => {
            return Err(format!(
                "Value {units:?} for key \"units\" is unknown here: send seconds, ms, us, ns, bytes, kB, MB or requests/s"
            ));
        }
    };
    Ok(found)
}

/// Makes one run of each set of names and commit, in the order of their first results. `whole`: the sender gave a list.
pub fn group(
    items: Vec<Item>,
    whole: bool,
    now: DateTime<Utc>,
) -> Result<Vec<(Names, Import)>, Invalid> {
    let mut groups: Vec<Vec<Item>> = Vec::new();
    for item in items {
        let same = |group: &&mut Vec<Item>| {
            group
                .first()
                .is_some_and(|first| first.names == item.names && first.commit == item.commit)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    let made = groups.into_iter().filter_map(|group| {
        let names = group.first()?.names.clone();
        Some(import(group, whole, now).map(|import| (names, import)))
    });
    made.collect()
}

fn import(mut items: Vec<Item>, whole: bool, now: DateTime<Utc>) -> Result<Import, Invalid> {
    // Of a benchmark that is there twice, the later value counts.
    let mut seen = std::collections::HashSet::new();
    items.reverse();
    items.retain(|item| seen.insert((item.benchmark.clone(), item.metric)));
    items.reverse();
    let first = items
        .first()
        .ok_or_else(|| Invalid::new("json", "is empty"))?;
    let mut facts = no_facts();
    facts
        .settings
        .insert("environment".to_owned(), kept(&first.names.environment));
    let dates = || items.iter().filter_map(|item| item.at);
    let raw: Vec<&Value> = items.iter().map(|item| &item.raw).collect();
    let mut taken: Vec<Taken> = Vec::new();
    for item in &items {
        let measured = measured(item);
        match taken.iter_mut().find(|one| one.name == item.benchmark) {
            Some(known) => known.measurements.push(measured),
            None => taken.push(Taken {
                name: item.benchmark.clone(),
                loops: 1,
                measurements: vec![measured],
                unavailable: Vec::new(),
            }),
        }
    }
    let parts = Parts {
        format: Format::Codespeed,
        origin: origin(&first.names.project),
        began: dates().min().unwrap_or(now),
        ended: dates().max().unwrap_or(now),
        interpreter: kept(&first.names.executable),
        toolchain: "not said".to_owned(),
        facts,
        notes: BTreeMap::from([("sent as".to_owned(), kept(&first.names.words()))]),
        commit: Some(first.commit.clone()),
        // A list of values cannot fail to be written.
        raw: serde_json::to_vec(&raw).unwrap_or_default(),
        benchmarks: taken,
        whole,
        earlier: Earlier::ReplaceBenchmarks,
    };
    let names: Vec<String> = parts
        .benchmarks
        .iter()
        .map(|one| one.name.clone())
        .collect();
    assemble(parts, now, |index| {
        format!("benchmark {:?}", names.get(index))
    })
}

/// A project's benchmarks are those of the project: Codespeed knows no version of them.
fn origin(project: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') {
            c
        } else {
            '-'
        }
    };
    let project: String = project.chars().take(60).map(plain).collect();
    format!("codespeed {project}")
}

fn measured(item: &Item) -> TakenMeasurement {
    let sample = Sample {
        process: 0,
        warmup: false,
        value: item.value,
    };
    // Without the values themselves, all that is known of their spread is its ends; two deviations else.
    let spread = item.deviation.filter(|deviation| *deviation > 0.0);
    let around = spread.map(|deviation| {
        (
            (item.value - 2.0 * deviation).max(0.0),
            item.value + 2.0 * deviation,
        )
    });
    TakenMeasurement {
        known_range: item.range.or(around),
        ..TakenMeasurement::of(item.metric, vec![sample])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Map<String, Value> {
        let Value::Object(fields) = json!({
            "commitid": "abcdef0123456789", "branch": "main", "project": "CPython", "executable": "main", "benchmark": "nbody",
            "environment": "lab", "result_value": "0.125", "std_dev": 0.01, "min": "0.12", "max": 0.13, "revision_date": "2026-11-01T10:00:00+00:00",
        }) else {
            unreachable!()
        };
        fields
    }

    fn with(key: &str, value: Option<Value>) -> Result<Item, String> {
        let mut fields = fields();
        match value {
            Some(value) => fields.insert(key.to_owned(), value),
            None => fields.remove(key),
        };
        read(&fields)
    }

    #[test]
    fn the_words_are_those_that_clients_know() {
        assert_eq!(
            with("commitid", None).unwrap_err(),
            "Key \"commitid\" missing from request"
        );
        assert_eq!(
            with("branch", Some(json!(""))).unwrap_err(),
            "Value for key \"branch\" empty in request"
        );
        assert_eq!(
            with("commitid", Some(json!(null))).unwrap_err(),
            "Invalid commit id None"
        );
        assert_eq!(
            with("result_value", Some(json!("fast"))).unwrap_err(),
            "Value \"fast\" for key \"result_value\" is not a number"
        );
        assert!(
            with("revision_date", Some(json!("long ago")))
                .unwrap_err()
                .contains("is not a date")
        );
        assert!(
            with("units", Some(json!("parsec")))
                .unwrap_err()
                .contains("\"units\" is unknown")
        );
    }

    #[test]
    fn results_of_one_commit_are_one_run_and_the_last_value_counts() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let items = vec![
            with("benchmark", Some(json!("richards"))).unwrap(),
            read(&fields()).unwrap(),
            with("commitid", Some(json!("1234567"))).unwrap(),
            with("result_value", Some(json!(0.126))).unwrap(),
        ];
        let runs = group(items, true, now).unwrap();
        assert_eq!(runs.len(), 2);
        let import = &runs[0].1;
        assert_eq!(import.origin, "codespeed CPython");
        let names: Vec<&str> = import
            .report
            .benchmarks
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["richards", "nbody"]);
        let summary = import.measurements[1].summary;
        assert_eq!(
            (
                summary.median,
                summary.interval_low,
                summary.interval_high,
                summary.count
            ),
            (0.126, 0.12, 0.13, 1)
        );
        assert_eq!(
            import.report.finished_at.to_rfc3339(),
            "2026-11-01T10:00:00+00:00"
        );
    }

    #[test]
    fn units_become_ours() {
        let item = with("units", Some(json!("ms"))).unwrap();
        assert_eq!(item.value, 0.125e-3);
        assert_eq!(
            with("units", Some(json!("MB"))).unwrap().metric,
            Metric::MaxRss
        );
    }
}
