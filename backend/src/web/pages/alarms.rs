//! Alarms: what stands still although it should not, and what was over last.

use actix_web::HttpResponse;
use actix_web::web::Data;
use askama::Template;
use chrono::{DateTime, Utc};

use super::{PageError, Shell, render};
use crate::context::Context;
use crate::db::alarms::{self, AlarmRow};
use crate::domain::alarm::{Kind, Limits};
use crate::web::format;

/// Alarms of each table that are shown.
const SHOWN: i64 = 100;

#[derive(Template)]
#[template(path = "alarms.html")]
struct Page {
    shell: Shell,
    raised: Vec<Row>,
    cleared: Vec<Row>,
    limits: Limits,
    operators: usize,
    has_mail: bool,
}

struct Row {
    what: String,
    /// Where it is seen; empty: nowhere.
    link: String,
    words: String,
    since: String,
    raised: String,
    cleared: String,
    told: String,
}

/// Where an alarm's subject is seen; none: nowhere but here.
pub(super) fn link_of(kind: Kind, subject: &str) -> Option<String> {
    match kind {
        Kind::StaleRuntime => Some(format!("/runtimes/{}", format::encode(subject))),
        Kind::SilentHost => Some(format!("/hosts/{}", format::encode(subject))),
        Kind::GrowingQueue | Kind::Unfetched => Some("/queue".to_owned()),
        Kind::SilentHook => Some("/deliveries".to_owned()),
        Kind::FailingTick | Kind::LateTick | Kind::FullDisk => None,
    }
}

pub(super) async fn alarms(context: Data<Context>) -> Result<HttpResponse, PageError> {
    let now = Utc::now();
    let raised = alarms::list_raised(&context.pool, SHOWN).await?;
    let cleared = alarms::list_cleared(&context.pool, SHOWN).await?;
    let mail = context.config.mail.as_ref();
    render(&Page {
        shell: Shell::new("Alarms", "").refreshing(60),
        raised: raised.into_iter().map(|one| row(one, now)).collect(),
        cleared: cleared.into_iter().map(|one| row(one, now)).collect(),
        limits: context.config.alarms.clone(),
        operators: mail.map_or(0, |mail| mail.operators.len()),
        has_mail: mail.is_some(),
    })
}

fn row(one: AlarmRow, now: DateTime<Utc>) -> Row {
    let kind = one.kind();
    let noun = kind.map_or("", |kind| kind.noun());
    let minute = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    Row {
        what: format!("{noun} {}", one.subject).trim().to_owned(),
        link: kind
            .and_then(|kind| link_of(kind, &one.subject))
            .unwrap_or_default(),
        words: one.words,
        since: format::ago(one.since, now),
        raised: minute(one.raised_at),
        cleared: one.cleared_at.map(minute).unwrap_or_default(),
        told: match one.told.len() {
            0 => "nobody".to_owned(),
            1 => "1 operator".to_owned(),
            many => format!("{many} operators"),
        },
    }
}
