//! From what the database and the machine say to what is wrong.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Kind, Limits, Wrong};

/// A runtime that is not paused.
#[derive(Debug, Clone)]
pub struct RuntimeFacts {
    /// Its name.
    pub name: String,
    /// When the oldest of its jobs that are not over was to be done; none: its policy asks for nothing.
    pub waiting_since: Option<DateTime<Utc>>,
    /// Jobs that wait or run.
    pub waiting: i64,
    /// End of its newest run.
    pub last_run_at: Option<DateTime<Utc>>,
}

/// A host that may claim jobs and has been heard of.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Its name.
    pub name: String,
    /// When it was last heard of.
    pub last_seen_at: DateTime<Utc>,
}

/// The work of a class of hosts within the limit's hours.
#[derive(Debug, Clone)]
pub struct ClassFacts {
    /// Its name.
    pub name: String,
    /// Jobs that wait.
    pub waiting: i64,
    /// When the oldest of them was to be done.
    pub waiting_since: DateTime<Utc>,
    /// Jobs that came in.
    pub arrived: i64,
    /// Jobs that were done.
    pub finished: i64,
}

/// A repository whose hook has come at least once.
#[derive(Debug, Clone)]
pub struct HookFacts {
    /// Its name.
    pub repository: String,
    /// The newest delivery.
    pub received_at: DateTime<Utc>,
    /// The newest commit of its branches.
    pub committed_at: DateTime<Utc>,
}

/// A tick of the table of ticks.
#[derive(Debug, Clone)]
pub struct TickFacts {
    /// Its name.
    pub name: String,
    /// Its pause.
    pub every: Duration,
    /// End of the newest pass that was noted.
    pub ended_at: DateTime<Utc>,
    /// Failures in a row.
    pub failures: i32,
    /// Since when.
    pub failing_since: Option<DateTime<Utc>>,
    /// The newest error.
    pub error: Option<String>,
}

/// A file system, in bytes.
#[derive(Debug, Clone)]
pub struct DiskFacts {
    /// A folder on it, with the machine's name.
    pub folder: String,
    /// What is left for the service.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// Everything that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Runtimes.
    pub runtimes: Vec<RuntimeFacts>,
    /// Hosts.
    pub hosts: Vec<HostFacts>,
    /// Classes with waiting jobs.
    pub classes: Vec<ClassFacts>,
    /// Hooks.
    pub hooks: Vec<HookFacts>,
    /// Repositories that could not be fetched the last time: name, error, when that was.
    pub unfetched: Vec<(String, String, DateTime<Utc>)>,
    /// Ticks.
    pub ticks: Vec<TickFacts>,
    /// Disks.
    pub disks: Vec<DiskFacts>,
}

/// Everything that is wrong. `stale_hours`: a runtime's own limit.
pub fn judge(
    facts: &Facts,
    limits: &Limits,
    stale_hours: impl Fn(&str) -> Option<u32>,
    now: DateTime<Utc>,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    wrong.extend(facts.runtimes.iter().filter_map(|one| {
        let limit = stale_hours(&one.name).unwrap_or(limits.runtime_hours);
        stale(one, limit, now)
    }));
    wrong.extend(
        facts
            .hosts
            .iter()
            .filter_map(|one| silent(one, limits.host_minutes, now)),
    );
    let growing = |one| growing(one, limits.queue_hours, now);
    wrong.extend(facts.classes.iter().filter_map(growing));
    let quiet = |one| quiet_hook(one, limits.hook_hours, now);
    wrong.extend(facts.hooks.iter().filter_map(quiet));
    wrong.extend(facts.unfetched.iter().map(|(name, error, at)| Wrong {
        kind: Kind::Unfetched,
        subject: name.clone(),
        words: format!("cannot be fetched: {error}"),
        since: *at,
    }));
    wrong.extend(facts.ticks.iter().filter_map(|one| of_tick(one, now)));
    let full = |one| full(one, limits.disk_percent, now);
    wrong.extend(facts.disks.iter().filter_map(full));
    wrong
}

