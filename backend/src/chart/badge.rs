//! A small label for READMEs: two fields side by side, what it is of and what it says.

use super::escape;

/// What a badge says, which chooses its colour; its words say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Faster, or less.
    Better,
    /// Slower, or more.
    Worse,
    /// Within the noise.
    Same,
    /// Not known, or too old to be news.
    Unknown,
}

impl Tone {
    /// White text on it has a contrast of 4.5 or more.
    fn colour(self) -> &'static str {
        match self {
            Self::Better => "#13714a",
            Self::Worse => "#a8281b",
            Self::Same => "#2a62c4",
            Self::Unknown => "#5b6675",
        }
    }
}

/// Width of a character in pixels: no font is known here, so the width is that of wide ones, and the text is fitted into it.
const CHARACTER: f64 = 6.6;
/// Room beside each text.
const BESIDE: f64 = 12.0;

fn width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER + BESIDE
}

/// Draws one, 20 pixels high. The texts may be anything.
pub fn badge(label: &str, message: &str, tone: Tone) -> String {
    let cut = |text: &str| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect::<String>()
    };
    let (label, message) = (cut(label), cut(message));
    let (left, right) = (width(&label), width(&message));
    let whole = left + right;
    let (label_text, message_text) = (escape(&label), escape(&message));
    let text = |from: f64, width: f64, text: &str| {
        format!(
            "<text x=\"{:.1}\" y=\"14\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\">{text}</text>",
            from + width / 2.0,
            width - BESIDE
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole:.0}\" height=\"20\" viewBox=\"0 0 {whole:.1} 20\" role=\"img\" \
         aria-label=\"{label_text}: {message_text}\"><title>{label_text}: {message_text}</title>\
         <rect width=\"{whole:.1}\" height=\"20\" rx=\"3\" fill=\"#3a4250\"/>\
         <path d=\"M{left:.1} 0h{end:.1}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{end:.1}z\" fill=\"{colour}\"/>\
         <g fill=\"#ffffff\" font-family=\"Verdana, DejaVu Sans, sans-serif\" font-size=\"11\" text-anchor=\"middle\">{}{}</g></svg>",
        text(0.0, left, &label_text),
        text(left, right, &message_text),
        end = right - 3.0,
        colour = tone.colour(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_sound_picture() {
        for text in [
            "cpython-main",
            "<b>\"&'",
            "",
            "1.04× faster than v3.12",
            &"x".repeat(500),
            "a\u{0}b\n",
        ] {
            for tone in [Tone::Better, Tone::Worse, Tone::Same, Tone::Unknown] {
                let svg = badge(text, text, tone);
                let read = roxmltree::Document::parse(&svg).unwrap();
                assert_eq!(read.root_element().tag_name().name(), "svg");
                assert!(svg.len() < 4000);
            }
        }
        assert!(badge("a", "b", Tone::Worse).contains("aria-label=\"a: b\""));
    }
}
