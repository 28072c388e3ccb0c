//! The one table of known keys. Reading, "expected ..." and "did you mean ...?" all use it, so
//! none of them can drift from what is really read.

use super::diagnostic::{Report, quoted};
use super::draft::Draft;
use super::node::{Node, Value};
use super::scalar::{absolute_file, absolute_path, boolean, line, milli_cpus, umask, whole};
use super::{depends, duration, environment, identity, service, signal, size, ulimits};

/// One key of a unit file.
struct Key {
    name: &'static str,
    /// What it is for, in a few words.
    help: &'static str,
    /// What is expected as its value.
    form: &'static str,
    read: fn(&mut Draft, &Node, &mut Report<'_>, &str),
}

const BOOLEAN: &str = "true or false";
const NAMES: &str = "a list of unit names";
const DEPENDS_ON: &str = "a list of unit names, or a mapping of names to {condition, required}";
const ATTEMPTS: &str = "a whole number; 0 means no limit";
const ENVIRONMENT: &str = "a mapping KEY: value, or a list of KEY=value";
const ENV_FILE: &str = "an absolute path, or a list of paths or {path, required}";
const PATH: &str = "an absolute path";

#[rustfmt::skip]
const KEYS: &[Key] = &[
    Key { name: "command", help: "the program and its arguments", form: service::COMMAND,
        read: |d, n, r, _| d.command = service::command(n, r) },
    Key { name: "description", help: "one line for people", form: "one line of text",
        read: |d, n, r, form| d.description = r.scalar(n, form, line) },
    Key { name: "type", help: "how the service tells that it is up", form: service::TYPE,
        read: |d, n, r, form| d.kind = r.scalar(n, form, service::kind) },
    Key { name: "remain_after_exit", help: "whether a oneshot stays done", form: BOOLEAN,
        read: |d, n, r, form| d.remain_after_exit = r.scalar(n, form, boolean) },
    Key { name: "restart", help: "when it is started again", form: service::RESTART,
        read: |d, n, r, form| d.restart = r.scalar(n, form, service::restart) },
    Key { name: "restart_delay", help: "the first pause before a restart", form: duration::FORM,
        read: |d, n, r, form| d.restart_delay = r.scalar(n, form, duration::parse) },
    Key { name: "restart_max_delay", help: "the longest such pause", form: duration::FORM,
        read: |d, n, r, form| d.restart_max_delay = r.scalar(n, form, duration::parse) },
    Key { name: "restart_max_attempts", help: "restarts without a healthy run", form: ATTEMPTS,
        read: |d, n, r, form| d.restart_max_attempts = r.scalar(n, form, service::attempts) },
    Key { name: "restart_window", help: "how long a healthy run is", form: duration::FORM,
        read: |d, n, r, form| d.restart_window = r.scalar(n, form, duration::parse) },
    Key { name: "depends_on", help: "units that must be up first", form: DEPENDS_ON,
        read: |d, n, r, form| d.needs = depends::needs(n, r, form) },
    Key { name: "after", help: "units that go first when both start", form: NAMES,
        read: |d, n, r, form| d.after = depends::names(n, r, form) },
    Key { name: "pid_file", help: "where the daemon writes its process id", form: PATH,
        read: |d, n, r, form| d.pid_file = r.scalar(n, form, absolute_file) },
    Key { name: "stop_signal", help: "the signal that stops it", form: signal::FORM,
        read: |d, n, r, form| d.stop_signal = r.scalar(n, form, signal::parse) },
    Key { name: "stop_command", help: "run before the stop signal", form: service::COMMAND,
        read: |d, n, r, _| d.stop_command = service::command(n, r) },
    Key { name: "stop_grace_period", help: "the time before it is killed", form: duration::FORM,
        read: |d, n, r, form| d.stop_grace_period = r.scalar(n, form, duration::parse) },
    Key { name: "kill_mode", help: "who gets the stop signal", form: service::KILL_MODE,
        read: |d, n, r, form| d.kill_mode = r.scalar(n, form, service::kill_mode) },
    Key { name: "reload_command", help: "makes it read its files again", form: service::COMMAND,
        read: |d, n, r, _| d.reload_command = service::command(n, r) },
    Key { name: "reload_signal", help: "makes it read its files again", form: signal::FORM,
        read: |d, n, r, form| d.reload_signal = r.scalar(n, form, service::reload_signal) },
    Key { name: "start_timeout", help: "how long a start may take", form: service::START_TIMEOUT,
        read: |d, n, r, form| d.start_timeout = r.scalar(n, form, duration::parse_or_none) },
    Key { name: "environment", help: "its environment variables", form: ENVIRONMENT,
        read: |d, n, r, form| d.process.environment = environment::variables(n, r, form) },
    Key { name: "env_file", help: "files of environment variables", form: ENV_FILE,
        read: |d, n, r, form| d.process.env_files = environment::files(n, r, form) },
    Key { name: "working_dir", help: "its working directory", form: PATH,
        read: |d, n, r, form| d.process.working_dir = r.scalar(n, form, absolute_path) },
    Key { name: "user", help: "the user it runs as", form: identity::USER,
        read: |d, n, r, form| d.user = r.scalar(n, form, identity::user) },
    Key { name: "group", help: "the group it runs as", form: identity::GROUP,
        read: |d, n, r, form| d.process.group = r.scalar(n, form, identity::name) },
    Key { name: "umask", help: "its file mode mask", form: "an octal number such as 0022 or 077",
        read: |d, n, r, form| d.process.umask = r.scalar(n, form, umask) },
    Key { name: "ulimits", help: "its resource limits", form: ulimits::FORM,
        read: |d, n, r, form| d.process.ulimits = ulimits::limits(n, r, form) },
    Key { name: "nice", help: "its priority", form: "a number from -20 to 19",
        read: |d, n, r, form| d.process.nice = r.scalar(n, form, |t| small(t, -20, 19)) },
    Key { name: "oom_score_adj", help: "when the kernel kills it", form: "a number from -1000 to 1000",
        read: |d, n, r, form| d.process.oom_score_adj = r.scalar(n, form, |t| small(t, -1000, 1000)) },
    Key { name: "tty", help: "the terminal it talks to", form: "the path of a terminal such as /dev/tty1",
        read: |d, n, r, form| d.tty = r.scalar(n, form, absolute_file) },
    Key { name: "mem_limit", help: "the most memory it may use", form: size::FORM,
        read: |d, n, r, form| d.limits.memory_bytes = r.scalar(n, form, size::parse) },
    Key { name: "pids_limit", help: "the most processes it may have", form: "a whole number from 1",
        read: |d, n, r, form| d.limits.pids = r.scalar(n, form, |t| whole(t, 1, 4_194_304)).map(i64::unsigned_abs) },
    Key { name: "cpus", help: "the most CPUs it may use", form: "a number from 0.01 to 10000 such as 1.5",
        read: |d, n, r, form| d.limits.milli_cpus = r.scalar(n, form, milli_cpus) },
    Key { name: "delegate", help: "whether its cgroup is its own to divide", form: BOOLEAN,
        read: |d, n, r, form| d.delegate = r.scalar(n, form, boolean) },
    Key { name: "enabled", help: "whether it starts by itself", form: BOOLEAN,
        read: |d, n, r, form| d.enabled = r.scalar(n, form, boolean) },
];

/// What to say about a key of another program's files.
enum Meant {
    Key(&'static str),
    Say(&'static str),
}

/// Keys that people bring along from Compose, systemd and others.
#[rustfmt::skip]
const FOREIGN: &[(&[&str], Meant)] = &[
    (&["ExecStart", "exec", "cmd", "run", "program", "entrypoint", "args", "start"], Meant::Key("command")),
    (&["ExecStartPre", "ExecStartPost", "ExecStopPost"],
        Meant::Say("write a unit of its own with type: oneshot, and depends_on where it is needed")),
    (&["ExecStop", "stop"], Meant::Key("stop_command")),
    (&["ExecReload", "reload"], Meant::Key("reload_command")),
    (&["KillSignal", "signal"], Meant::Key("stop_signal")),
    (&["TimeoutStopSec", "stop_timeout"], Meant::Key("stop_grace_period")),
    (&["TimeoutStartSec", "TimeoutSec", "timeout"], Meant::Key("start_timeout")),
    (&["RestartSec", "restart_sec"], Meant::Key("restart_delay")),
    (&["StartLimitBurst"], Meant::Key("restart_max_attempts")),
    (&["StartLimitIntervalSec"], Meant::Key("restart_window")),
    (&["PIDFile", "pidfile", "pid"], Meant::Key("pid_file")),
    (&["Requires", "Wants", "requires", "wants", "needs", "dependencies", "links"], Meant::Key("depends_on")),
    (&["Before", "before"], Meant::Say("write after: in the other unit instead")),
    (&["WantedBy", "autostart", "disabled"], Meant::Key("enabled")),
    (&["env", "Env", "env_vars"], Meant::Key("environment")),
    (&["EnvironmentFile", "env_files"], Meant::Key("env_file")),
    (&["WorkingDirectory", "working_directory", "cwd", "dir", "workdir"], Meant::Key("working_dir")),
    (&["LimitNOFILE", "LimitCORE", "LimitNPROC", "limits", "rlimits"], Meant::Key("ulimits")),
    (&["OOMScoreAdjust"], Meant::Key("oom_score_adj")),
    (&["MemoryMax", "MemoryLimit", "memory"], Meant::Key("mem_limit")),
    (&["TasksMax"], Meant::Key("pids_limit")),
    (&["CPUQuota", "cpu"], Meant::Key("cpus")),
    (&["TTYPath", "StandardInput"], Meant::Key("tty")),
    (&["stdin", "stdin_open"],
        Meant::Say("standard input is /dev/null; for a terminal write tty: /dev/tty1")),
    (&["StandardOutput", "StandardError", "stdout", "stderr", "logging", "log"],
        Meant::Say("output goes to the unit's log by itself")),
    (&["image", "build", "ports", "volumes", "networks", "network_mode"],
        Meant::Say("Treeward runs programs, not containers")),
    (&["container_name", "name"], Meant::Say("the file's name is the unit's name")),
    (&["services", "version"], Meant::Say("a file holds one unit, and its keys stand at the left edge")),
    (&["Unit", "Service", "Install"],
        Meant::Say("there are no sections; the keys stand at the left edge")),
];

const NO_KEY: &str = "this cannot be a key; expected a word such as command";

fn small(text: &str, lowest: i32, highest: i32) -> Result<i32, super::diagnostic::Wrong> {
    whole(text, lowest.into(), highest.into()).map(|number| number as i32)
}

/// Reads all keys of the file's root.
pub(super) fn read(root: &Node, report: &mut Report<'_>) -> Draft {
    let mut draft = Draft::default();
    let Value::Map(entries) = &root.value else {
        let (place, what) = match root.value {
            Value::Null => (None, "the file is empty".to_owned()),
            _ => (Some(root.place), format!("{} is written here", root.is_a())),
        };
        let message = format!("{what}; expected keys such as command: /usr/sbin/daemon");
        report.at_or_file(place, message);
        draft.command_missed = true;
        return draft;
    };
    for (name, value) in entries {
        if report.is_full() {
            break;
        }
        let Value::Scalar(text) = &name.value else {
            report.at(name.place, NO_KEY);
            continue;
        };
        let known = KEYS.iter().find(|key| key.name == text);
        report.inside(text, |report| match known {
            None => unknown(text, name, &mut draft, report),
            Some(key) => {
                draft.seen.push((key.name, name.place));
                read_known(key, name, value, &mut draft, report);
            }
        });
    }
    draft
}

fn read_known(key: &Key, name: &Node, value: &Node, draft: &mut Draft, report: &mut Report<'_>) {
    if matches!(value.value, Value::Null) {
        // The value's own place is empty; the name is what a person looks for.
        let form = key.form;
        report.at(name.place, format!("no value; expected {form}, or remove the key"));
    } else {
        (key.read)(draft, value, report, key.form);
    }
}

fn unknown(text: &str, name: &Node, draft: &mut Draft, report: &mut Report<'_>) {
    let foreign = FOREIGN.iter().find(|(names, _)| names.contains(&text));
    let meant = match foreign {
        Some((_, Meant::Say(advice))) => {
            return report.at(name.place, format!("unknown key; {advice}"));
        }
        Some((_, Meant::Key(known))) => Some(*known),
        None => nearest(text),
    };
    let key = meant.and_then(|known| KEYS.iter().find(|key| key.name == known));
    match key {
        Some(Key { name: known, help, .. }) => {
            draft.command_missed |= *known == "command";
            report.at(name.place, format!("unknown key; did you mean \"{known}\" ({help})?"));
        }
        None => report.at(name.place, "unknown key"),
    }
}

/// The known key that is nearest to a text, if one is near.
fn nearest(text: &str) -> Option<&'static str> {
    nearest_of(text, KEYS.iter().map(|key| key.name))
}

/// The nearest of some names: the same but for case and separators, few typing mistakes away, or one the
/// beginning of the other.
pub(super) fn nearest_of(
    text: &str,
    names: impl Iterator<Item = &'static str> + Clone,
) -> Option<&'static str> {
    if text.len() > 40 {
        return None;
    }
    let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let wanted = plain(text);
    let begins = |name: &&str| {
        let name = plain(name);
        name.len().min(wanted.len()) >= 4
            && (name.starts_with(&wanted) || wanted.starts_with(&name))
    };
    let begun = names.clone().find(begins);
    names
        .map(|name| (strsim::damerau_levenshtein(&plain(name), &wanted), name))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, name)| distance * 3 <= name.len().min(wanted.len()).min(6))
        .map(|(_, name)| name)
        .or(begun)
}

