//! The answer to a try run on its pull request: a status in one line, and a comment that is edited as the try goes on.

use speedwell_wire::Metric;

use super::message::one_line;
use crate::domain::try_run::{Answer, Change, TryState, TryVerdict};
use crate::forge::CommitState;

/// Benchmarks in the comment's table.
const MOST_ROWS: usize = 20;
/// Other metrics that it names.
const MOST_OTHERS: usize = 12;
/// Failing benchmarks that it names.
const MOST_FAILING: usize = 20;

/// What is told of a try.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its number.
    pub id: i64,
    /// Where it stands.
    pub state: TryState,
    /// What came of it.
    pub verdict: Option<TryVerdict>,
    /// In words.
    pub message: String,
    /// Who asked.
    pub requester: String,
    /// Hash of the head, once it is known.
    pub head: Option<String>,
    /// Hash of the base.
    pub base: Option<String>,
    /// The branch that it is meant for.
    pub base_branch: Option<String>,
    /// Rounds at most.
    pub budget: i32,
    /// Its runtimes.
    pub parts: Vec<ToldPart>,
    /// What was measured, clear changes first.
    pub series: Vec<ToldSeries>,
    /// Benchmarks that fail only with the head.
    pub failing: Vec<ToldFailing>,
}

/// One runtime of a try.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldPart {
    /// The runtime.
    pub runtime: String,
    /// Where it is measured.
    pub host: String,
    /// Rounds that were asked for.
    pub rounds: i32,
}

/// One series of a try.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldSeries {
    /// The runtime.
    pub runtime: String,
    /// The benchmark.
    pub benchmark: String,
    /// Its metric, change and what is said of it.
    pub change: Change,
    /// Level of the base, in the metric's unit.
    pub base: f64,
    /// Level of the head.
    pub head: f64,
}

/// A benchmark that fails only with the head.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldFailing {
    /// The runtime.
    pub runtime: String,
    /// The benchmark.
    pub benchmark: String,
    /// In the worker's words, which may repeat the program's.
    pub reason: String,
}

/// The status of the head: forges know no neutral one, so what is not clear is a success that says so.
pub fn status(told: &Told) -> (CommitState, String) {
    let (state, words) = match (told.state, told.verdict) {
        (TryState::WaitingForApproval, _) => (
            CommitState::Pending,
            "waits for a triager's approval".to_owned(),
        ),
        (TryState::Queued, _) => (CommitState::Pending, "waits for its turn".to_owned()),
        (TryState::Running, _) => (
            CommitState::Pending,
            format!("measuring: {}", progress(told)),
        ),
        (TryState::Cancelled, _) => (
            CommitState::Success,
            "cancelled; nothing is said".to_owned(),
        ),
        (TryState::Failed, _) => (CommitState::Failure, format!("failed: {}", told.message)),
        (TryState::Decided, Some(verdict)) => {
            let state = if verdict.is_bad() {
                CommitState::Failure
            } else {
                CommitState::Success
            };
            (state, format!("{}. {}", verdict.words(), told.message))
        }
        (TryState::Decided, None) => (CommitState::Success, told.message.clone()),
    };
    (state, one_line(&words, 140))
}

/// The comment, as Markdown. `base`: address of the pages.
pub fn comment(told: &Told, base: &str) -> String {
    let address = format!("{base}/tries/{}", told.id);
    let mut text = vec![format!("**Speedwell try {}: {}**", told.id, title(told))];
    if let (Some(head), Some(from)) = (&told.head, &told.base) {
        let branch = told.base_branch.as_deref();
        let branch = branch.map_or_else(String::new, |name| format!(" ({})", safe(name)));
        let places: Vec<String> = told
            .parts
            .iter()
            .map(|part| format!("{} on {}", safe(&part.runtime), safe(&part.host)))
            .collect();
        let measured = if places.is_empty() {
            String::new()
        } else {
            format!(", {}, measured in turn on one host", places.join(" and "))
        };
        text.push(format!(
            "{} against {}{branch}{measured}. Asked for by {}.",
            short(head),
            short(from),
            safe(&told.requester)
        ));
    }
    if !told.message.is_empty() {
        text.push(safe(&one_line(&told.message, 1500)));
    }
    text.extend(table(told));
    text.extend(others(told));
    text.extend(failing(told));
    text.push(format!("[Everything about it]({address})"));
    text.join("\n\n")
}

