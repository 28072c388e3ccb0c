//! The supervisor itself: killed, doubled, idle, and without rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, assert_stopped, sleeper};
use crate::house::{
    House, PATIENCE, Process, SECOND, cgroups_below, copy_program, eventually, kernel_tells_ends,
    program,
};

/// One that takes half a second to be stopped.
const STUBBORN: &str = "\
command: [sh, -c, 'trap \"\" TERM; exec sleep 1000']
stop_grace_period: 500ms
";

/// Scenario P1.
#[test]
fn nothing_is_lost_or_doubled_when_the_supervisor_is_killed() {
    let family = format!("command: {} 0 3\n", program("family"));
    let mut house = House::new(&[
        ("family", &family),
        ("sleeper", SLEEPER),
        (
            "done",
            "type: oneshot\nremain_after_exit: true\ncommand: [sh, -c, echo x >> {dir}/ran]\n",
        ),
    ]);
    sleeper(&house, "sleeper");
    house.wait_state("done", StateWord::Done, PATIENCE);
    house.wait_for("family", "settled", PATIENCE, |status| {
        status.processes == 4 && status.summary.main_pid.is_some()
    });
    let units = ["family", "sleeper"];
    let before = units.map(|unit| (house.processes(unit), house.status(unit)));

    house.kill_supervisor();
    for (processes, _) in &before {
        assert!(processes.iter().all(Process::lives), "{processes:#?}");
    }
    house.launch();

    for (unit, (processes, status)) in units.iter().zip(&before) {
        let now = house.wait_for(unit, "up with its main process", SECOND, |now| {
            now.summary.state == StateWord::Up && now.summary.main_pid == status.summary.main_pid
        });
        assert_eq!(&house.processes(unit), processes, "{unit}: another set of processes");
        assert_eq!((now.start, now.summary.restarts), (status.start, status.summary.restarts));
    }
    assert_eq!(house.read("ran"), "x\n", "the oneshot was run again");

    // Adopted services are restarted and stopped like any other.
    before[1].0[0].signal(Signal::SIGKILL);
    house.wait_for("sleeper", "started again", PATIENCE, |status| {
        status.start == before[1].1.start + 1 && status.summary.state == StateWord::Up
    });
    house.slc_done(&["stop", "family"]);
    assert_stopped(&house, "family", &before[0].0);
}

#[test]
fn what_has_failed_and_what_is_blocked_stay_so_when_the_supervisor_is_killed() {
    let mut house = House::new(&[
        (
            "broken",
            "type: oneshot\nrestart: no\ncommand: [sh, -c, 'echo x >> {dir}/tried; exit 1']\n",
        ),
        ("behind", "command: [sleep, 1000]\ndepends_on: [broken]\n"),
        (
            "slow",
            "type: oneshot\nenabled: false\n\
            command: [sh, -c, 'until [ -e {dir}/go ]; do sleep 0.05; done']\n",
        ),
        ("asked", "command: [sleep, 1000]\nenabled: false\ndepends_on: [slow]\n"),
    ]);
    house.slc_done(&["start", "--no-wait", "asked"]);
    house.wait_state("broken", StateWord::Failed, PATIENCE);
    let are_blocked = |house: &House| {
        for unit in ["behind", "asked"] {
            house.wait_state(unit, StateWord::Blocked, PATIENCE);
        }
    };
    are_blocked(&house);
    house.wait_state("slow", StateWord::Starting, PATIENCE);

    house.kill_supervisor();
    house.launch();
    are_blocked(&house);
    house.write("go", "");
    house.wait_state("asked", StateWord::Up, PATIENCE);
    assert_eq!(house.status("broken").summary.state, StateWord::Failed);
    assert_eq!(house.read("tried"), "x\n", "what had failed was tried again");
    assert_eq!(house.status("behind").summary.state, StateWord::Blocked);
}

