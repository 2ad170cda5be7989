//! Whether a hook comes from who knows the secret. Looked at before anything is parsed, in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::hook::ForgeKind;

/// How far a signed timestamp may be from our clock, in seconds, by the Standard Webhooks specification.
const TOLERANCE: i64 = 300;

/// Whether one of the secrets stands behind a hook. `header` gives the value of a header by its lower-case name; `body` is as it came.
///
/// GitHub: `x-hub-signature-256`, `sha256=` and the hex HMAC-SHA256 of the body. Forgejo and Gitea: the bare hex in
/// `x-forgejo-signature` or `x-gitea-signature`, or as GitHub. GitLab: the secret itself in `x-gitlab-token`, or, with a signing
/// token, `webhook-signature` after the Standard Webhooks specification. A signature that is there and wrong is not made up for by
/// another header.
pub fn is_genuine<'a>(
    kind: ForgeKind,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    secrets: &[String],
    now: DateTime<Utc>,
) -> bool {
    let hub = || header("x-hub-signature-256").and_then(|value| value.strip_prefix("sha256="));
    let check: Box<dyn Fn(&str) -> bool> = match kind {
        ForgeKind::Github => {
            let Some(given) = hub().and_then(|hex| hex::decode(hex).ok()) else {
                return false;
            };
            Box::new(move |secret| is_signed(secret.as_bytes(), &[body], &given))
        }
        ForgeKind::Forgejo => {
            let own = header("x-forgejo-signature").or_else(|| header("x-gitea-signature"));
            let Some(given) = own.or_else(hub).and_then(|hex| hex::decode(hex).ok()) else {
                return false;
            };
            Box::new(move |secret| is_signed(secret.as_bytes(), &[body], &given))
        }
        ForgeKind::Gitlab => {
            if let Some(signatures) = header("webhook-signature") {
                let (Some(id), Some(at)) = (header("webhook-id"), header("webhook-timestamp"))
                else {
                    return false;
                };
                let near = at
                    .parse::<i64>()
                    .is_ok_and(|at| at.abs_diff(now.timestamp()) <= TOLERANCE.unsigned_abs());
                let front = format!("{id}.{at}.");
                Box::new(move |secret| {
                    near && is_standard(secret, &[front.as_bytes(), body], signatures)
                })
            } else {
                let Some(given) = header("x-gitlab-token") else {
                    return false;
                };
                Box::new(move |secret| is_same(secret, given))
            }
        }
    };
    // All are tried, so that the time tells nothing of which fits.
    secrets
        .iter()
        .fold(false, |genuine, secret| check(secret) | genuine)
}

fn is_signed(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(given).is_ok()
}

/// One of several `v1,BASE64` with spaces between: a sender that changes its key sends both. A key `whsec_BASE64` stands for its bytes.
fn is_standard(secret: &str, parts: &[&[u8]], signatures: &str) -> bool {
    let decoded = secret
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let given = signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    given.fold(false, |good, one| is_signed(key, parts, &one) | good)
}

/// Whether two texts are the same, told by their hashes: neither the place of a difference nor a length shows in the time.
fn is_same(one: &str, other: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(b"speedwell: compare tokens") else {
        return false;
    };
    mac.update(one.as_bytes());
    let code = mac.finalize().into_bytes();
    is_signed(b"speedwell: compare tokens", &[other.as_bytes()], &code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's documentation has this one.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn genuine(kind: ForgeKind, headers: &[(&str, &str)], body: &[u8], secrets: &[&str]) -> bool {
        let secrets: Vec<String> = secrets.iter().map(|one| (*one).to_owned()).collect();
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        is_genuine(kind, header, body, &secrets, now())
    }

    #[test]
    fn githubs_documented_example_is_genuine() {
        let signed = format!("sha256={HEX}");
        let headers = [("x-hub-signature-256", signed.as_str())];
        let check = |headers: &[_], body: &[u8], secrets: &[&str]| {
            genuine(ForgeKind::Github, headers, body, secrets)
        };
        assert!(check(&headers, BODY, &[SECRET]));
        assert!(
            check(&headers, BODY, &["old", SECRET]),
            "while it is changed"
        );
        assert!(!check(&headers, b"Hello, World?", &[SECRET]));
        assert!(!check(&headers, BODY, &["another"]));
        assert!(!check(&headers, BODY, &[]), "nobody without a secret");
        for bad in ["", "sha256=", HEX, "sha1=2fd4e1c6", "sha256=zz"] {
            assert!(
                !check(&[("x-hub-signature-256", bad)], BODY, &[SECRET]),
                "{bad:?}"
            );
        }
        assert!(!check(&[], BODY, &[SECRET]), "unsigned");
    }

    #[test]
    fn forgejo_and_gitea_sign_in_their_own_headers() {
        let signed = format!("sha256={HEX}");
        let check = |headers: &[_]| genuine(ForgeKind::Forgejo, headers, BODY, &[SECRET]);
        assert!(check(&[("x-gitea-signature", HEX)]));
        assert!(check(&[("x-forgejo-signature", HEX)]));
        assert!(check(&[("x-hub-signature-256", &signed)]));
        let wrong = "0".repeat(64);
        assert!(!check(&[
            ("x-forgejo-signature", &wrong),
            ("x-gitea-signature", HEX)
        ]));
    }

    #[test]
    fn gitlab_sends_the_secret_or_signs() {
        let check = |headers: &[_], secret| genuine(ForgeKind::Gitlab, headers, BODY, &[secret]);
        assert!(check(&[("x-gitlab-token", "let me in")], "let me in"));
        assert!(!check(&[("x-gitlab-token", "let me i")], "let me in"));
        assert!(!check(&[("x-gitlab-token", "")], "let me in"));
        // The example of the Standard Webhooks specification's library.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let signed = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ];
        let at = |seconds: i64| {
            let header = |name: &str| {
                signed
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| *value)
            };
            let now = DateTime::from_timestamp(1_614_265_330 + seconds, 0).unwrap();
            is_genuine(ForgeKind::Gitlab, header, body, &[secret.to_owned()], now)
        };
        assert!(at(0) && at(299) && at(-299));
        assert!(!at(301), "an old one is somebody else's copy");
    }
}
