//! What a row of the outbox carries: which facts to tell, not the text. The text is made when it is sent, so that a message that
//! had to wait says what is known by then.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Payload {
    /// Events of one regression or of several.
    Events {
        /// Keys of the events, one for each regression.
        events: Vec<i64>,
        /// Why the recipient gets it, in words.
        why: Vec<String>,
    },
    /// A daily report.
    Report {
        /// The runtime's key.
        runtime_id: i64,
        /// Its day.
        day: NaiveDate,
        /// Why the recipient gets it.
        why: String,
    },
    /// Alarms, to an operator.
    Alarms {
        /// Keys of those that were raised.
        raised: Vec<i64>,
        /// Keys of those that are over.
        cleared: Vec<i64>,
    },
    /// The state of the culprit: a status or a check.
    Status {
        /// The event.
        event: i64,
    },
    /// A comment on the culprit.
    Comment {
        /// The event.
        event: i64,
    },
    /// A comment on a pull request that answers a command in another.
    Answer {
        /// The pull request's number.
        pull: i64,
        /// What it says.
        text: String,
    },
    /// The state of a try's head: a status or a check.
    TryStatus {
        /// The try.
        try_id: i64,
    },
    /// The comment of a try on its pull request.
    TryComment {
        /// The try.
        try_id: i64,
    },
}
