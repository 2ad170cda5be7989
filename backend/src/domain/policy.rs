//! Which commits of a runtime are measured, and in which order.

use serde::{Deserialize, Serialize};

/// A runtime's policy, as written in the configuration:
/// `policy = { measure = "every", newest = 10 }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which commits are candidates.
    #[serde(default)]
    pub measure: Measure,
    /// For `nth`: every how many-th branch position.
    pub nth: Option<u32>,
    /// Only this many of the newest candidates; absent: the whole history, gap by gap.
    pub newest: Option<u32>,
    /// How many jobs of the runtime may wait in the queue at once.
    #[serde(default = "default_queue")]
    pub queue: u32,
    /// The runtime may be without a new result for so many hours while jobs of it wait; absent: as `[alarms]` says.
    pub stale_hours: Option<u32>,
    /// How often a run that was measured under bad conditions is repeated at most; 0: never. Heeded for controls too.
    #[serde(default = "default_repeat_marked")]
    pub repeat_marked: u32,
}

/// Which commits are candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Every commit of the branch.
    #[default]
    Every,
    /// Every n-th branch position, and the newest.
    Nth,
    /// The last commit of each day (UTC), and the newest of the day that has passed.
    Nightly,
    /// Commits that carry a tag.
    Tags,
}

fn default_queue() -> u32 {
    4
}
fn default_repeat_marked() -> u32 {
    1
}

/// More repetitions in a row than this are no remedy: the host needs one.
const MOST_REPETITIONS: u32 = 5;

impl Default for Policy {
    fn default() -> Self {
        Self {
            measure: Measure::Every,
            nth: None,
            newest: None,
            queue: default_queue(),
            stale_hours: None,
            repeat_marked: default_repeat_marked(),
        }
    }
}

impl Policy {
    /// Checks that the parts fit together. The error says how to mend it.
    pub fn validate(&self) -> anyhow::Result<()> {
        match (self.measure, self.nth) {
            (Measure::Nth, None | Some(0)) => {
                anyhow::bail!("measure = \"nth\" needs nth = 2 or more")
            }
            (Measure::Every | Measure::Nightly | Measure::Tags, Some(_)) => {
                anyhow::bail!("nth is only for measure = \"nth\"")
            }
            (Measure::Nth, Some(_)) | (Measure::Every | Measure::Nightly | Measure::Tags, None) => {
            }
        }
        anyhow::ensure!(self.queue > 0, "queue must be 1 or more");
        anyhow::ensure!(self.newest != Some(0), "newest must be 1 or more");
        anyhow::ensure!(
            self.repeat_marked <= MOST_REPETITIONS,
            "repeat_marked must be {MOST_REPETITIONS} or less; 0 repeats nothing"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_few() {
        let policy = |repeat_marked| Policy {
            repeat_marked,
            ..Policy::default()
        };
        assert_eq!(Policy::default().repeat_marked, 1);
        assert!(policy(0).validate().is_ok() && policy(5).validate().is_ok());
        let error = policy(6).validate().unwrap_err().to_string();
        assert!(error.contains("repeat_marked must be 5 or less"), "{error}");
    }
}
