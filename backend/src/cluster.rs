//! The private Postgres cluster that the backend starts when it is given no database.
//!
//! Debian's binaries, a folder of its own, a Unix socket, never a port. The server is started through `setpriv
//! --pdeathsig INT`: when the backend dies, however it dies, the kernel asks the server for a fast shutdown, so no
//! orphan keeps the folder. Should the server die, the supervisor starts it again. A server that another backend
//! process runs on the same folder is used as it is, and taken over when it ends.
//!
//! Crash safety: `initdb` works in a folder beside the real one, which gets its name only when it is complete.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use crate::db::server;

/// Name of the superuser and of the database.
const NAME: &str = "speedwell";
/// How long a start may take, crash recovery included.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Unix socket paths end at 107 bytes; Postgres adds `/.s.PGSQL.5432`.
const LONGEST_SOCKET_FOLDER: usize = 90;

/// A private cluster. Dropping it stops the server if this process started it.
pub struct Cluster {
    paths: Paths,
    stop: Arc<AtomicBool>,
    supervisor: Option<JoinHandle<()>>,
}

/// Where things are, and who runs the server.
#[derive(Debug, Clone)]
struct Paths {
    binaries: PathBuf,
    folder: PathBuf,
    socket: PathBuf,
    /// The user the server runs as; `None` when that is ourselves.
    user: Option<User>,
}

impl Cluster {
    /// Makes the cluster if it is missing, starts its server and supervises it.
    /// `user` runs the server when this process is root, which Postgres refuses to run as.
    pub fn start(folder: &Path, user: &str) -> anyhow::Result<Self> {
        let paths = Paths::find(folder, user)?;
        paths.initialise()?;
        let stop = Arc::new(AtomicBool::new(false));
        let supervisor = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn({
                let (paths, stop) = (paths.clone(), Arc::clone(&stop));
                // The parent-death signal is tied to the thread that starts the child: this one outlives it.
                move || supervise(&paths, &stop)
            })?;
        Ok(Self {
            paths,
            stop,
            supervisor: Some(supervisor),
        })
    }

    /// How to connect. Peer authentication: no password exists.
    pub fn connect_options(&self) -> PgConnectOptions {
        options(&self.paths.socket)
    }

    /// A URL for programs that want one (`DATABASE_URL`).
    pub fn url(&self) -> String {
        let socket = self
            .paths
            .socket
            .to_string_lossy()
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace(' ', "%20");
        format!("postgres://{NAME}@{socket}/{NAME}")
    }

    /// Waits until the server answers and the database exists.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            match PgConnection::connect_with(&self.connect_options().database("postgres")).await {
                Ok(mut connection) => {
                    return server::create_database(&mut connection)
                        .await
                        .context("cannot create the database");
                }
                Err(error) if begun.elapsed() > START_TIMEOUT => {
                    let log = self.paths.folder.join("server.log");
                    return Err(error)
                        .context(format!("Postgres does not answer; see {}", log.display()));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Cluster {
    /// For tests alone: a crash may lose or damage everything, and writes are several times as fast.
    pub async fn give_up_durability(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.connect_options()).await?;
        server::give_up_durability(&mut connection).await?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(supervisor) = self.supervisor.take()
            && supervisor.join().is_err()
        {
            tracing::error!("the supervisor of Postgres panicked");
        }
    }
}

fn options(socket: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .username(NAME)
        .database(NAME)
        .application_name("speedwell")
        .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1))
}

impl Paths {
    fn find(folder: &Path, user: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let user = if Uid::effective().is_root() {
            let found = User::from_name(user)?.with_context(|| {
                format!("postgres_user: there is no system user {user:?}, and Postgres does not run as root")
            })?;
            Some(found)
        } else {
            None
        };
        let beside = folder.join("socket");
        let socket = if beside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
            beside
        } else {
            let hash = crate::artefacts::sha256_hex(folder.as_os_str().as_encoded_bytes());
            std::env::temp_dir().join(format!("speedwell-{}", &hash[..16]))
        };
        Ok(Self {
            binaries: find_binaries()?,
            folder,
            socket,
            user,
        })
    }

    fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// Runs `initdb` unless a complete cluster is there.
    fn initialise(&self) -> anyhow::Result<()> {
        for folder in [&self.folder, &self.socket] {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).context(format!("cannot make {}", folder.display()));
                }
                Ok(()) | Err(_) => {}
            }
            self.give(folder)?;
        }
        self.check_reachable()?;
        if self.cluster().join("PG_VERSION").exists() {
            return Ok(());
        }
        let unfinished = self.folder.join("cluster.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        tracing::info!(folder = %self.folder.display(), "making a private Postgres cluster");
        let output = self
            .command("initdb")
            .args([
                "--auth=peer",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--data-checksums",
            ])
            .arg(format!("--username={NAME}"))
            .arg("--pgdata")
            .arg(&unfinished)
            .output()
            .context("cannot run initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        self.configure(&unfinished)?;
        fs::rename(&unfinished, self.cluster())?;
        Ok(())
    }

    fn configure(&self, cluster: &Path) -> anyhow::Result<()> {
        let me = User::from_uid(Uid::effective())?
            .context("the user of this process has no name")?
            .name;
        let owner = self
            .user
            .as_ref()
            .map_or(me.as_str(), |user| user.name.as_str());
        let ident: String = [me.as_str(), owner, "root"]
            .map(|system| format!("speedwell {system} {NAME}\n"))
            .concat();
        fs::write(cluster.join("pg_ident.conf"), ident)?;
        fs::write(
            cluster.join("pg_hba.conf"),
            "local all all peer map=speedwell\n",
        )?;
        let settings = "listen_addresses = ''\nmax_connections = 100\nshared_buffers = 128MB\n\
                        default_toast_compression = lz4\nlog_min_messages = warning\njit = off\n";
        let path = cluster.join("postgresql.conf");
        let text = fs::read_to_string(&path)? + settings;
        fs::write(path, text)?;
        for file in ["pg_ident.conf", "pg_hba.conf", "postgresql.conf"] {
            self.give_file(&cluster.join(file))?;
        }
        Ok(())
    }

    fn give(&self, folder: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("cannot give {} to {}", folder.display(), user.name))?;
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }

    fn give_file(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            chown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    /// Postgres's own message about a closed parent folder is hard to read; say it plainly.
    fn check_reachable(&self) -> anyhow::Result<()> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let status = self
            .as_user("test")
            .arg("-x")
            .arg(&self.folder)
            .status()
            .context("cannot run setpriv")?;
        ensure!(
            status.success(),
            "the user {} cannot reach {}: give all its parent folders the x permission, or choose another data folder",
            user.name,
            self.folder.display()
        );
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        self.as_user(self.binaries.join(program))
    }

    fn as_user(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command
                .arg(format!("--reuid={}", user.uid))
                .arg(format!("--regid={}", user.gid))
                .arg("--clear-groups");
        }
        command.args(["--pdeathsig", "INT", "--"]).arg(program);
        // The child cannot enter root's folders.
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8");
        command
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))?;
        self.command("postgres")
            .arg("-D")
            .arg(self.cluster())
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.socket.display()))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start postgres")
    }

    /// The process that holds the cluster, if it is alive.
    fn holder(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?);
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (command.trim() == "postgres").then_some(pid)
    }
}

