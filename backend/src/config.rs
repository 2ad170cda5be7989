//! `speedwell.toml`: every setting of the backend in one documented struct, checked before anything starts.

mod control;
mod forge;
mod people;
mod retention;
mod runtime;
mod telling;
mod try_runs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::detection::segments::Settings;
use crate::domain::alarm::Limits;
use crate::domain::import::mapping::ImportRule;

pub use control::ControlConfig;
pub use forge::{ForgeConfig, HooksConfig, Report, unreadable_secrets};
pub use people::{LimitsConfig, Network, OutgoingConfig, Reading, RoleName, SignInConfig, holds};
pub use retention::RetentionConfig;
pub use runtime::{PROGRAMS, RuntimeConfig};
pub use telling::{MailConfig, ReportConfig, check_address};
pub use try_runs::TryConfig;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder that the backend owns: private cluster, mirrors, artefacts.
    pub data: PathBuf,
    /// Address and port to listen on.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// Address under which people reach the pages; used in links. Default: `http://` and `listen`.
    pub public_url: Option<String>,
    /// A Postgres to use instead of a private cluster. The variable `DATABASE_URL` wins over it.
    pub database_url: Option<String>,
    /// System user that runs the private cluster when the backend runs as root.
    #[serde(default = "default_postgres_user")]
    pub postgres_user: String,
    /// Where artefacts live: a URL of the `object_store` crate. Default: a folder in `data`.
    pub store: Option<String>,
    /// How often each repository is looked at, unless it says so itself: a cron expression with seconds.
    #[serde(default = "default_schedule")]
    pub schedule: String,
    /// A host that has not been heard of for this many seconds is shown as stale.
    #[serde(default = "default_stale_seconds")]
    pub stale_seconds: u64,
    /// When controls are measured.
    #[serde(default)]
    pub control: ControlConfig,
    /// What the detector calls a change.
    #[serde(default)]
    pub detection: Settings,
    /// How long tries are measured.
    #[serde(default)]
    pub try_runs: TryConfig,
    /// Who may read: `public` or `signed-in`.
    #[serde(default)]
    pub reading: Reading,
    /// Proxies before this service, as addresses or networks: only what they say about whom they speak for is believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// How often one address or token may come.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Forges where people sign in.
    #[serde(default, rename = "sign_in")]
    pub sign_ins: Vec<SignInConfig>,
    /// Where messages to addresses that people have given may go.
    #[serde(default)]
    pub outgoing: OutgoingConfig,
    /// How mails leave; without it none are made.
    pub mail: Option<MailConfig>,
    /// When daily reports are made.
    #[serde(default)]
    pub report: ReportConfig,
    /// From when on something that stands still is an alarm.
    #[serde(default)]
    pub alarms: Limits,
    /// For how long what is large is kept.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// What hooks of forges may send, and how long it is kept.
    #[serde(default)]
    pub hooks: HooksConfig,
    /// Repositories to track.
    #[serde(default, rename = "repository")]
    pub repositories: Vec<RepositoryConfig>,
    /// Runtimes to measure.
    #[serde(default, rename = "runtime")]
    pub runtimes: Vec<RuntimeConfig>,
    /// Which runtime and host the names of imported results stand for.
    #[serde(default, rename = "import")]
    pub imports: Vec<ImportRule>,
}

/// One tracked git repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryConfig {
    /// Short name, letters, digits, `-`, `_` and `.`; names the mirror's folder.
    pub name: String,
    /// A path or URL that `git fetch` understands.
    pub url: String,
    /// Cron expression with seconds (`sec min hour day month weekday`); default: the global one.
    pub schedule: Option<String>,
    /// Link of a commit on the forge, with `{commit}` in place of the hash.
    pub commit_url: Option<String>,
    /// Paths that a checkout leaves out, for a history with missing objects.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Its project on a forge: where statuses and comments go, and where hooks come from.
    pub forge: Option<ForgeConfig>,
}

