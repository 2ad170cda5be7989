//! What somebody typed into the search box: its words, and what it may name exactly.

/// Longest text that is searched for, in characters.
pub const LONGEST: usize = 200;
/// Words beyond these are not looked at.
const MOST_WORDS: usize = 12;
/// A shorter beginning of a hash names too many commits.
const SHORTEST_HASH: usize = 4;

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Commits, by hash, author and subject.
    Commits,
    /// Regressions and improvements.
    Regressions,
    /// Benchmarks.
    Benchmarks,
    /// Runtimes.
    Runtimes,
    /// Hosts.
    Hosts,
    /// Suites.
    Suites,
    /// Tags: releases.
    Releases,
}

impl Kind {
    /// Every kind, in the order of the page.
    pub const ALL: [Self; 7] = [
        Self::Regressions,
        Self::Benchmarks,
        Self::Runtimes,
        Self::Hosts,
        Self::Suites,
        Self::Releases,
        Self::Commits,
    ];

    /// The name in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commits => "commits",
            Self::Regressions => "regressions",
            Self::Benchmarks => "benchmarks",
            Self::Runtimes => "runtimes",
            Self::Hosts => "hosts",
            Self::Suites => "suites",
            Self::Releases => "releases",
        }
    }

    /// The heading on the page.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Commits => "Commits",
            Self::Regressions => "Regressions and improvements",
            Self::Benchmarks => "Benchmarks",
            Self::Runtimes => "Runtimes",
            Self::Hosts => "Hosts",
            Self::Suites => "Suites",
            Self::Releases => "Releases",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("kind: {text:?} is none of {names}")
        })
    }
}

/// A text to search for, taken apart. Its parts hold letters and digits only, but for `text` and `terms`, which are compared as
/// they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Without control characters and spaces at its ends.
    pub text: String,
    /// What is between spaces, in lower case: parts of names.
    pub terms: Vec<String>,
    /// Runs of letters and digits, in lower case.
    pub words: Vec<String>,
    /// What may be the beginning of a commit's hash.
    pub hash: Option<String>,
    /// What may be a regression's number.
    pub number: Option<i64>,
}

impl Query {
    /// Takes a text apart; nothing when there is nothing in it to search for.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.chars().count() > LONGEST {
            return Err(format!("q: more than {LONGEST} characters"));
        }
        let text: String = text
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .collect();
        let text = text.trim();
        let lower = text.to_lowercase();
        let terms: Vec<String> = lower.split_whitespace().map(str::to_owned).collect();
        if terms.is_empty() {
            return Ok(None);
        }
        let words = lower.split(|char: char| !char.is_alphanumeric());
        let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
        let is_hash = (SHORTEST_HASH..=64).contains(&lower.len())
            && lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = text.strip_prefix('#').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Some(Self {
            words: words.take(MOST_WORDS).collect(),
            terms: terms.into_iter().take(MOST_WORDS).collect(),
            hash: is_hash.then(|| lower.clone()),
            number: digits.parse().ok().filter(|_| is_number),
            text: text.to_owned(),
        }))
    }

    /// The words as Postgres's `to_tsquery` takes them, all of them wanted and the last one as a beginning; nothing without words.
    pub fn tsquery(&self) -> Option<String> {
        let (last, before) = self.words.split_last()?;
        let mut parts: Vec<String> = before.iter().map(|word| format!("'{word}'")).collect();
        // A single letter begins half of all words.
        let ending = if last.chars().count() > 1 { ":*" } else { "" };
        parts.push(format!("'{last}'{ending}"));
        Some(parts.join(" & "))
    }

    /// Whether a name is what was typed, but for the case.
    pub fn is(&self, name: &str) -> bool {
        self.text.to_lowercase() == name.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_text_is_taken_apart() {
        let found = query("  Guido gh-12345: os.path ");
        assert_eq!(found.terms, ["guido", "gh-12345:", "os.path"]);
        assert_eq!(found.words, ["guido", "gh", "12345", "os", "path"]);
        assert_eq!(
            found.tsquery().unwrap(),
            "'guido' & 'gh' & '12345' & 'os' & 'path':*"
        );
        assert_eq!((found.hash, found.number), (None, None));
        let hash = query("DEADbeef");
        assert_eq!(hash.hash.as_deref(), Some("deadbeef"));
        assert_eq!(query("#12").number, Some(12));
        assert_eq!(query("1234").number, Some(1234));
        assert_eq!(query("1234").hash.as_deref(), Some("1234"));
        assert_eq!(query("#").number, None);
        assert_eq!(query("99999999999999999999").number, None);
        assert!(query("CPython-Main").is("cpython-main"));
    }

    #[test]
    fn nothing_from_outside_is_syntax() {
        for hostile in [
            "'",
            "a' | 'b",
            "!&|()<->:*",
            "%_\\",
            "a\0b",
            "\u{feff}",
            "é:*'",
        ] {
            let Some(found) = Query::parse(hostile).unwrap() else {
                continue;
            };
            let plain = found.words.iter().flat_map(|word| word.chars());
            assert!(plain.into_iter().all(char::is_alphanumeric), "{hostile:?}");
            assert!(!found.text.contains('\0'));
        }
        assert_eq!(query("!&|").tsquery(), None);
        assert_eq!(query("a").tsquery().unwrap(), "'a'");
        assert!(Query::parse("").unwrap().is_none());
        assert!(Query::parse(" \t\0 ").unwrap().is_none());
        assert!(Query::parse(&"x".repeat(LONGEST + 1)).is_err());
        let many = query(&"w ".repeat(90));
        assert_eq!(
            (many.words.len(), many.terms.len()),
            (MOST_WORDS, MOST_WORDS)
        );
    }

    #[test]
    fn kinds_round_trip() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("cats".parse::<Kind>().unwrap_err().contains("commits"));
    }
}
