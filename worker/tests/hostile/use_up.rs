//! Programs that use up what they share with others: processes, memory, disk, output.

use std::time::Duration;

use speedwell_worker::process::{End, Exhausted, Level};

use crate::support::{Cell, PROCESSES};

#[test]
fn a_fork_bomb_meets_a_limit_and_is_killed_whole() {
    let cell = Cell::new();
    let bomb = "import os, time\nmade = 0\nwhile True:\n    try:\n        if os.fork() == 0:\n            while True: time.sleep(1)\n\
                \x20       made += 1\n    except OSError as error:\n        print(made, type(error).__name__, flush=True)\n        break\nwhile True: time.sleep(1)\n";
    let outcome = cell.run(&["python3", "-c", bomb], Duration::from_secs(4));
    let made: u64 = outcome.text.split(' ').next().unwrap().parse().unwrap_or(0);
    assert!(made > 10 && made < PROCESSES, "{}", outcome.text);
    assert!(outcome.text.contains("BlockingIOError"), "{}", outcome.text);
    assert_eq!(outcome.end, End::TimedOut);
    cell.goes_on(&format!("a fork bomb of {made} processes"), &outcome);
    // One whose children are bombs themselves, so that something is born while something is killed.
    let outcome = cell.run(
        &["sh", "-c", "f() { f | f & }; f; sleep 100"],
        Duration::from_secs(2),
    );
    assert!(outcome.took < Duration::from_secs(15), "{:?}", outcome.took);
    if cell.reaches(Level::Namespaces, "what a fork bomb leaves") {
        cell.goes_on("a fork bomb that forks itself", &outcome);
    }
}

#[test]
fn output_without_end_is_ended() {
    let cell = Cell::new();
    for program in ["yes '<b>more</b>'", "cat /dev/zero", "cat /dev/zero >&2"] {
        let outcome = cell.shell(&format!("{program} | head -c 50000000000"));
        let outcome = if program.contains(">&2") {
            cell.shell(program)
        } else {
            outcome
        };
        assert_eq!(outcome.end, End::Exhausted(Exhausted::Output), "{program}");
        assert!(outcome.took < Duration::from_secs(25), "{:?}", outcome.took);
        cell.goes_on(program, &outcome);
    }
}

#[test]
fn files_without_end_are_ended_before_the_disk_is_full() {
    let mut cell = Cell::new();
    let disk = nix::sys::statvfs::statvfs(&cell.folder()).unwrap();
    let free = disk.blocks_available() * disk.fragment_size();
    cell.sandbox.floor.as_mut().unwrap().disk = free.saturating_sub(300 << 20);
    let outcome = cell
        .shell("n=0; while :; do head -c 10000000 /dev/zero > file$n || exit; n=$((n+1)); done");
    assert_eq!(outcome.end, End::Exhausted(Exhausted::Disk));
    std::fs::remove_dir_all(cell.folder()).unwrap();
    std::fs::create_dir(cell.folder()).unwrap();
    let owner = cell.sandbox.identity;
    std::os::unix::fs::chown(
        cell.folder(),
        owner.map(|one| one.0),
        owner.map(|one| one.1),
    )
    .unwrap();
    cell.sandbox.floor.as_mut().unwrap().disk = 0;
    cell.goes_on("many files", &outcome);
    let outcome = cell.shell("truncate --size=50G one 2>&1; echo $?; ls");
    assert!(
        outcome.text.contains("File size limit exceeded|153|"),
        "{}",
        outcome.text
    );
    cell.goes_on("one file of 50 GB", &outcome);
    if cell.reaches(Level::Sealed, "a full /tmp and /dev/shm") {
        let outcome = cell.shell("head -c 1000000000 /dev/zero > /tmp/a; head -c 1000000000 /dev/zero > /dev/shm/a; du -m /tmp /dev/shm");
        assert!(
            outcome.text.contains("No space left on device"),
            "{}",
            outcome.text
        );
        assert!(
            outcome.text.ends_with("\t/tmp|64\t/dev/shm|"),
            "{}",
            outcome.text
        );
        cell.goes_on("a full /tmp", &outcome);
    }
}

#[test]
fn memory_without_end_is_ended() {
    let mut cell = Cell::new();
    let outcome = cell.python("b = bytearray(100 << 30)");
    assert!(outcome.text.contains("MemoryError"), "{}", outcome.text);
    cell.goes_on("100 GB in one process", &outcome);
    // Each stays below its own limit.
    let tree = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        b = bytearray(400 << 20)\n\
                \x20       for n in range(0, len(b), 4096): b[n] = 1\n        time.sleep(1000)\n        os._exit(0)\ntime.sleep(1000)\n";
    if !cell.reaches(
        Level::Metered,
        "the kernel's limit of a whole tree's memory",
    ) {
        let floor = cell.sandbox.floor.as_mut().unwrap();
        floor.memory = Cell::available().saturating_sub(1 << 30);
    }
    let outcome = cell.python(tree);
    assert_eq!(
        outcome.end,
        End::Exhausted(Exhausted::Memory),
        "{}",
        outcome.text
    );
    assert!(outcome.took < Duration::from_secs(20), "{:?}", outcome.took);
    cell.sandbox.floor.as_mut().unwrap().memory = 0;
    cell.goes_on("3 GB in eight processes", &outcome);
    if cell.reaches(
        Level::Sealed,
        "who is ended first when the host has no memory left",
    ) {
        let outcome = cell.shell("cat /proc/self/oom_score_adj");
        assert_eq!(outcome.text, "1000|");
    }
}
