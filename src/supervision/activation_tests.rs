//! What starts services, event by event.

use std::sync::Arc;

use super::activation::{Activation, Guard, Trigger};
use super::rig::{Rig, named, on_demand, unit};
use super::rig::{against, at_a_path, need, needing, timed, with_condition};
use super::status::StateWord;
use super::times::Origin;
use super::unit::{Condition, Kind, Restart, RestartPolicy, Unit};
use super::why::Obstacle;
use super::{Order, Want};

fn armed(unit: Unit) -> Rig {
    let name = unit.name.to_string();
    let mut rig = Rig::new(vec![unit]);
    rig.start_enabled(&[&name]);
    rig
}

#[test]
fn a_connection_that_waits_gets_the_pause_and_the_limit_of_a_restart_after_a_short_run() {
    let mut rig = armed(on_demand(unit()));
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Down, Guard::Watched));
    rig.trigger("web", Trigger::Standing);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Starting, Guard::Held));
    for pause in [1_000, 2_000] {
        rig.execute("web");
        rig.exit("web", 0, false);
        assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Down, Guard::Watched));
        rig.trigger("web", Trigger::Standing);
        assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Waiting, Guard::Held));
        rig.pass(pause - 1);
        assert_eq!(rig.word("web"), StateWord::Waiting);
        rig.pass(1);
        assert_eq!(rig.word("web"), StateWord::Starting);
    }
    rig.execute("web");
    rig.exit("web", 0, false);
    rig.trigger("web", Trigger::Standing);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Failed, Guard::Off));
    assert!(rig.why("web").contains("given up after 2 restarts"), "{}", rig.why("web"));
}

#[test]
fn one_that_comes_later_or_after_a_healthy_run_is_served_at_once() {
    let mut rig = armed(on_demand(unit()));
    for (ran, trigger) in [(10, Trigger::Fresh), (10_000, Trigger::Standing)].repeat(5) {
        rig.trigger("web", trigger);
        assert_eq!(rig.word("web"), StateWord::Starting);
        rig.execute("web");
        rig.pass(ran);
        rig.exit("web", 0, false);
        // The next one is fresh after the short run, and standing after the long one.
        assert_eq!(rig.word("web"), StateWord::Down);
        if ran == 10 {
            rig.trigger("web", Trigger::Fresh);
            rig.execute("web");
            rig.pass(10_000);
            rig.exit("web", 0, false);
        }
    }
}

#[test]
fn one_that_cannot_listen_tries_again_and_is_given_up() {
    let mut rig = Rig::new(vec![on_demand(unit())]);
    rig.cannot_listen = true;
    rig.start_enabled(&["web"]);
    for pause in [1_000, 2_000] {
        assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Waiting, Guard::Off));
        rig.pass(pause);
    }
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Failed, Guard::Off));
    rig.cannot_listen = false;
    rig.ask(Order::Start, "web");
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Starting, Guard::Held));
}

#[test]
fn a_unit_at_rest_follows_what_its_new_text_says() {
    let web = || named("web");
    let mut rig = armed(on_demand(web()));
    // It is to run at boot, and so it runs now.
    rig.load(vec![web()]);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Starting, Guard::Off));
    rig.execute("web");
    // While it lives nothing changes; then it is armed.
    rig.load(vec![on_demand(web())]);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Up, Guard::Off));
    rig.exit("web", 0, false);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Down, Guard::Watched));
    // Not one that somebody has stopped.
    rig.ask(Order::Stop, "web");
    assert_eq!(rig.guards["web"], Guard::Off);
    rig.load(vec![web()]);
    rig.load(vec![on_demand(web())]);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Down, Guard::Off));
    // And one that is not to start by itself is not started by a change.
    let off = || Unit { enabled: false, ..web() };
    let mut rig = armed(on_demand(off()));
    assert!(rig.guards.is_empty());
    rig.load(vec![off()]);
    assert_eq!(rig.word("web"), StateWord::Down);
}

#[test]
fn who_is_armed_stays_so_over_a_restart_of_the_supervisor_and_not_over_a_stop() {
    let mut rig = armed(on_demand(unit()));
    rig.trigger("web", Trigger::Fresh);
    rig.execute("web");
    rig.exit("web", 0, false);
    rig.restart_supervisor(vec![on_demand(unit())], &[]);
    assert_eq!(rig.guards["web"], Guard::Watched);
    rig.ask(Order::Stop, "web");
    rig.restart_supervisor(vec![on_demand(unit())], &[]);
    assert_eq!(rig.supervisor.service("web").unwrap().want(), Want::Down);
    rig.trigger("web", Trigger::Fresh);
    assert_eq!(rig.word("web"), StateWord::Down);
}

