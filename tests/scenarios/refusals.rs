//! P12: the kernel refuses what the supervisor needs: cgroups, a writable run directory, rmdir(2).

use std::fs;
use std::process::{Command, Stdio};

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, SECOND, eventually};
use crate::strace::Strace;
use crate::watched::Watched;
use crate::{SLEEPER, assert_gone, up};

#[test]
fn p12_where_no_cgroup_can_be_made_nothing_is_started() {
    let unit = "command: sleep infinity\nenabled: false\nrestart_delay: 50ms\n\
                restart_max_delay: 100ms\nrestart_max_attempts: 0\n";
    let house = Watched::new(&[("sleeper", SLEEPER), ("late", unit), ("squatted", unit)]);
    let sleeper = up(&house, "sleeper");
    let root = house.unit_cgroup("..");
    fs::write(root.join("cgroup.max.descendants"), "0").expect("cgroup.max.descendants");
    let answer = house.slc(&["start", "late"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    for word in ["cannot mkdir", "services/late", "EAGAIN"] {
        assert!(answer.err.contains(word), "{answer:?}");
    }
    assert!(sleeper.lives());
    fs::write(root.join("cgroup.max.descendants"), "max").expect("cgroup.max.descendants");
    house.wait_state("late", StateWord::Up, PATIENCE);

    // A leaf that is there already, with a stranger in it: nothing starts there, and the stranger
    // is nobody's to kill.
    let leaf = house.unit_cgroup("squatted").join("1");
    fs::create_dir_all(&leaf).expect("mkdir");
    let mut stranger = Command::new("sleep").arg("1000").spawn().expect("sleep");
    fs::write(leaf.join("cgroup.procs"), stranger.id().to_string()).expect("cgroup.procs");
    let answer = house.slc(&["start", "squatted"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("File exists"), "{answer:?}");
    house.slc_done(&["stop", "squatted"]);
    assert!(stranger.try_wait().expect("wait").is_none(), "the stranger was killed");
    stranger.kill().expect("kill");
    stranger.wait().expect("wait");
    assert!(eventually(SECOND, || fs::remove_dir(&leaf).is_ok()));
    house.slc_done(&["start", "squatted"]);
    assert_eq!(house.status("squatted").start, 2, "its number is spent");
}

#[test]
fn p12_a_place_that_cannot_be_used_is_refused_in_a_sentence() {
    let mut house = House::vacant(&[("sleeper", SLEEPER)]);
    // No cgroup2 file system.
    let mut arguments = house.arguments();
    let at = arguments.iter().position(|word| word == "--cgroup-root").expect("there") + 1;
    arguments[at] = house.path("run").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_service-launcher"))
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .expect("service-launcher");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot find a cgroup2 file system at"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    // One that is mounted read-only, and a run directory that is.
    let mount = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mount = mount.lines().find(|line| line.contains(" - cgroup2 ")).expect("cgroup2");
    let mount = mount.split(' ').nth(4).expect("a mount point").to_owned();
    let run = house.path("run").display().to_string();
    for (place, word) in [(&mount, "cgroup"), (&run, "run")] {
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
        let answers = house.launch_behind(&[
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            place,
        ]);
        assert!(!answers, "{place} is read-only, and the supervisor runs");
        let said = house.read("launcher.log");
        let last = said.trim().lines().last().unwrap_or_default();
        assert!(last.contains("Read-only file system") && last.contains(word), "{said}");
        house.write("launcher.log", "");
    }
    assert_eq!(house.processes("sleeper"), []);
    // What it made before it was refused: nothing of it is in anybody's way.
    for room in ["../supervisor", ""] {
        let _ = fs::remove_dir(house.unit_cgroup(room));
    }
}

#[test]
fn p12_a_run_directory_that_becomes_read_only_stops_no_service() {
    let house = Watched::new(&[
        ("sleeper", SLEEPER),
        ("late", "command: sleep infinity\nenabled: false\nrestart: \"no\"\n"),
    ]);
    let sleeper = up(&house, "sleeper");
    // A mount that is written to cannot be made read-only; a file system in trouble can.
    let strace = Strace::attach(
        house.supervisor().pid,
        &["-o", "/dev/null", "-e", "inject=mknod,mknodat:error=EROFS"],
    );
    let answer = house.slc(&["start", "late"]);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("Read-only file system"), "{answer:?}");
    assert!(answer.err.contains("run/log/late"), "{answer:?}");
    // What runs can be stopped and started: it needs nothing new there.
    house.slc_done(&["restart", "sleeper"]);
    assert!(!sleeper.lives());
    house.slc_done(&["stop", "sleeper"]);
    house.slc_done(&["start", "sleeper"]);
    drop(strace);
    house.slc_done(&["start", "late"]);
}

#[test]
fn p12_a_leaf_that_stays_busy_for_a_while_is_removed_in_the_end() {
    let house = Watched::new(&[("sleeper", SLEEPER), ("other", SLEEPER)]);
    let process = up(&house, "sleeper");
    up(&house, "other");
    // The thread for slow work removes leaves; the loop waits for nothing.
    let strace = Strace::attach(
        house.supervisor().pid,
        &["-f", "-o", "/dev/null", "-e", "inject=rmdir:error=EBUSY:when=1..6"],
    );
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| house.slc_done(&["stop", "sleeper"]));
        house.wait_state("sleeper", StateWord::Down, PATIENCE);
        house.slc_done(&["restart", "other"]);
        stop.join().expect("no panic");
    });
    drop(strace);
    assert_gone(&house, "sleeper", &[process]);
}

