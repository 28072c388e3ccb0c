//! P: the supervisor itself: its state, its signals, its limits, and the deaths it must not miss.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use treeward::supervision::status::StateWord;

use crate::house::{PATIENCE, Process, SECOND, eventually, pids_below, program};
use crate::strace::Strace;
use crate::watched::{Watched, list, zombies_of};
use crate::{SLEEPER, assert_gone, up};

/// Changes the saved state of a start by a Python expression of what it was, in bytes: `old`.
fn tamper(leaf: &str, expression: &str) {
    let program = format!(
        "import os, sys, re\nold = os.getxattr(sys.argv[1], 'user.treeward')\n\
         new = {expression}\n\
         os.removexattr(sys.argv[1], 'user.treeward')\n\
         new is None or os.setxattr(sys.argv[1], 'user.treeward', new)"
    );
    let status = Command::new("python3").args(["-c", &program, leaf]).status();
    assert!(status.expect("python3").success(), "{expression}");
}

#[test]
fn p4_saved_state_of_any_content_neither_loses_a_service_nor_names_a_stranger() {
    let spoilt = [
        "old[:len(old) // 2]",
        "b''",
        "b'\\n'",
        "bytes(255 - byte for byte in old)",
        "b'\\xff' * 4096",
        "b'[' * 4096",
        "b'null'",
        "b'{\"start\":1}'",
        "old.replace(b'\"up\"', b'\"up\\nfailed\"')",
        "old.replace(b'\"start\":1', b'\"start\":18446744073709551616')",
        "old + b'}'",
        "None",
    ];
    // These say something else, and must not be believed: process 1 is nobody's, and the start is
    // told by the leaf.
    let lies = [
        "re.sub(rb'\"(first|main)\":[0-9]+', rb'\"\\1\":1', old)",
        "old.replace(b'\"start\":1', b'\"start\":99')",
        "old.replace(b'\"restarts\":0', b'\"restarts\":4294967295')",
    ];
    let names: Vec<String> = (0..spoilt.len() + lies.len()).map(|n| format!("unit-{n}")).collect();
    let units: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), SLEEPER)).collect();
    let mut house = Watched::new(&units);
    let before: Vec<Process> = names.iter().map(|name| up(&house, name)).collect();
    let leaves: Vec<String> =
        names.iter().map(|name| house.status(name).leaf.expect("a leaf")).collect();
    house.kill_supervisor();
    for (leaf, expression) in leaves.iter().zip(spoilt.iter().chain(&lies)) {
        tamper(leaf, expression);
    }
    // Where the attribute is missing, a file may stand for it: not this one.
    let shadow = house.path(&format!("run/state/{}", names[spoilt.len() - 1]));
    std::os::unix::fs::symlink("/etc/shadow", shadow).expect("symlink");
    house.launch();
    house.look_anew();

    let log = house.read("launcher.log");
    assert!(log.contains("unit-0: its saved state is unusable"), "{log}");
    assert!(!log.contains("defect") && !log.contains("root:"), "{log}");
    for (name, process) in names.iter().zip(&before) {
        assert_eq!(up(&house, name), *process, "{name} is another process");
        let status = house.status(name);
        assert_eq!(status.start, 1, "{name}");
        assert_ne!(status.summary.main_pid, Some(1), "{name}");
    }
    // They can be stopped and started like any other.
    for (name, process) in names.iter().zip(before) {
        house.slc_done(&["stop", name]);
        assert_gone(&house, name, &[process]);
    }
    house.slc_done(&["start", &names[0], &names[names.len() - 1]]);
}

