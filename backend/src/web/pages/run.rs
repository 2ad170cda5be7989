//! A run: samples, environment, build.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use serde_json::Value;
use speedwell_wire::{BuildRecipe, HostFlag, Metric, Unit};

use super::widgets::strip;
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::imports::{self, RunOrigin};
use crate::db::profiles;
use crate::db::runs::{self, RunDetail, RunMeasurement, RunUnavailable};
use crate::db::warmup::{self, RunWarmup};
use crate::domain::import::Format;
use crate::domain::latency;
use crate::web::error::Error;
use crate::web::facts::spread;
use crate::web::format::{self, Rounded};

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    shell: Shell,
    run: RunDetail,
    short: String,
    started: String,
    took: String,
    build: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    benchmarks: Vec<Benchmark>,
    unavailable: Vec<RunUnavailable>,
    missing_metrics: Vec<(String, String, usize)>,
    latencies: Vec<ResponseTimes>,
    flags: Vec<HostFlag>,
    /// Benchmarks that have a profile.
    profiles: Vec<String>,
    host_link: String,
    /// Where it came from, when it was not measured by one of our hosts.
    origin: Option<Origin>,
}

/// Where an imported run came from.
struct Origin {
    row: RunOrigin,
    format: &'static str,
    when: String,
}

/// Response times of one benchmark over all repetitions.
struct ResponseTimes {
    benchmark: String,
    answers: u64,
    /// At 50, 75, 90, 95, 99, 99.9 and 100 %.
    values: Vec<String>,
}

struct Benchmark {
    name: String,
    main: Option<Main>,
    warmup: Option<Warmup>,
    others: Vec<(String, String)>,
}

/// The metric that a benchmark is there for.
struct Main {
    label: String,

    median: String,
    interval: String,
    mean: String,
    deviation: String,
    range: String,
    count: i32,
    strip: String,
    samples: Vec<(i16, Vec<(String, bool)>)>,
}

/// What the processes of a benchmark do before and in their steady state.
struct Warmup {
    /// Names the badge's colour.
    class: String,
    words: &'static str,
    /// Each process in words.
    processes: String,
}

pub(super) async fn run(context: Data<Context>, id: Path<i64>) -> Result<HttpResponse, PageError> {
    let run = runs::find(&context.pool, *id).await?;
    let run = run.ok_or_else(|| Error::NotFound(format!("There is no run {id}.")))?;
    let measurements = runs::list_measurements(&context.pool, *id).await?;
    let unavailable = runs::list_unavailable(&context.pool, *id).await?;
    let warmups = warmup::list(&context.pool, *id).await?;
    let latencies = runs::list_latencies(&context.pool, *id).await?;
    let profiles = profiles::list_benchmarks(&context.pool, *id).await?;
    let origin = imports::find(&context.pool, *id).await?;
    let whole: Vec<RunUnavailable> = unavailable
        .iter()
        .filter(|one| one.metric.is_none())
        .cloned()
        .collect();
    let page = Page {
        shell: Shell::new(format!("Run {id}"), "home"),
        // What a newer worker wrote in another form is left to the JSON.
        flags: serde_json::from_value(run.host_flags.clone()).unwrap_or_default(),
        host_link: format!("/hosts/{}", format::encode(&run.host)),
        short: format::short(&run.hash),
        started: format::moment(run.started_at),
        took: format::duration((run.finished_at - run.started_at).num_seconds()),
        build: build_facts(&run),
        environment: environment_facts(&run),
        benchmarks: measurements
            .chunk_by(|a, b| a.benchmark == b.benchmark)
            .map(|measurements| benchmark(measurements, &warmups))
            .collect(),
        latencies: latencies
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(response_times)
            .collect(),
        missing_metrics: missing_metrics(&unavailable),
        origin: origin.map(|row| Origin {
            format: row
                .format
                .parse::<Format>()
                .map_or("another form", Format::words),
            when: format::moment(row.created_at),
            row,
        }),
        unavailable: whole,
        profiles,
        run,
    };
    render(&page)
}

fn response_times(of_benchmark: &[(String, Vec<u8>)]) -> Option<ResponseTimes> {
    let histograms: Vec<&[u8]> = of_benchmark
        .iter()
        .map(|(_, bytes)| bytes.as_slice())
        .collect();
    let (answers, curve) = latency::curve(&histograms)?;
    Some(ResponseTimes {
        benchmark: of_benchmark[0].0.clone(),
        answers,
        values: curve
            .into_iter()
            .map(|seconds| format::value(seconds, Unit::Seconds))
            .collect(),
    })
}

/// Metrics that single benchmarks lack, once per reason.
pub(super) fn missing_metrics<'a>(
    unavailable: impl IntoIterator<Item = &'a RunUnavailable>,
) -> Vec<(String, String, usize)> {
    let mut rows: Vec<(String, String, usize)> = Vec::new();
    for one in unavailable {
        let Some(metric) = &one.metric else { continue };
        let label = format::metric_label(metric);
        match rows
            .iter_mut()
            .find(|row| row.0 == label && row.1 == one.reason)
        {
            Some(row) => row.2 += 1,
            None => rows.push((label, one.reason.clone(), 1)),
        }
    }
    rows
}

