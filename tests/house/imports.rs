//! What `slc import` makes of a sandbox: a real service, started from the unit that came out, finds
//! that it cannot do what systemd would not let it do. Each probe also runs in a service without
//! the sandbox, where it goes well; one that never does would show nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::daemons::assert_stopped;
use crate::house::{House, Process, copy_program};

/// What a service tries: a name, and a command of sh that holds no `'` and no `$`.
type Probe<'a> = (&'a str, &'a str);

/// A supervisor that is not started yet, in a directory with files to look for.
fn house() -> House {
    let house = House::vacant(&[]);
    for folder in ["open", "locked/kept", "locked/mounted", "hidden", "empty"] {
        fs::create_dir_all(house.path(folder)).expect("mkdir");
        house.write(&format!("{folder}/file"), "there\n");
    }
    house.write("owned", "");
    symlink("open", house.path("link")).expect("a link");
    house
}

/// Makes a unit, by an import, of a service that tries the probes and then sleeps. `{dir}` is the
/// house's directory.
fn import(house: &House, name: &str, lines: &str, probes: &[Probe]) -> String {
    let dir = house.path("").display().to_string();
    let tries = probes.iter().map(|(name, command)| {
        format!(
            "if {{ {command}; }} >/dev/null 2>&1; then echo {name} yes; else echo {name} no; fi; "
        )
    });
    let service = format!(
        "[Service]\nExecStart=/bin/sh -c '{} echo tried; exec sleep infinity'\n{lines}\n",
        tries.collect::<String>()
    );
    let file = format!("{name}.service");
    house.write(&file, &service.replace("{dir}", dir.trim_end_matches('/')));
    let answer = house.slc(&["import", &house.path(&file).display().to_string()]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(!answer.err.contains(": dropped: "), "{answer:?}");
    house.write_unit(name, &answer.out);
    let unit = house.path(&format!("units/{name}.yml")).display().to_string();
    let checked = house.slc(&["check", &unit]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    answer.out
}

/// Starts the services and waits until they have tried everything.
fn run(house: &mut House, names: &[&str]) {
    house.launch();
    for name in names {
        house.slc_done(&["start", name]);
        house.wait_for_log(name, "tried");
    }
}

/// A house where `free` has no sandbox and `caged` has these lines.
fn both(lines: &str, probes: &[Probe]) -> House {
    let mut house = house();
    import(&house, "free", "", probes);
    import(&house, "caged", lines, probes);
    run(&mut house, &["free", "caged"]);
    house
}

/// What came of the probes of a service, such as `write no`.
fn outcomes(house: &House, unit: &str) -> Vec<String> {
    let log = house.slc_done(&["journal", "-n", "200", unit]);
    let outcome = |line: &str| {
        let mut words = line.split_whitespace().rev();
        let (answer, name) = (words.next()?, words.next()?);
        ["yes", "no"].contains(&answer).then(|| format!("{name} {answer}"))
    };
    log.lines().filter_map(outcome).collect()
}

/// Asserts that every probe goes well in `free`, and in `caged` none but `still`.
fn assert_caged(house: &House, probes: &[Probe], still: &[&str]) {
    let wanted = |is_well: &dyn Fn(&str) -> bool| {
        let answer = |name: &str| if is_well(name) { "yes" } else { "no" };
        probes.iter().map(|(name, _)| format!("{name} {}", answer(name))).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(house, "free"), wanted(&|_| true));
    let unit = house.read("units/caged.yml");
    assert_eq!(outcomes(house, "caged"), wanted(&|name| still.contains(&name)), "{unit}");
    let processes = house.processes("caged");
    house.slc_done(&["stop", "caged"]);
    assert_stopped(house, "caged", &processes);
}

fn prove(lines: &str, probes: &[Probe], still: &[&str]) {
    assert_caged(&both(lines, probes), probes, still);
}

fn process(house: &House, unit: &str) -> Process {
    house.processes(unit).into_iter().next().expect("a process")
}

/// A path as a process sees it.
fn seen_by(process: &Process, path: &str) -> PathBuf {
    Path::new("/proc").join(process.pid.to_string()).join("root").join(path.trim_start_matches('/'))
}

/// Which namespace of this kind a process is in.
fn namespace(process: &Process, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{}/ns/{kind}", process.pid)).expect("a namespace")
}

#[test]
fn with_a_strict_system_only_what_is_named_can_be_written() {
    let lines = "ProtectSystem=strict\nReadWritePaths={dir}/link\n";
    let probes = [
        ("write", "touch {dir}/locked/file"),
        ("named", "touch {dir}/open/file"),
        ("read", "test -s {dir}/locked/kept/file"),
        ("usr", "test -w /usr"),
        ("device", "echo x >/dev/null"),
    ];
    prove(lines, &probes, &["named", "read", "device"]);
}

#[test]
fn with_a_full_system_its_directories_cannot_be_written() {
    let probes =
        [("usr", "test -w /usr"), ("etc", "test -w /etc"), ("other", "touch {dir}/locked/file")];
    prove("ProtectSystem=full\n", &probes, &["other"]);
    prove("ProtectSystem=yes\n", &probes, &["etc", "other"]);
}

#[test]
fn paths_are_read_only_or_out_of_reach() {
    let lines = "ReadOnlyPaths={dir}/locked -{dir}/nowhere\nReadWritePaths={dir}/locked/kept\n\
                 InaccessiblePaths={dir}/hidden {dir}/owned -{dir}/nowhere\n\
                 TemporaryFileSystem={dir}/empty\n";
    let probes = [
        ("write", "touch {dir}/locked/file"),
        ("kept", "touch {dir}/locked/kept/file"),
        ("read", "test -s {dir}/locked/kept/file"),
        ("hidden", "test -e {dir}/hidden/file"),
        ("file", "test -f {dir}/owned"),
        ("covered", "test -e {dir}/empty/file"),
        ("covering", "touch {dir}/empty/new"),
        ("open", "touch {dir}/open/file"),
    ];
    let house = both(lines, &probes);
    fs::remove_file(house.path("empty/new")).expect("what the free one wrote, and no other");
    assert_caged(&house, &probes, &["kept", "read", "covering", "open"]);
}

#[test]
fn what_is_mounted_below_a_read_only_path_is_read_only_too() {
    let probes =
        [("mounted", "touch {dir}/locked/mounted/file"), ("kept", "touch {dir}/locked/kept/file")];
    let mut house = house();
    let lines = "ReadOnlyPaths={dir}/locked\nReadWritePaths={dir}/locked/kept\n";
    let unit = import(&house, "caged", lines, &probes);
    // The mounts are there before the sandbox is, and go with the service.
    let dir = house.path("locked").display().to_string();
    let mounts = format!(
        "for d in mounted kept; do mount -t tmpfs own {dir}/$d; done\n[ -z \"$1\" ] || exec \"$@\"\n"
    );
    house.write("mounts", &mounts);
    let script = house.path("mounts").display().to_string();
    let before = format!("command:\n  - unshare\n  - --mount\n  - sh\n  - -e\n  - {script}\n");
    let unit = unit.replacen("command:\n", &before, 1);
    assert!(unit.contains(&script), "{unit}");
    house.write_unit("caged", &unit);
    run(&mut house, &["caged"]);
    assert_eq!(outcomes(&house, "caged"), ["mounted no", "kept yes"], "{unit}");
    assert!(seen_by(&process(&house, "caged"), &dir).join("mounted").is_dir());
}

#[test]
fn what_is_bound_is_where_it_should_be() {
    let lines = "BindReadOnlyPaths={dir}/open/file:{dir}/new/place/of/file\n\
                 BindPaths={dir}/open:{dir}/other -{dir}/nowhere:{dir}/nothing\n\
                 ProtectSystem=strict\n";
    let probes = [
        ("read", "test -s {dir}/new/place/of/file"),
        ("change", "echo x >>{dir}/new/place/of/file"),
        ("other", "touch {dir}/other/file"),
        ("strict", "touch {dir}/locked/file"),
    ];
    let mut house = house();
    import(&house, "caged", lines, &probes);
    run(&mut house, &["caged"]);
    assert_eq!(outcomes(&house, "caged"), ["read yes", "change no", "other yes", "strict no"]);
    assert_eq!(house.read("open/file"), "there\n");
    assert!(!house.path("nothing").exists());
}

#[test]
fn temporary_files_are_its_own() {
    let probes = [("seen", "test -e {dir}/open/file"), ("sticky", "test -k /tmp")];
    let house = both("PrivateTmp=yes\n", &probes);
    let name = house.path("").file_name().expect("a name").to_owned();
    let caged = process(&house, "caged");
    for place in ["tmp", "var/tmp"] {
        let own = seen_by(&caged, place);
        assert_eq!(fs::read_dir(&own).expect("a directory").count(), 0, "{}", own.display());
        fs::write(own.join(&name), "its own").expect("it can be written to");
    }
    // The machine's directory of that name is another one.
    assert_eq!(house.read("open/file"), "there\n");
    assert_caged(&house, &probes, &["sticky"]);
}

#[test]
fn homes_are_hidden_empty_or_read_only() {
    let probes = [("write", "test -w /root")];
    let is_full = fs::read_dir("/root").expect("/root").count() > 0;
    for how in ["yes", "tmpfs", "read-only"] {
        let house = both(&format!("ProtectHome={how}\n"), &probes);
        let home = seen_by(&process(&house, "caged"), "/root");
        let is_seen = fs::read_dir(home).expect("/root").count() > 0;
        assert_eq!(is_seen, how == "read-only" && is_full, "{how}");
        assert_caged(&house, &probes, &[]);
    }
}

#[test]
fn a_program_with_its_owners_rights_gives_no_new_ones() {
    let probes = [("root", "test `{dir}/open/id -u` = 0"), ("run", "{dir}/open/id")];
    let mut house = house();
    let id = house.path("open/id");
    copy_program("/usr/bin/id", &id);
    fs::set_permissions(&id, fs::Permissions::from_mode(0o4755)).expect("chmod");
    import(&house, "free", "User=nobody\n", &probes);
    import(&house, "caged", "User=nobody\nNoNewPrivileges=yes\n", &probes);
    run(&mut house, &["free", "caged"]);
    assert_eq!(process(&house, "caged").status_line("NoNewPrivs"), "1");
    assert_caged(&house, &probes, &["run"]);
}

#[test]
fn capabilities_are_gone_for_good() {
    let probes = [
        ("chown", "chown 1 {dir}/owned"),
        ("change-root", "chroot / true"),
        ("node", "mknod {dir}/node-`cat /proc/sys/kernel/random/uuid` c 1 3"),
        ("own", "touch {dir}/open/file"),
    ];
    let lines = "CapabilityBoundingSet=CAP_SYS_CHROOT CAP_DAC_OVERRIDE CAP_KILL\n";
    prove(lines, &probes, &["change-root", "own"]);
    prove("CapabilityBoundingSet=CAP_CHOWN\nCapabilityBoundingSet=\n", &probes, &["own"]);
    prove("CapabilityBoundingSet=~CAP_CHOWN CAP_SYS_CHROOT\n", &probes, &["node", "own"]);
    // An ordinary user that has one all the same.
    let lines = "User=nobody\nAmbientCapabilities=CAP_CHOWN\n";
    let mut house = house();
    import(&house, "caged", lines, &probes[..3]);
    run(&mut house, &["caged"]);
    assert_eq!(outcomes(&house, "caged"), ["chown yes", "change-root no", "node no"]);
    assert_eq!(process(&house, "caged").status_line("CapAmb"), "0000000000000001");
}

#[test]
fn the_kernels_switches_are_out_of_reach() {
    let probes =
        [("tunable", "test -w /proc/sys/kernel/core_pattern"), ("sysfs", "test -w /sys/kernel")];
    prove("ProtectKernelTunables=yes\n", &probes, &[]);
    let set = |house: &House| {
        let set = process(house, "caged").status_line("CapBnd");
        u64::from_str_radix(&set, 16).expect("a number")
    };
    for (line, missing) in [
        ("ProtectKernelModules=yes", 1_u64 << 16),
        ("ProtectKernelLogs=yes", 1 << 34),
        ("ProtectClock=yes", (1 << 25) | (1 << 35)),
    ] {
        let mut house = house();
        import(&house, "caged", line, &[]);
        run(&mut house, &["caged"]);
        assert_eq!(set(&house) & missing, 0, "{line}");
        assert_ne!(set(&house), 0, "{line}");
    }
}

#[test]
fn a_private_network_has_a_loopback_and_nothing_else() {
    // An address that no other test looks for refusals at.
    let listener = TcpListener::bind("127.0.0.77:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let connect = format!("bash -c \"exec 3<>/dev/tcp/127.0.0.77/{port}\"");
    let probes = [("connect", connect.as_str()), ("loopback", "ip link show lo up | grep -q lo")];
    let house = both("PrivateNetwork=yes\n", &probes);
    let (free, caged) = (process(&house, "free"), process(&house, "caged"));
    assert_ne!(namespace(&free, "net"), namespace(&caged, "net"));
    let devices = fs::read_to_string(format!("/proc/{}/net/dev", caged.pid)).expect("devices");
    assert_eq!(devices.lines().filter(|line| line.contains(':')).count(), 1, "{devices}");
    assert_caged(&house, &probes, &["loopback"]);
}

#[test]
fn names_objects_and_mounts_are_its_own() {
    let lines = "ProtectHostname=yes\nPrivateIPC=yes\nPrivateMounts=yes\n";
    let house = both(lines, &[]);
    let (free, caged) = (process(&house, "free"), process(&house, "caged"));
    for kind in ["uts", "ipc", "mnt"] {
        assert_ne!(namespace(&free, kind), namespace(&caged, kind), "{kind}");
    }
    for kind in ["net", "pid", "user"] {
        assert_eq!(namespace(&free, kind), namespace(&caged, kind), "{kind}");
    }
}

#[test]
fn only_devices_that_are_allowed_are_there() {
    let probes = [
        ("tty", "test -e /dev/tty0"),
        ("console", "test -e /dev/console"),
        ("null", "echo x >/dev/null"),
        ("zero", "head -c 4 /dev/zero"),
        ("terminal", "test -e /dev/pts/ptmx"),
        ("node", "mknod {dir}/node-`cat /proc/sys/kernel/random/uuid` c 1 3"),
    ];
    // A container has no terminals of its own, but a console in any case.
    let first = usize::from(!Path::new("/dev/tty0").exists());
    let probes = &probes[first..];
    prove("PrivateDevices=yes\n", probes, &["null", "zero", "terminal"]);
    let lines = "DevicePolicy=closed\nDeviceAllow=/dev/console rw\nDeviceAllow=char-rtc\n";
    prove(lines, probes, &["console", "null", "zero", "terminal"]);
}

#[test]
fn processes_of_others_are_not_seen() {
    let probes = [
        ("first", "test -e /proc/1"),
        ("own", "test -e /proc/self"),
        ("all", "test -e /proc/stat"),
    ];
    let mut house = house();
    import(&house, "free", "User=nobody\n", &probes);
    import(&house, "caged", "User=nobody\nProtectProc=invisible\nProcSubset=pid\n", &probes);
    run(&mut house, &["free", "caged"]);
    assert_caged(&house, &probes, &["own"]);
}

#[test]
fn users_of_the_machine_mean_nothing_inside() {
    let probes = [("chown", "chown 1 {dir}/owned"), ("root", "test `id -u` = 0")];
    let house = both("PrivateUsers=yes\n", &probes);
    assert_ne!(
        namespace(&process(&house, "free"), "user"),
        namespace(&process(&house, "caged"), "user")
    );
    assert_caged(&house, &probes, &["root"]);
    let mut house = self::house();
    let lines = "User=nobody\nPrivateUsers=yes\nCapabilityBoundingSet=\nNoNewPrivileges=yes\n";
    import(&house, "caged", lines, &[("nobody", "test `id -un` = nobody")]);
    run(&mut house, &["caged"]);
    assert_eq!(outcomes(&house, "caged"), ["nobody yes"]);
    let map = fs::read_to_string(format!("/proc/{}/uid_map", process(&house, "caged").pid));
    assert_eq!(map.expect("a map").split_whitespace().nth(2), Some("1"));
    assert_eq!(process(&house, "caged").status_line("CapEff"), "0000000000000000");
}

#[test]
fn nobody_asks_for_real_time_without_the_capability() {
    let probes = [("real-time", "chrt --fifo 1 true"), ("other", "chrt --batch 0 true")];
    let lines = "RestrictRealtime=yes\nCapabilityBoundingSet=CAP_CHOWN\n";
    prove(lines, &probes, &["other"]);
}

#[test]
fn a_user_for_a_while_is_caged_and_what_it_leaves_is_removed() {
    let left = "/dev/shm/treeward-import-left";
    let mut house = house();
    let lines = "DynamicUser=yes\n";
    let touch = format!("touch {left}-`id -u` && ipcmk -M 4096");
    let probes = [("leave", touch.as_str()), ("private", "test -e {dir}/open/file")];
    import(&house, "caged", lines, &probes);
    run(&mut house, &["caged"]);
    assert_eq!(outcomes(&house, "caged"), ["leave yes", "private no"]);
    let process = process(&house, "caged");
    let user = process.status_line("Uid").split_whitespace().next().expect("a user").to_owned();
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", process.pid)).expect("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
    assert!(root.split(' ').nth(3).is_some_and(|it| it.starts_with("ro")), "{root}");
    let objects = || {
        let table = fs::read_to_string("/proc/sysvipc/shm").expect("the table");
        table.lines().filter(|line| line.split_whitespace().nth(7) == Some(user.as_str())).count()
    };
    assert_eq!((Path::new(&format!("{left}-{user}")).exists(), objects()), (true, 1));
    house.slc_done(&["stop", "caged"]);
    assert_eq!((Path::new(&format!("{left}-{user}")).exists(), objects()), (false, 0));
}
