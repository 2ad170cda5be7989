//! The search.

use actix_web::web::{Data, Json, Query};

use crate::context::Context;
use crate::web::error::Error;
use crate::web::search::{self, Asked, Found};

/// Commits, regressions, benchmarks, runtimes, hosts, suites and releases by words: the first 20 of each kind, or 100 of one kind.
#[utoipa::path(get, path = "/api/v1/search", params(Asked),
    responses((status = 200, body = Found), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn search(
    context: Data<Context>,
    Query(asked): Query<Asked>,
) -> Result<Json<Found>, Error> {
    let found = search::search(&context, &asked).await?;
    found.map(Json).ok_or_else(|| Error::BadRequest {
        field: "q".to_owned(),
        message: "q: give at least one word to search for".to_owned(),
    })
}
