//! What clients of LNT send: format 2 (`format_version`, `machine`, `run`, `tests`), and the older one with capital letters, which
//! the `lnt` program still writes for its own suites.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use speedwell_wire::{Metric, Sample, Unavailable, UnavailableKind};

use super::mapping::Names;
use super::{
    Earlier, Format, Import, Parts, Taken, TakenMeasurement, assemble, kept, moment, no_facts,
};
use crate::domain::run_report::Invalid;

/// What LNT's suite `nts` also knows and interpreters do not have; left out.
const LEFT_OUT: [&str; 6] = [
    "compile_time",
    "compile_status",
    "score",
    "hash",
    "hash_status",
    "code_size",
];

/// A submission: its names, the import, and the metrics that were left out.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What it is of.
    pub names: Names,
    /// The run.
    pub import: Import,
    /// Metrics that nobody here keeps.
    pub left_out: Vec<String>,
}

/// A submission of either format in the newer one's shape.
struct Plain {
    machine: String,
    facts: BTreeMap<String, String>,
    order: Option<String>,
    began: Option<String>,
    ended: Option<String>,
    tests: Vec<(String, Map<String, Value>)>,
}

/// Reads a submission to a test suite. `merge` as LNT names it.
pub fn parse(
    bytes: &[u8],
    suite: &str,
    merge: &str,
    now: DateTime<Utc>,
) -> Result<Submission, Invalid> {
    let earlier = match merge {
        "" | "reject" => Earlier::Refuse,
        "replace" => Earlier::ReplaceRuns,
        "append" => Earlier::Keep,
        other => {
            let message = format!("{other:?} is none of reject, replace and append");
            return Err(Invalid::new("merge", message));
        }
    };
    let report: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|error| Invalid::new("input_data", format!("is no JSON object: {error}")))?;
    if let Some(schema) = report.get("schema").and_then(Value::as_str)
        && schema != suite
    {
        let message = format!("{schema:?} is not the test suite {suite:?} of the address");
        return Err(Invalid::new("schema", message));
    }
    let plain = if report.contains_key("Machine") {
        older(&report)?
    } else {
        newer(&report)?
    };
    build(plain, suite, earlier, bytes, now)
}

fn object<'a>(of: &'a Map<String, Value>, key: &str) -> Result<&'a Map<String, Value>, Invalid> {
    of.get(key)
        .and_then(Value::as_object)
        .ok_or_else(|| Invalid::new(key, "is missing, or no object"))
}

fn text(of: &Map<String, Value>, key: &str) -> Option<String> {
    match of.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn all_text(of: &Map<String, Value>) -> BTreeMap<String, String> {
    let each = of.keys().take(100);
    each.filter_map(|key| Some((kept(key), kept(&text(of, key)?))))
        .collect()
}

fn tests(of: &Map<String, Value>, key: &str) -> Result<Vec<Map<String, Value>>, Invalid> {
    let list = of
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| Invalid::new(key, "is missing, or no list"))?;
    let each = list.iter().enumerate().map(|(index, test)| {
        let complain = || Invalid::new(format!("{key}[{index}]"), "is no object");
        test.as_object().cloned().ok_or_else(complain)
    });
    each.collect()
}

fn newer(report: &Map<String, Value>) -> Result<Plain, Invalid> {
    let version = text(report, "format_version").unwrap_or_default();
    if version != "2" {
        let message = format!("{version:?} is not 2");
        return Err(Invalid::new("format_version", message));
    }
    let (machine, run) = (object(report, "machine")?, object(report, "run")?);
    let mut facts = all_text(machine);
    let name = facts
        .remove("name")
        .ok_or_else(|| Invalid::new("machine.name", "is missing"))?;
    let mut named = Vec::new();
    for (index, mut test) in tests(report, "tests")?.into_iter().enumerate() {
        let name = text(&test, "name")
            .ok_or_else(|| Invalid::new(format!("tests[{index}].name"), "is missing"))?;
        test.remove("name");
        test.retain(|key, _| key != "id" && !key.ends_with("_id") && key != "profile");
        named.push((name, test));
    }
    Ok(Plain {
        machine: name,
        facts,
        order: text(run, "llvm_project_revision").or_else(|| text(run, "commit")),
        began: text(run, "start_time"),
        ended: text(run, "end_time"),
        tests: named,
    })
}

