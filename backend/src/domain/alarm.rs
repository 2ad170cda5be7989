//! What stands still although it should not, and when to say so: once when it has been so for long enough, once when it has been
//! over for a while. A runtime without results, a silent host, a queue that only grows, a hook that stopped, a tick, a disk.

pub mod judge;

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

/// From when on something is an alarm: `[alarms]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A runtime whose policy asks for measurements may be without a new result for so many hours. `policy.stale_hours` of a runtime
    /// wins over it.
    pub runtime_hours: u32,
    /// A host may be silent for so many minutes.
    pub host_minutes: u32,
    /// Work may wait for so many hours while more comes in than is done.
    pub queue_hours: u32,
    /// No hook may come for so many hours after a commit that should have brought one.
    pub hook_hours: u32,
    /// At least so many per cent of the disk of the data folder must be free.
    pub disk_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            runtime_hours: 24,
            host_minutes: 15,
            queue_hours: 12,
            hook_hours: 6,
            disk_percent: 10,
        }
    }
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A runtime has no new result although its policy asks for some.
    StaleRuntime,
    /// A host is silent.
    SilentHost,
    /// A class of hosts gets more work than it does.
    GrowingQueue,
    /// A repository's hook came before and does not any more.
    SilentHook,
    /// A repository cannot be fetched.
    Unfetched,
    /// A tick fails.
    FailingTick,
    /// A tick does not run.
    LateTick,
    /// A disk is nearly full.
    FullDisk,
}

/// An unknown kind.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no kind of alarm")]
pub struct UnknownKind(String);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::StaleRuntime,
        Self::SilentHost,
        Self::GrowingQueue,
        Self::SilentHook,
        Self::Unfetched,
        Self::FailingTick,
        Self::LateTick,
        Self::FullDisk,
    ];

    /// Name in the database and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StaleRuntime => "stale_runtime",
            Self::SilentHost => "silent_host",
            Self::GrowingQueue => "growing_queue",
            Self::SilentHook => "silent_hook",
            Self::Unfetched => "unfetched",
            Self::FailingTick => "failing_tick",
            Self::LateTick => "late_tick",
            Self::FullDisk => "full_disk",
        }
    }

    /// What goes before the subject: `host lab-1`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::StaleRuntime => "runtime",
            Self::SilentHost => "host",
            Self::GrowingQueue => "hosts of class",
            Self::SilentHook => "hook of",
            Self::Unfetched => "repository",
            Self::FailingTick | Self::LateTick => "tick",
            Self::FullDisk => "disk of",
        }
    }

    /// For so long it must be seen before it is raised; most have a limit of hours in what they are.
    fn patience(self) -> TimeDelta {
        match self {
            Self::Unfetched => TimeDelta::minutes(15),
            Self::FailingTick => TimeDelta::minutes(5),
            Self::StaleRuntime
            | Self::SilentHost
            | Self::GrowingQueue
            | Self::SilentHook
            | Self::LateTick
            | Self::FullDisk => TimeDelta::zero(),
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// For so long a raised alarm must be over before it is cleared: what comes and goes is one alarm.
const CALM: TimeDelta = TimeDelta::minutes(10);

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What it is about.
    pub kind: Kind,
    /// Which of those.
    pub subject: String,
    /// The rest of the sentence.
    pub words: String,
    /// When it began.
    pub since: DateTime<Utc>,
}

/// An alarm that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Key.
    pub id: i64,
    /// What it is about.
    pub kind: Kind,
    /// Which of those.
    pub subject: String,
    /// First seen.
    pub seen_at: DateTime<Utc>,
    /// Whether it was raised.
    pub is_raised: bool,
    /// Not so any more since then.
    pub missing_since: Option<DateTime<Utc>>,
}