fn benchmark(measurements: &[RunMeasurement], warmups: &[RunWarmup]) -> Benchmark {
    let name = measurements
        .first()
        .map(|one| one.benchmark.clone())
        .unwrap_or_default();
    let others = measurements
        .iter()
        .filter(|one| !is_main(&one.metric))
        .map(|one| {
            let label = format::metric_label(&one.metric);
            let label = match one.counter_source.as_str() {
                "software" | "pmu" => label,
                source => format!("{label}, source {source}"),
            };
            (label, format::metric_value(one.median, &one.metric))
        });
    Benchmark {
        others: others.collect(),
        main: measurements
            .iter()
            .find(|one| is_main(&one.metric))
            .map(main_metric),
        warmup: warmups
            .iter()
            .find(|one| one.benchmark == name)
            .map(describe_warmup),
        name,
    }
}

fn describe_warmup(found: &RunWarmup) -> Warmup {
    let each = found.process_class.iter().zip(&found.steady_from);
    let processes = each.enumerate().map(|(process, (class, from))| match from {
        Some(0) => format!("process {process}: steady from the first iteration"),
        Some(from) => format!(
            "process {process}: {}, steady after {from} iterations",
            class_words(class)
        ),
        None => format!("process {process}: {}", class_words(class)),
    });
    Warmup {
        words: class_words(&found.class),
        processes: processes.collect::<Vec<_>>().join("; "),
        class: found.class.clone(),
    }
}

/// A class of warm-up behaviour in words.
pub(super) fn class_words(class: &str) -> &'static str {
    match class {
        "flat" => "flat",
        "warmup" => "warms up",
        "slowdown" => "slows down",
        "no_steady_state" => "no steady state",
        "good_inconsistent" => "some flat, some warm up",
        "bad_inconsistent" => "inconsistent",
        _ => "unknown",
    }
}

/// Wall time, or what a server workload is there for: answers per second.
fn is_main(metric: &str) -> bool {
    Metric::MAIN.iter().any(|main| main.as_str() == metric)
}

fn main_metric(one: &RunMeasurement) -> Main {
    let text = |value: f64| format::metric_value(value, &one.metric);
    let mut samples: Vec<(i16, Vec<(String, bool)>)> = Vec::new();
    for ((value, process), warmup) in one
        .sample_values
        .iter()
        .zip(&one.sample_process)
        .zip(&one.sample_warmup)
    {
        if samples.last().is_none_or(|(number, _)| number != process) {
            samples.push((*process, Vec::new()));
        }
        if let Some((_, values)) = samples.last_mut() {
            values.push((text(*value), *warmup));
        }
    }
    let values = (one.median, one.interval_low, one.interval_high);
    let shown = Rounded::of(values, &one.metric);
    Main {
        label: format::metric_label(&one.metric),
        interval: shown.interval(),
        median: shown.value,
        mean: text(one.mean),
        deviation: format!("{:.2}\u{a0}%", one.mad / one.median * 100.0),
        range: format!("{} – {}", text(one.min), text(one.max)),
        count: one.sample_count,
        strip: strip(
            format!(
                "{}: every sample in the order taken, warm-ups hollow",
                one.benchmark
            ),
            &one.sample_values,
            &one.sample_process,
            &one.sample_warmup,
        ),
        samples,
    }
}

fn environment_facts(run: &RunDetail) -> Vec<(String, String)> {
    let mut rows = vec![("host".to_owned(), run.host.clone())];
    spread("", &run.facts, &mut rows);
    spread("", &run.host_notes, &mut rows);
    rows.push(("fingerprint".to_owned(), format::short(&run.fingerprint)));
    rows
}

/// Recipe and variant; the name alone of a recipe that a newer version wrote.
pub(super) fn describe_recipe(stored: &Value) -> String {
    let name = || stored.get("name").and_then(Value::as_str);
    match serde_json::from_value::<BuildRecipe>(stored.clone()) {
        Ok(recipe) => format!("{}, {}", recipe.method.name(), recipe.method.variant()),
        Err(_) => name().unwrap_or("unknown").to_owned(),
    }
}

fn build_facts(run: &RunDetail) -> Vec<(String, String)> {
    let mut rows = vec![("interpreter".to_owned(), run.interpreter.clone())];
    let (Some(bytes), Some(sha256)) = (run.artefact_bytes, &run.artefact_sha256) else {
        rows.push((
            "recipe".to_owned(),
            "not known: it was built and measured elsewhere".to_owned(),
        ));
        rows.push(("toolchain".to_owned(), run.toolchain.clone()));
        return rows;
    };
    rows.push(("recipe".to_owned(), describe_recipe(&run.recipe)));
    if run.build_repeat > 0 {
        let words = format!("{}, without the compiler cache", run.build_repeat);
        rows.push(("repeat of the build".to_owned(), words));
    }
    let steps = run
        .step_seconds
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, seconds)| format!("{name} {:.1}\u{a0}s", seconds.as_f64().unwrap_or(0.0)));
    rows.push(("steps".to_owned(), steps.collect::<Vec<_>>().join(", ")));
    let calls = run.ccache_hits + run.ccache_misses;
    rows.push((
        "compiler cache".to_owned(),
        format!("{} of {calls} calls answered", run.ccache_hits),
    ));
    rows.push((
        "installed".to_owned(),
        format::value(run.installed_bytes as f64, Unit::Bytes),
    ));
    rows.push((
        "artefact".to_owned(),
        format!(
            "{}, sha256 {}",
            format::value(bytes as f64, Unit::Bytes),
            format::short(sha256)
        ),
    ));
    rows.push(("toolchain".to_owned(), run.toolchain.clone()));
    rows.push(("harness".to_owned(), format::short(&run.harness_sha256)));
    rows
}
