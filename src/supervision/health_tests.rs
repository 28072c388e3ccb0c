//! Single stories of checks and watchdogs, by the clock.

use super::rig::{Rig, named, needing};
use super::status::{HealthWord, StateWord};
use super::unit::{HealthCheck, Kind, OnFailure, Polled, Probe, Ready, Reload, Unit, Watchdog};
use super::{Event, Moment, Notice, Order, WatchdogNews};

fn check() -> HealthCheck {
    HealthCheck {
        probe: Probe::Command(vec!["/bin/check".into()]),
        interval: 30_000,
        timeout: 10_000,
        retries: 3,
        start_period: 0,
        start_interval: 5_000,
        on_failure: OnFailure::Notify,
    }
}

fn checked(check: HealthCheck) -> Unit {
    Unit { health: Some(Box::new(check)), ..named("web") }
}

fn health(rig: &Rig) -> Option<HealthWord> {
    rig.supervisor.service("web").unwrap().health()
}

/// Fails every check until it is unhealthy, and gives how long that took.
fn time_to_unhealthy(rig: &mut Rig) -> Moment {
    let begun = rig.now;
    while health(rig) != Some(HealthWord::Unhealthy) {
        rig.pass(100);
        if rig.take_done().contains(&"check web".to_owned()) {
            rig.checked("web", Err("no"));
        }
        assert!(rig.now < begun + 1_000_000, "it never becomes unhealthy");
    }
    rig.now - begun
}

#[test]
fn it_is_looked_at_often_at_first_and_has_as_much_time_as_by_compose() {
    let mut rig = Rig::new(vec![checked(check())]);
    rig.bring_up("web");
    rig.take_done();
    rig.pass(0);
    assert_eq!(rig.take_done(), ["check web"]);
    rig.checked("web", Err("no"));
    rig.pass(4_999);
    assert!(rig.take_done().is_empty());
    rig.pass(1);
    assert_eq!(rig.take_done(), ["check web"]);
    rig.checked("web", Ok(()));
    assert_eq!(rig.take_done(), ["healthy web"]);
    // From now on in its interval, and each failure counts.
    assert!((90_000..=90_300).contains(&time_to_unhealthy(&mut rig)));
    assert_eq!(rig.why("web"), "unhealthy: no");

    for (start_period, expected) in [(0, 90_000), (60_000, 150_000)] {
        let mut rig = Rig::new(vec![checked(HealthCheck { start_period, ..check() })]);
        rig.bring_up("web");
        let took = time_to_unhealthy(&mut rig);
        assert!((expected..expected + 20_000).contains(&took), "{took} ms");
    }
}

/// Those that are born together share the news of their programs, and a slow one holds it up.
#[test]
fn one_that_is_ready_before_its_execution_is_told_is_looked_after() {
    let kind = Kind::Notify;
    let watchdog = Some(Watchdog { limit: 10_000, on_failure: OnFailure::Restart });
    let mut rig = Rig::new(vec![Unit { kind, watchdog, ..checked(check()) }]);
    rig.ask(Order::Start, "web");
    rig.notify("web", Notice { ready: true, ..Notice::default() });
    rig.execute("web");
    assert_eq!((rig.word("web"), health(&rig)), (StateWord::Up, Some(HealthWord::Starting)));
    rig.take_done();
    rig.pass(0);
    assert_eq!(rig.take_done(), ["check web"]);
    rig.checked("web", Ok(()));
    rig.pass(10_000);
    rig.pass(1_000);
    assert_eq!(rig.why("web"), "watchdog: no keep-alive for 10 s");
}

