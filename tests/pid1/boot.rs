//! What is set up before anything else runs.

use std::fs;

use nix::sys::signal::Signal;
use treeward::power::Power;
use treeward::power::report::Entry;

use crate::machine::{Machine, Scene};

#[test]
fn an_empty_root_gets_everything_that_programs_need() {
    let mut machine = Machine::boot(&Scene {
        arguments: &["--log-dir", "/share/log", "--units=/u", "quiet", "-x", "--group"],
        ..Scene::default()
    });
    let point = |point: &str| machine.mount(point).unwrap_or_else(|| panic!("no {point}"));
    assert!(point("/proc").starts_with("/proc proc rw,nosuid,nodev,noexec"));
    assert!(point("/sys").starts_with("/sys sysfs rw,nosuid,nodev,noexec"));
    assert!(point("/dev").starts_with("/dev devtmpfs rw,nosuid"));
    assert!(point("/dev/pts").contains("gid=5,mode=620"));
    assert!(point("/dev/shm").starts_with("/dev/shm tmpfs rw,nosuid,nodev"));
    assert!(point("/run").starts_with("/run tmpfs rw,nosuid,nodev"));
    assert!(point("/run").contains("mode=755"));
    assert!(point("/sys/fs/cgroup").starts_with("/sys/fs/cgroup cgroup2 rw,nosuid"));
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(machine.inside(path)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode("/dev/shm"), mode("/run")), (0o1777, 0o755));
    for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")] {
        assert!(fs::read_link(machine.inside("/dev").join(name)).unwrap().ends_with(&target[1..]));
    }

    assert_eq!(machine.shell("hostname"), (true, "box\n".to_owned()));
    assert_eq!(machine.shell("cat /sys/class/net/lo/flags"), (true, "0x9\n".to_owned()));
    let (_, addresses) = machine.shell("cat /proc/net/fib_trie");
    assert!(addresses.contains("127.0.0.1"), "{addresses}");

    let arguments = "--under-init --shutdown-timeout 90 --log-dir=/share/log --units=/u --group\n";
    assert_eq!(machine.read("arguments"), arguments);
    let environment = machine.read("environment");
    let names = environment.lines().map(|line| line.split('=').next().unwrap());
    let mut names: Vec<&str> = names.filter(|name| *name != "PWD" && *name != "_").collect();
    names.sort_unstable();
    assert_eq!(names, ["PATH", "TERM"], "{environment}");
    let descriptors = machine.read("descriptors");
    let open = descriptors.lines().filter(|line| line.contains(" -> "));
    // The fourth is that of ls itself.
    assert_eq!(open.count(), 4, "{descriptors}");
    assert!(descriptors.contains("0 -> /dev/null"), "{descriptors}");
    let (_, status) = machine.shell("cat /proc/$(head -1 /share/starts)/status");
    let group = status.lines().find(|line| line.starts_with("NSpgid:")).unwrap();
    assert_ne!(group.split_whitespace().last(), Some("1"), "{group}");

    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    let console = machine.console();
    assert!(!console.contains("ERROR") && !console.contains("passed over"), "{console}");
    let report = machine.report();
    assert!(
        matches!(report.as_slice(), [Entry::Ended { power: Some(Power::PowerOff), .. }]),
        "{report:?}"
    );
}

#[test]
fn what_an_initramfs_has_mounted_is_kept_and_nothing_is_mounted_twice() {
    let mut machine = Machine::boot(&Scene {
        setup: "
            mount -t sysfs sysfs $root/sys
            mount -t tmpfs -o mode=0755 tmpfs $root/dev
            for node in null zero full random urandom tty; do
                : > $root/dev/$node; mount --bind /dev/$node $root/dev/$node
            done
            mkdir $root/dev/pts $root/dev/shm $root/cgroups
            mount -t devpts -o newinstance,ptmxmode=666 devpts $root/dev/pts
            mount -t tmpfs -o size=3m tmpfs $root/dev/shm
            mount -t tmpfs tmpfs $root/run
            echo from-initramfs > $root/run/mark
            mount -t cgroup2 cgroup2 $root/cgroups
        ",
        ..Scene::default()
    });
    for point in ["/sys", "/dev", "/dev/pts", "/dev/shm", "/run", "/cgroups", "/proc"] {
        let start = format!("{point} ");
        let here: Vec<_> =
            machine.mounts().into_iter().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(here.len(), 1, "{here:?}");
    }
    assert_eq!(machine.mount("/sys/fs/cgroup"), None, "cgroup2 is somewhere else already");
    assert_eq!(fs::read_to_string(machine.inside("/run/mark")).unwrap(), "from-initramfs\n");
    assert!(machine.mount("/dev/shm").unwrap().contains("size=3072k"));
    // There is no hostname file in this one.
    machine.wait_to_say("cannot read /etc/hostname: No such file or directory");
    machine.wait_to_say("cannot read /etc/fstab: No such file or directory");
    assert_eq!(machine.end_by(Signal::SIGTERM), Signal::SIGHUP);
}