#[test]
fn p12_a_leaf_that_stays_busy_for_good_is_reported_and_left() {
    let house = Watched::new(&[("sleeper", SLEEPER)]);
    up(&house, "sleeper");
    let leaf = house.status("sleeper").leaf.expect("a leaf");
    let strace = Strace::attach(
        house.supervisor().pid,
        &["-f", "-o", "/dev/null", "-e", "inject=rmdir:error=EBUSY"],
    );
    house.slc_done(&["stop", "sleeper"]);
    drop(strace);
    let log = house.read("launcher.log");
    assert!(log.contains("sleeper: cannot rmdir") && log.contains("the empty leaf stays"), "{log}");
    // The next start has a fresh leaf, so the old one is in nobody's way.
    house.slc_done(&["start", "sleeper"]);
    assert_eq!(house.status("sleeper").start, 2);
    fs::remove_dir(leaf).expect("rmdir");
}

#[test]
fn p12_what_lives_in_a_leaf_from_before_is_adopted_and_not_killed() {
    let mut house = House::vacant(&[("sleeper", SLEEPER)]);
    let (known, unknown) =
        (house.unit_cgroup("sleeper").join("7"), house.unit_cgroup("gone").join("3"));
    let mut strangers = [&known, &unknown].map(|leaf| {
        fs::create_dir_all(leaf).expect("mkdir");
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        fs::write(leaf.join("cgroup.procs"), child.id().to_string()).expect("cgroup.procs");
        child
    });
    house.launch();
    let house = Watched::over(house);
    let status = house.wait_state("sleeper", StateWord::Up, PATIENCE);
    assert_eq!((status.start, status.processes), (7, 1));
    assert_eq!(house.processes("sleeper")[0].pid, strangers[0].id(), "no second copy");
    // Its unit file is gone: it is shown, and can be stopped.
    assert!(house.slc_done(&["list"]).contains("its unit file is gone"));
    assert!(strangers.iter_mut().all(|child| child.try_wait().expect("wait").is_none()));
    house.call("Stop", serde_json::json!({"units": ["gone", "sleeper"]})).expect("Stop");
    for stranger in &mut strangers {
        stranger.wait().expect("wait");
    }
}
