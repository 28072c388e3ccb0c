//! What is remembered of a start, and whose turn it is.

use super::rig::{Rig, named, needing};
use super::status::StateWord;
use super::times::{Origin, Times, Waited};
use super::unit::{Kind, Unit};
use super::{Notice, Order};

fn told(name: &str) -> Unit {
    Unit { kind: Kind::Notify, ..named(name) }
}

fn ready() -> Notice {
    Notice { ready: true, ..Notice::default() }
}

impl Rig {
    fn times(&self, name: &str) -> Times {
        self.supervisor.service(name).unwrap().times().unwrap().clone()
    }

    fn starting(&self) -> Vec<String> {
        let services = self.supervisor.services();
        let starting = services.filter(|(_, it)| it.word() == StateWord::Starting);
        starting.map(|(name, _)| name.to_string()).collect()
    }
}

#[test]
fn a_start_remembers_when_it_was_due_free_begun_and_up_and_what_it_waited_for() {
    let units = vec![told("db"), needing(named("web"), &["db"])];
    let mut rig = Rig::new(units.clone());
    rig.now = 100;
    rig.start_enabled(&["web"]);
    rig.now = 700;
    rig.notify("db", ready());
    rig.now = 900;
    rig.execute("web");
    let waited_for = Some(Waited::Unit("db".into()));
    let first = Times { due: 100, free: 100, began: 700, up: Some(900), waited_for };
    assert_eq!(rig.times("web"), first);
    let db = Times { due: 100, free: 100, began: 100, up: Some(700), waited_for: None };
    assert_eq!(rig.times("db"), db);
    let origin = |rig: &Rig, name: &str| rig.supervisor.service(name).unwrap().origin().cloned();
    assert_eq!(origin(&rig, "web"), Some(Origin::Enabled));
    assert_eq!(origin(&rig, "db"), Some(Origin::Needed("web".into())));

    // A restart is due when the run before has ended, and free when its back-off is over.
    rig.now = 5_000;
    rig.exit("web", 1, false);
    rig.pass(1_000);
    rig.execute("web");
    let second = Times { due: 5_000, free: 6_000, began: 6_000, up: Some(6_000), waited_for: None };
    assert_eq!(rig.times("web"), second);
    rig.restart_supervisor(units, &["db", "web"]);
    assert_eq!((rig.times("web"), rig.times("db")), (second, db));
    assert_eq!(origin(&rig, "db"), Some(Origin::Needed("web".into())));
    rig.ask(Order::Start, "db");
    assert_eq!(origin(&rig, "db"), Some(Origin::Asked));
}

#[test]
fn a_back_off_that_ends_in_a_block_is_not_forgotten() {
    let mut rig = Rig::new(vec![told("db"), needing(named("web"), &["db"])]);
    rig.ask(Order::Start, "web");
    rig.notify("db", ready());
    rig.execute("web");
    rig.now = 1_000;
    rig.exit("web", 1, false);
    rig.ask(Order::Restart, "db");
    rig.pass(1_000);
    assert_eq!(rig.word("web"), StateWord::Blocked);
    rig.now = 2_500;
    rig.exit("db", 0, false);
    rig.notify("db", ready());
    let times = rig.times("web");
    assert_eq!((times.due, times.free, times.began), (1_000, 2_000, 2_500));
}

#[test]
fn a_oneshot_is_up_when_its_work_is_done_and_a_failure_never_is() {
    let once = Unit { kind: Kind::Oneshot { remain_after_exit: false }, ..named("a") };
    let mut rig = Rig::new(vec![once]);
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.now = 300;
    rig.exit("a", 0, false);
    assert_eq!(rig.times("a").up, Some(300));
    rig.ask(Order::Start, "a");
    rig.execute("a");
    rig.exit("a", 1, false);
    assert_eq!(rig.times("a").up, None);
}

#[test]
fn only_so_many_work_at_their_start_and_who_comes_first_is_first() {
    let units = vec![told("a"), told("b"), told("c"), told("d"), named("plain")];
    let mut rig = Rig::new(units);
    rig.supervisor.limit_starting(2);
    rig.ask(Order::Start, "d");
    rig.ask(Order::Start, "c");
    rig.ask(Order::Start, "b");
    rig.now = 10;
    rig.ask(Order::Start, "a");
    assert_eq!(rig.starting(), ["c", "d"]);
    assert_eq!((rig.word("a"), rig.word("b")), (StateWord::Blocked, StateWord::Blocked));
    let obstacles = rig.supervisor.obstacles("b");
    assert_eq!(obstacles[0].to_string(), "waits for its turn: as many as may be are starting");
    // One that is up at once takes no turn.
    rig.bring_up("plain");
    rig.now = 20;
    rig.notify("c", ready());
    assert_eq!(rig.starting(), ["b", "d"]);
    assert_eq!(rig.times("b").waited_for, Some(Waited::Turn));
    // One that is not wanted any more gives its place up.
    rig.ask(Order::Stop, "a");
    rig.notify("d", ready());
    assert_eq!(rig.starting(), ["b"]);
    assert_eq!(rig.supervisor.deadline(), Some(90_020), "nobody waits, so nobody is weighed");
}

#[test]
fn who_works_keeps_his_turn_and_who_only_waits_gives_it_back() {
    let mut rig = Rig::new(vec![told("idle"), told("busy"), told("next"), told("last")]);
    rig.supervisor.limit_starting(2);
    ["busy", "idle", "next", "last"].iter().for_each(|name| rig.ask(Order::Start, name));
    assert_eq!(rig.starting(), ["busy", "idle"]);
    rig.used = [("idle".to_owned(), 1_999), ("busy".to_owned(), 2_000)].into();
    rig.pass(100);
    assert_eq!(rig.starting(), ["busy", "idle", "next"]);
    rig.used = [("busy".to_owned(), 90_000), ("next".to_owned(), 90_000)].into();
    rig.pass(100);
    assert_eq!(rig.word("last"), StateWord::Blocked);
    // One that does nothing but ask whether it may go on is no reason to wait for ever.
    for round in 2..110 {
        rig.used.values_mut().for_each(|used| *used += 90_000);
        rig.pass(100);
        assert_eq!(rig.word("last") == StateWord::Starting, round >= 99, "{round}");
    }
}