fn title(told: &Told) -> String {
    match (told.state, told.verdict) {
        (TryState::Decided, Some(verdict)) => verdict.words().to_owned(),
        (TryState::Running, _) => format!("measuring, {}", progress(told)),
        (TryState::WaitingForApproval, _) => {
            "waits until a triager has looked at what would run".to_owned()
        }
        (state, _) => state.words().to_owned(),
    }
}

fn progress(told: &Told) -> String {
    let rounds = told.parts.iter().map(|part| part.rounds).max().unwrap_or(0);
    format!("round {rounds} of at most {}", told.budget)
}

/// What benchmarks are there for, clear changes first.
fn table(told: &Told) -> Option<String> {
    let deciding: Vec<&ToldSeries> = told
        .series
        .iter()
        .filter(|one| one.change.decides())
        .collect();
    if deciding.is_empty() {
        return None;
    }
    let mut lines = vec![
        "| Runtime | Benchmark | Head / base | 95 % interval | |".to_owned(),
        "|---|---|---:|---:|---|".to_owned(),
    ];
    lines.extend(deciding.iter().take(MOST_ROWS).map(|one| {
        format!(
            "| {} | {} | {} | {} to {} | {} |",
            safe(&one.runtime),
            safe(&one.benchmark),
            percent(one.change.change),
            percent(one.change.low),
            percent(one.change.high),
            answer(&one.change)
        )
    }));
    if let Some(left) = deciding
        .len()
        .checked_sub(MOST_ROWS)
        .filter(|left| *left > 0)
    {
        lines.push(String::new());
        lines.push(format!("and {left} more, whose changes are smaller."));
    }
    Some(lines.join("\n"))
}

fn answer(change: &Change) -> &'static str {
    match (change.metric, change.answer) {
        (_, Answer::Unchanged | Answer::Unclear) | (Metric::WallTime, _) => change.answer.words(),
        (_, Answer::Worse) => "worse",
        (_, Answer::Better) => "better",
    }
}

/// Counters and memory that moved clearly.
fn others(told: &Told) -> Option<String> {
    let moved: Vec<String> = told
        .series
        .iter()
        .filter(|one| {
            !one.change.decides() && matches!(one.change.answer, Answer::Worse | Answer::Better)
        })
        .take(MOST_OTHERS)
        .map(|one| {
            format!(
                "{} {} {}",
                safe(&one.benchmark),
                safe(one.change.metric.label()),
                percent(one.change.change)
            )
        })
        .collect();
    (!moved.is_empty()).then(|| format!("Also moved: {}.", moved.join("; ")))
}

fn failing(told: &Told) -> Option<String> {
    let lines: Vec<String> = told
        .failing
        .iter()
        .take(MOST_FAILING)
        .map(|one| {
            format!(
                "- {} of {}: {}",
                safe(&one.benchmark),
                safe(&one.runtime),
                safe(&one_line(&one.reason, 200))
            )
        })
        .collect();
    (!lines.is_empty()).then(|| format!("Newly failing:\n{}", lines.join("\n")))
}

fn short(hash: &str) -> String {
    hash.chars().take(10).collect()
}

fn percent(change: f64) -> String {
    // Without the sign of a negative nothing.
    format!("{:+.2} %", (change * 10_000.0).round() / 100.0 + 0.0)
}

