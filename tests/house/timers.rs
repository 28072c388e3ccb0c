//! Units that are due: again and again, on a calendar, once after a boot, and not while they work.

use serde_json::{Value, json};
use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, eventually};

/// A run writes a line.
fn unit(timer: &str, script: &str) -> String {
    format!("timer: {timer}\ncommand: [sh, -c, '{script}']\n")
}

fn runs(house: &House, unit: &str) -> u64 {
    house.status(unit).start
}

fn timer(house: &House, unit: &str) -> Value {
    let reply = house.call("Activations", json!({})).expect("Activations");
    let all = reply["timers"].as_array().expect("timers").clone();
    all.into_iter().find(|timer| timer["unit"] == unit).expect("the timer")
}

/// What is kept of the last run over boots.
fn kept(house: &House, unit: &str) -> Value {
    serde_json::from_str(&house.read(&format!("state/timers/{unit}"))).unwrap_or_default()
}

#[test]
fn what_is_due_again_and_again_runs_again_and_again() {
    let house = House::new(&[
        ("every", &unit("{every: 1s}", "echo every")),
        ("calendar", &unit("'*:*:*'", "echo calendar")),
        ("cron", &unit("'* * * * *'", "echo cron")),
    ]);
    for unit in ["every", "calendar"] {
        assert!(eventually(PATIENCE, || runs(&house, unit) >= 3), "{unit}");
        let done = house
            .wait_for(unit, "at rest", PATIENCE, |status| status.summary.state == StateWord::Down);
        assert!(done.summary.why.starts_with("next run 20"), "{}", done.summary.why);
        let timer = timer(&house, unit);
        assert!(timer["last"].as_u64() < timer["next"].as_u64(), "{timer}");
        assert_eq!(timer["result"], "completed");
    }
    for (unit, by) in [("every", "its timer, every 1s"), ("calendar", "its timer, *:*:*")] {
        assert_eq!(house.status(unit).triggered_by.as_deref(), Some(by));
        let status = house.slc(&["status", unit]).out;
        assert!(status.contains(&format!("\n  Trigger    {by}\n")), "{status}");
    }
    let waits = timer(&house, "cron");
    assert!(waits["next"].is_u64(), "{waits}");
    let listed = house.slc_done(&["list", "--timers"]);
    for text in ["NEXT RUN", "every 1s", "*:*:*", "* * * * *", "completed"] {
        assert!(listed.contains(text), "{listed}");
    }
    let json = house.slc_done(&["list", "--timers", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["timers"].as_array().map(Vec::len), Some(3));
    // A stop is the end of it, and a start runs it now.
    house.slc_done(&["stop", "every"]);
    assert!(timer(&house, "every")["next"].is_null());
    let before = runs(&house, "every");
    assert!(house.status("every").summary.why.starts_with("asked to stop"));
    house.slc_done(&["start", "every"]);
    assert!(runs(&house, "every") > before);
    assert!(timer(&house, "every")["next"].is_u64());
}

#[test]
fn one_that_is_not_enabled_waits_for_a_start() {
    let house = House::new(&[("off", &(unit("daily", "echo off") + "enabled: false\n"))]);
    let status = house.status("off");
    assert_eq!((status.start, status.summary.why.as_str()), (0, "not enabled"));
    assert!(timer(&house, "off")["next"].is_null());
    house.slc_done(&["start", "off"]);
    house.wait_for("off", "armed", PATIENCE, |status| {
        status.start == 1 && status.summary.why.starts_with("next run")
    });
    // As systemctl and the LSB have it: armed is not running.
    assert_eq!(house.slc(&["status", "off"]).code, Some(3));
}

#[test]
fn a_run_that_fails_does_not_end_the_timer() {
    let house = House::new(&[("broken", &unit("{every: 1s}", "exit 3"))]);
    assert!(eventually(PATIENCE, || runs(&house, "broken") >= 2));
    let status = house.wait_state("broken", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.starts_with("exit status 3; next run"), "{}", status.summary.why);
    assert_eq!(timer(&house, "broken")["result"], "exit status 3");
}

#[test]
fn a_run_is_skipped_while_the_last_one_still_works() {
    let script = "until test -e {dir}/go; do sleep 0.02; done";
    let mut house = House::new(&[("slow", &unit("{every: 1s}", script))]);
    assert!(eventually(PATIENCE, || {
        house.read("launcher.log").matches("this run is skipped").count() >= 2
    }));
    assert_eq!(runs(&house, "slow"), 1);
    // The next supervisor does not start a second one either.
    house.kill_supervisor();
    house.launch();
    let skipped = house.read("launcher.log").matches("this run is skipped").count();
    assert!(eventually(PATIENCE, || {
        house.read("launcher.log").matches("this run is skipped").count() > skipped
    }));
    assert_eq!(runs(&house, "slow"), 1);
    house.write("go", "");
    assert!(eventually(PATIENCE, || runs(&house, "slow") >= 2));
}

#[test]
fn a_missed_run_is_made_up_for_once() {
    let timer_text = "{calendar: '*-01-01 00:00', persistent: true}";
    let units = [("old", &*unit(timer_text, "echo old")), ("new", &*unit(timer_text, "echo new"))];
    let mut house = House::vacant(&units);
    std::fs::create_dir_all(house.path("state/timers")).expect("mkdir");
    house.write("state/timers/old", r#"{"last": 1577836800000, "result": "completed"}"#);
    house.launch();
    house.wait_for("old", "run", PATIENCE, |status| {
        status.start == 1 && status.summary.why.starts_with("next run")
    });
    assert!(eventually(PATIENCE, || kept(&house, "old")["result"] == "completed"));
    assert!(kept(&house, "old")["last"].as_u64() > Some(1_577_836_800_000));
    // One that is new has missed nothing, and counts from now.
    assert_eq!(runs(&house, "new"), 0);
    assert!(eventually(PATIENCE, || kept(&house, "new")["never"] == true));
    assert!(timer(&house, "new")["last"].is_null());
    for _ in 0..2 {
        house.kill_supervisor();
        house.launch();
        assert_eq!((runs(&house, "old"), runs(&house, "new")), (1, 0));
        assert!(timer(&house, "old")["next"].is_u64());
    }
}

#[test]
fn after_a_boot_it_runs_once() {
    let mut house = House::new(&[("boot", &unit("{after_boot: 1s}", "echo boot"))]);
    house.wait_for("boot", "run", PATIENCE, |status| {
        status.start == 1 && status.summary.state == StateWord::Down
    });
    house.kill_supervisor();
    house.launch();
    let status = house.status("boot");
    assert_eq!((status.start, status.summary.why.as_str()), (1, "completed"));
}

#[test]
fn what_is_due_takes_along_what_it_needs() {
    let due = unit("{every: 1s}", "echo due") + "depends_on: [needed]\n";
    let needed = "enabled: false\ncommand: [sleep, '1000']\n";
    let house = House::new(&[("due", &due), ("needed", needed)]);
    assert_eq!(house.status("needed").summary.state, StateWord::Down);
    house.wait_state("needed", StateWord::Up, PATIENCE);
    assert!(eventually(PATIENCE, || runs(&house, "due") >= 1));
}

#[test]
fn a_reload_arms_a_timer_and_takes_it_away() {
    let plain = "type: oneshot\ncommand: [echo, hello]\n";
    let house = House::new(&[("job", plain)]);
    house.wait_for("job", "done", PATIENCE, |status| status.summary.why == "completed");
    house.write_unit("job", &unit("daily", "echo hello"));
    house.slc_done(&["reload"]);
    house.wait_for("job", "armed", PATIENCE, |it| it.summary.why.starts_with("next run"));
    assert_eq!(runs(&house, "job"), 1);
    house.write_unit("job", plain);
    house.slc_done(&["reload"]);
    house.wait_for("job", "run", PATIENCE, |it| it.start == 2 && it.summary.why == "completed");
}

#[test]
fn a_clock_that_is_set_is_noticed_at_once() {
    let house = House::new(&[("job", &unit("daily", "echo hello"))]);
    house.wait_for("job", "armed", PATIENCE, |it| it.summary.why.starts_with("next run"));
    // To what it is.
    let script = "import time\ntry:\n time.clock_settime(0, time.clock_gettime(0))\n print('set')\n\
                  except PermissionError:\n print('may not')";
    let output = std::process::Command::new("python3").args(["-c", script]).output();
    let said = String::from_utf8_lossy(&output.expect("python3").stdout).into_owned();
    if said.trim() != "set" {
        // In a container the clock is the host's.
        assert_eq!(said.trim(), "may not");
        return;
    }
    let noticed = || house.read("launcher.log").contains("the clock was set");
    assert!(eventually(PATIENCE, noticed), "{}", house.read("launcher.log"));
    assert_eq!(runs(&house, "job"), 0);
}

#[test]
fn the_example_of_a_timer_is_armed_and_runs() {
    let example = std::fs::read_to_string("examples/logrotate.yml").expect("the example");
    let house = House::new(&[("logrotate", &example.replace("/usr/sbin/logrotate", "/bin/echo"))]);
    house.wait_for("logrotate", "armed", PATIENCE, |it| it.summary.why.starts_with("next run"));
    house.slc_done(&["start", "logrotate"]);
    house.wait_for_log("logrotate", "/etc/logrotate.conf");
    house.wait_for("logrotate", "armed", PATIENCE, |it| it.summary.why.starts_with("next run"));
}
