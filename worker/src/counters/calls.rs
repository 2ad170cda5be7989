//! The system calls of perf_event_open(2), for counters and for samples.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use perf_event_open_sys as sys;
use sys::bindings as perf;

/// A request to an event with a flag.
pub type Ioctl = unsafe fn(std::os::raw::c_int, std::os::raw::c_uint) -> std::os::raw::c_int;

/// Opens an event on a thread (0: this one) or on any (-1), on a processor or on any (-1), with a leader or without (-1).
pub fn open(
    mut attributes: perf::perf_event_attr,
    thread: i32,
    processor: i32,
    leader: i32,
) -> io::Result<File> {
    attributes.size = u32::try_from(size_of::<perf::perf_event_attr>()).unwrap_or(0);
    // SAFETY: `attributes` is initialised and outlives the call; the kernel writes at most its `size` field.
    #[expect(unsafe_code, reason = "the system call has no safe wrapper")]
    let descriptor = unsafe {
        sys::perf_event_open(
            &raw mut attributes,
            thread,
            processor,
            leader,
            u64::from(perf::PERF_FLAG_FD_CLOEXEC),
        )
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    #[expect(unsafe_code, reason = "taking ownership of a new descriptor")]
    let file = unsafe { File::from_raw_fd(descriptor) };
    Ok(file)
}

/// Switches an event, with its copies in threads and children.
pub fn control(event: &File, request: Ioctl, flag: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `event` lives; the request takes a flag by value.
    #[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
    let result = unsafe { request(event.as_raw_fd(), flag) };
    check(result)
}

/// Has another event of the same processor write into the ring of the first.
pub fn share_ring(first: &File, other: &File) -> io::Result<()> {
    // SAFETY: both descriptors are open; the request takes the first by value.
    #[expect(unsafe_code, reason = "the ioctl has no safe wrapper")]
    let result = unsafe { sys::ioctls::SET_OUTPUT(other.as_raw_fd(), first.as_raw_fd()) };
    check(result)
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
