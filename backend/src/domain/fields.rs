//! Fields of JSON that somebody else has written, by their path; what is missing or of another kind is named.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {path}: {problem}")]
pub struct Wrong {
    /// Where: `pull_request.head.sha`.
    pub path: String,
    /// What.
    pub problem: &'static str,
}

impl Wrong {
    /// The same, of a field within a larger value.
    pub fn below(self, path: &str) -> Self {
        Self {
            path: format!("{path}.{}", self.path),
            ..self
        }
    }
}

/// A JSON value whose fields are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    /// The fields of a value.
    pub fn of(value: &'a Value) -> Self {
        Self(value)
    }

    /// The value at a path of names with dots between; nothing when a part of it is missing or null.
    pub fn find(self, path: &str) -> Option<&'a Value> {
        path.split('.')
            .try_fold(self.0, |value, name| value.get(name))
            .filter(|value| !value.is_null())
    }

    /// A text that may be missing.
    pub fn find_text(self, path: &str) -> Option<&'a str> {
        self.find(path)?.as_str()
    }

    /// The fields of an object within.
    pub fn within(self, path: &str) -> Result<Self, Wrong> {
        let value = self.need(path)?;
        if value.is_object() {
            Ok(Self(value))
        } else {
            Err(wrong(path, "is no object"))
        }
    }

    /// A text.
    pub fn text(self, path: &str) -> Result<&'a str, Wrong> {
        self.need(path)?
            .as_str()
            .ok_or_else(|| wrong(path, "is no text"))
    }

    /// A whole number.
    pub fn number(self, path: &str) -> Result<i64, Wrong> {
        self.need(path)?
            .as_i64()
            .ok_or_else(|| wrong(path, "is no whole number"))
    }

    /// Whether a flag is set; a missing one is not.
    pub fn is_true(self, path: &str) -> bool {
        self.find(path).and_then(Value::as_bool) == Some(true)
    }

    /// A full commit hash.
    pub fn hash(self, path: &str) -> Result<&'a str, Wrong> {
        let text = self.text(path)?;
        let good = matches!(text.len(), 40 | 64)
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then_some(text)
            .ok_or_else(|| wrong(path, "is no full commit hash"))
    }

    /// A moment that may be missing: RFC 3339, or as older GitLabs write it (`2013-12-03 17:23:34 UTC`).
    pub fn moment(self, path: &str) -> Option<DateTime<Utc>> {
        let text = self.find_text(path)?;
        let old =
            || NaiveDateTime::parse_from_str(text.trim_end_matches(" UTC"), "%Y-%m-%d %H:%M:%S");
        match DateTime::parse_from_rfc3339(text) {
            Ok(moment) => Some(moment.to_utc()),
            Err(_) => old().ok().map(|moment| moment.and_utc()),
        }
    }

    fn need(self, path: &str) -> Result<&'a Value, Wrong> {
        self.find(path).ok_or_else(|| wrong(path, "is missing"))
    }
}

fn wrong(path: &str, problem: &'static str) -> Wrong {
    Wrong {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let value = json!({ "a": { "b": 3, "c": null, "hash": "abc" } });
        let fields = Fields::of(&value);
        assert_eq!(fields.number("a.b"), Ok(3));
        let error = |result: Result<&str, Wrong>| result.unwrap_err().to_string();
        assert_eq!(error(fields.text("a.c")), "field a.c: is missing");
        assert_eq!(error(fields.text("a.b")), "field a.b: is no text");
        assert_eq!(error(fields.text("x.y.z")), "field x.y.z: is missing");
        assert_eq!(
            error(fields.hash("a.hash")),
            "field a.hash: is no full commit hash"
        );
        assert!(!fields.is_true("a.b"));
    }

    #[test]
    fn both_ways_to_write_a_moment_are_read() {
        let value = json!({ "new": "2013-12-03T17:23:34Z", "old": "2013-12-03 17:23:34 UTC", "no": "soon" });
        let fields = Fields::of(&value);
        assert!(fields.moment("new").is_some());
        assert_eq!(fields.moment("new"), fields.moment("old"));
        assert_eq!(fields.moment("no"), None);
    }
}
