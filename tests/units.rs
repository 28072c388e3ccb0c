//! Unit files from the outside: what a person gets to read for a bad one, what every key of a
//! good one becomes, and that the examples are good ones.

use std::fs;
use std::path::{Path, PathBuf};

use treeward::supervision::activation::Mode;
use treeward::supervision::unit::{
    Address, Condition, EnvFile, HealthCheck, Http, KillMode, Kind, Limits, OnFailure, Polled,
    Probe, Ready, Reload, RestartPolicy, Stdin, Ulimit, Unit, Watchdog,
};
use treeward::unit_file::{About, Diagnostic, Directories, Loaded, about, parse, read_directory};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn parse_text(text: &str) -> Result<Unit, Vec<Diagnostic>> {
    parse(Path::new("/etc/yml-services/app.yml"), text)
}

fn good(text: &str) -> Unit {
    parse_text(text).unwrap_or_else(|bad| panic!("{text}\n{}", shown(&bad)))
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// Files of a directory with an ending, sorted.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension() == Some(ending.as_ref())).collect();
    files.sort();
    files
}

/// With `BLESS=1` in the environment the expected texts are written instead of compared. Read
/// them before they are committed.
/// Scenarios U1, U3, U4, U5, U6 and U7.
#[test]
fn every_bad_unit_gets_the_text_that_stands_beside_it() {
    let directory = root().join("tests/bad-units");
    let bad = files(&directory, "yml");
    assert!(bad.len() >= 45, "only {} bad units were found", bad.len());
    let read = read_directory(&directory).unwrap();
    let mut differences = String::new();
    for path in bad {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let diagnostics = if name.ends_with('@') || path.with_extension("yml.d").exists() {
            // A template's own, or those of its instances; or those of a unit with drop-ins.
            let of_it = |bad: &str| bad == name || name.ends_with('@') && bad.starts_with(name);
            let bad = read.bad.iter().filter(|bad| of_it(&bad.name));
            bad.flat_map(|bad| bad.diagnostics.clone()).collect()
        } else {
            let text = fs::read_to_string(&path).unwrap();
            parse(&path, &text).err().unwrap_or_default()
        };
        if diagnostics.is_empty() {
            differences += &format!("{}: accepted\n", path.display());
            continue;
        }
        let answer = shown(&diagnostics).replace(&format!("{}/", directory.display()), "");
        let beside = path.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&beside, &answer).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if answer != expected {
            differences += &format!("{}:\n{answer}--- expected:\n{expected}\n", path.display());
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn every_example_is_a_good_unit_and_stands_in_the_readme() {
    let directory = root().join("examples");
    let Loaded { mut units, bad, templates, .. } = read_directory(&directory).unwrap();
    for template in &templates {
        let file = format!("`{}.yml`", template.name);
        let readme = fs::read_to_string(directory.join("README.md")).unwrap();
        assert!(readme.contains(&file), "README misses {}", template.name);
    }
    let names = ["agetty@ttyS0", "dhclient@eth0"].map(str::to_owned);
    let made = Directories::of(vec![directory.clone()]).instances(&names).unwrap();
    assert_eq!((made.units.len(), templates.len(), made.bad.len()), (2, 2, 0), "{made:#?}");
    assert_eq!(made.units[0].process.stdin, Stdin::Tty("/dev/ttyS0".into()));
    assert_eq!(made.units[1].command.to_vec()[2], "/run/dhclient.eth0.pid");
    units.extend(made.units);
    let bad: String = bad.iter().map(|bad| shown(&bad.diagnostics)).collect();
    assert!(bad.is_empty(), "{bad}");
    assert!(units.len() >= 12, "only {} examples", units.len());
    let readme = fs::read_to_string(directory.join("README.md")).unwrap();
    for unit in &units {
        let shown = unit.name.is_instance() || readme.contains(&format!("`{}.yml`", unit.name));
        assert!(shown, "README misses {}", unit.name);
        assert!(!unit.description.is_empty(), "{} has no description", unit.name);
        let others = unit.needs.iter().map(|need| &need.unit).chain(&unit.after);
        for other in others {
            assert!(units.iter().any(|unit| unit.name == *other), "{} names {other}", unit.name);
        }
        if let Kind::Forking | Kind::Notify = unit.kind {
            panic!("{} needs no type", unit.name);
        }
        assert_eq!(unit.pid_file, None, "{} needs no pid_file", unit.name);
    }
}

#[test]
fn a_command_alone_makes_a_unit_with_the_documented_defaults() {
    let unit = good("command: /usr/sbin/nginx\n");
    assert_eq!(unit.name.as_str(), "app");
    assert_eq!(*unit.source, *Path::new("/etc/yml-services/app.yml"));
    assert_eq!(unit.command.to_vec(), ["/usr/sbin/nginx"]);
    assert_eq!(unit.kind, Kind::Auto);
    assert_eq!((unit.ready(), &unit.health, unit.watchdog), (&Ready::Exec, &None, None));
    assert_eq!((unit.stop.signal, unit.stop.grace), (15, 10_000));
    assert_eq!((unit.stop.kill_mode, unit.stop.command.clone()), (KillMode::ControlGroup, None));
    assert_eq!(unit.restart.policy, RestartPolicy::OnFailure);
    assert_eq!((unit.restart.delay, unit.restart.max_delay), (1_000, 60_000));
    assert_eq!((unit.restart.max_attempts, unit.restart.healthy_after), (10, 10_000));
    assert_eq!(unit.start_timeout, Some(90_000));
    assert_eq!((unit.reload, unit.pid_file, unit.enabled), (None, None, true));
    assert!(unit.needs.is_empty() && unit.after.is_empty());
    assert_eq!((unit.process, unit.limits), Default::default());

    let unit = good("command: /sbin/ip link set lo up\ntype: oneshot\n");
    assert_eq!(unit.kind, Kind::Oneshot { remain_after_exit: false });
    assert_eq!((unit.restart.policy, unit.start_timeout), (RestartPolicy::No, None));
}

#[test]
fn every_key_reaches_its_place() {
    let unit = good(
        r#"
description: The application
command: [/usr/bin/app, --flag, "two words", 8080]
type: notify
restart: on-failure:3
restart_delay: 500ms
restart_max_delay: 1m30s
restart_window: 1.5
depends_on:
  redis: {condition: service_started, required: false}
  migrate: {condition: service_completed_successfully}
  postgres: {}
after: [rsyslog, agetty@ttyS0]
pid_file: /run/app.pid
stop_signal: QUIT
stop_command: /usr/bin/app --drain 'a b'
stop_grace_period: 2h
kill_mode: mixed
reload_signal: SIGUSR1
start_timeout: none
environment: {PORT: 80, MODE: 0022, VERSION: 1.50, ON: yes, EMPTY: "", BIG: 1e999, HEX: 0x1F}
env_file: [/etc/default/app, {path: /etc/app.env, required: false}]
working_dir: /srv/app
user: app:staff
umask: 0027
ulimits: {nofile: {soft: 1024, hard: 65536}, core: unlimited, memlock: -1}
nice: -5
oom_score_adj: 500
tty: /dev/ttyS0
mem_limit: 512m
pids_limit: 100
cpus: 1.5
enabled: false
"#,
    );
    assert_eq!(unit.command.to_vec(), ["/usr/bin/app", "--flag", "two words", "8080"]);
    assert_eq!((unit.kind, &*unit.description), (Kind::Notify, "The application"));
    let restart = unit.restart;
    assert_eq!((restart.policy, restart.max_attempts), (RestartPolicy::OnFailure, 3));
    assert_eq!((restart.delay, restart.max_delay, restart.healthy_after), (500, 90_000, 1_500));
    let needs: Vec<_> =
        unit.needs.iter().map(|n| (n.unit.as_str(), n.condition, n.required)).collect();
    assert_eq!(
        needs,
        [
            ("redis", Condition::ServiceStarted, false),
            ("migrate", Condition::ServiceCompletedSuccessfully, true),
            ("postgres", Condition::ServiceHealthy, true),
        ]
    );
    assert_eq!(
        unit.after.iter().map(|n| n.as_str()).collect::<Vec<_>>(),
        ["rsyslog", "agetty@ttyS0"]
    );
    assert_eq!(unit.pid_file.as_deref(), Some(Path::new("/run/app.pid")));
    assert_eq!((unit.stop.signal, unit.stop.grace), (3, 7_200_000));
    assert_eq!(unit.stop.kill_mode, KillMode::Mixed);
    assert_eq!(unit.stop.command.as_deref().unwrap(), ["/usr/bin/app", "--drain", "a b"]);
    assert_eq!((unit.reload.as_deref(), unit.start_timeout), (Some(&Reload::Signal(10)), None));
    assert!(!unit.enabled);
    let process = unit.process;
    let pairs = [
        ("PORT", "80"),
        ("MODE", "0022"),
        ("VERSION", "1.50"),
        ("ON", "yes"),
        ("EMPTY", ""),
        ("BIG", "1e999"),
        ("HEX", "0x1F"),
    ];
    let environment: Vec<_> =
        process.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(environment, pairs, "values are taken as they are written");
    let file = |path: &str, required| EnvFile { path: path.into(), required };
    assert_eq!(process.env_files, [file("/etc/default/app", true), file("/etc/app.env", false)]);
    assert_eq!(process.working_dir.as_deref(), Some(Path::new("/srv/app")));
    assert_eq!((process.user.as_deref(), process.group.as_deref()), (Some("app"), Some("staff")));
    assert_eq!(
        (process.umask, process.nice, process.oom_score_adj),
        (Some(0o27), Some(-5), Some(500))
    );
    let limit = |resource, soft, hard| Ulimit { resource, soft, hard };
    assert_eq!(
        process.ulimits,
        [
            limit(libc::RLIMIT_NOFILE as _, 1024, 65536),
            limit(libc::RLIMIT_CORE as _, u64::MAX, u64::MAX),
            limit(libc::RLIMIT_MEMLOCK as _, u64::MAX, u64::MAX),
        ]
    );
    assert_eq!(process.stdin, Stdin::Tty("/dev/ttyS0".into()));
    let limits =
        Limits { memory_bytes: Some(536_870_912), pids: Some(100), milli_cpus: Some(1_500) };
    assert_eq!(*unit.limits, limits);
}

#[test]
fn readiness_has_a_default_of_its_type_and_every_form_is_read() {
    let ready =
        |text: &str| good(&format!("command: a\npid_file: /run/a.pid\n{text}")).ready().clone();
    let polled =
        |probe, interval, timeout| Ready::Polled(Box::new(Polled { probe, interval, timeout }));
    let at = |ip: &str, port| Address { ip: ip.into(), port };
    for (text, expected) in [
        ("type: simple", Ready::Exec),
        ("type: forking", Ready::Fork),
        ("type: notify", Ready::Notify),
        ("type: notify\nready: exec", Ready::Exec),
        ("ready: fork", Ready::Fork),
        ("ready: notify", Ready::Notify),
        ("ready: {fd: 3}", Ready::Fd(3)),
        ("ready: {log: 'port \\d+$'}", Ready::Log("port \\d+$".into())),
        ("ready: pid_file", polled(Probe::PidFile, 200, 5_000)),
        ("ready: {tcp: 80, interval: 50ms}", polled(Probe::Tcp(at("127.0.0.1", 80)), 50, 5_000)),
        ("ready: {tcp: '[::1]:80', timeout: 1}", polled(Probe::Tcp(at("::1", 80)), 200, 1_000)),
        (
            "ready: {command: a 'b c'}",
            polled(Probe::Command(vec!["a".into(), "b c".into()]), 1_000, 5_000),
        ),
        (
            "ready: {http: http://localhost/x?y}",
            polled(
                Probe::Http(Http {
                    address: at("127.0.0.1", 80),
                    host: "localhost".into(),
                    path: "/x?y".into(),
                }),
                200,
                5_000,
            ),
        ),
    ] {
        assert_eq!(ready(text), expected, "{text}");
    }
}

#[test]
fn a_health_check_has_the_keys_and_defaults_of_compose() {
    let health = |text: &str| good(&format!("command: a\nhealthcheck: {text}")).health;
    let command =
        |words: &[&str]| Probe::Command(words.iter().map(|word| (*word).into()).collect());
    let default = HealthCheck {
        probe: command(&["/bin/sh", "-c", "a && b"]),
        interval: 30_000,
        timeout: 30_000,
        retries: 3,
        start_period: 0,
        start_interval: 5_000,
        on_failure: OnFailure::Restart,
    };
    assert_eq!(health("{test: a && b}").as_deref(), Some(&default));
    assert_eq!(health("{test: [CMD-SHELL, a && b]}").as_deref(), Some(&default));
    let full = "{test: [CMD, a, b c], interval: 1m30s, timeout: 10s, retries: 5, start_period: 40s, \
                start_interval: 1s, on_failure: notify}";
    let expected = HealthCheck {
        probe: command(&["a", "b c"]),
        interval: 90_000,
        timeout: 10_000,
        retries: 5,
        start_period: 40_000,
        start_interval: 1_000,
        on_failure: OnFailure::Notify,
    };
    assert_eq!(health(full).as_deref(), Some(&expected));
    for none in ["{test: [NONE]}", "{disable: true}", "{test: a, disable: true}"] {
        assert_eq!(health(none), None, "{none}");
    }
    let watchdog = |text: &str| good(&format!("command: a\nwatchdog: {text}")).watchdog.unwrap();
    let of = |limit, on_failure| Watchdog { limit, on_failure };
    assert_eq!(watchdog("30"), of(30_000, OnFailure::Restart));
    assert_eq!(watchdog("{timeout: 1s, on_failure: stop}"), of(1_000, OnFailure::Stop));
}

#[test]
fn the_policy_no_means_no_quoted_or_not() {
    for (word, policy, attempts) in [
        ("no", RestartPolicy::No, 10),
        ("\"no\"", RestartPolicy::No, 10),
        ("false", RestartPolicy::No, 10),
        ("on-failure", RestartPolicy::OnFailure, 10),
        ("on-failure:0", RestartPolicy::OnFailure, 0),
        ("always", RestartPolicy::Always, 10),
        ("unless-stopped", RestartPolicy::Always, 10),
    ] {
        let unit = good(&format!("command: a\nrestart: {word}\n"));
        assert_eq!((unit.restart.policy, unit.restart.max_attempts), (policy, attempts), "{word}");
    }
    let unit = good("command: a\nrestart_delay: 5m\n");
    assert_eq!(unit.restart.max_delay, 300_000, "the longest pause is not below the first");
}

#[test]
fn yaml_itself_may_be_written_in_every_way() {
    let env = |text: &str| good(&format!("command: a\n{text}")).process.environment.clone();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(env("environment:\n- A=b=c\n- D=\n"), [pair("A", "b=c"), pair("D", "")]);
    assert_eq!(
        env("environment: {A: 'it''s', B: \"\\u00e9\"}\n"),
        [pair("A", "it's"), pair("B", "é")]
    );
    assert_eq!(
        env("environment:\n  A: &x 0x10\n  B: *x\n"),
        [pair("A", "0x10"), pair("B", "0x10")]
    );
    assert_eq!(env("environment:\n  A: !!str 1.0\n"), [pair("A", "1.0")]);
    assert_eq!(env("environment:\n  A: |\n    one\n    two\n"), [pair("A", "one\ntwo\n")]);
    let script = good("command:\n- sh\n- -c\n- |\n  set -e\n  exec app\n").command;
    assert_eq!(script.to_vec(), ["sh", "-c", "set -e\nexec app\n"]);
    let folded = good("command: >\n  app --one\n  --two\n").command;
    assert_eq!(folded.to_vec(), ["app", "--one", "--two"]);
    assert_eq!(good("\u{feff}command: a\r\nnice: 5\r\n").process.nice, Some(5));
    assert_eq!(good("%YAML 1.2\n---\ncommand: a\n...\n").command.to_vec(), ["a"]);
}

/// What is said of a template with this text, and of its instances.
fn template_mistakes(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x@.yml"), text).unwrap();
    let bad = read_directory(dir.path()).unwrap().bad;
    bad.iter().map(|bad| shown(&bad.diagnostics)).collect()
}

#[test]
fn what_starts_a_unit_reaches_its_place() {
    let unit = good(
        "command: a\nactivation: on_demand\nsockets:\n  http: 80\n  \
         control: {listen: /run/x.sock, type: seqpacket, mode: 0660, user: www, backlog: 5}\n  \
         dns: {listen: '[::1]:53/udp', ipv6_only: true, reuse_port: true, free_bind: true}\n\
         paths: {exists: /run/x, changed: [/a, /b]}\n",
    );
    let activation = unit.activation.unwrap();
    assert_eq!((activation.mode, activation.paths.len()), (Mode::OnDemand, 3));
    let shown: Vec<String> = activation.sockets.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["*:80", "/run/x.sock (seqpacket)", "[::1]:53/udp"]);
    let names: Vec<&str> = activation.sockets.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["http", "control", "dns"]);
    let [http, control, dns] = &activation.sockets[..] else { panic!("three") };
    assert_eq!((http.mode, http.backlog, http.reuse_port), (0o666, None, false));
    assert_eq!((control.mode, control.backlog), (0o660, Some(5)));
    assert_eq!((control.user.as_deref(), control.group.as_deref()), (Some("www"), None));
    assert!(dns.ipv6_only && dns.reuse_port && dns.free_bind);

    let unit = good(
        "command: a\ntimer:\n- daily\n- {every: 1h, after_boot: 5m, persistent: true, jitter: 30}\n",
    );
    assert_eq!(unit.kind, Kind::Oneshot { remain_after_exit: false });
    let timers = &unit.activation.unwrap().timers;
    let shown: Vec<String> = timers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["daily", "every 1h", "5m after boot"]);
    assert_eq!((timers[0].persistent, timers[0].jitter), (false, 0));
    assert_eq!((timers[2].persistent, timers[2].jitter), (true, 30_000));
}

