//! Promises about one service's life, each as a sentence.

use super::hooks::Step;
use super::record::Record;
use super::rig::{Rig, named, needing, with_stop_command};
use super::status::StateWord;
use super::unit::{KillMode, Kind, Reload, Stop, Unit};
use super::why::Exit;
use super::{Event, Notice, Order, Role, outcome};

const REMAINS: Kind = Kind::Oneshot { remain_after_exit: true };

#[test]
fn a_restart_that_had_to_wait_for_a_need_counts_as_a_restart() {
    let a = Unit { kind: Kind::Simple, ..needing(named("a"), &["b"]) };
    let b = Unit { kind: Kind::Simple, ..named("b") };
    let mut rig = Rig::new(vec![a, b]);
    rig.ask(Order::Start, "a");
    rig.execute("b");
    rig.execute("a");
    rig.exit("a", 1, false);
    rig.ask(Order::Restart, "b");
    rig.pass(1_000);
    assert_eq!(rig.word("a"), StateWord::Blocked);
    rig.exit("b", 0, false);
    rig.execute("b");
    assert_eq!(rig.word("a"), StateWord::Starting);
    assert_eq!(rig.supervisor.service("a").unwrap().restarts(), 1);
}

#[test]
fn a_deadline_that_was_extended_survives_the_supervisor() {
    let units = vec![Unit { kind: Kind::Notify, ..named("a") }];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.notify("a", Notice { extend: Some(500_000), ..Notice::default() });
    rig.restart_supervisor(units, &["a"]);
    rig.pass(400_000);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_simple_service_whose_start_was_cut_short_by_the_supervisors_end_is_up() {
    let units = vec![Unit { kind: Kind::Simple, ..named("a") }];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    assert_eq!(rig.word("a"), StateWord::Starting);
    rig.restart_supervisor(units, &["a"]);
    assert_eq!(rig.word("a"), StateWord::Up);
}

#[test]
fn a_oneshot_with_helpers_is_done_when_they_end_under_the_next_supervisor() {
    let units = vec![Unit { kind: REMAINS, ..named("a") }];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 0, true);
    assert_eq!(rig.word("a"), StateWord::Up);
    rig.restart_supervisor(units, &["a"]);
    rig.tell("a", Event::Emptied);
    assert_eq!(rig.word("a"), StateWord::Done);
}

#[test]
fn the_next_supervisor_waits_for_a_stop_command_and_then_sends_the_signal() {
    let units = vec![with_stop_command(named("a"))];
    let mut rig = Rig::new(units.clone());
    rig.bring_up("a");
    rig.ask(Order::Stop, "a");
    assert_eq!(rig.take_done(), ["begin a", "stop-command a"]);
    rig.restart_supervisor(units, &["a"]);
    rig.control_exits("a", 0, true);
    assert_eq!(rig.take_done(), ["signal a"]);
}

#[test]
fn a_stop_command_of_one_done_that_was_not_born_runs_under_the_next_supervisor_and_once() {
    let units = vec![with_stop_command(Unit { kind: REMAINS, ..named("a") })];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 0, false);
    assert_eq!(rig.word("a"), StateWord::Done);
    // The loop has not come to the spawn.
    rig.supervisor.ask(Order::Stop, "a", 0).unwrap();
    let record = rig.supervisor.service("a").unwrap().record();
    assert_eq!((record.step.as_deref(), record.control_due), (Some(&Step::Stop), true));
    rig.saved.insert("a".into(), record.clone());
    for populated in [&[][..], &["a"]] {
        (rig.now, rig.saved) = (rig.now + 60_000, [("a".into(), record.clone())].into());
        rig.take_done();
        rig.restart_supervisor(units.clone(), populated);
        assert_eq!(
            (rig.take_done(), rig.word("a")),
            (vec!["stop-command a".into()], StateWord::Stopping)
        );
        // It has its own time.
        rig.pass(1_000);
        assert_eq!(rig.word("a"), StateWord::Stopping);
        rig.control_exits("a", 0, false);
        assert_eq!((rig.word("a"), rig.why("a")), (StateWord::Down, "asked to stop".into()));
    }
    // One that was let through has run.
    let was_let_through = Record { control_due: false, ..record };
    rig.saved = [("a".into(), was_let_through)].into();
    rig.take_done();
    rig.restart_supervisor(units, &[]);
    assert_eq!((rig.take_done(), rig.word("a")), (Vec::new(), StateWord::Down));
}

