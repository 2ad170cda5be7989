//! `[mail]` and `[report]`: how people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::{Problem, check_schedule};

/// How mails leave. Without it none are made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// The server: `smtp://127.0.0.1:25` (plain, on this machine only), `smtp://HOST:587?tls=required` or `smtps://HOST`.
    pub smtp: String,
    /// User name for the server.
    pub user: Option<String>,
    /// File that holds its password, readable only by the service.
    pub password_file: Option<PathBuf>,
    /// File of certificates (PEM) that the server's may be signed by, beside those of public authorities.
    pub ca_file: Option<PathBuf>,
    /// Sender: `Speedwell <speedwell@example.org>`.
    pub from: String,
    /// Names the list in mail clients, like a host's name; default: `speedwell.` and the sender's domain.
    pub list_id: Option<String>,
    /// Addresses that hear of every confirmed change, and get the daily reports.
    #[serde(default)]
    pub lists: Vec<String>,
    /// Addresses of those who tend this service: they hear of alarms.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Whether the author and the committer of a culprit are told.
    #[serde(default = "default_authors")]
    pub authors: bool,
    /// Only of commits that are not older than this many days: a history that is measured afterwards tells its people nothing.
    #[serde(default = "default_authors_days")]
    pub authors_days: u32,
    /// Addresses of commits, and those that stand in for them.
    #[serde(default)]
    pub addresses: BTreeMap<String, String>,
    /// Addresses that hear nothing.
    #[serde(default)]
    pub opted_out: BTreeSet<String>,
}

fn default_authors() -> bool {
    true
}
fn default_authors_days() -> u32 {
    90
}

impl MailConfig {
    /// The list's name.
    pub fn list_id(&self) -> String {
        self.list_id.clone().unwrap_or_else(|| {
            let domain = self.from.rsplit('@').next().unwrap_or_default();
            format!("speedwell.{}", domain.trim_end_matches('>'))
        })
    }

    /// User name and password, when both are configured.
    pub fn credentials(&self) -> anyhow::Result<Option<(String, String)>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else {
            return Ok(None);
        };
        Ok(Some((
            user.clone(),
            read_secret("mail.password_file", file)?,
        )))
    }

    /// What stands in `ca_file`.
    pub fn authorities(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |file: &PathBuf| {
            std::fs::read(file)
                .with_context(|| format!("mail.ca_file: cannot read {}", file.display()))
        };
        self.ca_file.as_ref().map(read).transpose()
    }

    fn validate(&self) -> Result<(), Problem> {
        check_smtp(&self.smtp).map_err(|message| Problem::new("mail.smtp", &self.smtp, message))?;
        check_address(&self.from)
            .map_err(|message| Problem::new("mail.from", &self.from, message))?;
        let list_id = self.list_id();
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if list_id.is_empty() || !list_id.chars().all(safe) {
            let message = "use letters, digits, '-' and '.', like \"speedwell.example.org\"";
            return Err(Problem::new("mail.list_id", &list_id, message));
        }
        for list in &self.lists {
            check_address(list).map_err(|message| Problem::new("mail.lists", list, message))?;
        }
        for one in &self.operators {
            check_address(one).map_err(|message| Problem::new("mail.operators", one, message))?;
        }
        for new in self.addresses.values() {
            check_address(new).map_err(|message| Problem::new("mail.addresses", new, message))?;
        }
        let is_encrypted =
            self.smtp.starts_with("smtps://") || self.smtp.ends_with("?tls=required");
        if let Some(file) = self.ca_file.as_ref().filter(|_| !is_encrypted) {
            let message = "this connection has no certificate: write smtps:// or ?tls=required";
            let file = file.display().to_string();
            return Err(Problem::new("mail.ca_file", &file, message));
        }
        if self.user.is_some() != self.password_file.is_some() {
            let message = "user and password_file go together";
            return Err(Problem::new(
                "mail.user",
                self.user.as_deref().unwrap_or_default(),
                message,
            ));
        }
        Ok(())
    }
}

