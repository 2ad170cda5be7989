//! Programs that reach for what is not theirs: secrets, the host's files and sockets, other processes, other processors.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use speedwell_worker::process::Level;

use crate::support::Cell;

const SECRET: &str = "swt_0123456789abcdef";

#[test]
fn the_workers_secrets_are_out_of_sight() {
    let mut cell = Cell::new();
    if !cell.reaches(Level::Sealed, "secrets that everybody may read") {
        return;
    }
    // As careless as can be: readable by everybody, and one of them in a folder that the box shows.
    let lab = cell.host.path().join("lab");
    let shown = cell.host.path().join("shown");
    for (folder, name) in [(&lab, "token"), (&lab, "worker.toml"), (&shown, "token")] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), SECRET).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::write(shown.join("readable"), "may be read\n").unwrap();
    std::os::unix::fs::symlink(shown.join("token"), lab.join("by-link")).unwrap();
    let seal = cell.sandbox.seal.as_mut().unwrap();
    seal.visible.push(shown.clone());
    seal.hidden.push(lab.join("by-link"));
    let script = format!(
        "cat {0}/token {0}/worker.toml {0}/by-link {1}/token /proc/{2}/environ /proc/$PPID/environ /proc/1/environ | tr '\\0' '\\n'; \
         grep -rs {SECRET} {3} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr --exclude-dir=opt; cat {1}/readable; \
         ls /proc | grep -c '^[0-9]'; ls /root /home /run /var /tmp; ls /proc/self/fd",
        lab.display(),
        shown.display(),
        std::process::id(),
        cell.host.path().display(),
    );
    let outcome = cell.shell(&script);
    assert!(!outcome.text.contains(SECRET), "{}", outcome.text);
    assert!(outcome.text.contains("may be read"), "{}", outcome.text);
    // Standard ones, the folder that `ls` reads, and nothing that somebody left open for the worker.
    let open = outcome.text.rsplit("tmp|0|").next().unwrap();
    assert_eq!(open, "1|2|3|", "{}", outcome.text);
    for variable in ["CARGO_", "HOME="] {
        assert!(
            !outcome.text.contains(variable),
            "the worker's environment shows: {}",
            outcome.text
        );
    }
    cell.goes_on("a search for secrets", &outcome);
}

#[test]
fn nothing_outside_of_the_jobs_folder_can_be_changed() {
    let cell = Cell::new();
    let places = [
        "/",
        "/usr",
        "/usr/bin",
        "/etc",
        "/opt",
        "/home",
        "/root",
        "/run",
        "/var",
        "/dev",
        "/sys",
        "/proc/sys/kernel",
        "/proc",
    ];
    let name = format!("speedwell-hostile-{}", std::process::id());
    let beside = cell.host.path().join("beside");
    fs::create_dir(&beside).unwrap();
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o777)).unwrap();
    let script = format!(
        "for place in {} {}; do echo x 2>/dev/null > $place/{name} && echo wrote $place; done; \
         for place in /tmp /var/tmp /dev/shm; do echo x 2>/dev/null > $place/{name} && echo private $place; done; \
         mount -o remount,rw / 2>/dev/null && echo remounted; mount -t tmpfs x /usr 2>/dev/null && echo mounted; \
         rm -rf /usr/bin/env 2>/dev/null; ls /usr/bin/env; cd ../../../../../..; ls -d etc; exit 0",
        places.join(" "),
        beside.display(),
    );
    let outcome = cell.shell(&script);
    assert!(
        !outcome.text.contains("mounted") && outcome.text.contains("/usr/bin/env|"),
        "{}",
        outcome.text
    );
    if cell.reaches(Level::Sealed, "writing where everybody may") {
        assert!(!outcome.text.contains("wrote"), "{}", outcome.text);
        assert!(
            outcome
                .text
                .contains("private /tmp|private /var/tmp|private /dev/shm|"),
            "{}",
            outcome.text
        );
        for place in ["/tmp", "/var/tmp", "/dev/shm"] {
            assert!(!std::path::Path::new(place).join(&name).exists(), "{place}");
        }
        // Whoever becomes root of a namespace of his own still cannot write what he was given to read.
        let outcome = cell.shell(
            "unshare --user --map-root-user --mount sh -c 'mount -o remount,bind,rw /usr && echo rw > /usr/x; umount -l /proc; umount -l /tmp; \
             ls /tmp; mkdir /usr/y' 2>&1; exit 0",
        );
        assert!(
            !std::path::Path::new("/usr/x").exists() && !std::path::Path::new("/usr/y").exists()
        );
        assert!(!outcome.text.contains("speedwell-test"), "{}", outcome.text);
        cell.goes_on("root of a namespace of its own", &outcome);
    } else {
        for place in ["/tmp", "/var/tmp", "/dev/shm"] {
            drop(fs::remove_file(std::path::Path::new(place).join(&name)));
        }
    }
    cell.goes_on("writing outside", &outcome);
}

