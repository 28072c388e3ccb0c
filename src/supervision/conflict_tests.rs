//! Promises about units that cannot live beside each other, each as a sentence.

use super::activation::{Guard, Trigger};
use super::rig::{Rig, after, against, named, needing, on_demand, with_stop_command};
use super::status::StateWord;
use super::unit::{Kind, Unit};
use super::{Order, Want, outcome};

#[test]
fn a_start_ends_the_other_first_in_both_directions() {
    let mut rig = Rig::new(vec![against(named("a"), &["b"]), named("b")]);
    rig.bring_up("b");
    rig.take_done();
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["signal b"]);
    assert_eq!(rig.word("a"), StateWord::Blocked);
    let obstacles = rig.supervisor.obstacles("a");
    assert_eq!(obstacles[0].to_string(), "waits for the end of b: they conflict");
    let judged = outcome::judge(Order::Start, rig.supervisor.service("a").unwrap(), &obstacles);
    assert_eq!(judged, None);
    rig.exit("b", 0, false);
    assert_eq!(rig.take_done(), ["begin a"]);
    assert_eq!(rig.why("b"), "conflicts with a, which was started");
    rig.execute("a");
    rig.ask(Order::Start, "b");
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["signal a", "begin b"]);
}

#[test]
fn those_that_need_the_other_go_first_and_what_a_start_needs_ends_its_rivals_too() {
    let kind = Kind::Oneshot { remain_after_exit: true };
    let other = with_stop_command(Unit { kind, ..named("other") });
    let units = vec![
        needing(named("a"), &["b"]),
        against(named("b"), &["other"]),
        other,
        needing(named("user"), &["other"]),
    ];
    let mut rig = Rig::new(units);
    rig.ask(Order::Start, "user");
    rig.execute("other");
    rig.exit("other", 0, false);
    rig.execute("user");
    rig.take_done();
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["signal user"]);
    rig.exit("user", 0, false);
    assert_eq!(rig.take_done(), ["stop-command other"]);
    rig.control_exits("other", 0, false);
    assert_eq!(rig.take_done(), ["begin b"]);
}

#[test]
fn at_boot_the_first_by_name_wins_and_the_other_says_why() {
    let c = needing(named("c"), &["b"]);
    let mut rig = Rig::new(vec![named("a"), against(named("b"), &["a"]), c]);
    rig.start_enabled(&["c", "b", "a"]);
    assert_eq!(rig.take_done(), ["begin a"]);
    for name in ["b", "c"] {
        assert_eq!(rig.word(name), StateWord::Down);
        assert_eq!(rig.why(name), "conflicts with a, which was started");
    }
    assert_eq!(rig.supervisor.service("b").unwrap().want(), Want::Down);
}

#[test]
fn a_restart_never_ends_the_other() {
    let mut rig = Rig::new(vec![named("a"), named("b")]);
    rig.bring_up("a");
    rig.bring_up("b");
    // Both live when they begin to conflict; only a person decides between them.
    rig.load(vec![against(named("a"), &["b"]), named("b")]);
    rig.take_done();
    rig.exit("a", 1, false);
    rig.pass(1_000);
    assert_eq!((rig.word("a"), rig.word("b")), (StateWord::Blocked, StateWord::Up));
    let obstacles = rig.supervisor.obstacles("a");
    assert_eq!(obstacles[0].to_string(), "conflicts with b, which is wanted up");
    assert!(rig.take_done().is_empty());
    rig.ask(Order::Stop, "b");
    rig.exit("b", 0, false);
    assert_eq!(rig.take_done(), ["signal b", "begin a"]);
}

#[test]
fn a_unit_that_conflicts_with_what_it_depends_on_is_not_loaded() {
    let b = needing(named("b"), &["c"]);
    let units = vec![
        against(needing(named("a"), &["b"]), &["c"]),
        b,
        named("c"),
        needing(named("d"), &["x", "c"]),
        against(named("x"), &["c"]),
        after(against(named("y"), &["c"]), &["c"]),
    ];
    let mut rig = Rig::new(Vec::new());
    let loaded = rig.supervisor.load(units, 0);
    let said: Vec<String> = loaded.clashes.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["a conflicts with c, which it depends on", "d depends on x and c, which conflict"]
    );
    assert!(rig.supervisor.service("a").is_none() && rig.supervisor.service("d").is_none());
    assert_eq!(rig.supervisor.services().count(), 4);
}

#[test]
fn one_that_a_connection_started_is_disarmed_by_a_rival_and_one_that_only_waits_is_not() {
    let mut rig = Rig::new(vec![against(on_demand(named("a")), &["b"]), named("b")]);
    rig.start_enabled(&["a"]);
    rig.bring_up("b");
    assert_eq!(rig.guards["a"], Guard::Watched);
    // The connection counts, and ends the rival in its turn.
    rig.trigger("a", Trigger::Fresh);
    rig.exit("b", 0, false);
    rig.execute("a");
    rig.ask(Order::Start, "b");
    rig.exit("a", 0, false);
    assert_eq!((rig.word("a"), rig.guards["a"]), (StateWord::Down, Guard::Off));
    assert_eq!(rig.why("a"), "conflicts with b, which was started");
    // Nobody else arms it again.
    rig.execute("b");
    rig.ask(Order::Stop, "b");
    rig.exit("b", 0, false);
    assert_eq!(rig.guards["a"], Guard::Off);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 0, false);
    assert_eq!(rig.guards["a"], Guard::Watched);
}
