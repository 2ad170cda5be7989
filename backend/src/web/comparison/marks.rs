//! What has to be known of a comparison before its numbers: what else differs between the subjects than what they are.

use super::Resolved;
use crate::db::subjects::SubjectRun;

/// A sentence that stands above the numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Mark {
    /// In a few words.
    pub(in crate::web) title: &'static str,
    /// The rest.
    pub(in crate::web) text: String,
    /// Whether it puts all ratios in doubt.
    pub(in crate::web) is_grave: bool,
}

/// What differs, the gravest first. `names` are what the page calls the subjects.
pub(in crate::web) fn marks(subjects: &[Resolved], names: &[&str]) -> Vec<Mark> {
    let newest: Vec<(&str, &SubjectRun)> = names
        .iter()
        .zip(subjects)
        .filter_map(|(name, subject)| Some((*name, subject.newest()?)))
        .collect();
    let Some((_, base)) = newest.first() else {
        return Vec::new();
    };
    let list = |of: &dyn Fn(&SubjectRun) -> String| {
        let each = newest
            .iter()
            .map(|(name, run)| format!("{name}: {}", of(run)));
        each.collect::<Vec<_>>().join(", ")
    };
    let differs =
        |is_other: &dyn Fn(&SubjectRun) -> bool| newest.iter().any(|(_, run)| is_other(run));
    let mut marks = Vec::new();
    let mut push = |title, text, is_grave| {
        marks.push(Mark {
            title,
            text,
            is_grave,
        });
    };
    if differs(&|run| run.host_id != base.host_id) {
        let hosts = list(&|run| run.host.clone());
        let text = format!(
            "{hosts}. Every ratio holds what the machines differ by, beside what the interpreters do."
        );
        push("Different hosts", text, true);
    }
    let same_host = |run: &SubjectRun| run.host_id == base.host_id;
    if differs(&|run| same_host(run) && run.environment_id != base.environment_id) {
        let prints = list(&|run| run.fingerprint.chars().take(12).collect());
        let text = format!(
            "The host was set up otherwise in between (kernel, microcode, tuning …; fingerprints {prints}), which can move every value."
        );
        push("Different environments", text, true);
    }
    if differs(&|run| same_host(run) && run.host_epoch != base.host_epoch) {
        let text =
            "The host's control moved in between: values before and after are not of one epoch.";
        push("Different epochs", text.to_owned(), true);
    }
    let bad: Vec<&str> = newest
        .iter()
        .filter(|(_, run)| run.marked)
        .map(|(name, _)| *name)
        .collect();
    if !bad.is_empty() {
        let text = format!(
            "Something on the host disturbed the runs of {}, and none without that are here.",
            bad.join(", ")
        );
        push("Measured under bad conditions", text, true);
    }
    if differs(&|run| run.suite != base.suite) {
        let text = format!(
            "{}. Benchmarks are compared where they are the same to the byte.",
            list(&|run| run.suite.clone())
        );
        push("Different suites", text, false);
    }
    let part: Vec<&str> = newest
        .iter()
        .filter(|(_, run)| !run.is_whole)
        .map(|(name, _)| *name)
        .collect();
    if !part.is_empty() {
        let text = format!(
            "The runs of {} were asked for some benchmarks only.",
            part.join(", ")
        );
        push("Not the whole suite", text, false);
    }
    marks
}
