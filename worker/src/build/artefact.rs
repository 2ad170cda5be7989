//! Artefacts: a prefix as a zstd-compressed tar, the same bytes for the same files, addressed by their hash.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::archive::{self, MOST};
use crate::job::given;

/// The mark of an unpacked prefix; no part of an artefact.
pub const READY: &str = ".ready";

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Lower-case hex SHA-256 of the compressed bytes.
    pub sha256: String,
    /// Compressed size in bytes.
    pub bytes: u64,
    /// Size of the files in bytes.
    pub installed_bytes: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// Packs a folder into `store/SHA256`. The box may have made it: what is no file, folder or link is an error of the kind
/// `InvalidData`, as is more than [`MOST`]. Entries are sorted and carry `mtime`, so the hash depends on the files alone.
pub fn pack(folder: &Path, store: &Path, mtime: u64) -> io::Result<Packed> {
    fs::create_dir_all(store)?;
    let temporary = tempfile::NamedTempFile::new_in(store)?;
    let encoder = zstd::Encoder::new(BufWriter::new(temporary.as_file()), 3)?;
    let mut builder = tar::Builder::new(encoder);
    let (mut installed_bytes, mut entries) = (0, 0);
    for entry in walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.map_err(io::Error::other)?;
        let name = entry
            .path()
            .strip_prefix(folder)
            .map_err(io::Error::other)?;
        let metadata = entry.path().symlink_metadata()?;
        if name == Path::new(READY) {
            continue;
        }
        entries += 1;
        installed_bytes += if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
        if entries > MOST.entries || installed_bytes > MOST.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the build left more than {} files or {} bytes",
                    MOST.entries, MOST.bytes
                ),
            ));
        }
        let mut header = tar::Header::new_gnu();
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        let executable = metadata.permissions().mode() & 0o111 != 0;
        header.set_mode(if metadata.is_dir() || executable {
            0o755
        } else {
            0o644
        });
        if metadata.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, fs::read_link(entry.path())?)?;
        } else if metadata.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            builder.append_data(&mut header, name, io::empty())?;
        } else {
            header.set_size(metadata.len());
            builder.append_data(&mut header, name, given::open(entry.path())?)?;
        }
    }
    builder.into_inner()?.finish()?.flush()?;
    temporary.as_file().sync_all()?;
    let sha256 = hash_file(temporary.path())?;
    let bytes = temporary.path().metadata()?.len();
    let path = store.join(&sha256);
    temporary.persist(&path).map_err(|error| error.error)?;
    Ok(Packed {
        sha256,
        bytes,
        installed_bytes,
        path,
    })
}

/// Unpacks an artefact into a folder that must not exist. What is refused is an error of the kind `InvalidData`.
pub fn unpack(artefact: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = File::open(artefact)?;
    let bytes = file.metadata()?.len();
    archive::unpack(zstd::Decoder::new(file)?, bytes, folder, MOST)
}

/// Lower-case hex SHA-256 of a file.
pub fn hash_file(path: &Path) -> io::Result<String> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_artefact_and_come_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let prefix = folder.path().join(name);
            fs::create_dir_all(prefix.join("bin")).unwrap();
            fs::write(prefix.join("bin/python3.11"), "elf").unwrap();
            fs::set_permissions(
                prefix.join("bin/python3.11"),
                fs::Permissions::from_mode(0o700),
            )
            .unwrap();
            std::os::unix::fs::symlink("python3.11", prefix.join("bin/python3")).unwrap();
            prefix
        };
        let store = folder.path().join("store");
        let first = pack(&make("one"), &store, 7).unwrap();
        let second = pack(&make("two"), &store, 7).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.installed_bytes, 3);
        let out = folder.path().join("out");
        unpack(&first.path, &out).unwrap();
        assert_eq!(
            fs::read_link(out.join("bin/python3")).unwrap(),
            Path::new("python3.11")
        );
        assert_eq!(
            fs::metadata(out.join("bin/python3.11"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o755
        );
        assert_eq!(hash_file(&first.path).unwrap(), first.sha256);
    }

    #[test]
    fn what_a_hostile_build_leaves_is_refused_or_made_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let (prefix, store) = (folder.path().join("prefix"), folder.path().join("store"));
        fs::create_dir(&prefix).unwrap();
        let victim = folder.path().join("victim");
        std::os::unix::fs::symlink(&victim, prefix.join(READY)).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", prefix.join("link")).unwrap();
        fs::write(prefix.join("shell"), "elf").unwrap();
        let setuid = fs::Permissions::from_mode(0o6755);
        fs::set_permissions(prefix.join("shell"), setuid).unwrap();
        let packed = pack(&prefix, &store, 7).unwrap();
        assert_eq!(packed.installed_bytes, 3);
        let out = folder.path().join("out");
        unpack(&packed.path, &out).unwrap();
        assert!(!out.join(READY).exists() && fs::symlink_metadata(out.join(READY)).is_err());
        assert_eq!(
            fs::read_link(out.join("link")).unwrap(),
            Path::new("/etc/shadow")
        );
        let mode = fs::metadata(out.join("shell"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o755);

        let refused = |name: &str| {
            let error = pack(&prefix, &store, 7).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
            fs::remove_file(prefix.join(name)).unwrap();
        };
        nix::unistd::mkfifo(&prefix.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused("pipe");
        drop(std::os::unix::net::UnixListener::bind(prefix.join("socket")).unwrap());
        refused("socket");
        let sparse = File::create(prefix.join("sparse")).unwrap();
        sparse.set_len(100 << 30).unwrap();
        refused("sparse");
    }
}
