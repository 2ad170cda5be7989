//! The lines of a lock, and which of them are for an interpreter.
//!
//! A wheel for each version of Python is a line of its own with a marker (`numpy==2.4.6 ; python_version == "3.11"`), so that
//! a worker fetches the one file that its interpreter can use and not ten.

use anyhow::{Context as _, ensure};

/// One line of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Name of the package.
    pub name: String,
    /// `name==version ; marker`, as pip takes it.
    pub requirement: String,
    /// Lower-case hex SHA-256 of each file that may be taken.
    pub hashes: Vec<String>,
}

/// Parses a requirements file: pinned versions with hashes, and nothing else.
pub fn parse(text: &str, file: &str) -> anyhow::Result<Vec<Line>> {
    let joined = text.replace("\\\n", " ");
    let lines = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(" --hash=sha256:");
            let requirement = words.next().unwrap_or_default().trim().to_owned();
            let hashes: Vec<String> = words.map(|word| word.trim().to_owned()).collect();
            let name = requirement
                .split("==")
                .next()
                .unwrap_or_default()
                .to_owned();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                requirement.contains("==") && !name.is_empty() && name.chars().all(plain),
                "{file}: {requirement:?} is not NAME==VERSION"
            );
            let hex = |hash: &String| {
                hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            ensure!(
                !hashes.is_empty() && hashes.iter().all(hex),
                "{file}: {name} needs --hash=sha256:… for each of its files"
            );
            Ok(Line {
                name,
                requirement,
                hashes,
            })
        })
        .collect()
}

impl Line {
    /// What decides whether the line is for an interpreter; empty when it is for all.
    fn marker(&self) -> &str {
        self.requirement
            .split_once(';')
            .map_or("", |(_, marker)| marker.trim())
    }
}

/// Asks an interpreter which markers hold for it, by the library that pip itself decides with. The first two arguments are
/// the folders of pip before Python 3.8 and since; the answer is `3 11 ` and a digit for each further argument.
pub const QUESTION: &str = "
import sys
sys.path.insert(0, sys.argv[1 + (sys.version_info >= (3, 8))])
from pip._vendor.packaging.markers import Marker
holds = ''.join('1' if not text or Marker(text).evaluate() else '0' for text in sys.argv[3:])
print('%d %d %s' % (sys.version_info[0], sys.version_info[1], holds))
";

/// The further arguments of the question, in the order of the lines.
pub fn markers(stages: &[Vec<Line>]) -> Vec<&str> {
    stages.iter().flatten().map(Line::marker).collect()
}

/// What is installed for one interpreter.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// Whether it is older than Python 3.8.
    pub old: bool,
    /// Its lines of each file of the lock.
    pub stages: Vec<Vec<&'a Line>>,
}

/// Understands the answer to the question.
pub fn choose<'a>(answer: &str, stages: &'a [Vec<Line>]) -> anyhow::Result<Chosen<'a>> {
    let words: Vec<&str> = answer.split(' ').collect();
    let [major, minor, holds] = words[..] else {
        anyhow::bail!("the interpreter answered {answer:?} to the question for its version");
    };
    let number = |word: &str| word.parse::<u32>().context("no version of Python");
    let lines = stages.iter().map(Vec::len).sum::<usize>();
    ensure!(
        holds.len() == lines,
        "the interpreter judged {} of {lines} lines",
        holds.len()
    );
    let mut held = holds.bytes().map(|digit| digit == b'1');
    let stages = stages
        .iter()
        .map(|stage| {
            let pairs = stage.iter().zip(held.by_ref());
            pairs
                .filter_map(|(line, holds)| holds.then_some(line))
                .collect()
        })
        .collect();
    Ok(Chosen {
        old: (number(major)?, number(minor)?) < (3, 8),
        stages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_pins_versions_and_files() {
        let hash = "ab".repeat(32);
        let text = format!(
            "# why\nsix==1.16.0 ; python_version < \"3\" \\\n    --hash=sha256:{hash} \\\n    --hash=sha256:{hash}\n"
        );
        let lines = parse(&text, "lock.txt").unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].requirement, "six==1.16.0 ; python_version < \"3\"");
        assert_eq!(lines[0].hashes.len(), 2);
        for bad in [
            "six",
            "six>=1.0 --hash=sha256:ab",
            "six==1.0",
            "-e .==1",
            "https://x/y==1",
        ] {
            let error = parse(bad, "lock.txt").unwrap_err().to_string();
            assert!(error.starts_with("lock.txt: "), "{bad}: {error}");
        }
    }

    fn stages() -> Vec<Vec<Line>> {
        let hash = "ab".repeat(32);
        let line = |text: &str| format!("{text} --hash=sha256:{hash}\n");
        let tools = parse(&line("wheel==0.37.1"), "tools.txt").unwrap();
        let text = line("numpy==2.4.6 ; python_version == \"3.11\"")
            + &line("numpy==2.4.6 ; python_version == \"3.12\"")
            + &line("mkl==2026.2.0");
        vec![tools, parse(&text, "lock.txt").unwrap()]
    }

    #[test]
    fn an_interpreter_gets_the_lines_whose_markers_hold_for_it() {
        let stages = stages();
        let all = [
            "",
            "python_version == \"3.11\"",
            "python_version == \"3.12\"",
            "",
        ];
        assert_eq!(markers(&stages), all);
        let chosen = choose("3 12 1011", &stages).unwrap();
        let names: Vec<Vec<&str>> = chosen
            .stages
            .iter()
            .map(|stage| stage.iter().map(|line| line.requirement.as_str()).collect())
            .collect();
        let numpy = "numpy==2.4.6 ; python_version == \"3.12\"";
        assert_eq!(names, [vec!["wheel==0.37.1"], vec![numpy, "mkl==2026.2.0"]]);
        assert!(!chosen.old);
        assert!(choose("2 7 1001", &stages).unwrap().old);
        assert!(choose("3 7 1001", &stages).unwrap().old);
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for answer in ["", "3 12", "3 12 101", "x 12 1011", "3 12 1011 more"] {
            assert!(choose(answer, &stages()).is_err(), "{answer:?}");
        }
    }
}
