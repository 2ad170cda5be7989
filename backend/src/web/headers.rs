//! The headers that protect whoever reads an answer, on every answer.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web;

use crate::context::Context;

/// Pages load nothing but our own style sheet, scripts and pictures, send forms nowhere else, are shown in no frame, share no window with
/// who opened them, tell other sites nothing of their address, and use nothing of the machine. Other sites load nothing of ours; a
/// handler that serves pictures for others' pages says so itself with `cross-origin-resource-policy: cross-origin`.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), \
         payment=(), publickey-credentials-get=(), screen-wake-lock=(), usb=(), xr-spatial-tracking=()",
    ),
];

/// Browsers that have seen it come by https only, for a year.
const HTTPS_ONLY: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// The middleware, outside all others that answer. None of those may return an error in place of an answer: it would leave without headers.
pub(super) async fn headers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let secure = request
        .app_data::<web::Data<Context>>()
        .is_some_and(|context| context.config.public_url().starts_with("https://"));
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        add(headers, name, value);
    }
    if secure {
        add(headers, HTTPS_ONLY.0, HTTPS_ONLY.1);
    }
    Ok(response)
}

fn add(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    let name = HeaderName::from_static(name);
    if !headers.contains_key(&name) {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
