//! Real processes in the real box.

use super::*;
use crate::process::sandbox::Limits;

fn spec(script: &str) -> Spec {
    Spec {
        command: ["sh", "-c", script].map(OsString::from).into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".into())]),
        folder: "/".into(),
        timeout: Duration::from_secs(20),
    }
}

/// The box as a root worker has it, with `nobody` as the other user. Needs root: namespaces, another user.
fn boxed() -> Sandbox {
    let root = nix::unistd::Uid::effective().is_root();
    Sandbox {
        namespaces: true,
        user_namespace: !root,
        identity: root.then_some((65534, 65534)),
        limits: Some(Limits {
            memory_mib: 512,
            processes: 4096,
            descriptors: 1024,
        }),
        ..Sandbox::default()
    }
}

fn run_in(sandbox: &Sandbox, script: &str) -> (End, String) {
    let mut text = String::new();
    let end = run(sandbox, &spec(script), &Stop::default(), &mut |line| {
        text.push_str(line);
        text.push('|');
    })
    .unwrap();
    (end, text)
}

#[test]
fn output_and_status_come_back_as_printable_text() {
    let (end, text) = run_in(
        &Sandbox::trusted(),
        "printf 'a\\033[31mred\\n\\377\\n'; echo err >&2; exit 3",
    );
    assert_eq!(end.describe(), "exit status 3");
    assert_eq!(text, "a[31mred|\u{fffd}|err|");
}

#[test]
fn a_whole_process_tree_is_killed_in_time() {
    let marker = format!("{}.25", 1_000_000 + std::process::id());
    let mut slow = spec(&format!(
        "sleep {marker} & setsid sleep {marker} & sleep {marker}"
    ));
    slow.timeout = Duration::from_millis(500);
    let begun = Instant::now();
    let end = run(&boxed(), &slow, &Stop::default(), &mut |_| {}).unwrap();
    assert_eq!(end, End::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(5));
    std::thread::sleep(Duration::from_millis(300));
    let found = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"sleep") && String::from_utf8_lossy(&line).contains(&marker)
    });
    assert!(!found, "a child of the killed program lives on");
}

#[test]
fn a_stop_request_ends_a_program() {
    let stop = Stop::default();
    let asker = stop.clone();
    let handle = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        asker.request();
    });
    let end = run(&boxed(), &spec("sleep 15"), &stop, &mut |_| {}).unwrap();
    handle.join().unwrap();
    assert_eq!(end, End::Stopped);
}

#[test]
fn inside_the_box_there_is_no_network_no_root_and_little_memory() {
    let (_, interfaces) = run_in(&boxed(), "cat /proc/net/dev | tail -n +3 | cut -d: -f1");
    assert_eq!(interfaces.trim(), "lo|", "only a loopback of its own");
    let (end, talk) = run_in(
        &boxed(),
        "python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 0)); \
         c = socket.create_connection(s.getsockname()); print(\"heard\")'",
    );
    assert!(end.success() && talk == "heard|", "loopback is up: {talk}");
    let (_, user) = run_in(
        &boxed(),
        "id -u; grep -E 'NoNewPrivs|CapBnd|CapEff|CapAmb' /proc/self/status",
    );
    for set in ["CapEff", "CapAmb"] {
        assert!(
            user.contains(&format!("{set}:\t0000000000000000")),
            "{user}"
        );
    }
    if nix::unistd::Uid::effective().is_root() {
        assert!(
            user.starts_with("65534|") && user.contains("CapBnd:\t0000000000000000"),
            "{user}"
        );
    }
    assert!(user.contains("NoNewPrivs:\t1"), "{user}");
    let (end, _) = run_in(&boxed(), "python3 -c 'b = bytearray(2 << 30)' 2>/dev/null");
    assert_eq!(end.describe(), "exit status 1");
}

#[test]
fn a_box_can_have_a_tmp_of_its_own() {
    let shared = tempfile::tempdir_in("/var/tmp").unwrap();
    let folder = shared.path().join("tmp");
    std::fs::create_dir(&folder).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(shared.path(), std::fs::Permissions::clone(&open)).unwrap();
    std::fs::set_permissions(&folder, open).unwrap();
    let (end, text) = run_in(
        &boxed().with_tmp(folder.clone()),
        "echo here > /tmp/perf-2.map; ls /tmp",
    );
    assert!(end.success(), "{end:?}: {text}");
    assert_eq!(text, "perf-2.map|");
    let kept = std::fs::read_to_string(folder.join("perf-2.map")).unwrap();
    assert_eq!(kept, "here\n");
}
