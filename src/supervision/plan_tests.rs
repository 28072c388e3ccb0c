//! Reloads: what they do, to whom, and that what is said is what is done.

use std::sync::Arc;

use super::diff;
use super::plan::{Deed, Found, Plan, Wish};
use super::rig::{Rig, after, against, named, need, needing, on_demand, with_hooks};
use super::status::{Problem, StateWord};
use super::unit::{Condition, Kind, Limits, RestartPolicy, Unit};
use super::{Order, Want};

fn wish(only: &[&str]) -> Wish {
    Wish { only: only.iter().map(ToString::to_string).collect(), restart: false }
}

impl Rig {
    fn plan(&self, units: &[Unit], wish: &Wish) -> Plan {
        let units = units.iter().cloned().map(Arc::new).collect();
        self.supervisor.plan(&Found { units, ..Found::default() }, wish)
    }

    /// Carries the plan out and starts what is new, as the loop does.
    fn reload(&mut self, units: &[Unit], wish: &Wish) -> Plan {
        let plan = self.plan(units, wish);
        if plan.is_sound() {
            let units: Vec<Arc<Unit>> = units.iter().cloned().map(Arc::new).collect();
            let fresh = self.supervisor.carry_out(&plan, &units, self.now);
            self.supervisor.start_enabled(&fresh, self.now);
            self.perform();
        }
        plan
    }

    fn older(&self, name: &str) -> &[String] {
        self.supervisor.service(name).unwrap().older_keys()
    }

    fn unit(&self, name: &str) -> &Unit {
        self.supervisor.service(name).unwrap().unit()
    }
}

/// `web change`, or `bad` for a problem.
fn told(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| format!("{} {}", step.unit, step.deed.as_str()));
    steps.chain(plan.faults.iter().map(|it| format!("wrong: {}", it.name))).collect()
}

fn with(unit: Unit, change: impl FnOnce(&mut Unit)) -> Unit {
    let mut unit = unit;
    change(&mut unit);
    unit
}

fn commanded(name: &str, command: &str) -> Unit {
    Unit { command: vec![command.into()].into(), ..named(name) }
}

#[test]
fn a_reload_starts_what_is_new_stops_what_is_gone_and_leaves_the_rest_alone() {
    let mut rig = Rig::new(vec![named("a"), named("old"), named("rests")]);
    rig.bring_up("a");
    rig.bring_up("old");
    rig.take_done();
    let units = [named("a"), named("new"), Unit { enabled: false, ..named("off") }];
    let plan = rig.plan(&units, &wish(&[]));
    assert_eq!(told(&plan), ["new start", "off add", "old stop", "rests remove"]);
    assert_eq!(rig.take_done(), [""; 0], "a plan does nothing");
    assert_eq!(rig.reload(&units, &wish(&[])), plan, "what is said is what is done");
    assert_eq!(rig.take_done(), ["signal old", "begin new"]);
    assert!(rig.supervisor.service("rests").is_none());
    rig.exit("old", 0, false);
    assert!(rig.supervisor.service("old").is_none());
    assert_eq!(told(&rig.plan(&units, &wish(&[]))), [""; 0]);
}

#[test]
fn where_one_unit_is_wrong_nothing_is_done_but_for_units_that_are_named() {
    let mut rig = Rig::new(vec![named("a")]);
    let circle = [needing(named("a"), &["b"]), needing(named("b"), &["a"]), named("c")];
    assert_eq!(told(&rig.reload(&circle, &wish(&[])))[3..], ["wrong: a", "wrong: b"]);
    let lonely = [named("a"), needing(named("b"), &["gone"]), named("c")];
    let plan = rig.reload(&lonely, &wish(&[]));
    assert_eq!(told(&plan), ["b start", "c start", "wrong: b"]);
    assert!(plan.faults[0].text.contains("b needs gone"), "{plan:?}");
    let bad = vec![Problem { name: "a".into(), text: "a.yml:1:1".into() }];
    let found = Found { units: vec![Arc::new(named("c"))], bad, at_rest: Vec::new() };
    let plan = rig.supervisor.plan(&found, &wish(&[]));
    assert_eq!(told(&plan), ["c start", "wrong: a"], "a bad file is no file that is gone");
    assert!(rig.take_done().is_empty() && rig.supervisor.service("c").is_none());
    assert!(rig.supervisor.plan(&found, &wish(&["c"])).is_sound());
    // The unit that it had is there for those that need it.
    let found = Found { units: vec![Arc::new(needing(named("d"), &["a"]))], ..found };
    assert_eq!(told(&rig.supervisor.plan(&found, &wish(&[]))), ["d start", "wrong: a"]);

    for units in [circle, lonely] {
        assert_eq!(told(&rig.plan(&units, &wish(&["c"]))), ["c start"]);
        let plan = rig.plan(&units, &wish(&["b"]));
        assert!(plan.faults.iter().any(|problem| problem.name == "b") || plan.is_sound());
    }
    // What may be missing may be.
    let soft =
        Unit { needs: [need("gone", Condition::ServiceHealthy, false)].into(), ..named("b") };
    assert!(rig.plan(&[named("a"), soft], &wish(&[])).is_sound());
}

