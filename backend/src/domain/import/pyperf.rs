//! pyperf's JSON, format 1.0, as pyperf and pyperformance write it: every value, warm-up and word of metadata.
//!
//! Metadata that all runs share stands at the file, that all runs of a benchmark share at the benchmark (pyperf's manual, "pyperf
//! JSON"). Runs without values calibrate the number of loops: they stay in the raw file alone.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use speedwell_wire::{EnvironmentFacts, Metric, Sample};

use super::{
    Earlier, Format, Import, Parts, Taken, TakenMeasurement, assemble, kept, moment, no_facts,
};
use crate::domain::run_report::Invalid;

#[derive(Deserialize)]
struct File {
    version: Value,
    #[serde(default)]
    metadata: Map<String, Value>,
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Benchmark {
    #[serde(default)]
    metadata: Map<String, Value>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    warmups: Vec<(f64, f64)>,
}

/// Reads a file; `now` is the time of arrival.
pub fn parse(bytes: Vec<u8>, now: DateTime<Utc>) -> Result<Import, Invalid> {
    let file: File = serde_json::from_slice(&bytes)
        .map_err(|error| Invalid::new("body", format!("is no pyperf JSON: {error}")))?;
    if file.version.as_str() != Some("1.0") {
        let message = format!(
            "{} is not pyperf's format 1.0: write the file anew with `pyperf convert FILE -o NEW` of pyperf 1.0 or later",
            file.version
        );
        return Err(Invalid::new("version", message));
    }
    let mut taken = Vec::with_capacity(file.benchmarks.len());
    let (mut began, mut ended) = (None::<DateTime<Utc>>, None::<DateTime<Utc>>);
    for (index, benchmark) in file.benchmarks.iter().enumerate() {
        taken.push(read_benchmark(index, &file, benchmark)?);
        for run in &benchmark.runs {
            let scope = [&run.metadata, &benchmark.metadata, &file.metadata];
            let Some(at) = text(&scope, "date").and_then(|date| moment(&date)) else {
                continue;
            };
            let took = number(&scope, "duration").unwrap_or(0.0).clamp(0.0, 1e6);
            // Below the largest number of milliseconds.
            let end = at + TimeDelta::milliseconds((took * 1e3) as i64);
            began = Some(began.map_or(at, |before| before.min(at)));
            ended = Some(ended.map_or(end, |before| before.max(end)));
        }
    }
    let first = file.benchmarks.first();
    let scope: Vec<&Map<String, Value>> = std::iter::once(&file.metadata)
        .chain(first.map(|one| &one.metadata))
        .chain(
            first
                .and_then(|one| one.runs.last())
                .map(|one| &one.metadata),
        )
        .collect();
    let parts = Parts {
        format: Format::Pyperf,
        origin: origin(&scope)?,
        began: began.unwrap_or(now),
        ended: ended.unwrap_or(now),
        interpreter: interpreter(&scope),
        toolchain: toolchain(&scope),
        facts: facts(&scope),
        notes: notes(&scope),
        benchmarks: taken,
        commit: text(&scope, "commit_id"),
        raw: Vec::new(),
        whole: true,
        earlier: Earlier::Keep,
    };
    let mut import = assemble(parts, now, |index| format!("benchmarks[{index}]"))?;
    import.raw = bytes;
    Ok(import)
}

fn read_benchmark(index: usize, file: &File, benchmark: &Benchmark) -> Result<Taken, Invalid> {
    let field = format!("benchmarks[{index}]");
    let scope = [&benchmark.metadata, &file.metadata];
    let name = text(&scope, "name").ok_or_else(|| {
        let message = "is missing: pyperf writes it when the benchmark is given one by --name";
        Invalid::new(format!("{field}.metadata.name"), message)
    })?;
    let with_values: Vec<&Run> = benchmark
        .runs
        .iter()
        .filter(|run| !run.values.is_empty())
        .collect();
    let unit = with_values.first().and_then(|run| {
        text(
            &[&run.metadata, &benchmark.metadata, &file.metadata],
            "unit",
        )
    });
    let metric = match unit.as_deref() {
        None | Some("second") => Metric::WallTime,
        Some("byte") => Metric::MaxRss,
        Some(other) => {
            let message = format!(
                "{other:?} is neither \"second\" nor \"byte\": take this benchmark out of the file"
            );
            return Err(Invalid::new(format!("{field}.metadata.unit"), message));
        }
    };
    let mut measurements = vec![TakenMeasurement::of(metric, samples(&with_values))];
    if metric != Metric::MaxRss {
        measurements.extend(memory(&with_values, benchmark, file));
    }
    let loops = with_values.first().map_or(1, |run| {
        let scope = [&run.metadata, &benchmark.metadata, &file.metadata];
        let of = |key| whole_number(&scope, key).unwrap_or(1).max(1);
        of("loops").saturating_mul(of("inner_loops"))
    });
    Ok(Taken {
        name,
        loops,
        measurements,
        unavailable: Vec::new(),
    })
}

/// Every value of each process, its warm-ups first.
fn samples(runs: &[&Run]) -> Vec<Sample> {
    let of_run = |(process, run): (usize, &&Run)| {
        let sample = move |warmup| {
            move |value: &f64| Sample {
                process: u32::try_from(process).unwrap_or(u32::MAX),
                warmup,
                value: *value,
            }
        };
        let warmups = run.warmups.iter().map(|(_, value)| value);
        let warmups: Vec<Sample> = warmups.map(sample(true)).collect();
        let values = run.values.iter().map(sample(false));
        warmups.into_iter().chain(values).collect::<Vec<_>>()
    };
    runs.iter().enumerate().flat_map(of_run).collect()
}

/// The largest resident set of each process, when every one says it.
fn memory(runs: &[&Run], benchmark: &Benchmark, file: &File) -> Option<TakenMeasurement> {
    let mut samples = Vec::with_capacity(runs.len());
    for (process, run) in runs.iter().enumerate() {
        let scope = [&run.metadata, &benchmark.metadata, &file.metadata];
        let value = number(&scope, "command_max_rss").or_else(|| number(&scope, "mem_max_rss"))?;
        samples.push(Sample {
            process: u32::try_from(process).unwrap_or(u32::MAX),
            warmup: false,
            value,
        });
    }
    let sound = !samples.is_empty() && samples.iter().all(|one| one.value > 0.0);
    sound.then(|| TakenMeasurement::of(Metric::MaxRss, samples))
}

fn find<'a>(scope: &[&'a Map<String, Value>], key: &str) -> Option<&'a Value> {
    scope.iter().find_map(|metadata| metadata.get(key))
}

