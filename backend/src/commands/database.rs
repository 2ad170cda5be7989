//! Opening the database, and the commands that only touch it.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use speedwell_backend::cluster::Cluster;
use speedwell_backend::config::Config;
use speedwell_backend::db;
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::summary::Summary;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::operator;

/// An open database. The private cluster, if there is one, ends with it.
pub(super) struct Database {
    /// Connections; migrated.
    pub(super) pool: PgPool,
    _cluster: Option<Cluster>,
}

/// Opens the configured database, or the private cluster, and migrates it.
pub(super) async fn open(config: &Config) -> anyhow::Result<Database> {
    let pool = PgPoolOptions::new().max_connections(24);
    let (pool, cluster) = match &config.database_url {
        Some(url) => (
            pool.connect(url)
                .await
                .context("database_url: cannot connect")?,
            None,
        ),
        None => {
            let folder = config.data.join("postgres");
            let user = config.postgres_user.clone();
            let cluster =
                tokio::task::spawn_blocking(move || Cluster::start(&folder, &user)).await??;
            cluster.ready().await?;
            (
                pool.connect_with(cluster.connect_options()).await?,
                Some(cluster),
            )
        }
    };
    db::MIGRATOR
        .run(&pool)
        .await
        .context("cannot migrate the database")?;
    Ok(Database {
        pool,
        _cluster: cluster,
    })
}

/// Keeps a private cluster alive until the process is asked to stop.
pub(super) async fn run_cluster(folder: &Path, fast: bool) -> anyhow::Result<()> {
    let cluster = Cluster::start(folder, "postgres")?;
    cluster.ready().await?;
    if fast {
        cluster.give_up_durability().await?;
    }
    println!("{}", cluster.url());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Asks for a job's end.
pub(super) async fn cancel(config: &Config, job_id: i64) -> anyhow::Result<()> {
    let database = open(config).await?;
    let mut transaction = database.pool.begin().await?;
    let who = operator::name();
    let state = db::jobs::cancel(&mut transaction, job_id, &who).await?;
    if state.is_some() {
        let subject = format!("job {job_id}");
        let action = Action::JobCancel;
        db::audit::record(&mut *transaction, &who, action, &subject, json!({})).await?;
    }
    transaction.commit().await?;
    match state.as_deref() {
        Some("queued") => println!("job {job_id} is cancelled"),
        Some(_) => println!("job {job_id} will stop at its next heartbeat"),
        None => anyhow::bail!("job {job_id} is over already, or there is none"),
    }
    Ok(())
}

/// Makes every summary again from the stored samples, then marks every series for the detect tick. Batch by batch:
/// killed anywhere, it can be started anew.
pub(super) async fn redetect(config: &Config) -> anyhow::Result<()> {
    const BATCH: i64 = 500;
    let database = open(config).await?;
    let (mut last, mut count) = (0, 0_usize);
    loop {
        let batch = db::summaries::list(&database.pool, last, BATCH).await?;
        let Some(end) = batch.last() else { break };
        last = end.id;
        count += batch.len();
        let mut transaction = database.pool.begin().await?;
        for stored in &batch {
            let samples = stored
                .sample_values
                .iter()
                .zip(&stored.sample_process)
                .zip(&stored.sample_warmup);
            let counted: Vec<(u32, f64)> = samples
                .filter(|(_, warmup)| !**warmup)
                .map(|((value, process), _)| (u32::try_from(*process).unwrap_or(0), *value))
                .collect();
            if let Some(summary) = Summary::of_processes(&counted) {
                db::summaries::update(&mut transaction, stored, &summary).await?;
            }
        }
        transaction.commit().await?;
    }
    let action = Action::Redetect;
    let details = json!({ "summaries": count });
    db::audit::record(
        &database.pool,
        &operator::name(),
        action,
        "every series",
        details,
    )
    .await?;
    db::warmup::forget_all(&database.pool).await?;
    let series = db::verdicts::forget_all(&database.pool).await?;
    println!(
        "{count} summaries made again; the running service, or the next one, judges {series} series again"
    );
    Ok(())
}
