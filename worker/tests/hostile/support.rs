//! A box as a worker makes it, and programs that mean harm in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use speedwell_worker::process::group::Groups;
use speedwell_worker::process::sandbox::Limits;
use speedwell_worker::process::seal::Seal;
use speedwell_worker::process::watch::{Floor, memory};
use speedwell_worker::process::{self, End, Level, Sandbox, Spec, Stop};

/// A user that nobody else is, and no other test: a limit of processes counts all of a user's.
fn user() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    1_000_000 + std::process::id() * 64 + number
}

/// The worker. The compiler that builds these tests for the guest of deploy/emulated-pmu is not told where it lies.
const WORKER: &str = match option_env!("CARGO_BIN_EXE_speedwell-worker") {
    Some(path) => path,
    None => "/usr/bin/speedwell-worker",
};
/// Memory of the whole tree, where there are control groups.
pub const TREE_MIB: u64 = 512;
/// Processes.
pub const PROCESSES: u64 = 200;

/// A job's folder and the box around it.
pub struct Cell {
    /// Beside the job's folder: the host's files, which are not the program's business.
    pub host: tempfile::TempDir,
    /// The box.
    pub sandbox: Sandbox,
    /// What it reaches here.
    pub level: Level,
}

/// What became of a program.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What it printed, as the log shows it.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// How much slower than an ordinary machine this one is (`SPEEDWELL_SLOWNESS`, usually 1): one that is translated instruction by instruction
/// needs longer for everything.
fn slowness() -> u32 {
    let given = std::env::var("SPEEDWELL_SLOWNESS").ok();
    given.map_or(1, |text| text.parse().unwrap())
}

impl Cell {
    /// The best box of this host.
    pub fn new() -> Self {
        let host = tempfile::tempdir().unwrap();
        let root = Uid::effective().is_root();
        let folder = host.path().join("job");
        fs::create_dir(&folder).unwrap();
        let identity = root.then(user).map(|user| (user, user));
        if let Some((user, group)) = identity {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let floor = Floor {
            output: 4 << 20,
            ..Floor::new(&folder, 1)
        };
        let sandbox = Sandbox {
            namespaces: true,
            user_namespace: !root,
            identity,
            limits: Some(Limits {
                memory_mib: 1024,
                processes: PROCESSES,
                descriptors: 1024,
            }),
            seal: Some(Seal {
                program: PathBuf::from(WORKER),
                writable: vec![folder],
                memory_folder_mib: 64,
                ..Seal::default()
            }),
            floor: Some(floor),
            ..Sandbox::default()
        };
        let mut cell = Self {
            host,
            sandbox,
            level: Level::Sealed,
        };
        cell.settle();
        if let Ok(wanted) = std::env::var("SPEEDWELL_LEVEL") {
            assert_eq!(cell.level.as_str(), wanted, "what this machine must reach");
        }
        cell
    }

    /// Finds the level, as the worker does: by trying.
    fn settle(&mut self) {
        let tried = self.shell("echo fine");
        if tried.text == "fine|" {
            match Groups::open(TREE_MIB, PROCESSES) {
                Ok(groups) => {
                    self.sandbox.groups = Some(groups);
                    self.level = Level::Metered;
                }
                Err(error) => eprintln!("no control groups here: {error:#}"),
            }
            return;
        }
        eprintln!("the box cannot be sealed here: {}", tried.text);
        self.sandbox.seal = None;
        self.level = Level::Namespaces;
        let tried = self.shell("echo fine");
        if tried.text != "fine|" {
            eprintln!("there are no namespaces here: {}", tried.text);
            self.sandbox.namespaces = false;
            self.level = Level::None;
        }
    }

    /// Whether the host reaches a level. Says what is not tested where it does not; a root that CI has must reach a sealed box.
    pub fn reaches(&self, level: Level, what: &str) -> bool {
        if self.level >= level {
            return true;
        }
        eprintln!(
            "not tested, for this host reaches {:?} and not {:?}: {what}",
            self.level.as_str(),
            level.as_str()
        );
        false
    }

    /// The job's folder.
    pub fn folder(&self) -> PathBuf {
        self.host.path().join("job")
    }

    /// Runs a shell script.
    pub fn shell(&self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script], Duration::from_secs(30))
    }

    /// Runs a Python script.
    pub fn python(&self, script: &str) -> Outcome {
        self.run(&["python3", "-c", script], Duration::from_secs(30))
    }

    /// Runs a command with a time limit. Limit and time are those of an ordinary machine: see [`slowness`].
    pub fn run(&self, command: &[&str], timeout: Duration) -> Outcome {
        let spec = Spec {
            command: command.iter().map(Into::into).collect(),
            environment: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".into()),
                ("TMPDIR".to_owned(), self.folder().into()),
            ]),
            folder: self.folder(),
            timeout: timeout * slowness(),
        };
        let mut text = String::new();
        let begun = Instant::now();
        let end = process::run(&self.sandbox, &spec, &Stop::default(), &mut |line| {
            if text.len() < 100_000 {
                text.push_str(line);
                text.push('|');
            }
        })
        .unwrap();
        Outcome {
            end,
            text,
            took: begun.elapsed() / slowness(),
        }
    }

    /// The worker does the next job: a program in the same box works as ever. Nothing that was started before is left.
    pub fn goes_on(&self, what: &str, outcome: &Outcome) {
        eprintln!(
            "{what}: {} after {:.2} s",
            outcome.end.describe(),
            outcome.took.as_secs_f64()
        );
        assert_eq!(
            self.left(),
            Vec::<String>::new(),
            "{what} has left something"
        );
        let next = self.shell("echo next > file && cat file && rm file");
        assert_eq!((next.text.as_str(), next.end.success()), ("next|", true));
    }

    /// Processes on the host with this job's folder in what they are called with or work in.
    fn left(&self) -> Vec<String> {
        let folder = self.folder();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let of_job = |path: &Path| {
            let working = fs::read_link(path.join("cwd")).unwrap_or_default();
            working.starts_with(&folder)
        };
        processes
            .map(|entry| entry.path())
            .filter(|path| of_job(path))
            .map(|path| fs::read_to_string(path.join("cmdline")).unwrap_or_default())
            .collect()
    }

    /// Memory that is available on this host, in bytes.
    pub fn available() -> u64 {
        memory("MemAvailable:").unwrap()
    }
}
