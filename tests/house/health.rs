//! `healthcheck` and `watchdog`: what is found out about a service that is up, and what is done.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use treeward::supervision::status::{HealthWord, StateWord};

use crate::house::{House, PATIENCE, SECOND, eventually, program};

/// A service that is well as long as a file is there.
fn well_while(file: &str, more: &str) -> String {
    let test = format!("test -e {{dir}}/{file} && exit; echo no {file} >&2; exit 4");
    format!(
        "command: sleep 1000\nrestart_delay: 50ms\nhealthcheck:\n  test: '{test}'\n  \
         interval: 50ms\n  start_interval: 50ms\n  retries: 2\n{more}"
    )
}

fn wait_health(house: &House, unit: &str, word: HealthWord) {
    house.wait_for(unit, word.as_str(), PATIENCE, |status| status.summary.health == Some(word));
}

#[test]
fn the_first_good_check_is_what_dependents_wait_for_and_a_bad_one_ends_it() {
    let web = well_while("well", "");
    let house = House::new(&[
        ("web", &web),
        ("healthy", "command: sleep 1000\ndepends_on: [web]\n"),
        ("started", "command: sleep 1000\ndepends_on: {web: {condition: service_started}}\n"),
    ]);
    house.wait_state("started", StateWord::Up, PATIENCE);
    assert_eq!(house.status("healthy").summary.state, StateWord::Blocked);
    // It is up before it is healthy, and its failures count from then on.
    house.write("well", "");
    wait_health(&house, "web", HealthWord::Healthy);
    house.wait_state("healthy", StateWord::Up, PATIENCE);
    assert_eq!(house.status("web").health_text, "");
    let start = house.status("web").start;
    let list = house.slc_done(&["list"]);
    assert!(list.contains("up, healthy"), "{list}");

    fs::remove_file(house.path("well")).unwrap();
    house.wait_for("web", "started again", PATIENCE, |status| status.start > start);
    let log = house.read("launcher.log");
    let why = "up -> stopping: unhealthy: 2 checks in a row failed: exit status 4: no well";
    assert!(log.contains(why), "{log}");
    house.write("well", "");
    wait_health(&house, "web", HealthWord::Healthy);
}

#[test]
fn on_failure_stop_leaves_it_failed_and_notify_leaves_it_alone() {
    let stop = well_while("well", "  on_failure: stop\n");
    let notify = well_while("well", "  on_failure: notify\n");
    let mut house = House::vacant(&[("stop", &stop), ("notify", &notify)]);
    house.write("well", "");
    house.launch();
    wait_health(&house, "stop", HealthWord::Healthy);
    wait_health(&house, "notify", HealthWord::Healthy);
    fs::remove_file(house.path("well")).unwrap();
    let status = house.wait_state("stop", StateWord::Failed, PATIENCE);
    assert_eq!(
        (status.summary.why.as_str(), status.summary.wanted, status.processes),
        ("unhealthy: 2 checks in a row failed: exit status 4: no well", false, 0)
    );
    wait_health(&house, "notify", HealthWord::Unhealthy);
    let status = house.status("notify");
    assert_eq!((status.summary.state, status.start), (StateWord::Up, 1));
    assert!(
        status.health_text.ends_with("failures in a row; exit status 4: no well"),
        "{status:#?}"
    );
    let shown = house.slc(&["status", "notify"]).out;
    assert!(shown.contains("State      up, unhealthy for"), "{shown}");

    // The next supervisor knows it at once, and goes on looking.
    house.kill_supervisor();
    house.launch();
    assert_eq!(house.status("notify").summary.health, Some(HealthWord::Unhealthy));
    house.write("well", "");
    wait_health(&house, "notify", HealthWord::Healthy);
    let log = house.read("launcher.log");
    assert!(log.contains("notify: unhealthy: exit status 4: no well"), "{log}");
}

/// A check that hangs is killed with all that it has started; the service is not touched, and nothing
/// that a check leaves behind lives on.
#[test]
fn a_check_that_hangs_is_ended_and_never_the_service() {
    let unit = "command: sleep 1000\nhealthcheck:\n  \
                test: [CMD-SHELL, 'setsid sleep 2000 & setsid sleep 2000']\n  \
                interval: 100ms\n  timeout: 200ms\n  retries: 1\n  on_failure: notify\n";
    let leaves = "command: sleep 1000\nhealthcheck:\n  \
                  test: 'setsid sleep 3000 > /dev/null 2>&1 &'\n  interval: 50ms\n  start_interval: 50ms\n";
    let house = House::new(&[("web", unit), ("leaver", leaves)]);
    house.wait_for("web", "unhealthy", PATIENCE, |status| {
        status.summary.health == Some(HealthWord::Unhealthy)
            && status.health_text.contains("no answer within 200 ms")
    });
    wait_health(&house, "leaver", HealthWord::Healthy);
    assert_eq!(house.status("web").start, 1);
    assert_eq!(house.status("web").processes, 1, "a check counts as the service");
    house.slc_done(&["stop", "web", "leaver"]);
    for unit in ["web", "leaver"] {
        assert!(eventually(PATIENCE, || house.processes(unit).is_empty()), "{unit}: a check lives");
    }
}

