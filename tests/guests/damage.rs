//! Every way in which a guest was seen to damage its host: shown not to happen, and, where an
//! option allows it, shown to happen with that, so that the test is known to see it.
//!
//! The host is a stand-in: mounts and a host name of its own that may be damaged.

use std::fs;

use nix::sys::signal::Signal;

use crate::house::{PATIENCE, eventually};
use crate::runner::{Run, run};

const SYSTEMD: &[&str] = &["/lib/systemd/systemd"];

/// A host with a /tmp, a /dev, a /run and a name of its own, whose mounts are shared or private.
/// What it needs of the real one it finds in its /run.
fn host(propagation: &str) -> Vec<String> {
    let set_up = "\
        mount -t tmpfs -o mode=0755 host /run
        : >/run/run-on-pid-ns; mount --bind \"$1\" /run/run-on-pid-ns
        mkdir /run/root /run/dev; mount --bind \"$3\" /run/root
        shift 3
        mount -t tmpfs host /tmp && echo precious >/tmp/file
        for n in null zero full random urandom tty; do
            : >/run/dev/$n; mount --bind /dev/$n /run/dev/$n
        done
        mkdir /run/dev/pts && mount --bind /dev/pts /run/dev/pts
        mount --rbind /run/dev /dev
        hostname outside
        exec /run/run-on-pid-ns --root /run/root \"$@\"";
    ["unshare", "--mount", "--uts", "--propagation", propagation, "sh", "-ec", set_up, "sh"]
        .map(str::to_owned)
        .to_vec()
}

fn systemd_on(propagation: &str, options: &[&str]) -> Run {
    on_stand_in(propagation, options, SYSTEMD)
}

fn on_stand_in(propagation: &str, options: &[&str], init: &[&str]) -> Run {
    let host = host(propagation);
    let way: Vec<&str> = host.iter().map(String::as_str).collect();
    let run = Run::debian_by(&way, options, init);
    run.wait_until_running();
    run
}

/// What a shell command writes on the host of a run.
fn on_host(run: &Run, script: &str) -> String {
    let output = std::process::Command::new("nsenter")
        .args(["--mount", "--uts", "--target", &run.pid().to_string(), "--", "sh", "-c", script])
        .output()
        .expect("nsenter");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
}

fn stop(mut run: Run) {
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 0, "{}", run.said());
}

#[test]
fn the_hosts_tmp_is_not_emptied() {
    let run = systemd_on("private", &[]);
    assert_eq!(on_host(&run, "cat /tmp/file"), "precious");
    stop(run);
    let shared = systemd_on("private", &["--share", "tmp"]);
    let emptied = || on_host(&shared, "ls /tmp | grep -c file") == "0";
    assert!(eventually(PATIENCE, emptied), "this test would not see an emptied /tmp");
    stop(shared);
}

#[test]
fn the_hosts_dev_gets_no_dangling_log() {
    let run = systemd_on("private", &[]);
    assert_eq!(run.inside("readlink /dev/log"), "/run/systemd/journal/dev-log");
    assert_eq!(on_host(&run, "ls -d /dev/log /dev/initctl 2>/dev/null | wc -l"), "0");
    stop(run);
    let shared = systemd_on("private", &["--share", "dev"]);
    let log = on_host(&shared, "readlink /dev/log");
    assert_eq!(log, "/run/systemd/journal/dev-log", "this test would not see it replaced");
    stop(shared);
}

#[test]
fn the_host_keeps_its_name() {
    // systemd names the machine after its own /etc/hostname.
    let init = ["/bin/sh", "-c", "echo inside >/etc/hostname; exec /lib/systemd/systemd"];
    let names = |options: &[&str]| {
        let run = on_stand_in("private", options, &init);
        let names = (run.inside("uname -n"), on_host(&run, "uname -n"));
        stop(run);
        names
    };
    assert_eq!(names(&[]), ("inside".to_owned(), "outside".to_owned()));
    assert_eq!(names(&["--share", "uts"]).1, "inside", "this test would not see a new name");
    // And the name that is asked for is there before the guest's init is.
    let named = run_hostname();
    assert!(named.contains("given"), "{named}");
}

fn run_hostname() -> String {
    run(&["--hostname", "given", "uname", "-n"]).1
}

#[test]
fn a_host_whose_mounts_are_shared_keeps_its_own() {
    let run = systemd_on("shared", &[]);
    let mounts =
        "grep -c . /proc/self/mountinfo; awk '$5 == \"/proc\"' /proc/self/mountinfo | wc -l";
    let during = on_host(&run, mounts);
    // The host's /proc is still its own: it knows processes that the guest cannot see.
    assert_eq!(
        on_host(&run, &format!("ls -d /proc/{}", run.pid())),
        format!("/proc/{}", run.pid())
    );
    assert_eq!(on_host(&run, "findmnt -n -o PROPAGATION / "), "shared");
    let guests = run.inside("cat /proc/1/mountinfo");
    assert!(!guests.contains("shared:") || guests.contains("/run/"), "{guests}");
    assert_eq!(during.lines().nth(1), Some("1"), "a second /proc came out of the guest: {during}");
    stop(run);
}