#[test]
fn one_that_hangs_is_ended_counts_once_and_is_waited_for() {
    let mut rig = Rig::new(vec![checked(HealthCheck { retries: 2, ..check() })]);
    rig.bring_up("web");
    rig.pass(0);
    rig.checked("web", Ok(()));
    rig.pass(30_000);
    rig.take_done();
    rig.pass(10_000);
    assert_eq!(rig.take_done(), ["end-check web"]);
    assert_eq!(rig.why("web"), "");
    // Its end comes late, and says nothing new; the next one is due when it would have been.
    rig.pass(1_000);
    rig.checked("web", Err("SIGKILL"));
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
    rig.pass(28_999);
    assert_eq!(rig.take_done(), [""; 0]);
    rig.pass(1);
    assert_eq!(rig.take_done(), ["check web"]);
    rig.pass(10_000);
    assert_eq!(rig.take_done(), ["end-check web", "unhealthy web"]);
    assert_eq!(rig.why("web"), "unhealthy: no answer within 10 s");
    // One that cannot even be killed is no sign of health.
    rig.pass(30_000);
    assert_eq!(rig.why("web"), "unhealthy: the last check was killed and does not end");
}

#[test]
fn a_stop_ends_the_check_and_nothing_is_checked_afterwards() {
    let mut rig = Rig::new(vec![checked(check())]);
    rig.bring_up("web");
    rig.pass(0);
    rig.take_done();
    rig.ask(Order::Stop, "web");
    assert_eq!(rig.take_done(), ["signal web", "end-check web"]);
    rig.pass(1_000);
    assert!(rig.take_done().is_empty());
}

#[test]
fn the_next_supervisor_knows_the_word_and_the_failures() {
    let unit = checked(HealthCheck { retries: 2, on_failure: OnFailure::Stop, ..check() });
    let mut rig = Rig::new(vec![unit.clone()]);
    rig.bring_up("web");
    rig.pass(0);
    rig.checked("web", Ok(()));
    rig.pass(30_000);
    rig.checked("web", Err("no"));
    rig.restart_supervisor(vec![unit], &["web"]);
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
    assert_eq!(rig.supervisor.service("web").unwrap().ailment(), "no");
    rig.take_done();
    rig.pass(29_999);
    assert_eq!(rig.take_done(), [""; 0], "the pause begins anew");
    rig.pass(1);
    assert_eq!(rig.take_done(), ["check web"]);
    rig.checked("web", Err("still no"));
    assert_eq!(rig.word("web"), StateWord::Stopping);
    assert_eq!(rig.why("web"), "unhealthy: 2 checks in a row failed: still no");
}

#[test]
fn who_needs_it_healthy_waits_for_the_first_good_check_and_lives_through_bad_ones() {
    let a = needing(named("a"), &["web"]);
    let mut rig = Rig::new(vec![a, checked(HealthCheck { retries: 1, ..check() })]);
    rig.ask(Order::Start, "a");
    rig.execute("web");
    rig.pass(0);
    assert_eq!((rig.word("web"), rig.word("a")), (StateWord::Up, StateWord::Blocked));
    rig.checked("web", Ok(()));
    rig.execute("a");
    rig.pass(30_000);
    rig.checked("web", Err("no"));
    assert_eq!((health(&rig), rig.word("a")), (Some(HealthWord::Unhealthy), StateWord::Up));
}

#[test]
fn a_readiness_that_is_asked_for_is_asked_for_until_it_comes() {
    let polled = Polled { probe: Probe::PidFile, interval: 200, timeout: 1_000 };
    let ready = Some(Ready::Polled(Box::new(polled)));
    let mut rig = Rig::new(vec![Unit { ready: ready.map(Box::new), ..named("web") }]);
    rig.ask(Order::Start, "web");
    rig.pass(0);
    assert_eq!(rig.take_done(), ["begin web"], "there is nothing to look at before the exec");
    rig.execute("web");
    rig.pass(0);
    rig.checked("web", Err("it is not there"));
    assert_eq!(rig.why("web"), "it is not there");
    rig.pass(200);
    assert_eq!(rig.take_done(), ["check web", "check web"]);
    rig.checked("web", Ok(()));
    assert_eq!((rig.word("web"), health(&rig)), (StateWord::Up, None));
    rig.pass(100_000);
    assert!(rig.take_done().iter().all(|done| !done.contains("check")));
}

fn watched(on_failure: OnFailure) -> Rig {
    let watchdog = Some(Watchdog { limit: 10_000, on_failure });
    let mut rig = Rig::new(vec![Unit { watchdog, ..named("web") }]);
    rig.bring_up("web");
    rig
}

