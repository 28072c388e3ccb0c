//! Ten thousand orphans at once.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::house::{eventually, program};
use crate::machine::{Machine, Scene};

const COUNT: usize = 10_000;

/// A line of a `/proc` file in kB.
fn kilobytes(machine: &Machine, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/{file}", machine.init())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The children of process 1 that are left, dead or alive.
fn children(machine: &Machine) -> usize {
    let init = machine.init();
    let text = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    text.split_whitespace().count()
}

#[test]
fn ten_thousand_orphans_are_buried_and_signals_are_answered_meanwhile() {
    let orphans = program("forsaken");
    let service = format!(
        "setsid sh -c 'while [ ! -e /share/go ]; do sleep 0.05; done; echo $$ > /share/parent
         exec /share/orphans {COUNT} /share/made' &\n"
    );
    let mut machine = Machine::boot(&Scene {
        files: &[("service", &service)],
        setup: &format!(
            "echo box > $root/etc/hostname; : > $root/etc/fstab; cp {orphans} $share/orphans"
        ),
        ..Scene::default()
    });
    let pss = kilobytes(&machine, "smaps_rollup", "Pss:");
    assert_eq!(children(&machine), 2, "the launcher, and the shell that waits");
    fs::write(machine.path("go"), "").unwrap();
    assert!(eventually(Duration::from_secs(60), || machine.path("made").exists()));
    let parent: u32 = machine.read("parent").trim().parse().unwrap();
    // init, launcher, its sleep, the parent.
    let here = machine.processes().len();
    assert!((COUNT + 3..COUNT + 5).contains(&here), "{here}");

    let begin = Instant::now();
    machine.signal(parent, Signal::SIGKILL);
    kill(Pid::from_raw(machine.init() as i32), Signal::SIGHUP).unwrap();
    let mut most = 0;
    assert!(eventually(Duration::from_secs(60), || {
        let left = children(&machine);
        most = most.max(left);
        left == 1 && machine.processes().len() <= 3
    }));
    let buried = begin.elapsed();
    machine.wait_for("reread", |machine| machine.read("said") == "reread\n");
    let answered = begin.elapsed();
    let after = kilobytes(&machine, "smaps_rollup", "Pss:");
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "{COUNT} orphans ended and were buried within {buried:?} ({most} of them seen at once), a \
             signal was answered within {answered:?}; PSS of init {pss} kB before, {after} kB after"
        );
    }
    assert!(buried < Duration::from_secs(10), "{buried:?}");
    assert!(after < pss + 200, "{pss} kB before, {after} kB after");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
