//! Runtimes, benchmarks, hosts, repositories, series.

use actix_web::web::{Data, Json, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Page, limit_of};
use crate::context::Context;
use crate::db::compare::{self, RuntimeCommit};
use crate::db::overview::{self, RuntimeOverview};
use crate::db::queue::{self, HostRow, RepositoryRow};
use crate::db::series::{self, BenchmarkName, SeriesName, SeriesPoint};
use crate::web::error::Error;

type Answer<T> = Result<Json<T>, Error>;

/// Every enabled runtime at a glance.
#[utoipa::path(get, path = "/api/v1/runtimes", responses((status = 200, body = [RuntimeOverview])))]
pub(super) async fn runtimes(context: Data<Context>) -> Answer<Vec<RuntimeOverview>> {
    Ok(Json(overview::list_runtimes(&context.pool, None).await?))
}

/// Paging downwards by branch position.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Positions {
    /// Only positions below this one.
    before: Option<i32>,
    /// Items in the answer, 1 to 1000; default 100.
    limit: Option<i64>,
}

/// Commits of a runtime's branch, newest first, with their jobs and runs.
#[utoipa::path(get, path = "/api/v1/runtimes/{name}/commits", params(("name" = String, Path), Positions),
    responses((status = 200, body = Page<RuntimeCommit>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn runtime_commits(
    context: Data<Context>,
    name: Path<String>,
    paging: Query<Positions>,
) -> Answer<Page<RuntimeCommit>> {
    let limit = limit_of(paging.limit)?;
    let commits = compare::list_runtime_commits(&context.pool, &name, paging.before, limit).await?;
    Ok(Json(Page::new(commits, limit, |commit| {
        i64::from(commit.position)
    })))
}

/// Every benchmark that a worker has registered.
#[utoipa::path(get, path = "/api/v1/benchmarks", responses((status = 200, body = [BenchmarkName])))]
pub(super) async fn benchmarks(context: Data<Context>) -> Answer<Vec<BenchmarkName>> {
    Ok(Json(series::list_benchmarks(&context.pool).await?))
}

/// Every host.
#[utoipa::path(get, path = "/api/v1/hosts", responses((status = 200, body = [HostRow])))]
pub(super) async fn hosts(context: Data<Context>) -> Answer<Vec<HostRow>> {
    Ok(Json(queue::list_hosts(&context.pool).await?))
}

/// Every tracked repository.
#[utoipa::path(get, path = "/api/v1/repositories", responses((status = 200, body = [RepositoryRow])))]
pub(super) async fn repositories(context: Data<Context>) -> Answer<Vec<RepositoryRow>> {
    Ok(Json(queue::list_repositories(&context.pool).await?))
}

/// Which series.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesFilter {
    /// Only this runtime's.
    runtime: Option<String>,
    /// Only this benchmark's.
    benchmark: Option<String>,
    /// Only this metric's.
    metric: Option<String>,
    /// Only keys above this one.
    after: Option<i64>,
    /// Items in the answer, 1 to 1000; default 100.
    limit: Option<i64>,
}

/// Series: the measurements of one (runtime, benchmark version, metric, counter source, host).
#[utoipa::path(get, path = "/api/v1/series", params(SeriesFilter),
    responses((status = 200, body = Page<SeriesName>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn series(
    context: Data<Context>,
    filter: Query<SeriesFilter>,
) -> Answer<Page<SeriesName>> {
    let limit = limit_of(filter.limit)?;
    let found = series::list(
        &context.pool,
        filter.runtime.as_deref(),
        filter.benchmark.as_deref(),
        filter.metric.as_deref(),
        filter.after.unwrap_or(0),
        limit,
    )
    .await?;
    Ok(Json(Page::new(found, limit, |one| one.id)))
}

/// Points of a series in branch order, the newest that fit; the next page is the one before.
#[utoipa::path(get, path = "/api/v1/series/{id}/points", params(("id" = i64, Path), Positions),
    responses((status = 200, body = Page<SeriesPoint>), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn points(
    context: Data<Context>,
    id: Path<i64>,
    paging: Query<Positions>,
) -> Answer<Page<SeriesPoint>> {
    let limit = limit_of(paging.limit)?;
    if series::find(&context.pool, *id).await?.is_none() {
        return Err(Error::NotFound(format!("There is no series {id}.")));
    }
    let points = series::list_points(&context.pool, &[*id], paging.before, limit).await?;
    let is_full = i64::try_from(points.len()).unwrap_or(0) >= limit;
    let next = points
        .first()
        .filter(|_| is_full)
        .map(|point| i64::from(point.position));
    Ok(Json(Page {
        items: points,
        next,
    }))
}
