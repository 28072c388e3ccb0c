use super::super::membership::cgroup_of;
use super::super::spawn::How;
use super::super::testing::{
    TestTree, eventually, in_own_process, kernel_at_least, program, shell, start,
};
use super::super::{pidfd, process};
use super::*;

#[test]
fn every_way_to_end_is_told_real_time_signals_included() {
    let tree = TestTree::new("ends");
    for (script, expected) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -TERM $$", ExitStatus::Signal { number: libc::SIGTERM, core: false }),
        ("kill -37 $$", ExitStatus::Signal { number: 37, core: false }),
        ("kill -64 $$", ExitStatus::Signal { number: 64, core: false }),
    ] {
        assert_eq!(tree.shell(script).1.end(), expected, "{script}");
    }
}

#[test]
fn the_status_word_of_wait_is_decoded() {
    let decode = ExitStatus::from_wait_status;
    assert_eq!(decode(0), ExitStatus::Code(0));
    assert_eq!(decode(0x7f00), ExitStatus::Code(127));
    assert_eq!(decode(9), ExitStatus::Signal { number: 9, core: false });
    assert_eq!(decode(0x80 | 11), ExitStatus::Signal { number: 11, core: true });
}

#[test]
fn a_living_child_and_a_stranger_cannot_be_buried() {
    let tree = TestTree::new("alive");
    let (leaf, mut sleeper) = tree.shell("exec sleep 1000");
    assert_eq!(bury(sleeper.pid()), None);
    assert_eq!(bury(1), None);
    leaf.kill().unwrap();
    let killed = ExitStatus::Signal { number: libc::SIGKILL, core: false };
    assert_eq!(sleeper.end(), killed);
    assert_eq!(bury(sleeper.pid()), None);
}

#[test]
fn a_subreaper_learns_of_each_orphan_where_it_lived_before_it_is_buried() {
    in_own_process(
        module_path!(),
        "a_subreaper_learns_of_each_orphan_where_it_lived_before_it_is_buried",
        || {
            set_subreaper().unwrap();
            let tree = TestTree::new("orphan");
            let leaf = tree.tree.make_leaf("daemon", 7).unwrap();
            // The shell ends first, the orphan after it.
            let script = "setsid sh -c 'while kill -0 $0; do sleep 0.01; done; exit 3' $$ & exit 0";
            let started = start(&leaf, &shell(script), How::IntoCgroup);
            let first = started.pid();
            // It is buried below.
            std::mem::forget(started);
            let mut ends = Vec::new();
            while ends.len() < 2 {
                let dead = eventually("a death", next_dead);
                let of = cgroup_of(dead).unwrap();
                assert_eq!(tree.tree.locate(&of), Some(("daemon".into(), 7)));
                assert!(!of.removed);
                if ends.len() == 1 {
                    // The last zombie does not hold the leaf, and is known to be of an old one.
                    assert!(!leaf.populated().unwrap());
                    leaf.remove().unwrap();
                    tree.tree.make_leaf("daemon", 7).unwrap();
                    let of = cgroup_of(dead).unwrap();
                    assert!(of.removed && of.cgroup == leaf.cgroup());
                    assert!(!leaf.contains(dead));
                    assert_eq!(process::read(dead).unwrap().state, 'Z');
                }
                ends.push((dead == first, bury(dead).unwrap()));
            }
            assert_eq!(ends, [(true, ExitStatus::Code(0)), (false, ExitStatus::Code(3))]);
            assert_eq!(next_dead(), None);
        },
    );
}

