//! What a guest has of its own, and what it shares when it is asked to.

use std::fs;
use std::process::Command;

use crate::house::{PATIENCE, eventually};
use crate::runner::{Run, bind_ender, debian, run};

/// Every kind of namespace, as `/proc/PID/ns` names them.
const KINDS: [&str; 7] = ["pid", "mnt", "time", "uts", "ipc", "cgroup", "net"];

/// The namespaces that a guest with these options does not share with us.
fn own_namespaces(options: &[&str]) -> Vec<&'static str> {
    let run = Run::start(&[options, &["sleep", "1000"]].concat());
    let init = run.init().pid;
    let of = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect(kind);
    let own = |kind: &&&str| of("self", kind) != of(&init.to_string(), kind);
    KINDS.iter().filter(own).copied().collect()
}

/// What a shell command writes on the host.
fn shell(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().expect("sh");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_guest_has_six_namespaces_of_its_own_and_each_can_be_shared() {
    assert_eq!(own_namespaces(&[]), ["pid", "mnt", "time", "uts", "ipc", "cgroup"]);
    assert_eq!(own_namespaces(&["--private-network"]), KINDS);
    for (word, kind) in [
        ("pid", "pid"),
        ("mount", "mnt"),
        ("time", "time"),
        ("uts", "uts"),
        ("ipc", "ipc"),
        ("cgroup", "cgroup"),
    ] {
        let own = own_namespaces(&["--share", word]);
        assert!(!own.contains(&kind) && own.len() == 5, "--share {word}: {own:?}");
    }
}

#[test]
fn as_in_the_article_means_pid_mount_and_time_and_everything_else_shared() {
    assert_eq!(own_namespaces(&["--as-in-the-article"]), ["pid", "mnt", "time"]);
    let script = "echo container=${container-none}; readlink /proc/self/ns/uts
                  grep -c . /proc/1/comm; ls -i -d /run /tmp /dev/null; cat /proc/1/comm";
    let (code, said) = run(&["--as-in-the-article", "sh", "-c", script]);
    assert_eq!(code, 0, "{said}");
    let here = shell("ls -i -d /run /tmp /dev/null; cat /proc/1/comm");
    assert!(said.contains("container=none") && said.contains(&here), "{said}\n{here}");
}

#[test]
fn each_directory_can_be_shared() {
    // A directory of our own differs from the host's in its inode or its file system.
    let look = "for d in /proc /sys /run /tmp /dev; do stat -c '%n %d %i' $d; done";
    let host = shell(look);
    let shared = |said: &str| -> Vec<String> {
        let same = host.lines().filter(|line| said.contains(*line));
        same.map(|line| line.split(' ').next().unwrap().trim_start_matches('/').to_owned())
            .filter(|name| name != "sys") // sysfs is one file system wherever it is mounted
            .collect()
    };
    assert!(shared(&run(&["sh", "-c", look]).1).is_empty());
    for word in ["proc", "run", "tmp", "dev"] {
        for root in [&[][..], &["--root", "/"]] {
            let arguments = [root, &["--share", word, "sh", "-c", look]].concat();
            let (code, said) = run(&arguments);
            assert_eq!((code, shared(&said)), (0, vec![word.to_owned()]), "{said}");
        }
    }
}

#[test]
fn the_uptime_begins_at_0_unless_it_is_shared() {
    let uptime = |options: &[&str]| -> f64 {
        let arguments = [options, &["cat", "/proc/uptime"]].concat();
        let said = run(&arguments).1;
        said.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{said}"))
    };
    let ours = fs::read_to_string("/proc/uptime").expect("uptime");
    let ours: f64 = ours.split(' ').next().unwrap().parse().unwrap();
    assert!(ours > 20.0, "this machine has not been up long enough for this test");
    assert!((0.0..10.0).contains(&uptime(&[])), "{}", uptime(&[]));
    assert!((0.0..10.0).contains(&uptime(&["--as-in-the-article"])));
    assert!(uptime(&["--share", "time"]) >= ours);
    let clocks = "import time; print(time.clock_gettime(time.CLOCK_MONOTONIC), \
                  time.clock_gettime(time.CLOCK_BOOTTIME), end=' ')";
    let said = run(&["/usr/bin/python3", "-c", clocks]).1;
    let times: Vec<f64> = said.split(' ').take(2).map(|time| time.parse().unwrap()).collect();
    assert!(times.iter().all(|time| (0.0..10.0).contains(time)), "{said}");
}

#[test]
fn nobody_but_the_guest_is_in_its_cgroup_and_it_sees_no_other() {
    let run = Run::start(&["sleep", "1000"]);
    let init = run.init().pid;
    assert_eq!(run.residents(&run.payload()), [init], "a foreigner costs it the controllers");
    assert_eq!(run.residents(&run.leaf().join("supervise")), [run.pid()]);
    assert!(run.residents(run.leaf()).is_empty(), "the leaf could hand no controllers down");
    assert_eq!(run.inside("grep ^0:: /proc/1/cgroup"), "0::/");
    // The machine's other hierarchies and mounts are out of sight.
    let mounts = run.inside("awk '$(NF-2) ~ /cgroup/ { print $5 }' /proc/1/mountinfo");
    assert_eq!(mounts, "/sys/fs/cgroup");
    let leaf = run.leaf().display().to_string();
    assert_eq!(run.inside(&format!("ls -d {leaf} 2>/dev/null || echo unseen")), "unseen");
    // It may use its own part of the tree.
    assert_eq!(run.inside("mkdir /sys/fs/cgroup/x && ls -d /sys/fs/cgroup/x"), "/sys/fs/cgroup/x");
    assert!(run.payload().join("x").exists());
}

#[test]
fn a_guest_in_the_shared_cgroup_tree_sees_the_hosts() {
    let list = "ls /sys/fs/cgroup";
    let host = shell(list);
    for options in [&["--share", "cgroup"][..], &["--share", "cgroup", "--root", "/"]] {
        let (code, said) = run(&[options, &["sh", "-c", list]].concat());
        assert_eq!((code, said.starts_with(&host)), (0, true), "{options:?}: {said}");
    }
}

#[test]
fn it_is_told_what_it_is_and_not_where_the_hosts_sockets_are() {
    let way = ["env", "NOTIFY_SOCKET=/x", "INVOCATION_ID=1", "HELLO=world"];
    let script = "echo $container-$HELLO-$MORE-${NOTIFY_SOCKET-}-${INVOCATION_ID-}.";
    let mut run = Run::start_by(&way, &["--setenv", "MORE=than that", "sh", "-c", script]);
    assert_eq!(run.code(), 0);
    assert!(run.said().contains("treeward-world-than that--."), "{}", run.said());
    let named = crate::runner::run(&["--container", "mine", "sh", "-c", script]).1;
    assert!(named.contains("mine----."), "{named}");
    let none = crate::runner::run(&["--container", "", "sh", "-c", "env"]).1;
    assert!(!none.contains("container"), "{none}");
}

#[test]
fn a_volatile_root_forgets_and_another_does_not() {
    let dir = tempfile::tempdir().expect("tempdir");
    let root = dir.path().join("root");
    // A small root: only what a static busybox needs.
    fs::create_dir_all(root.join("bin")).expect("mkdir");
    fs::copy(debian().join("bin/busybox"), root.join("bin/busybox")).expect("busybox");
    let root_text = root.to_str().unwrap();
    let write = ["/bin/busybox", "sh", "-c", "echo x >/written && /bin/busybox cat /written"];
    let (code, said) = run(&[&["--root", root_text, "--volatile"][..], &write].concat());
    assert_eq!(
        (code, said.contains('x'), root.join("written").exists()),
        (0, true, false),
        "{said}"
    );
    let (code, said) = run(&[&["--root", root_text][..], &write].concat());
    assert_eq!((code, root.join("written").exists()), (0, true), "{said}");
    // The host's own root can be volatile, too.
    let marker = format!("/run-on-pid-ns-test-{}", std::process::id());
    let script = format!("echo x >{marker} && cat {marker}");
    let (code, said) = run(&["--volatile", "sh", "-c", &script]);
    assert_eq!((code, fs::exists(&marker).unwrap()), (0, false), "{said}");
}

#[test]
fn another_root_is_all_there_is() {
    let run = Run::debian(&[], &["/bin/sh", "-c", "sleep 1000"]);
    let mounts = run.inside("awk '{ print $5 }' /proc/1/mountinfo");
    let points: Vec<&str> = mounts.lines().collect();
    let expected = [
        "/",
        "/proc",
        "/sys",
        "/sys/fs/cgroup",
        "/proc/sys",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/run",
        "/tmp",
    ];
    let sysrq = "/proc/sysrq-trigger"; // not in every kernel
    let others = points.iter().filter(|point| **point != sysrq);
    assert_eq!(others.copied().collect::<Vec<_>>(), expected);
    assert_eq!(run.inside("ls /work 2>/dev/null | wc -l"), "0");
}

#[test]
fn files_and_devices_are_shown_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("file"), "hello\n").expect("write");
    let dir_text = dir.path().to_str().unwrap();
    let binds = [
        format!("{dir_text}:/run/rw"),
        format!("{dir_text}:/run/ro:ro"),
        format!("{dir_text}/file:/etc/shown"),
        bind_ender(),
    ];
    let mut options: Vec<&str> = binds.iter().flat_map(|bind| ["--bind", bind]).collect();
    options.extend(["--device", "/dev/loop-control", "--volatile"]);
    let script = "cat /etc/shown; echo more >/run/rw/file; cat /run/ro/file
                  echo no 2>&1 >/run/ro/file; stat -c '%F %t,%T' /dev/loop-control /dev/null
                  ls /dev | tr '\\n' ' '";
    let (code, said) = run(&[&options[..], &["sh", "-c", script]].concat());
    assert_eq!(code, 0, "{said}");
    for expected in [
        "hello\nmore\n",
        "Read-only file system",
        "character special file a,ed\ncharacter special file 1,3\n",
        "fd full loop-control null ptmx pts random shm stderr stdin stdout tty urandom zero ",
    ] {
        assert!(said.contains(expected), "{expected:?} in\n{said}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "more\n");
}

#[test]
fn a_private_network_has_a_loopback_that_is_up_and_nothing_else() {
    let script = "ls /sys/class/net; ip -o link show lo | grep -o '<.*>'";
    let (code, said) = run(&["--private-network", "sh", "-c", script]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("lo\n") && said.contains("UP"), "{said}");
}

#[test]
fn on_a_terminal_the_guest_has_a_console() {
    let binary = env!("CARGO_BIN_EXE_run-on-pid-ns");
    // The seventh field is the controlling terminal; 0 stands for none (proc_pid_stat(5)).
    let script =
        "test -c /dev/console && echo hello >/dev/console; tty; cut -d' ' -f7 /proc/1/stat";
    let output = |options: &str| {
        let output = Command::new("script")
            .args(["-qec", &format!("{binary} {options} -- sh -c \"{script}\""), "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script (bsdutils)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // A session of its own has no controlling terminal; the caller's has.
    let own = output("");
    let none = "hello\r\n/dev/console\r\n0\r\n";
    assert!(own.contains(none), "{own:?}");
    let callers = output("--terminal");
    assert!(callers.contains("hello\r\n/dev/console") && !callers.contains(none), "{callers:?}");
}

#[test]
fn an_init_that_can_say_so_is_ready_when_it_says_so() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("bind");
    socket.set_nonblocking(true).expect("nonblocking");
    let mut messages = Vec::new();
    let mut take = || {
        let mut text = [0; 4096];
        while let Ok(length) = socket.recv(&mut text) {
            messages.push(String::from_utf8_lossy(&text[..length]).into_owned());
        }
        messages.clone()
    };
    let way = format!("NOTIFY_SOCKET={}", path.display());
    // Without --notify it is enough that the guest runs.
    let mut plain = Run::start_by(&["env", &way], &["sh", "-c", "exit 3"]);
    assert_eq!(plain.code(), 3);
    assert_eq!(take(), ["READY=1"]);
    // A guest that cannot be set up is never ready.
    let mut broken = Run::start_by(&["env", &way], &["/nonexistent"]);
    assert_eq!(broken.code(), 127);
    assert_eq!(take(), ["READY=1"]);
    let systemd = Run::debian_by(&["env", &way], &["--notify"], &["/lib/systemd/systemd"]);
    let ready = || take().iter().skip(1).any(|text| text.lines().any(|line| line == "READY=1"));
    assert!(eventually(PATIENCE, ready), "{}", systemd.said());
    assert_eq!(systemd.inside("systemctl is-system-running"), "running");
}
