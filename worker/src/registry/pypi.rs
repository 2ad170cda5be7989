//! The Python package index, by pip.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::process::Stop;

/// Which of a version's files is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A wheel.
    Wheel,
    /// A source archive.
    Source,
}

/// Downloads one file into a folder; pip checks the hash before it looks into the file.
pub fn download(
    name: &str,
    version: &str,
    sha256: &str,
    form: Form,
    folder: &Path,
    stop: &Stop,
) -> anyhow::Result<()> {
    let lock = folder.join(format!("{name}.lock"));
    fs::write(&lock, format!("{name}=={version} --hash=sha256:{sha256}\n"))?;
    let form = match form {
        Form::Wheel => "--only-binary=:all:",
        Form::Source => "--no-binary=:all:",
    };
    let (lock, to) = (lock.to_string_lossy(), folder.to_string_lossy());
    let command = [
        "python3",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        form,
        "--require-hashes",
        "--requirement",
        &lock,
        "--dest",
        &to,
    ];
    super::run(&command, folder, stop)
        .map(drop)
        .with_context(|| {
            format!("cannot fetch {name} {version} from the package index (it is needed once)")
        })
}
