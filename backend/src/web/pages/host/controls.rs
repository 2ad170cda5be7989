//! Control charts: a frozen interpreter over time, against its first run on the host.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use speedwell_wire::{Direction, Metric};

use crate::chart::{self, Chart, Line, Point};
use crate::db::controls::ControlValue;
use crate::domain::compare::{Estimate, Ratio, geometric_mean};
use crate::web::format;

/// One version of one control.
pub(super) struct ControlChart {
    pub(super) runtime: String,
    pub(super) hash: String,
    pub(super) short: String,
    pub(super) svg: String,
    pub(super) runs: usize,
    /// The newest run against the first.
    pub(super) newest: String,
}

/// One run against the first.
struct Dot {
    run_id: i64,
    at: DateTime<Utc>,
    epoch: (i64, i64),
    ratio: Ratio,
}

/// A chart for each control and version; `values` are in that order, oldest run first.
pub(super) fn charts(values: &[ControlValue]) -> Vec<ControlChart> {
    let controls = values.chunk_by(|a, b| a.runtime_id == b.runtime_id && a.hash == b.hash);
    controls.filter_map(of_control).collect()
}

fn of_control(values: &[ControlValue]) -> Option<ControlChart> {
    let mut runs = values.chunk_by(|a, b| a.run_id == b.run_id).peekable();
    let first: HashMap<i64, Estimate> = runs
        .peek()?
        .iter()
        .map(|one| (one.benchmark_id, time_of(one)))
        .collect();
    let dots: Vec<Dot> = runs.filter_map(|run| dot(run, &first)).collect();
    let one = values.first()?;
    Some(ControlChart {
        runtime: one.runtime.clone(),
        short: format::short(&one.hash),
        hash: one.hash.clone(),
        svg: draw(&one.runtime, &dots),
        runs: dots.len(),
        newest: format::percent(dots.last()?.ratio.ratio - 1.0),
    })
}

/// What is there for throughput is turned over, so that more is slower everywhere.
fn time_of(one: &ControlValue) -> Estimate {
    let more_is_better = one.metric.parse::<Metric>().map(Metric::direction);
    if more_is_better == Ok(Direction::HigherIsBetter) {
        return Estimate {
            median: 1.0 / one.median,
            low: 1.0 / one.high,
            high: 1.0 / one.low,
        };
    }
    Estimate {
        median: one.median,
        low: one.low,
        high: one.high,
    }
}

fn dot(run: &[ControlValue], first: &HashMap<i64, Estimate>) -> Option<Dot> {
    let pairs: Vec<(Estimate, Estimate)> = run
        .iter()
        .filter_map(|one| Some((time_of(one), *first.get(&one.benchmark_id)?)))
        .collect();
    let one = run.first()?;
    Some(Dot {
        run_id: one.run_id,
        at: one.measured_at,
        epoch: (one.environment_id, one.host_epoch),
        ratio: geometric_mean(&pairs)?,
    })
}

/// Seconds since the first run: the axis gets air by its values' size, so that it must begin near zero.
fn place(dots: &[Dot], dot: &Dot) -> f64 {
    let first = dots.first().map_or(dot.at, |first| first.at);
    (dot.at - first).num_seconds() as f64
}

fn draw(runtime: &str, dots: &[Dot]) -> String {
    let point = |dot: &Dot| Point {
        x: place(dots, dot),
        value: dot.ratio.ratio,
        low: dot.ratio.low,
        high: dot.ratio.high,
        title: format!(
            "Run {}, {}\n{:.4} times the first, 95 % interval {:.4} to {:.4}, {} benchmarks",
            dot.run_id,
            format::moment(dot.at),
            dot.ratio.ratio,
            dot.ratio.low,
            dot.ratio.high,
            dot.ratio.count
        ),
        link: format!("/runs/{}", dot.run_id),
        class: "",
    };
    let stretches = dots.chunk_by(|a, b| a.epoch == b.epoch);
    chart::svg(&Chart {
        label: format!("Time of the control {runtime} against its first run, over time"),
        width: 960,
        height: 260,
        lines: vec![Line {
            colour: 0,
            stretches: stretches
                .map(|dots| dots.iter().map(point).collect())
                .collect(),
            connected: true,
        }],
        ticks: ticks(dots),
        format: |value| format!("{value:.3}×"),
        spark: false,
    })
}

/// Moments under the axis, none over another: at most six, at runs.
fn ticks(dots: &[Dot]) -> Vec<(f64, String)> {
    let (Some(first), Some(last)) = (dots.first(), dots.last()) else {
        return Vec::new();
    };
    let span = (last.at - first.at).num_seconds();
    let within_days = span < 3 * 86_400;
    let mut ticks: Vec<(f64, String)> = Vec::new();
    for dot in dots {
        let x = place(dots, dot);
        let near = |(before, _): &(f64, String)| x - before < span as f64 / 6.0;
        if ticks.last().is_some_and(near) {
            continue;
        }
        let text = if within_days {
            dot.at.format("%m-%d %H:%M").to_string()
        } else {
            format::day(dot.at)
        };
        ticks.push((x, text));
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(run_id: i64, benchmark_id: i64, metric: &str, median: f64) -> ControlValue {
        ControlValue {
            runtime_id: 1,
            runtime: "<b>frozen</b>".to_owned(),
            hash: "a".repeat(40),
            run_id,
            measured_at: DateTime::from_timestamp(run_id * 86_400, 0).unwrap(),
            environment_id: 1,
            host_epoch: i64::from(run_id > 2),
            benchmark_id,
            metric: metric.to_owned(),
            median,
            low: median * 0.99,
            high: median * 1.01,
        }
    }

    #[test]
    fn each_run_is_compared_with_the_first() {
        let mut values = Vec::new();
        for run in 1..=3 {
            let slower = if run == 3 { 1.1 } else { 1.0 };
            values.push(value(run, 1, "wall_time", slower));
            // Throughput falls as times grow.
            values.push(value(run, 2, "requests_per_second", 100.0 / slower));
        }
        let found = charts(&values);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].runs, 3);
        assert!(found[0].newest.starts_with("+10.0"), "{}", found[0].newest);
        let svg = &found[0].svg;
        assert_eq!(svg.matches("<a href=\"/runs/").count(), 3);
        assert_eq!(svg.matches("class=\"break\"").count(), 1);
        let places: std::collections::BTreeSet<&str> = svg
            .split("<circle cx=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(places.len(), 3, "one beside the other: {places:?}");
        assert!(!svg.contains("<b>"));
    }

    #[test]
    fn nothing_and_rubbish_have_no_chart() {
        assert!(charts(&[]).is_empty());
        for rubbish in [f64::NAN, 0.0, -1.0] {
            assert!(charts(&[value(1, 1, "wall_time", rubbish)]).is_empty());
        }
        assert_eq!(charts(&[value(1, 1, "wall_time", 2.0)]).len(), 1);
    }
}
