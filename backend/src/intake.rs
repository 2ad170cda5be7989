//! Takes in results that others measured: finds their place, keeps the raw file, stores the run. Doors and commands share it.

use std::io::Read as _;

use bytes::Bytes;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::artefacts::{Artefacts, sha256_hex};
use crate::db::imports::{self, ImportHost, Place, Raw, Sender, Stored};
use crate::db::{audit, enqueue, repositories};
use crate::domain::audit::Action;
use crate::domain::import::Import;
use crate::domain::run_report::Invalid;

/// A file that unpacks to more bytes than this is refused: a run of pyperformance with every sample has less than one percent of it.
pub const LARGEST_UNPACKED: u64 = 256 << 20;

/// Why an import is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A field is wrong; nothing was stored.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is a run already, and the sender wants no second.
    #[error("run {0} is there already for this runtime, commit and host")]
    Duplicate(i64),
    /// It is not the file's fault.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Runtime and host of imports, known by their names.
#[derive(Debug, Clone)]
pub struct Target {
    /// The runtime's key.
    pub runtime_id: i64,
    /// Its name.
    pub runtime: String,
    /// The host.
    pub host: ImportHost,
}

/// A run that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The run.
    pub run_id: i64,
    /// False when the same file was there already.
    pub created: bool,
    /// Benchmarks of it.
    pub benchmarks: usize,
    /// Measurements of it.
    pub measurements: usize,
}

/// Unpacks what is packed by gzip, and leaves the rest as it is.
pub fn unpack(bytes: &[u8]) -> Result<Vec<u8>, Invalid> {
    let mut plain = Vec::new();
    let read = if bytes.starts_with(b"\x1f\x8b") {
        // Several members one after the other are one file, as for gzip itself.
        flate2::read::MultiGzDecoder::new(bytes)
            .take(LARGEST_UNPACKED + 1)
            .read_to_end(&mut plain)
    } else {
        bytes.take(LARGEST_UNPACKED + 1).read_to_end(&mut plain)
    };
    read.map_err(|error| Invalid::new("body", format!("does not unpack: {error}")))?;
    if plain.len() as u64 > LARGEST_UNPACKED {
        let message = format!("unpacks to more than {} MiB", LARGEST_UNPACKED >> 20);
        return Err(Invalid::new("body", message));
    }
    Ok(plain)
}

/// Finds a runtime and a host for imports; what is missing is told with the fix.
pub async fn find_target(pool: &PgPool, runtime: &str, host: &str) -> Result<Target, Refusal> {
    let runtime_id = repositories::find_runtime(pool, runtime).await?;
    let runtime_id = runtime_id.ok_or_else(|| {
        let message = format!(
            "there is no runtime {runtime:?} in speedwell.toml: add a [[runtime]] with this name (and `imported = true` where our hosts shall not measure it)"
        );
        Invalid::new("runtime", message)
    })?;
    let found = imports::find_host(pool, host).await?.ok_or_else(|| {
        let message = format!(
            "there is no host {host:?}: make it with `speedwell-backend host add {host} --imported`"
        );
        Invalid::new("host", message)
    })?;
    if !found.imported {
        let message = format!(
            "{host:?} is a host of ours, whose worker measures: results of others need a host of their own, made with `speedwell-backend host add NAME --imported`"
        );
        return Err(Invalid::new("host", message).into());
    }
    Ok(Target {
        runtime_id,
        runtime: runtime.to_owned(),
        host: found,
    })
}

