//! Samples counted by their stacks; in the end, the profile that is reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use speedwell_wire::{ProfileReport, ProfileStack, ProfileTool, Sampled};

/// Stacks in a report at most; the rest is counted in the total.
const MOST_STACKS: usize = 10_000;
/// Bytes of names in a report at most.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of one stack's names at most, the backend's own limit: longer ones lack their outermost functions.
const LONGEST_STACK: usize = 9_900;
/// With fewer samples a share is a guess.
const FEWEST: f64 = 200.0;
/// What stands for the functions that a stack lacks.
const OUTER: &str = "[outer]";
/// Code that was made at run time and that nothing names.
const MADE: &str = "compiled_[j]";

/// Beginning of the name of a Python function, which a trampoline calls.
pub const PYTHON: &str = "py::";

/// One function of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Frame {
    /// A function of a file, with the file's name.
    Of(Arc<str>, Arc<str>),
    /// A place in a file that no symbol names.
    Unnamed(Arc<str>),
    /// A function of the kernel.
    Kernel(Option<Arc<str>>),
    /// Code that a process made at run time.
    Made(u32, u64),
    /// Nothing is known of it.
    Unknown,
    /// The functions further out.
    Outer,
}

impl Frame {
    /// Its name, and the object that it is in. `made` names code that was made at run time.
    fn words(&self, made: &dyn Fn(u32, u64) -> Option<String>) -> (String, &str) {
        match self {
            Self::Of(name, object) => (name.to_string(), object),
            Self::Unnamed(object) if object.starts_with('[') => (object.to_string(), object),
            Self::Unnamed(object) => (format!("[{object}]"), object),
            // A function of the kernel is marked, so that no rule for a program's function takes it for one.
            Self::Kernel(Some(name)) => (format!("{name}_[k]"), "[kernel]"),
            Self::Kernel(None) => ("[kernel]".to_owned(), "[kernel]"),
            Self::Made(pid, address) => {
                (made(*pid, *address).unwrap_or_else(|| MADE.to_owned()), "")
            }
            Self::Unknown => ("[unknown]".to_owned(), ""),
            Self::Outer => (OUTER.to_owned(), ""),
        }
    }
}

/// Samples by stack, the innermost function first.
#[derive(Debug, Default)]
pub struct Stacks(HashMap<Vec<Frame>, u64>);

impl Stacks {
    /// One more sample.
    pub fn add(&mut self, frames: Vec<Frame>) {
        *self.0.entry(frames).or_default() += 1;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How many there are.
    pub fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// The profile, or why there is none.
    pub fn report(
        &self,
        sampled: Sampled,
        made: &dyn Fn(u32, u64) -> Option<String>,
        build_id: &dyn Fn(&str) -> Option<String>,
    ) -> Result<ProfileReport, String> {
        let total = self.samples() as f64;
        if total < FEWEST {
            return Err(format!(
                "{total} samples are too few for shares of the time"
            ));
        }
        let mut sums: BTreeMap<(String, String), f64> = BTreeMap::new();
        for (frames, count) in &self.0 {
            *sums.entry(fold(frames, made)).or_default() += *count as f64;
        }
        let mut all: Vec<((String, String), f64)> = sums.into_iter().collect();
        all.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mut bytes = 0;
        let stacks: Vec<ProfileStack> = all
            .into_iter()
            .take(MOST_STACKS)
            .take_while(|((frames, _), _)| {
                bytes += frames.len();
                bytes <= MOST_BYTES
            })
            .map(|((frames, object), count)| ProfileStack {
                frames,
                object,
                count,
            })
            .collect();
        let tool = if stacks.iter().any(|stack| stack.frames.contains(PYTHON)) {
            ProfileTool::SamplingPython(sampled)
        } else {
            ProfileTool::Sampling(sampled)
        };
        let objects = stacks.iter().map(|stack| stack.object.as_str());
        let build_ids = objects
            .filter_map(|object| Some((object.to_owned(), build_id(object)?)))
            .collect();
        Ok(ProfileReport {
            tool,
            total,
            stacks,
            build_ids,
        })
    }
}

/// A stack's names, the outermost first, and the object of the innermost.
fn fold(frames: &[Frame], made: &dyn Fn(u32, u64) -> Option<String>) -> (String, String) {
    let mut names: Vec<String> = Vec::new();
    let mut length = 0;
    let mut object = "";
    for (depth, frame) in frames.iter().enumerate() {
        // One such place in another says nothing more.
        if depth > 0 && matches!(frame, Frame::Unnamed(_)) && frames[depth - 1] == *frame {
            continue;
        }
        let (name, own) = frame.words(made);
        if depth == 0 {
            object = own;
        }
        length += name.len() + 1;
        if length > LONGEST_STACK {
            names.push(OUTER.to_owned());
            break;
        }
        names.push(name);
    }
    names.reverse();
    (names.join(";"), object.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use speedwell_wire::CounterSource;

    fn sampled() -> Sampled {
        Sampled {
            source: CounterSource::Software,
            period: 0.001,
            lost: 0,
            counted: 0.3,
            per: 3.0,
        }
    }

    fn of(name: &str) -> Frame {
        Frame::Of(Arc::from(name), Arc::from("python3"))
    }

    #[test]
    fn samples_of_one_stack_are_one_line() {
        let mut stacks = Stacks::default();
        let made =
            |pid: u32, address: u64| (pid == 1 && address < 5).then(|| "py::a:b.py".to_owned());
        for address in 0..300 {
            stacks.add(vec![of("eval"), Frame::Made(1, address % 10), of("main")]);
        }
        stacks.add(vec![
            Frame::Kernel(Some(Arc::from("copy"))),
            Frame::Unnamed(Arc::from("libc.so.6")),
            Frame::Unnamed(Arc::from("libc.so.6")),
            Frame::Outer,
        ]);
        let id = |object: &str| (object == "python3").then(|| "ab".to_owned());
        let report = stacks.report(sampled(), &made, &id).unwrap();
        assert_eq!(report.total, 301.0);
        let lines: Vec<(&str, &str, f64)> = report
            .stacks
            .iter()
            .map(|one| (one.frames.as_str(), one.object.as_str(), one.count))
            .collect();
        assert_eq!(
            lines,
            [
                ("main;compiled_[j];eval", "python3", 150.0),
                ("main;py::a:b.py;eval", "python3", 150.0),
                ("[outer];[libc.so.6];copy_[k]", "[kernel]", 1.0),
            ]
        );
        assert!(matches!(report.tool, ProfileTool::SamplingPython(_)));
        assert_eq!(
            report.build_ids,
            BTreeMap::from([("python3".to_owned(), "ab".to_owned())])
        );
    }

    #[test]
    fn few_samples_are_no_profile_and_long_stacks_are_cut() {
        let mut stacks = Stacks::default();
        for _ in 0..199 {
            stacks.add(vec![of(&"f".repeat(99)); 200]);
        }
        let report = |stacks: &Stacks| stacks.report(sampled(), &|_, _| None, &|_| None);
        assert!(report(&stacks).unwrap_err().contains("199 samples"));
        stacks.add(vec![of("f")]);
        let tool = report(&stacks).unwrap().tool;
        assert!(matches!(tool, ProfileTool::Sampling(_)));
        let long = &report(&stacks).unwrap().stacks[0].frames;
        assert!(
            long.starts_with("[outer];fff") && long.len() < 10_000,
            "{}",
            long.len()
        );
        stacks.clear();
        assert_eq!(stacks.samples(), 0);
    }
}
