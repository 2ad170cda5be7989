//! Where a benchmark's instructions go: the program under valgrind's callgrind, twice, with `L` and `2 L` loops. The
//! difference of the two profiles is that of `L` loops of a warm interpreter; start-up and clean-up are in both and fall out.
//!
//! Callgrind tells functions apart by their callers when asked to (`--separate-callers`), so that each of its costs is that
//! of one call stack; the innermost [`DEPTH`] functions are kept (valgrind.org/docs/manual/cl-format.html).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use speedwell_wire::{ProfileReport, ProfileStack, ProfileTool, UnavailableKind};

use super::plan::Turn;
use super::session::Outcome;
use crate::job::given;
use crate::profile::names::{clean, function};

/// Callers by which callgrind tells a function apart. With ten, `json.dumps` of nested values had 180,000 stacks and took
/// twice the time.
const DEPTH: usize = 6;
/// Stacks in a report at most; the rest is counted in the total.
const MOST_STACKS: usize = 3_000;
/// Share of the instructions that is in none of the report's stacks at most, unless there are too many.
const LEFT_OUT: f64 = 0.001;
/// A larger file is no profile of a benchmark.
const LARGEST_FILE: u64 = 1 << 30;

/// Instructions by call stack (outermost first) and the object of the innermost function.
pub type Stacks = BTreeMap<(String, String), u64>;

/// What callgrind gave so far.
#[derive(Debug, Default)]
pub enum Profiling {
    /// Nothing was asked, or not yet.
    #[default]
    None,
    /// All of the first process, and its loops.
    Once {
        /// Its stacks.
        stacks: Stacks,
        /// Its loops.
        loops: u64,
    },
    /// Of one loop.
    Profiled(ProfileReport),
    /// It cannot be had.
    Lost(UnavailableKind, String),
}

impl Profiling {
    /// Whether a turn is worth its time, after what earlier ones said.
    pub fn wants(&self, turn: &Turn) -> bool {
        match self {
            Self::None => turn.process == 0,
            Self::Once { .. } => turn.process == 1,
            Self::Profiled(_) | Self::Lost(..) => false,
        }
    }

    /// It will not be had here.
    pub fn lose(&mut self, reason: &str) {
        *self = Self::Lost(UnavailableKind::Unsupported, reason.to_owned());
    }

    /// Takes the outcome of a process with the file that callgrind left; what it gave, in words.
    pub fn add(&mut self, outcome: Outcome, home: &Path) -> String {
        let found = match outcome {
            Outcome::Lost(kind, reason) => Err((kind, reason)),
            Outcome::Measured(record) => read_file(&file(home))
                .map(|stacks| (stacks, record.loops * record.inner_loops))
                .map_err(|reason| (UnavailableKind::Invalid, reason)),
        };
        let next = found.and_then(|(stacks, loops)| match std::mem::take(self) {
            Self::Once {
                stacks: once,
                loops,
            } => difference(&once, &stacks, loops)
                .map(Self::Profiled)
                .map_err(|reason| (UnavailableKind::Invalid, reason)),
            Self::None | Self::Profiled(_) | Self::Lost(..) => Ok(Self::Once { stacks, loops }),
        });
        *self = next.unwrap_or_else(|(kind, reason)| {
            Self::Lost(kind, format!("the process under callgrind: {reason}"))
        });
        match self {
            Self::None => String::new(),
            Self::Once { stacks, .. } => format!("{} call stacks", stacks.len()),
            Self::Profiled(profile) => format!("{:.0} instructions a loop", profile.total),
            Self::Lost(kind, reason) => format!("{}: {reason}", kind.as_str()),
        }
    }
}

/// Where callgrind writes.
fn file(home: &Path) -> PathBuf {
    home.join("callgrind.out")
}

/// The words before a program's own.
pub fn prefix(home: &Path) -> Vec<OsString> {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(file(home));
    let mut log = OsString::from("--log-file=");
    log.push(super::valgrind::log_file(home));
    vec![
        super::valgrind::PROGRAM.into(),
        "--tool=callgrind".into(),
        format!("--separate-callers={DEPTH}").into(),
        "--dump-line=no".into(),
        "--compress-strings=no".into(),
        "--compress-pos=no".into(),
        out,
        log,
    ]
}

fn read_file(path: &Path) -> Result<Stacks, String> {
    let refuse = |error: std::io::Error| format!("callgrind left no profile: {error}");
    let text = given::read(path, LARGEST_FILE).map_err(refuse)?;
    fs::remove_file(path).map_err(refuse)?;
    read(&String::from_utf8_lossy(&text))
}

/// The costs of all stacks of a file in callgrind's format, without name compression and with one event.
fn read(text: &str) -> Result<Stacks, String> {
    let mut stacks = Stacks::new();
    let mut object = String::new();
    let mut names = String::new();
    let mut is_call = false;
    for line in text.lines() {
        let first = line.as_bytes().first().copied().unwrap_or(b' ');
        if first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'*') {
            // The line after `calls=` is what the call cost in all; it is in the called function's own lines too.
            if !std::mem::take(&mut is_call) {
                let count = line.split_ascii_whitespace().nth(1);
                let count = count.and_then(|word| word.parse::<u64>().ok());
                let count = count.ok_or_else(|| format!("{line:?} is no cost of callgrind's"))?;
                *stacks
                    .entry((stack(&names, &object), object.clone()))
                    .or_default() += count;
            }
        } else if let Some(name) = line.strip_prefix("fn=") {
            names = name.to_owned();
        } else if let Some(path) = line.strip_prefix("ob=") {
            let name = Path::new(path).file_name().and_then(|name| name.to_str());
            object = clean(name.unwrap_or_default());
        } else if line.starts_with("calls=") {
            is_call = true;
        }
    }
    if stacks.is_empty() {
        return Err("callgrind's file holds no costs".to_owned());
    }
    Ok(stacks)
}

