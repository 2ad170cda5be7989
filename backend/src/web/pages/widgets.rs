//! Small parts that several pages show.

use crate::chart::{self, Chart, Line, Point};
use crate::domain::hold;

/// A change as pages show it: its text, the class that colours it, and how sure it is.
#[derive(Debug, Clone)]
pub(super) struct Badge {
    /// `+1.2 %`.
    pub(super) text: String,
    /// `improved`, `regressed`, `unchanged`, `too_few`.
    pub(super) class: String,
    /// The whole in words, for the title.
    pub(super) words: String,
}

/// A verdict's name in words, and why it is held back.
pub(super) fn verdict_words(state: &str, held: Option<&str>) -> String {
    let words = match state {
        "improved" => "better, beyond the noise",
        "regressed" => "worse, beyond the noise",
        "unchanged" => "within the noise",
        "too_few" => "too few points before it to judge",
        _ => "not judged yet",
    };
    match held {
        None => words.to_owned(),
        Some(reason) => format!("{words}, but held back: {}", hold::words(reason)),
    }
}

/// The class of a verdict; others than the known ones get none. What is held back is neither better nor worse yet.
pub(super) fn verdict_class(state: &str, held: Option<&str>) -> &'static str {
    match (state, held) {
        (_, Some(_)) => "held",
        ("improved", None) => "improved",
        ("regressed", None) => "regressed",
        ("unchanged", None) => "unchanged",
        ("too_few", None) => "too_few",
        (_, None) => "",
    }
}

/// A small line without axes.
pub(super) fn spark(label: String, values: &[f64]) -> String {
    let points = values.iter().enumerate().map(|(index, value)| Point {
        x: index as f64,
        value: *value,
        low: *value,
        high: *value,
        ..Point::default()
    });
    chart::svg(&Chart {
        label,
        width: 160,
        height: 40,
        lines: vec![Line {
            colour: 0,
            stretches: vec![points.collect()],
            connected: true,
        }],
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}

/// Every sample of a measurement in the order taken, warm-ups hollow, one colour per process.
pub(super) fn strip(label: String, values: &[f64], process: &[i16], warmup: &[bool]) -> String {
    let point = |index: usize| Point {
        x: index as f64,
        value: values[index],
        low: values[index],
        high: values[index],
        class: if warmup.get(index).copied().unwrap_or(false) {
            "warmup"
        } else {
            ""
        },
        ..Point::default()
    };
    let mut numbers: Vec<i16> = process.to_vec();
    numbers.dedup();
    let lines = numbers.into_iter().map(|number| {
        let of_process = (0..values.len())
            .filter(|index| process.get(*index) == Some(&number))
            .map(point);
        let colour = usize::try_from(number).unwrap_or(0);
        Line {
            colour,
            stretches: vec![of_process.collect()],
            connected: false,
        }
    });
    chart::svg(&Chart {
        label,
        width: 260,
        height: 56,
        lines: lines.collect(),
        ticks: Vec::new(),
        format: |value| value.to_string(),
        spark: true,
    })
}