#[test]
fn every_example_of_a_key_is_read() {
    for key in about() {
        for example in key.examples {
            let context = match key.name {
                "command" => "",
                "activation" => "command: a\nsockets: {http: 80}\n",
                "remain_after_exit" => "command: a\ntype: oneshot\n",
                "instances" => "command: a\nparameters: {baud: 1}\n",
                _ => "command: a\n",
            };
            if ["parameters", "instances"].contains(&key.name) {
                let text = format!("{context}{}: {example}\n", key.name);
                assert_eq!(template_mistakes(&text), "", "{text}");
                continue;
            }
            good(&format!("{context}{}: {example}\n", key.name));
        }
    }
}

/// A mapping has its examples in backticks, and no `|` may end a cell.
fn row(key: &About) -> String {
    let examples: Vec<String> = key.examples.iter().map(|text| format!("`{text}`")).collect();
    let cells = [
        format!("`{}`", key.name),
        format!("{}{}", key.help, key.note),
        key.default.to_owned(),
        examples.join(" or "),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// With `BLESS=1` in the environment the table is written instead of compared.
#[test]
fn the_table_of_keys_in_the_readme_is_that_of_the_reader() {
    const MARKS: (&str, &str) = ("<!-- keys -->\n", "<!-- /keys -->\n");
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(MARKS.0).expect("README has <!-- keys -->");
    let (found, after) = rest.split_once(MARKS.1).expect("README has <!-- /keys -->");
    let rows: String = about().map(|key| row(&key)).collect();
    let table = format!("| key | what it is for | default | example |\n|---|---|---|---|\n{rows}");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1)).unwrap();
    } else {
        assert_eq!(found, table, "renew it with: BLESS=1 cargo test --test units readme");
    }
}
