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
    /// Where the instructions go, under valgrind; two processes as for [`Mode::Instructions`].
    Profile,
}

impl Mode {
    /// Whether the process runs under valgrind, some twenty to forty times slower.
    pub fn is_under_valgrind(self) -> bool {
        match self {
            Self::Timing | Self::Counters => false,
            Self::Instructions | Self::Profile => true,
        }
    }
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
            Mode::Counters | Mode::Instructions | Mode::Profile => 0,
        }
    }

    /// The turn in words.
    pub fn describe(&self, processes: u32) -> String {
        match self.mode {
            Mode::Timing => format!("process {} of {processes}", self.process + 1),
            Mode::Counters => "counters".to_owned(),
            Mode::Instructions => format!("instructions, process {} of 2", self.process + 1),
            Mode::Profile => format!("profile, process {} of 2", self.process + 1),
        }
    }
}

/// Every process of a run in order: all benchmarks once, all a second time …, and at the end those of `extra`, mode by mode.
pub fn turns(benchmarks: usize, processes: u32, extra: impl Iterator<Item = Mode>) -> Vec<Turn> {
    let timing = (0..processes).flat_map(|process| {
        (0..benchmarks).map(move |benchmark| Turn {
            benchmark,
            process,
            mode: Mode::Timing,
        })
    });
    let further = extra.flat_map(|mode| {
        let processes = if mode.is_under_valgrind() { 2 } else { 1 };
        (0..benchmarks).flat_map(move |benchmark| {
            (0..processes).map(move |process| Turn {
                benchmark,
                process,
                mode,
            })
        })
    });
    timing.chain(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_the_outermost_loop() {
        let order: Vec<(usize, u32, u32)> = turns(2, 2, [Mode::Counters].into_iter())
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
        assert_eq!(turns(3, 1, std::iter::empty()).len(), 3);
        assert!(turns(0, 5, [Mode::Counters].into_iter()).is_empty());
        let last = turns(2, 1, [Mode::Counters, Mode::Instructions].into_iter()).split_off(4);
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
