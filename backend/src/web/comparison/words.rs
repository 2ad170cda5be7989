//! Ratios and verdicts in words and digits.

use speedwell_wire::{CounterSource, Direction, Metric, Unit};

use crate::domain::compare::Ratio;
use crate::domain::comparison::{Compared, Verdict};

/// A ratio with as many digits as its interval allows: half the interval is shown to about two.
pub(in crate::web) fn ratio_text(ratio: &Ratio) -> String {
    number(ratio.ratio, ratio)
}

/// The interval of a ratio, with the same digits.
pub(in crate::web) fn interval(ratio: &Ratio) -> String {
    format!(
        "{} – {}",
        number(ratio.low, ratio),
        number(ratio.high, ratio)
    )
}

fn number(value: f64, ratio: &Ratio) -> String {
    if !value.is_finite() || value.abs() >= 1e6 {
        return "beyond a million".to_owned();
    }
    let half = (ratio.high - ratio.low) / 2.0;
    let wanted = 1.0 - half.log10().floor();
    // At least three digits of the value itself, at most four places.
    let of_value = 2.0 - value.abs().log10().floor();
    let places = if half > 0.0 && wanted.is_finite() {
        wanted.min(of_value.max(0.0) + 1.0)
    } else {
        of_value
    };
    let places = if places.is_finite() {
        places.clamp(0.0, 4.0)
    } else {
        2.0
    };
    // Between 0 and 4, and whole.
    let places = [0_usize, 1, 2, 3, 4]
        .into_iter()
        .rfind(|one| *one as f64 <= places)
        .unwrap_or(2);
    format!("{value:.places$}")
}

/// A verdict in words. A speed whose ratio is below 1 gets the factor that the ratio hides: 0.52 is `1.92× faster`.
pub(in crate::web) fn verdict_words(one: &Compared, metric: Metric) -> String {
    let words = one.verdict.words(metric);
    let is_speed = matches!(metric.unit(), Unit::Seconds | Unit::PerSecond);
    match one.verdict {
        Verdict::Better | Verdict::Worse if is_speed && one.ratio.ratio < 1.0 => {
            let factor = Ratio {
                ratio: 1.0 / one.ratio.ratio,
                low: 1.0 / one.ratio.high,
                high: 1.0 / one.ratio.low,
                count: one.ratio.count,
            };
            format!("{}× {words}", ratio_text(&factor))
        }
        Verdict::Better | Verdict::Worse | Verdict::Within | Verdict::TooFew => words.to_owned(),
    }
}

/// The class of `style.css` that colours a verdict.
pub(in crate::web) fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "improved",
        Verdict::Worse => "regressed",
        Verdict::Within => "unchanged",
        Verdict::TooFew => "too_few",
    }
}

/// A metric with its source and its better direction: `Instructions (valgrind), less is better`.
pub(in crate::web) fn source_words(metric: Metric, source: Option<CounterSource>) -> String {
    let better = match metric.direction() {
        Direction::LowerIsBetter => "less is better",
        Direction::HigherIsBetter => "more is better",
    };
    match source {
        Some(CounterSource::Software) | None => format!("{}, {better}", metric.label()),
        Some(source) => format!("{} ({source}), {better}", metric.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(ratio: f64, half: f64) -> Ratio {
        Ratio {
            ratio,
            low: ratio - half,
            high: ratio + half,
            count: 1,
        }
    }

    #[test]
    fn digits_fit_the_interval() {
        assert_eq!(ratio_text(&ratio(0.968_34, 0.0013)), "0.9683");
        assert_eq!(ratio_text(&ratio(0.968_34, 0.02)), "0.968");
        assert_eq!(ratio_text(&ratio(20.3, 0.5)), "20.30");
        assert_eq!(ratio_text(&ratio(20.3, 5.0)), "20.3");
        assert_eq!(ratio_text(&ratio(1.0, 0.0)), "1.00");
        assert_eq!(interval(&ratio(1.1, 0.02)), "1.080 – 1.120");
        for odd in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(ratio_text(&ratio(odd, 1.0)), "beyond a million");
        }
        assert_eq!(ratio_text(&ratio(0.0, 0.0)), "0.00");
        assert_eq!(ratio_text(&ratio(1.0, f64::INFINITY)), "1.00");
    }
}
