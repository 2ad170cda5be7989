//! Series as lines over commits: the chart that the pages of a benchmark, of a regression and of a step draw of the few points
//! that they are about. Choosing series is the timeline's.

use crate::chart::{self, Chart, Line, Point};
use crate::db::series::{SeriesName, SeriesPoint};
use crate::web::format::{self, Rounded};
use crate::web::verdict;

/// One runtime: its measured commits side by side. Several: by the time of the commits, which branches share.
pub(super) fn draw(
    benchmark: &str,
    metric: &str,
    chosen: &[&SeriesName],
    points: &[SeriesPoint],
) -> String {
    chart::svg(&chart_of(benchmark, metric, chosen, points))
}

/// The same before it is drawn; with one line, x is the index among the measured positions.
pub(super) fn chart_of(
    benchmark: &str,
    metric: &str,
    chosen: &[&SeriesName],
    points: &[SeriesPoint],
) -> Chart {
    let by_time = chosen.len() > 1;
    let mut places: Vec<i32> = points.iter().map(|point| point.position).collect();
    places.sort_unstable();
    places.dedup();
    let place = |point: &SeriesPoint| {
        if by_time {
            point.committed_at.timestamp() as f64
        } else {
            places.binary_search(&point.position).unwrap_or(0) as f64
        }
    };
    let lines = chosen.iter().enumerate().map(|(colour, one)| {
        let own: Vec<&SeriesPoint> = points
            .iter()
            .filter(|point| point.series_id == one.id)
            .collect();
        let stretches = own
            .chunk_by(|before, after| {
                (before.environment_id, before.host_epoch)
                    == (after.environment_id, after.host_epoch)
            })
            .map(|stretch| {
                stretch
                    .iter()
                    .map(|point| dot(one, metric, point, place(point)))
                    .collect()
            });
        Line {
            colour,
            stretches: stretches.collect(),
            connected: true,
        }
    });
    let step = points.len().div_ceil(6).max(1);
    let mut ticks: Vec<(f64, String)> = points
        .iter()
        .rev()
        .step_by(step)
        .map(|point| {
            let day = format::day(point.committed_at);
            let text = if by_time {
                day
            } else {
                format!("{} {}", day, format::short(&point.hash).split_at(7).0)
            };
            (place(point), text)
        })
        .collect();
    if by_time {
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        ticks.dedup_by(|a, b| (a.0 - b.0).abs() < 86_400.0 * 20.0);
    }
    Chart {
        label: format!(
            "{} of {benchmark} over commits",
            format::metric_label(metric)
        ),
        width: 960,
        height: 380,
        lines: lines.collect(),
        ticks,
        format: format::axis(metric),
        spark: false,
    }
}

fn dot(series: &SeriesName, metric: &str, point: &SeriesPoint, x: f64) -> Point {
    let held = point.held.as_deref();
    let values = (point.median, point.interval_low, point.interval_high);
    let shown = Rounded::of(values, metric);
    Point {
        x,
        value: point.median,
        low: point.interval_low,
        high: point.interval_high,
        title: format!(
            "{} {}\n{}\n{}, 95 % interval {} to {}, {} samples\n{}",
            series.runtime,
            format::short(&point.hash),
            point.subject,
            shown.value,
            shown.low,
            shown.high,
            point.sample_count,
            verdict::line(point.verdict.as_deref(), held, point.change),
        ),
        link: format!("/commits/{}", point.hash),
        class: verdict::class(point.verdict.as_deref().unwrap_or_default(), held),
    }
}
