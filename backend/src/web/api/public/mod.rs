//! `/api/v1`: all that the pages show, as JSON. Described by OpenAPI at `/api/v1/openapi.json`.

#![expect(unused_qualifications, reason = "utoipa's macro writes them")]

mod bisections;
mod commits;
mod comparisons;
mod deliveries;
mod files;
mod imports;
mod jobs;
mod lists;
mod regressions;
mod runs;
mod search;
mod timelines;
mod tries;

use actix_web::Scope;
use actix_web::web::{self, Json, ServiceConfig, get};
use serde::{Deserialize, Serialize};
use speedwell_wire::ErrorBody;
use utoipa::{OpenApi, ToSchema};

use crate::web::error::Error;

/// Most items in one answer.
const MOST: i64 = 1000;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    items: Vec<T>,
    /// Give this as the paging parameter to get the next page; absent at the end.
    next: Option<i64>,
}

impl<T> Page<T> {
    fn new(items: Vec<T>, limit: i64, key: impl Fn(&T) -> i64) -> Self {
        let is_full = i64::try_from(items.len()).unwrap_or(0) >= limit;
        let next = items.last().filter(|_| is_full).map(key);
        Self { items, next }
    }
}

/// `?limit=`, checked.
fn limit_of(limit: Option<i64>) -> Result<i64, Error> {
    let limit = limit.unwrap_or(100);
    if (1..=MOST).contains(&limit) {
        Ok(limit)
    } else {
        let message = format!("limit: {limit} is not between 1 and {MOST}");
        Err(Error::BadRequest {
            field: "limit".to_owned(),
            message,
        })
    }
}

/// The description of the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Speedwell",
        description = "Performance of interpreters, commit by commit. Reading needs no token, unless the service is configured so; times are UTC; values are in the metric's unit: \
                       seconds, bytes, counts per iteration."
    ),
    paths(
        lists::runtimes,
        lists::runtime_commits,
        lists::benchmarks,
        lists::hosts,
        lists::repositories,
        lists::series,
        lists::points,
        files::series_parquet,
        timelines::timeline,
        commits::commit,
        commits::comparisons,
        comparisons::compare,
        runs::run,
        imports::results,
        runs::raw,
        runs::pyperf,
        jobs::jobs,
        jobs::job,
        jobs::log,
        bisections::bisections,
        bisections::bisection,
        regressions::regressions,
        regressions::regression,
        regressions::act,
        tries::tries,
        tries::open,
        tries::one,
        tries::cancel,
        tries::approve,
        deliveries::deliveries,
        deliveries::delivery,
        deliveries::replay,
        search::search
    ),
    components(schemas(ErrorBodySchema))
)]
pub struct Description;

/// Every error's body.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ErrorBody)]
struct ErrorBodySchema {
    /// One sentence: what was wrong and how to mend it.
    error: String,
    /// The offending parameter.
    field: Option<String>,
}

impl From<ErrorBody> for ErrorBodySchema {
    fn from(body: ErrorBody) -> Self {
        Self {
            error: body.error,
            field: body.field,
        }
    }
}

/// The routes of `/api/v1`.
pub fn configure(config: &mut ServiceConfig) {
    let queries = web::QueryConfig::default().error_handler(|error, _| {
        Error::BadRequest {
            field: "query".to_owned(),
            message: format!("the query cannot be read: {error}"),
        }
        .into()
    });
    let paths = web::PathConfig::default().error_handler(|error, _| {
        Error::BadRequest {
            field: "path".to_owned(),
            message: format!("the address cannot be read: {error}"),
        }
        .into()
    });
    let bodies = web::JsonConfig::default()
        .limit(64 << 10)
        .error_handler(|error, _| {
            Error::BadRequest {
                field: "body".to_owned(),
                message: format!("the body cannot be read: {error}"),
            }
            .into()
        });
    let scope = web::scope("/api/v1")
        .app_data(queries)
        .app_data(paths)
        .app_data(bodies);
    config.service(routes(scope));
}

fn routes(scope: Scope) -> Scope {
    scope
        .route("/openapi.json", get().to(openapi))
        .route("/runtimes", get().to(lists::runtimes))
        .route("/runtimes/{name}/commits", get().to(lists::runtime_commits))
        .route("/benchmarks", get().to(lists::benchmarks))
        .route("/hosts", get().to(lists::hosts))
        .route("/repositories", get().to(lists::repositories))
        .route("/series.parquet", get().to(files::series_parquet))
        .route("/series", get().to(lists::series))
        .route("/series/{id}/points", get().to(lists::points))
        .route("/timeline", get().to(timelines::timeline))
        .route("/commits/{hash}", get().to(commits::commit))
        .route(
            "/commits/{hash}/comparisons",
            get().to(commits::comparisons),
        )
        .route("/compare", get().to(comparisons::compare))
        .route("/search", get().to(search::search))
        .service(
            web::resource("/results")
                .app_data(web::PayloadConfig::new(imports::LARGEST_BODY))
                .route(web::post().to(imports::results)),
        )
        .route("/runs/{id}", get().to(runs::run))
        .route("/runs/{id}/raw", get().to(runs::raw))
        .route("/runs/{id}/pyperf", get().to(runs::pyperf))
        .route("/jobs", get().to(jobs::jobs))
        .route("/jobs/{id}", get().to(jobs::job))
        .route("/jobs/{id}/log", get().to(jobs::log))
        .route("/bisections", get().to(bisections::bisections))
        .route("/bisections/{id}", get().to(bisections::bisection))
        .route("/regressions", get().to(regressions::regressions))
        .route("/regressions/{id}", get().to(regressions::regression))
        .route(
            "/regressions/{id}/actions",
            web::post().to(regressions::act),
        )
        .service(
            web::resource("/tries")
                .app_data(tries::bodies())
                .route(get().to(tries::tries))
                .route(web::post().to(tries::open)),
        )
        .service(
            web::resource("/tries/{id}")
                .route(get().to(tries::one))
                .route(web::delete().to(tries::cancel)),
        )
        .route("/tries/{id}/approve", web::post().to(tries::approve))
        .route("/deliveries", get().to(deliveries::deliveries))
        .route("/deliveries/{id}", get().to(deliveries::delivery))
        .route(
            "/deliveries/{id}/replay",
            web::post().to(deliveries::replay),
        )
}

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
