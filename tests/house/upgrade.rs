//! The supervisor becomes another program, or is killed, while people wait for it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, iter, thread};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{Answer, House, PATIENCE, Process, copy_program, eventually, program};

/// Ends with 7 once a file is there.
const LEAVER: &str = "restart: no\ncommand: [sh, -c, 'until test -e {dir}/leave; do sleep 0.02; \
                      done; exit 7']\n";
#[test]
fn the_supervisor_becomes_another_program_in_the_same_process() {
    let counter = format!("command: {} 2\n", program("counter"));
    let family = format!("command: {} 0 3\n", program("family"));
    let house = House::new(&[("counter", &counter), ("family", &family), ("leaver", LEAVER)]);
    house.wait_for("family", "settled", PATIENCE, |status| {
        status.processes == 4 && status.summary.main_pid.is_some()
    });
    let units = ["counter", "family"];
    let before = units.map(|unit| (house.processes(unit), house.status(unit)));
    let supervisor = house.supervisor();
    let other = house.path("another");
    copy_program(env!("CARGO_BIN_EXE_service-launcher"), &other);
    let lane = log_lane(&house);

    let said = house.slc_done(&["upgrade", other.to_str().expect("UTF-8")]);
    assert!(said.contains("3 living services go on"), "{said}");

    assert_eq!(house.supervisor(), supervisor);
    let exe = fs::read_link(format!("/proc/{}/exe", supervisor.pid)).expect("exe");
    assert_eq!(exe, other);
    for (unit, (processes, status)) in units.iter().zip(&before) {
        let now = house.status(unit);
        assert_eq!(&house.processes(unit), processes, "{unit}");
        assert_eq!((now.start, now.summary.main_pid), (status.start, status.summary.main_pid));
    }
    assert!(supervisor.descriptors().len() < 40, "{:?}", supervisor.descriptors());

    // Its children are still its own, so it learns how they end.
    house.write("leave", "");
    let status = house.wait_state("leaver", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.contains('7'), "{}", status.summary.why);

    // The log lane follows, and loses nothing on the way.
    assert!(eventually(PATIENCE, || log_lane(&house) != lane), "the old log lane stays");
    let numbers = || -> Vec<u64> {
        let log_dir = house.path("log");
        let log_dir = log_dir.to_str().expect("UTF-8");
        let log = house.slc_done(&["journal", "--log-dir", log_dir, "-n", "100000", "counter"]);
        log.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    let reached = numbers().last().copied().unwrap_or(0);
    assert!(eventually(PATIENCE, || numbers().last() > Some(&(reached + 100))));
    let numbers = numbers();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

fn log_lane(house: &House) -> Option<Process> {
    Process::look(house.read("run/journal.lock").trim().parse().ok()?)
}

#[test]
fn a_program_that_is_no_supervisor_is_refused_and_the_supervisor_goes_on() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let (supervisor, process) = (house.supervisor(), sleeper(&house, "sleeper"));
    house.write("broken", "service-launcher of another machine");
    for (path, why) in [
        ("/bin/true", "it is not a service-launcher"),
        ("/nonexistent", "No such file"),
        (house.path("broken").to_str().expect("UTF-8"), "ermission denied"),
    ] {
        let answer = house.slc(&["upgrade", path]);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains(why) && answer.err.contains(path), "{answer:?}");
        assert!(!answer.err.contains("os error"), "{answer:?}");
    }
    assert_eq!(house.supervisor(), supervisor);
    assert_eq!(sleeper(&house, "sleeper"), process);
}

#[test]
fn a_start_that_was_waiting_goes_on_waiting_through_an_upgrade_and_a_kill() {
    let notifier = program("notifier");
    let slow = format!("type: notify\nenabled: false\ncommand: {notifier} {{dir}}/go\n");
    let mut house = House::new(&[("slow", &slow)]);
    let waiting = slc_in_background(&house, &["start", "slow"]);
    // Each supervisor is asked before it goes: who waits has to find the next one first.
    let asked = |house: &House, times| {
        let count = || house.read("launcher.log").matches("start slow asked for by").count();
        assert!(eventually(PATIENCE, || count() == times), "{}", house.read("launcher.log"));
        house.wait_state("slow", StateWord::Starting, PATIENCE);
    };
    asked(&house, 1);
    house.slc_done(&["upgrade"]);
    asked(&house, 2);
    house.kill_supervisor();
    house.launch();
    asked(&house, 3);
    house.write("go", "");
    let answer = waiting();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.out, "slow: up\n");
    assert_eq!(answer.err.matches("the next one is asked").count(), 2, "{answer:?}");
    assert_eq!(house.status("slow").start, 1);
}

