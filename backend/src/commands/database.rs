//! Opening the database, and the commands that only touch it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use nix::unistd::{Uid, User};
use serde_json::json;
use speedwell_backend::artefacts::Artefacts;
use speedwell_backend::cluster::Cluster;
use speedwell_backend::config::Config;
use speedwell_backend::context::Context;
use speedwell_backend::db;
use speedwell_backend::domain::audit::Action;
use speedwell_backend::domain::summary::Summary;
use speedwell_backend::forge::Tokens;
use speedwell_backend::traces::Traces;
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgPoolOptions;

use super::operator;

/// An open database. The private cluster, if there is one, ends with it.
pub(super) struct Database {
    /// Connections.
    pub(super) pool: PgPool,
    /// Its address, for programs that want one.
    pub(super) url: String,
    _cluster: Option<Cluster>,
}

/// Opens the configured database, or the private cluster, and migrates it.
pub(super) async fn open(config: &Config) -> anyhow::Result<Database> {
    let database = connect(config).await?;
    match db::MIGRATOR.run(&database.pool).await {
        Err(MigrateError::VersionMissing(version)) => bail!(
            "a newer Speedwell has migrated this database (migration {version} is not known here): start that one, or go back with a backup that this one has made, by `restore` into an empty database"
        ),
        done => done.context("cannot migrate the database")?,
    }
    Ok(database)
}

/// What ticks are given, with the database it uses.
pub(super) async fn open_context(config: &Config) -> anyhow::Result<(Context, Database)> {
    let database = open(config).await?;
    let context = Context {
        planned: db::planned_once(&database.pool),
        pool: database.pool.clone(),
        config: Arc::new(config.clone()),
        artefacts: artefacts(config)?,
        forge_tokens: Tokens::default(),
        judged: Arc::default(),
        traces: Traces::default(),
    };
    Ok((context, database))
}

/// As [`open`], and leaves the database as it is.
pub(super) async fn connect(config: &Config) -> anyhow::Result<Database> {
    let pool = PgPoolOptions::new().max_connections(24);
    own(&config.data)?;
    match &config.database_url {
        Some(url) => Ok(Database {
            pool: pool
                .connect(url)
                .await
                .context("database_url: cannot connect")?,
            url: url.clone(),
            _cluster: None,
        }),
        None => {
            let folder = config.data.join("postgres");
            let user = config.postgres_user.clone();
            let cluster =
                tokio::task::spawn_blocking(move || Cluster::start(&folder, &user)).await??;
            cluster.ready().await?;
            Ok(Database {
                pool: pool.connect_with(cluster.connect_options()).await?,
                url: cluster.url(),
                _cluster: Some(cluster),
            })
        }
    }
}

/// Refuses root where the data folder is another user's, as its systemd unit makes it. Root's command would give the Postgres of the
/// running service to `postgres_user`, and leave files that the service cannot write.
fn own(data: &Path) -> anyhow::Result<()> {
    let owner = Uid::from_raw(
        std::fs::metadata(data)
            .with_context(|| format!("data: cannot look at {}", data.display()))?
            .uid(),
    );
    if !Uid::effective().is_root() || owner.is_root() {
        return Ok(());
    }
    let owner = User::from_uid(owner)?.map_or_else(|| owner.to_string(), |user| user.name);
    bail!(
        "data: {} belongs to {owner}, and this runs as root: run it as that user, by `runuser -u {owner} -- speedwell-backend ...`",
        data.display()
    )
}

/// Opens the configured store of artefacts.
pub(super) fn artefacts(config: &Config) -> anyhow::Result<Artefacts> {
    Artefacts::open(config.store.as_deref(), &config.data)
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
    let (mut last, mut count, mut bare) = (0, 0_usize, 0_usize);
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
            match Summary::of_processes(&counted) {
                Some(summary) => {
                    db::summaries::update(&mut transaction, stored, &summary).await?;
                }
                None => bare += 1,
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
    if bare > 0 {
        println!("{bare} summaries stay as they are: their samples are no longer kept");
    }
    println!(
        "{} summaries made again; the running service, or the next one, judges {series} series again",
        count - bare
    );
    Ok(())
}
