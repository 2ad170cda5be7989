//! A forge's OAuth in memory, over HTTP: asks nobody, but checks what a real one checks (RFC 6749 section 4.1, RFC 7636), and answers in the
//! words that GitHub, GitLab and Forgejo document.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The application that is registered there.
pub const CLIENT: (&str, &str) = ("speedwell-id", "speedwell-secret");
/// The token that it gives.
const TOKEN: &str = "gho_of_ada";

/// Which forge's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    Github,
    Gitlab,
    Forgejo,
}

/// The forge, running.
pub struct OAuth {
    pub server: MockServer,
    codes: Codes,
}

/// Code → what it was given for: callback and challenge. A code is taken out when it is used.
type Codes = Arc<Mutex<HashMap<String, (String, String)>>>;

struct Answers {
    words: Words,
    user: String,
    organisations: Vec<String>,
    codes: Codes,
}

impl OAuth {
    /// Starts a forge where one person has an account.
    pub async fn start(words: Words, user: &str, organisations: &[&str]) -> Self {
        let codes = Codes::default();
        let answers = Answers {
            words,
            user: user.to_owned(),
            organisations: organisations.iter().map(|one| (*one).to_owned()).collect(),
            codes: Arc::clone(&codes),
        };
        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(answers)
            .mount(&server)
            .await;
        Self { server, codes }
    }

    /// How many codes wait to be used.
    pub fn unused(&self) -> usize {
        self.codes.lock().unwrap().len()
    }
}

impl Respond for Answers {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let oauth = match self.words {
            Words::Github | Words::Forgejo => {
                ("/login/oauth/authorize", "/login/oauth/access_token")
            }
            Words::Gitlab => ("/oauth/authorize", "/oauth/token"),
        };
        let api = match self.words {
            Words::Github => "/api/v3",
            Words::Gitlab => "/api/v4",
            Words::Forgejo => "/api/v1",
        };
        let path = request.url.path();
        if path == oauth.0 {
            return self.authorize(&request.url);
        }
        if path == oauth.1 {
            return self.exchange(&request.body);
        }
        let bearer = request.headers.get("authorization");
        if bearer.is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
            return ResponseTemplate::new(401)
                .set_body_json(json!({ "message": "Bad credentials" }));
        }
        match path.strip_prefix(api) {
            Some("/user") => ResponseTemplate::new(200).set_body_json(self.user()),
            Some("/user/orgs" | "/groups") => self.page(&request.url),
            _ => ResponseTemplate::new(404).set_body_json(json!({ "message": "Not Found" })),
        }
    }
}

fn pairs(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

impl Answers {
    fn authorize(&self, url: &Url) -> ResponseTemplate {
        let asked = pairs(url);
        assert_eq!(asked["client_id"], CLIENT.0);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        let code = format!("code-{}", self.codes.lock().unwrap().len());
        let back = asked["redirect_uri"].clone();
        let mut address = Url::parse(&back).unwrap();
        address
            .query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &asked["state"]);
        let given = (back, asked["code_challenge"].clone());
        self.codes.lock().unwrap().insert(code, given);
        ResponseTemplate::new(302).insert_header("location", address.as_str())
    }

    fn exchange(&self, body: &[u8]) -> ResponseTemplate {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let form = pairs(&Url::parse(&format!("http://x/?{text}")).unwrap());
        let given = self.codes.lock().unwrap().remove(&form["code"]);
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
        let good = form["grant_type"] == "authorization_code"
            && (form["client_id"].as_str(), form["client_secret"].as_str()) == CLIENT
            && given == Some((form["redirect_uri"].clone(), hash));
        match (good, self.words) {
            (true, _) => ResponseTemplate::new(200)
                .set_body_json(json!({ "access_token": TOKEN, "token_type": "bearer", "scope": "" })),
            (false, Words::Github) => ResponseTemplate::new(200).set_body_json(
                json!({ "error": "bad_verification_code", "error_description": "The code passed is incorrect or expired." }),
            ),
            (false, Words::Gitlab | Words::Forgejo) => {
                ResponseTemplate::new(400).set_body_json(json!({ "error": "invalid_grant" }))
            }
        }
    }

    fn user(&self) -> Value {
        match self.words {
            Words::Github => {
                json!({ "login": self.user, "id": 1, "type": "User", "name": "Ada <b>" })
            }
            Words::Gitlab => {
                json!({ "id": 1, "username": self.user, "name": "Ada", "state": "active" })
            }
            Words::Forgejo => {
                json!({ "id": 1, "login": self.user, "full_name": "Ada", "is_admin": false })
            }
        }
    }

    fn page(&self, url: &Url) -> ResponseTemplate {
        let asked = pairs(url);
        let size: usize = asked
            .get("per_page")
            .or(asked.get("limit"))
            .unwrap()
            .parse()
            .unwrap();
        let page: usize = asked["page"].parse().unwrap();
        let one = |name: &String| match self.words {
            Words::Github => json!({ "login": name, "id": 2 }),
            Words::Gitlab => json!({ "id": 2, "full_path": name, "path": name.rsplit('/').next() }),
            Words::Forgejo => json!({ "id": 2, "username": name, "name": name }),
        };
        let some = self.organisations.iter().skip((page - 1) * size).take(size);
        ResponseTemplate::new(200).set_body_json(some.map(one).collect::<Vec<_>>())
    }
}