#[test]
fn a_unit_that_others_need_is_not_let_go_alone() {
    let mut rig = Rig::new(vec![named("db"), needing(named("web"), &["db"])]);
    let left = [needing(named("web"), &["db"])];
    for only in [&[][..], &["db"]] {
        let plan = rig.reload(&left, &wish(only));
        assert_eq!(told(&plan), ["db remove", "wrong: web"], "{only:?}");
        assert!(rig.supervisor.service("db").is_some());
    }
    assert_eq!(told(&rig.reload(&[], &wish(&[]))), ["db remove", "web remove"]);
}

#[test]
fn named_units_are_changed_and_the_others_keep_what_they_had() {
    let mut rig = Rig::new(vec![named("a"), named("b")]);
    let units = [commanded("a", "/bin/x"), commanded("b", "/bin/y"), named("new")];
    assert_eq!(told(&rig.reload(&units, &wish(&["a"]))), ["a change"]);
    assert_eq!((rig.unit("a"), rig.unit("b")), (&units[0], &named("b")));
    // A circle of the new and what stays as it was.
    let units = [after(named("a"), &["b"]), named("b")];
    rig.reload(&units, &wish(&["a"]));
    let turned = [named("a"), after(named("b"), &["a"])];
    assert!(rig.plan(&turned, &wish(&[])).is_sound());
    assert_eq!(told(&rig.plan(&turned, &wish(&["b"]))), ["b change", "wrong: b", "wrong: a"]);
}

#[test]
fn a_living_service_follows_what_it_can_at_once_and_the_rest_at_its_next_start() {
    let mut rig = Rig::new(vec![named("a")]);
    rig.bring_up("a");
    rig.take_done();
    let new = with(commanded("a", "/bin/new"), |unit| {
        unit.description = "new".into();
        unit.limits = Limits { pids: Some(7), ..Limits::default() }.into();
        Arc::make_mut(&mut unit.restart).policy = RestartPolicy::No;
    });
    let plan = rig.reload(std::slice::from_ref(&new), &wish(&[]));
    assert_eq!(plan.steps[0].why, "runs an older unit: command changes at the next start");
    assert_eq!(rig.take_done(), ["limits a"]);
    assert_eq!(rig.older("a"), ["command"]);
    assert_eq!((rig.unit("a").description.as_ref(), rig.unit("a").limits.pids), ("new", Some(7)));
    assert_eq!(rig.unit("a").command, named("a").command);
    // It is not news any more, and still true; the next supervisor knows it too.
    assert_eq!(told(&rig.plan(std::slice::from_ref(&new), &wish(&[]))), ["a keep"]);
    rig.restart_supervisor(vec![new.clone()], &["a"]);
    assert_eq!(rig.older("a"), ["command"]);
    assert_eq!(told(&rig.plan(std::slice::from_ref(&new), &wish(&[]))), ["a keep"]);
    assert!(rig.saved["a"].limited);
    // The new policy counts for the run that began by the old one.
    rig.exit("a", 1, false);
    assert_eq!(rig.word("a"), StateWord::Failed);
    rig.ask(Order::Start, "a");
    assert_eq!((rig.unit("a"), rig.older("a")), (&new, &[][..]));
    assert_eq!(told(&rig.plan(std::slice::from_ref(&new), &wish(&[]))), [""; 0]);
}

#[test]
fn a_change_that_is_taken_back_before_the_next_start_is_none() {
    let mut rig = Rig::new(vec![named("a")]);
    rig.bring_up("a");
    rig.reload(&[commanded("a", "/bin/new")], &wish(&[]));
    assert_eq!(rig.older("a"), ["command"]);
    assert_eq!(told(&rig.reload(&[named("a")], &wish(&[]))), ["a change"]);
    assert_eq!(rig.older("a"), [""; 0]);
}

#[test]
fn a_restart_is_only_for_those_that_run_an_older_unit_and_only_when_wished() {
    let mut rig = Rig::new(vec![named("a"), named("b"), named("c")]);
    rig.bring_up("a");
    rig.bring_up("b");
    let units = [
        commanded("a", "/bin/new"),
        Unit { description: "new".into(), ..named("b") },
        commanded("c", "/bin/new"),
    ];
    rig.take_done();
    let wished = Wish { only: Vec::new(), restart: true };
    let plan = rig.reload(&units, &wished);
    assert_eq!(told(&plan), ["a restart", "b change", "c change"]);
    assert_eq!(rig.take_done(), ["signal a"]);
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["begin a"]);
    assert_eq!(rig.unit("a"), &units[0]);
    assert_eq!(told(&rig.plan(&units, &wished)), [""; 0]);
}

