//! Makes an installed interpreter small: what is not measured goes, debug information too, symbol names stay for profiles.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Workshop;
use crate::job::{Context as _, Failure, given};
use crate::process::{self, Sandbox, Spec};

/// Removes every entry below a folder for which `gone(name, is_folder)` holds. A link to a folder is none.
pub fn remove_where(folder: &Path, gone: &dyn Fn(&str, bool) -> bool) -> std::io::Result<()> {
    if !fs::symlink_metadata(folder).is_ok_and(|facts| facts.is_dir()) {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_folder = entry.file_type()?.is_dir();
        match (gone(&name, is_folder), is_folder) {
            (true, true) => given::remove(&entry.path())?,
            (true, false) => fs::remove_file(entry.path())?,
            (false, true) => remove_where(&entry.path(), gone)?,
            (false, false) => {}
        }
    }
    Ok(())
}

/// Drops debug information; symbol names stay for profiles.
pub fn strip(prefix: &Path, workshop: &Workshop<'_>) -> Result<(), Failure> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(prefix).into_iter().flatten() {
        let name = entry.file_name().to_string_lossy();
        let binary = entry
            .path()
            .parent()
            .is_some_and(|folder| folder.ends_with("bin"));
        if entry.file_type().is_file()
            && (name.ends_with(".so") || (binary && is_elf(entry.path())))
        {
            files.push(entry.into_path().into_os_string());
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut command: Vec<OsString> = vec!["strip".into(), "-g".into(), "--".into()];
    command.extend(files);
    let spec = Spec {
        command,
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: prefix.to_owned(),
        timeout: Duration::from_secs(120),
    };
    let sandbox = Sandbox {
        cpus: None,
        ..workshop.sandbox.clone()
    };
    let end = process::run(&sandbox, &spec, workshop.stop, &mut |line| {
        workshop.log.line(line)
    })
    .transient("cannot run strip")?;
    if end.success() {
        Ok(())
    } else {
        Err(Failure::transient(format!(
            "strip failed with {}",
            end.describe()
        )))
    }
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    given::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_behind_a_link() {
        let place = tempfile::tempdir().unwrap();
        let (hosts, prefix) = (place.path().join("usr"), place.path().join("prefix"));
        fs::create_dir_all(hosts.join("share/test")).unwrap();
        fs::create_dir_all(prefix.join("lib/test")).unwrap();
        std::os::unix::fs::symlink(hosts.join("share"), prefix.join("share")).unwrap();
        std::os::unix::fs::symlink(&hosts, prefix.join("lib/usr")).unwrap();
        remove_where(&prefix.join("share"), &|_, _| true).unwrap();
        remove_where(&prefix, &|name, _| name == "test").unwrap();
        assert!(hosts.join("share/test").exists() && !prefix.join("lib/test").exists());
    }
}
