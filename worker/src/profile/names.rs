//! Names of functions as profiles keep them: the same in every build, and nothing that separates stacks in them.

/// Longest name of a function that is kept.
const LONGEST_NAME: usize = 100;

/// A function's name without a symbol version and without what a compiler hangs on to clones of it, which differ from one
/// build to the next.
pub fn function(name: &str) -> String {
    let name = name.split('@').next().unwrap_or(name);
    let clones = [
        ".constprop",
        ".isra",
        ".part",
        ".cold",
        ".lto_priv",
        ".llvm",
    ];
    let end = clones.iter().filter_map(|clone| name.find(clone)).min();
    clean(&name[..end.unwrap_or(name.len())])
}

/// What nothing that reads stacks trips over.
pub fn clean(name: &str) -> String {
    let good = |c: char| {
        if c == ';' || c.is_whitespace() || c.is_control() {
            '_'
        } else {
            c
        }
    };
    name.chars().take(LONGEST_NAME).map(good).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_that_separates() {
        assert_eq!(
            function("operator new(unsigned long); x"),
            "operator_new(unsigned_long)__x"
        );
        assert_eq!(function("_Py_dealloc.part.0.isra.1"), "_Py_dealloc");
        assert_eq!(function("malloc@@GLIBC_2.34"), "malloc");
        assert_eq!(function(&"x".repeat(500)).len(), LONGEST_NAME);
    }
}