#[test]
fn deadlines_that_run_are_measured_by_the_new_unit() {
    let notify = Unit { kind: Kind::Notify, ..named("a") };
    let mut rig = Rig::new(vec![notify.clone()]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.pass(1_000);
    let quick = Unit { start_timeout: Some(3_000), ..notify.clone() };
    rig.reload(std::slice::from_ref(&quick), &wish(&[]));
    assert_eq!(rig.supervisor.deadline(), Some(3_000));
    rig.pass(2_000);
    assert_eq!(rig.word("a"), StateWord::Stopping);
    // The grace of 5 s began then.
    assert_eq!(rig.supervisor.deadline(), Some(8_000));
    let hasty = with(quick, |unit| Arc::make_mut(&mut unit.stop).grace = 1_000);
    rig.reload(std::slice::from_ref(&hasty), &wish(&[]));
    assert_eq!(rig.supervisor.deadline(), Some(4_000));
    rig.pass(1_000);
    assert_eq!(rig.word("a"), StateWord::Killing);
    rig.exit("a", 1, false);
    assert_eq!((rig.word("a"), rig.supervisor.deadline()), (StateWord::Waiting, Some(5_000)));
    let slow = with(hasty.clone(), |unit| Arc::make_mut(&mut unit.restart).delay = 4_000);
    rig.reload(std::slice::from_ref(&slow), &wish(&[]));
    assert_eq!(rig.supervisor.deadline(), Some(8_000));
    let never = with(hasty, |unit| Arc::make_mut(&mut unit.restart).policy = RestartPolicy::No);
    rig.reload(&[never], &wish(&[]));
    assert_eq!((rig.word("a"), rig.supervisor.deadline()), (StateWord::Failed, None));
}

#[test]
fn a_start_that_waited_for_ever_gets_its_limit_from_when_it_began() {
    let patient = Unit { kind: Kind::Notify, start_timeout: None, ..named("a") };
    let mut rig = Rig::new(vec![patient.clone()]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.pass(1_000);
    rig.reload(&[Unit { start_timeout: Some(500), ..patient.clone() }], &wish(&[]));
    rig.pass(0);
    assert_eq!(rig.word("a"), StateWord::Stopping);
}

#[test]
fn a_blocked_service_waits_for_what_its_new_unit_needs_and_has_it_started() {
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), named("b"), named("c")]);
    rig.ask(Order::Start, "a");
    rig.take_done();
    rig.reload(&[needing(named("a"), &["c"]), named("b"), named("c")], &wish(&[]));
    assert_eq!(rig.take_done(), ["begin c"]);
    rig.execute("b");
    assert_eq!(rig.word("a"), StateWord::Blocked);
    rig.execute("c");
    assert_eq!(rig.word("a"), StateWord::Starting);
    // And one that needs nothing any more begins at once.
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), named("b")]);
    rig.ask(Order::Start, "a");
    rig.reload(&[named("a"), named("b")], &wish(&[]));
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn one_that_is_enabled_now_and_was_never_started_starts_and_one_that_was_stopped_does_not() {
    let off = |name: &str| Unit { enabled: false, ..named(name) };
    let mut rig = Rig::new(vec![off("never"), off("stopped")]);
    rig.bring_up("stopped");
    rig.ask(Order::Stop, "stopped");
    rig.exit("stopped", 0, false);
    rig.take_done();
    let plan = rig.reload(&[named("never"), named("stopped")], &wish(&[]));
    assert_eq!(told(&plan), ["never start", "stopped change"]);
    assert_eq!(rig.take_done(), ["begin never"]);
    rig.reload(&[off("never"), off("stopped")], &wish(&[]));
    assert_eq!(rig.word("never"), StateWord::Starting, "a living service is left alone");
}

#[test]
fn a_file_that_comes_back_while_its_service_ends_starts_it_again() {
    let mut rig = Rig::new(vec![named("a")]);
    rig.bring_up("a");
    rig.reload(&[], &wish(&[]));
    assert_eq!(rig.word("a"), StateWord::Stopping);
    let plan = rig.reload(&[named("a")], &wish(&[]));
    assert_eq!(plan.steps[0].deed, Deed::Start);
    rig.take_done();
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["begin a"]);
    // A supervisor that finds processes without a file keeps them until somebody reloads.
    rig.supervisor.load(Vec::new(), rig.now);
    assert_eq!(rig.word("a"), StateWord::Starting);
    assert_eq!(told(&rig.plan(&[], &wish(&[]))), ["a stop"]);
    let back = Unit { description: "back".into(), ..named("a") };
    assert_eq!(told(&rig.reload(&[back], &wish(&[]))), ["a change"]);
    assert_eq!(rig.supervisor.service("a").unwrap().want(), Want::Up);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_new_unit_that_is_remembered_to_be_at_rest_is_not_said_to_start() {
    let rig = Rig::new(vec![]);
    let found = Found {
        units: vec![Arc::new(named("a")), Arc::new(named("b"))],
        at_rest: vec!["a".into()],
        ..Found::default()
    };
    assert_eq!(told(&rig.supervisor.plan(&found, &wish(&[]))), ["a add", "b start"]);
}

