//! Samples of several subjects on one axis: every value as a dot, their density around them, the median with its interval.
//! Drawn as an SVG of its own, with classes for colours, so that it fits light and dark pages; nothing in it needs a script.

use std::fmt::Write as _;

use super::PALETTE;
use super::draw::escape;

/// Width of the drawing.
const WIDTH: f64 = 760.0;
/// Room at both sides of the axis.
const MARGIN: f64 = 46.0;
/// Height of a subject's row, its name included.
const ROW: f64 = 78.0;
/// Half of the height that dots and density take.
const HALF: f64 = 21.0;
/// Room for the axis.
const AXIS: f64 = 30.0;
/// Most dots of a subject: of more, each of so many equal parts gives one.
const MOST_DOTS: usize = 300;
/// Fewest values that have a density.
const FEWEST_FOR_DENSITY: usize = 8;
/// Places along the axis at which a density is taken.
const STEPS: usize = 120;

/// What to draw.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// What it shows, for those who do not see it.
    pub label: String,
    /// The subjects from top to bottom.
    pub strips: Vec<Strip>,
    /// Turns a value into text for the axis.
    pub format: fn(f64) -> String,
}

/// One subject's samples; those that are not finite are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Strip {
    /// Its name, written above it.
    pub name: String,
    /// In any order.
    pub values: Vec<f64>,
    /// Median with the ends of its interval.
    pub median: (f64, f64, f64),
}

/// The axis: linear, or logarithmic where values are far apart.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
}

impl Axis {
    /// Holds all values with some air.
    fn of(strips: &[Strip]) -> Self {
        let all = strips.iter().flat_map(|strip| {
            let (median, low, high) = strip.median;
            strip.values.iter().copied().chain([median, low, high])
        });
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in all.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let is_logarithmic = low > 0.0 && high / low > 4.0;
        let axis = |low: f64, high: f64| Self {
            low,
            high,
            is_logarithmic,
        };
        if is_logarithmic {
            let air = (high / low).ln() * 0.04;
            return axis(low.ln() - air, high.ln() + air);
        }
        // A flat line gets 2 % of its value around it.
        let air = ((high - low) * 0.06).max(high.abs() * 0.01);
        let air = if air > 0.0 && air.is_finite() {
            air
        } else {
            0.5
        };
        axis(low - air, high + air)
    }

    fn place(&self, value: f64) -> f64 {
        let on_axis = if self.is_logarithmic {
            value.ln()
        } else {
            value
        };
        let share = (on_axis - self.low) / (self.high - self.low);
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        MARGIN + share * (WIDTH - 2.0 * MARGIN)
    }

    /// Round values along the axis.
    fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let first = (self.low / std::f64::consts::LN_10).floor() as i32;
            let last = (self.high / std::f64::consts::LN_10).ceil() as i32;
            let decades = (self.high - self.low) / std::f64::consts::LN_10;
            let steps: &[f64] = if decades > 3.0 {
                &[1.0]
            } else {
                &[1.0, 2.0, 5.0]
            };
            let each = (first..=last.min(first.saturating_add(40)))
                .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
            let within = |value: &f64| (self.low..=self.high).contains(&value.ln());
            return each.filter(within).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = step
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil();
        let each = (0..12).map(|index| (first + f64::from(index)) * step);
        each.filter(|value| value.is_finite() && *value <= self.high)
            .collect()
    }
}

/// Draws. Without any value there is an axis and the names.
pub fn svg(distribution: &Distribution) -> String {
    let axis = Axis::of(&distribution.strips);
    let height = ROW * distribution.strips.len() as f64 + AXIS;
    let bottom = height - AXIS;
    let mut text = format!(
        "<svg class=\"chart distribution\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {height}\">",
        escape(&distribution.label)
    );
    for value in axis.ticks() {
        let x = axis.place(value);
        push(
            &mut text,
            format_args!("<path class=\"grid\" d=\"M{x:.1} 4V{bottom:.1}\"/>"),
        );
        let label = escape(&(distribution.format)(value));
        let y = bottom + 18.0;
        push(
            &mut text,
            format_args!("<text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\">{label}</text>"),
        );
    }
    for (index, strip) in distribution.strips.iter().enumerate() {
        draw_strip(&mut text, &axis, strip, index, distribution.format);
    }
    text.push_str("</svg>");
    text
}

fn draw_strip(
    text: &mut String,
    axis: &Axis,
    strip: &Strip,
    index: usize,
    format: fn(f64) -> String,
) {
    let top = ROW * index as f64;
    let middle = top + 26.0 + HALF;
    let colour = index % PALETTE;
    let mut values: Vec<f64> = strip
        .values
        .iter()
        .copied()
        .filter(|one| one.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let name = escape(&strip.name);
    let y = top + 17.0;
    push(
        text,
        format_args!("<text class=\"name t{colour}\" x=\"{MARGIN}\" y=\"{y:.1}\">{name}</text>"),
    );
    let places: Vec<f64> = thinned(&values).map(|value| axis.place(value)).collect();
    if let Some(path) = density(&places, middle) {
        push(
            text,
            format_args!("<path class=\"density s{colour}\" d=\"{path}\"/>"),
        );
    }
    for (number, x) in places.iter().enumerate() {
        // Spread over the height so that equal values stand beside each other, the same way each time.
        let spread = (number as f64 * 0.618_033_988_75).fract() - 0.5;
        let y = middle + spread * HALF * 1.3;
        push(
            text,
            format_args!("<circle class=\"dot s{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>"),
        );
    }
    let (median, low, high) = strip.median;
    if median.is_finite() && !values.is_empty() {
        let (x, from, to) = (axis.place(median), axis.place(low), axis.place(high));
        let title = escape(&format!(
            "median {}, 95 % interval {} to {}",
            format(median),
            format(low),
            format(high)
        ));
        let (above, below) = (middle - HALF, middle + HALF);
        push(
            text,
            format_args!(
                "<g><title>{title}</title><path class=\"interval\" d=\"M{from:.1} {middle:.1}H{to:.1}\"/><path class=\"median\" d=\"M{x:.1} {above:.1}V{below:.1}\"/></g>"
            ),
        );
    }
}

/// All values, or of many so many at even distances in order, both ends included.
fn thinned(sorted: &[f64]) -> impl Iterator<Item = f64> + '_ {
    let count = sorted.len().min(MOST_DOTS);
    let last = sorted.len().saturating_sub(1);
    let index = move |number: usize| {
        (number * last)
            .checked_div(count.saturating_sub(1))
            .unwrap_or(0)
    };
    (0..count).filter_map(move |number| sorted.get(index(number)).copied())
}

