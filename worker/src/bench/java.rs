//! Scripts in Java: the machine under test compiles them with the harness, in the box and before anything is timed. Started
//! from its source, a script would have the compiler in its memory and its just-in-time compiler busy with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Bench;
use super::suite::Benchmark;
use crate::job::{Failure, make_folder};

/// The compiler as a module of the machine: the program `javac` may be another version's, or not there.
const COMPILER: &str = "jdk.compiler/com.sun.tools.javac.Main";
/// The harness's module for Java.
const HARNESS: &str = "Speedwell.java";

/// Whether a script is one in Java.
pub fn is_script(script: &str) -> bool {
    Path::new(script)
        .extension()
        .is_some_and(|end| end == "java")
}

/// Compiles a benchmark's script into a folder of its own, or says why that cannot be done.
pub fn compile(
    bench: &Bench<'_>,
    benchmark: &Benchmark,
) -> Result<Result<PathBuf, String>, Failure> {
    let all = bench.folder.join("classes");
    let classes = all.join(&benchmark.name);
    make_folder(&all, bench.sandbox)?;
    make_folder(&classes, bench.sandbox)?;
    let script = bench.suite.source_folder(benchmark).join(&benchmark.script);
    let words = [
        "--module".to_owned(),
        COMPILER.to_owned(),
        "-proc:none".to_owned(),
        "-encoding".to_owned(),
        "UTF-8".to_owned(),
        "-d".to_owned(),
        classes.display().to_string(),
        bench.harness.folder.join(HARNESS).display().to_string(),
        script.display().to_string(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = bench.place().python(&words, &classes, &classes)?;
    Ok(said
        .map(|_| classes)
        .map_err(|reason| format!("{} cannot be compiled: {reason}", benchmark.script)))
}

/// What the machine is called with to run a compiled script: its class is named like its file.
pub fn arguments(script: &str, classes: &Path) -> Vec<OsString> {
    let class = Path::new(script).file_stem().unwrap_or_default();
    vec![
        // Its file of counters would lie in /tmp, and stay there when a benchmark is killed.
        "-XX:-UsePerfData".into(),
        "-cp".into(),
        classes.into(),
        class.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_script_is_called_by_its_class() {
        assert!(is_script("own/Tree.java"));
        assert!(!is_script("tree.js") && !is_script("java"));
        let words = arguments("own/Tree.java", Path::new("/job/classes/tree"));
        assert_eq!(
            words,
            ["-XX:-UsePerfData", "-cp", "/job/classes/tree", "Tree"]
        );
    }
}