#[test]
fn nothing_of_the_machines_kernel_can_be_written_to() {
    let script = "for f in /proc/sys/kernel/hostname /proc/sys/vm/swappiness /proc/sysrq-trigger \
                  /sys/kernel/uevent_helper /sys/power/state /sys/kernel/mm/ksm/run; do
                      if ( : >>$f ) 2>/dev/null; then echo writable: $f; fi
                  done; mkdir /sys/x 2>&1; grep CapBnd /proc/self/status";
    let (code, said) = run(&["sh", "-c", script]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("writable"), "{said}");
    let bounds = said.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("CapBnd");
    let bounds = u64::from_str_radix(bounds.trim(), 16).expect("hexadecimal");
    for (name, number) in [("sys_module", 16), ("sys_rawio", 17), ("sys_time", 25)] {
        assert_eq!(bounds >> number & 1, 0, "{name}");
    }
    // reboot(2) is contained by the pid namespace, so it stays; without one it goes.
    assert_eq!(bounds >> 22 & 1, 1);
    let shared = run(&["--share", "pid", "grep", "CapBnd", "/proc/self/status"]).1;
    let bounds = shared.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("CapBnd");
    assert_eq!(u64::from_str_radix(bounds.trim(), 16).unwrap() >> 22 & 1, 0, "{shared}");
    // What is shared can be written to; nothing is.
    let open = "( : >>/proc/sys/vm/swappiness ) && echo writable";
    assert!(run(&["--share", "sysctl", "sh", "-c", open]).1.contains("writable"));
}

#[test]
fn the_hosts_mounts_are_not_made_read_only_with_the_guests() {
    let run = systemd_on("private", &["--share", "proc,dev"]);
    assert!(run.inside("( : >>/proc/sys/vm/swappiness )").contains("Read-only"));
    let writable = on_host(&run, "( : >>/proc/sys/vm/swappiness ) && echo writable");
    assert_eq!(writable, "writable");
    stop(run);
}

/// A guest whose systemd finds cgroups that it cannot use: the machine's own, read-only.
fn systemd_without_cgroups(container: &str, options: &[&str]) -> Run {
    let outside = crate::house::Subtree::new();
    let bind = format!("{}:/run/outside", outside.path().parent().unwrap().display());
    let script = format!(
        "umount /sys/fs/cgroup && mount --bind /run/outside /sys/fs/cgroup &&
         mount -o remount,bind,ro /sys/fs/cgroup && umount -l /run/outside &&
         exec env {container} {}",
        SYSTEMD[0]
    );
    Run::debian(&[&["--bind", &bind], options].concat(), &["/bin/sh", "-c", &script])
}

#[test]
fn a_frozen_systemd_is_ended_in_time() {
    // Without `container=` it says "Freezing execution", and neither ends nor hears anything from
    // then on. It says so to /dev/kmsg.
    let dir = tempfile::tempdir().expect("tempdir");
    let kmsg = dir.path().join("kmsg");
    fs::write(&kmsg, "").expect("write");
    let bind = format!("{}:/dev/kmsg", kmsg.display());
    let options = ["--bind", &bind, "--stop-timeout", "2"];
    let mut run = systemd_without_cgroups("-u container", &options);
    let frozen = || fs::read_to_string(&kmsg).is_ok_and(|log| log.contains("Freezing execution"));
    assert!(eventually(PATIENCE, frozen), "{:?}\n{}", fs::read_to_string(&kmsg), run.said());
    let begin = std::time::Instant::now();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 137, "{}", run.said());
    assert!(begin.elapsed() < std::time::Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(run.said().contains("within 2 s: the guest is killed"), "{}", run.said());
}

#[test]
fn with_container_a_systemd_in_the_same_trouble_ends_by_itself() {
    let mut run = systemd_without_cgroups("", &[]);
    assert_eq!(run.code(), 255, "{}", run.said());
}

#[test]
fn a_guest_cannot_leave_its_cgroup_or_signal_the_host() {
    let host = std::process::id();
    let script = format!(
        "echo $$ >/sys/fs/cgroup/../cgroup.procs; kill -0 {host}; ls /proc/{host} | head -1
         ls /sys/fs/cgroup | grep -c treeward"
    );
    let (_, said) = run(&["bash", "-c", &script]);
    assert!(said.contains("No such process"), "{said}");
    assert!(said.contains(&format!("cannot access '/proc/{host}'")), "{said}");
    assert!(said.contains("\n0\n"), "{said}");
}
