//! The schema that editors get, against an independent validator: it takes whatever the reader
//! takes, and refuses what the reader refuses, but for what is listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use treeward::unit_file::{SchemaOf, parse, read_directory, schema};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Why a schema cannot refuse some of the bad units.
const ONLY_THE_READER: &[(&str, &[&str])] = &[
    ("the file's name is no part of its text", &["cgroup.procs", "name with blank"]),
    (
        "it compares two values",
        &["ready-fd-socket", "restart-pauses", "environment-list-duplicate", "sockets-twice"],
    ),
    (
        "a calendar is a language of its own",
        &["timer-cron", "timer-days", "timer-hour", "timer-never", "timer-word", "timer-zone"],
    ),
    ("so is a regular expression", &["ready-log-regex"]),
    ("only an instance has the value", &["template-instance-value@"]),
    ("for YAML the byte is the end of a line as good as any", &["carriage-return"]),
    ("no number is less or more than NaN, and JSON has none", &["duration-nan"]),
    ("a YAML tool hands numbers on without the way they were written", &["umask-decimal"]),
];

/// Values that the reader refuses and the schema cannot, by key.
const FINER: &[(&str, &[&str])] = &[
    (
        "it calculates",
        &[
            "restart_delay: 0.0001",
            "start_timeout: 0.0001",
            "restart_delay: 1500us",
            "start_timeout: 1500us",
            "mem_limit: 99999999t",
            "nice: '25'",
            "cpus: '0'",
        ],
    ),
    (
        "a YAML tool hands numbers on without the way they were written",
        &[
            "restart_delay: .5",
            "restart_delay: 0x10",
            "restart_delay: 1_000",
            "restart_delay: 1e3",
            "start_timeout: .5",
            "start_timeout: 0x10",
            "start_timeout: 1_000",
            "start_timeout: 1e3",
            "mem_limit: 1.",
        ],
    ),
];

/// The schema that an editor has for a file of this name.
fn kind(path: &Path) -> &'static str {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let dir = path.parent().and_then(Path::extension);
    match dir.is_some_and(|ending| ending == "d") {
        true => "drop-in",
        false if stem.ends_with('@') => "template",
        false => "unit",
    }
}