/// What follows for one alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Keep it; `raise`: say so at once.
    Begin {
        /// What is wrong.
        wrong: Wrong,
        /// Whether it needs no waiting.
        raise: bool,
    },
    /// It is still so: the words may be newer.
    Keep {
        /// Its key.
        id: i64,
        /// The words of now.
        words: String,
    },
    /// It has been so for long enough.
    Raise {
        /// Its key.
        id: i64,
        /// The words of now.
        words: String,
    },
    /// It passed before anybody was told.
    Forget(i64),
    /// It is not so at this moment.
    Miss(i64),
    /// It has been over for a while.
    Clear(i64),
}

/// What follows from what is wrong now for the alarms that are kept.
pub fn settle(open: &[Open], wrong: Vec<Wrong>, now: DateTime<Utc>) -> Vec<Step> {
    let mut steps = Vec::new();
    for one in open {
        let still = wrong
            .iter()
            .find(|wrong| wrong.kind == one.kind && wrong.subject == one.subject);
        steps.extend(match (still, one.is_raised, one.missing_since) {
            (Some(wrong), false, _) if now - one.seen_at >= one.kind.patience() => {
                Some(Step::Raise {
                    id: one.id,
                    words: wrong.words.clone(),
                })
            }
            (Some(wrong), _, _) => Some(Step::Keep {
                id: one.id,
                words: wrong.words.clone(),
            }),
            (None, false, _) => Some(Step::Forget(one.id)),
            (None, true, None) => Some(Step::Miss(one.id)),
            (None, true, Some(since)) if now - since >= CALM => Some(Step::Clear(one.id)),
            (None, true, Some(_)) => None,
        });
    }
    steps.extend(
        wrong
            .into_iter()
            .filter(|wrong| {
                !open
                    .iter()
                    .any(|one| one.kind == wrong.kind && one.subject == wrong.subject)
            })
            .map(|wrong| Step::Begin {
                raise: wrong.kind.patience().is_zero(),
                wrong,
            }),
    );
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap()
    }

    fn wrong(kind: Kind) -> Wrong {
        Wrong {
            kind,
            subject: "it".to_owned(),
            words: "stands".to_owned(),
            since: at(0),
        }
    }

    fn open(kind: Kind, is_raised: bool, missing: Option<i64>) -> Open {
        Open {
            id: 1,
            kind,
            subject: "it".to_owned(),
            seen_at: at(0),
            is_raised,
            missing_since: missing.map(at),
        }
    }

    #[test]
    fn kinds_have_names() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), kind);
        }
        assert!("x".parse::<Kind>().is_err());
    }

    #[test]
    fn what_has_a_limit_is_raised_at_once_and_what_may_pass_is_waited_for() {
        for (kind, raise) in [(Kind::SilentHost, true), (Kind::FailingTick, false)] {
            let steps = settle(&[], vec![wrong(kind)], at(0));
            assert_eq!(
                steps,
                [Step::Begin {
                    wrong: wrong(kind),
                    raise
                }]
            );
        }
        let waiting = [open(Kind::FailingTick, false, None)];
        let still = |minute| settle(&waiting, vec![wrong(Kind::FailingTick)], at(minute));
        assert!(matches!(still(4)[..], [Step::Keep { .. }]));
        assert!(matches!(still(5)[..], [Step::Raise { .. }]));
        assert_eq!(settle(&waiting, vec![], at(1)), [Step::Forget(1)]);
    }

    #[test]
    fn what_comes_and_goes_is_one_alarm() {
        let kind = Kind::SilentHost;
        assert_eq!(
            settle(&[open(kind, true, None)], vec![], at(30)),
            [Step::Miss(1)]
        );
        let missed = [open(kind, true, Some(30))];
        assert!(settle(&missed, vec![], at(39)).is_empty());
        assert!(matches!(
            settle(&missed, vec![wrong(kind)], at(39))[..],
            [Step::Keep { .. }]
        ));
        assert_eq!(settle(&missed, vec![], at(40)), [Step::Clear(1)]);
        // Another subject is another alarm.
        let mut other = wrong(kind);
        other.subject = "other".to_owned();
        assert_eq!(settle(&missed, vec![other], at(40)).len(), 2);
    }
}
