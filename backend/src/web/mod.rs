//! HTTP: the route table. A handler parses, calls, renders.

pub mod api;
mod assets;
mod client;
mod comparison;
mod deliveries;
pub mod error;
mod facts;
mod file;
mod find;
pub mod format;
mod guard;
mod headers;
mod health;
mod hooks;
mod job_log;
mod kept;
mod limits;
mod metrics;
pub mod pages;
mod search;
pub mod search_by_hand;
pub mod session;
mod timeline;
mod triage;
mod tries;
mod unchanged;
mod verdict;

use actix_web::middleware::{Compress, NormalizePath, from_fn};
use actix_web::web::{self, Data, get, post};
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_actix_web::TracingLogger;

use crate::context::Context;

/// Listens and serves until the process is asked to stop (SIGINT, SIGTERM); requests under way are finished.
/// `listening` is called with the address once the port is open.
pub async fn serve(
    context: Context,
    metrics: PrometheusHandle,
    listening: impl FnOnce(std::net::SocketAddr),
) -> anyhow::Result<()> {
    let listen = context.config.listen.clone();
    if crate::db::synthetic::is_synthetic(&context.pool).await? {
        pages::mark_synthetic();
    }
    // Shared by the server's threads: each would else count for itself.
    let limits = Data::new(limits::Limits::new(&context.config.limits));
    let kept_pages = Data::new(kept::Kept::new());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(kept_pages.clone())
            .app_data(Data::new(context.clone()))
            .app_data(limits.clone())
            .app_data(Data::new(metrics.clone()))
            .app_data(web::QueryConfig::default().error_handler(|error, _| {
                pages::PageError::from(error::Error::BadRequest {
                    field: "query".to_owned(),
                    message: format!("the address cannot be read: {error}"),
                })
                .into()
            }))
            // The API has a handler of its own: this one is the pages'.
            .app_data(
                web::PathConfig::default().error_handler(|_not_a_number, request| {
                    let message = format!("There is no page {}.", request.path());
                    pages::PageError::from(error::Error::NotFound(message)).into()
                }),
            )
            .wrap(from_fn(unchanged::unchanged))
            .wrap(Compress::default())
            .wrap(from_fn(kept::kept))
            .wrap(from_fn(guard::guard))
            .wrap(from_fn(headers::headers))
            .wrap(NormalizePath::trim())
            .wrap(TracingLogger::default())
            .route("/health", get().to(health::health))
            .route("/metrics", get().to(metrics::metrics))
            .route("/hooks/{forge}/{repository}", post().to(hooks::take))
            .route("/assets/{file}", get().to(assets::asset))
            .configure(api::worker::configure)
            .configure(api::compatible::configure)
            .configure(api::public::configure)
            .configure(pages::configure)
            .default_service(web::to(pages::not_found))
    })
    .workers(2)
    // Else the last part of each larger page waits for the browser's delayed acknowledgement, 40 ms.
    .tcp_nodelay(true)
    .shutdown_timeout(10)
    .bind(&listen)
    .with_context(|| format!("listen: cannot listen on {listen}"))?;
    if let Some(address) = server.addrs().first() {
        listening(*address);
    }
    server.run().await.context("the web server failed")
}
