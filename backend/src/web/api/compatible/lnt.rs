//! LNT's two ways in: `submitRun`, a form that the `lnt` program sends, and the API's `runs`.

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};

use super::form::{Form, Refuses};
use super::{LARGEST_BODY, Shared, importer, prepare, store};
use crate::context::Context;
use crate::domain::import::lnt;
use crate::intake::Refusal;
use crate::web::error::Error;

/// The suite of the address `/db_default/submitRun`.
const SUITE: &str = "nts";

/// What is answered to a form that cannot be read.
const REFUSES: Refuses = Refuses(|error| {
    let message =
        format!("the form cannot be read: {error}; send the report in the field input_data");
    HttpResponse::BadRequest().json(failure(&message))
});

pub(super) fn configure(config: &mut ServiceConfig) {
    let forms = || REFUSES.limits();
    let bodies = || web::PayloadConfig::new(LARGEST_BODY);
    config
        .service(
            web::resource("/db_{db}/v4/{suite}/submitRun")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(submit)),
        )
        .service(
            web::resource("/db_{db}/submitRun")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(submit)),
        )
        .service(
            web::resource("/lnt/{token}/db_{db}/v4/{suite}/submitRun")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(submit)),
        )
        .service(
            web::resource("/lnt/{token}/db_{db}/submitRun")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(submit)),
        )
        .service(
            web::resource("/api/db_{db}/v4/{suite}/runs")
                .app_data(bodies())
                .route(web::post().to(runs)),
        )
        .service(
            web::resource("/lnt/{token}/api/db_{db}/v4/{suite}/runs")
                .app_data(bodies())
                .route(web::post().to(runs)),
        );
}

#[derive(Debug, Deserialize)]
struct Place {
    token: Option<String>,
    suite: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Options {
    #[serde(default)]
    merge: String,
}

/// What the `lnt` program sends.
async fn submit(
    context: Shared,
    request: HttpRequest,
    place: Path<Place>,
    form: Form,
) -> HttpResponse {
    // LNT's own page sends a file.
    let data = form.field("input_data").filter(|data| !data.is_empty());
    let report = data.or_else(|| form.field("file")).unwrap_or_default();
    let merge = form.field("merge").unwrap_or_default();
    match take(&context, &request, &place, report.as_bytes(), merge).await {
        Ok((_, answer)) => HttpResponse::Ok().json(answer),
        Err(answer) => answer,
    }
}

/// What programs send to the API; it answers 301, as LNT does.
async fn runs(
    context: Shared,
    request: HttpRequest,
    place: Path<Place>,
    Query(options): Query<Options>,
    body: Bytes,
) -> HttpResponse {
    match take(&context, &request, &place, &body, &options.merge).await {
        Ok((url, answer)) => HttpResponse::MovedPermanently()
            .insert_header((header::LOCATION, url))
            .json(answer),
        Err(answer) => answer,
    }
}

fn failure(message: &str) -> Value {
    json!({"success": false, "error": "import failure", "message": message})
}

fn refused(error: &Error) -> HttpResponse {
    let status = match error {
        Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Internal(cause) => {
            tracing::error!("{cause:#}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Error::BadRequest { .. }
        | Error::NotFound(_)
        | Error::Conflict(_)
        | Error::TooLarge(_)
        | Error::Unprocessable { .. }
        | Error::UpgradeRequired(_) => StatusCode::BAD_REQUEST,
    };
    HttpResponse::build(status).json(failure(&error.to_string()))
}

/// Stores a report; the run's address, and LNT's answer.
async fn take(
    context: &Context,
    request: &HttpRequest,
    place: &Place,
    report: &[u8],
    merge: &str,
) -> Result<(String, Value), HttpResponse> {
    let header = request
        .headers()
        .get("authtoken")
        .and_then(|value| value.to_str().ok());
    let token = place.token.as_deref().or(header);
    let importer = importer(context, request, token)
        .await
        .map_err(|error| refused(&error))?;
    let suite = place.suite.as_deref().unwrap_or(SUITE);
    let submission = lnt::parse(report, suite, merge, Utc::now())
        .map_err(|error| HttpResponse::BadRequest().json(failure(&error.to_string())))?;
    let names = submission.names;
    let ready = prepare(context, &importer, &names, submission.import).await;
    let ready = ready.map_err(|error| refused(&error))?;
    let receipt = store(context, &importer, &ready)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Duplicate(run_id) => {
                let message = format!(
                    "Duplicate submission for '{}': run {run_id}",
                    ready.commit.1
                );
                HttpResponse::BadRequest().json(failure(&message))
            }
            other @ (Refusal::Invalid(_) | Refusal::Failed(_)) => refused(&other.into()),
        })?;
    let url = format!("{}/runs/{}", context.config.public_url(), receipt.run_id);
    let kept = if submission.left_out.is_empty() {
        String::new()
    } else {
        format!(
            "left out, as nobody here keeps it: {}",
            submission.left_out.join(", ")
        )
    };
    let added = usize::from(receipt.created);
    let answer = json!({
        "success": true, "error": null, "message": kept, "import_file": names.words(), "committed": true, "run_id": receipt.run_id,
        "result_url": url, "added_machines": 0, "added_runs": added, "added_tests": receipt.benchmarks * added,
        "added_samples": receipt.measurements * added, "test_results": [], "report_to_address": null,
    });
    Ok((url, answer))
}
