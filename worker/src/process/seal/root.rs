//! Making the box's file system, in the order that mounts allow.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::{chdir, pivot_root};

use super::Seal;
use super::mounts::{
    NO_DEVICES, NO_SETUID, READ_ONLY, bind, change, keep_to_ourselves, kernels, memory,
};

/// The folders of a system that programs need. Not among them: everybody's homes, `/run` and `/var` with their sockets, whatever
/// else is mounted.
const SYSTEM: [&str; 12] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu", "snap",
];
/// Devices that programs need, none of which reaches anything.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// What is left of the old root while the new one is made.
const OLD: &str = "/old";
/// Where the new root is made.
const NEW: &str = "/new";

/// Makes the file system and moves into it. The process must have namespaces of its own for mounts and processes.
pub fn make(seal: &Seal) -> anyhow::Result<()> {
    // Links are followed while the old root is the root.
    let visible = sources(&seal.visible, false)?;
    let writable = sources(&seal.writable, true)?;
    let tmp = sources(seal.tmp.as_slice(), true)?.pop();
    let hidden = sources(&seal.hidden, false)?;
    keep_to_ourselves()?;
    step_aside()?;
    system()?;
    match &tmp {
        Some((_, source)) => show(source, Path::new("/tmp"))?,
        None => memory(
            &make_folder(Path::new("/tmp"))?,
            seal.memory_folder_mib,
            "1777",
        )?,
    }
    for (path, source) in visible.iter().chain(&writable) {
        show(source, path)?;
    }
    let sealed = READ_ONLY | NO_SETUID | NO_DEVICES;
    change(Path::new(NEW), sealed, 0, true)?;
    // A folder that is visible may lie within one that is writable, and the other way round: the mount itself counts.
    let open = writable.iter().map(|(path, _)| path.as_path());
    for path in open.chain([Path::new("/tmp")]) {
        change(&inside(path), 0, READ_ONLY, false)?;
    }
    devices(seal.memory_folder_mib)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    kernels("proc", &inside(Path::new("/proc")), flags, "")?;
    for (_, place) in &hidden {
        hide(place)?;
    }
    chdir(NEW)?;
    pivot_root(".", ".").context("cannot make the box's root the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot let go of the host's root")?;
    chdir("/").map_err(Into::into)
}

/// A path as it is named, with the place that it is: links followed. Those that are not there are an error or left out.
fn sources(paths: &[PathBuf], needed: bool) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for path in paths {
        ensure!(
            path.is_absolute() && path.parent().is_some(),
            "the box cannot show {}",
            path.display()
        );
        match fs::canonicalize(path) {
            Ok(source) => found.push((path.clone(), source)),
            Err(error) if needed => {
                return Err(error).with_context(|| format!("the box needs {}", path.display()));
            }
            Err(_) => {}
        }
    }
    // What lies below something else comes after it.
    found.sort_by_key(|(path, _)| path.components().count());
    Ok(found)
}

/// A path in the new root.
fn inside(path: &Path) -> PathBuf {
    Path::new(NEW).join(path.strip_prefix("/").unwrap_or(path))
}

/// A path in the old root.
fn before(path: &Path) -> PathBuf {
    Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes an empty root with the old root and the new one in it, the process's own.
fn step_aside() -> anyhow::Result<()> {
    let base = Path::new("/tmp");
    memory(base, 1, "755")?;
    for name in [OLD, NEW] {
        fs::create_dir(base.join(name.trim_start_matches('/')))?;
    }
    pivot_root(base, &base.join(OLD.trim_start_matches('/')))
        .context("cannot step aside of the host's root")?;
    chdir("/")?;
    memory(Path::new(NEW), 4, "755")
}

/// The system's own folders, and those that are expected to be there and empty.
fn system() -> anyhow::Result<()> {
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        let source = before(&path);
        match fs::symlink_metadata(&source) {
            Ok(facts) if facts.is_symlink() => {
                symlink(fs::read_link(&source)?, inside(&path))?;
            }
            Ok(facts) if facts.is_dir() => show(&path, &path)?,
            Ok(_) | Err(_) => {}
        }
    }
    show(Path::new("/sys"), Path::new("/sys"))?;
    let groups = inside(Path::new("/sys/fs/cgroup"));
    if groups.is_dir() {
        // Some runtimes size themselves by their group's limits: they shall see the machine.
        memory(&groups, 1, "755")?;
    }
    for name in ["dev", "proc", "run", "var", "home", "root"] {
        make_folder(&Path::new("/").join(name))?;
    }
    symlink("/tmp", inside(Path::new("/var/tmp")))?;
    symlink("/run", inside(Path::new("/var/run"))).map_err(Into::into)
}

/// Shows something of the old root in the new one.
fn show(source: &Path, path: &Path) -> anyhow::Result<()> {
    let from = before(source);
    if from.is_dir() {
        return bind(&from, &make_folder(path)?);
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let to = inside(path);
    if fs::symlink_metadata(&to).is_err() {
        fs::write(&to, "").with_context(|| format!("cannot make {}", path.display()))?;
    }
    bind(&from, &to)
}

/// Makes a folder of the new root, where it is not there yet.
fn make_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let folder = inside(path);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(folder)
}

/// A `/dev` with nothing in it that reaches the host.
fn devices(mebibytes: u64) -> anyhow::Result<()> {
    let at = inside(Path::new("/dev"));
    memory(&at, 1, "755")?;
    for name in DEVICES {
        let to = at.join(name);
        fs::write(&to, "")?;
        bind(&before(&Path::new("/dev").join(name)), &to)?;
        change(&to, NO_SETUID, NO_DEVICES, false)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, at.join(name))?;
    }
    fs::create_dir(at.join("pts"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = "newinstance,ptmxmode=0666,mode=620";
    kernels("devpts", &at.join("pts"), flags, options)?;
    fs::create_dir(at.join("shm"))?;
    memory(&at.join("shm"), mebibytes, "1777")?;
    change(&at, READ_ONLY, 0, false)
}

/// Puts emptiness over a file or folder that can be seen. The path has no links in it.
fn hide(path: &Path) -> anyhow::Result<()> {
    let at = inside(path);
    let Ok(facts) = fs::symlink_metadata(&at) else {
        return Ok(());
    };
    if facts.is_dir() {
        memory(&at, 1, "755")?;
        return change(&at, READ_ONLY, 0, false);
    }
    bind(&before(Path::new("/dev/null")), &at)?;
    change(&at, READ_ONLY | NO_SETUID, 0, false)
}
