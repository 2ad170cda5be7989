//! Who hears of an event: pure rules over a story, the subscriptions and the settings for mail.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use globset::GlobBuilder;

use super::when;
use crate::domain::regression::EventKind;
use crate::domain::telling::{Channel, Story, Subscription, Wanted, is_told};

/// The settings for mail, as far as they say who hears.
#[derive(Debug, Clone)]
pub struct MailRules<'a> {
    /// Addresses that hear of everything.
    pub lists: &'a [String],
    /// Whether a culprit's author and committer are told.
    pub authors: bool,
    /// Only of commits that are not older than this many days.
    pub authors_days: u32,
    /// Addresses that stand in for those of commits.
    pub addresses: &'a BTreeMap<String, String>,
    /// Addresses that hear nothing, in lower case.
    pub opted_out: &'a BTreeSet<String>,
}

/// Somebody who is owed an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Addressee {
    /// How.
    pub channel: Channel,
    /// A mail address or a subscription's name. With the channel it names one receiver: who has several reasons to hear hears once.
    pub recipient: String,
    /// The subscription that led here.
    pub subscription_id: Option<i64>,
    /// Why, in words.
    pub why: String,
    /// When at the earliest.
    pub not_before: DateTime<Utc>,
}

/// Who is owed an event; nobody of one that is not told, or of a regression that does not stand. `mail`: none when the
/// configuration has no `[mail]`; `digest_hour` (UTC): when those who want a day in one message get it. A receiver is there once, by the reason that comes first: author, list, subscription.
pub fn audience(
    story: &Story,
    subscriptions: &[Subscription],
    mail: Option<&MailRules<'_>>,
    digest_hour: u32,
    now: DateTime<Utc>,
) -> Vec<Addressee> {
    if !is_told(story.kind) || !story.is_standing() {
        return Vec::new();
    }
    let mut all = Vec::new();
    if let Some(rules) = mail {
        all.extend(authors(story, rules, now));
        all.extend(rules.lists.iter().map(|list| Addressee {
            channel: Channel::Mail,
            recipient: list.clone(),
            subscription_id: None,
            why: "the list is told of every confirmed change".to_owned(),
            not_before: now,
        }));
    }
    let subscribed = subscriptions.iter().filter(|one| wants(one, story));
    for one in subscribed {
        let channel = one.channel.channel();
        let recipient = match channel {
            Channel::Mail if mail.is_none() => continue,
            Channel::Mail => one.address.clone(),
            Channel::Webhook | Channel::Chat | Channel::Forge => one.name.clone(),
        };
        all.push(Addressee {
            channel,
            recipient,
            subscription_id: Some(one.id),
            why: format!("the subscription {:?}", one.name),
            not_before: when::not_before(one, digest_hour, now),
        });
    }
    let mut seen = BTreeSet::new();
    all.retain(|one| {
        let out = one.channel == Channel::Mail
            && mail.is_some_and(|rules| {
                rules
                    .opted_out
                    .contains(&one.recipient.to_ascii_lowercase())
            });
        !out && seen.insert((one.channel, one.recipient.to_ascii_lowercase()))
    });
    all
}

/// The culprit's author and committer, by their mapped addresses.
fn authors(story: &Story, rules: &MailRules<'_>, now: DateTime<Utc>) -> Vec<Addressee> {
    let oldest = now - Duration::days(i64::from(rules.authors_days));
    let Some(culprit) = story.culprit.as_ref().filter(|culprit| {
        rules.authors && story.kind == EventKind::Found && culprit.committed_at >= oldest
    }) else {
        return Vec::new();
    };
    let people = [
        (&culprit.author_email, "wrote"),
        (&culprit.committer_email, "committed"),
    ];
    let mut owed = Vec::new();
    for (address, deed) in people {
        // Opted out by the address of the commit, or by the mapped one.
        if rules.opted_out.contains(&address.to_ascii_lowercase()) {
            continue;
        }
        let known = rules
            .addresses
            .iter()
            .find(|(old, _)| old.eq_ignore_ascii_case(address));
        let address = known.map_or(address, |(_, new)| new);
        if is_personal(address) {
            owed.push(Addressee {
                channel: Channel::Mail,
                recipient: address.clone(),
                subscription_id: None,
                why: format!("you {deed} the commit that it was traced to"),
                not_before: now,
            });
        }
    }
    owed
}

/// Whether an address of a commit is one that a person reads: addresses that forges make up for privacy, and machines', are not.
fn is_personal(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    let Some((local, domain)) = lower.rsplit_once('@') else {
        return false;
    };
    let refused =
        domain.contains("noreply") || local.contains("noreply") || local.contains("no-reply");
    !local.is_empty() && domain.contains('.') && !refused && !domain.ends_with(".local")
}

/// Whether a subscription is about a story.
pub fn wants(one: &Subscription, story: &Story) -> bool {
    let direction = match one.wanted {
        Wanted::Both => true,
        Wanted::Better => story.better,
        Wanted::Worse => !story.better,
    };
    let touches = one.paths == "*"
        || story
            .culprit
            .as_ref()
            .is_some_and(|culprit| culprit.paths.iter().any(|path| fits(&one.paths, path)));
    direction
        && touches
        && story.changes.iter().any(|change| {
            // Written so that a change that is no number never is large enough.
            change.change.abs() >= one.smallest
                && fits(&one.runtimes, &change.runtime)
                && fits(&one.benchmarks, &change.benchmark)
        })
}

