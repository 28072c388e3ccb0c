//! F: what a PID file may say. It is a hint about the service's own processes, and nothing in it
//! gets anybody else signalled.

use std::fs::{self, File};
use std::os::unix::fs::{lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, Process, SECOND, eventually};
use crate::watched::Watched;
use crate::{SLEEPER, assert_gone, up};

/// Two processes of which none is the main one by its looks.
const TWINS: &str = "command: [sh, -c, 'sleep 1000 & sleep 1000 &']\nenabled: false\n";

const NOBODY: u32 = 65_534;

/// What lies where the PID file is expected.
enum Found<'a> {
    Text(&'a [u8]),
    /// A file of so many bytes, all of them holes.
    Sparse(u64),
    Link(PathBuf),
    Directory,
    Fifo,
    /// `/dev/zero` under another name.
    Device,
    /// The file is in order, but the way to it leads over a link of the user nobody.
    OverForeignLink,
}

impl Found<'_> {
    fn put(&self, path: &Path, owner: u32) {
        match self {
            Self::Text(text) => fs::write(path, text).expect("write"),
            Self::Sparse(length) => {
                File::create(path).and_then(|f| f.set_len(*length)).expect("file")
            }
            Self::Link(target) => symlink(target, path).expect("symlink"),
            Self::Directory => fs::create_dir(path).expect("mkdir"),
            Self::Fifo => mkfifo(path, Mode::S_IRWXU).expect("mkfifo"),
            Self::Device => {
                let made = Command::new("mknod").arg(path).args(["c", "1", "5"]).status();
                assert!(made.expect("mknod").success());
            }
            Self::OverForeignLink => {
                let link = path.parent().expect("a directory");
                fs::create_dir(link.with_extension("real")).expect("mkdir");
                fs::write(link.with_extension("real").join("pid"), "2\n").expect("write");
                symlink(link.with_extension("real"), link).expect("symlink");
                lchown(link, Some(NOBODY), Some(NOBODY)).expect("lchown");
            }
        }
        if !matches!(self, Self::OverForeignLink) {
            lchown(path, Some(owner), Some(owner)).expect("lchown");
        }
    }
}

/// A process of nobody's, in a group of its own.
fn stranger() -> Child {
    Command::new("sleep").arg("1000").process_group(0).spawn().expect("sleep")
}