/// Format 0 and 1: each test's name ends with its metric, `nts.NAME.exec`.
fn older(report: &Map<String, Value>) -> Result<Plain, Invalid> {
    let (machine, run) = (object(report, "Machine")?, object(report, "Run")?);
    let name = text(machine, "Name").ok_or_else(|| Invalid::new("Machine.Name", "is missing"))?;
    let info = object(run, "Info")?;
    let mut named: Vec<(String, Map<String, Value>)> = Vec::new();
    for (index, test) in tests(report, "Tests")?.into_iter().enumerate() {
        let field = || format!("Tests[{index}].Name");
        let whole = text(&test, "Name").ok_or_else(|| Invalid::new(field(), "is missing"))?;
        let inner = whole
            .split_once('.')
            .map_or(whole.as_str(), |(_, rest)| rest);
        let kinds = [
            (".exec.status", "execution_status"),
            (".compile.status", "compile_status"),
            (".hash.status", "hash_status"),
            (".exec", "execution_time"),
            (".compile", "compile_time"),
            (".mem", "mem_bytes"),
            (".score", "score"),
            (".code_size", "code_size"),
            (".hash", "hash"),
        ];
        let found = kinds
            .iter()
            .find_map(|(end, metric)| Some((inner.strip_suffix(end)?, *metric)));
        let (name, metric) = found.ok_or_else(|| {
            Invalid::new(
                field(),
                format!("{whole:?} ends with no metric of the suite nts"),
            )
        })?;
        let data = test.get("Data").cloned().unwrap_or(Value::Null);
        match named.iter_mut().find(|(known, _)| known == name) {
            Some((_, metrics)) => {
                metrics.insert(metric.to_owned(), data);
            }
            None => named.push((name.to_owned(), Map::from_iter([(metric.to_owned(), data)]))),
        }
    }
    Ok(Plain {
        machine: name,
        facts: machine
            .get("Info")
            .and_then(Value::as_object)
            .map(all_text)
            .unwrap_or_default(),
        order: text(info, "run_order"),
        began: text(run, "Start Time"),
        ended: text(run, "End Time"),
        tests: named,
    })
}

fn build(
    plain: Plain,
    suite: &str,
    earlier: Earlier,
    bytes: &[u8],
    now: DateTime<Utc>,
) -> Result<Submission, Invalid> {
    let date = |field: &str, given: &Option<String>| match given.as_deref() {
        None | Some("") => Ok(now),
        Some(text) => moment(text).ok_or_else(|| {
            Invalid::new(
                field,
                format!("{text:?} is no date like 2026-01-31 12:00:00"),
            )
        }),
    };
    let began = date("start_time", &plain.began)?;
    let mut left_out = Vec::new();
    let mut taken = Vec::with_capacity(plain.tests.len());
    for (name, metrics) in &plain.tests {
        taken.push(read_test(name, metrics, &mut left_out)?);
    }
    let order = plain.order.ok_or_else(|| {
        Invalid::new(
            "run.llvm_project_revision",
            "is missing: give the commit's hash or tag",
        )
    })?;
    let mut facts = no_facts();
    if let Some(cpu) = plain
        .facts
        .get("cpu")
        .or_else(|| plain.facts.get("hardware"))
    {
        facts.cpu_model.clone_from(cpu);
    }
    if let Some(system) = plain.facts.get("os") {
        facts.kernel.clone_from(system);
    }
    facts.settings = plain.facts;
    let parts = Parts {
        format: Format::Lnt,
        origin: format!("lnt {}", kept(suite)),
        began,
        ended: if plain.ended.is_some() {
            date("end_time", &plain.ended)?
        } else {
            began
        },
        interpreter: "not said".to_owned(),
        toolchain: "not said".to_owned(),
        facts,
        notes: BTreeMap::from([("machine".to_owned(), kept(&plain.machine))]),
        benchmarks: taken,
        raw: bytes.to_vec(),
        commit: Some(order),
        whole: true,
        earlier,
    };
    left_out.sort_unstable();
    left_out.dedup();
    Ok(Submission {
        names: Names {
            project: suite.to_owned(),
            environment: plain.machine,
            ..Names::default()
        },
        import: assemble(parts, now, |index| format!("tests[{index}]"))?,
        left_out,
    })
}

