//! A new subscription, as somebody writes it down: read and checked.

use super::telling::{Digest, Subscription, SubscriptionChannel, Wanted};

/// The words of a form or a command line; empty means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Its name.
    pub name: String,
    /// `mail`, `webhook`, `slack`, `mattermost`, `zulip` or `matrix`.
    pub channel: String,
    /// A mail address or URL.
    pub address: String,
    /// Glob over runtimes' names.
    pub runtimes: String,
    /// Glob over benchmarks' names.
    pub benchmarks: String,
    /// Glob over a culprit's paths.
    pub paths: String,
    /// Smallest change in per cent.
    pub smallest: String,
    /// `worse`, `better` or `both`.
    pub direction: String,
    /// `at_once` or `daily`.
    pub digest: String,
    /// Quiet hours, UTC: `22-7`.
    pub quiet: String,
}

/// What is wrong: the field, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Refused {
    /// The field.
    pub field: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
}

fn refused(field: &'static str, message: impl Into<String>) -> Refused {
    Refused {
        field,
        message: message.into(),
    }
}

impl Words {
    /// The subscription; globs and addresses are only looked at for what no glob or address can be, their libraries read them.
    pub fn read(&self) -> Result<Subscription, Refused> {
        let name = self.name.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(refused(
                "name",
                "use 1 to 64 letters, digits, blanks, '-', '_' and '.'",
            ));
        }
        let channel: SubscriptionChannel = self.channel.parse().map_err(|_unreadable| {
            refused(
                "channel",
                "use mail, webhook, slack, mattermost, zulip or matrix",
            )
        })?;
        Ok(Subscription {
            id: 0,
            name: name.to_owned(),
            channel,
            address: self.read_address(channel)?,
            runtimes: glob("runtimes", &self.runtimes)?,
            benchmarks: glob("benchmarks", &self.benchmarks)?,
            paths: glob("paths", &self.paths)?,
            smallest: self.read_smallest()?,
            wanted: or("both", &self.direction)
                .parse::<Wanted>()
                .map_err(|_unreadable| refused("direction", "use worse, better or both"))?,
            digest: or("at_once", &self.digest)
                .parse::<Digest>()
                .map_err(|_unreadable| refused("digest", "use at_once or daily"))?,
            quiet: self.read_quiet()?,
        })
    }

    fn read_address(&self, channel: SubscriptionChannel) -> Result<String, Refused> {
        let address = self.address.trim();
        let unsafe_one = |c: char| c.is_control() || c.is_whitespace();
        if address.len() > 2000 || address.contains(unsafe_one) {
            return Err(refused(
                "address",
                "use at most 2000 characters without blanks",
            ));
        }
        match channel {
            SubscriptionChannel::Mail => {
                let parts = address.rsplit_once('@');
                let good =
                    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'));
                let bare = !address.contains(['<', '>', ',', ';', '"']) && address.len() <= 254;
                if !good || !bare {
                    return Err(refused(
                        "address",
                        "not a mail address like \"ann@example.org\"",
                    ));
                }
            }
            SubscriptionChannel::Webhook
            | SubscriptionChannel::Slack
            | SubscriptionChannel::Mattermost
            | SubscriptionChannel::Zulip
            | SubscriptionChannel::Matrix => {
                if !address.starts_with("https://") && !address.starts_with("http://") {
                    return Err(refused(
                        "address",
                        "not a URL: it begins with https:// or http://",
                    ));
                }
            }
        }
        if channel == SubscriptionChannel::Matrix && !address.contains("/_matrix/client/v3/rooms/")
        {
            let form = "use https://SERVER/_matrix/client/v3/rooms/ROOM, with the room's id";
            return Err(refused("address", form));
        }
        Ok(address.to_owned())
    }

    fn read_smallest(&self) -> Result<f64, Refused> {
        let text = or("0", self.smallest.trim().trim_end_matches('%').trim());
        let percent: f64 = text
            .parse()
            .map_err(|_unreadable| refused("smallest", "a number of per cent, like 2.5"))?;
        if !(0.0..=1000.0).contains(&percent) {
            return Err(refused("smallest", "between 0 and 1000 per cent"));
        }
        Ok(percent / 100.0)
    }

    fn read_quiet(&self) -> Result<Option<(u32, u32)>, Refused> {
        let text = self.quiet.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let hours = text
            .split_once('-')
            .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)));
        match hours {
            Some((from, to)) if from < 24 && to < 24 && from != to => Ok(Some((from, to))),
            _ => Err(refused("quiet", "two hours of the day, UTC, like 22-7")),
        }
    }
}

fn or<'a>(default: &'a str, text: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn glob(field: &'static str, text: &str) -> Result<String, Refused> {
    let text = or("*", text.trim());
    if text.len() > 200 || text.contains(char::is_control) {
        return Err(refused(
            field,
            "a glob of at most 200 characters, like cpython-*",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words {
            name: "mine".to_owned(),
            channel: "mail".to_owned(),
            address: "ann@example.org".to_owned(),
            ..Words::default()
        }
    }

    #[test]
    fn empty_words_are_defaults() {
        let read = words().read().unwrap();
        assert_eq!(
            (read.runtimes.as_str(), read.smallest, read.quiet),
            ("*", 0.0, None)
        );
        let mut full = words();
        full.smallest = "2.5 %".to_owned();
        full.quiet = "22-7".to_owned();
        let read = full.read().unwrap();
        assert_eq!((read.smallest, read.quiet), (0.025, Some((22, 7))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |change: &dyn Fn(&mut Words)| {
            let mut one = words();
            change(&mut one);
            one.read().unwrap_err().field
        };
        assert_eq!(field(&|one| one.name = "<b>".to_owned()), "name");
        assert_eq!(field(&|one| one.channel = "pigeon".to_owned()), "channel");
        assert_eq!(
            field(&|one| one.address = "ann@x.org, eve@x.org".to_owned()),
            "address"
        );
        assert_eq!(field(&|one| one.channel = "slack".to_owned()), "address");
        assert_eq!(field(&|one| one.smallest = "NaN".to_owned()), "smallest");
        assert_eq!(field(&|one| one.quiet = "22-22".to_owned()), "quiet");
        assert_eq!(field(&|one| one.digest = "weekly".to_owned()), "digest");
        assert_eq!(field(&|one| one.direction = "up".to_owned()), "direction");
        assert_eq!(field(&|one| one.runtimes = "a\nb".to_owned()), "runtimes");
    }
}
