//! What a process has one value of: what its script reports, and its memory.

use speedwell_wire::{Metric, UnavailableKind, Unit};

use super::listener::Listener;
use crate::process::printable;

impl Listener {
    /// What the script reports of this process: only metrics that are its to report, each once, each within reason.
    pub(super) fn take_report(
        &mut self,
        name: &str,
        value: Option<f64>,
        reason: Option<String>,
    ) -> Result<(), String> {
        let short = || name.chars().take(60).collect::<String>();
        let metric = name.parse().ok().filter(|one: &Metric| one.is_reported());
        let metric =
            metric.ok_or_else(|| format!("{:?} is no metric that a script may report", short()))?;
        let found = match (value, reason) {
            (Some(value), None) => Ok(self.check_report(metric, value)?),
            (None, Some(reason)) => Err((
                UnavailableKind::Unsupported,
                printable(reason.as_bytes()).chars().take(500).collect(),
            )),
            _ => return Err(format!("it reported {metric} without a value or a reason")),
        };
        match self.record.once.insert(metric, found) {
            None => Ok(()),
            Some(_) => Err(format!("it reported {metric} twice")),
        }
    }

    fn check_report(&self, metric: Metric, value: f64) -> Result<f64, String> {
        let lived = self.begun.elapsed().as_secs_f64();
        let most = match metric.unit() {
            Unit::Seconds => lived,
            Unit::Ratio => 1.0,
            Unit::Count | Unit::Bytes | Unit::PerSecond | Unit::Joules => 1e15,
        };
        let least = if metric.can_be_zero() {
            0.0
        } else {
            f64::MIN_POSITIVE
        };
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(format!(
                "it reported {value} as {metric}, after {lived:.3} s of life"
            ))
        }
    }

    /// Peak and present memory of whatever is the benchmark, or why they are not known.
    pub(super) fn take_memory(&mut self, bytes: [Option<u64>; 2], reasons: [Option<String>; 2]) {
        let metrics = [Metric::MaxRss, Metric::SteadyRss];
        for ((metric, bytes), reason) in metrics.into_iter().zip(bytes).zip(reasons) {
            let found = match bytes.filter(|bytes| *bytes > 0) {
                Some(bytes) => Ok(bytes as f64),
                None => {
                    let reason = reason.unwrap_or_else(|| "the kernel did not say it".to_owned());
                    Err((UnavailableKind::Unsupported, printable(reason.as_bytes())))
                }
            };
            self.record.once.insert(metric, found);
        }
    }
}
