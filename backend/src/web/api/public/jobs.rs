//! Jobs and their logs.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, limit_of};
use crate::context::Context;
use crate::db::queue::{self, JobEvent, JobRow};
use crate::domain::job::JobState;
use crate::web::error::Error;
use crate::web::file::{File, Shown};
use crate::web::job_log;

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Only this state: `queued`, `running`, `succeeded`, `failed`, `cancelled`; default: all.
    state: Option<String>,
    /// Only keys below this one.
    before: Option<i64>,
    /// Items in the answer, 1 to 1000; default 100.
    limit: Option<i64>,
}

/// Jobs, newest key first.
#[utoipa::path(get, path = "/api/v1/jobs", params(Filter),
    responses((status = 200, body = Page<JobRow>), (status = 400, body = super::ErrorBodySchema)))]
pub(super) async fn jobs(
    context: Data<Context>,
    filter: Query<Filter>,
) -> Result<Json<Page<JobRow>>, Error> {
    let limit = limit_of(filter.limit)?;
    let states: Vec<&str> = match &filter.state {
        None => JobState::ALL.iter().map(|state| state.as_str()).collect(),
        Some(text) => {
            let state = text
                .parse::<JobState>()
                .map_err(|unknown| Error::BadRequest {
                    field: "state".to_owned(),
                    message: format!(
                        "state: {unknown}; known: queued, running, succeeded, failed, cancelled"
                    ),
                })?;
            vec![state.as_str()]
        }
    };
    let jobs = queue::page_jobs(&context.pool, &states, filter.before, limit).await?;
    Ok(Json(Page::new(jobs, limit, |job| job.id)))
}

/// A job with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobAnswer {
    job: JobRow,
    events: Vec<JobEvent>,
}

/// A job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", params(("id" = i64, Path)),
    responses((status = 200, body = JobAnswer), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn job(context: Data<Context>, id: Path<i64>) -> Result<Json<JobAnswer>, Error> {
    let job = queue::find_job(&context.pool, *id).await?;
    let job = job.ok_or_else(|| Error::NotFound(format!("There is no job {id}.")))?;
    Ok(Json(JobAnswer {
        job,
        events: queue::list_events(&context.pool, *id).await?,
    }))
}

/// A job's log as text, so far.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/log", params(("id" = i64, Path)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = super::ErrorBodySchema)))]
pub(super) async fn log(
    context: Data<Context>,
    request: HttpRequest,
    id: Path<i64>,
) -> Result<HttpResponse, Error> {
    let text = job_log::read(&context, *id).await?;
    let file = File {
        name: &format!("job-{id}.log"),
        kind: "text/plain; charset=utf-8",
        shown: Shown::Inline,
        bytes: text.into(),
    };
    Ok(file.answer(&request))
}
