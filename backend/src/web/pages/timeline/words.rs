//! What the timeline says around its charts: what is left out, and the links that zoom and move.

use std::collections::BTreeSet;

use crate::db::timeline::MeasuredVersion;
use crate::web::format;
use crate::web::timeline::asked::{Asked, MOST_POINTS};
use crate::web::timeline::choose::{MOST_LINES, version_of};
use crate::web::timeline::read::{Line, Timeline};

/// What is not on the chart, and why.
pub(super) fn notes(read: &Timeline, asked: &Asked) -> Vec<String> {
    let mut notes = Vec::new();
    let mut say = |names: &[String], words: &str| {
        if !names.is_empty() {
            notes.push(format!("{}: {words}", names.join("; ")));
        }
    };
    let left_out: Vec<String> = read
        .chosen
        .left_out
        .iter()
        .map(|one| {
            format!(
                "{} {} {} on {}",
                one.benchmark,
                format::metric_label(&one.metric),
                one.runtime,
                one.host
            )
        })
        .collect();
    say(
        &left_out,
        &format!("left out, for a chart holds {MOST_LINES} lines."),
    );
    say(
        &read.chosen.absent,
        "nothing was measured for this together with the rest of the choice.",
    );
    say(
        &read.pending,
        "being prepared; their points are packed within a minute or so. Load the page again.",
    );
    say(
        &read.without_base,
        &format!(
            "not measured at {}, so there is nothing to divide by.",
            asked.base
        ),
    );
    say(&read.empty, "no points in this range.");
    if read.forced_date && !read.lines.is_empty() {
        notes.push("Drawn by date: positions of different branches do not compare.".to_owned());
    }
    let nothing_positive = |line: &Line| line.points.iter().any(|point| point.low <= 0.0);
    if asked.log && read.lines.iter().any(nothing_positive) {
        notes.push("Where values or their intervals reach zero, the axis stays linear.".to_owned());
    }
    if asked.base.is_empty() && !asked.log && read.panels().iter().any(|lines| spread(lines) > 20.0)
    {
        notes.push("Some lines are many times as high as others, which look flat beside them: choose a logarithmic scale, or divide each by its value at a release (Relative to).".to_owned());
    }
    if !asked.base.is_empty() && read.lines.iter().any(|line| line.breaks().next().is_some()) {
        notes.push(format!(
            "Beyond a break (dashed) values are not comparable with those at {}: something else than the interpreter changed.",
            asked.base
        ));
    }
    notes
}

/// How many times the highest line of a panel is the lowest, by their last values.
fn spread(lines: &[&Line]) -> f64 {
    let last = lines.iter().filter_map(|line| line.points.last());
    let sizes = last
        .map(|point| point.median.abs())
        .filter(|size| *size > 0.0);
    let (least, most) = sizes.fold((f64::INFINITY, 0.0_f64), |found, size| {
        (found.0.min(size), found.1.max(size))
    });
    if least > 0.0 { most / least } else { 1.0 }
}

/// A benchmark of which several versions have been measured.
pub(super) struct Versions {
    pub(super) benchmark: String,
    pub(super) count: usize,
    /// The version of its lines, in words.
    pub(super) shown: String,
    /// The others, in words, and where they are.
    pub(super) others: Vec<(String, String)>,
}

/// The benchmarks of the lines that have several versions.
pub(super) fn versions(read: &Timeline, all: &[MeasuredVersion], asked: &Asked) -> Vec<Versions> {
    let several = all
        .chunk_by(|a, b| a.benchmark == b.benchmark)
        .filter(|versions| versions.len() > 1);
    let of_one = |versions: &[MeasuredVersion]| {
        let lines = || read.lines.iter().map(|line| &line.series);
        let is_shown = |one: &&MeasuredVersion| {
            lines().any(|line| line.benchmark == one.benchmark && line.identity == one.identity)
        };
        let shown = versions.iter().find(is_shown)?;
        let others = versions.iter().filter(|one| *one != shown);
        Some(Versions {
            benchmark: shown.benchmark.clone(),
            count: versions.len(),
            shown: version_words(shown),
            others: others
                .map(|one| (version_words(one), other_version(read, one, asked)))
                .collect(),
        })
    };
    several.filter_map(of_one).collect()
}

