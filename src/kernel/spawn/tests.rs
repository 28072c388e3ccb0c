use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::signal::{SigSet, Signal};

use super::super::cgroup::write;
use super::super::files::raise_nofile_limit;
use super::super::testing::{TestTree, eventually, in_own_process, program, shell, start};
use super::*;

/// A user and group that no machine has in its database.
const STRANGER: &str = "54321";

#[test]
fn a_program_gets_exactly_the_setting_asked_for_whichever_way_it_enters_its_leaf() {
    let tree = TestTree::new("setting");
    let mut asked = shell(
        "cat /proc/self/cgroup; echo uid=$(id -u) gid=$(id -g) groups=$(id -G); \
         echo umask=$(umask) nofile=$(ulimit -Sn)/$(ulimit -Hn) nice=$(nice) dir=$(pwd); \
         echo oom=$(cat /proc/self/oom_score_adj) stdin=$(readlink /proc/self/fd/0); \
         echo session=$(cut -d' ' -f6 /proc/$$/stat) self=$$; env",
    );
    asked.environment.push(("COLOUR".into(), "blue green".into()));
    asked.working_dir = "/usr".into();
    asked.user = Some(STRANGER.into());
    asked.group = Some(STRANGER.into());
    asked.umask = 0o027;
    asked.ulimits = vec![(libc::RLIMIT_NOFILE, 100, 200), (libc::RLIMIT_CORE, 0, u64::MAX)];
    asked.nice = Some(5);
    asked.oom_score_adj = Some(123);
    for how in [How::IntoCgroup, How::WriteProcs] {
        let leaf = tree.leaf();
        let mut started = start(&leaf, &asked, how);
        let output = started.output_of_success();
        let pid = started.pid();
        for expected in [
            format!("0::{}\n", leaf.cgroup()),
            "uid=54321 gid=54321 groups=54321\n".into(),
            "umask=0027 nofile=100/200 nice=5 dir=/usr\n".into(),
            "oom=123 stdin=/dev/null\n".into(),
            format!("session={pid} self={pid}\n"),
            "COLOUR=blue green\n".into(),
        ] {
            assert!(output.contains(&expected), "{how:?}: no {expected:?} in:\n{output}");
        }
        assert!(!output.contains("HOME="), "something was inherited:\n{output}");
    }
}

