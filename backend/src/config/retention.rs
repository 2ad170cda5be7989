//! `[retention]`: for how long what is large, or what only grows, is kept. Summaries, verdicts and everything that pages chart stay for ever.

use serde::Deserialize;

use super::Problem;
use crate::domain::retention::Rows;

/// Days that things are kept. Absent: for ever, but for messages and events of jobs, which go after a year.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Raw samples of measurements. They go a year at a time, when the whole year is older than this.
    pub samples_days: Option<u32>,
    /// Raw files of runs (pyperf JSON).
    pub raw_files_days: Option<u32>,
    /// Logs of jobs.
    pub logs_days: Option<u32>,
    /// Stacks of profiles; their sums by component stay.
    pub profiles_days: Option<u32>,
    /// Builds. One that is wanted again is built again.
    pub builds_days: Option<u32>,
    /// Messages that were sent or given up, what recipients were owed, and alarms that are over.
    pub messages_days: u32,
    /// What happened to jobs, line by line; the jobs themselves stay.
    pub job_events_days: u32,
    /// The audit log.
    pub audit_days: Option<u32>,
}

/// A year.
const YEAR: u32 = 365;

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            samples_days: None,
            raw_files_days: None,
            logs_days: None,
            profiles_days: None,
            builds_days: None,
            messages_days: YEAR,
            job_events_days: YEAR,
            audit_days: None,
        }
    }
}

impl RetentionConfig {
    /// Key, kind of artefact, days.
    pub fn artefacts(&self) -> [(&'static str, &'static str, Option<u32>); 4] {
        [
            ("retention.raw_files_days", "run", self.raw_files_days),
            ("retention.logs_days", "log", self.logs_days),
            ("retention.profiles_days", "profile", self.profiles_days),
            ("retention.builds_days", "build", self.builds_days),
        ]
    }

    /// Key, kind of rows, days.
    pub fn rows(&self) -> [(&'static str, Rows, Option<u32>); 3] {
        [
            (
                "retention.messages_days",
                Rows::Messages,
                Some(self.messages_days),
            ),
            (
                "retention.job_events_days",
                Rows::JobEvents,
                Some(self.job_events_days),
            ),
            ("retention.audit_days", Rows::Audit, self.audit_days),
        ]
    }

    pub(super) fn validate(&self) -> Result<(), Problem> {
        let samples = [("retention.samples_days", self.samples_days)];
        let all = self.artefacts().map(|(key, _, days)| (key, days));
        let rows = self.rows().map(|(key, _, days)| (key, days));
        for (key, days) in samples.into_iter().chain(all).chain(rows) {
            // Detection, noise floors and confirmations look back some weeks.
            if let Some(days) = days.filter(|days| *days < 30) {
                let message = "keep them for 30 days at least: the last weeks are looked back at; leave the key out to keep them as long as can be";
                return Err(Problem::new(key, &days.to_string(), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn nothing_goes_unless_it_is_asked_for_and_nothing_too_soon() {
        let parse = |text: &str| {
            Config::parse(&format!("data = \"/tmp/x\"\n{text}"), "speedwell.toml")
                .map_err(|error| error.to_string())
        };
        let config = parse("").unwrap();
        assert!(config.retention.samples_days.is_none());
        assert!(
            config
                .retention
                .artefacts()
                .iter()
                .all(|one| one.2.is_none())
        );
        assert_eq!(
            config.retention.rows().map(|one| one.2),
            [Some(365), Some(365), None]
        );
        let error = parse("[retention]\naudit_days = 7\n").unwrap_err();
        assert!(error.contains("retention.audit_days"), "{error}");
        let config = parse("[retention]\nsamples_days = 730\nlogs_days = 90\n").unwrap();
        assert_eq!(config.retention.samples_days, Some(730));
        let error = parse("[retention]\nlogs_days = 1\n").unwrap_err();
        assert!(
            error.contains("speedwell.toml:3: retention.logs_days") && error.contains("30 days"),
            "{error}"
        );
        assert!(parse("[retention]\nsample_days = 90\n").is_err());
    }
}
