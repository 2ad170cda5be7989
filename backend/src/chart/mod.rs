//! Charts: a description in, SVG out. Plotters draws lines, bands and axes; points are laid over them as links with
//! titles, so that a chart works without JavaScript, by keyboard and for screen readers.
//!
//! Colours are names, not values: plotters is given placeholders, which become CSS variables, so that one SVG fits light
//! and dark pages. Text from outside is escaped here and by plotters.

pub mod badge;
pub mod distribution;
mod draw;
pub mod flame;
pub mod labelled;
pub mod panel;
mod picture;
pub mod waterfall;

pub use draw::escape;
pub use picture::{png, png_with_legend};

/// What to draw. All x are finite; values that are not finite are left out.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// Width of the drawing in pixels; pages scale it.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Lines in drawing order.
    pub lines: Vec<Line>,
    /// Texts under the x axis, at their x.
    pub ticks: Vec<(f64, String)>,
    /// Turns a value into text for the y axis.
    pub format: fn(f64) -> String,
    /// No axes and no points but the last: a chart for a small card.
    pub spark: bool,
}

/// One line with its band.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Index into the palette of `style.css`.
    pub colour: usize,
    /// Stretches without a break; nothing is drawn between them.
    pub stretches: Vec<Vec<Point>>,
    /// False: only the points.
    pub connected: bool,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Point {
    /// Place on the x axis.
    pub x: f64,
    /// Value.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Shown on hover and read aloud; empty for none.
    pub title: String,
    /// Where a click leads; empty for nowhere.
    pub link: String,
    /// A class of `style.css` that marks it (`improved`, `regressed`, `warmup`); empty for none.
    pub class: &'static str,
}

/// Colours in the palette of `style.css`.
pub const PALETTE: usize = 12;

/// A stretch of the x axis that is pointed out, from end to end of the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// What it is.
    pub title: String,
}

/// Draws with a stretch pointed out.
pub fn svg_with_band(chart: &Chart, band: &Band) -> String {
    draw::draw(chart, Some(band)).unwrap_or_else(|error| failed(&*error))
}

/// Draws. A chart that plotters cannot draw becomes an empty one that says so.
pub fn svg(chart: &Chart) -> String {
    draw::draw(chart, None).unwrap_or_else(|error| failed(&*error))
}

fn failed(error: &dyn std::error::Error) -> String {
    tracing::error!("a chart could not be drawn: {error}");
    "<p class=\"empty\">This chart could not be drawn.</p>".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64], spark: bool) -> Chart {
        let points = values.iter().enumerate().map(|(index, value)| Point {
            x: index as f64,
            value: *value,
            low: value * 0.9,
            high: value * 1.1,
            title: "<b>\"Tom\" & 'Jerry'</b>".to_owned(),
            link: format!("/commits/{index}"),
            class: "",
        });
        Chart {
            label: "Times & <more>".to_owned(),
            width: 600,
            height: 200,
            lines: vec![Line {
                colour: 0,
                stretches: vec![points.collect()],
                connected: true,
            }],
            ticks: vec![(0.0, "first".to_owned())],
            format: |value| format!("{value:.1} s"),
            spark,
        }
    }

    #[test]
    fn every_point_is_a_link_with_an_escaped_title() {
        let text = svg(&chart(&[1.0, 2.0, 3.0], false));
        assert_eq!(text.matches("<a href=\"/commits/").count(), 3);
        assert_eq!(text.matches("<title>").count(), 4);
        assert!(
            text.contains("&lt;b&gt;&quot;Tom&quot; &amp; &#39;Jerry&#39;&lt;/b&gt;")
                && !text.contains("<b>")
        );
        assert!(text.contains("aria-label=\"Times &amp; &lt;more&gt;\""));
        assert!(
            text.contains("var(--series-0)") && !text.contains("#0100"),
            "a placeholder is left"
        );
    }

    #[test]
    fn a_band_lies_between_its_ends_and_below_the_points() {
        let band = |from, to| Band {
            from,
            to,
            title: "<range>".to_owned(),
        };
        let text = svg_with_band(&chart(&[1.0, 2.0, 3.0], false), &band(0.5, 1.5));
        let place = text.find("class=\"range\"").unwrap();
        assert!(place < text.find("<circle").unwrap() && text.contains("&lt;range&gt;"));
        // Ends beyond the chart, in the wrong order or no numbers leave a picture.
        for odd in [band(-9.0, 99.0), band(2.0, 1.0), band(f64::NAN, 1.0)] {
            let text = svg_with_band(&chart(&[1.0, 2.0], false), &odd);
            assert!(
                !text.contains("NaN") && !text.contains("width=\"-"),
                "{text}"
            );
        }
    }

    #[test]
    fn empty_one_constant_and_rubbish_are_drawn() {
        for values in [
            &[][..],
            &[1.0],
            &[2.0, 2.0],
            &[f64::NAN, 1.0],
            &[0.0, 0.0],
            &[1e-300, 1e300],
        ] {
            for spark in [false, true] {
                let text = svg(&chart(values, spark));
                assert!(
                    text.starts_with("<svg") && text.trim_end().ends_with("</svg>"),
                    "{values:?}: {text}"
                );
                assert!(!text.contains("NaN"), "{values:?}");
            }
        }
    }
}
