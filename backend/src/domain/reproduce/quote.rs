//! Text from outside in a shell script, a file's name and a path: the only place that puts it there.

use std::path::{Component, Path};

/// One word of a POSIX shell, whatever the text holds.
pub fn quote(text: &str) -> String {
    // A shell cannot hold NUL; a text of Postgres has none.
    format!("'{}'", text.replace('\0', "").replace('\'', "'\\''"))
}

/// One word with `{prefix}` replaced by the value of the script's variable `prefix`.
pub fn quote_with_prefix(text: &str) -> String {
    let parts: Vec<String> = text.split("{prefix}").map(quote).collect();
    parts.join("\"$prefix\"")
}

/// Whether a shell takes it as a variable's name.
pub fn is_variable(name: &str) -> bool {
    !name.starts_with(|char: char| char.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A relative path of plain parts, which stays in its folder wherever it is unpacked; nothing for any other.
pub fn plain_path(path: &str) -> Option<&str> {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_.+/@ ".contains(char);
    let is_plain = !path.is_empty()
        && path.len() <= 200
        && path.chars().all(plain)
        && !path.starts_with('-')
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
    is_plain.then_some(path)
}

/// A part of a file's name: letters, digits, dashes and dots, never empty and never hidden.
pub fn file_name(text: &str) -> String {
    let safe = |char: char| {
        if char.is_ascii_alphanumeric() || char == '-' || char == '_' {
            char
        } else {
            '_'
        }
    };
    let name: String = text.chars().take(80).map(safe).collect();
    if name.is_empty() {
        "benchmark".to_owned()
    } else {
        name
    }
}

/// One line without control characters, for text that people read.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

/// A repository's address as strangers may see it: without name and password.
pub fn public_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that a careless script would execute, split or lose.
    const HOSTILE: [&str; 12] = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "a b\tc",
        "line\nbreak\n",
        "-rf",
        "*",
        "~",
        "\\",
        "''",
        "!$&|;<>(){}[]#é\u{202e}",
    ];

    #[test]
    fn a_shell_reads_back_what_was_quoted_and_runs_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        for text in HOSTILE.into_iter().chain(["", "plain"]) {
            let script = format!("printf '%s' {}", quote(text));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(quote("a\0b"), "'ab'");
        assert_eq!(
            quote_with_prefix("-L{prefix}/lib's"),
            "'-L'\"$prefix\"'/lib'\\''s'"
        );
    }

    #[test]
    fn paths_stay_in_their_folder_and_names_are_plain() {
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "a\nb",
            "-x",
            "a\\b",
            "$(x)",
            ".",
        ] {
            assert_eq!(plain_path(bad), None, "{bad:?}");
        }
        assert_eq!(plain_path("data/a-1.txt"), Some("data/a-1.txt"));
        assert_eq!(file_name("../x y\"\r\n"), "___x_y___");
        assert_eq!(file_name(""), "benchmark");
        assert!(
            is_variable("PYTHON_GIL")
                && !is_variable("1A")
                && !is_variable("")
                && !is_variable("A=B")
        );
        assert_eq!(one_line("a\r\nb"), "a  b");
    }

    #[test]
    fn passwords_stay_here() {
        assert_eq!(
            public_url("https://me:secret@git.example.org/a@b.git"),
            "https://git.example.org/a@b.git"
        );
        assert_eq!(
            public_url("https://github.com/python/cpython"),
            "https://github.com/python/cpython"
        );
        assert_eq!(public_url("https://user@host"), "https://host");
        assert_eq!(public_url("/srv/cpython"), "/srv/cpython");
        assert_eq!(
            public_url("git@github.com:a/b.git"),
            "git@github.com:a/b.git"
        );
    }
}
