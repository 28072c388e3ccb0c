//! Promises about hooks and conditions, each as a sentence.

use super::condition::Looked;
use super::hooks::{HookFailure, Over};
use super::rig::{Rig, named, need, with_condition, with_hooks};
use super::status::StateWord;
use super::unit::{Condition, Kind, Unit};
use super::why::{Because, Exit, Why};
use super::{Event, Order, Role, Want, outcome};

const REMAINS: Kind = Kind::Oneshot { remain_after_exit: true };

fn all_hooks() -> Unit {
    with_hooks(named("a"), 2, 1, 1)
}

/// Starts it, and brings it through its `start_pre` commands.
fn begun(unit: Unit) -> Rig {
    let count = unit.hooks.start_pre.len();
    let mut rig = Rig::new(vec![unit]);
    rig.ask(Order::Start, "a");
    for _ in 0..count {
        rig.hook_exits("a", 0, false);
    }
    rig.execute("a");
    rig
}

#[test]
fn hooks_run_one_after_the_other_round_the_service() {
    let mut rig = Rig::new(vec![all_hooks()]);
    rig.ask(Order::Start, "a");
    assert_eq!((rig.word("a"), rig.why("a").as_str()), (StateWord::Starting, "start_pre 1 of 2"));
    rig.hook_exits("a", 0, false);
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.take_done(), ["pre 0 a", "pre 1 a", "begin a"]);
    rig.execute("a");
    assert_eq!((rig.word("a"), rig.why("a").as_str()), (StateWord::Starting, "start_post 1 of 1"));
    rig.hook_exits("a", 0, true);
    assert_eq!(rig.word("a"), StateWord::Up);
    rig.ask(Order::Stop, "a");
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["post 0 a", "signal a", "stop-post 0 a"]);
    assert_eq!(rig.word("a"), StateWord::Stopping);
    assert_eq!(rig.why("a"), "asked to stop, stop_post 1 of 1");
    rig.hook_exits("a", 0, false);
    assert_eq!((rig.word("a"), rig.why("a").as_str()), (StateWord::Down, "asked to stop"));
}

#[test]
fn a_start_pre_that_fails_is_a_failed_start() {
    let mut rig = Rig::new(vec![all_hooks()]);
    rig.ask(Order::Start, "a");
    rig.hook_exits("a", 1, false);
    assert_eq!(rig.take_done(), ["pre 0 a", "stop-post 0 a"]);
    rig.hook_exits("a", 3, false);
    assert_eq!(rig.take_done(), ["report stop_post: /stop-post-0: exit status 3"]);
    assert_eq!(rig.word("a"), StateWord::Waiting);
    assert_eq!(rig.why("a"), "start_pre: /pre-0: exit status 1; will restart");
    rig.pass(1_000);
    assert_eq!(rig.take_done(), ["pre 0 a"]);
    assert_eq!(rig.supervisor.service("a").unwrap().restarts(), 1);
}

#[test]
fn what_a_start_pre_leaves_behind_is_ended_before_the_next_step() {
    for (code, next) in [(0, "begin a"), (1, "stop-post 0 a")] {
        let mut rig = Rig::new(vec![with_hooks(named("a"), 1, 0, 1)]);
        rig.ask(Order::Start, "a");
        rig.hook_exits("a", code, true);
        assert_eq!(rig.take_done(), ["pre 0 a", "kill a"]);
        rig.tell("a", Event::Emptied);
        assert_eq!(rig.take_done(), [next]);
    }
}

#[test]
fn a_start_pre_that_takes_too_long_is_ended_and_says_so() {
    let mut rig = Rig::new(vec![with_hooks(named("a"), 1, 0, 0)]);
    rig.ask(Order::Start, "a");
    rig.pass(90_000);
    assert_eq!(rig.take_done(), ["pre 0 a", "signal a"]);
    assert_eq!(rig.why("a"), "start_pre: /pre-0: not over within 90 s");
    rig.pass(5_000);
    assert_eq!(rig.take_done(), ["kill a"]);
    rig.hook_exits("a", 137, false);
    assert_eq!(rig.word("a"), StateWord::Waiting);
}

