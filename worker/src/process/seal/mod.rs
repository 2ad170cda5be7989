//! The sealed file system of the box: what a program in it can see, and the little that it can change.
//!
//! The worker describes it ([`Seal`]); the hidden command `speedwell-worker seal` makes it, in mount and process namespaces that
//! `unshare` has just made, and then becomes the rest of the box's command line. Whatever is not named here is not there: the
//! root is a new, empty file system with the system's own folders in it, read-only. So nobody has to know where a host keeps its
//! secrets or its sockets.

mod mounts;
mod root;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

/// A benchmark has its events on descriptor 3 and its answers on 4; nothing has more.
const FIRST_CLOSED: u32 = 5;

/// What the box's file system is made of. Every path is absolute and has the same name inside as outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The worker's own program, which makes the box.
    #[serde(skip)]
    pub program: PathBuf,
    /// Folders (or single files) beside the system's own that can be read. Those that are not there are left out.
    pub visible: Vec<PathBuf>,
    /// Folders that can be written, by whom their owner lets.
    pub writable: Vec<PathBuf>,
    /// Files that are empty in the box: secrets that lie in a folder of the system's.
    pub hidden: Vec<PathBuf>,
    /// A folder in place of the box's own empty `/tmp`, which is in memory.
    pub tmp: Option<PathBuf>,
    /// The most that `/tmp` and `/dev/shm` hold, each, in MiB.
    pub memory_folder_mib: u64,
    /// The control group to enter first.
    pub group: Option<PathBuf>,
}

impl Seal {
    /// The words that run a command in the sealed file system.
    pub fn words(&self) -> Vec<OsString> {
        // A description of strings and paths from a configuration of UTF-8 can always be written.
        let plan = serde_json::to_string(self).unwrap_or_default();
        vec![
            self.program.clone().into(),
            "seal".into(),
            plan.into(),
            "--".into(),
        ]
    }
}

/// Does what [`Seal::words`] ask for: enters the group, makes the file system, and becomes the command. Returns only an error.
pub fn enter(plan: &str, command: &[OsString]) -> anyhow::Result<()> {
    let seal: Seal = serde_json::from_str(plan).context("the box's description")?;
    let mounts = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    // By hand and as root it would take the host's own root away. Whoever may not look at process 1 cannot do that.
    ensure!(
        mounts("self") != mounts("1"),
        "the worker itself starts this, in a mount namespace of its own"
    );
    let folder = std::env::current_dir().context("the working folder")?;
    if let Some(group) = &seal.group {
        // 0: whoever writes it.
        std::fs::write(group.join("cgroup.procs"), "0")
            .with_context(|| format!("cannot enter the control group {}", group.display()))?;
    }
    // Where the memory of the host runs out, the kernel ends a program of the box first.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::debug!("the order of ending is as it was: {error}");
    }
    mounts::close_from(FIRST_CLOSED).context("cannot close what was left open")?;
    root::make(&seal)?;
    // The old working folder is a way out of the new root.
    std::env::set_current_dir(&folder)
        .with_context(|| format!("{} is not in the box", folder.display()))?;
    let [program, arguments @ ..] = command else {
        bail!("the box has no command");
    };
    let error: io::Error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", Path::new(program).display()))
}
