//! Services in the box: started, waited for, watched, ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

use super::definition::{Request, Service, Step, fill_in};
use super::request::Connection;
use crate::process::pinned;

/// Lines of a service's log that go into a message.
const LAST_LINES: usize = 15;

/// A service that runs.
pub struct Running {
    /// Its name.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a service and waits until it is ready.
    pub async fn start(
        service: &Service,
        values: &BTreeMap<String, String>,
        folder: &Path,
        cpus: Option<&str>,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{}.log", service.name));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let words: Vec<String> = service
            .command
            .iter()
            .map(|word| fill_in(word, values))
            .collect();
        let mut command = pinned(&words, cpus);
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: cannot start {}", service.name, words[0]))?;
        let mut running = Self {
            name: service.name.clone(),
            child,
            log,
        };
        running.wait_until_ready(service).await?;
        Ok(running)
    }

    /// Its process, as the box numbers it.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    async fn wait_until_ready(&mut self, service: &Service) -> anyhow::Result<()> {
        let begun = Instant::now();
        let origin = format!("127.0.0.1:{}", service.port);
        let mut last = String::new();
        while begun.elapsed() < Duration::from_secs(service.ready_seconds) {
            self.check_alive()?;
            match ready(&origin, service.path.as_deref()).await {
                Ok(()) => return Ok(()),
                Err(words) => last = words,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "{} is not ready after {} s ({last}); its last words:\n{}",
            self.name,
            service.ready_seconds,
            tail(&self.log)
        )
    }

    /// Complains when the service has ended.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended by itself ({status}); its last words:\n{}",
                self.name,
                tail(&self.log)
            );
        }
        Ok(())
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Asks the service to end, and makes it.
    pub async fn end(mut self) {
        if let Ok(pid) = i32::try_from(self.pid())
            && pid > 0
            && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM)
        {
            tracing::debug!("{}: {error}", self.name);
        }
        if tokio::time::timeout(Duration::from_secs(3), self.child.wait())
            .await
            .is_err()
        {
            drop(self.child.kill().await);
        }
    }
}

async fn ready(origin: &str, path: Option<&str>) -> Result<(), String> {
    let Some(path) = path else {
        let connected = tokio::net::TcpStream::connect(origin).await;
        return connected.map(drop).map_err(|error| error.to_string());
    };
    let request = Request {
        weight: 1,
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body_bytes: 0,
        body: None,
        status: vec![200],
        answer_bytes: None,
        answer_holds: None,
    };
    let mut connection = Connection::new(origin);
    let answer = connection
        .exchange(&request, &BTreeMap::new(), &Bytes::new())
        .await;
    answer.map(drop)
}

/// Runs a command of the preparation to its end.
pub async fn prepare(
    step: &Step,
    values: &BTreeMap<String, String>,
    folder: &Path,
    cpus: Option<&str>,
) -> anyhow::Result<()> {
    let words: Vec<String> = step
        .command
        .iter()
        .map(|word| fill_in(word, values))
        .collect();
    let output = pinned(&words, cpus)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot start {}", words[0]))?;
    let text = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "the preparation failed ({}); its last words:\n{}",
        output.status,
        last_lines(&String::from_utf8_lossy(&text))
    );
    Ok(())
}

fn tail(log: &Path) -> String {
    last_lines(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default()))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
