//! Commands in comments: `@speedwell bench`, `cancel` and `status`. A comment is anybody's text.

use super::Options;

/// Longest comment that is looked at, in bytes; forges allow 64 KiB and more.
const LONGEST_COMMENT: usize = 256 * 1024;
/// Most characters of somebody's words that an error repeats.
const LONGEST_QUOTE: usize = 40;

/// What a comment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Measure the pull request against its base.
    Bench(Options),
    /// End the try that is under way.
    Cancel,
    /// Say how it stands.
    Status,
}

/// A command that cannot be followed: which word, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {message}")]
pub struct CommandError {
    /// The option, or `command`.
    pub option: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl CommandError {
    fn new(option: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            option: option.into(),
            message: message.into(),
        }
    }
}

impl Command {
    /// The first command of a comment: a line that begins with the mention (`@speedwell`, in any case). Quoted lines, code blocks and
    /// hidden comments are somebody else's words or none, and are passed over. `None`: the comment asks for nothing.
    pub fn parse(text: &str, mention: &str) -> Option<Result<Self, CommandError>> {
        if text.len() > LONGEST_COMMENT {
            return None;
        }
        let rest = find_line(text, mention)?;
        let mut words = rest.split_whitespace();
        let command = words.next()?;
        let others: Vec<&str> = words.collect();
        Some(match command {
            "bench" => read_options(&others).map(Self::Bench),
            "cancel" if others.is_empty() => Ok(Self::Cancel),
            "status" if others.is_empty() => Ok(Self::Status),
            "cancel" | "status" => Err(CommandError::new(command, "takes no options")),
            _ => Err(CommandError::new(
                "command",
                format!("{} is none: write bench, cancel or status", quoted(command)),
            )),
        })
    }
}

/// What follows the mention on the first line that begins with it.
fn find_line<'a>(text: &'a str, mention: &str) -> Option<&'a str> {
    let mut fence: Option<&str> = None;
    let mut hidden = false;
    for line in text.lines() {
        if hidden {
            hidden = !line.contains("-->");
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let bare = line.trim();
        if let Some(open) = fence {
            // Closed by a line of nothing but at least as many of the same.
            let closes = bare.starts_with(open) && bare.trim_matches(first(open)).is_empty();
            if closes {
                fence = None;
            }
            continue;
        }
        if let Some(opened) = opens_fence(bare) {
            fence = Some(opened);
            continue;
        }
        if let Some((_, after)) = line.split_once("<!--") {
            hidden = !after.contains("-->");
            continue;
        }
        // Four blanks or a tab in front: code. `>`: a quote.
        if indent > 3 || line.starts_with('\t') || bare.starts_with('>') {
            continue;
        }
        if let Some(rest) = after_mention(bare, mention) {
            return Some(rest);
        }
    }
    None
}

fn first(text: &str) -> char {
    text.chars().next().unwrap_or('`')
}

/// The run of backticks or tildes that opens a block of code.
fn opens_fence(line: &str) -> Option<&str> {
    let mark = first(line);
    if mark != '`' && mark != '~' {
        return None;
    }
    let end = line.find(|c| c != mark).unwrap_or(line.len());
    let (fence, info) = line.split_at(end);
    // ```` ```a``` ```` on one line is code within a line and opens nothing; it begins with no mention either.
    (fence.len() >= 3 && !(mark == '`' && info.contains('`'))).then_some(fence)
}

fn after_mention<'a>(line: &'a str, mention: &str) -> Option<&'a str> {
    let name = mention.trim_start_matches('@');
    let rest = line.strip_prefix('@')?;
    let head = rest.get(..name.len())?;
    let tail = rest.get(name.len()..)?;
    let tail = tail.strip_prefix([':', ',']).unwrap_or(tail);
    let ends = tail.starts_with(char::is_whitespace);
    (!name.is_empty() && head.eq_ignore_ascii_case(name) && ends).then_some(tail)
}

fn read_options(words: &[&str]) -> Result<Options, CommandError> {
    let mut options = Options::default();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            let message = format!(
                "{} is no option: write {KNOWN}, without blanks around the sign",
                quoted(word)
            );
            return Err(CommandError::new("bench", message));
        };
        if value.is_empty() {
            return Err(CommandError::new(
                quoted(name),
                "nothing follows the sign; leave the option out for the default",
            ));
        }
        set_option(&mut options, name, value)?;
    }
    let checked = options.check();
    checked.map_err(|refused| CommandError::new(refused.field, refused.message))?;
    Ok(options)
}

const KNOWN: &str = "runtime=, suite=, benchmarks=, host= or repeat=";

