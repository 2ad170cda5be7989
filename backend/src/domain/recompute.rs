//! What other parameters of the detector would change, in numbers that can be kept and shown.

use serde::{Deserialize, Serialize};

/// One alarm of a replayed history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRow {
    /// The series.
    pub series_id: i64,
    /// Its runtime.
    pub runtime: String,
    /// Its benchmark.
    pub benchmark: String,
    /// Its metric.
    pub metric: String,
    /// Its host.
    pub host: String,
    /// The likeliest commit.
    pub commit: String,
    /// Size as a ratio minus one.
    pub change: f64,
    /// Whether it is still seen with all points; else it was taken back by later ones.
    pub stays: bool,
    /// What became of it here: the state of the stored change point and why its regression is invalid; empty where none is stored.
    pub known: String,
}

/// The difference between the present parameters and others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// Series that were replayed.
    pub series: usize,
    /// Their points.
    pub points: usize,
    /// Alarms with the present parameters.
    pub present: usize,
    /// Of them, those that later points did not take back.
    pub present_stay: usize,
    /// Alarms with the others.
    pub proposed: usize,
    /// Of them, those that later points did not take back.
    pub proposed_stay: usize,
    /// Alarms that there would be no more.
    pub lost: Vec<AlarmRow>,
    /// Alarms that there would be besides.
    pub gained: Vec<AlarmRow>,
}