/// Work waits for longer than allowed, and nothing came of it meanwhile. A branch that rests asks for nothing.
fn stale(one: &RuntimeFacts, hours: u32, now: DateTime<Utc>) -> Option<Wrong> {
    let limit = TimeDelta::hours(i64::from(hours));
    let waiting_since = one.waiting_since?;
    let since = one
        .last_run_at
        .map_or(waiting_since, |at| at.max(waiting_since));
    let what = match one.last_run_at {
        Some(at) => format!("has no new result for {}", span(now - at)),
        None => "has no result at all".to_owned(),
    };
    (now - since >= limit).then(|| Wrong {
        kind: Kind::StaleRuntime,
        subject: one.name.clone(),
        words: format!(
            "{what} although {} wait{} (allowed: {hours} hours)",
            counted(one.waiting, "job"),
            if one.waiting == 1 { "s" } else { "" }
        ),
        since,
    })
}

fn silent(one: &HostFacts, minutes: u32, now: DateTime<Utc>) -> Option<Wrong> {
    let age = now - one.last_seen_at;
    (age >= TimeDelta::minutes(i64::from(minutes))).then(|| Wrong {
        kind: Kind::SilentHost,
        subject: one.name.clone(),
        words: format!("was last heard of {} ago", span(age)),
        since: one.last_seen_at,
    })
}

/// The oldest job waits for longer than the limit, and within it more came in than was done.
fn growing(one: &ClassFacts, hours: u32, now: DateTime<Utc>) -> Option<Wrong> {
    let waits = now - one.waiting_since;
    let grows = one.arrived > one.finished || one.finished == 0;
    (waits >= TimeDelta::hours(i64::from(hours)) && grows).then(|| Wrong {
        kind: Kind::GrowingQueue,
        subject: one.name.clone(),
        words: format!(
            "have {} waiting, the oldest for {}: {} came in the last {hours} hours and {} done",
            counted(one.waiting, "job"),
            span(waits),
            counted(one.arrived, "job"),
            match one.finished {
                1 => "1 was".to_owned(),
                many => format!("{many} were"),
            }
        ),
        since: one.waiting_since,
    })
}

/// There is a commit that came after the newest delivery, and the delivery that it should have brought is long due.
fn quiet_hook(one: &HookFacts, hours: u32, now: DateTime<Utc>) -> Option<Wrong> {
    // Committed is before pushed.
    let behind = one.committed_at - one.received_at > TimeDelta::hours(1);
    (behind && now - one.committed_at >= TimeDelta::hours(i64::from(hours))).then(|| Wrong {
        kind: Kind::SilentHook,
        subject: one.repository.clone(),
        words: format!(
            "came last {} ago, and there are newer commits: look at the forge's list of deliveries",
            span(now - one.received_at)
        ),
        since: one.committed_at,
    })
}

/// Passes of ticks are noted about every half minute; a tick that rests for an hour is late after ten.
fn of_tick(one: &TickFacts, now: DateTime<Utc>) -> Option<Wrong> {
    if let Some(since) = one.failing_since
        && one.failures >= 3
    {
        return Some(Wrong {
            kind: Kind::FailingTick,
            subject: one.name.clone(),
            words: format!(
                "failed {} times in a row: {}",
                one.failures,
                one.error.as_deref().unwrap_or("no reason is known")
            ),
            since,
        });
    }
    let pause = TimeDelta::from_std(one.every).unwrap_or(TimeDelta::hours(1));
    let limit = (pause * 10).max(TimeDelta::minutes(10));
    let age = now - one.ended_at;
    (age >= limit).then(|| Wrong {
        kind: Kind::LateTick,
        subject: one.name.clone(),
        words: format!("has not ended a pass for {}", span(age)),
        since: one.ended_at,
    })
}

fn full(one: &DiskFacts, percent: u32, now: DateTime<Utc>) -> Option<Wrong> {
    let share = one.free as f64 / one.total.max(1) as f64 * 100.0;
    (share < f64::from(percent)).then(|| Wrong {
        kind: Kind::FullDisk,
        subject: one.folder.clone(),
        words: format!(
            "has {share:.1} % left ({:.1} GB of {:.1} GB): `retention --dry-run` says what could go",
            one.free as f64 / 1e9,
            one.total as f64 / 1e9
        ),
        since: now,
    })
}

