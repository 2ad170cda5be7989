//! Which component of an interpreter a function belongs to, and what share of a profile each has.
//!
//! The mapping is data (`assets/components.toml`), by the names that CPython's own source gives its functions.

use std::sync::LazyLock;

use serde::Deserialize;
use speedwell_wire::ProfileReport;

/// The main loop's name in the mapping.
pub const MAIN_LOOP: &str = "main_loop";
/// The name in it of machine code that was made at run time.
pub const COMPILED: &str = "compiled";
/// What no pattern fits.
pub const UNMAPPED: &str = "unmapped";

/// The mapping.
#[derive(Debug, Deserialize)]
pub struct Mapping {
    /// Stored with what was made by it.
    pub version: String,
    #[serde(rename = "component")]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    label: String,
    symbols: Vec<String>,
    #[serde(default)]
    objects: Vec<String>,
}

/// The mapping of this version.
pub fn mapping() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
        // The file is part of the program and read by a test: an empty mapping would leave everything unmapped.
        toml::from_str(include_str!("../../assets/components.toml")).unwrap_or(Mapping {
            version: "none".to_owned(),
            components: Vec::new(),
        })
    });
    &MAPPING
}

impl Mapping {
    /// The component of a function in an object; [`UNMAPPED`] when nothing fits.
    pub fn component(&self, function: &str, object: &str) -> &str {
        let by_symbol =
            |one: &&Component| one.symbols.iter().any(|pattern| fits(pattern, function));
        let by_object = |one: &&Component| one.objects.iter().any(|pattern| fits(pattern, object));
        let mut components = self.components.iter();
        let found = components.clone().find(by_symbol);
        found
            .or_else(|| components.find(by_object))
            .map_or(UNMAPPED, |one| &one.name)
    }

    /// A component's name for people.
    pub fn label<'a>(&'a self, name: &'a str) -> &'a str {
        let known = self.components.iter().find(|one| one.name == name);
        match name {
            UNMAPPED => "Not mapped",
            _ => known.map_or(name, |one| &one.label),
        }
    }

    /// The counts of each component, the largest first; what the profile's stacks leave out is unmapped.
    pub fn shares(&self, profile: &ProfileReport) -> Vec<(String, f64)> {
        let mut sums: Vec<(String, f64)> = Vec::new();
        let mut add = |name: &str, count: f64| match sums.iter_mut().find(|(one, _)| one == name) {
            Some((_, sum)) => *sum += count,
            None => sums.push((name.to_owned(), count)),
        };
        let mut told = 0.0;
        for stack in &profile.stacks {
            let function = stack.frames.rsplit(';').next().unwrap_or_default();
            add(self.component(function, &stack.object), stack.count);
            told += stack.count;
        }
        if profile.total > told {
            add(UNMAPPED, profile.total - told);
        }
        sums.sort_by(|one, other| other.1.total_cmp(&one.1));
        sums
    }
}

/// Whether a text is what a pattern says, in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use speedwell_wire::{ProfileStack, ProfileTool};

    #[test]
    fn patterns_fit_as_they_say() {
        for (pattern, text, expected) in [
            ("free", "free", true),
            ("free", "freeze", false),
            ("gc_*", "gc_collect_main", true),
            ("*_traverse", "dict_traverse", true),
            ("*a*b", "xxaybzb", true),
            ("*a*b", "xxb", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn functions_of_every_cpython_find_their_component() {
        let mapping = mapping();
        for (function, object, expected) in [
            ("_PyEval_EvalFrameDefault", "python3.13", MAIN_LOOP),
            ("PyEval_EvalFrameEx", "python2.7", MAIN_LOOP),
            ("gc_collect_main", "python3.13", "garbage_collection"),
            ("_PyObject_Malloc", "python3.13", "memory"),
            ("malloc", "libc.so.6", "memory"),
            ("long_dealloc", "python3.9", "memory"),
            ("lookdict_unicode_nodummy", "python3.9", "lookup"),
            ("_PyObject_GenericGetAttrWithDict", "python2.7", "lookup"),
            ("_PyEval_Vector", "python3.11", "calls"),
            ("long_add", "python3.9", "numbers"),
            ("__memcpy_avx_unaligned_erms", "libc.so.6", "c_library"),
            ("[libc.so.6]", "libc.so.6", "c_library"),
            ("free_pages_[k]", "[kernel]", "kernel"),
            ("clock_gettime", "[vdso]", "kernel"),
            ("compiled_[j]", "", COMPILED),
            ("load_[j]", "", COMPILED),
            ("py::load:a.py", "", "calls"),
            ("[libpypy3.9-c.so]", "libpypy3.9-c.so", "pypy_runtime"),
            (
                "pypy_g_IncrementalMiniMarkGC_minor_collection",
                "libpypy3.9-c.so",
                "garbage_collection",
            ),
            (
                "pypy_g_dispatch_bytecode__AccessDirect_None",
                "libpypy3.9-c.so",
                MAIN_LOOP,
            ),
            ("sqlite3VdbeExec", "libsqlite3.so.0.8.6", "libraries"),
            ("[python3.11]", "python3.11", UNMAPPED),
            ("quite_another", "other.so", UNMAPPED),
        ] {
            assert_eq!(mapping.component(function, object), expected, "{function}");
        }
        assert!(mapping.version.starts_with("components-"));
        assert_eq!(mapping.label(UNMAPPED), "Not mapped");
        assert_eq!(mapping.label("memory"), "Memory");
    }

    #[test]
    fn what_is_left_out_is_not_mapped() {
        let profile = |total: f64, counts: &[(&str, f64)]| ProfileReport {
            tool: ProfileTool::Callgrind,
            total,
            build_ids: std::collections::BTreeMap::new(),
            stacks: counts
                .iter()
                .map(|(frames, count)| ProfileStack {
                    frames: (*frames).to_owned(),
                    object: String::new(),
                    count: *count,
                })
                .collect(),
        };
        let all = [
            ("main;_PyEval_EvalFrameDefault", 60.0),
            ("main;long_add", 30.0),
        ];
        let shares = mapping().shares(&profile(100.0, &all));
        let expected = [(MAIN_LOOP, 60.0), ("numbers", 30.0), (UNMAPPED, 10.0)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count));
        assert_eq!(shares, expected);
        assert!(mapping().shares(&profile(0.0, &[])).is_empty());
    }
}
