//! Instructions without a counting processor: the program under valgrind's cachegrind, twice, with `L` and `2 L` loops. The
//! difference is what `L` loops take, once the first `L` have warmed the interpreter up; start-up, harness and clean-up are
//! in both and fall out (valgrind.org/docs/manual/cg-manual.html).
//!
//! The same build on the same host gives the same count to the instruction. It is the count of user space, without the kernel, and of
//! the processor that valgrind offers; never to be compared with a processor's own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use speedwell_wire::{Metric, ValgrindPolicy};

use crate::counters::CounterSet;

/// Debian's.
pub(super) const PROGRAM: &str = "/usr/bin/valgrind";

/// Whether instructions are to be counted by valgrind, and why not if somebody could expect it.
pub fn is_wanted(policy: ValgrindPolicy) -> Result<bool, String> {
    let wanted = match policy {
        ValgrindPolicy::Never => false,
        ValgrindPolicy::Always => true,
        ValgrindPolicy::NoPmu => CounterSet::open(0)
            .unavailable
            .iter()
            .any(|missing| missing.metric == Some(Metric::Instructions)),
    };
    if wanted && !Path::new(PROGRAM).exists() {
        return Err(format!("{PROGRAM} is not there: install valgrind"));
    }
    Ok(wanted)
}

/// Where valgrind writes what it counted.
pub fn log_file(home: &Path) -> PathBuf {
    home.join("valgrind.log")
}

/// The words before a program's own.
pub fn prefix(home: &Path) -> Vec<OsString> {
    let mut log = OsString::from("--log-file=");
    log.push(log_file(home));
    vec![
        PROGRAM.into(),
        "--tool=cachegrind".into(),
        "--cache-sim=no".into(),
        "--cachegrind-out-file=/dev/null".into(),
        log,
    ]
}

/// All instructions of the process, from valgrind's log (`==PID== I   refs:      73,031,161`).
pub fn instructions(log: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains("I   refs:"))?;
    let (_, digits) = line.rsplit_once(':')?;
    digits.trim().replace(',', "").parse().ok()
}

/// Instructions of one loop from those of the two processes, which ran `loops` and `2 * loops`.
pub fn per_loop(once: u64, twice: u64, loops: u64) -> Result<f64, String> {
    if loops > 0 && twice > once {
        Ok((twice - once) as f64 / loops as f64)
    } else {
        Err(format!(
            "{once} instructions in all with {loops} loops and {twice} with twice as many: the loops do not show"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "==7== Command: python\n==7== \n==7== I   refs:      73,031,161\n";
        assert_eq!(instructions(log), Some(73_031_161));
        for wrong in ["", "==7== killed", "==7== I   refs:      x"] {
            assert_eq!(instructions(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn loops_are_the_difference() {
        assert_eq!(per_loop(1_000, 1_500, 5), Ok(100.0));
        assert!(per_loop(1_500, 1_500, 5).is_err() && per_loop(2, 1, 5).is_err());
        assert!(per_loop(1, 2, 0).is_err());
        assert_eq!(per_loop(0, u64::MAX, u64::MAX), Ok(1.0));
    }
}
