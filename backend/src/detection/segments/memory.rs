//! What was reckoned of a series when it was read last, where one more point changes nothing of it.

use std::collections::HashMap;
use std::hash::Hash;

use super::prune::{Measured, Segment};
use super::smooth::{Beside, Question};

/// Answers by their questions.
pub(super) struct Answers<K, V> {
    before: HashMap<K, V>,
    now: HashMap<K, V>,
}

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self {
            before: HashMap::new(),
            now: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    /// The answer of this reading, or of the one before it.
    pub(super) fn known(&mut self, question: &K) -> Option<V> {
        if let Some((question, answer)) = self.before.remove_entry(question) {
            self.now.insert(question, answer);
        }
        self.now.get(question).cloned()
    }

    /// Remembers an answer.
    pub(super) fn learn(&mut self, question: K, answer: V) -> V {
        self.now.insert(question, answer.clone());
        answer
    }

    /// The known answer, else a new one.
    pub(super) fn ask(&mut self, question: K, answer: impl FnOnce(&K) -> V) -> V {
        let known = self.known(&question);
        known.unwrap_or_else(|| {
            let new = answer(&question);
            self.learn(question, new)
        })
    }

    /// A reading begins: what was not asked since the last one began is forgotten.
    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

/// All that is remembered of one series.
#[derive(Default)]
pub(super) struct Memory {
    /// By the first point and the one after the last.
    pub(super) segments: Answers<(usize, usize), Segment>,
    /// By the first point of the left segment, that of the right one, and the one after its last.
    pub(super) measured: Answers<(usize, usize, usize), Measured>,
    /// Of steps beside movements.
    pub(super) beside: Answers<Question, Option<Beside>>,
}

impl Memory {
    /// A reading begins.
    pub(super) fn turn(&mut self) {
        self.segments.turn();
        self.measured.turn();
        self.beside.turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_again_is_known_and_what_is_not_is_forgotten() {
        let mut answers = Answers::default();
        assert_eq!(answers.ask(1, |_| "one"), "one");
        assert_eq!(answers.ask(1, |_| "other"), "one");
        answers.turn();
        assert_eq!(answers.ask(1, |_| "other"), "one");
        answers.turn();
        answers.turn();
        assert_eq!(answers.ask(1, |_| "other"), "other");
    }
}
