//! The executable memory of processes: what lies where, from `/proc/PID/maps` (proc(5)) and from what the kernel records of
//! later mappings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use framehop::Unwinder as _;

use super::image::{Image, Images};
use super::unwind::Unwinder;

/// One piece of executable memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Where it is.
    pub addresses: Range<u64>,
    /// Where in its file it begins.
    pub offset: u64,
    /// Its file; or what the kernel calls it.
    pub path: String,
}

/// What an address belongs to.
#[derive(Debug, Clone)]
pub enum Place {
    /// A program's or library's file, with what it adds to the file's own addresses.
    File(Arc<Image>, u64),
    /// Memory of no file: what was compiled at run time.
    Made,
    /// A file that cannot be read, by its name.
    Unread(String),
}

/// The executable memory of one process.
#[derive(Default)]
pub struct Space {
    /// By their ends, for they do not overlap.
    pieces: BTreeMap<u64, (u64, Place)>,
    unwinder: Option<Unwinder>,
}

impl Space {
    /// What a process has mapped now.
    pub fn read(pid: u32, images: &mut Images) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mut space = Self::default();
        for mapping in text.lines().filter_map(executable) {
            space.add(pid, mapping, images);
        }
        Ok(space)
    }

    /// The same memory in a process that begins as a copy.
    pub fn copy(&self) -> Self {
        Self {
            pieces: self.pieces.clone(),
            unwinder: None,
        }
    }

    /// Takes a mapping, in place of what lay there.
    pub fn add(&mut self, pid: u32, mapping: Mapping, images: &mut Images) {
        let Range { start, end } = mapping.addresses;
        let place = place_of(pid, &mapping, images);
        let covered: Vec<u64> = self
            .pieces
            .range(start + 1..)
            .take_while(|(_, (begin, _))| *begin < end)
            .map(|(end, _)| *end)
            .collect();
        for key in covered {
            let Some((begin, old)) = self.pieces.remove(&key) else {
                continue;
            };
            if key > end {
                self.pieces.insert(key, (end, old.clone()));
            }
            if begin < start {
                self.pieces.insert(start, (begin, old));
            }
        }
        self.pieces.insert(end, (start, place));
        self.unwinder = None;
    }

    /// What an address lies in.
    pub fn at(&self, address: u64) -> Option<&Place> {
        let (_, (begin, place)) = self.pieces.range(address + 1..).next()?;
        (*begin <= address).then_some(place)
    }

    /// What unwinds stacks in this memory.
    pub fn unwinder(&mut self) -> &Unwinder {
        self.unwinder.get_or_insert_with(|| {
            let mut unwinder = Unwinder::new();
            for (end, (begin, place)) in &self.pieces {
                if let Place::File(image, bias) = place {
                    unwinder.add_module(image.module(*begin..*end, *bias));
                }
            }
            unwinder
        })
    }
}

fn place_of(pid: u32, mapping: &Mapping, images: &mut Images) -> Place {
    let path = mapping.path.as_str();
    if path.is_empty() || path == "//anon" || path.starts_with("[anon") {
        return Place::Made;
    }
    let image = if path == "[vdso]" {
        images.vdso()
    } else if path.starts_with('/') && !path.ends_with(" (deleted)") {
        // Its own root: the box has folders of its own. When it is gone, the host's own is the best guess.
        let own = PathBuf::from(format!("/proc/{pid}/root{path}"));
        images.read(&own).or_else(|| images.read(path.as_ref()))
    } else {
        None
    };
    let found = image.and_then(|image| {
        let bias = image.bias(mapping)?;
        Some(Place::File(image, bias))
    });
    found.unwrap_or_else(|| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.trim_matches(['[', ']']);
        Place::Unread(super::names::clean(name))
    })
}

/// A line of the maps, if its memory is executable.
pub fn executable(line: &str) -> Option<Mapping> {
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
    fn a_mapping_replaces_what_lay_there() {
        let mut images = Images::default();
        let mut space = Space::default();
        let mut add = |addresses: Range<u64>, path: &str| {
            let mapping = Mapping {
                addresses,
                offset: 0,
                path: path.to_owned(),
            };
            space.add(u32::MAX, mapping, &mut images);
        };
        add(100..200, "/none/old.so");
        add(300..400, "/none/other.so");
        add(140..160, "");
        add(190..310, "[heap]");
        let at = |address| match space.at(address) {
            None => "nothing".to_owned(),
            Some(Place::Made) => "made".to_owned(),
            Some(Place::Unread(name)) => name.clone(),
            Some(Place::File(image, _)) => image.name.to_string(),
        };
        let all = [99, 100, 139, 140, 159, 160, 189, 190, 309, 310, 399, 400].map(at);
        let expected = [
            "nothing", "old.so", "old.so", "made", "made", "old.so", "old.so", "heap", "heap",
            "other.so", "other.so", "nothing",
        ];
        assert_eq!(all, expected);
    }
}
