//! Guests as units of a real supervisor: one unit up, one tree, stopped in the guest's own way,
//! entered from outside, and able to ask the supervisor from inside.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use treeward::supervision::status::{StateWord, Status};

use crate::house::{House, PATIENCE, Process, cgroups_below, eventually};
use crate::runner::debian;

/// A unit that runs Debian with an init in `run-on-pid-ns`.
fn unit(options: &str, init: &str) -> String {
    format!(
        "command: [{}, --root, {}, --volatile, --hostname, inside, {options} {init}]\n\
         kill_mode: mixed\nstop_grace_period: 40s\n",
        env!("CARGO_BIN_EXE_run-on-pid-ns"),
        debian().display(),
    )
}

const SYSTEMD: &str = "/lib/systemd/systemd";
const RUNIT: &str = "/sbin/runit";

/// What `slc enter` writes.
fn enter(house: &House, unit: &str, script: &str) -> String {
    let answer = house.slc(&["enter", unit, "sh", "-c", script]);
    format!("{}{}", answer.out, answer.err).trim().to_owned()
}

fn wait_until_running(house: &House, unit: &str) {
    let mut last = String::new();
    let came = eventually(PATIENCE, || {
        last = enter(house, unit, "systemctl is-system-running");
        last == "running"
    });
    assert!(came, "{unit}: {last}\n{}", house.slc(&["journal", unit]).out);
}

fn tree_has(status: &Status, command: &str) -> bool {
    status.tree.iter().any(|process| process.command.contains(command))
}

#[test]
fn systemd_is_one_unit_that_stops_in_its_own_way_and_starts_again() {
    let house = House::new(&[("guest", &unit("", SYSTEMD))]);
    house.wait_state("guest", StateWord::Up, PATIENCE);
    wait_until_running(&house, "guest");

    let list = house.slc_done(&["list"]);
    assert_eq!(list.lines().filter(|line| line.contains("guest")).count(), 1, "{list}");
    let status = house.status("guest");
    for command in ["run-on-pid-ns", SYSTEMD, "systemd-journald", "dbus-daemon"] {
        assert!(tree_has(&status, command), "no {command} in {status:#?}");
    }
    let deep = |command: &str| {
        let mut tree = status.tree.iter();
        tree.find(|process| process.command.contains(command)).map(|process| process.depth)
    };
    assert!(deep("run-on-pid-ns") < deep("systemd-journald"), "{:#?}", status.tree);

    let before = house.processes("guest");
    house.slc_done(&["restart", "guest"]);
    assert!(before.iter().all(|process| !process.lives()));
    wait_until_running(&house, "guest");

    let before = house.processes("guest");
    let begin = Instant::now();
    house.slc_done(&["stop", "guest"]);
    let took = begin.elapsed();
    assert!(before.len() > 4 && before.iter().all(|process| !process.lives()));
    assert!(cgroups_below(&house.unit_cgroup("guest")).is_empty());
    let log = house.wait_for_log("guest", "to power off");
    assert_eq!(log.matches("asked systemd").count(), 2, "{log}");
    assert!(!log.contains("killed"), "{log}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(house.status("guest").summary.state, StateWord::Down);

    house.slc_done(&["start", "guest"]);
    wait_until_running(&house, "guest");
}

#[test]
fn runit_is_one_unit_that_stops_in_its_own_way_and_starts_again() {
    let house = House::new(&[("guest", &unit("", RUNIT))]);
    for _ in 0..2 {
        house.wait_for("guest", "up with runsvdir", PATIENCE, |status| {
            status.summary.state == StateWord::Up && tree_has(status, "runsvdir")
        });
        let before = house.processes("guest");
        house.slc_done(&["stop", "guest"]);
        assert!(before.len() > 2 && before.iter().all(|process| !process.lives()));
        assert!(cgroups_below(&house.unit_cgroup("guest")).is_empty());
        house.slc_done(&["start", "guest"]);
    }
    let log = house.wait_for_log("guest", "enter stage: /etc/runit/3");
    assert!(log.contains("asked runit") && !log.contains("killed"), "{log}");
}

#[test]
fn a_reboot_inside_keeps_the_unit_up() {
    let house = House::new(&[("guest", &unit("", SYSTEMD))]);
    wait_until_running(&house, "guest");
    let before = house.status("guest");
    enter(&house, "guest", "systemctl reboot");
    house.wait_for_log("guest", "the guest reboots");
    wait_until_running(&house, "guest");
    let after = house.status("guest");
    assert_eq!((after.start, after.summary.state), (before.start, StateWord::Up));
    // A poweroff ends it: not a failure, and not restarted.
    enter(&house, "guest", "systemctl poweroff");
    let down = house.wait_state("guest", StateWord::Down, PATIENCE);
    assert_eq!(down.processes, 0);
}

#[test]
fn a_notify_unit_is_up_when_the_guest_has_booted() {
    let slow =
        "[Service]\nType=oneshot\nExecStart=/bin/sleep 2\n[Install]\nWantedBy=multi-user.target";
    let script = format!(
        "printf '{}\\n' >/etc/systemd/system/slow.service && mkdir -p \
         /etc/systemd/system/multi-user.target.wants && ln -s ../slow.service \
         /etc/systemd/system/multi-user.target.wants/ && exec {SYSTEMD}",
        slow.replace('\n', "\\n")
    );
    let unit = format!(
        "{}type: notify\nstart_timeout: 60s\n",
        unit("--notify, /bin/sh, -c,", &serde_json::to_string(&script).expect("JSON"))
    );
    let house = House::new(&[("guest", &unit)]);
    house.wait_for("guest", "on its way", PATIENCE, |status| {
        status.summary.state == StateWord::Starting && tree_has(status, "/bin/sleep 2")
    });
    house.wait_state("guest", StateWord::Up, PATIENCE);
    assert_eq!(enter(&house, "guest", "systemctl is-system-running"), "running");
}

#[test]
fn a_command_enters_all_of_the_guest() {
    let house = House::new(&[("guest", &unit("--private-network,", SYSTEMD))]);
    wait_until_running(&house, "guest");
    // Every namespace and the root are those of the guest's init.
    let look = "for k in pid mnt time uts ipc cgroup net; do
                    [ $(readlink /proc/self/ns/$k) = $(readlink /proc/1/ns/$k) ] || echo other $k
                done; uname -n; cat /proc/1/comm; ls -di / | cut -d' ' -f1
                cut -d. -f1 /proc/uptime; echo $container $HOME $PWD";
    let said = enter(&house, "guest", look);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["inside", "systemd"], "{said}");
    assert!(lines[3].parse::<u64>().expect("a number") < 600, "the machine's uptime: {said}");
    assert_eq!(lines[4], "treeward /root /root", "{said}");

    // Without a command it is root's login shell.
    let mut shell = Command::new(env!("CARGO_BIN_EXE_slc"));
    shell.arg("--socket").arg(house.path("run/control.sock")).args(["enter", "guest"]);
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("slc");
    std::io::Write::write_all(&mut shell.stdin.take().expect("stdin"), b"echo $0 in $(uname -n)\n")
        .expect("write");
    let output = shell.wait_with_output().expect("slc");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "-bash in inside\n");

    // The status comes through, by exit and by signal.
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137)] {
        assert_eq!(house.slc(&["enter", "guest", "sh", "-c", script]).code, Some(code), "{script}");
    }
    assert_eq!(house.slc(&["enter", "guest", "/nonexistent"]).code, Some(127));
    assert_eq!(house.slc(&["enter", "guest", "/etc/passwd"]).code, Some(126));
}

