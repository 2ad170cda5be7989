//! What a search has measured, as a chart, and how long it will still take.

use std::collections::BTreeMap;

use crate::chart::{self, Band, Chart, Line, PALETTE, Point};
use crate::db::bisections::Evidence;
use crate::db::searches::{PlaceRow, SearchRow};
use crate::web::format;

/// Part of the probability that the marked stretch holds.
const MARKED: f64 = 0.95;

/// Each value on a commit of the range, against the mean of its series at the end before (of its first commit, where that was not
/// measured), one colour for each series; the stretch where the change lies is marked. `None`: nothing was measured.
pub(super) fn picture(
    row: &SearchRow,
    places: &[PlaceRow],
    evidence: &[Evidence],
) -> Option<String> {
    let mut groups: BTreeMap<(i64, i64, i64), Vec<&Evidence>> = BTreeMap::new();
    for one in evidence.iter().filter(|one| one.median > 0.0) {
        let key = (one.series_id, one.environment_id, one.host_epoch);
        groups.entry(key).or_default().push(one);
    }
    let known: BTreeMap<i32, &PlaceRow> =
        places.iter().map(|place| (place.ordinal, place)).collect();
    let lines: Vec<Line> = groups
        .values()
        .enumerate()
        .map(|(number, group)| line(number, group, &known))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let last = places.iter().map(|place| place.ordinal).max().unwrap_or(0);
    let tick = |ordinal: i32| {
        let place = known.get(&ordinal)?;
        Some((f64::from(ordinal), format::short(&place.hash)))
    };
    let chart = Chart {
        label: format!(
            "{} of {} on the commits of the range, against the end before",
            format::metric_label(&row.metric),
            row.benchmark
        ),
        width: 800,
        height: 260,
        lines,
        ticks: [0, last].into_iter().filter_map(tick).collect(),
        // Without the sign of a negative nothing.
        format: |change| format!("{:+.1} %", (change * 1_000.0).round() / 10.0 + 0.0),
        spark: false,
    };
    Some(match likeliest(places) {
        Some((from, to)) => chart::svg_with_band(
            &chart,
            &Band {
                from: f64::from(from) - 0.5,
                to: f64::from(to) + 0.5,
                title: "Where the change lies, with 95 % probability".to_owned(),
            },
        ),
        None => chart::svg(&chart),
    })
}

fn line(number: usize, group: &[&Evidence], known: &BTreeMap<i32, &PlaceRow>) -> Line {
    let first = group.iter().map(|one| one.ordinal).min().unwrap_or(0);
    let base: Vec<f64> = group
        .iter()
        .filter(|one| one.ordinal == first)
        .map(|one| one.median)
        .collect();
    let base = base.iter().sum::<f64>() / base.len().max(1) as f64;
    let point = |one: &&Evidence| {
        let value = one.median / base - 1.0;
        let place = known.get(&one.ordinal)?;
        Some(Point {
            x: f64::from(one.ordinal),
            value,
            low: value,
            high: value,
            title: format!(
                "{} {}: {:+.2} %",
                format::short(&place.hash),
                place.subject,
                value * 100.0
            ),
            link: format!("/commits/{}", place.hash),
            class: "",
        })
    };
    Line {
        colour: number % PALETTE,
        stretches: vec![group.iter().filter_map(point).collect()],
        connected: false,
    }
}

/// The commits, from the likeliest on, that together hold most of the probability: first and last of them.
fn likeliest(places: &[PlaceRow]) -> Option<(i32, i32)> {
    let total: f64 = places.iter().map(|place| place.probability).sum();
    let mut sorted: Vec<&PlaceRow> = places.iter().collect();
    sorted.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let mut held = 0.0;
    let mut ends: Option<(i32, i32)> = None;
    for place in sorted {
        if total <= 0.0 || held >= MARKED * total {
            break;
        }
        held += place.probability;
        let (from, to) = ends.unwrap_or((place.ordinal, place.ordinal));
        ends = Some((from.min(place.ordinal), to.max(place.ordinal)));
    }
    ends
}

/// How many steps a search still needs, by how much of its probability is undecided, and how long they take by what its jobs took.
pub(super) fn left(row: &SearchRow, places: &[PlaceRow]) -> String {
    let total: f64 = places.iter().map(|place| place.probability).sum();
    if total <= 0.0 {
        return "not known before its ends are measured".to_owned();
    }
    let bits: f64 = places
        .iter()
        .map(|place| place.probability / total)
        .filter(|part| *part > 0.0)
        .map(|part| -part * part.log2())
        .sum();
    let steps = bits.ceil() + 1.0;
    if row.runs == 0 {
        return format!("about {steps} more steps");
    }
    let minutes = (row.seconds / row.runs as f64 * steps / 60.0).ceil();
    format!("about {steps} more steps, {minutes} minutes by what its runs took")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(probabilities: &[f64]) -> Vec<PlaceRow> {
        let place = |(ordinal, probability): (usize, &f64)| PlaceRow {
            ordinal: i32::try_from(ordinal).unwrap_or(0),
            hash: "0123456789abcdef".to_owned(),
            subject: "<b>".to_owned(),
            skipped: None,
            probability: *probability,
            likeness: None,
        };
        probabilities.iter().enumerate().map(place).collect()
    }

    #[test]
    fn the_marked_stretch_holds_most_of_the_probability() {
        assert_eq!(likeliest(&[]), None);
        assert_eq!(likeliest(&places(&[0.0; 4])), None);
        assert_eq!(likeliest(&places(&[0.0, 0.97, 0.03])), Some((1, 1)));
        assert_eq!(likeliest(&places(&[0.0, 0.5, 0.0, 0.5])), Some((1, 3)));
    }
}
