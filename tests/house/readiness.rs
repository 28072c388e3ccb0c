//! `ready`: each way to become up, and what is said of those who do not.

use std::fs;

use treeward::supervision::status::StateWord;

use crate::house::{House, PATIENCE, SECOND, eventually};

/// Waits until the service's program runs and it says what it waits for.
fn waits_for(house: &House, unit: &str, what: &str) {
    house.wait_for(unit, "waiting", PATIENCE, |status| {
        status.summary.state == StateWord::Starting && status.summary.why.contains(what)
    });
}

#[test]
fn a_newline_on_a_descriptor_makes_it_ready_and_nothing_else_does() {
    let script = "printf x >&9; until [ -e {dir}/go ]; do sleep 0.01; done; echo >&9; exec 9>&-; exec sleep 1000";
    let unit = format!("command: [sh, -c, '{}']\nready: {{fd: 9}}\n", script);
    let house = House::new(&[("web", &unit)]);
    waits_for(&house, "web", "no newline came on descriptor 9");
    house.write("go", "");
    house.wait_state("web", StateWord::Up, PATIENCE);
    assert!(fs::read_dir(house.path("run/ready")).unwrap().next().is_none(), "a file stays");
    house.slc_done(&["stop", "web"]);
}

/// Whoever lives or dies meanwhile.
#[test]
fn a_newline_that_comes_while_there_is_no_supervisor_is_not_lost() {
    let script = "until [ -e {dir}/go ]; do sleep 0.01; done; echo >&3; exec 3>&-; echo > {dir}/said; exec sleep 1000";
    let unit = format!("command: [sh, -c, '{}']\nready: {{fd: 3}}\n", script);
    let mut house = House::new(&[("web", &unit)]);
    waits_for(&house, "web", "descriptor 3");
    let process = sleeper_of(&house, "web");
    house.kill_supervisor();
    house.write("go", "");
    assert!(eventually(PATIENCE, || house.path("said").exists()));
    house.launch();
    let status = house.wait_state("web", StateWord::Up, SECOND);
    assert_eq!((status.start, sleeper_of(&house, "web")), (1, process), "it was started again");
}

fn sleeper_of(house: &House, unit: &str) -> u32 {
    house.processes(unit).first().expect("a process").pid
}

#[test]
fn a_line_of_its_own_output_of_this_start_makes_it_ready() {
    let script = "until [ -e {dir}/go ]; do sleep 0.01; done; echo listening on port 80; rm {dir}/go; exec sleep 1000";
    let unit = format!("command: [sh, -c, '{script}']\nready: {{log: 'port \\d+$'}}\n");
    let mut house = House::new(&[("web", &unit)]);
    waits_for(&house, "web", "no line of its output matches");
    house.write("go", "");
    house.wait_state("web", StateWord::Up, PATIENCE);
    // The line of the start before is not that of this one, also for the next supervisor.
    house.slc_done(&["restart", "--no-wait", "web"]);
    house.wait_for("web", "starting anew", PATIENCE, |status| {
        status.start == 2 && status.summary.state == StateWord::Starting
    });
    house.kill_supervisor();
    house.launch();
    waits_for(&house, "web", "no line of its output matches");
    house.write("go", "");
    let status = house.wait_state("web", StateWord::Up, PATIENCE);
    assert_eq!(status.start, 2);
    let log = house.wait_for_log("web", "treeward: start 2");
    assert!(log.contains("treeward: start 1"), "{log}");
}

/// What ends the flood may cut its last line, and then the line stands behind that piece.
#[test]
fn a_flood_of_output_keeps_nobody_from_being_ready() {
    let unit = "command: [sh, -c, 'timeout 0.3 yes flood; echo ready; exec sleep 1000']\n\
                ready: {log: 'ready$'}\n";
    let house = House::new(&[("web", unit), ("other", "command: sleep 1000\n")]);
    house.wait_state("web", StateWord::Up, PATIENCE);
    house.wait_state("other", StateWord::Up, SECOND);
    house.slc_done(&["stop", "web"]);
}

#[test]
fn a_port_that_answers_makes_it_ready() {
    let script = "import os, socket, time\n\
                  while not os.path.exists('{dir}/go'): time.sleep(0.01)\n\
                  s = socket.create_server(('127.0.0.1', 4711))\n\
                  time.sleep(1000)\n";
    let unit = "command: [python3, '{dir}/serve.py']\nready: {tcp: 4711, interval: 50ms}\n";
    let behind = "command: sleep 1000\ndepends_on: [web]\n";
    let house = House::sealed(&[("web", unit), ("behind", behind)], &[("serve.py", script)]);
    waits_for(&house, "web", "nothing listens at 127.0.0.1:4711");
    assert_eq!(house.status("behind").summary.state, StateWord::Blocked);
    house.write("go", "");
    house.wait_state("web", StateWord::Up, PATIENCE);
    house.wait_state("behind", StateWord::Up, PATIENCE);
}

