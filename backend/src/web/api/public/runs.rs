//! Runs and their raw files.

use std::collections::BTreeMap;

use actix_web::web::{self, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Value, json};
use speedwell_wire::Metric;
use utoipa::ToSchema;

use crate::context::Context;
use crate::db::imports::{self, RunOrigin};
use crate::db::runs::{self, RunDetail, RunMeasurement, RunUnavailable};
use crate::db::warmup::{self, RunWarmup};
use crate::domain::import::Format;
use crate::web::error::Error;
use crate::web::file::{File, Shown};

/// A run with everything that was measured, and what could not be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunAnswer {
    run: RunDetail,
    /// Where it came from; absent when one of our hosts measured it.
    imported: Option<RunOrigin>,
    measurements: Vec<RunMeasurement>,
    unavailable: Vec<RunUnavailable>,
    warmup: Vec<RunWarmup>,
}

async fn find(context: &Context, id: i64) -> Result<RunDetail, Error> {
    let run = runs::find(&context.pool, id).await?;
    run.ok_or_else(|| Error::NotFound(format!("There is no run {id}.")))
}

/// A run.
#[utoipa::path(get, path = "/api/v1/runs/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = RunAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn run(context: Data<Context>, id: Path<i64>) -> Result<Json<RunAnswer>, Error> {
    Ok(Json(RunAnswer {
        run: find(&context, *id).await?,
        imported: imports::find(&context.pool, *id).await?,
        measurements: runs::list_measurements(&context.pool, *id).await?,
        unavailable: runs::list_unavailable(&context.pool, *id).await?,
        warmup: warmup::list(&context.pool, *id).await?,
    }))
}

/// The raw file of a run as it came: pyperf JSON, or what another program sent.
#[utoipa::path(get, path = "/api/v1/runs/{id}/raw", params(("id" = i64, Path)),
    responses((status = 200, content_type = "application/json"), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn raw(
    context: Data<Context>,
    request: HttpRequest,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    let run = find(&context, *id).await?;
    raw_file(&context, &request, &run).await
}

async fn raw_file(
    context: &Context,
    request: &HttpRequest,
    run: &RunDetail,
) -> Result<HttpResponse, Error> {
    let compressed = context.artefacts.get(&run.raw_artefact).await?;
    let compressed = compressed
        .ok_or_else(|| Error::NotFound("The raw file is no longer stored.".to_owned()))?;
    let bytes = web::block(move || zstd::decode_all(compressed.as_ref()))
        .await
        .map_err(anyhow::Error::from)?
        .map_err(anyhow::Error::from)?;
    let file = File {
        name: &format!("run-{}.json", run.id),
        kind: "application/json",
        shown: Shown::Inline,
        bytes: bytes.into(),
    };
    Ok(file.answer(request))
}

/// A run as pyperf JSON, as `pyperf show` and `pyperf compare_to` read it: its raw file, or for results that came in another form their
/// times.
#[utoipa::path(get, path = "/api/v1/runs/{id}/pyperf", params(("id" = i64, Path)),
    responses((status = 200, content_type = "application/json"), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn pyperf(
    context: Data<Context>,
    request: HttpRequest,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    let run = find(&context, *id).await?;
    let origin = imports::find(&context.pool, *id).await?;
    let is_pyperf = |origin: &RunOrigin| origin.format == Format::Pyperf.as_str();
    if origin.as_ref().is_none_or(is_pyperf) {
        return raw_file(&context, &request, &run).await;
    }
    let measurements = runs::list_measurements(&context.pool, *id).await?;
    let suite = pyperf_suite(&run, &measurements).ok_or_else(|| {
        Error::NotFound(format!(
            "Run {id} has no times, and pyperf knows nothing else."
        ))
    })?;
    Ok(HttpResponse::Ok().json(suite))
}

/// The times of a run in pyperf's format 1.0, a run of it for each process; `None`: there are none.
fn pyperf_suite(run: &RunDetail, measurements: &[RunMeasurement]) -> Option<Value> {
    let times = measurements
        .iter()
        .filter(|one| one.metric == Metric::WallTime.as_str());
    let benchmarks: Vec<Value> = times
        .map(|one| {
            let samples = one.sample_values.iter().zip(&one.sample_process);
            let mut processes: BTreeMap<i16, Vec<f64>> = BTreeMap::new();
            for ((value, process), warmup) in samples.zip(&one.sample_warmup) {
                if !warmup {
                    processes.entry(*process).or_default().push(*value);
                }
            }
            let runs = processes.into_values();
            let runs: Vec<Value> = runs.map(|values| json!({"values": values})).collect();
            json!({"metadata": {"name": one.benchmark, "unit": "second"}, "runs": runs})
        })
        .collect();
    let date = run.finished_at.format("%Y-%m-%d %H:%M:%S").to_string();
    let metadata = json!({"hostname": run.host, "date": date, "speedwell_run": run.id, "speedwell_commit": run.hash});
    (!benchmarks.is_empty())
        .then(|| json!({"version": "1.0", "metadata": metadata, "benchmarks": benchmarks}))
}