#[test]
fn who_has_entered_is_stopped_with_the_unit_and_is_not_in_the_guests_cgroup() {
    let house = House::new(&[("guest", &unit("", SYSTEMD))]);
    wait_until_running(&house, "guest");
    let mut visitor = Command::new(env!("CARGO_BIN_EXE_slc"))
        .arg("--socket")
        .arg(house.path("run/control.sock"))
        .args(["enter", "guest", "sleep", "1234"])
        .spawn()
        .expect("slc");
    let status =
        house.wait_for("guest", "visited", PATIENCE, |status| tree_has(status, "sleep 1234"));
    let sleep = status.tree.iter().find(|process| process.command == "sleep 1234").expect("sleep");
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", sleep.pid)).expect("cgroup");
    assert!(cgroup.lines().any(|line| line.ends_with("/supervise")), "{cgroup}");
    let sleep = Process::look(sleep.pid).expect("it sleeps");
    house.slc_done(&["stop", "guest"]);
    assert!(!sleep.lives());
    let code = visitor.wait().expect("slc").code();
    // systemd ends every process that it can see, then the namespace goes.
    assert!(matches!(code, Some(143 | 137)), "{code:?}");

    // A signal to slc reaches the command.
    house.slc_done(&["start", "guest"]);
    wait_until_running(&house, "guest");
    let mut visitor = Command::new(env!("CARGO_BIN_EXE_slc"))
        .arg("--socket")
        .arg(house.path("run/control.sock"))
        .args(["enter", "guest", "sleep", "1234"])
        .spawn()
        .expect("slc");
    house.wait_for("guest", "visited", PATIENCE, |status| tree_has(status, "sleep 1234"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(visitor.id() as i32),
        nix::sys::signal::Signal::SIGTERM,
    )
    .expect("kill");
    assert_eq!(visitor.wait().expect("slc").code(), Some(128 + 15));
}

#[test]
fn what_is_no_guest_cannot_be_entered() {
    let house = House::new(&[
        ("plain", "command: sleep 1000\n"),
        ("down", "command: sleep 1000\nenabled: false\n"),
    ]);
    house.wait_state("plain", StateWord::Up, PATIENCE);
    let refused = |unit: &str| {
        let answer = house.slc(&["enter", unit, "true"]);
        (answer.code, answer.err)
    };
    let (code, error) = refused("plain");
    assert!(code == Some(1) && error.contains("plain: there is no guest in it"), "{error}");
    let (code, error) = refused("down");
    assert!(code == Some(3), "{error}");
    let (code, error) = refused("nobody");
    assert!(code == Some(4) && error.contains("no such unit: nobody"), "{error}");
    // A namespace may be entered by root only, even where the socket may be read by others.
    fs::set_permissions(house.path("run/control.sock"), {
        std::os::unix::fs::PermissionsExt::from_mode(0o666)
    })
    .expect("chmod");
    let other = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", env!("CARGO_BIN_EXE_slc"), "--socket"])
        .arg(house.path("run/control.sock"))
        .args(["enter", "plain", "true"])
        .output()
        .expect("setpriv");
    assert_eq!(other.status.code(), Some(7), "{other:?}");
}

#[test]
fn slc_works_from_inside_where_the_socket_is_bound_or_run_is_shared() {
    let slc = env!("CARGO_BIN_EXE_slc");
    let house = House::new(&[
        ("plain", "command: sleep 1000\n"),
        (
            "bound",
            &unit(
                &format!("--control-socket={{dir}}/run/control.sock, --bind, {slc}:/usr/bin/slc,"),
                SYSTEMD,
            ),
        ),
        ("kept-out", &unit(&format!("--bind, {slc}:/usr/bin/slc,"), SYSTEMD)),
    ]);
    wait_until_running(&house, "bound");
    wait_until_running(&house, "kept-out");
    let list = enter(&house, "bound", "slc list");
    assert!(list.contains("plain") && list.contains("kept-out"), "{list}");
    enter(&house, "bound", "slc stop plain");
    assert_eq!(house.status("plain").summary.state, StateWord::Down);
    assert!(enter(&house, "kept-out", "slc list").contains("is not running"));
    // systemd did not take the directory away, and a supervisor that comes anew is found again.
    let mut house = house;
    house.kill_supervisor();
    assert!(Path::new(&house.path("units")).exists());
    house.launch();
    let again = eventually(PATIENCE, || enter(&house, "bound", "slc list").contains("plain"));
    assert!(again, "{}", enter(&house, "bound", "slc list"));
}

#[test]
fn slc_works_from_inside_as_the_article_had_it() {
    // The article's guest shares /run, and there the socket.
    let dir = format!("/run/treeward-guests-{}", std::process::id());
    fs::create_dir_all(&dir).expect("mkdir");
    let house = House::new(&[(
        "guest",
        &format!(
            "command: [{}, --as-in-the-article, sh, -c, \"exec sleep 1000\"]\nkill_mode: mixed\n",
            env!("CARGO_BIN_EXE_run-on-pid-ns")
        ),
    )]);
    house.wait_for("guest", "executed", PATIENCE, |status| {
        status.tree.iter().any(|process| process.command == "sleep 1000")
    });
    std::os::unix::fs::symlink(house.path("run/control.sock"), format!("{dir}/control.sock"))
        .expect("link");
    let slc = env!("CARGO_BIN_EXE_slc");
    let list = enter(&house, "guest", &format!("{slc} --socket {dir}/control.sock list"));
    fs::remove_dir_all(&dir).expect("rmdir");
    assert!(list.contains("guest") && list.contains("up"), "{list}");
}

#[test]
fn the_examples_run_as_they_stand() {
    for (name, init) in [("systemd", "journald"), ("runit", "runsvdir")] {
        let file = format!("{}/examples/{name}.yml.disabled", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&file).expect("the example");
        let mut house = House::vacant(&[]);
        // Only the places are of this machine, and nothing of the root is kept.
        let socket = house.path("run/control.sock").display().to_string();
        let unit = text
            .replace("- run-on-pid-ns", &format!("- {}", env!("CARGO_BIN_EXE_run-on-pid-ns")))
            .replace("/srv/guest", &debian().display().to_string())
            .replace("/srv/void", &debian().display().to_string())
            .replace("- --control-socket", &format!("- --control-socket={socket}\n  - --volatile"));
        house.write_unit(name, &unit);
        house.launch();
        house.wait_for(name, "up", PATIENCE, |status| {
            status.summary.state == StateWord::Up && tree_has(status, init)
        });
        let before = house.processes(name);
        house.slc_done(&["reload", name]);
        house.wait_for_log(name, "the guest reboots");
        house.wait_for(name, "up again", PATIENCE, |status| tree_has(status, init));
        assert!(before.iter().filter(|process| process.lives()).count() == 1, "but for the keeper");
        house.slc_done(&["stop", name]);
        let log = house.slc(&["journal", name]).out;
        assert!(log.contains("to power off") && !log.contains("killed"), "{log}");
    }
}
