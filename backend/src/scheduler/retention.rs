//! Takes what the configuration does not keep any longer: objects of the store, samples of old measurements, and rows that are only looked
//! back at.
//!
//! Killed anywhere, the rest is taken by the next pass: an object goes before its row says so, and a partition is exchanged in one
//! transaction. Its lock is the one that a backup holds while it copies.

use chrono::{DateTime, TimeDelta, Utc};

use super::Outcome;
use crate::context::Context;
use crate::db::prune;
use crate::db::retention::{self, Partition};
use crate::domain::retention::Rows;

/// Objects that are taken between two notes of it.
const BATCH: i64 = 200;
/// Rows that are rewritten or taken at once: no long lock.
const ROWS: i64 = 2000;

/// Something that is older than the configuration keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Objects of the store.
    Artefacts {
        /// The configuration's key.
        key: &'static str,
        /// `run`, `log`, `profile` or `build`.
        kind: &'static str,
        /// They were stored before this.
        before: DateTime<Utc>,
        /// How many.
        count: i64,
        /// Their size.
        bytes: i64,
    },
    /// The samples of a year.
    Samples(Partition),
    /// Rows of the database.
    Rows {
        /// The configuration's key.
        key: &'static str,
        /// Which.
        rows: Rows,
        /// They are from before this.
        before: DateTime<Utc>,
        /// How many.
        count: i64,
    },
}

impl Due {
    /// In words, for an operator.
    pub fn describe(&self) -> String {
        match self {
            Self::Artefacts {
                key,
                kind,
                before,
                count,
                bytes,
            } => format!(
                "{key}: {count} object(s) of the kind {kind} from before {}, {:.1} MB",
                before.format("%Y-%m-%d"),
                *bytes as f64 / 1e6
            ),
            Self::Samples(partition) => format!(
                "retention.samples_days: the samples of {} ({} measurements, {:.1} MB with summaries and indexes)",
                partition.name,
                partition.rows,
                partition.bytes as f64 / 1e6
            ),
            Self::Rows {
                key,
                rows,
                before,
                count,
            } => format!(
                "{key}: {count} {} from before {}",
                rows.words(),
                before.format("%Y-%m-%d")
            ),
        }
    }
}

/// One pass.
pub async fn tick(context: &Context) -> Outcome {
    let due = find(context, Utc::now()).await?;
    let mut done = Vec::new();
    for one in &due {
        done.push(take(context, one).await?);
    }
    if let Some(others) = take_others(context, Utc::now()).await? {
        done.push(others);
    }
    Ok((!done.is_empty()).then(|| done.join("; ")))
}

/// What is due as of `now`.
pub async fn find(context: &Context, now: DateTime<Utc>) -> anyhow::Result<Vec<Due>> {
    let settings = &context.config.retention;
    let ago = |days: u32| now - TimeDelta::days(i64::from(days));
    let mut due = Vec::new();
    for (key, kind, days) in settings.artefacts() {
        let Some(before) = days.map(ago) else {
            continue;
        };
        let (count, bytes) = retention::count_artefacts(&context.pool, kind, before).await?;
        if count > 0 {
            due.push(Due::Artefacts {
                key,
                kind,
                before,
                count,
                bytes,
            });
        }
    }
    if let Some(before) = settings.samples_days.map(ago) {
        let partitions = retention::list_partitions(&context.pool, before).await?;
        due.extend(partitions.into_iter().map(Due::Samples));
    }
    for (key, rows, days) in settings.rows() {
        let Some(before) = days.map(ago) else {
            continue;
        };
        let count = prune::count(&context.pool, rows, before).await?;
        if count > 0 {
            due.push(Due::Rows {
                key,
                rows,
                before,
                count,
            });
        }
    }
    Ok(due)
}

/// Takes it; what was done, in words.
pub async fn take(context: &Context, due: &Due) -> anyhow::Result<String> {
    match due {
        Due::Artefacts { kind, before, .. } => take_artefacts(context, kind, *before).await,
        Due::Samples(partition) => {
            let mut transaction = context.pool.begin().await?;
            let after = retention::thin(&mut transaction, partition).await?;
            transaction.commit().await?;
            Ok(format!(
                "took the samples of {}: {:.1} MB became {:.1} MB",
                partition.name,
                partition.bytes as f64 / 1e6,
                after as f64 / 1e6
            ))
        }
        Due::Rows { rows, before, .. } => {
            let mut count = 0;
            loop {
                let done = prune::take(&context.pool, *rows, *before, ROWS).await?;
                count += done;
                if done == 0 {
                    break;
                }
            }
            Ok(format!("took {count} {}", rows.words()))
        }
    }
}

async fn take_artefacts(
    context: &Context,
    kind: &str,
    before: DateTime<Utc>,
) -> anyhow::Result<String> {
    let (mut count, mut bytes, mut last) = (0, 0, String::new());
    loop {
        let names = retention::list_artefacts(&context.pool, kind, before, &last, BATCH).await?;
        let Some(end) = names.last() else { break };
        last.clone_from(end);
        let mut gone = Vec::new();
        for name in names {
            if context.artefacts.remove(&name).await? {
                gone.push(name);
            }
        }
        bytes += retention::mark_removed(&context.pool, &gone, before).await?;
        count += gone.len();
    }
    Ok(format!(
        "took {count} object(s) of the kind {kind}, {:.1} MB",
        bytes as f64 / 1e6
    ))
}

/// Samples of measurements that lie in no year's partition.
pub async fn take_others(context: &Context, now: DateTime<Utc>) -> anyhow::Result<Option<String>> {
    let Some(days) = context.config.retention.samples_days else {
        return Ok(None);
    };
    let before = now - TimeDelta::days(i64::from(days));
    let mut count = 0;
    loop {
        let done = retention::thin_others(&context.pool, before, ROWS).await?;
        count += done;
        if done == 0 {
            break;
        }
    }
    Ok((count > 0).then(|| format!("took the samples of {count} measurement(s) of other years")))
}
