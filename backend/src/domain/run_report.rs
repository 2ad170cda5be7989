//! Validates a worker's run report at the door. What passes can be stored as it is.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use speedwell_wire::{BenchmarkResult, CounterSource, LatencyHistogram, Metric, RunReport, Sample};

use super::latency;
use super::profile;
use super::summary::Summary;

/// More benchmarks than any suite has.
const MAX_BENCHMARKS: usize = 1_000;
/// More samples than any run of one metric takes (a JIT's warm-up curve: 10 processes of 5,000 iterations).
const MAX_SAMPLES: usize = 100_000;
/// Highest index of a process.
const MAX_PROCESS: u32 = 9_999;

/// More flags than a worker has checks.
const MAX_FLAGS: usize = 200;

/// What is wrong with a report, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// The field as a path: `benchmarks[3].measurements[0].samples[7]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Invalid {
    /// A complaint about one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// One measurement, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMeasurement {
    /// Index into the report's benchmarks.
    pub benchmark: usize,
    /// What was measured.
    pub metric: Metric,
    /// Where the values came from.
    pub source: CounterSource,
    /// Every sample in the order taken.
    pub samples: Vec<Sample>,
    /// Summary of those that are no warm-ups.
    pub summary: Summary,
}

/// Checks the whole report; `now` is the time of arrival. Returns its measurements with their summaries.
pub fn validate(report: &RunReport, now: DateTime<Utc>) -> Result<Vec<NewMeasurement>, Invalid> {
    if report.finished_at < report.started_at {
        return Err(Invalid::new("finished_at", "is before started_at"));
    }
    if report.finished_at > now + TimeDelta::hours(1) {
        return Err(Invalid::new(
            "finished_at",
            "is in the future: set the host's clock",
        ));
    }
    if report.started_at < now - TimeDelta::days(366) {
        return Err(Invalid::new(
            "started_at",
            "is more than a year ago: set the host's clock",
        ));
    }
    check_sha256("artefact_sha256", &report.artefact_sha256)?;
    check_sha256("harness_sha256", &report.harness_sha256)?;
    check_text("interpreter", &report.interpreter, 1_000)?;
    if report.benchmarks.is_empty() || report.benchmarks.len() > MAX_BENCHMARKS {
        let message = format!(
            "{} benchmarks; between 1 and {MAX_BENCHMARKS} are accepted",
            report.benchmarks.len()
        );
        return Err(Invalid::new("benchmarks", message));
    }
    check_host(report)?;
    let mut seen = HashSet::new();
    let mut measurements = Vec::new();
    for (index, benchmark) in report.benchmarks.iter().enumerate() {
        if !seen.insert(&benchmark.identity) {
            return Err(Invalid::new(
                format!("benchmarks[{index}].identity"),
                "this benchmark is there twice",
            ));
        }
        measurements.extend(check_benchmark(index, benchmark)?);
    }
    Ok(measurements)
}

/// Checks one benchmark; its measurements, with what its profile says.
fn check_benchmark(
    index: usize,
    benchmark: &BenchmarkResult,
) -> Result<Vec<NewMeasurement>, Invalid> {
    let field = format!("benchmarks[{index}]");
    if benchmark.measurements.is_empty() && benchmark.unavailable.is_empty() {
        let message = format!(
            "{} has neither a measurement nor a reason why it is unavailable",
            benchmark.name
        );
        return Err(Invalid::new(field, message));
    }
    for (number, unavailable) in benchmark.unavailable.iter().enumerate() {
        check_text(
            &format!("{field}.unavailable[{number}].reason"),
            &unavailable.reason,
            20_000,
        )?;
    }
    check_latencies(&field, &benchmark.latencies)?;
    let mut kinds = HashSet::new();
    let mut measurements = Vec::new();
    if let Some(found) = &benchmark.profile {
        profile::check(&format!("{field}.profile"), found)?;
        measurements = profile::measurements(index, found);
        kinds.extend(measurements.iter().map(|one| (one.metric, one.source)));
    }
    for (number, measurement) in benchmark.measurements.iter().enumerate() {
        let field = format!("{field}.measurements[{number}]");
        if measurement.metric.is_derived() {
            let message = format!("{} is derived here and not taken", measurement.metric);
            return Err(Invalid::new(format!("{field}.metric"), message));
        }
        if !kinds.insert((measurement.metric, measurement.source)) {
            let message = format!(
                "{} from {} is there twice, or follows from the profile",
                measurement.metric, measurement.source
            );
            return Err(Invalid::new(field, message));
        }
        let summary = summarise(&field, measurement.metric, &measurement.samples)?;
        measurements.push(NewMeasurement {
            benchmark: index,
            metric: measurement.metric,
            source: measurement.source,
            samples: measurement.samples.clone(),
            summary,
        });
    }
    Ok(measurements)
}

fn check_latencies(field: &str, latencies: &[LatencyHistogram]) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    for (number, one) in latencies.iter().enumerate() {
        let field = format!("{field}.latencies[{number}]");
        if one.process > MAX_PROCESS || !seen.insert(one.process) {
            let message = format!(
                "repetition {} is there twice, or beyond {MAX_PROCESS}",
                one.process
            );
            return Err(Invalid::new(format!("{field}.p"), message));
        }
        latency::check(&one.hdr)
            .map_err(|message| Invalid::new(format!("{field}.hdr"), message))?;
    }
    Ok(())
}

