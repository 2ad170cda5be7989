//! What the driver in the box says to the worker, one JSON line each, and what it is answered.

use serde::{Deserialize, Serialize};

use super::definition::Workload;

/// What the driver is told, as a JSON file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The workload.
    pub workload: Workload,
    /// Values of the placeholders of commands.
    pub values: std::collections::BTreeMap<String, String>,
    /// The phases to measure, by index, in the order of this repetition.
    pub phases: Vec<usize>,
    /// Processors of the services, as `taskset -c` takes them; absent: any.
    pub service_cpus: Option<String>,
    /// Seed of arrivals and of random objects.
    pub seed: u64,
}

/// What the driver says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is there. It waits.
    Start,
    /// It is busy with something that people may want to know.
    Progress {
        /// In a few words.
        message: String,
    },
    /// A service is ready.
    Service {
        /// Its name.
        name: String,
        /// Its process, as the box numbers it.
        pid: u32,
        /// Whether it is under test.
        measured: bool,
    },
    /// A window begins. It waits.
    Begin {
        /// The phase by index; absent: warming up.
        phase: Option<usize>,
    },
    /// A window has ended. It waits; `again` asks for one more window of the warm-up.
    End {
        /// What came of it.
        window: Window,
    },
    /// All phases are through. It waits, then it ends the services.
    Finished,
    /// It cannot go on.
    Error {
        /// Why, with the last words of the service that failed.
        message: String,
    },
}

/// What one window gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The phase by index; absent: warming up.
    pub phase: Option<usize>,
    /// Answers, right and wrong.
    pub requests: u64,
    /// Answers that were not what they must be, and requests without one.
    pub unexpected: u64,
    /// The first of them in words.
    pub first_unexpected: Option<String>,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// Latencies of all answers in microseconds: an HDR histogram, V2 with DEFLATE, in Base64.
    pub histogram: String,
}
