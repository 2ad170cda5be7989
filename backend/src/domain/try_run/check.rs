//! What words in a request may be, before a database or a repository is asked.

use globset::GlobBuilder;
use sha2::{Digest, Sha256};

use super::{LONGEST_PATCH, Refused};

/// Names of runtimes, suites and hosts.
pub(super) fn check_name(field: &'static str, name: &str) -> Result<(), Refused> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(safe) {
        let message = "a name of 1 to 64 letters, digits, '-', '_' and '.'";
        return Err(Refused::new(field, message));
    }
    Ok(())
}

/// A name of a branch, tag or commit, by the rules of git-check-ref-format(1): none that git could take for an option, a range or an
/// expression.
pub fn check_revision(field: &'static str, name: &str) -> Result<(), Refused> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '+');
    let good = !name.is_empty()
        && name.len() <= 200
        && name.chars().all(safe)
        && !name.starts_with(['-', '.', '/'])
        && !name.ends_with(['.', '/'])
        && !name.ends_with(".lock")
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("/.");
    if good {
        return Ok(());
    }
    let message = "a branch, a tag or a commit's hash, of letters, digits and - _ . / +";
    Err(Refused::new(field, message))
}

/// Compiles a glob of benchmarks' names: `*`, `?`, `[ab]`, `{json_*,pickle}`.
pub fn read_glob(text: &str) -> Result<globset::GlobMatcher, Refused> {
    let safe = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '-' | '_' | '.' | '*' | '?' | '[' | ']' | '{' | '}' | ',' | '!'
            )
    };
    if text.is_empty() || text.len() > 200 || !text.chars().all(safe) {
        let message =
            "a glob of at most 200 letters, digits and - _ . * ? [ ] { } , !, like json_*";
        return Err(Refused::new("benchmarks", message));
    }
    let glob = GlobBuilder::new(text).build();
    let glob = glob.map_err(|error| Refused::new("benchmarks", format!("no glob: {error}")))?;
    Ok(glob.compile_matcher())
}

/// Checks a patch's form: text, not too long, without binary files, which could unpack to anything.
pub(super) fn check_patch(text: &str) -> Result<(), Refused> {
    let refused = |message: String| Err(Refused::new("patch", message));
    if text.len() > LONGEST_PATCH {
        let most = LONGEST_PATCH / 1024;
        return refused(format!(
            "at most {most} KiB; try a branch for larger changes"
        ));
    }
    if text.contains('\0') {
        return refused("holds a zero byte: send text as `git diff` writes it".to_owned());
    }
    let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
    if begins("GIT binary patch") || begins("Binary files ") {
        return refused("changes a binary file: try a branch for that".to_owned());
    }
    if !begins("diff --git ") {
        let message = "has no line that begins with `diff --git`: send what `git diff` or `git format-patch` writes";
        return refused(message.to_owned());
    }
    Ok(())
}

/// A patch's key: lower-case hex SHA-256 of its text.
pub fn patch_key(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The hash of the commit that stands for a patch on a base: made of both, so that no other patch, base or commit has it.
pub fn patched_hash(base: &str, patch_key: &str) -> String {
    let digest = Sha256::digest(format!("speedwell patch\n{base}\n{patch_key}\n"));
    hex::encode(digest).chars().take(40).collect()
}

/// The paths that a patch names, each once, at most two hundred. It has been checked, but names are anybody's: without control
/// characters, and cut.
pub fn patch_paths(text: &str) -> Vec<String> {
    let mut paths = std::collections::BTreeSet::new();
    for line in text.lines() {
        let named = ["--- a/", "+++ b/", "rename from ", "rename to "];
        let path = named.iter().find_map(|start| line.strip_prefix(start));
        if let Some(path) = path {
            let path = path.split('\t').next().unwrap_or_default();
            let clean: String = path.chars().filter(|c| !c.is_control()).take(500).collect();
            paths.insert(clean);
        }
        if paths.len() >= 200 {
            break;
        }
    }
    paths.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_names_and_never_expressions() {
        for good in [
            "main",
            "gh-123/fix_it",
            "v3.13.0",
            "0123456789abcdef",
            "a+b",
        ] {
            assert_eq!(check_revision("head", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "a b",
            "main~1",
            "main^",
            "a:b",
            "@{u}",
            "a/",
            "/a",
            ".a",
            "a/.b",
            "a.lock",
            "ä",
            "a\n",
            "a\\b",
            &"x".repeat(201),
        ] {
            assert!(check_revision("head", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_patch_on_another_base_is_another_commit() {
        let key = patch_key("x");
        let one = patched_hash(&"a".repeat(40), &key);
        assert!(key.len() == 64 && one.len() == 40);
        assert_ne!(one, patched_hash(&"b".repeat(40), &key));
        assert_ne!(one, patched_hash(&"a".repeat(40), &patch_key("y")));
    }

    #[test]
    fn globs_match_names() {
        assert!(read_glob("json_*").unwrap().is_match("json_dumps"));
        assert!(!read_glob("json_*").unwrap().is_match("pickle"));
        assert!(read_glob("{json,pickle}*").unwrap().is_match("pickle_list"));
        for bad in ["", "a b", "[", "{a", "a/b", "\\", "a\u{202e}"] {
            assert_eq!(read_glob(bad).unwrap_err().field, "benchmarks", "{bad:?}");
        }
    }
}
