//! The queue and the hosts: what runs, what waits and why, what is stale.

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::queue::{self, HostRow, JobRow, RepositoryRow};
use crate::web::format;

/// Waiting jobs that are shown.
const WAITING: i64 = 50;
/// Finished jobs that are shown.
const OVER: i64 = 30;

#[derive(Template)]
#[template(path = "queue.html")]
struct Page {
    shell: Shell,
    running: Vec<Row>,
    waiting: Vec<Row>,
    over: Vec<Row>,
    hosts: Vec<Host>,
    repositories: Vec<Repository>,
}

struct Row {
    job: JobRow,
    short: String,
    percent: i32,
    when: String,
    why: String,
}

struct Host {
    link: String,
    row: HostRow,
    stale: bool,
    seen: String,
    cpu: String,
}

struct Repository {
    row: RepositoryRow,
    looked: String,
}

pub(super) async fn queue(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let now = Utc::now();
    let open = queue::list_jobs(&context.pool, &["running", "queued"], WAITING).await?;
    let over = queue::list_jobs(&context.pool, &["succeeded", "failed", "cancelled"], OVER).await?;
    let mut hosts = queue::list_hosts(&context.pool).await?;
    // What is measured elsewhere has no queue.
    hosts.retain(|host| !host.imported);
    let hosts: Vec<Host> = hosts
        .into_iter()
        .map(|row| host(&context, row, now))
        .collect();
    let repositories = queue::list_repositories(&context.pool).await?;
    let (running, waiting): (Vec<JobRow>, Vec<JobRow>) =
        open.into_iter().partition(|job| job.state == "running");
    let page = Page {
        shell: Shell::new("Queue and hosts", "queue").refreshing(10),
        running: running
            .into_iter()
            .map(|job| row(job, &hosts, now))
            .collect(),
        waiting: waiting
            .into_iter()
            .map(|job| row(job, &hosts, now))
            .collect(),
        over: over.into_iter().map(|job| row(job, &hosts, now)).collect(),
        repositories: repositories
            .into_iter()
            .map(|row| Repository {
                looked: row
                    .last_fetch_at
                    .map_or_else(|| "never".to_owned(), |at| format::ago(at, now)),
                row,
            })
            .collect(),
        hosts,
    };
    render(&page)
}

fn host(context: &Context, row: HostRow, now: DateTime<Utc>) -> Host {
    let age = row.last_seen_at.map(|at| (now - at).num_seconds());
    let limit = i64::try_from(context.config.stale_seconds).unwrap_or(i64::MAX);
    let fact = |name: &str| row.facts.as_ref().and_then(|facts| facts.get(name));
    let cpu = fact("cpu_model")
        .and_then(Value::as_str)
        .unwrap_or("not registered yet");
    let cores = fact("cores")
        .and_then(Value::as_i64)
        .map(|cores| format!(", {cores} processor{}", if cores == 1 { "" } else { "s" }))
        .unwrap_or_default();
    Host {
        link: format!("/hosts/{}", format::encode(&row.name)),
        stale: age.is_none_or(|age| age > limit),
        seen: row
            .last_seen_at
            .map_or_else(|| "never".to_owned(), |at| format::ago(at, now)),
        cpu: format!("{cpu}{cores}"),
        row,
    }
}

/// Why a job waits, in words.
fn why(job: &JobRow, hosts: &[Host], now: DateTime<Utc>) -> String {
    if job.not_before > now {
        let pause = format::duration((job.not_before - now).num_seconds());
        return match &job.failure_message {
            Some(message) => format!("tried again in {pause}; last time: {message}"),
            None => format!("not before {pause} have passed"),
        };
    }
    let fitting: Vec<&Host> = hosts
        .iter()
        .filter(|host| host.row.class == job.host_class)
        .collect();
    if fitting.is_empty() {
        return format!("no host of class {} is registered", job.host_class);
    }
    if fitting.iter().all(|host| host.stale) {
        return format!("every host of class {} is silent", job.host_class);
    }
    if fitting
        .iter()
        .all(|host| host.stale || host.row.job_id.is_some())
    {
        return "its hosts are busy".to_owned();
    }
    "next".to_owned()
}

fn row(job: JobRow, hosts: &[Host], now: DateTime<Utc>) -> Row {
    let when = job.finished_at.or(job.started_at).unwrap_or(job.created_at);
    Row {
        short: format::short(&job.hash),
        percent: job.percent.map_or(0, |percent| percent as i32),
        when: format::ago(when, now),
        why: if job.state == "queued" {
            why(&job, hosts, now)
        } else {
            String::new()
        },
        job,
    }
}
