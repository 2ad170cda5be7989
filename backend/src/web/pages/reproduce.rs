//! One measured point with everything that is needed to repeat it.

mod bundle;

use actix_web::http::header;
use actix_web::web::{Data, Path, ServiceConfig, get};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::Value;
use speedwell_wire::{BuildRecipe, HostFlag, LockedPackage, Method};

use super::run::describe_recipe;
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::reproduce::{self, Measured, Origin};
use crate::db::runs::{self, RunDetail, RunUnavailable};
use crate::db::{profiles, profiles::Profile};
use crate::domain::definition::Definition;
use crate::domain::reproduce::quote::{file_name, public_url};
use crate::domain::reproduce::{Ours, Parts, Subject, script};
use crate::web::error::Error;
use crate::web::facts::spread;
use crate::web::file::{File, Shown};
use crate::web::format::{self, Rounded};

/// The routes of a point.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .route("/runs/{id}/reproduce/{benchmark}.tar.gz", get().to(archive))
        .route("/runs/{id}/reproduce/{benchmark}", get().to(page));
}

/// Everything that is known of one point.
struct Known {
    run: RunDetail,
    origin: Origin,
    measured: Vec<Measured>,
    unavailable: Vec<RunUnavailable>,
    profile: Option<Profile>,
    subject: Subject,
}

async fn know(context: &Context, run_id: i64, benchmark: &str) -> Result<Known, Error> {
    let missing = || {
        let message = format!("There is no run {run_id} with a benchmark {benchmark:?}.");
        Error::NotFound(message)
    };
    let run = runs::find(&context.pool, run_id)
        .await?
        .ok_or_else(missing)?;
    if run.artefact_sha256.is_none() {
        let message = format!(
            "Run {run_id} was measured elsewhere and imported: how to build and run it is not known here. Its page, /runs/{run_id}, has the file as it came."
        );
        return Err(Error::NotFound(message));
    }
    let origin = reproduce::find_origin(&context.pool, run_id, benchmark).await?;
    let origin = origin.ok_or_else(missing)?;
    let measured = reproduce::list_measurements(&context.pool, run_id, benchmark).await?;
    let unavailable = reproduce::list_unavailable(&context.pool, run_id, benchmark).await?;
    let profile = profiles::find(&context.pool, run_id, benchmark).await?;
    let parts = parts(context, &run, &origin, benchmark).await?;
    let recipe = serde_json::from_value::<BuildRecipe>(run.recipe.clone())
        .map_err(|error| Error::Internal(error.into()))?;
    let is_built = recipe.method.needs_source();
    let subject = Subject {
        run_id,
        benchmark: benchmark.to_owned(),
        runtime: run.runtime.clone(),
        python2: origin.language == "python2",
        url: if is_built {
            public_url(&origin.url)
        } else {
            String::new()
        },
        commit: run.hash.clone(),
        committed_at: origin.committed_at.timestamp(),
        recipe,
        recipe_is_of_run: origin.recipe_sha256 == origin.build_recipe_sha256,
        interpreter: run.interpreter.clone(),
        host: run.host.clone(),
        suite: (run.suite.clone(), run.suite_version),
        arguments: origin.arguments.clone(),
        ours: ours(&measured),
        parts,
    };
    Ok(Known {
        run,
        origin,
        measured,
        unavailable,
        profile,
        subject,
    })
}

/// The wall time, which is what the script repeats.
fn ours(measured: &[Measured]) -> Result<Ours, String> {
    let one = measured
        .iter()
        .find(|one| one.measurement.metric == "wall_time")
        .ok_or("No wall time was measured of this benchmark in this run.")?;
    let of = &one.measurement;
    if of.sample_values.is_empty() {
        return Err("The samples of this run are no longer kept, only its summary: with how many processes, warm-ups and values it was measured is not known any more.".to_owned());
    }
    let times = (of.median, of.interval_low, of.interval_high);
    Ours::of(
        times,
        of.sample_count,
        one.loops,
        &of.sample_process,
        &of.sample_warmup,
    )
    .ok_or_else(|| "The run has only warm-ups of this benchmark.".to_owned())
}

/// What the benchmark is made of, by the texts that workers have sent.
async fn parts(
    context: &Context,
    run: &RunDetail,
    origin: &Origin,
    benchmark: &str,
) -> Result<Result<Parts, String>, Error> {
    let text = async |sha256: &str| -> Result<Option<String>, Error> {
        let bytes = context.artefacts.get(sha256).await?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok()))
    };
    let Some(definition) = text(&origin.suite_sha256).await? else {
        return Ok(Err(format!(
            "No worker has sent the definition of {} version {} yet: a worker of this version that has it does so when it starts.",
            run.suite, run.suite_version
        )));
    };
    let Some(list) = text(&run.harness_sha256).await? else {
        return Ok(Err(
            "No worker has sent the harness of this run: it was measured with an older one."
                .to_owned(),
        ));
    };
    let definition = match Definition::parse(&definition) {
        Ok(definition) => definition,
        Err(why) => return Ok(Err(format!("The suite's definition cannot be read: {why}"))),
    };
    Ok(Parts::find(&definition, &list, benchmark, &origin.lock.0))
}

