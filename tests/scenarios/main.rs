//! The reliability scenarios: what goes wrong around a supervisor, and what must come of it. The
//! number in a test's name is that of the scenario in `README.md` here; the scenarios that other
//! test programs hold are listed there, too.
//!
//! - `watched`: the eight checks that follow every scenario.
//! - `stopping` (S), `pid_files` (F), `supervisor` and `refusals` (P), `control` (C), `units` (U),
//!   `logs` (L).

#[path = "../house/mod.rs"]
mod house;

mod control;
mod logs;
mod pid_files;
mod refusals;
mod stopping;
#[path = "../crash/strace.rs"]
#[allow(dead_code)] // the walk of crashes uses all of it
mod strace;
mod supervisor;
mod units;
mod watched;

use std::time::Duration;

use treeward::supervision::status::StateWord;

use house::{House, Process, SECOND, cgroups_below, eventually};

/// A unit that stops nobody.
const SLEEPER: &str = "command: sleep infinity\nstop_grace_period: 5s\n";

/// Waits until a unit of one process is up, and gives that process.
fn up(house: &House, unit: &str) -> Process {
    house.wait_state(unit, StateWord::Up, Duration::from_secs(10));
    let processes = house.processes(unit);
    assert_eq!(processes.len(), 1, "{processes:#?}");
    processes[0].clone()
}

/// Asserts that nothing of a service is left: neither of these processes nor any other, and no
/// leaf.
fn assert_gone(house: &House, unit: &str, before: &[Process]) {
    let alive: Vec<_> = before.iter().filter(|process| process.lives()).collect();
    assert!(alive.is_empty(), "{alive:#?} survived the stop of {unit}");
    assert_eq!(house.processes(unit), [], "{unit} has processes after its stop");
    let leaves = || cgroups_below(&house.unit_cgroup(unit));
    assert!(eventually(SECOND, || leaves().is_empty()), "{unit} leaves {:?}", leaves());
}
