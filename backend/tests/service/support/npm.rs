//! A file of a package of the npm registry, fetched by npm and known by its hash.

use std::process::Command;

/// Fetches a package (`name@version`) and returns one of its files, which must have this SHA-256.
pub fn file(package: &str, path: &str, sha256: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; deploy/test installs it"));
        assert!(
            done.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8(done.stdout).unwrap()
    };
    let packed = run("npm", &["pack", "--silent", package]);
    run("tar", &["-xzf", packed.trim()]);
    let bytes = std::fs::read(folder.path().join("package").join(path)).unwrap();
    assert_eq!(hex::encode(sha2::Sha256::digest(&bytes)), sha256);
    bytes
}
