//! Series as lines over commits: the chart that the pages of a benchmark, of a regression and of a step draw of the few points
//! that they are about. Choosing series is the timeline's.

use crate::chart::{self, Chart, Line, Point};
use crate::db::series::{SeriesName, SeriesPoint};
use crate::domain::summary::median_of_sorted;
use crate::web::format::{self, Rounded};
use crate::web::verdict;

/// One runtime: its measured commits side by side. Several: by the time of the commits, which branches share.
pub(super) fn draw(
    benchmark: &str,
    metric: &str,
    chosen: &[&SeriesName],
    points: &[SeriesPoint],
) -> String {
    let points = by_commit(points.to_vec());
    chart::svg(&chart_of(benchmark, metric, chosen, &points))
}

/// One point for each commit of a series: the medians over its runs' medians and ends of intervals, as the detector reads them. Of runs in
/// several epochs of the host the newest one's count. `points`: by series and position, then by age.
pub(super) fn by_commit(points: Vec<SeriesPoint>) -> Vec<SeriesPoint> {
    let commits = points.chunk_by(|a, b| (a.series_id, a.position) == (b.series_id, b.position));
    let merged = commits.filter_map(|runs| {
        let newest = runs.last()?;
        let epoch = |one: &SeriesPoint| (one.environment_id, one.host_epoch);
        let own: Vec<&SeriesPoint> = runs
            .iter()
            .filter(|one| epoch(one) == epoch(newest))
            .collect();
        let middle = |get: fn(&SeriesPoint) -> f64| {
            let mut values: Vec<f64> = own.iter().copied().map(get).collect();
            values.sort_by(f64::total_cmp);
            median_of_sorted(&values)
        };
        Some(SeriesPoint {
            median: middle(|one| one.median),
            interval_low: middle(|one| one.interval_low),
            interval_high: middle(|one| one.interval_high),
            sample_count: own.iter().map(|one| one.sample_count).sum(),
            ..newest.clone()
        })
    });
    merged.collect()
}

/// The same before it is drawn; with one line, x is the index among the measured positions. `points`: one for each commit.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run_id: i64, position: i32, environment_id: i64, median: f64) -> SeriesPoint {
        SeriesPoint {
            series_id: 1,
            position,
            hash: format!("{position:040}"),
            subject: String::new(),
            committed_at: chrono::DateTime::UNIX_EPOCH,
            run_id,
            measured_at: chrono::DateTime::UNIX_EPOCH,
            environment_id,
            host_epoch: 0,
            sample_count: 5,
            median,
            interval_low: median - 0.1,
            interval_high: median + 0.1,
            min: median,
            max: median,
            verdict: None,
            held: None,
            host_worst: None,
            change: None,
            threshold: None,
        }
    }

    #[test]
    fn a_commit_is_one_point_of_its_newest_epoch() {
        assert!(by_commit(Vec::new()).is_empty());
        let runs = vec![
            run(1, 3, 1, 1.0),
            run(2, 4, 1, 9.0),
            run(5, 4, 2, 2.0),
            run(6, 4, 2, 2.4),
            run(7, 4, 2, 3.0),
            run(3, 5, 1, f64::NAN),
        ];
        let points = by_commit(runs);
        let told: Vec<(i32, i64, i32)> = points
            .iter()
            .map(|one| (one.position, one.run_id, one.sample_count))
            .collect();
        assert_eq!(told, [(3, 1, 5), (4, 7, 15), (5, 3, 5)]);
        let middle = &points[1];
        assert_eq!(
            (middle.median, middle.interval_low, middle.interval_high),
            (2.4, 2.3, 2.5)
        );
        assert!(points[2].median.is_nan());
    }

    #[test]
    fn ticks_stand_at_commits_not_at_runs() {
        let runs = vec![
            run(1, 3, 1, 1.0),
            run(2, 4, 1, 2.0),
            run(3, 4, 1, 2.0),
            run(4, 4, 1, 2.0),
        ];
        let chart = chart_of("nbody", "wall_time", &[], &by_commit(runs));
        let mut places: Vec<f64> = chart.ticks.iter().map(|(at, _)| *at).collect();
        places.sort_by(f64::total_cmp);
        assert_eq!(places, [0.0, 1.0]);
    }
}
