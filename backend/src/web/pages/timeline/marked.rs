//! What stands on the timeline, as a table and lists: the same for those who do not see the chart.

use crate::web::format;
use crate::web::timeline::marks::Marks;
use crate::web::timeline::read::Timeline;

/// Breaks and notes that are listed.
const SHOWN: usize = 20;

/// The lists.
pub(super) struct Marked {
    pub(super) changes: Vec<Change>,
    pub(super) breaks: Vec<String>,
    /// Breaks that are not listed.
    pub(super) more_breaks: usize,
    pub(super) notes: Vec<Note>,
    pub(super) releases: String,
}

/// A change point.
pub(super) struct Change {
    pub(super) line: String,
    pub(super) metric: String,
    pub(super) hash: String,
    pub(super) short: String,
    pub(super) day: String,
    pub(super) class: &'static str,
    pub(super) change: String,
    pub(super) interval: String,
    pub(super) state: String,
    pub(super) regression: Option<i64>,
}

/// An annotation.
pub(super) struct Note {
    pub(super) when: String,
    pub(super) actor: String,
    pub(super) message: String,
    /// Where it is on, and its address.
    pub(super) on: (String, String),
}

/// All of them, the newest first.
pub(super) fn words(read: &Timeline, marks: &Marks) -> Marked {
    let changes = marks.changes.iter().rev().filter_map(|(index, _, _, one)| {
        let line = read.lines.get(*index)?;
        Some(Change {
            line: line.label.clone(),
            metric: format::metric_label(&line.series.metric),
            short: format::short(&one.hash),
            hash: one.hash.clone(),
            day: format::day(one.committed_at),
            class: match (one.state.as_str(), one.better) {
                ("confirmed", true) => "improved",
                ("confirmed", false) => "regressed",
                _ => "held",
            },
            change: format::percent(one.change),
            interval: format!(
                "{} to {}",
                format::percent(one.change_low),
                format::percent(one.change_high)
            ),
            state: one.state.clone(),
            regression: one.regression_id,
        })
    });
    let breaks = marks.breaks.iter().rev().take(SHOWN).map(|one| {
        let at = chrono::DateTime::from_timestamp(one.committed_at, 0).unwrap_or_default();
        let of = one.lines.len();
        let lines = if of == read.lines.len() {
            "all lines".to_owned()
        } else {
            format!("{of} of {} lines", read.lines.len())
        };
        format!(
            "{}, before position {} ({}), {lines}: {}",
            one.host,
            one.position,
            format::day(at),
            one.words
        )
    });
    let notes = marks.notes.iter().rev().take(SHOWN).map(|(_, note)| Note {
        when: format::moment(note.at),
        actor: note.actor.clone(),
        message: note.message.clone(),
        on: match (&note.hash, &note.host) {
            (Some(hash), _) => (
                format!("commit {}", format::short(hash)),
                format!("/commits/{hash}"),
            ),
            (None, Some(host)) => (
                format!("host {host}"),
                format!("/hosts/{}", format::encode(host)),
            ),
            (None, None) => ("here".to_owned(), "/timeline".to_owned()),
        },
    });
    let releases: Vec<String> = marks
        .releases
        .iter()
        .rev()
        .map(|(_, one)| match one.own_commits {
            0 => one.name.clone(),
            own => format!("{} (beside the branch, {own} commits of its own)", one.name),
        })
        .collect();
    Marked {
        changes: changes.collect(),
        breaks: breaks.collect(),
        more_breaks: marks.breaks.len().saturating_sub(SHOWN),
        notes: notes.collect(),
        releases: releases.join(", "),
    }
}