#[test]
fn a_first_process_that_ended_unseen_leaves_the_look_for_a_main_process_open() {
    let units = vec![named("a")];
    let mut rig = Rig::new(units.clone());
    rig.bring_up("a");
    rig.restart_supervisor(units, &["a"]);
    let pid = rig.last[&("a".to_owned(), true)];
    rig.tell("a", Event::Exited { pid, exit: Exit::Unknown, populated: true });
    rig.pass(20);
    rig.tell("a", Event::MainFound { main: Some(7), certain: false });
    assert_eq!(rig.supervisor.service("a").unwrap().main_pid(), Some(7));
}

#[test]
fn an_extension_never_shortens_a_deadline() {
    let unit = Unit { kind: Kind::Notify, ..named("a") };
    let short = Notice { extend: Some(1_000), ..Notice::default() };
    for start_timeout in [Some(90_000), None] {
        let mut rig = Rig::new(vec![Unit { start_timeout, ..unit.clone() }]);
        rig.ask(Order::Start, "a");
        rig.execute("a");
        rig.notify("a", short.clone());
        rig.pass(2_000);
        assert_eq!(rig.word("a"), StateWord::Starting);
        rig.notify("a", Notice { ready: true, ..Notice::default() });
        rig.ask(Order::Stop, "a");
        rig.notify("a", short.clone());
        rig.pass(2_000);
        assert_eq!(rig.word("a"), StateWord::Stopping);
    }
}