fn set_option(options: &mut Options, name: &str, value: &str) -> Result<(), CommandError> {
    let place = match name {
        "runtime" => {
            let names = value.split(',').map(str::to_owned);
            options.runtimes.extend(names);
            return Ok(());
        }
        "repeat" => {
            let number = value
                .parse()
                .map_err(|_unreadable| CommandError::new("repeat", "a number, like repeat=5"))?;
            return match options.repeat.replace(number) {
                None => Ok(()),
                Some(_) => Err(twice(name)),
            };
        }
        "suite" => &mut options.suite,
        "benchmarks" => &mut options.benchmarks,
        "host" => &mut options.host,
        _ => {
            let message = format!("{} is no option: write {KNOWN}", quoted(name));
            return Err(CommandError::new("bench", message));
        }
    };
    match place.replace(value.to_owned()) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

fn twice(name: &str) -> CommandError {
    CommandError::new(name, "is given twice: write it once")
}

/// Somebody's word, fit for an answer: cut, and of nothing that a forge would format, link or mention.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '*');
    let cut: String = word
        .chars()
        .take(LONGEST_QUOTE)
        .map(|c| if plain(c) { c } else { '?' })
        .collect();
    format!("\"{cut}\"")
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    fn parse(text: &str) -> Option<Result<Command, CommandError>> {
        Command::parse(text, "@speedwell")
    }

    fn options(text: &str) -> Options {
        match parse(text) {
            Some(Ok(Command::Bench(options))) => options,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn error(text: &str) -> String {
        parse(text).unwrap().unwrap_err().to_string()
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(options("@speedwell bench"), Options::default());
        assert_eq!(
            options("Thanks!\n\n@Speedwell: bench\r\n"),
            Options::default()
        );
        let all = options(
            "@speedwell bench runtime=cpython-main,cpython-main-jit suite=portable benchmarks=json_* host=lab-1 repeat=5",
        );
        assert_eq!(all.runtimes, ["cpython-main", "cpython-main-jit"]);
        assert_eq!(all.suite.as_deref(), Some("portable"));
        assert_eq!(all.benchmarks.as_deref(), Some("json_*"));
        assert_eq!(all.host.as_deref(), Some("lab-1"));
        assert_eq!(all.repeat, Some(5));
        assert_eq!(parse("@speedwell cancel"), Some(Ok(Command::Cancel)));
        assert_eq!(parse("  @SPEEDWELL   status  "), Some(Ok(Command::Status)));
    }

    #[test]
    fn what_is_quoted_shown_or_told_asks_for_nothing() {
        for text in [
            "",
            "bench",
            "@speedwell",
            "@speedwellbench",
            "@speedwell-bot bench",
            "you can write @speedwell bench to try it",
            "> @speedwell bench",
            "  > @speedwell bench",
            "`@speedwell bench`",
            "```\n@speedwell bench\n```",
            "````\n```\n@speedwell bench\n```\n````",
            "~~~ text\n@speedwell bench\n```\n@speedwell cancel\n",
            "    @speedwell bench",
            "\t@speedwell bench",
            "<!-- @speedwell bench -->",
            "<!--\n@speedwell bench\n-->",
            "\u{ff20}speedwell bench",
            "mail@speedwell bench",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let after =
            "> @speedwell cancel\n\n```\n@speedwell cancel\n```\n<!--\nx -->\n@speedwell bench";
        assert_eq!(options(after), Options::default());
    }

    #[test]
    fn errors_name_the_option_and_the_fix() {
        assert!(error("@speedwell benhc").contains("write bench, cancel or status"));
        assert!(error("@speedwell bench repeat=many").starts_with("repeat: "));
        assert!(error("@speedwell bench repeat=0").contains("from 1 to 50"));
        assert!(error("@speedwell bench repeat=-1").starts_with("repeat: "));
        assert!(error("@speedwell bench host=").contains("leave the option out"));
        assert!(error("@speedwell bench host = a").contains("without blanks"));
        assert!(error("@speedwell bench host=a host=b").contains("twice"));
        assert!(error("@speedwell bench colour=red").contains("benchmarks="));
        assert!(error("@speedwell bench benchmarks=[").starts_with("benchmarks: "));
        assert!(error("@speedwell bench runtime=a,,b").starts_with("runtime: "));
        assert!(error("@speedwell cancel now").starts_with("cancel: "));
    }

    #[test]
    fn errors_repeat_nothing_that_a_forge_would_act_on() {
        for hostile in [
            "@speedwell @everyone",
            "@speedwell bench @team=1",
            "@speedwell bench <img/src=x>=1",
            "@speedwell bench [a](javascript:x)",
            "@speedwell `x`",
            "@speedwell bench \u{202e}evil=1",
            &format!("@speedwell {}", "x".repeat(5_000)),
        ] {
            let words = error(hostile);
            assert!(words.len() < 250, "{words}");
            assert!(
                !words.contains(['@', '<', '`', '[', '\u{202e}']),
                "{hostile:?}: {words}"
            );
        }
    }

    /// Whatever is written, it is read without a panic, and what it asks for has been checked.
    #[test]
    fn any_text_is_read() {
        let pieces = [
            "@speedwell",
            " ",
            "bench",
            "cancel",
            "status",
            "runtime=",
            "repeat=",
            "benchmarks=",
            "host=",
            "suite=",
            "=",
            "```",
            "~~~",
            ">",
            "<!--",
            "-->",
            "\n",
            "\r\n",
            "\t",
            "    ",
            "*",
            "{",
            "[",
            "ä",
            "\u{202e}",
            "\0",
            "9",
            "-1",
            "a",
            "'; DROP TABLE job; --",
            "../..",
            "$(id)",
            "`id`",
            ",",
        ];
        let mut random = SmallRng::seed_from_u64(11);
        let (mut asked, mut refused) = (0, 0);
        for _ in 0..60_000 {
            let count = random.random_range(0..14);
            let body: String = (0..count)
                .map(|_| pieces[random.random_range(0..pieces.len())])
                .collect();
            let text = if random.random_bool(0.5) {
                format!("@speedwell bench {body}")
            } else {
                body
            };
            match parse(&text) {
                Some(Ok(Command::Bench(options))) => {
                    asked += 1;
                    assert_eq!(options.check(), Ok(()), "{text:?}");
                }
                Some(Ok(Command::Cancel | Command::Status)) | None => {}
                Some(Err(_)) => refused += 1,
            }
        }
        assert!(asked > 500 && refused > 5_000, "{asked} {refused}");
    }
}