#[derive(Template)]
#[template(path = "reproduce.html")]
struct Page {
    shell: Shell,
    subject: Subject,
    run: RunDetail,
    origin: Origin,
    short: String,
    link: String,
    bundle: String,
    file: String,
    value: Option<(String, String, i32)>,
    /// Why the script cannot run the benchmark.
    obstacle: Option<String>,
    recipe: String,
    configure: Option<String>,
    compiler: String,
    facts: Vec<(String, String)>,
    flags: Vec<HostFlag>,
    settings: Option<String>,
    locks: Vec<LockedPackage>,
    metrics: Vec<Row>,
    unavailable: Vec<RunUnavailable>,
    has_profile: bool,
    script: String,
}

/// A metric with its samples.
struct Row {
    label: String,
    source: String,
    median: String,
    interval: String,
    count: i32,
    processes: Vec<(i16, Vec<(String, bool)>)>,
}

async fn page(
    context: Data<Context>,
    path: Path<(i64, String)>,
) -> Result<HttpResponse, PageError> {
    let (run_id, benchmark) = path.into_inner();
    let known = know(&context, run_id, &benchmark).await?;
    let subject = known.subject;
    let encoded = format::encode(&benchmark);
    let value = subject.ours.as_ref().ok().map(|ours| {
        let text = |value| format::metric_value(value, "wall_time");
        let interval = format!("{} – {}", text(ours.low), text(ours.high));
        (text(ours.median), interval, ours.count)
    });
    let mut facts = Vec::new();
    spread("", &known.run.facts, &mut facts);
    render(&Page {
        shell: Shell::new(
            format!("Reproduce {benchmark} of run {run_id}"),
            "benchmarks",
        ),
        short: format::short(&known.run.hash),
        link: format!("/benchmarks/{encoded}"),
        bundle: format!("/runs/{run_id}/reproduce/{encoded}.tar.gz"),
        file: bundle::name(&subject),
        value,
        obstacle: subject.obstacle().map(str::to_owned),
        recipe: describe_recipe(&known.run.recipe),
        configure: configure_line(&subject),
        compiler: known.run.facts["compiler"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        facts,
        flags: serde_json::from_value(known.run.host_flags.clone()).unwrap_or_default(),
        settings: subject
            .ours
            .as_ref()
            .ok()
            .zip(subject.parts.as_ref().ok())
            .map(|(ours, parts)| script::settings(ours, parts)),
        locks: known.origin.lock.0.clone(),
        metrics: known.measured.iter().map(row).collect(),
        unavailable: known.unavailable,
        has_profile: known.profile.is_some(),
        script: script::script(&subject),
        run: known.run,
        origin: known.origin,
        subject,
    })
}

fn configure_line(subject: &Subject) -> Option<String> {
    match &subject.recipe.method {
        Method::Cpython { profile, configure } => {
            let arguments = profile.configure_arguments(subject.python2).iter().copied();
            let arguments = arguments.chain(configure.iter().map(String::as_str));
            let arguments: Vec<&str> = arguments.collect();
            Some(format!(
                "configure --prefix={} {}",
                speedwell_wire::CPYTHON_PREFIX,
                arguments.join(" ")
            ))
        }
        Method::Pypy {
            translation,
            options,
        } => Some(format!(
            "rpython --batch {} targetpypystandalone.py {}",
            translation.level(),
            options.join(" ")
        )),
        Method::Prebuilt { .. } | Method::Package { .. } => None,
    }
}

fn row(one: &Measured) -> Row {
    let one = &one.measurement;
    let text = |value: f64| format::metric_value(value, &one.metric);
    let mut processes: Vec<(i16, Vec<(String, bool)>)> = Vec::new();
    let samples = one.sample_values.iter().zip(&one.sample_process);
    for ((value, process), warmup) in samples.zip(&one.sample_warmup) {
        if processes.last().is_none_or(|(last, _)| last != process) {
            processes.push((*process, Vec::new()));
        }
        if let Some((_, values)) = processes.last_mut() {
            values.push((text(*value), *warmup));
        }
    }
    let values = (one.median, one.interval_low, one.interval_high);
    let shown = Rounded::of(values, &one.metric);
    Row {
        label: format::metric_label(&one.metric),
        source: one.counter_source.clone(),
        interval: shown.interval(),
        median: shown.value,
        count: one.sample_count,
        processes,
    }
}

async fn archive(
    context: Data<Context>,
    request: HttpRequest,
    path: Path<(i64, String)>,
) -> Result<HttpResponse, PageError> {
    let (run_id, benchmark) = path.into_inner();
    let known = know(&context, run_id, &benchmark).await?;
    let name = bundle::name(&known.subject);
    let bytes = bundle::pack(&context, known).await?;
    let file = File {
        name: &format!("{name}.tar.gz"),
        kind: "application/gzip",
        shown: Shown::Attachment,
        bytes: bytes.into(),
    };
    let mut answer = file.answer(&request);
    // It is compressed already.
    let plain = header::HeaderValue::from_static("identity");
    answer.headers_mut().insert(header::CONTENT_ENCODING, plain);
    Ok(answer)
}

/// A JSON value of everything that is known: `run.json`.
fn everything(known: &Known) -> Value {
    serde_json::json!({
        "run": known.run,
        "origin": known.origin,
        "repository_url": known.subject.url,
        "configure": configure_line(&known.subject),
        "recipe_is_of_run": known.subject.recipe_is_of_run,
        "measurements": known.measured.iter().map(|one| &one.measurement).collect::<Vec<_>>(),
        "loops": known.measured.iter().find_map(|one| one.loops),
        "unavailable": known.unavailable,
        "benchmark": known.subject.benchmark,
        "file_name": file_name(&known.subject.benchmark),
    })
}
