//! What a program in the box must leave: output that somebody can read, room on the disk, memory for the host. The worker looks
//! while it waits for the program anyway; a look takes some tens of microseconds, on the worker's processor.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A program that has printed more is ended, in bytes. A translation of PyPy prints some 20 MB.
pub const MOST_OUTPUT: u64 = 256 << 20;
/// How often disk and memory are looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// What a program used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// It printed more than anybody reads.
    Output,
    /// The disk was nearly full.
    Disk,
    /// The memory of its control group, or nearly all of the host's.
    Memory,
}

impl Exhausted {
    /// In words, after "it …".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Output => "printed more than a log may hold and was killed",
            Self::Disk => "filled the disk (No space left on device was next) and was killed",
            Self::Memory => "used up the memory that it may have and was killed",
        }
    }
}

/// What must stay free on a host. A pure description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// A folder on the disk in question.
    pub folder: PathBuf,
    /// Free for unprivileged users, in bytes.
    pub disk: u64,
    /// Available memory, in bytes; zero: not looked at.
    pub memory: u64,
    /// What a program may print, in bytes.
    pub output: u64,
}

impl Floor {
    /// A quarter of what a worker wants free before it begins a job, and a sixteenth of the memory.
    pub fn new(folder: &Path, min_free_mib: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            disk: (min_free_mib << 20) / 4,
            memory: memory("MemTotal:").unwrap_or(0) / 16,
            output: MOST_OUTPUT,
        }
    }
}

/// A line of `/proc/meminfo`, in bytes.
pub fn memory(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = rest.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib << 10)
}

/// Watches one program.
#[derive(Debug)]
pub struct Watch {
    floor: Option<Floor>,
    printed: Arc<AtomicU64>,
    looked: Instant,
}

impl Watch {
    /// Begins.
    pub fn new(floor: Option<Floor>) -> Self {
        Self {
            floor,
            printed: Arc::default(),
            looked: Instant::now(),
        }
    }

    /// Counts what is read of the program's output.
    pub fn count<R: Read>(&self, reader: R) -> Counted<R> {
        Counted {
            reader,
            printed: Arc::clone(&self.printed),
        }
    }

    /// What the program has used up by now.
    pub fn look(&mut self) -> Option<Exhausted> {
        let most = self
            .floor
            .as_ref()
            .map_or(MOST_OUTPUT, |floor| floor.output);
        if self.printed.load(Ordering::Relaxed) > most {
            return Some(Exhausted::Output);
        }
        let floor = self.floor.as_ref()?;
        if self.looked.elapsed() < INTERVAL {
            return None;
        }
        self.looked = Instant::now();
        let free = nix::sys::statvfs::statvfs(&floor.folder)
            .map(|disk| disk.blocks_available() * disk.fragment_size());
        if free.is_ok_and(|free| free < floor.disk) {
            return Some(Exhausted::Disk);
        }
        let available = (floor.memory > 0)
            .then(|| memory("MemAvailable:"))
            .flatten();
        available
            .is_some_and(|bytes| bytes < floor.memory)
            .then_some(Exhausted::Memory)
    }
}

/// A reader whose bytes are counted.
#[derive(Debug)]
pub struct Counted<R> {
    reader: R,
    printed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.printed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_the_floor_is_noticed() {
        let all = memory("MemTotal:").unwrap();
        assert!(memory("MemAvailable:").unwrap() < all);
        let mut floor = Floor::new("/".as_ref(), 0);
        assert!(floor.disk == 0 && floor.memory == all / 16);
        let seen = |floor: &Floor| {
            let mut watch = Watch::new(Some(floor.clone()));
            watch.looked = Instant::now().checked_sub(INTERVAL).unwrap();
            watch.look()
        };
        floor.memory = 0;
        assert_eq!(seen(&floor), None);
        floor.memory = all;
        assert_eq!(seen(&floor), Some(Exhausted::Memory));
        floor.disk = u64::MAX;
        assert_eq!(seen(&floor), Some(Exhausted::Disk));
    }

    #[test]
    fn output_is_counted_where_it_is_read() {
        let mut watch = Watch::new(None);
        let mut reader = watch.count(io::repeat(0).take(MOST_OUTPUT + 1));
        let mut one = [0; 1];
        reader.read_exact(&mut one).unwrap();
        assert_eq!(watch.look(), None);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(watch.look(), Some(Exhausted::Output));
    }
}
