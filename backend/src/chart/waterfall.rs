//! A waterfall: bars that begin where the one before ended, down to the total. Own SVG.
//!
//! Widths are logarithms of ratios, for these add up. Better and worse differ in side, sign and pattern, not in colour alone.

use std::fmt::Write as _;

use super::escape;

/// What to draw.
#[derive(Debug, Clone)]
pub struct Waterfall {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// Bars from top to bottom.
    pub bars: Vec<Bar>,
}

/// What a bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKind {
    /// Begins where the one before ended.
    Part,
    /// The same, of what is not explained.
    Rest,
    /// Begins at nothing: the sum.
    Total,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name, at the left.
    pub name: String,
    /// Its length, a logarithm; below zero: less time.
    pub value: f64,
    /// 95 % interval of it.
    pub interval: Option<(f64, f64)>,
    /// Its value in words, at its end.
    pub text: String,
    /// What it is.
    pub kind: BarKind,
    /// Where a click leads; empty for nowhere.
    pub link: String,
}

const WIDTH: f64 = 960.0;
const NAMES: f64 = 330.0;
/// Room for a bar's words at either side.
const WORDS: f64 = 90.0;
const ROW: f64 = 30.0;
const TOP: f64 = 30.0;

/// Draws.
pub fn svg(chart: &Waterfall) -> String {
    let mut level = 0.0;
    let mut ends = Vec::new();
    for bar in &chart.bars {
        let value = if bar.value.is_finite() {
            bar.value
        } else {
            0.0
        };
        let begin = match bar.kind {
            BarKind::Part | BarKind::Rest => level,
            BarKind::Total => 0.0,
        };
        level = begin + value;
        ends.push((begin, level));
    }
    let low = ends.iter().map(|(a, b)| a.min(*b)).fold(0.0, f64::min);
    let high = ends.iter().map(|(a, b)| a.max(*b)).fold(0.0, f64::max);
    let span = if high > low { high - low } else { 1.0 };
    let x = |value: f64| NAMES + WORDS + (value - low) / span * (WIDTH - NAMES - 2.0 * WORDS);
    let height = TOP + ROW * chart.bars.len() as f64 + 6.0;
    let mut text = format!(
        "<svg class=\"chart waterfall\" role=\"group\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {height}\">\
         <defs><pattern id=\"slower\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"bar-worse\" width=\"7\" height=\"7\"/><rect class=\"bar-gap\" width=\"2\" height=\"7\"/></pattern></defs>\
         <line class=\"base-line\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"{}\" y2=\"{height}\"/>\
         <text class=\"tick end\" x=\"{:.1}\" y=\"16\">← less time</text>\
         <text class=\"tick start\" x=\"{:.1}\" y=\"16\">more time →</text>",
        escape(&chart.label),
        TOP - 8.0,
        x(0.0) - 8.0,
        x(0.0) + 8.0,
        zero = x(0.0),
    );
    for (index, (bar, (begin, end))) in chart.bars.iter().zip(ends).enumerate() {
        let top = TOP + ROW * index as f64;
        draw_bar(bar, (x(begin), x(end)), top, &mut text);
        // What begins where this one ended is joined to it.
        let next = chart.bars.get(index + 1).map(|bar| bar.kind);
        if matches!(next, Some(BarKind::Part | BarKind::Rest)) {
            let _written = write!(
                text,
                "<line class=\"joint\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1:.1}\" y2=\"{2:.1}\"/>",
                x(end),
                top + 24.0,
                top + ROW + 6.0
            );
        }
    }
    text.push_str("</svg>");
    text
}

