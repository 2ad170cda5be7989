//! The kernel's records (perf_event_open(2)): samples with the kernel's own stack, the program's registers and the top of
//! its stack; and what processes map, start and become.

use std::ops::Range;

use perf_event_open_sys::bindings as perf;

/// Bytes of a record's head: type, misc, size.
const HEAD: usize = 8;
/// The program's registers that a sample holds, by the kernel's numbers, in their order (asm/perf_regs.h). They are what
/// unwinding starts from.
#[cfg(target_arch = "x86_64")]
pub const REGISTERS: [u32; 3] = [6, 7, 8]; // bp, sp, ip
/// The same: fp, lr, sp, pc.
#[cfg(target_arch = "aarch64")]
pub const REGISTERS: [u32; 4] = [29, 30, 31, 32];
/// Addresses from here on are marks among those of a stack (`PERF_CONTEXT_MAX`).
const MARKS: u64 = -4095_i64 as u64;

/// What a sample consists of; [`sample`] reads it in this order.
pub const SAMPLE: u32 = perf::PERF_SAMPLE_IP
    | perf::PERF_SAMPLE_TID
    | perf::PERF_SAMPLE_TIME
    | perf::PERF_SAMPLE_CALLCHAIN
    | perf::PERF_SAMPLE_REGS_USER
    | perf::PERF_SAMPLE_STACK_USER;

/// One record with its time.
#[derive(Debug, PartialEq)]
pub struct Record<'a> {
    /// Nanoseconds of the kernel's clock; records of several processors are put in order by it.
    pub time: u64,
    /// The process, in the host's numbers.
    pub pid: u32,
    /// What happened.
    pub what: What<'a>,
}

/// What a record says.
#[derive(Debug, PartialEq)]
pub enum What<'a> {
    /// The process was running.
    Sample(Sample<'a>),
    /// It maps executable memory.
    Map {
        /// Where.
        addresses: Range<u64>,
        /// From where in the file.
        offset: u64,
        /// The file; or `//anon`, `[vdso]` …
        path: String,
    },
    /// It has been started by another as its copy.
    Fork {
        /// By whom.
        parent: u32,
    },
    /// It runs another program now.
    Exec,
    /// Records that found no room.
    Lost(u64),
}

/// A moment of a thread that was running.
#[derive(Debug, Default, PartialEq)]
pub struct Sample<'a> {
    /// The instruction pointer: the kernel's own when it ran for the process.
    pub address: u64,
    /// The kernel's functions, the innermost first; none when the program itself ran.
    pub kernel: Vec<u64>,
    /// The program's [`REGISTERS`]; none of a thread of the kernel's.
    pub registers: Vec<u64>,
    /// The top of the program's stack, from its stack pointer on.
    pub stack: &'a [u8],
}

/// All records of a ring's bytes; nonsense ends it.
pub fn parse(mut rest: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while let Some(head) = rest.get(..HEAD) {
        let size = usize::try_from(word(head, 6, 2)).unwrap_or(0);
        let Some((record, next)) = rest.split_at_checked(size).filter(|_| size >= HEAD) else {
            break;
        };
        records.extend(record_of(record));
        rest = next;
    }
    records
}

fn record_of(record: &[u8]) -> Option<Record<'_>> {
    let kind = u32::try_from(word(record, 0, 4)).ok()?;
    let misc = u32::try_from(word(record, 4, 2)).ok()?;
    let body = &record[HEAD..];
    match kind {
        perf::PERF_RECORD_SAMPLE => sample(body),
        perf::PERF_RECORD_LOST => said(body, What::Lost(word(body, 8, 8))),
        perf::PERF_RECORD_COMM if misc & perf::PERF_RECORD_MISC_COMM_EXEC != 0 => {
            said(body, What::Exec)
        }
        perf::PERF_RECORD_FORK => {
            let parent = u32::try_from(word(body, 4, 4)).ok()?;
            let mut record = said(body, What::Fork { parent })?;
            record.pid = u32::try_from(word(body, 0, 4)).ok()?;
            // A new thread is a fork within its process.
            (record.pid != parent).then_some(record)
        }
        perf::PERF_RECORD_MMAP2 => {
            let begin = word(body, 8, 8);
            let path = body.get(64..)?;
            let end = path.iter().position(|byte| *byte == 0)?;
            let what = What::Map {
                addresses: begin..begin.checked_add(word(body, 16, 8))?,
                offset: word(body, 24, 8),
                path: String::from_utf8_lossy(&path[..end]).into_owned(),
            };
            said(body, what)
        }
        _ => None,
    }
}

/// A record other than a sample: process and time stand at its end (`sample_id_all`).
fn said<'a>(body: &[u8], what: What<'a>) -> Option<Record<'a>> {
    let end = body.get(body.len().checked_sub(16)?..)?;
    Some(Record {
        time: word(end, 8, 8),
        pid: u32::try_from(word(end, 0, 4)).ok()?,
        what,
    })
}

