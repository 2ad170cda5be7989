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
    let mut stretches: Vec<Vec<Point>> = Vec::new();
    let mut environment = None;
    for point in points {
        if environment != Some(point.environment_id) {
            environment = Some(point.environment_id);
            stretches.push(Vec::new());
        }
        let drawn = Point {
            x: f64::from(point.position),
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
    let ends = points.first().zip(points.last());
    let span = ends.map_or(0, |(first, last)| last.position - first.position);
    let mut ticks = vec![(f64::from(range.1), "changed".to_owned())];
    // Two words need some room between them.
    if (range.1 - range.0).saturating_mul(7) > span {
        ticks.push((f64::from(range.0), "before".to_owned()));
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
        format: |value| format!("{:+.1} %", value * 100.0),
        spark: false,
    }
}
