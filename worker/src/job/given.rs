//! Files in folders that the box may write to. The worker may be root, and whatever lies there may be made to fool it: a link to a
//! secret or to a device without end, a pipe that nobody writes to, a folder that is a link to the host's own.
//!
//! Nothing of the box is alive when these are called, so what was looked at stays as it was seen.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::process::{self, Stop};

/// A tree of folders so deep that removing it takes longer is for an operator.
const REMOVAL: Duration = Duration::from_secs(600);

fn refuse(path: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} is {what}: refused", path.display()),
    )
}

/// Opens a regular file that the box has left; no link, and without waiting for anybody.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        // What open(2) says of a link, and of a socket.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO)) => {
            return Err(refuse(path, "no regular file"));
        }
        other => other?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(refuse(path, "no regular file"))
    }
}

/// Reads a regular file that the box has left, of at most so many bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(refuse(path, &format!("larger than {most} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], as text.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    read(path, most).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file of the worker's own where the box has written before: what has its name goes, and is not written through.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Refuses a folder that is not really where its path says: one of its parts, below a folder of the worker's, is a link.
pub fn really_below(path: &Path, root: &Path) -> io::Result<()> {
    let Ok(rest) = path.strip_prefix(root) else {
        return Err(refuse(path, "outside of the job's folder"));
    };
    if fs::canonicalize(path)? == fs::canonicalize(root)?.join(rest) {
        Ok(())
    } else {
        Err(refuse(path, "reached by a link"))
    }
}

/// Removes a folder with all that is in it, however deep it is: by the system's program, for the library's function calls itself for
/// each level, and 20 000 of them overflow the stack.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::symlink_metadata(path)?;
    let name = path.to_string_lossy();
    let command = [
        "rm",
        "--recursive",
        "--force",
        "--one-file-system",
        "--",
        &name,
    ];
    let (end, text) = process::output(&command, Path::new("/"), REMOVAL, &Stop::default())?;
    if end.success() {
        return Ok(());
    }
    let last = text.lines().last().unwrap_or_default();
    Err(io::Error::other(format!(
        "rm ended with {}: {last}",
        end.describe()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_are_read_and_none_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("good"), "text").unwrap();
        symlink("good", at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        fs::create_dir(at("folder")).unwrap();
        assert_eq!(read_text(&at("good"), 4).unwrap(), "text");
        assert!(
            read(&at("good"), 3)
                .unwrap_err()
                .to_string()
                .contains("larger than 3")
        );
        for name in ["link", "endless", "pipe", "socket", "folder"] {
            let error = read(&at(name), 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
        }
        assert_eq!(
            read(&at("none"), 1).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_file_of_the_workers_own_is_not_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, planted) = (folder.path().join("victim"), folder.path().join(".ready"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &planted).unwrap();
        write(&planted, "mine").unwrap();
        write(&planted, "mine").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(fs::symlink_metadata(&planted).unwrap().is_file());
    }

    #[test]
    fn a_folder_that_a_link_leads_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("job");
        fs::create_dir_all(root.join("build/installed/opt")).unwrap();
        let prefix = root.join("build/installed/opt/python");
        symlink("/usr", &prefix).unwrap();
        assert!(really_below(&prefix, &root).is_err());
        assert!(really_below(&root.join("build/installed/opt"), &root).is_ok());
        assert!(really_below(Path::new("/usr"), &root).is_err());
        assert!(really_below(&root.join("build/none"), &root).is_err());
    }

    #[test]
    fn a_tree_deeper_than_there_are_descriptors_goes() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("deep");
        fs::create_dir(&deep).unwrap();
        let script = "import os\nfor _ in range(20000): os.mkdir('d'); os.chdir('d')\n";
        let made = process::output(&["python3", "-c", script], &deep, REMOVAL, &Stop::default());
        assert!(made.unwrap().0.success());
        remove(&deep).unwrap();
        assert!(!deep.exists());
        assert_eq!(remove(&deep).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
