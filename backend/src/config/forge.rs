//! `[repository.forge]` and `[hooks]`: the forge of a repository, and what its hooks may send.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

use super::Problem;
use super::telling::read_secret;
use crate::forge::{Actor, App, ForgeKind};

/// A repository's project on a forge: where statuses and comments go, and where hooks come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgeConfig {
    /// `github`, `gitlab` or `forgejo`.
    pub kind: ForgeKind,
    /// `https://api.github.com`, `https://gitlab.example/api/v4`, `https://codeberg.org/api/v1`.
    pub api: String,
    /// `owner/name`; on GitLab the whole path.
    pub project: String,
    /// File that holds the token. Without it, and without an app, nothing is sent to the forge; hooks are taken all the same.
    pub token_file: Option<PathBuf>,
    /// Number of a GitHub App that acts in place of a token's owner.
    pub app_id: Option<i64>,
    /// File that holds the app's private key, as GitHub hands it out (PEM).
    pub app_key_file: Option<PathBuf>,
    /// Number of the app's installation on the project: the last part of the address of its settings.
    pub installation_id: Option<i64>,
    /// How the forge shows the state of tries and of culprits.
    #[serde(default)]
    pub report: Report,
    /// Whether to comment on the commit, too, where the forge can.
    #[serde(default = "default_comments")]
    pub comments: bool,
    /// File that holds the secret of the forge's hooks; without it none are taken. Of several lines each is a secret that is accepted, so
    /// that it can be changed on one side first.
    pub hook_secret_file: Option<PathBuf>,
    /// The name that commands in comments begin with: `@speedwell bench`.
    #[serde(default = "default_mention")]
    pub mention: String,
    /// People who may ask for try runs though the forge does not let them push.
    #[serde(default)]
    pub try_users: BTreeSet<String>,
}

/// How a forge shows a commit's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// A commit status: one line, on every forge.
    #[default]
    Status,
    /// A check run with the whole table: GitHub only, and only of an app.
    Check,
}

fn default_comments() -> bool {
    true
}
fn default_mention() -> String {
    "speedwell".to_owned()
}

impl ForgeConfig {
    /// Whether anything can be sent to the forge.
    pub fn can_send(&self) -> bool {
        self.token_file.is_some() || self.app_id.is_some()
    }

    /// What acts on the forge.
    pub fn actor(&self) -> anyhow::Result<Actor> {
        if let (Some(id), Some(file), Some(installation)) =
            (self.app_id, &self.app_key_file, self.installation_id)
        {
            let key = "repository.forge.app_key_file";
            let pem = read_secret(key, file)?;
            let app = App::open(id, installation, &pem)
                .with_context(|| format!("{key}: {}", file.display()))?;
            return Ok(Actor::App(app));
        }
        let file = self.token_file.as_ref().context(
            "repository.forge.token_file: not given, so nothing can be sent to the forge",
        )?;
        read_secret("repository.forge.token_file", file).map(Actor::Token)
    }

    /// An app is whole, alone, and on GitHub; without one there are no checks.
    fn check_app(&self) -> Result<(), Problem> {
        let given = [
            self.app_id.is_some(),
            self.app_key_file.is_some(),
            self.installation_id.is_some(),
        ];
        let id = self.app_id.map_or_else(String::new, |id| id.to_string());
        if given.contains(&true) {
            if given.contains(&false) {
                let message = "app_id, app_key_file and installation_id go together";
                return Err(Problem::new("repository.forge.app_id", &id, message));
            }
            if self.token_file.is_some() {
                let message = "use an app or a token_file, not both";
                return Err(Problem::new("repository.forge.app_id", &id, message));
            }
            if self.kind != ForgeKind::Github {
                let message = "only GitHub has apps; use a token_file";
                return Err(Problem::new("repository.forge.app_id", &id, message));
            }
        }
        if self.report == Report::Check && self.app_id.is_none() {
            let message = "only a GitHub App may write checks: give app_id, app_key_file and installation_id, or use \"status\"";
            return Err(Problem::new("repository.forge.report", "check", message));
        }
        Ok(())
    }

    /// The secrets of its hooks; none without a file.
    pub fn hook_secrets(&self) -> anyhow::Result<Vec<String>> {
        let Some(file) = &self.hook_secret_file else {
            return Ok(Vec::new());
        };
        let text = read_secret("repository.forge.hook_secret_file", file)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }

    fn validate(&self) -> Result<(), Problem> {
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        if !self.api.starts_with("https://") && !local.iter().any(|one| self.api.starts_with(one)) {
            let message = "use https://: the token goes along";
            return Err(Problem::new("repository.forge.api", &self.api, message));
        }
        if !self.project.contains('/')
            || self
                .project
                .split('/')
                .any(|part| matches!(part, "" | "." | ".."))
        {
            let message = "write \"owner/name\"";
            return Err(Problem::new(
                "repository.forge.project",
                &self.project,
                message,
            ));
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.mention.is_empty() || self.mention.len() > 64 || !self.mention.chars().all(safe) {
            let message = "use letters, digits, '-', '_' and '.', without the @";
            return Err(Problem::new(
                "repository.forge.mention",
                &self.mention,
                message,
            ));
        }
        self.check_app()
    }
}

/// What hooks may send, and how long it is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HooksConfig {
    /// Largest body in bytes. GitHub sends up to 25 MB, of which nothing here needs more than a few kilobytes.
    #[serde(default = "default_most_bytes")]
    pub most_bytes: usize,
    /// Days until a delivery is forgotten.
    #[serde(default = "default_keep_days")]
    pub keep_days: u32,
}

