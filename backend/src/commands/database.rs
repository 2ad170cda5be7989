//! Opening the database, and the commands that only touch it.

use std::path::Path;

use anyhow::Context as _;
use speedwell_backend::cluster::Cluster;
use speedwell_backend::config::Config;
use speedwell_backend::db;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

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
pub(super) async fn run_cluster(folder: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::start(folder, "postgres")?;
    cluster.ready().await?;
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
    let state = db::jobs::cancel(&mut transaction, job_id, "the operator").await?;
    transaction.commit().await?;
    match state.as_deref() {
        Some("queued") => println!("job {job_id} is cancelled"),
        Some(_) => println!("job {job_id} will stop at its next heartbeat"),
        None => anyhow::bail!("job {job_id} is over already, or there is none"),
    }
    Ok(())
}

/// Marks every series; the service's detect tick makes the verdicts.
pub(super) async fn redetect(config: &Config) -> anyhow::Result<()> {
    let database = open(config).await?;
    let count = db::verdicts::forget_all(&database.pool).await?;
    println!("{count} series will be judged again by the running service, or by the next one");
    Ok(())
}
