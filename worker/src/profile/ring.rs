//! Memory shared with the kernel that it writes records of events into: one ring for each processor.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use perf_event_open_sys::bindings as perf;

/// Pages of a ring besides its first, from the most that is worth it to what any user may lock by default
/// (`kernel.perf_event_mlock_kb`): powers of two.
const PAGES: [usize; 4] = [4096, 1024, 512, 128];
/// Bytes of all rings together at most, where the smallest are no larger: nobody else can have them meanwhile.
const ALL: usize = 128 << 20;

/// What an event has counted so far, with its copies in threads and children.
pub fn read(mut event: &File) -> io::Result<u64> {
    let mut word = [0; 8];
    event.read_exact(&mut word)?;
    Ok(u64::from_ne_bytes(word))
}

/// The memory that the records of one processor's events are written into.
#[derive(Debug)]
pub struct Ring {
    memory: NonNull<libc::c_void>,
    pages: usize,
    page: usize,
}

// SAFETY: the mapping belongs to this value alone, and is valid in every thread.
#[expect(unsafe_code, reason = "a pointer to memory of the kernel's")]
unsafe impl Send for Ring {}

impl Ring {
    /// A ring for an event, one of so many, as large as may be.
    pub fn new(event: &File, rings: usize) -> io::Result<Self> {
        let mut last = io::Error::other("no size of a ring was tried");
        let smallest = PAGES[PAGES.len() - 1];
        let fits = |pages: &usize| *pages * page_size() * rings <= ALL || *pages == smallest;
        for pages in PAGES.into_iter().filter(fits) {
            match Self::map(event, pages) {
                Ok(ring) => return Ok(ring),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn map(event: &File, pages: usize) -> io::Result<Self> {
        let page = page_size();
        // SAFETY: a new mapping of an open descriptor at an address of the kernel's choice; it is undone in `drop`.
        #[expect(unsafe_code, reason = "the ring has no safe wrapper")]
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (1 + pages) * page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory).ok_or_else(|| io::Error::other("an empty mapping"))?;
        Ok(Self {
            memory,
            pages,
            page,
        })
    }

    /// Appends the records since the last time to `bytes`, and gives their room back to the kernel.
    pub fn drain(&mut self, bytes: &mut Vec<u8>) {
        let head = self.memory.cast::<perf::perf_event_mmap_page>().as_ptr();
        // SAFETY: the first page of the mapping is this structure; the kernel writes its head, and only we its tail.
        #[expect(unsafe_code, reason = "the kernel writes this memory")]
        let (end, begin) = unsafe {
            (
                std::ptr::read_volatile(&raw const (*head).data_head),
                std::ptr::read_volatile(&raw const (*head).data_tail),
            )
        };
        fence(Ordering::Acquire);
        let size = self.pages * self.page;
        let length = usize::try_from(end.wrapping_sub(begin))
            .unwrap_or(0)
            .min(size);
        let at = usize::try_from(begin % size as u64).unwrap_or(0);
        let first = length.min(size - at);
        // SAFETY: both parts lie within the mapping, behind its first page; the kernel does not write there before the tail
        // is moved.
        #[expect(unsafe_code, reason = "the ring is memory of the kernel's")]
        unsafe {
            let data = self.memory.cast::<u8>().as_ptr().add(self.page);
            bytes.extend_from_slice(std::slice::from_raw_parts(data.add(at), first));
            bytes.extend_from_slice(std::slice::from_raw_parts(data, length - first));
        }
        fence(Ordering::Release);
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "the kernel reads this memory")]
        unsafe {
            std::ptr::write_volatile(&raw mut (*head).data_tail, end);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map` with this length, and nothing refers to it any more.
        #[expect(unsafe_code, reason = "the ring has no safe wrapper")]
        let result = unsafe { libc::munmap(self.memory.as_ptr(), (1 + self.pages) * self.page) };
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
