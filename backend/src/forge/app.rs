//! A GitHub App: signs in with its key, and gets a token of its installation that holds for an hour.
//!
//! The steps and names are GitHub's ("Authenticating as a GitHub App installation"). The signature is made by the TLS library that is here
//! anyway (rustls with ring). Tokens are kept in memory only, until shortly before they end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Client;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::json;

use super::{Forge, send};
use crate::domain::hook::ForgeKind;
use crate::domain::telling::Failure;

/// How long a signed request to sign in holds: GitHub takes ten minutes at most.
const SIGNED_FOR: TimeDelta = TimeDelta::minutes(9);
/// The two clocks need not agree: it was signed a moment ago.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(1);
/// A token that ends sooner is not used any more: a request takes its time.
const RENEWED_BEFORE: TimeDelta = TimeDelta::minutes(5);

/// An app that is installed on a project.
#[derive(Clone)]
pub struct App {
    /// Its number (or client id).
    pub id: i64,
    /// The number of its installation.
    pub installation: i64,
    key: Arc<dyn SigningKey>,
}

impl App {
    /// Reads the key as GitHub hands it out: an RSA key in PEM.
    pub fn open(id: i64, installation: i64, pem: &str) -> anyhow::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_unreadable| anyhow::anyhow!("no private key in PEM"))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)
            .context("not a key that can sign")?;
        anyhow::ensure!(
            key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
                .is_some(),
            "not an RSA key, which GitHub's are"
        );
        Ok(Self {
            id,
            installation,
            key,
        })
    }

    /// What proves that the app asks: a JSON web token (RFC 7519) with the signature RS256.
    fn signed(&self, now: DateTime<Utc>) -> anyhow::Result<String> {
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({
            "iat": (now - CLOCKS_DIFFER).timestamp(),
            "exp": (now + SIGNED_FOR).timestamp(),
            "iss": self.id.to_string(),
        });
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let words = format!(
            "{}.{}",
            encode(&header.to_string()),
            encode(&claims.to_string())
        );
        let signer = self
            .key
            .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
            .context("not an RSA key")?;
        let signature = signer.sign(words.as_bytes())?;
        Ok(format!("{words}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What acts on a forge.
pub enum Actor {
    /// Whoever a configured token belongs to.
    Token(String),
    /// An app.
    App(App),
}

/// Tokens of installations, shared by all who hold a clone.
#[derive(Clone, Default)]
pub struct Tokens(Arc<Mutex<BTreeMap<Owner, Token>>>);

/// The API, the installation, and the project that the token is for.
type Owner = (String, i64, String);

/// As GitHub answers it.
#[derive(Clone, Deserialize)]
struct Token {
    token: String,
    expires_at: DateTime<Utc>,
}

impl Tokens {
    /// A project (`owner/name`) of an API, with a token: the configured one, or one of the app's installation, a kept one where it holds.
    pub async fn open(
        &self,
        client: &Client,
        (kind, api, project): (ForgeKind, &str, &str),
        actor: Actor,
    ) -> Result<Forge, Failure> {
        let (token, app) = match actor {
            Actor::Token(token) => (token, None),
            Actor::App(app) => (self.get(client, &app, api, project).await?, Some(app.id)),
        };
        Ok(Forge {
            kind,
            api: api.to_owned(),
            project: project.to_owned(),
            token,
            app,
        })
    }

    /// A token for a project (`owner/name`) of an API: a kept one, or a new one. Only that project can be reached with it.
    async fn get(
        &self,
        client: &Client,
        app: &App,
        api: &str,
        project: &str,
    ) -> Result<String, Failure> {
        let now = Utc::now();
        let owner = (api.to_owned(), app.installation, project.to_owned());
        if let Some(kept) = self.lock().get(&owner)
            && kept.expires_at - now > RENEWED_BEFORE
        {
            return Ok(kept.token.clone());
        }
        let signed = app
            .signed(now)
            .map_err(|error| Failure::passing(format!("the app's key: {error:#}")))?;
        let address = format!(
            "{}/app/installations/{}/access_tokens",
            api.trim_end_matches('/'),
            app.installation
        );
        let name = project.rsplit('/').next().unwrap_or(project);
        let request = client
            .post(address)
            .bearer_auth(signed)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .json(&json!({ "repositories": [name] }));
        // Whatever is wrong is wrong with the configuration or the forge, not with a message: that waits until it is mended.
        let answer = send(request).await.map_err(|failure| Failure {
            permanent: false,
            message: format!(
                "the app cannot sign in (app_id, app_key_file, installation_id): {}",
                failure.message
            ),
            ..failure
        })?;
        // The answer is not repeated in words: it holds the token.
        let token: Token = serde_json::from_str(&answer).map_err(|_unreadable| {
            Failure::passing("the app cannot sign in: the answer holds no token")
        })?;
        let words = token.token.clone();
        self.lock().insert(owner, token);
        Ok(words)
    }

    /// Forgets the tokens for a project: one was refused, though it had not ended.
    pub fn forget(&self, project: &str) {
        self.lock().retain(|(_, _, one), _| one != project);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Owner, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
