//! Programs and libraries: their functions, their build id, and how to unwind stacks in them.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use framehop::{ExplicitModuleSectionInfo, Module};
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::maps::{Mapping, executable};
use super::names;
use crate::job::given;

/// One program's or library's file.
#[derive(Debug)]
pub struct Image {
    /// Its name without folders.
    pub name: Arc<str>,
    /// What its linker wrote to tell builds apart, in hexadecimal digits.
    pub build_id: Option<String>,
    /// Functions by address, in the file's own numbers.
    functions: Vec<(Range<u64>, Arc<str>)>,
    /// For each part that is loaded to be executed: where in the file, and the file's own address of it. Other parts may
    /// share its first page.
    segments: Vec<(Range<u64>, u64)>,
    frames: Frames,
}

/// How to unwind: `.eh_frame`, its index, and where code lies.
#[derive(Debug, Default, Clone)]
struct Frames {
    code: Option<Range<u64>>,
    frames: Option<(Range<u64>, Arc<[u8]>)>,
    index: Option<(Range<u64>, Arc<[u8]>)>,
    debug: Option<Arc<[u8]>>,
}

impl Image {
    fn parse(name: &str, bytes: &[u8]) -> Option<Self> {
        let elf = ElfFile64::<Endianness>::parse(bytes).ok()?;
        let endian = elf.endian();
        let headers = elf.elf_header().program_headers(endian, bytes).ok()?;
        let segments = headers
            .iter()
            .filter(|one| {
                one.p_type(endian) == object::elf::PT_LOAD
                    && one.p_flags(endian) & object::elf::PF_X != 0
            })
            .map(|one| {
                let (offset, size) = one.file_range(endian);
                (offset..offset.saturating_add(size), one.p_vaddr(endian))
            })
            .collect();
        let symbols = elf.symbols().chain(elf.dynamic_symbols());
        let mut functions: Vec<(Range<u64>, Arc<str>)> = symbols
            .filter(|one| one.kind() == SymbolKind::Text && one.size() > 0)
            .filter_map(|one| {
                let begin = one.address();
                let name = names::function(one.name().ok()?);
                Some((begin..begin.checked_add(one.size())?, Arc::from(name)))
            })
            .collect();
        // Of several names of a function, the same one in every build: the shortest, then the first.
        functions.sort_by(|(one, name), (other, second)| {
            let key = |range: &Range<u64>, name: &Arc<str>| (range.start, range.end, name.len());
            (key(one, name), name).cmp(&(key(other, second), second))
        });
        functions.dedup_by_key(|(range, _)| range.start);
        let section = |name: &str| {
            let found = elf.section_by_name(name)?;
            let range = found.address()..found.address().checked_add(found.size())?;
            let data = found.data().ok()?;
            Some((range, Arc::<[u8]>::from(data)))
        };
        Some(Self {
            name: Arc::from(names::clean(name)),
            build_id: elf.build_id().ok().flatten().map(hex::encode),
            functions,
            segments,
            frames: Frames {
                code: elf
                    .section_by_name(".text")
                    .map(|text| text.address()..text.address().saturating_add(text.size())),
                frames: section(".eh_frame"),
                index: section(".eh_frame_hdr"),
                debug: section(".debug_frame").map(|(_, data)| data),
            },
        })
    }

    /// What a mapping of this file adds to the file's own addresses.
    pub fn bias(&self, mapping: &Mapping) -> Option<u64> {
        let within = mapping
            .offset
            .checked_add(mapping.addresses.end - mapping.addresses.start)?;
        let (file, address) = self
            .segments
            .iter()
            .find(|(file, _)| file.start < within && mapping.offset < file.end)?;
        let own = address
            .wrapping_sub(file.start)
            .wrapping_add(mapping.offset);
        Some(mapping.addresses.start.wrapping_sub(own))
    }

    /// The function at one of the file's own addresses.
    pub fn function(&self, address: u64) -> Option<&Arc<str>> {
        let after = self
            .functions
            .partition_point(|(range, _)| range.start <= address);
        // A function may lie within another's range, a compiler's part of it or a hand-written one.
        let candidates = self.functions[..after].iter().rev().take(4);
        let mut fitting = candidates.filter(|(range, _)| range.contains(&address));
        fitting.next().map(|(_, name)| name)
    }