#[test]
fn a_failure_that_is_ignored_is_told_and_changes_nothing() {
    let mut unit = with_hooks(named("a"), 2, 1, 0);
    let hooks = std::sync::Arc::make_mut(&mut unit.hooks);
    hooks.start_pre[0].ignore_failure = true;
    hooks.start_pre[1].ignore_failure = true;
    hooks.start_post[0].ignore_failure = true;
    let mut rig = Rig::new(vec![unit]);
    rig.ask(Order::Start, "a");
    rig.hook_exits("a", 1, false);
    let reason = "executing /pre-1: no such file".to_owned();
    rig.tell("a", Event::SpawnFailed { role: Role::Pre(1), reason, passing: false });
    rig.hook_exits("a", 127, false);
    rig.execute("a");
    rig.hook_exits("a", 9, true);
    assert_eq!(rig.word("a"), StateWord::Up);
    assert_eq!(
        rig.take_done(),
        [
            "pre 0 a",
            "report start_pre: /pre-0: exit status 1",
            "pre 1 a",
            "report start_pre: /pre-1: executing /pre-1: no such file",
            "begin a",
            "post 0 a",
            "report start_post: /post-0: exit status 9",
        ]
    );
}

#[test]
fn a_hook_whose_program_is_not_there_fails_for_good() {
    let reason = "executing /x: no such file".to_owned();
    let mut rig = Rig::new(vec![with_hooks(named("a"), 1, 0, 0)]);
    rig.ask(Order::Start, "a");
    rig.tell("a", Event::SpawnFailed { role: Role::Pre(0), reason, passing: false });
    rig.hook_exits("a", 127, false);
    assert_eq!(rig.word("a"), StateWord::Failed);
    let why = "cannot start: start_pre: /pre-0: executing /x: no such file";
    assert_eq!(rig.why("a"), why);
}

#[test]
fn a_stop_ends_a_hook_of_the_start_and_nothing_begins_after_it() {
    let mut rig = Rig::new(vec![with_hooks(named("a"), 2, 1, 1)]);
    rig.ask(Order::Start, "a");
    rig.ask(Order::Stop, "a");
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.take_done(), ["pre 0 a", "signal a", "stop-post 0 a"]);
    let mut rig = begun(with_hooks(named("a"), 0, 1, 0));
    rig.ask(Order::Stop, "a");
    rig.hook_exits("a", 0, true);
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["begin a", "post 0 a", "signal a"]);
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn a_start_post_that_fails_ends_the_service_and_is_a_failed_start() {
    let mut rig = begun(with_hooks(named("a"), 0, 2, 0));
    rig.hook_exits("a", 2, true);
    assert_eq!(rig.take_done(), ["begin a", "post 0 a", "signal a"]);
    rig.exit("a", 0, false);
    assert_eq!(rig.why("a"), "start_post: /post-0: exit status 2; will restart");
}

#[test]
fn a_oneshot_has_its_start_post_when_its_work_is_done_and_its_stop_post_when_it_is_undone() {
    let mut rig = begun(Unit { kind: REMAINS, ..with_hooks(named("a"), 0, 1, 1) });
    rig.exit("a", 0, false);
    assert_eq!(rig.word("a"), StateWord::Starting);
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.word("a"), StateWord::Done);
    rig.ask(Order::Stop, "a");
    assert_eq!(rig.take_done(), ["begin a", "post 0 a", "stop-post 0 a"]);
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn a_stop_post_that_takes_too_long_is_killed_and_changes_nothing() {
    let mut unit = with_hooks(named("a"), 0, 0, 2);
    std::sync::Arc::make_mut(&mut unit.hooks).stop_post[0].timeout = Some(3_000);
    let mut rig = begun(unit);
    rig.exit("a", 0, false);
    rig.pass(3_000);
    assert_eq!(rig.take_done(), ["begin a", "stop-post 0 a", "kill a"]);
    rig.hook_exits("a", 137, false);
    let report = "report stop_post: /stop-post-0: not over within 3 s";
    assert_eq!(rig.take_done(), [report, "stop-post 1 a"]);
    rig.hook_exits("a", 0, false);
    assert_eq!((rig.word("a"), rig.why("a").as_str()), (StateWord::Down, "exit status 0"));
}

