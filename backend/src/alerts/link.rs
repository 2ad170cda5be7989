//! Links in mails that act without signing in: signed, so that nobody can make one for another's address.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a link ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// A subscription.
    Subscription(i64),
    /// All mails to an address.
    Address(String),
}

/// HMAC-SHA256.
pub fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    mac(key, text).map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
}

fn mac(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}

/// The part of a link that says what it ends, with its signature.
pub fn token(key: &[u8], ends: &Ends) -> String {
    let what = match ends {
        Ends::Subscription(id) => format!("s{id}"),
        Ends::Address(address) => format!("a{address}"),
    };
    let signature = sign(key, format!("unsubscribe {what}").as_bytes());
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(what),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

/// What a token ends; `None`: it was not made here.
pub fn read(key: &[u8], token: &str) -> Option<Ends> {
    let (what, signature) = token.split_once('.')?;
    let what = String::from_utf8(URL_SAFE_NO_PAD.decode(what).ok()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    // Compares in constant time.
    mac(key, format!("unsubscribe {what}").as_bytes())?
        .verify_slice(&signature)
        .ok()?;
    if let Some(id) = what.strip_prefix('s') {
        return id.parse().ok().map(Ends::Subscription);
    }
    what.strip_prefix('a')
        .map(|address| Ends::Address(address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_is_read() {
        for ends in [Ends::Subscription(12), Ends::Address("ä@x.org".to_owned())] {
            let token = token(b"key", &ends);
            assert!(
                token
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            );
            assert_eq!(read(b"key", &token), Some(ends));
            assert_eq!(read(b"other", &token), None);
            let mut other = token.clone();
            other.insert(0, 'Y');
            assert_eq!(read(b"key", &other), None);
        }
        let (_, signature) = token(b"key", &Ends::Subscription(1))
            .split_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let forged = format!("{}.{signature}", URL_SAFE_NO_PAD.encode("s2"));
        assert_eq!(read(b"key", &forged), None);
        for rubbish in ["", ".", "a.b", "%.%"] {
            assert_eq!(read(b"key", rubbish), None);
        }
    }
}