#[test]
fn what_goes_is_stopped_after_those_that_need_it() {
    let mut rig = Rig::new(vec![named("db"), needing(named("web"), &["db"])]);
    rig.bring_up("db");
    rig.bring_up("web");
    rig.take_done();
    rig.reload(&[], &wish(&[]));
    assert_eq!(rig.take_done(), ["signal web"]);
    rig.exit("web", 0, false);
    assert_eq!(rig.take_done(), ["signal db"]);
    rig.exit("db", 0, false);
    assert!(rig.supervisor.services().next().is_none());
}

#[test]
fn one_that_comes_back_ends_nobody_that_runs_in_its_place() {
    let b = || against(named("b"), &["a"]);
    let mut rig = Rig::new(vec![named("a"), b()]);
    rig.bring_up("a");
    rig.reload(&[b()], &wish(&[]));
    rig.ask(Order::Start, "b");
    rig.take_done();
    rig.reload(&[named("a"), b()], &wish(&[]));
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["begin b"]);
    assert_eq!(rig.word("a"), StateWord::Down);
}

#[test]
fn a_change_touches_what_it_is_about_and_nothing_else() {
    // A new need of a living service counts from its next start, and limits where there are any.
    let mut rig = Rig::new(vec![named("a"), named("b"), named("c")]);
    rig.bring_up("a");
    rig.take_done();
    let limits = Arc::new(Limits { pids: Some(7), ..Limits::default() });
    let limited = Unit { limits, ..named("c") };
    rig.reload(&[needing(named("a"), &["b"]), named("b"), limited], &wish(&[]));
    assert_eq!(rig.take_done(), [""; 0]);
    // One that was never started says why it is not.
    let off = Unit { enabled: false, ..named("b") };
    rig.reload(&[named("a"), off.clone()], &wish(&["b"]));
    assert_eq!(rig.why("b"), Rig::new(vec![off]).why("b"));
    // A step before a start belongs to those that have run already.
    let (old, new) = (with_hooks(named("a"), 1, 0, 0), with_hooks(named("a"), 2, 1, 1));
    let hooks = diff::in_place(&old, &new).hooks;
    assert_eq!(hooks.start_pre, old.hooks.start_pre);
    assert_eq!((hooks.start_post.len(), &hooks.stop_post), (0, &new.hooks.stop_post));
}

#[test]
fn a_limit_that_is_taken_away_and_a_pause_that_is_over_hold_nobody_up() {
    let notify = Unit { kind: Kind::Notify, ..named("a") };
    let mut rig = Rig::new(vec![notify.clone()]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.reload(&[Unit { start_timeout: None, ..notify.clone() }], &wish(&[]));
    assert_eq!(rig.supervisor.deadline(), None);
    rig.exit("a", 1, false);
    assert_eq!(rig.word("a"), StateWord::Waiting);
    rig.now += 1_000;
    rig.reload(&[with(notify, |unit| Arc::make_mut(&mut unit.restart).delay = 60_000)], &wish(&[]));
    rig.pass(0);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn work_that_is_done_is_undone_when_its_file_goes() {
    let done = Unit { kind: Kind::Oneshot { remain_after_exit: true }, ..named("db") };
    let mut rig = Rig::new(vec![needing(named("a"), &["db"]), done]);
    rig.ask(Order::Start, "a");
    rig.execute("db");
    rig.exit("db", 0, false);
    rig.execute("a");
    // Also while it is to be undone already, and waits for those that need it.
    for _ in 0..2 {
        assert_eq!(rig.word("db"), StateWord::Done);
        assert_eq!(told(&rig.plan(&[], &wish(&[]))), ["a stop", "db stop"]);
        rig.ask(Order::Stop, "db");
    }
}

#[test]
fn an_address_is_not_taken_from_a_unit_that_is_not_named() {
    let mut rig = Rig::new(vec![on_demand(named("b"))]);
    let units = [on_demand(named("a")), on_demand(named("b"))];
    let plan = rig.reload(&units, &wish(&["a"]));
    assert_eq!(told(&plan), ["a start", "wrong: a"]);
}