#[test]
fn when_the_time_to_go_down_is_over_no_stop_post_begins() {
    let mut rig = begun(with_hooks(named("a"), 0, 0, 1));
    rig.go_down();
    rig.supervisor.kill_all(0);
    rig.perform();
    rig.exit("a", 137, false);
    assert_eq!(rig.take_done(), ["begin a", "signal a", "kill a"]);
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn a_start_that_is_asked_for_during_the_stop_post_comes_after_it() {
    let mut rig = begun(with_hooks(named("a"), 0, 0, 1));
    rig.ask(Order::Stop, "a");
    rig.exit("a", 0, false);
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["begin a", "signal a", "stop-post 0 a"]);
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.take_done(), ["begin a"]);
}

#[test]
fn the_next_supervisor_waits_for_a_hook_and_runs_it_again_only_when_nobody_saw_its_end() {
    let units = vec![with_hooks(named("a"), 1, 0, 1)];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    rig.restart_supervisor(units.clone(), &["a"]);
    assert_eq!(rig.why("a"), "start_pre 1 of 1");
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.take_done(), ["pre 0 a", "begin a"]);
    rig.execute("a");
    rig.exit("a", 1, false);
    rig.take_done();
    rig.restart_supervisor(units.clone(), &[]);
    assert_eq!(rig.take_done(), ["stop-post 0 a"]);
    rig.hook_exits("a", 0, false);
    assert_eq!(rig.why("a"), "exit status 1; will restart");
    rig.pass(1_000);
    rig.take_done();
    // What is left of it without the hook itself is no reason to wait.
    rig.saved.get_mut("a").unwrap().first = None;
    rig.restart_supervisor(units, &["a"]);
    assert_eq!(rig.take_done(), ["kill a"]);
    rig.tell("a", Event::Emptied);
    assert_eq!(rig.take_done(), ["pre 0 a"]);
}

#[test]
fn a_first_process_that_was_not_born_when_the_supervisor_died_is_born_after_it() {
    let units = vec![with_hooks(named("a"), 1, 0, 0)];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    // The loop has not come to the spawn of the first process.
    let pid = rig.last[&("a".to_owned(), false)];
    let exited = Event::Exited { pid, exit: Exit::Code(0), populated: false };
    rig.supervisor.handle("a", 1, exited, 0);
    let record = rig.supervisor.service("a").unwrap().record();
    rig.saved.insert("a".into(), record);
    rig.take_done();
    rig.restart_supervisor(units, &[]);
    assert_eq!(rig.take_done(), ["begin a"]);
}

#[test]
fn a_start_post_whose_end_nobody_saw_runs_again_beside_its_service() {
    let units = vec![with_hooks(named("a"), 0, 1, 0)];
    let mut rig = begun(units[0].clone());
    rig.saved.get_mut("a").unwrap().control = None;
    rig.take_done();
    rig.restart_supervisor(units, &["a"]);
    assert_eq!(rig.take_done(), ["post 0 a"]);
    rig.hook_exits("a", 0, true);
    assert_eq!(rig.word("a"), StateWord::Up);
}

