//! What a backup holds: `manifest.json`, and `SHA256SUMS`, which `sha256sum -c` checks without Speedwell.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use speedwell_backend::artefacts::{is_sha256, sha256_hex};

/// The layout of the folder; another one is refused.
pub(in crate::commands) const FORMAT: u32 = 1;
/// The dump of the database.
pub(in crate::commands) const DATABASE: &str = "database.dump";
/// The configuration, without secrets.
pub(in crate::commands) const CONFIGURATION: &str = "speedwell.toml";
/// Folder of the artefacts: `artefacts/ab/abcd…`, as in the store.
pub(in crate::commands) const ARTEFACTS: &str = "artefacts";
const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";

/// What a backup holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct Manifest {
    /// [`FORMAT`].
    pub(in crate::commands) format: u32,
    /// The moment that it shows.
    pub(in crate::commands) made_at: DateTime<Utc>,
    /// Version of the Speedwell that made it.
    pub(in crate::commands) speedwell: String,
    /// Newest migration of the database.
    pub(in crate::commands) migration: i64,
    /// Version of the Postgres that it comes from.
    pub(in crate::commands) postgres: String,
    /// The dump.
    pub(in crate::commands) database: File,
    /// The configuration.
    pub(in crate::commands) configuration: File,
    /// Rows of every table.
    pub(in crate::commands) rows: BTreeMap<String, i64>,
    /// Objects of the store.
    pub(in crate::commands) artefacts: Vec<Artefact>,
    /// Objects that the database refers to and the store did not have, or had damaged.
    pub(in crate::commands) missing: Vec<Missing>,
}

/// A file of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct File {
    /// Size in bytes.
    pub(in crate::commands) bytes: u64,
    /// Lower-case hex.
    pub(in crate::commands) sha256: String,
}

/// An object of the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct Artefact {
    /// Its name, which is its hash.
    pub(in crate::commands) sha256: String,
    /// Size in bytes.
    pub(in crate::commands) bytes: u64,
}

/// An object that is not in the backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands) struct Missing {
    /// Its name.
    pub(in crate::commands) sha256: String,
    /// Why.
    pub(in crate::commands) why: String,
}

impl Artefact {
    /// Its path in the backup's folder.
    pub(in crate::commands) fn path(&self) -> String {
        let beginning = self.sha256.get(..2).unwrap_or_default();
        format!("{ARTEFACTS}/{beginning}/{}", self.sha256)
    }
}

impl Manifest {
    /// Writes both files, `SHA256SUMS` last: a backup without it is not finished.
    pub(in crate::commands) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(folder.join(MANIFEST), &text)?;
        let mut sums = format!("{}  {MANIFEST}\n", sha256_hex(text.as_bytes()));
        writeln!(sums, "{}  {DATABASE}", self.database.sha256)?;
        writeln!(sums, "{}  {CONFIGURATION}", self.configuration.sha256)?;
        for artefact in &self.artefacts {
            writeln!(sums, "{}  {}", artefact.sha256, artefact.path())?;
        }
        fs::write(folder.join(SUMS), sums)?;
        Ok(())
    }

    /// Reads a backup's manifest; refuses one that is unfinished, damaged or of another format.
    pub(in crate::commands) fn read(folder: &Path) -> anyhow::Result<Self> {
        let sums = fs::read_to_string(folder.join(SUMS)).with_context(|| {
            format!(
                "{} is no finished backup: it has no readable {SUMS}",
                folder.display()
            )
        })?;
        let text = fs::read_to_string(folder.join(MANIFEST))
            .with_context(|| format!("{} has no readable {MANIFEST}", folder.display()))?;
        let found = format!("{}  {MANIFEST}", sha256_hex(text.as_bytes()));
        ensure!(
            sums.lines().any(|line| line == found),
            "{MANIFEST} is damaged: its hash is not the one in {SUMS}"
        );
        let manifest: Self = serde_json::from_str(&text)
            .with_context(|| format!("{MANIFEST} is no manifest of this version of Speedwell"))?;
        ensure!(
            manifest.format == FORMAT,
            "the backup has format {}, this version reads {FORMAT}",
            manifest.format
        );
        let odd = manifest
            .artefacts
            .iter()
            .find(|artefact| !is_sha256(&artefact.sha256));
        ensure!(
            odd.is_none(),
            "{MANIFEST}: {:?} is no name of an artefact",
            odd.map(|artefact| &artefact.sha256)
        );
        Ok(manifest)
    }

    /// Bytes of everything that is copied.
    pub(in crate::commands) fn bytes(&self) -> u64 {
        let artefacts: u64 = self.artefacts.iter().map(|artefact| artefact.bytes).sum();
        self.database.bytes + artefacts
    }

    /// Compares every file with its size and hash. The error names the first that differs.
    pub(in crate::commands) fn verify(
        &self,
        folder: &Path,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let mut done = 0;
        let mut check = |name: &str, bytes: u64, sha256: &str| {
            let found = hash_file(&folder.join(name))
                .with_context(|| format!("{name}: the backup's file cannot be read"))?;
            ensure!(
                found.bytes == bytes && found.sha256 == sha256,
                "{name} is damaged: {} bytes with the hash {}, expected {bytes} bytes with {sha256}. Nothing was restored.",
                found.bytes,
                found.sha256
            );
            done += bytes;
            progress(done);
            Ok(())
        };
        check(DATABASE, self.database.bytes, &self.database.sha256)?;
        let configuration = &self.configuration;
        check(CONFIGURATION, configuration.bytes, &configuration.sha256)?;
        for artefact in &self.artefacts {
            check(&artefact.path(), artefact.bytes, &artefact.sha256)?;
        }
        Ok(())
    }
}

/// Size and hash of a file.
pub(in crate::commands) fn hash_file(path: &Path) -> anyhow::Result<File> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(part) = piece.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        bytes += part.len() as u64;
    }
    Ok(File {
        bytes,
        sha256: hex::encode(hasher.finalize()),
    })
}
