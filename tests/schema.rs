//! The schema that editors get, against an independent validator: it takes whatever the reader
//! takes, and refuses what the reader refuses, but for what is listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use treeward::unit_file::{parse, schema};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Why a schema cannot refuse some of the bad units.
const ONLY_THE_READER: &[(&str, &[&str])] = &[
    (
        "the file's name is no part of its text",
        &["cgroup.procs", "name with blank", "parameters-in-a-unit"],
    ),
    (
        "what is wrong stands in its drop-ins",
        &["drop-in-add", "drop-in-broken", "drop-in-text", "drop-in-values"],
    ),
    ("only an instance has the value", &["template-specifier@"]),
    ("it compares two values", &["restart-pauses", "environment-list-duplicate", "sockets-twice"]),
    (
        "it holds two keys together",
        &[
            "activation-alone",
            "activation-remains",
            "paths-remains",
            "timer-service",
            "timer-sockets",
        ],
    ),
    (
        "the schema knows the shape of sockets, timers and paths, not yet their words",
        &[
            "paths-empty",
            "sockets-host",
            "sockets-ipv6",
            "sockets-long-path",
            "sockets-mode",
            "sockets-relative",
            "sockets-seqpacket",
            "sockets-udp-backlog",
            "timer-cron",
            "timer-days",
            "timer-empty",
            "timer-hour",
            "timer-never",
            "timer-short",
            "timer-word",
            "timer-zone",
        ],
    ),
    ("for YAML the byte is the end of a line as good as any", &["carriage-return"]),
    ("no number is less or more than NaN, and JSON has none", &["duration-nan"]),
    ("a YAML tool hands numbers on without the way they were written", &["umask-decimal"]),
    (
        "the schema names conditions and leaves what they say to the reader",
        &["condition-empty", "condition-relative", "condition-two"],
    ),
    (
        "the schema knows the shape of readiness, health and watchdog, not yet their words",
        &[
            "health-restart-no",
            "health-test-cmd",
            "health-test-list",
            "health-test-none",
            "health-test-shell",
            "ready-command-shell",
            "ready-fd-interval",
            "ready-fork-simple",
            "ready-http-blank",
            "ready-interval-zero",
            "ready-log-regex",
            "ready-oneshot",
            "ready-pid-file",
            "ready-tcp-name",
            "ready-tcp-v6",
            "watchdog-restart-no",
            "watchdog-zero",
        ],
    ),
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

/// What the validator says of each file: why it refuses it, if it does.
fn validate(files: &[PathBuf]) -> BTreeMap<PathBuf, Option<String>> {
    let python = std::env::var_os("TREEWARD_PYTHON").expect("TREEWARD_PYTHON is not set");
    let dir = tempfile::tempdir().unwrap();
    let schema_file = dir.path().join("schema.json");
    fs::write(&schema_file, schema().to_string()).unwrap();
    let mut child = Command::new(python)
        .arg(root().join("tests/schema.py"))
        .arg(&schema_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let paths: String = files.iter().map(|path| format!("{}\n", path.display())).collect();
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
    let bad = units_below("tests/bad-units", "yml");
    assert!(bad.len() >= 60);
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