/// Most records of a boot are written when its last start is made.
#[test]
fn a_boot_goes_on_where_it_was_when_the_supervisor_is_killed_in_it() {
    const UNITS: usize = 300;
    let names: Vec<String> = (0..UNITS).map(|number| format!("unit-{number:03}")).collect();
    let mut house = House::vacant(&[]);
    fs::create_dir(house.path("born")).unwrap();
    for name in &names {
        let script = format!("echo $$ >> {{dir}}/born/{name}; exec sleep 1000");
        house.write_unit(name, &format!("command: [sh, -c, \"{script}\"]\n"));
    }
    let born = |house: &House| fs::read_dir(house.path("born")).unwrap().count();
    for killed_at in [1, UNITS / 3, 2 * UNITS / 3] {
        house.launch();
        assert!(eventually(PATIENCE, || born(&house) >= killed_at), "{} are born", born(&house));
        house.kill_supervisor();
        if killed_at == 1 {
            assert!(born(&house) < UNITS, "the boot was over before the supervisor was killed");
        }
    }
    house.launch();
    let all_up = |house: &House| {
        let list = house.slc_done(&["list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let units = list["services"].as_array().unwrap();
        assert_eq!(units.len(), UNITS);
        units.iter().all(|unit| unit["state"] == "up" && unit["restarts"] == 0)
    };
    assert!(eventually(PATIENCE, || all_up(&house)), "{}", house.slc_done(&["list"]));
    for name in &names {
        let pids = house.read(&format!("born/{name}"));
        let alive: Vec<String> =
            house.processes(name).iter().map(|it| it.pid.to_string()).collect();
        assert_eq!(pids.lines().collect::<Vec<_>>(), alive, "{name} was started once");
    }
}

#[test]
fn a_service_that_ended_while_there_was_no_supervisor_is_started_again() {
    let mut house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    house.kill_supervisor();
    process.signal(Signal::SIGKILL);
    assert!(eventually(SECOND, || !process.lives()));
    house.launch();
    house.wait_state("sleeper", StateWord::Up, PATIENCE);
    assert_ne!(sleeper(&house, "sleeper"), process);
}

#[test]
fn a_oneshot_that_ended_while_there_was_no_supervisor_has_ended_as_it_did() {
    if !kernel_tells_ends() {
        return;
    }
    let unit = |then: &str| {
        format!(
            "type: oneshot\nremain_after_exit: true\n\
             command: [sh, -c, 'until test -e {{dir}}/go; do sleep 0.01; done; {then}']\n"
        )
    };
    let names = ["well", "ill", "helped", "killed"];
    let ends = ["exit 0", "exit 3", "sleep 1000 & exit 0", "kill $$"].map(unit);
    let [well, ill, helped, killed] = &ends;
    let units = [("well", &**well), ("ill", &**ill), ("helped", &**helped), ("killed", &**killed)];
    let mut house = House::new(&units);
    for name in names {
        house.wait_state(name, StateWord::Starting, PATIENCE);
    }
    // What is kept goes through the hands of a second supervisor.
    house.kill_supervisor();
    house.launch();
    house.kill_supervisor();
    let firsts = names.map(|name| house.processes(name));
    house.write("go", "");
    // Somebody else buries them, and takes a while on some machines.
    let pids =
        firsts.iter().flatten().map(|process| PathBuf::from(format!("/proc/{}", process.pid)));
    let pids: Vec<PathBuf> = pids.collect();
    assert!(eventually(PATIENCE, || !pids.iter().any(|path| path.exists())), "{firsts:?}");
    house.launch();
    let how = names.map(|name| {
        let status = house.wait_for(name, "at rest, or up", PATIENCE, |status| {
            status.summary.state != StateWord::Starting
        });
        (status.start, status.summary.state, status.summary.why)
    });
    let failed = |why: &str| (1, StateWord::Failed, why.to_owned());
    let well = |state| (1, state, String::new());
    let expected =
        [well(StateWord::Done), failed("exit status 3"), well(StateWord::Up), failed("SIGTERM")];
    assert_eq!(how, expected, "{}", house.read("launcher.log"));
}

#[test]
fn what_was_stopped_stays_stopped_when_the_supervisor_is_killed() {
    let mut house = House::new(&[("sleeper", SLEEPER), ("other", SLEEPER)]);
    sleeper(&house, "sleeper");
    let other = sleeper(&house, "other");
    house.slc_done(&["stop", "sleeper"]);
    house.kill_supervisor();
    house.launch();
    assert_eq!(sleeper(&house, "other"), other);
    let status = house.status("sleeper");
    assert_eq!((status.summary.state, status.processes), (StateWord::Down, 0));
}

#[test]
fn a_unit_whose_file_went_while_there_was_no_supervisor_leaves_nothing() {
    let mut house = House::new(&[("gone", SLEEPER), ("broken", SLEEPER), ("stays", SLEEPER)]);
    house.slc_done(&["stop", "gone", "broken"]);
    house.kill_supervisor();
    fs::remove_file(house.path("units/gone.yml")).expect("remove");
    house.write_unit("broken", "comand: sleep 1000\n");
    house.launch();
    let fifo = |unit: &str| house.path("run/log").join(unit).exists();
    assert!(!fifo("gone") && !house.unit_cgroup("gone").exists());
    assert!(fifo("broken") && fifo("stays"));
    // That it was stopped is remembered until the slip in its file is mended.
    house.write_unit("broken", SLEEPER);
    house.slc_done(&["reload"]);
    assert_eq!(house.status("broken").processes, 0);
}

#[test]
fn log_lines_written_while_there_was_no_supervisor_arrive() {
    let unit = "command: [sh, -c, 'while ! test -e {dir}/go; do sleep 0.02; done; echo late; \
                exec sleep 1000']\n";
    let mut house = House::new(&[("patient", unit)]);
    house.wait_state("patient", StateWord::Up, PATIENCE);
    house.kill_supervisor();
    house.write("go", "");
    let woke = || {
        house
            .processes("patient")
            .iter()
            .any(|process| process.name == "sleep" && process.command == "sleep 1000")
    };
    assert!(eventually(PATIENCE, woke), "the service died with its supervisor");
    house.launch();
    house.wait_for_log("patient", "late");
}

/// Scenario P3.
#[test]
fn a_service_that_is_ready_while_there_is_no_supervisor_is_up_for_the_next_one() {
    let script = "\
        use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;\
        until (-e '{dir}/go') { select(undef, undef, undef, 0.01) }\
        send($s, 'READY=1', 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die $!;\
        open(my $f, '>', '{dir}/told') or die; sleep 1000";
    let unit = format!("type: notify\ncommand: [perl, -e, \"{script}\"]\n");
    let mut house = House::new(&[("slow", &unit)]);
    house.wait_for("slow", "on its way", PATIENCE, |status| {
        status.summary.state == StateWord::Starting && status.processes == 1
    });
    house.kill_supervisor();
    house.write("go", "");
    let told = eventually(PATIENCE, || house.path("told").exists());
    assert!(told, "nobody listens: {}", house.read("log/slow.log"));
    house.launch();
    let status = house.wait_state("slow", StateWord::Up, SECOND);
    assert_eq!((status.start, status.processes), (1, 1));
}

#[test]
fn a_second_supervisor_of_the_same_house_refuses_and_the_first_goes_on() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let second = Command::new(env!("CARGO_BIN_EXE_service-launcher"))
        .args(house.arguments())
        .output()
        .expect("service-launcher");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code().is_some_and(|code| code != 0), "{second:?}");
    assert!(said.contains("already"), "{said}");
    assert!(said.contains(&house.supervisor().pid.to_string()), "it names the first: {said}");
    assert_eq!(sleeper(&house, "sleeper"), process);
}

