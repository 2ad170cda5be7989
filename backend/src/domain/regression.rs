//! The life of a regression or an improvement: its states, what may follow each, and the events of its timeline.

use std::str::FromStr;

use speedwell_wire::Metric;
use speedwell_wire::metric::UnknownName;

/// Who acts when no person does.
pub const SPEEDWELL: &str = "speedwell";

/// The metrics whose steps are regressions and improvements. A step of any other is evidence beside one of these.
pub const OPENING: [Metric; 13] = [
    Metric::WallTime,
    Metric::SteadyTime,
    Metric::WarmupTime,
    Metric::BadWarmup,
    Metric::Instructions,
    Metric::MaxRss,
    Metric::SteadyRss,
    Metric::RequestsPerSecond,
    Metric::CpuPerRequest,
    Metric::LatencyP50,
    Metric::LatencyP99,
    Metric::StepP50,
    Metric::GcTimeShare,
];

/// Whether a step of a metric is a regression or an improvement by itself.
pub fn opens(metric: &str) -> bool {
    OPENING.iter().any(|one| one.as_str() == metric)
}

/// Where a regression is in its life. The row holds what each state knows (see `migrations/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegressionState {
    /// Seen in points; its sides are measured again, or wait for it. Nobody is told.
    Suspected,
    /// The second measurement showed it, too.
    Confirmed,
    /// The commit behind it is looked for.
    Bisecting,
    /// The commit is known.
    Found,
    /// Somebody has taken it on.
    Acknowledged,
    /// The series are as before again, and have been measured to be.
    Fixed,
    /// Wanted or put up with: the new level is the baseline.
    Accepted,
    /// No change of the interpreter.
    Invalid,
}

impl RegressionState {
    /// All states.
    pub const ALL: &'static [Self] = &[
        Self::Suspected,
        Self::Confirmed,
        Self::Bisecting,
        Self::Found,
        Self::Acknowledged,
        Self::Fixed,
        Self::Accepted,
        Self::Invalid,
    ];

    /// The stable name used in the database, the API and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Bisecting => "bisecting",
            Self::Found => "found",
            Self::Acknowledged => "acknowledged",
            Self::Fixed => "fixed",
            Self::Accepted => "accepted",
            Self::Invalid => "invalid",
        }
    }

    /// Whether somebody, or the loop, still has something to do.
    pub fn is_open(self) -> bool {
        match self {
            Self::Suspected
            | Self::Confirmed
            | Self::Bisecting
            | Self::Found
            | Self::Acknowledged => true,
            Self::Fixed | Self::Accepted | Self::Invalid => false,
        }
    }

    /// Whether it has been measured twice: what people may be told of.
    pub fn is_confirmed(self) -> bool {
        !matches!(self, Self::Suspected | Self::Invalid)
    }

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Suspected => matches!(self, Self::Invalid),
            // Reopened, or a search that gave up.
            Self::Confirmed => !matches!(self, Self::Confirmed | Self::Acknowledged),
            Self::Bisecting => matches!(self, Self::Confirmed | Self::Found),
            // The commit stays known while it is closed.
            Self::Found => matches!(
                self,
                Self::Confirmed | Self::Bisecting | Self::Fixed | Self::Accepted | Self::Invalid
            ),
            Self::Acknowledged => matches!(self, Self::Confirmed | Self::Bisecting | Self::Found),
            Self::Fixed => self.is_open() && self.is_confirmed(),
            Self::Accepted => self.is_open() && self.is_confirmed(),
            Self::Invalid => self != Self::Invalid,
        }
    }
}

impl FromStr for RegressionState {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// Why something is no regression after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidReason {
    /// The second measurement did not show it: a false alarm that reached nobody.
    NotConfirmed,
    /// Noise, says a person: a false alarm.
    Noise,
    /// The host or its surroundings, says a person: a false alarm.
    Infrastructure,
    /// With more points the detector no longer sees it.
    Withdrawn,
    /// Part of another.
    Merged,
}

impl InvalidReason {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::NotConfirmed,
        Self::Noise,
        Self::Infrastructure,
        Self::Withdrawn,
        Self::Merged,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfirmed => "not_confirmed",
            Self::Noise => "noise",
            Self::Infrastructure => "infrastructure",
            Self::Withdrawn => "withdrawn",
            Self::Merged => "merged",
        }
    }
}

impl FromStr for InvalidReason {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What a line of the timeline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// First seen.
    Suspected,
    /// Measured again, and there.
    Confirmed,
    /// A search has begun.
    Bisecting,
    /// The search ended without a commit.
    BisectionEnded,
    /// The search was ended: by a person, or by a force push.
    BisectionCancelled,
    /// The commit is known.
    Found,
    /// Somebody took it on.
    Acknowledged,
    /// As before again.
    Fixed,
    /// It came back.
    Reopened,
    /// The new level is the baseline.
    Accepted,
    /// No change of the interpreter.
    Invalid,
    /// More or fewer series, or a narrower range.
    Changed,
    /// Another was merged into it, or it into another.
    Merged,
    /// Change points were taken out of it.
    Split,
    /// What differs on both sides was worked out.
    Explained,
    /// Somebody's words.
    Note,
}

