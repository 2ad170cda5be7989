//! Sizes of an interpreter's file in a build's artefact: its sections and its main loop. Bytes in, numbers out.

use std::io::Read;

use anyhow::Context as _;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::domain::explain::Sizes;

/// Sections that are told: code, constants, data.
const SECTIONS: [&str; 5] = [".text", ".rodata", ".data", ".bss", ".eh_frame"];
/// The functions that run bytecode, by the names that interpreters give them.
const MAIN_LOOPS: [&str; 3] = [
    "_PyEval_EvalFrameDefault",
    "PyEval_EvalFrameEx",
    "pypy_g_dispatch_bytecode__AccessDirect_None",
];
/// Largest file that is looked at.
const LARGEST: u64 = 512 << 20;

/// The sizes of the largest interpreter file in an artefact (`tar`, compressed by zstd); `None` when there is none that can be read.
pub fn sizes(artefact: &[u8]) -> anyhow::Result<Option<Sizes>> {
    let decoder = zstd::Decoder::new(artefact).context("the artefact is not compressed by zstd")?;
    let mut archive = tar::Archive::new(decoder);
    let mut best: Option<(u64, Sizes)> = None;
    for entry in archive.entries().context("the artefact is no archive")? {
        let mut entry = entry.context("the artefact is damaged")?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let size = entry.size();
        let larger = best.as_ref().is_none_or(|(most, _)| size > *most);
        if !entry.header().entry_type().is_file()
            || !is_interpreter(&path)
            || size > LARGEST
            || !larger
        {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if let Some(found) = sizes_of(&path, &bytes) {
            best = Some((size, found));
        }
    }
    Ok(best.map(|(_, sizes)| sizes))
}

/// `bin/python3.14`, `bin/pypy3.11-c`, `lib/libpython3.14.so.1.0`, `bin/libpypy3.11-c.so`.
fn is_interpreter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let program = (name.starts_with("python") || name.starts_with("pypy")) && path.contains("bin/");
    let library =
        (name.starts_with("libpython") || name.starts_with("libpypy")) && name.contains(".so");
    (program && !name.ends_with("-config")) || library
}

fn sizes_of(path: &str, bytes: &[u8]) -> Option<Sizes> {
    let file = object::File::parse(bytes).ok()?;
    let sections = SECTIONS.iter().filter_map(|name| {
        let section = file.section_by_name(name)?;
        Some(((*name).to_owned(), section.size()))
    });
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    let main_loop = symbols.find(|symbol| {
        symbol.size() > 0 && symbol.name().is_ok_and(|name| MAIN_LOOPS.contains(&name))
    });
    Some(Sizes {
        file: path.to_owned(),
        sections: sections.collect(),
        main_loop: main_loop.map(|symbol| symbol.size()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefact(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, path, *bytes).unwrap();
        }
        zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
    }

    #[test]
    fn a_real_program_has_sections_and_others_are_passed_over() {
        // This very test is an ELF file.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let bytes = artefact(&[
            ("opt/python/bin/python3", b"#!/bin/sh\n"),
            ("opt/python/bin/python3-config", &own),
            ("opt/python/lib/other.so", &own),
            ("opt/python/bin/python3.14", &own),
        ]);
        let found = sizes(&bytes).unwrap().unwrap();
        assert_eq!(found.file, "opt/python/bin/python3.14");
        let text = found
            .sections
            .iter()
            .find(|(name, _)| name == ".text")
            .unwrap();
        assert!(text.1 > 100_000, "{found:?}");
        assert_eq!(found.main_loop, None);
    }

    #[test]
    fn rubbish_is_an_error_and_nothing_is_none() {
        assert!(sizes(b"build").is_err());
        let damaged = zstd::encode_all([7_u8; 2000].as_slice(), 1).unwrap();
        assert!(sizes(&damaged).is_err());
        assert_eq!(sizes(&artefact(&[])).unwrap(), None);
        assert_eq!(
            sizes(&artefact(&[("bin/python3", b"\x7fELF rubbish")])).unwrap(),
            None
        );
    }
}
