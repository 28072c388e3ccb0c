//! How a guest ends, and what follows.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;

use crate::house::{PATIENCE, Process, eventually};
use crate::runner::{ENDER, Run, bind_ender, run, with_ender};

#[test]
fn every_exit_status_comes_back() {
    for status in 0..=255 {
        let (code, said) = with_ender(&[], &["exit", &status.to_string()]);
        assert_eq!(code, status, "{said}");
    }
}

#[test]
fn a_whole_guests_exit_status_comes_back() {
    for status in [0, 1, 2, 7, 126, 127, 255] {
        let mut run = Run::debian(&[], &["/bin/sh", "-c", &format!("exit {status}")]);
        assert_eq!(run.code(), status, "{}", run.said());
    }
}

#[test]
fn a_crash_is_128_and_the_signal() {
    let (code, said) = with_ender(&[], &["crash"]);
    assert_eq!(code, 128 + libc::SIGSEGV, "{said}");
    assert!(said.contains("signal 11 killed the guest's init"), "{said}");
}

#[test]
fn a_guest_killed_from_outside_is_137() {
    let mut run = Run::start(&["sleep", "1000"]);
    run.init().signal(Signal::SIGKILL);
    assert_eq!(run.code(), 137);
}

#[test]
fn a_poweroff_or_halt_inside_ends_well_whoever_calls() {
    for how in ["reboot", "child"] {
        for word in ["poweroff", "halt"] {
            let (code, said) = with_ender(&[], &[how, word]);
            assert_eq!(code, 0, "{how} {word}: {said}");
            assert!(said.contains("the guest has powered off"), "{said}");
        }
    }
}

#[test]
fn a_reboot_inside_is_129_when_it_is_not_restarted() {
    for how in ["reboot", "child"] {
        for word in ["restart", "restart2"] {
            let (code, said) = with_ender(&["--on-reboot", "exit"], &[how, word]);
            assert_eq!(code, 129, "{how} {word}: {said}");
            assert!(said.contains("the guest reboots"), "{said}");
        }
    }
}

#[test]
fn what_reboot_refuses_in_a_namespace_does_nothing() {
    for how in ["reboot", "child"] {
        for word in ["cad-on", "cad-off", "kexec"] {
            let (code, said) = with_ender(&[], &[how, word]);
            assert_eq!(code, libc::EINVAL, "{how} {word}: {said}");
        }
    }
}

#[test]
fn a_guest_that_reboots_is_started_anew_in_a_fresh_cgroup_with_uptime_0() {
    let dir = tempfile::tempdir().expect("tempdir");
    let bind = format!("{}:/run/shared", dir.path().display());
    // The first two starts reboot, the third powers off.
    let script = format!(
        "stat -c %i /sys/fs/cgroup >>/run/shared/cgroups; cat /proc/uptime >>/run/shared/uptimes
         mkdir /sys/fs/cgroup/inner; sleep 0.3
         case $(wc -l </run/shared/cgroups) in
         1 | 2) exec {ENDER} reboot restart ;;
         *) exec {ENDER} reboot poweroff ;;
         esac"
    );
    let ender = bind_ender();
    let mut run = Run::start(&["--bind", &bind, "--bind", &ender, "sh", "-c", &script]);
    let mut leaf_inodes = Vec::new();
    eventually(PATIENCE, || {
        let inode = fs::metadata(run.payload()).map(|metadata| metadata.ino());
        if let Ok(inode) = inode
            && leaf_inodes.last() != Some(&inode)
        {
            leaf_inodes.push(inode);
        }
        run.said().contains("has powered off")
    });
    assert_eq!(run.code(), 0, "{}", run.said());
    let read = |name| fs::read_to_string(dir.path().join(name)).expect(name);
    let cgroups: Vec<u64> = read("cgroups").lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(cgroups, leaf_inodes, "each start sees the payload of that start as its root");
    assert_eq!(cgroups.len(), 3, "{}", run.said());
    for uptime in read("uptimes").lines() {
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(uptime < 2.0, "a guest that begins with an uptime of {uptime} s");
    }
}

#[test]
fn a_guest_that_powers_off_is_restarted_when_that_is_asked_for_until_it_is_stopped() {
    let (option, ender) = (["--on-poweroff", "restart", "--bind"], bind_ender());
    let mut run = Run::start(&[&option[..], &[&ender, ENDER, "reboot", "poweroff"]].concat());
    let thrice = || run.said().matches("the guest has powered off").count() >= 3;
    assert!(eventually(PATIENCE, thrice), "{}", run.said());
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 0, "{}", run.said());
}