#[test]
fn p5_a_stopped_supervisor_is_told_of_by_slc_and_misses_no_exit() {
    let writer = "command: [sh, -c, 'while ! test -e {dir}/go; do sleep 0.02; done; echo written; \
                  exec sleep 1000']\n";
    let quick = "command: sleep infinity\nrestart_delay: 10ms\n";
    let house = Watched::new(&[("writer", writer), ("a", quick), ("b", quick), ("c", quick)]);
    house.wait_state("writer", StateWord::Up, PATIENCE);
    let before = ["a", "b", "c"].map(|unit| up(&house, unit));
    let supervisor = house.supervisor();
    supervisor.signal(Signal::SIGSTOP);
    assert!(eventually(SECOND, || supervisor.status_line("State").starts_with('T')));

    let begin = Instant::now();
    let answer = house.slc(&["--timeout", "0.5", "list"]);
    assert_eq!(answer.code, Some(6), "{answer:?}");
    assert!(answer.err.contains("no answer"), "{answer:?}");
    assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
    // Services go on, and so do their logs.
    house.write("go", "");
    let written = || house.read("log/writer.log").contains("written");
    assert!(eventually(PATIENCE, written), "the log stands still with the supervisor");
    before.iter().for_each(|process| process.signal(Signal::SIGKILL));
    assert!(eventually(SECOND, || before.iter().all(|process| !process.lives())));

    supervisor.signal(Signal::SIGCONT);
    for unit in ["a", "b", "c"] {
        let status = house.wait_for(unit, "started again, once", PATIENCE, |status| {
            status.start == 2 && status.summary.state == StateWord::Up
        });
        assert_eq!((status.summary.restarts, status.last_exit.as_str()), (1, "SIGKILL"));
    }
}

#[test]
fn p6_signals_without_a_meaning_do_nothing_and_a_second_sigterm_skips_nothing() {
    let deaf = "command: [sh, -c, \"trap '' TERM; echo deaf; while :; do sleep 1000; done\"]\n\
                stop_grace_period: 1s\n";
    let house = Watched::new(&[("sleeper", SLEEPER), ("deaf", deaf)]);
    let sleeper = up(&house, "sleeper");
    house.wait_for_log("deaf", "deaf");
    let supervisor = house.supervisor();
    let pid = Pid::from_raw(supervisor.pid as i32);
    let harmless: Vec<i32> = Signal::iterator()
        .filter(|signal| {
            use Signal::*;
            // Those with a meaning, those that nobody can catch, those that report a defect, and
            // those that stop a process.
            !matches!(signal, SIGTERM | SIGINT | SIGKILL | SIGSTOP)
                && !matches!(
                    signal,
                    SIGSEGV | SIGBUS | SIGFPE | SIGILL | SIGTRAP | SIGABRT | SIGSYS
                )
                && !matches!(signal, SIGTSTP | SIGTTIN | SIGTTOU)
        })
        .map(|signal| signal as i32)
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        .collect();
    assert!(harmless.len() > 40, "{harmless:?}");
    for signal in harmless {
        send(pid, signal);
        assert!(house.call("Version", serde_json::json!({})).is_ok(), "signal {signal} ended it");
    }
    for _ in 0..1_000 {
        send(pid, libc::SIGCHLD);
    }
    assert_eq!(up(&house, "sleeper"), sleeper);
    let log = house.read("launcher.log");
    assert!(log.contains("SIGUSR1 came; it means nothing here"), "{log}");
    assert!(log.contains("unit files read again"), "SIGHUP reads the units: {log}");
    let mut house = house.let_go();

    let leaf = house.status("deaf").leaf.expect("a leaf");
    let begin = Instant::now();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM] {
        kill(pid, signal).expect("kill");
    }
    let mut code = None;
    assert!(eventually(PATIENCE, || {
        code = house.ended();
        code.is_some()
    }));
    assert_eq!(code.and_then(|status| status.code()), Some(0), "an orderly end");
    assert!(begin.elapsed() >= SECOND, "the grace period was skipped: {:?}", begin.elapsed());
    assert!(!sleeper.lives());
    assert!(pids_below(leaf.as_ref()).is_empty());
}

/// Sends a signal by number: nix has no names for real-time signals.
fn send(pid: Pid, signal: i32) {
    let script = format!("kill -{signal} {pid}");
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh").success());
}

/// Sets the limit of open descriptors of the supervisor.
fn limit_descriptors(supervisor: &Process, limit: &str) {
    let pid = supervisor.pid.to_string();
    let status =
        Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status();
    assert!(status.expect("prlimit").success());
}

