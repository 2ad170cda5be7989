//! Content-addressed storage of builds, raw run files and logs, behind the `object_store` crate.
//!
//! An object's path is its SHA-256, so writing twice is harmless and a reader can check what it got.
//! The row in `artefact` is written after the object: a crash between the two leaves an object that
//! nobody refers to, never a reference to nothing.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

/// Lower-case hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// True for 64 lower-case hex digits: the only names an artefact can have.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The store.
#[derive(Clone)]
pub struct Artefacts {
    store: Arc<dyn ObjectStore>,
}

impl Artefacts {
    /// The configured store, or a folder below `data`. Keys are secrets: they come by the environment (`AWS_…`), as in every program
    /// that speaks S3.
    pub fn open(store: Option<&str>, data: &Path) -> anyhow::Result<Self> {
        match store {
            Some(url) => Self::by_url(
                url,
                std::env::vars().filter(|(name, _)| name.starts_with("AWS_")),
            ),
            None => Self::in_folder(&data.join("artefacts")),
        }
    }

    /// A store in a folder, which is made when missing.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the artefact folder {}", folder.display()))?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// A store by URL: `file:///…`, or `s3://BUCKET/PREFIX` of any server that speaks S3. `settings` are names and values as the
    /// `object_store` crate knows them (`AWS_ENDPOINT`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, …); others are ignored.
    pub fn by_url(
        url: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        // Refused when somebody has installed the same before: that is fine.
        drop(rustls::crypto::ring::default_provider().install_default());
        let parsed = url
            .parse()
            .with_context(|| format!("store: {url:?} is not a URL"))?;
        let settings = settings
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (store, prefix) = object_store::parse_url_opts(&parsed, settings)
            .with_context(|| format!("store: {url:?} cannot be opened"))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        Ok(Self {
            store: Arc::new(object_store::prefix::PrefixStore::new(store, prefix)),
        })
    }

    /// Stores bytes under their hash and returns it. Repeating it changes nothing, but that an object counts as new again:
    /// [`Artefacts::remove`] leaves those alone.
    pub async fn put(&self, bytes: Bytes) -> anyhow::Result<String> {
        let sha256 = sha256_hex(&bytes);
        let path = object_path(&sha256);
        let found = self.store.head(&path).await;
        let is_new = found.is_ok_and(|object| age(&object) < NEW / 2);
        if !is_new {
            self.store
                .put(&path, PutPayload::from_bytes(bytes))
                .await
                .context("cannot store the artefact")?;
        }
        Ok(sha256)
    }

    /// The bytes of an artefact; `None` when the store does not have it.
    /// An object whose bytes no longer match its name is an error, never an answer.
    pub async fn get(&self, sha256: &str) -> anyhow::Result<Option<Bytes>> {
        if !is_sha256(sha256) {
            return Ok(None);
        }
        match self.store.get(&object_path(sha256)).await {
            Ok(object) => {
                let bytes = object.bytes().await?;
                anyhow::ensure!(
                    sha256_hex(&bytes) == sha256,
                    "artefact {sha256} is damaged in the store"
                );
                Ok(Some(bytes))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).context(format!("cannot read artefact {sha256}")),
        }
    }

    /// Takes an object away unless it was stored within the last day: whoever stores it now is about to refer to it.
    /// Whether it is gone; one that was not there is.
    pub async fn remove(&self, sha256: &str) -> anyhow::Result<bool> {
        anyhow::ensure!(is_sha256(sha256), "{sha256:?} is no artefact");
        let path = object_path(sha256);
        let gone = match self.store.head(&path).await {
            Ok(object) if age(&object) < NEW => return Ok(false),
            Ok(_) => self.store.delete(&path).await,
            Err(error) => Err(error),
        };
        match gone {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(true),
            Err(error) => Err(error).context(format!("cannot remove artefact {sha256}")),
        }
    }
}

/// For so long an object is new.
const NEW: TimeDelta = TimeDelta::days(1);

fn age(object: &ObjectMeta) -> TimeDelta {
    Utc::now() - object.last_modified
}

fn object_path(sha256: &str) -> ObjectPath {
    ObjectPath::from(format!("{}/{sha256}", &sha256[..2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_old_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts::in_folder(folder.path()).unwrap();
        let sha256 = artefacts.put(Bytes::from_static(b"build")).await.unwrap();
        assert!(!artefacts.remove(&sha256).await.unwrap(), "it is new");
        let path = folder.path().join(&sha256[..2]).join(&sha256);
        let make_old = || {
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(old).unwrap();
        };
        make_old();
        artefacts.put(Bytes::from_static(b"build")).await.unwrap();
        assert!(!artefacts.remove(&sha256).await.unwrap(), "new again");
        make_old();
        assert!(artefacts.remove(&sha256).await.unwrap());
        assert!(artefacts.remove(&sha256).await.unwrap(), "gone already");
        assert!(artefacts.get(&sha256).await.unwrap().is_none());
        assert!(artefacts.remove("../x").await.is_err());
    }

    #[tokio::test]
    async fn what_was_put_is_found_by_its_hash_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts::in_folder(folder.path()).unwrap();
        let sha256 = artefacts.put(Bytes::from_static(b"build")).await.unwrap();
        assert_eq!(
            artefacts.put(Bytes::from_static(b"build")).await.unwrap(),
            sha256
        );
        assert_eq!(artefacts.get(&sha256).await.unwrap().unwrap(), "build");
        assert!(
            artefacts
                .get(&sha256_hex(b"other"))
                .await
                .unwrap()
                .is_none()
        );
        assert!(artefacts.get("../../etc/passwd").await.unwrap().is_none());
        std::fs::write(folder.path().join(&sha256[..2]).join(&sha256), b"changed").unwrap();
        assert!(
            artefacts
                .get(&sha256)
                .await
                .unwrap_err()
                .to_string()
                .contains("damaged")
        );
    }
}
