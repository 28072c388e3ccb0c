//! What a service finds when it is born.

use std::fs;
use std::path::{Path, PathBuf};

use treeward::supervision::status::StateWord;

use crate::daemons::{SLEEPER, sleeper};
use crate::house::{House, PATIENCE};

/// Scenario S6.
#[test]
fn a_service_has_three_descriptors_and_no_signal_is_blocked_or_ignored() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let descriptors = process.descriptors();
    let numbers: Vec<u32> = descriptors.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2], "{descriptors:?}");
    assert_eq!(descriptors[0].1, "/dev/null");
    assert_eq!(descriptors[1].1, descriptors[2].1, "output and errors go to the same place");
    for mask in ["SigBlk", "SigIgn", "SigCgt", "SigPnd"] {
        assert_eq!(process.status_line(mask), "0000000000000000", "{mask}");
    }
    assert_eq!(process.status_line("Umask"), "0022");
}

/// Scenarios S6 and U5.
#[test]
fn user_group_umask_environment_and_directory_are_as_the_unit_says() {
    let unit = "\
command: sleep 1000
user: daemon
group: nogroup
umask: \"0027\"
working_dir: /usr
environment:
  COLOUR: blue
  SPACED: two words
";
    let house = House::new(&[("modest", unit)]);
    house.wait_state("modest", StateWord::Up, PATIENCE);
    let process = &house.processes("modest")[0];
    assert_eq!(process.status_line("Uid"), "1\t1\t1\t1");
    assert_eq!(process.status_line("Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(process.status_line("Umask"), "0027");
    let directory = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).expect("cwd");
    assert_eq!(directory.to_str(), Some("/usr"));
    let environment = process.environment();
    for wanted in ["COLOUR=blue", "SPACED=two words"] {
        assert!(environment.iter().any(|word| word == wanted), "{wanted}: {environment:?}");
    }
    let leaked = environment.iter().find(|word| word.starts_with("CARGO"));
    assert_eq!(leaked, None, "the supervisor's own environment is not the service's");
}

/// Scenario U5.
#[test]
fn a_user_that_does_not_exist_fails_the_start_and_never_means_root() {
    let unit = "command: sleep 1000\nuser: nobody-of-that-name\nrestart: \"no\"\n";
    let house = House::new(&[("orphan", unit), ("sleeper", SLEEPER)]);
    sleeper(&house, "sleeper");
    // Whether the unit is refused when it is read or when it is started: it never runs.
    let said = house.slc(&["list"]);
    assert!(said.out.contains("orphan"), "{said:?}");
    if let Ok(reply) = house.call("Status", serde_json::json!({"units": ["orphan"]})) {
        let state = &reply["services"][0]["summary"]["state"];
        assert_eq!(state, "failed", "{reply}");
    }
    assert_eq!(house.processes("orphan"), []);
}

#[test]
fn the_first_process_is_born_in_its_leaf_and_leads_a_session_of_its_own() {
    let house = House::new(&[("sleeper", SLEEPER)]);
    let process = sleeper(&house, "sleeper");
    let leaf = house.status("sleeper").leaf.expect("a living service has a leaf");
    assert!(leaf.starts_with(house.unit_cgroup("sleeper").to_str().expect("UTF-8")), "{leaf}");
    let text = std::fs::read_to_string(format!("{leaf}/cgroup.procs")).expect("cgroup.procs");
    assert_eq!(text.trim(), process.pid.to_string());
    assert_eq!(process.status_line("NSsid"), process.pid.to_string());
}

/// Since Linux 6.14 whoever is born into another cgroup is killed at once where the parent's own
/// cgroup was ever killed. A supervisor to which that happens after its beginning finds out by the
/// first birth of each kind; the others of that kind go another way.
#[test]
fn what_is_killed_at_birth_is_born_again_with_all_that_it_was_to_have() {
    let newline = "command: [sh, -c, 'echo >&7; exec 7>&-; exec sleep 1000']\nready: {fd: 7}\n";
    let line = "command: [sh, -c, 'echo I am ready; exec sleep 1000']\nready: {log: 'ready$'}\n";
    let socket = "command: [sh, -c, 'test $LISTEN_FDS = 1 && exec sleep 1000']\ntype: simple\n\
                  sockets: {web: {listen: '{dir}/web.sock'}}\nrestart: no\n";
    let hook = |key: &str| {
        format!(
            "command: sleep 1000\n{key}: {{command: [sh, -c, 'echo x >> {{dir}}/{key}'], timeout: 5s}}\n"
        )
    };
    let (pre, post, clear) = (hook("start_pre"), hook("start_post"), hook("stop_post"));
    let (stop, reload) = (
        "command: sleep 1000\nstop_command: [sh, -c, 'echo x >> {dir}/stop']\n",
        "command: sleep 1000\nreload_command: [sh, -c, 'echo x >> {dir}/reload']\n",
    );
    let check = "command: sleep 1000\nrestart: no\nhealthcheck: {test: [CMD, sh, -c, \
                 'echo x >> {dir}/check'], interval: 1h, retries: 1}\n";
    for (unit, lives) in [
        (newline, false),
        (line, false),
        (socket, false),
        (pre.as_str(), false),
        (post.as_str(), false),
        (clear.as_str(), true),
        (stop, true),
        (reload, true),
        (check, false),
    ] {
        let house = House::new(&[("web", &format!("{unit}enabled: {lives}\n"))]);
        if lives {
            house.wait_state("web", StateWord::Up, PATIENCE);
        }
        let trap = Trap::new(&house);
        match unit {
            _ if !lives => _ = house.slc_done(&["start", "web"]),
            _ if unit == reload => _ = house.slc_done(&["reload", "web"]),
            _ => _ = house.slc_done(&["stop", "web"]),
        }
        if !lives {
            let status = house.status("web");
            assert_eq!((status.start, status.summary.restarts), (1 + u64::from(unit == pre), 0));
        }
        let log = house.read("launcher.log");
        let count = log.matches("killed at birth").count();
        assert_eq!(count, 1, "{unit} (before Linux 6.14 nobody is)\n{log}");
        for (key, of) in [
            ("start_pre", pre.as_str()),
            ("start_post", &post),
            ("stop_post", &clear),
            ("stop", stop),
            ("reload", reload),
            ("check", check),
        ] {
            if of == unit {
                house.wait_for("web", "through", PATIENCE, |_| house.read(key) == "x\n");
            }
        }
        drop(trap);
    }
}

/// The supervisor in a cgroup that was killed before it came there.
struct Trap {
    supervisor: u32,
    trap: PathBuf,
    home: PathBuf,
}

impl Trap {
    fn new(house: &House) -> Self {
        let root = house.cgroup_root();
        let supervisor = house.supervisor().pid;
        let text = fs::read_to_string(format!("/proc/{supervisor}/cgroup")).expect("cgroup");
        let home = text.lines().find_map(|line| line.strip_prefix("0::/")).expect("a cgroup2");
        let home = root.parent().expect("the mount").join(home);
        let trap = root.join("services/trap");
        fs::create_dir(&trap).expect("mkdir");
        fs::write(trap.join("cgroup.kill"), "1").expect("cgroup.kill");
        let it = Self { supervisor, trap, home };
        it.move_to(&it.trap);
        it
    }

    fn move_to(&self, cgroup: &Path) {
        fs::write(cgroup.join("cgroup.procs"), self.supervisor.to_string()).expect("cgroup.procs");
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.move_to(&self.home);
        fs::remove_dir(&self.trap).expect("rmdir");
    }
}