    /// The file as the unwinder knows it, mapped at an address.
    pub fn module(&self, addresses: Range<u64>, bias: u64) -> Module<Arc<[u8]>> {
        let part = |section: &Option<(Range<u64>, Arc<[u8]>)>| {
            let both = section.clone();
            both.map_or((None, None), |(range, data)| (Some(range), Some(data)))
        };
        let (eh_frame_svma, eh_frame) = part(&self.frames.frames);
        let (eh_frame_hdr_svma, eh_frame_hdr) = part(&self.frames.index);
        let sections = ExplicitModuleSectionInfo {
            base_svma: 0,
            text_svma: self.frames.code.clone(),
            eh_frame_svma,
            eh_frame,
            eh_frame_hdr_svma,
            eh_frame_hdr,
            debug_frame: self.frames.debug.clone(),
            ..Default::default()
        };
        Module::new(self.name.to_string(), addresses, bias, sections)
    }
}

/// A file as the system tells files apart: device, number, size, time of change.
type Identity = (u64, u64, u64, i64);

/// A larger file is not read, in bytes: PyPy with its symbols has some hundred million.
const LARGEST: u64 = 1 << 30;

/// Every file that was met, read once.
#[derive(Debug, Default)]
pub struct Images {
    known: HashMap<Identity, Option<Arc<Image>>>,
    vdso: Option<Option<Arc<Image>>>,
}

impl Images {
    /// A program or library; none when it cannot be read or is neither.
    pub fn read(&mut self, path: &Path) -> Option<Arc<Image>> {
        let facts = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let identity = (facts.dev(), facts.ino(), facts.size(), facts.mtime());
        let load = || {
            let name = path.file_name()?.to_string_lossy();
            // The program under test chose the file, and may still change it.
            let bytes = given::read(path, LARGEST).ok()?;
            Some(Arc::new(Image::parse(&name, &bytes)?))
        };
        self.known.entry(identity).or_insert_with(load).clone()
    }

    /// The kernel's own library, which it maps into every process: read from this one.
    pub fn vdso(&mut self) -> Option<Arc<Image>> {
        self.vdso.get_or_insert_with(load_vdso).clone()
    }
}

fn load_vdso() -> Option<Arc<Image>> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut mappings = maps.lines().filter_map(executable);
    let place = mappings.find(|one| one.path == "[vdso]")?.addresses;
    let mut memory = fs::File::open("/proc/self/mem").ok()?;
    memory.seek(std::io::SeekFrom::Start(place.start)).ok()?;
    let mut bytes = vec![0; usize::try_from(place.end - place.start).ok()?];
    memory.read_exact(&mut bytes).ok()?;
    Some(Arc::new(Image::parse("[vdso]", &bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This very program: its functions are found by their addresses in memory.
    #[test]
    fn a_function_of_this_program_is_found_by_its_address() {
        let mut images = Images::default();
        let own = std::env::current_exe().unwrap();
        let image = images.read(&own).unwrap();
        let again = images.read(&own).unwrap();
        assert!(Arc::ptr_eq(&image, &again), "read once");
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let address = load_vdso as fn() -> Option<Arc<Image>> as usize as u64;
        let mapping = maps
            .lines()
            .filter_map(executable)
            .find(|one| one.addresses.contains(&address))
            .unwrap();
        let bias = image.bias(&mapping).unwrap();
        let name = image.function(address - bias).unwrap();
        assert!(name.contains("load_vdso"), "{name}");
        assert!(image.function(0).is_none());
        assert!(images.read("/etc/passwd".as_ref()).is_none());
        assert!(images.read("/none".as_ref()).is_none());
    }

    #[test]
    fn the_kernels_library_is_read_from_memory() {
        let mut images = Images::default();
        let Some(image) = images.vdso() else {
            return; // A kernel without one.
        };
        assert_eq!(&*image.name, "[vdso]");
        assert!(
            image
                .functions
                .iter()
                .any(|(_, name)| name.contains("gettime")),
            "{:?}",
            image.functions
        );
    }
}