/// What the validator says of each file: why it refuses it, if it does.
fn validate(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<String>> {
    let python = std::env::var_os("TREEWARD_PYTHON").expect("TREEWARD_PYTHON is not set");
    let dir = tempfile::tempdir().unwrap();
    let kinds =
        [("unit", SchemaOf::Unit), ("template", SchemaOf::Template), ("drop-in", SchemaOf::DropIn)];
    for (name, of) in kinds {
        fs::write(dir.path().join(format!("{name}.json")), schema(of).to_string()).unwrap();
    }
    let mut child = Command::new(python)
        .arg(root().join("tests/schema.py"))
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let paths: String =
        files.iter().map(|path| format!("{} {}\n", kind(path), path.display())).collect();
    let writer = std::thread::spawn(move || input.write_all(paths.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    let answers = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let verdict = |answer: Value| {
        let path = PathBuf::from(answer["path"].as_str().unwrap());
        (path, answer["refused"].as_str().map(str::to_owned))
    };
    let verdicts: BTreeMap<_, _> = answers.map(verdict).collect();
    assert_eq!(verdicts.len(), files.len());
    verdicts
}

fn units_below(dir: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|it| it == ending));
    files.collect()
}

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn every_example_is_accepted() {
    let mut examples = units_below("examples", "yml");
    examples.extend(units_below("examples", "disabled"));
    assert!(examples.len() >= 12);
    for (path, refused) in validate(&examples) {
        assert_eq!(refused, None, "{}", path.display());
    }
}

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn every_bad_unit_is_refused_but_those_that_only_the_reader_can_refuse() {
    let mut bad = units_below("tests/bad-units", "yml");
    assert!(bad.len() >= 60);
    // With drop-ins it is them that are bad.
    let with_drop_ins = |path: &PathBuf| path.with_extension("yml.d").is_dir();
    let drop_ins: Vec<PathBuf> = bad.iter().filter(|path| with_drop_ins(path)).cloned().collect();
    bad.retain(|path| !with_drop_ins(path));
    for unit in drop_ins {
        bad.extend(units_below(&format!("{}.d", unit.display()), "yml"));
    }
    let verdicts = validate(&bad);
    let accepted = verdicts.iter().filter(|(_, refused)| refused.is_none());
    let accepted: BTreeSet<&str> =
        accepted.map(|(path, _)| path.file_stem().unwrap().to_str().unwrap()).collect();
    let listed: BTreeSet<&str> =
        ONLY_THE_READER.iter().flat_map(|(_, names)| *names).copied().collect();
    assert_eq!(accepted, listed);
}

/// One unit for each way to write a value that somebody may think of.
fn values() -> Vec<String> {
    let durations = [
        "90",
        "1.5s",
        "500ms",
        "1m30s",
        "2h",
        "0",
        "'90'",
        "1 h",
        "1h 30m",
        "1 hour, 30 minutes",
        "2hrs",
        "3mins",
        "10 secs",
        "1500us",
        "2000000ns",
        "1d",
        "1:30",
        "-1",
        "abc",
        "''",
        "1.5.2",
        "1s ago",
        "+1h",
        "1_000",
        ".5",
        ".5s",
        "1,5s",
        "1e3",
        "0x10",
        "1h1",
        "s",
        "1 2s",
        "100years",
        "none",
        "infinity",
        "~",
        "[]",
        "3153600001",
        "1S",
        "1H",
        "0.0001",
        "1m,",
        "5 minutes",
    ];
    let signals = [
        "TERM",
        "SIGTERM",
        "sigquit",
        "9",
        "64",
        "WINCH",
        "RTMIN",
        "RTMIN+3",
        "SIGRTMIN+30",
        "RTMAX",
        "RTMAX-14",
        "POLL",
        "CLD",
        "IOT",
        "'9'",
        "SIG",
        "0",
        "65",
        "32",
        "33",
        "-9",
        "SIG9",
        "TREM",
        "RTMIN+31",
        "RTMIN-1",
        "RTMIN+",
        "RTMAX-31",
        "KILL",
        "STOP",
        "'33'",
        "'064'",
        "true",
    ];
    let sizes = [
        "1",
        "65536",
        "100b",
        "64k",
        "512m",
        "512M",
        "512mb",
        "512MiB",
        "512 m",
        "1.5g",
        "2t",
        "0",
        "0m",
        "-1",
        "m",
        "'1.5'",
        "1.",
        ".5g",
        "1.m",
        "1.2.3g",
        "max",
        "12x",
        "50%",
        "0.0g",
        "1 000",
        "0x10z",
        "99999999t",
        "1.0000001g",
        "[1]",
        "true",
    ];
    let numbers =
        ["5", "-5", "+5", "'5'", "'25'", "x", "1.5", "100000", "''", "-20", "19", "0", "-21"];
    let names = [
        "[a, b]",
        "[a, a]",
        "[]",
        "a",
        "[a.service]",
        "[a.yml]",
        "[-a]",
        "[a/b]",
        "[8080]",
        "[1.5]",
        "[true]",
        "[cgroup.x]",
        "[treeward]",
        "[a@]",
        "[a@b]",
        "{}",
        "[~]",
        "[[a]]",
        "['a b']",
        "[\"x\\\\x2d\"]",
        "[é]",
    ];
    let needs = [
        "{a: {}}",
        "{a: {condition: service_started}}",
        "{a: {required: no}}",
        "{a: ~}",
        "{a: b}",
        "{a: {required: maybe}}",
        "{a: {x: 1}}",
        "{a b: {}}",
        "{a: {condition: up}}",
    ];
    let paths =
        ["/a", "/a/b", "/a/", "/", "a", "~/a", "''", "5", "/a b", "\"/a\\e\"", "/é", "[/a]"];
    let env_files = [
        "/a",
        "[/a, /b]",
        "{path: /a}",
        "[{path: /a, required: false}]",
        "-/a",
        "{required: true}",
        "[-/a]",
        "{path: a}",
        "{path: /a, x: 1}",
        "[]",
        "/a/",
    ];
    let environments = [
        "{A: 1, B: true, C: x}",
        "[A=1, B=]",
        "{A: ~}",
        "[A]",
        "{'A B': 1}",
        "{'': 1}",
        "['=x']",
        "{A: [x]}",
        "[A: 1]",
        "{}",
        "[]",
        "x",
        "{'A=B': 1}",
        "['A B=1']",
        "{A: \"a\\nb\\tc\"}",
        "{A: \"a\\eb\"}",
        "[1]",
    ];
    let identities = [
        "nobody",
        "www-data",
        "_apt",
        "0",
        "1000",
        "'1000'",
        "4294967294",
        "4294967295",
        "machine$",
        "a:b",
        "'1000:100'",
        "''",
        "0day",
        "-1",
        "a b",
        "'nobody:'",
        "':x'",
        "'a:b:c'",
        "'007'",
        "a/b",
        "~",
        "$",
        "[a]",
        "é",
    ];
    let masks =
        ["'0022'", "'022'", "22", "0o22", "'0o22'", "'18'", "'1000'", "-22", "u=rwx", "'00000022'"];
    let limits = [
        "{nofile: 1}",
        "{nofile: {soft: 1, hard: 2}}",
        "{core: unlimited}",
        "{core: -1}",
        "{core: infinity}",
        "{core: '5'}",
        "{nofile: {soft: 1}}",
        "{x: 1}",
        "{nofile: 8m}",
        "{nofile: -2}",
        "{nofile: ~}",
        "{nofile: {soft: 1, hard: 2, x: 3}}",
        "{}",
        "[]",
        "x",
        "{nofile: 1.5}",
    ];
    let words = [
        "true",
        "false",
        "yes",
        "No",
        "on",
        "OFF",
        "'true'",
        "maybe",
        "1",
        "''",
        "auto",
        "simple",
        "forking",
        "notify",
        "oneshot",
        "exec",
        "no",
        "on-failure",
        "always",
        "unless-stopped",
        "on-failure:3",
        "on-failure:x",
        "on-failure:",
        "control-group",
        "mixed",
        "process",
        "[]",
    ];
    let cpus = [
        "1", "1.5", "0.01", "0", "0.001", "'2'", "'1.'", "10000", "10001", "all", "50%", "-1",
        "'0'",
    ];
    let texts = ["x", "5", "true", "''", "\"a\\nb\"", "\"a\\n\"", "[x]", "{}", "\"\\e[\"", "é ü"];
    let commands = [
        "nginx",
        "/usr/sbin/nginx -g 'daemon off;'",
        "a | b",
        "a && b",
        "a & b",
        "a > f",
        "a; b",
        "(a)",
        "a $(b)",
        "a `b`",
        "echo $HOME",
        "echo ${HOME}",
        "'a ''$HOME'''",
        "a 5$ 100%",
        "a $",
        "\"a \\\"b c\\\"\"",
        "\"a \\\"$HOME\\\"\"",
        "\"a 'b\"",
        "'a \\'",
        "./a",
        "a/b",
        "/a/",
        "exec a",
        "cd /",
        "executor",
        "cdrom x",
        ". x",
        "-a",
        "'@a'",
        "+a",
        "'!a'",
        "A=1 b",
        "/a=b",
        "''",
        "'  '",
        "[]",
        "[a]",
        "[/a, 1, true, 1.5]",
        "[./a]",
        "[exec]",
        "[a, $MAINPID]",
        "[a, '$HOME']",
        "[a, ~]",
        "[a, [b]]",
        "['']",
        "[-a]",
        "[A=1]",
        "[/a/]",
        "[8080]",
        "{}",
        "5",
        "\"a\\nb\"",
        "\"\\na\\n\"",
        "\"a\\tb\"",
        "[sh, -c, \"a\\nb\"]",
        "[sh, \"a\\eb\"]",
        "a \\| b",
        "a {b,c} ~ *.o",
        "a#b # c",
        "a 'b\"c'",
        "\"\\\"/a b\\\"\"",
        "'\"\"'",
        "'\"\" a'",
        "a \"b",
        "ä ö",
    ];
    let ready = [
        "exec",
        "fork",
        "pid_file",
        "fd",
        "[exec]",
        "{}",
        "{fd: 3}",
        "{fd: '1023'}",
        "{fd: 1024}",
        "{fd: 2}",
        "{fd: 3, timeout: 1s}",
        "{fd: 3, log: x}",
        "{log: x}",
        "{log: 5}",
        "{log: ''}",
        "{log: [x]}",
        "{command: a b}",
        "{command: [a, b], interval: 1s, timeout: 500ms}",
        "{command: a | b}",
        "{command: ''}",
        "{tcp: 80}",
        "{tcp: 0}",
        "{tcp: 65536}",
        "{tcp: '65535'}",
        "{tcp: '65536'}",
        "{tcp: localhost:80}",
        "{tcp: '127.0.0.1:80'}",
        "{tcp: '127.0.0.256:80'}",
        "{tcp: '127.0.01.2:80'}",
        "{tcp: '127.0.0:80'}",
        "{tcp: '[::1]:80'}",
        "{tcp: '::1:80'}",
        "{tcp: 'db:80'}",
        "{tcp: ':80'}",
        "{tcp: '127.0.0.1'}",
        "{tcp: ~}",
        "{http: 'http://localhost'}",
        "{http: 'http://127.0.0.1:8080/a?b=%20'}",
        "{http: 'http://[::1]?x'}",
        "{http: 'http://u@127.0.0.1/'}",
        "{http: 'http://127.0.0.1:0/'}",
        "{http: 'http://127.0.0.1:/'}",
        "{http: 'http://127.0.0.1/#a'}",
        "{http: 'http://127.0.0.1/{}'}",
        "{http: 'https://127.0.0.1/'}",
        "{http: 'http://db/'}",
        "{tcp: 80, interval: 10ms}",
        "{tcp: 80, interval: 9ms}",
        "{tcp: 80, interval: 0.01}",
        "{tcp: 80, interval: 0.009}",
        "{tcp: 80, interval: '0.05'}",
        "{tcp: 80, interval: 0.009s}",
        "{tcp: 80, interval: 10000us}",
        "{tcp: 80, interval: 9999us}",
        "{tcp: 80, interval: 0m}",
        "{tcp: 80, interval: 0.5m}",
        "{tcp: 80, interval: none}",
        "{tcp: 80, x: 1}",
        "{interval: 1s}",
    ];
    let health = [
        "{test: curl -f http://localhost}",
        "{test: ''}",
        "{test: '  '}",
        "{test: 5}",
        "{test: [NONE]}",
        "{test: [NONE, a]}",
        "{test: [CMD]}",
        "{test: [CMD, a, 1, true]}",
        "{test: [CMD, [a]]}",
        "{test: [CMD-SHELL, a b]}",
        "{test: [CMD-SHELL, a, b]}",
        "{test: [a]}",
        "{test: []}",
        "{test: {tcp: 80}}",
        "{test: {http: 'http://localhost/'}}",
        "{test: {tcp: 80, http: 'http://localhost/'}}",
        "{test: {udp: 80}}",
        "{test: ~}",
        "{disable: true}",
        "{disable: yes}",
        "{disable: false}",
        "{disable: maybe}",
        "{}",
        "[]",
        "a",
        "{test: a, retries: 1}",
        "{test: a, retries: '3'}",
        "{test: a, retries: 0}",
        "{test: a, retries: 4294967296}",
        "{test: a, interval: 10s, timeout: 1s, start_period: 0, start_interval: 5s}",
        "{test: a, interval: 0}",
        "{test: a, start_interval: 1ms}",
        "{test: a, on_failure: stop}",
        "{test: a, on_failure: kill}",
        "{test: a, x: 1}",
    ];
    let watchdogs = [
        "30s",
        "30",
        "0",
        "5ms",
        "[30s]",
        "{}",
        "{timeout: 30s}",
        "{timeout: 30s, on_failure: notify}",
        "{timeout: 0s}",
        "{on_failure: stop}",
        "{timeout: 30s, x: 1}",
        "none",
    ];
    let conditions = [
        "{path_exists: /a}",
        "[{path_exists: '!/a'}, {user: root}]",
        "[]",
        "{}",
        "[{}]",
        "/a",
        "[/a]",
        "{path_exists: a}",
        "{path_exists: '!a'}",
        "{path_exists: '! /a'}",
        "{path_exists: [/a]}",
        "{path_exists: /a, user: root}",
        "{path_exists: /a, not: true, required: yes}",
        "{not: true}",
        "{required: true}",
        "{any: []}",
        "{any: [{user: root}, {user: www, not: true}]}",
        "{any: [{user: root, required: true}]}",
        "{any: [{any: [{user: root}]}]}",
        "{any: {user: root}}",
        "{any: [{user: root}], not: true}",
        "{any: [{user: root}], not: false}",
        "{any: [{user: root}], user: root}",
        "{any: [{user: root}], required: true}",
        "{kernel_command_line: a b}",
        "{kernel_command_line: a=b}",
        "{kernel_command_line: '!a'}",
        "{kernel_command_line: '!'}",
        "{kernel_command_line: '!!a'}",
        "{kernel_command_line: ''}",
        "{kernel_command_line: 3}",
        "{first_boot: true}",
        "{first_boot: never}",
        "{user: '@system'}",
        "{user: 0}",
        "{architecture: arm64}",
        "{path_exists_glob: '/dev/tty*'}",
        "{path_exists_glob: '!/a?'}",
        "{path_exists_glob: a*}",
        "{ac_power: true}",
        "{ac_power: never}",
        "{capability: CAP_SYS_TIME}",
        "{capability: '!cap_bpf'}",
        "{capability: sys_time}",
        "{capability: CAP_X}",
        "{cpus: 4}",
        "{cpus: '>=4'}",
        "{cpus: '!= 4'}",
        "{cpus: '>'}",
        "{cpus: -1}",
        "{cpus: 1.5}",
        "{cpus: '=>4'}",
        "{virtualization: vm}",
        "{virtualization: '!container'}",
        "{virtualization: yes}",
        "{virtualization: kvm}",
        "{virtualization: true}",
        "{x: 1}",
    ];
    let sockets = [
        "{a: 80}",
        "{a: '80'}",
        "{a: 080}",
        "{a: 0}",
        "{a: 65536}",
        "{a: '65536'}",
        "{a: '*:80'}",
        "{a: '127.0.0.1:80'}",
        "{a: '127.0.0.1:0'}",
        "{a: '300.0.0.1:80'}",
        "{a: '127.0.0.1'}",
        "{a: localhost:80}",
        "{a: '[::1]:80'}",
        "{a: '::1:80'}",
        "{a: 53/udp}",
        "{a: 53/sctp}",
        "{a: '127.0.0.1:53/tcp'}",
        "{a: /run/x.sock}",
        "{a: /run/}",
        "{a: run/x}",
        "{a: '@x'}",
        "{a: '@'}",
        "{a: x}",
        "{a: ~}",
        "{a: [80]}",
        "{'a b': 80}",
        "{a.b_c-d: 80}",
        "{'': 80}",
        "{}",
        "[80]",
        "{a: {listen: 80}}",
        "{a: {listen: 80, mode: 0660}}",
        "{a: {listen: /x, mode: 0660, user: root, group: 0}}",
        "{a: {listen: /x, mode: '0999'}}",
        "{a: {listen: /x, user: a b}}",
        "{a: {listen: '@x', mode: 0660}}",
        "{a: {listen: '@x', type: seqpacket}}",
        "{a: {listen: 80, type: seqpacket}}",
        "{a: {listen: /x, type: fifo}}",
        "{a: {listen: '@x', type: fifo}}",
        "{a: {listen: 80, type: fifo}}",
        "{a: {listen: 80, type: udp}}",
        "{a: {listen: 80/udp, type: dgram}}",
        "{a: {listen: 80/udp, type: stream}}",
        "{a: {listen: 80/tcp, type: dgram}}",
        "{a: {listen: 80/tcp, type: tcp}}",
        "{a: {listen: /run/udp, type: stream}}",
        "{a: {listen: 80, type: x}}",
        "{a: {listen: 80, backlog: 5}}",
        "{a: {listen: 80, backlog: '5'}}",
        "{a: {listen: 80, backlog: 0}}",
        "{a: {listen: 80, backlog: 2147483648}}",
        "{a: {listen: 80/udp, backlog: 5}}",
        "{a: {listen: 80, type: dgram, backlog: 5}}",
        "{a: {listen: /x, type: fifo, backlog: 5}}",
        "{a: {listen: 80, ipv6_only: yes, reuse_port: true, free_bind: off}}",
        "{a: {listen: 80, ipv6_only: maybe}}",
        "{a: {listen: /x, reuse_port: true}}",
        "{a: {listen: '@x', free_bind: true}}",
        "{a: {mode: 0660}}",
        "{a: {listen: 80, x: 1}}",
        "{a: {}}",
    ];
    let timers = [
        "daily",
        "Mon..Fri 02:00",
        "'*/5 * * * *'",
        "''",
        "[]",
        "[daily, {every: 5m}]",
        "{}",
        "{calendar: daily}",
        "{calendar: [daily, weekly], persistent: yes, jitter: 10m}",
        "{calendar: []}",
        "{calendar: [], every: 1h}",
        "{every: 1s}",
        "{every: 1}",
        "{every: 0.5}",
        "{every: 0.5s}",
        "{every: '0.5'}",
        "{every: 1.0}",
        "{every: 999ms}",
        "{every: 1000ms}",
        "{every: 0.5m}",
        "{every: 0h}",
        "{every: 1h30m}",
        "{every: x}",
        "{after_boot: 0}",
        "{after_boot: 10m}",
        "{after_boot: -1}",
        "{persistent: true}",
        "{jitter: 5m}",
        "{every: 1h, persistent: maybe}",
        "{every: 1h, x: 1}",
        "{every: ~}",
    ];
    let watched = [
        "{exists: /a}",
        "{changed: [/a, /b], modified: /c}",
        "{directory_not_empty: /a/}",
        "{}",
        "{exists: []}",
        "{exists: [], changed: /a}",
        "{exists: a}",
        "{exists: [a]}",
        "{exist: /a}",
        "{exists: ~}",
        "{exists: {a: b}}",
        "[/a]",
        "/a",
    ];
    let of = |keys: &[&str], values: &[&str]| -> Vec<String> {
        let pairs = keys.iter().flat_map(|key| values.iter().map(move |value| (key, value)));
        pairs.map(|(key, value)| format!("{key}: {value}")).collect()
    };
    [
        of(&["restart_delay", "start_timeout"], &durations),
        of(&["stop_signal", "reload_signal"], &signals),
        of(&["mem_limit"], &sizes),
        of(&["nice", "oom_score_adj", "restart_max_attempts", "pids_limit"], &numbers),
        of(&["depends_on", "after"], &names),
        of(&["depends_on"], &needs),
        of(&["pid_file", "working_dir", "tty"], &paths),
        of(&["env_file"], &env_files),
        of(&["environment"], &environments),
        of(&["user", "group"], &identities),
        of(&["umask"], &masks),
        of(&["ulimits"], &limits),
        of(&["type", "restart", "kill_mode", "enabled", "delegate", "remain_after_exit"], &words),
        of(&["cpus"], &cpus),
        of(&["description"], &texts),
        of(&["command", "stop_command", "reload_command"], &commands),
        of(&["ready"], &ready),
        of(&["healthcheck"], &health),
        of(&["watchdog"], &watchdogs),
        of(&["condition"], &conditions),
        of(&["sockets"], &sockets),
        of(&["timer"], &timers),
        of(&["paths"], &watched),
    ]
    .concat()
}

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn the_schema_and_the_reader_agree_on_every_value() {
    let dir = tempfile::tempdir().unwrap();
    let mut cases: BTreeMap<PathBuf, (String, bool)> = BTreeMap::new();
    for (number, value) in values().into_iter().enumerate() {
        let path = dir.path().join(format!("u{number}.yml"));
        let command = if value.starts_with("command:") { "" } else { "command: a\n" };
        // What keys say together is not what this is about.
        let kind = if value.starts_with("remain_after_exit:") { "type: oneshot\n" } else { "" };
        let text = format!("{command}{kind}{value}\n");
        fs::write(&path, &text).unwrap();
        let good = parse(Path::new(&path), &text).is_ok();
        cases.insert(path, (value, good));
    }
    let files: Vec<PathBuf> = cases.keys().cloned().collect();
    let (mut too_strict, mut too_lax) = (Vec::new(), BTreeSet::new());
    for (path, refused) in validate(&files) {
        let (value, good) = &cases[&path];
        match (good, refused) {
            (true, Some(why)) => too_strict.push(format!("{value}: {why}")),
            (false, None) => _ = too_lax.insert(value.as_str()),
            (true, None) | (false, Some(_)) => {}
        }
    }
    assert!(too_strict.is_empty(), "good units are refused:\n{}", too_strict.join("\n"));
    let listed: BTreeSet<&str> = FINER.iter().flat_map(|(_, values)| *values).copied().collect();
    assert_eq!(too_lax, listed, "bad units are accepted");
}

/// Keys that say something together; each a unit without its command.
const TOGETHER: &[&str] = &[
    "type: oneshot\nremain_after_exit: true",
    "remain_after_exit: true",
    "timer: daily\nremain_after_exit: false",
    "timer: daily\nremain_after_exit: true",
    "timer: daily\ntype: oneshot",
    "timer: daily\ntype: auto",
    "timer: daily\nrestart: always",
    "timer: daily\nrestart: on-failure",
    "timer: daily\nready: exec",
    "timer: daily\nsockets: {a: 80}",
    "type: oneshot\nwatchdog: 5s",
    "type: oneshot\nhealthcheck: {test: a}",
    "type: oneshot\nremain_after_exit: true\npaths: {exists: /a}",
    "type: oneshot\npaths: {exists: /a}",
    "type: oneshot\nremain_after_exit: true\nsockets: {a: 80}\nactivation: on_demand",
    "type: oneshot\nremain_after_exit: true\nsockets: {a: 80}\nactivation: boot",
    "activation: boot",
    "sockets: {a: 80}\nactivation: on_demand",
    "type: simple\nready: fork",
    "type: forking\nready: fork",
    "ready: pid_file\npid_file: /run/a.pid",
    "restart: no\nhealthcheck: {test: a}",
    "restart: no\nhealthcheck: {test: a, on_failure: restart}",
    "restart: no\nwatchdog: {timeout: 5s, on_failure: restart}",
    "restart: no\nwatchdog: {timeout: 5s, on_failure: stop}",
    "restart: always\nwatchdog: {timeout: 5s, on_failure: restart}",
    "restart: on-failure:3\nrestart_max_attempts: 3",
    "user: a:b\ngroup: c",
];

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn the_schema_and_the_reader_agree_on_what_keys_say_together() {
    let dir = tempfile::tempdir().unwrap();
    let write = |(number, keys): (usize, &&str)| {
        let path = dir.path().join(format!("u{number}.yml"));
        fs::write(&path, format!("command: a\n{keys}\n")).unwrap();
        path
    };
    let files: Vec<PathBuf> = TOGETHER.iter().enumerate().map(write).collect();
    for (path, refused) in validate(&files) {
        let text = fs::read_to_string(&path).unwrap();
        let wrong = parse(&path, &text).err();
        assert_eq!(refused.is_none(), wrong.is_none(), "{text}{refused:?}\n{wrong:?}");
    }
}

/// Templates, and whether each is one.
const TEMPLATES: &[(&str, bool)] = &[
    ("command: a %i", true),
    ("command: [a, '%I', '%%']\nnice: '%i'\nmem_limit: '%{size}'\nparameters: {size: 5m}", true),
    ("command: a\nsockets: {web: '%i'}\ntimer: {every: '%{x}s'}\nparameters: {x: 5}", false),
    ("command: a\nsockets: {web: {listen: '%i', mode: '%{m}'}}\nparameters: {m: 0660}", true),
    ("command: a\nenvironment: {A: '%i'}\ndepends_on: [b@%i]\nwatchdog: '%i'", true),
    ("command: a\nhealthcheck: {test: [CMD, a, '%i'], interval: '%i'}", true),
    ("command: a\ncondition: [{path_exists: '/dev/%I'}]\nstart_pre: [[a, '%i']]", true),
    ("command: a\ndepends_on: {'b@%i': {required: false}}", true),
    ("command: a 5%", false),
    ("command: a\nnice: '%t'", false),
    ("command: a\nnice: 50", false),
    ("command: a\nnice: high", false),
    ("command: a\ninstances: [a, b]", true),
    ("nice: 5", false),
];

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn in_a_template_a_value_may_be_what_an_instance_puts_in() {
    let dir = tempfile::tempdir().unwrap();
    let write = |(number, (text, _)): (usize, &(&str, bool))| {
        let path = dir.path().join(format!("u{number}@.yml"));
        fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = TEMPLATES.iter().enumerate().map(write).collect();
    let bad: BTreeSet<String> =
        read_directory(dir.path()).unwrap().bad.into_iter().map(|bad| bad.name).collect();
    let verdicts = validate(&files);
    for (path, (text, good)) in files.iter().zip(TEMPLATES) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert_eq!(bad.contains(name), !good, "{text}");
        assert_eq!(verdicts[path].is_none(), *good, "{text}\n{:?}", verdicts[path]);
    }
}

/// What drop-ins may say of a unit that has all of it, and whether the unit is good then.
const DROP_INS: &[(&str, bool)] = &[
    ("", true),
    ("# nothing", true),
    ("nice: 5", true),
    ("nice: ~", true),
    ("nice: 50", false),
    ("nice+: [5]", false),
    ("nic: 5", false),
    ("after+: [b]", true),
    ("after+: b", false),
    ("command+: [--verbose]", true),
    ("environment: {A: ~, B: 1}", true),
    ("environment+: [C=1]", true),
    ("environment+: [C]", false),
    ("healthcheck: {interval: 5s}", true),
    ("healthcheck: {interval: 0}", false),
    ("healthcheck: {on_failure: ~}", true),
    ("sockets: {web: {mode: 0660}}", true),
    ("sockets: {web: {mode: x}}", false),
    ("sockets: {web: ~, other: 80}", true),
    ("ulimits: {nofile: {soft: 2}}", true),
    ("start_pre+: [[b, c], {command: d, ignore_failure: true}]", true),
    ("condition+: [{user: root}]", true),
    ("condition+: [{usr: root}]", false),
    ("[Service]", false),
];

#[test]
#[ignore = "needs a Python with jsonschema and ruamel.yaml: TREEWARD_PYTHON=/path/to/python"]
fn a_drop_in_says_a_part_adds_and_takes_away() {
    const UNIT: &str = "command: [a]\nnice: 1\nafter: [a]\nenvironment: {A: 1}\n\
                        healthcheck: {test: a, on_failure: stop}\nsockets: {web: {listen: /x}}\n\
                        ulimits: {nofile: {soft: 1, hard: 5}}\nstart_pre: [[a, b]]\n\
                        condition: [{path_exists: /a}]\n";
    let dir = tempfile::tempdir().unwrap();
    let write = |(number, (text, _)): (usize, &(&str, bool))| {
        let unit = dir.path().join(format!("u{number}.yml"));
        fs::write(&unit, UNIT).unwrap();
        let drop_ins = unit.with_extension("yml.d");
        fs::create_dir(&drop_ins).unwrap();
        let path = drop_ins.join("a.yml");
        fs::write(&path, text).unwrap();
        path
    };
    let files: Vec<PathBuf> = DROP_INS.iter().enumerate().map(write).collect();
    let bad: BTreeSet<String> =
        read_directory(dir.path()).unwrap().bad.into_iter().map(|bad| bad.name).collect();
    let verdicts = validate(&files);
    for (number, (path, (text, good))) in files.iter().zip(DROP_INS).enumerate() {
        assert_eq!(bad.contains(&format!("u{number}")), !good, "{text}");
        assert_eq!(verdicts[path].is_none(), *good, "{text}\n{:?}", verdicts[path]);
    }
}
