//! A bisection: its states, why a commit is left out of one, and how many runs it may ask for.

use std::str::FromStr;

use speedwell_wire::metric::UnknownName;

/// Where a search stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BisectionState {
    /// Runs are asked for until the commit is known.
    Searching,
    /// One change is located: at a commit, or at a stretch that cannot be told apart.
    Found,
    /// There are two changes or more in the range, each located.
    Several,
    /// The budget is used up, or nothing that would tell more can be measured.
    Exhausted,
    /// Ended by a person, or because nobody needs it any more.
    Cancelled,
}

impl BisectionState {
    /// All states.
    pub const ALL: &'static [Self] = &[
        Self::Searching,
        Self::Found,
        Self::Several,
        Self::Exhausted,
        Self::Cancelled,
    ];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Searching => "searching",
            Self::Found => "found",
            Self::Several => "several",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for BisectionState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Why a commit is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skipped {
    /// It touches only what cannot move a result.
    CannotMatter,
    /// It does not build.
    DoesNotBuild,
    /// It builds, but gives no value.
    NotMeasurable,
    /// A person has cancelled its run.
    JobCancelled,
}

impl Skipped {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::CannotMatter,
        Self::DoesNotBuild,
        Self::NotMeasurable,
        Self::JobCancelled,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CannotMatter => "cannot_matter",
            Self::DoesNotBuild => "does_not_build",
            Self::NotMeasurable => "not_measurable",
            Self::JobCancelled => "job_cancelled",
        }
    }

    /// In words, for pages.
    pub fn words(self) -> &'static str {
        match self {
            Self::CannotMatter => "touches only documentation, tests or other platforms",
            Self::DoesNotBuild => "does not build",
            Self::NotMeasurable => "gives no value",
            Self::JobCancelled => "its run was cancelled",
        }
    }

    /// How likely the change comes with such a commit, against one that is measured. What touches only documentation is not
    /// ruled out for good: a rule about paths can be wrong.
    pub fn prior(self) -> f64 {
        match self {
            Self::CannotMatter => 0.001,
            Self::DoesNotBuild | Self::NotMeasurable | Self::JobCancelled => 1.0,
        }
    }
}

impl FromStr for Skipped {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Folders of which nothing reaches an interpreter on Linux.
const FOLDERS: &[&str] = &[
    "Doc/",
    "doc/",
    "docs/",
    "pypy/doc/",
    "rpython/doc/",
    "Misc/NEWS.d/",
    ".github/",
    ".azure-pipelines/",
    ".circleci/",
    ".gitlab/",
    ".devcontainer/",
    "Android/",
    "Apple/",
    "iOS/",
    "Mac/",
    "PCbuild/",
    "PC/",
    "Lib/idlelib/",
    "Lib/turtledemo/",
];
/// Ends of names of texts for people.
const TEXTS: &[&str] = &[".rst", ".md"];
/// Files at the root that are texts for people or for other programs.
const FILES: &[&str] = &[
    "Misc/ACKS",
    "Misc/NEWS",
    ".gitignore",
    ".gitattributes",
    ".hgignore",
    ".mailmap",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".readthedocs.yml",
    "LICENSE",
    "README",
];

/// Whether a commit that touches only these paths cannot change what is measured. `trained`: the build is optimised by a
/// training run, which runs the tests, so that they matter, too. No path at all, or a list that was cut (`count` is more than it
/// holds), says nothing.
pub fn cannot_matter(paths: &[String], count: usize, trained: bool) -> bool {
    let harmless = |path: &String| {
        let path = path.as_str();
        let test = path
            .split('/')
            .rev()
            .skip(1)
            .any(|folder| matches!(folder, "test" | "tests" | "idle_test"));
        FOLDERS.iter().any(|folder| path.starts_with(folder))
            || TEXTS.iter().any(|end| path.ends_with(end))
            || FILES.contains(&path)
            || (test && !trained)
    };
    !paths.is_empty() && count <= paths.len() && paths.iter().all(harmless)
}

/// How many runs a search through so many commits may ask for, when a step needs so many runs on each of the hosts: what it takes
/// without a wrong turn, and as much again and some for those.
pub fn budget(commits: usize, runs: usize, hosts: usize) -> i32 {
    let steps = usize::BITS - commits.max(2).leading_zeros();
    let ends = 2 * (runs + 2) * hosts.max(1);
    let needed = ends + runs.max(1) * (usize::try_from(steps).unwrap_or(64) + 3);
    i32::try_from(2 * needed + 30)
        .unwrap_or(i32::MAX)
        .clamp(40, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for one in BisectionState::ALL {
            assert_eq!(one.as_str().parse::<BisectionState>().as_ref(), Ok(one));
        }
        for one in Skipped::ALL {
            assert_eq!(one.as_str().parse::<Skipped>().as_ref(), Ok(one));
        }
        assert!("lost".parse::<BisectionState>().is_err() && "".parse::<Skipped>().is_err());
    }

    fn matters(paths: &[&str], trained: bool) -> bool {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        !cannot_matter(&paths, paths.len(), trained)
    }

    #[test]
    fn documentation_and_tests_cannot_matter_unless_tests_train_the_build() {
        assert!(!matters(
            &["Doc/library/os.rst", "Misc/NEWS.d/next/x.rst"],
            true
        ));
        assert!(!matters(&["Lib/test/test_os.py", "README.rst"], false));
        assert!(matters(&["Lib/test/test_os.py"], true));
        assert!(matters(&["Doc/a.rst", "Python/ceval.c"], false));
        assert!(
            matters(&["Lib/unittest/case.py"], false),
            "a name that only holds the word"
        );
        assert!(matters(&["test"], false), "a file of that name");
        assert!(matters(&["Lib/Doc/a.py"], false));
        assert!(matters(&["Tools/build/deepfreeze.py"], false));
    }

    #[test]
    fn a_list_that_is_empty_or_cut_says_nothing() {
        assert!(matters(&[], false));
        assert!(!cannot_matter(&["Doc/a.rst".to_owned()], 2, false));
    }

    #[test]
    fn a_budget_grows_with_the_steps_and_stays_within_limits() {
        assert!(budget(100, 1, 1) < budget(100, 4, 1));
        assert!(budget(100, 1, 1) < budget(10_000, 1, 1));
        assert_eq!(budget(0, 0, 0), budget(2, 0, 1));
        assert_eq!(budget(usize::MAX, 1_000, 9), 200);
    }
}
