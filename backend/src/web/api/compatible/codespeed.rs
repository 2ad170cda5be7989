//! Codespeed's `/result/add/` and `/result/add/json/`: a form, answered by a status and one sentence that clients print.

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use serde_json::{Map, Value};

use super::form::{Form, Refuses};
use super::{Shared, importer, prepare, store};
use crate::context::Context;
use crate::domain::import::codespeed::{self, Item};
use crate::intake::Refusal;
use crate::web::error::Error;

/// An answer that is not a success.
struct Answer(StatusCode, String);

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Error::BadRequest { .. }
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Unprocessable { .. }
            | Error::UpgradeRequired(_) => StatusCode::BAD_REQUEST,
        };
        if let Error::Internal(cause) = &error {
            tracing::error!("{cause:#}");
        }
        Self(status, error.to_string())
    }
}

impl From<String> for Answer {
    fn from(message: String) -> Self {
        Self(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Error::from(refusal).into()
    }
}

/// What is answered to a form that cannot be read.
const REFUSES: Refuses = Refuses(|error| {
    let message = format!("The form cannot be read: {error}");
    text(StatusCode::BAD_REQUEST, message)
});

pub(super) fn configure(config: &mut ServiceConfig) {
    let forms = || REFUSES.limits();
    // Each is written out: a test reads the routes of all doors from here.
    config
        .service(
            web::resource("/result/add/json")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(add_json)),
        )
        .service(
            web::resource("/result/add")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(add)),
        )
        .service(
            web::resource("/codespeed/{token}/result/add/json")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(add_json)),
        )
        .service(
            web::resource("/codespeed/{token}/result/add")
                .app_data(REFUSES)
                .app_data(forms())
                .route(web::post().to(add)),
        );
}

fn text(status: StatusCode, message: String) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"results\""));
    }
    answer
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(message)
}

/// One result.
async fn add(
    context: Shared,
    request: HttpRequest,
    token: Option<Path<String>>,
    form: Form,
) -> HttpResponse {
    let fields = form
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())));
    let items = codespeed::read(&fields.collect()).map(|item| vec![item]);
    let token = token.as_ref().map(|token| token.as_str());
    match take(&context, &request, token, items, false).await {
        Ok(()) => text(
            StatusCode::ACCEPTED,
            "Result data saved successfully".to_owned(),
        ),
        Err(Answer(status, message)) => text(status, message),
    }
}

/// A list of results.
async fn add_json(
    context: Shared,
    request: HttpRequest,
    token: Option<Path<String>>,
    form: Form,
) -> HttpResponse {
    let items = read_list(form.field("json").unwrap_or_default());
    let token = token.as_ref().map(|token| token.as_str());
    match take(&context, &request, token, items, true).await {
        Ok(()) => text(
            StatusCode::ACCEPTED,
            "All result data saved successfully".to_owned(),
        ),
        Err(Answer(status, message)) => text(status, message),
    }
}

fn read_list(json: &str) -> Result<Vec<Item>, String> {
    if json.is_empty() {
        return Err("No key 'json' in POST payload".to_owned());
    }
    let list: Vec<Map<String, Value>> = serde_json::from_str(json)
        .map_err(|error| format!("The value of key 'json' is no list of objects: {error}"))?;
    if list.is_empty() {
        return Err("The list of key 'json' is empty".to_owned());
    }
    list.iter().map(codespeed::read).collect()
}

/// Stores results when all of them can be stored.
async fn take(
    context: &Context,
    request: &HttpRequest,
    token: Option<&str>,
    items: Result<Vec<Item>, String>,
    whole: bool,
) -> Result<(), Answer> {
    let importer = importer(context, request, token).await.map_err(|error| {
        let Answer(status, message) = error.into();
        // Codespeed asks for a name and a password only where none were given.
        let given = token.is_some() || request.headers().contains_key(header::AUTHORIZATION);
        if given && status == StatusCode::UNAUTHORIZED {
            Answer(StatusCode::FORBIDDEN, message)
        } else {
            Answer(status, message)
        }
    })?;
    let runs = codespeed::group(items?, whole, Utc::now()).map_err(|error| error.to_string())?;
    let mut ready = Vec::with_capacity(runs.len());
    for (names, import) in runs {
        let prepared = prepare(context, &importer, &names, import).await;
        ready.push(prepared.map_err(|error| match error {
            Error::Unprocessable { field, message } if field == "environment" => Answer::from(
                format!("Environment {} not found: {message}", names.environment),
            ),
            other => other.into(),
        })?);
    }
    for one in &ready {
        store(context, &importer, one).await?;
    }
    Ok(())
}
