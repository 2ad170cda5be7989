//! The cells of the matrix: few bytes each, for there are a thousand of them.

use std::fmt::Write as _;

use speedwell_wire::{Direction, Metric};

use super::Column;
use crate::chart::escape;
use crate::domain::comparison::{Compared, Comparison, Other, Reason, Row, Verdict};
use crate::web::comparison::{interval, ratio_text, verdict_words};
use crate::web::format;

/// The mean of a column.
pub(super) struct MeanCell {
    pub(super) text: String,
    pub(super) title: String,
    pub(super) class: &'static str,
    pub(super) count: usize,
}

pub(super) fn base_cell(text: &mut String, row: &Row, metric: Metric) {
    let cell = match &row.base {
        Ok(side) => format::value(side.estimate.median, metric.unit()),
        Err(reason) => reason.words(),
    };
    push(
        text,
        format_args!("<td class=\"m base\">{}</td>", escape(&cell)),
    );
}

/// A cell of few bytes: there are a thousand of them.
pub(super) fn ratio_cell(
    text: &mut String,
    found: &Result<Compared, Other>,
    link: &str,
    metric: Metric,
) {
    match found {
        Ok(one) => {
            let (class, number) = (
                step(one.verdict, one.ratio.ratio, metric),
                short_number(one.ratio.ratio),
            );
            let shown = match one.verdict {
                Verdict::Better | Verdict::Worse => number,
                Verdict::Within => format!("= {number}"),
                Verdict::TooFew => format!("{number}?"),
            };
            let sure = match one.verdict {
                Verdict::TooFew => String::new(),
                Verdict::Better | Verdict::Worse | Verdict::Within => {
                    format!("{}; ", interval(&one.ratio))
                }
            };
            let words = verdict_words(one, metric);
            push(
                text,
                format_args!(
                    "<td class=\"m {class}\"><a href=\"{}\" title=\"{sure}{words}\">{shown}</a></td>",
                    escape(link)
                ),
            );
        }
        Err(other) => {
            let short = match &other.reason {
                Reason::NotRun => "not run",
                Reason::Unavailable(_) => "unavailable",
                Reason::OtherVersion(_) => "other version",
                Reason::OtherSource(_) => "other source",
                Reason::NoBase => "no base",
                Reason::Zero => "zero",
            };
            let why: String = other.reason.words().chars().take(200).collect();
            push(
                text,
                format_args!("<td class=\"m x\" title=\"{}\">{short}</td>", escape(&why)),
            );
        }
    }
}

/// The class of a step of the scale: how many times better (`b1` to `b3`) or worse (`w1` to `w3`), beyond the noise.
fn step(verdict: Verdict, ratio: f64, metric: Metric) -> &'static str {
    let times = match metric.direction() {
        Direction::HigherIsBetter => ratio,
        Direction::LowerIsBetter => 1.0 / ratio,
    };
    match verdict {
        Verdict::Better if times >= 2.0 => "b3",
        Verdict::Better if times >= 1.2 => "b2",
        Verdict::Better => "b1",
        Verdict::Worse if times <= 1.0 / 2.0 => "w3",
        Verdict::Worse if times <= 1.0 / 1.2 => "w2",
        Verdict::Worse => "w1",
        Verdict::Within | Verdict::TooFew => "n",
    }
}

/// Three digits at most: the interval is a hover or a click away, and its width is seldom smaller.
fn short_number(ratio: f64) -> String {
    if !ratio.is_finite() || ratio >= 10_000.0 {
        return "> 9999".to_owned();
    }
    if ratio >= 99.95 {
        format!("{ratio:.0}")
    } else if ratio >= 9.995 {
        format!("{ratio:.1}")
    } else if ratio >= 0.0995 {
        format!("{ratio:.2}")
    } else {
        format!("{ratio:.3}")
    }
}

/// The mean of a column over what it shares with the base.
pub(super) fn mean(column: &Column, comparison: &Comparison) -> MeanCell {
    let Some(other) = column.index.checked_sub(1) else {
        return MeanCell {
            text: "base".to_owned(),
            title: String::new(),
            class: "base",
            count: comparison
                .rows
                .iter()
                .filter(|row| row.base.is_ok())
                .count(),
        };
    };
    match comparison.mean(other, &[other]) {
        Some(mean) => MeanCell {
            text: format!("{}×", ratio_text(&mean.ratio)),
            title: format!(
                "{}; {}",
                interval(&mean.ratio),
                mean.verdict.words(comparison.metric)
            ),
            class: step(mean.verdict, mean.ratio.ratio, comparison.metric),
            count: mean.ratio.count,
        },
        None => MeanCell {
            text: "none".to_owned(),
            title: "no benchmark has a ratio with an interval".to_owned(),
            class: "x",
            count: 0,
        },
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    if text.write_fmt(arguments).is_err() {
        tracing::error!("a cell could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (ratio, text) in [
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1e9, "> 9999"),
        ] {
            assert_eq!(short_number(ratio), text);
        }
        assert_eq!(short_number(f64::NAN), "> 9999");
    }
}
