//! What a worker does next; pure. The agent performs it.

use std::time::Duration;

/// What the agent knows when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Someone asked the worker to end.
    pub ending: bool,
    /// The backend knows this host's facts.
    pub registered: bool,
    /// Results wait in the spool.
    pub results_wait: bool,
    /// The host may measure: enough disk, and fit.
    pub host_ready: bool,
    /// Requests in a row that found the backend away.
    pub away: u32,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// End the process.
    End,
    /// Introduce the host.
    Register,
    /// Send what waits in the spool.
    Deliver,
    /// Wait until the host may measure again.
    WaitForHost,
    /// Ask for a job.
    Claim,
}

/// Results come before new work, and no work is taken by a host that could not finish it.
pub fn next(situation: Situation) -> Step {
    match situation {
        Situation { ending: true, .. } => Step::End,
        Situation {
            registered: false, ..
        } => Step::Register,
        Situation {
            results_wait: true, ..
        } => Step::Deliver,
        Situation {
            host_ready: false, ..
        } => Step::WaitForHost,
        Situation {
            ending: false,
            registered: true,
            results_wait: false,
            host_ready: true,
            ..
        } => Step::Claim,
    }
}

/// The pause after the backend was away `away` times in a row: doubling from one second to half a minute, so that a
/// restart is noticed at once and an outage costs nothing.
pub fn pause(away: u32) -> Duration {
    if away == 0 {
        return Duration::ZERO;
    }
    Duration::from_secs(1 << (away - 1).min(5)).min(Duration::from_secs(30))
}

/// Why a running job was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Someone cancelled it.
    Cancelled,
    /// Its lease belongs to somebody else now.
    LeaseLost,
    /// The worker ends.
    WorkerEnds,
}

/// What is said about a job that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Report why it ended.
    Report,
    /// Hand it back.
    Release,
    /// Nothing: it is no longer ours.
    Silence,
}

/// The farewell for each reason. Without a reason the job's own thread stopped it, which only a bug can do.
pub fn farewell(reason: Option<StopReason>) -> Farewell {
    match reason {
        Some(StopReason::Cancelled) => Farewell::Report,
        Some(StopReason::LeaseLost) => Farewell::Silence,
        Some(StopReason::WorkerEnds) | None => Farewell::Release,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Situation = Situation {
        ending: false,
        registered: true,
        results_wait: false,
        host_ready: true,
        away: 0,
    };

    #[test]
    fn results_come_before_new_work() {
        assert_eq!(next(IDLE), Step::Claim);
        assert_eq!(
            next(Situation {
                results_wait: true,
                host_ready: false,
                ..IDLE
            }),
            Step::Deliver
        );
        assert_eq!(
            next(Situation {
                host_ready: false,
                ..IDLE
            }),
            Step::WaitForHost
        );
        assert_eq!(
            next(Situation {
                registered: false,
                results_wait: true,
                ..IDLE
            }),
            Step::Register
        );
        assert_eq!(
            next(Situation {
                ending: true,
                registered: false,
                ..IDLE
            }),
            Step::End
        );
    }

    #[test]
    fn pauses_grow_to_half_a_minute() {
        let seconds: Vec<u64> = (0..8).map(|away| pause(away).as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(u32::MAX).as_secs(), 30);
    }

    #[test]
    fn a_lost_lease_is_not_spoken_about() {
        assert_eq!(farewell(Some(StopReason::LeaseLost)), Farewell::Silence);
        assert_eq!(farewell(Some(StopReason::WorkerEnds)), Farewell::Release);
        assert_eq!(farewell(Some(StopReason::Cancelled)), Farewell::Report);
    }
}
