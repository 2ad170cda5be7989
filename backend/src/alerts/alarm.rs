//! Alarms as a mail to the operators.

use askama::Template;

use super::message::{Message, one_line};

/// One alarm.
#[derive(Debug, Clone)]
pub struct Line {
    /// `host lab-1`.
    pub what: String,
    /// The rest of the sentence, as of the last time that it was so.
    pub words: String,
    /// When it began.
    pub since: String,
    /// When it was over; none while it is not.
    pub cleared: Option<String>,
}

#[derive(Template)]
#[template(path = "mail/alarms.txt", escape = "none")]
struct Text<'a> {
    raised: &'a [Line],
    cleared: &'a [Line],
    base: &'a str,
}

#[derive(Template)]
#[template(path = "mail/alarms.html")]
struct Html<'a> {
    raised: &'a [Line],
    cleared: &'a [Line],
    base: &'a str,
    subject: &'a str,
}

/// Writes the mail. `base`: address of our pages.
pub fn write(raised: &[Line], cleared: &[Line], base: &str) -> Result<Message, askama::Error> {
    let title = match (raised, cleared) {
        ([one], []) => format!("alarm: {} {}", one.what, one.words),
        ([], [one]) => format!("over: {}", one.what),
        ([], many) => format!("{} alarms are over", many.len()),
        (many, []) => format!("{} alarms", many.len()),
        (some, others) => format!("{} alarm(s), {} over", some.len(), others.len()),
    };
    let subject = format!("[speedwell] {}", one_line(&title, 180));
    let text = Text {
        raised,
        cleared,
        base,
    }
    .render()?;
    let html = Html {
        raised,
        cleared,
        base,
        subject: &subject,
    }
    .render()?;
    Ok(Message {
        subject,
        text,
        html,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_says_what_and_since_when_and_carries_no_markup_of_others() {
        let line = |cleared: bool| Line {
            what: "tick <b>".to_owned(),
            words: "failed:\n<script>".to_owned(),
            since: "2026-11-29 03:00".to_owned(),
            cleared: cleared.then(|| "2026-11-29 04:00".to_owned()),
        };
        let mail = write(&[line(false)], &[], "https://speed.example").unwrap();
        assert_eq!(mail.subject, "[speedwell] alarm: tick <b> failed: <script>");
        assert!(
            mail.text.contains("since 2026-11-29 03:00")
                && mail.text.contains("https://speed.example/alarms"),
            "{}",
            mail.text
        );
        assert!(!mail.html.contains("<script>"), "{}", mail.html);
        let over = write(&[], &[line(true), line(true)], "https://speed.example").unwrap();
        assert_eq!(over.subject, "[speedwell] 2 alarms are over");
        assert!(
            over.text.contains("until 2026-11-29 04:00"),
            "{}",
            over.text
        );
    }
}
