//! The run's raw file: valid pyperf JSON, version 1.0, so that `pyperf compare_to` reads it.
//!
//! Source of the format: pyperf 2.9's documentation of its file format (`api.html`, `BenchmarkSuite.dump`): warm-ups are
//! pairs of loops and seconds per loop, values are seconds per loop, metadata common to all lies at the top.

use serde_json::{Map, Value as Json, json};
use speedwell_wire::Metric;

use super::repetitions::Collecting;
use super::session::Record;
use super::suite::Program;

/// The file's content. Benchmarks without a timing process are left out: pyperf knows no missing value.
pub fn write(programs: &[Program<'_>], collected: &[Collecting], interpreter: &str) -> Json {
    let rows: Vec<Json> = programs
        .iter()
        .zip(collected)
        .filter_map(|(program, one)| match (program, one) {
            (Program::Script(benchmark), Collecting::Script(one)) => Some((benchmark, one)),
            // A workload has no times of iterations; its histograms are kept with the run.
            _ => None,
        })
        .filter(|(_, one)| !one.is_lost() && !one.timing.is_empty())
        .map(|(benchmark, one)| {
            let runs: Vec<Json> = one.timing.iter().map(|(_, record)| run(record)).collect();
            json!({ "metadata": { "name": benchmark.name, "description": benchmark.description }, "runs": runs })
        })
        .collect();
    json!({
        "version": "1.0",
        "metadata": { "python_version": interpreter, "unit": "second" },
        "benchmarks": rows,
    })
}

fn run(record: &Record) -> Json {
    let warmups: Vec<Json> = record
        .values
        .iter()
        .filter(|value| value.warmup)
        .map(|value| json!([value.loops, value.seconds]))
        .collect();
    let values: Vec<f64> = record
        .values
        .iter()
        .filter(|value| !value.warmup)
        .map(|value| value.seconds)
        .collect();
    let mut metadata = Map::new();
    metadata.insert(
        "date".to_owned(),
        json!(
            record
                .started_at
                .format("%Y-%m-%d %H:%M:%S.%6f")
                .to_string()
        ),
    );
    metadata.insert("duration".to_owned(), json!(record.duration));
    metadata.insert("loops".to_owned(), json!(record.loops));
    if record.inner_loops != 1 {
        metadata.insert("inner_loops".to_owned(), json!(record.inner_loops));
    }
    metadata.insert("timer".to_owned(), json!(record.clock));
    if let Some(Ok(bytes)) = record.once.get(&Metric::MaxRss) {
        metadata.insert("mem_max_rss".to_owned(), json!(*bytes as u64));
    }
    let mut run = Map::new();
    run.insert("metadata".to_owned(), Json::Object(metadata));
    // pyperf refuses an empty list of warm-ups.
    if !warmups.is_empty() {
        run.insert("warmups".to_owned(), Json::Array(warmups));
    }
    run.insert("values".to_owned(), json!(values));
    Json::Object(run)
}