#[test]
fn a_unit_that_goes_away_is_closed() {
    let mut rig = armed(on_demand(unit()));
    rig.load(Vec::new());
    assert_eq!(rig.guards["web"], Guard::Off);
    assert!(rig.supervisor.service("web").is_none());
}

fn never_again(unit: Unit) -> Unit {
    let restart = Restart { policy: RestartPolicy::No, ..*unit.restart };
    Unit { restart: restart.into(), ..unit }
}

/// The unit, whose sockets are owned by another user.
fn of_another_user(unit: Unit) -> Unit {
    let mut activation = Activation::clone(unit.activation.as_deref().unwrap());
    activation.sockets[0].user = Some("www".into());
    Unit { activation: Some(Arc::new(activation)), ..unit }
}

#[test]
fn a_trigger_brings_up_what_is_needed_and_ends_the_rivals_and_says_who_it_was() {
    let web = || against(needing(on_demand(named("web")), &["db"]), &["rival"]);
    let mut rig = Rig::new(vec![web(), named("db"), named("rival")]);
    rig.start_enabled(&["web"]);
    rig.bring_up("rival");
    rig.take_done();
    rig.trigger("web", Trigger::Fresh);
    assert_eq!(rig.take_done(), ["begin db", "signal rival"]);
    let origin = &rig.supervisor.service("web").unwrap().origin;
    assert!(matches!(origin, Some(Origin::Triggered(_))), "{origin:?}");

    // What somebody has stopped is not started, and neither is what it needs.
    let mut rig = Rig::new(vec![web(), named("db"), named("rival")]);
    rig.start_enabled(&["web"]);
    rig.ask(Order::Stop, "web");
    rig.bring_up("rival");
    rig.take_done();
    rig.trigger("web", Trigger::Fresh);
    assert_eq!((rig.word("web"), rig.take_done()), (StateWord::Down, vec![]));
}

#[test]
fn who_needs_a_service_that_listens_may_begin_once_its_socket_is_open() {
    let units = || vec![needing(named("a"), &["web"]), on_demand(named("web"))];
    let mut rig = Rig::new(units());
    let names = ["a", "web"].map(|name| super::UnitName::new(name).unwrap());
    rig.supervisor.start_enabled(&names, 0);
    // Nothing was opened yet.
    assert_eq!(rig.word("a"), StateWord::Blocked);
    assert_eq!(rig.supervisor.obstacles("a"), [Obstacle::NotYet(names[1].clone())]);
    rig.perform();
    assert_eq!((rig.word("a"), rig.word("web")), (StateWord::Starting, StateWord::Down));

    // One that is opened anew is waited for, and one that cannot be opened is tried again.
    let mut rig = Rig::new(units());
    rig.start_enabled(&["web"]);
    let other = of_another_user(on_demand(named("web")));
    rig.supervisor.load(vec![needing(named("a"), &["web"]), other], 0);
    rig.supervisor.start_enabled(&names[..1], 0);
    assert_eq!(rig.word("a"), StateWord::Blocked);
    rig.cannot_listen = true;
    rig.perform();
    assert_eq!((rig.word("a"), rig.word("web")), (StateWord::Blocked, StateWord::Waiting));
    assert_eq!(rig.supervisor.obstacles("a"), [Obstacle::NotYet(names[1].clone())]);
    rig.cannot_listen = false;
    rig.pass(1_000);
    assert_eq!((rig.word("a"), rig.guards["web"]), (StateWord::Starting, Guard::Watched));

    // One that is about to be closed is none to rely on.
    let mut rig = Rig::new(units());
    rig.start_enabled(&["web"]);
    rig.supervisor.cannot_arm(&names[1], "no".into(), 0);
    rig.supervisor.start_enabled(&names[..1], 0);
    assert_eq!(rig.word("a"), StateWord::Blocked);
}

#[test]
fn who_needs_the_work_of_a_service_that_listens_has_it_done() {
    let work =
        Unit { kind: Kind::Oneshot { remain_after_exit: false }, ..on_demand(named("work")) };
    let needs = [need("work", Condition::ServiceCompletedSuccessfully, true)].into();
    let mut rig = Rig::new(vec![Unit { needs, ..named("a") }, work]);
    rig.start_enabled(&["work"]);
    rig.ask(Order::Start, "a");
    assert_eq!((rig.word("a"), rig.word("work")), (StateWord::Blocked, StateWord::Starting));
    rig.execute("work");
    rig.exit("work", 0, false);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn after_a_failure_a_path_is_watched_again_and_a_socket_closed() {
    let mut rig = armed(never_again(at_a_path(unit())));
    rig.trigger("web", Trigger::Fresh);
    rig.execute("web");
    rig.exit("web", 1, false);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Failed, Guard::Watched));
    let mut rig = armed(never_again(on_demand(unit())));
    rig.trigger("web", Trigger::Fresh);
    rig.execute("web");
    rig.exit("web", 1, false);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Failed, Guard::Off));
}

