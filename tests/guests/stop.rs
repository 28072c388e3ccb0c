//! A stop is said in the guest's own words, and who does not listen is killed in time.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::house::{PATIENCE, SECOND, eventually};
use crate::runner::Run;

const SYSTEMD: &[&str] = &["/lib/systemd/systemd"];
const RUNIT: &[&str] = &["/sbin/runit"];

/// Asks for an end, and asserts that the guest took its own way out. Gives how long it took.
fn ends_by_itself(run: &mut Run, signal: Signal) -> Duration {
    let begin = Instant::now();
    run.signal(signal);
    assert_eq!(run.code(), 0, "{}", run.said());
    assert!(!run.said().contains("killed"), "{}", run.said());
    begin.elapsed()
}

#[test]
fn a_systemd_powers_off() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut run = Run::debian(&["--stop-timeout", "60"], SYSTEMD);
        run.wait_until_running();
        let took = ends_by_itself(&mut run, signal);
        assert!(run.said().contains("asked systemd"), "{}", run.said());
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn a_systemd_that_cannot_hear_yet_is_asked_until_it_does() {
    for milliseconds in [0, 5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300] {
        let mut run = Run::debian(&["--stop-timeout", "60"], SYSTEMD);
        let begin = Instant::now();
        let until = Duration::from_millis(milliseconds);
        eventually(PATIENCE, || begin.elapsed() >= until);
        let took = ends_by_itself(&mut run, Signal::SIGTERM);
        assert!(
            took < Duration::from_secs(15),
            "after {milliseconds} ms: {took:?}\n{}",
            run.said()
        );
    }
}

#[test]
fn a_runit_goes_through_its_last_stage() {
    let mut run = Run::debian(&["--stop-timeout", "60"], RUNIT);
    run.wait_for("enter stage: /etc/runit/2");
    let took = ends_by_itself(&mut run, Signal::SIGTERM);
    let said = run.said();
    assert!(said.contains("asked runit") && said.contains("enter stage: /etc/runit/3"), "{said}");
    assert!(said.contains("power off..."), "{said}");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_runit_in_its_first_stage_is_asked_until_it_is_in_the_second() {
    // A first stage that takes a while before it makes the files that runit looks at.
    let script = "cp /etc/runit/1 /run/1 && { echo '#!/bin/sh'; echo echo first; echo sleep 1
                  tail -n +2 /run/1; } >/etc/runit/1; exec /sbin/runit";
    let mut run = Run::debian(&["--stop-timeout", "60"], &["/bin/sh", "-c", script]);
    run.wait_for("first");
    ends_by_itself(&mut run, Signal::SIGTERM);
    assert!(run.said().contains("enter stage: /etc/runit/3"), "{}", run.said());
}

#[test]
fn a_busybox_init_powers_off() {
    let script = "printf '::sysinit:/bin/echo up\\n::shutdown:/bin/echo going\\n' >/etc/inittab
                  exec /bin/busybox init";
    let mut run = Run::debian(&["--stop-timeout", "60"], &["/bin/sh", "-c", script]);
    let is_init = || run.init_now().is_some_and(|init| init.command == "/bin/busybox init");
    assert!(eventually(PATIENCE, is_init), "{}", run.said());
    ends_by_itself(&mut run, Signal::SIGTERM);
    assert!(run.said().contains("asked busybox init"), "{}", run.said());
}

#[test]
fn a_guest_reboots_when_it_is_asked_to_and_not_when_it_has_no_word_for_it() {
    for init in [SYSTEMD, RUNIT] {
        let run = Run::debian(&[], init);
        if init == RUNIT {
            run.wait_for("enter stage: /etc/runit/2");
        } else {
            run.wait_until_running();
        }
        let before = run.init();
        run.signal(Signal::SIGUSR2);
        run.wait_for("the guest reboots");
        assert!(!before.lives());
        assert_ne!(run.init(), before, "it comes back");
    }
    let run = Run::start(&["sh", "-c", "while :; do sleep 0.1; done"]);
    let before = run.init();
    run.signal(Signal::SIGUSR2);
    run.wait_for("no word for a reboot");
    assert!(before.lives());
}

