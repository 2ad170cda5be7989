//! One try: what would run while it waits for approval, how far it is, what was found, and the runs behind it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;

use super::{Head, head};
use crate::context::Context;
use crate::db::tries::results::{self, FailingRow, ResultRow};
use crate::db::tries::show::{self, PartRow, TryJobRow};
use crate::domain::compare::Ratio;
use crate::domain::role::Role;
use crate::domain::try_run::{Answer, Change, TryState, sum_up};
use crate::web::format;
use crate::web::pages::{PageError, Shell, render};
use crate::web::session::Visitor;
use crate::web::tries::unknown;

/// Jobs that are shown: two for each round.
const JOBS: i64 = 200;
/// Counters that are shown.
const MOST_OTHERS: usize = 100;

#[derive(Template)]
#[template(path = "try.html")]
struct Page {
    shell: Shell,
    head: Head,
    waits: bool,
    may_approve: bool,
    may_cancel: bool,
    diff: Option<String>,
    diff_cut: bool,
    parts: Vec<Part>,
    rows: Vec<Row>,
    /// Geometric mean of the times, and over how many.
    mean: Option<Mean>,
    others: Vec<Row>,
    others_cut: usize,
    failing: Vec<FailingRow>,
    jobs: Vec<Job>,
}

struct Part {
    row: PartRow,
    percent: i64,
    /// When it will be its turn, and how long it may take.
    left: Option<String>,
    compare: Option<String>,
}

struct Row {
    row: ResultRow,
    metric: String,
    base: String,
    head: String,
    change: String,
    low: String,
    high: String,
    answer: &'static str,
    class: &'static str,
}

struct Mean {
    text: String,
    low: String,
    high: String,
    count: usize,
    class: &'static str,
}

struct Job {
    row: TryJobRow,
    round: i32,
    percent: i32,
}

pub(in crate::web::pages) async fn one(
    context: Data<Context>,
    visitor: Visitor,
    id: Path<i64>,
) -> Result<HttpResponse, PageError> {
    let pool = &context.pool;
    let row = show::find(pool, *id).await?.ok_or_else(|| unknown(*id))?;
    let state = row.state.parse::<TryState>();
    let open = state.as_ref().is_ok_and(|state| !state.is_over());
    let waits = state == Ok(TryState::WaitingForApproval);
    let (diff, diff_cut) = show::find_diff(pool, *id).await?.unwrap_or_default();
    let parts = show::list_parts(pool, *id).await?;
    let found = results::list_results(pool, *id).await?;
    let failing = results::list_failing(pool, *id).await?;
    let jobs = show::list_jobs(pool, *id, JOBS).await?;
    let changes: Vec<Change> = found.iter().filter_map(change_of).collect();
    let newly = failing.iter().filter(|one| !one.base_too).count();
    let mean = sum_up(&changes, newly).mean;
    let (deciding, others): (Vec<ResultRow>, Vec<ResultRow>) = found
        .into_iter()
        .partition(|one| change_of(one).is_some_and(|change| change.decides()));
    let mut others: Vec<Row> = others
        .into_iter()
        .filter(|one| one.verdict == "worse" || one.verdict == "better")
        .map(result_row)
        .collect();
    let others_cut = others.len().saturating_sub(MOST_OTHERS);
    others.truncate(MOST_OTHERS);
    let shell = Shell::new(format!("Try {id}"), "tries");
    let own = visitor
        .0
        .as_ref()
        .is_some_and(|actor| actor.name == row.requester);
    let page = Page {
        shell: if open { shell.refreshing(10) } else { shell },
        waits,
        may_approve: waits && visitor.may(Role::Triager) && row.head_hash.is_some(),
        may_cancel: open && (own || visitor.may(Role::Triager)),
        diff: diff.map(|text| show_hidden(&text)),
        diff_cut,
        parts: parts.into_iter().map(|part| part_of(part, &row)).collect(),
        rows: deciding.into_iter().map(result_row).collect(),
        mean: mean.map(mean_of),
        others,
        others_cut,
        failing,
        jobs: jobs.into_iter().map(job_of).collect(),
        head: head(row),
    };
    render(&page)
}

