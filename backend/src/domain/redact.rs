//! Leaves secrets out of JSON that somebody else has written, before people read it.

use serde_json::Value;

/// What stands in a secret's place.
const LEFT_OUT: &str = "(left out)";

/// Leaves out the values of all fields whose name speaks of a secret, at any depth.
pub fn leave_secrets_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if is_secret(name) && !field.is_null() {
                    *field = Value::String(LEFT_OUT.to_owned());
                } else {
                    leave_secrets_out(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(leave_secrets_out),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // `tokens_url` and the like are addresses of lists; `secret_scanning` is a feature.
    let about = name.ends_with("_url") || name.contains("scanning");
    let words = [
        "secret",
        "token",
        "password",
        "passphrase",
        "private_key",
        "authorization",
        "credential",
    ];
    !about && words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_left_out_at_any_depth() {
        let mut value = json!({
            "secret": "x", "hook": { "config": { "secret": { "a": 1 }, "url": "u" } }, "list": [{ "Access_Token": "y" }],
            "password": null, "secret_scanning": "on", "tokens_url": "t", "title": "no secret",
        });
        leave_secrets_out(&mut value);
        let text = value.to_string();
        assert!(
            !text.contains("\"x\"") && !text.contains("\"y\"") && !text.contains("\"a\""),
            "{text}"
        );
        assert_eq!(value["hook"]["config"]["url"], "u");
        assert_eq!(
            (
                value["secret_scanning"].as_str(),
                value["tokens_url"].as_str()
            ),
            (Some("on"), Some("t"))
        );
        assert!(value["password"].is_null());
        assert_eq!(value["title"], "no secret");
    }
}
