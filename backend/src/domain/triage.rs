//! What people decide about regressions, what that says about the detector, and the limits of their words.

use super::regression::InvalidReason;

/// Most characters of a note.
pub const LONGEST_NOTE: usize = 2000;

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Somebody takes it on.
    Acknowledge {
        /// Who; absent: who decides.
        owner: Option<String>,
    },
    /// The new level is the baseline.
    Accept,
    /// No change of the interpreter.
    Invalidate {
        /// Why.
        reason: InvalidReason,
    },
    /// One after all.
    Reopen,
    /// Only words.
    Note,
    /// It has the same cause as another, and becomes part of it.
    Merge {
        /// The other.
        into: i64,
    },
    /// Some of its change points have another cause.
    Split {
        /// Their keys.
        points: Vec<i64>,
    },
}

/// The actions by the names that forms and the API use, with their words on buttons; those that need more than a note are last.
pub const ACTIONS: &[(&str, &str)] = &[
    ("acknowledge", "Acknowledge"),
    ("accept", "Accept as the new level"),
    ("noise", "Invalid: noise"),
    ("infrastructure", "Invalid: host or infrastructure"),
    ("reopen", "Reopen"),
    ("note", "Only a note"),
    ("merge", "Merge"),
    ("split", "Split"),
];

/// What a form or a program sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// One of [`ACTIONS`].
    pub action: String,
    /// For `acknowledge`.
    pub owner: String,
    /// Words for the timeline.
    pub note: String,
    /// For `merge`.
    pub into: Option<i64>,
    /// For `split`.
    pub points: Vec<i64>,
}

/// Reads a request. An error is the field and what is wrong with it.
pub fn parse(request: &Request) -> Result<(Action, String), (&'static str, String)> {
    let note = clean(&request.note, LONGEST_NOTE, true).ok_or((
        "note",
        format!("note: at most {LONGEST_NOTE} characters, without control characters"),
    ))?;
    let action = match request.action.as_str() {
        "acknowledge" => {
            let owner = clean(&request.owner, 100, false).ok_or((
                "owner",
                "owner: at most 100 characters, without control characters".to_owned(),
            ))?;
            Action::Acknowledge {
                owner: Some(owner).filter(|owner| !owner.is_empty()),
            }
        }
        "accept" => Action::Accept,
        "noise" => Action::Invalidate {
            reason: InvalidReason::Noise,
        },
        "infrastructure" => Action::Invalidate {
            reason: InvalidReason::Infrastructure,
        },
        "reopen" => Action::Reopen,
        "note" if note.is_empty() => {
            return Err(("note", "note: write something".to_owned()));
        }
        "note" => Action::Note,
        "merge" => Action::Merge {
            into: request
                .into
                .ok_or(("into", "into: give the other's number".to_owned()))?,
        },
        "split" if request.points.is_empty() => {
            return Err((
                "points",
                "points: choose at least one change point".to_owned(),
            ));
        }
        "split" => Action::Split {
            points: request.points.clone(),
        },
        _ => {
            let known: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
            let message = format!("action: choose one of {}", known.join(", "));
            return Err(("action", message));
        }
    };
    Ok((action, note))
}

/// Text from outside without white space around it; `None` when it is too long or holds control characters.
pub fn clean(text: &str, longest: usize, lines: bool) -> Option<String> {
    let text = text.trim().replace("\r\n", "\n");
    let bad = |c: char| c.is_control() && !(lines && c == '\n');
    (text.chars().count() <= longest && !text.chars().any(bad)).then_some(text)
}

/// How often people were told of what was none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalseAlarms {
    /// Share of those decided.
    pub rate: f64,
    /// 95 % interval of it (Wilson's).
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The rate of `wrong` among `decided`; `None` without any.
pub fn false_alarms(wrong: i64, decided: i64) -> Option<FalseAlarms> {
    if decided <= 0 || !(0..=decided).contains(&wrong) {
        return None;
    }
    let (count, rate) = (decided as f64, wrong as f64 / decided as f64);
    let z = 1.96_f64;
    let middle = (rate + z * z / (2.0 * count)) / (1.0 + z * z / count);
    let half = z / (1.0 + z * z / count)
        * (rate * (1.0 - rate) / count + z * z / (4.0 * count * count)).sqrt();
    Some(FalseAlarms {
        rate,
        low: (middle - half).max(0.0),
        high: (middle + half).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(action: &str) -> Request {
        Request {
            action: action.to_owned(),
            ..Request::default()
        }
    }

    #[test]
    fn requests_are_read_and_errors_name_the_field() {
        let mut full = request("acknowledge");
        full.owner = " guido ".to_owned();
        full.note = "first\r\nsecond ".to_owned();
        let owner = Some("guido".to_owned());
        assert_eq!(
            parse(&full),
            Ok((Action::Acknowledge { owner }, "first\nsecond".to_owned()))
        );
        let field = |request: &Request| parse(request).map_err(|(field, _)| field);
        assert_eq!(field(&request("merge")), Err("into"));
        assert_eq!(field(&request("split")), Err("points"));
        assert_eq!(field(&request("note")), Err("note"));
        assert_eq!(field(&request("delete")), Err("action"));
        full.note = "a\u{1b}[2J".to_owned();
        assert_eq!(field(&full), Err("note"));
        full.note = "ä".repeat(LONGEST_NOTE + 1);
        assert_eq!(field(&full), Err("note"));
        full.note = "ä".repeat(LONGEST_NOTE);
        full.owner = "a\nb".to_owned();
        assert_eq!(field(&full), Err("owner"));
        for (name, _) in &ACTIONS[..5] {
            assert!(parse(&request(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_rate_has_an_interval_and_none_is_none() {
        assert_eq!(false_alarms(0, 0), None);
        assert_eq!(false_alarms(2, 1), None);
        assert_eq!(false_alarms(-1, 1), None);
        // Wilson's interval of none in ten is known to end at 27.8 %.
        let none = false_alarms(0, 10).unwrap();
        assert!(none.rate == 0.0 && none.low < 1e-12 && (none.high - 0.2775).abs() < 1e-3);
        let all = false_alarms(1, 1).unwrap();
        assert!(all.high > 0.999_999 && all.low > 0.2 && all.low < 0.21);
        let many = false_alarms(i64::MAX / 2, i64::MAX).unwrap();
        assert!((many.low - many.high).abs() < 1e-6);
    }
}
