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
        .arg(root().join("tests/schema/judge.py"))
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

/// One unit for each way to write a value that somebody may think of: `values` has paragraphs of a
/// line with keys and a line for each value.
fn values() -> Vec<String> {
    let paragraphs = include_str!("values").split("\n\n");
    let units = paragraphs.flat_map(|paragraph| {
        let (keys, values) = paragraph.split_once('\n').expect("keys and values");
        let keys = keys.strip_prefix("== ").expect("a line of keys").split(' ');
        keys.flat_map(|key| values.lines().map(move |value| format!("{key}: {value}")))
    });
    units.collect()
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
