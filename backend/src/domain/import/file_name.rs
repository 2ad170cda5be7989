//! The commit in the name of a result's file, as the programs that keep such folders write it.

/// The hash that a file's name ends with: `bm-20230101-linux-x86_64-python-main-3.12.0a3-abcdef0.json` (Faster CPython's
/// `bench_runner`), `2019-11-11_11-31-master-abcdef123456.json.gz` (pyperformance). `None`: it holds none.
pub fn commit_of(name: &str) -> Option<String> {
    let stem = name
        .strip_suffix(".gz")
        .unwrap_or(name)
        .strip_suffix(".json")?;
    let hash = |part: &&str| {
        (7..=40).contains(&part.len())
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    // Dates look like hashes.
    let date = |part: &str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = stem.rsplit(['-', '_']).enumerate();
    let found = parts.find(|(place, part)| hash(part) && (*place == 0 || !date(part)));
    found.map(|(_, part)| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_stands_at_the_end() {
        for (name, hash) in [
            (
                "bm-20230101-linux-x86_64-python-main-3.12.0a3-abcdef0.json",
                Some("abcdef0"),
            ),
            (
                "bm-20240105-vultr-x86_64-python-0123456789abcdef0123-3.13.0a2-0123456-JIT.json",
                Some("0123456"),
            ),
            (
                "2019-11-11_11-31-master-abcdef123456.json.gz",
                Some("abcdef123456"),
            ),
            ("bm-20230101-linux-3.12.json", None),
            ("results.json", None),
            ("abcdef0.txt", None),
        ] {
            assert_eq!(commit_of(name).as_deref(), hash, "{name}");
        }
    }
}
