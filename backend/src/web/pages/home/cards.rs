//! A runtime at a glance.

use chrono::{DateTime, Utc};

use crate::chart::{self, Chart, Line, Point};
use crate::db::home::{PointRow, RecentRow};
use crate::db::overview::RuntimeOverview;
use crate::domain::index::ratio_of;
use crate::web::format;
use crate::web::pages::widgets::Badge;

/// Changes of a week that a card names, each way.
const NAMED: usize = 3;

pub(in crate::web::pages) struct Card {
    pub(in crate::web::pages) row: RuntimeOverview,
    pub(in crate::web::pages) link: String,
    pub(in crate::web::pages) head_day: String,
    pub(in crate::web::pages) head_state: String,
    pub(in crate::web::pages) measured_ago: String,
    pub(in crate::web::pages) mean: Option<Mean>,
    /// Why there is no mean.
    pub(in crate::web::pages) no_mean: &'static str,
    pub(in crate::web::pages) spark: String,
    pub(in crate::web::pages) worse: Vec<Change>,
    pub(in crate::web::pages) better: Vec<Change>,
    /// Further ones that are not named.
    pub(in crate::web::pages) more: usize,
    pub(in crate::web::pages) suspected: usize,
}

/// The geometric mean against the release before.
pub(in crate::web::pages) struct Mean {
    pub(in crate::web::pages) badge: Badge,
    pub(in crate::web::pages) interval: String,
    pub(in crate::web::pages) count: usize,
    pub(in crate::web::pages) left_out: i32,
    pub(in crate::web::pages) against: String,
    pub(in crate::web::pages) hash: String,
    pub(in crate::web::pages) within: bool,
    /// Whether something on the host disturbed one of the two runs.
    pub(in crate::web::pages) disturbed: bool,
}

/// A change of this week.
pub(in crate::web::pages) struct Change {
    pub(in crate::web::pages) id: i64,
    pub(in crate::web::pages) words: String,
    pub(in crate::web::pages) size: String,
    pub(in crate::web::pages) interval: String,
}

/// A card without what needs the home page's other queries.
pub(in crate::web::pages) fn card(
    row: RuntimeOverview,
    points: &[PointRow],
    recent: &[RecentRow],
    now: DateTime<Utc>,
) -> Card {
    let own: Vec<&RecentRow> = recent
        .iter()
        .filter(|one| one.runtime_id == row.id)
        .collect();
    let of = |better: bool| {
        let mut found: Vec<&RecentRow> = own
            .iter()
            .filter(|one| one.confirmed && one.better == better)
            .copied()
            .collect();
        found.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
        found
    };
    let (worse, better) = (of(false), of(true));
    let named = |found: &[&RecentRow]| found.iter().take(NAMED).map(|one| change(one)).collect();
    Card {
        link: format!("/runtimes/{}", format::encode(&row.name)),
        head_day: row.head_committed_at.map(format::day).unwrap_or_default(),
        head_state: head_state(&row).to_owned(),
        measured_ago: row
            .measured_at
            .map(|at| format::ago(at, now))
            .unwrap_or_default(),
        mean: mean(&row),
        no_mean: no_mean(&row),
        spark: spark(&row, points),
        more: worse.len().saturating_sub(NAMED) + better.len().saturating_sub(NAMED),
        suspected: own.iter().filter(|one| !one.confirmed).count(),
        worse: named(&worse),
        better: named(&better),
        row,
    }
}

fn head_state(row: &RuntimeOverview) -> &'static str {
    match (
        row.head_job_state.as_deref(),
        row.head_hash == row.measured_hash,
    ) {
        _ if row.head_hash.is_none() => "waiting for the history",
        (_, true) => "measured",
        (Some("running"), _) => "being measured",
        (Some("queued"), _) => "waiting in the queue",
        (Some("failed"), _) => "failed",
        (Some("cancelled"), _) => "cancelled",
        (Some("succeeded"), _) => "measured, being taken in",
        (Some(_) | None, _) => "not asked for",
    }
}

/// The newest run against the release before it; absent without one.
pub(in crate::web::pages) fn mean(row: &RuntimeOverview) -> Option<Mean> {
    let count = usize::try_from(row.common?).ok()?;
    let ratio = ratio_of(row.mean?, row.deviation?, count);
    let class = match (ratio.is_significant(), ratio.ratio < 1.0) {
        (false, _) => "unchanged",
        (true, true) => "improved",
        (true, false) => "regressed",
    };
    let hash = row.reference_hash.clone()?;
    let against = match &row.reference_tag {
        Some(tag) => format!("release {tag}"),
        None => format!("the oldest measured commit {}", format::short(&hash)),
    };
    let interval = format!(
        "{} to {}",
        format::percent(ratio.low - 1.0),
        format::percent(ratio.high - 1.0)
    );
    let words = format!(
        "Geometric mean of the times of {count} benchmarks (of servers: per request); 95 % interval {interval}"
    );
    Some(Mean {
        badge: Badge {
            text: format::percent(ratio.ratio - 1.0),
            class: class.to_owned(),
            words,
        },
        within: !ratio.is_significant(),
        interval,
        count,
        left_out: row.left_out.unwrap_or(0),
        disturbed: row.disturbed,
        against,
        hash,
    })
}

