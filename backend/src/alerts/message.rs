//! What a message says: subject, text and HTML, from the stories that it tells.

use askama::Template;

use crate::domain::digits::decimals;
use crate::domain::regression::EventKind;
use crate::domain::telling::{Change, CommitLine, Story};

/// Rows of a table of changes; the page has all.
const SHOWN: usize = 12;
/// Stories of a storm that are told; the list of regressions has all.
pub const MOST_STORIES: usize = 40;

/// A message, ready to travel by any channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// The same as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// One story as the templates take it.
struct Item {
    headline: String,
    /// The three words of what happened: "was found".
    happened: &'static str,
    noun: &'static str,
    link: String,
    better: bool,
    repository: String,
    branch: String,
    rows: Vec<Row>,
    more: usize,
    culprit: Option<Named>,
    before: Named,
    after: Named,
    fixed: Option<Named>,
    confirmations: Vec<String>,
    explanation: Option<String>,
    message: String,
}

struct Row {
    runtime: String,
    benchmark: String,
    metric: String,
    host: String,
    change: String,
    interval: String,
}

struct Named {
    short: String,
    subject: String,
    author: String,
    link: String,
}

#[derive(Template)]
#[template(path = "mail/stories.txt", escape = "none")]
struct Text<'a> {
    items: &'a [Item],
    /// Stories that are not among the items.
    left: usize,
    why: &'a [String],
    unsubscribe: Option<&'a str>,
    base: &'a str,
}

#[derive(Template)]
#[template(path = "mail/stories.html")]
struct Html<'a> {
    items: &'a [Item],
    /// Stories that are not among the items.
    left: usize,
    why: &'a [String],
    unsubscribe: Option<&'a str>,
    base: &'a str,
    /// Content id of the chart.
    chart: Option<&'a str>,
    subject: &'a str,
}

/// What a message needs beside its stories.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Address of our pages, without a slash at the end.
    pub base: &'a str,
    /// Why the recipient gets it.
    pub why: &'a [String],
    /// Link that ends it.
    pub unsubscribe: Option<&'a str>,
    /// Content id of an inline chart.
    pub chart: Option<&'a str>,
}

/// Writes a message of one story or several.
pub fn write(stories: &[Story], frame: &Frame<'_>) -> Result<Message, askama::Error> {
    let items: Vec<Item> = stories
        .iter()
        .take(MOST_STORIES)
        .map(|story| item(story, frame.base))
        .collect();
    let left = stories.len() - items.len();
    let subject = subject(stories);
    let text = Text {
        items: &items,
        left,
        why: frame.why,
        unsubscribe: frame.unsubscribe,
        base: frame.base,
    }
    .render()?;
    let html = Html {
        items: &items,
        left,
        why: frame.why,
        unsubscribe: frame.unsubscribe,
        base: frame.base,
        chart: frame.chart,
        subject: &subject,
    }
    .render()?;
    Ok(Message {
        subject,
        text,
        html,
    })
}

/// The subject: what, by how much, by which commit; of several, how many.
pub fn subject(stories: &[Story]) -> String {
    let text = match stories {
        [] => "nothing to tell".to_owned(),
        [one] => headline(one),
        several => {
            let better = several.iter().filter(|one| one.better).count();
            let mut runtimes: Vec<&str> = several
                .iter()
                .filter_map(|one| one.changes.first().map(|change| change.runtime.as_str()))
                .collect();
            runtimes.sort_unstable();
            runtimes.dedup();
            format!(
                "{} changes: {} worse, {better} better ({})",
                several.len(),
                several.len() - better,
                runtimes.join(", ")
            )
        }
    };
    format!("[speedwell] {}", one_line(&text, 180))
}

/// One story in one line.
pub fn headline(story: &Story) -> String {
    let prefix = match story.kind {
        EventKind::Fixed => "fixed: ",
        EventKind::Reopened => "back: ",
        EventKind::BisectionEnded => "no single commit: ",
        _ => "",
    };
    let what = match story.changes.as_slice() {
        [] => format!("{} {}: a change", story.repository, story.branch),
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            let metric = if first.metric == "wall_time" {
                String::new()
            } else {
                format!(" {}", first.label())
            };
            format!(
                "{}: {}{metric} {} ({}){more}",
                first.runtime,
                first.benchmark,
                size(first),
                interval(first)
            )
        }
    };
    let place = match (&story.culprit, &story.fixed) {
        (_, Some(fixed)) if story.kind == EventKind::Fixed => format!(" since {}", short(fixed)),
        (Some(culprit), _) => format!(" by {}: {}", short(culprit), culprit.subject),
        (None, _) => format!(
            " between {} and {}",
            short(&story.before),
            short(&story.after)
        ),
    };
    format!("{prefix}{what}{place}")
}

