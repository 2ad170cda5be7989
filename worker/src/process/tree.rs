//! What the processes below one process have used, from `/proc` (proc(5)).

use std::collections::BTreeMap;
use std::fs;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The processes of one moment with their parents.
#[derive(Debug, Default)]
pub struct Tree {
    children: BTreeMap<u32, Vec<u32>>,
}

impl Tree {
    /// Reads all processes of the host.
    pub fn read() -> Self {
        let mut tree = Self::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name before may hold anything but ends with the last bracket; then state and parent.
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            if let Some(parent) = parent {
                tree.children.entry(parent).or_default().push(pid);
            }
        }
        tree
    }

    /// The direct children of a process.
    pub fn children(&self, pid: u32) -> &[u32] {
        self.children.get(&pid).map_or(&[], Vec::as_slice)
    }

    /// A process and all below it.
    pub fn family(&self, pid: u32) -> Vec<u32> {
        let mut family = vec![pid];
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            family.extend(self.children(pid));
            next += 1;
        }
        family
    }
}

/// The first child that a process's main thread has started and not yet waited for.
pub fn first_child(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !(state.is_empty() || state.starts_with('Z') || state.starts_with('X'))
}

/// A process's number in its innermost process namespace.
pub fn number_in_box(pid: u32) -> Option<u32> {
    find(&format!("/proc/{pid}/status"), "NSpid:")?
        .split_whitespace()
        .next_back()?
        .parse()
        .ok()
}

/// Processor time of a process in seconds, user and kernel, with that of threads that have ended: its processor clock
/// (clock_getcpuclockid(3)). Zero when it is gone.
pub fn processor_seconds(pid: u32) -> f64 {
    let read = || {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?);
        let time = clock_gettime(clock_getcpuclockid(pid).ok()?).ok()?;
        Some(time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9)
    };
    read().unwrap_or(0.0)
}

/// The largest resident set of a process in bytes since it began or [`forget_peak`].
pub fn peak_memory(pid: u32) -> Option<u64> {
    bytes_of(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// The resident set of a process in bytes. The page tables' own count: `VmRSS` lags behind by what each processor has not
/// yet added, which is tens of MiB on a large host.
pub fn resident_memory(pid: u32) -> Option<u64> {
    bytes_of(&format!("/proc/{pid}/smaps_rollup"), "Rss:")
}

/// Makes the largest resident set start anew from the present one. Where that is forbidden it stays as it is.
pub fn forget_peak(pid: u32) {
    if let Err(error) = fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        tracing::debug!(pid, "the peak of memory cannot be reset: {error}");
    }
}

fn bytes_of(path: &str, key: &str) -> Option<u64> {
    let text = find(path, key)?;
    let kib: u64 = text.trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn find(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_the_tree_and_has_used_something() {
        let me = std::process::id();
        let tree = Tree::read();
        assert_eq!(tree.family(me)[0], me);
        assert!(
            tree.children
                .values()
                .any(|children| children.contains(&me))
        );
        assert!(processor_seconds(me) > 0.0);
        assert!(peak_memory(me).unwrap() > 1 << 20);
        assert!(number_in_box(me).is_some());
        let before = processor_seconds(me);
        std::thread::spawn(|| (0..20_000_000_u64).fold(0, |a, b| std::hint::black_box(a ^ b)))
            .join()
            .unwrap();
        assert!(
            processor_seconds(me) > before + 0.001,
            "a thread that has ended counts"
        );
        assert_eq!(processor_seconds(u32::MAX), 0.0);
        assert_eq!(peak_memory(0), None);
        assert_eq!(resident_memory(0), None);
    }

    #[test]
    fn memory_that_is_given_back_is_no_longer_resident() {
        let me = std::process::id();
        let before = resident_memory(me).unwrap();
        let block = std::hint::black_box(vec![1_u8; 256 << 20]);
        let during = resident_memory(me).unwrap();
        drop(block);
        let after = resident_memory(me).unwrap();
        // Other tests of this program allocate meanwhile.
        assert!(during > before + (200 << 20), "{before} to {during}");
        assert!(after + (200 << 20) < during, "{during} to {after}");
    }
}
