//! Debian's archive, by apt with lists of its own: a suite that the host itself does not use, from the host's mirror.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use speedwell_wire::PinnedPackage;

use super::run;
use crate::process::Stop;

/// Debian's keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Downloads one package of a suite into a folder. The suite's lists are read when they are not here yet, and again
/// when they do not know the version.
pub fn download(
    package: &PinnedPackage,
    suite: &str,
    downloads: &Path,
    folder: &Path,
    stop: &Stop,
) -> anyhow::Result<()> {
    ensure!(
        !suite.is_empty() && suite.bytes().all(|byte| byte.is_ascii_lowercase()),
        "{suite:?} is no suite of Debian"
    );
    let apt = Apt::prepare(suite, downloads, stop)?;
    let wanted = format!("{}={}", package.name, package.version);
    if apt.is_new {
        apt.run(&["update"], folder, stop)?;
        return apt.run(&["download", &wanted], folder, stop);
    }
    apt.run(&["download", &wanted], folder, stop).or_else(|_| {
        apt.run(&["update"], folder, stop)?;
        apt.run(&["download", &wanted], folder, stop)
    })
}

/// An apt that leaves the host's own alone.
struct Apt {
    options: Vec<String>,
    is_new: bool,
}

impl Apt {
    fn prepare(suite: &str, downloads: &Path, stop: &Stop) -> anyhow::Result<Self> {
        let home: PathBuf = std::path::absolute(downloads)?.join(format!("apt-{suite}"));
        for folder in ["lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(home.join(folder))?;
        }
        let mirrors = mirrors(&home, stop)?;
        let source =
            |uri: &str, suite: &str| format!("deb [signed-by={KEYRING}] {uri} {suite} main\n");
        let sources = mirrors
            .iter()
            .map(|(uri, security)| {
                let ending = if *security { "-security" } else { "" };
                source(uri, &format!("{suite}{ending}"))
            })
            .collect::<String>();
        fs::write(home.join("sources.list"), sources)?;
        let path = |name: &str| home.join(name).display().to_string();
        let is_new = !fs::read_dir(home.join("lists"))?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().ends_with("_Packages"));
        let options = [
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", path("parts")),
            ("Dir::State::lists", path("lists")),
            ("Dir::State::status", "/dev/null".to_owned()),
            ("Dir::Cache", path("cache")),
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            // An archived suite's lists are not signed anew.
            ("Acquire::Check-Valid-Until", "false".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
        Ok(Self { options, is_new })
    }

    fn run(&self, arguments: &[&str], folder: &Path, stop: &Stop) -> anyhow::Result<()> {
        let mut command = vec!["apt-get", "--quiet=2"];
        for option in &self.options {
            command.extend(["-o", option]);
        }
        command.extend(arguments);
        run(&command, folder, stop)
            .map(drop)
            .context("cannot fetch from Debian's archive (it is needed once)")
    }
}

/// The addresses of the host's own sources for Debian, and whether each is the security archive.
fn mirrors(folder: &Path, stop: &Stop) -> anyhow::Result<Vec<(String, bool)>> {
    let text = run(
        &[
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
        ],
        folder,
        stop,
    )?;
    let mut found: Vec<(String, bool)> = Vec::new();
    for line in text.lines() {
        let uri = line.trim().trim_end_matches('/');
        let security = uri.ends_with("/debian-security");
        let known = found.iter().any(|(_, other)| *other == security);
        if (security || uri.ends_with("/debian")) && !known {
            found.push((uri.to_owned(), security));
        }
    }
    ensure!(
        found.iter().any(|(_, security)| !security),
        "this host's apt has no source of Debian"
    );
    Ok(found)
}