#[test]
fn a_restart_is_carried_out_once_when_the_supervisor_is_killed_in_it() {
    let stubborn = "command: [sh, -c, \"trap '' TERM; while :; do sleep 1000; done\"]\n\
                    stop_grace_period: 1s\n";
    let mut house = House::new(&[("stubborn", stubborn)]);
    house.wait_state("stubborn", StateWord::Up, PATIENCE);
    let waiting = slc_in_background(&house, &["restart", "stubborn"]);
    house.wait_state("stubborn", StateWord::Stopping, PATIENCE);
    house.kill_supervisor();
    house.launch();
    let answer = waiting();
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let status = house.status("stubborn");
    assert_eq!((status.summary.state, status.start), (StateWord::Up, 2));
}

#[test]
fn who_watches_goes_on_watching() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    let mut watch = Command::new(env!("CARGO_BIN_EXE_slc"))
        .args(["--socket", house.path("run/control.sock").to_str().expect("UTF-8"), "watch"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slc");
    let (out, err) = (watch.stdout.take().expect("out"), watch.stderr.take().expect("err"));
    // Lines come by a channel, so that one that does not come is not waited for for ever.
    let (to, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).all(|line| to.send(line).is_ok())
    });
    // It connects in its own time, and may miss what happens before.
    let shows_changes = || {
        eventually(PATIENCE, || {
            while lines.try_recv().is_ok() {}
            house.slc_done(&["restart", "sleeper"]);
            let mut shown = iter::from_fn(|| lines.recv_timeout(Duration::from_millis(200)).ok());
            shown.any(|line| line.contains("-> up"))
        })
    };
    assert!(shows_changes(), "nothing before the upgrade");
    house.slc_done(&["upgrade"]);
    let mut complaint = String::new();
    BufReader::new(err).read_line(&mut complaint).expect("a line");
    assert!(complaint.contains("the next one is asked"), "{complaint}");
    assert!(shows_changes(), "nothing after the upgrade");
    watch.kill().expect("kill");
    watch.wait().expect("wait");
    reader.join().expect("the reader");
}

#[test]
fn another_build_gets_back_what_only_it_knows_and_lacks_nothing() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    // Stands for a build whose records have a field more and another less.
    let strange = house.path("strange");
    let leaf = house.unit_cgroup("sleeper").join("1");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] || python3 - <<'EOF'\n\
         import json, os\n\
         record = json.loads(os.getxattr('{leaf}', 'user.treeward'))\n\
         record['moon'] = {{'phase': [1, 2]}}\n\
         for field in ('restarts', 'attempts', 'since', 'main'): record.pop(field, None)\n\
         os.setxattr('{leaf}', 'user.treeward', json.dumps(record).encode())\n\
         EOF\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_service-launcher"),
        leaf = leaf.display(),
    );
    fs::write(&strange, script).expect("write");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&strange, executable).expect("chmod");
    house.slc_done(&["upgrade", strange.to_str().expect("UTF-8")]);
    assert_eq!(sleeper(&house, "sleeper"), process);
    house.wait_for("sleeper", "with a main process", PATIENCE, |status| {
        status.summary.main_pid == Some(process.pid)
    });
    // A change of state writes the record anew, by the build that knows no moon.
    process.signal(Signal::SIGSTOP);
    house.call("Stop", json!({"units": ["sleeper"], "wait": false})).expect("Stop");
    let record = || -> Value {
        let output = Command::new("python3")
            .args([
                "-c",
                "import os, sys; print(os.getxattr(sys.argv[1], 'user.treeward').decode())",
            ])
            .arg(&leaf)
            .output()
            .expect("python3");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    let mut seen = Value::Null;
    let kept = eventually(PATIENCE, || {
        seen = record();
        seen["state"] == "stopping" || seen.is_null()
    });
    assert!(kept && (seen.is_null() || seen["moon"] == json!({"phase": [1, 2]})), "{seen}");
}

/// Starts `slc`; what it gives back waits for its end.
fn slc_in_background(house: &House, arguments: &[&str]) -> impl FnOnce() -> Answer + use<> {
    let child = Command::new(env!("CARGO_BIN_EXE_slc"))
        .args(["--socket", house.path("run/control.sock").to_str().expect("UTF-8")])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("slc");
    move || {
        let output = child.wait_with_output().expect("slc");
        Answer {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