#[test]
fn f1_f2_f5_f6_nothing_that_a_pid_file_says_reaches_a_stranger() {
    let mut other = stranger();
    let other_pid = format!("{}\n", other.id());
    let group = format!("-{}\n", other.id());
    let digits = vec![b'7'; 10_000_000];
    let mut house = House::vacant(&[("victim", SLEEPER)]);
    house.launch();
    let victim = up(&house, "victim");
    let victim_pid = format!("{}\n", victim.pid);
    house.write("victim.pid", &victim_pid);
    let own = house.supervisor().pid.to_string();
    let not_a_number = "does not hold one decimal number";
    let stranger = "which is not one of its processes";
    let cases: Vec<(&str, Found<'_>, &str)> = vec![
        // F1: numbers that are none, and numbers of those who are nobody's.
        ("one", Found::Text(b"1\n"), not_a_number),
        ("zero", Found::Text(b"0"), not_a_number),
        ("minus-one", Found::Text(b"-1"), not_a_number),
        ("plus", Found::Text(b"+5"), not_a_number),
        ("group", Found::Text(group.as_bytes()), not_a_number),
        ("empty", Found::Text(b""), not_a_number),
        ("two", Found::Text(b"12 34"), not_a_number),
        ("hex", Found::Text(b"0x10"), not_a_number),
        ("nul", Found::Text(b"12\0\0"), not_a_number),
        ("huge", Found::Text(b"99999999999999999999"), not_a_number),
        ("above", Found::Text(b"4194305"), stranger),
        ("supervisor", Found::Text(own.as_bytes()), stranger),
        ("digits", Found::Text(&digits), "File too large"),
        ("gigabyte", Found::Sparse(1 << 30), "File too large"),
        // F2: living processes of others.
        ("harness", Found::Text(other_pid.as_bytes()), stranger),
        ("neighbour", Found::Text(victim_pid.as_bytes()), stranger),
        // F3 and F5: no plain file.
        ("directory", Found::Directory, "cannot read"),
        ("fifo", Found::Fifo, "cannot read"),
        ("device", Found::Device, "cannot read"),
        ("link", Found::Link(house.path("victim.pid")), "symbolic links"),
        ("shadow", Found::Link("/etc/shadow".into()), "symbolic links"),
        ("init", Found::Link("/proc/1/stat".into()), "symbolic links"),
        ("dangling", Found::Link("/no/such/file".into()), "symbolic links"),
        ("loop", Found::Link("loop.pid".into()), "symbolic links"),
        // F6
        ("foreign", Found::OverForeignLink, "symbolic links"),
    ];
    let mut names = Vec::new();
    for (name, found, words) in &cases {
        for (suffix, owner, user) in [("", 0, ""), ("-nobody", NOBODY, "user: nobody\n")] {
            let unit = format!("{name}{suffix}");
            let place = match found {
                Found::OverForeignLink => format!("{unit}.d/pid"),
                _ => format!("{unit}.pid"),
            };
            found.put(&house.path(&place), owner);
            house.write_unit(&unit, &format!("{TWINS}pid_file: {{dir}}/{place}\n{user}"));
            names.push((unit, *words));
        }
    }
    house.call("ReadUnits", serde_json::json!({})).expect("ReadUnits");
    let house = Watched::over(house);
    let mut start = vec!["start"];
    start.extend(names.iter().map(|(unit, _)| unit.as_str()));
    house.slc_done(&start);
    let line_of = |unit: &str| -> Option<String> {
        let log = house.read("launcher.log");
        let start = format!("[WARN] {unit}: ");
        let line = log.lines().find(|line| line.contains(&start));
        line.map(str::to_owned)
    };
    for (unit, words) in &names {
        let status = house.wait_for(unit, "up with two processes", PATIENCE, |status| {
            status.summary.state == StateWord::Up
                && status.processes == 2
                && status.first_pid.is_none()
        });
        assert_eq!(status.summary.main_pid, None, "{unit}");
        assert!(
            eventually(PATIENCE, || line_of(unit).is_some()),
            "{unit}: no word of its PID file"
        );
        let line = line_of(unit).expect("seen");
        assert!(line.contains(words) && line.contains("the PID file is not used"), "{line}");
        let kill = house.slc(&["kill", "--signal", "KILL", "--who", "main", unit]);
        assert_eq!(kill.code, Some(1), "{unit}: {kill:?}");
        assert!(kill.err.contains("no main process"), "{unit}: {kill:?}");
    }
    // Law 1: the service is its leaf, and a stop reaches exactly that.
    for (unit, _) in &names {
        let before = house.processes(unit);
        house.slc_done(&["stop", unit]);
        assert_gone(&house, unit, &before);
    }
    assert!(victim.lives(), "a PID file of one service got another killed");
    assert!(other.try_wait().expect("wait").is_none(), "a PID file got a stranger killed");
    assert!(!house.read("launcher.log").contains("root:"), "the text of another file is shown");
    // Treeward neither writes nor removes PID files.
    for left in ["one.pid", "harness-nobody.pid", "foreign.real/pid", "victim.pid"] {
        assert!(house.path(left).exists(), "{left} was removed");
    }
    other.kill().expect("kill");
    other.wait().expect("wait");
}

#[test]
fn f3_a_pid_file_may_come_late_and_name_another_when_its_process_has_gone() {
    // Three orphans; the third writes the PID file, first for one twin, then for the other.
    let unit = "\
command:
- sh
- -c
- (sleep 1000 & echo $! > {dir}/a); (sleep 1000 & echo $! > {dir}/b);
  (setsid sh {dir}/script &)
pid_file: {dir}/late.pid
";
    let script = "sleep 0.5; cat {dir}/a > {dir}/late.pid\n\
                  while ! test -e {dir}/go; do sleep 0.02; done\n\
                  cat {dir}/b > {dir}/late.pid; kill $(cat {dir}/a); exec sleep 1000\n";
    let house = House::vacant(&[("late", unit)]);
    house.write("script", &script.replace("{dir}", house.path("").to_str().expect("UTF-8")));
    let mut house = house;
    house.launch();
    let house = Watched::over(house);
    let pid = |file: &str| house.read(file).trim().parse::<u32>().ok();
    house.wait_for("late", "up with the main process of the PID file", PATIENCE, |status| {
        status.summary.main_pid.is_some() && status.summary.main_pid == pid("a")
    });
    house.write("go", "");
    let status = house.wait_for("late", "up with the second twin", PATIENCE, |status| {
        status.summary.main_pid.is_some() && status.summary.main_pid == pid("b")
    });
    assert_eq!((status.summary.state, status.start), (StateWord::Up, 1));
    assert_eq!(status.summary.why, "", "nothing is wrong with it");
    // A file that goes, or becomes something else, takes nothing away.
    fs::remove_file(house.path("late.pid")).expect("remove");
    fs::create_dir(house.path("late.pid")).expect("mkdir");
    assert_eq!(house.status("late").summary.main_pid, pid("b"));
    assert!(!house.read("launcher.log").contains("[WARN]"), "{}", house.read("launcher.log"));
}

