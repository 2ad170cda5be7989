//! What the box costs a benchmark, measured: the same work in boxes of each level, in turn, in one session.

use std::time::Duration;

use speedwell_worker::process::Level;

use crate::support::Cell;

/// Each prints a name and the least of some times, in microseconds of its processor: what nothing disturbed.
const WORK: &str = r"
import mmap, os, socket, time
def timed(work):
    begun = time.process_time_ns(); work(); return time.process_time_ns() - begun
def compute():
    x = 0
    for n in range(50000): x += n * n % 7
def calls():
    for _ in range(5000): os.getppid()
def pages():
    m = mmap.mmap(-1, 8 << 20)
    for n in range(0, len(m), 4096): m[n] = 1
    m.close()
def files():
    for n in range(30):
        with open('cost-%d' % n, 'wb') as f: f.write(b'x' * 4096)
        os.unlink('cost-%d' % n)
def forks():
    for _ in range(5):
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
def talk():
    for _ in range(300):
        b.send(b'x'); a.recv(1)
s = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(s.getsockname()); a, _ = s.accept()
for work in (compute, calls, pages, files, forks, talk): print(work.__name__, min(timed(work) for _ in range(TIMES)) / 1000)
";

/// In the guest of deploy/emulated-pmu time is the number of instructions: there is nothing to average.
fn counts_instructions() -> bool {
    std::env::var_os("SPEEDWELL_LEVEL").is_some()
}

/// The times of one process by name.
fn times(cell: &Cell) -> Vec<(String, f64)> {
    let work = WORK.replace("TIMES", if counts_instructions() { "3" } else { "40" });
    let outcome = cell.run(&["python3", "-c", &work], Duration::from_secs(120));
    let parse = |line: &str| {
        let (name, time) = line.split_once(' ')?;
        Some((name.to_owned(), time.parse().ok()?))
    };
    outcome.text.split('|').filter_map(parse).collect()
}

#[test]
#[ignore = "takes a minute and wants a quiet machine"]
fn a_box_adds_nothing_that_can_be_seen() {
    let sealed = Cell::new();
    assert!(sealed.level >= Level::Sealed, "nothing to compare");
    let mut levels = vec![
        ("none", Cell::new()),
        ("namespaces", Cell::new()),
        ("sealed", Cell::new()),
    ];
    levels[0].1.sandbox.namespaces = false;
    for (_, cell) in &mut levels {
        cell.sandbox.groups = None;
    }
    for (_, cell) in &mut levels[..2] {
        cell.sandbox.seal = None;
        // The folder lies in one that only its owner may enter.
        open(cell);
    }
    if sealed.level == Level::Metered {
        levels.push(("metered", sealed));
    }
    let mut shortest: Vec<Vec<(String, f64)>> =
        levels.iter().map(|(_, cell)| times(cell)).collect();
    let mut starts = vec![f64::MAX; levels.len()];
    let rounds = if counts_instructions() { 1 } else { 6 };
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..levels.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let cell = &levels[index].1;
            for (known, (_, time)) in shortest[index].iter_mut().zip(times(cell)) {
                known.1 = known.1.min(time);
            }
            let start = cell
                .run(&["true"], Duration::from_secs(9))
                .took
                .as_secs_f64();
            starts[index] = starts[index].min(start);
        }
    }
    for (index, (name, _)) in levels.iter().enumerate() {
        let ratios = shortest[index].iter().zip(&shortest[0]);
        let words: Vec<String> = ratios
            .map(|((what, time), (_, base))| format!("{what} {time:.0} us ({:.3})", time / base))
            .collect();
        eprintln!(
            "{name}: {}; a start {:.1} ms",
            words.join(", "),
            starts[index] * 1e3
        );
        assert_eq!(words.len(), 6);
        let compute = shortest[index][0].1 / shortest[0][0].1;
        assert!(
            (0.95..1.05).contains(&compute),
            "{name} makes computing {compute} as long"
        );
    }
}

fn open(cell: &Cell) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(cell.host.path(), mode).unwrap();
}
