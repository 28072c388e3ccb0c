//! Promises about services that need each other, each as a sentence.

use super::rig::{Rig, after, named, need, needing, with_stop_command};
use super::status::StateWord;
use super::unit::{Condition, Kind, Restart, RestartPolicy, Unit};
use super::why::Obstacle;
use super::{Action, Event, Order, Role, Want, outcome};

const REMAINS: Kind = Kind::Oneshot { remain_after_exit: true };
const ONCE: Kind = Kind::Oneshot { remain_after_exit: false };

#[test]
fn units_that_start_together_keep_their_order_whatever_they_are_called() {
    let mut rig = Rig::new(vec![after(named("a"), &["z"]), named("z")]);
    rig.start_enabled(&["a", "z"]);
    assert_eq!(rig.take_done(), ["begin z"]);
    rig.execute("z");
    assert_eq!(rig.take_done(), ["begin a"]);
}

#[test]
fn a_start_at_boot_brings_up_what_it_needs() {
    let b = Unit { enabled: false, ..named("b") };
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), b]);
    rig.start_enabled(&["a", "b"]);
    assert_eq!(rig.take_done(), ["begin b"]);
}

#[test]
fn a_oneshot_that_is_done_is_undone_after_those_that_need_it() {
    let net = with_stop_command(Unit { kind: REMAINS, ..named("net") });
    let mut rig = Rig::new(vec![needing(named("web"), &["net"]), net]);
    rig.ask(Order::Start, "web");
    rig.execute("net");
    rig.exit("net", 0, false);
    rig.execute("web");
    rig.take_done();
    rig.ask(Order::Stop, "net");
    assert_eq!(rig.take_done(), ["signal web"]);
    rig.exit("web", 0, false);
    assert_eq!(rig.take_done(), ["stop-command net"]);
}

#[test]
fn what_a_oneshot_needs_stays_until_the_oneshot_is_undone() {
    let z = with_stop_command(Unit { kind: REMAINS, ..needing(named("z"), &["b"]) });
    let mut rig = Rig::new(vec![z, named("b")]);
    rig.ask(Order::Start, "z");
    rig.execute("b");
    rig.execute("z");
    rig.exit("z", 0, false);
    assert_eq!(rig.word("z"), StateWord::Done);
    rig.take_done();
    rig.go_down();
    assert_eq!(rig.take_done(), ["stop-command z"]);
    rig.control_exits("z", 0, false);
    assert_eq!(rig.take_done(), ["signal b"]);
}

#[test]
fn a_start_whose_distant_need_failed_is_told_so_instead_of_waiting_for_ever() {
    let no = Restart { policy: RestartPolicy::No, ..*named("c").restart };
    let c = Unit { restart: no.into(), kind: ONCE, ..named("c") };
    let a = needing(named("a"), &["b"]);
    let d = after(named("d"), &["a"]);
    let mut rig = Rig::new(vec![a, needing(named("b"), &["c"]), c, d]);
    rig.ask(Order::Start, "a");
    rig.ask(Order::Start, "d");
    rig.execute("c");
    rig.exit("c", 1, false);
    assert_eq!(rig.word("a"), StateWord::Blocked);
    let obstacles = rig.supervisor.obstacles("a");
    assert!(matches!(obstacles[..], [Obstacle::Never(..)]), "{obstacles:?}");
    let judged = outcome::judge(Order::Start, rig.supervisor.service("a").unwrap(), &obstacles);
    assert_eq!(judged, Some((false, "needs b, which is blocked".to_owned())));
    // Going after one that will not come is no reason to wait.
    assert_eq!(rig.word("d"), StateWord::Starting);
}

#[test]
fn a_need_that_comes_back_unblocks_the_whole_chain() {
    let no = Restart { policy: RestartPolicy::No, ..*named("c").restart };
    let c = Unit { restart: no.into(), kind: Kind::Simple, ..named("c") };
    let a = needing(named("a"), &["b"]);
    let mut rig = Rig::new(vec![a, needing(named("b"), &["c"]), c]);
    rig.ask(Order::Start, "a");
    rig.tell("c", Event::SpawnFailed { role: Role::First, reason: "x".into(), passing: false });
    assert_eq!(rig.word("c"), StateWord::Killing);
    rig.exit("c", 127, false);
    rig.bring_up("c");
    rig.execute("b");
    rig.execute("a");
    assert_eq!(rig.word("a"), StateWord::Up);
}

