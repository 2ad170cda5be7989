//! What telling people is about: channels, subscriptions, and the story of a regression as a message tells it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use speedwell_wire::Metric;

use super::regression::{EventKind, RegressionState};

/// An enum with a stable name for each value: used in the database, the API, the configuration and URLs.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$inner])* $variant,)* }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = speedwell_wire::metric::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().copied().find(|one| one.as_str() == text);
                known.ok_or_else(|| speedwell_wire::metric::UnknownName(text.to_owned()))
            }
        }
    };
}
pub(super) use named;

named! {
    /// How a message of the outbox travels.
    Channel {
        /// By SMTP.
        Mail = "mail",
        /// JSON to a URL, signed.
        Webhook = "webhook",
        /// A line in a chat.
        Chat = "chat",
        /// A status or comment on a commit.
        Forge = "forge",
    }
}

named! {
    /// How a subscriber wants to be told.
    SubscriptionChannel {
        /// A mail address.
        Mail = "mail",
        /// Any program: signed JSON.
        Webhook = "webhook",
        /// Slack's incoming webhook.
        Slack = "slack",
        /// Mattermost's incoming webhook.
        Mattermost = "mattermost",
        /// Zulip's Slack-compatible incoming webhook.
        Zulip = "zulip",
        /// A room of a Matrix server.
        Matrix = "matrix",
    }
}

impl SubscriptionChannel {
    /// The channel of its messages.
    pub fn channel(self) -> Channel {
        match self {
            Self::Mail => Channel::Mail,
            Self::Webhook => Channel::Webhook,
            Self::Slack | Self::Mattermost | Self::Zulip | Self::Matrix => Channel::Chat,
        }
    }
}

named! {
    /// When a subscriber wants to be told.
    Digest {
        /// As soon as it is known.
        AtOnce = "at_once",
        /// Everything of a day in one message.
        Daily = "daily",
    }
}

named! {
    /// Which changes a subscriber wants to hear of.
    Wanted {
        /// Regressions.
        Worse = "worse",
        /// Improvements.
        Better = "better",
        /// Both.
        Both = "both",
    }
}

named! {
    /// Where a message is.
    OutboxState {
        /// To be sent, or sent again.
        Waiting = "waiting",
        /// The other side has taken it.
        Sent = "sent",
        /// Given up.
        Dead = "dead",
    }
}

/// Whether people are told of a line of a timeline.
pub fn is_told(kind: EventKind) -> bool {
    match kind {
        EventKind::Confirmed
        | EventKind::BisectionEnded
        | EventKind::Found
        | EventKind::Fixed
        | EventKind::Reopened => true,
        EventKind::Suspected
        | EventKind::Bisecting
        | EventKind::BisectionCancelled
        | EventKind::Acknowledged
        | EventKind::Accepted
        | EventKind::Invalid
        | EventKind::Changed
        | EventKind::Merged
        | EventKind::Split
        | EventKind::Explained
        | EventKind::Note => false,
    }
}

/// Somebody who wants to hear.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Key.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How.
    pub channel: SubscriptionChannel,
    /// A mail address or a URL.
    pub address: String,
    /// Glob over runtimes' names.
    pub runtimes: String,
    /// Glob over benchmarks' names.
    pub benchmarks: String,
    /// Glob over the paths that the culprit touches; `*`: any, and also while no culprit is known.
    pub paths: String,
    /// Smallest change, as a ratio: 0.02 is 2 %.
    pub smallest: f64,
    /// Which direction.
    pub wanted: Wanted,
    /// When.
    pub digest: Digest,
    /// Hours UTC in which nothing is sent: from (included) to (not included); may pass midnight.
    pub quiet: Option<(u32, u32)>,
}

/// A commit as a message names it. All texts are anyone's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitLine {
    /// Full hash.
    pub hash: String,
    /// First line of its message.
    pub subject: String,
    /// Author's name.
    pub author_name: String,
    /// Author's address.
    #[serde(skip)]
    pub author_email: String,
    /// Committer's address; empty when it is not known.
    #[serde(skip)]
    pub committer_email: String,
    /// When it was committed.
    #[serde(skip)]
    pub committed_at: DateTime<Utc>,
    /// Paths that it touches.
    #[serde(skip)]
    pub paths: Vec<String>,
}

/// One confirmed change point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
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
    /// Value after against before, minus one.
    pub change: f64,
    /// 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Change {
    /// The metric in words.
    pub fn label(&self) -> &str {
        match self.metric.parse::<Metric>() {
            Ok(metric) => metric.label(),
            Err(_) => &self.metric,
        }
    }

    fn weight(&self) -> (bool, f64) {
        let main = Metric::MAIN
            .iter()
            .any(|metric| metric.as_str() == self.metric);
        // As a logarithm, so that a half and a double weigh the same.
        let size = (1.0 + self.change).ln().abs();
        (main, if size.is_finite() { size } else { 0.0 })
    }
}