/// A stack from callgrind's name `innermost'caller'caller's caller`. Numbers among them tell levels of recursion apart.
fn stack(names: &str, object: &str) -> String {
    let mut frames: Vec<String> = names
        .split('\'')
        .filter(|name| !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit()))
        .enumerate()
        .map(|(depth, name)| match (name.starts_with("0x"), depth) {
            (true, 0) if !object.is_empty() && object != "???" => format!("[{object}]"),
            (true, _) => "[unnamed]".to_owned(),
            (false, _) => function(name),
        })
        .collect();
    if names.split('\'').count() > DEPTH {
        frames.push("[outer]".to_owned());
    }
    frames.reverse();
    frames.join(";")
}

/// The profile of one loop from those of two processes, of which the second ran `loops` more.
fn difference(once: &Stacks, twice: &Stacks, loops: u64) -> Result<ProfileReport, String> {
    let (mut total, mut less) = (0_u64, 0_u64);
    let mut more: Vec<(&(String, String), u64)> = Vec::new();
    for (stack, count) in twice {
        let before = once.get(stack).copied().unwrap_or(0);
        match count.checked_sub(before) {
            Some(count) => {
                total += count;
                more.push((stack, count));
            }
            None => less += before - count,
        }
    }
    let gone = once.iter().filter(|(stack, _)| !twice.contains_key(*stack));
    less += gone.map(|(_, count)| count).sum::<u64>();
    if loops == 0 || total == 0 {
        return Err("the loops do not show in the profile".to_owned());
    }
    // What the second process did less of: a cache that had been filled, a table that grew at another moment.
    if less as f64 > total as f64 * 0.05 {
        return Err(format!(
            "the second process did {less} instructions less in some functions, beside {total} more in others: its first \
             loops were not those of the first process"
        ));
    }
    more.sort_by_key(|(stack, count)| (std::cmp::Reverse(*count), *stack));
    let enough = total as f64 * (1.0 - LEFT_OUT);
    let mut kept = 0_u64;
    let mut stacks = Vec::new();
    for ((frames, object), count) in more {
        if count == 0 || stacks.len() == MOST_STACKS || kept as f64 >= enough {
            break;
        }
        kept += count;
        stacks.push(ProfileStack {
            frames: frames.clone(),
            object: object.clone(),
            count: count as f64 / loops as f64,
        });
    }
    Ok(ProfileReport {
        tool: ProfileTool::Callgrind,
        total: total as f64 / loops as f64,
        stacks,
        build_ids: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "version: 1\nevents: Ir\n\nob=/opt/bin/python3\nfl=a.c\nfn=add.constprop.0'eval'2'main\n0 30\n\
        cob=/lib/libc.so.6\ncfi=b.c\ncfn=malloc'add'eval'main\ncalls=3 0\n0 12\n\nob=/lib/libc.so.6\n\
        fn=malloc@@GLIBC_2.34'add'eval'main\n0 12\n\nfn=0x0000001234'main\n0 5\n";

    #[test]
    fn each_cost_is_that_of_its_stack() {
        let stacks = read(FILE).unwrap();
        let of = |frames: &str, object: &str| stacks.get(&(frames.to_owned(), object.to_owned()));
        assert_eq!(of("main;eval;add", "python3"), Some(&30));
        assert_eq!(of("main;eval;add;malloc", "libc.so.6"), Some(&12));
        assert_eq!(of("main;[libc.so.6]", "libc.so.6"), Some(&5));
        assert_eq!(stacks.len(), 3);
        assert!(read("").is_err() && read("events: Ir\n").is_err());
        assert!(read("fn=a\n0 x\n").is_err());
    }

    #[test]
    fn one_loop_is_the_difference_by_the_loops() {
        let once = read(FILE).unwrap();
        let twice = read(&FILE.replace("\n0 30", "\n0 50")).unwrap();
        let profile = difference(&once, &twice, 10).unwrap();
        assert_eq!(profile.total, 2.0);
        let [stack] = &profile.stacks[..] else {
            panic!("{:?}", profile.stacks)
        };
        assert_eq!((stack.frames.as_str(), stack.count), ("main;eval;add", 2.0));
        assert!(difference(&once, &once, 10).is_err());
        assert!(difference(&twice, &once, 10).is_err());
        assert!(difference(&once, &twice, 0).is_err());
        assert!(difference(&Stacks::new(), &Stacks::new(), 1).is_err());
    }

    #[test]
    fn small_stacks_are_counted_and_not_told() {
        let many: Stacks = (0..10_000_u64)
            .map(|n| ((format!("f{n}"), String::new()), n))
            .collect();
        let profile = difference(&Stacks::new(), &many, 1).unwrap();
        assert_eq!(profile.stacks.len(), MOST_STACKS);
        assert_eq!(profile.total, (0..10_000_u64).sum::<u64>() as f64);
        assert_eq!(profile.stacks[0].frames, "f9999");
    }

    #[test]
    fn stacks_hold_nothing_that_separates() {
        assert_eq!(stack("'2'", ""), "");
        let deep = stack(&["f"; DEPTH + 1].join("'"), "");
        assert!(deep.starts_with("[outer];f;"), "{deep}");
        // The backend refuses white space: it separates a stack from its count.
        assert!(!deep.contains(' '));
    }
}
