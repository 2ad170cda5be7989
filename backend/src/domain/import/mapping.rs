//! The names that other services know things by, and which runtime and host here they stand for.

use serde::Deserialize;

/// The names that a sender gives; a format that has no such name leaves it empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// Codespeed's and Bencher's project, LNT's test suite.
    pub project: String,
    /// Codespeed's executable.
    pub executable: String,
    /// Codespeed's and Bencher's branch.
    pub branch: String,
    /// Codespeed's environment, LNT's machine, Bencher's testbed.
    pub environment: String,
}

impl Names {
    /// For people, and as the file name of what has none.
    pub fn words(&self) -> String {
        let all = [
            ("project", &self.project),
            ("executable", &self.executable),
            ("branch", &self.branch),
            ("environment", &self.environment),
        ];
        let given = all.iter().filter(|(_, name)| !name.is_empty());
        let words: Vec<String> = given.map(|(key, name)| format!("{key} {name:?}")).collect();
        words.join(", ")
    }
}

/// One `[[import]]` of the configuration: results under these names are of this runtime and host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRule {
    /// The project (LNT: the test suite); without it any.
    pub project: Option<String>,
    /// The executable; without it any.
    pub executable: Option<String>,
    /// The branch; without it any.
    pub branch: Option<String>,
    /// The environment (LNT: the machine, Bencher: the testbed); without it any.
    pub environment: Option<String>,
    /// The runtime here.
    pub runtime: String,
    /// The host here, made by `host add --imported`.
    pub host: String,
}

impl ImportRule {
    fn fits(&self, names: &Names) -> bool {
        let same =
            |rule: &Option<String>, name: &str| rule.as_deref().is_none_or(|rule| rule == name);
        same(&self.project, &names.project)
            && same(&self.executable, &names.executable)
            && same(&self.branch, &names.branch)
            && same(&self.environment, &names.environment)
    }
}

/// The first rule that fits; else what to write into the configuration.
pub fn find<'a>(rules: &'a [ImportRule], names: &Names) -> Result<&'a ImportRule, String> {
    rules.iter().find(|rule| rule.fits(names)).ok_or_else(|| {
        let environment = &names.environment;
        format!(
            "no [[import]] in speedwell.toml is for {}. Add one: [[import]] environment = {environment:?}, runtime = \"…\", host = \"…\" (and project, \
             executable or branch where they tell runtimes apart), and make the host with `speedwell-backend host add HOST --imported`",
            names.words()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_wins() {
        let rule = |executable: Option<&str>, runtime: &str| ImportRule {
            project: None,
            executable: executable.map(str::to_owned),
            branch: None,
            environment: Some("lab".to_owned()),
            runtime: runtime.to_owned(),
            host: "lab".to_owned(),
        };
        let rules = [rule(Some("pypy"), "pypy-main"), rule(None, "cpython-main")];
        let names = |executable: &str, environment: &str| Names {
            executable: executable.to_owned(),
            environment: environment.to_owned(),
            ..Names::default()
        };
        assert_eq!(
            find(&rules, &names("pypy", "lab")).unwrap().runtime,
            "pypy-main"
        );
        assert_eq!(
            find(&rules, &names("", "lab")).unwrap().runtime,
            "cpython-main"
        );
        let refused = find(&rules, &names("pypy", "other")).unwrap_err();
        assert!(
            refused.contains("environment = \"other\"") && refused.contains("executable \"pypy\""),
            "{refused}"
        );
    }
}
