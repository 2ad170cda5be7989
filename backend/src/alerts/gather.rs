//! From what recipients are owed to messages: one for each regression, or one for all when there are many. Pure.

use std::collections::BTreeMap;

use crate::domain::telling::Channel;

/// More regressions than this at once for one recipient become one message.
pub const STORM: usize = 5;

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The notice's key.
    pub notice: i64,
    /// The event.
    pub event: i64,
    /// Its regression.
    pub regression: i64,
    /// How.
    pub channel: Channel,
    /// To whom.
    pub recipient: String,
    /// The subscription that led here.
    pub subscription: Option<i64>,
    /// Why, in words.
    pub why: String,
    /// Whether the recipient wants everything in one message.
    pub digest: bool,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// By which a receiver knows it again.
    pub key: String,
    /// How.
    pub channel: Channel,
    /// To whom.
    pub recipient: String,
    /// A subscription that led here.
    pub subscription: Option<i64>,
    /// The regression, when it is one.
    pub regression: Option<i64>,
    /// What it tells: the newest event of each regression.
    pub events: Vec<i64>,
    /// The notices that it settles.
    pub notices: Vec<i64>,
    /// Why, without repetition.
    pub why: Vec<String>,
}

/// Gathers what is due into messages. Two events of one regression become the newer one: who hears "found" needs no "confirmed".
pub fn gather(owed: Vec<Owed>) -> Vec<Bundle> {
    let mut recipients: BTreeMap<(Channel, String), Vec<Owed>> = BTreeMap::new();
    for one in owed {
        recipients
            .entry((one.channel, one.recipient.clone()))
            .or_default()
            .push(one);
    }
    let mut bundles = Vec::new();
    for ((channel, recipient), owed) in recipients {
        let mut regressions: BTreeMap<i64, Vec<Owed>> = BTreeMap::new();
        let digest = owed.iter().any(|one| one.digest);
        for one in owed {
            regressions.entry(one.regression).or_default().push(one);
        }
        let together = digest || regressions.len() > STORM;
        let groups: Vec<Vec<Vec<Owed>>> = if together {
            vec![regressions.into_values().collect()]
        } else {
            regressions.into_values().map(|one| vec![one]).collect()
        };
        bundles.extend(
            groups
                .iter()
                .map(|group| bundle(channel, &recipient, group)),
        );
    }
    bundles
}

fn bundle(channel: Channel, recipient: &str, group: &[Vec<Owed>]) -> Bundle {
    let all = || group.iter().flatten();
    let mut events: Vec<i64> = group
        .iter()
        .filter_map(|one| one.iter().map(|owed| owed.event).max())
        .collect();
    events.sort_unstable();
    let mut notices: Vec<i64> = all().map(|owed| owed.notice).collect();
    notices.sort_unstable();
    let mut why: Vec<String> = Vec::new();
    for owed in all() {
        if !why.contains(&owed.why) {
            why.push(owed.why.clone());
        }
    }
    // A notice becomes part of one message, once: its number makes the key unique.
    let first = notices.first().copied().unwrap_or_default();
    Bundle {
        key: format!("{}:{recipient}:{first}", channel.as_str()),
        channel,
        recipient: recipient.to_owned(),
        subscription: all().find_map(|owed| owed.subscription),
        regression: match group {
            [only] => only.first().map(|owed| owed.regression),
            _ => None,
        },
        events,
        notices,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(event: i64, regression: i64, recipient: &str) -> Owed {
        Owed {
            notice: event * 10,
            event,
            regression,
            channel: Channel::Mail,
            recipient: recipient.to_owned(),
            subscription: None,
            why: "why".to_owned(),
            digest: false,
        }
    }

    #[test]
    fn a_few_are_told_one_by_one_and_a_storm_at_once() {
        assert!(gather(Vec::new()).is_empty());
        let few: Vec<Owed> = (1..=5).map(|one| owed(one, one, "a")).collect();
        assert_eq!(gather(few).len(), 5);
        let mut storm: Vec<Owed> = (1..=6).map(|one| owed(one, one, "a")).collect();
        storm.push(owed(7, 7, "b"));
        let bundles = gather(storm);
        assert_eq!(bundles.len(), 2);
        assert_eq!(bundles[0].events, [1, 2, 3, 4, 5, 6]);
        assert_eq!(
            (bundles[0].regression, bundles[1].regression),
            (None, Some(7))
        );
        assert_eq!(bundles[0].why, ["why"]);
    }

    #[test]
    fn the_newest_event_of_a_regression_stands_for_all() {
        let bundles = gather(vec![owed(1, 9, "a"), owed(2, 9, "a")]);
        assert_eq!(bundles.len(), 1);
        assert_eq!(
            (bundles[0].events.as_slice(), bundles[0].notices.as_slice()),
            (&[2][..], &[10, 20][..])
        );
    }

    #[test]
    fn a_digest_is_one_message() {
        let mut all: Vec<Owed> = (1..=3).map(|one| owed(one, one, "a")).collect();
        for one in &mut all {
            one.digest = true;
        }
        assert_eq!(gather(all).len(), 1);
    }
}