#[test]
fn no_socket_of_the_host_answers() {
    let cell = Cell::new();
    if !cell.reaches(Level::Namespaces, "sockets") {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = cell.host.path().join("postgres.socket");
    let by_path = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let name = format!("speedwell-hostile-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let by_name = UnixListener::bind_addr(&abstract_name).unwrap();
    for listener in [&by_path, &by_name] {
        listener.set_nonblocking(true).unwrap();
    }
    tcp.set_nonblocking(true).unwrap();
    udp.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let script = format!(
        "import socket\n\
         def attempt(what, family, kind, address):\n    s = socket.socket(family, kind); s.settimeout(2)\n    try:\n\
         \x20       s.connect(address); s.send(b'let me out'); print('reached', what)\n    except OSError as error: print('no', what, type(error).__name__)\n\
         I, U, T, D = socket.AF_INET, socket.AF_UNIX, socket.SOCK_STREAM, socket.SOCK_DGRAM\n\
         attempt('tcp', I, T, ('127.0.0.1', {}))\nattempt('dns', I, D, ('1.1.1.1', 53))\nattempt('web', I, T, ('1.1.1.1', 80))\n\
         attempt('abstract', U, T, '\\0{name}')\nattempt('path', U, T, '{}')\nattempt('dbus', U, T, '/run/dbus/system_bus_socket')\n\
         try: socket.socket(I, socket.SOCK_RAW, 1); print('reached raw')\nexcept OSError: pass\n\
         socket.socket(I, D).sendto(b'let me out', ('127.0.0.1', {}))\n\
         a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname()); print('its own loopback works')\n",
        tcp.local_addr().unwrap().port(),
        path.display(),
        udp.local_addr().unwrap().port(),
    );
    let outcome = cell.python(&script);
    assert!(
        outcome.text.ends_with("its own loopback works|"),
        "{}",
        outcome.text
    );
    let sealed = cell.reaches(Level::Sealed, "sockets with a path");
    for what in ["tcp", "dns", "web", "abstract", "raw"] {
        assert!(
            !outcome.text.contains(&format!("reached {what}")),
            "{}",
            outcome.text
        );
    }
    assert!(
        !sealed || !outcome.text.contains("reached"),
        "{}",
        outcome.text
    );
    assert!(tcp.accept().is_err() && by_name.accept().is_err());
    assert!(!sealed || by_path.accept().is_err());
    assert!(udp.recv(&mut [0; 16]).is_err(), "a datagram came through");
    cell.goes_on("sockets", &outcome);
}

#[test]
fn other_processes_cannot_be_killed_or_looked_into() {
    let cell = Cell::new();
    if !cell.reaches(Level::Namespaces, "signals to the worker") {
        return;
    }
    let mut victim = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let script = format!(
        "import ctypes, os, signal\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         for pid in ({}, {}, os.getppid()):\n\
         \x20   for n in (signal.SIGKILL, signal.SIGSTOP):\n        try: os.kill(pid, n); print('sent', pid == os.getppid())\n        except OSError as e: print(type(e).__name__)\n\
         \x20   if pid != os.getppid():\n        r = libc.ptrace(16, pid, None, None); print('ptrace', r)\n\
         \x20       try: open('/proc/%d/mem' % pid, 'rb'); print('opened memory')\n        except OSError as e: print(type(e).__name__)\n\
         signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         try: os.kill(-1, signal.SIGTERM)\nexcept OSError: pass\nprint('alive')\n",
        std::process::id(),
        victim.id(),
    );
    let outcome = cell.python(&script);
    assert!(
        victim.try_wait().unwrap().is_none(),
        "somebody else's process was killed"
    );
    assert!(
        !outcome.text.contains("ptrace 0") && !outcome.text.contains("opened memory"),
        "{}",
        outcome.text
    );
    assert!(!outcome.text.contains("sent False"), "{}", outcome.text);
    victim.kill().unwrap();
    victim.wait().unwrap();
    cell.goes_on("signals and ptrace", &outcome);
}

#[test]
fn no_process_makes_itself_more_important() {
    let mut cell = Cell::new();
    cell.sandbox = cell.sandbox.clone().pinned(Some("0"));
    let script = "import os\n\
                  def attempt(what, how):\n    try: how(); print('did', what)\n    except (OSError, ValueError): print('no', what)\n\
                  print('on', sorted(os.sched_getaffinity(0)))\n\
                  attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))\n\
                  attempt('realtime', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)))\n\
                  attempt('processors', lambda: os.sched_setaffinity(0, range(os.cpu_count())))\n\
                  print('ionice', os.system('ionice -c 1 true 2>/dev/null') != 0)\n\
                  attempt('limits', lambda: __import__('resource').setrlimit(6, (10**6, 10**6)))\n";
    let outcome = cell.python(script);
    for words in [
        "on [0]|",
        "no nice|",
        "no realtime|",
        "ionice True|",
        "no limits|",
    ] {
        assert!(
            outcome.text.contains(words),
            "{words} is missing: {}",
            outcome.text
        );
    }
    // Known and told in docs/box.md: a pinned program may go to another processor. It spoils its own measurement.
    eprintln!(
        "a pinned program that asks for all processors gets them: {}",
        outcome.text.contains("did processors")
    );
    cell.goes_on("nice, realtime and ionice", &outcome);
}

#[test]
fn devices_are_those_that_reach_nothing() {
    let cell = Cell::new();
    if !cell.reaches(Level::Sealed, "devices") {
        return;
    }
    let outcome = cell.python(
        "import os, pty\nprint(sorted(os.listdir('/dev')))\nm, s = pty.openpty()\nos.write(s, b'a pty\\n')\nprint(os.read(m, 5).decode())\n\
         open('/dev/null', 'w').write('x'); print(len(open('/dev/urandom', 'rb').read(3)))\n\
         import multiprocessing; q = multiprocessing.Queue(); q.put('queued'); print(q.get())\n",
    );
    let wanted = "['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero']|a pty|3|queued|";
    assert_eq!(outcome.text, wanted);
    cell.goes_on("devices", &outcome);
    let mut host = String::new();
    fs::File::open("/proc/mounts")
        .unwrap()
        .read_to_string(&mut host)
        .unwrap();
    assert!(
        !host.contains("speedwell /"),
        "the box's mounts show on the host: {host}"
    );
}
