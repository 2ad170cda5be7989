//! Whether commits of two branches are the same change: a correction that was carried over names what the first one named.

use std::collections::BTreeSet;

/// What a commit's subject refers to, in one spelling: `bpo-1234`, `gh-1234` (an issue or a pull request of GitHub), `issue #1234`.
pub fn references(subject: &str) -> BTreeSet<String> {
    let text = subject.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for (mark, kind) in [
        ("bpo-", "bpo-"),
        ("gh-", "gh-"),
        ("issue #", "bpo-"),
        ("issue", "bpo-"),
    ] {
        for (place, _) in text.match_indices(mark) {
            let rest = &text[place + mark.len()..];
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let begins_word = text[..place]
                .chars()
                .next_back()
                .is_none_or(|one| !one.is_alphanumeric());
            if begins_word && (3..=9).contains(&number.len()) {
                found.insert(format!("{kind}{number}"));
            }
        }
    }
    found
}

/// Whether two subjects are about the same change.
pub fn are_siblings(one: &str, other: &str) -> bool {
    !references(one).is_disjoint(&references(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_was_carried_over_is_recognised() {
        let original = "gh-109218: Improve documentation for the complex() constructor (GH-109687)";
        let carried = "[3.12] gh-109218: Improve documentation (GH-109687) (#110107)";
        assert!(are_siblings(original, carried));
        assert!(are_siblings(
            "bpo-26219: per opcode cache",
            "[3.7] bpo-26219: per opcode cache"
        ));
        assert!(are_siblings(
            "Issue #4753: computed gotos",
            "bpo-4753: more of them"
        ));
        assert!(!are_siblings("gh-109218: a", "gh-109219: a"));
    }

    #[test]
    fn nothing_is_no_sibling_of_nothing() {
        for subject in [
            "",
            "whitespace",
            "high-1234",
            "gh-",
            "issue #1",
            "gh-12345678901",
        ] {
            assert!(references(subject).is_empty(), "{subject}");
        }
        assert!(!are_siblings("", ""));
    }
}
