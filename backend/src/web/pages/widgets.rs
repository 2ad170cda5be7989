//! Small parts that several pages show.

use crate::chart::{self, Chart, Line, Point};

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

/// A part of a whole, with a part of its own.
pub(super) struct Share {
    /// A class of `style.css` that colours it.
    pub(super) class: &'static str,
    /// 0 to 1.
    pub(super) share: f64,
    /// In words.
    pub(super) title: String,
    /// The darker part: its share of the same whole, in words.
    pub(super) within: Option<(f64, String)>,
}

/// A bar of shares side by side, as a picture in the text. What does not add up to one leaves a gap; what is more is cut.
pub(super) fn shares_bar(label: &str, shares: &[Share]) -> String {
    const WIDTH: f64 = 300.0;
    let length = |share: f64| {
        if share.is_finite() {
            share.clamp(0.0, 1.0) * WIDTH
        } else {
            0.0
        }
    };
    let mut begin = 0.0;
    let mut parts = String::new();
    for one in shares {
        let width = length(one.share).min(WIDTH - begin);
        let within = one.within.iter().map(|(share, title)| {
            let inner = length(*share).min(width);
            (inner, " part".to_owned(), title)
        });
        for (width, suffix, title) in [(width, String::new(), &one.title)]
            .into_iter()
            .chain(within)
        {
            parts.push_str(&format!(
                "<rect class=\"{}{suffix}\" x=\"{begin:.2}\" y=\"0\" width=\"{width:.2}\" height=\"16\"><title>{}</title></rect>",
                one.class,
                chart::escape(title)
            ));
        }
        begin += width;
    }
    format!(
        "<svg class=\"shares\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} 16\" width=\"{WIDTH}\" height=\"16\">{parts}</svg>",
        chart::escape(label)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_within_their_bar_and_text_stays_text() {
        let share = |share, within: Option<f64>| Share {
            class: "retiring",
            share,
            title: "<b>".to_owned(),
            within: within.map(|part| (part, "part".to_owned())),
        };
        let svg = shares_bar("\"a\"", &[share(0.75, Some(0.5)), share(0.5, Some(9.0))]);
        assert!(svg.contains("aria-label=\"&quot;a&quot;\"") && svg.contains("&lt;b&gt;"));
        let widths: Vec<&str> = svg.split("width=\"").skip(1).collect();
        // Bar by bar with its part, then the whole picture.
        for (found, wanted) in widths[1..]
            .iter()
            .zip(["225.00", "150.00", "75.00", "75.00"])
        {
            assert!(found.starts_with(wanted), "{svg}");
        }
        let odd = shares_bar("a", &[share(f64::NAN, None), share(-1.0, None)]);
        assert_eq!(odd.matches("width=\"0.00\"").count(), 2, "{odd}");
    }
}
