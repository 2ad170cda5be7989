//! The home page: is anything wrong, how each runtime stands, what changed this week, and the long view.

mod alarms;
mod cards;
mod long;

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::{DateTime, Duration, Utc};

use super::regressions::Row as RegressionCard;
use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::alarms as db_alarms;
use crate::db::home::{self, COUNTED, HostRow, Standing};
use crate::db::overview;
use crate::db::regression_lists;
use crate::web::format;

use alarms::Alarm;
use cards::Card;
pub(super) use cards::{Mean, mean as runtime_mean};
use long::LongView;

/// Newest points of a card's small chart.
const NEWEST: i64 = 40;
/// Points of the long chart for each runtime: more than a year of weeks.
const LONG: i64 = 56;
/// Changes of a week that are looked at.
const RECENT: i64 = 200;
/// Alarms that are looked at.
const ALARMS: i64 = 30;
/// Hosts that are shown.
const HOSTS: i64 = 50;

#[derive(Template)]
#[template(path = "home.html")]
struct Page {
    shell: Shell,
    alarms: Vec<Alarm>,
    /// What was looked at and is in order, in words.
    order: String,
    cards: Vec<Card>,
    controls: Vec<String>,
    hosts: Vec<HostLine>,
    queue: String,
    worse: Vec<RegressionCard>,
    better: Vec<RegressionCard>,
    long: Option<LongView>,
}

struct HostLine {
    name: String,
    link: String,
    silent: bool,
    /// What it does, or when it was last heard of.
    words: String,
}

pub(super) async fn home(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let pool = &context.planned;
    let now = Utc::now();
    let all = overview::list_runtimes(pool, None).await?;
    let (controls, runtimes): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.control);
    let pairs: Vec<(i64, i64)> = runtimes
        .iter()
        .filter_map(|one| Some((one.id, one.host_id?)))
        .collect();
    let points = home::list_points(pool, &pairs, NEWEST, LONG).await?;
    let recent = home::list_recent(pool, now - Duration::days(7), RECENT).await?;
    let standing = home::find_standing(pool).await?;
    let hosts = home::list_hosts(pool, HOSTS).await?;
    let raised = db_alarms::list_raised(pool, ALARMS).await?;
    let (better, worse): (Vec<_>, Vec<_>) = regression_lists::list_newest(pool)
        .await?
        .into_iter()
        .partition(|one| one.better);
    let limit = i64::try_from(context.config.stale_seconds).unwrap_or(i64::MAX);
    let hosts: Vec<HostLine> = hosts
        .into_iter()
        .map(|one| host_line(one, limit, now))
        .collect();
    render(&Page {
        shell: Shell::new("Home", "home").refreshing(60),
        alarms: alarms::find(&runtimes, &standing, &hosts, &raised, now),
        order: order(runtimes.len(), hosts.len(), &standing),
        long: long::view(&runtimes, &points),
        worse: worse.into_iter().map(RegressionCard::new).collect(),
        better: better.into_iter().map(RegressionCard::new).collect(),
        cards: runtimes
            .into_iter()
            .map(|row| cards::card(row, &points, &recent, now))
            .collect(),
        controls: controls.into_iter().map(|one| one.name).collect(),
        queue: queue_words(&standing),
        hosts,
    })
}

fn host_line(row: HostRow, limit: i64, now: DateTime<Utc>) -> HostLine {
    let age = row.last_seen_at.map(|at| (now - at).num_seconds());
    let silent = age.is_none_or(|age| age > limit);
    let words = match (silent, row.last_seen_at, row.runtime) {
        (true, None, _) => "never heard of".to_owned(),
        (true, Some(at), _) => format!("silent, last heard of {}", format::ago(at, now)),
        (false, _, Some(runtime)) => match row.percent {
            Some(percent) => format!("measures {runtime}, {percent:.0}\u{a0}%"),
            None => format!("measures {runtime}"),
        },
        (false, _, None) => "idle".to_owned(),
    };
    HostLine {
        link: format!("/hosts/{}", format::encode(&row.name)),
        name: row.name,
        silent,
        words,
    }
}

/// A count that stopped at its bound says so.
fn counted(count: i64) -> String {
    if count >= COUNTED {
        format!("{COUNTED} or more")
    } else {
        count.to_string()
    }
}

fn queue_words(standing: &Standing) -> String {
    match (standing.running, standing.queued) {
        (0, 0) => "nothing runs, nothing waits".to_owned(),
        (running, queued) => format!("{} run, {} wait", counted(running), counted(queued)),
    }
}

fn order(runtimes: usize, hosts: usize, standing: &Standing) -> String {
    let count = |number: usize, word: &str| {
        format!("{number} {word}{}", if number == 1 { "" } else { "s" })
    };
    let suspected = match standing.suspected {
        0 => String::new(),
        1 => " One suspicion is being measured again.".to_owned(),
        many => format!(" {} suspicions are being measured again.", counted(many)),
    };
    format!(
        "{} and {} are as they should be; no confirmed regression is open.{suspected}",
        count(runtimes, "runtime"),
        count(hosts, "host")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_stopped_say_so_and_silence_has_a_length() {
        assert_eq!(counted(3), "3");
        assert_eq!(counted(COUNTED), "1000 or more");
        let now = Utc::now();
        let row = |seconds: Option<i64>| HostRow {
            name: "a b".to_owned(),
            last_seen_at: seconds.map(|seconds| now - Duration::seconds(seconds)),
            job_id: None,
            runtime: None,
            percent: None,
        };
        assert_eq!(host_line(row(None), 180, now).words, "never heard of");
        let silent = host_line(row(Some(7200)), 180, now);
        assert!(silent.silent && silent.words.contains("2\u{a0}h ago"));
        assert_eq!(host_line(row(Some(10)), 180, now).words, "idle");
    }
}
