//! Beside a running job: renews the lease, carries the log and finished builds to the backend, hears of cancellation.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use speedwell_wire::{HEARTBEAT_SECONDS, Heartbeat, Phase};
use tokio::sync::watch;
use uuid::Uuid;

use super::deliver;
use crate::backend::Refusal;
use crate::job::{JobLog, Shop};
use crate::process::Stop;
use crate::protocol::StopReason;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The standing on the page is renewed this often while it changes.
const SHOW_EVERY: Duration = Duration::from_secs(3);
/// Bytes of log in one request.
const MOST_LOG: u64 = 512 << 10;
/// At the job's end the rest of the log is tried to be sent for this long.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// The companion of one job.
pub struct Companion {
    /// The worker's things.
    pub shop: Arc<Shop>,
    /// The job.
    pub job_id: i64,
    /// Its lease.
    pub lease_id: Uuid,
    /// Its log.
    pub log: JobLog,
    /// Stops the job's thread.
    pub stop: Stop,
    /// Why it was stopped.
    pub reason: Arc<Mutex<Option<StopReason>>>,
    /// Says true when the worker is asked to end.
    pub ending: watch::Receiver<bool>,
}

impl Companion {
    /// Runs until `finished` says true, then sends the rest of the log.
    pub async fn run(self, mut finished: watch::Receiver<bool>) {
        let mut offset = 0;
        let mut shown: Option<(Phase, f32, String)> = None;
        let mut last_beat: Option<Instant> = None;
        while !*finished.borrow() {
            if *self.ending.borrow() {
                self.stop_because(StopReason::WorkerEnds);
            }
            let standing = self.log.standing().borrow().clone();
            let now = (standing.phase, standing.percent, standing.message);
            let elapsed = last_beat.map_or(Duration::MAX, |beat| beat.elapsed());
            let phase_changed = shown.as_ref().is_none_or(|shown| shown.0 != now.0);
            let changed = shown.as_ref() != Some(&now);
            if phase_changed
                || (changed && elapsed >= SHOW_EVERY)
                || elapsed >= Duration::from_secs(HEARTBEAT_SECONDS)
            {
                self.beat(&now).await;
                last_beat = Some(Instant::now());
                shown = Some(now);
            }
            self.carry(&mut offset).await;
            let mut ending = self.ending.clone();
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = finished.changed() => {}
                _ = ending.wait_for(|ending| *ending), if !self.stop.is_requested() => {}
            }
        }
        let begun = Instant::now();
        while !self.send_log(&mut offset).await && begun.elapsed() < LAST_WORDS {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn stop_because(&self, reason: StopReason) {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
        self.stop.request();
    }

    async fn beat(&self, now: &(Phase, f32, String)) {
        let beat = Heartbeat {
            lease_id: self.lease_id,
            phase: now.0,
            percent: now.1,
            message: now.2.clone(),
        };
        match self.shop.backend.heartbeat(self.job_id, &beat).await {
            Ok(answer) if answer.cancel => self.stop_because(StopReason::Cancelled),
            Ok(_) => {}
            Err(Refusal::Lost(message)) => {
                tracing::warn!("{message}");
                self.stop_because(StopReason::LeaseLost);
            }
            // The lease may expire meanwhile; as long as nobody else takes the job it can be taken up again.
            Err(refusal) => tracing::warn!("heartbeat: {refusal}"),
        }
    }

    /// Sends new log and finished builds. What fails is tried again at the next turn.
    async fn carry(&self, offset: &mut u64) {
        self.send_log(offset).await;
        let waiting = self
            .shop
            .spool
            .list()
            .is_ok_and(|entries| !entries.is_empty());
        if waiting && let Err(refusal) = deliver::all(&self.shop).await {
            tracing::debug!("deliver: {refusal}");
        }
    }

    /// Sends what the log has gained; true when nothing is left.
    async fn send_log(&self, offset: &mut u64) -> bool {
        loop {
            let Ok(bytes) = read_from(&self.log, *offset) else {
                return true;
            };
            if bytes.is_empty() {
                return true;
            }
            let length = bytes.len() as u64;
            match self
                .shop
                .backend
                .log(self.job_id, self.lease_id, *offset, bytes)
                .await
            {
                Ok(()) => *offset += length,
                // Lost: nobody wants the log any more. Refused: it is too long.
                Err(Refusal::Lost(_) | Refusal::Refused(_)) => return true,
                Err(Refusal::Away(_) | Refusal::NotWelcome(_) | Refusal::Outdated(_)) => {
                    return false;
                }
            }
        }
    }
}

fn read_from(log: &JobLog, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log.path())?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(MOST_LOG).read_to_end(&mut bytes)?;
    Ok(bytes)
}