/// A limit below which so many descriptors are free.
fn limit_with_free(supervisor: &Process, free: usize) -> u32 {
    let used: Vec<u32> = supervisor.descriptors().iter().map(|(number, _)| *number).collect();
    let mut left = free;
    (0..)
        .find(|number| {
            left -= usize::from(left > 0 && !used.contains(number));
            left == 0
        })
        .expect("a number")
        + 1
}

#[test]
fn p7_without_descriptors_starts_fail_with_the_reason_and_others_go_on() {
    let quick = "command: sleep infinity\nrestart_delay: 100ms\nrestart_max_delay: 200ms\n\
                 restart_max_attempts: 0\n";
    let house = Watched::new(&[("sleeper", SLEEPER), ("victim", quick)]);
    let sleeper = up(&house, "sleeper");
    let victim = up(&house, "victim");
    let supervisor = house.supervisor();
    let before = supervisor.descriptors().len();
    limit_descriptors(&supervisor, &limit_with_free(&supervisor, 2).to_string());
    victim.signal(Signal::SIGKILL);
    let status = house.wait_for("victim", "short of descriptors", PATIENCE, |status| {
        status.summary.why.contains("Too many open files")
    });
    assert!(status.summary.why.contains("EMFILE"), "{}", status.summary.why);
    assert!(sleeper.lives());

    // Now not even a connection can be accepted; those who wait do not keep the loop awake.
    limit_descriptors(&supervisor, &limit_with_free(&supervisor, 1).to_string());
    let socket = house.path("run/control.sock");
    let connect = || std::os::unix::net::UnixStream::connect(&socket).expect("connect");
    let waiting: Vec<_> = (0..20).map(|_| connect()).collect();
    let wakes = supervisor.voluntary_switches();
    std::thread::sleep(SECOND);
    let wakes = supervisor.voluntary_switches() - wakes;
    assert!(wakes < 100, "it woke {wakes} times in a second");
    drop(waiting);

    limit_descriptors(&supervisor, "1024");
    house.wait_for("victim", "up again by itself", PATIENCE, |status| {
        status.summary.state == StateWord::Up
    });
    assert_eq!(up(&house, "sleeper"), sleeper);
    assert!(eventually(PATIENCE, || supervisor.descriptors().len() <= before + 1));
}

#[test]
fn p8_a_fork_that_fails_is_said_and_tried_again() {
    let unit = "command: sleep infinity\nenabled: false\nrestart_delay: 100ms\n\
                restart_max_delay: 200ms\nrestart_max_attempts: 0\n";
    let house = Watched::new(&[("late", unit), ("sleeper", SLEEPER)]);
    let sleeper = up(&house, "sleeper");
    for (call, errno, words) in [
        ("clone3", "EAGAIN", "cannot clone a process"),
        ("clone3", "ENOMEM", "cannot clone a process"),
        ("mkdir,mkdirat", "ENOMEM", "services/late"),
        ("pipe2", "ENFILE", "make a pipe"),
    ] {
        let inject = format!("inject={call}:error={errno}");
        let strace = Strace::attach(house.supervisor().pid, &["-o", "/dev/null", "-e", &inject]);
        let answer = house.slc(&["start", "late"]);
        assert_eq!(answer.code, Some(1), "{call} {errno}: {answer:?}");
        assert!(answer.err.contains(words), "{call} {errno}: {answer:?}");
        assert!(answer.err.contains(errno), "{call} {errno}: {answer:?}");
        assert!(answer.err.contains("will restart"), "{call} {errno}: {answer:?}");
        assert_eq!(up(&house, "sleeper"), sleeper);
        drop(strace);
        house.wait_for("late", "up once there is room", PATIENCE, |status| {
            status.summary.state == StateWord::Up
        });
        house.slc_done(&["stop", "late"]);
    }
}

