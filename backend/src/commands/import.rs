//! `import`: files and folders of pyperf JSON, thousands at a time. Killed anywhere, it can be started anew: what is there already
//! is found again and changes nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::Utc;
use clap::{Args, ValueEnum};
use futures_util::stream::{self, StreamExt as _};
use speedwell_backend::artefacts::Artefacts;
use speedwell_backend::config::Config;
use speedwell_backend::db::imports::Sender;
use speedwell_backend::domain::import::{Import, file_name, pyperf};
use speedwell_backend::domain::run_report::Invalid;
use speedwell_backend::intake::{self, Receipt, Refusal, Target};
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::{database, operator};

/// Files that are read and stored at the same time.
const AT_ONCE: usize = 4;
/// Pause between two lines of progress.
const PAUSE: Duration = Duration::from_secs(2);

/// Where a file's commit is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CommitFrom {
    /// The metadata `commit_id`, which pyperformance writes; else the file's name.
    Any,
    /// The metadata `commit_id` alone.
    Metadata,
    /// The file's name alone: its last part of seven hexadecimal digits or more.
    Filename,
}

/// What to import, and where to.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// Files of pyperf JSON (`.json`, `.json.gz`), and folders that hold some, at any depth.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The runtime that was measured, as speedwell.toml names it.
    #[arg(long)]
    runtime: String,
    /// The host that measured; `host add NAME --imported` makes one.
    #[arg(long)]
    host: String,
    /// Where the commit of each file is told.
    #[arg(long, value_enum, default_value = "any", conflicts_with = "commit")]
    commit_from: CommitFrom,
    /// The commit of all files: a tag, or seven digits of its hash or more.
    #[arg(long)]
    commit: Option<String>,
}

/// What all files share.
struct Shared {
    pool: PgPool,
    artefacts: Artefacts,
    target: Target,
    importer: String,
    commit: Option<String>,
    commit_from: CommitFrom,
    /// Names of commits that were found before.
    commits: Mutex<HashMap<String, (i64, String)>>,
}