/// Checks the keys of an inner mapping such as `{path, required}`: each entry with a known name
/// goes to `read`, others raise a diagnostic.
pub(super) fn inner(
    entries: &[(Node, Node)],
    names: &'static [&'static str],
    report: &mut Report<'_>,
    mut read: impl FnMut(&'static str, &Node, &mut Report<'_>),
) {
    for (name, value) in entries {
        if report.is_full() {
            break;
        }
        let known = match &name.value {
            Value::Scalar(text) => names.iter().find(|name| *name == text),
            _ => None,
        };
        if let Some(known) = known {
            report.inside(known, |report| read(known, value, report));
            continue;
        }
        let Value::Scalar(text) = &name.value else {
            report.at(name.place, NO_KEY);
            continue;
        };
        let hint = nearest_of(text, names.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        let expected = names.join(" or ");
        report.at(name.place, format!("unknown key {}; expected {expected}{hint}", quoted(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN, KEYS, Meant, nearest};

    #[test]
    fn every_hint_names_a_key_that_exists_and_no_known_key_is_foreign() {
        for (names, meant) in FOREIGN {
            if let Meant::Key(known) = meant {
                assert!(KEYS.iter().any(|key| key.name == *known), "{known}");
            }
            for name in *names {
                assert!(KEYS.iter().all(|key| key.name != *name), "{name}");
            }
        }
    }

    #[test]
    fn typing_mistakes_find_the_key_that_was_meant() {
        for (text, known) in [
            ("comand", Some("command")),
            ("Restart", Some("restart")),
            ("depends-on", Some("depends_on")),
            ("enviroment", Some("environment")),
            ("stopSignal", Some("stop_signal")),
            ("niec", Some("nice")),
            ("depends", Some("depends_on")),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(text), known, "{text:?}");
        }
    }
}
