//! Answers 304 when a browser has what it asks for already: the tag is the hash of the page's text.

use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, ETag, EntityTag, Header as _, HeaderMap, IfNoneMatch};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError as _};
use sha2::{Digest as _, Sha256};

use super::pages::PageError;

/// Larger texts than this go without a tag.
pub(super) const LARGEST: usize = 8 << 20;

/// A middleware within the compression: the tag is weak, for it is of the text before it was compressed.
pub(super) async fn unchanged(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let asked = request.method() == Method::GET;
    let known = IfNoneMatch::parse(request.request());
    let response = next.call(request).await?.map_into_boxed_body();
    let tagged = asked
        && response.status() == StatusCode::OK
        && !response.headers().contains_key(header::ETAG)
        && may_be_kept(&response);
    if !tagged {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (mut head, body) = response.into_parts();
    let Ok(Ok(bytes)) = to_bytes_limited(body, LARGEST).await else {
        // A file that is sent piece by piece never comes here: it is no text. A text of this size is our own fault.
        let error = anyhow::anyhow!("{}: too large to be sent", request.path());
        let answer = PageError::from(error).error_response();
        return Ok(ServiceResponse::new(request, answer));
    };
    let tag = EntityTag::new_weak(hex::encode(&Sha256::digest(&bytes)[..12]));
    if known.is_ok_and(|known| is_known(&known, &tag)) {
        let answer = not_modified(head.headers(), ETag(tag));
        return Ok(ServiceResponse::new(request, answer));
    }
    if let Ok(value) = header::HeaderValue::from_str(&tag.to_string()) {
        head.headers_mut().insert(header::ETAG, value);
    }
    Ok(ServiceResponse::new(
        request,
        head.set_body(BoxBody::new(bytes)),
    ))
}

/// Whether the browser has what this tag stands for.
pub(super) fn is_known(known: &IfNoneMatch, tag: &EntityTag) -> bool {
    match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|one| one.weak_eq(tag)),
    }
}

/// The answer to who has it already, with what of the whole answer's headers belongs to it.
pub(super) fn not_modified(headers: &HeaderMap, tag: ETag) -> HttpResponse {
    let mut answer = HttpResponse::NotModified();
    answer.insert_header(tag);
    for name in [header::CACHE_CONTROL, header::VARY] {
        if let Some(value) = headers.get(&name) {
            answer.insert_header((name, value.clone()));
        }
    }
    answer.finish()
}

/// Texts that say `no-cache`: pages, pictures and lists that a browser may keep if it asks each time whether they still hold.
fn may_be_kept(response: &ServiceResponse) -> bool {
    let text = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let kind = text(header::CONTENT_TYPE);
    let is_text = [
        "text/html",
        "application/json",
        "image/svg+xml",
        "application/atom+xml",
        "text/csv",
        "text/markdown",
    ]
    .iter()
    .any(|of| kind.starts_with(of));
    is_text && !text(header::CACHE_CONTROL).contains("no-store")
}
