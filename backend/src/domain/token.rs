//! What a token is for: its kind, which runtimes and hosts it reaches, and how long it holds.

use std::str::FromStr;

use chrono::Duration;
use globset::{GlobBuilder, GlobMatcher};
use speedwell_wire::metric::UnknownName;

/// Whose a token is. Hosts' workers have tokens of their own, kept with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Somebody's, with a role.
    Person,
    /// A program's that sends results: it reads, and writes results within its scope.
    Importer,
}

impl TokenKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[Self::Person, Self::Importer];

    /// The stable name used in the database and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Importer => "importer",
        }
    }
}

impl FromStr for TokenKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Most globs of a kind in one scope.
const MOST_GLOBS: usize = 32;
/// Longest glob.
const LONGEST_GLOB: usize = 128;
/// Longest time that a token holds, in days.
const LONGEST_DAYS: i64 = 3650;

/// Which runtimes and hosts a token reaches, as globs over their names; reading is not limited by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Globs over runtimes' names; one of them must match.
    pub runtimes: Vec<String>,
    /// Globs over hosts' names; one of them must match.
    pub hosts: Vec<String>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            runtimes: vec!["*".to_owned()],
            hosts: vec!["*".to_owned()],
        }
    }
}

impl Scope {
    /// Reads a scope; no globs mean all. The error: the field, and how to mend it.
    pub fn read(runtimes: &[String], hosts: &[String]) -> Result<Self, (&'static str, String)> {
        Ok(Self {
            runtimes: globs(runtimes).map_err(|message| ("runtime", message))?,
            hosts: globs(hosts).map_err(|message| ("host", message))?,
        })
    }

    /// Whether it reaches this runtime and, where there is one, this host.
    pub fn reaches(&self, runtime: &str, host: Option<&str>) -> bool {
        let one_of = |globs: &[String], name: &str| {
            let matching = |glob: &String| matcher(glob).is_ok_and(|glob| glob.is_match(name));
            globs.iter().any(matching)
        };
        one_of(&self.runtimes, runtime) && host.is_none_or(|host| one_of(&self.hosts, host))
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        let all = |globs: &[String]| globs.iter().any(|glob| glob == "*");
        all(&self.runtimes) && all(&self.hosts)
    }

    /// In words: `all`, or the globs.
    pub fn words(&self) -> String {
        if self.is_everything() {
            return "all".to_owned();
        }
        format!(
            "runtimes {}; hosts {}",
            self.runtimes.join(", "),
            self.hosts.join(", ")
        )
    }
}

fn matcher(glob: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(glob).literal_separator(false).build()?;
    Ok(glob.compile_matcher())
}

fn globs(texts: &[String]) -> Result<Vec<String>, String> {
    let parts = texts.iter().flat_map(|text| text.split([',', ' ', '\n']));
    let parts: Vec<String> = parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if parts.is_empty() {
        return Ok(vec!["*".to_owned()]);
    }
    if parts.len() > MOST_GLOBS {
        return Err(format!("at most {MOST_GLOBS} globs"));
    }
    for part in &parts {
        let plain = |c: char| c.is_ascii_graphic();
        if part.len() > LONGEST_GLOB || !part.chars().all(plain) {
            return Err(format!(
                "{part:?}: use names or globs like \"cpython-*\", at most {LONGEST_GLOB} characters"
            ));
        }
        matcher(part).map_err(|error| format!("{part:?} is no glob: {error}"))?;
    }
    Ok(parts)
}

/// How long a new token holds: `90d`, `12h`, or `never` (`None`).
pub fn lifetime(text: &str) -> Result<Option<Duration>, String> {
    const FORM: &str = "write a number of days or hours like 90d or 12h, at most 3650d, or never";
    let text = text.trim();
    if text == "never" {
        return Ok(None);
    }
    let number = |digits: &str| digits.parse::<u32>().ok().filter(|number| *number > 0);
    let hours = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => number(days).map(|days| i64::from(days) * 24),
        (None, Some(hours)) => number(hours).map(i64::from),
        (None, None) => None,
    };
    let hours = hours.filter(|hours| *hours <= LONGEST_DAYS * 24);
    hours
        .map(|hours| Some(Duration::hours(hours)))
        .ok_or_else(|| format!("{text:?}: {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(runtimes: &[&str], hosts: &[&str]) -> Result<Scope, (&'static str, String)> {
        let own = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        Scope::read(&own(runtimes), &own(hosts))
    }

    #[test]
    fn a_scope_reaches_what_its_globs_match() {
        let all = scope(&[], &[" "]).unwrap();
        assert!(all == Scope::default() && all.is_everything() && all.words() == "all");
        assert!(all.reaches("cpython-main", Some("lab-1")) && all.reaches("x/y", None));
        let some = scope(&["pypy*, cpython-2.7"], &["lab-?"]).unwrap();
        assert!(some.reaches("pypy3.11", Some("lab-1")) && some.reaches("cpython-2.7", None));
        assert!(!some.reaches("cpython-main", Some("lab-1")));
        assert!(!some.reaches("pypy3.11", Some("lab-10")));
        assert_eq!(some.words(), "runtimes pypy*, cpython-2.7; hosts lab-?");
        // No way around it.
        assert!(!some.reaches("", Some("")) && !some.reaches("Pypy", Some("lab-1")));
    }

    #[test]
    fn what_is_no_glob_is_named() {
        assert_eq!(scope(&["[a"], &[]).unwrap_err().0, "runtime");
        assert_eq!(scope(&[], &["é"]).unwrap_err().0, "host");
        let many = vec!["a"; 33].join(",");
        assert!(scope(&[&many], &[]).unwrap_err().1.contains("32"));
    }

    #[test]
    fn lifetimes_are_read() {
        assert_eq!(lifetime("90d"), Ok(Some(Duration::days(90))));
        assert_eq!(lifetime(" 12h "), Ok(Some(Duration::hours(12))));
        assert_eq!(lifetime("never"), Ok(None));
        for bad in ["", "0d", "-1d", "90", "3651d", "999999999999d", "1w", "d"] {
            assert!(lifetime(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kinds_read_back() {
        for one in TokenKind::ALL {
            assert_eq!(one.as_str().parse::<TokenKind>().as_ref(), Ok(one));
        }
        assert!("host".parse::<TokenKind>().is_err());
    }
}
