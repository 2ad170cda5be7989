//! Verdicts of single points in words, and the class that colours them.

use crate::domain::hold;
use crate::web::format;

/// A verdict's name in words, and why it is held back.
pub(super) fn words(state: &str, held: Option<&str>) -> String {
    let words = match state {
        "improved" => "better, beyond the noise",
        "regressed" => "worse, beyond the noise",
        "unchanged" => "within the noise",
        "too_few" => "too few points before it to judge",
        _ => "not judged yet",
    };
    match held {
        None => words.to_owned(),
        Some(reason) => format!("{words}, but held back: {}", hold::words(reason)),
    }
}

/// The class of a verdict; others than the known ones get none. What is held back is neither better nor worse yet.
pub(super) fn class(state: &str, held: Option<&str>) -> &'static str {
    match (state, held) {
        (_, Some(_)) => "held",
        ("improved", None) => "improved",
        ("regressed", None) => "regressed",
        ("unchanged", None) => "unchanged",
        ("too_few", None) => "too_few",
        (_, None) => "",
    }
}

/// A point's verdict in a line, with how far it is from those before it.
pub(super) fn line(state: Option<&str>, held: Option<&str>, change: Option<f64>) -> String {
    let change = change.map(|change| format!(" ({})", format::percent(change)));
    format!(
        "{}{}",
        words(state.unwrap_or_default(), held),
        change.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_neither_better_nor_worse() {
        let held = Some("control_pending");
        assert_eq!(class("regressed", held), "held");
        assert_eq!(class("regressed", None), "regressed");
        assert_eq!(class("new <state>", None), "");
        let text = line(Some("regressed"), held, Some(0.2));
        assert!(
            text.starts_with("worse, beyond the noise, but held back: ")
                && text.ends_with("(+20.0\u{a0}%)"),
            "{text}"
        );
        assert_eq!(line(None, None, None), "not judged yet");
    }
}
