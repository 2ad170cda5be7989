//! Signing in at a forge: OAuth 2's authorization code (RFC 6749, section 4.1) with PKCE (RFC 7636), as GitHub, GitLab and Forgejo document it.
//!
//! Written out, for it is two requests: the crate `oauth2` brings second versions of `rand` and `sha2`, and does not know that GitHub answers
//! an error with the status 200.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{ForgeKind, send};
use crate::domain::telling::Failure;

/// Items of one page of organisations, and the most pages that are read.
const PER_PAGE: usize = 50;
const MOST_PAGES: usize = 20;

/// A forge where people sign in.
#[derive(Clone)]
pub struct Provider {
    /// Its API.
    pub kind: ForgeKind,
    /// Where its pages are, without a slash at the end.
    pub web: String,
    /// Where its API is, without a slash at the end.
    pub api: String,
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: String,
    /// Whether to ask for a person's organisations, too.
    pub asks_organisations: bool,
}

/// One way to the forge and back.
#[derive(Debug, Clone, Copy)]
pub struct Trip<'a> {
    /// Where the forge sends the browser back to.
    pub back: &'a str,
    /// The random text that comes back with it.
    pub state: &'a str,
    /// The random text whose hash the forge is told first, and that itself later.
    pub verifier: &'a str,
}

/// Who somebody is on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The user name.
    pub user: String,
    /// The organisations; of GitLab groups, by their whole path.
    pub organisations: Vec<String>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Provider {
    /// The page of the forge that asks the person.
    pub fn question(&self, trip: &Trip<'_>) -> anyhow::Result<String> {
        let path = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => "login/oauth/authorize",
            ForgeKind::Gitlab => "oauth/authorize",
        };
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(trip.verifier.as_bytes()));
        let mut url = Url::parse(&format!("{}/{path}", self.web))?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", trip.back)
            .append_pair("response_type", "code")
            .append_pair("scope", self.scope())
            .append_pair("state", trip.state)
            .append_pair("code_challenge", &hash)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// The least that tells who it is.
    fn scope(&self) -> &'static str {
        match (self.kind, self.asks_organisations) {
            (ForgeKind::Github, false) => "",
            (ForgeKind::Github, true) => "read:org",
            (ForgeKind::Gitlab, false) => "read_user",
            (ForgeKind::Gitlab, true) => "read_api",
            (ForgeKind::Forgejo, false) => "read:user",
            (ForgeKind::Forgejo, true) => "read:user read:organization",
        }
    }

    /// Who came back with this code. The forge's token is used for that and forgotten.
    pub async fn person(
        &self,
        client: &Client,
        trip: &Trip<'_>,
        code: &str,
    ) -> Result<Person, Failure> {
        let token = self.exchange(client, trip, code).await?;
        let user: Value = self.get(client, &token, "user").await?;
        let field = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => "login",
            ForgeKind::Gitlab => "username",
        };
        let user = text_of(&user, field)
            .ok_or_else(|| Failure::permanent(format!("the forge names no {field}")))?;
        let organisations = if self.asks_organisations {
            self.organisations(client, &token).await?
        } else {
            Vec::new()
        };
        Ok(Person {
            user,
            organisations,
        })
    }

    async fn exchange(
        &self,
        client: &Client,
        trip: &Trip<'_>,
        code: &str,
    ) -> Result<String, Failure> {
        let path = match self.kind {
            ForgeKind::Github | ForgeKind::Forgejo => "login/oauth/access_token",
            ForgeKind::Gitlab => "oauth/token",
        };
        let mut form = Url::parse("form:").map_err(wrong)?;
        form.query_pairs_mut()
            .append_pair("grant_type", "authorization_code")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", &self.client_secret)
            .append_pair("code", code)
            .append_pair("redirect_uri", trip.back)
            .append_pair("code_verifier", trip.verifier);
        let request = client
            .post(format!("{}/{path}", self.web))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        let granted: Granted = serde_json::from_str(&send(request).await?).map_err(wrong)?;
        granted.access_token.ok_or_else(|| {
            let words = granted.error_description.or(granted.error);
            Failure::permanent(words.unwrap_or_else(|| "the forge gave no token".to_owned()))
        })
    }

    async fn organisations(&self, client: &Client, token: &str) -> Result<Vec<String>, Failure> {
        let (path, field) = match self.kind {
            ForgeKind::Github => ("user/orgs?per_page=50", "login"),
            ForgeKind::Gitlab => ("groups?min_access_level=10&per_page=50", "full_path"),
            ForgeKind::Forgejo => ("user/orgs?limit=50", "username"),
        };
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let path = format!("{path}&page={page}");
            let some: Vec<Value> = self.get(client, token, &path).await?;
            all.extend(some.iter().filter_map(|one| text_of(one, field)));
            if some.len() < PER_PAGE {
                break;
            }
        }
        Ok(all)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        client: &Client,
        token: &str,
        path: &str,
    ) -> Result<T, Failure> {
        let request = client
            .get(format!("{}/{path}", self.api))
            .header(ACCEPT, "application/json")
            .bearer_auth(token);
        serde_json::from_str(&send(request).await?).map_err(wrong)
    }
}

fn text_of(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::permanent(format!("the forge's answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_holds_the_hash_of_the_verifier() {
        let provider = Provider {
            kind: ForgeKind::Github,
            web: "https://github.com".to_owned(),
            api: "https://api.github.com".to_owned(),
            client_id: "Iv1.x".to_owned(),
            client_secret: "secret".to_owned(),
            asks_organisations: true,
        };
        // The example of RFC 7636, appendix B.
        let trip = Trip {
            back: "https://s.example/sign-in/github/back",
            state: "s t",
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        };
        let url = provider.question(&trip).unwrap();
        assert!(
            url.contains("code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"),
            "{url}"
        );
        assert!(url.contains("scope=read%3Aorg&state=s+t&"), "{url}");
        assert!(!url.contains("secret") && !url.contains("dBjft"), "{url}");
    }
}
