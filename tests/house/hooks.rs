//! Hooks: what runs before and after a service, what comes of a failure, and of a supervisor that is
//! killed meanwhile.

use std::fs;

use treeward::supervision::status::StateWord;

use crate::daemons::assert_stopped;
use crate::house::{House, PATIENCE, Process, eventually, program};

/// Runs as the service, and writes that it does.
const SERVICE: &str = "command: [sh, -c, 'echo service >> {dir}/order; exec sleep infinity']\n";

fn lines(house: &House, file: &str) -> Vec<String> {
    house.read(file).lines().map(str::to_owned).collect()
}

/// A hook that writes a word and waits until the file of that name is there.
fn gated(word: &str) -> String {
    format!(
        "[[sh, -c, 'echo {word} >> {{dir}}/order; while ! test -e {{dir}}/{word}; do sleep 0.02; \
         done; echo {word}-over >> {{dir}}/order']]"
    )
}

#[test]
fn hooks_run_in_order_as_the_units_user_and_their_output_is_in_its_log() {
    let unit = format!(
        "{SERVICE}user: nobody\n\
         start_pre: [[sh, -c, 'echo pre-1 $(id -un) >> {{dir}}/order; echo said by pre'], \
         'sh -c \"echo pre-2 $GREETING >> {{dir}}/order\"']\n\
         start_post: {{command: [sh, -c, 'echo post $TREEWARD_UNIT >> {{dir}}/order'], timeout: 5s}}\n\
         stop_post: [[sh, -c, 'echo $EXIT_CODE $EXIT_STATUS $SERVICE_RESULT >> {{dir}}/order']]\n\
         environment: {{GREETING: hello}}\n"
    );
    // A dollar in a string is refused, so that one is a list too.
    let unit = unit.replace(
        "'sh -c \"echo pre-2 $GREETING >> {dir}/order\"'",
        "[sh, -c, 'echo pre-2 $GREETING >> {dir}/order']",
    );
    let house = House::vacant(&[("web", &unit)]);
    let mut house = house;
    house.write("order", "");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(house.path("order"), mode).expect("chmod");
    house.launch();
    house.wait_state("web", StateWord::Up, PATIENCE);
    let before = house.processes("web");
    let status = house.slc_done(&["status", "web"]);
    assert!(status.contains("  Start      number 3, hooks included\n"), "{status}");
    // The program writes after it counts as up.
    assert!(eventually(PATIENCE, || lines(&house, "order").len() == 4));
    house.wait_for_log("web", "said by pre");
    house.slc_done(&["stop", "web"]);
    assert_stopped(&house, "web", &before);
    let order = lines(&house, "order");
    assert_eq!(order[..2], ["pre-1 nobody", "pre-2 hello"]);
    let mut both = order[2..4].to_vec();
    both.sort();
    assert_eq!(both, ["post web", "service"]);
    assert_eq!(order[4..], ["killed TERM success"]);
}

#[test]
fn a_start_pre_that_fails_fails_the_start_and_its_stop_post_runs() {
    let unit = format!(
        "{SERVICE}restart: no\nstart_pre: [[sh, -c, 'exit 3']]\n\
         stop_post: [[sh, -c, 'echo $EXIT_CODE $EXIT_STATUS $SERVICE_RESULT >> {{dir}}/order']]\n"
    );
    let house = House::new(&[("web", &unit)]);
    let status = house.wait_state("web", StateWord::Failed, PATIENCE);
    assert_eq!(status.summary.why, "start_pre: sh -c exit 3: exit status 3");
    assert_eq!(lines(&house, "order"), ["exited 3 exit-code"]);
    let answer = house.slc(&["start", "web"]);
    assert_eq!(answer.code, Some(1));
    assert!(answer.err.contains("start_pre: sh -c exit 3: exit status 3"), "{answer:?}");
    assert!(house.processes("web").is_empty());
}

#[test]
fn a_crash_has_its_stop_post_before_the_restart_and_is_told_in_its_environment() {
    let unit = "command: [sh, -c, 'echo service >> {dir}/order; exit 7']\n\
                restart: on-failure:1\nrestart_delay: 10ms\n\
                stop_post: [[sh, -c, 'echo $EXIT_STATUS $SERVICE_RESULT >> {dir}/order'], 'false']\n";
    let house = House::new(&[("web", unit)]);
    let status = house.wait_state("web", StateWord::Failed, PATIENCE);
    let row = ["service", "7 exit-code"];
    assert_eq!(lines(&house, "order"), [row, row].concat());
    // The failing hook is told, and the verdict is the service's.
    assert!(status.summary.why.starts_with("exit status 7"), "{}", status.summary.why);
    let log = house.read("launcher.log");
    assert!(log.contains("stop_post: false: exit status 1"), "{log}");
}

#[test]
fn what_a_start_pre_leaves_behind_is_gone_before_the_service_begins() {
    let unit = format!(
        "command: sleep infinity\n\
         start_pre: [[sh, -c, 'setsid {} 0 2 & echo $! > {{dir}}/left; sleep 0.1']]\n",
        program("family")
    );
    let house = House::new(&[("web", &unit)]);
    let status = house.wait_state("web", StateWord::Up, PATIENCE);
    assert_eq!((status.start, status.processes), (2, 1));
    let left: u32 = house.read("left").trim().parse().expect("a number");
    assert!(Process::look(left).is_none_or(|process| !process.lives()));
    assert_eq!(house.processes("web").len(), 1);
}

