//! `/health` for whoever watches the service, `/metrics` for Prometheus.

use actix_web::HttpResponse;
use actix_web::web::Data;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::context::Context;
use crate::db::{deliveries, overview};
use crate::domain::hook::DeliveryState;

/// 200 when the database answers, 503 when it does not.
pub(super) async fn health(context: Data<Context>) -> HttpResponse {
    match overview::ping(&context.pool).await {
        Ok(()) => {
            HttpResponse::Ok().json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
        }
        Err(error) => {
            tracing::error!("the database does not answer: {error}");
            HttpResponse::ServiceUnavailable()
                .json(json!({ "status": "the database does not answer" }))
        }
    }
}

/// Counters and histograms in Prometheus' text format, with the queue as it is now.
pub(super) async fn metrics(
    context: Data<Context>,
    handle: Data<PrometheusHandle>,
) -> HttpResponse {
    match overview::count_jobs(&context.pool).await {
        Ok(counts) => {
            for (state, count) in counts {
                metrics::gauge!("speedwell_jobs", "state" => state).set(count as f64);
            }
        }
        Err(error) => tracing::error!("the queue cannot be counted: {error}"),
    }
    if let Err(error) = measure_hooks(&context).await {
        tracing::error!("deliveries cannot be counted: {error}");
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(handle.render())
}

/// Deliveries by state, and when the last of each repository came.
async fn measure_hooks(context: &Context) -> sqlx::Result<()> {
    let counts = deliveries::count(&context.pool).await?;
    for state in DeliveryState::ALL {
        let found = counts.iter().find(|(name, _)| name == state.as_str());
        let count = found.map_or(0, |(_, count)| *count);
        metrics::gauge!("speedwell_deliveries", "state" => state.as_str()).set(count as f64);
    }
    for one in deliveries::list_standing(&context.pool).await? {
        if let Some(at) = one.last_at {
            metrics::gauge!("speedwell_last_delivery_seconds", "repository" => one.repository)
                .set(at.timestamp() as f64);
        }
    }
    Ok(())
}
