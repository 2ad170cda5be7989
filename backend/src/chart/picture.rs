//! A chart as a PNG, for mail and READMEs: clients of mail show no SVG and know no style sheet, so the colours of the light page are put in.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::{Chart, PALETTE, escape, svg};

/// Pixels for each pixel of the chart: sharp on a dense screen.
const SCALE: f32 = 2.0;

/// The colours of the light page, by the name of their variable.
const COLOURS: [(&str, &str); 14] = [
    ("var(--grid)", "#e6e8ec"),
    ("var(--muted)", "#5b6675"),
    ("var(--series-0)", "#2a62c4"),
    ("var(--series-1)", "#c2560c"),
    ("var(--series-2)", "#13805a"),
    ("var(--series-3)", "#8e3fa6"),
    ("var(--series-4)", "#8a6d00"),
    ("var(--series-5)", "#b3245f"),
    ("var(--series-6)", "#0b7285"),
    ("var(--series-7)", "#6b4fd0"),
    ("var(--series-8)", "#9a3b26"),
    ("var(--series-9)", "#4d7a12"),
    ("var(--series-10)", "#5b6675"),
    ("var(--series-11)", "#7a5230"),
];

/// What `style.css` says of the shapes that are laid over a chart.
const STYLE: &str = "<style>text { font-family: \"DejaVu Sans\", sans-serif; } .tick { fill: #5b6675; font-size: 12px; text-anchor: middle; } \
    .point { fill: #2a62c4; stroke: #ffffff; stroke-width: 1.5; } .whisker { stroke: #2a62c4; stroke-width: 1.2; opacity: 0.65; } \
    .break { stroke: #5b6675; stroke-dasharray: 4 4; stroke-width: 1.5; } .range { fill: #a8281b; opacity: 0.10; } \
    .point.regressed { fill: #a8281b; stroke: #a8281b; } .point.improved { fill: #13714a; stroke: #13714a; }</style>\
    <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>";

/// The fonts of the system; reading them takes some tens of milliseconds. Without any the chart has no words.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_system_fonts();
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// Draws a chart as a PNG. `None` when it cannot be drawn; the log says why.
pub fn png(chart: &Chart) -> Option<Vec<u8>> {
    let mut text = svg(chart);
    // After the opening tag: what is drawn first lies lowest.
    let end = text.find('>')? + 1;
    text.insert_str(end, STYLE);
    rasterise(text)
}

/// Height of a line of words above a chart, in pixels.
const WORDS: usize = 22;

/// The same with words above it, for where no page says what is drawn: a heading, and for each line of the legend its colour's index
/// and its name.
pub fn png_with_legend(
    chart: &Chart,
    heading: &str,
    legend: &[(usize, String)],
) -> Option<Vec<u8>> {
    let above = WORDS * (legend.len() + 1) + 8;
    let colours = (0..PALETTE).map(|index| {
        format!(
            ".point.s{index} {{ fill: var(--series-{index}); }} .whisker.s{index} {{ stroke: var(--series-{index}); }} "
        )
    });
    let colours: String = colours.collect();
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"><style>{colours}</style>{STYLE}\
         <text x=\"10\" y=\"20\" font-size=\"14\" fill=\"#1c2330\">{}</text>",
        chart.width,
        above + usize::try_from(chart.height).unwrap_or(0),
        escape(heading)
    );
    for (row, (colour, name)) in legend.iter().enumerate() {
        let y = WORDS * (row + 1) + 18;
        text.push_str(&format!(
            "<rect x=\"12\" y=\"{}\" width=\"16\" height=\"4\" fill=\"var(--series-{colour})\"/>\
             <text x=\"36\" y=\"{y}\" font-size=\"12\" fill=\"#1c2330\">{}</text>",
            y - 6,
            escape(name)
        ));
    }
    let placed = format!("<svg y=\"{above}\" ");
    text.push_str(&svg(chart).replacen("<svg ", &placed, 1));
    text.push_str("</svg>");
    rasterise(text)
}

fn rasterise(mut text: String) -> Option<Vec<u8>> {
    for (name, value) in COLOURS {
        text = text.replace(name, value);
    }
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    let tree = Tree::from_str(&text, &options)
        .inspect_err(|error| tracing::error!("a chart is no picture: {error}"))
        .ok()?;
    let size = tree.size().to_int_size().scale_by(SCALE)?;
    let mut pixels = Pixmap::new(size.width(), size.height())?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .inspect_err(|error| tracing::error!("a picture cannot be written: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Line, Point};

    fn drawn(values: &[f64]) -> Vec<u8> {
        let points = values.iter().enumerate().map(|(index, value)| Point {
            x: index as f64,
            value: *value,
            low: *value,
            high: *value,
            ..Point::default()
        });
        let chart = Chart {
            label: "Times & <more>".to_owned(),
            width: 600,
            height: 200,
            lines: vec![Line {
                colour: 0,
                stretches: vec![points.collect()],
                connected: true,
            }],
            ticks: vec![(0.0, "before".to_owned())],
            format: |value| format!("{value:.1}"),
            spark: false,
        };
        png(&chart).unwrap()
    }

    #[test]
    fn anything_becomes_a_picture() {
        for values in [
            &[][..],
            &[1.0],
            &[2.0, 2.0],
            &[f64::NAN, 1.0],
            &[1e-300, 1e300],
        ] {
            let bytes = drawn(values);
            assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{values:?}");
        }
        let chart = Chart {
            label: String::new(),
            width: 600,
            height: 200,
            lines: Vec::new(),
            ticks: Vec::new(),
            format: |value| value.to_string(),
            spark: false,
        };
        let legend = [
            (0, "<cpython> & \"main\"".to_owned()),
            (11, "pypy".to_owned()),
        ];
        let bytes = png_with_legend(&chart, "nbody <b>", &legend).unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
        // Not merely white: points cost bytes.
        assert!(drawn(&[1.0, 2.0, 3.0]).len() > drawn(&[]).len());
    }
}
