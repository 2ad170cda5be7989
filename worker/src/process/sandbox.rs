//! The box for builds and benchmarks, put together from util-linux's own programs and one command of the worker's.
//!
//! Reading from outside in: `setpriv --pdeathsig` (dies with the worker) · `unshare` (no network, own process
//! namespace: killing its first process kills everything in it) · `speedwell-worker seal` (a file system of its own, a control
//! group) · `setpriv` (another user, no capabilities, no new privileges) · `prlimit` · `taskset` · `setarch -R` · a shell as the
//! namespace's first process · the program. Before privileges go, `ip` brings the namespace's own loopback up. Every stage but
//! `unshare --fork` replaces itself by the next. `unshare` has one child, the namespace's first process, and that one has the
//! program as its child.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::group::Groups;
use super::seal::Seal;
use super::watch::Floor;

/// The first process of a process namespace, with the program as its child: the kernel lets a first process ignore signals
/// (an `abort()` would end as a segmentation fault), and orphans need a parent that waits for them.
const INIT: [&str; 4] = ["/bin/sh", "-c", "\"$@\"; exit $?", "init"];

/// A new network namespace has a loopback of its own, which is down: servers under test talk over it, and over nothing else.
const LOOPBACK: [&str; 4] = [
    "/bin/sh",
    "-c",
    "ip link set dev lo up && exec \"$@\"",
    "loopback",
];

/// The same, and a folder of its own in place of `/tmp`, which is the next word.
const LOOPBACK_AND_TMP: [&str; 4] = [
    "/bin/sh",
    "-c",
    "ip link set dev lo up && mount --bind \"$1\" /tmp && shift && exec \"$@\"",
    "loopback",
];

/// How a program is boxed. A pure description; see [`Sandbox::command_line`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Own network and process namespaces.
    pub namespaces: bool,
    /// Namespaces need a user namespace, because the worker is not root.
    pub user_namespace: bool,
    /// User and group to change to.
    pub identity: Option<(u32, u32)>,
    /// Limits are set, privileges dropped.
    pub limits: Option<Limits>,
    /// Processors, as `taskset -c` takes them.
    pub cpus: Option<String>,
    /// Address space layout is not randomised.
    pub fixed_layout: bool,
    /// A folder that takes the place of `/tmp` in the box; needs the namespaces.
    pub tmp: Option<PathBuf>,
    /// A file system of its own; needs the namespaces.
    pub seal: Option<Seal>,
    /// Where control groups for the whole tree can be made; needs the seal.
    pub groups: Option<Groups>,
    /// What must stay free on the host while the program runs.
    pub floor: Option<Floor>,
}

/// Limits of each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space in MiB.
    pub memory_mib: u64,
    /// Processes of the user.
    pub processes: u64,
    /// Open files.
    pub descriptors: u64,
}

/// As many open files as Swift's own manager asks for: a garbage-collected runtime closes a server's connections late.
const DESCRIPTORS: u64 = 32_768;

/// The limit of open files that the box can give: the worker's own hard limit, raised where it may be.
pub(super) fn descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 4096));
    if hard >= DESCRIPTORS || setrlimit(Resource::RLIMIT_NOFILE, soft, DESCRIPTORS).is_ok() {
        DESCRIPTORS
    } else {
        hard
    }
}

impl Sandbox {
    /// No box: a program of the host itself. It still dies with the worker.
    pub fn trusted() -> Self {
        Self::default()
    }

    /// The same box, pinned.
    pub fn pinned(mut self, cpus: Option<&str>) -> Self {
        self.cpus = cpus.map(str::to_owned);
        self
    }

    /// The same box without address space randomisation: for counters.
    pub fn with_fixed_layout(mut self) -> Self {
        self.fixed_layout = true;
        self
    }

    /// The same box with a `/tmp` of its own, where programs leave what they tell profilers. What the box needs must lie elsewhere.
    pub fn with_tmp(mut self, folder: PathBuf) -> Self {
        self.tmp = Some(folder);
        self
    }

    /// The same box, in which this folder can be written (by whom its owner lets).
    pub fn with_writable(mut self, folder: &Path) -> Self {
        if let Some(seal) = &mut self.seal {
            seal.writable.push(folder.to_owned());
        }
        self
    }

    /// The same box, in which these folders or files can be seen.
    pub fn with_visible(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        if let Some(seal) = &mut self.seal {
            seal.visible.extend(paths);
        }
        self
    }