fn draw_bar(bar: &Bar, (begin, end): (f64, f64), top: f64, text: &mut String) {
    let (left, right) = (begin.min(end), begin.max(end));
    let worse = bar.value > 0.0;
    let fill = if worse { "url(#slower)" } else { "none" };
    let class = match (bar.kind, worse) {
        (BarKind::Rest, _) => "bar bar-rest",
        (BarKind::Total, true) => "bar bar-sum bar-striped",
        (BarKind::Total, false) => "bar bar-sum bar-better",
        (BarKind::Part, true) => "bar bar-striped",
        (BarKind::Part, false) => "bar bar-better",
    };
    let words = if worse {
        (right + 6.0, "start")
    } else {
        (left - 6.0, "end")
    };
    let name: String = if bar.name.chars().count() > 46 {
        bar.name.chars().take(45).chain(['…']).collect()
    } else {
        bar.name.clone()
    };
    let interval = bar.interval.map_or_else(String::new, |(low, high)| {
        format!(", 95 % interval {low:+.4} to {high:+.4} in logarithms")
    });
    let shape = format!(
        "<text class=\"bar-name\" x=\"0\" y=\"{:.1}\">{}</text>\
         <rect class=\"{class}\" fill=\"{fill}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\"/>\
         <text class=\"bar-words {}\" x=\"{:.1}\" y=\"{:.1}\">{}</text><title>{}: {}{}</title>",
        top + 19.0,
        escape(&name),
        top + 6.0,
        (right - left).max(1.5),
        words.1,
        words.0,
        top + 19.0,
        escape(&bar.text),
        escape(&bar.name),
        escape(&bar.text),
        escape(&interval)
    );
    let _written = if bar.link.is_empty() {
        write!(text, "<g>{shape}</g>")
    } else {
        write!(text, "<a href=\"{}\">{shape}</a>", escape(&bar.link))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: f64, kind: BarKind) -> Bar {
        Bar {
            name: "<b>".to_owned(),
            value,
            interval: Some((value - 0.01, value + 0.01)),
            text: format!("{value}"),
            kind,
            link: "/regressions/1?a=1&b=2".to_owned(),
        }
    }

    fn draw(bars: &[(f64, BarKind)]) -> String {
        svg(&Waterfall {
            label: "<label>".to_owned(),
            bars: bars
                .iter()
                .map(|(value, kind)| bar(*value, *kind))
                .collect(),
        })
    }

    /// Left end and width of each bar.
    fn places(text: &str) -> Vec<(f64, f64)> {
        let number = |rest: &str, name: &str| -> f64 {
            rest.split(name)
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        let bars = text.split("<rect class=\"bar ").skip(1);
        bars.map(|rest| (number(rest, " x=\""), number(rest, "width=\"")))
            .collect()
    }

    #[test]
    fn each_bar_begins_where_the_one_before_ended_and_the_total_at_nothing() {
        let text = draw(&[
            (0.2, BarKind::Part),
            (-0.1, BarKind::Part),
            (0.05, BarKind::Rest),
            (0.15, BarKind::Total),
        ]);
        let bars = places(&text);
        let near = |a: f64, b: f64| (a - b).abs() < 0.2;
        assert!(
            near(bars[0].0 + bars[0].1, bars[1].0 + bars[1].1),
            "{bars:?}"
        );
        assert!(near(bars[1].0, bars[2].0), "{bars:?}");
        assert!(
            near(bars[3].0, bars[0].0),
            "the total begins at nothing: {bars:?}"
        );
        assert!(
            near(bars[3].0 + bars[3].1, bars[2].0 + bars[2].1),
            "and ends with the rest: {bars:?}"
        );
        // Worse is striped as well as coloured, and nothing from outside is markup.
        assert_eq!(text.matches("bar-striped").count(), 2);
        assert!(
            text.contains("&lt;b&gt;") && !text.contains("<b>") && text.contains("a=1&amp;b=2")
        );
    }

    #[test]
    fn nothing_and_rubbish_are_drawn() {
        for bars in [
            &[][..],
            &[(f64::NAN, BarKind::Part)],
            &[(0.0, BarKind::Total)],
            &[(f64::INFINITY, BarKind::Rest)],
        ] {
            let text = draw(bars);
            assert!(text.starts_with("<svg") && text.ends_with("</svg>"));
            assert!(
                places(&text)
                    .iter()
                    .all(|(x, width)| x.is_finite() && width.is_finite()),
                "{text}"
            );
        }
    }
}
