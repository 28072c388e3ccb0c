use std::time::Instant;

use super::*;

unsafe extern "C" fn execute_in_session(plan: *const Plan) -> ! {
    // SAFETY: no arguments; and the caller's promise.
    unsafe {
        libc::setsid();
        execute_at_once(plan)
    }
}

unsafe extern "C" fn execute_at_once(plan: *const Plan) -> ! {
    // SAFETY: the caller's promise: a plan, with null-terminated arrays of C strings.
    unsafe {
        let plan = &*plan;
        libc::execve(*plan.candidates, plan.argv, plan.environment);
        libc::_exit(127)
    }
}

/// Prints what 1,000 starts cost against loops that do little but mkdir and clone3. CPU time is
/// the number to compare: wall time depends on who else is at work, and not evenly, because a
/// child that calls setsid(2) gets a scheduling group of its own (sched(7), autogroup).
#[test]
#[ignore = "a measurement: cargo test --lib start_a_thousand -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "a measurement is for people to read")]
fn start_a_thousand() {
    use super::super::super::leaf_events::LeafEvents;
    use nix::sys::resource::{UsageWho, getrusage};
    const COUNT: usize = 1_000;
    let prepare = || Prepared::new(&program(&["/bin/true"])).unwrap();
    let bare = |tree: &TestTree, session: bool| {
        let prepared = prepare();
        let mut memory = ChildMemory::new(bytes_for(&prepared)).unwrap();
        let word = memory.put_cell().unwrap().1;
        let plan = Plan::new(&prepared, word, &mut memory).unwrap();
        let plan = memory.put(&[plan]).unwrap();
        let life: clone::Life<Plan> = if session { execute_in_session } else { execute_at_once };
        let born = (0..COUNT).map(|_| {
            let dir = tree.leaf().open().unwrap();
            // SAFETY: the child makes system calls only, and the plan is in its memory.
            unsafe { clone3(Some(dir.as_fd()), life, plan) }.unwrap()
        });
        born.collect::<Vec<_>>()
    };
    let full = |tree: &TestTree| {
        let events = LeafEvents::new().unwrap();
        let mut batch = Batch::new(0).unwrap();
        let born = (0..COUNT).map(|_| {
            let leaf = tree.leaf();
            events.watch(&leaf).unwrap();
            let dir = leaf.open().unwrap();
            let prepared = prepare();
            if !batch.has_room(bytes_for(&prepared)) {
                batch = Batch::new(0).unwrap();
            }
            let child = spawn(&mut batch, &prepared, dir.as_fd(), None, How::IntoCgroup);
            child.unwrap().pid
        });
        born.collect::<Vec<_>>()
    };
    let cpu = || {
        let of = |who| {
            let usage = getrusage(who).unwrap();
            let [user, system] = [usage.user_time(), usage.system_time()];
            [user, system].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        };
        let all = [of(UsageWho::RUSAGE_SELF), of(UsageWho::RUSAGE_CHILDREN)];
        all.into_iter().flatten().sum::<i64>()
    };
    type Way<'a> = (&'a str, &'a dyn Fn(&TestTree) -> Vec<u32>);
    let ways: [Way; 3] = [
        ("bare", &|tree| bare(tree, false)),
        ("bare with setsid", &|tree| bare(tree, true)),
        ("full", &full),
    ];
    for round in 0..6 {
        for (name, run) in ways {
            let tree = TestTree::new("thousand");
            let (begin, before) = (Instant::now(), cpu());
            for pid in run(&tree) {
                assert_eq!(bury_when_dead(pid), Some(ExitStatus::Code(0)));
            }
            let (wall, used) = (begin.elapsed().as_millis(), (cpu() - before) / 1_000);
            println!("{round} {name:<17} wall {wall:>5} ms, cpu {used:>5} ms");
        }
    }
}
