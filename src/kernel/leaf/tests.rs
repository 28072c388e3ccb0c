use super::super::pidfd;
use super::super::reap::ExitStatus;
use super::super::spawn::{How, Program, Report};
use super::super::testing::{TestTree, eventually, kernel_at_least, program, start};
use super::*;

/// Forks without end up to a cap, and will not hear of SIGTERM. The deadline is for the machine's
/// sake, should the test fail to end it.
fn fork_bomb(uid: u32) -> Program {
    let script = "$SIG{TERM} = 'IGNORE'; my $end = time + 60; \
                  while (time < $end) { fork; select undef, undef, undef, 0.002 }";
    let mut bomb = program(&["perl", "-e", script]);
    bomb.user = Some(uid.to_string());
    bomb.group = Some(uid.to_string());
    bomb.ulimits = vec![(libc::RLIMIT_NPROC, 60, 60)];
    bomb
}

fn explode(tree: &TestTree, uid: u32) -> (Leaf, super::super::testing::Started) {
    let leaf = tree.leaf();
    let mut bomb = start(&leaf, &fork_bomb(uid), How::IntoCgroup);
    assert_eq!(bomb.report(), Report::Executed);
    eventually("a bomb of 40 processes", || (leaf.members().unwrap().len() > 40).then_some(()));
    assert!(leaf.signal_all(libc::SIGTERM, true).unwrap() > 40);
    assert!(leaf.populated().unwrap(), "it should not have heard of SIGTERM");
    (leaf, bomb)
}

fn wait_until_empty(leaf: &Leaf) {
    eventually("an empty leaf", || (!leaf.populated().unwrap()).then_some(()));
}

#[test]
fn a_fork_bomb_is_ended_by_one_kill() {
    let tree = TestTree::new("bomb");
    let (leaf, mut bomb) = explode(&tree, 54_331);
    leaf.kill().unwrap();
    wait_until_empty(&leaf);
    assert_eq!(bomb.end(), ExitStatus::Signal { number: libc::SIGKILL, core: false });
    assert!(leaf.members().unwrap().is_empty());
}

#[test]
fn a_fork_bomb_is_ended_by_freezing_too() {
    let tree = TestTree::new("freeze");
    let (leaf, mut bomb) = explode(&tree, 54_332);
    leaf.kill_by_freezing().unwrap();
    assert!(!leaf.populated().unwrap());
    assert_eq!(bomb.end(), ExitStatus::Signal { number: libc::SIGKILL, core: false });
    assert!(!leaf.event("frozen").unwrap());
    leaf.kill_by_freezing().unwrap();
}

#[test]
fn daemons_that_fork_twice_and_start_a_session_stay_members_also_in_cgroups_of_their_own() {
    let tree = TestTree::new("members");
    let script = "setsid sh -c 'sleep 1000 & exit' & \
                  mkdir -p $0/a/b && sh -c 'echo 0 > $0/a/b/cgroup.procs; exec sleep 1001' $0 & \
                  wait; exit 0";
    let leaf = tree.leaf();
    let path = leaf.path().to_str().unwrap();
    let mut shell = start(&leaf, &program(&["/bin/sh", "-c", script, path]), How::IntoCgroup);
    assert_eq!(shell.report(), Report::Executed);
    let sleepers = eventually("both sleepers", || {
        let members = leaf.members().unwrap();
        let of = |pid| super::super::process::read(pid).map(|process| process.command);
        let sleepers: Vec<_> = members
            .into_iter()
            .filter(|pid| of(*pid).is_some_and(|command| command.starts_with("sleep 100")))
            .collect();
        (sleepers.len() == 2).then_some(sleepers)
    });
    assert!(sleepers.iter().all(|pid| leaf.contains(*pid)));
    let deep = leaf.path().join("a/b/cgroup.procs");
    assert_eq!(pids(&fs::read_to_string(deep).unwrap()).count(), 1);
    assert_eq!(leaf.remove().unwrap_err().errno(), Errno::EBUSY);
    leaf.kill().unwrap();
    wait_until_empty(&leaf);
    leaf.remove().unwrap();
    assert!(!leaf.path().exists());
}