#[test]
fn a_pidfd_tells_the_end_and_the_cgroup_of_a_process_that_was_never_our_child() {
    let tree = TestTree::new("foreign");
    // The shell is the parent of the sleeper and reaps it.
    let (leaf, mut parent) = tree.shell("sleep 1000 & wait; exit 0");
    let child = eventually("a grandchild", || {
        let members = leaf.members().unwrap();
        let is_sleeper = |pid: &u32| process::read(*pid).is_some_and(|it| it.comm == "sleep");
        members.into_iter().find(is_sleeper)
    });
    let foreign = pidfd::open(child).unwrap().unwrap();
    assert_eq!(bury(child), None);
    assert_eq!(pidfd::exit_status_within(&foreign, child, Duration::ZERO), None);
    assert!(pidfd::send_signal(&foreign, libc::SIGTERM).unwrap());
    assert_eq!(parent.end(), ExitStatus::Code(0));
    assert!(!pidfd::send_signal(&foreign, 0).unwrap());
    assert!(pidfd::open(child).unwrap().is_none_or(|other| {
        // The number may have gone over to somebody else by now; the descriptor has not.
        pidfd::cgroup_id_of(&other) != Some(leaf.inode().unwrap())
    }));
    let known = kernel_at_least(6, 15);
    let ended = ExitStatus::Signal { number: libc::SIGTERM, core: false };
    assert_eq!(pidfd::exit_status_within(&foreign, child, Duration::ZERO), known.then_some(ended));
    assert_eq!(pidfd::cgroup_id_of(&foreign), known.then_some(leaf.inode().unwrap()));
}

#[test]
fn a_zombie_of_others_tells_its_end_before_they_bury_it() {
    let tree = TestTree::new("unburied");
    // What the shell becomes knows nothing of its child.
    let (leaf, _parent) = tree.shell("sh -c 'exec sleep 1000' & exec sleep 1001");
    let child = eventually("a child", || {
        let members = leaf.members().unwrap();
        let is_child =
            |pid: &u32| process::read(*pid).is_some_and(|it| it.command.ends_with(" 1000"));
        members.into_iter().find(is_child)
    });
    let foreign = pidfd::open(child).unwrap().unwrap();
    assert!(pidfd::send_signal(&foreign, libc::SIGTERM).unwrap());
    let ended =
        eventually("its end", || pidfd::exit_status_within(&foreign, child, Duration::ZERO));
    assert_eq!(ended, ExitStatus::Signal { number: libc::SIGTERM, core: false });
    assert_eq!(process::read(child).unwrap().state, 'Z');
}

#[test]
fn a_process_is_described_as_it_is() {
    let tree = TestTree::new("process");
    let sleeper = program(&["/bin/sleep", "1000", "two words"]);
    let (leaf, mut shell) = tree.shell("exec sleep 1000");
    assert_eq!(shell.report(), super::super::spawn::Report::Executed);
    let seen = eventually("the shell's exec", || {
        // In the middle of an exec the name is there before the command line.
        process::read(shell.pid()).filter(|seen| seen.command == "sleep 1000")
    });
    assert_eq!((seen.pid, seen.session), (shell.pid(), shell.pid()));
    assert_eq!(seen.parent, std::process::id());
    assert_eq!((seen.comm.as_str(), seen.command.as_str()), ("sleep", "sleep 1000"));
    assert!(seen.age_ms < 20_000 && seen.start_ticks > 0);
    eventually("a sleeping process", || {
        process::read(shell.pid()).filter(|seen| seen.state == 'S')
    });
    eventually("a wait channel", || process::wait_channel(shell.pid()));
    leaf.kill().unwrap();
    let zombie =
        eventually("a zombie", || process::read(shell.pid()).filter(|seen| seen.state == 'Z'));
    assert_eq!(zombie.command, "[sleep]");
    assert_eq!(shell.end(), ExitStatus::Signal { number: libc::SIGKILL, core: false });
    assert_eq!(process::read(0), None);
    assert_eq!(process::read(u32::MAX), None);
    assert_eq!(process::wait_channel(u32::MAX), None);
    let own = std::process::id();
    assert_eq!(process::read_many(&[own, 0, own, own], 2).len(), 2);
    let mut long = sleeper;
    long.argv =
        vec!["/bin/sh".into(), "-c".into(), "sleep 1000; exit".into(), "\u{1b}".repeat(9_000)];
    let long = start(&tree.leaf(), &long, How::IntoCgroup);
    let command = eventually("its command", || {
        process::read(long.pid()).map(|it| it.command).filter(|it| it.starts_with("/bin/sh"))
    });
    assert_eq!(command.len(), 4096);
}
