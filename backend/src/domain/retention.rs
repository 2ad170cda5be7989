//! Rows that are only looked back at, and go when they are old.

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Messages that were sent or given up with their notices, notices that were dropped, alarms that are over.
    Messages,
    /// What happened to jobs, line by line.
    JobEvents,
    /// Who did what.
    Audit,
}

impl Rows {
    /// All kinds.
    pub const ALL: &'static [Self] = &[Self::Messages, Self::JobEvents, Self::Audit];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Messages => "message(s), notice(s) and alarm(s) that are over",
            Self::JobEvents => "event(s) of jobs",
            Self::Audit => "line(s) of the audit log",
        }
    }
}
