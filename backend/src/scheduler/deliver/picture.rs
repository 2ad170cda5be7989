//! The chart of a mail: a series about its change, in per cent of the level before.

use crate::chart::{Chart, Line, Point};
use crate::db::stories::ChartPoint;

/// The chart. `range`: positions of the last commit that is as before and of the first that is changed (the culprit, when it is
/// known); `baseline`: the level before, in the metric's unit.
pub(super) fn chart(
    better: bool,
    title: String,
    points: &[ChartPoint],
    range: (i32, i32),
    baseline: f64,
) -> Chart {
    let mark = if better { "improved" } else { "regressed" };
    let share = |value: f64| value / baseline - 1.0;
    // Measured commits at equal distances: a release long before would press the others together.
    let mut places: Vec<i32> = points.iter().map(|point| point.position).collect();
    places.sort_unstable();
    places.dedup();
    let place = |position: i32| places.partition_point(|one| *one < position) as f64;
    let mut stretches: Vec<Vec<Point>> = Vec::new();
    let mut environment = None;
    for point in points {
        if environment != Some(point.environment_id) {
            environment = Some(point.environment_id);
            stretches.push(Vec::new());
        }
        let drawn = Point {
            x: place(point.position),
            value: share(point.median),
            low: share(point.low),
            high: share(point.high),
            class: if point.position > range.0 && point.position <= range.1 {
                mark
            } else {
                ""
            },
            ..Point::default()
        };
        if let Some(stretch) = stretches.last_mut() {
            stretch.push(drawn);
        }
    }
    // The first measured commit of the range, and the last one before it.
    let changed = place(range.0.saturating_add(1));
    let mut ticks = vec![(changed, "changed".to_owned())];
    // Two words need some room between them.
    if places.len() < 8 && changed > 0.0 {
        ticks.push((changed - 1.0, "before".to_owned()));
    }
    Chart {
        label: title,
        width: 660,
        height: 260,
        lines: vec![Line {
            colour: 0,
            stretches,
            connected: true,
        }],
        ticks,
        // Without the sign of a negative nothing.
        format: |value| format!("{:+.1} %", (value * 1_000.0).round() / 10.0 + 0.0),
        spark: false,
    }
}