fn sample(body: &[u8]) -> Option<Record<'_>> {
    let mut rest = Words(body);
    let address = rest.next()?;
    let pid = rest.next()? & u64::from(u32::MAX);
    let time = rest.next()?;
    let frames = usize::try_from(rest.next()?).ok()?;
    let kernel = rest.take(frames)?;
    let mode = rest.next()?;
    let registers = if mode == 0 {
        Vec::new() // PERF_SAMPLE_REGS_ABI_NONE
    } else {
        rest.take(REGISTERS.len())?
    };
    let size = usize::try_from(rest.next()?).ok()?;
    let stack = rest.0.get(..size)?;
    let filled = Words(&rest.0[size..]).next();
    let filled = usize::try_from(filled.unwrap_or(0)).ok()?;
    Some(Record {
        time,
        pid: u32::try_from(pid & 0xffff_ffff).ok()?,
        what: What::Sample(Sample {
            address,
            kernel: kernel.into_iter().filter(|one| *one < MARKS).collect(),
            registers,
            stack: stack.get(..filled)?,
        }),
    })
}

/// Words one after the other.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<u64> {
        let (one, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(word(one, 0, 8))
    }

    fn take(&mut self, count: usize) -> Option<Vec<u64>> {
        // Before room is made for them: the number may be nonsense.
        self.0.get(..count.checked_mul(8)?)?;
        (0..count).map(|_| self.next()).collect()
    }
}

/// A number of `size` bytes, in this machine's order; zero where there are none.
pub fn word(bytes: &[u8], at: usize, size: usize) -> u64 {
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

    fn words(all: &[u64]) -> Vec<u8> {
        all.iter().flat_map(|one| one.to_ne_bytes()).collect()
    }

    fn record(kind: u32, misc: u32, body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(HEAD + body.len()).unwrap();
        let misc = u16::try_from(misc).unwrap();
        let head = [
            &kind.to_ne_bytes()[..],
            &misc.to_ne_bytes(),
            &size.to_ne_bytes(),
        ];
        [&head.concat()[..], body].concat()
    }

    fn pair(one: u32, other: u32) -> Vec<u8> {
        [one.to_ne_bytes(), other.to_ne_bytes()].concat()
    }

    /// Process and time, as they end every record but a sample.
    fn end(pid: u32, time: u64) -> Vec<u8> {
        [pair(pid, pid), words(&[time])].concat()
    }

    /// In the kernel, called from a program: its stack of 24 bytes holds 16.
    fn sample() -> Vec<u8> {
        let registers: Vec<u64> = (0..REGISTERS.len() as u64).collect();
        let parts = [
            words(&[0xffff_8000_0000_0001]),
            pair(7, 8),
            words(&[50, 2, perf::PERF_CONTEXT_KERNEL, 0xffff_8000_0000_0001, 2]),
            words(&registers),
            words(&[24, 1, 2, 0, 16]),
        ];
        record(
            perf::PERF_RECORD_SAMPLE,
            perf::PERF_RECORD_MISC_KERNEL,
            &parts.concat(),
        )
    }

    fn map() -> Vec<u8> {
        let body = [
            pair(7, 7),
            words(&[0x1000, 0x200, 0x30, 0, 0, 0]),
            pair(5, 2),
            b"/lib/a b.so\0\0\0\0\0".to_vec(),
            end(7, 40),
        ];
        record(
            perf::PERF_RECORD_MMAP2,
            perf::PERF_RECORD_MISC_USER,
            &body.concat(),
        )
    }

    #[test]
    fn every_kind_of_record_is_read() {
        let fork = |pid, parent| {
            let body = [pair(pid, parent), pair(pid, parent), words(&[9])];
            record(
                perf::PERF_RECORD_FORK,
                0,
                &[body.concat(), end(parent, 10)].concat(),
            )
        };
        let comm = [pair(9, 9), words(&[0]), end(9, 20)].concat();
        let bytes = [
            fork(9, 7),
            fork(7, 7),
            record(
                perf::PERF_RECORD_COMM,
                perf::PERF_RECORD_MISC_COMM_EXEC,
                &comm,
            ),
            record(perf::PERF_RECORD_COMM, 0, &comm),
            record(
                perf::PERF_RECORD_LOST,
                0,
                &[words(&[1, 12]), end(7, 30)].concat(),
            ),
            map(),
            sample(),
        ]
        .concat();
        let stack = words(&[1, 2]);
        let expected = [
            (10, 9, What::Fork { parent: 7 }),
            (20, 9, What::Exec),
            (30, 7, What::Lost(12)),
            (
                40,
                7,
                What::Map {
                    addresses: 0x1000..0x1200,
                    offset: 0x30,
                    path: "/lib/a b.so".to_owned(),
                },
            ),
            (
                50,
                7,
                What::Sample(Sample {
                    address: 0xffff_8000_0000_0001,
                    kernel: vec![0xffff_8000_0000_0001],
                    registers: (0..REGISTERS.len() as u64).collect(),
                    stack: &stack,
                }),
            ),
        ];
        let expected = expected.map(|(time, pid, what)| Record { time, pid, what });
        assert_eq!(parse(&bytes), expected);
        // Cut off anywhere: no panic, and nothing made up.
        for end in 0..bytes.len() {
            let part = parse(&bytes[..end]);
            assert!(part.len() < expected.len() && part[..] == expected[..part.len()]);
        }
    }

    #[test]
    fn nonsense_ends_it() {
        assert!(parse(&[0; 64]).is_empty());
        assert!(parse(&[0xff; 64]).is_empty());
        let mut many = sample();
        // As many functions of the kernel as there is no memory for.
        many[HEAD + 24..HEAD + 32].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert!(parse(&many).is_empty());
    }
}