#[test]
fn a_hook_is_ended_by_its_time_out_and_by_a_stop() {
    let slow = format!(
        "{SERVICE}restart: no\nstop_grace_period: 200ms\n\
         start_pre: {{command: [sh, -c, \"trap '' TERM; sleep 1000\"], timeout: 300ms}}\n"
    );
    let waits = format!("{SERVICE}start_pre: {}\nenabled: false\n", gated("pre"));
    let house = House::new(&[("slow", &slow), ("waits", &waits)]);
    let status = house.wait_state("slow", StateWord::Failed, PATIENCE);
    assert!(status.summary.why.ends_with(": not over within 300 ms"), "{}", status.summary.why);
    assert!(house.processes("slow").is_empty());
    house.slc_done(&["start", "--no-wait", "waits"]);
    house.wait_for("waits", "in its hook", PATIENCE, |status| {
        status.summary.why == "start_pre 1 of 1" && house.read("order").contains("pre")
    });
    let before = house.processes("waits");
    house.slc_done(&["stop", "waits"]);
    assert_stopped(&house, "waits", &before);
    assert!(!house.read("order").contains("service"), "{}", house.read("order"));
}

#[test]
fn a_supervisor_that_is_killed_in_any_hook_leaves_none_out_and_runs_none_beside_itself() {
    let unit = format!(
        "{SERVICE}start_pre: {}\nstart_post: {}\nstop_post: {}\n",
        gated("pre"),
        gated("post"),
        gated("after")
    );
    let mut house = House::new(&[("web", &unit)]);
    for (place, word) in [("start_pre 1 of 1", "pre"), ("start_post 1 of 1", "post")] {
        house.wait_for("web", place, PATIENCE, |status| status.summary.why == place);
        assert!(eventually(PATIENCE, || lines(&house, "order").contains(&word.to_owned())));
        house.kill_supervisor();
        house.launch();
        let status = house.status("web");
        assert_eq!(status.summary.why, place);
        house.write(word, "");
    }
    house.wait_state("web", StateWord::Up, PATIENCE);
    house.slc_done(&["stop", "--no-wait", "web"]);
    house.wait_for("web", "in its stop_post", PATIENCE, |status| {
        status.summary.why.ends_with("stop_post 1 of 1") && house.read("order").contains("after")
    });
    house.kill_supervisor();
    // It ends while nobody looks, and is run again.
    house.write("after", "");
    assert!(eventually(PATIENCE, || lines(&house, "order").contains(&"after-over".to_owned())));
    house.launch();
    house.wait_state("web", StateWord::Down, PATIENCE);
    let order = lines(&house, "order");
    assert_eq!(order.iter().filter(|line| *line == "service").count(), 1, "{order:?}");
    // How a hook ended that the first supervisor began is known where its next parent is quick to
    // bury it; otherwise it is run again, and never before it is over.
    for word in ["pre", "post", "after"] {
        let of_it = order.iter().filter(|line| line.starts_with(word)).map(String::as_str);
        let over = format!("{word}-over");
        let once = [word, over.as_str()];
        let of_it: Vec<&str> = of_it.collect();
        assert!(of_it == once || of_it == [once, once].concat(), "{order:?}");
    }
    assert_stopped(&house, "web", &[]);
}

#[test]
fn a_oneshot_has_its_start_post_after_its_work_and_its_stop_post_when_it_is_undone() {
    let unit = "type: oneshot\nremain_after_exit: true\n\
                command: [sh, -c, 'echo work >> {dir}/order']\n\
                start_post: [[sh, -c, 'echo post >> {dir}/order']]\n\
                stop_post: [[sh, -c, 'echo undone >> {dir}/order']]\n";
    let house = House::new(&[("once", unit)]);
    house.wait_state("once", StateWord::Done, PATIENCE);
    assert_eq!(lines(&house, "order"), ["work", "post"]);
    house.slc_done(&["stop", "once"]);
    assert_eq!(lines(&house, "order"), ["work", "post", "undone"]);
}

/// The examples as they stand, in a copy of `/etc`.
#[test]
fn the_examples_look_at_a_configuration_first_and_make_keys_only_where_there_are_none() {
    const NGINX: &str = include_str!("../../examples/nginx.yml");
    const KEYS: &str = include_str!("../../examples/ssh-host-keys.yml");
    let keys = format!("{KEYS}enabled: false\n");
    let house = House::sealed(&[("nginx", NGINX), ("ssh-host-keys", &keys)], &[]);
    house.wait_state("nginx", StateWord::Up, PATIENCE);
    house.slc_done(&["stop", "nginx"]);
    house.shell("echo 'a mistake' >> /etc/nginx/nginx.conf");
    let answer = house.slc(&["start", "nginx"]);
    let why = "start_pre: /usr/sbin/nginx -t: exit status 1";
    assert!(answer.code == Some(1) && answer.err.contains(why), "{answer:?}");
    house.wait_for_log("nginx", "/etc/nginx/nginx.conf test failed");
    house.slc_done(&["stop", "nginx"]);

    house.shell("rm -f /etc/ssh/ssh_host_*");
    house.slc_done(&["start", "ssh-host-keys"]);
    assert_eq!(house.status("ssh-host-keys").summary.why, "completed");
    house.shell("test -s /etc/ssh/ssh_host_ed25519_key");
    let said = house.slc_done(&["start", "ssh-host-keys"]);
    assert!(said.contains("skipped because /etc/ssh/ssh_host_ed25519_key exists"), "{said}");
}