/// A supervisor's socket that answers one call, and what it was asked.
fn answer_once(answer: &'static str) -> (tempfile::TempDir, thread::JoinHandle<String>) {
    let dir = tempfile::tempdir().expect("tempdir");
    let listener = UnixListener::bind(dir.path().join("control.sock")).expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let thread = thread::spawn(move || {
        let mut accepted = None;
        eventually(PATIENCE, || {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let (mut stream, _) = accepted.expect("nobody called");
        stream.set_nonblocking(false).expect("blocking");
        let mut call = vec![0; 4096];
        let length = stream.read(&mut call).expect("read");
        stream.write_all(answer.as_bytes()).expect("write");
        String::from_utf8_lossy(&call[..length]).into_owned()
    });
    (dir, thread)
}

#[test]
fn the_machine_follows_its_guest_when_that_is_asked_for() {
    for (option, word, method) in
        [("--on-reboot", "restart", "Reboot"), ("--on-poweroff", "halt", "PowerOff")]
    {
        let (dir, asked) = answer_once("{\"parameters\":{}}\0");
        let socket = format!("--control-socket={}", dir.path().join("control.sock").display());
        let (code, said) = with_ender(&[&socket, option, "machine"], &["reboot", word]);
        assert_eq!(code, 0, "{said}");
        let asked = asked.join().expect("the socket");
        assert!(asked.contains(&format!("\"org.treeward.Supervisor.{method}\"")), "{asked}");
    }
}

#[test]
fn a_supervisor_that_refuses_is_quoted() {
    let (dir, asked) = answer_once(
        "{\"error\":\"org.treeward.Supervisor.NoPower\",\
         \"parameters\":{\"reason\":\"nobody waits\"}}\0",
    );
    let socket = format!("--control-socket={}", dir.path().join("control.sock").display());
    let (code, said) = with_ender(&[&socket, "--on-poweroff", "machine"], &["reboot", "poweroff"]);
    asked.join().expect("the socket");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("does not poweroff with the guest"), "{said}");
    assert!(said.contains("nobody waits"), "{said}");
}

#[test]
fn what_cannot_be_set_up_says_why() {
    for (arguments, expected, why) in [
        (&["--root", "/nonexistent", "sh"][..], 125, "/nonexistent"),
        (&["--bind", "/nonexistent:/mnt", "sh"], 125, "/nonexistent"),
        (&["--device", "/etc/passwd", "sh"], 125, "find a device at /etc/passwd"),
        (&["--control-socket=/nonexistent/x", "sh"], 125, "is the supervisor running?"),
        (&["/nonexistent"], 127, "cannot execute \"/nonexistent\""),
        (&["/etc/passwd"], 126, "cannot execute \"/etc/passwd\""),
        (&["--share", "mount", "--root", "/", "sh"], 2, "--root"),
        (&["--hostname", "x", "--share", "uts", "sh"], 2, "would rename this machine"),
        (&["--share", "everything", "sh"], 2, "everything"),
        (&[], 2, "COMMAND"),
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn without_root_it_says_what_is_missing() {
    let mut run = Run::start_by(&["setpriv", "--reuid=65534", "--clear-groups"], &["sh"]);
    assert_eq!(run.code(), 125);
    assert!(run.said().contains("Operation not permitted"), "{}", run.said());
}

#[test]
fn the_guest_goes_with_run_on_pid_ns_when_that_is_killed() {
    let run = Run::debian(&[], &["/bin/sh", "-c", "setsid sleep 1000 & sleep 1000"]);
    let init = run.init();
    assert!(eventually(PATIENCE, || run.residents(&run.payload()).len() == 3));
    run.signal(Signal::SIGKILL);
    assert!(eventually(PATIENCE, || !init.lives()), "an init without its keeper");
    assert!(eventually(PATIENCE, || run.residents(&run.payload()).is_empty()));
}

#[test]
fn started_by_hand_among_others_it_makes_a_cgroup_and_takes_it_away() {
    // No leaf of its own: the shell waits in the same cgroup.
    let subtree = crate::house::Subtree::new();
    let script = format!(
        "echo $$ >{0}/cgroup.procs; \"$0\" sh -c 'cat /proc/self/cgroup; ls /sys/fs/cgroup'
         echo $?; ls -d {0}/*/",
        subtree.path().display()
    );
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_run-on-pid-ns")])
        .output()
        .expect("sh");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("0::/\n") && out.contains("cgroup.procs"), "{output:?}");
    assert!(out.trim_end().ends_with("\n0"), "a cgroup is left behind: {output:?}");
}

#[test]
fn without_any_cgroup_it_says_so_and_goes_on() {
    // A host on which cgroup2 cannot be seen.
    let hide = "for p in $(awk '$(NF-2) == \"cgroup2\" { print $5 }' /proc/self/mountinfo)
                do umount -l $p; done; exec \"$@\"";
    let way = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"];
    let mut run = Run::start_by(&way, &["sh", "-c", "echo pid $$; exit 7"]);
    assert_eq!(run.code(), 7);
    let said = run.said();
    assert!(said.contains("pid 1") && said.contains("shares our cgroup"), "{said}");
}

#[test]
fn the_guests_own_processes_go_with_its_init() {
    let mut run = Run::debian(&[], &["/bin/sh", "-c", "setsid sleep 1000 & echo there; sleep 0.2"]);
    run.wait_for("there");
    let init = run.init();
    let pids = crate::house::pids_below(&run.payload());
    let all: Vec<Process> = pids.into_iter().filter_map(Process::look).collect();
    assert!(all.contains(&init), "{all:?}");
    assert_eq!(run.code(), 0);
    assert!(all.iter().all(|process| !process.lives()));
}
