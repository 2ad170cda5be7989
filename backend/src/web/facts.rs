//! The facts of environments in words: as rows, and what differs between two of them.

use serde_json::Value;
use speedwell_wire::Unit;

use super::format;

/// A fact that differs.
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// A JSON object as rows; nested objects are spread.
pub(super) fn spread(prefix: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('_', " ");
                spread(
                    &if prefix.is_empty() {
                        name
                    } else {
                        format!("{prefix}: {name}")
                    },
                    field,
                    rows,
                );
            }
        }
        Value::String(text) => rows.push((prefix.to_owned(), text.clone())),
        // No machine has none: an imported file did not say how many.
        Value::Number(number)
            if number.as_u64() == Some(0) && matches!(prefix, "cores" | "memory bytes") =>
        {
            let name = prefix.trim_end_matches(" bytes").to_owned();
            rows.push((name, "unknown".to_owned()));
        }
        Value::Number(number) if prefix.ends_with("bytes") => {
            let name = prefix.trim_end_matches(" bytes").to_owned();
            rows.push((
                name,
                format::value(number.as_f64().unwrap_or(0.0), Unit::Bytes),
            ));
        }
        other => rows.push((prefix.to_owned(), other.to_string())),
    }
}

/// Facts of `after` that `before` has otherwise or not at all, and those that it no longer has.
pub(super) fn differences(
    before: &[(String, String)],
    after: &[(String, String)],
) -> Vec<Difference> {
    let find = |facts: &[(String, String)], name: &str| {
        let found = facts.iter().find(|(known, _)| known == name);
        found.map_or_else(|| "not told".to_owned(), |(_, value)| value.clone())
    };
    let gone = before
        .iter()
        .filter(|(name, _)| !after.iter().any(|(known, _)| known == name));
    let all = after.iter().chain(gone);
    all.map(|(name, _)| Difference {
        name: name.clone(),
        before: find(before, name),
        after: find(after, name),
    })
    .filter(|one| one.before != one.after)
    .collect()
}

/// What differs between two environments' facts, in one line; the most telling facts are not known, so it is cut after four.
pub(super) fn change_words(before: &Value, after: &Value) -> String {
    let rows = |facts: &Value| {
        let mut rows = Vec::new();
        spread("", facts, &mut rows);
        rows
    };
    let all = differences(&rows(before), &rows(after));
    let words: Vec<String> = all
        .iter()
        .take(4)
        .map(|one| format!("{}: {} → {}", one.name, one.before, one.after))
        .collect();
    match all.len() {
        0 => "no fact of the host differs".to_owned(),
        count @ 1..=4 => words.get(..count).unwrap_or(&words).join("; "),
        count => format!("{}; and {} more facts", words.join("; "), count - 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_environments_is_told_both_ways() {
        let facts = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let own = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            own.collect()
        };
        let before = facts(&[("kernel", "6.1"), ("smt", "off"), ("turbo", "on")]);
        let after = facts(&[
            ("kernel", "6.12"),
            ("smt", "off"),
            ("governor", "performance"),
        ]);
        let found: Vec<(String, String, String)> = differences(&before, &after)
            .into_iter()
            .map(|one| (one.name, one.before, one.after))
            .collect();
        let expected = [
            ("kernel", "6.1", "6.12"),
            ("governor", "not told", "performance"),
            ("turbo", "on", "not told"),
        ];
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(found, expected);
        assert!(differences(&[], &[]).is_empty());
    }
}
