//! Treeward under another init, with the files of `examples/hosts` as they stand: service-launcher
//! is killed, its host starts it again, and the services have noticed nothing.

#[path = "house/mod.rs"]
mod house;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use treeward::supervision::status::StateWord;

use house::{House, PATIENCE, eventually, program};

/// A program that runs one service directory.
struct Host {
    /// It takes the directory as its only argument, and ends the service before itself at this
    /// signal.
    command: &'static str,
    end: Signal,
    /// The file of `examples/hosts`.
    run: &'static str,
    /// Kills service-launcher; the directory follows.
    kill: &'static [&'static str],
    /// Stops the service for good; the directory follows.
    down: &'static [&'static str],
}

const RUNIT: Host = Host {
    command: "runsv",
    end: Signal::SIGTERM,
    run: "runit/run",
    kill: &["sv", "kill"],
    down: &["sv", "-w", "20", "down"],
};

const S6: Host = Host {
    command: "s6-supervise",
    end: Signal::SIGTERM,
    run: "s6/run",
    kill: &["s6-svc", "-k"],
    down: &["s6-svc", "-wd", "-T", "20000", "-d"],
};

/// A running host. It is ended, and service-launcher with it, when it is dropped.
struct Running {
    child: Child,
    end: Signal,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        let _ = kill(pid, self.end);
        if !eventually(PATIENCE, || self.child.try_wait().is_ok_and(|status| status.is_some())) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs the service directory that `examples/hosts` describes, with the house's options.
fn host(host: &Host, house: &House) -> (Running, PathBuf) {
    let directory = house.path("treeward");
    fs::create_dir(&directory).expect("mkdir");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hosts").join(host.run);
    fs::copy(example, directory.join("run")).expect("copy");
    let options = house.arguments().join(" ");
    fs::write(directory.join("conf"), format!("OPTIONS='{options}'\n")).expect("conf");
    let programs = Path::new(env!("CARGO_BIN_EXE_service-launcher")).parent().expect("a directory");
    let path = std::env::var("PATH").expect("PATH");
    let log = fs::File::create(house.path("launcher.log")).expect("launcher.log");
    let child = Command::new(host.command)
        .arg(&directory)
        .env("PATH", format!("{}:{path}", programs.display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("dup"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}: scripts/setup tests installs it", host.command));
    (Running { child, end: host.end }, directory)
}

/// The process id of a supervisor that answers.
fn supervisor(house: &House) -> Option<i32> {
    let version = house.call("Version", json!({})).ok()?;
    i32::try_from(version["version"]["pid"].as_i64()?).ok()
}

fn services_outlive_service_launcher_under(kind: &Host) {
    let family = format!("command: {} 0 2\nrestart: always\n", program("family"));
    let sleeper = "command: [sleep, '1000']\nrestart: always\n";
    let house = House::vacant(&[("family", &family), ("sleeper", sleeper)]);
    let (running, directory) = host(kind, &house);
    let units = [("family", 3), ("sleeper", 1)];
    assert!(eventually(PATIENCE, || supervisor(&house).is_some()), "it was not started");
    for (unit, count) in units {
        house.wait_for(unit, "up with all its processes", PATIENCE, |status| {
            status.summary.state == StateWord::Up && status.processes == count
        });
    }
    let before = units.map(|(unit, _)| (house.processes(unit), house.status(unit).start));

    // As often as a host may give up on a service that fails at once.
    for round in 1..=3 {
        let killed = supervisor(&house).expect("it runs");
        if round == 1 {
            order(kind.kill, &directory);
        } else {
            kill(Pid::from_raw(killed), Signal::SIGKILL).expect("kill");
        }
        let again = eventually(PATIENCE, || supervisor(&house).is_some_and(|pid| pid != killed));
        assert!(again, "round {round}: it was not started again");
        for ((unit, _), (processes, start)) in units.iter().zip(&before) {
            assert_eq!(&house.processes(unit), processes, "round {round}: {unit}");
            assert_eq!(house.status(unit).start, *start, "round {round}: {unit}");
        }
    }

    order(kind.down, &directory);
    assert!(before.iter().all(|(processes, _)| processes.iter().all(|p| !p.lives())));
    drop(running);
}

/// Runs a command of the host on its service directory.
fn order(words: &[&str], directory: &Path) {
    let output = Command::new(words[0]).args(&words[1..]).arg(directory).output().expect(words[0]);
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn services_outlive_service_launcher_under_runit() {
    services_outlive_service_launcher_under(&RUNIT);
}

#[test]
fn services_outlive_service_launcher_under_s6() {
    services_outlive_service_launcher_under(&S6);
}
