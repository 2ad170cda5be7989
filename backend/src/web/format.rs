//! Numbers, times and sizes for people.

use chrono::{DateTime, Utc};
use speedwell_wire::{Metric, Unit};

use crate::domain::digits;

/// What a unit is shown in, the largest first.
fn scales(unit: Unit) -> &'static [(f64, &'static str)] {
    match unit {
        Unit::Seconds => &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
        Unit::Bytes => &[
            (1_073_741_824.0, "GiB"),
            (1_048_576.0, "MiB"),
            (1024.0, "KiB"),
            (1.0, "B"),
        ],
        Unit::Count => &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
        Unit::Joules => &[(1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")],
        Unit::Ratio => &[(1.0, "")],
        Unit::PerSecond => &[(1.0, "/s")],
    }
}

/// A value of a metric with its unit, to four digits.
pub fn value(value: f64, unit: Unit) -> String {
    let (scale, name) = scale_of(value, unit);
    with_unit(&digits(value / scale), name)
}

/// A value with its interval, in one unit and to the digits that the interval leaves: two of its width, but no fewer than three of the
/// value and no more than nine. An interval without width says nothing of digits: four then.
pub struct Rounded {
    /// The value with its unit.
    pub value: String,
    /// Lower end of the interval with its unit.
    pub low: String,
    /// Its upper end.
    pub high: String,
}

impl Rounded {
    /// `median` with the interval from `low` to `high`, in `unit`.
    pub fn new((median, low, high): (f64, f64, f64), unit: Unit) -> Self {
        let (scale, name) = scale_of(median, unit);
        let decimals = decimals(median / scale, (high - low) / scale);
        let text = |number: f64| match decimals {
            Some(decimals) => with_unit(&format!("{:.decimals$}", number / scale), name),
            None => value(number, unit),
        };
        Self {
            value: text(median),
            low: text(low),
            high: text(high),
        }
    }

    /// The same by a metric's name; a metric that this version does not know has no unit.
    pub fn of(values: (f64, f64, f64), metric: &str) -> Self {
        Self::new(
            values,
            metric.parse::<Metric>().map_or(Unit::Ratio, Metric::unit),
        )
    }

    /// The interval.
    pub fn interval(&self) -> String {
        format!("{} – {}", self.low, self.high)
    }
}

/// How many decimals show two digits of a width. `None`: four digits of the value, whatever they are.
fn decimals(value: f64, width: f64) -> Option<usize> {
    let magnitude = value.abs();
    if !(width > 0.0 && width.is_finite() && (1e-4..1e6).contains(&magnitude)) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the logarithm of a positive number is within 324"
    )]
    let exponent = |number: f64| number.log10().floor() as i32;
    let leading = exponent(magnitude);
    let wanted = (1 - exponent(width)).clamp(2 - leading, 8 - leading);
    usize::try_from(wanted.max(0)).ok()
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

/// The scale that a value is shown in, and its name.
fn scale_of(value: f64, unit: Unit) -> (f64, &'static str) {
    let scales = scales(unit);
    let fits = |(scale, _): &&(f64, &str)| {
        // Nothing is shown in the plain unit.
        if value == 0.0 {
            *scale == 1.0
        } else {
            value.abs() >= *scale * 0.9995
        }
    };
    let last = scales.last().copied().unwrap_or((1.0, ""));
    scales.iter().find(fits).copied().unwrap_or(last)
}

/// A no-break space keeps number and unit together.
fn with_unit(number: &str, unit: &str) -> String {
    if unit.is_empty() {
        number.to_owned()
    } else {
        format!("{number}\u{a0}{unit}")
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
    percent_to(change, 1)
}

/// A change and its interval (ratios minus one) as signed percentages, with the digits that the interval allows.
pub fn change(change: f64, low: f64, high: f64) -> (String, String) {
    let decimals = digits::decimals(low, high);
    let (low, high) = (percent_to(low, decimals), percent_to(high, decimals));
    (percent_to(change, decimals), format!("{low} to {high}"))
}

fn percent_to(change: f64, decimals: usize) -> String {
    let percent = change * 100.0;
    let text = if percent.abs() >= 99.95 {
        format!("{:.0}", percent.abs())
    } else {
        format!("{:.decimals$}", percent.abs())
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
    fn an_interval_decides_the_digits() {
        let text = |values, unit| {
            let one = Rounded::new(values, unit);
            format!("{}: {}", one.value, one.interval()).replace('\u{a0}', " ")
        };
        // Narrow: as many digits as tell the ends apart.
        assert_eq!(
            text((0.100_01, 0.1, 0.100_02), Unit::Seconds),
            "100.010 ms: 100.000 ms – 100.020 ms"
        );
        assert_eq!(
            text(
                (1_234_567_890.0, 1_234_567_880.0, 1_234_567_900.0),
                Unit::Count
            ),
            "1.23456789 G: 1.23456788 G – 1.23456790 G"
        );
        // Wide: no digit that means nothing, but three; both ends in the unit of the value.
        assert_eq!(
            text((1.2345, 0.9, 1.6), Unit::Seconds),
            "1.23 s: 0.90 s – 1.60 s"
        );
        assert_eq!(
            text((123.4, 90.0, 160.0), Unit::PerSecond),
            "123 /s: 90 /s – 160 /s"
        );
        // Nothing to go by.
        assert_eq!(
            text((0.1, 0.1, 0.1), Unit::Seconds),
            "100.0 ms: 100.0 ms – 100.0 ms"
        );
        assert_eq!(text((0.0, 0.0, 1.0), Unit::Count), "0: 0 – 1.000");
        assert_eq!(
            text((f64::NAN, 0.0, f64::INFINITY), Unit::Ratio),
            "not a number: 0 – not a number"
        );
        assert_eq!(
            text((1e300, 1e299, 1.1e300), Unit::Ratio),
            "1.000e300: 1.000e299 – 1.100e300"
        );
        assert_eq!(Rounded::of((2.0, 1.99, 2.01), "unheard_of").value, "2.000");
    }

    #[test]
    fn a_narrow_interval_is_told_with_two_decimals() {
        let told = |low, high| change(0.0368, low, high);
        let (size, interval) = told(0.0366, 0.0369);
        assert_eq!(size, "+3.68\u{a0}%");
        assert_eq!(interval, "+3.66\u{a0}% to +3.69\u{a0}%");
        assert_eq!(told(0.02, 0.05).1, "+2.0\u{a0}% to +5.0\u{a0}%");
        assert_eq!(change(0.00001, -0.0001, 0.0001).0, "±0.00\u{a0}%");
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