/// A supervisor that is killed leaves its checks behind; the next one removes them, and so they
/// neither pile up nor count.
#[test]
fn checks_of_a_supervisor_that_was_killed_are_swept_away() {
    let unit = "command: sleep 1000\nhealthcheck: {test: [CMD, sleep, '2000'], timeout: 60s}\n";
    let mut house = House::new(&[("web", unit)]);
    let checks = |house: &House| {
        let sleeps = |process: &crate::house::Process| process.command == "sleep 2000";
        house.processes("web").into_iter().filter(sleeps).collect::<Vec<_>>()
    };
    assert!(eventually(PATIENCE, || checks(&house).len() == 1));
    let first = checks(&house);
    house.kill_supervisor();
    assert_eq!(checks(&house), first);
    house.launch();
    assert!(eventually(PATIENCE, || !first[0].lives()), "the old check lives on");
    assert_eq!(house.status("web").start, 1);
}

/// A service whose only living process is its check is not alive.
#[test]
fn a_check_keeps_no_service_alive() {
    let unit = "command: sleep 1000\nrestart: no\n\
                healthcheck: {test: [CMD, sleep, '2000'], timeout: 60s}\n";
    let house = House::new(&[("web", unit)]);
    assert!(eventually(PATIENCE, || house.processes("web").len() == 2));
    let service = house.processes("web").into_iter().find(|it| it.command == "sleep 1000").unwrap();
    service.signal(Signal::SIGKILL);
    house.wait_state("web", StateWord::Failed, SECOND);
    assert!(eventually(PATIENCE, || house.processes("web").is_empty()), "its check lives on");
}

#[test]
fn a_check_that_writes_for_ever_neither_fills_memory_nor_stops_the_loop() {
    let unit = "command: sleep 1000\nhealthcheck: {test: 'yes', timeout: 1s, interval: 50ms, retries: 1, on_failure: notify}\n";
    let house = House::new(&[("web", unit)]);
    house.wait_for("web", "unhealthy", PATIENCE, |status| {
        status.summary.health == Some(HealthWord::Unhealthy)
    });
    let text = house.status("web").health_text;
    assert!(text.contains("no answer within 1 s"), "{text}");
}

#[test]
fn redis_is_looked_at_by_its_port_and_is_ended_when_it_hangs() {
    let unit = "command: redis-server --port 6379 --daemonize no --save '' --dir {dir}\n\
                ready: {tcp: 6379, interval: 50ms}\nrestart_delay: 50ms\n\
                healthcheck:\n  test: [CMD-SHELL, 'redis-cli ping | grep -q PONG']\n  \
                interval: 100ms\n  timeout: 500ms\n  retries: 2\nstop_grace_period: 200ms\n";
    let house = House::sealed(&[("redis", unit)], &[]);
    house.wait_state("redis", StateWord::Up, PATIENCE);
    wait_health(&house, "redis", HealthWord::Healthy);
    // A server that is stopped still accepts connections: the kernel does.
    let redis = house.processes("redis").into_iter().find(|it| it.name == "redis-server").unwrap();
    redis.signal(Signal::SIGSTOP);
    house.wait_for("redis", "started again and healthy", PATIENCE, |status| {
        status.start == 2 && status.summary.health == Some(HealthWord::Healthy)
    });
    assert!(!redis.lives());
}

#[test]
fn a_keep_alive_that_is_missed_ends_it_with_sigabrt() {
    let unit = format!(
        "command: {} {{dir}}/hang\nwatchdog: 600ms\nrestart_delay: 50ms\n",
        program("minder")
    );
    let house = House::new(&[("web", &unit)]);
    house.wait_state("web", StateWord::Up, PATIENCE);
    // Its keep-alives are heard: it lives through several of its limits.
    let until = std::time::Instant::now() + Duration::from_millis(2_500);
    house.wait_for("web", "up all the time", PATIENCE, |status| {
        assert_eq!((status.start, status.summary.health), (1, Some(HealthWord::Healthy)));
        std::time::Instant::now() >= until
    });
    house.write("hang", "");
    house.wait_for("web", "started again", PATIENCE, |status| status.start > 1);
    let log = house.read("launcher.log");
    assert!(log.contains("up -> stopping: watchdog: no keep-alive for 600 ms"), "{log}");
    let status = house.status("web");
    assert!(status.last_exit.starts_with("SIGABRT"), "{status:#?}");
}

