//! Try runs: what may be asked for, by whom it may be run, and where one stands.

mod check;
mod command;
mod outcome;

use std::str::FromStr;

use speedwell_wire::metric::UnknownName;

use check::{check_name, check_patch};
pub use check::{check_revision, patch_key, patch_paths, patched_hash, read_glob};
pub use command::{Command, CommandError};
pub use outcome::{Answer, Change, Outcome, TryVerdict, sum_up};

/// Rounds at most that anybody may ask for; a round measures both sides once.
pub const MOST_ROUNDS: u32 = 50;
/// Longest patch, in bytes.
pub const LONGEST_PATCH: usize = 512 * 1024;
/// Most runtimes of one try.
const MOST_RUNTIMES: usize = 8;

/// Where a try stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TryState {
    /// A triager has to look at what would run.
    WaitingForApproval,
    /// Its commits are looked up, then its first round is queued.
    Queued,
    /// Rounds wait or run.
    Running,
    /// There is an answer.
    Decided,
    /// Ended by a person, or because what it was for is gone.
    Cancelled,
    /// Nothing could be measured; its message says why.
    Failed,
}

impl TryState {
    /// All states.
    pub const ALL: &'static [Self] = &[
        Self::WaitingForApproval,
        Self::Queued,
        Self::Running,
        Self::Decided,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The stable name used in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Decided => "decided",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::WaitingForApproval => "waits for approval",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Decided => "decided",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        match self {
            Self::WaitingForApproval | Self::Queued | Self::Running => false,
            Self::Decided | Self::Cancelled | Self::Failed => true,
        }
    }
}

impl FromStr for TryState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A branch, tag or commit of the repository.
    Revision {
        /// Its name, or a hash of at least seven digits.
        head: String,
        /// What it is compared with; absent: where it left the base branch.
        base: Option<String>,
    },
    /// A pull request, or a merge request.
    Pull {
        /// Its number.
        number: u32,
        /// The branch that it asks to be merged into; absent: of the runtimes' branches, the one that it left last.
        base_branch: Option<String>,
    },
    /// Changes to a commit, as `git diff` writes them.
    Patch {
        /// What they are made to: a branch, tag or commit; absent: the head of the runtime's branch.
        base: Option<String>,
        /// The patch.
        text: String,
    },
}

impl Source {
    /// The stable name used in the database and the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Revision { .. } => "revision",
            Self::Pull { .. } => "pull",
            Self::Patch { .. } => "patch",
        }
    }
}

/// Whether what is tried may run without anybody's look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Yes; who answers for it: a triager's name, or the rule that trusts the requester.
    Given {
        /// Stored as `approved_by`.
        by: String,
    },
    /// A triager has to approve it.
    Withheld,
}

/// How a try is measured. Nothing named means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Runtimes' names; empty: those of the repository that measure the base branch.
    pub runtimes: Vec<String>,
    /// Suite's name; absent: each runtime's own.
    pub suite: Option<String>,
    /// Glob of benchmarks' names; absent: all.
    pub benchmarks: Option<String>,
    /// Host's name; absent: chosen when it begins.
    pub host: Option<String>,
    /// Rounds at most; absent: as configured.
    pub repeat: Option<u32>,
}

/// A wish for a try run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Repository's name in the configuration.
    pub repository: String,
    /// What is tried.
    pub source: Source,
    /// How.
    pub options: Options,
    /// Who asks.
    pub requester: String,
    /// Whether it may run at once.
    pub trust: Trust,
    /// What asked, for example a comment's address: asking twice with one origin is asking once.
    pub origin: Option<String>,
}

/// What is wrong with a request: the field, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refused {
    /// The field or option.
    pub field: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl Refused {
    /// A refusal.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            message: message.into(),
        }
    }
}

impl Options {
    /// Checks what can be checked without a database.
    pub fn check(&self) -> Result<(), Refused> {
        if self.runtimes.len() > MOST_RUNTIMES {
            return Err(Refused::new(
                "runtime",
                format!("at most {MOST_RUNTIMES} runtimes"),
            ));
        }
        for runtime in &self.runtimes {
            check_name("runtime", runtime)?;
        }
        if let Some(suite) = &self.suite {
            check_name("suite", suite)?;
        }
        if let Some(host) = &self.host {
            check_name("host", host)?;
        }
        if let Some(glob) = &self.benchmarks {
            read_glob(glob)?;
        }
        match self.repeat {
            Some(rounds) if !(1..=MOST_ROUNDS).contains(&rounds) => Err(Refused::new(
                "repeat",
                format!("a number from 1 to {MOST_ROUNDS}"),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl Request {
    /// Checks what can be checked without a database or a repository.
    pub fn check(&self) -> Result<(), Refused> {
        self.options.check()?;
        match &self.source {
            Source::Revision { head, base } => {
                check_revision("head", head)?;
                base.iter()
                    .try_for_each(|base| check_revision("base", base))
            }
            Source::Pull {
                number,
                base_branch,
            } => {
                if *number == 0 {
                    return Err(Refused::new("pull", "a pull request's number, from 1"));
                }
                let mut branch = base_branch.iter();
                branch.try_for_each(|branch| check_revision("base_branch", branch))
            }
            Source::Patch { base, text } => {
                base.iter()
                    .try_for_each(|base| check_revision("base", base))?;
                check_patch(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(source: Source) -> Request {
        Request {
            repository: "cpython".to_owned(),
            source,
            options: Options::default(),
            requester: "ann".to_owned(),
            trust: Trust::Withheld,
            origin: None,
        }
    }

    fn field_of(source: Source) -> &'static str {
        request(source).check().unwrap_err().field
    }

    #[test]
    fn states_read_back() {
        for state in TryState::ALL {
            assert_eq!(state.as_str().parse::<TryState>().as_ref(), Ok(state));
        }
        assert!("done".parse::<TryState>().is_err());
    }

    #[test]
    fn each_source_is_checked() {
        let head = |head: &str, base: Option<&str>| Source::Revision {
            head: head.to_owned(),
            base: base.map(str::to_owned),
        };
        assert_eq!(request(head("topic", Some("main"))).check(), Ok(()));
        assert_eq!(field_of(head("-x", None)), "head");
        assert_eq!(field_of(head("x", Some("a..b"))), "base");
        let pull = |number| Source::Pull {
            number,
            base_branch: None,
        };
        assert_eq!(request(pull(7)).check(), Ok(()));
        assert_eq!(field_of(pull(0)), "pull");
        let patch = |text: &str| Source::Patch {
            base: None,
            text: text.to_owned(),
        };
        let good = "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(request(patch(good)).check(), Ok(()));
        for bad in [
            "",
            "hello",
            "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n",
            &format!("{good}\0"),
            "diff --git a/a b/a\nGIT binary patch\nliteral 5\n",
            &format!("{good}{}", "+x\n".repeat(LONGEST_PATCH / 3)),
        ] {
            assert_eq!(field_of(patch(bad)), "patch");
        }
    }
}