/// The commit of a runtime's repository that a tag or a hash's beginning names: its key and whole hash.
pub async fn find_commit(
    pool: &PgPool,
    target: &Target,
    name: &str,
) -> Result<(i64, String), Refusal> {
    let name = name.trim();
    // PyPy's scripts name commits of its former Mercurial repository as `12345:abcdef012345`.
    let plain = name.rsplit_once(':').map_or(name, |(_, hash)| hash);
    let plain = plain.strip_suffix('+').unwrap_or(plain).to_lowercase();
    let mut found = enqueue::find_commits(pool, target.runtime_id, name).await?;
    if found.is_empty() {
        found = enqueue::find_commits(pool, target.runtime_id, &plain).await?;
    }
    let shown: String = name.chars().take(80).collect();
    let message = match found.as_slice() {
        [(id, hash)] => return Ok((*id, hash.clone())),
        [] => format!(
            "{shown:?} is no commit or tag of the repository of {}: give seven digits of the hash or more, or a tag; a commit that is new there is known after the next look at the repository (`schedule` in speedwell.toml)",
            target.runtime
        ),
        _ => format!("{shown:?} begins more than one commit's hash: give more digits"),
    };
    Err(Invalid::new("commit", message).into())
}

/// Stores an import: the raw file first, then everything else in one transaction. The same file for the same place changes nothing.
pub async fn store(
    pool: &PgPool,
    artefacts: &Artefacts,
    target: &Target,
    (commit_id, hash): &(i64, String),
    import: &Import,
    sender: &Sender<'_>,
) -> Result<Receipt, Refusal> {
    let (benchmarks, measurements) = (import.report.benchmarks.len(), import.measurements.len());
    let content_sha256 = sha256_hex(&import.raw);
    let upload_id = upload_id(import, target, hash, &content_sha256);
    let receipt = |run_id, created| Receipt {
        run_id,
        created,
        benchmarks,
        measurements,
    };
    if let Some((run_id, _)) = crate::db::ingest::find_upload(pool, upload_id).await? {
        return Ok(receipt(run_id, false));
    }
    let packed = zstd::encode_all(import.raw.as_slice(), 3).map_err(anyhow::Error::from)?;
    let bytes = packed.len() as u64;
    let artefact = artefacts.put(Bytes::from(packed)).await?;
    let place = Place {
        runtime_id: target.runtime_id,
        commit_id: *commit_id,
        host: target.host.clone(),
    };
    let raw = Raw {
        artefact: &artefact,
        bytes,
        content_sha256: &content_sha256,
    };
    let mut transaction = pool.begin().await?;
    let stored = imports::store(&mut transaction, &place, import, upload_id, sender, &raw).await?;
    match stored {
        Stored::Known(run_id) => Ok(receipt(run_id, false)),
        Stored::Refused(run_id) => Err(Refusal::Duplicate(run_id)),
        Stored::New(run_id) => {
            let details = json!({
                "runtime": target.runtime, "host": target.host.name, "commit": hash, "format": import.format.as_str(),
                "file": sender.file_name, "benchmarks": benchmarks,
            });
            let subject = format!("run {run_id}");
            let action = Action::ImportResults;
            audit::record(
                &mut *transaction,
                sender.importer,
                action,
                &subject,
                details,
            )
            .await?;
            transaction.commit().await?;
            Ok(receipt(run_id, true))
        }
    }
}

/// The same for the same file in the same place, and for nothing else.
fn upload_id(import: &Import, target: &Target, hash: &str, content_sha256: &str) -> Uuid {
    let place = [
        import.format.as_str(),
        &target.runtime,
        hash,
        &target.host.name,
        content_sha256,
    ];
    let digest = sha256_hex(place.join("\0").as_bytes());
    let digits = digest.get(..32).unwrap_or_default();
    // 32 hexadecimal digits are always a UUID.
    let bytes = u128::from_str_radix(digits, 16).unwrap_or_default();
    Uuid::from_u128(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn packed_and_plain_files_are_the_same_and_bombs_are_refused() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(b"{}").unwrap();
        assert_eq!(unpack(&packer.finish().unwrap()).unwrap(), b"{}");
        assert_eq!(unpack(b"{}").unwrap(), b"{}");
        assert_eq!(unpack(b"\x1f\x8brubbish").unwrap_err().field, "body");
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..=(LARGEST_UNPACKED >> 20) {
            bomb.write_all(&zeros).unwrap();
        }
        assert!(
            unpack(&bomb.finish().unwrap())
                .unwrap_err()
                .message
                .contains("more than 256 MiB")
        );
    }
}