fn read_test(
    name: &str,
    metrics: &Map<String, Value>,
    left_out: &mut Vec<String>,
) -> Result<Taken, Invalid> {
    let mut measurements = Vec::new();
    let mut unavailable = Vec::new();
    for (key, value) in metrics {
        let metric = match key.as_str() {
            "execution_time" => Metric::WallTime,
            "mem_bytes" => Metric::MaxRss,
            // LNT's own numbers: 1 is FAIL.
            "execution_status" => {
                if samples(name, key, value)?
                    .iter()
                    .any(|one| one.value == 1.0)
                {
                    unavailable.push(Unavailable {
                        metric: None,
                        kind: UnavailableKind::Crashed,
                        reason: "the sender says that it failed".to_owned(),
                    });
                }
                continue;
            }
            known if LEFT_OUT.contains(&known) => {
                left_out.push(key.clone());
                continue;
            }
            unknown => {
                let message = format!("test {name}: Metric '{unknown}' unknown in suite");
                return Err(Invalid::new(format!("tests.{name}"), message));
            }
        };
        measurements.push(TakenMeasurement::of(metric, samples(name, key, value)?));
    }
    if measurements.is_empty() && unavailable.is_empty() {
        unavailable.push(Unavailable {
            metric: None,
            kind: UnavailableKind::NotApplicable,
            reason: "it came without a time and without a size of memory".to_owned(),
        });
    }
    Ok(Taken {
        name: name.to_owned(),
        loops: 1,
        measurements,
        unavailable,
    })
}

/// A number, a text that is one, or a list of them: each is a run of the program of its own.
fn samples(test: &str, key: &str, value: &Value) -> Result<Vec<Sample>, Invalid> {
    let one = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let all = match value {
        Value::Array(values) => values.iter().map(one).collect(),
        single @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => one(single).map(|value| vec![value]),
    };
    let values: Vec<f64> = all.ok_or_else(|| {
        Invalid::new(
            format!("tests.{test}.{key}"),
            "is neither a number nor a list of numbers",
        )
    })?;
    let numbered = values.into_iter().enumerate();
    Ok(numbered
        .map(|(index, value)| Sample {
            process: u32::try_from(index).unwrap_or(u32::MAX),
            warmup: false,
            value,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(report: &Value, merge: &str) -> Result<Submission, Invalid> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        parse(report.to_string().as_bytes(), "nts", merge, now)
    }

    fn newest() -> Value {
        json!({
            "format_version": "2", "machine": {"name": "lab", "os": "Linux"},
            "run": {"start_time": "2026-11-01T10:00:00", "llvm_project_revision": "abcdef0"},
            "tests": [{"name": "nbody", "execution_time": [0.1, 0.11], "compile_time": 3.0, "mem_bytes": 1000, "suite_id": 1},
                      {"name": "broken", "execution_status": 1}],
        })
    }

    #[test]
    fn a_list_is_a_sample_each_and_what_failed_is_unavailable() {
        let submission = read(&newest(), "replace").unwrap();
        assert_eq!(
            (
                submission.names.environment.as_str(),
                submission.left_out.len()
            ),
            ("lab", 1)
        );
        let import = submission.import;
        assert_eq!(
            (import.earlier, import.commit.as_deref()),
            (Earlier::ReplaceRuns, Some("abcdef0"))
        );
        assert_eq!(import.measurements.len(), 2);
        assert_eq!(import.measurements[0].summary.count, 2);
        assert_eq!(
            import.report.benchmarks[1].unavailable[0].kind,
            UnavailableKind::Crashed
        );
        assert_eq!(import.facts.kernel, "Linux");
    }

    #[test]
    fn the_older_format_is_read_too() {
        let submission = read(
            &json!({
                "Machine": {"Name": "lab", "Info": {"os": "Linux"}},
                "Run": {"Start Time": "2026-11-01 10:00:00", "End Time": "2026-11-01 10:05:00", "Info": {"run_order": "abcdef0", "tag": "nts"}},
                "Tests": [{"Name": "nts.a.b/nbody.exec", "Data": [0.1], "Info": {}}, {"Name": "nts.a.b/nbody.compile", "Data": [1.0]}],
            }),
            "append",
        );
        let import = submission.unwrap().import;
        assert_eq!(import.report.benchmarks[0].name, "a.b/nbody");
        assert_eq!(import.measurements[0].summary.median, 0.1);
        assert_eq!(
            (import.report.finished_at - import.report.started_at).num_minutes(),
            5
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        let wrong = |pointer: &str, value: Value| {
            let mut report = newest();
            *report.pointer_mut(pointer).unwrap() = value;
            read(&report, "reject").unwrap_err().to_string()
        };
        assert!(wrong("/format_version", json!("3")).starts_with("format_version"));
        assert!(wrong("/machine", json!({})).starts_with("machine.name"));
        assert!(wrong("/run", json!({})).starts_with("run.llvm_project_revision"));
        assert!(
            wrong("/tests/0", json!({"name": "x", "speed": 1}))
                .contains("test x: Metric 'speed' unknown in suite")
        );
        assert!(
            wrong("/tests/0/execution_time", json!("fast"))
                .starts_with("tests.nbody.execution_time")
        );
        assert!(
            read(&newest(), "some")
                .unwrap_err()
                .to_string()
                .starts_with("merge")
        );
    }
}
