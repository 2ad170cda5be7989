//! Packages of PyPI, as wheels: programs of others that speak with the service or read what it writes.

use std::path::PathBuf;
use std::process::Command;

/// Unpacks packages (`name==version`) into a folder of that name, once for all tests of this machine; what they need is named beside them.
pub fn packages(folder: &str, wanted: &[&str]) -> PathBuf {
    let folder = std::env::temp_dir().join(folder);
    if !folder.join("ready").exists() {
        let done = Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--root-user-action=ignore",
                "--no-deps",
                "--only-binary=:all:",
            ])
            .arg("--target")
            .arg(&folder)
            .args(wanted)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        std::fs::write(folder.join("ready"), "").unwrap();
    }
    folder
}