/// The outline of a Gaussian kernel density over places on the axis (Silverman's bandwidth), mirrored around the middle. `None` for
/// few values, or for values that are all the same.
fn density(places: &[f64], middle: f64) -> Option<String> {
    let number = places.len() as f64;
    if places.len() < FEWEST_FOR_DENSITY {
        return None;
    }
    let mean = places.iter().sum::<f64>() / number;
    let variance = places.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / number;
    let bandwidth = 1.06 * variance.sqrt() * number.powf(-0.2);
    if bandwidth < 0.3 {
        return None;
    }
    // Hardly further than values were seen: what lies beyond is the kernel's.
    let (first, last) = (places.first()? - bandwidth, places.last()? + bandwidth);
    let (first, last) = (first.max(MARGIN / 2.0), last.min(WIDTH - MARGIN / 2.0));
    let at = |step: usize| first + (last - first) * step as f64 / (STEPS - 1) as f64;
    let height = |x: f64| -> f64 {
        let each = places
            .iter()
            .map(|place| (-0.5 * ((x - place) / bandwidth).powi(2)).exp());
        each.sum()
    };
    let curve: Vec<(f64, f64)> = (0..STEPS).map(at).map(|x| (x, height(x))).collect();
    let highest = curve.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    if highest <= 0.0 {
        return None;
    }
    let mut path = String::new();
    let upper = curve.iter().map(|(x, y)| (x, middle - y / highest * HALF));
    let lower = curve
        .iter()
        .rev()
        .map(|(x, y)| (x, middle + y / highest * HALF));
    for (index, (x, y)) in upper.chain(lower).enumerate() {
        push(
            &mut path,
            format_args!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' }),
        );
    }
    path.push('Z');
    Some(path)
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    if text.write_fmt(arguments).is_err() {
        // Writing into a string cannot fail.
        tracing::error!("a part of a chart could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(strips: &[&[f64]]) -> String {
        let strip = |values: &&[f64]| Strip {
            name: "<b>'a' & \"b\"</b>".to_owned(),
            values: values.to_vec(),
            median: (values.first().copied().unwrap_or(f64::NAN), 0.9, 1.1),
        };
        svg(&Distribution {
            label: "\"Times\" of <x>".to_owned(),
            strips: strips.iter().map(strip).collect(),
            format: |value| format!("{value:.2} s"),
        })
    }

    #[test]
    fn every_value_is_a_dot_and_text_stays_text() {
        let many: Vec<f64> = (0..20).map(|index| 1.0 + f64::from(index) * 0.01).collect();
        let text = drawn(&[&many, &[1.1, 1.2]]);
        assert_eq!(text.matches("<circle").count(), 22);
        assert_eq!(
            text.matches("class=\"density").count(),
            1,
            "two values have no density"
        );
        assert!(
            text.contains("aria-label=\"&quot;Times&quot; of &lt;x&gt;\"") && !text.contains("<b>")
        );
        assert!(text.matches("class=\"tick\"").count() >= 3);
        roxmltree::Document::parse(&text).unwrap();
    }

    #[test]
    fn many_values_are_thinned_with_both_ends() {
        let many: Vec<f64> = (0..100_000).map(f64::from).collect();
        let kept: Vec<f64> = thinned(&many).collect();
        assert_eq!(
            (kept.len(), kept[0], kept[MOST_DOTS - 1]),
            (MOST_DOTS, 0.0, 99_999.0)
        );
        assert_eq!(thinned(&[]).count(), 0);
        assert_eq!(thinned(&[4.0]).collect::<Vec<_>>(), [4.0]);
    }

    #[test]
    fn empty_one_constant_and_rubbish_are_drawn() {
        let far: &[f64] = &[1e-300, 1e300];
        for values in [
            &[][..],
            &[1.0],
            &[2.0; 50],
            &[f64::NAN, 1.0, f64::INFINITY],
            &[0.0, 0.0],
            far,
            &[-1.0, 5.0],
        ] {
            let text = drawn(&[values, &[1.0, 3.0]]);
            roxmltree::Document::parse(&text).unwrap();
            assert!(
                !text.contains("NaN") && !text.contains("inf\""),
                "{values:?}: {text}"
            );
        }
        assert!(drawn(&[]).contains("</svg>"));
    }

    #[test]
    fn values_far_apart_get_a_logarithmic_axis_with_round_ticks() {
        let axis = Axis::of(&[Strip {
            name: String::new(),
            values: vec![0.01, 1.0],
            median: (0.01, 0.01, 0.01),
        }]);
        assert!(axis.is_logarithmic);
        let ticks = axis.ticks();
        assert!(
            ticks.iter().any(|tick| (tick - 0.1).abs() < 1e-9) && ticks.len() >= 5,
            "{ticks:?}"
        );
        let halves = axis.place(0.1);
        assert!((halves - WIDTH / 2.0).abs() < 1.0, "{halves}");
    }
}