pub(super) async fn run(config: &Config, arguments: ImportArguments) -> anyhow::Result<()> {
    let files = list_files(&arguments.paths)?;
    ensure!(
        !files.is_empty(),
        "PATHS: no file there ends with .json or .json.gz"
    );
    let database = database::open(config).await?;
    let target = intake::find_target(&database.pool, &arguments.runtime, &arguments.host);
    let shared = Arc::new(Shared {
        target: target.await?,
        pool: database.pool.clone(),
        artefacts: Artefacts::open(config.store.as_deref(), &config.data)?,
        importer: operator::name(),
        commit: arguments.commit,
        commit_from: arguments.commit_from,
        commits: Mutex::default(),
    });
    let mut tally = Tally::new(files.len());
    let mut done = stream::iter(files)
        .map(|path| {
            let shared = Arc::clone(&shared);
            async move {
                let outcome = import(&shared, &path).await;
                (path, outcome)
            }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((path, outcome)) = done.next().await {
        match outcome {
            // What is not the file's fault will not be better with the next one.
            Err(Refusal::Failed(error)) => {
                return Err(error.context(format!(
                    "stopped at {}; what was imported is stored, and the same command goes on from there",
                    path.display()
                )));
            }
            Err(refusal) => tally.refused.push((path, refusal.to_string())),
            Ok(receipt) => tally.take(receipt),
        }
        tally.tell(false);
    }
    tally.tell(true);
    tally.end()
}

/// Every file below the paths, in the order of their names, so that a second run does the same.
fn list_files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    while let Some(path) = waiting.pop() {
        let about = std::fs::metadata(&path)
            .with_context(|| format!("PATHS: cannot read {}", path.display()))?;
        if about.is_dir() {
            let entries = std::fs::read_dir(&path)
                .with_context(|| format!("PATHS: cannot read {}", path.display()))?;
            let mut inside = entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()?;
            // A folder that is a link could lead round in a circle.
            inside.retain(|path| !(path.is_symlink() && path.is_dir()));
            inside.sort();
            waiting.extend(inside.into_iter().rev());
        } else {
            let name = path.to_string_lossy();
            if name.ends_with(".json") || name.ends_with(".json.gz") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

async fn import(shared: &Shared, path: &Path) -> Result<Receipt, Refusal> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let own = path.to_owned();
    let read = tokio::task::spawn_blocking(move || -> Result<Import, Refusal> {
        let bytes =
            std::fs::read(&own).with_context(|| format!("cannot read {}", own.display()))?;
        Ok(pyperf::parse(intake::unpack(&bytes)?, Utc::now())?)
    });
    let import = read.await.map_err(anyhow::Error::from)??;
    let commit = commit_of(shared, &name, &import)?;
    let commit = find_commit(shared, &commit).await?;
    let sender = Sender {
        importer: &shared.importer,
        file_name: &name,
    };
    intake::store(
        &shared.pool,
        &shared.artefacts,
        &shared.target,
        &commit,
        &import,
        &sender,
    )
    .await
}

fn commit_of(shared: &Shared, name: &str, import: &Import) -> Result<String, Invalid> {
    if let Some(commit) = &shared.commit {
        return Ok(commit.clone());
    }
    let (found, fix) = match shared.commit_from {
        CommitFrom::Any => (
            import.commit.clone().or_else(|| file_name::commit_of(name)),
            "neither its metadata `commit_id` nor its name tells one: give --commit",
        ),
        CommitFrom::Metadata => (
            import.commit.clone(),
            "its metadata has no `commit_id`: give --commit-from filename, or --commit",
        ),
        CommitFrom::Filename => (
            file_name::commit_of(name),
            "its name holds no hash: give --commit-from metadata, or --commit",
        ),
    };
    found.ok_or_else(|| Invalid::new("commit", fix))
}

async fn find_commit(shared: &Shared, name: &str) -> Result<(i64, String), Refusal> {
    if let Some(known) = shared.commits.lock().await.get(name) {
        return Ok(known.clone());
    }
    let found = intake::find_commit(&shared.pool, &shared.target, name).await?;
    let mut known = shared.commits.lock().await;
    known.insert(name.to_owned(), found.clone());
    Ok(found)
}

/// How far it is.
struct Tally {
    total: usize,
    created: usize,
    known: usize,
    measurements: usize,
    refused: Vec<(PathBuf, String)>,
    begun: Instant,
    told: Instant,
}

impl Tally {
    fn new(total: usize) -> Self {
        let now = Instant::now();
        Self {
            total,
            created: 0,
            known: 0,
            measurements: 0,
            refused: Vec::new(),
            begun: now,
            told: now,
        }
    }

    fn take(&mut self, receipt: Receipt) {
        if receipt.created {
            self.created += 1;
            self.measurements += receipt.measurements;
        } else {
            self.known += 1;
        }
    }

    /// A line of progress, when it is time for one or all is over.
    fn tell(&mut self, last: bool) {
        if !last && self.told.elapsed() < PAUSE {
            return;
        }
        self.told = Instant::now();
        let done = self.created + self.known + self.refused.len();
        let rate = done as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        let left = (self.total - done) as f64 / rate.max(1e-3);
        eprintln!(
            "{done} of {} files: {} new, {} known already, {} refused; {rate:.1} files/s, {left:.0} s to go",
            self.total,
            self.created,
            self.known,
            self.refused.len()
        );
    }

    fn end(self) -> anyhow::Result<()> {
        println!(
            "{} runs with {} measurements imported in {:.1} s; {} were there already",
            self.created,
            self.measurements,
            self.begun.elapsed().as_secs_f64(),
            self.known
        );
        for (path, reason) in &self.refused {
            println!("refused {}: {reason}", path.display());
        }
        ensure!(
            self.refused.is_empty(),
            "{} of {} files were refused, see above; the others are stored",
            self.refused.len(),
            self.total
        );
        Ok(())
    }
}