fn item(story: &Story, base: &str) -> Item {
    let named = |commit: &CommitLine| named(commit, story, base);
    let happened = match story.kind {
        EventKind::Found => "was traced to one commit",
        EventKind::Fixed => "is gone: its series are as before",
        EventKind::Reopened => "is back",
        EventKind::BisectionEnded => "could not be traced to one commit",
        _ => "was measured again and is there",
    };
    Item {
        headline: one_line(&headline(story), 300),
        happened,
        noun: if story.better {
            "improvement"
        } else {
            "regression"
        },
        link: format!("{base}/regressions/{}", story.regression_id),
        better: story.better,
        repository: story.repository.clone(),
        branch: story.branch.clone(),
        rows: story.changes.iter().take(SHOWN).map(row).collect(),
        more: story.changes.len().saturating_sub(SHOWN),
        culprit: story.culprit.as_ref().map(named),
        before: named(&story.before),
        after: named(&story.after),
        fixed: story.fixed.as_ref().map(named),
        confirmations: story.confirmations.clone(),
        explanation: story.explanation.clone(),
        message: beyond_confirmations(story),
    }
}

/// The line's own words, unless a confirmation that is told anyway holds them.
fn beyond_confirmations(story: &Story) -> String {
    let told = |one: &String| one.contains(&story.message);
    if story.confirmations.iter().any(told) {
        String::new()
    } else {
        story.message.clone()
    }
}

fn row(change: &Change) -> Row {
    Row {
        runtime: change.runtime.clone(),
        benchmark: change.benchmark.clone(),
        metric: change.label().to_owned(),
        host: change.host.clone(),
        change: size(change),
        interval: interval(change),
    }
}

fn named(commit: &CommitLine, story: &Story, base: &str) -> Named {
    let link = match &story.commit_url {
        Some(url) => url.replace("{commit}", &commit.hash),
        None => format!("{base}/commits/{}", commit.hash),
    };
    Named {
        short: short(commit),
        subject: one_line(&commit.subject, 300),
        author: one_line(&commit.author_name, 100),
        link,
    }
}

fn short(commit: &CommitLine) -> String {
    commit.hash.chars().take(10).collect()
}

/// A ratio minus one as a signed percentage.
pub fn percent(change: f64) -> String {
    if !change.is_finite() {
        return "unknown".to_owned();
    }
    format!("{:+.1} %", change * 100.0)
}

/// A change with the digits that its interval allows.
pub fn size(change: &Change) -> String {
    if !change.change.is_finite() {
        return "unknown".to_owned();
    }
    let decimals = decimals(change.low, change.high);
    format!("{:+.decimals$} %", change.change * 100.0)
}

/// Its interval, likewise.
pub fn interval(change: &Change) -> String {
    let decimals = decimals(change.low, change.high);
    let (low, high) = (change.low * 100.0, change.high * 100.0);
    format!("{low:+.decimals$} to {high:+.decimals$} %")
}

/// Anyone's text as one line: without control characters and those that turn the direction of writing, and cut.
pub fn one_line(text: &str, longest: usize) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !turns(*c))
        .take(longest + 1)
        .collect();
    if line.chars().count() > longest {
        line = line.chars().take(longest - 1).chain(['…']).collect();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::telling::example::story;

    const FRAME: Frame<'static> = Frame {
        base: "https://speed.example",
        why: &[],
        unsubscribe: None,
        chart: None,
    };

    #[test]
    fn the_subject_says_what_by_how_much_and_by_which_commit() {
        assert_eq!(
            subject(&[story()]),
            "[speedwell] cpython-main: richards +5.2 % (+4.8 to +5.6 %) by bbbbbbbbbb: Change"
        );
        let mut other = story();
        other.kind = EventKind::Confirmed;
        other.culprit = None;
        other.changes[0].metric = "instructions".to_owned();
        assert!(
            headline(&other).ends_with("between aaaaaaaaaa and bbbbbbbbbb"),
            "{}",
            headline(&other)
        );
        other.better = true;
        assert_eq!(
            subject(&[story(), other.clone()]),
            "[speedwell] 2 changes: 1 worse, 1 better (cpython-main)"
        );
        other.changes.clear();
        assert!(subject(&[other]).contains("cpython main: a change"));
        assert_eq!(percent(f64::NAN), "unknown");
    }

    #[test]
    fn what_a_commit_says_stays_text() {
        let mut hostile = story();
        if let Some(culprit) = &mut hostile.culprit {
            culprit.subject =
                "x\r\nBcc: all@example.org <script>alert(1)</script> \u{202e}abc".to_owned();
        }
        let message = write(&[hostile], &FRAME).unwrap();
        assert!(!message.subject.contains(['\r', '\n', '\u{202e}']));
        assert!(!message.html.contains("<script>") && message.html.contains("&#60;script&#62;"));
        assert!(!message.text.contains("\nBcc:"));
        assert_eq!(one_line(&"é".repeat(400), 10).chars().count(), 10);
    }

    #[test]
    fn every_kind_and_no_change_at_all_can_be_written() {
        for kind in EventKind::ALL {
            let mut one = story();
            one.kind = *kind;
            one.changes.clear();
            one.explanation = Some("Only alignment moved.".to_owned());
            let message = write(&[one], &FRAME).unwrap();
            assert!(message.text.contains("Only alignment moved."));
            assert!(message.text.contains("https://speed.example/regressions/7"));
        }
        assert!(write(&[], &FRAME).is_ok());
        let storm = write(&vec![story(); MOST_STORIES + 2], &FRAME).unwrap();
        assert!(storm.text.contains("And 2 more") && storm.html.contains("And 2 more"));
        assert!(storm.subject.contains("42 changes"));
    }
}
