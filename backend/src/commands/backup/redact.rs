//! A configuration without what is secret in it.

/// What stands in a secret's place.
const REMOVED: &str = "REMOVED-BY-BACKUP";

/// Replaces the values of keys that hold secrets. Names of files that hold some stay: they are no secret.
pub(super) fn without_secrets(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        lines.push(match line.split_once('=') {
            Some((key, value)) if is_secret(key.trim(), value) => {
                format!("{key}= \"{REMOVED}\"")
            }
            _ => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

fn is_secret(key: &str, value: &str) -> bool {
    let key = key.trim_start_matches(['#', ' ']).trim_matches('"');
    let named = ["secret", "password", "token", "access_key", "private_key"]
        .iter()
        .any(|word| key.ends_with(word));
    // A URL with `user:password@` in it, whatever its key is.
    let in_url = value
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '"']).next())
        .and_then(|place| place.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'));
    let in_query = value.contains("password=");
    named || in_url || in_query
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn secrets_go_and_everything_else_stays() {
        let text = "# a comment = with a sign\ndata = \"/srv\"\ndatabase_url = \"postgres://me:hunter2@db/speedwell\"\n\
                    url = \"https://github.com/python/cpython\"\n[mail]\npassword_file = \"/etc/mail\"\n  secret = 'hunter2'\n\
                    socket = \"postgres://%2Frun/speedwell?password=hunter2\"\nfrom = \"Speedwell <s@example.org>\"\n";
        let clean = without_secrets(text);
        assert!(!clean.contains("hunter2"), "{clean}");
        assert_eq!(clean.matches("REMOVED").count(), 3, "{clean}");
        for kept in [
            "# a comment = with a sign",
            "https://github.com/python/cpython",
            "password_file = \"/etc/mail\"",
            "s@example.org",
        ] {
            assert!(clean.contains(kept), "{clean}");
        }
        assert_eq!(clean.lines().count(), text.lines().count());
    }
}
