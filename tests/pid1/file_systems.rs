//! fstab, checks, disks that are there or not.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use treeward::power::report::Entry;
use treeward::unit_file;

use crate::machine::{Machine, Scene};

/// Puts the file `fstab` of `/share` in place.
const SETUP: &str = "echo box > $root/etc/hostname; cp $share/fstab $root/etc/fstab\n";

/// A loop device; dropped, it is given back.
struct Loop(String);

impl Loop {
    fn new(image: &Path) -> Self {
        let made = Command::new("losetup").args(["-f", "--show"]).arg(image).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self(String::from_utf8(made.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

/// An ext4 image with a label, as a file.
fn image(path: &Path, label: &str) {
    let file = fs::File::create(path).unwrap();
    file.set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F", "-L", label]).arg(path).status();
    assert!(made.unwrap().success());
}

/// What the superblock says.
fn superblock(path: &Path) -> String {
    let output = Command::new("dumpe2fs").arg("-h").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_line_is_mounted_as_it_says_and_wrong_ones_are_named() {
    let fstab = "\
# a comment
tmpfs /srv/pool tmpfs size=1m,nosuid,noatime 0 0
/srv/pool/inner /bound none bind,ro,nodev 0 0
wrong
tmpfs /srv/pool/inner tmpfs mode=0700,x-systemd.requires=foo,nofail
tmpfs /not\\040now tmpfs noauto 0 0
tmpfs /net tmpfs _netdev 0 0
server:/export /nfs nfs defaults 0 0
nodev /bad nosuchfs defaults 0 0
/share/nothing /missing ext4 nofail 0 2
none none swap sw,pri=99999 0 0
tmpfs relative tmpfs
tmpfs /shared tmpfs shared
/share/text /etc/motd none bind 0 0
proc /proc proc defaults 0 0
tmpfs /run tmpfs size=2m,nosuid,nodev,mode=0755 0 0
tmpfs / tmpfs ro 0 0
";
    let mut machine = Machine::boot(&Scene {
        files: &[("fstab", fstab), ("text", "hello\n")],
        setup: &format!("{SETUP}: > $root/etc/motd; mkdir $root/net"),
        ..Scene::default()
    });
    let mount = |point: &str| machine.mount(point).unwrap_or_else(|| panic!("no {point}"));
    let pool = mount("/srv/pool");
    assert!(pool.contains("nosuid,noatime") && pool.contains("size=1024k"), "{pool}");
    assert!(mount("/srv/pool/inner").contains("mode=700"));
    let bound = mount("/bound");
    assert!(bound.contains("tmpfs ro,nodev") && bound.contains("mode=700"), "{bound}");
    assert!(mount("/proc").contains("nosuid,nodev,noexec"), "defaults takes nothing away");
    assert_eq!(machine.shell("cat /etc/motd"), (true, "hello\n".to_owned()));
    for point in ["/not\\040now", "/net", "/nfs", "/bad", "/missing"] {
        assert_eq!(machine.mount(point), None);
    }
    let (_, table) = machine.shell("grep ' /shared ' /proc/self/mountinfo");
    assert!(table.contains(" shared:"), "{table}");
    for words in [
        "/etc/fstab line 4: needs at least a device, a mount point and a type; the line is passed",
        "/etc/fstab line 12: the mount point does not begin with a slash",
        "fstab line 7: /net is left to a unit, it needs the network",
        "fstab line 8: /nfs is left to a unit, it needs the network",
        "fstab line 9: cannot mount on /bad: No such device (ENODEV); the boot goes on without",
        "INFO] fstab line 10: ",
        "fstab line 11: swap is the machine's outside; left alone",
        "fstab line 17: / belongs to the machine outside; it stays",
    ] {
        machine.wait_to_say(words);
    }
    let errors = machine.console().matches("ERROR").count();
    assert_eq!(errors, 3, "{}", machine.console());

    // What is left for the network is what the example of a unit mounts.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mount-network.yml");
    let text = fs::read_to_string(&example).unwrap();
    let unit = unit_file::parse(&example, &text).unwrap();
    let script = unit.command.to_vec().pop().unwrap();
    let (_, said) = machine.shell(&script);
    assert!(machine.mount("/net").is_some(), "{said}");
    let stop = unit.stop.command.clone().unwrap();
    let (_, said) = machine.shell(stop.last().unwrap());
    assert_eq!(machine.mount("/net"), None, "{said}");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn disks_are_found_by_label_checked_mounted_and_left_clean() {
    let dir = tempfile::tempdir().unwrap();
    let label = format!("tw {}", std::process::id());
    let disk = dir.path().join("disk");
    image(&disk, &label);
    // Marked as having errors, so that the check has something to correct.
    let marked = Command::new("debugfs").args(["-w", "-R", "ssv state 2"]).arg(&disk).output();
    assert!(marked.unwrap().status.success());
    let device = Loop::new(&disk);
    let tag = label.replace(' ', "\\040");
    let fstab = format!(
        "/share/image /srv/disk/image auto loop 0 0\n\
         LABEL=\"{tag}\" /srv/disk ext4 errors=remount-ro,noatime 0 2\n"
    );
    let mut machine = Machine::boot(&Scene {
        files: &[("fstab", &fstab)],
        setup: &format!("{SETUP}\ntruncate -s 16M $share/image; mkfs.ext4 -q -F $share/image"),
        ..Scene::default()
    });
    let disk_line = machine.mount("/srv/disk").unwrap_or_else(|| panic!("{}", machine.console()));
    assert!(disk_line.starts_with("/srv/disk ext4 rw,noatime"), "{disk_line}");
    assert!(disk_line.contains("errors=remount-ro"), "{disk_line}");
    assert!(machine.mount("/srv/disk/image").unwrap().contains(" ext4 "));
    machine.wait_to_say(&format!("fsck.ext4 {}: ", device.0));
    assert!(
        machine
            .shell("echo kept > /srv/disk/file && sleep 1000 < /srv/disk/file >/dev/null 2>&1 &")
            .0
    );
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    let console = machine.console();
    assert!(!console.contains("ERROR"), "{console}");
    let state = superblock(&disk);
    assert!(state.contains("Filesystem state:         clean"), "{state}");
    assert!(!state.contains("needs_recovery"), "{state}");
    let kept = Command::new("debugfs").args(["-R", "cat /file"]).arg(&disk).output().unwrap();
    assert_eq!(kept.stdout, b"kept\n");
}

#[test]
fn a_damaged_disk_is_not_mounted_and_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let (bad, good) = (dir.path().join("bad"), dir.path().join("good"));
    image(&bad, "bad");
    image(&good, "good");
    // Without its root directory, which no program repairs unasked, and marked as having errors.
    for request in ["clri <2>", "ssv state 2"] {
        let ruined = Command::new("debugfs").args(["-w", "-R", request]).arg(&bad).output();
        assert!(ruined.unwrap().status.success());
    }
    let (bad, good) = (Loop::new(&bad), Loop::new(&good));
    let (first, second) = (&bad.0, &good.0);
    let fstab = format!("{first} /bad ext4 defaults 0 2\n{second} /good ext4 ro 0 3\n");
    let mut machine = Machine::boot(&Scene {
        files: &[("fstab", &fstab)],
        // Not the usual place.
        setup: "echo box > $root/etc/hostname",
        arguments: &["--fstab", "/share/fstab"],
        ..Scene::default()
    });
    assert_eq!(machine.mount("/bad"), None);
    let good = machine.mount("/good").unwrap_or_else(|| panic!("{}", machine.console()));
    assert!(good.starts_with("/good ext4 ro"), "{good}");
    machine.wait_to_say("errors are left that it does not repair by itself");
    machine.wait_to_say("fstab line 1: /bad is damaged, so it is not mounted");
    machine.wait_to_say(&format!("fsck.ext4 {second}: clean"));
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn a_check_that_asks_for_a_restart_gets_it() {
    let mut machine = Machine::start(&Scene {
        files: &[("fstab", "/dev/null /disk fake defaults 0 2\n")],
        setup: &format!(
            "{SETUP}\nmount -t tmpfs tmpfs $root/usr/local/sbin
            printf '#!/bin/sh\\nexit 3\\n' > $root/usr/local/sbin/fsck.fake
            chmod 755 $root/usr/local/sbin/fsck.fake"
        ),
        ..Scene::default()
    });
    assert_eq!(machine.end(std::time::Duration::from_secs(20)), Signal::SIGHUP);
    machine.wait_to_say("errors were corrected, the machine must be restarted");
    assert_eq!(machine.read("starts"), "", "no service saw the disk");
}

/// Ten seconds for all that is missing, and then the boot goes on; one that may fail is not waited
/// for, and an order to go down ends the waiting.
#[test]
fn a_missing_disk_is_waited_for_a_while_and_a_late_one_is_taken() {
    let mut machine = Machine::start(&Scene {
        files: &[("fstab", "/dev/late /late tmpfs defaults 0 0\n/dev/never /never ext4\n")],
        setup: &format!("{SETUP}\nmount -t tmpfs -o mode=0755 tmpfs $root/dev; : > $root/dev/null"),
        ..Scene::default()
    });
    machine.wait_to_say("fstab line 1: waits up to 10 s for /dev/late");
    assert!(machine.shell(": > /dev/late").0);
    machine.wait_to_say("fstab line 2: waits up to ");
    assert!(machine.mount("/late").is_some());
    // Nobody wants to wait for it any more.
    assert_eq!(machine.end_by(Signal::SIGTERM), Signal::SIGHUP);
    assert_eq!(machine.read("starts"), "");
}

/// A loop device that nobody detaches holds the file system that its file is on.
#[test]
fn what_cannot_be_unmounted_is_named_and_reported_once() {
    let mut machine = Machine::boot(&Scene {
        files: &[("fstab", "/share/image /srv/image ext4 loop 0 0\n")],
        setup: &format!("{SETUP}\ntruncate -s 16M $share/image; mkfs.ext4 -q -F $share/image"),
        arguments: &["--log-dir", "/share/log"],
        ..Scene::default()
    });
    let script = "truncate -s 1M /srv/image/inner && losetup -f --show /srv/image/inner";
    let (done, device) = machine.shell(script);
    assert!(done, "{device}");
    let held = Loop(device.trim().to_owned());
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    let words = "cannot unmount /srv/image: it is busy, and no process has a file of it open";
    machine.wait_to_say(words);
    let report = machine.report();
    let told = |entry: &Entry| matches!(entry, Entry::Problem { text } if text == words);
    assert_eq!(report.iter().filter(|entry| told(entry)).count(), 1, "{report:?}");
    assert!(matches!(report.last(), Some(Entry::Ended { .. })));
    drop(held);
}