/// `1 job`, `3 jobs`.
fn counted(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A stretch of time in its largest unit.
fn span(time: TimeDelta) -> String {
    match (time.num_days(), time.num_hours(), time.num_minutes()) {
        (days, _, _) if days >= 2 => counted(days, "day"),
        (_, hours, _) if hours >= 2 => counted(hours, "hour"),
        (_, _, minutes) => counted(minutes, "minute"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 3600 * hour, 0).unwrap()
    }

    fn words(facts: &Facts, hour: i64) -> Vec<String> {
        let none = |_: &str| None;
        let found = judge(facts, &Limits::default(), none, at(hour));
        let line = |one: Wrong| format!("{} {} {}", one.kind.as_str(), one.subject, one.words);
        found.into_iter().map(line).collect()
    }

    fn runtime(waiting: Option<i64>, last_run: Option<i64>) -> Facts {
        Facts {
            runtimes: vec![RuntimeFacts {
                name: "main".to_owned(),
                waiting_since: waiting.map(at),
                waiting: 1,
                last_run_at: last_run.map(at),
            }],
            ..Facts::default()
        }
    }

    #[test]
    fn a_runtime_is_stale_when_its_policy_asks_and_nothing_comes() {
        assert!(words(&runtime(None, Some(0)), 1000).is_empty(), "it rests");
        assert!(words(&runtime(Some(0), None), 23).is_empty());
        assert_eq!(
            words(&runtime(Some(0), None), 24),
            ["stale_runtime main has no result at all although 1 job waits (allowed: 24 hours)"]
        );
        assert!(
            words(&runtime(Some(0), Some(10)), 33).is_empty(),
            "a long queue, but results come"
        );
        assert_eq!(
            words(&runtime(Some(100), Some(3)), 124),
            [
                "stale_runtime main has no new result for 5 days although 1 job waits (allowed: 24 hours)"
            ]
        );
        let patient = |_: &str| Some(48);
        let found = judge(&runtime(Some(0), None), &Limits::default(), patient, at(30));
        assert!(found.is_empty(), "its own limit wins");
    }

    #[test]
    fn hosts_queues_and_hooks() {
        let facts = |arrived, finished, committed| Facts {
            hosts: vec![HostFacts {
                name: "lab".to_owned(),
                last_seen_at: at(0),
            }],
            classes: vec![ClassFacts {
                name: "xeon".to_owned(),
                waiting: 4,
                waiting_since: at(0),
                arrived,
                finished,
            }],
            hooks: vec![HookFacts {
                repository: "cpython".to_owned(),
                received_at: at(0),
                committed_at: at(committed),
            }],
            ..Facts::default()
        };
        assert!(words(&facts(9, 3, 0), 0).is_empty());
        assert_eq!(
            words(&facts(9, 3, 5), 13),
            [
                "silent_host lab was last heard of 13 hours ago",
                "growing_queue xeon have 4 jobs waiting, the oldest for 13 hours: 9 jobs came in the last 12 hours and 3 were done",
                "silent_hook cpython came last 13 hours ago, and there are newer commits: look at the forge's list of deliveries",
            ]
        );
        let shrinking = words(&facts(3, 9, 0), 13);
        assert_eq!(shrinking.len(), 1, "{shrinking:?}");
        assert_eq!(
            words(&facts(9, 3, 10), 13).len(),
            2,
            "the hook may still come"
        );
    }

    #[test]
    fn ticks_and_disks() {
        let tick = |failures, ended| Facts {
            ticks: vec![TickFacts {
                name: "detect".to_owned(),
                every: Duration::from_secs(3),
                ended_at: at(ended),
                failures,
                failing_since: (failures > 0).then(|| at(0)),
                error: Some("no table".to_owned()),
            }],
            ..Facts::default()
        };
        assert!(words(&tick(2, 0), 0).is_empty());
        assert_eq!(
            words(&tick(3, 0), 0),
            ["failing_tick detect failed 3 times in a row: no table"]
        );
        assert_eq!(
            words(&tick(0, 0), 1),
            ["late_tick detect has not ended a pass for 60 minutes"]
        );
        let disk = |free| Facts {
            disks: vec![DiskFacts {
                folder: "/srv".to_owned(),
                free,
                total: 100_000_000_000,
            }],
            ..Facts::default()
        };
        assert!(words(&disk(10_000_000_000), 0).is_empty());
        assert!(words(&disk(9_000_000_000), 0)[0].contains("9.0 % left (9.0 GB of 100.0 GB)"));
    }
}
