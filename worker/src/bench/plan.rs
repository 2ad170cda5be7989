//! The order of a run's processes; pure.

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Wall time, undisturbed.
    Timing,
    /// Counters around every iteration.
    Counters,
    /// All instructions of a process under valgrind; two processes, the second with twice the loops.
    Instructions,
}

/// One process of one benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Index of the benchmark.
    pub benchmark: usize,
    /// Index of the process among those of its mode.
    pub process: u32,
    /// What it is for.
    pub mode: Mode,
}

impl Turn {
    /// `PYTHONHASHSEED`: one of a fixed set for times, so that the hash layout's luck averages out in the same way in
    /// every run; always 0 for counters, which should not vary at all.
    pub fn hash_seed(&self) -> u32 {
        match self.mode {
            Mode::Timing => self.process + 1,
            Mode::Counters | Mode::Instructions => 0,
        }
    }

    /// The turn in words.
    pub fn describe(&self, processes: u32) -> String {
        match self.mode {
            Mode::Timing => format!("process {} of {processes}", self.process + 1),
            Mode::Counters if self.process == 0 => "counters".to_owned(),
            Mode::Counters => format!("counters, group {}", self.process + 1),
            Mode::Instructions => format!("instructions, process {} of 2", self.process + 1),
        }
    }
}

/// Every process of a run in order: all benchmarks once, all a second time …, and at the end the counters, then valgrind's.
/// `counters`: how many groups of counters a benchmark has, with a process for each.
pub fn turns(
    benchmarks: usize,
    processes: u32,
    counters: impl Fn(usize) -> u32,
    valgrind: bool,
) -> Vec<Turn> {
    let timing = (0..processes).flat_map(|process| {
        (0..benchmarks).map(move |benchmark| Turn {
            benchmark,
            process,
            mode: Mode::Timing,
        })
    });
    let counting = (0..benchmarks).flat_map(|benchmark| {
        (0..counters(benchmark)).map(move |process| Turn {
            benchmark,
            process,
            mode: Mode::Counters,
        })
    });
    let instructions = (0..benchmarks).filter(|_| valgrind).flat_map(|benchmark| {
        (0..2).map(move |process| Turn {
            benchmark,
            process,
            mode: Mode::Instructions,
        })
    });
    timing.chain(counting).chain(instructions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_the_outermost_loop() {
        let order: Vec<(usize, u32, u32)> = turns(2, 2, |_| 1, false)
            .iter()
            .map(|turn| (turn.benchmark, turn.process, turn.hash_seed()))
            .collect();
        assert_eq!(
            order,
            [
                (0, 0, 1),
                (1, 0, 1),
                (0, 1, 2),
                (1, 1, 2),
                (0, 0, 0),
                (1, 0, 0)
            ]
        );
        assert_eq!(turns(3, 1, |_| 0, false).len(), 3);
        assert!(turns(0, 5, |_| 1, true).is_empty());
        let groups = turns(2, 0, |benchmark| if benchmark == 0 { 3 } else { 1 }, false);
        let groups: Vec<(usize, u32)> = groups
            .iter()
            .map(|turn| (turn.benchmark, turn.process))
            .collect();
        assert_eq!(groups, [(0, 0), (0, 1), (0, 2), (1, 0)]);
        let last = turns(2, 1, |_| 1, true).split_off(4);
        let pairs: Vec<(usize, u32)> = last
            .iter()
            .map(|turn| (turn.benchmark, turn.process))
            .collect();
        assert_eq!(pairs, [(0, 0), (0, 1), (1, 0), (1, 1)]);
        assert!(
            last.iter()
                .all(|turn| turn.mode == Mode::Instructions && turn.hash_seed() == 0)
        );
    }
}
