//! Searches for the commit behind a change.

use actix_web::web::{Data, Json, Path};
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::Context;
use crate::db::searches::{self, LocatedRow, PlaceRow, SearchRow, StepRow};
use crate::web::error::Error;

/// Searches in one answer.
const LISTED: i64 = 1000;
/// Commits of a range in one answer.
const PLACES: i64 = 10_000;

/// Searches: those that go on first, newest first; at most 1000.
#[utoipa::path(get, path = "/api/v1/bisections", responses((status = 200, body = [SearchRow])))]
pub(super) async fn bisections(context: Data<Context>) -> Result<Json<Vec<SearchRow>>, Error> {
    Ok(Json(searches::list(&context.pool, LISTED).await?))
}

/// A search with what it knows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BisectionAnswer {
    bisection: SearchRow,
    /// The changes that it has located.
    located: Vec<LocatedRow>,
    /// The runs that it has asked for, in the order of measuring.
    runs: Vec<StepRow>,
    /// The commits of its range in branch order.
    commits: Vec<PlaceRow>,
}

/// A search.
#[utoipa::path(get, path = "/api/v1/bisections/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = BisectionAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn bisection(
    context: Data<Context>,
    id: Path<i64>,
) -> Result<Json<BisectionAnswer>, Error> {
    let found = searches::find(&context.pool, *id).await?;
    let bisection = found.ok_or_else(|| Error::NotFound(format!("There is no bisection {id}.")))?;
    Ok(Json(BisectionAnswer {
        bisection,
        located: searches::list_located(&context.pool, *id).await?,
        runs: searches::list_steps(&context.pool, *id).await?,
        commits: searches::list_places(&context.pool, *id, PLACES).await?,
    }))
}
