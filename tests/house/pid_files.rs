//! A PID file is a hint about the service's own processes, and never a way to somebody else's.

use treeward::supervision::status::StateWord;

use crate::daemons::assert_stopped;
use crate::house::{House, PATIENCE};

/// Scenario F7.
#[test]
fn a_pid_file_tells_the_main_process_where_a_look_at_the_tree_cannot() {
    let unit = "\
command: [sh, -c, 'sleep 1000 & sleep 1000 & echo $! > {dir}/twin.pid']
pid_file: {dir}/twin.pid
";
    let house = House::new(&[("twins", unit)]);
    // Until the shell has gone, it is the main process.
    let status = house.wait_for("twins", "two processes, one of them main", PATIENCE, |status| {
        status.processes == 2 && status.summary.main_pid.is_some_and(|_| status.first_pid.is_none())
    });
    assert_eq!(status.summary.state, StateWord::Up);
    let named = house.read("twin.pid").trim().parse().ok();
    assert_eq!(status.summary.main_pid, named);
}

/// Scenario F2.
#[test]
fn a_pid_file_that_names_a_stranger_makes_it_neither_main_process_nor_victim() {
    let house = House::new(&[
        ("stranger", "command: [sh, -c, 'echo $$ > {dir}/stranger.pid; exec sleep 1000']\n"),
        (
            "liar",
            "command: [sh, -c, 'sleep 1000 & sleep 1000 &']\n\
             pid_file: {dir}/stranger.pid\n\
             after: [stranger]\n",
        ),
    ]);
    house.wait_for("liar", "up with both processes", PATIENCE, |status| {
        status.summary.state == StateWord::Up && status.processes == 2
    });
    let stranger = house.processes("stranger").remove(0);
    assert_eq!(house.read("stranger.pid").trim(), stranger.pid.to_string());
    let liar = house.processes("liar");

    assert_eq!(house.status("liar").summary.main_pid, None);
    assert_eq!(house.slc(&["kill", "--signal", "KILL", "--who", "main", "liar"]).code, Some(1));
    house.slc_done(&["stop", "liar"]);
    assert_stopped(&house, "liar", &liar);
    assert!(stranger.lives(), "the PID file of one service got another killed");
}
