//! Where the time of running processes goes: their stacks, sampled while they run.

mod image;
mod kernel;
mod maps;
pub mod names;
mod perf_map;
mod processes;
mod records;
mod ring;
mod sampling;
mod stacks;
mod unwind;

pub use sampling::Sampling;

/// Real processes, sampled.
#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Child, ChildStdin, Command, Stdio};

    use speedwell_wire::ProfileReport;

    use super::Sampling;

    /// A program that says when it is ready, waits for a line, works, says so, and waits for its end.
    struct Worker {
        child: Child,
        input: Option<ChildStdin>,
        output: BufReader<std::process::ChildStdout>,
    }

    impl Worker {
        fn start(command: &mut Command) -> Self {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = child.stdin.take();
            let output = BufReader::new(child.stdout.take().unwrap());
            let mut worker = Self {
                child,
                input,
                output,
            };
            worker.hear();
            worker
        }

        fn hear(&mut self) -> String {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            line
        }

        /// Samples the work; none where the kernel does not let us.
        fn sample(mut self) -> Option<ProfileReport> {
            let pid = self.child.id();
            let sampling = match Sampling::open(&[pid]) {
                Ok(sampling) => sampling,
                Err(reason) => {
                    assert!(reason.contains("perf_event_open"), "{reason}");
                    eprintln!("skipped: {reason}");
                    return None;
                }
            };
            sampling.enable().unwrap();
            writeln!(self.input.as_mut().unwrap(), "go").unwrap();
            self.hear();
            Some(sampling.finish(2.0).unwrap())
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            drop(self.input.take());
            self.child.wait().unwrap();
        }
    }

    /// Samples whose stack's functions satisfy a condition, of all.
    fn share(profile: &ProfileReport, is_in: impl Fn(&[&str]) -> bool) -> f64 {
        let fitting = profile.stacks.iter().filter(|stack| {
            let names: Vec<&str> = stack.frames.split(';').collect();
            is_in(&names)
        });
        fitting.map(|stack| stack.count).sum::<f64>() / profile.total
    }

    /// Samples times their period is the time that was counted, but for what the kernel's timers come late by.
    fn agrees(profile: &ProfileReport) {
        let sampled = profile.tool.sampled().unwrap();
        let seen = profile.total * sampled.period;
        assert!(
            (0.9..1.02).contains(&(seen / sampled.counted)),
            "{} samples each {}, {} counted",
            profile.total,
            sampled.period,
            sampled.counted
        );
        assert_eq!(sampled.lost, 0);
    }

    const C: &str = "
#include <stdio.h>
__attribute__((noinline)) unsigned hot(unsigned n) { unsigned s = 0; for (unsigned i = 0; i < n; i++) { s = s * 31 + i; __asm__ volatile(\"\"); } return s; }
__attribute__((noinline)) unsigned middle(unsigned n) { unsigned s = hot(n); __asm__ volatile(\"\"); return s + 1; }
int main(void) { char line[9]; puts(\"ready\"); fflush(stdout); if (!fgets(line, 9, stdin)) return 1;
  unsigned s = 0; for (int i = 0; i < 40; i++) s += middle(30000000); printf(\"%u\\n\", s); fflush(stdout); fgets(line, 9, stdin); return 0; }
";

    /// A program without frame pointers: nearly all of its samples are in the one function that works, under its callers.
    #[test]
    fn a_hot_function_has_nearly_all_samples_under_its_callers() {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("hot.c"), folder.path().join("hot"));
        std::fs::write(&source, C).unwrap();
        let built = Command::new("gcc")
            .args(["-O2", "-fomit-frame-pointer", "-Wl,--build-id", "-o"])
            .args([&program, &source])
            .status()
            .unwrap();
        assert!(built.success());
        let Some(profile) = Worker::start(&mut Command::new(&program)).sample() else {
            return;
        };
        let hot = share(&profile, |names| {
            names.ends_with(&["main", "middle", "hot"])
        });
        assert!(hot > 0.9, "{hot}: {:?}", profile.stacks);
        let whole = share(&profile, |names| names[0] == "_start");
        assert!(whole > 0.9, "{whole}: {:?}", profile.stacks);
        assert_eq!(profile.build_ids["hot"].len(), 40);
        agrees(&profile);
    }

    /// The distribution's Python: its main loop is seen, in a copy of it and in another program that it starts as well.
    #[test]
    fn a_python_and_its_children_are_sampled() {
        let script = "import os, sys\nprint(); sys.stdout.flush(); sys.stdin.readline()\n\
            if os.fork() == 0:\n  sum(i * i for i in range(3000000)); os._exit(0)\nos.wait()\n\
            if os.fork() == 0:\n  work = 'sum(i * i for i in range(3000000))'\n  os.execvp('python3', ['python3', '-c', work])\nos.wait()\n\
            print(); sys.stdout.flush(); sys.stdin.readline()";
        let mut python = Command::new("python3");
        let Some(profile) = Worker::start(python.args(["-c", script])).sample() else {
            return;
        };
        let of_loop = share(&profile, |names| {
            names.contains(&"_PyEval_EvalFrameDefault") && names.contains(&"Py_BytesMain")
        });
        // The other program starts up, too.
        assert!(of_loop > 0.8, "{of_loop}: {:?}", profile.stacks);
        let unknown = share(&profile, |names| names.contains(&"[unknown]"));
        assert!(unknown < 0.02, "{unknown}: {:?}", profile.stacks);
        agrees(&profile);
    }
}