#[test]
fn f1_blanks_round_the_number_and_a_file_without_permissions_are_in_order() {
    let unit = "\
command: [sh, -c, 'sleep 1000 & sleep 1000 & printf \" %d \\n\\n\" $! > {dir}/x.pid; chmod 0 {dir}/x.pid']
pid_file: {dir}/x.pid
";
    let house = Watched::new(&[("blanks", unit)]);
    house.wait_for("blanks", "up with its main process", PATIENCE, |status| {
        let named = house.read("x.pid").trim().parse().ok();
        named.is_some() && status.summary.main_pid == named && status.first_pid.is_none()
    });
}

/// Whether the limit of process numbers belongs to a pid namespace, so that a small one can be set
/// without harm to anybody else (Linux 6.14).
fn has_own_pid_max() -> bool {
    let names = nix::sys::utsname::uname().expect("uname");
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|word| word.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

#[test]
fn f4_a_number_that_was_given_to_a_stranger_is_not_signalled() {
    if !has_own_pid_max() {
        crate::supervisor::print("f4 skipped: this kernel has one pid_max for the whole machine");
        return;
    }
    // The main process is a child of another process of the service, which buries it: the
    // supervisor is not told, and believes in the number.
    let unit = "\
command: [sh, -c, '(sleep 1000 & echo $! > {dir}/main.pid; wait; exec sleep 1000) &']
pid_file: {dir}/main.pid
reload_signal: HUP
kill_mode: mixed
stop_grace_period: 500ms
";
    // The supervisor is process 1 of a namespace with 400 numbers, of which those up to 300 are
    // given out once only (kernel/pid.c, RESERVED_PIDS). SIGTERM is passed on to it.
    let inside = "echo 400 > /proc/sys/kernel/pid_max && for n in $(seq 310); do (:); done; \
                  exec \"$@\"";
    let outside = format!(
        "unshare --pid --fork --mount-proc sh -c '{inside}' sh \"$@\" & \
         trap 'kill -TERM $(cat /proc/$!/task/$!/children)' TERM; wait $!; wait $!"
    );
    let mut house = House::vacant(&[("target", unit)]);
    assert!(house.launch_behind(&["bash", "-c", &outside, "bash"]));
    let main = house
        .wait_for("target", "up with its main process", PATIENCE, |status| {
            status.processes == 2 && status.summary.main_pid.is_some()
        })
        .summary
        .main_pid
        .expect("just seen");
    assert_eq!(house.read("main.pid").trim(), main.to_string());
    let bash = house.supervisor().pid;
    let inner = || -> Option<u32> {
        let unshare = *crate::watched::children_of(bash).first()?;
        crate::watched::children_of(unshare).first().copied()
    };
    assert!(eventually(PATIENCE, || inner().is_some()));
    let inner = inner().expect("just seen");
    let script = format!(
        "kill -KILL {main}; for n in $(seq 5000); do sleep 1000 & \
         if [ $! = {main} ]; then echo taken; wait; exit; fi; kill -KILL $!; wait $!; done 2>/dev/null"
    );
    let mut taker = Command::new("nsenter")
        .args(["--pid", "--mount", "--target", &inner.to_string(), "--", "bash", "-c", &script])
        .stdout(File::create(house.path("taker")).expect("file"))
        .spawn()
        .expect("nsenter");
    assert!(eventually(PATIENCE, || house.read("taker").contains("taken")), "no number came round");
    let stranger = || -> Option<Process> {
        let bash = *crate::watched::children_of(taker.id()).first()?;
        let of_number = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status
                .lines()
                .any(|line| line.starts_with("NSpid:") && line.ends_with(&format!("\t{main}")))
        };
        Process::look(crate::watched::children_of(bash).into_iter().find(of_number)?)
    };
    let stranger = stranger().expect("the stranger lives");

    let kill = house.slc(&["kill", "--signal", "KILL", "--who", "main", "target"]);
    assert_eq!(kill.code, Some(1), "{kill:?}");
    assert!(kill.err.contains("is not one of its processes"), "{kill:?}");
    let by_number = house.slc(&["kill", "--who", &main.to_string(), "target"]);
    assert_eq!(by_number.code, Some(1), "{by_number:?}");
    let _ = house.slc(&["reload", "target"]);
    house.slc_done(&["stop", "target"]);
    assert!(stranger.lives(), "a stranger was signalled by a number that had been reused");
    assert_eq!(house.processes("target"), []);
    stranger.signal(Signal::SIGKILL);
    taker.wait().expect("wait");
    assert!(eventually(SECOND, || !stranger.lives()));
}