#[test]
fn an_optional_need_that_is_blocked_for_good_holds_nobody_up() {
    let a = Unit { needs: [need("b", Condition::ServiceHealthy, false)].into(), ..named("a") };
    let mut rig = Rig::new(vec![a, needing(named("b"), &["missing"])]);
    rig.ask(Order::Start, "a");
    assert_eq!(rig.word("b"), StateWord::Blocked);
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_stop_reaches_those_behind_a_completed_oneshot() {
    let completed = need("b", Condition::ServiceCompletedSuccessfully, true);
    let web = Unit { needs: [completed].into(), ..named("a") };
    let migrate = Unit { kind: ONCE, ..needing(named("b"), &["c"]) };
    let mut rig = Rig::new(vec![web, migrate, named("c")]);
    rig.ask(Order::Start, "a");
    rig.execute("c");
    rig.execute("b");
    rig.exit("b", 0, false);
    rig.execute("a");
    rig.take_done();
    rig.ask(Order::Stop, "c");
    assert!(rig.take_done().contains(&"signal a".to_owned()));
}

#[test]
fn a_completed_oneshot_runs_again_when_a_person_starts_it_and_not_as_a_need() {
    let completed = need("b", Condition::ServiceCompletedSuccessfully, true);
    let a = Unit { needs: [completed].into(), ..named("a") };
    for kind in [ONCE, Kind::Auto] {
        let mut rig = Rig::new(vec![a.clone(), Unit { kind, ..named("b") }]);
        rig.ask(Order::Start, "b");
        rig.execute("b");
        rig.exit("b", 0, false);
        rig.take_done();
        rig.ask(Order::Start, "a");
        assert_eq!(rig.take_done(), ["begin a"], "{kind:?}");
        rig.ask(Order::Start, "b");
        assert_eq!(rig.take_done(), ["begin b"], "{kind:?}");
    }
}

#[test]
fn a_stop_during_a_restart_says_that_it_was_a_stop() {
    let mut rig = Rig::new(vec![named("a")]);
    rig.bring_up("a");
    rig.ask(Order::Restart, "a");
    rig.ask(Order::Stop, "a");
    rig.exit("a", 0, false);
    assert_eq!(rig.word("a"), StateWord::Down);
    assert_eq!(rig.why("a"), "asked to stop");
}

#[test]
fn an_order_survives_the_supervisor_even_before_the_state_changes() {
    let units = vec![needing(named("a"), &["b"]), named("b")];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "a");
    rig.execute("b");
    rig.execute("a");
    // b waits for a's end, so its state does not change yet.
    rig.ask(Order::Stop, "b");
    assert_eq!(rig.word("b"), StateWord::Up);
    rig.restart_supervisor(units.clone(), &["a", "b"]);
    assert_eq!(rig.supervisor.service("b").unwrap().want(), Want::Down);
    // And a start while it is stopping is known to the next supervisor too.
    rig.ask(Order::Start, "a");
    rig.restart_supervisor(units, &["a", "b"]);
    assert_eq!(rig.supervisor.service("a").unwrap().want(), Want::Up);
    assert_eq!(rig.why("a"), "asked to restart");
}

#[test]
fn a_circle_that_is_loaded_leaves_the_old_units_as_they_were() {
    let (a, b) = (needing(named("a"), &["b"]), named("b"));
    let mut rig = Rig::new(vec![a.clone(), b.clone()]);
    rig.ask(Order::Start, "a");
    assert_eq!(rig.word("a"), StateWord::Blocked);
    let refused = rig.supervisor.load(vec![a, needing(b, &["a"])], 0);
    assert_eq!(refused.cycles.len(), 1);
    rig.execute("b");
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_circle_through_a_unit_that_stays_as_it_was_is_not_loaded_either() {
    // b and c are refused, so b keeps its old need of a; with the new a that were a circle.
    let mut rig = Rig::new(vec![named("a"), needing(named("b"), &["a"]), named("c")]);
    let refused = rig.supervisor.load(
        vec![needing(named("a"), &["b"]), needing(named("b"), &["c"]), needing(named("c"), &["b"])],
        0,
    );
    assert_eq!(refused.cycles.len(), 2);
    rig.ask(Order::Start, "b");
    rig.execute("a");
    rig.execute("b");
    assert_eq!(rig.word("b"), StateWord::Up);
}

#[test]
fn a_living_service_without_a_unit_still_goes_before_what_it_needs() {
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), named("b")]);
    rig.ask(Order::Start, "a");
    rig.execute("b");
    rig.execute("a");
    rig.load(vec![named("b")]);
    rig.take_done();
    rig.ask(Order::Stop, "b");
    assert_eq!(rig.take_done(), ["signal a"]);
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["signal b"]);
}

#[test]
fn living_services_stop_in_the_order_of_their_units_as_they_are_now() {
    for (newer, order) in [
        (vec![named("a"), named("b")], vec!["signal a", "signal b"]),
        (vec![named("a"), after(named("b"), &["a"])], vec!["signal b"]),
    ] {
        let mut rig = Rig::new(vec![after(named("a"), &["b"]), named("b")]);
        rig.bring_up("b");
        rig.bring_up("a");
        rig.load(newer);
        rig.take_done();
        rig.go_down();
        assert_eq!(rig.take_done(), order);
    }
}

#[test]
fn one_that_waits_for_a_living_service_with_a_new_unit_is_woken_by_its_end() {
    let mut rig = Rig::new(vec![named("a"), named("b")]);
    rig.bring_up("a");
    rig.bring_up("b");
    rig.load(vec![after(named("a"), &["b"]), named("b")]);
    rig.go_down();
    rig.take_done();
    rig.exit("a", 0, false);
    assert_eq!(rig.take_done(), ["signal b"]);
}

