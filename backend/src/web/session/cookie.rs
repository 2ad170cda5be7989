//! The cookies of signing in.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};

use crate::config::Config;

/// Days until one has to sign in anew with a token.
pub(in crate::web) const DAYS: i64 = 30;

/// Names and properties of the cookies, which depend on whether the service is reached by https.
///
/// `SameSite=Lax` and not `Strict`: with `Strict` somebody who follows a link in a mail or in a comment on a forge arrives as nobody, and
/// the way back from a forge's sign-in ends as nobody, too. What changes something is never a GET, and is checked by
/// [`require_own_site`](super::require_own_site), so that `Lax` opens nothing.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct Cookies {
    secure: bool,
}

impl Cookies {
    pub(in crate::web) fn of(config: &Config) -> Self {
        Self {
            secure: config.public_url().starts_with("https://"),
        }
    }

    /// The name of the cookie that holds the id of a sign-in. Under https a browser takes one of this name from this very host only.
    pub(in crate::web) fn session_name(self) -> &'static str {
        if self.secure {
            "__Host-speedwell-session"
        } else {
            "speedwell-session"
        }
    }

    /// The name of the cookie that lives while somebody is away at a forge.
    pub(in crate::web) fn away_name(self) -> &'static str {
        if self.secure {
            "__Host-speedwell-away"
        } else {
            "speedwell-away"
        }
    }

    /// The cookie of a sign-in.
    pub(in crate::web) fn session(self, id: String) -> Cookie<'static> {
        self.build(self.session_name(), id, Duration::days(DAYS))
    }

    /// The cookie of the way to a forge and back.
    pub(in crate::web) fn away(self, value: String) -> Cookie<'static> {
        self.build(self.away_name(), value, Duration::minutes(10))
    }

    /// The same cookie, gone.
    pub(in crate::web) fn without(self, name: &'static str) -> Cookie<'static> {
        self.build(name, String::new(), Duration::ZERO)
    }

    fn build(self, name: &'static str, value: String, age: Duration) -> Cookie<'static> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .max_age(age)
            .finish()
    }
}

/// A path of our own to go to after signing in; anything else becomes the overview.
pub(in crate::web) fn own_path(path: &str) -> &str {
    let own = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
        && path.len() <= 2000;
    if own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        assert_eq!(own_path("/regressions/3?a=b#c"), "/regressions/3?a=b#c");
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nset-cookie: x",
            "javascript:alert(1)",
        ] {
            assert_eq!(own_path(bad), "/", "{bad:?}");
        }
    }

    #[test]
    fn a_cookie_is_out_of_reach_of_scripts_and_of_plain_http() {
        let text = Cookies { secure: true }.session("x".to_owned()).to_string();
        for part in [
            "__Host-speedwell-session=x",
            "HttpOnly",
            "SameSite=Lax",
            "Secure",
            "Path=/",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("Domain"), "{text}");
        let plain = Cookies { secure: false };
        assert!(!plain.session("x".to_owned()).to_string().contains("Secure"));
        let gone = plain.without(plain.session_name()).to_string();
        assert!(gone.contains("Max-Age=0"), "{gone}");
    }
}
