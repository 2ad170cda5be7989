//! Is anything wrong? Each answer with the page that shows it.

use chrono::{DateTime, Duration, Utc};

use super::super::alarms::link_of;
use super::{HostLine, counted};
use crate::db::alarms::AlarmRow;
use crate::db::home::Standing;
use crate::db::overview::RuntimeOverview;
use crate::domain::alarm::Kind;
use crate::web::format;

/// Commits may wait this long before a runtime is called stale, in hours.
const STALE_HOURS: i64 = 24;

/// Something that is wrong.
pub(super) struct Alarm {
    /// Where it is seen.
    pub(super) link: String,
    /// What it is about; the text of the link.
    pub(super) subject: String,
    /// The rest of the sentence.
    pub(super) words: String,
}

/// Everything that is wrong, what people must act on first.
pub(super) fn find(
    runtimes: &[RuntimeOverview],
    standing: &Standing,
    hosts: &[HostLine],
    raised: &[AlarmRow],
    now: DateTime<Utc>,
) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if standing.open > 0 {
        let plural = if standing.open == 1 { "" } else { "s" };
        let taken_on = match standing.taken_on {
            0 => String::new(),
            more => format!(" ({} more are taken care of)", counted(more)),
        };
        alarms.push(Alarm {
            link: "/regressions?state=confirmed&state=bisecting&state=found&direction=worse"
                .to_owned(),
            subject: format!("{} confirmed regression{plural}", counted(standing.open)),
            words: format!("that nobody has taken on{taken_on}"),
        });
    }
    alarms.extend(runtimes.iter().filter_map(failing));
    alarms.extend(runtimes.iter().filter_map(|one| stale(one, now)));
    alarms.extend(hosts.iter().filter(|host| host.silent).map(|host| Alarm {
        link: host.link.clone(),
        subject: format!("Host {}", host.name),
        words: format!("is {}", host.words),
    }));
    if standing.unfetched > 0 {
        alarms.push(Alarm {
            link: "/queue".to_owned(),
            subject: format!("{} repositories", counted(standing.unfetched)),
            words: "could not be fetched the last time".to_owned(),
        });
    }
    // What stands above already is not said twice.
    let said: Vec<String> = alarms.iter().map(|one| one.link.clone()).collect();
    alarms.extend(raised.iter().filter_map(|one| of_service(one, &said)));
    alarms
}

/// What the alarms tick has raised.
fn of_service(one: &AlarmRow, said: &[String]) -> Option<Alarm> {
    let kind = one.kind()?;
    let link = link_of(kind, &one.subject);
    let is_said = match kind {
        Kind::StaleRuntime | Kind::SilentHost | Kind::Unfetched => {
            link.as_ref().is_some_and(|link| said.contains(link))
        }
        Kind::GrowingQueue
        | Kind::SilentHook
        | Kind::FailingTick
        | Kind::LateTick
        | Kind::FullDisk => false,
    };
    let mut subject = format!("{} {}", kind.noun(), one.subject);
    if let Some(first) = subject.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    (!is_said).then(|| Alarm {
        link: "/alarms".to_owned(),
        subject,
        words: one.words.clone(),
    })
}

/// A runtime whose newest commit failed.
fn failing(one: &RuntimeOverview) -> Option<Alarm> {
    let job = one
        .head_job_id
        .filter(|_| one.head_job_state.as_deref() == Some("failed"))?;
    let words = match one.head_job_failure.as_deref() {
        Some("build") => "does not build at its newest commit".to_owned(),
        Some(phase) => format!("failed at its newest commit, in the phase {phase}"),
        None => "failed at its newest commit".to_owned(),
    };
    Some(Alarm {
        link: format!("/jobs/{job}"),
        subject: one.name.clone(),
        words,
    })
}

/// A runtime without a new result although commits wait. A branch that rests is not stale.
fn stale(one: &RuntimeOverview, now: DateTime<Utc>) -> Option<Alarm> {
    let head = one.head_position?;
    let waiting = match one.measured_position {
        Some(measured) => i64::from(head) - i64::from(measured),
        None => i64::from(head) + 1,
    };
    if waiting <= 0 || one.imported || one.head_job_state.as_deref() == Some("failed") {
        return None;
    }
    let since = one.measured_at?;
    if now - since < Duration::hours(STALE_HOURS) {
        return None;
    }
    Some(Alarm {
        link: format!("/runtimes/{}", format::encode(&one.name)),
        subject: one.name.clone(),
        words: format!(
            "has no new result for {} although {waiting} commit{} wait{}",
            format::duration((now - since).num_seconds()),
            if waiting == 1 { "" } else { "s" },
            if waiting == 1 { "s" } else { "" },
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::cards::tests::row;
    use super::*;

    const NOTHING: Standing = Standing {
        open: 0,
        taken_on: 0,
        suspected: 9,
        queued: 9,
        running: 1,
        unfetched: 0,
    };

    #[test]
    fn nothing_wrong_is_nothing_and_each_wrong_has_its_page() {
        let now = Utc::now();
        let mut one = row(now);
        assert!(
            find(&[one.clone()], &NOTHING, &[], &[], now).is_empty(),
            "suspicions and a queue are no alarm"
        );
        one.head_position = Some(12);
        assert!(
            find(&[one.clone()], &NOTHING, &[], &[], now).is_empty(),
            "a result of today"
        );
        one.measured_at = Some(now - Duration::days(3));
        let alarms = find(&[one.clone()], &NOTHING, &[], &[], now);
        assert_eq!(alarms.len(), 1);
        assert_eq!(
            alarms[0].words,
            "has no new result for 3\u{a0}days although 2 commits wait"
        );
        assert_eq!(alarms[0].link, "/runtimes/a%26b");
        one.head_job_state = Some("failed".to_owned());
        one.head_job_id = Some(7);
        one.head_job_failure = Some("build".to_owned());
        let open = Standing {
            open: 2,
            taken_on: 1,
            ..NOTHING
        };
        let raised = |kind: Kind, subject: &str| AlarmRow {
            id: 1,
            kind: kind.as_str().to_owned(),
            subject: subject.to_owned(),
            words: "stands".to_owned(),
            since: now,
            raised_at: now,
            cleared_at: None,
            told: Vec::new(),
        };
        let of_tick = [
            raised(Kind::StaleRuntime, "other"),
            raised(Kind::FailingTick, "detect"),
        ];
        let found = find(&[], &NOTHING, &[], &of_tick, now);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].subject, "Tick detect");
        let mut late = row(now);
        late.head_position = Some(12);
        late.measured_at = Some(now - Duration::days(3));
        let same = [raised(Kind::StaleRuntime, &late.name)];
        assert_eq!(
            find(&[late], &NOTHING, &[], &same, now).len(),
            1,
            "said once"
        );
        let words: Vec<String> = find(&[one], &open, &[], &[], now)
            .iter()
            .map(|alarm| format!("{} {} {}", alarm.link, alarm.subject, alarm.words))
            .collect();
        assert_eq!(words.len(), 2, "what fails is not also stale: {words:?}");
        assert!(
            words[0].contains("2 confirmed regressions that nobody has taken on (1 more"),
            "{words:?}"
        );
        assert_eq!(words[1], "/jobs/7 a&b does not build at its newest commit");
    }
}
