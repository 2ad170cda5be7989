//! Registering a host and claiming a job.

use std::time::{Duration, Instant};

use actix_web::web::{Data, Json};
use speedwell_wire::{
    CLAIM_WAIT_SECONDS, ClaimRequest, ClaimResponse, JobAssignment, JobKind, ProfilePolicy,
    RegisterRequest, RegisterResponse, SourceReference,
};
use uuid::Uuid;

use super::sources::check_offer;
use super::{HostToken, Spoken};
use crate::context::Context;
use crate::db::jobs::{self, ClaimedJob};
use crate::db::suites::Registered;
use crate::db::{builds, hosts, sources, suites};
use crate::web::error::Error;

/// How often a waiting claim looks at the queue.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Takes in the host's facts and the suites it can run.
pub(super) async fn register(
    context: Data<Context>,
    HostToken(host): HostToken,
    Json(request): Json<RegisterRequest>,
) -> Result<Json<RegisterResponse>, Error> {
    check_offer(&request.sources)?;
    let mut transaction = context.pool.begin().await?;
    for (index, suite) in request.suites.iter().enumerate() {
        if suites::register(&mut transaction, suite).await? == Registered::Conflict {
            return Err(Error::Unprocessable {
                field: format!("suites[{index}].sha256"),
                message: format!(
                    "{} version {} is known with another content: a changed suite needs a new version",
                    suite.name, suite.version
                ),
            });
        }
    }
    let environment_id = hosts::register(
        &mut transaction,
        host.id,
        &request.worker_version,
        &request.facts,
    )
    .await?;
    let wanted_sources = sources::list_missing(&mut *transaction, &request.sources).await?;
    transaction.commit().await?;
    tracing::info!(host = host.name, environment_id, "registered");
    Ok(Json(RegisterResponse {
        host: host.name,
        environment_id,
        wanted_sources,
    }))
}

/// Leases the best job for the host; waits for one as long as the worker asked.
pub(super) async fn claim(
    context: Data<Context>,
    HostToken(host): HostToken,
    spoken: Spoken,
    Json(request): Json<ClaimRequest>,
) -> Result<Json<ClaimResponse>, Error> {
    if !hosts::owns_environment(&context.pool, host.id, request.environment_id).await? {
        return Err(Error::Unprocessable {
            field: "environment_id".to_owned(),
            message: "is no environment of this host: register first".to_owned(),
        });
    }
    let until = Instant::now() + Duration::from_secs(request.wait_seconds.min(CLAIM_WAIT_SECONDS));
    loop {
        let mut transaction = context.pool.begin().await?;
        let lease_id = Uuid::new_v4();
        let claimed =
            jobs::claim(&mut transaction, host.id, lease_id, request.applies_patches).await?;
        transaction.commit().await?;
        if let Some(job) = claimed {
            tracing::info!(
                host = host.name,
                job = job.id,
                runtime = job.runtime,
                commit = job.hash,
                "claimed"
            );
            let mut job = assignment(&context, job, lease_id, &request.toolchain).await?;
            if job.profile.is_sampling() && !spoken.can_sample() {
                job.profile = ProfilePolicy::Never;
            }
            return Ok(Json(ClaimResponse { job: Some(job) }));
        }
        if Instant::now() + LOOK_EVERY > until {
            return Ok(Json(ClaimResponse { job: None }));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn assignment(
    context: &Context,
    job: ClaimedJob,
    lease_id: Uuid,
    toolchain: &str,
) -> Result<JobAssignment, Error> {
    let recipe = job.recipe.0;
    let artefact = builds::find_artefact_of(
        &context.pool,
        job.runtime_id,
        job.commit_id,
        &recipe.sha256,
        toolchain,
        job.build_repeat,
    )
    .await?;
    let settings = context
        .config
        .runtimes
        .iter()
        .find(|one| one.name == job.runtime);
    Ok(JobAssignment {
        valgrind: settings
            .map(|settings| settings.valgrind)
            .unwrap_or_default(),
        profile: settings
            .map(|settings| settings.profiler)
            .unwrap_or_default(),
        job_id: job.id,
        lease_id,
        kind: if job.kind == "build" {
            JobKind::Build
        } else {
            JobKind::Measure
        },
        attempt: u32::try_from(job.attempt).unwrap_or(1),
        runtime: job.runtime,
        source: SourceReference {
            repository: job.repository,
            url: job.url,
            commit: job.hash,
            committed_at: job.committed_at.timestamp(),
            exclude: job.exclude,
            patch: job.patch,
        },
        recipe,
        artefact,
        suite: (
            job.suite_name,
            u32::try_from(job.suite_version).unwrap_or(1),
        ),
        benchmarks: job.benchmarks,
        build_repeat: u32::try_from(job.build_repeat).unwrap_or(0),
        without_cache: job.without_cache,
        processes: None,
    })
}