fn default_most_bytes() -> usize {
    5_000_000
}
fn default_keep_days() -> u32 {
    30
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            most_bytes: default_most_bytes(),
            keep_days: default_keep_days(),
        }
    }
}

/// What would keep hooks out though they are configured: one line for each secret that cannot be read.
pub fn unreadable_secrets(config: &super::Config) -> Vec<String> {
    let forges = config.repositories.iter().filter_map(|one| {
        let error = one.forge.as_ref()?.hook_secrets().err()?;
        Some(format!("no hooks for {}: {error:#}", one.name))
    });
    forges.collect()
}

pub(super) fn validate(config: &super::Config) -> Result<(), Problem> {
    let hooks = &config.hooks;
    if !(10_000..=26_214_400).contains(&hooks.most_bytes) {
        let message =
            "use 10000 to 26214400 bytes: less than a push needs, or more than a forge sends";
        let value = hooks.most_bytes.to_string();
        return Err(Problem::new("hooks.most_bytes", &value, message));
    }
    if !(1..=3650).contains(&hooks.keep_days) {
        let value = hooks.keep_days.to_string();
        return Err(Problem::new(
            "hooks.keep_days",
            &value,
            "use 1 to 3650 days",
        ));
    }
    for repository in &config.repositories {
        if let Some(forge) = &repository.forge {
            forge.validate()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const FORGE: &str = "[[repository]]\nname = \"r\"\nurl = \"/srv/r.git\"\n[repository.forge]\nkind = \"github\"\n\
                         api = \"https://api.github.com\"\nproject = \"python/cpython\"\ntoken_file = \"/run/token\"\n";

    fn error_of(text: &str) -> String {
        let text = format!("data = \"/tmp/x\"\n{text}");
        Config::parse(&text, "speedwell.toml")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_forge_is_checked() {
        let good = format!("data = \"/tmp/x\"\n{FORGE}");
        let config = Config::parse(&good, "speedwell.toml").unwrap();
        let forge = config.repositories[0].forge.as_ref().unwrap();
        let error = forge.actor().err().unwrap().to_string();
        assert!(
            error.contains("token_file") && error.contains("/run/token"),
            "{error}"
        );
        assert!(
            error_of(&FORGE.replace("https://api", "http://api")).contains("repository.forge.api")
        );
        assert!(
            error_of(&FORGE.replace("python/cpython", "../x")).contains("repository.forge.project")
        );
        assert!(error_of(&FORGE.replace("\"github\"", "\"sourceforge\"")).contains("kind"));
    }

    #[test]
    fn an_app_is_whole_and_alone_and_what_writes_checks() {
        let app = "app_id = 1\napp_key_file = \"/run/key\"\ninstallation_id = 2\n";
        let without_token = FORGE.replace("token_file = \"/run/token\"\n", "");
        let good = format!("data = \"/tmp/x\"\n{without_token}{app}report = \"check\"\n");
        let config = Config::parse(&good, "speedwell.toml").unwrap();
        let forge = config.repositories[0].forge.as_ref().unwrap();
        assert!(forge.can_send() && forge.report == super::Report::Check);
        let error = forge.actor().err().unwrap().to_string();
        assert!(
            error.contains("app_key_file") && error.contains("/run/key"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "no key\n").unwrap();
        let other = good.replace("/run/key", &file.display().to_string());
        let config = Config::parse(&other, "speedwell.toml").unwrap();
        let forge = config.repositories[0].forge.as_ref().unwrap();
        let error = format!("{:#}", forge.actor().err().unwrap());
        assert!(error.contains("no private key in PEM"), "{error}");

        assert!(error_of(&format!("{FORGE}{app}")).contains("not both"));
        assert!(error_of(&format!("{without_token}app_id = 1\n")).contains("go together"));
        let gitlab = without_token.replace("github", "gitlab");
        assert!(error_of(&format!("{gitlab}{app}")).contains("only GitHub has apps"));
        let report = format!("{FORGE}report = \"check\"\n");
        assert!(error_of(&report).contains("repository.forge.report"));
    }

    #[test]
    fn hooks_have_secrets_limits_and_a_name_to_call() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let text = format!(
            "data = \"/tmp/x\"\n{FORGE}hook_secret_file = \"{}\"\n[hooks]\nkeep_days = 7\n",
            file.display()
        );
        let config = Config::parse(&text, "speedwell.toml").unwrap();
        assert_eq!(
            (config.hooks.keep_days, config.hooks.most_bytes),
            (7, 5_000_000)
        );
        let forge = config.repositories[0].forge.as_ref().unwrap();
        assert_eq!(forge.mention, "speedwell");
        let problems = super::unreadable_secrets(&config);
        assert!(
            problems.len() == 1 && problems[0].contains("hook_secret_file"),
            "{problems:?}"
        );
        std::fs::write(&file, "old\n\n new \n").unwrap();
        assert_eq!(forge.hook_secrets().unwrap(), ["old", "new"]);
        let plain = Config::parse(&format!("data = \"/tmp/x\"\n{FORGE}"), "a").unwrap();
        let forge = plain.repositories[0].forge.as_ref().unwrap();
        assert!(forge.hook_secrets().unwrap().is_empty());
        assert!(error_of("[hooks]\nmost_bytes = 5\n").contains("hooks.most_bytes"));
        assert!(error_of(&format!("{FORGE}mention = \"@x\"\n")).contains("mention"));
    }
}