impl EventKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Suspected,
        Self::Confirmed,
        Self::Bisecting,
        Self::BisectionEnded,
        Self::BisectionCancelled,
        Self::Found,
        Self::Acknowledged,
        Self::Fixed,
        Self::Reopened,
        Self::Accepted,
        Self::Invalid,
        Self::Changed,
        Self::Merged,
        Self::Split,
        Self::Explained,
        Self::Note,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Bisecting => "bisecting",
            Self::BisectionEnded => "bisection_ended",
            Self::BisectionCancelled => "bisection_cancelled",
            Self::Found => "found",
            Self::Acknowledged => "acknowledged",
            Self::Fixed => "fixed",
            Self::Reopened => "reopened",
            Self::Accepted => "accepted",
            Self::Invalid => "invalid",
            Self::Changed => "changed",
            Self::Merged => "merged",
            Self::Split => "split",
            Self::Explained => "explained",
            Self::Note => "note",
        }
    }
}

impl FromStr for EventKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
        known.ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// A step of a regression's life, with what the next state knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Measured again, and there; or reopened.
    Confirm,
    /// A search begins.
    Bisect,
    /// A search ended without a commit: it stays confirmed.
    GiveUp,
    /// A search was ended before it knew: it stays confirmed.
    CancelSearch,
    /// The commit is known.
    Find {
        /// The commit.
        culprit_commit_id: i64,
    },
    /// Somebody takes it on.
    Acknowledge {
        /// Who.
        owner: String,
    },
    /// As before again.
    Fix {
        /// From this commit on.
        commit_id: i64,
    },
    /// A fix did not last.
    Reopen,
    /// The new level is the baseline.
    Accept,
    /// No change of the interpreter.
    Invalidate {
        /// Why.
        reason: InvalidReason,
    },
    /// A person says that it is one after all.
    Suspect,
}

impl Transition {
    /// The state that it leads to; `culprit`: whether the commit is known by now.
    pub fn target(&self, culprit: bool) -> RegressionState {
        match self {
            Self::Confirm | Self::GiveUp | Self::CancelSearch => RegressionState::Confirmed,
            Self::Reopen if culprit => RegressionState::Found,
            Self::Reopen => RegressionState::Confirmed,
            Self::Bisect => RegressionState::Bisecting,
            Self::Find { .. } => RegressionState::Found,
            Self::Acknowledge { .. } => RegressionState::Acknowledged,
            Self::Fix { .. } => RegressionState::Fixed,
            Self::Accept => RegressionState::Accepted,
            Self::Invalidate { .. } => RegressionState::Invalid,
            Self::Suspect => RegressionState::Suspected,
        }
    }

    /// The line in the timeline.
    pub fn event(&self) -> EventKind {
        match self {
            Self::Confirm => EventKind::Confirmed,
            Self::Bisect => EventKind::Bisecting,
            Self::GiveUp => EventKind::BisectionEnded,
            Self::CancelSearch => EventKind::BisectionCancelled,
            Self::Find { .. } => EventKind::Found,
            Self::Acknowledge { .. } => EventKind::Acknowledged,
            Self::Fix { .. } => EventKind::Fixed,
            Self::Reopen => EventKind::Reopened,
            Self::Accept => EventKind::Accepted,
            Self::Invalidate { .. } => EventKind::Invalid,
            Self::Suspect => EventKind::Suspected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for one in RegressionState::ALL {
            assert_eq!(one.as_str().parse::<RegressionState>().as_ref(), Ok(one));
        }
        for one in InvalidReason::ALL {
            assert_eq!(one.as_str().parse::<InvalidReason>().as_ref(), Ok(one));
        }
        for one in EventKind::ALL {
            assert_eq!(one.as_str().parse::<EventKind>().as_ref(), Ok(one));
        }
        assert!("sleeping".parse::<RegressionState>().is_err());
    }

    #[test]
    fn a_life_goes_forward_and_may_begin_anew() {
        use RegressionState::{
            Accepted, Acknowledged, Bisecting, Confirmed, Found, Invalid, Suspected,
        };
        let life = [Suspected, Confirmed, Bisecting, Found, Acknowledged];
        for pair in life.windows(2) {
            assert!(pair[0].may_become(pair[1]), "{pair:?}");
        }
        let fixed = RegressionState::Fixed;
        assert!(Found.may_become(fixed) && fixed.may_become(Found) && fixed.may_become(Confirmed));
        assert!(!Suspected.may_become(fixed) && !Suspected.may_become(Accepted));
        assert!(!Accepted.may_become(fixed) && Invalid.may_become(Suspected));
        assert!(Bisecting.may_become(Confirmed) && !Acknowledged.may_become(Found));
        for one in RegressionState::ALL {
            assert!(!one.may_become(*one), "{one:?}");
            assert_eq!(one.may_become(Invalid), *one != Invalid);
        }
    }
}
