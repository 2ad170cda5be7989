//! Samples by the kernel's processor clock (`PERF_COUNT_SW_CPU_CLOCK`, perf_event_open(2)): it needs no hardware counter.
//!
//! Each thread has an event and a ring of memory of its own, which is read once at the end: a full ring takes no more
//! samples, and the share of those that it took stands for the whole. Threads that start later are not seen.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;

use perf_event_open_sys as sys;
use sys::bindings as perf;

use super::Sample;

/// Nanoseconds of running between two samples; no divisor of the timers that programs use.
const PERIOD: u64 = 4_900_000;
/// Pages of a ring besides its first: a power of two. About ten thousand samples.
const PAGES: usize = 64;
/// Bytes of a record's head: type, misc, size.
const HEAD: usize = 8;

/// Sampling under way; it ends when dropped.
#[derive(Debug)]
pub struct Sampling {
    rings: Vec<Ring>,
}

#[derive(Debug)]
struct Ring {
    file: File,
    memory: NonNull<libc::c_void>,
    length: usize,
    page: usize,
}

impl Sampling {
    /// Begins to sample every thread of some processes; the error says why it cannot be done.
    pub fn start(pids: &[u32]) -> Result<Self, String> {
        let mut rings = Vec::new();
        for pid in pids {
            let threads = fs::read_dir(format!("/proc/{pid}/task"));
            let threads = threads.into_iter().flatten().flatten();
            for thread in threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
                let ring = Ring::open(thread).map_err(|error| {
                    format!("its time cannot be sampled (perf_event_open: {error})")
                })?;
                rings.push(ring);
            }
        }
        for ring in &rings {
            ring.control(sys::ioctls::ENABLE)
                .map_err(|error| format!("sampling cannot be switched on: {error}"))?;
        }
        Ok(Self { rings })
    }

    /// Ends it and gives what was sampled.
    pub fn finish(self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for ring in &self.rings {
            // A thread that has ended has its samples in the ring all the same.
            if let Err(error) = ring.control(sys::ioctls::DISABLE) {
                tracing::debug!("sampling cannot be switched off: {error}");
            }
            samples.extend(parse(&ring.records()));
        }
        samples
    }
}

type Ioctl = unsafe fn(std::os::raw::c_int, std::os::raw::c_uint) -> std::os::raw::c_int;

impl Ring {
    fn open(thread: i32) -> io::Result<Self> {
        let mut attributes = perf::perf_event_attr {
            type_: perf::PERF_TYPE_SOFTWARE,
            size: u32::try_from(size_of::<perf::perf_event_attr>()).unwrap_or(0),
            config: u64::from(perf::PERF_COUNT_SW_CPU_CLOCK),
            sample_type: u64::from(perf::PERF_SAMPLE_IP | perf::PERF_SAMPLE_TID),
            ..Default::default()
        };
        attributes.__bindgen_anon_1.sample_period = PERIOD;
        attributes.set_disabled(1);
        attributes.set_exclude_hv(1);
        // SAFETY: `attributes` is initialised and outlives the call; the kernel writes at most its `size` field.
        #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
        let descriptor = unsafe {
            sys::perf_event_open(
                &raw mut attributes,
                thread,
                -1,
                -1,
                u64::from(perf::PERF_FLAG_FD_CLOEXEC),
            )
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        #[expect(unsafe_code, reason = "taking ownership of a new descriptor")]
        let file = unsafe { File::from_raw_fd(descriptor) };
        let page = page_size();
        let length = (1 + PAGES) * page;
        // SAFETY: a new mapping of an open descriptor at an address of the kernel's choice; it is undone in `drop`.
        #[expect(unsafe_code, reason = "the ring has no safe wrapper")]
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory).ok_or_else(|| io::Error::other("an empty mapping"))?;
        Ok(Self {
            file,
            memory,
            length,
            page,
        })
    }

