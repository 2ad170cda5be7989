//! Numbers, times and sizes for people.

use chrono::{DateTime, Utc};
use speedwell_wire::{Metric, Unit};

/// A value of a metric with its unit, to four digits.
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => scaled(
            value,
            &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
        ),
        Unit::Bytes => scaled(
            value,
            &[
                (1_073_741_824.0, "GiB"),
                (1_048_576.0, "MiB"),
                (1024.0, "KiB"),
                (1.0, "B"),
            ],
        ),
        Unit::Count => scaled(value, &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")]),
        Unit::Joules => scaled(
            value,
            &[(1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")],
        ),
        Unit::Ratio => digits(value),
        Unit::PerSecond => format!("{}\u{a0}/s", digits(value)),
    }
}

/// A value of a metric by the metric's name; a metric that this version does not know is shown as it is.
pub fn metric_value(number: f64, metric: &str) -> String {
    match metric.parse::<Metric>() {
        Ok(metric) => value(number, metric.unit()),
        Err(_) => digits(number),
    }
}

/// How the axis of a metric writes its values.
pub fn axis(metric: &str) -> fn(f64) -> String {
    match metric.parse::<Metric>().map(Metric::unit) {
        Ok(Unit::Seconds) => |number| value(number, Unit::Seconds),
        Ok(Unit::Bytes) => |number| value(number, Unit::Bytes),
        Ok(Unit::Count) => |number| value(number, Unit::Count),
        Ok(Unit::Joules) => |number| value(number, Unit::Joules),
        Ok(Unit::PerSecond) => |number| value(number, Unit::PerSecond),
        Ok(Unit::Ratio) | Err(_) => |number| value(number, Unit::Ratio),
    }
}

/// A unit by a stable name, for exports and the API.
pub fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::Ratio => "ratio",
        Unit::PerSecond => "per_second",
        Unit::Joules => "joules",
    }
}

/// A metric's name for people.
pub fn metric_label(metric: &str) -> String {
    metric
        .parse::<Metric>()
        .map_or_else(|_| metric.to_owned(), |metric| metric.label().to_owned())
}

fn scaled(value: f64, scales: &[(f64, &str)]) -> String {
    let fits = |(scale, _): &&(f64, &str)| {
        // Nothing is shown in the plain unit.
        if value == 0.0 {
            *scale == 1.0
        } else {
            value.abs() >= *scale * 0.9995
        }
    };
    let last = scales.last().copied().unwrap_or((1.0, ""));
    let (scale, unit) = scales.iter().find(fits).copied().unwrap_or(last);
    let text = digits(value / scale);
    // A no-break space keeps number and unit together.
    if unit.is_empty() {
        text
    } else {
        format!("{text}\u{a0}{unit}")
    }
}

/// Four significant digits.
fn digits(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    let magnitude = value.abs();
    if magnitude >= 1e6 || (magnitude > 0.0 && magnitude < 1e-4) {
        format!("{value:.3e}")
    } else if magnitude >= 999.95 {
        format!("{value:.0}")
    } else if magnitude >= 99.995 {
        format!("{value:.1}")
    } else if magnitude >= 9.9995 {
        format!("{value:.2}")
    } else if magnitude == 0.0 {
        "0".to_owned()
    } else if magnitude >= 0.99995 {
        format!("{value:.3}")
    } else if magnitude >= 0.099_995 {
        format!("{value:.4}")
    } else {
        format!("{value:.5}")
    }
}

/// A ratio minus one as a signed percentage.
pub fn percent(change: f64) -> String {
    let percent = change * 100.0;
    let text = if percent.abs() >= 99.95 {
        format!("{:.0}", percent.abs())
    } else {
        format!("{:.1}", percent.abs())
    };
    let sign = if text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
        "±"
    } else if percent > 0.0 {
        "+"
    } else {
        "−"
    };
    format!("{sign}{text}\u{a0}%")
}

/// A moment, UTC.
pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// A day.
pub fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// How long something took, or how long ago it was.
pub fn duration(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..=119 => format!("{seconds}\u{a0}s"),
        seconds @ 120..=7199 => format!("{}\u{a0}min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{}\u{a0}h", seconds / 3600),
        seconds => format!("{}\u{a0}days", seconds / 86_400),
    }
}

/// How long ago a moment was.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", duration((now - at).num_seconds()))
}

/// The first ten digits of a hash.
pub fn short(hash: &str) -> String {
    hash.chars().take(10).collect()
}

/// Text as a part of a URL's path or query.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_scaled_to_four_digits() {
        let seconds = |number| value(number, Unit::Seconds).replace('\u{a0}', " ");
        assert_eq!(seconds(0.123456), "123.5 ms");
        assert_eq!(seconds(1.5), "1.500 s");
        assert_eq!(seconds(0.999_96), "1.000 s");
        assert_eq!(seconds(4.2e-8), "42.00 ns");
        assert_eq!(seconds(0.0), "0 s");
        assert_eq!(
            value(12_345_678.0, Unit::Bytes).replace('\u{a0}', " "),
            "11.77 MiB"
        );
        assert_eq!(
            value(1_234_567.0, Unit::Count).replace('\u{a0}', " "),
            "1.235 M"
        );
        assert_eq!(value(3.0, Unit::Count), "3.000");
        assert_eq!(value(0.0, Unit::Count), "0");
        assert_eq!(value(0.0625, Unit::Count), "0.06250");
        assert_eq!(value(f64::NAN, Unit::Ratio), "not a number");
    }

    #[test]
    fn percentages_have_a_sign_unless_they_are_nothing() {
        let text = |change| percent(change).replace('\u{a0}', " ");
        assert_eq!(text(0.0123), "+1.2 %");
        assert_eq!(text(-0.5), "−50.0 %");
        assert_eq!(text(0.0001), "±0.0 %");
        assert_eq!(text(1.11), "+111 %");
    }

    #[test]
    fn times_and_links() {
        assert_eq!(duration(-5).replace('\u{a0}', " "), "0 s");
        assert_eq!(duration(7200).replace('\u{a0}', " "), "2 h");
        assert_eq!(encode("a/b c&d"), "a%2Fb%20c%26d");
        assert_eq!(short("0123456789abcdef"), "0123456789");
    }
}