#[test]
fn one_that_does_not_fork_in_time_says_what_was_waited_for() {
    let forking = Unit { kind: Kind::Forking, start_timeout: Some(2_000), ..named("a") };
    let mut rig = Rig::new(vec![forking]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    let said = "its first process has not ended";
    assert_eq!((rig.word("a"), rig.why("a").as_str()), (StateWord::Starting, said));
    rig.pass(2_000);
    assert_eq!(rig.word("a"), StateWord::Stopping);
    assert_eq!(rig.why("a"), format!("not ready within 2 s: {said}"));
}

#[test]
fn a_word_about_itself_does_not_prolong_a_reload() {
    let mut rig = Rig::new(vec![Unit { kind: Kind::Notify, ..named("a") }]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.notify("a", Notice { ready: true, ..Notice::default() });
    rig.notify("a", Notice { reloading: true, ..Notice::default() });
    rig.pass(60_000);
    rig.notify("a", Notice { status: Some("busy".into()), ..Notice::default() });
    rig.pass(40_000);
    assert_eq!(rig.word("a"), StateWord::Up);
}

#[test]
fn a_reload_that_takes_too_long_is_told_as_failed_and_the_next_one_starts_afresh() {
    let reload = Some(Reload::Command(vec!["/bin/reload".into()]).into());
    let mut rig = Rig::new(vec![Unit { reload, ..named("a") }]);
    rig.bring_up("a");
    let judge =
        |rig: &Rig| outcome::judge(Order::Reload, rig.supervisor.service("a").unwrap(), &[]);
    rig.ask(Order::Reload, "a");
    rig.pass(90_000);
    let text = "the reload failed: not over within 90 s".to_owned();
    assert_eq!(judge(&rig), Some((false, text)));
    rig.ask(Order::Reload, "a");
    rig.notify("a", Notice { ready: true, ..Notice::default() });
    assert_eq!(judge(&rig), Some((true, "reloaded".to_owned())));
}

#[test]
fn a_kill_before_the_spawn_failed_does_not_wait_for_a_leaf_that_never_filled() {
    let stop = Stop { grace: 0, ..Stop::clone(&named("a").stop) };
    let mut rig = Rig::new(vec![Unit { stop: stop.into(), ..named("a") }]);
    // The loop has not come to the spawn yet.
    rig.supervisor.ask(Order::Start, "a", 0).unwrap();
    rig.supervisor.ask(Order::Stop, "a", 0).unwrap();
    rig.supervisor.tick(0);
    assert_eq!(rig.word("a"), StateWord::Killing);
    rig.tell("a", Event::SpawnFailed { role: Role::First, reason: "x".into(), passing: true });
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn an_empty_leaf_ends_the_undoing_of_a_oneshot_also_when_no_exit_is_told() {
    let mut rig = Rig::new(vec![with_stop_command(Unit { kind: REMAINS, ..named("a") })]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 0, false);
    rig.ask(Order::Stop, "a");
    rig.control_exits("a", 0, true);
    assert_eq!(rig.word("a"), StateWord::Stopping);
    rig.tell("a", Event::Emptied);
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn a_reload_command_that_is_spawned_into_a_stop_does_not_hold_it_up() {
    let reload = Some(Reload::Command(vec!["/bin/reload".into()]).into());
    let mut rig = Rig::new(vec![Unit { reload, ..named("a") }]);
    rig.bring_up("a");
    rig.supervisor.ask(Order::Reload, "a", 0).unwrap();
    rig.supervisor.ask(Order::Stop, "a", 0).unwrap();
    rig.perform();
    rig.pass(5_000);
    assert_eq!(rig.word("a"), StateWord::Killing);
}

#[test]
fn under_mixed_the_others_are_asked_to_end_once_the_main_process_has() {
    let stop = Stop { kill_mode: KillMode::Mixed, ..Stop::clone(&named("a").stop) };
    let mut rig = Rig::new(vec![Unit { stop: stop.into(), ..named("a") }]);
    rig.bring_up("a");
    rig.ask(Order::Stop, "a");
    rig.pass(1_000);
    rig.take_done();
    rig.exit("a", 0, true);
    assert_eq!(rig.take_done(), ["signal a"]);
    // The deadline stays where it was.
    rig.pass(4_000);
    assert_eq!(rig.word("a"), StateWord::Killing);
}

#[test]
fn a_first_process_that_decides_and_ended_unseen_is_the_end_under_the_next_supervisor() {
    for (kind, word) in [
        (Kind::Simple, StateWord::Stopping),
        (Kind::Oneshot { remain_after_exit: false }, StateWord::Stopping),
        (Kind::Forking, StateWord::Up),
        (Kind::Auto, StateWord::Up),
    ] {
        let units = vec![Unit { kind, ..named("a") }];
        let mut rig = Rig::new(units.clone());
        rig.ask(Order::Start, "a");
        rig.execute("a");
        rig.saved.get_mut("a").unwrap().first = None;
        rig.restart_supervisor(units, &["a"]);
        assert_eq!(rig.word("a"), word, "{kind:?}");
    }
}

/// A daemon that forked twice: the process in the middle was guessed to be the main one, `age`
/// milliseconds before the supervisor was killed, and ends unseen.
fn main_after_an_unseen_end_of_the_guess(age: u64) -> (Option<u32>, String) {
    let mut rig = Rig::new(vec![named("a")]);
    rig.bring_up("a");
    rig.exit("a", 0, true);
    rig.pass(20);
    rig.tell("a", Event::MainFound { main: Some(101), certain: false });
    rig.pass(age);
    rig.restart_supervisor(vec![named("a")], &["a"]);
    rig.tell("a", Event::Exited { pid: 101, exit: Exit::Unknown, populated: true });
    rig.pass(20);
    rig.tell("a", Event::MainFound { main: Some(102), certain: false });
    (rig.supervisor.service("a").unwrap().main_pid(), rig.why("a"))
}

#[test]
fn a_guess_that_a_killed_supervisor_could_not_settle_is_made_anew() {
    assert_eq!(main_after_an_unseen_end_of_the_guess(0), (Some(102), String::new()));
    let (main, why) = main_after_an_unseen_end_of_the_guess(20_000);
    assert_eq!(main, None);
    assert!(why.starts_with("main process ended: exit status unknown"), "{why}");
}
