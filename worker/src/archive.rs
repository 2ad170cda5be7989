//! Archives from elsewhere into folders of the worker's own, which may be root: no entry leaves the folder or is more than a file, a
//! folder or a link, and a small archive cannot become a large one.
//!
//! Artefacts come through [`unpack`], entry by entry. What a registry's own program has unpacked (its file had the pinned hash before)
//! goes through [`inspect`], by the same rules.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

/// What an archive may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes of the files for each byte of the archive, once there are [`UNSUSPICIOUS`] of them.
    pub ratio: u64,
}

/// The largest interpreters with their libraries are ten times smaller; they shrink to a quarter or a tenth.
pub const MOST: Most = Most {
    bytes: 8 << 30,
    entries: 500_000,
    ratio: 200,
};

/// So many bytes may come of an archive of any size.
pub const UNSUSPICIOUS: u64 = 256 << 20;

/// An archive that is not as it should be: trying again gives the same.
fn refuse(name: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the archive's entry {name:?} {what}: refused"),
    )
}

/// Counts what comes out.
struct Tally {
    most: Most,
    archive: u64,
    bytes: u64,
    entries: u64,
}

impl Tally {
    fn add(&mut self, name: &Path, bytes: u64) -> io::Result<()> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > self.most.entries {
            return Err(refuse(
                name,
                &format!("is one of more than {}", self.most.entries),
            ));
        }
        if self.bytes > self.most.bytes {
            return Err(refuse(
                name,
                &format!("makes more than {} bytes", self.most.bytes),
            ));
        }
        let allowed = self.archive.saturating_mul(self.most.ratio);
        if self.bytes > allowed.max(UNSUSPICIOUS) {
            let words = format!(
                "makes {} bytes of an archive of {}: no real one shrinks so well",
                self.bytes, self.archive
            );
            return Err(refuse(name, &words));
        }
        Ok(())
    }
}

/// Unpacks a tar archive of `archive` (compressed) bytes into an existing folder. What was unpacked before an error stays: the caller
/// removes the folder.
pub fn unpack(reader: impl Read, archive: u64, folder: &Path, most: Most) -> io::Result<()> {
    let mut tally = Tally {
        most,
        archive,
        bytes: 0,
        entries: 0,
    };
    for entry in tar::Archive::new(reader).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let relative = plain(&name).ok_or_else(|| refuse(&name, "leads out of the folder"))?;
        if relative.as_os_str().is_empty() {
            continue; // `./`
        }
        let size = entry.size();
        tally.add(&name, size)?;
        let path = beneath(folder, &relative).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => refuse(&name, "lies below a link"),
            _ => error,
        })?;
        if fs::symlink_metadata(&path).is_ok_and(|facts| !facts.is_dir()) {
            return Err(refuse(&name, "is there twice"));
        }
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                let executable = entry.header().mode()? & 0o111 != 0;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(if executable { 0o755 } else { 0o644 })
                    .open(&path)?;
                // The size of the header, and not one byte more.
                let written = io::copy(&mut (&mut entry).take(size), &mut file)?;
                if written != size {
                    return Err(refuse(&name, "is cut short"));
                }
                let time = entry.header().mtime()?;
                file.set_modified(
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(time.min(1 << 33)),
                )?;
            }
            EntryType::Symlink => {
                let target = entry
                    .link_name()?
                    .ok_or_else(|| refuse(&name, "is a link to nothing"))?;
                symlink(target, &path)?;
            }
            _ => return Err(refuse(&name, "is no file, folder or symbolic link")),
        }
    }
    Ok(())
}

/// An entry's path without what means nothing; none when it leads elsewhere.
fn plain(name: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// The place of an entry, the folders above it made. None of them may be a link: it could lead anywhere.
fn beneath(folder: &Path, relative: &Path) -> io::Result<PathBuf> {
    let mut place = folder.to_owned();
    let above = relative.parent().unwrap_or(Path::new(""));
    for part in above.components() {
        place.push(part);
        make_folder(&place)?;
    }
    Ok(folder.join(relative))
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(error)
            }
        }
        done => done,
    }
}

/// Refuses a folder in which something is no file, folder or symbolic link, has another name elsewhere, gives its user away, or that
/// is larger than it may be. `archive`: bytes of the file that it came from.
pub fn inspect(folder: &Path, archive: u64, most: Most) -> io::Result<()> {
    let mut tally = Tally {
        most,
        archive,
        bytes: 0,
        entries: 0,
    };
    // The same file under several names within the folder is one file.
    let mut names: std::collections::BTreeMap<(u64, u64), (u64, u64)> = Default::default();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        let entry = entry.map_err(io::Error::other)?;
        let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let facts = entry.path().symlink_metadata()?;
        let kind = facts.file_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            return Err(refuse(name, "is no file, folder or symbolic link"));
        }
        tally.add(name, if kind.is_file() { facts.len() } else { 0 })?;
        if kind.is_file() && facts.mode() & 0o6000 != 0 {
            use std::os::unix::fs::PermissionsExt as _;
            // Packages of a system have such programs; nothing measured needs them.
            let mode = fs::Permissions::from_mode(facts.mode() & 0o777);
            fs::set_permissions(entry.path(), mode)?;
        }
        if kind.is_file() && facts.nlink() > 1 {
            let seen = names
                .entry((facts.dev(), facts.ino()))
                .or_insert((0, facts.nlink()));
            seen.0 += 1;
        }
    }
    match names.values().find(|(seen, links)| seen != links) {
        Some(_) => Err(refuse(folder, "is a file that has another name elsewhere")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