fn no_mean(row: &RuntimeOverview) -> &'static str {
    match (row.measured_hash.is_some(), row.reference_hash.is_some()) {
        (false, _) => "nothing measured whole yet",
        (true, false) => "nothing before it was measured on this host as it is now",
        (true, true) => "no benchmark in common with what it is compared with",
    }
}

/// The index of the newest commits; a gap where another release is compared with.
fn spark(row: &RuntimeOverview, points: &[PointRow]) -> String {
    let own: Vec<&PointRow> = points
        .iter()
        .filter(|one| one.runtime_id == row.id && Some(one.host_id) == row.host_id && !one.long)
        .collect();
    let own: Vec<&PointRow> = own.into_iter().filter(|one| one.mean.is_some()).collect();
    if own.is_empty() {
        return String::new();
    }
    // From nothing on: the drawing leaves air in proportion to its numbers.
    let first = own.first().map_or(0, |one| one.position);
    let stretches = own.chunk_by(|a, b| a.reference_run_id == b.reference_run_id);
    let stretches = stretches.map(|stretch| {
        let points = stretch.iter().filter_map(|one| {
            let value = one.mean?;
            Some(Point {
                x: f64::from(one.position) - f64::from(first),
                value,
                low: value,
                high: value,
                ..Point::default()
            })
        });
        points.collect()
    });
    chart::svg(&Chart {
        label: format!(
            "{}: geometric mean of its newest {} runs against the release before each",
            row.name,
            own.len()
        ),
        width: 260,
        height: 56,
        lines: vec![Line {
            colour: 0,
            stretches: stretches.collect(),
            connected: true,
        }],
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}

fn change(one: &RecentRow) -> Change {
    let others = match one.series {
        0 | 1 => String::new(),
        2 => " and one more series".to_owned(),
        many => format!(" and {} more series", many - 1),
    };
    let (size, interval) = format::change(one.change, one.change_low, one.change_high);
    Change {
        id: one.id,
        words: format!(
            "{} of {}{others}",
            format::metric_label(&one.metric),
            one.benchmark
        ),
        size,
        interval: format!("95 % interval {interval}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A runtime that was measured today.
    pub(in super::super) fn row(now: DateTime<Utc>) -> RuntimeOverview {
        RuntimeOverview {
            id: 1,
            name: "a&b".to_owned(),
            language: "python3".to_owned(),
            branch: "main".to_owned(),
            repository: "cpython".to_owned(),
            head_hash: Some("aa".to_owned()),
            head_subject: None,
            head_committed_at: Some(now),
            head_job_state: None,
            head_job_id: None,
            measured_hash: Some("aa".to_owned()),
            measured_position: Some(10),
            measured_at: Some(now),
            host_id: Some(1),
            host: Some("lab-1".to_owned()),
            reference_hash: Some("bb".to_owned()),
            reference_position: Some(2),
            reference_tag: Some("v3.9.0".to_owned()),
            measured_count: 5,
            head_job_failure: None,
            head_position: Some(10),
            control: false,
            imported: false,
            run_id: Some(5),
            mean: Some(0.05),
            deviation: Some(0.01),
            common: Some(2),
            left_out: Some(1),
            disturbed: false,
        }
    }

    fn recent(id: i64, change: f64, confirmed: bool) -> RecentRow {
        RecentRow {
            runtime_id: 1,
            id,
            better: change < 0.0,
            confirmed,
            benchmark: "nbody".to_owned(),
            metric: "wall_time".to_owned(),
            change,
            change_low: change - 0.01,
            change_high: change + 0.01,
            series: 2,
        }
    }

    #[test]
    fn a_card_names_the_largest_changes_and_counts_the_rest() {
        let now = Utc::now();
        let mut all: Vec<RecentRow> = (1..6)
            .map(|id| recent(id, 0.01 * id as f64, true))
            .collect();
        all.push(recent(9, 0.5, false));
        all.push(recent(10, -0.5, true));
        let card = card(row(now), &[], &all, now);
        let ids: Vec<i64> = card.worse.iter().map(|one| one.id).collect();
        assert_eq!((ids, card.more, card.suspected), (vec![5, 4, 3], 2, 1));
        assert_eq!(
            card.better[0].words,
            "Wall time of nbody and one more series"
        );
        let mean = card.mean.unwrap();
        assert_eq!((mean.badge.class.as_str(), mean.left_out), ("regressed", 1));
    }

    #[test]
    fn without_a_mean_it_says_why() {
        let now = Utc::now();
        let mut one = row(now);
        (one.mean, one.deviation, one.common) = (None, None, Some(0));
        assert!(mean(&one).is_none() && no_mean(&one).contains("in common"));
        one.reference_hash = None;
        assert!(no_mean(&one).contains("before it"));
        one.measured_hash = None;
        assert!(no_mean(&one).contains("nothing measured"));
    }
}
