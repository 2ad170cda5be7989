//! The system calls behind the sealed file system: mount(2), mount_setattr(2), close_range(2).

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};

/// Cannot be written.
pub const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// Programs there give nobody another user.
pub const NO_SETUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// Device nodes there are no devices.
pub const NO_DEVICES: u64 = libc::MOUNT_ATTR_NODEV;

/// Shows a folder or file, with what is mounted below it, in another place.
pub fn bind(from: &Path, to: &Path) -> anyhow::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot show {} as {}", from.display(), to.display()))
}

/// Mounts an empty file system in memory of at most so many MiB, with the mode of its root.
pub fn memory(at: &Path, mebibytes: u64, mode: &str) -> anyhow::Result<()> {
    let options = format!("size={mebibytes}m,mode={mode}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("speedwell"),
        at,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount memory as {}", at.display()))
}

/// Mounts one of the kernel's own file systems.
pub fn kernels(kind: &str, at: &Path, flags: MsFlags, options: &str) -> anyhow::Result<()> {
    mount(Some(kind), at, Some(kind), flags, Some(options))
        .with_context(|| format!("cannot mount {kind} as {}", at.display()))
}

/// Nothing that is mounted in this namespace shows in another.
pub fn keep_to_ourselves() -> anyhow::Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .context("cannot keep the box's mounts to itself")
}

/// Has every descriptor from this one on closed when the process becomes another program: an open folder of whoever started the worker
/// would be a way out. Needs Linux 5.11.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers alone, and closes nothing yet.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets and clears attributes of a mount; `deep`: of all below it too. Needs Linux 5.12.
pub fn change(at: &Path, set: u64, clear: u64, deep: bool) -> anyhow::Result<()> {
    let path = CString::new(at.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if deep { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with a zero byte and lives through the call, as do the attributes, whose size is given.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error()).with_context(|| {
        format!(
            "cannot change the mount {} (this needs Linux 5.12)",
            at.display()
        )
    })
}