#[test]
fn one_that_cannot_be_watched_and_is_given_up_is_wanted_down() {
    for (unit, tries) in [(at_a_path(unit()), 2), (never_again(at_a_path(unit())), 0)] {
        let mut rig = Rig::new(vec![unit]);
        rig.cannot_listen = true;
        rig.start_enabled(&["web"]);
        for _ in 0..tries {
            assert_eq!(rig.word("web"), StateWord::Waiting);
            rig.pass(2_000);
        }
        assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Failed, Guard::Off));
        assert_eq!(rig.supervisor.service("web").unwrap().want(), Want::Down);
    }
}

#[test]
fn a_fresh_trigger_forgets_the_short_runs_before_it_and_each_run_asks_its_conditions() {
    let mut rig = armed(with_condition(on_demand(unit())));
    for pause in [0, 1_000, 0, 1_000] {
        let trigger = if pause == 0 { Trigger::Fresh } else { Trigger::Standing };
        rig.looking = None;
        rig.trigger("web", trigger);
        rig.pass(pause);
        assert_eq!((rig.word("web"), rig.looking.is_some()), (StateWord::Starting, true));
        rig.execute("web");
        rig.exit("web", 0, false);
    }
}

#[test]
fn a_change_of_the_unit_neither_starts_nor_arms_what_should_be_at_rest() {
    // One that a person started, and that is not to start by itself.
    let off = || Unit { enabled: false, ..named("web") };
    let mut rig = Rig::new(vec![on_demand(off())]);
    rig.bring_up("web");
    rig.exit("web", 0, false);
    assert_eq!(rig.guards["web"], Guard::Watched);
    rig.load(vec![off()]);
    assert_eq!((rig.word("web"), rig.guards["web"]), (StateWord::Down, Guard::Off));
    assert_eq!(rig.supervisor.service("web").unwrap().want(), Want::Down);
    // One that has failed by itself while it was to be stopped.
    let mut rig = Rig::new(vec![needing(named("a"), &["web"]), named("web")]);
    rig.bring_up("web");
    rig.bring_up("a");
    rig.ask(Order::Stop, "web");
    rig.exit("web", 1, false);
    assert_eq!((rig.word("web"), rig.word("a")), (StateWord::Down, StateWord::Stopping));
    rig.load(vec![needing(named("a"), &["web"]), on_demand(named("web"))]);
    assert_eq!(rig.supervisor.service("web").unwrap().want(), Want::Down);
}

#[test]
fn a_socket_of_a_service_that_is_being_stopped_is_none_to_rely_on() {
    let mut needs = needing(named("a"), &["db"]).needs;
    needs.push(need("web", Condition::ServiceHealthy, false));
    let db = Unit { kind: Kind::Notify, ..named("db") };
    let mut rig = Rig::new(vec![Unit { needs, ..named("a") }, db, on_demand(named("web"))]);
    rig.start_enabled(&["web"]);
    rig.trigger("web", Trigger::Fresh);
    rig.execute("web");
    rig.ask(Order::Start, "a");
    rig.execute("db");
    rig.ask(Order::Stop, "web");
    rig.notify("db", super::Notice { ready: true, ..super::Notice::default() });
    assert_eq!((rig.word("db"), rig.word("a")), (StateWord::Up, StateWord::Blocked));
    rig.exit("web", 0, false);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn what_something_starts_is_there_at_boot_for_those_that_need_it_whatever_it_is_called() {
    let run =
        |name| timed(Unit { kind: Kind::Oneshot { remain_after_exit: false }, ..named(name) });
    for (first, second) in [("a", "b"), ("b", "a")] {
        let mut rig = Rig::new(vec![needing(named(first), &[second]), run(second)]);
        rig.start_enabled(&["a", "b"]);
        assert_eq!(rig.take_done(), [format!("begin {second}")], "its work is needed now");
        let mut rig = Rig::new(vec![needing(named(first), &[second]), on_demand(named(second))]);
        rig.start_enabled(&["a", "b"]);
        assert_eq!(rig.take_done(), [format!("begin {first}")], "its socket is all that is needed");
    }
}
