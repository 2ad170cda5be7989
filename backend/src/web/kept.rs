//! Pages that were rendered a moment ago, kept in memory for as long as nothing in the database has changed.
//!
//! A page is known by its address, and holds for one state of the database ([`versions::current`]) and ten seconds, because it may say how
//! long ago something was. The state is read before the page is made: what is committed meanwhile gives another state, so that nobody
//! ever reads a page that is older than a change. Only what anybody may read is kept: a request that says who asks passes by. Those who
//! ask for the same page of the same state while it is made wait for it, instead of making it as well.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, ETag, EntityTag, Header as _, HeaderMap, IfNoneMatch};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError as _, web};
use bytes::Bytes;
use chrono::Utc;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::pages::PageError;
use super::unchanged::{LARGEST, is_known};
use crate::context::Context;
use crate::db::versions;

/// Seconds after which a page is made anew though nothing has changed.
const SECONDS: i64 = 10;
/// Bytes of all pages together, as they are sent.
const MOST_BYTES: u64 = 64 << 20;
/// About how many pages that are.
const PAGES: usize = 2_000;
/// What lies below these is no page, or tells of the process.
const OTHERS: [&str; 6] = [
    "/api/", "/assets/", "/feeds/", "/health", "/hooks/", "/metrics",
];
/// Bytes of one entry beside its body and its address.
const OVERHEAD: u64 = 1_000;

/// Address, how the answer may be packed, and the state that it shows. Pages of states that are over are never asked for again, and go
/// when there is no more room.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    address: String,
    packed: String,
    state: String,
}

struct Page {
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Arc<Page>> for Size {
    fn weight(&self, key: &Key, page: &Arc<Page>) -> u64 {
        OVERHEAD
            + u64::try_from(key.address.len() + key.state.len() + page.body.len())
                .unwrap_or(u64::MAX)
    }
}

/// The pages of one backend.
pub(super) struct Kept(Cache<Key, Arc<Page>, Size>);

impl Kept {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(PAGES, MOST_BYTES, Size))
    }
}

/// A middleware outside of the compression.
pub(super) async fn kept(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some((pages, key)) = look(&request).await else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let known = IfNoneMatch::parse(request.request()).ok();
    // Who gets the place makes the page. When it is given up (an error, a browser that has gone), the next one who waits gets it.
    let place = match pages.0.get_value_or_guard_async(&key).await {
        Ok(page) => {
            let answer = answer(&page, known.as_ref());
            return Ok(request.into_response(answer));
        }
        Err(place) => place,
    };
    // The whole page is wanted, whatever this browser has of it.
    request.headers_mut().remove(header::IF_NONE_MATCH);
    let response = next.call(request).await?.map_into_boxed_body();
    if !may_be_kept(&response) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let Ok(Ok(body)) = to_bytes_limited(body, LARGEST).await else {
        let error = anyhow::anyhow!("{}: too large to be sent", request.path());
        let answer = PageError::from(error).error_response();
        return Ok(ServiceResponse::new(request, answer));
    };
    let page = Arc::new(Page {
        headers: head.headers().clone(),
        body,
    });
    let answer = answer(&page, known.as_ref());
    // Refused when somebody has put the page there meanwhile: that one shows the same.
    drop(place.insert(page));
    Ok(ServiceResponse::new(request, answer))
}

/// The pages, and this request's among them; `None` when it is not to be kept.
async fn look(request: &ServiceRequest) -> Option<(web::Data<Kept>, Key)> {
    let headers = request.headers();
    let anonymous =
        !headers.contains_key(header::COOKIE) && !headers.contains_key(header::AUTHORIZATION);
    let other = OTHERS.iter().any(|one| request.path().starts_with(one));
    if *request.method() != Method::GET || !anonymous || other {
        return None;
    }
    let pages = request.app_data::<web::Data<Kept>>()?.clone();
    let context = request.app_data::<web::Data<Context>>()?;
    // Without a database there is no page either: its own error says so.
    let state = versions::current(&context.pool).await.ok()?;
    let packed = headers.get(header::ACCEPT_ENCODING);
    let key = Key {
        state: format!("{state} {}", Utc::now().timestamp() / SECONDS),
        address: request.uri().to_string(),
        packed: packed
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    };
    Some((pages, key))
}

/// Pages and pictures that have a tag. What the process says of itself is no page.
fn may_be_kept(response: &ServiceResponse) -> bool {
    let headers = response.headers();
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    response.status() == StatusCode::OK
        && headers.contains_key(header::ETAG)
        && !headers.contains_key(header::SET_COOKIE)
        && (kind.starts_with("text/html") || kind.starts_with("image/svg+xml"))
}

fn answer(page: &Page, known: Option<&IfNoneMatch>) -> HttpResponse<BoxBody> {
    let tag = page
        .headers
        .get(header::ETAG)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<EntityTag>().ok());
    if let Some(tag) = tag
        && known.is_some_and(|known| is_known(known, &tag))
    {
        return super::unchanged::not_modified(&page.headers, ETag(tag));
    }
    let mut answer = HttpResponse::Ok();
    for (name, value) in &page.headers {
        answer.append_header((name.clone(), value.clone()));
    }
    answer.body(page.body.clone())
}
