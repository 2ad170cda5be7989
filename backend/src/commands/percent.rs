//! Progress of a command: a line on standard error for every tenth.

/// What was said last.
pub(super) struct Percent {
    what: &'static str,
    total: u64,
    said: u64,
}

impl Percent {
    /// Nothing is done yet, of `total`.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        Self {
            what,
            total,
            said: 0,
        }
    }

    /// Says how far it is, when that is another tenth than before.
    pub(super) fn show(&mut self, done: u64) {
        let tenth = done.saturating_mul(10) / self.total.max(1);
        if tenth > self.said {
            self.said = tenth;
            eprintln!("{}: {} %", self.what, (tenth * 10).min(100));
        }
    }
}