fn version_words(one: &MeasuredVersion) -> String {
    let version = version_of(&one.identity);
    if one.suites.is_empty() {
        version
    } else {
        format!("{version} of {}", one.suites)
    }
}

/// Where another version is. What the chosen runtimes and hosts never measured is asked for without them.
fn other_version(read: &Timeline, one: &MeasuredVersion, asked: &Asked) -> String {
    let mut other = asked.clone();
    other.version = version_of(&one.identity);
    let known = (one.benchmark.clone(), other.version.clone());
    if !read.chosen.versions.contains(&known) {
        other.benchmarks = vec![known.0];
        other.runtimes.clear();
        other.hosts.clear();
    }
    other.address()
}

/// The pages that say what the benchmarks of the lines are.
pub(super) fn benchmarks(read: &Timeline) -> Vec<(String, String)> {
    let names: BTreeSet<&str> = read
        .lines
        .iter()
        .map(|line| line.series.benchmark.as_str())
        .collect();
    let link = |name: &str| {
        (
            name.to_owned(),
            format!("/benchmarks/{}", format::encode(name)),
        )
    };
    names.into_iter().map(link).collect()
}

pub(super) fn grid_address(read: &Timeline) -> String {
    let first = read
        .lines
        .first()
        .map(|line| &line.series)
        .or(read.chosen.left_out.first());
    first.map_or_else(
        || "/grid".to_owned(),
        |one| {
            format!(
                "/grid?runtime={}&host={}&metric={}",
                format::encode(&one.runtime),
                format::encode(&one.host),
                format::encode(&one.metric)
            )
        },
    )
}

/// How many points there are and how they are drawn.
pub(super) fn drawn(read: &Timeline, dots: bool) -> String {
    let count = read.count();
    let lines = read.lines.len();
    let words = format!(
        "{count} {} in {lines} {}",
        if count == 1 { "point" } else { "points" },
        if lines == 1 { "line" } else { "lines" }
    );
    if dots {
        format!("{words}.")
    } else {
        format!(
            "{words}, thinned out for drawing: first, last, lowest and highest of each few pixels stay, so steps and outliers do. Zoom in for single points."
        )
    }
}

/// Zooming and moving by links.
pub(super) fn moves(read: &Timeline, asked: &Asked) -> Vec<(&'static str, String)> {
    let (from, to) = read.axis.range;
    if read.lines.is_empty() {
        return Vec::new();
    }
    let least = if read.axis.by_date { 86_400.0 } else { 4.0 };
    let span = (to - from).max(least);
    let to_range = |from: f64, to: f64| {
        let mut moved = asked.clone();
        let from = if read.axis.by_date {
            from
        } else {
            from.max(0.0)
        };
        moved.from = Some(read.axis.end(from));
        moved.to = Some(read.axis.end(to.max(from)));
        moved.last = None;
        moved.address()
    };
    let mut whole = asked.clone();
    (whole.from, whole.to, whole.last) = (None, None, Some(MOST_POINTS));
    let mut newest = asked.clone();
    (newest.from, newest.to, newest.last) = (None, None, None);
    vec![
        ("Earlier", to_range(from - span / 2.0, to - span / 2.0)),
        ("Later", to_range(from + span / 2.0, to + span / 2.0)),
        ("Zoom in", to_range(from + span / 4.0, to - span / 4.0)),
        ("Zoom out", to_range(from - span / 2.0, to + span / 2.0)),
        ("Newest", newest.address()),
        ("Everything", whole.address()),
    ]
}