#[test]
fn a_page_of_nginx_makes_it_ready() {
    let unit = "command: /usr/sbin/nginx -c {dir}/nginx.conf\n\
                ready: {http: 'http://127.0.0.1:8080/health', interval: 50ms}\n";
    let conf = "error_log stderr; pid {dir}/nginx.pid;\n\
                events {}\n\
                http { access_log off; server { listen 127.0.0.1:8080;\n\
                location /health { return 204; } location / { return 503; } } }\n";
    let house = House::sealed(&[("nginx", unit)], &[("nginx.conf", conf)]);
    let status = house.wait_state("nginx", StateWord::Up, PATIENCE);
    assert!(status.processes >= 2, "{status:#?}");
    house.slc_done(&["stop", "nginx"]);
}

#[test]
fn a_command_beside_the_leaf_makes_it_ready() {
    let unit = "command: sleep 1000\nuser: nobody\n\
                ready: {command: [sh, -c, 'id -un > {dir}/tmp/who; cat /proc/self/cgroup > {dir}/tmp/where; test -e {dir}/go'], interval: 20ms}\n";
    let mut house = House::vacant(&[("web", unit)]);
    fs::create_dir(house.path("tmp")).unwrap();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    fs::set_permissions(house.path("tmp"), mode).unwrap();
    house.launch();
    waits_for(&house, "web", "exit status 1");
    assert_eq!(house.read("tmp/who"), "nobody\n");
    let place = house.read("tmp/where");
    assert!(place.contains("/services/web/1.check."), "{place}");
    house.write("go", "");
    house.wait_state("web", StateWord::Up, PATIENCE);
    // Nothing of its checks is left, and it never counted as a process of the service.
    let left = || {
        fs::read_dir(house.unit_cgroup("web"))
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().contains("check"))
    };
    assert!(eventually(PATIENCE, || !left()));
    assert_eq!(house.status("web").processes, 1);
}

#[test]
fn a_pid_file_makes_it_ready_when_it_names_a_process_of_the_leaf() {
    let script = "echo 1 > {dir}/pid; until [ -e {dir}/go ]; do sleep 0.01; done; echo $$ > {dir}/pid; exec sleep 1000";
    let unit = format!("command: [sh, -c, '{script}']\nready: pid_file\npid_file: {{dir}}/pid\n");
    let house = House::new(&[("web", &unit)]);
    waits_for(&house, "web", "does not hold one decimal number above 1");
    house.write("go", "");
    let status = house.wait_state("web", StateWord::Up, PATIENCE);
    assert_eq!(status.summary.main_pid, Some(sleeper_of(&house, "web")));
}

#[test]
fn one_that_is_not_ready_in_time_has_failed_and_says_what_was_waited_for() {
    let unit = |ready: &str| {
        format!("command: sleep 1000\nready: {ready}\nstart_timeout: 500ms\nrestart: no\n")
    };
    let units = [
        ("tcp", unit("{tcp: 4711}")),
        ("http", unit("{http: 'http://127.0.0.1:4711/x'}")),
        ("fd", unit("{fd: 3}")),
        ("log", unit("{log: ready}")),
        ("command", unit("{command: [sh, -c, 'echo no route >&2; exit 3'], interval: 50ms}")),
        ("missing", unit("{command: /nonexistent/probe}")),
        ("hangs", unit("{command: sleep 1000, timeout: 100ms}")),
        ("notify", unit("notify")),
    ];
    let units: Vec<(&str, &str)> =
        units.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let house = House::sealed(&units, &[]);
    for (name, why) in [
        ("tcp", "not ready within 500 ms: nothing listens at 127.0.0.1:4711"),
        ("http", "not ready within 500 ms: nothing listens at 127.0.0.1:4711"),
        ("fd", "not ready within 500 ms: no newline came on descriptor 3"),
        ("log", "not ready within 500 ms: no line of its output matches \"ready\""),
        ("command", "not ready within 500 ms: exit status 3: no route"),
        (
            "missing",
            "not ready within 500 ms: failed while executing the program: No such file or directory",
        ),
        ("hangs", "not ready within 500 ms: no answer within 100 ms"),
        ("notify", "not ready within 500 ms: no READY=1 came"),
    ] {
        let status = house.wait_state(name, StateWord::Failed, PATIENCE);
        assert_eq!(status.summary.why, why, "{name}");
    }
}

/// It may be that of a descriptor that the start itself needs, and above the limit of descriptors.
#[test]
fn any_number_may_be_that_of_the_descriptor() {
    let units: Vec<(String, String)> = (3..40)
        .map(|number| {
            let script = format!("echo >&{number}; exec sleep 1000");
            let text = format!(
                "command: [bash, -c, '{script}']\nready: {{fd: {number}}}\n\
                 ulimits: {{nofile: 30}}\n"
            );
            (format!("fd{number}"), text)
        })
        .collect();
    let units: Vec<(&str, &str)> = units.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let house = House::new(&units);
    for (name, _) in &units {
        house.wait_state(name, StateWord::Up, PATIENCE);
    }
}