/// A difference with nothing in it that hides: what turns the direction of writing, or has no width, can show a reviewer other code than
/// the compiler sees (CVE-2021-42574).
fn show_hidden(text: &str) -> String {
    let hides = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
            || (c.is_control() && c != '\n' && c != '\t')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) {
            shown.push_str(&format!("\u{27e6}U+{:04X}\u{27e7}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn change_of(row: &ResultRow) -> Option<Change> {
    let size = (row.change, row.change_low, row.change_high);
    Change::read(&row.metric, &row.verdict, size)
}

fn part_of(row: PartRow, of: &show::TryRow) -> Part {
    let all = (row.jobs_over + row.jobs_open).max(1);
    let subject = |hash: &str| format::encode(&format!("{}@{hash}~{}", row.runtime, row.host));
    let compare = match (&of.base_hash, &of.head_hash) {
        (Some(base), Some(head)) if row.jobs_over > 1 => {
            Some(format!("/compare?a={}&b={}", subject(base), subject(head)))
        }
        _ => None,
    };
    Part {
        percent: row.jobs_over * 100 / all,
        left: left(&row),
        compare,
        row,
    }
}

/// Where it stands in its host's queue, and how long that may take.
fn left(part: &PartRow) -> Option<String> {
    if part.state != "measuring" {
        return None;
    }
    let duration = |seconds: f64| format::duration(seconds.round() as i64);
    let place = match part.ahead {
        None => "its last job of this round runs".to_owned(),
        Some(0) => "next".to_owned(),
        Some(1) => "after one other job".to_owned(),
        Some(ahead) => format!("after {ahead} other jobs"),
    };
    let ahead = part.ahead.unwrap_or(0) as f64;
    let waiting = part
        .host_seconds
        .or(part.typical_seconds)
        .map(|one| one * ahead);
    let own = part.typical_seconds.map(|one| one * part.jobs_open as f64);
    Some(match (waiting, own) {
        (Some(waiting), Some(own)) if ahead > 0.0 => format!(
            "{place}, in about {}; its {} queued jobs take about {}",
            duration(waiting),
            part.jobs_open,
            duration(own)
        ),
        (_, Some(own)) => format!(
            "{place}; its {} open jobs take about {}",
            part.jobs_open,
            duration(own)
        ),
        (_, None) => place,
    })
}

fn result_row(row: ResultRow) -> Row {
    let is_time = row.metric == "wall_time";
    let answer: Option<Answer> = row.verdict.parse().ok();
    let (words, class) = match answer {
        Some(Answer::Worse) if is_time => ("slower", "regressed"),
        Some(Answer::Worse) => ("worse", "regressed"),
        Some(Answer::Better) if is_time => ("faster", "improved"),
        Some(Answer::Better) => ("better", "improved"),
        Some(Answer::Unchanged) => (Answer::Unchanged.words(), "unchanged"),
        Some(Answer::Unclear) => (Answer::Unclear.words(), "too_few"),
        None => ("unknown", ""),
    };
    Row {
        metric: format::metric_label(&row.metric),
        base: format::metric_value(row.base, &row.metric),
        head: format::metric_value(row.head, &row.metric),
        change: format::percent(row.change),
        low: format::percent(row.change_low),
        high: format::percent(row.change_high),
        answer: words,
        class,
        row,
    }
}

fn mean_of(mean: Ratio) -> Mean {
    Mean {
        text: format::percent(mean.ratio - 1.0),
        low: format::percent(mean.low - 1.0),
        high: format::percent(mean.high - 1.0),
        count: mean.count,
        class: match (mean.low > 1.0, mean.high < 1.0) {
            (true, _) => "regressed",
            (_, true) => "improved",
            (false, false) => "unchanged",
        },
    }
}

fn job_of(row: TryJobRow) -> Job {
    Job {
        round: row.round + 1,
        percent: row.percent.map_or(0, |percent| percent as i32),
        row,
    }
}

#[cfg(test)]
mod tests {
    use super::show_hidden;

    #[test]
    fn nothing_hides_in_a_difference() {
        assert_eq!(show_hidden("+a\tb\n"), "+a\tb\n");
        assert_eq!(
            show_hidden("x\u{202e}y\r\u{200b}"),
            "x\u{27e6}U+202E\u{27e7}y\u{27e6}U+000D\u{27e7}\u{27e6}U+200B\u{27e7}"
        );
    }
}
