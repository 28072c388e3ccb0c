//! What differs between two units, key by key, and when each difference counts: at once, also for
//! a service that lives, or from its next start on.
//!
//! The one table of that is [`keys`]; what a living service follows ([`in_place`]) is held against
//! it by a test. Both take a unit apart without `..`, so that a new key does not build before
//! somebody has decided.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::unit::{
    Condition, KillMode, Kind, Limits, Millis, Need, Process, Reload, Restart, RestartPolicy,
    Stdin, Stop, Unit,
};
use super::why::SignalName;

/// When a changed key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once, also for a service that lives.
    AtOnce,
    /// From the next start on.
    NextStart,
}

/// A key whose value differs, in the words of unit files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key; for a variable of the environment `environment.NAME`.
    pub key: String,
    /// The value before; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// The value now; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// When it counts.
    pub when: When,
}

impl KeyChange {
    /// What is shown in the place of a value that not everybody may see.
    pub const HIDDEN: &str = "(hidden)";

    /// Takes away what may be a secret: values of the environment. That they differ stays.
    pub fn hide_secrets(&mut self) {
        if self.key.starts_with(ENVIRONMENT) {
            for value in [&mut self.old, &mut self.new].into_iter().flatten() {
                Self::HIDDEN.clone_into(value);
            }
        }
    }
}

const ENVIRONMENT: &str = "environment.";

/// The resources of setrlimit(2) by their numbers (`asm-generic/resource.h`).
const RESOURCES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// The keys in which two units differ, in the order of the table.
#[must_use]
pub fn diff(old: &Unit, new: &Unit) -> Vec<KeyChange> {
    if old == new {
        return Vec::new();
    }
    let (old, new) = (keys(old), keys(new));
    let mut values: BTreeMap<&str, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (key, _, value) in &old {
        values.entry(key).or_default().0 = Some(value);
    }
    for (key, _, value) in &new {
        values.entry(key).or_default().1 = Some(value);
    }
    let mut changes: Vec<KeyChange> = Vec::new();
    for (key, when, _) in new.iter().chain(&old) {
        // Each key once: the first to ask takes it.
        let Some((old, new)) = values.remove(key.as_str()) else { continue };
        if old != new {
            let (old, new) = (old.cloned(), new.cloned());
            changes.push(KeyChange { key: key.clone(), old, new, when: *when });
        }
    }
    changes
}

/// What a service that lives by `current` follows at once when its unit becomes `newest`.
#[must_use]
pub fn in_place(current: &Unit, newest: &Unit) -> Unit {
    let Unit {
        name,
        source,
        description,
        kind: _,
        command: _,
        stop,
        reload,
        restart,
        start_timeout,
        needs,
        after,
        pid_file: _,
        enabled,
        process: _,
        limits,
        delegate: _,
        activation: _,
    } = newest.clone();
    Unit {
        name,
        source,
        description,
        kind: current.kind,
        command: current.command.clone(),
        stop,
        reload,
        restart,
        start_timeout,
        needs,
        after,
        pid_file: current.pid_file.clone(),
        enabled,
        process: current.process.clone(),
        limits,
        delegate: current.delegate,
        activation: current.activation.clone(),
    }
}

/// A key, when a change of it counts, and its value.
type Key = (String, When, String);