fn text(scope: &[&Map<String, Value>], key: &str) -> Option<String> {
    match find(scope, key)? {
        Value::String(text) => Some(kept(text)),
        other @ (Value::Number(_) | Value::Bool(_)) => Some(other.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(scope: &[&Map<String, Value>], key: &str) -> Option<f64> {
    find(scope, key)?.as_f64()
}

fn whole_number(scope: &[&Map<String, Value>], key: &str) -> Option<u64> {
    find(scope, key)?.as_u64()
}

/// The program that the benchmarks came with.
fn origin(scope: &[&Map<String, Value>]) -> Result<String, Invalid> {
    let Some(version) = text(scope, "performance_version") else {
        return Ok("pyperf".to_owned());
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    if version.is_empty() || version.len() > 40 || !version.chars().all(plain) {
        let message = format!("{version:?} is no version of pyperformance");
        return Err(Invalid::new("metadata.performance_version", message));
    }
    Ok(format!("pyperformance {version}"))
}

fn interpreter(scope: &[&Map<String, Value>]) -> String {
    let parts = ["python_implementation", "python_version"];
    let parts: Vec<String> = parts.iter().filter_map(|key| text(scope, key)).collect();
    if parts.is_empty() {
        "not said".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The compiler with a hash of its flags: builds are told apart by it.
fn toolchain(scope: &[&Map<String, Value>]) -> String {
    let compiler = text(scope, "python_compiler").unwrap_or_else(|| "not said".to_owned());
    match find(scope, "python_cflags").and_then(Value::as_str) {
        Some(flags) => {
            let hash = hex::encode(Sha256::digest(flags.as_bytes()));
            let short: String = hash.chars().take(12).collect();
            format!("{compiler}, flags {short}")
        }
        None => compiler,
    }
}

/// What can move a result and is no result itself. Load, frequency and temperature at one moment are not the machine.
fn facts(scope: &[&Map<String, Value>]) -> EnvironmentFacts {
    let mut facts = no_facts();
    let into = |place: &mut String, key: &str| {
        if let Some(found) = text(scope, key) {
            *place = found;
        }
    };
    into(&mut facts.cpu_model, "cpu_model_name");
    into(&mut facts.cpu_signature, "cpu_machine");
    into(&mut facts.kernel, "platform");
    facts.cores = whole_number(scope, "cpu_count")
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0);
    for key in ["aslr", "cpu_affinity", "cpu_config", "timer"] {
        if let Some(found) = text(scope, key) {
            facts.settings.insert(key.to_owned(), found);
        }
    }
    facts
}

/// What is told beside the run and opens no epoch.
fn notes(scope: &[&Map<String, Value>]) -> BTreeMap<String, String> {
    let keys = [
        "hostname",
        "perf_version",
        "load_avg_1min",
        "commit_branch",
        "commit_date",
        "description",
        "python_hash_seed",
        "boot_time",
    ];
    let known = keys
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), text(scope, key)?)));
    known.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn read(file: &Value) -> Result<Import, Invalid> {
        parse(file.to_string().into_bytes(), now())
    }

    fn suite() -> Value {
        json!({
            "version": "1.0",
            "metadata": {"performance_version": "1.14.0", "unit": "second", "cpu_model_name": "Xeon", "cpu_count": 8,
                         "python_implementation": "cpython", "python_version": "3.13.0", "platform": "Linux-6.1", "loops": 4,
                         "python_compiler": "GCC 12", "commit_id": "abcdef0"},
            "benchmarks": [
                {"metadata": {"name": "nbody", "inner_loops": 2}, "runs": [
                    {"metadata": {"calibrate_loops": 4, "date": "2026-11-01 10:00:00"}, "warmups": [[1, 0.4], [4, 0.2]]},
                    {"metadata": {"date": "2026-11-01 10:01:00", "duration": 2.5, "mem_max_rss": 1000}, "warmups": [[4, 0.3]], "values": [0.1, 0.11]},
                    {"metadata": {"date": "2026-11-01 10:02:00", "duration": 60.0, "mem_max_rss": 2000}, "warmups": [[4, 0.3]], "values": [0.12]},
                ]},
                {"metadata": {"name": "peak", "unit": "byte"}, "runs": [{"values": [5000.0]}]},
            ],
        })
    }

    #[test]
    fn every_value_and_warmup_is_kept_and_calibration_is_not() {
        let import = read(&suite()).unwrap();
        assert_eq!(import.origin, "pyperformance 1.14.0");
        assert_eq!(import.commit.as_deref(), Some("abcdef0"));
        let nbody = &import.measurements[0];
        assert_eq!((nbody.metric, nbody.summary.count), (Metric::WallTime, 3));
        let kept: Vec<(u32, bool, f64)> = nbody
            .samples
            .iter()
            .map(|one| (one.process, one.warmup, one.value))
            .collect();
        assert_eq!(
            kept,
            [
                (0, true, 0.3),
                (0, false, 0.1),
                (0, false, 0.11),
                (1, true, 0.3),
                (1, false, 0.12)
            ]
        );
        assert_eq!(import.report.benchmarks[0].loops, 8);
        assert_eq!(
            (
                import.measurements[1].metric,
                import.measurements[1].summary.median
            ),
            (Metric::MaxRss, 1500.0)
        );
        assert_eq!(
            (
                import.measurements[2].benchmark,
                import.measurements[2].metric
            ),
            (1, Metric::MaxRss)
        );
        assert_eq!(
            import.report.started_at.to_rfc3339(),
            "2026-11-01T10:00:00+00:00"
        );
        assert_eq!(
            import.report.finished_at.to_rfc3339(),
            "2026-11-01T10:03:00+00:00"
        );
        assert_eq!(
            (import.facts.cpu_model.as_str(), import.facts.cores),
            ("Xeon", 8)
        );
    }

    #[test]
    fn each_bad_field_is_named() {
        let wrong = |pointer: &str, value: Value| {
            let mut file = suite();
            *file.pointer_mut(pointer).unwrap() = value;
            read(&file).unwrap_err().to_string()
        };
        assert!(wrong("/version", json!("0.7")).starts_with("version: \"0.7\" is not"));
        assert!(wrong("/benchmarks", json!([])).starts_with("benchmarks: 0 benchmarks"));
        assert!(
            wrong("/benchmarks/1/metadata/name", json!("nbody"))
                .contains("benchmarks[1].name: \"nbody\" is there twice")
        );
        assert!(
            wrong("/benchmarks/1/metadata/unit", json!("integer"))
                .starts_with("benchmarks[1].metadata.unit")
        );
        assert!(
            wrong("/benchmarks/0/runs/1/values/0", json!(-1.0))
                .starts_with("benchmarks[0].samples[1]: -1 is not positive")
        );
        assert!(
            wrong(
                "/benchmarks/0/runs/1/metadata/date",
                json!("2099-01-01 10:00:00")
            )
            .starts_with("date: is in the future")
        );
        assert!(
            wrong("/benchmarks/1/runs", json!([]))
                .starts_with("benchmarks[1].samples: needs at least one")
        );
        assert!(
            wrong("/metadata/performance_version", json!("<b>"))
                .starts_with("metadata.performance_version")
        );
        assert!(
            parse(b"{".to_vec(), now())
                .unwrap_err()
                .to_string()
                .starts_with("body: is no pyperf JSON")
        );
    }
}
