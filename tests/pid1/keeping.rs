//! The launcher dies, is missing, is given up.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;

use crate::house::{PATIENCE, eventually};
use crate::machine::{Machine, STAND_IN, Scene};

/// A terminal whose other end the machine has as its console.
struct Terminal {
    master: File,
    path: String,
    seen: String,
}

impl Terminal {
    fn new() -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).expect("a pty");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname_r(&master).expect("ptsname");
        let path = name.replace("/dev/pts", "/terminals");
        let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(master.as_fd(), flags).expect("fcntl");
        let master = File::from(std::os::fd::OwnedFd::from(master));
        Self { master, path, seen: String::new() }
    }

    /// Waits until the machine has written this, and forgets all up to it.
    fn expect(&mut self, words: &str) {
        let came = eventually(PATIENCE, || {
            let mut bytes = [0; 4096];
            // EIO while nobody has the other end open.
            if let Ok(count) = self.master.read(&mut bytes) {
                self.seen += &String::from_utf8_lossy(&bytes[..count]);
            }
            self.seen.contains(words)
        });
        assert!(came, "no {words:?} on the terminal, but:\n{}", self.seen);
        let end = self.seen.find(words).unwrap() + words.len();
        self.seen.drain(..end);
    }

    fn type_line(&mut self, line: &str) {
        self.master.write_all(format!("{line}\n").as_bytes()).expect("write");
    }
}

const WITH_TERMINALS: &str = "
    echo box > $root/etc/hostname; : > $root/etc/fstab
    mkdir $root/terminals; mount --bind /dev/pts $root/terminals
";

#[test]
fn a_launcher_that_is_killed_is_started_again_and_its_services_live_on() {
    let mut machine = Machine::boot(&Scene {
        files: &[("service", "setsid sleep 5000 & echo $! > /share/sleeper\n")],
        ..Scene::default()
    });
    let sleeper: u32 = machine.read("sleeper").trim().parse().unwrap();
    for count in 1..=3 {
        let starts = machine.wait_for_starts(count);
        machine.signal(starts[count - 1], Signal::SIGKILL);
    }
    let starts = machine.wait_for_starts(4);
    machine.wait_to_say("was killed by SIGKILL");
    machine.wait_to_say("the next service-launcher in 0.4 s");
    assert!(machine.processes().iter().any(|(_, inside)| *inside == sleeper));
    let parent = machine.shell(&format!("grep PPid: /proc/{sleeper}/status"));
    assert_eq!(parent, (true, "PPid:\t1\n".to_owned()), "an orphan of a dead launcher is ours");
    // An end that was not asked for is one like any other, whatever its status.
    fs::write(machine.path("leave"), "0").unwrap();
    machine.wait_for_starts(5);
    machine.wait_to_say(&format!("(pid {}) ended with status 0", starts[3]));
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn without_a_launcher_there_is_a_shell_and_then_the_launcher_that_it_put_there() {
    let mut terminal = Terminal::new();
    let mut machine = Machine::start(&Scene {
        files: &[("later", STAND_IN)],
        setup: WITH_TERMINALS,
        launcher: "",
        arguments: &["--launcher", "/no/such", "--console", &terminal.path],
        ..Scene::default()
    });
    terminal.expect("/no/such: there is no such program");
    terminal.expect("there is no service-launcher");
    terminal.expect("an emergency shell on");
    // Only a controlling terminal can be opened by this name.
    terminal.type_line("echo $((6*7)) > /dev/tty");
    terminal.expect("42");
    terminal.type_line("cp /share/later /service-launcher; chmod 755 /service-launcher; exit");
    terminal.expect("the emergency shell ended with status 0");
    terminal.expect("/service-launcher runs");
    machine.wait_for_starts(1);
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn the_word_single_opens_a_shell_first_and_the_end_does_not_wait_for_it() {
    let mut terminal = Terminal::new();
    let mut machine = Machine::start(&Scene {
        setup: WITH_TERMINALS,
        arguments: &["single", "--console", &terminal.path],
        ..Scene::default()
    });
    terminal.expect("an emergency shell on");
    terminal.type_line("echo here $((1+1))");
    terminal.expect("here 2");
    assert_eq!(machine.read("starts"), "");
    let begin = Instant::now();
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    terminal.expect("going down for poweroff");
}

/// Takes half a minute, nearly all of it in pauses.
#[test]
fn a_launcher_that_never_lives_is_given_up_after_ten_deaths() {
    let mut terminal = Terminal::new();
    let begin = Instant::now();
    let mut machine = Machine::start(&Scene {
        setup: WITH_TERMINALS,
        launcher: "#!/bin/sh\necho once >> /share/deaths\nexit 1\n",
        arguments: &["--console", &terminal.path],
        ..Scene::default()
    });
    for _ in 0..2 {
        terminal.expect("the next service-launcher in 10.0 s");
    }
    terminal.expect("service-launcher ended 10 times in a row; it is given up");
    terminal.expect("an emergency shell on");
    assert!(begin.elapsed() > Duration::from_secs(32), "{:?}", begin.elapsed());
    assert_eq!(machine.read("deaths").lines().count(), 10);
    assert_eq!(machine.end_by(Signal::SIGINT), Signal::SIGHUP);
}

#[test]
fn a_shell_that_ends_at_once_does_not_keep_the_machine_busy() {
    let mut terminal = Terminal::new();
    let mut machine = Machine::start(&Scene {
        setup: WITH_TERMINALS,
        launcher: "",
        arguments: &["--console", &terminal.path],
        ..Scene::default()
    });
    terminal.expect("an emergency shell on");
    terminal.type_line("exit 3");
    terminal.expect("the emergency shell ended with status 3");
    let begin = Instant::now();
    terminal.expect("there is no service-launcher");
    assert!(begin.elapsed() > Duration::from_millis(2_500), "{:?}", begin.elapsed());
    terminal.expect("an emergency shell on");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