/// Anyone's text as itself: no mark-up, no link, nobody called.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '(' | ')' | '*' | '`' | '\\' | '#' | '!' | '~' | '|' | '_' => {
                safe.push('\\');
                safe.push(c);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // Calls somebody.
            '@' => safe.push_str("@\u{200b}"),
            '\n' | '\r' => safe.push(' '),
            // `http://` and `www.` become links by themselves.
            ':' => safe.push_str(":\u{200b}"),
            other => safe.push(other),
        }
    }
    safe.replace("www.", "www\u{200b}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(benchmark: &str, metric: Metric, answer: Answer, change: f64) -> ToldSeries {
        ToldSeries {
            runtime: "cpython-main".to_owned(),
            benchmark: benchmark.to_owned(),
            change: Change {
                metric,
                answer,
                change,
                low: change - 0.004,
                high: change + 0.004,
            },
            base: 1.0,
            head: 1.0 + change,
        }
    }

    fn told() -> Told {
        Told {
            id: 7,
            state: TryState::Decided,
            verdict: Some(TryVerdict::Worse),
            message: "Of 2 benchmarks: 1 slower, 1 within the noise.".to_owned(),
            requester: "ann".to_owned(),
            head: Some("a".repeat(40)),
            base: Some("b".repeat(40)),
            base_branch: Some("main".to_owned()),
            budget: 10,
            parts: vec![ToldPart {
                runtime: "cpython-main".to_owned(),
                host: "lab-1".to_owned(),
                rounds: 3,
            }],
            series: vec![
                series("richards", Metric::WallTime, Answer::Worse, 0.05),
                series("nbody", Metric::WallTime, Answer::Unchanged, -0.000_01),
                series("richards", Metric::Instructions, Answer::Worse, 0.07),
                series("nbody", Metric::Instructions, Answer::Unchanged, 0.0),
            ],
            failing: vec![],
        }
    }

    #[test]
    fn the_comment_is_a_table_with_intervals() {
        let text = comment(&told(), "https://s.example");
        assert!(text.starts_with("**Speedwell try 7: slower**"), "{text}");
        assert!(
            text.contains("| cpython-main | richards | +5.00 % | +4.60 % to +5.40 % | slower |"),
            "{text}"
        );
        assert!(
            text.contains("| nbody | +0.00 % | -0.40 % to +0.40 % | within the noise |"),
            "{text}"
        );
        assert!(text.contains("Also moved: richards"), "{text}");
        assert!(text.ends_with("(https://s.example/tries/7)"), "{text}");
    }

    #[test]
    fn each_state_has_a_status() {
        let mut one = told();
        assert_eq!(status(&one).0, CommitState::Failure);
        one.verdict = Some(TryVerdict::Unclear);
        assert_eq!(status(&one).0, CommitState::Success);
        for (state, expected) in [
            (TryState::WaitingForApproval, CommitState::Pending),
            (TryState::Queued, CommitState::Pending),
            (TryState::Running, CommitState::Pending),
            (TryState::Cancelled, CommitState::Success),
            (TryState::Failed, CommitState::Failure),
        ] {
            one.state = state;
            one.verdict = None;
            assert_eq!(status(&one).0, expected, "{state:?}");
        }
        one.message = "x\n".repeat(500);
        let (_, words) = status(&one);
        assert!(
            words.chars().count() <= 140 && !words.contains('\n'),
            "{words}"
        );
    }

    #[test]
    fn nothing_of_a_stranger_is_mark_up_or_calls_anybody() {
        let mut one = told();
        let hostile =
            "@everyone [x](http://evil) <img src=x> | `a` https://evil.example www.evil.example";
        one.message = hostile.to_owned();
        one.requester = hostile.to_owned();
        one.failing.push(ToldFailing {
            runtime: "cpython-main".to_owned(),
            benchmark: "richards".to_owned(),
            reason: format!("{hostile}\n# title"),
        });
        let text = comment(&one, "https://s.example");
        for bad in [
            "@everyone",
            "[x](",
            "<img",
            "://evil",
            "www.evil",
            "\n# ",
            " `a`",
        ] {
            assert!(!text.contains(bad), "{bad}: {text}");
        }
    }
}