/// A regression (or improvement) as a message tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The event that is told.
    pub event_id: i64,
    /// Its kind.
    pub kind: EventKind,
    /// When it was.
    pub at: DateTime<Utc>,
    /// What the timeline says of it.
    pub message: String,
    /// The regression.
    pub regression_id: i64,
    /// True: an improvement.
    pub better: bool,
    /// Where it is now.
    pub state: RegressionState,
    /// The repository's name.
    pub repository: String,
    /// Link of a commit on its forge, with `{commit}`.
    pub commit_url: Option<String>,
    /// The branch.
    pub branch: String,
    /// The last commit that is as before.
    pub before: CommitLine,
    /// The first that is known to be changed.
    pub after: CommitLine,
    /// The commit behind it.
    pub culprit: Option<CommitLine>,
    /// From which on it is as before.
    pub fixed: Option<CommitLine>,
    /// Confirmed change points, the weightiest first.
    pub changes: Vec<Change>,
    /// What each confirmation found.
    pub confirmations: Vec<String>,
    /// What differs on both sides; absent while it is not worked out.
    pub explanation: Option<String>,
}

impl Story {
    /// Whether anybody hears of it: not when it is invalid or not confirmed.
    pub fn is_standing(&self) -> bool {
        self.state.is_confirmed()
    }

    /// Brings the change that stands for all to the front: times before counters, then the largest.
    pub fn order_changes(&mut self) {
        self.changes.sort_by(|a, b| {
            let (a_weight, b_weight) = (a.weight(), b.weight());
            let weight = b_weight
                .0
                .cmp(&a_weight.0)
                .then(b_weight.1.total_cmp(&a_weight.1));
            weight.then(a.series_id.cmp(&b.series_id))
        });
    }
}

/// Why a message did not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Whether another try could not do better.
    pub permanent: bool,
    /// In words.
    pub message: String,
    /// The other side asked to be left alone until then; such a try does not count.
    pub wait_until: Option<DateTime<Utc>>,
}

impl Failure {
    /// Worth another try.
    pub fn passing(message: impl Into<String>) -> Self {
        Self {
            permanent: false,
            message: message.into(),
            wait_until: None,
        }
    }

    /// Not worth another try.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            permanent: true,
            message: message.into(),
            wait_until: None,
        }
    }
}

/// A story for the tests of those who tell it.
#[cfg(test)]
pub(crate) mod example {
    use super::*;

    /// A regression that was found.
    pub(crate) fn story() -> Story {
        let commit = |digit: &str| CommitLine {
            hash: digit.repeat(40),
            subject: "Change".to_owned(),
            author_name: "Ann".to_owned(),
            author_email: "ann@example.org".to_owned(),
            committer_email: "carl@example.org".to_owned(),
            committed_at: DateTime::UNIX_EPOCH,
            paths: vec!["Objects/longobject.c".to_owned()],
        };
        Story {
            event_id: 1,
            kind: EventKind::Found,
            at: DateTime::UNIX_EPOCH,
            message: String::new(),
            regression_id: 7,
            better: false,
            state: RegressionState::Found,
            repository: "cpython".to_owned(),
            commit_url: None,
            branch: "main".to_owned(),
            before: commit("a"),
            after: commit("b"),
            culprit: Some(commit("b")),
            fixed: None,
            changes: vec![Change {
                series_id: 1,
                runtime: "cpython-main".to_owned(),
                benchmark: "richards".to_owned(),
                metric: "wall_time".to_owned(),
                host: "lab-1".to_owned(),
                change: 0.052,
                low: 0.048,
                high: 0.056,
            }],
            confirmations: Vec::new(),
            explanation: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::example::story;
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for one in Channel::ALL {
            assert_eq!(one.as_str().parse::<Channel>().as_ref(), Ok(one));
        }
        for one in SubscriptionChannel::ALL {
            assert_eq!(
                one.as_str().parse::<SubscriptionChannel>().as_ref(),
                Ok(one)
            );
        }
        for one in OutboxState::ALL {
            assert_eq!(one.as_str().parse::<OutboxState>().as_ref(), Ok(one));
        }
        assert!("pigeon".parse::<Channel>().is_err());
        assert!("weekly".parse::<Digest>().is_err() && "none".parse::<Wanted>().is_err());
    }

    #[test]
    fn times_stand_before_counters_and_large_before_small() {
        let change = |series_id, metric: &str, change| Change {
            series_id,
            runtime: "r".to_owned(),
            benchmark: "b".to_owned(),
            metric: metric.to_owned(),
            host: "h".to_owned(),
            change,
            low: change,
            high: change,
        };
        let mut story = story();
        story.changes = vec![
            change(1, "instructions", 0.5),
            change(2, "wall_time", 0.02),
            change(3, "wall_time", f64::NAN),
            change(4, "wall_time", -0.05),
        ];
        story.order_changes();
        let order: Vec<i64> = story.changes.iter().map(|one| one.series_id).collect();
        assert_eq!(order, [4, 2, 3, 1]);
        assert_eq!(story.changes[3].label(), Metric::Instructions.label());
    }
}
