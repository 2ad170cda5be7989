//! A daily report as a mail.

use askama::Template;

use super::message::{Message, one_line, percent};
use crate::domain::report::{BASES, BenchmarkLine, Moved, Report};

#[derive(Template)]
#[template(path = "mail/report.txt", escape = "none")]
struct Text<'a> {
    report: &'a Report,
    link: &'a str,
    why: &'a str,
    unsubscribe: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/report.html")]
struct Html<'a> {
    report: &'a Report,
    link: &'a str,
    why: &'a str,
    unsubscribe: Option<&'a str>,
    subject: &'a str,
}

/// Writes the mail. `base`: address of our pages.
pub fn write(
    report: &Report,
    base: &str,
    why: &str,
    unsubscribe: Option<&str>,
) -> Result<Message, askama::Error> {
    let link = format!("{base}/reports/{}/{}", report.runtime, report.day);
    let mean = report.means[0].map_or_else(String::new, |mean| {
        format!(", mean time {} since yesterday", percent(mean.change))
    });
    let subject = format!(
        "[speedwell] {}",
        one_line(
            &format!("{}: report of {}{mean}", report.runtime, report.day),
            180
        )
    );
    let text = Text {
        report,
        link: &link,
        why,
        unsubscribe,
    }
    .render()?;
    let html = Html {
        report,
        link: &link,
        why,
        unsubscribe,
        subject: &subject,
    }
    .render()?;
    Ok(Message {
        subject,
        text,
        html,
    })
}

/// The benchmarks that a mean leaves out, in words.
pub fn left_out(names: &[String], all: &[BenchmarkLine]) -> String {
    if names.len() > 1 && names.len() == all.len() {
        "all of them".to_owned()
    } else {
        names.join(", ")
    }
}

/// A cell of the table: the change, marked when it is beyond its interval.
pub fn cell(moved: &Option<Moved>) -> String {
    match moved {
        None => "–".to_owned(),
        Some(one) if one.is_significant() => format!("{}*", percent(one.change)),
        Some(one) => percent(one.change),
    }
}

/// A cell with its interval.
pub fn cell_with_interval(moved: &Option<Moved>) -> String {
    match moved {
        None => "–".to_owned(),
        Some(one) => format!(
            "{} ({:+.1} to {:+.1} %, {} pair{})",
            percent(one.change),
            one.low * 100.0,
            one.high * 100.0,
            one.count,
            if one.count == 1 { "" } else { "s" }
        ),
    }
}

/// Text, filled up with blanks to a column's width.
pub fn padded(text: impl AsRef<str>, width: usize) -> String {
    let text = text.as_ref();
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}
