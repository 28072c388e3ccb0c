//! S: stopping and killing.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, Process, SECOND, eventually, program};
use crate::watched::Watched;
use crate::{SLEEPER, assert_gone, up};

#[test]
fn s1_a_fork_bomb_is_stopped_whole() {
    let unit = format!("command: {} 400\nstop_grace_period: 1s\n", program("bomb"));
    let house = Watched::new(&[("bomb", &unit), ("sleeper", SLEEPER)]);
    let bystander = up(&house, "sleeper");
    house.wait_for("bomb", "400 processes", PATIENCE, |status| status.processes >= 400);
    let before = house.processes("bomb");

    let begin = Instant::now();
    house.slc_done(&["stop", "bomb"]);
    let took = begin.elapsed();
    assert_gone(&house, "bomb", &before);
    assert!(took < 6 * SECOND, "a grace period of 1 s, and {took:?} until it was over");
    let proof = house.status("bomb").last_stop;
    assert!(proof.contains("killed after 1") && proof.contains("all gone"), "{proof}");
    assert!(bystander.lives());
}

#[test]
fn s2_a_process_that_leaves_its_family_late_is_seen_and_stopped_too() {
    // Its own session, another name, no open files, no parent; and only after a while.
    let unit = "\
command:
- sh
- -c
- (sleep 0.7; setsid bash -c 'cd /; exec -a kworker/0:1 sleep 1000' <&- >&- 2>&- & exit 0) & exec sleep 1000
";
    let house = Watched::new(&[("escaper", unit)]);
    house.wait_for("escaper", "two lasting processes", PATIENCE, |status| {
        status.tree.iter().any(|process| process.command.contains("kworker/0:1"))
            && status.processes == 2
    });
    let status = house.slc_done(&["status", "escaper"]);
    assert!(status.contains("kworker/0:1"), "{status}");
    let before = house.processes("escaper");
    // The end of the main process is not the end of the service while others live.
    let main = house.status("escaper").summary.main_pid.expect("the first process");
    before.iter().find(|process| process.pid == main).expect("in the leaf").signal(Signal::SIGKILL);
    house.wait_for("escaper", "ended by its first process's failure", PATIENCE, |status| {
        status.start == 2 && status.summary.state == StateWord::Up
    });
    assert!(before.iter().all(|process| !process.lives()), "a second copy: {before:#?}");
    house.wait_for("escaper", "two lasting processes", PATIENCE, |status| status.processes == 2);
    let before = house.processes("escaper");
    house.slc_done(&["stop", "escaper"]);
    assert_gone(&house, "escaper", &before);
}

#[test]
fn s4_a_frozen_service_is_stopped_whether_it_heeds_sigterm_or_not() {
    let deaf = "command: [sh, -c, \"trap '' TERM; echo deaf; while :; do sleep 1000; done\"]\n\
                stop_grace_period: 500ms\n";
    let house = Watched::new(&[("sleeper", SLEEPER), ("deaf", deaf)]);
    up(&house, "sleeper");
    house.wait_for_log("deaf", "deaf");
    for unit in ["sleeper", "deaf"] {
        let leaf = house.status(unit).leaf.expect("a leaf");
        fs::write(format!("{leaf}/cgroup.freeze"), "1").expect("cgroup.freeze");
        let frozen = || {
            let events = fs::read_to_string(format!("{leaf}/cgroup.events"));
            events.unwrap_or_default().contains("frozen 1")
        };
        assert!(eventually(SECOND, frozen), "{unit} does not freeze");
        let before = house.processes(unit);
        let begin = Instant::now();
        house.slc_done(&["stop", unit]);
        assert!(begin.elapsed() < 4 * SECOND, "{unit}: {:?}", begin.elapsed());
        assert_gone(&house, unit, &before);
    }
}

#[test]
fn s6_a_service_has_the_documented_environment_and_no_limit_of_the_supervisor() {
    let house = Watched::new(&[
        ("sleeper", SLEEPER),
        ("other", "command: sleep infinity\nuser: nobody\nenvironment: {A: \"1\"}\n"),
    ]);
    let process = up(&house, "sleeper");
    let mut environment = process.environment();
    environment.sort();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(environment, [path, "TREEWARD_UNIT=sleeper"]);
    let other = up(&house, "other");
    let mut environment = other.environment();
    environment.sort();
    let names: Vec<&str> =
        environment.iter().filter_map(|word| Some(word.split_once('=')?.0)).collect();
    assert_eq!(names, ["A", "HOME", "LOGNAME", "PATH", "SHELL", "TREEWARD_UNIT", "USER"]);
    assert_eq!(other.status_line("Groups"), "65534", "no group of root's is left");
    assert_eq!(other.status_line("CapEff"), "0000000000000000");
    for process in [&process, &other] {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/{}/{name}", process.pid)).expect(name);
        let own = fs::read_to_string("/proc/self/limits").expect("limits");
        assert_eq!(read("limits"), own, "the limits are those the supervisor was started with");
        let own = fs::read_to_string("/proc/self/oom_score_adj").expect("oom_score_adj");
        assert_eq!(read("oom_score_adj"), own);
        // proc_pid_stat(5): the seventh field is the controlling terminal.
        let stat = read("stat");
        let terminal = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(4));
        assert_eq!(terminal, Some("0"), "{stat}");
    }
}

