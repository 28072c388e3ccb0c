//! `init` with the real `service-launcher` and `slc`.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use treeward::power::Power;
use treeward::power::report::Entry;

use crate::house::Process;
use crate::machine::{Machine, Scene};

/// A daemon that goes into the background, and one that ignores SIGTERM for longer than there is
/// time.
const UNITS: &[(&str, &str)] = &[
    ("forker.yml", "command: [sh, -c, 'setsid sleep 100000 & exit 0']\ntype: forking\n"),
    (
        "stubborn.yml",
        "command: [sh, -c, \"trap '' TERM; echo > /run/deaf; while :; do sleep 1; done\"]\n\
                      stop_grace_period: 1h\nenabled: false\n",
    ),
];

fn scene<'a>(setup: &'a str, arguments: &'a [&'a str]) -> Scene<'a> {
    Scene { files: UNITS, setup, launcher: "", arguments, ..Scene::default() }
}

fn setup() -> String {
    format!(
        "cp {} $root/service-launcher; cp {} $root/slc
        mkdir $root/etc/yml-services; cp $share/*.yml $root/etc/yml-services/
        chmod 644 $root/etc/yml-services/*
        echo box > $root/etc/hostname; : > $root/etc/fstab; mkdir -p $share/log",
        env!("CARGO_BIN_EXE_service-launcher"),
        env!("CARGO_BIN_EXE_slc"),
    )
}

/// Waits until `slc list` shows the unit as up, and gives the process that it consists of.
fn wait_until_up(machine: &mut Machine, unit: &str) -> Process {
    machine.wait_to_say(" runs, pid ");
    machine
        .wait_for(unit, |machine| machine.shell(&format!("/slc list | grep -E '^{unit} +up '")).0);
    let leaf = "/sys/fs/cgroup/treeward/services";
    let (_, inside) = machine.shell(&format!("cat {leaf}/{unit}/*/cgroup.procs | tail -1"));
    let inside: u32 = inside.trim().parse().expect("a process of the unit");
    let (outside, _) = machine.processes().into_iter().find(|it| it.1 == inside).expect("outside");
    Process::look(outside).expect("it lives")
}

#[test]
fn a_service_survives_its_supervisor_and_slc_poweroff_ends_the_machine() {
    let setup = setup();
    let mut machine = Machine::start(&scene(&setup, &["--log-dir", "/share/log"]));
    let daemon = wait_until_up(&mut machine, "forker");
    let (_, list) = machine.shell("cat /run/treeward/lock");
    machine.signal(list.trim().parse().unwrap(), Signal::SIGKILL);
    machine.wait_to_say("was killed by SIGKILL");
    machine.wait_for("the second launcher", |it| it.console().matches(" runs, pid ").count() == 2);
    let again = wait_until_up(&mut machine, "forker");
    assert!(daemon == again && daemon.lives(), "{daemon:?}, {again:?}");

    machine.shell("/slc poweroff");
    assert_eq!(machine.end(Duration::from_secs(20)), Signal::SIGINT);
    let console = machine.console();
    assert!(console.contains("going down for poweroff"), "{console}");
    let report = machine.report();
    let (first, last) = (report.first().unwrap(), report.last().unwrap());
    let power = Some(Power::PowerOff);
    assert!(matches!(first, Entry::Began { power: told, .. } if *told == power), "{report:?}");
    assert!(matches!(last, Entry::Ended { power: told, .. } if *told == power), "{report:?}");
    let began = report.iter().filter(|entry| matches!(entry, Entry::Began { .. })).count();
    assert_eq!(began, 1, "{report:?}");
}

#[test]
fn what_had_to_be_killed_is_told_at_the_next_boot() {
    let setup = setup();
    let arguments = ["--log-dir", "/share/log", "--shutdown-timeout", "1"];
    let mut machine = Machine::start(&scene(&setup, &arguments));
    wait_until_up(&mut machine, "forker");
    let started = machine.shell("/slc start stubborn");
    assert!(started.0, "{}", started.1);
    // It is up once it is executed, and deaf a little later.
    machine.wait_for("deafness", |machine| machine.shell("test -e /run/deaf").0);
    assert_eq!(machine.end_by(Signal::SIGTERM), Signal::SIGHUP);
    let report = fs::read_to_string(machine.path("log/shutdown")).unwrap();

    let before = report.clone();
    let with_log = format!("{setup}\ncat > $share/log/shutdown <<'X'\n{before}X\n");
    let mut next = Machine::start(&scene(&with_log, &arguments));
    wait_until_up(&mut next, "forker");
    let (_, told) = next.shell("/slc last-shutdown --log-dir /share/log");
    assert!(told.contains("stubborn"), "{told}\n{report}");
    assert_eq!(next.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn without_a_directory_of_units_the_launcher_says_so() {
    let setup = format!("{}\nrm -r $root/etc/yml-services", setup());
    let mut machine = Machine::start(&scene(&setup, &["--log-dir", "/share/log"]));
    machine.wait_to_say("/etc/yml-services");
    machine.wait_to_say("ended with status 1");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
