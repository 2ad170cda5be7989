//! The small charts of the grid, each with its values in words.

use speedwell_wire::{Direction, Metric};

use crate::chart::{self, Chart, Point};
use crate::db::timeline::TimelineSeries;
use crate::domain::drift::{Drift, drift};
use crate::domain::trace::TracePoint;
use crate::traces::Trace;
use crate::web::format;
use crate::web::timeline::asked::Asked;
use crate::web::timeline::choose::version_of;
use crate::web::timeline::read::{Axis, Line};

/// Pixel columns of a small chart, each a few pixels wide.
const COLUMNS: usize = 50;

/// One small chart.
pub(super) struct Cell {
    pub(super) benchmark: String,
    pub(super) link: String,
    pub(super) svg: String,
    pub(super) values: Vec<Value>,
    /// How much worse the worst line has become, for the order.
    pub(super) worse: f64,
}

/// A line of a small chart in words.
pub(super) struct Value {
    pub(super) colour: usize,
    pub(super) runtime: String,
    pub(super) value: String,
    pub(super) class: &'static str,
    pub(super) change: String,
    pub(super) words: String,
}

/// One for each benchmark that has points; series come by benchmark.
pub(super) fn cells(
    series: &[TimelineSeries],
    mut traces: Vec<Trace>,
    floors: &[(i64, f64)],
    runtimes: &[String],
    metric: Metric,
) -> Vec<Cell> {
    let mut cells = Vec::new();
    for same in series.chunk_by(|a, b| a.benchmark == b.benchmark) {
        // Values from different sources are never laid over each other: the first source is shown.
        let source = same
            .first()
            .map(|one| one.counter_source.clone())
            .unwrap_or_default();
        let mut lines: Vec<Line> = Vec::new();
        for one in same.iter().filter(|one| one.counter_source == source) {
            let place = traces.iter().position(|trace| trace.series_id == one.id);
            let Some(trace) = place.map(|index| traces.swap_remove(index)) else {
                continue;
            };
            lines.push(Line {
                label: one.runtime.clone(),
                colour: runtimes
                    .iter()
                    .position(|name| *name == one.runtime)
                    .unwrap_or(0),
                series: one.clone(),
                points: trace.points,
                base: 1.0,
            });
        }
        lines.sort_by_key(|line| line.colour);
        if !lines.is_empty() {
            cells.push(cell(&lines, floors, metric));
        }
    }
    cells
}

fn cell(lines: &[Line], floors: &[(i64, f64)], metric: Metric) -> Cell {
    let first = lines.first().map(|line| &line.series);
    let benchmark = first.map(|one| one.benchmark.clone()).unwrap_or_default();
    let mut asked = Asked {
        benchmarks: vec![benchmark.clone()],
        metrics: vec![metric],
        runtimes: lines
            .iter()
            .map(|line| line.series.runtime.clone())
            .collect(),
        ..Asked::default()
    };
    if let Some(one) = first {
        asked.hosts = vec![one.host.clone()];
        asked.version = version_of(&one.identity);
    }
    let mut worse = f64::NEG_INFINITY;
    let mut values = Vec::new();
    for line in lines {
        let found = drift(&line.points);
        if let Some(found) = &found {
            let logarithm = found.ratio.ratio.ln();
            worse = worse.max(match metric.direction() {
                Direction::HigherIsBetter => -logarithm,
                Direction::LowerIsBetter => logarithm,
            });
        }
        let floor = floors.iter().find(|(id, _)| *id == line.series.id);
        values.push(value(line, found, floor.map(|(_, floor)| *floor), metric));
    }
    Cell {
        link: asked.address(),
        svg: small(&benchmark, lines, metric),
        benchmark,
        values,
        worse,
    }
}

fn value(line: &Line, found: Option<Drift>, floor: Option<f64>, metric: Metric) -> Value {
    let last = line
        .points
        .last()
        .map(|point| format::value(point.median, metric.unit()));
    let (class, change, words) = match found {
        None => (
            "too_few",
            "–".to_owned(),
            "one point: nothing to compare".to_owned(),
        ),
        Some(found) => {
            let ratio = found.ratio;
            let beyond = floor.is_none_or(|floor| (ratio.ratio - 1.0).abs() > floor);
            let rose = ratio.ratio > 1.0;
            let better = rose == (metric.direction() == Direction::HigherIsBetter);
            let small = |floor: f64| {
                format!(
                    "within the noise: less than {:.1}\u{a0}% between two runs says nothing",
                    floor * 100.0
                )
            };
            let (class, verdict) = match (ratio.is_significant(), beyond, better) {
                (false, _, _) => ("unchanged", "within the noise".to_owned()),
                (true, false, _) => ("unchanged", small(floor.unwrap_or_default())),
                (true, true, true) => ("improved", "better".to_owned()),
                (true, true, false) => ("regressed", "worse".to_owned()),
            };
            let interval = format!(
                "{} to {}",
                format::percent(ratio.low - 1.0),
                format::percent(ratio.high - 1.0)
            );
            let words = format!("{interval}, {verdict}");
            (class, format::percent(ratio.ratio - 1.0), words)
        }
    };
    Value {
        colour: line.colour,
        runtime: line.series.runtime.clone(),
        value: last.unwrap_or_default(),
        class,
        change,
        words,
    }
}

/// The chart: measured commits at equal distances, by date when branches differ.
fn small(benchmark: &str, lines: &[Line], metric: Metric) -> String {
    let branch = lines.first().map(|line| line.series.branch_id);
    let by_date = lines
        .iter()
        .any(|line| Some(line.series.branch_id) != branch);
    let mut lines: Vec<Line> = lines.to_vec();
    let mut places: Vec<i32> = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.position))
        .collect();
    places.sort_unstable();
    places.dedup();
    let rank = |position: i32| {
        let index = places.binary_search(&position).unwrap_or(0);
        i32::try_from(index).unwrap_or(i32::MAX)
    };
    for point in lines.iter_mut().flat_map(|line| &mut line.points) {
        point.position = rank(point.position);
    }
    let mut axis = Axis {
        by_date,
        range: (0.0, 1.0),
    };
    let all = || lines.iter().flat_map(|line| &line.points);
    let place = |found: (f64, f64), point: &TracePoint| {
        let place = axis.place(point);
        (found.0.min(place), found.1.max(place))
    };
    axis.range = all().fold((f64::INFINITY, f64::NEG_INFINITY), place);
    let point = |point: &TracePoint| Point {
        x: axis.place(point),
        value: point.median,
        low: point.low,
        high: point.high,
        ..Point::default()
    };
    let drawn = lines.iter().map(|line| {
        let stretches = line.stretches(&axis, COLUMNS);
        chart::Line {
            colour: line.colour,
            stretches: stretches
                .into_iter()
                .map(|stretch| stretch.into_iter().map(point).collect())
                .collect(),
            connected: true,
        }
    });
    chart::svg(&Chart {
        label: format!("{} of {benchmark} over commits", metric.label()),
        width: 260,
        height: 84,
        lines: drawn.collect(),
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}