#[test]
fn a_second_supervisor_of_the_same_cgroups_refuses_and_the_first_goes_on() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let elsewhere = house.path("elsewhere").to_str().expect("UTF-8").to_owned();
    let mut arguments = house.arguments();
    let run_dir = arguments.iter().position(|word| word == "--run-dir").expect("--run-dir");
    arguments[run_dir + 1] = elsewhere;
    let second = Command::new(env!("CARGO_BIN_EXE_service-launcher")).args(arguments).output();
    let second = second.expect("service-launcher");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("looks after the services in this cgroup"), "{said}");
    assert!(said.contains(&house.supervisor().pid.to_string()), "it names the first: {said}");
    assert_eq!(sleeper(&house, "sleeper"), process);
}

#[test]
fn one_that_cannot_begin_leaves_nothing_that_was_not_there_before() {
    let mut house = House::vacant(&[("sleeper", SLEEPER)]);
    let root = house.arguments().pop().expect("--cgroup-root");
    fs::create_dir(house.path("open")).expect("mkdir");
    fs::set_permissions(house.path("open"), fs::Permissions::from_mode(0o777)).expect("chmod");
    let refused = |house: &House, options: &[(&str, &str)], why: &str| {
        let mut arguments = house.arguments();
        for (option, value) in options {
            let at = arguments.iter().position(|word| word == option).expect("the option");
            arguments[at + 1] = (*value).to_owned();
        }
        let launcher =
            Command::new(env!("CARGO_BIN_EXE_service-launcher")).args(arguments).output();
        let launcher = launcher.expect("service-launcher");
        let said = String::from_utf8_lossy(&launcher.stderr);
        assert_eq!(launcher.status.code(), Some(1), "{said}");
        assert!(said.contains(why) && !said.contains("os error"), "{said}");
        assert!(!house.path("deep").exists(), "{said}");
    };
    let path = |name: &str| house.path(name).to_str().expect("UTF-8").to_owned();
    let (open, run, long) = (path("open"), path("run"), "x".repeat(108));
    let (deep, too_long) = (path("deep/er"), path(&format!("deep/{long}")));
    let own = format!("{root}/own");
    refused(&house, &[("--run-dir", &deep), ("--units", &open)], "everybody may write to it");
    // A path that no socket has room for is noticed when nearly all is made.
    refused(&house, &[("--run-dir", &too_long)], "shorter --run-dir");
    assert_eq!(cgroups_below(root.as_ref()), [""; 0].map(PathBuf::from));
    refused(&house, &[("--run-dir", &too_long), ("--cgroup-root", &own)], "shorter --run-dir");
    assert_eq!(cgroups_below(root.as_ref()), [""; 0].map(PathBuf::from));
    // Nor does it take anything from one that was there first.
    house.launch();
    let process = sleeper(&house, "sleeper");
    refused(&house, &[("--run-dir", &deep)], "looks after the services in this cgroup");
    refused(&house, &[("--run-dir", &run), ("--cgroup-root", &own)], "already running");
    assert!(!PathBuf::from(&own).exists());
    refused(&house, &[("--units", &open)], "everybody may write to it");
    assert_eq!(sleeper(&house, "sleeper"), process);
    house.slc_done(&["restart", "sleeper"]);
}

