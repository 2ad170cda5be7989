//! Builds and benchmarks that mean harm, as real programs in the real box. Each says what stopped it and how long that took, and the
//! worker goes on with the next program. Run it with `--nocapture` to read that.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cost;
mod reach;
mod support;
mod use_up;

use std::time::{Duration, Instant};

use speedwell_worker::process::{End, Exhausted, Level, Stop};
use support::Cell;

#[test]
fn a_program_that_hears_no_signal_is_killed_in_time() {
    let cell = Cell::new();
    let deaf = "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n\
                print('deaf', flush=True)\nwhile True: time.sleep(1)\n";
    let outcome = cell.run(&["python3", "-c", deaf], Duration::from_secs(2));
    assert_eq!(
        (outcome.end, outcome.text.as_str()),
        (End::TimedOut, "deaf|")
    );
    assert!(outcome.took < Duration::from_secs(6), "{:?}", outcome.took);
    cell.goes_on("a program deaf to signals", &outcome);
}

#[test]
fn daemons_end_with_what_started_them() {
    let cell = Cell::new();
    if !cell.reaches(Level::Namespaces, "daemons") {
        return;
    }
    let script = "import os, time\n\
                  for _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n\
                  \x20           for n in range(3): os.close(n)\n            time.sleep(1000)\n        os._exit(0)\n\
                  time.sleep(0.3)\nprint('gone')\n";
    let outcome = cell.python(script);
    assert!(
        outcome.end.success() && outcome.text == "gone|",
        "{}",
        outcome.text
    );
    assert!(
        outcome.took < Duration::from_secs(10),
        "nobody waits for them"
    );
    cell.goes_on("daemons", &outcome);
}

#[test]
fn a_log_shows_text_and_nothing_else() {
    let cell = Cell::new();
    let script = r"printf '\033]0;title\007\033[2J\033[31mred\n<script>alert(1)</script>\n\000nul\377\n\342\200\256drow\n'";
    let outcome = cell.shell(script);
    assert_eq!(
        outcome.text,
        "]0;title[2J[31mred|<script>alert(1)</script>|nul\u{fffd}|drow|"
    );
    cell.goes_on("control characters", &outcome);
}

#[test]
fn what_a_program_leaves_in_its_folder_cannot_be_more_than_a_file() {
    let cell = Cell::new();
    let script = "mknod null c 1 3; mknod disk b 254 0; cp /bin/sh shell; chmod 6755 shell; ./shell -p -c 'id -u'; \
                  ln /etc/passwd hard 2>&1; ln -s /etc/shadow soft; chown 0 shell; ls";
    let outcome = cell.shell(script);
    let names: Vec<&str> = outcome.text.split('|').collect();
    assert!(
        !names.contains(&"null") && !names.contains(&"disk"),
        "{}",
        outcome.text
    );
    if cell.reaches(Level::Sealed, "hard links to the host's files") {
        assert!(!names.contains(&"hard"), "{}", outcome.text);
    }
    let me = nix::unistd::Uid::effective();
    let user = cell.sandbox.identity.map_or(me.as_raw(), |(user, _)| user);
    assert!(
        names.contains(&user.to_string().as_str()),
        "setuid gives nothing: {}",
        outcome.text
    );
    assert!(names.contains(&"soft"), "{}", outcome.text);
    cell.goes_on("device nodes, setuid files and links", &outcome);
}

#[test]
fn a_stop_ends_a_program_that_starts_others_without_end() {
    let cell = Cell::new();
    if !cell.reaches(Level::Namespaces, "a stop of a fork bomb") {
        return;
    }
    let stop = Stop::default();
    let asker = stop.clone();
    let handle = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        asker.request();
    });
    let spec = speedwell_worker::process::Spec {
        command: ["sh", "-c", "while :; do (sleep 0.01 &) 2>/dev/null; done"]
            .map(Into::into)
            .into(),
        environment: [("PATH".to_owned(), "/usr/bin:/bin".into())].into(),
        folder: cell.folder(),
        timeout: Duration::from_secs(30),
    };
    let begun = Instant::now();
    let end = speedwell_worker::process::run(&cell.sandbox, &spec, &stop, &mut |_| {}).unwrap();
    handle.join().unwrap();
    let outcome = support::Outcome {
        end,
        text: String::new(),
        took: begun.elapsed(),
    };
    assert_eq!(end, End::Stopped);
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
    cell.goes_on("a stop", &outcome);
}

/// The kernel's own limits still say what they mean.
#[test]
fn what_was_used_up_is_told_in_words() {
    let words = |what| End::Exhausted(what).describe();
    assert!(words(Exhausted::Disk).contains("No space left on device"));
    assert!(words(Exhausted::Output).contains("a log may hold"));
}
