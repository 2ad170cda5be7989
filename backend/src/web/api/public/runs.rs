//! Runs and their raw files.

use actix_web::web::{self, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::Context;
use crate::db::runs::{self, RunDetail, RunMeasurement, RunUnavailable};
use crate::db::warmup::{self, RunWarmup};
use crate::web::error::Error;
use crate::web::file::{File, Shown};

/// A run with everything that was measured, and what could not be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunAnswer {
    run: RunDetail,
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
        measurements: runs::list_measurements(&context.pool, *id).await?,
        unavailable: runs::list_unavailable(&context.pool, *id).await?,
        warmup: warmup::list(&context.pool, *id).await?,
    }))
}

/// A run's raw file: pyperf JSON, as `pyperf compare_to` reads it.
#[utoipa::path(get, path = "/api/v1/runs/{id}/pyperf", params(("id" = i64, Path)),
    responses((status = 200, content_type = "application/json"), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn pyperf(
    context: Data<Context>,
    request: HttpRequest,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    let run = find(&context, *id).await?;
    let compressed = context.artefacts.get(&run.raw_artefact).await?;
    let compressed = compressed
        .ok_or_else(|| Error::NotFound("The raw file is no longer stored.".to_owned()))?;
    let bytes = web::block(move || zstd::decode_all(compressed.as_ref()))
        .await
        .map_err(anyhow::Error::from)?
        .map_err(anyhow::Error::from)?;
    let file = File {
        name: &format!("run-{id}.json"),
        kind: "application/json",
        shown: Shown::Inline,
        bytes: bytes.into(),
    };
    Ok(file.answer(&request))
}
