//! Commits and their comparisons.

use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};
use speedwell_wire::Metric;
use utoipa::{IntoParams, ToSchema};

use crate::context::Context;
use crate::db::compare::{self, CommitDetail, CommitRun, Comparison};
use crate::web::error::Error;
use crate::web::find::find_commit;

/// A commit with its runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CommitAnswer {
    commit: CommitDetail,
    /// The newest run of each runtime and host.
    runs: Vec<CommitRun>,
}

/// A commit by its hash, or by seven digits or more of it.
#[utoipa::path(get, path = "/api/v1/commits/{hash}", params(("hash" = String, Path)),
    responses((status = 200, body = CommitAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn commit(
    context: Data<Context>,
    hash: Path<String>,
) -> Result<Json<CommitAnswer>, Error> {
    let commit = find_commit(&context, &hash).await?;
    let runs = compare::list_runs(&context.pool, commit.id).await?;
    Ok(Json(CommitAnswer { commit, runs }))
}

/// Which metric.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// A metric's name; default `wall_time`.
    metric: Option<String>,
}

/// Each benchmark of a commit's runs against the measured commit before.
#[utoipa::path(get, path = "/api/v1/commits/{hash}/comparisons", params(("hash" = String, Path), Choice),
    responses((status = 200, body = [Comparison]), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn comparisons(
    context: Data<Context>,
    hash: Path<String>,
    choice: Query<Choice>,
) -> Result<Json<Vec<Comparison>>, Error> {
    let name = choice
        .metric
        .as_deref()
        .unwrap_or(Metric::WallTime.as_str());
    let metric = name
        .parse::<Metric>()
        .map_err(|unknown| Error::BadRequest {
            field: "metric".to_owned(),
            message: format!(
                "metric: {unknown}; known: {}",
                Metric::ALL
                    .iter()
                    .map(|one| one.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })?;
    let commit = find_commit(&context, &hash).await?;
    let runs = compare::list_runs(&context.pool, commit.id).await?;
    Ok(Json(
        compare::list_comparisons(&context.pool, &runs, metric.as_str()).await?,
    ))
}