/// A tracer that is stopped itself holds what it traces, also against SIGKILL (ptrace(2)).
#[test]
fn s7_a_process_that_a_stopped_tracer_holds_is_named_and_its_service_ends_with_the_tracer() {
    let house = Watched::new(&[("held", SLEEPER)]);
    let process = up(&house, "held");
    let mut tracer = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-p", &process.pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace is not there: scripts/setup installs it");
    let number = tracer.id().to_string();
    let traced = || process.status_line("TracerPid") == number;
    assert!(eventually(PATIENCE, traced), "strace does not trace it");
    kill(Pid::from_raw(tracer.id() as i32), Signal::SIGSTOP).expect("kill");
    assert!(house.slc(&["stop", "--no-wait", "held"]).code == Some(0));
    let status = house.wait_for("held", "killing, with a process in t", PATIENCE, |status| {
        status.summary.state == StateWord::Killing
            && status.tree.iter().any(|each| each.pid == process.pid && each.state == "t")
    });
    assert_eq!(status.processes, 1, "{status:#?}");
    let shown = house.slc_done(&["status", "held"]);
    assert!(shown.contains(&format!("{} is held by a tracer", process.pid)), "{shown}");
    // Nothing starts over it.
    house.slc_done(&["start", "--no-wait", "held"]);
    house.wait_state("held", StateWord::Killing, SECOND);
    tracer.kill().expect("kill");
    tracer.wait().expect("wait");
    let status = house.wait_state("held", StateWord::Up, PATIENCE);
    assert_eq!(status.start, 2);
    assert!(!process.lives(), "the first start outlives its tracer");
}

#[test]
fn s8_thousands_of_cgroups_in_a_leaf_however_deep_are_removed_with_it() {
    let house = Watched::new(&[("digger", SLEEPER)]);
    let process = up(&house, "digger");
    let leaf = house.status("digger").leaf.expect("a leaf");
    let mut deep = std::path::PathBuf::from(&leaf);
    for _ in 0..100 {
        deep.push("d");
        fs::create_dir(&deep).expect("mkdir");
    }
    for n in 0..2_000 {
        fs::create_dir(format!("{leaf}/wide-{n}")).expect("mkdir");
    }
    fs::write(deep.join("cgroup.procs"), process.pid.to_string()).expect("cgroup.procs");
    // A threaded group at another place.
    let threaded = format!("{leaf}/wide-7/threads");
    fs::create_dir(&threaded).expect("mkdir");
    fs::write(format!("{threaded}/cgroup.type"), "threaded").expect("cgroup.type");
    assert_eq!(house.status("digger").processes, 1, "the process is still the service's");
    house.slc_done(&["stop", "digger"]);
    assert_gone(&house, "digger", &[process]);
}

#[test]
fn s9_a_process_that_moves_to_another_cgroup_is_named_and_not_followed() {
    let unit = "\
command:
- sh
- -c
- while ! test -e {dir}/go; do sleep 0.02; done; echo $$ > $(cat {dir}/elsewhere)/cgroup.procs; exec sleep 1000
restart: \"no\"
";
    let mut house = Watched::new(&[("mover", unit)]);
    house.wait_state("mover", StateWord::Up, PATIENCE);
    let elsewhere = house.unit_cgroup("../elsewhere");
    fs::create_dir(&elsewhere).expect("mkdir");
    house.write("elsewhere", elsewhere.to_str().expect("UTF-8"));
    let pid = house.status("mover").first_pid.expect("a first process");
    let process = Process::look(pid).expect("it lives");
    house.strayed.push(pid);
    house.write("go", "");

    let status = house.wait_state("mover", StateWord::Failed, PATIENCE);
    assert!(process.lives(), "a process outside the leaf is nobody's to kill");
    assert!(status.summary.why.contains("exit status unknown"), "{}", status.summary.why);
    let log = house.read("launcher.log");
    let line = log.lines().find(|line| line.contains(&format!("mover: process {pid} (")));
    let line = line.unwrap_or_else(|| panic!("no word of the move:\n{log}"));
    assert!(line.contains("has moved to the cgroup") && line.contains("/elsewhere;"), "{line}");
    assert!(line.contains("it is no longer followed"), "{line}");
    process.signal(Signal::SIGKILL);
    assert!(eventually(SECOND, || fs::remove_dir(&elsewhere).is_ok()));
}