/// Checks the samples of one metric and sums them up; `field` names them in errors.
pub(super) fn summarise(
    field: &str,
    metric: Metric,
    samples: &[Sample],
) -> Result<Summary, Invalid> {
    if samples.len() > MAX_SAMPLES {
        let message = format!(
            "{} samples; at most {MAX_SAMPLES} are accepted",
            samples.len()
        );
        return Err(Invalid::new(format!("{field}.samples"), message));
    }
    for (index, sample) in samples.iter().enumerate() {
        let complain =
            |message: String| Err(Invalid::new(format!("{field}.samples[{index}]"), message));
        if !sample.value.is_finite() {
            return complain(format!("{} is not finite", sample.value));
        }
        // A count of zero is a real answer (no context switch); a time, a size or a ratio of zero is not.
        if sample.value < 0.0 || (!metric.can_be_zero() && sample.value <= 0.0) {
            return complain(format!("{} is not positive", sample.value));
        }
        if sample.value > 1e18 {
            return complain(format!(
                "{:e} is beyond anything a benchmark can reach",
                sample.value
            ));
        }
        if sample.process > MAX_PROCESS {
            return complain(format!(
                "process {} is beyond {MAX_PROCESS}",
                sample.process
            ));
        }
    }
    let counted: Vec<(u32, f64)> = samples
        .iter()
        .filter(|sample| !sample.warmup)
        .map(|sample| (sample.process, sample.value))
        .collect();
    Summary::of_processes(&counted).ok_or_else(|| {
        Invalid::new(
            format!("{field}.samples"),
            "needs at least one sample that is no warm-up",
        )
    })
}

fn check_sha256(field: &str, text: &str) -> Result<(), Invalid> {
    let fits = text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fits {
        Ok(())
    } else {
        Err(Invalid::new(field, "must be 64 lower-case hex digits"))
    }
}

fn check_host(report: &RunReport) -> Result<(), Invalid> {
    for (name, note) in &report.host_notes {
        check_text(&format!("host_notes[{name:?}]"), note, 1_000)?;
    }
    if report.host_flags.len() > MAX_FLAGS {
        let message = format!(
            "{} of them; at most {MAX_FLAGS} are accepted",
            report.host_flags.len()
        );
        return Err(Invalid::new("host_flags", message));
    }
    for (index, flag) in report.host_flags.iter().enumerate() {
        for (key, text) in [
            ("name", &flag.name),
            ("value", &flag.value),
            ("good", &flag.good),
        ] {
            check_text(&format!("host_flags[{index}].{key}"), text, 1_000)?;
        }
    }
    Ok(())
}

/// Postgres takes no NUL in text, and nobody reads a megabyte.
pub fn check_text(field: &str, text: &str, longest: usize) -> Result<(), Invalid> {
    if text.contains('\0') {
        return Err(Invalid::new(field, "holds a NUL character"));
    }
    if text.len() > longest {
        return Err(Invalid::new(
            field,
            format!("{} bytes long; at most {longest} are accepted", text.len()),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The golden message, changed at one JSON pointer.
    fn report_with(pointer: &str, value: Value) -> RunReport {
        let mut json: Value =
            serde_json::from_str(include_str!("../../../wire/tests/golden/run_report.json"))
                .unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        serde_json::from_value(json).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_500, 0).unwrap()
    }

    fn complaint(pointer: &str, value: Value) -> String {
        validate(&report_with(pointer, value), now())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_good_report_is_summarised_without_its_warmups() {
        let measurements = validate(&report_with("/interpreter", json!("3.10")), now()).unwrap();
        assert_eq!(measurements.len(), 1);
        assert_eq!(measurements[0].samples.len(), 3);
        assert_eq!(measurements[0].summary.count, 2);
        assert_eq!(measurements[0].summary.max, 0.1225);
    }

    #[test]
    fn each_bad_field_is_named() {
        let samples = "/benchmarks/0/measurements/0/samples";
        assert_eq!(
            complaint(&format!("{samples}/1/v"), json!(-1.0)),
            "benchmarks[0].measurements[0].samples[1]: -1 is not positive"
        );
        assert_eq!(
            complaint(&format!("{samples}/1/v"), json!(0.0)),
            "benchmarks[0].measurements[0].samples[1]: 0 is not positive"
        );
        assert!(
            complaint(&format!("{samples}/0/p"), json!(10_000))
                .contains("samples[0]: process 10000")
        );
        let only_warmups = json!([{"p": 0, "w": true, "v": 1.0}]);
        assert!(complaint(samples, only_warmups).contains("samples: needs at least one sample"));
        assert!(complaint("/benchmarks", json!([])).starts_with("benchmarks: 0 benchmarks"));
        assert!(complaint("/artefact_sha256", json!("XY")).starts_with("artefact_sha256"));
        assert!(
            complaint("/finished_at", json!("2020-01-01T00:00:00Z"))
                .starts_with("finished_at: is before")
        );
        assert!(complaint("/interpreter", json!("a\u{0}b")).contains("NUL"));
        let mut report = report_with("/interpreter", json!("3.10"));
        report.benchmarks[0].latencies = vec![LatencyHistogram {
            process: 0,
            hdr: "AAAA".into(),
        }];
        let wrong = validate(&report, now()).unwrap_err().to_string();
        assert!(
            wrong.starts_with("benchmarks[0].latencies[0].hdr: is no HDR"),
            "{wrong}"
        );
        let nothing = json!([{"identity": "a", "name": "x", "loops": 1, "measurements": [], "unavailable": []}]);
        assert!(complaint("/benchmarks", nothing).contains("neither a measurement nor a reason"));
    }

    #[test]
    fn a_count_of_zero_is_a_value() {
        let report = report_with(
            "/benchmarks/0/measurements/0",
            json!({
                "metric": "context_switches", "source": "software", "samples": [{"p": 0, "v": 0.0}],
            }),
        );
        assert_eq!(validate(&report, now()).unwrap()[0].summary.median, 0.0);
    }
}
