//! The Python package index, as pip has it set up: files by their hash from the simple index (PEP 503). pip's own
//! `download` would run a source archive's setup to look at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::process::Stop;

/// Downloads the file of a project that has this hash; the caller verifies it.
pub fn download(name: &str, sha256: &str, folder: &Path, stop: &Stop) -> anyhow::Result<PathBuf> {
    let index = index(folder, stop)?;
    let fetch = async {
        let work = from_index(&index, name, sha256, folder);
        tokio::select! {
            outcome = work => outcome,
            () = asked(stop) => anyhow::bail!("the job was asked to stop"),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A thread of its own: the caller may be one of another runtime's.
    let outcome = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(fetch)).join());
    outcome
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .with_context(|| format!("cannot fetch {name} from the package index (it is needed once)"))
}

async fn asked(stop: &Stop) {
    while !stop.is_requested() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The index that pip uses on this host, asked once in the worker's life: a lock has a hundred files, and pip takes a second.
fn index(folder: &Path, stop: &Stop) -> anyhow::Result<reqwest::Url> {
    static INDEX: OnceLock<reqwest::Url> = OnceLock::new();
    if let Some(known) = INDEX.get() {
        return Ok(known.clone());
    }
    let found = configured_index(folder, stop)?;
    Ok(INDEX.get_or_init(|| found).clone())
}

fn configured_index(folder: &Path, stop: &Stop) -> anyhow::Result<reqwest::Url> {
    let settings = super::run(&["python3", "-m", "pip", "config", "list"], folder, stop)?;
    let configured = settings.lines().rev().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.ends_with(".index-url")
            .then(|| value.trim_matches(['\'', '"']).to_owned())
    });
    let index = configured.unwrap_or_else(|| "https://pypi.org/simple".to_owned());
    let index = format!("{}/", index.trim_end_matches('/'));
    reqwest::Url::parse(&index).with_context(|| format!("pip's index-url {index:?} is no URL"))
}

async fn from_index(
    index: &reqwest::Url,
    name: &str,
    sha256: &str,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let client = crate::backend::http_client(super::TIMEOUT)?;
    let page = index.join(&format!("{}/", normalised(name)))?;
    let text = client
        .get(page.clone())
        .send()
        .await?
        .error_for_status()?
        .text()
        .await?;
    let link = link_of(&text, sha256)
        .with_context(|| format!("{page} has no file with the hash {sha256}"))?;
    let url = page.join(link)?;
    let file = url
        .path_segments()
        .and_then(|mut parts| parts.next_back())
        .unwrap_or_default();
    ensure!(
        file.starts_with(|c: char| c.is_ascii_alphanumeric())
            && file
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c)),
        "{file:?} is no file name"
    );
    let bytes = client
        .get(url.clone())
        .send()
        .await?
        .error_for_status()?
        .bytes()
        .await?;
    let path = folder.join(file);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// PEP 503: runs of `-`, `_` and `.` are one `-`.
fn normalised(name: &str) -> String {
    let parts: Vec<&str> = name
        .split(['-', '_', '.'])
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("-").to_lowercase()
}

/// The address in front of `#sha256=HASH`.
fn link_of<'a>(page: &'a str, sha256: &str) -> Option<&'a str> {
    let end = page.find(&format!("#sha256={sha256}"))?;
    page[..end].rsplit_once(['"', '\'']).map(|(_, link)| link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    #[tokio::test]
    async fn a_file_is_found_by_its_hash_and_its_address_is_relative_to_the_page() {
        let server = MockServer::start().await;
        let text = "<a href=\"../../files/six-1.0.tar.gz#sha256=aa\">x</a>\n<a href='../../files/six-1.0-py3-none-any.whl#sha256=bb'>y</a>";
        let page = ResponseTemplate::new(200).set_body_string(text);
        Mock::given(path("/simple/zope-six/"))
            .respond_with(page)
            .mount(&server)
            .await;
        let wheel = ResponseTemplate::new(200).set_body_string("wheel");
        Mock::given(path("/files/six-1.0-py3-none-any.whl"))
            .respond_with(wheel)
            .mount(&server)
            .await;
        let folder = tempfile::tempdir().unwrap();
        let index = reqwest::Url::parse(&format!("{}/simple/", server.uri())).unwrap();
        let file = from_index(&index, "Zope.six", "bb", folder.path())
            .await
            .unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "wheel");
        let error = from_index(&index, "Zope.six", "cc", folder.path())
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("has no file with the hash cc"),
            "{error}"
        );
    }
}
