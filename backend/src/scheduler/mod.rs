//! The table of background ticks. Each is one pass over database state: safe to repeat, safe to kill anywhere.
//!
//! A tick runs on one backend at a time: it holds a Postgres advisory lock while it works. The locks belong to a
//! connection, so a killed backend gives them up by itself.

pub mod alarms;
pub mod archive;
pub mod bisect;
pub mod confirm;
pub mod control;
pub mod deliver;
pub mod detect;
pub mod discover;
pub mod enqueue;
pub mod explain;
mod forges;
pub mod group;
pub mod hooks;
pub mod index;
pub mod locks;
pub mod maintain;
pub mod noise;
pub mod notify;
pub mod paths;
pub mod reclaim;
pub mod recompute;
pub mod report;
pub mod retention;
pub mod trace;
pub mod tries;
pub mod warmup;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::locks::Locks;
use crate::context::Context;
use crate::db;

/// A pass's answer: what it did, in a few words, or nothing worth a log line.
pub type Outcome = anyhow::Result<Option<String>>;

type Pass = for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One kind of background work.
pub struct Tick {
    /// Its name in logs, metrics and the lock.
    pub name: &'static str,
    /// Pause between two passes.
    pub every: Duration,
    /// One pass.
    pub pass: Pass,
}

/// All ticks.
pub const TICKS: &[Tick] = &[
    Tick {
        name: "hooks",
        every: Duration::from_secs(1),
        pass: |context| Box::pin(hooks::tick(context)),
    },
    Tick {
        name: "discover",
        every: Duration::from_secs(2),
        pass: |context| Box::pin(discover::tick(context)),
    },
    Tick {
        name: "enqueue",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(enqueue::tick(context)),
    },
    Tick {
        name: "detect",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(detect::tick(context)),
    },
    Tick {
        name: "trace",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(trace::tick(context)),
    },
    Tick {
        name: "group",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(group::tick(context)),
    },
    Tick {
        name: "confirm",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(confirm::tick(context)),
    },
    Tick {
        name: "bisect",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(bisect::tick(context)),
    },
    Tick {
        name: "tries",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(tries::tick(context)),
    },
    Tick {
        name: "warmup",
        every: Duration::from_secs(3),
        pass: |context| Box::pin(warmup::tick(context)),
    },
    Tick {
        name: "control",
        every: Duration::from_secs(10),
        pass: |context| Box::pin(control::tick(context)),
    },
    Tick {
        name: "noise",
        every: Duration::from_secs(15),
        pass: |context| Box::pin(noise::tick(context)),
    },
    Tick {
        name: "index",
        every: Duration::from_secs(5),
        pass: |context| Box::pin(index::tick(context)),
    },
    Tick {
        name: "paths",
        every: Duration::from_secs(10),
        pass: |context| Box::pin(paths::tick(context)),
    },
    Tick {
        name: "recompute",
        every: Duration::from_secs(2),
        pass: |context| Box::pin(recompute::tick(context)),
    },
    Tick {
        name: "notify",
        every: Duration::from_secs(5),
        pass: |context| Box::pin(notify::tick(context)),
    },
    Tick {
        name: "deliver",
        every: Duration::from_secs(2),
        pass: |context| Box::pin(deliver::tick(context)),
    },
    Tick {
        name: "report",
        every: Duration::from_secs(30),
        pass: |context| Box::pin(report::tick(context)),
    },
    Tick {
        name: "explain",
        every: Duration::from_secs(10),
        pass: |context| Box::pin(explain::tick(context)),
    },
    Tick {
        name: "reclaim",
        every: Duration::from_secs(10),
        pass: |context| Box::pin(reclaim::tick(context)),
    },
    Tick {
        name: "archive",
        every: Duration::from_secs(5),
        pass: |context| Box::pin(archive::tick(context)),
    },
    Tick {
        name: "maintain",
        every: Duration::from_secs(3600),
        pass: |context| Box::pin(maintain::tick(context)),
    },
    Tick {
        name: "alarms",
        every: Duration::from_secs(30),
        pass: |context| Box::pin(alarms::tick(context)),
    },
    Tick {
        name: "retention",
        every: Duration::from_secs(3600),
        pass: |context| Box::pin(retention::tick(context)),
    },
];

/// Runs every tick until `stop` says so. A pass in progress is awaited, not cut.
pub async fn run(context: Context, stop: watch::Receiver<bool>) {
    let locks = Locks::new(&context.pool);
    let loops = TICKS
        .iter()
        .map(|tick| run_tick(tick, &context, &locks, stop.clone()));
    futures_util::future::join_all(loops).await;
}

async fn run_tick(
    tick: &'static Tick,
    context: &Context,
    locks: &Locks,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        pass(tick, context, locks).await;
        tokio::select! {
            () = tokio::time::sleep(tick.every) => {}
            _ = stop.changed() => {}
        }
    }
}

/// For so long a success is not noted again: passes come every few seconds.
const NOTED: Duration = Duration::from_secs(30);

/// Notes how a pass ended, for alarms and metrics: each failure and what follows it, and a success now and then.
async fn note(tick: &Tick, context: &Context, error: Option<&anyhow::Error>) {
    static LAST: Mutex<BTreeMap<&str, (Instant, bool)>> = Mutex::new(BTreeMap::new());
    {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.get(tick.name);
        let failed = error.is_some();
        if known.is_some_and(|(at, before)| !failed && !before && at.elapsed() < NOTED) {
            return;
        }
        last.insert(tick.name, (Instant::now(), failed));
    }
    let words = error.map(|error| format!("{error:#}").chars().take(500).collect::<String>());
    if let Err(error) = db::alarms::note_tick(&context.pool, tick.name, words.as_deref()).await {
        tracing::error!(tick = tick.name, "the pass could not be noted: {error}");
    }
}

/// One pass under the tick's lock; a pass that fails is logged and tried again at the next turn.
pub async fn pass(tick: &Tick, context: &Context, locks: &Locks) {
    let begun = Instant::now();
    let outcome = match locks.take(tick.name).await {
        Ok(true) => {
            let outcome = (tick.pass)(context).await;
            note(tick, context, outcome.as_ref().err()).await;
            if let Err(error) = locks.release(tick.name).await {
                tracing::error!(tick = tick.name, "the lock was lost: {error}");
            }
            outcome
        }
        Ok(false) => Ok(None),
        Err(error) => Err(error.into()),
    };
    metrics::histogram!("speedwell_tick_seconds", "tick" => tick.name)
        .record(begun.elapsed().as_secs_f64());
    match outcome {
        Ok(Some(what)) => tracing::info!(tick = tick.name, "{what}"),
        Ok(None) => {}
        Err(error) => {
            metrics::counter!("speedwell_tick_errors_total", "tick" => tick.name).increment(1);
            tracing::error!(tick = tick.name, "{error:#}");
        }
    }
}