/// Every key of a unit that has a value. Two units differ in a key exactly when these texts do.
fn keys(unit: &Unit) -> Vec<Key> {
    let Unit {
        name: _,
        source,
        description,
        kind,
        command,
        stop: Stop { command: stop_command, signal, grace, kill_mode },
        reload,
        restart: Restart { policy, delay, max_delay, max_attempts, healthy_after },
        start_timeout,
        needs,
        after,
        pid_file,
        enabled,
        process,
        limits: Limits { memory_bytes, pids, milli_cpus },
        delegate,
        activation,
    } = unit;
    let mut keys = Keys(Vec::new());
    keys.at_once("(file)", Some(path(source)));
    keys.at_once("description", (!description.is_empty()).then(|| description.clone()));
    keys.at_start("command", Some(words(command)));
    keys.at_start("type", Some(kind.word().to_owned()));
    if let Kind::Oneshot { remain_after_exit } = kind {
        keys.at_start("remain_after_exit", Some(remain_after_exit.to_string()));
    }
    keys.at_once("enabled", Some(enabled.to_string()));
    keys.at_once("depends_on", list(needs.iter().map(need)));
    keys.at_once("after", list(after.iter().map(ToString::to_string)));
    keys.at_once("restart", Some(policy_word(*policy).to_owned()));
    keys.at_once("restart_delay", Some(duration(*delay)));
    keys.at_once("restart_max_delay", Some(duration(*max_delay)));
    keys.at_once("restart_max_attempts", Some(max_attempts.to_string()));
    keys.at_once("restart_window", Some(duration(*healthy_after)));
    keys.at_once("start_timeout", Some(start_timeout.map_or("none".to_owned(), duration)));
    keys.at_once("stop_signal", Some(signal_word(*signal)));
    keys.at_once("stop_command", stop_command.as_deref().map(words));
    keys.at_once("stop_grace_period", Some(duration(*grace)));
    keys.at_once("kill_mode", Some(kill_mode_word(*kill_mode).to_owned()));
    match reload {
        None => {}
        Some(Reload::Signal(signal)) => keys.at_once("reload_signal", Some(signal_word(*signal))),
        Some(Reload::Command(command)) => keys.at_once("reload_command", Some(words(command))),
    }
    keys.at_once("mem_limit", memory_bytes.map(|bytes| bytes.to_string()));
    keys.at_once("pids_limit", pids.map(|count| count.to_string()));
    keys.at_once("cpus", milli_cpus.map(cpus));
    keys.at_start("pid_file", pid_file.as_deref().map(path));
    keys.at_start("delegate", Some(delegate.to_string()));
    keys.of_activation(activation.as_deref());
    keys.of_process(process);
    keys.0
}

pub(super) struct Keys(Vec<Key>);

impl Keys {
    fn at_once(&mut self, key: &str, value: Option<String>) {
        self.0.extend(value.map(|value| (key.to_owned(), When::AtOnce, value)));
    }

    pub(super) fn at_start(&mut self, key: &str, value: Option<String>) {
        self.0.extend(value.map(|value| (key.to_owned(), When::NextStart, value)));
    }

    fn of_process(&mut self, process: &Process) {
        let Process {
            environment,
            env_files,
            working_dir,
            user,
            group,
            umask,
            ulimits,
            nice,
            oom_score_adj,
            stdin,
        } = process;
        for (name, value) in environment {
            self.at_start(&format!("{ENVIRONMENT}{name}"), Some(value.clone()));
        }
        let files = env_files.iter().map(|file| {
            let (shown, optional) =
                (path(&file.path), if file.required { "" } else { " (not required)" });
            format!("{shown}{optional}")
        });
        self.at_start("env_file", list(files));
        self.at_start("working_dir", working_dir.as_deref().map(path));
        self.at_start("user", user.clone());
        self.at_start("group", group.clone());
        self.at_start("umask", umask.map(|mask| format!("{mask:04o}")));
        for limit in ulimits {
            let number = limit.resource.to_string();
            let known = usize::try_from(limit.resource).ok().and_then(|at| RESOURCES.get(at));
            let key = format!("ulimits.{}", known.copied().unwrap_or(&number));
            let bound = |value: u64| match value {
                u64::MAX => "unlimited".to_owned(),
                value => value.to_string(),
            };
            self.at_start(&key, Some(format!("{}:{}", bound(limit.soft), bound(limit.hard))));
        }
        self.at_start("nice", nice.map(|value| value.to_string()));
        self.at_start("oom_score_adj", oom_score_adj.map(|value| value.to_string()));
        if let Stdin::Tty(tty) = stdin {
            self.at_start("tty", Some(path(tty)));
        }
    }
}