fn alive() -> Notice {
    Notice { watchdog: Some(WatchdogNews::Alive), ..Notice::default() }
}

#[test]
fn a_keep_alive_may_come_in_the_last_instant_and_no_later() {
    let mut rig = watched(OnFailure::Restart);
    rig.pass(10_000);
    rig.pass(249);
    rig.notify("web", alive());
    rig.pass(10_000);
    rig.pass(250);
    assert_eq!(rig.word("web"), StateWord::Stopping);
    assert_eq!(rig.why("web"), "watchdog: no keep-alive for 10 s");
}

#[test]
fn time_that_the_supervisor_has_lost_is_given_once_more() {
    let mut rig = watched(OnFailure::Restart);
    rig.pass(60_000);
    rig.pass(9_999);
    assert_eq!(rig.word("web"), StateWord::Up);
    rig.pass(1);
    rig.pass(250);
    assert_eq!(rig.word("web"), StateWord::Stopping);
}

#[test]
fn a_missed_keep_alive_can_be_made_good_where_people_are_only_told() {
    let mut rig = watched(OnFailure::Notify);
    rig.pass(10_000);
    rig.pass(250);
    assert_eq!((rig.word("web"), health(&rig)), (StateWord::Up, Some(HealthWord::Unhealthy)));
    assert_eq!(rig.supervisor.deadline(), None, "there is nothing to be waited for by the clock");
    rig.notify("web", alive());
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
    assert!(rig.take_done().ends_with(&["unhealthy web".into(), "healthy web".into()]));
    rig.notify("web", Notice { watchdog_limit: Some(0), ..Notice::default() });
    rig.pass(100_000);
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
}

/// Lets the next check begin, and answers it.
fn next_check(rig: &mut Rig, result: Result<(), &str>) {
    rig.pass(30_000);
    assert!(rig.take_done().contains(&"check web".to_owned()));
    rig.checked("web", result);
}

#[test]
fn a_good_check_makes_up_for_the_bad_ones_before_it_and_says_nothing_of_them() {
    let mut rig = Rig::new(vec![checked(check())]);
    rig.bring_up("web");
    next_check(&mut rig, Ok(()));
    for result in [Err("no"), Err("no"), Ok(()), Err("no"), Err("no")] {
        next_check(&mut rig, result);
        assert_eq!(health(&rig), Some(HealthWord::Healthy));
        let ailment = rig.supervisor.service("web").unwrap().ailment();
        assert_eq!(ailment, result.err().unwrap_or_default());
    }
    next_check(&mut rig, Err("no"));
    assert_eq!(health(&rig), Some(HealthWord::Unhealthy));
}

#[test]
fn an_answer_to_an_older_check_says_nothing_and_a_long_reason_is_cut() {
    let mut rig = Rig::new(vec![checked(HealthCheck { retries: 1, ..check() })]);
    rig.bring_up("web");
    next_check(&mut rig, Ok(()));
    rig.pass(30_000);
    rig.tell("web", Event::Checked { number: 1, result: Err("late".into()) });
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
    // The one that is on its way is still waited for.
    rig.checked("web", Err(&"x\u{e4}".repeat(200)));
    assert_eq!(health(&rig), Some(HealthWord::Unhealthy));
    let ailment = rig.supervisor.service("web").unwrap().ailment();
    assert_eq!(ailment, "x\u{e4}".repeat(100), "300 bytes, and no half a character");
}

#[test]
fn a_check_is_not_blamed_for_time_that_the_supervisor_has_lost() {
    let mut rig = Rig::new(vec![checked(HealthCheck { retries: 2, ..check() })]);
    rig.bring_up("web");
    next_check(&mut rig, Ok(()));
    rig.pass(30_000);
    rig.take_done();
    // Its 10 s are over, and much more: they begin again.
    rig.pass(60_000);
    rig.pass(9_999);
    assert_eq!(rig.take_done(), [""; 0]);
    rig.pass(1);
    assert_eq!(rig.take_done(), ["end-check web"]);
    // So does the time in which it is to be gone.
    rig.pass(60_000);
    rig.pass(29_999);
    assert_eq!((health(&rig), rig.take_done()), (Some(HealthWord::Healthy), vec![]));
    rig.pass(1);
    assert_eq!(rig.take_done(), ["unhealthy web"]);
}

