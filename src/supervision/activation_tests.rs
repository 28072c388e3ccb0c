//! What starts services, event by event.

use super::activation::{Guard, Trigger};
use super::rig::{Rig, named, on_demand, unit};
use super::status::StateWord;
use super::unit::Unit;
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