#[test]
fn p9_ten_thousand_orphans_that_die_at_once_are_buried_while_others_are_served() {
    const ORPHANS: u64 = 10_000;
    let unit = format!("command: {} {ORPHANS}\nrestart: \"no\"\n", program("orphans"));
    let mut house = Watched::new(&[
        ("orphans", &unit),
        ("quick", "command: sleep infinity\nrestart_delay: 0s\n"),
    ]);
    // A service of 10,000 may take more memory to look at than one of a few.
    house.wait_for("orphans", "all there", 3 * PATIENCE, |status| status.processes == ORPHANS + 1);
    house.wait_for_log("orphans", "all are here");
    let _ = list(&house);
    house.look_anew();
    let supervisor = house.supervisor().pid;
    let begin = Instant::now();
    house.slc_done(&["kill", "--signal", "USR1", "--who", "main", "orphans"]);
    let mut slowest = Duration::ZERO;
    let buried = eventually(2 * PATIENCE, || {
        let begin = Instant::now();
        let _ = list(&house);
        slowest = slowest.max(begin.elapsed());
        house.status("orphans").processes == 1 && zombies_of(supervisor).is_empty()
    });
    assert!(buried, "{} zombies are left", zombies_of(supervisor).len());
    assert!(slowest < 2 * SECOND, "a list took {slowest:?}");
    print(&format!("{ORPHANS} orphans buried in {:?}; slowest list {slowest:?}", begin.elapsed()));
    let status = house.status("orphans");
    assert_eq!((status.summary.state, status.start), (StateWord::Up, 1));
    assert!(status.summary.main_pid.is_some(), "the first process is still the main one");
}

/// A measured figure, shown by `cargo test -- --nocapture`.
#[allow(clippy::print_stdout)]
pub fn print(text: &str) {
    println!("measured: {text}");
}

#[test]
fn p11_no_end_is_missed_however_quickly_services_come_and_go() {
    const STARTS: u64 = 41;
    let flap = "command: [sh, -c, 'echo x >> {dir}/flaps']\nrestart: always\nrestart_delay: 0s\n\
                restart_max_attempts: 40\n";
    // A double fork that is over at once: its leaf fills and empties faster than it is looked at.
    let forked = "command: [sh, -c, '(setsid sh -c \"echo x >> {dir}/forks\" &) &']\n\
                  restart: always\nrestart_delay: 0s\nrestart_max_attempts: 40\n";
    let house = Watched::new(&[("flap", flap), ("forked", forked)]);
    for (unit, file) in [("flap", "flaps"), ("forked", "forks")] {
        let status = house.wait_state(unit, StateWord::Failed, 2 * PATIENCE);
        assert_eq!(status.start, STARTS, "{unit}");
        assert_eq!(house.read(file).lines().count() as u64, STARTS, "{unit}: a run is missing");
        assert!(
            status.summary.why.contains("given up after 40 restarts"),
            "{}",
            status.summary.why
        );
    }
}

#[test]
fn p11_a_leaf_that_vanishes_behind_our_back_is_an_end_like_any_other() {
    let family = format!("command: {} 0 3\nrestart_delay: 10ms\n", program("family"));
    let house = Watched::new(&[
        ("family", &family),
        ("sleeper", "command: sleep 1000\nrestart_delay: 10ms\n"),
    ]);
    up(&house, "sleeper");
    house.wait_for("family", "settled", PATIENCE, |status| status.processes == 4);
    let supervisor = house.supervisor();
    supervisor.signal(Signal::SIGSTOP);
    assert!(eventually(SECOND, || supervisor.status_line("State").starts_with('T')));
    for unit in ["family", "sleeper"] {
        let leaf = house.unit_cgroup(unit).join("1");
        fs::write(leaf.join("cgroup.kill"), "1").expect("cgroup.kill");
        assert!(eventually(SECOND, || fs::remove_dir(&leaf).is_ok()), "{unit}: rmdir");
    }
    supervisor.signal(Signal::SIGCONT);
    for (unit, processes) in [("family", 4), ("sleeper", 1)] {
        house.wait_for(unit, "started again", PATIENCE, |status| {
            status.start == 2
                && status.summary.state == StateWord::Up
                && status.processes == processes
        });
    }
    // The unit's own cgroup, too: it is made again.
    house.slc_done(&["stop", "sleeper"]);
    fs::remove_dir(house.unit_cgroup("sleeper")).expect("rmdir");
    house.slc_done(&["start", "sleeper"]);
    up(&house, "sleeper");
}
