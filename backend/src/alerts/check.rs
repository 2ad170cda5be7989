//! Check runs: how tries and regressions are, in GitHub's words for it, and in one line.

use super::message::{one_line, size};
use super::try_run::{self, Told};
use crate::domain::regression::RegressionState;
use crate::domain::telling::Story;
use crate::domain::try_run::{TryState, TryVerdict};
use crate::forge::{CheckState, Conclusion};

/// Longest title, in characters.
const LONGEST: usize = 140;

/// The check of a try's head: unlike a status it can be neither good nor bad.
pub fn of_try(told: &Told) -> (CheckState, String) {
    let state = match (told.state, told.verdict) {
        (TryState::WaitingForApproval, _) => CheckState::Completed(Conclusion::ActionRequired),
        (TryState::Queued, _) => CheckState::Queued,
        (TryState::Running, _) => CheckState::InProgress,
        (TryState::Cancelled, _) => CheckState::Completed(Conclusion::Cancelled),
        (TryState::Failed, _) => CheckState::Completed(Conclusion::Failure),
        (TryState::Decided, Some(TryVerdict::Unclear) | None) => {
            CheckState::Completed(Conclusion::Neutral)
        }
        (TryState::Decided, Some(verdict)) if verdict.is_bad() => {
            CheckState::Completed(Conclusion::Failure)
        }
        (TryState::Decided, Some(_)) => CheckState::Completed(Conclusion::Success),
    };
    (state, try_run::status(told).1)
}

/// What a regression changed, in one line.
pub fn headline(story: &Story) -> String {
    match story.changes.as_slice() {
        [] => "a change without a change point".to_owned(),
        [first, rest @ ..] => {
            let more = if rest.is_empty() {
                String::new()
            } else {
                format!(" and {} more", rest.len())
            };
            let (runtime, benchmark) = (&first.runtime, &first.benchmark);
            format!("{runtime} {benchmark} {}{more}", size(first))
        }
    }
}

/// The check of a regression's culprit.
pub fn of_regression(story: &Story) -> (CheckState, String) {
    let (conclusion, now) = match story.state {
        RegressionState::Suspected | RegressionState::Invalid => {
            (Conclusion::Neutral, "; no change after all")
        }
        RegressionState::Accepted => (Conclusion::Neutral, "; accepted"),
        RegressionState::Fixed => (Conclusion::Success, "; as before again"),
        RegressionState::Acknowledged => (open_conclusion(story), "; somebody has taken it on"),
        RegressionState::Confirmed | RegressionState::Bisecting | RegressionState::Found => {
            (open_conclusion(story), "")
        }
    };
    let title = one_line(&format!("{}{now}", headline(story)), LONGEST);
    (CheckState::Completed(conclusion), title)
}

fn open_conclusion(story: &Story) -> Conclusion {
    if story.better {
        Conclusion::Success
    } else {
        Conclusion::Failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::telling::example::story;

    #[test]
    fn each_state_of_a_regression_has_a_conclusion() {
        let mut one = story();
        for (state, expected) in [
            (RegressionState::Found, Conclusion::Failure),
            (RegressionState::Acknowledged, Conclusion::Failure),
            (RegressionState::Fixed, Conclusion::Success),
            (RegressionState::Accepted, Conclusion::Neutral),
            (RegressionState::Invalid, Conclusion::Neutral),
        ] {
            one.state = state;
            let (is, title) = of_regression(&one);
            assert_eq!(is, CheckState::Completed(expected), "{state:?}");
            assert!(title.starts_with("cpython-main richards +5.2"), "{title}");
        }
        one.state = RegressionState::Found;
        one.better = true;
        let success = CheckState::Completed(Conclusion::Success);
        assert_eq!(of_regression(&one).0, success);
    }
}
