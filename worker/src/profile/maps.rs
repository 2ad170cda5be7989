//! A process's executable memory (`/proc/PID/maps`, proc(5)), and where in it its interpreter's main loop lies.

use std::fs;
use std::io;
use std::ops::Range;

use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Object as _, ObjectSymbol as _};

/// The function that runs bytecode, by interpreter: CPython since 3.6, CPython before.
const MAIN_LOOPS: [&str; 2] = ["_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx"];

/// What is known of a process's executable memory.
#[derive(Debug, Default)]
pub struct Maps {
    /// The main loops' addresses.
    pub main_loop: Vec<Range<u64>>,
    files: Vec<Range<u64>>,
    made: Vec<Range<u64>>,
}

/// One line of the maps.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    addresses: Range<u64>,
    offset: u64,
    path: String,
}

impl Maps {
    /// Reads a process's maps and the symbols of its files.
    pub fn read(pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mut maps = Self::default();
        for mapping in text.lines().filter_map(executable) {
            if mapping.path.starts_with('/') && !mapping.path.ends_with(" (deleted)") {
                // Its own root: the box has folders of its own.
                let file = format!("/proc/{pid}/root{}", mapping.path);
                maps.main_loop.extend(main_loop(&file, &mapping));
                maps.files.push(mapping.addresses);
            } else if mapping.path.is_empty() || mapping.path.starts_with("[anon") {
                maps.made.push(mapping.addresses);
            }
        }
        Ok(maps)
    }

    /// Whether an address lies in the main loop.
    pub fn is_main_loop(&self, address: u64) -> bool {
        self.main_loop.iter().any(|range| range.contains(&address))
    }

    /// Whether an address lies in executable memory of no file.
    pub fn is_made(&self, address: u64) -> bool {
        self.made.iter().any(|range| range.contains(&address))
    }

    /// Whether an address lies in a program's or library's file.
    #[cfg(test)]
    pub fn knows(&self, address: u64) -> bool {
        self.files.iter().any(|range| range.contains(&address))
    }
}

/// A line of the maps, if its memory is executable.
fn executable(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let offset = words.next()?;
    let path = words.nth(2).unwrap_or_default().trim_start();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let mapping = Mapping {
        addresses: hex(start)?..hex(end)?,
        offset: hex(offset)?,
        path: path.to_owned(),
    };
    permissions.contains('x').then_some(mapping)
}

/// Where a file's main loop lies in a mapping of it; nowhere when it has none or cannot be read.
fn main_loop(file: &str, mapping: &Mapping) -> Vec<Range<u64>> {
    let Ok(bytes) = fs::read(file) else {
        return Vec::new();
    };
    let Ok(elf) = object::read::elf::ElfFile64::<object::Endianness>::parse(&*bytes) else {
        return Vec::new();
    };
    let endian = elf.endian();
    let Ok(segments) = elf.elf_header().program_headers(endian, &*bytes) else {
        return Vec::new();
    };
    // The addresses of the file's own numbering that this mapping shows.
    let Some(base) = segments.iter().find_map(|segment| {
        let (offset, size) = segment.file_range(endian);
        let within = mapping.offset + (mapping.addresses.end - mapping.addresses.start);
        (offset < within && mapping.offset < offset + size).then(|| {
            segment
                .p_vaddr(endian)
                .wrapping_sub(offset)
                .wrapping_add(mapping.offset)
        })
    }) else {
        return Vec::new();
    };
    let symbols = elf.symbols().chain(elf.dynamic_symbols());
    let mut found: Vec<Range<u64>> = symbols
        .filter(|symbol| symbol.size() > 0 && symbol.name().is_ok_and(is_main_loop))
        .map(|symbol| {
            let begin = symbol
                .address()
                .wrapping_sub(base)
                .wrapping_add(mapping.addresses.start);
            begin..begin.wrapping_add(symbol.size())
        })
        .filter(|range| mapping.addresses.contains(&range.start))
        .collect();
    found.sort_unstable_by_key(|range| range.start);
    found.dedup();
    found
}

/// Compilers cut a function in parts: `NAME.cold`, `NAME.lto_priv.0`.
fn is_main_loop(symbol: &str) -> bool {
    let name = symbol.split('.').next().unwrap_or_default();
    MAIN_LOOPS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_maps_are_read_and_others_refused() {
        let line = "55d0c8a00000-55d0c8c00000 r-xp 0001f000 fe:00 1234                       /usr/bin/python 3";
        assert_eq!(
            executable(line),
            Some(Mapping {
                addresses: 0x55d0_c8a0_0000..0x55d0_c8c0_0000,
                offset: 0x1f000,
                path: "/usr/bin/python 3".to_owned()
            })
        );
        assert_eq!(executable(&line.replace("r-xp", "r--p")), None);
        let made = executable("7f00-7f10 rwxp 00000000 00:00 0 ").unwrap();
        assert_eq!(made.path, "");
        for bad in ["", "x", "1-2", "zz-2 r-xp 0 0 0"] {
            assert_eq!(executable(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parts_of_the_main_loop_belong_to_it() {
        assert!(is_main_loop("_PyEval_EvalFrameDefault"));
        assert!(is_main_loop("_PyEval_EvalFrameDefault.cold"));
        assert!(is_main_loop("PyEval_EvalFrameEx.lto_priv.0"));
        assert!(!is_main_loop("_PyEval_EvalFrame"));
        assert!(!is_main_loop(""));
    }

    /// The distribution's Python, while it runs: its main loop is found in its own memory.
    #[test]
    fn the_main_loop_of_a_running_python_is_found() {
        let mut python = std::process::Command::new("python3")
            .args([
                "-c",
                "import sys; print(); sys.stdout.flush(); sys.stdin.read()",
            ])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = python.stdout.take().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(output), &mut line).unwrap();
        let maps = Maps::read(python.id()).unwrap();
        drop(python.stdin.take());
        python.wait().unwrap();
        let largest = maps.main_loop.iter().map(|one| one.end - one.start).max();
        assert!(
            largest.is_some_and(|size| size > 1000),
            "{:?}",
            maps.main_loop
        );
    }
}
