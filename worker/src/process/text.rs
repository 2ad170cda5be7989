//! Output of programs as text that no terminal, page or log can stumble over.

use std::collections::VecDeque;

/// Bytes as one line of text: lossy UTF-8, tabs kept, other control characters (escape sequences) dropped.
pub fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| *c == '\t' || !(c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')))
        .collect()
}

/// The last lines of an output.
#[derive(Debug, Clone)]
pub struct Tail {
    lines: VecDeque<String>,
    most: usize,
}

impl Tail {
    /// Keeps at most this many lines.
    pub fn new(most: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            most,
        }
    }

    /// Adds a line.
    pub fn push(&mut self, line: &str) {
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        self.lines.push_back(line.chars().take(2000).collect());
    }

    /// The lines, each with its end.
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The last line, without its end.
    pub fn last(&self) -> &str {
        self.lines.back().map_or("", String::as_str)
    }
}
