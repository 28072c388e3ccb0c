//! Every way down, and what may stand in it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use treeward::power::Power;
use treeward::power::report::{Entry, Left};

use crate::machine::{Machine, Scene};

const WITH_LOG: &[&str] = &["--log-dir", "/share/log"];

fn killed(report: &[Entry]) -> Vec<&Left> {
    report
        .iter()
        .filter_map(|entry| if let Entry::Killed(left) = entry { Some(left) } else { None })
        .collect()
}

#[test]
fn each_signal_asks_for_its_own_end() {
    for (signal, word, seen) in [
        (Signal::SIGUSR1, "poweroff", Signal::SIGINT),
        (Signal::SIGPWR, "poweroff", Signal::SIGINT),
        (Signal::SIGUSR2, "halt", Signal::SIGINT),
        (Signal::SIGINT, "reboot", Signal::SIGHUP),
        (Signal::SIGTERM, "reboot", Signal::SIGHUP),
    ] {
        let mut machine = Machine::boot(&Scene::default());
        assert_eq!(machine.end_by(signal), seen, "{signal}");
        assert_eq!(machine.read("said"), "down\n", "the launcher was asked first");
        machine.wait_to_say(&format!("going down for {word}"));
        machine.wait_to_say(&format!("[INFO] {word}\n"));
    }
}

#[test]
fn a_launcher_ends_the_machine_by_its_exit_status_and_a_missing_kernel_is_a_restart() {
    for (power, seen) in [
        (Power::PowerOff, Signal::SIGINT),
        (Power::Reboot, Signal::SIGHUP),
        (Power::Halt, Signal::SIGINT),
        (Power::Kexec, Signal::SIGHUP),
    ] {
        let mut machine = Machine::boot(&Scene { arguments: WITH_LOG, ..Scene::default() });
        fs::write(machine.path("leave"), power.exit_status().to_string()).unwrap();
        assert_eq!(machine.end(Duration::from_secs(20)), seen, "{power:?}");
        machine.wait_to_say(&format!("going down for {}", power.word()));
        let report = machine.report();
        assert!(
            matches!(report.as_slice(), [Entry::Ended { power: Some(told), .. }] if *told == power),
            "{report:?}"
        );
        if power == Power::Kexec {
            machine.wait_to_say("no kernel is loaded by kexec(8); the machine is restarted");
        }
    }
}

#[test]
fn hup_reaches_the_launcher_and_winch_nobody() {
    let mut machine = Machine::boot(&Scene::default());
    let init = Pid::from_raw(machine.init() as i32);
    kill(init, Signal::SIGWINCH).unwrap();
    kill(init, Signal::SIGHUP).unwrap();
    machine.wait_for("reread", |machine| machine.read("said") == "reread\n");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    assert_eq!(machine.read("starts").lines().count(), 1);
}

#[test]
fn the_first_who_asks_has_it() {
    let mut machine = Machine::boot(&Scene {
        launcher: "#!/bin/sh\ntrap 'while [ ! -e /share/go ]; do sleep 0.05; done; exit 80' TERM\n\
            echo 1 >> /share/starts\nwhile :; do sleep 0.05; done\n",
        ..Scene::default()
    });
    let init = Pid::from_raw(machine.init() as i32);
    kill(init, Signal::SIGTERM).unwrap();
    machine.wait_to_say("going down for reboot");
    kill(init, Signal::SIGUSR1).unwrap();
    machine.wait_to_say("poweroff was asked for; the machine is going down already");
    fs::write(machine.path("go"), "").unwrap();
    assert_eq!(machine.end(Duration::from_secs(20)), Signal::SIGHUP);
}

#[test]
fn who_ignores_term_is_named_killed_and_reported() {
    let service = "mkdir -p /sys/fs/cgroup/x/services/web/1
        sh -c 'echo 0 > /sys/fs/cgroup/x/services/web/1/cgroup.procs; trap \"\" TERM
               echo $$ > /share/stubborn; while :; do sleep 1; done' 'a\u{1b}[2Jtitle' &
        sh -c 'trap \"touch /share/asked; exit\" TERM; touch /share/ready
               while :; do sleep 0.1; done' &
        sh -c 'echo $$ > /share/stopped; kill -STOP $$' &\n";
    let mut machine = Machine::start(&Scene {
        files: &[("service", service)],
        arguments: WITH_LOG,
        ..Scene::default()
    });
    machine.wait_for_starts(1);
    // A file is there before its line is.
    machine.wait_for("all three", |machine| {
        machine.path("ready").exists()
            && ["stopped", "stubborn"].iter().all(|name| machine.read(name).ends_with('\n'))
    });
    let stubborn: u32 = machine.read("stubborn").trim().parse().unwrap();
    let begin = Instant::now();
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(9), "{took:?}");
    assert!(machine.path("asked").exists(), "the other was asked to go");
    let report = machine.report();
    let killed = killed(&report);
    let process = killed.iter().find(|left| left.pid == stubborn).expect("in the report");
    assert_eq!(process.unit.as_deref(), Some("web"));
    assert!(process.command.contains("a\\x1b[2Jtitle"), "{process:?}");
    let stopped: u32 = machine.read("stopped").trim().parse().unwrap();
    assert!(killed.iter().all(|left| left.pid != stopped), "SIGCONT let it take SIGTERM");
    assert!(process.waited >= 5_000 && process.waited < 9_000, "{process:?}");
    assert!(matches!(report.last(), Some(Entry::Ended { .. })));
    machine.wait_to_say("waiting 4 s for ");
    machine.wait_to_say(&format!("(pid {stubborn}, state "));
    machine.wait_to_say("killing web: ");
    assert!(!machine.console().contains('\u{1b}'));
}

