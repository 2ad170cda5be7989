//! `pg_dump` and `pg_restore` of the same folder as the server's binaries.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use speedwell_backend::cluster;
use tokio::process::Command;

/// Writes the database, as the snapshot shows it, to one compressed file.
pub(super) async fn dump(url: &str, snapshot: &str, file: &Path) -> anyhow::Result<()> {
    let mut command = program("pg_dump", url)?;
    command
        .args(["--format=custom", "--compress=4", "--no-owner"])
        .arg("--no-privileges")
        .arg(format!("--snapshot={snapshot}"))
        .arg("--file")
        .arg(file);
    run("pg_dump", command).await
}

/// Fills an empty database from a dump, in one transaction.
pub(in crate::commands) async fn restore(url: &str, file: &Path) -> anyhow::Result<()> {
    let mut command = program("pg_restore", url)?;
    command
        .args(["--single-transaction", "--exit-on-error", "--no-owner"])
        .arg("--no-privileges")
        .arg(file);
    run("pg_restore", command).await
}

/// The program with the address of the database. A password goes by the environment: arguments can be read by everyone on this machine.
fn program(name: &str, url: &str) -> anyhow::Result<Command> {
    let (url, password) = without_password(url);
    let mut command = Command::new(cluster::find_program(name)?);
    command
        .arg(format!("--dbname={url}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    Ok(command)
}

async fn run(name: &str, mut command: Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .await
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// A URL without its password, and the password.
fn without_password(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let place_ends = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(place_ends);
    let Some((user, password)) = place
        .rsplit_once('@')
        .and_then(|(user, host)| Some((user.split_once(':')?, host)))
        .map(|((user, password), host)| (format!("{user}@{host}"), password))
    else {
        return (url.to_owned(), None);
    };
    (format!("{scheme}://{user}{path}"), Some(decode(password)))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| others.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_leaves_the_address() {
        for (url, bare, password) in [
            (
                "postgres://me:p%40ss%25@db:5432/it?sslmode=require",
                "postgres://me@db:5432/it?sslmode=require",
                Some("p@ss%"),
            ),
            (
                "postgres://me@%2Frun%2Fx/it",
                "postgres://me@%2Frun%2Fx/it",
                None,
            ),
            ("host=/run", "host=/run", None),
        ] {
            let found = without_password(url);
            assert_eq!((found.0.as_str(), found.1.as_deref()), (bare, password));
        }
    }
}