#[test]
fn a_child_has_no_signal_ignored_or_blocked_though_its_parent_has() {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(!own.contains("SigIgn:\t0000000000000000"), "the parent ignores nothing:\n{own}");
    assert!(!own.contains("SigBlk:\t0000000000000000"), "the parent blocks nothing:\n{own}");
    let tree = TestTree::new("signals");
    let status = start(&tree.leaf(), &program(&["/bin/cat", "/proc/self/status"]), How::IntoCgroup)
        .output_of_success();
    for set in ["SigIgn", "SigBlk", "SigCgt"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
}

#[test]
fn no_descriptor_but_the_three_reaches_the_program() {
    let tree = TestTree::new("fds");
    // dup(2) gives a descriptor that an exec would hand on.
    let careless = nix::unistd::dup(tempfile::tempfile().unwrap()).unwrap();
    let listing = program(&["/bin/ls", "/proc/self/fd"]);
    for how in [How::IntoCgroup, How::WriteProcs] {
        let output = start(&tree.leaf(), &listing, how).output_of_success();
        // 3 is the directory that ls itself reads.
        assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    }
    drop(careless);
}

#[test]
fn what_fails_in_the_child_is_reported_with_its_stage_and_ends_in_127() {
    let tree = TestTree::new("stages");
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("not-executable");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let garbage = dir.path().join("garbage");
    fs::write(&garbage, "neither script nor program").unwrap();
    fs::set_permissions(&garbage, PermissionsExt::from_mode(0o755)).unwrap();
    let base = || program(&["/bin/true"]);
    let named = |path: &Path| program(&[path.to_str().unwrap()]);
    let no_such_dir = Program { working_dir: "/no/such".into(), ..base() };
    let bad_limit = Program { ulimits: vec![(libc::RLIMIT_CORE, 2, 1)], ..base() };
    for (program, stage, errno) in [
        (program(&["/no/such"]), Stage::Executing, Errno::ENOENT),
        (program(&["no-such-program"]), Stage::Executing, Errno::ENOENT),
        (named(&script), Stage::Executing, Errno::EACCES),
        (named(&garbage), Stage::Executing, Errno::ENOEXEC),
        (no_such_dir, Stage::ChangingDirectory, Errno::ENOENT),
        (bad_limit, Stage::SettingLimits, Errno::EINVAL),
        (Program { oom_score_adj: Some(2_000), ..base() }, Stage::SettingOomScore, Errno::EINVAL),
        (
            Program { tty: Some("/dev/null".into()), ..base() },
            Stage::OpeningTerminal,
            Errno::ENOTTY,
        ),
    ] {
        let mut started = start(&tree.leaf(), &program, How::IntoCgroup);
        assert_eq!(started.report(), Report::Failed { stage, errno }, "{program:?}");
        assert_eq!(started.end(), ExitStatus::Code(127));
    }
}

#[test]
fn a_leaf_that_takes_no_process_is_reported_as_such() {
    let tree = TestTree::new("invalid");
    let leaf = tree.leaf();
    let [threaded, invalid] = ["a", "b"].map(|name| leaf.path().join(name));
    fs::create_dir(&threaded).unwrap();
    fs::create_dir(&invalid).unwrap();
    // Beside a threaded cgroup an ordinary one is invalid and takes nobody (cgroups(7)).
    write(&threaded.join("cgroup.type"), "threaded").unwrap();
    let invalid = Leaf::new(invalid, format!("{}/b", leaf.cgroup()));
    let mut started = start(&invalid, &program(&["/bin/true"]), How::WriteProcs);
    let failed = Report::Failed { stage: Stage::EnteringLeaf, errno: Errno::EOPNOTSUPP };
    assert_eq!(started.report(), failed);
    assert_eq!(started.end(), ExitStatus::Code(127));
    let prepared = Prepared::new(&program(&["/bin/true"])).unwrap();
    let dir = invalid.open().unwrap();
    let mut batch = Batch::new(0).unwrap();
    let refused = spawn(&mut batch, &prepared, dir.as_fd(), None, How::IntoCgroup).unwrap_err();
    assert_eq!(refused.errno(), Errno::EOPNOTSUPP, "{refused}");
}

#[test]
fn the_working_directory_is_entered_with_the_users_permissions() {
    let tree = TestTree::new("chdir");
    let private = tempfile::tempdir().unwrap();
    fs::set_permissions(private.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let mut asked = program(&["/bin/true"]);
    asked.working_dir = private.path().into();
    start(&tree.leaf(), &asked, How::IntoCgroup).output_of_success();
    asked.user = Some(STRANGER.into());
    asked.group = Some(STRANGER.into());
    let mut started = start(&tree.leaf(), &asked, How::IntoCgroup);
    let denied = Report::Failed { stage: Stage::ChangingDirectory, errno: Errno::EACCES };
    assert_eq!(started.report(), denied);
    assert_eq!(started.end(), ExitStatus::Code(127));
}

#[test]
fn path_is_searched_past_what_cannot_be_executed() {
    let tree = TestTree::new("path");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("true"), "not executable").unwrap();
    let here = dir.path().display();
    let mut asked = program(&["true"]);
    asked.environment = vec![("PATH".into(), format!("/no/such::/etc/passwd:{here}:/bin/"))];
    start(&tree.leaf(), &asked, How::IntoCgroup).output_of_success();
    asked.environment = vec![("PATH".into(), format!("{here}:/no/such"))];
    let mut started = start(&tree.leaf(), &asked, How::IntoCgroup);
    let denied = Report::Failed { stage: Stage::Executing, errno: Errno::EACCES };
    assert_eq!(started.report(), denied);
    asked.environment = Vec::new();
    start(&tree.leaf(), &asked, How::IntoCgroup).output_of_success();
}

#[test]
fn a_terminal_becomes_the_controlling_one_and_takes_the_output() {
    let tree = TestTree::new("tty");
    let pty = openpty(None, None).unwrap();
    let mut asked = shell("echo from-stdout; echo from-stderr >&2; echo from-tty >/dev/tty; tty");
    let path = nix::unistd::ttyname(&pty.slave).unwrap();
    asked.tty = Some(path.clone());
    let mut started = start(&tree.leaf(), &asked, How::IntoCgroup);
    assert_eq!(started.report(), Report::Executed);
    assert_eq!(started.end(), ExitStatus::Code(0));
    let expected = format!("from-stdout\r\nfrom-stderr\r\nfrom-tty\r\n{}\r\n", path.display());
    // A terminal hands out what has come so far.
    let mut text = Vec::new();
    let is_readable = |pty: &nix::pty::OpenptyResult| {
        let mut fds = [PollFd::new(pty.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(5_000_u16)).unwrap() == 1
    };
    while text.len() < expected.len() && is_readable(&pty) {
        let mut piece = [0; 4096];
        let count = nix::unistd::read(&pty.master, &mut piece).unwrap();
        text.extend_from_slice(&piece[..count]);
    }
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

#[test]
fn a_leaf_that_was_killed_once_kills_what_is_born_into_it_but_not_what_moves_into_it() {
    let tree = TestTree::new("poison");
    let leaf = tree.leaf();
    start(&leaf, &program(&["/bin/true"]), How::IntoCgroup).output_of_success();
    leaf.kill().unwrap();
    let mut born = start(&leaf, &program(&["/bin/true"]), How::IntoCgroup);
    // Kernels before 6.14, and perhaps some later one, do not do it: then it just runs.
    match (born.report(), born.end()) {
        (Report::KilledAtBirth, ExitStatus::Signal { number: libc::SIGKILL, .. }) => {}
        (Report::Executed, ExitStatus::Code(0)) => {}
        other => panic!("neither killed at birth nor alive: {other:?}"),
    }
    start(&leaf, &program(&["/bin/true"]), How::WriteProcs).output_of_success();
    leaf.remove().unwrap();
    start(&tree.leaf(), &program(&["/bin/true"]), How::IntoCgroup).output_of_success();
}

#[test]
fn the_probe_chooses_a_way_that_works_even_where_the_callers_own_cgroup_was_killed() {
    in_own_process(
        module_path!(),
        "the_probe_chooses_a_way_that_works_even_where_the_callers_own_cgroup_was_killed",
        || {
            let tree = TestTree::new("probe");
            let whole = probe(&tree.tree);
            start(&tree.leaf(), &program(&["/bin/true"]), whole).output_of_success();

            let home = tree.leaf();
            home.kill().unwrap();
            write(&home.path().join("cgroup.procs"), "0").unwrap();
            let mut trapped = start(&tree.leaf(), &program(&["/bin/true"]), How::IntoCgroup);
            let is_trapped = trapped.report() == Report::KilledAtBirth;
            trapped.end();
            let found = probe(&tree.tree);
            assert_eq!(found == How::WriteProcs, is_trapped);
            start(&tree.leaf(), &program(&["/bin/true"]), found).output_of_success();
            let left = fs::read_dir(tree.tree.root()).unwrap().flatten();
            let left = left.map(|entry| entry.file_name().into_string().unwrap());
            assert_eq!(left.filter(|name| name.starts_with("probe")).count(), 0);
        },
    );
}

#[test]
fn a_raised_limit_of_descriptors_is_not_inherited() {
    in_own_process(module_path!(), "a_raised_limit_of_descriptors_is_not_inherited", || {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        setrlimit(Resource::RLIMIT_NOFILE, 256, 4096).unwrap();
        // Beyond the hard limit only with CAP_SYS_RESOURCE, which a container may lack.
        let raised = raise_nofile_limit();
        assert!(raised >= 4096);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, raised);
        // More descriptors than the child's limit must not keep it from opening what it needs.
        let many: Vec<_> = (0..300).map(|_| tempfile::tempfile().unwrap()).collect();
        let tree = TestTree::new("nofile");
        let mut asked = shell("echo $(ulimit -Sn) $(ulimit -Hn)");
        asked.oom_score_adj = Some(1);
        let output = start(&tree.leaf(), &asked, How::WriteProcs).output_of_success();
        assert_eq!(output, "256 4096\n");
        asked.ulimits = vec![(libc::RLIMIT_NOFILE, 50, 60)];
        let output = start(&tree.leaf(), &asked, How::IntoCgroup).output_of_success();
        assert_eq!(output, "50 60\n");
        drop(many);
    });
}

#[test]
fn without_an_output_the_program_writes_to_dev_null() {
    let tree = TestTree::new("null");
    let script = "test $(readlink /proc/$$/fd/1) = /dev/null && echo x && echo x >&2";
    let prepared = Prepared::new(&shell(script)).unwrap();
    let dir = tree.leaf().open().unwrap();
    let mut batch = Batch::new(0).unwrap();
    let child = spawn(&mut batch, &prepared, dir.as_fd(), None, How::IntoCgroup).unwrap();
    batch.seal();
    let end = eventually("the end", || super::super::reap::bury(child.pid));
    assert_eq!(end, ExitStatus::Code(0));
    assert_eq!(batch.report(child.line, true), Report::Executed);
    // A child of another test may hold a copy of the pipe until it executes its program.
    eventually("the end of the batch", || batch.is_over().then_some(()));
}

unsafe extern "C" fn wait_for_ever(_: *const ()) -> ! {
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

#[test]
fn a_sibling_that_hangs_does_not_hide_who_has_executed_a_program() {
    use super::super::process::has_executed;
    let tree = TestTree::new("sibling");
    let prepared = Prepared::new(&program(&["/bin/sleep", "1000"])).unwrap();
    let leaf = tree.leaf();
    let dir = leaf.open().unwrap();
    let mut batch = Batch::new(0).unwrap();
    let child = spawn(&mut batch, &prepared, dir.as_fd(), None, How::IntoCgroup).unwrap();
    // The batch is not sealed, which is what a child that hangs looks like.
    eventually("the exec", || has_executed(child.pid).filter(|has| *has));
    assert!(!batch.is_over());
    // SAFETY: the child makes one system call at a time, and reads nothing.
    let forked = unsafe { clone3(Some(dir.as_fd()), wait_for_ever, std::ptr::null()) }.unwrap();
    assert_eq!(has_executed(forked), Some(false));
    leaf.kill().unwrap();
    for pid in [child.pid, forked] {
        eventually("the end", || super::super::reap::bury(pid));
        assert_eq!(has_executed(pid), None);
    }
}

#[test]
fn sockets_are_passed_from_3_on_with_the_childs_own_process_id_and_nothing_else_is() {
    use std::os::unix::net::UnixDatagram;
    let tree = TestTree::new("sockets");
    // More than there are low numbers free: some stand where others belong, and so does the pipe.
    let sockets: Vec<UnixDatagram> = (0..60).map(|_| UnixDatagram::unbound().unwrap()).collect();
    // The last comes first.
    let borrowed: Vec<_> = sockets.iter().rev().map(AsFd::as_fd).collect();
    let script = "echo $LISTEN_PID $$ $LISTEN_FDS; echo $LISTEN_FDNAMES; cd /proc/$$/fd; \
                  for fd in *; do echo $fd $(stat -Lc %i $fd); done";
    let mut asked = shell(script);
    asked.sockets = (0..60).map(|at| format!("s{at}")).collect();
    asked.environment.push(("LISTEN_PID".into(), "1".into()));
    for how in [How::IntoCgroup, How::WriteProcs] {
        let leaf = tree.leaf();
        let output = tempfile::NamedTempFile::new().unwrap();
        let prepared = Prepared::new(&asked).unwrap();
        let dir = leaf.open().unwrap();
        let mut batch = Batch::new(bytes_for(&prepared)).unwrap();
        let file = output.as_file().as_fd();
        let given = Given { sockets: &borrowed, ..Given::default() };
        let child = spawn_with(&mut batch, &prepared, dir.as_fd(), Some(file), given, how);
        let child = child.unwrap();
        batch.seal();
        let end = eventually("the end", || super::super::reap::bury(child.pid));
        let said = fs::read_to_string(output.path()).unwrap();
        assert_eq!(end, ExitStatus::Code(0), "{said}");
        assert_eq!(batch.report(child.line, true), Report::Executed);
        let mut lines = said.lines();
        assert_eq!(lines.next().unwrap(), format!("{0} {0} 60", child.pid));
        assert_eq!(lines.next().unwrap(), asked.sockets.join(":"));
        let mut seen: Vec<(usize, u64)> = Vec::new();
        for line in lines {
            let (fd, inode) = line.split_once(' ').unwrap();
            seen.extend(inode.parse().ok().map(|inode| (fd.parse().unwrap(), inode)));
        }
        seen.sort_unstable();
        let inode = |fd: &UnixDatagram| nix::sys::stat::fstat(fd).unwrap().st_ino;
        let expected = sockets.iter().rev().enumerate().map(|(at, it)| (at + 3, inode(it)));
        // Behind them is the directory that the shell reads.
        let passed: Vec<_> = seen.into_iter().filter(|(fd, _)| (3..63).contains(fd)).collect();
        assert_eq!(passed, expected.collect::<Vec<_>>());
    }
}

mod thousand;

#[test]
fn a_child_behind_a_gate_runs_when_it_is_opened_and_never_when_it_is_shut() {
    let tree = TestTree::new("gate");
    let cases = [(true, false), (false, false), (false, true)];
    let ways = [How::IntoCgroup, How::WriteProcs];
    let all = cases.into_iter().flat_map(|case| ways.map(|how| (case, how)));
    for ((is_opened, is_let_through), how) in all {
        let comes = is_opened || is_let_through;
        let leaf = tree.leaf();
        let prepared = Prepared::new(&program(&["/bin/true"])).unwrap();
        let (mut batch, gate) = (Batch::new(bytes_for(&prepared)).unwrap(), Gate::new().unwrap());
        let (dir, given) = (
            leaf.open().unwrap(),
            Given { gate: Some(&gate), is_marked: true, ..Given::default() },
        );
        let child = spawn_with(&mut batch, &prepared, dir.as_fd(), None, given, how).unwrap();
        // Before it is named there.
        assert!(leaf.contains(child.pid), "{how:?}");
        batch.seal();
        let waits = || {
            let call = fs::read_to_string(format!("/proc/{}/syscall", child.pid)).unwrap();
            call.starts_with(&format!("{} ", libc::SYS_read))
        };
        while !waits() {
            assert!(!batch.is_over(), "it has not waited");
            std::thread::yield_now();
        }
        if is_let_through {
            dir.let_through(child.pid);
        }
        if is_opened {
            gate.open();
        } else {
            drop(gate);
        }
        let expected = match comes {
            true => (ExitStatus::Code(0), Report::Executed),
            false => {
                let (stage, errno) = (Stage::Executing, Errno::ECANCELED);
                (ExitStatus::Code(Gate::SHUT), Report::Failed { stage, errno })
            }
        };
        let end = bury_when_dead(child.pid).unwrap();
        assert_eq!((end, batch.report(child.line, true)), expected);
        assert_eq!(leaf.mark(), comes.then_some(child.pid));
        assert_eq!(leaf.let_through(), is_let_through.then_some(child.pid));
        leaf.remove().unwrap();
    }
}