pub(super) fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| items.join(", "))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The words of a command, each in quotes that needs them.
fn words(words: &[String]) -> String {
    let plain = |word: &str| {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"%+,-./:=@_".contains(&b);
        !word.is_empty() && word.bytes().all(safe)
    };
    let quoted = words.iter().map(|word| match word {
        word if plain(word) => word.clone(),
        word => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// `db`, `db (service_started)`, `db (service_healthy, not required)`.
fn need(need: &Need) -> String {
    let condition = match need.condition {
        Condition::ServiceStarted => "service_started",
        Condition::ServiceHealthy => "service_healthy",
        Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
    };
    match (need.condition, need.required) {
        (Condition::ServiceHealthy, true) => need.unit.to_string(),
        (_, true) => format!("{} ({condition})", need.unit),
        (_, false) => format!("{} ({condition}, not required)", need.unit),
    }
}

/// A duration as unit files have it, exact: `90s`, `1500ms`.
pub(super) fn duration(span: Millis) -> String {
    if span.is_multiple_of(1_000) { format!("{}s", span / 1_000) } else { format!("{span}ms") }
}

/// Thousandths of a CPU as unit files have them: `1.5`.
fn cpus(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1_000, milli % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn signal_word(signal: i32) -> String {
    let shown = SignalName(signal).to_string();
    shown.strip_prefix("SIG").map_or_else(|| signal.to_string(), str::to_owned)
}

const fn policy_word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Always => "always",
    }
}

const fn kill_mode_word(mode: KillMode) -> &'static str {
    match mode {
        KillMode::ControlGroup => "control-group",
        KillMode::Mixed => "mixed",
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::rig::{after, need, needing, unit};
    use super::super::unit::{
        Condition, EnvFile, KillMode, Kind, Limits, Process, Reload, Restart, RestartPolicy, Stdin,
        Stop, Ulimit, Unit,
    };
    use super::{KeyChange, When, diff, in_place};

    fn restart(change: impl Fn(&mut Restart)) -> Unit {
        let mut unit = unit();
        change(&mut unit.restart);
        unit
    }

    fn stop(change: impl Fn(&mut Stop)) -> Unit {
        let mut unit = unit();
        change(&mut unit.stop);
        unit
    }

    fn limits(change: impl Fn(&mut Limits)) -> Unit {
        let mut unit = unit();
        change(&mut unit.limits);
        unit
    }

    fn process(change: impl Fn(&mut Process)) -> Unit {
        let mut unit = unit();
        change(Arc::make_mut(&mut unit.process));
        unit
    }

    /// A unit for each key, which differs from `unit()` in it alone.
    fn each_key() -> Vec<(&'static str, Unit)> {
        let started = need("db", Condition::ServiceStarted, false);
        let env_files = vec![EnvFile { path: "/e".into(), required: false }];
        vec![
            ("(file)", Unit { source: PathBuf::from("/run/web.yml"), ..unit() }),
            ("description", Unit { description: "Web".into(), ..unit() }),
            ("command", Unit { command: vec!["/bin/web".into(), "a b".into()], ..unit() }),
            ("type", Unit { kind: Kind::Notify, ..unit() }),
            ("enabled", Unit { enabled: false, ..unit() }),
            ("depends_on", needing(unit(), &["db"])),
            ("depends_on", Unit { needs: vec![started], ..unit() }),
            ("after", after(unit(), &["db"])),
            ("restart", restart(|it| it.policy = RestartPolicy::No)),
            ("restart_delay", restart(|it| it.delay = 1_500)),
            ("restart_max_delay", restart(|it| it.max_delay = 2_000)),
            ("restart_max_attempts", restart(|it| it.max_attempts = 0)),
            ("restart_window", restart(|it| it.healthy_after = 1)),
            ("start_timeout", Unit { start_timeout: None, ..unit() }),
            ("stop_signal", stop(|it| it.signal = 3)),
            ("stop_command", stop(|it| it.command = Some(vec!["/bin/stop".into()]))),
            ("stop_grace_period", stop(|it| it.grace = 1)),
            ("kill_mode", stop(|it| it.kill_mode = KillMode::Mixed)),
            ("reload_signal", Unit { reload: Some(Reload::Signal(1)), ..unit() }),
            (
                "reload_command",
                Unit { reload: Some(Reload::Command(vec!["/bin/r".into()])), ..unit() },
            ),
            ("mem_limit", limits(|it| it.memory_bytes = Some(1))),
            ("pids_limit", limits(|it| it.pids = Some(1))),
            ("cpus", limits(|it| it.milli_cpus = Some(1_500))),
            ("pid_file", Unit { pid_file: Some("/run/p".into()), ..unit() }),
            ("delegate", Unit { delegate: true, ..unit() }),
            ("environment.A", process(|it| it.environment = vec![("A".into(), "1".into())])),
            ("env_file", process(|it| it.env_files.clone_from(&env_files))),
            ("working_dir", process(|it| it.working_dir = Some("/srv".into()))),
            ("user", process(|it| it.user = Some("www".into()))),
            ("group", process(|it| it.group = Some("www".into()))),
            ("umask", process(|it| it.umask = Some(0o077))),
            (
                "ulimits.nofile",
                process(|it| it.ulimits = vec![Ulimit { resource: 7, soft: 1, hard: u64::MAX }]),
            ),
            ("nice", process(|it| it.nice = Some(5))),
            ("oom_score_adj", process(|it| it.oom_score_adj = Some(1))),
            ("tty", process(|it| it.stdin = Stdin::Tty("/dev/tty1".into()))),
        ]
    }

    #[test]
    fn each_key_is_seen_alone_and_what_is_said_of_it_is_what_is_done() {
        for (key, changed) in each_key() {
            for (old, new) in [(unit(), changed.clone()), (changed, unit())] {
                let found = diff(&old, &new);
                let keys: Vec<&str> = found.iter().map(|change| change.key.as_str()).collect();
                assert_eq!(keys, [key]);
                let at_once = found[0].when == When::AtOnce;
                let expected = if at_once { new.clone() } else { old.clone() };
                assert_eq!(in_place(&old, &new), expected, "{key}");
            }
        }
    }

    #[test]
    fn what_is_left_after_a_change_in_place_counts_from_the_next_start() {
        for (key, new) in each_key() {
            let followed = in_place(&unit(), &new);
            let (done, left) = (diff(&unit(), &followed), diff(&followed, &new));
            assert!(done.iter().all(|change| change.when == When::AtOnce), "{key}: {done:?}");
            assert!(left.iter().all(|change| change.when == When::NextStart), "{key}: {left:?}");
            assert_eq!(done.len() + left.len(), 1, "{key}");
        }
    }

    #[test]
    fn values_are_shown_in_the_words_of_unit_files() {
        let shown = |old: &Unit, new: &Unit| {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            let texts = diff(old, new).into_iter();
            let texts =
                texts.map(|it| format!("{}: {} -> {}", it.key, side(&it.old), side(&it.new)));
            texts.collect::<Vec<_>>().join("; ")
        };
        let plain = unit();
        assert_eq!(
            shown(&plain, &restart(|it| (it.delay, it.max_delay) = (1_500, 2_000))),
            "restart_delay: 1s -> 1500ms; restart_max_delay: 60s -> 2s"
        );
        let told = Unit { command: vec!["sh".into(), "-c".into(), "echo 'x'".into()], ..unit() };
        assert_eq!(shown(&plain, &told), "command: /bin/web -> sh -c 'echo '\\''x'\\'''");
        assert_eq!(shown(&plain, &limits(|it| it.milli_cpus = Some(1_500))), "cpus: - -> 1.5");
        assert_eq!(shown(&plain, &limits(|it| it.milli_cpus = Some(2_000))), "cpus: - -> 2");
        assert_eq!(shown(&plain, &stop(|it| it.signal = 37)), "stop_signal: TERM -> 37");
        let old = Unit { reload: Some(Reload::Signal(1)), ..unit() };
        let new = Unit { reload: Some(Reload::Command(vec!["r".into()])), ..unit() };
        assert_eq!(shown(&old, &new), "reload_command: - -> r; reload_signal: HUP -> -");
    }

    #[test]
    fn a_secret_is_seen_to_change_and_not_what_it_is() {
        let with =
            |value: &str| process(|it| it.environment = vec![("TOKEN".into(), value.into())]);
        let mut changes = diff(&with("one"), &with("two"));
        changes.iter_mut().for_each(KeyChange::hide_secrets);
        let hidden = Some("(hidden)".to_owned());
        assert_eq!((&changes[0].old, &changes[0].new), (&hidden, &hidden));
        let mut changes = diff(&unit(), &with("one"));
        changes.iter_mut().for_each(KeyChange::hide_secrets);
        assert_eq!((&changes[0].old, &changes[0].new), (&None, &hidden));
    }
}
