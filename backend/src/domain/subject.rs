//! What is compared, as an address names it: a runtime, a point of its branch, a host; pure.
//!
//! The grammar is `RUNTIME[@POINT][~HOST]`. A point is a tag, seven or more digits of a commit's hash, or `head` (also when it is
//! left out): the newest measured commit. Git allows no `~` in a tag, and runtimes' names have neither `@` nor `~`.

use std::fmt;
use std::str::FromStr;

/// Longest text of a subject, in bytes.
const LONGEST: usize = 400;
/// Fewest digits that name a commit.
const FEWEST_DIGITS: usize = 7;

/// A runtime at a point, on one host or on whichever fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The runtime's name.
    pub runtime: String,
    /// Which commit of it.
    pub point: Point,
    /// The host's name; absent: one that the other subjects were measured on too, if there is one.
    pub host: Option<String>,
}

/// A point of a runtime's branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Point {
    /// The newest measured commit.
    Head,
    /// A tag, or the beginning of a commit's hash; a tag of that name goes first.
    Named(String),
}

impl Point {
    /// The digits, in lower case, when the point can be a commit's hash.
    pub fn as_hash_prefix(&self) -> Option<String> {
        match self {
            Self::Head => None,
            Self::Named(text) => {
                let is_hash = (FEWEST_DIGITS..=64).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hash.then(|| text.to_ascii_lowercase())
            }
        }
    }

    /// The tag's name or digits; absent for the head.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Head => None,
            Self::Named(text) => Some(text),
        }
    }
}

/// What is wrong with a subject's text, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSubject(String);

impl fmt::Display for BadSubject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: write RUNTIME, RUNTIME@TAG, RUNTIME@COMMIT or RUNTIME@head, each with ~HOST for one host",
            self.0
        )
    }
}

impl std::error::Error for BadSubject {}

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Self, BadSubject> {
        let bad = |what: &str| Err(BadSubject(what.to_owned()));
        let text = text.trim();
        if text.is_empty() {
            return bad("nothing is named");
        }
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return bad("this is too long, or has control characters");
        }
        let (rest, host) = match text.rsplit_once('~') {
            Some((rest, host)) => (rest, Some(host.to_owned())),
            None => (text, None),
        };
        let (runtime, point) = match rest.split_once('@') {
            Some((runtime, "head")) => (runtime, Point::Head),
            Some((runtime, point)) => (runtime, Point::Named(point.to_owned())),
            None => (rest, Point::Head),
        };
        if runtime.is_empty() {
            return bad("the runtime is missing");
        }
        if point.name().is_some_and(str::is_empty) {
            return bad("nothing follows the @");
        }
        if host.as_deref().is_some_and(str::is_empty) {
            return bad("nothing follows the ~");
        }
        Ok(Self {
            runtime: runtime.to_owned(),
            point,
            host,
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.runtime)?;
        if let Some(name) = self.point.name() {
            write!(formatter, "@{name}")?;
        }
        if let Some(host) = &self.host {
            write!(formatter, "~{host}")?;
        }
        Ok(())
    }
}

/// Chooses a host for each subject from those that it was measured on, the newest first (an index into its list); `None` where
/// there is none. As many subjects as can be share one host, and of several such hosts it is the first subject's newest;
/// the others keep their own newest one, which the page has to say.
pub fn choose_hosts(offers: &[Vec<&str>]) -> Vec<Option<usize>> {
    let place = |of: &[&str], host: &str| of.iter().position(|one| *one == host);
    let mut best: Option<(&str, usize)> = None;
    for host in offers.iter().flatten() {
        let count = offers.iter().filter(|of| place(of, host).is_some()).count();
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((host, count));
        }
    }
    let shared = best.map(|(host, _)| host);
    let choose = |of: &Vec<&str>| {
        let newest = (!of.is_empty()).then_some(0);
        shared.and_then(|host| place(of, host)).or(newest)
    };
    offers.iter().map(choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_reads_back() {
        for text in [
            "cpython-2.7",
            "cpython-2.7@v2.7.10",
            "pypy2.7@release-pypy2.7-v7.3.11~lab-1",
            "cpython-main@0123abc~lab-1",
            "cpython-main~lab-1",
            "a@b@c",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse(" cpython-main@head ").to_string(), "cpython-main");
        assert_eq!(parse("a@b@c").point, Point::Named("b@c".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_with_the_form() {
        let long = "x".repeat(LONGEST + 1);
        for (text, word) in [
            ("", "nothing is named"),
            ("  ", "nothing is named"),
            ("@v1", "runtime is missing"),
            ("~lab", "runtime is missing"),
            ("a@", "follows the @"),
            ("a~", "follows the ~"),
            ("a\u{0}", "control"),
            (long.as_str(), "too long"),
        ] {
            let error = text.parse::<Subject>().unwrap_err().to_string();
            assert!(
                error.contains(word) && error.contains("RUNTIME@TAG"),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn digits_are_a_hash_from_seven_on() {
        let digits = |text: &str| Point::Named(text.to_owned()).as_hash_prefix();
        assert_eq!(digits("0123ABC").as_deref(), Some("0123abc"));
        assert_eq!(digits("012345"), None);
        assert_eq!(digits("v2.7.10"), None);
        assert_eq!(digits(&"a".repeat(65)), None);
        assert_eq!(Point::Head.as_hash_prefix(), None);
    }

    #[test]
    fn one_host_is_shared_where_it_can_be() {
        assert!(choose_hosts(&[]).is_empty());
        assert_eq!(choose_hosts(&[vec![]]), [None]);
        // The first subject's newest host is not the others'.
        assert_eq!(
            choose_hosts(&[vec!["new", "old"], vec!["old", "third"]]),
            [Some(1), Some(0)]
        );
        assert_eq!(choose_hosts(&[vec!["a"], vec!["b"]]), [Some(0), Some(0)]);
        assert_eq!(
            choose_hosts(&[vec!["a"], vec!["c", "b"], vec!["b"], vec![]]),
            [Some(0), Some(1), Some(0), None]
        );
    }
}
