//! The part of a regression's page that says what explains it.

use crate::db::explanations::ExplanationRow;
use crate::domain::explain::{Compared, Finding, Part, Sizes};
use crate::web::format;

/// What explains a regression, in words.
pub(super) struct Explained {
    pub(super) sentence: String,
    pub(super) before_hash: String,
    pub(super) before_short: String,
    pub(super) after_hash: String,
    pub(super) after_short: String,
    pub(super) findings: Vec<(String, String)>,
    pub(super) metrics: Vec<(String, String, String, String)>,
    pub(super) profiles: Vec<ProfileBlock>,
    pub(super) sizes: Vec<(String, String, String)>,
    pub(super) paths: Vec<String>,
    pub(super) path_count: usize,
    pub(super) made: String,
}

/// A profile's parts that changed.
pub(super) struct ProfileBlock {
    pub(super) title: String,
    pub(super) link: String,
    pub(super) parts: Vec<(&'static str, String, String)>,
}

/// For the page.
pub(super) fn explained(row: ExplanationRow) -> Explained {
    let found = row.findings.0;
    let share = |finding: &Finding| {
        let share = finding.share.filter(|share| share.is_finite());
        share.map_or_else(String::new, |share| format!("{:.0}\u{a0}%", share * 100.0))
    };
    let metric = |one: &Compared| {
        let (change, interval) = format::change(one.change, one.low, one.high);
        (
            format::metric_label(&one.metric),
            change,
            interval,
            format!("{}, {}", one.source, one.pairs),
        )
    };
    let part = |kind: &'static str| {
        move |part: &Part| (kind, part.name.clone(), format::percent(part.change))
    };
    let profiles = found.profiles.iter().map(|profile| ProfileBlock {
        title: format!("{} ({})", profile.benchmark, profile.noun),
        link: format!(
            "/runs/{}/profiles/{}?against={}",
            profile.runs.1,
            format::encode(&profile.benchmark),
            profile.runs.0
        ),
        parts: profile
            .components
            .iter()
            .map(part("component"))
            .chain(profile.functions.iter().map(part("function")))
            .collect(),
    });
    Explained {
        findings: found
            .findings
            .iter()
            .map(|finding| (share(finding), finding.words.clone()))
            .collect(),
        metrics: found.metrics.iter().map(metric).collect(),
        profiles: profiles.collect(),
        sizes: sizes(found.sizes.as_ref()),
        paths: found.paths,
        path_count: found.path_count,
        sentence: found.sentence,
        before_short: format::short(&row.before_hash),
        before_hash: row.before_hash,
        after_short: format::short(&row.after_hash),
        after_hash: row.after_hash,
        made: format::moment(row.made_at),
    }
}

fn sizes(both: Option<&(Sizes, Sizes)>) -> Vec<(String, String, String)> {
    let Some((before, after)) = both else {
        return Vec::new();
    };
    let bytes = |size: Option<u64>| size.map_or_else(|| "–".to_owned(), |size| size.to_string());
    let mut rows: Vec<(String, String, String)> = after
        .sections
        .iter()
        .map(|(name, size)| {
            let old = before.sections.iter().find(|(one, _)| one == name);
            let old = old.map(|(_, size)| *size);
            (name.clone(), bytes(old), bytes(Some(*size)))
        })
        .collect();
    if before.main_loop.is_some() || after.main_loop.is_some() {
        let name = "the main loop".to_owned();
        rows.push((name, bytes(before.main_loop), bytes(after.main_loop)));
    }
    rows
}
