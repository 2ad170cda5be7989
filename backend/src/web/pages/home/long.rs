//! The long view: the geometric mean of each runtime against the release before, over the years.

use chrono::{DateTime, Datelike as _, Months, NaiveDate, Utc};

use crate::chart::Point;
use crate::chart::labelled::{self, Labelled, Named};
use crate::db::home::PointRow;
use crate::db::overview::RuntimeOverview;
use crate::domain::index::ratio_of;
use crate::web::format;

pub(super) struct LongView {
    pub(super) svg: String,
    pub(super) rows: Vec<LongRow>,
}

/// The last point of a stretch that is compared with one release.
pub(super) struct LongRow {
    pub(super) runtime: String,
    pub(super) hash: String,
    pub(super) short: String,
    pub(super) tag: String,
    pub(super) day: String,
    pub(super) against: String,
    pub(super) mean: String,
    pub(super) interval: String,
    pub(super) count: i32,
}

/// The chart and its table; absent when no runtime has two runs to compare.
pub(super) fn view(runtimes: &[RuntimeOverview], points: &[PointRow]) -> Option<LongView> {
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for (index, runtime) in runtimes.iter().enumerate() {
        let own: Vec<&PointRow> = points
            .iter()
            .filter(|one| one.long && one.runtime_id == runtime.id && one.mean.is_some())
            .collect();
        let stretches: Vec<&[&PointRow]> = own
            .chunk_by(|a, b| a.reference_run_id == b.reference_run_id)
            .collect();
        rows.extend(
            stretches
                .iter()
                .rev()
                .filter_map(|one| row(&runtime.name, one.last()?)),
        );
        let drawn = stretches.iter().map(|one| {
            one.iter()
                .filter_map(|point| mark(&runtime.name, point))
                .collect()
        });
        let mut drawn: Vec<Vec<Point>> = drawn.collect();
        if own.len() > MANY {
            drawn.iter_mut().for_each(|stretch| unmark(stretch));
        }
        if !own.is_empty() {
            lines.push(Named {
                name: runtime.name.clone(),
                colour: index,
                stretches: drawn,
            });
        }
    }
    let all = lines
        .iter()
        .flat_map(|line| line.stretches.iter().flatten());
    let (first, last) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.x), high.max(point.x))
    });
    if lines.is_empty() {
        return None;
    }
    let svg = labelled::svg(&Labelled {
        label: "Geometric mean of the times of each runtime against the release before, by day of the commit".to_owned(),
        height: 300,
        lines,
        ticks: ticks(first, last),
        format: format::percent,
        base: Some((0.0, "as fast as the release before".to_owned())),
    });
    Some(LongView { svg, rows })
}

/// Of a line with more points than this only releases and the ends of stretches are marked.
const MANY: usize = 24;

/// Takes the marks of all points but releases and the last.
fn unmark(stretch: &mut [Point]) {
    let Some((_, others)) = stretch.split_last_mut() else {
        return;
    };
    for point in others.iter_mut().filter(|point| point.link.is_empty()) {
        point.class = labelled::UNMARKED;
    }
}

fn against(point: &PointRow) -> String {
    point
        .reference_tag
        .clone()
        .unwrap_or_else(|| "the oldest measured commit".to_owned())
}

fn words(point: &PointRow) -> Option<(String, String)> {
    let count = usize::try_from(point.common).unwrap_or(0);
    let ratio = ratio_of(point.mean?, point.deviation?, count);
    let interval = format!(
        "{} to {}",
        format::percent(ratio.low - 1.0),
        format::percent(ratio.high - 1.0)
    );
    Some((format::percent(ratio.ratio - 1.0), interval))
}

fn mark(runtime: &str, point: &PointRow) -> Option<Point> {
    let (mean, interval) = words(point)?;
    let (value, deviation) = (point.mean?, point.deviation?);
    let name = point
        .tag
        .clone()
        .unwrap_or_else(|| format::short(point.hash.as_deref().unwrap_or_default()));
    Some(Point {
        x: days(point.committed_at),
        value: value.exp_m1(),
        low: (value - 1.96 * deviation).exp_m1(),
        high: (value + 1.96 * deviation).exp_m1(),
        title: format!(
            "{runtime} {name}, {}: {mean} ({interval}) against {}",
            format::day(point.committed_at),
            against(point)
        ),
        // Every point would be a stop for the keyboard: releases are.
        link: point
            .tag
            .as_ref()
            .map_or_else(String::new, |_| format!("/runs/{}", point.run_id)),
        class: "",
    })
}

fn row(runtime: &str, point: &PointRow) -> Option<LongRow> {
    let (mean, interval) = words(point)?;
    Some(LongRow {
        runtime: runtime.to_owned(),
        hash: point.hash.clone().unwrap_or_default(),
        short: format::short(point.hash.as_deref().unwrap_or_default()),
        tag: point.tag.clone().unwrap_or_default(),
        day: format::day(point.committed_at),
        against: against(point),
        mean,
        interval,
        count: point.common,
    })
}

fn days(at: DateTime<Utc>) -> f64 {
    at.timestamp() as f64 / 86_400.0
}

/// Beginnings of years, or of months where there are few.
fn ticks(first: f64, last: f64) -> Vec<(f64, String)> {
    let date =
        |days: f64| DateTime::from_timestamp((days * 86_400.0) as i64, 0).map(|at| at.date_naive());
    let (Some(begin), Some(end)) = (date(first), date(last)) else {
        return Vec::new();
    };
    let months = (end.year() - begin.year()) * 12 + i32::try_from(end.month()).unwrap_or(0)
        - i32::try_from(begin.month()).unwrap_or(0);
    let step: u32 = match months {
        ..=0 => return vec![(first, begin.to_string()), (last, end.to_string())],
        1..=10 => 1,
        11..=30 => 3,
        31..=120 => 12,
        _ => 60,
    };
    let month = if step >= 12 { 1 } else { begin.month() };
    let mut at = NaiveDate::from_ymd_opt(begin.year(), month, 1);
    let mut ticks = Vec::new();
    while let Some(day) = at.filter(|day| *day <= end && ticks.len() < 24) {
        let x = day
            .and_hms_opt(0, 0, 0)
            .map_or(f64::NAN, |at| days(at.and_utc()));
        let text = if step >= 12 {
            day.year().to_string()
        } else {
            day.format("%Y-%m").to_string()
        };
        if x >= first {
            ticks.push((x, text));
        }
        at = day.checked_add_months(Months::new(step));
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_fit_the_stretch() {
        let day = |year, month, day| {
            let date = NaiveDate::from_ymd_opt(year, month, day).unwrap();
            days(date.and_hms_opt(0, 0, 0).unwrap().and_utc())
        };
        let texts = |a, b| {
            ticks(a, b)
                .into_iter()
                .map(|(_, text)| text)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            texts(day(2015, 5, 3), day(2015, 5, 20)),
            ["2015-05-03", "2015-05-20"]
        );
        assert_eq!(
            texts(day(2015, 5, 3), day(2015, 7, 20)),
            ["2015-06", "2015-07"]
        );
        assert_eq!(
            texts(day(2015, 5, 3), day(2019, 7, 20)),
            ["2016", "2017", "2018", "2019"]
        );
        assert!(ticks(f64::INFINITY, f64::NEG_INFINITY).len() <= 24);
        assert!(ticks(0.0, 1e7).len() <= 24);
    }
}