#[test]
fn a_condition_that_does_not_hold_skips_the_start_and_holds_up_nobody() {
    let completed = need("b", Condition::ServiceCompletedSuccessfully, true);
    let c = Unit { needs: [completed].into(), ..named("c") };
    let a = super::rig::needing(named("a"), &["b"]);
    let mut rig = Rig::new(vec![a, with_condition(named("b")), c]);
    rig.look = Some(Looked::Skip("/there does not exist".into()));
    rig.ask(Order::Start, "a");
    assert_eq!(rig.why("b"), "skipped because /there does not exist");
    assert_eq!((rig.word("b"), rig.word("a")), (StateWord::Down, StateWord::Starting));
    let judged = outcome::judge(Order::Start, rig.supervisor.service("b").unwrap(), &[]);
    assert_eq!(judged, Some((true, "skipped because /there does not exist".into())));
    rig.ask(Order::Start, "c");
    assert_eq!(rig.word("c"), StateWord::Blocked);
    assert_eq!(rig.supervisor.obstacles("c")[0].to_string(), "needs b, which was skipped");
}

#[test]
fn a_restart_after_its_own_end_asks_no_condition_and_a_persons_does() {
    let mut rig = Rig::new(vec![with_condition(named("a"))]);
    rig.bring_up("a");
    rig.look = None;
    rig.exit("a", 1, false);
    rig.pass(1_000);
    rig.execute("a");
    assert_eq!((rig.word("a"), rig.looking.clone()), (StateWord::Up, Some(("a".into(), 1))));
    rig.ask(Order::Restart, "a");
    rig.exit("a", 0, false);
    assert_eq!((rig.word("a"), rig.looking.clone()), (StateWord::Blocked, Some(("a".into(), 2))));
    rig.looked(Looked::Fail("/there does not exist".into()));
    assert_eq!(rig.word("a"), StateWord::Failed);
    assert_eq!(rig.why("a"), "a required condition is not met: /there does not exist");
}

#[test]
fn what_went_away_during_the_look_is_waited_for_again() {
    let a = with_condition(super::rig::needing(named("a"), &["b"]));
    let mut rig = Rig::new(vec![a, Unit { kind: Kind::Simple, ..named("b") }]);
    rig.look = None;
    rig.ask(Order::Start, "a");
    rig.execute("b");
    rig.exit("b", 1, false);
    rig.looked(Looked::Met);
    assert_eq!(rig.word("a"), StateWord::Blocked);
    rig.pass(1_000);
    rig.execute("b");
    rig.looked(Looked::Met);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_stop_during_the_look_counts() {
    let mut rig = Rig::new(vec![with_condition(named("a"))]);
    rig.look = None;
    rig.ask(Order::Start, "a");
    rig.ask(Order::Stop, "a");
    rig.looked(Looked::Met);
    assert_eq!(rig.word("a"), StateWord::Down);
    assert_eq!(rig.supervisor.service("a").unwrap().want(), Want::Down);
}

#[test]
fn the_environment_of_a_stop_post_tells_the_end_in_systemds_words() {
    let told = |why: Why, exit: Exit| {
        let over = Over { why, up_since: None, exit };
        let all: Vec<String> = over.environment().into_iter().map(|(_, value)| value).collect();
        all.join(" ")
    };
    let term = Exit::Signal { number: 15, core: false };
    let segv = Exit::Signal { number: 11, core: true };
    let hook = |how| Why::Ended(Because::HookFailed { hook: "start_pre: x".into(), how });
    for (why, exit, words) in [
        (Why::Ended(Because::Asked), term, "success killed TERM"),
        (Why::Exited(Exit::Code(3)), Exit::Code(3), "exit-code exited 3"),
        (Why::Exited(segv), segv, "core-dump dumped SEGV"),
        (Why::Exited(term), term, "signal killed TERM"),
        (Why::Ended(Because::StartTimeout(1)), term, "timeout killed TERM"),
        (Why::NothingLeft, Exit::Code(0), "protocol exited 0"),
        (hook(HookFailure::Exit(Exit::Code(1))), Exit::Code(1), "exit-code exited 1"),
        (hook(HookFailure::Timeout(1)), term, "timeout killed TERM"),
        (Why::Completed, Exit::Code(0), "success exited 0"),
        (Why::Exited(Exit::Unknown), Exit::Unknown, "exit-code"),
    ] {
        assert_eq!(told(why.clone(), exit), words, "{why:?}");
    }
}
