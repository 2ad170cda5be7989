//! Where the processors' time of running processes goes, by samples of their instruction pointers: in the interpreter's
//! main loop, in machine code that was made at run time, or elsewhere.

mod maps;
mod sampling;

use maps::Maps;
pub use sampling::Sampling;

/// With fewer samples a share is a guess.
const FEWEST: usize = 200;

/// One sample of a thread that was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The process, in the host's numbers.
    pub pid: u32,
    /// The instruction pointer.
    pub address: u64,
    /// Whether the kernel ran for the process.
    pub kernel: bool,
}

/// Shares of all samples, user and kernel, from 0 to 1; or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// In the function that runs bytecode: `_PyEval_EvalFrameDefault` and what it was called before.
    pub main_loop: Result<f64, String>,
    /// In executable memory of no file: what a just-in-time compiler made.
    pub made: Result<f64, String>,
    /// How many samples there were.
    pub samples: usize,
}

/// The shares of samples. Call it while the processes live: their maps are read.
pub fn shares(samples: &[Sample]) -> Shares {
    let mut pids: Vec<u32> = samples.iter().map(|sample| sample.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let maps: Vec<(u32, Maps)> = pids
        .into_iter()
        .filter_map(|pid| Some((pid, Maps::read(pid).ok()?)))
        .collect();
    let of = |pid: u32| maps.iter().find(|(one, _)| *one == pid);
    let count = |inside: &dyn Fn(&Maps, u64) -> bool| {
        let hits = samples.iter().filter(|sample| {
            !sample.kernel && of(sample.pid).is_some_and(|(_, maps)| inside(maps, sample.address))
        });
        hits.count()
    };
    let share = |hits: usize| -> Result<f64, String> {
        if samples.len() < FEWEST {
            return Err(format!(
                "{} samples are too few for a share of the time",
                samples.len()
            ));
        }
        Ok(hits as f64 / samples.len() as f64)
    };
    let has_loop = maps.iter().any(|(_, maps)| !maps.main_loop.is_empty());
    let made = count(&|maps, address| maps.is_made(address));
    Shares {
        main_loop: if has_loop {
            share(count(&|maps, address| maps.is_main_loop(address)))
        } else {
            Err("no program among these names an interpreter's main loop in its symbols".to_owned())
        },
        made: if made > 0 {
            share(made)
        } else {
            Err("no sample lay in machine code that was made at run time".to_owned())
        },
        samples: samples.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_no_share_and_unknown_processes_are_elsewhere() {
        let none = shares(&[]);
        assert_eq!(none.samples, 0);
        assert!(none.main_loop.is_err() && none.made.is_err());
        let gone = Sample {
            pid: u32::MAX,
            address: 1,
            kernel: false,
        };
        assert!(shares(&[gone; 300]).main_loop.is_err());
    }

    /// This very process spins; its samples must lie in its own code and nowhere else.
    #[test]
    fn a_spinning_process_is_sampled_where_it_spins() {
        let pid = std::process::id();
        let sampling = match Sampling::start(&[pid]) {
            Ok(sampling) => sampling,
            Err(reason) => {
                assert!(reason.contains("perf_event_open"), "{reason}");
                eprintln!("skipped: {reason}");
                return;
            }
        };
        let begun = std::time::Instant::now();
        let mut number = 1_u64;
        while begun.elapsed() < std::time::Duration::from_millis(600) {
            // Long between two looks at the clock, which the kernel's own page answers.
            for _ in 0..100_000 {
                number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
            }
        }
        let samples = sampling.finish();
        assert!(samples.len() > 10, "{} samples", samples.len());
        assert!(samples.iter().all(|sample| sample.pid == pid));
        let maps = Maps::read(pid).unwrap();
        let user: Vec<_> = samples.iter().filter(|sample| !sample.kernel).collect();
        let known = user.iter().filter(|one| maps.knows(one.address)).count();
        assert!(known * 10 >= user.len() * 9, "{known} of {}", user.len());
        assert!(user.iter().all(|one| !maps.is_main_loop(one.address)));
    }
}
