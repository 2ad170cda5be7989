//! What forges have sent by hooks, and having its work done again.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, limit_of};
use crate::context::Context;
use crate::db::deliveries::{self, Headers, ListedRow};
use crate::web::deliveries::{replay as replay_delivery, state_of};
use crate::web::error::Error;
use crate::web::session::Operator;

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Only of this repository.
    repository: Option<String>,
    /// Only this state: `waiting`, `done`, `noted`, `failed`; default: all.
    state: Option<String>,
    /// Only keys below this one.
    before: Option<i64>,
    /// Items in the answer, 1 to 1000; default 100.
    limit: Option<i64>,
}

/// Deliveries, newest key first.
#[utoipa::path(get, path = "/api/v1/deliveries", params(Filter),
    responses((status = 200, body = Page<ListedRow>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn deliveries(
    context: Data<Context>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<ListedRow>>, Error> {
    let limit = limit_of(filter.limit)?;
    let wanted = deliveries::Filter {
        repository: filter.repository,
        state: filter.state.as_deref().map(state_of).transpose()?,
        before: filter.before,
    };
    let rows = deliveries::list(&context.pool, &wanted, limit).await?;
    Ok(Json(Page::new(rows, limit, |row| row.id)))
}

/// A delivery with the headers that came with it. Its body, which holds people's addresses, is on its page, for operators.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryAnswer {
    delivery: ListedRow,
    headers: Headers,
    /// The deliveries that did its work again.
    replays: Vec<i64>,
}

/// A delivery.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = DeliveryAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn delivery(
    context: Data<Context>,
    id: Path<i64>,
) -> Result<Json<DeliveryAnswer>, Error> {
    let mut connection = context.pool.acquire().await?;
    let found = deliveries::find(&mut connection, *id).await?;
    let (delivery, headers, _body) =
        found.ok_or_else(|| Error::NotFound(format!("There is no delivery {id}.")))?;
    Ok(Json(DeliveryAnswer {
        delivery,
        headers,
        replays: deliveries::list_replays(&mut *connection, *id).await?,
    }))
}

/// A delivery that was opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// Its key.
    id: i64,
}

/// Has the work of a delivery that is over done again, as a delivery of its own. Needs the role operator.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/replay", params(("id" = i64, Path)),
    responses((status = 201, body = Replayed), (status = 401, body = super::ErrorBodySchema),
        (status = 403, body = super::ErrorBodySchema),
        (status = 409, description = "there is none, or it still waits", body = super::ErrorBodySchema)))]
pub(super) async fn replay(
    context: Data<Context>,
    actor: Operator,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    let new = replay_delivery(&context, &actor, *id).await?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/deliveries/{new}")))
        .json(Replayed { id: new }))
}