/// Whether a text fits a glob (`*`, `?`, `[ab]`, `{a,b}`); `*` also stands for slashes. A glob that is none fits nothing.
pub fn fits(glob: &str, text: &str) -> bool {
    check_glob(glob).is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

/// Reads a glob.
pub fn check_glob(glob: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(false).build()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::regression::RegressionState;
    use crate::domain::telling::example::story;
    use crate::domain::telling::{Digest, SubscriptionChannel};

    pub(in crate::alerts) fn subscription() -> Subscription {
        Subscription {
            id: 3,
            name: "all".to_owned(),
            channel: SubscriptionChannel::Mail,
            address: "sub@example.org".to_owned(),
            runtimes: "*".to_owned(),
            benchmarks: "*".to_owned(),
            paths: "*".to_owned(),
            smallest: 0.0,
            wanted: Wanted::Both,
            digest: Digest::AtOnce,
            quiet: None,
        }
    }

    fn rules<'a>(
        lists: &'a [String],
        addresses: &'a BTreeMap<String, String>,
        opted_out: &'a BTreeSet<String>,
    ) -> MailRules<'a> {
        MailRules {
            lists,
            authors: true,
            authors_days: 90,
            addresses,
            opted_out,
        }
    }

    fn told(
        story: &Story,
        subscriptions: &[Subscription],
        mail: Option<&MailRules<'_>>,
    ) -> Vec<String> {
        let all = audience(story, subscriptions, mail, 6, DateTime::UNIX_EPOCH);
        all.into_iter().map(|one| one.recipient).collect()
    }

    #[test]
    fn author_committer_lists_and_subscribers_hear_once() {
        let lists = ["list@example.org".to_owned()];
        let (none, nobody) = (BTreeMap::new(), BTreeSet::new());
        let mail = rules(&lists, &none, &nobody);
        let mut also_author = subscription();
        also_author.address = "Ann@Example.org".to_owned();
        let all = [subscription(), also_author];
        assert_eq!(
            told(&story(), &all, Some(&mail)),
            [
                "ann@example.org",
                "carl@example.org",
                "list@example.org",
                "sub@example.org"
            ]
        );
        assert!(told(&story(), &all, None).is_empty(), "no [mail], no mails");
        let mut confirmed = story();
        confirmed.kind = EventKind::Confirmed;
        assert_eq!(told(&confirmed, &[], Some(&mail)), lists);
        for kind in EventKind::ALL {
            let mut other = story();
            other.kind = *kind;
            assert_eq!(told(&other, &[], Some(&mail)).is_empty(), !is_told(*kind));
        }
        let mut fallen = story();
        fallen.state = RegressionState::Invalid;
        assert!(told(&fallen, &all, Some(&mail)).is_empty());
    }

    /// A history that is measured years later: its authors have moved on.
    #[test]
    fn authors_of_old_commits_are_left_alone() {
        let (none, nobody) = (BTreeMap::new(), BTreeSet::new());
        let lists = ["list@example.org".to_owned()];
        let rules = rules(&lists, &none, &nobody);
        let told = |days: i64| {
            let mut story = story();
            if let Some(culprit) = &mut story.culprit {
                culprit.committed_at = DateTime::UNIX_EPOCH - Duration::days(days);
            }
            let all = audience(&story, &[], Some(&rules), 6, DateTime::UNIX_EPOCH);
            all.iter()
                .map(|one| one.recipient.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(90),
            ["ann@example.org", "carl@example.org", "list@example.org"]
        );
        assert_eq!(told(91), ["list@example.org"]);
    }

    #[test]
    fn addresses_are_mapped_and_opted_out() {
        let addresses =
            BTreeMap::from([("ANN@example.org".to_owned(), "ann@new.example".to_owned())]);
        let nobody = BTreeSet::new();
        assert_eq!(
            told(&story(), &[], Some(&rules(&[], &addresses, &nobody))),
            ["ann@new.example", "carl@example.org"]
        );
        let out = BTreeSet::from(["ann@new.example".to_owned(), "carl@example.org".to_owned()]);
        assert!(told(&story(), &[], Some(&rules(&[], &addresses, &out))).is_empty());
        let old = BTreeSet::from(["ann@example.org".to_owned()]);
        assert_eq!(
            told(&story(), &[], Some(&rules(&[], &addresses, &old))),
            ["carl@example.org"]
        );
        let none = BTreeMap::new();
        let mut machine = story();
        if let Some(culprit) = &mut machine.culprit {
            culprit.author_email = "1+ann@users.noreply.github.com".to_owned();
            culprit.committer_email = "root@localhost".to_owned();
        }
        assert!(told(&machine, &[], Some(&rules(&[], &none, &nobody))).is_empty());
    }

    #[test]
    fn globs_sizes_and_directions_choose() {
        let fits = |change: fn(&mut Subscription)| {
            let mut one = subscription();
            change(&mut one);
            wants(&one, &story())
        };
        assert!(fits(|one| one.runtimes = "cpython-*".to_owned()));
        assert!(!fits(|one| one.runtimes = "pypy*".to_owned()));
        assert!(fits(|one| one.benchmarks = "{nbody,rich*}".to_owned()));
        assert!(!fits(|one| one.benchmarks = "[".to_owned()));
        assert!(fits(|one| one.paths = "Objects/*".to_owned()));
        assert!(!fits(|one| one.paths = "Lib/*".to_owned()));
        assert!(fits(|one| one.smallest = 0.05) && !fits(|one| one.smallest = 0.06));
        assert!(fits(|one| one.wanted = Wanted::Worse) && !fits(|one| one.wanted = Wanted::Better));
        let mut unknown = story();
        unknown.culprit = None;
        let mut paths = subscription();
        paths.paths = "Objects/*".to_owned();
        assert!(!wants(&paths, &unknown));
        unknown.changes[0].change = f64::NAN;
        assert!(!wants(&subscription(), &unknown));
    }
}