#[test]
fn s10_a_start_that_somebody_waits_for_ends_with_the_stop_that_overtakes_it() {
    let house = Watched::new(&[
        ("slow", "type: forking\ncommand: sleep 1000\nenabled: false\n"),
        ("mute", "type: notify\ncommand: sh -c 'sleep 1000 & wait'\nenabled: false\n"),
    ]);
    for unit in ["slow", "mute"] {
        std::thread::scope(|scope| {
            let start = scope.spawn(|| house.slc(&["start", unit]));
            house.wait_state(unit, StateWord::Starting, PATIENCE);
            let before = house.processes(unit);
            assert!(!before.is_empty(), "{unit}");
            let begin = Instant::now();
            house.slc_done(&["stop", unit]);
            assert!(begin.elapsed() < 4 * SECOND, "{unit}: {:?}", begin.elapsed());
            assert_gone(&house, unit, &before);
            let start = start.join().expect("no panic");
            assert_eq!(start.code, Some(1), "{start:?}");
            assert!(start.err.contains("asked to stop"), "{start:?}");
        });
        assert_eq!(house.status(unit).summary.state, StateWord::Down, "it did not fail");
    }
}

#[test]
fn s11_a_start_that_fails_leaves_nothing_and_says_how() {
    let forking = |script: &str| {
        format!(
            "type: forking\ncommand: [sh, -c, \"{script}\"]\nrestart: \"no\"\nstop_grace_period: 1s\n"
        )
    };
    let empty = forking("true & wait; exit 0");
    let killed = forking("sleep 1000 & kill -SEGV $$");
    let failing = forking("sleep 1000 & exit 1");
    let house = Watched::new(&[("empty", &empty), ("killed", &killed), ("failing", &failing)]);
    for (unit, words) in [
        ("empty", "exited with 0 and left no process running"),
        ("killed", "first process: SIGSEGV"),
        ("failing", "first process: exit status 1"),
    ] {
        let status = house.wait_state(unit, StateWord::Failed, PATIENCE);
        assert!(status.summary.why.contains(words), "{unit}: {}", status.summary.why);
        assert_gone(&house, unit, &[]);
        let shown = house.slc(&["status", unit]);
        assert!(shown.out.contains("failed") && shown.out.contains(words), "{shown:?}");
    }
}

#[test]
fn s12_a_service_that_is_killed_again_and_again_runs_once_in_the_end() {
    const KILLS: u32 = 300;
    let unit =
        "command: sleep infinity\nrestart: always\nrestart_delay: 0s\nrestart_max_attempts: 0\n";
    let limited =
        "command: sleep infinity\nrestart: always\nrestart_delay: 0s\nrestart_max_attempts: 5\n";
    let house = Watched::new(&[("victim", unit), ("limited", limited)]);
    let mut last: Option<Process> = None;
    for _ in 0..KILLS {
        let mut next = None;
        let came = eventually(PATIENCE, || {
            next = house
                .processes("victim")
                .into_iter()
                // Before its exec it would be started again as part of the same start.
                .find(|process| last.as_ref() != Some(process) && process.name == "sleep");
            next.is_some()
        });
        assert!(came, "it was not started again:\n{}", house.read("launcher.log"));
        let process = next.expect("found");
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid as i32), Signal::SIGKILL);
        last = Some(process);
    }
    let status = house.wait_for("victim", "up after the last kill", PATIENCE, |status| {
        status.summary.state == StateWord::Up && status.summary.restarts == KILLS
    });
    assert_eq!(status.start, u64::from(KILLS) + 1);
    assert_eq!(house.processes("victim").len(), 1, "exactly one instance");

    // The limit trips where there is one.
    for n in 0..6 {
        house.wait_for("limited", "up", PATIENCE, |status| {
            status.start == n + 1 && status.summary.state == StateWord::Up
        });
        up(&house, "limited").signal(Signal::SIGKILL);
    }
    let status = house.wait_state("limited", StateWord::Failed, PATIENCE);
    let why = status.summary.why;
    assert!(why.contains("SIGKILL; given up after 5 restarts"), "{why}");
    assert_gone(&house, "limited", &[]);
}

#[test]
fn s13_a_storm_of_restarts_ends_and_leaves_room_for_others() {
    let unit = "command: 'false'\nrestart: always\nrestart_delay: 10ms\nrestart_max_attempts: 4\n";
    let names: Vec<String> = (0..100).map(|n| format!("storm-{n}")).collect();
    let mut units: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), unit)).collect();
    units.push(("calm", SLEEPER));
    let house = House::new(&units);
    let calm = up(&house, "calm");
    let mut slowest = Duration::ZERO;
    let over = eventually(2 * PATIENCE, || {
        let begin = Instant::now();
        let summaries = crate::watched::list(&house);
        slowest = slowest.max(begin.elapsed());
        summaries.iter().filter(|unit| unit.state == StateWord::Failed).count() == names.len()
    });
    assert!(over, "the storm goes on:\n{}", house.slc(&["list"]).out);
    assert!(slowest < 2 * SECOND, "a list took {slowest:?}");
    for name in &names {
        let why = house.status(name).summary.why;
        assert!(why.contains("given up after 4 restarts"), "{name}: {why}");
    }
    assert!(calm.lives());
    Watched::over(house);
}