fn default_listen() -> String {
    "127.0.0.1:8017".to_owned()
}
fn default_postgres_user() -> String {
    "postgres".to_owned()
}
fn default_schedule() -> String {
    "0 */5 * * * *".to_owned()
}
fn default_stale_seconds() -> u64 {
    180
}
impl Config {
    /// Reads and validates a file. Errors name the file, the line and the key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        // Absolute first: the parent of a bare file name is empty, and Postgres wants whole paths.
        if let Some(folder) = std::path::absolute(path)?.parent() {
            config.data = folder.join(&config.data);
        }
        Ok(config)
    }

    /// Parses and validates the text of a configuration; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        // The toml crate's message carries line, column, the line itself and the key.
        let config: Self =
            toml::from_str(text).map_err(|error| anyhow::anyhow!("{origin}: {error}"))?;
        config.validate().map_err(|problem| {
            let line = problem.line_in(text);
            anyhow::anyhow!("{origin}:{line}: {}: {}", problem.key, problem.message)
        })?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), Problem> {
        check_schedule(&self.schedule).map_err(|e| Problem::new("schedule", &self.schedule, e))?;
        let schedule = &self.control.schedule;
        check_schedule(schedule).map_err(|e| Problem::new("control.schedule", schedule, e))?;
        self.detection.check().map_err(|message| Problem {
            key: "detection",
            value: String::new(),
            message,
        })?;
        self.try_runs.validate()?;
        telling::validate(self)?;
        self.retention.validate()?;
        forge::validate(self)?;
        people::validate(self)?;
        let mut names = BTreeSet::new();
        for repository in &self.repositories {
            check_name(&repository.name)
                .map_err(|e| Problem::new("repository.name", &repository.name, e))?;
            if repository.name == PROGRAMS {
                return Err(Problem::new(
                    "repository.name",
                    &repository.name,
                    "this name stands for the interpreters that nobody builds",
                ));
            }
            if !names.insert(&repository.name) {
                return Err(Problem::new(
                    "repository.name",
                    &repository.name,
                    "this name is used twice",
                ));
            }
            if let Some(schedule) = &repository.schedule {
                check_schedule(schedule)
                    .map_err(|e| Problem::new("repository.schedule", schedule, e))?;
            }
            if repository.url.is_empty() || repository.url.starts_with('-') {
                return Err(Problem::new(
                    "repository.url",
                    &repository.url,
                    "not a path or URL",
                ));
            }
            if let Some(url) = &repository.commit_url
                && !(url.contains("{commit}")
                    && (url.starts_with("https://") || url.starts_with("http://")))
            {
                let message =
                    "needs {commit} in place of the hash, and http:// or https:// in front";
                return Err(Problem::new("repository.commit_url", url, message));
            }
        }
        let mut runtimes = BTreeSet::new();
        for runtime in &self.runtimes {
            runtime.validate(&names)?;
            if !runtimes.insert(&runtime.name) {
                return Err(Problem::new(
                    "runtime.name",
                    &runtime.name,
                    "this name is used twice",
                ));
            }
        }
        for rule in &self.imports {
            if !runtimes.contains(&rule.runtime) {
                let message = "no [[runtime]] has this name";
                return Err(Problem::new("import.runtime", &rule.runtime, message));
            }
            check_name(&rule.host).map_err(|e| Problem::new("import.host", &rule.host, e))?;
        }
        Ok(())
    }

    /// Address for links, without a slash at the end.
    pub fn public_url(&self) -> String {
        let url = self
            .public_url
            .clone()
            .unwrap_or_else(|| format!("http://{}", self.listen));
        url.trim_end_matches('/').to_owned()
    }

    /// The schedule of a repository.
    pub fn schedule_of(&self, repository: &RepositoryConfig) -> String {
        repository
            .schedule
            .clone()
            .unwrap_or_else(|| self.schedule.clone())
    }
}

/// What is wrong with a well-formed file, and where.
#[derive(Debug)]
struct Problem {
    key: &'static str,
    value: String,
    message: String,
}

impl Problem {
    fn new(key: &'static str, value: &str, message: impl ToString) -> Self {
        Self {
            key,
            value: value.to_owned(),
            message: format!("{value:?}: {}", message.to_string()),
        }
    }

    /// The first line that holds the key's last part and the value, from 1; 1 when there is none (a default).
    fn line_in(&self, text: &str) -> usize {
        let key = self.key.rsplit('.').next().unwrap_or(self.key);
        let holds = |line: &str| line.trim_start().starts_with(key) && line.contains(&self.value);
        text.lines().position(holds).map_or(1, |index| index + 1)
    }
}

/// Names become path components and parts of URLs.
fn check_name(name: &str) -> anyhow::Result<()> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    ensure!(
        !name.is_empty()
            && name.len() <= 64
            && name.chars().all(safe)
            && !name.starts_with(['.', '-']),
        "use 1 to 64 letters, digits, '-', '_' and '.', not starting with '.' or '-'"
    );
    Ok(())
}

fn check_schedule(text: &str) -> anyhow::Result<()> {
    if text.split_whitespace().count() == 5 {
        bail!("five fields; this schedule starts with seconds: write \"0 {text}\"");
    }
    cron::Schedule::from_str(text)
        .map(drop)
        .map_err(|error| anyhow::anyhow!("not a schedule: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
data = "/tmp/x"
[[repository]]
name = "cpython"
url = "/srv/cpython.git"
[[runtime]]
name = "cpython-main"
repository = "cpython"
branch = "main"
language = "python3"
policy = { measure = "every", newest = 10 }
"#;

    fn error_of(text: &str) -> String {
        Config::parse(text, "speedwell.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_small_file_gets_documented_defaults() {
        let config = Config::parse(GOOD, "speedwell.toml").unwrap();
        assert_eq!(config.public_url(), "http://127.0.0.1:8017");
        assert_eq!(config.runtimes[0].suite, "portable");
        assert_eq!(config.runtimes[0].build_recipe().unwrap().sha256.len(), 64);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let unknown = error_of(&GOOD.replace("url =", "uri ="));
        assert!(
            unknown.contains("speedwell.toml")
                && unknown.contains("line 5")
                && unknown.contains("uri"),
            "{unknown}"
        );
        let branch = error_of(&GOOD.replace("\"main\"", "\"a..b\""));
        assert!(
            branch.starts_with("speedwell.toml:9: runtime.branch"),
            "{branch}"
        );
        let repository =
            error_of(&GOOD.replace("repository = \"cpython\"", "repository = \"pypy\""));
        assert!(
            repository.contains("speedwell.toml:8: runtime.repository"),
            "{repository}"
        );
        let schedule = error_of(&format!("schedule = \"0 3 * * *\"\n{GOOD}"));
        assert!(
            schedule.contains("speedwell.toml:1: schedule") && schedule.contains("\"0 0 3 * * *\""),
            "{schedule}"
        );
        let name = error_of(&GOOD.replace("name = \"cpython\"", "name = \"../x\""));
        assert!(name.contains("repository.name"), "{name}");
    }

    #[test]
    fn two_profiles_are_two_recipes() {
        let plain = Config::parse(GOOD, "a").unwrap().runtimes[0]
            .build_recipe()
            .unwrap();
        let tuned = Config::parse(&format!("{GOOD}profile = \"pgo\"\n"), "a")
            .unwrap()
            .runtimes[0]
            .build_recipe()
            .unwrap();
        assert_ne!(plain.sha256, tuned.sha256);
    }
}