    fn control(&self, request: Ioctl) -> io::Result<()> {
        // SAFETY: the descriptor is open for as long as `self` lives; the request takes a flag by value.
        #[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
        let result = unsafe { request(self.file.as_raw_fd(), 0) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// The records so far. Nothing was consumed before, so they begin at the ring's begin and never wrap.
    fn records(&self) -> Vec<u8> {
        let head = self.memory.cast::<perf::perf_event_mmap_page>();
        // SAFETY: the first page of the mapping is this structure; the kernel writes its head with a barrier before it.
        #[expect(unsafe_code, reason = "the kernel writes this memory")]
        let end = unsafe { std::ptr::read_volatile(&raw const (*head.as_ptr()).data_head) };
        std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
        let end = usize::try_from(end).unwrap_or(0).min(PAGES * self.page);
        // SAFETY: these bytes lie within the mapping, behind its first page, and the event is switched off.
        #[expect(unsafe_code, reason = "the ring is memory of the kernel's")]
        let bytes = unsafe {
            let begin = self.memory.cast::<u8>().as_ptr().add(self.page);
            std::slice::from_raw_parts(begin, end)
        };
        bytes.to_vec()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `open` with this length, and nothing refers to it any more.
        #[expect(unsafe_code, reason = "the ring has no safe wrapper")]
        let result = unsafe { libc::munmap(self.memory.as_ptr(), self.length) };
        if result < 0 {
            tracing::debug!("a ring cannot be unmapped");
        }
    }
}

fn page_size() -> usize {
    // SAFETY: it only asks.
    #[expect(unsafe_code, reason = "the call has no safe wrapper here")]
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// The samples among the records of a ring (perf_event_open(2), "PERF_RECORD_SAMPLE").
fn parse(records: &[u8]) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut rest = records;
    while let Some((head, _)) = rest.split_at_checked(HEAD) {
        let kind = word(head, 0, 4);
        let mode = word(head, 4, 2) & u64::from(perf::PERF_RECORD_MISC_CPUMODE_MASK);
        let size = usize::try_from(word(head, 6, 2)).unwrap_or(0);
        let Some((record, next)) = rest.split_at_checked(size).filter(|_| size >= HEAD) else {
            break;
        };
        if kind == u64::from(perf::PERF_RECORD_SAMPLE) && size >= HEAD + 16 {
            samples.push(Sample {
                address: word(record, HEAD, 8),
                pid: u32::try_from(word(record, HEAD + 8, 4)).unwrap_or(0),
                kernel: mode == u64::from(perf::PERF_RECORD_MISC_KERNEL),
            });
        }
        rest = next;
    }
    samples
}

/// A number of `size` bytes, in this machine's order.
fn word(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut word = [0; 8];
    let part = bytes.get(at..at + size).unwrap_or_default();
    if cfg!(target_endian = "little") {
        word[..part.len()].copy_from_slice(part);
    } else {
        word[8 - part.len()..].copy_from_slice(part);
    }
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, misc: u16, rest: &[u8]) -> Vec<u8> {
        let size = u16::try_from(HEAD + rest.len()).unwrap();
        let head = [
            &kind.to_ne_bytes()[..],
            &misc.to_ne_bytes(),
            &size.to_ne_bytes(),
        ]
        .concat();
        [head, rest.to_vec()].concat()
    }

    #[test]
    fn samples_are_read_and_other_records_passed_over() {
        let body = |address: u64, pid: u32| {
            [
                &address.to_ne_bytes()[..],
                &pid.to_ne_bytes(),
                &pid.to_ne_bytes(),
            ]
            .concat()
        };
        let sample = perf::PERF_RECORD_SAMPLE;
        let user = u16::try_from(perf::PERF_RECORD_MISC_USER).unwrap();
        let kernel = u16::try_from(perf::PERF_RECORD_MISC_KERNEL).unwrap();
        let bytes = [
            record(sample, user, &body(0x1234, 7)),
            record(perf::PERF_RECORD_LOST, user, &[0; 16]),
            record(sample, kernel, &body(u64::MAX, 8)),
        ]
        .concat();
        let samples = parse(&bytes);
        assert_eq!(samples.len(), 2);
        assert_eq!(
            (samples[0].address, samples[0].pid, samples[0].kernel),
            (0x1234, 7, false)
        );
        assert!(samples[1].kernel);
        // Cut off anywhere, and nonsense: no panic, and nothing made up.
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).len() <= 2);
        }
        assert!(parse(&[0; 64]).is_empty());
    }
}