#[test]
fn a_supervisor_that_was_stopped_or_killed_blames_nobody() {
    let unit = format!("command: {} {{dir}}/hang\nwatchdog: 700ms\n", program("minder"));
    let check = "command: sleep 1000\nhealthcheck: {test: 'exit 0', interval: 100ms, timeout: 300ms, retries: 1}\n";
    let mut house = House::new(&[("web", &unit), ("checked", check)]);
    house.wait_state("web", StateWord::Up, PATIENCE);
    wait_health(&house, "checked", HealthWord::Healthy);
    house.supervisor().signal(Signal::SIGSTOP);
    // What this test is about is the time that is lost.
    std::thread::sleep(Duration::from_millis(2_500));
    house.supervisor().signal(Signal::SIGCONT);
    let until = std::time::Instant::now() + Duration::from_millis(2_000);
    house.wait_for("web", "up all the time", PATIENCE, |status| {
        assert_eq!((status.start, status.summary.state), (1, StateWord::Up));
        std::time::Instant::now() >= until
    });
    house.kill_supervisor();
    std::thread::sleep(Duration::from_millis(1_500));
    house.launch();
    let until = std::time::Instant::now() + Duration::from_millis(1_500);
    house.wait_for("web", "up all the time", PATIENCE, |status| {
        assert_eq!((status.start, status.summary.state), (1, StateWord::Up));
        std::time::Instant::now() >= until
    });
    assert_eq!(house.status("checked").start, 1);
}

#[test]
fn a_service_may_trigger_its_watchdog_change_its_limit_or_switch_it_off() {
    let minder = program("minder");
    let unit = |text: &str| {
        format!(
            "command: [{minder}, '{{dir}}/hang', '{text}']\nrestart: no\nwatchdog: {{timeout: 700ms, on_failure: stop}}\n"
        )
    };
    let (trigger, off, short) = (
        unit("WATCHDOG=trigger"),
        unit("WATCHDOG_USEC=0"),
        // Its keep-alives come for the unit's limit, which is too seldom for this one.
        unit("WATCHDOG_USEC=20000"),
    );
    let house = House::new(&[("trigger", &trigger), ("short", &short), ("off", &off)]);
    let status = house.wait_state("trigger", StateWord::Failed, PATIENCE);
    assert_eq!(status.summary.why, "watchdog: the service said WATCHDOG=trigger");
    house.wait_state("off", StateWord::Up, PATIENCE);
    house.write("hang", "");
    house.wait_state("short", StateWord::Failed, PATIENCE);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(house.status("off").summary.state, StateWord::Up);
}

/// The units of `examples/`, as they stand.
#[test]
fn the_examples_of_readiness_and_health_run_as_they_stand() {
    let read = |name: &str| {
        let path = format!("{}/examples/{name}.yml", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).unwrap()
    };
    let units = ["redis-health", "heartbeat"].map(|name| (name, read(name)));
    let units: Vec<(&str, &str)> = units.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let house = House::sealed(&units, &[]);
    for (name, _) in units {
        house.wait_state(name, StateWord::Up, PATIENCE);
        wait_health(&house, name, HealthWord::Healthy);
    }
    house.slc_done(&["stop", "redis-health", "heartbeat"]);
}

/// One that is looked at wakes the supervisor for that, and one that is not does not.
#[test]
fn an_idle_service_wakes_nobody_but_for_its_checks() {
    let looked_at = "command: sleep 1000\nhealthcheck: {test: {tcp: 4711}, interval: 5s, retries: 1, on_failure: notify}\n";
    let house = House::sealed(
        &[
            ("web", "command: sleep 1000\n"),
            ("fd", "command: [sh, -c, 'echo >&3; exec sleep 1000']\nready: {fd: 3}\n"),
            ("log", "command: [sh, -c, 'echo ready; exec sleep 1000']\nready: {log: ready}\n"),
            ("tcp", looked_at),
        ],
        &[],
    );
    for unit in ["web", "fd", "log", "tcp"] {
        house.wait_state(unit, StateWord::Up, PATIENCE);
    }
    house.wait_for("tcp", "unhealthy", PATIENCE, |status| {
        status.summary.health == Some(HealthWord::Unhealthy)
    });
    let supervisor = house.supervisor();
    let span = Duration::from_secs(3);
    let idle = eventually(PATIENCE, || {
        let before = supervisor.voluntary_switches();
        std::thread::sleep(span);
        supervisor.voluntary_switches() == before
    });
    assert!(
        idle,
        "the supervisor woke up in every span of {span:?}, though a check is due each 5 s"
    );
}