#[test]
fn a_stranger_is_not_a_member_and_never_gets_a_signal() {
    let tree = TestTree::new("stranger");
    let (leaf, _inside) = tree.shell("sleep 1000");
    let (other, mut stranger) = tree.shell("sleep 1000");
    assert_eq!(stranger.report(), Report::Executed);
    assert!(!leaf.contains(stranger.pid()));
    assert!(!leaf.contains(std::process::id()));
    assert!(!leaf.contains(0));
    assert!(!leaf.signal_member(stranger.pid(), libc::SIGKILL).unwrap());
    assert!(!leaf.signal_member(0, libc::SIGKILL).unwrap());
    assert!(!leaf.signal_member(u32::MAX, libc::SIGKILL).unwrap());
    assert!(other.signal_member(stranger.pid(), 0).unwrap());
    assert!(other.signal_member(stranger.pid(), libc::SIGKILL).unwrap());
    assert_eq!(stranger.end(), ExitStatus::Signal { number: libc::SIGKILL, core: false });
    assert!(!other.signal_member(stranger.pid(), 0).unwrap());
    let refused = leaf.signal_member(leaf.members().unwrap()[0], 99).unwrap_err();
    assert_eq!(refused.errno(), Errno::EINVAL);
}

#[test]
fn a_stopped_process_ends_only_when_it_is_woken() {
    let tree = TestTree::new("stopped");
    let (leaf, mut sleeper) = tree.shell("exec sleep 1000");
    assert_eq!(sleeper.report(), Report::Executed);
    leaf.signal_all(libc::SIGSTOP, false).unwrap();
    let state = |pid| super::super::process::read(pid).map(|process| process.state);
    eventually("a stopped process", || state(sleeper.pid()).filter(|state| *state == 'T'));
    assert_eq!(leaf.signal_all(libc::SIGTERM, false).unwrap(), 1);
    assert_eq!(state(sleeper.pid()), Some('T'));
    assert_eq!(leaf.signal_all(libc::SIGTERM, true).unwrap(), 1);
    assert_eq!(sleeper.end(), ExitStatus::Signal { number: libc::SIGTERM, core: false });
}

#[test]
fn cgroups_nested_a_hundred_deep_are_removed() {
    let tree = TestTree::new("deep");
    let leaf = tree.leaf();
    let mut path = leaf.path().to_owned();
    for _ in 0..100 {
        path.push("d");
        fs::create_dir(&path).unwrap();
        fs::create_dir(path.join("side")).unwrap();
    }
    leaf.remove().unwrap();
    assert!(!leaf.path().exists());
}

#[test]
fn a_leaf_that_has_vanished_is_empty_and_may_be_killed_and_removed() {
    let tree = TestTree::new("gone");
    let leaf = tree.leaf();
    assert!(!leaf.populated().unwrap());
    leaf.remove().unwrap();
    assert!(!leaf.populated().unwrap());
    assert!(leaf.members().unwrap().is_empty());
    assert_eq!(leaf.signal_all(libc::SIGTERM, true).unwrap(), 0);
    leaf.kill().unwrap();
    leaf.kill_by_freezing().unwrap();
    leaf.remove().unwrap();
    assert_eq!(leaf.inode().unwrap_err().errno(), Errno::ENOENT);
    assert_eq!(leaf.open().unwrap_err().errno(), Errno::ENOENT);
}

#[test]
fn a_record_lives_as_long_as_its_leaf() {
    let tree = TestTree::new("record");
    let leaf = tree.leaf();
    assert_eq!(leaf.record(), None);
    leaf.set_record(b"start=1").unwrap();
    assert_eq!(leaf.record().as_deref(), Some(&b"start=1"[..]));
    leaf.set_record(b"\0binary\xff").unwrap();
    assert_eq!(leaf.record().as_deref(), Some(&b"\0binary\xff"[..]));
    assert_eq!(leaf.set_record(&[b'x'; 4097]).unwrap_err().errno(), Errno::E2BIG);
    leaf.set_record(&[b'x'; 4096]).unwrap();
    assert_eq!(leaf.record().map(|record| record.len()), Some(4096));
    leaf.remove().unwrap();
    assert_eq!(leaf.record(), None);
    assert_eq!(leaf.set_record(b"x").unwrap_err().errno(), Errno::ENOENT);
}

#[test]
fn the_inode_is_the_id_that_a_pidfd_tells_of_its_cgroup() {
    let tree = TestTree::new("inode");
    let (leaf, mut sleeper) = tree.shell("exec sleep 1000");
    assert_eq!(sleeper.report(), Report::Executed);
    let told = pidfd::cgroup_id_of(&sleeper.pidfd());
    assert_eq!(told, kernel_at_least(6, 13).then_some(leaf.inode().unwrap()));
}

#[test]
fn flags_and_lists_are_read_and_nonsense_is_not() {
    assert_eq!(flag("populated 1\nfrozen 0\n", "populated"), Some(true));
    assert_eq!(flag("populated 1\nfrozen 0\n", "frozen"), Some(false));
    assert_eq!(flag("populated_too 1\n", "populated"), None);
    assert_eq!(flag("populated 2\n", "populated"), None);
    assert_eq!(flag("", "populated"), None);
    assert_eq!(pids("0\n12\nx\n\n0\n7\n").collect::<Vec<_>>(), [12, 7]);
}