#[test]
fn a_proc_of_another_pid_namespace_is_covered_by_our_own() {
    let mut machine = Machine::boot(&Scene {
        setup: "echo box > $root/etc/hostname; : > $root/etc/fstab; mount --bind /proc $root/proc",
        ..Scene::default()
    });
    assert_eq!(machine.shell("cat /proc/1/comm"), (true, "init\n".to_owned()));
    let here = machine.mounts().into_iter().filter(|line| line.starts_with("/proc ")).count();
    assert_eq!(here, 2, "the other one is below");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

/// What cannot be made there is told, and the boot goes on.
#[test]
fn a_read_only_root_without_any_mount_point_still_comes_up() {
    let mut machine = Machine::start(&Scene {
        setup: "
            rmdir $root/sys $root/dev $root/run $root/tmp
            echo box > $root/etc/hostname
            cat > $root/etc/fstab <<X
tmpfs /mnt/x tmpfs
X
            # stage.sh needs /proc and /old for a moment.
            cat > $root/ro <<'X'
#!/bin/sh
mount -t proc proc /proc && mount -o remount,ro / && umount -l /proc && exec /init \"$@\"
X
            chmod 755 $root/ro
        ",
        launcher: "#!/bin/sh\ntrap 'exit 81' TERM\necho up > /share/up\n\
            while :; do sleep 0.05; done\n",
        by: &["/ro"],
        ..Scene::default()
    });
    machine.wait_for("the launcher", |machine| machine.path("up").exists());
    for words in [
        "cannot make the directory /sys: Read-only file system (EROFS); sysfs is not mounted",
        "cannot make the directory /run: Read-only file system (EROFS); tmpfs is not mounted",
        "hostname box",
        "fstab line 1: cannot make the directory /mnt/x: Read-only file system",
        "/service-launcher runs",
    ] {
        machine.wait_to_say(words);
    }
    assert_eq!(machine.end_by(Signal::SIGUSR2), Signal::SIGINT);
    machine.wait_to_say("cannot write the report of this shutdown in /var/log/treeward");
    machine.wait_to_say("halt\n");
}

/// The kernel starts process 1 like this where there is no console device yet, and Rust's runtime
/// ends such a program when it finds no /dev/null either.
#[test]
fn process_1_that_is_started_without_descriptors_opens_the_console() {
    let mut machine = Machine::boot(&Scene {
        setup: "
            echo box > $root/etc/hostname; : > $root/etc/fstab
            mount -t tmpfs -o mode=0755 tmpfs $root/dev
            : > $share/dev-console; : > $root/dev/console
            mount --bind $share/dev-console $root/dev/console
        ",
        by: &["/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh", "/init"],
        ..Scene::default()
    });
    let said = machine.read("dev-console");
    assert!(said.contains("init 0.1.0 begins") && said.contains("hostname box"), "{said}");
    let open = |fd: u32| fs::read_link(format!("/proc/{}/fd/{fd}", machine.init())).unwrap();
    assert!((0..3).all(|fd| open(fd).ends_with("console")), "{:?}", open(0));
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}

#[test]
fn a_hostname_file_may_be_wrong_in_every_way() {
    for (text, said) in [
        ("# none\n\n", "/share/name: no name in it; the hostname stays"),
        ("two words\n", "/share/name: a name is made of letters, digits"),
        (&"x".repeat(65), "/share/name: the name is longer than the 64 bytes"),
    ] {
        let mut machine = Machine::boot(&Scene {
            files: &[("name", text)],
            setup: "hostname before; : > $root/etc/fstab",
            arguments: &["--hostname-file=/share/name"],
            ..Scene::default()
        });
        machine.wait_to_say(said);
        assert_eq!(machine.shell("hostname"), (true, "before\n".to_owned()));
        assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
    }
}

#[test]
fn words_of_the_kernel_command_line_that_come_as_arguments_are_told_only_for_debugging() {
    let mut machine = Machine::boot(&Scene {
        arguments: &[
            "--debug",
            "splash",
            "BOOT_IMAGE=/vmlinuz",
            "\u{1b}[2J",
            "--shutdown-timeout=soon",
            "--log-size=10M",
        ],
        ..Scene::default()
    });
    machine.wait_to_say("passed over: splash");
    machine.wait_to_say("passed over: BOOT_IMAGE=/vmlinuz");
    machine.wait_to_say("passed over: \\x1b[2J");
    // What is meant for it and makes no sense is told in any case.
    machine.wait_to_say("shutdown-timeout=soon: a whole number of seconds is expected");
    machine.wait_to_say("log-size=10M: a whole number of bytes is expected; it is passed over");
    assert_eq!(machine.end_by(Signal::SIGUSR1), Signal::SIGINT);
}
