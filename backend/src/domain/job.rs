//! The states of a job, and what may follow a failure.

use std::time::Duration;

use speedwell_wire::FailureKind;

/// Where a job is in its life. The row holds what each state knows (see `migrations/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waits for a host.
    Queued,
    /// A host holds its lease.
    Running,
    /// Its run (or build) is stored.
    Succeeded,
    /// It will not be tried again.
    Failed,
    /// Someone, or a force push, made it pointless.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: &'static [Self] = &[
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The stable name used in the database, the API and URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for JobState {
    type Err = speedwell_wire::metric::UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL
            .iter()
            .copied()
            .find(|state| state.as_str() == text);
        known.ok_or_else(|| speedwell_wire::metric::UnknownName(text.to_owned()))
    }
}

/// What becomes of a job after a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Back to the queue, not before this much time has passed.
    Retry(Duration),
    /// Over, with its log.
    Failed,
    /// Over, because someone asked for it.
    Cancelled,
}

/// Only a transient failure is tried again, and only while attempts are left; each pause is four times the last.
pub fn after_failure(kind: FailureKind, attempt: i32, max_attempts: i32) -> AfterFailure {
    match kind {
        FailureKind::Cancelled => AfterFailure::Cancelled,
        FailureKind::Transient if attempt < max_attempts => {
            let exponent = u32::try_from(attempt.clamp(1, 6) - 1).unwrap_or(0);
            AfterFailure::Retry(Duration::from_secs(15 * 4_u64.pow(exponent)))
        }
        FailureKind::Transient | FailureKind::Permanent => AfterFailure::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse::<JobState>().unwrap(), *state);
        }
        assert!("done".parse::<JobState>().is_err());
    }

    #[test]
    fn only_transient_failures_are_tried_again_and_not_for_ever() {
        assert_eq!(
            after_failure(FailureKind::Transient, 1, 3),
            AfterFailure::Retry(Duration::from_secs(15))
        );
        assert_eq!(
            after_failure(FailureKind::Transient, 2, 3),
            AfterFailure::Retry(Duration::from_secs(60))
        );
        assert_eq!(
            after_failure(FailureKind::Transient, 3, 3),
            AfterFailure::Failed
        );
        assert_eq!(
            after_failure(FailureKind::Permanent, 1, 3),
            AfterFailure::Failed
        );
        assert_eq!(
            after_failure(FailureKind::Cancelled, 1, 3),
            AfterFailure::Cancelled
        );
        assert_eq!(
            after_failure(FailureKind::Transient, 100, 200),
            AfterFailure::Retry(Duration::from_secs(15 * 1024))
        );
    }
}
