//! The pinned pip that installs a lock: two, because no one pip knows Python 2.7 and 3.12.

use std::path::{Path, PathBuf};

use crate::bench::fetch::ensure;
use crate::bench::suite::Package;

/// pip for interpreters before 3.8, and for all others.
const PIPS: [(&str, &str, &str); 2] = [
    (
        "20.3.4",
        "pip-20.3.4-py2.py3-none-any.whl",
        "217ae5161a0e08c0fb873858806e3478c9775caffce5168b50ec885e358c199d",
    ),
    (
        "25.0.1",
        "pip-25.0.1-py3-none-any.whl",
        "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f",
    ),
];

/// Fetches both, where they are not there.
pub fn fetch(pips: &Path) -> anyhow::Result<()> {
    for (version, file, sha256) in PIPS {
        let package = Package {
            name: "pip".to_owned(),
            version: version.to_owned(),
            file: file.to_owned(),
            sha256: sha256.to_owned(),
            folder: String::new(),
            library: false,
        };
        ensure(&package, &pips.join(version))?;
    }
    Ok(())
}

/// The folder to import it from, for interpreters before 3.8 or for all others.
pub fn folder(pips: &Path, old: bool) -> PathBuf {
    pips.join(PIPS[usize::from(!old)].0).join("packages/pip")
}

/// Arguments of the interpreter that installs a list from a folder of files.
pub fn command(pip: &Path, links: &Path, target: &Path, list: &Path) -> Vec<String> {
    vec![
        pip.join("pip").to_string_lossy().into_owned(),
        "install".to_owned(),
        "--quiet".to_owned(),
        "--disable-pip-version-check".to_owned(),
        "--no-index".to_owned(),
        format!("--find-links={}", links.display()),
        "--no-deps".to_owned(),
        "--no-build-isolation".to_owned(),
        "--no-cache-dir".to_owned(),
        // It expects compiled files where Debian's PyPy 2 does not put them.
        "--no-compile".to_owned(),
        format!("--target={}", target.display()),
        format!("--requirement={}", list.display()),
    ]
}
