//! Ten thousand orphans at once.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

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
    let orphans = program("orphans");
    let mut machine = Machine::boot(&Scene {
        setup: &format!(
            "echo box > $root/etc/hostname; : > $root/etc/fstab; cp {orphans} $share/orphans"
        ),
        ..Scene::default()
    });
    let pss = kilobytes(&machine, "smaps_rollup", "Pss:");
    assert_eq!(children(&machine), 1, "the launcher");
    let begin = Instant::now();
    let (done, said) = machine.shell(&format!("exec setsid --fork /share/orphans {COUNT}"));
    assert!(done, "{said}");
    let mut most = 0;
    // The parent itself is an orphan: it is there until it has made all of its children.
    let here = |machine: &Machine| machine.shell("pidof orphans").0;
    assert!(eventually(Duration::from_secs(60), || {
        most = most.max(children(&machine));
        !here(&machine)
    }));
    let made = begin.elapsed();
    let dead = Instant::now();
    assert!(eventually(Duration::from_secs(60), || children(&machine) == 1));
    let buried = dead.elapsed();
    let after = kilobytes(&machine, "smaps_rollup", "Pss:");
    #[allow(clippy::print_stderr)]
    {
        eprintln!(
            "{COUNT} orphans: made and dead after {made:?}, at most {most} seen waiting, the last \
             buried {buried:?} later; PSS of init {pss} kB before, {after} kB after"
        );
    }
    assert!(buried < Duration::from_secs(5), "{buried:?}");
    assert!(after < pss + 200, "{pss} kB before, {after} kB after");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
