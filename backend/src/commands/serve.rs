//! Starting and stopping the service.

use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use speedwell_backend::config::{Config, unreadable_secrets};
use speedwell_backend::context::Context;
use speedwell_backend::forge::Tokens;
use speedwell_backend::traces::Traces;
use speedwell_backend::{db, scheduler, web};
use tokio::sync::watch;

use super::{database, sync};

/// Runs until SIGINT or SIGTERM: first the web server stops, then the ticks, then the private cluster.
pub(super) async fn serve(config: Config) -> anyhow::Result<()> {
    for problem in unreadable_secrets(&config) {
        tracing::warn!("{problem}");
    }
    let database = database::open(&config).await?;
    sync::sync(&config, &database.pool).await?;
    db::verdicts::forget_others(&database.pool, &config.detection.version()).await?;
    let artefacts = database::artefacts(&config)?;
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("cannot install the metrics recorder")?;
    let context = Context {
        planned: db::planned_once(&database.pool),
        pool: database.pool.clone(),
        config: Arc::new(config),
        artefacts,
        forge_tokens: Tokens::default(),
        judged: Arc::default(),
        traces: Traces::default(),
    };
    let planned = context.planned.clone();
    let (stop, stopped) = watch::channel(false);
    let ticks = tokio::spawn(scheduler::run(context.clone(), stopped));
    let public_url = context.config.public_url();
    let served = web::serve(context, metrics, |address| {
        tracing::info!(%address, "listening");
        println!("Speedwell is at {public_url}");
    })
    .await;
    if stop.send(true).is_err() {
        tracing::error!("the scheduler ended before it was asked to");
    }
    ticks.await.context("the scheduler failed")?;
    planned.close().await;
    database.pool.close().await;
    served
}