#[test]
fn it_is_looked_at_no_less_often_at_first_than_later() {
    let often = HealthCheck { interval: 2_000, ..check() };
    let mut rig = Rig::new(vec![checked(often)]);
    rig.bring_up("web");
    rig.pass(0);
    rig.checked("web", Err("no"));
    rig.take_done();
    rig.pass(2_000);
    assert_eq!(rig.take_done(), ["check web"]);
}

#[test]
fn failures_before_the_first_success_count_anew_from_a_handover() {
    let unit = checked(HealthCheck { retries: 1, ..check() });
    let mut rig = Rig::new(vec![unit.clone()]);
    rig.bring_up("web");
    rig.pass(0);
    rig.checked("web", Err("no"));
    rig.now = 29_000;
    rig.restart_supervisor(vec![unit], &["web"]);
    for expected in [HealthWord::Starting; 5].into_iter().chain([HealthWord::Unhealthy]) {
        rig.pass(5_000);
        rig.checked("web", Err("no"));
        assert_eq!(health(&rig), Some(expected), "at {} ms", rig.now);
    }
}

#[test]
fn who_needs_it_healthy_does_not_start_while_it_is_not() {
    let a = needing(named("a"), &["web"]);
    let mut rig = Rig::new(vec![a, checked(HealthCheck { retries: 1, ..check() })]);
    rig.bring_up("web");
    next_check(&mut rig, Ok(()));
    next_check(&mut rig, Err("no"));
    rig.ask(Order::Start, "a");
    assert_eq!(rig.word("a"), StateWord::Blocked);
    next_check(&mut rig, Ok(()));
    assert_eq!(rig.word("a"), StateWord::Starting);
}

#[test]
fn a_service_that_reloads_keeps_its_health() {
    let reload = Some(Box::new(Reload::Command(vec!["/bin/reload".into()])));
    let mut rig = Rig::new(vec![Unit { reload, ..checked(check()) }]);
    rig.bring_up("web");
    next_check(&mut rig, Ok(()));
    rig.ask(Order::Reload, "web");
    assert_eq!((rig.word("web"), health(&rig)), (StateWord::Reloading, Some(HealthWord::Healthy)));
}

#[test]
fn a_limit_that_the_service_has_set_counts_at_once_and_for_the_next_supervisor() {
    let mut rig = watched(OnFailure::Restart);
    rig.pass(9_000);
    rig.notify("web", Notice { watchdog_limit: Some(60_000), ..Notice::default() });
    assert_eq!(rig.supervisor.deadline(), Some(69_000));
    let unit = rig.supervisor.service("web").unwrap().unit().clone();
    rig.restart_supervisor(vec![Unit::clone(&unit)], &["web"]);
    assert_eq!(rig.supervisor.deadline(), Some(69_000));
    rig.pass(60_000);
    rig.pass(250);
    assert_eq!(rig.why("web"), "watchdog: no keep-alive for 60 s");
}

#[test]
fn a_good_check_does_not_hide_that_the_service_is_silent_or_has_barked() {
    let watchdog = Some(Watchdog { limit: 10_000, on_failure: OnFailure::Notify });
    let mut rig = Rig::new(vec![Unit { watchdog, ..checked(check()) }]);
    rig.bring_up("web");
    rig.pass(0);
    rig.checked("web", Ok(()));
    rig.pass(10_000);
    rig.pass(250);
    assert_eq!(rig.why("web"), "unhealthy: no keep-alive for 10 s");
    rig.notify("web", alive());
    assert_eq!(health(&rig), Some(HealthWord::Healthy));
    rig.notify("web", Notice { watchdog: Some(WatchdogNews::Trigger), ..Notice::default() });
    assert_eq!(rig.why("web"), "unhealthy: the service said WATCHDOG=trigger");
}
