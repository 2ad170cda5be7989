//! Names of code that a program made while it ran, from the file that it writes for profilers: `/tmp/perf-PID.map`, one line
//! `BEGIN SIZE NAME` for each piece (the kernel's tools/perf/Documentation/jit-interface.txt). CPython's trampolines (one for
//! each Python function, since 3.12) are named `py::FUNCTION:FILE` there.

use std::io::Read as _;
use std::ops::Range;

use super::names;
use super::stacks::PYTHON;
use crate::job::given;
use crate::process::tree;

/// A larger file is cut off.
const LARGEST: u64 = 64 << 20;

/// Names by address; of two at one address the later is the true one.
#[derive(Debug, Default)]
pub struct PerfMap(Vec<(Range<u64>, String)>);

impl PerfMap {
    /// That of a process that still lives; empty when it wrote none.
    pub fn read(pid: u32) -> Self {
        let number = tree::number_in_box(pid).unwrap_or(pid);
        let path = format!("/proc/{pid}/root/tmp/perf-{number}.map");
        // Whatever the program put there: no link out of its own root, no device, nothing to wait for.
        let mut bytes = Vec::new();
        let read =
            given::open(path.as_ref()).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::parse(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                tracing::debug!("{path}: {error}");
                Self::default()
            }
        }
    }

    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.splitn(3, ' ');
            let mut hex = || {
                let word = words.next()?;
                u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
            };
            let (begin, size) = (hex()?, hex()?);
            Some((begin..begin.checked_add(size)?, name(words.next()?)))
        };
        let mut all: Vec<_> = text.lines().filter_map(line).collect();
        all.reverse();
        all.sort_by_key(|(range, _)| range.start); // stable: the later of two stays first
        all.dedup_by_key(|(range, _)| range.start);
        Self(all)
    }

    /// The name of the code at an address.
    pub fn at(&self, address: u64) -> Option<&str> {
        let after = self.0.partition_point(|(range, _)| range.start <= address);
        let (range, name) = self.0.get(after.checked_sub(1)?)?;
        range.contains(&address).then_some(name.as_str())
    }
}

/// Python's functions with their file's name alone, for folders differ from one host to the next; other code is marked as
/// what was made at run time, so that no rule for a function of a program takes it for one.
fn name(text: &str) -> String {
    match text
        .strip_prefix(PYTHON)
        .and_then(|rest| rest.rsplit_once(':'))
    {
        Some((function, file)) => {
            let file = file.rsplit('/').next().unwrap_or(file);
            names::clean(&format!("{PYTHON}{function}:{file}"))
        }
        None => names::clean(text) + "_[j]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_named_by_the_newest_line() {
        let map = PerfMap::parse(
            "1000 10 old\n1000 20 py::Task.run:/opt/a b/richards.py\nzz 1 x\n0x2000 8 LazyCompile:~go a.js:1\n",
        );
        assert_eq!(map.at(0x101f), Some("py::Task.run:richards.py"));
        assert_eq!(map.at(0x1020), None);
        assert_eq!(map.at(0x2000), Some("LazyCompile:~go_a.js:1_[j]"));
        assert_eq!(map.at(0xfff), None);
        assert_eq!(PerfMap::read(std::process::id()).at(1), None);
    }
}