    /// The words that give the program namespaces of its own, and set them up.
    fn unshared(&self, group: Option<&Path>) -> Vec<OsString> {
        let mut words = vec!["unshare"];
        if self.user_namespace {
            words.extend(["--user", "--map-current-user", "--keep-caps"]);
        }
        words.extend(["--net", "--ipc", "--pid", "--fork", "--kill-child=KILL"]);
        if self.tmp.is_some() || self.seal.is_some() {
            words.push("--mount");
        }
        words.push("--");
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
        match (&self.seal, &self.tmp) {
            (Some(seal), tmp) => {
                words.extend(LOOPBACK.map(OsString::from));
                let seal = Seal {
                    tmp: tmp.clone(),
                    group: group.map(Path::to_owned),
                    ..seal.clone()
                };
                words.extend(seal.words());
            }
            (None, Some(tmp)) => {
                words.extend(LOOPBACK_AND_TMP.map(OsString::from));
                words.push(tmp.into());
            }
            (None, None) => words.extend(LOOPBACK.map(OsString::from)),
        }
        words
    }

    /// The whole command line; `group`: the control group that is entered, where there are some.
    pub fn command_line(&self, command: &[OsString], group: Option<&Path>) -> Vec<OsString> {
        let mut line: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL", "--"]
            .map(OsString::from)
            .into();
        if self.namespaces {
            line.extend(self.unshared(group));
        }
        let mut add = |words: &[&str]| line.extend(words.iter().map(OsString::from));
        if let Some((user, group)) = self.identity {
            let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
            add(&[
                "setpriv",
                &user,
                &group,
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ]);
            add(&["--no-new-privs", "--pdeathsig", "KILL", "--"]);
        } else if self.limits.is_some() {
            add(&["setpriv"]);
            if self.user_namespace {
                add(&[
                    "--inh-caps=-all",
                    "--ambient-caps=-all",
                    "--bounding-set=-all",
                ]);
            }
            add(&["--no-new-privs", "--pdeathsig", "KILL", "--"]);
        }
        if let Some(limits) = &self.limits {
            let memory = format!("--as={}", limits.memory_mib << 20);
            let processes = format!("--nproc={}", limits.processes);
            let descriptors = format!("--nofile={}", limits.descriptors);
            add(&[
                "prlimit",
                &memory,
                &processes,
                "--core=0",
                &descriptors,
                "--fsize=8589934592",
                "--",
            ]);
        }
        if let Some(cpus) = &self.cpus {
            add(&["taskset", "-c", cpus]);
        }
        if self.fixed_layout {
            add(&["setarch", "-R"]);
        }
        if self.namespaces {
            line.extend(INIT.map(OsString::from));
        }
        line.extend(command.iter().cloned());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_every_part_of_the_box_once_and_in_order() {
        let sandbox = Sandbox {
            namespaces: true,
            user_namespace: false,
            identity: Some((998, 997)),
            limits: Some(Limits {
                memory_mib: 1,
                processes: 9,
                descriptors: 32,
            }),
            cpus: Some("1".to_owned()),
            fixed_layout: true,
            ..Sandbox::default()
        };
        let line = sandbox.command_line(&["python".into(), "-c".into(), "a; b".into()], None);
        let words: Vec<&str> = line.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(
            words.join(" "),
            "setpriv --pdeathsig KILL -- unshare --net --ipc --pid --fork --kill-child=KILL -- \
             /bin/sh -c ip link set dev lo up && exec \"$@\" loopback setpriv --reuid=998 --regid=997 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
             --pdeathsig KILL -- prlimit --as=1048576 --nproc=9 --core=0 --nofile=32 --fsize=8589934592 -- \
             taskset -c 1 setarch -R /bin/sh -c \"$@\"; exit $? init python -c a; b"
        );
        assert_eq!(
            words.last(),
            Some(&"a; b"),
            "an argument stays one argument: no shell is involved"
        );
        let own = sandbox.with_tmp("/data/tmp".into());
        let line = own.command_line(&["true".into()], None);
        let words: Vec<&str> = line.iter().filter_map(|word| word.to_str()).collect();
        let words = words.join(" ");
        assert!(
            words.contains("--mount -- /bin/sh -c ip link set dev lo up && mount --bind \"$1\" /tmp && shift && exec \"$@\" loopback /data/tmp setpriv"),
            "{words}"
        );
        let mut sealed = own;
        sealed.seal = Some(Seal {
            program: "/w".into(),
            ..Seal::default()
        });
        let sealed = sealed.with_writable(Path::new("/data/jobs/1"));
        let line = sealed.command_line(&["true".into()], Some(Path::new("/sys/fs/cgroup/box")));
        let at = line.iter().position(|word| word == "seal").unwrap();
        assert_eq!(
            (&*line[at - 1], &*line[at + 2]),
            ("/w".as_ref(), "--".as_ref())
        );
        let plan: Seal = serde_json::from_str(line[at + 1].to_str().unwrap()).unwrap();
        assert_eq!(plan.tmp.as_deref(), Some(Path::new("/data/tmp")));
        assert_eq!(plan.writable, [Path::new("/data/jobs/1")]);
        assert_eq!(plan.group.as_deref(), Some(Path::new("/sys/fs/cgroup/box")));
        assert_eq!(
            Sandbox::trusted()
                .command_line(&["true".into()], None)
                .len(),
            5
        );
    }
}