#[test]
fn one_that_is_started_while_the_last_one_ends_waits_for_it_and_makes_a_tree_of_its_own() {
    let mut house = House::new(&[("stubborn", STUBBORN)]);
    house.wait_state("stubborn", StateWord::Up, PATIENCE);
    house.supervisor().signal(Signal::SIGTERM);
    let program = env!("CARGO_BIN_EXE_service-launcher");
    let mut second = Command::new(program)
        .args(house.arguments())
        .stderr(fs::File::create(house.path("second.log")).expect("second.log"))
        .spawn()
        .expect("service-launcher");
    assert_eq!(house.wait_for_end(), Some(0));
    let is_up = eventually(PATIENCE, || {
        let listing = house.slc(&["list"]);
        listing.out.lines().any(|line| line.starts_with("stubborn  up "))
    });
    nix::sys::signal::kill(Pid::from_raw(second.id() as i32), Signal::SIGTERM).expect("kill");
    let end = second.wait().expect("wait");
    assert!(is_up && end.success(), "{end}: {}", house.read("second.log"));
}

/// Scenario P12.
#[test]
fn an_ordinary_user_without_a_delegated_cgroup_is_told_what_is_missing() {
    let house = House::vacant(&[("sleeper", SLEEPER)]);
    // The build directory may be closed to others.
    let binary = house.path("service-launcher");
    copy_program(env!("CARGO_BIN_EXE_service-launcher"), &binary);
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("chmod");
    for folder in ["run", "log"] {
        chown(house.path(folder), Some(65534), Some(65534)).expect("chown");
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(house.arguments())
        .current_dir("/")
        .output()
        .expect("setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code != 0), "{output:?}");
    assert!(said.contains("cgroup") && said.contains("delegate"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence, not {said:?}");
}

/// Scenario P13.
#[test]
fn an_idle_supervisor_makes_no_system_calls() {
    let family = format!("command: {} 0 3\n", program("family"));
    let house = House::new(&[("family", &family), ("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    house.wait_for("family", "settled", PATIENCE, |status| {
        status.processes == 4 && status.summary.main_pid.is_some()
    });
    let supervisor = house.supervisor();
    // What the questions above set in motion may take a moment to end.
    let span = Duration::from_secs(2);
    let idle = eventually(PATIENCE, || {
        let before = supervisor.voluntary_switches();
        std::thread::sleep(span);
        supervisor.voluntary_switches() == before
    });
    assert!(idle, "the supervisor woke up in every span of {span:?}");
}