#[test]
fn another_init_gets_the_signal_that_is_asked_for_once_it_listens() {
    let deaf_first = "sleep 0.5; trap 'echo bye; exit 7' USR1; while :; do sleep 0.05; done";
    let mut run = Run::start(&["--stop-signal", "USR1", "sh", "-c", deaf_first]);
    run.init();
    ends_by_itself(&mut run, Signal::SIGTERM);
    let said = run.said();
    assert!(said.contains("nothing shows that it listens") && said.contains("bye"), "{said}");
}

#[test]
fn an_init_that_waits_by_sigwait_is_asked_although_it_does_not_show() {
    // sigtimedwait(2) takes a signal out of the mask that /proc shows.
    let waits = "import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print('waits', flush=True)
print('got', signal.sigwait([signal.SIGTERM]), flush=True)";
    let mut run = Run::start(&["/usr/bin/python3", "-c", waits]);
    run.wait_for("waits");
    ends_by_itself(&mut run, Signal::SIGTERM);
    assert!(run.said().contains("got"), "{}", run.said());
}

#[test]
fn a_stop_command_runs_inside_and_is_all_that_is_done() {
    let guest =
        "trap 'echo signalled' TERM; echo listens; until test -e /run/end; do sleep 0.05; done
                 exit 9";
    let command = "echo command at $$ in $(readlink /proc/self/ns/uts); touch /run/end";
    let mut run = Run::start(&["--stop-command", command, "sh", "-c", guest]);
    run.wait_for("listens");
    let uts = run.inside("readlink /proc/1/ns/uts");
    ends_by_itself(&mut run, Signal::SIGTERM);
    let said = run.said();
    assert!(said.contains(&uts) && !said.contains("signalled"), "{uts}: {said}");
}

#[test]
fn who_ignores_everything_is_killed_after_the_time_out() {
    let deaf = "trap '' TERM INT HUP; setsid sleep 1000 & echo deaf; while :; do sleep 1; done";
    let mut run = Run::debian(&["--stop-timeout", "1"], &["/bin/sh", "-c", deaf]);
    run.wait_for("deaf");
    let begin = Instant::now();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.code(), 137, "{}", run.said());
    assert!(begin.elapsed() >= SECOND, "killed before its time: {:?}", begin.elapsed());
    assert!(begin.elapsed() < 6 * SECOND, "{:?}", begin.elapsed());
    assert!(
        run.said().contains("did not listen within 1 s: the guest is killed"),
        "{}",
        run.said()
    );
}

#[test]
fn a_second_interrupt_kills_at_once() {
    let mut run = Run::start(&["sleep", "1000"]);
    run.init();
    run.signal(Signal::SIGINT);
    // The first is taken before the second is sent: two of a kind count as one.
    run.signal(Signal::SIGINT);
    let begin = Instant::now();
    while run.init_now().is_some() && begin.elapsed() < 5 * SECOND {
        run.signal(Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run.code(), 137, "{}", run.said());
    assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
}

#[test]
fn other_signals_are_passed_on() {
    let guest = "trap 'echo usr1' USR1; trap 'echo rt' RTMIN+3; echo listens
                 while :; do sleep 0.05; done";
    let run = Run::start(&["bash", "-c", guest]);
    run.wait_for("listens");
    run.signal(Signal::SIGUSR1);
    run.wait_for("usr1");
    // nix has no name for it.
    let number = (libc::SIGRTMIN() + 3).to_string();
    let sent =
        std::process::Command::new("kill").args(["-s", &number, &run.pid().to_string()]).status();
    assert!(sent.expect("kill").success());
    run.wait_for("rt");
}
