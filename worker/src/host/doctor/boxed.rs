//! How well builds and benchmarks are kept apart from the host. Only told to who asks: it moves no result.

use super::{Check, HostSeverity, State};
use crate::process::{Level, Reached};

/// The check of a box that was tried, against the level that the configuration asks for.
pub fn of_box(reached: anyhow::Result<Reached>, wanted: Level) -> Check {
    let mut check = Check {
        name: "box",
        severity: HostSeverity::Note,
        state: State::Bad(String::new()),
        good: "metered: sealed, and memory and processes of the whole tree limited",
        why: "what is measured is other people's code: it must not read the worker's secrets, change the host or take it down",
        mend: String::new(),
    };
    match reached {
        Ok(reached) => {
            let words = reached.describe();
            check.state = if reached.level == Level::Metered {
                State::Good(words)
            } else {
                State::Bad(words)
            };
            if reached.level < wanted {
                check.severity = HostSeverity::Unfit;
            } else if reached.level < Level::Sealed {
                check.severity = HostSeverity::Warning;
            }
            check.mend = reached.obstacle.unwrap_or_else(|| {
                "isolation = \"none\" is set: remove it from worker.toml".to_owned()
            });
        }
        Err(error) => {
            check.severity = HostSeverity::Unfit;
            check.state = State::Bad(format!("{error:#}"));
        }
    }
    check
}
