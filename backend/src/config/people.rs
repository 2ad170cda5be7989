//! `reading`, `trusted_proxies`, `[limits]`, `[[sign_in]]` and `[outgoing]`: who may come in, how often, and where messages may go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::telling::read_secret;
use super::{Config, Problem, check_name};
use crate::domain::role::Role;
use crate::forge::{ForgeKind, Provider};

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Everybody.
    #[default]
    Public,
    /// Who has a token or has signed in.
    SignedIn,
}

/// Requests in a minute from one address, and the same again of one token or sign-in; 0: as many as come. A minute's worth may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Pages, pictures, feeds and the API's answers.
    pub reading: u32,
    /// What changes something.
    pub acting: u32,
    /// Tries to sign in, and requests with a token that is not accepted; of an address only.
    pub signing_in: u32,
    /// Deliveries of forges; of an address only.
    pub hooks: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            reading: 6000,
            acting: 600,
            signing_in: 10,
            hooks: 1200,
        }
    }
}

/// A forge where people sign in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConfig {
    /// Its short name: part of addresses and of people's names here (`github:ada`).
    pub name: String,
    /// `github`, `gitlab` or `forgejo`.
    pub kind: ForgeKind,
    /// The id of the OAuth application that its administrator has registered, with the callback `PUBLIC_URL/sign-in/NAME/back`.
    pub client_id: String,
    /// File that holds the application's secret.
    pub client_secret_file: PathBuf,
    /// The forge's pages: `https://github.com`, `https://gitlab.com`, `https://codeberg.org`. Default: the first two, by kind.
    pub web: Option<String>,
    /// The forge's API. Default: by kind, `https://api.github.com`, `WEB/api/v4`, `WEB/api/v1`.
    pub api: Option<String>,
    /// People by their user names there, and their role here.
    #[serde(default)]
    pub users: BTreeMap<String, RoleName>,
    /// Organisations (on GitLab groups, by their whole path), and their members' role here.
    #[serde(default)]
    pub organisations: BTreeMap<String, RoleName>,
    /// The role of whoever has an account there; default: nobody else comes in.
    pub everybody: Option<RoleName>,
}

/// A role, as the configuration writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleName(pub Role);

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_unknown| {
            let message = format!("{text:?}: use viewer, triager, operator or admin");
            serde::de::Error::custom(message)
        })
    }
}

impl SignInConfig {
    /// The forge's pages, without a slash at the end.
    fn web(&self) -> Option<String> {
        let known = match self.kind {
            ForgeKind::Github => Some("https://github.com"),
            ForgeKind::Gitlab => Some("https://gitlab.com"),
            ForgeKind::Forgejo => None,
        };
        let web = self.web.as_deref().or(known)?;
        Some(web.trim_end_matches('/').to_owned())
    }

    /// The forge as signing in needs it, with its secret.
    pub fn open(&self) -> anyhow::Result<Provider> {
        let web = self
            .web()
            .ok_or_else(|| anyhow::anyhow!("sign_in.web is missing"))?;
        let api = match (&self.api, self.kind) {
            (Some(api), _) => api.trim_end_matches('/').to_owned(),
            (None, ForgeKind::Github) if web == "https://github.com" => {
                "https://api.github.com".to_owned()
            }
            (None, ForgeKind::Github) => format!("{web}/api/v3"),
            (None, ForgeKind::Gitlab) => format!("{web}/api/v4"),
            (None, ForgeKind::Forgejo) => format!("{web}/api/v1"),
        };
        Ok(Provider {
            kind: self.kind,
            web,
            api,
            client_id: self.client_id.clone(),
            client_secret: read_secret("sign_in.client_secret_file", &self.client_secret_file)?,
            asks_organisations: !self.organisations.is_empty(),
        })
    }

    /// The role of somebody: the highest that their name, an organisation of theirs or everybody has. Names on forges do not differ by case.
    pub fn role_of(&self, user: &str, organisations: &[String]) -> Option<Role> {
        let named =
            |(name, role): (&String, &RoleName)| name.eq_ignore_ascii_case(user).then_some(role.0);
        let member = |(name, role): (&String, &RoleName)| {
            let is_member = organisations
                .iter()
                .any(|one| one.eq_ignore_ascii_case(name));
            is_member.then_some(role.0)
        };
        let by_name = self.users.iter().filter_map(named);
        let by_organisation = self.organisations.iter().filter_map(member);
        by_name
            .chain(by_organisation)
            .chain(self.everybody.map(|role| role.0))
            .max()
    }

