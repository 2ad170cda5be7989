//! Errors as pages.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;

use super::Shell;
use crate::web::error::Error;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    status: u16,
    message: String,
}

/// An error of a page's handler.
#[derive(Debug)]
pub struct PageError(Error);

impl<T: Into<Error>> From<T> for PageError {
    fn from(error: T) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        if let Error::Internal(cause) = &self.0 {
            tracing::error!("{cause:#}");
        }
        let mut answer = page(self.status_code(), self.0.to_string());
        if let Error::TooMany(seconds) = self.0 {
            let seconds = header::HeaderValue::from(seconds);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}

fn page(status: StatusCode, message: String) -> HttpResponse {
    let title = status.canonical_reason().unwrap_or("Error");
    let page = ErrorPage {
        shell: Shell::new(title, ""),
        status: status.as_u16(),
        message,
    };
    let text = page
        .render()
        .unwrap_or_else(|_| "Something went wrong.".to_owned());
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text)
}

/// Whatever has no route: JSON below `/api`, a page elsewhere.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = "There is nothing at this address.";
    if request.path().starts_with("/api") {
        return Error::NotFound(message.to_owned()).error_response();
    }
    page(StatusCode::NOT_FOUND, message.to_owned())
}
