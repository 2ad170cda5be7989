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
    /// Where the time goes, by samples.
    Sampling,
}

impl Mode {
    /// Whether the process runs under valgrind, some twenty to forty times slower.
    pub fn is_under_valgrind(self) -> bool {
        match self {
            Self::Timing | Self::Counters | Self::Sampling => false,
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
            Mode::Counters | Mode::Instructions | Mode::Profile | Mode::Sampling => 0,
        }
    }

    /// The turn in words.
    pub fn describe(&self, processes: u32) -> String {
        match self.mode {
            Mode::Timing => format!("process {} of {processes}", self.process + 1),
            Mode::Counters if self.process == 0 => "counters".to_owned(),
            Mode::Counters => format!("counters, group {}", self.process + 1),
            Mode::Instructions => format!("instructions, process {} of 2", self.process + 1),
            Mode::Profile => format!("profile, process {} of 2", self.process + 1),
            Mode::Sampling => "samples".to_owned(),
        }
    }
}

/// Every process of a run in order: all benchmarks once, all a second time …, and at the end those of the further modes, mode
/// by mode. `further`: how many processes a benchmark has in one, for counters a process for each group.
pub fn turns(benchmarks: usize, processes: u32, further: impl Fn(Mode, usize) -> u32) -> Vec<Turn> {
    let timing = (0..processes).flat_map(|process| {
        (0..benchmarks).map(move |benchmark| Turn {
            benchmark,
            process,
            mode: Mode::Timing,
        })
    });
    let modes = [
        Mode::Counters,
        Mode::Instructions,
        Mode::Profile,
        Mode::Sampling,
    ];
    let further = modes.into_iter().flat_map(|mode| {
        let further = &further;
        (0..benchmarks).flat_map(move |benchmark| {
            (0..further(mode, benchmark)).map(move |process| Turn {
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
        let counted = |mode, _| u32::from(mode == Mode::Counters);
        let order: Vec<(usize, u32, u32)> = turns(2, 2, counted)
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
        assert_eq!(turns(3, 1, |_, _| 0).len(), 3);
        assert!(turns(0, 5, counted).is_empty());
        let groups = |mode, benchmark| match (mode, benchmark) {
            (Mode::Counters, 0) => 3,
            (Mode::Counters, _) => 1,
            _ => 0,
        };
        let groups: Vec<(usize, u32)> = turns(2, 0, groups)
            .iter()
            .map(|turn| (turn.benchmark, turn.process))
            .collect();
        assert_eq!(groups, [(0, 0), (0, 1), (0, 2), (1, 0)]);
        let both = |mode, _| match mode {
            Mode::Counters => 1,
            Mode::Instructions => 2,
            Mode::Timing | Mode::Profile | Mode::Sampling => 0,
        };
        let last = turns(2, 1, both).split_off(4);
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
