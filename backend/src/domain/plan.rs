//! Which commits to measure next: the newest first, then whatever closes the largest gap; pure.

use super::policy::{Measure, Policy};

/// A commit of a runtime's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Branch position.
    pub position: i32,
    /// Key.
    pub commit_id: i64,
    /// Whether a tag names it.
    pub tagged: bool,
    /// Whether the commit after it is of another day (UTC): the day is over, and this is its last. Known only where the policy asks for it.
    pub ends_day: bool,
    /// Measured, failed, waiting or running: nothing more to ask for.
    pub settled: bool,
}

/// Why a commit is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The newest candidate.
    Newest,
    /// The middle, or the end, of the largest unmeasured gap.
    Gap,
    /// The newest release before the head, to compare with.
    Release,
    /// Somebody asked for it.
    Requested,
    /// A frozen interpreter, to see whether the host is what it was.
    Control,
    /// A run before it was measured under bad conditions.
    Repetition,
    /// Both sides of a suspected change are measured again.
    Confirmation,
    /// The commit behind a change is looked for.
    Bisection,
    /// Somebody's changes are measured against their base.
    Try,
}

impl Reason {
    /// The stable name used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Gap => "gap",
            Self::Release => "release",
            Self::Requested => "requested",
            Self::Control => "control",
            Self::Repetition => "repetition",
            Self::Confirmation => "confirmation",
            Self::Bisection => "bisection",
            Self::Try => "try",
        }
    }

    /// What a person waits for goes first, then what says whether the rest can be trusted, then what was measured
    /// badly, then the newest commits everywhere; gaps wait.
    pub fn priority(self) -> i32 {
        match self {
            Self::Requested => 200,
            Self::Control => 150,
            Self::Repetition => 120,
            // A suspicion is answered while the host is still what it was.
            Self::Confirmation => 140,
            // A person waits, as for a request, but for many runs: a confirmation or a control, which is two, goes in between.
            Self::Try => 130,
            Self::Bisection => 110,
            Self::Newest => 100,
            Self::Release => 50,
            Self::Gap => 10,
        }
    }
}

/// The priority of a control around a suspicious run: before all else, for its answer says whether what people see is so.
pub const AROUND_SUSPICION: i32 = 250;

/// Chooses at most `room` commits. `candidates` are in branch order, oldest first.
pub fn choose(candidates: &[Candidate], policy: &Policy, room: usize) -> Vec<(i64, Reason)> {
    let wanted = filter(candidates, policy);
    let mut settled: Vec<bool> = wanted.iter().map(|candidate| candidate.settled).collect();
    let mut chosen = Vec::new();
    while chosen.len() < room {
        let Some((index, reason)) = next(&settled) else {
            break;
        };
        settled[index] = true;
        chosen.push((wanted[index].commit_id, reason));
    }
    chosen
}

/// The candidates that the policy asks for.
fn filter<'a>(candidates: &'a [Candidate], policy: &Policy) -> Vec<&'a Candidate> {
    let last = candidates.len().saturating_sub(1);
    let kept = candidates
        .iter()
        .enumerate()
        .filter(|(index, candidate)| match policy.measure {
            Measure::Every => true,
            Measure::Nth => {
                let nth = policy
                    .nth
                    .and_then(|nth| i32::try_from(nth).ok())
                    .unwrap_or(1)
                    .max(1);
                candidate.position % nth == 0 || *index == last
            }
            // The day under way is not over yet.
            Measure::Nightly => candidate.ends_day,
            Measure::Tags => candidate.tagged,
        });
    let mut kept: Vec<&Candidate> = kept.map(|(_, candidate)| candidate).collect();
    if let Some(newest) = policy.newest {
        let surplus = kept.len().saturating_sub(newest as usize);
        kept.drain(..surplus);
    }
    kept
}

/// The newest if it is open; else the oldest if it is, so that both ends are known; else the middle of the longest open
/// stretch, the newer of two equal ones.
fn next(settled: &[bool]) -> Option<(usize, Reason)> {
    let last = settled.len().checked_sub(1)?;
    if !settled[last] {
        return Some((last, Reason::Newest));
    }
    if !settled[0] {
        return Some((0, Reason::Gap));
    }
    let mut best: Option<(usize, usize)> = None;
    let mut start = 0;
    for (index, is_settled) in settled.iter().enumerate() {
        if *is_settled {
            let length = index - start;
            if length > 0 && best.is_none_or(|(_, longest)| length >= longest) {
                best = Some((start, length));
            }
            start = index + 1;
        }
    }
    best.map(|(start, length)| (start + length / 2, Reason::Gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(settled: &[i32], count: i32) -> Vec<Candidate> {
        (0..count)
            .map(|position| Candidate {
                position,
                commit_id: i64::from(position),
                tagged: position % 4 == 1,
                ends_day: position % 2 == 1 && position + 1 < count,
                settled: settled.contains(&position),
            })
            .collect()
    }

    fn chosen(settled: &[i32], count: i32, policy: &Policy) -> Vec<i64> {
        choose(&candidates(settled, count), policy, 100)
            .iter()
            .map(|(commit, _)| *commit)
            .collect()
    }

    #[test]
    fn the_newest_then_the_ends_then_the_largest_gap() {
        let policy = Policy::default();
        assert_eq!(chosen(&[], 9, &policy), [8, 0, 4, 6, 2, 7, 5, 3, 1]);
        assert_eq!(chosen(&[0, 4], 6, &policy), [5, 2, 3, 1]);
        assert!(chosen(&[], 0, &policy).is_empty());
        assert_eq!(chosen(&[], 1, &policy), [0]);
        assert!(chosen(&[0, 1], 2, &policy).is_empty());
        assert_eq!(
            choose(&candidates(&[], 9), &policy, 1),
            [(8, Reason::Newest)]
        );
    }

    #[test]
    fn policies_choose_among_commits() {
        let newest = Policy {
            newest: Some(2),
            ..Policy::default()
        };
        assert_eq!(chosen(&[], 9, &newest), [8, 7]);
        let nth = Policy {
            measure: Measure::Nth,
            nth: Some(3),
            ..Policy::default()
        };
        assert_eq!(chosen(&[], 9, &nth), [8, 0, 6, 3]);
        let tags = Policy {
            measure: Measure::Tags,
            ..Policy::default()
        };
        assert_eq!(chosen(&[], 9, &tags), [5, 1]);
        // Two commits a day: the second of each day that is over.
        let nightly = Policy {
            measure: Measure::Nightly,
            ..Policy::default()
        };
        assert_eq!(chosen(&[], 5, &nightly), [3, 1]);
    }
}
