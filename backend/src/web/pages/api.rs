//! The API for people: made from its OpenAPI description.

use actix_web::HttpResponse;
use askama::Template;
use utoipa::OpenApi as _;
use utoipa::openapi::RefOr;

use super::{PageError, Shell, render};
use crate::web::api::public::Description;

#[derive(Template)]
#[template(path = "api.html")]
struct Page {
    shell: Shell,
    entries: Vec<Entry>,
}

struct Entry {
    method: &'static str,
    path: String,
    summary: String,
    parameters: Vec<(String, String)>,
}

pub(super) async fn api() -> Result<HttpResponse, PageError> {
    let description = Description::openapi();
    let methods = description.paths.paths.iter().flat_map(|(path, item)| {
        let both = [("GET", item.get.as_ref()), ("POST", item.post.as_ref())];
        both.map(|(method, operation)| (path, method, operation))
    });
    let entries = methods.filter_map(|(path, method, operation)| {
        let operation = operation?;
        let parameters = operation
            .parameters
            .iter()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some((
                    parameter.name.clone(),
                    parameter.description.clone().unwrap_or_default(),
                )),
                RefOr::Ref(_) => None,
            });
        Some(Entry {
            method,
            path: path.clone(),
            summary: operation.summary.clone().unwrap_or_default(),
            parameters: parameters.collect(),
        })
    });
    render(&Page {
        shell: Shell::new("API", "api"),
        entries: entries.collect(),
    })
}
