//! Control groups (the kernel's Documentation/admin-guide/cgroup-v2.rst): what a whole tree of processes may use, and one word that
//! kills it. Version 2 only, and only where the worker may make groups of its own: under systemd by `Delegate=yes`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// The controllers that the box uses.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// The group that the worker itself moves to: a group with processes of its own can give no controllers to groups below it.
const OWN: &str = "worker";
/// Groups of boxes are named so, and a number.
const BOX: &str = "box-";
/// How long an emptied group may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// The place where the worker makes groups, and what each may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    folder: PathBuf,
    /// Memory of all processes of a box with what they keep in file systems in memory and in the page cache, in MiB.
    pub memory_mib: u64,
    /// Processes and threads of a box.
    pub processes: u64,
}

impl Groups {
    /// Prepares this worker's part of the hierarchy, and removes what a killed worker left there. The error says what is missing.
    pub fn open(memory_mib: u64, processes: u64) -> anyhow::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let own = own_folder(&mounts, &groups)?;
        let folder = prepare(&own)?;
        remove_left(&folder);
        Ok(Self {
            folder,
            memory_mib,
            processes,
        })
    }

    /// A new group with the limits set.
    pub fn make(&self) -> io::Result<Group> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{BOX}{}-{number}", std::process::id());
        let group = Group {
            folder: self.folder.join(name),
        };
        fs::create_dir(&group.folder)?;
        let bytes = (self.memory_mib << 20).to_string();
        fs::write(group.folder.join("memory.max"), bytes)?;
        fs::write(group.folder.join("pids.max"), self.processes.to_string())?;
        for (file, value) in [("memory.swap.max", "0"), ("memory.oom.group", "1")] {
            // A kernel without swap has no limit for it; before 4.19 one process is killed and not all.
            if let Err(error) = fs::write(group.folder.join(file), value) {
                tracing::debug!("{file}: {error}");
            }
        }
        Ok(group)
    }
}

/// The worker's own group in the hierarchy of version 2, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn own_folder(mounts: &str, groups: &str) -> anyhow::Result<PathBuf> {
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .context("the kernel offers no control groups of version 2")?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut words = before.split(' ').skip(3);
        let (root, at) = (words.next()?, words.next()?);
        (after.starts_with("cgroup2 ") && root == "/").then_some(at)
    });
    let mount = mount.context("control groups of version 2 are not mounted here")?;
    let at = Path::new(mount);
    // Joining nothing would leave a slash at the end.
    Ok(if path.is_empty() {
        at.to_owned()
    } else {
        at.join(path)
    })
}

/// Makes a group whose groups below it get the controllers; the worker moves out of its way.
fn prepare(own: &Path) -> anyhow::Result<PathBuf> {
    if own.ends_with(OWN)
        && let Some(parent) = own.parent()
        && lacks(parent, "cgroup.subtree_control")?.is_empty()
    {
        // An earlier look of this very process has moved it.
        return Ok(parent.to_owned());
    }
    let missing = lacks(own, "cgroup.controllers")?;
    ensure!(
        missing.is_empty(),
        "the worker's control group {} has no controller for {}: start the worker by its systemd unit (Delegate=memory pids), on a \
         system whose control groups are of version 2 alone",
        own.display(),
        missing.join(" and ")
    );
    let mine = own.join(OWN);
    let enable = || -> io::Result<()> {
        if !mine.exists() {
            fs::create_dir(&mine)?;
        }
        fs::write(mine.join("cgroup.procs"), "0")?;
        CONTROLLERS
            .iter()
            .try_for_each(|name| fs::write(own.join("cgroup.subtree_control"), format!("+{name}")))
    };
    if let Err(error) = enable() {
        // As it was: somebody looked from a shell.
        drop(fs::write(own.join("cgroup.procs"), "0"));
        drop(fs::remove_dir(&mine));
        bail!(
            "the worker cannot make control groups below {} ({error}): start it by its systemd unit (Delegate=memory pids), alone in \
             its group",
            own.display()
        );
    }
    Ok(own.to_owned())
}

/// Which of the controllers a file of a group does not list.
fn lacks(folder: &Path, file: &str) -> anyhow::Result<Vec<&'static str>> {
    let path = folder.join(file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_there = |name: &str| text.split_whitespace().any(|word| word == name);
    Ok(CONTROLLERS
        .into_iter()
        .filter(|name| !is_there(name))
        .collect())
}

/// Ends what a killed worker left. Its processes are dead already, by `setpriv --pdeathsig`.
fn remove_left(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(BOX)) else {
            continue;
        };
        // Another worker on this host may have the same parent group: only what belongs to no living process is ours to end.
        let owner = rest.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            drop(Group {
                folder: entry.path(),
            });
        }
    }
}

/// One group. Everything in it is killed, and the group removed, when it is dropped.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// Its folder in the hierarchy.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the kernel has ended processes of it because they used all that they may.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }

    /// Kills everything in it at once (Linux 5.14; before, the process namespace does it).
    pub fn kill(&self) {
        if let Err(error) = fs::write(self.folder.join("cgroup.kill"), "1") {
            tracing::debug!("{}: {error}", self.folder.display());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let begun = Instant::now();
        while let Err(error) = fs::remove_dir(&self.folder) {
            if begun.elapsed() > PATIENCE {
                tracing::warn!("{} stays: {error}", self.folder.display());
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_own_group_is_found_where_version_2_is_mounted() {
        let mounts = "24 30 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - tmpfs tmpfs rw\n\
                      25 24 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let own = own_folder(mounts, "4:memory:/x\n0::/system.slice/w.service\n").unwrap();
        let wanted = "/sys/fs/cgroup/unified/system.slice/w.service";
        assert_eq!(own, Path::new(wanted));
        let words = |mounts, groups| own_folder(mounts, groups).unwrap_err().to_string();
        assert!(words(mounts, "4:memory:/x\n").contains("no control groups of version 2"));
        assert!(words("", "0::/\n").contains("not mounted"));
    }

    #[test]
    fn a_group_without_controllers_says_what_would_give_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let error = prepare(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("no controller for memory:") && error.contains("Delegate"),
            "{error}"
        );
    }
}