    fn validate(&self) -> Result<(), Problem> {
        check_name(&self.name).map_err(|e| Problem::new("sign_in.name", &self.name, e))?;
        if self.name == "cli" {
            let message = "this name stands for people on the server";
            return Err(Problem::new("sign_in.name", &self.name, message));
        }
        if self.client_id.trim().is_empty() {
            let message = "the id that the forge gave when the application was registered";
            return Err(Problem::new("sign_in.client_id", &self.client_id, message));
        }
        let Some(web) = self.web() else {
            let message = "add web = \"https://…\": the address of this forge's pages";
            return Err(Problem::new("sign_in.name", &self.name, message));
        };
        for (key, address) in [
            ("sign_in.web", Some(&web)),
            ("sign_in.api", self.api.as_ref()),
        ] {
            let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
            let safe = |address: &String| {
                address.starts_with("https://") || local.iter().any(|one| address.starts_with(one))
            };
            if let Some(address) = address.filter(|address| !safe(address)) {
                return Err(Problem::new(key, address, "use https://: secrets go along"));
            }
        }
        if self.users.is_empty() && self.organisations.is_empty() && self.everybody.is_none() {
            let message = "nobody could sign in: add [sign_in.users], [sign_in.organisations] or everybody = \"viewer\"";
            return Err(Problem::new("sign_in.name", &self.name, message));
        }
        Ok(())
    }
}

/// Where messages to addresses that people have given (webhooks, chats) may go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutgoingConfig {
    /// Networks that are not public and may be reached all the same: `10.1.2.0/24`, `127.0.0.1`.
    #[serde(default)]
    pub allow: Vec<Network>,
}

/// A network or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text
            .parse::<IpNet>()
            .or_else(|_no_network| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_neither| {
            let message = format!("{text:?}: write a network like 10.0.0.0/8, or an address");
            serde::de::Error::custom(message)
        })
    }
}

/// Whether one of the networks holds an address.
pub fn holds(networks: &[Network], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|one| one.0.contains(&address))
}

pub(super) fn validate(config: &Config) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for one in &config.sign_ins {
        one.validate()?;
        if !names.insert(&one.name) {
            let message = "this name is used twice";
            return Err(Problem::new("sign_in.name", &one.name, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "reading = \"signed-in\"\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[limits]\nacting = 60\n\
        [[sign_in]]\nname = \"github\"\nkind = \"github\"\nclient_id = \"Iv1\"\nclient_secret_file = \"/run/secret\"\n\
        everybody = \"viewer\"\n[sign_in.users]\nAda = \"admin\"\n[sign_in.organisations]\npython = \"triager\"\n";

    fn parse(text: &str) -> anyhow::Result<Config> {
        Config::parse(&format!("data = \"/tmp/x\"\n{text}"), "speedwell.toml")
    }

    #[test]
    fn it_is_read_with_defaults() {
        let plain = parse("").unwrap();
        assert_eq!(
            (plain.reading, plain.limits),
            (Reading::Public, LimitsConfig::default())
        );
        let config = parse(GITHUB).unwrap();
        assert_eq!(config.reading, Reading::SignedIn);
        assert_eq!((config.limits.acting, config.limits.signing_in), (60, 10));
        let inside = |text: &str| holds(&config.trusted_proxies, text.parse().unwrap());
        assert!(inside("10.1.2.3") && inside("::ffff:127.0.0.1") && !inside("127.0.0.2"));
        let error = config.sign_ins[0].open().err().unwrap().to_string();
        assert!(error.contains("client_secret_file"), "{error}");
    }

    #[test]
    fn the_highest_role_counts() {
        let config = parse(GITHUB).unwrap();
        let github = &config.sign_ins[0];
        let python = ["Python".to_owned()];
        assert_eq!(github.role_of("ada", &[]), Some(Role::Admin));
        assert_eq!(github.role_of("bob", &python), Some(Role::Triager));
        assert_eq!(github.role_of("bob", &[]), Some(Role::Viewer));
        let closed = parse(&GITHUB.replace("everybody = \"viewer\"\n", "")).unwrap();
        assert_eq!(
            closed.sign_ins[0].role_of("bob", &["pytho".to_owned()]),
            None
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (from, to, words) in [
            ("\"signed-in\"", "\"secret\"", "reading"),
            ("\"127.0.0.1\"", "\"localhost\"", "trusted_proxies"),
            ("\"triager\"", "\"reader\"", "use viewer, triager"),
            ("\"Iv1\"", "\"\"", "sign_in.client_id"),
            ("kind = \"github\"", "kind = \"forgejo\"", "web = "),
            (
                "client_id",
                "web = \"http://x.example\"\nclient_id",
                "sign_in.web",
            ),
        ] {
            let error = parse(&GITHUB.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(words), "{to}: {error}");
        }
    }
}