#[test]
fn a_start_that_calls_back_a_stop_lets_go_of_those_it_held_up() {
    let units = vec![after(named("a"), &["b"]), named("b"), needing(named("c"), &["a"])];
    let mut rig = Rig::new(units);
    for name in ["b", "a", "c"] {
        rig.bring_up(name);
    }
    // a waits for c, b for a; then a is to stay.
    rig.ask(Order::Stop, "a");
    rig.ask(Order::Stop, "b");
    rig.take_done();
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["signal b"]);
}

#[test]
fn a_unit_that_goes_away_while_it_waits_says_so() {
    let mut rig = Rig::new(vec![needing(named("a"), &["b"])]);
    rig.ask(Order::Start, "a");
    rig.supervisor.load(Vec::new(), 0);
    let actions = rig.supervisor.take_actions();
    let is_told = |it: &Action| matches!(it, Action::Changed { to: StateWord::Down, .. });
    assert!(actions.iter().any(is_told), "{actions:?}");
    // What is kept would count for a later unit of this name.
    assert!(!actions.iter().any(|it| matches!(it, Action::Save { .. })), "{actions:?}");
    assert!(rig.supervisor.service("a").is_none());
}

#[test]
fn a_oneshot_is_undone_when_its_unit_goes_away() {
    let mut rig = Rig::new(vec![with_stop_command(Unit { kind: REMAINS, ..named("a") })]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 0, false);
    rig.take_done();
    rig.load(Vec::new());
    assert_eq!(rig.take_done(), ["stop-command a"]);
    rig.control_exits("a", 0, false);
    assert!(rig.supervisor.service("a").is_none());
}

#[test]
fn a_restart_leaves_those_that_need_it_alone() {
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), named("b")]);
    rig.ask(Order::Start, "a");
    rig.execute("b");
    rig.execute("a");
    rig.take_done();
    rig.ask(Order::Restart, "b");
    rig.exit("b", 0, false);
    assert_eq!(rig.take_done(), ["signal b", "begin b"]);
    assert_eq!(rig.word("a"), StateWord::Up);
}

#[test]
fn service_started_is_met_as_soon_as_the_program_runs() {
    let a = Unit { needs: [need("b", Condition::ServiceStarted, true)].into(), ..named("a") };
    let mut rig = Rig::new(vec![a, Unit { kind: Kind::Notify, ..named("b") }]);
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["begin b"]);
    rig.execute("b");
    assert_eq!(rig.take_done(), ["begin a"]);
}

/// Only a reason to begin is a reason to try again what has failed; a new supervisor is none.
#[test]
fn the_next_supervisor_leaves_what_has_failed_and_who_is_blocked_by_it() {
    let no = Restart { policy: RestartPolicy::No, ..*named("b").restart };
    let b = Unit { restart: no.into(), kind: ONCE, ..named("b") };
    let units = vec![needing(named("a"), &["b"]), b];
    let mut rig = Rig::new(units.clone());
    rig.start_enabled(&["a", "b"]);
    rig.execute("b");
    rig.exit("b", 1, false);
    rig.take_done();
    // What is enabled and never started says for itself that it is wanted.
    rig.saved.remove("a");
    rig.restart_supervisor(units, &[]);
    assert_eq!((rig.word("a"), rig.word("b")), (StateWord::Blocked, StateWord::Failed));
    assert!(rig.take_done().is_empty());
    // A person's start is a reason.
    rig.ask(Order::Start, "a");
    assert_eq!(rig.take_done(), ["begin b"]);
}

#[test]
fn a_start_that_is_blocked_is_known_to_the_next_supervisor_where_no_unit_file_tells_it() {
    let asked = |unit: Unit| Unit { enabled: false, ..unit };
    let units =
        [asked(needing(named("a"), &["b"])), named("b"), asked(needing(named("c"), &["a"]))];
    let mut rig = Rig::new(units.to_vec());
    rig.start_enabled(&["a", "b", "c"]);
    rig.ask(Order::Start, "c");
    let known =
        |rig: &Rig, name, is_known| rig.supervisor.service(name).unwrap().is_to_be_known(is_known);
    assert!(known(&rig, "a", false) && known(&rig, "c", false));
    // Nor is what was kept of the stop before left to be believed.
    rig.ask(Order::Stop, "a");
    assert!(known(&rig, "a", false) && known(&rig, "c", false));
    let mut rig = Rig::new(vec![needing(named("a"), &["b"]), named("b")]);
    rig.start_enabled(&["a", "b"]);
    assert!(!known(&rig, "a", false), "each boot would write as many records");
    assert!(known(&rig, "a", true));
}

#[test]
fn the_next_supervisor_knows_all_before_it_ends_one() {
    // b comes first by name, and must wait for c.
    let units = vec![named("b"), needing(named("c"), &["b"])];
    let mut rig = Rig::new(units.clone());
    rig.ask(Order::Start, "c");
    rig.execute("b");
    rig.execute("c");
    rig.ask(Order::Stop, "b");
    rig.take_done();
    rig.restart_supervisor(units, &["b", "c"]);
    // The signal may not have been sent yet when the first supervisor died.
    assert_eq!(rig.take_done(), ["signal c"]);
}