/// Keeps one server alive until `stop`.
fn supervise(paths: &Paths, stop: &AtomicBool) {
    let pause = Duration::from_millis(50);
    while !stop.load(Ordering::SeqCst) {
        if paths.holder().is_some() {
            // Another process's server, or one that is still shutting down.
            std::thread::sleep(pause);
            continue;
        }
        let begun = Instant::now();
        match paths.spawn() {
            Ok(mut child) => watch(&mut child, stop, pause),
            Err(error) => tracing::error!("{error:#}"),
        }
        if !stop.load(Ordering::SeqCst) {
            tracing::error!(log = %paths.folder.join("server.log").display(), "Postgres ended; starting it again");
            if begun.elapsed() < Duration::from_secs(2) {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

/// Waits for the server's end; asks for it when `stop` is set.
fn watch(child: &mut Child, stop: &AtomicBool, pause: Duration) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let mut asked = false;
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(_)) => return,
            Err(error) => return tracing::error!("cannot wait for Postgres: {error}"),
        }
        if stop.load(Ordering::SeqCst) && !asked {
            // SIGINT is Postgres's fast shutdown: clients are cut, nothing committed is lost.
            if let Err(error) = kill(pid, Signal::SIGINT) {
                tracing::error!("cannot stop Postgres: {error}");
            }
            asked = true;
        }
        std::thread::sleep(pause);
    }
}

/// A client's program (`pg_dump`): of `$PG_BIN`, or the newest of Debian's folders that has it, else the one on the path. A client
/// of Postgres needs no server's binaries, and no server older than it is refused.
pub fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    let chosen = std::env::var_os("PG_BIN").map(PathBuf::from);
    let known = chosen.clone().into_iter().chain(debian_folders());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter(|_| chosen.is_none());
    known
        .chain(on_path)
        .map(|folder| folder.join(name))
        .find(|program| program.exists())
        .with_context(|| {
            format!("no {name} found: install Debian's package `postgresql-client`, or set PG_BIN to its folder")
        })
}

/// The `bin` folders of Debian's packages, the newest first.
fn debian_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .collect()
}

/// `$PG_BIN`, the newest of Debian's folders, or the folder of `postgres` on the path.
fn find_binaries() -> anyhow::Result<PathBuf> {
    let complete =
        |folder: &Path| folder.join("postgres").exists() && folder.join("initdb").exists();
    if let Some(folder) = std::env::var_os("PG_BIN").map(PathBuf::from) {
        ensure!(
            complete(&folder),
            "PG_BIN={} has no postgres and initdb",
            folder.display()
        );
        return Ok(folder);
    }
    if let Some(folder) = debian_folders().into_iter().find(|folder| complete(folder)) {
        return Ok(folder);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(|folder| complete(folder)) {
        return Ok(folder);
    }
    bail!(
        "no Postgres found: install Debian's package `postgresql`, set PG_BIN, or give a DATABASE_URL"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_server_comes_back_and_a_dropped_cluster_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let cluster = Cluster::start(&folder.path().join("postgres"), "postgres").unwrap();
        cluster.ready().await.unwrap();
        let first = cluster.paths.holder().unwrap();
        kill(first, Signal::SIGINT).unwrap();
        let begun = Instant::now();
        while cluster.paths.holder().is_none_or(|pid| pid == first) {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the server did not come back"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cluster.ready().await.unwrap();
        // A second backend on the same folder uses the first one's server.
        let second = Cluster::start(&folder.path().join("postgres"), "postgres").unwrap();
        second.ready().await.unwrap();
        drop(second);
        assert!(cluster.paths.holder().is_some());
        let paths = cluster.paths.clone();
        drop(cluster);
        assert!(paths.holder().is_none());
    }
}