/// A plain connection leaves this machine for none: whoever listens would read it.
fn check_smtp(url: &str) -> Result<(), &'static str> {
    const FORMS: &str = "use smtp://127.0.0.1:25, smtp://HOST:587?tls=required or smtps://HOST";
    if url.starts_with("smtps://") {
        return Ok(());
    }
    let Some(rest) = url.strip_prefix("smtp://") else {
        return Err(FORMS);
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    if host.is_empty() || place.contains('@') {
        return Err(FORMS);
    }
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if !local && query != "tls=required" {
        return Err(
            "plain mail leaves this machine for no other: add ?tls=required, or use smtps://",
        );
    }
    Ok(())
}

/// `ann@example.org` or `Ann <ann@example.org>`; the mail library reads it again, more strictly.
pub fn check_address(text: &str) -> Result<(), &'static str> {
    const FORM: &str = "not a mail address like \"ann@example.org\"";
    let bare = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').ok_or(FORM)?,
        None => text,
    };
    let (local, domain) = bare.rsplit_once('@').ok_or(FORM)?;
    let wrong =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';' | '"');
    let good = !local.is_empty()
        && !domain.is_empty()
        && !bare.contains(wrong)
        && !text.contains(char::is_control)
        && text.len() <= 254;
    good.then_some(()).ok_or(FORM)
}

/// When daily reports are made.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportConfig {
    /// A cron expression with seconds.
    #[serde(default = "default_schedule")]
    pub schedule: String,
    /// The hour (UTC) at which subscriptions that want everything of a day in one message get it.
    #[serde(default = "default_digest_hour")]
    pub digest_hour: u32,
}

fn default_digest_hour() -> u32 {
    6
}

fn default_schedule() -> String {
    "0 0 5 * * *".to_owned()
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            schedule: default_schedule(),
            digest_hour: default_digest_hour(),
        }
    }
}

pub(super) fn read_secret(key: &str, file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{key}: cannot read {}", file.display()))?;
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "{key}: {} is empty", file.display());
    Ok(secret.to_owned())
}

pub(super) fn validate(config: &super::Config) -> Result<(), Problem> {
    if let Some(mail) = &config.mail {
        mail.validate()?;
    }
    let schedule = &config.report.schedule;
    check_schedule(schedule).map_err(|e| Problem::new("report.schedule", schedule, e))?;
    let hour = config.report.digest_hour;
    if hour > 23 {
        let message = "an hour from 0 to 23, in UTC";
        return Err(Problem::new(
            "report.digest_hour",
            &hour.to_string(),
            message,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const MAIL: &str = "[mail]\nsmtp = \"smtp://127.0.0.1:2525\"\nfrom = \"Speedwell <s@example.org>\"\nlists = [\"l@example.org\"]\n\
                        opted_out = [\"x@example.org\"]\n[mail.addresses]\n\"old@x.org\" = \"new@x.org\"\n";
    fn error_of(text: &str) -> String {
        let text = format!("data = \"/tmp/x\"\n{text}");
        Config::parse(&text, "speedwell.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn mail_is_read_with_defaults() {
        let config =
            Config::parse(&format!("data = \"/tmp/x\"\n{MAIL}"), "speedwell.toml").unwrap();
        let mail = config.mail.unwrap();
        assert_eq!(mail.list_id(), "speedwell.example.org");
        assert!(mail.authors && mail.addresses.len() == 1 && mail.credentials().unwrap().is_none());
        assert_eq!(config.report.schedule, "0 0 5 * * *");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (from, to, key) in [
            (
                "smtp://127.0.0.1:2525",
                "smtp://mail.example:25",
                "mail.smtp",
            ),
            ("smtp://127.0.0.1:2525", "http://x", "mail.smtp"),
            ("Speedwell <s@example.org>", "nobody", "mail.from"),
            (
                "l@example.org",
                "l@example.org, m@example.org",
                "mail.lists",
            ),
            ("new@x.org", "new", "mail.addresses"),
        ] {
            let error = error_of(&MAIL.replace(from, to));
            assert!(error.contains(key), "{to}: {error}");
        }
        assert!(error_of(&MAIL.replace("lists =", "list =")).contains("list"));
        assert!(error_of("[report]\nschedule = \"daily\"\n").contains("report.schedule"));
    }
}
