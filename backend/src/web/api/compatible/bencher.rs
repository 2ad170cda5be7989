//! Bencher's `POST /v0/run` and `POST /v0/projects/PROJECT/reports`, with its metric format.

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{LARGEST_BODY, Shared, importer, prepare, store};
use crate::context::Context;
use crate::domain::import::bencher;
use crate::web::error::Error;

pub(super) fn configure(config: &mut ServiceConfig) {
    let bodies = || web::PayloadConfig::new(LARGEST_BODY);
    config
        .service(
            web::resource("/v0/run")
                .app_data(bodies())
                .route(web::post().to(run)),
        )
        .service(
            web::resource("/v0/projects/{project}/reports")
                .app_data(bodies())
                .route(web::post().to(run)),
        );
}

#[derive(Debug, Deserialize)]
struct Place {
    project: Option<String>,
}

async fn run(
    context: Shared,
    request: HttpRequest,
    place: web::Path<Place>,
    body: Bytes,
) -> HttpResponse {
    match take(&context, &request, &place, &body).await {
        Ok(answer) => HttpResponse::Created().json(answer),
        Err(error) => refused(&error),
    }
}

/// Bencher's kind of error.
fn refused(error: &Error) -> HttpResponse {
    let status = match error {
        Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Internal(cause) => {
            tracing::error!("{cause:#}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Error::BadRequest { .. }
        | Error::NotFound(_)
        | Error::TooLarge(_)
        | Error::Unprocessable { .. }
        | Error::UpgradeRequired(_) => StatusCode::BAD_REQUEST,
    };
    let code = status.as_u16().to_string();
    HttpResponse::build(status).json(json!({
        "message": error.to_string(), "error_code": code, "request_id": Uuid::new_v4(),
    }))
}

async fn take(
    context: &Context,
    request: &HttpRequest,
    place: &Place,
    body: &[u8],
) -> Result<Value, Error> {
    let importer = importer(context, request, None).await?;
    let (mut names, import) = bencher::parse(body, Utc::now())?;
    if let Some(project) = &place.project {
        names.project.clone_from(project);
    }
    let (began, ended) = (import.report.started_at, import.report.finished_at);
    let ready = prepare(context, &importer, &names, import).await?;
    let receipt = store(context, &importer, &ready).await?;
    let (commit, host) = (&ready.commit.1, &ready.target.host.name);
    Ok(json!({
        "uuid": Uuid::from_u128(u128::try_from(receipt.run_id).unwrap_or_default()),
        "project": {"name": names.project, "slug": names.project}, "branch": {"name": names.branch, "head": {"version": {"hash": commit}}},
        "testbed": {"name": names.environment, "slug": host}, "start_time": began, "end_time": ended, "adapter": "json", "results": [],
        "alerts": [], "created": began, "speedwell": {"run_id": receipt.run_id, "created": receipt.created,
        "url": format!("{}/runs/{}", context.config.public_url(), receipt.run_id)},
    }))
}
