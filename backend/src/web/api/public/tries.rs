//! Try runs: asking for one, how it stands, approving and ending it.

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Json, JsonConfig, Path, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, limit_of};
use crate::context::Context;
use crate::db::tries::results::{self, FailingRow, ResultRow};
use crate::db::tries::show::{self, PartRow, TryJobRow, TryRow};
use crate::domain::try_run::{LONGEST_PATCH, Options};
use crate::web::error::Error;
use crate::web::session::{Triager, Viewer};
use crate::web::tries::{self, Wish, unknown};

/// Jobs in an answer.
const JOBS: i64 = 1000;

/// How a wish's body is read: a patch in JSON grows, each line end is two characters there.
pub(super) fn bodies() -> JsonConfig {
    JsonConfig::default()
        .limit(2 * LONGEST_PATCH + (64 << 10))
        .error_handler(|error, _| {
            Error::BadRequest {
                field: "body".to_owned(),
                message: format!("the body cannot be read: {error}"),
            }
            .into()
        })
}

/// What is to be tried: exactly one of `head`, `pull` and `patch`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewTry {
    /// Repository's name.
    repository: String,
    /// A branch, tag or commit.
    head: String,
    /// What it is compared with; default: where the head left its branch.
    base: String,
    /// A pull request's number.
    pull: Option<u32>,
    /// A patch as `git diff` writes it, at most 512 KiB.
    patch: String,
    /// Runtimes' names; default: all that measure the base branch.
    runtimes: Vec<String>,
    /// Suite's name; default: each runtime's own.
    suite: Option<String>,
    /// Glob of benchmarks' names; default: all.
    benchmarks: Option<String>,
    /// Host's name; default: the one with least to do.
    host: Option<String>,
    /// Rounds at most; each measures both sides once.
    repeat: Option<u32>,
}

/// A try that was opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Opened {
    /// Its key.
    id: i64,
    /// Its page.
    url: String,
}

/// Asks for a try run. What a triager asks for runs at once, what anybody else asks for waits for a triager's approval.
#[utoipa::path(post, path = "/api/v1/tries", request_body = NewTry,
    responses((status = 201, body = Opened), (status = 400, body = super::ErrorBodySchema),
        (status = 401, body = super::ErrorBodySchema), (status = 403, body = super::ErrorBodySchema),
        (status = 409, description = "another of this pull request is under way", body = super::ErrorBodySchema)))]
pub(super) async fn open(
    context: Data<Context>,
    actor: Viewer,
    Json(new): Json<NewTry>,
) -> Result<HttpResponse, Error> {
    let wish = Wish {
        repository: new.repository,
        head: new.head,
        base: new.base,
        pull: new.pull,
        patch: new.patch,
        options: Options {
            runtimes: new.runtimes,
            suite: new.suite,
            benchmarks: new.benchmarks,
            host: new.host,
            repeat: new.repeat,
        },
    };
    let (id, _) = tries::open(&context, &actor.0, wish).await?;
    let url = format!("{}/tries/{id}", context.config.public_url());
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/api/v1/tries/{id}")))
        .json(Opened { id, url }))
}

/// Which tries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    before: Option<i64>,
    limit: Option<i64>,
}

/// Try runs, the newest first.
#[utoipa::path(get, path = "/api/v1/tries", params(
        ("before" = Option<i64>, Query, description = "Only keys below this one"),
        ("limit" = Option<i64>, Query, description = "Items in the answer, 1 to 1000; default 100")),
    responses((status = 200, body = Page<TryRow>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn tries(
    context: Data<Context>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<TryRow>>, Error> {
    let limit = limit_of(query.limit)?;
    let rows = show::list(&context.pool, query.before, limit).await?;
    Ok(Json(Page::new(rows, limit, |row| row.id)))
}

/// A try with all that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TryAnswer {
    #[serde(rename = "try")]
    of: TryRow,
    /// Its runtimes, each on one host.
    parts: Vec<PartRow>,
    /// What the rounds say so far, of every series.
    results: Vec<ResultRow>,
    /// Benchmarks that the head cannot run.
    failing: Vec<FailingRow>,
    /// In the order of measuring.
    jobs: Vec<TryJobRow>,
}

/// A try run.
#[utoipa::path(get, path = "/api/v1/tries/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = TryAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn one(context: Data<Context>, id: Path<i64>) -> Result<Json<TryAnswer>, Error> {
    let pool = &context.pool;
    Ok(Json(TryAnswer {
        of: show::find(pool, *id).await?.ok_or_else(|| unknown(*id))?,
        parts: show::list_parts(pool, *id).await?,
        results: results::list_results(pool, *id).await?,
        failing: results::list_failing(pool, *id).await?,
        jobs: show::list_jobs(pool, *id, JOBS).await?,
    }))
}

/// Ends a try run, or refuses one that waits for approval. Its requester may, and every triager.
#[utoipa::path(delete, path = "/api/v1/tries/{id}", params(("id" = i64, Path)),
    responses((status = 204), (status = 401, body = super::ErrorBodySchema), (status = 403, body = super::ErrorBodySchema),
        (status = 404, body = super::ErrorBodySchema),
        (status = 409, description = "it is over already", body = super::ErrorBodySchema)))]
pub(super) async fn cancel(
    context: Data<Context>,
    actor: Viewer,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    tries::cancel(&context, &actor.0, *id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What was looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApproval {
    /// Hash of the head: nothing else is approved.
    head: String,
}

/// Lets a try run that waits for approval. Needs the role triager.
#[utoipa::path(post, path = "/api/v1/tries/{id}/approve", params(("id" = i64, Path)), request_body = NewApproval,
    responses((status = 204), (status = 401, body = super::ErrorBodySchema), (status = 403, body = super::ErrorBodySchema),
        (status = 409, description = "it does not wait, or is something else", body = super::ErrorBodySchema)))]
pub(super) async fn approve(
    context: Data<Context>,
    actor: Triager,
    id: Path<i64>,
    Json(approval): Json<NewApproval>,
) -> Result<HttpResponse, Error> {
    tries::approve(&context, &actor.0, *id, &approval.head).await?;
    Ok(HttpResponse::NoContent().finish())
}
