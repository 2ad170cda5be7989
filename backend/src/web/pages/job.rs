//! A job with its log, live while it runs.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use askama::Template;
use chrono::Utc;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::queue::{self, JobRow};
use crate::web::error::Error;
use crate::web::{format, job_log};

/// The end of the log that the page shows, in bytes; the whole is a link.
const SHOWN: usize = 64 << 10;

#[derive(Template)]
#[template(path = "job.html")]
struct Page {
    shell: Shell,
    job: JobRow,
    short: String,
    percent: i32,
    times: Vec<(&'static str, String)>,
    events: Vec<(String, String, String)>,
    failure_log: Option<String>,
    log: String,
    log_cut: bool,
}

pub(super) async fn job(context: Data<Context>, id: Path<i64>) -> Result<HttpResponse, PageError> {
    let job = queue::find_job(&context.pool, *id).await?;
    let job = job.ok_or_else(|| Error::NotFound(format!("There is no job {id}.")))?;
    let events = queue::list_events(&context.pool, *id).await?;
    let (failure_log, _) = queue::find_log(&context.pool, *id)
        .await?
        .unwrap_or_default();
    let text = job_log::read(&context, *id).await?;
    let (log, log_cut) = end_of(&text, SHOWN);
    let mut shell = Shell::new(format!("Job {id}"), "queue");
    if matches!(job.state.as_str(), "queued" | "running") {
        shell = shell.refreshing(3);
    }
    let times = [
        ("queued", Some(job.created_at)),
        ("last begun", job.started_at),
        ("over", job.finished_at),
    ];
    let now = Utc::now();
    let page = Page {
        shell,
        short: format::short(&job.hash),
        percent: job.percent.map_or(0, |percent| percent as i32),
        times: times
            .into_iter()
            .filter_map(|(what, at)| {
                at.map(|at| {
                    (
                        what,
                        format!("{}, {}", format::moment(at), format::ago(at, now)),
                    )
                })
            })
            .collect(),
        events: events
            .into_iter()
            .map(|event| {
                (
                    event.at.format("%H:%M:%S").to_string(),
                    event.host.unwrap_or_default(),
                    event.message,
                )
            })
            .collect(),
        failure_log: failure_log.filter(|text| !text.is_empty()),
        log: log.to_owned(),
        log_cut,
        job,
    };
    render(&page)
}

/// The last whole lines of a text, at most so many bytes.
fn end_of(text: &str, most: usize) -> (&str, bool) {
    if text.len() <= most {
        return (text, false);
    }
    let tail = &text[text.ceil_char_boundary(text.len() - most)..];
    (tail.split_once('\n').map_or(tail, |(_, rest)| rest), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_begins_with_a_whole_line() {
        assert_eq!(end_of("ab\ncd\n", 100), ("ab\ncd\n", false));
        assert_eq!(end_of("ab\ncd\nef\n", 5), ("ef\n", true));
        assert_eq!(end_of("ää\nöö\n", 6), ("öö\n", true));
        assert_eq!(end_of("", 0), ("", false));
    }
}
