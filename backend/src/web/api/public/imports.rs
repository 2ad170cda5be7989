//! Results that others measured, as pyperf and pyperformance write them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, Query};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::context::Context;
use crate::db::imports::Sender;
use crate::domain::import::pyperf;
use crate::domain::run_report::Invalid;
use crate::intake::{self, Receipt, Refusal};
use crate::web::error::Error;
use crate::web::session::Importer;

/// Largest body, before it is unpacked.
pub(super) const LARGEST_BODY: usize = 64 << 20;

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(invalid) => invalid.into(),
            duplicate @ Refusal::Duplicate(_) => Self::Conflict(duplicate.to_string()),
            Refusal::Failed(error) => Self::Internal(error),
        }
    }
}

/// Where the results belong.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Place {
    /// The runtime, as speedwell.toml names it.
    runtime: String,
    /// The host that measured: one made with `host add NAME --imported`.
    host: String,
    /// Tag, or at least seven digits of the hash; without it the file's own `commit_id`.
    commit: Option<String>,
    /// Name of the file, for people.
    file: Option<String>,
}

/// The run that was made of the file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportAnswer {
    /// The run.
    run_id: i64,
    /// False when the same file was there already: nothing was changed.
    created: bool,
    /// Address of its page.
    url: String,
    /// Benchmarks in it.
    benchmarks: usize,
    /// Measurements in it.
    measurements: usize,
}

impl ImportAnswer {
    fn new(context: &Context, receipt: Receipt) -> Self {
        Self {
            run_id: receipt.run_id,
            created: receipt.created,
            url: run_address(context, receipt.run_id),
            benchmarks: receipt.benchmarks,
            measurements: receipt.measurements,
        }
    }
}

/// Address of a run's page, for programs.
pub(in crate::web::api) fn run_address(context: &Context, run_id: i64) -> String {
    format!("{}/runs/{run_id}", context.config.public_url())
}

/// Takes a file of pyperf JSON (format 1.0), plain or packed by gzip, as a run. Needs a token that may write results of this runtime on
/// this host. The same file again changes nothing.
#[utoipa::path(post, path = "/api/v1/results", params(Place), request_body(content_type = "application/json", description = "pyperf JSON"),
    responses((status = 201, body = ImportAnswer), (status = 200, body = ImportAnswer, description = "the same file was there already"),
        (status = 401, body = super::ErrorBodySchema), (status = 403, body = super::ErrorBodySchema),
        (status = 413, description = "larger than 64 MiB"), (status = 422, body = super::ErrorBodySchema)))]
pub(super) async fn results(
    context: Data<Context>,
    importer: Importer,
    Query(place): Query<Place>,
    body: Bytes,
) -> Result<HttpResponse, Error> {
    importer.require(&place.runtime, &place.host)?;
    let read = web::block(move || pyperf::parse(intake::unpack(&body)?, Utc::now()));
    let import = read.await.map_err(anyhow::Error::from)??;
    let target = intake::find_target(&context.pool, &place.runtime, &place.host).await?;
    let commit = place.commit.as_ref().or(import.commit.as_ref());
    let commit = commit.ok_or_else(|| {
        Invalid::new(
            "commit",
            "is missing, and the file names none in its metadata `commit_id`: add &commit=HASH_OR_TAG to the address",
        )
    })?;
    let commit = intake::find_commit(&context.pool, &target, commit).await?;
    let file = place.file.unwrap_or_else(|| "a request".to_owned());
    let file: String = file.chars().filter(|c| !c.is_control()).take(200).collect();
    let sender = Sender {
        importer: &importer.0.name,
        file_name: &file,
    };
    let (pool, artefacts) = (&context.pool, &context.artefacts);
    let receipt = intake::store(pool, artefacts, &target, &commit, &import, &sender).await?;
    let status = if receipt.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(HttpResponse::build(status).json(ImportAnswer::new(&context, receipt)))
}
