//! The kernel's own functions, from `/proc/kallsyms`; and which kernel it is.

use std::fs;
use std::sync::{Arc, LazyLock};

use super::names;
use super::records::word;

/// The kernel's functions by address.
#[derive(Debug, Default)]
pub struct Kernel {
    functions: Vec<(u64, Arc<str>)>,
    /// Its build id, in hexadecimal digits.
    pub build_id: Option<String>,
}

impl Kernel {
    /// The kernel that runs. Only a privileged reader is told addresses; without them no function has a name.
    pub fn running() -> &'static Self {
        static KERNEL: LazyLock<Kernel> = LazyLock::new(|| {
            let text = fs::read("/proc/kallsyms").unwrap_or_default();
            let notes = fs::read("/sys/kernel/notes").unwrap_or_default();
            Kernel {
                functions: functions(&String::from_utf8_lossy(&text)),
                build_id: build_id(&notes),
            }
        });
        &KERNEL
    }

    /// The function at an address.
    pub fn function(&self, address: u64) -> Option<&Arc<str>> {
        let after = self
            .functions
            .partition_point(|(begin, _)| *begin <= address);
        let (_, name) = self.functions.get(after.checked_sub(1)?)?;
        Some(name)
    }
}

/// `ADDRESS TYPE NAME [MODULE]`, of code alone.
fn functions(text: &str) -> Vec<(u64, Arc<str>)> {
    let mut functions: Vec<(u64, Arc<str>)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
            let name = names::function(words.next()?);
            (is_code && address > 0).then(|| (address, Arc::from(name)))
        })
        .collect();
    functions.sort();
    functions.dedup_by_key(|(address, _)| *address);
    functions
}

/// The note of type 3 of the owner `GNU` among a kernel's notes (elf(5), "Notes").
fn build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let length = |at| usize::try_from(word(notes, at, 4)).ok();
        let (owner, content, kind) = (length(0)?, length(4)?, word(notes, 8, 4));
        let begin = 12_usize.checked_add(owner.checked_next_multiple_of(4)?)?;
        let end = begin.checked_add(content)?;
        let bytes = notes.get(begin..end)?;
        if kind == 3 && notes.get(12..16) == Some(b"GNU\0") {
            return Some(hex::encode(bytes));
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
        if notes.is_empty() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_what_lies_below() {
        let text = "ffff0010 T second.cold\nffff0000 t first\nffff0008 d data\n00000000 T hidden\nffff0020 t third [nf]\nx\n";
        let kernel = Kernel {
            functions: functions(text),
            build_id: None,
        };
        let at = |address| kernel.function(address).map(|name| name.to_string());
        assert_eq!(at(0xffff_0009), Some("first".to_owned()));
        assert_eq!(at(0xffff_0010), Some("second".to_owned()));
        assert_eq!(at(0xffff_ffff), Some("third".to_owned()));
        assert_eq!(at(0x1000), None);
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let note = |kind: u32, content: &[u8]| {
            let length = u32::try_from(content.len()).unwrap();
            let head = [4, length, kind].map(u32::to_ne_bytes).concat();
            [&head[..], b"GNU\0", content].concat()
        };
        let notes = [note(1, &[0; 8]), note(3, &[0xab, 0xcd, 1, 2])].concat();
        assert_eq!(build_id(&notes).as_deref(), Some("abcd0102"));
        assert_eq!(build_id(&note(1, &[0; 8])), None);
        for end in 0..notes.len() - 1 {
            assert_eq!(build_id(&notes[..end]), None);
        }
    }
}
