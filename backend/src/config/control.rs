//! `[control]`: when frozen interpreters are measured again, and which runtimes may be one.

use serde::Deserialize;

use super::{Problem, RuntimeConfig};

/// When controls are measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlConfig {
    /// When every control is measured on each host of its classes: a cron expression with seconds.
    #[serde(default = "default_schedule")]
    pub schedule: String,
}

fn default_schedule() -> String {
    "0 0 3 * * *".to_owned()
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            schedule: default_schedule(),
        }
    }
}

/// A control must stay as it is: a program that nobody builds does, a branch only when one commit of it is named.
pub(super) fn validate(runtime: &RuntimeConfig) -> Result<(), Problem> {
    let built = runtime.repository.is_some();
    match (&runtime.pinned, runtime.control) {
        (None, true) if built => {
            let message =
                "a branch moves: name the commit that stays with pinned = \"TAG or hash\"";
            Err(Problem::new("runtime.control", "true", message))
        }
        (Some(pinned), false) => {
            let message = "pinned is for a runtime with control = true";
            Err(Problem::new("runtime.pinned", pinned, message))
        }
        (Some(pinned), true) if !built => {
            let message = "this recipe builds no commits: its version is pinned already";
            Err(Problem::new("runtime.pinned", pinned, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const PREBUILT: &str = "recipe = \"prebuilt\"\ncommand = \"/usr/bin/python3\"\nversion = \"3\"\nfamily = \"cpython\"\n";
    const BUILT: &str = "repository = \"r\"\nbranch = \"main\"\n";

    fn parse(head: &str, rest: &str) -> Result<Config, String> {
        let text = format!(
            "data = \"/tmp/x\"\n{head}[[repository]]\nname = \"r\"\nurl = \"/srv/r.git\"\n\
             [[runtime]]\nname = \"it\"\nlanguage = \"python3\"\n{rest}"
        );
        Config::parse(&text, "speedwell.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_stays_as_it_is_can_be_a_control() {
        let config = parse("", &format!("{PREBUILT}control = true\n")).unwrap();
        assert!(config.runtimes[0].control);
        assert_eq!(config.control.schedule, "0 0 3 * * *");
        let pinned = parse(
            "",
            &format!("{BUILT}control = true\npinned = \"v3.13.0\"\n"),
        )
        .unwrap();
        assert_eq!(pinned.runtimes[0].pinned.as_deref(), Some("v3.13.0"));
        assert!(!parse("", BUILT).unwrap().runtimes[0].control);
        for (rest, words) in [
            (format!("{BUILT}control = true\n"), "runtime.control"),
            (format!("{BUILT}pinned = \"v1\"\n"), "control = true"),
            (
                format!("{PREBUILT}control = true\npinned = \"v1\"\n"),
                "pinned already",
            ),
        ] {
            let error = parse("", &rest).unwrap_err();
            assert!(error.contains(words), "{rest}: {error}");
        }
    }

    #[test]
    fn the_schedule_is_checked() {
        let head = "[control]\nschedule = \"0 0 */6 * * *\"\n";
        assert!(parse(head, PREBUILT).is_ok());
        let error = parse(&head.replace("0 0 */6", "often"), PREBUILT).unwrap_err();
        assert!(error.contains("control.schedule"), "{error}");
        assert!(parse(&head.replace("schedule", "every"), PREBUILT).is_err());
    }
}
