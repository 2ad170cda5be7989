//! The box for builds and benchmarks, put together from util-linux's own programs.
//!
//! Reading from outside in: `setpriv --pdeathsig` (dies with the worker) · `unshare` (no network, own process
//! namespace: killing its first process kills everything in it) · `setpriv` (another user, no capabilities, no new
//! privileges) · `prlimit` · `taskset` · `setarch -R` · a shell as the namespace's first process · the program. Before
//! privileges go, `ip` brings the namespace's own loopback up. Every stage but `unshare --fork` replaces itself by the next. `unshare` has one child, the namespace's first process, and that one has the program as its child.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use nix::unistd::{Uid, User};

use crate::config::{Config, Isolation};

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
fn descriptors() -> u64 {
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

    /// The box that the configuration asks for.
    pub fn from_config(config: &Config) -> anyhow::Result<Self> {
        let root = Uid::effective().is_root();
        let identity = if root {
            let user =
                User::from_name(&config.user).context("user: the system's users cannot be read")?;
            let user = user.with_context(|| {
                format!(
                    "user: there is no system user {:?}; make it: useradd --system --no-create-home --shell /usr/sbin/nologin {}",
                    config.user, config.user
                )
            })?;
            ensure!(
                !user.uid.is_root(),
                "user: builds and benchmarks must not run as root"
            );
            Some((user.uid.as_raw(), user.gid.as_raw()))
        } else {
            None
        };
        let namespaces = config.isolation == Isolation::Required;
        Ok(Self {
            namespaces,
            user_namespace: namespaces && !root,
            identity,
            limits: Some(Limits {
                memory_mib: config.memory_mib,
                processes: config.processes,
                descriptors: descriptors(),
            }),
            cpus: None,
            fixed_layout: false,
            tmp: None,
        })
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

    /// The words that give the program namespaces of its own, and set them up.
    fn unshared(&self) -> Vec<OsString> {
        let mut words = vec!["unshare"];
        if self.user_namespace {
            words.extend(["--user", "--map-current-user", "--keep-caps"]);
        }
        words.extend(["--net", "--ipc", "--pid", "--fork", "--kill-child=KILL"]);
        if self.tmp.is_some() {
            words.push("--mount");
        }
        words.push("--");
        words.extend(match self.tmp {
            None => LOOPBACK,
            Some(_) => LOOPBACK_AND_TMP,
        });
        let words = words.into_iter().map(OsString::from);
        words.chain(self.tmp.clone().map(OsString::from)).collect()
    }

    /// The whole command line.
    pub fn command_line(&self, command: &[OsString]) -> Vec<OsString> {
        let mut line: Vec<OsString> = ["setpriv", "--pdeathsig", "KILL", "--"]
            .map(OsString::from)
            .into();
        if self.namespaces {
            line.extend(self.unshared());
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
            tmp: None,
        };
        let line = sandbox.command_line(&["python".into(), "-c".into(), "a; b".into()]);
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
        let line = own.command_line(&["true".into()]);
        let words: Vec<&str> = line.iter().filter_map(|word| word.to_str()).collect();
        let words = words.join(" ");
        assert!(
            words.contains("--mount -- /bin/sh -c ip link set dev lo up && mount --bind \"$1\" /tmp && shift && exec \"$@\" loopback /data/tmp setpriv"),
            "{words}"
        );
        assert_eq!(Sandbox::trusted().command_line(&["true".into()]).len(), 5);
    }
}