#[test]
fn seven_presses_of_ctrl_alt_del_wait_for_nobody() {
    let mut machine = Machine::boot(&Scene {
        launcher: "#!/bin/sh\ntrap '' TERM\necho 1 >> /share/starts\nwhile :; do sleep 1; done\n",
        ..Scene::default()
    });
    let init = Pid::from_raw(machine.init() as i32);
    let begin = Instant::now();
    kill(init, Signal::SIGINT).unwrap();
    machine.wait_to_say("going down for reboot");
    for press in 2..=7 {
        kill(init, Signal::SIGINT).unwrap();
        let count = press - 1;
        machine.wait_for("the press", |machine| {
            machine.console().matches("reboot was asked for").count() >= count
        });
    }
    assert_eq!(machine.end(Duration::from_secs(20)), Signal::SIGHUP);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    machine.wait_to_say("is killed: there is a hurry");
}

/// Fifteen seconds beyond its own time-out.
#[test]
fn a_launcher_that_does_not_end_is_killed_when_its_time_is_over() {
    let mut machine = Machine::boot(&Scene {
        launcher: "#!/bin/sh\ntrap '' TERM\necho 1 >> /share/starts\nwhile :; do sleep 1; done\n",
        arguments: &["--shutdown-timeout", "1"],
        ..Scene::default()
    });
    let begin = Instant::now();
    kill(Pid::from_raw(machine.init() as i32), Signal::SIGUSR1).unwrap();
    assert_eq!(machine.end(Duration::from_secs(40)), Signal::SIGINT);
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(16) && took < Duration::from_secs(30), "{took:?}");
    machine.wait_to_say("is killed: its time is over");
}

#[test]
fn without_a_launcher_the_report_is_begun_by_init() {
    let mut machine = Machine::boot(&Scene { arguments: WITH_LOG, ..Scene::default() });
    // It is down, and in its pause.
    let starts = machine.wait_for_starts(1);
    machine.signal(starts[0], Signal::SIGKILL);
    machine.wait_to_say("the next service-launcher in");
    assert_eq!(machine.end_by(Signal::SIGUSR2), Signal::SIGINT);
    let report = machine.report();
    let is_right = matches!(
        report.as_slice(),
        [Entry::Began { power: Some(Power::Halt), .. }, Entry::Ended { .. }]
    );
    assert!(is_right, "{report:?}");
}

#[test]
fn a_program_that_was_replaced_makes_its_last_steps_as_a_copy() {
    let mut machine = Machine::boot(&Scene { arguments: WITH_LOG, ..Scene::default() });
    // As a package manager does it.
    let done = machine.shell("cp /init /init.new && mv /init.new /init");
    assert!(done.0, "{}", done.1);
    assert_eq!(machine.end_by(Signal::SIGTERM), Signal::SIGHUP);
    machine.wait_to_say("going on as a copy of the old one");
    let console = machine.console();
    assert!(!console.contains("cannot go on as a copy"), "{console}");
    assert!(!console.contains("ERROR"), "{console}");
    assert!(matches!(machine.report().as_slice(), [Entry::Ended { .. }]));
}

/// A file system that is frozen; dropped, it is thawed.
struct Thaw(std::path::PathBuf);

impl Drop for Thaw {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

/// A process in uninterruptible sleep, on a file system that is frozen and cannot be synced.
#[test]
fn a_frozen_file_system_does_not_hold_up_the_end() {
    let mut machine = Machine::boot(&Scene {
        setup: "
            echo box > $root/etc/hostname
            truncate -s 16M $share/disk; mkfs.ext4 -q -F $share/disk
            echo '/share/disk /mnt/disk ext4 loop 0 0' > $root/etc/fstab
        ",
        arguments: WITH_LOG,
        ..Scene::default()
    });
    assert!(machine.mount("/mnt/disk").is_some(), "{}", machine.console());
    // The directory stays reachable when the namespace is on its way out.
    let disk = fs::File::open(machine.inside("/mnt/disk")).unwrap();
    let own = std::os::fd::AsRawFd::as_raw_fd(&disk);
    let thaw =
        Thaw(Path::new("/proc").join(std::process::id().to_string()).join(format!("fd/{own}")));
    let frozen = Command::new("fsfreeze").arg("-f").arg(&thaw.0).status().unwrap();
    assert!(frozen.success());
    let started = machine.shell(
        "setsid sh -c 'echo $$ > /share/writer; exec dd if=/dev/zero of=/mnt/disk/x count=1' \
         >/dev/null 2>&1 &",
    );
    assert!(started.0);
    machine.wait_for("a process in D", |machine| {
        let (_, state) = machine.shell("cat /proc/$(cat /share/writer)/stat");
        state.contains(" D ")
    });
    let begin = Instant::now();
    kill(Pid::from_raw(machine.init() as i32), Signal::SIGUSR1).unwrap();
    let mut last = Duration::ZERO;
    machine.wait_for("the end", |machine| {
        last = begin.elapsed();
        machine.console().contains("[INFO] poweroff\n") || last > Duration::from_secs(60)
    });
    assert!(last < Duration::from_secs(40), "{last:?}:\n{}", machine.console());
    let report = machine.report();
    let writer: u32 = machine.read("writer").trim().parse().unwrap();
    let stayed = report.iter().find_map(|entry| match entry {
        Entry::Stayed(left) if left.pid == writer => Some(left),
        _ => None,
    });
    let stayed = stayed.unwrap_or_else(|| panic!("{report:?}\n{}", machine.console()));
    assert_eq!(stayed.state, 'D');
    assert!(stayed.wait_channel.is_some(), "{stayed:?}");
    // The kernel itself waits for that process before it lets the namespace end.
    drop(thaw);
    drop(disk);
    assert_eq!(machine.end(Duration::from_secs(20)), Signal::SIGINT);
}
