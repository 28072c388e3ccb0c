//! What differs between two units, key by key, and when each difference counts: at once, also for
//! a service that lives, or from its next start on.
//!
//! The one table of that is `keys`; what a living service follows (`in_place`) is held against
//! it by a test. Both take a unit apart without `..`, so that a new key does not build before
//! somebody has decided.

mod care;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::condition::Entry;
use super::hooks::{Hook, Hooks};
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
        drop_ins,
        description,
        kind: _,
        ready: _,
        health: _,
        watchdog: _,
        command: _,
        stop,
        reload,
        restart,
        start_timeout,
        needs,
        after,
        conflicts,
        conditions,
        hooks,
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
        drop_ins,
        description,
        kind: current.kind,
        ready: current.ready.clone(),
        health: current.health.clone(),
        watchdog: current.watchdog,
        command: current.command.clone(),
        stop,
        reload,
        restart,
        start_timeout,
        needs,
        after,
        conflicts,
        conditions,
        hooks: hooks_in_place(&current.hooks, &hooks),
        pid_file: current.pid_file.clone(),
        enabled,
        process: current.process.clone(),
        limits,
        delegate: current.delegate,
        activation: current.activation.clone(),
    }
}

/// What is still to run at the end is the newest; the steps of a start belong together.
fn hooks_in_place(current: &Arc<Hooks>, newest: &Arc<Hooks>) -> Arc<Hooks> {
    if current.stop_post == newest.stop_post {
        return Arc::clone(current);
    }
    Arc::new(Hooks { stop_post: newest.stop_post.clone(), ..(**current).clone() })
}

/// A key, when a change of it counts, and its value.
type Key = (String, When, String);

/// Every key of a unit that has a value. Two units differ in a key exactly when these texts do.
fn keys(unit: &Unit) -> Vec<Key> {
    let Unit {
        name: _,
        source,
        drop_ins,
        description,
        kind,
        ready,
        health,
        watchdog,
        command,
        stop,
        reload,
        restart,
        start_timeout,
        needs,
        after,
        conflicts,
        conditions,
        hooks,
        pid_file,
        enabled,
        process,
        limits,
        delegate,
        activation,
    } = unit;
    let Stop { command: stop_command, signal, grace, kill_mode } = &**stop;
    let Restart { policy, delay, max_delay, max_attempts, healthy_after } = &**restart;
    let Limits { memory_bytes, pids, milli_cpus } = &**limits;
    let mut keys = Keys(Vec::new());
    keys.at_once("(file)", Some(path(source)));
    keys.at_once("(drop-ins)", list(drop_ins.iter().map(|it| path(it))));
    keys.at_once("description", (!description.is_empty()).then(|| description.to_string()));
    keys.at_start("command", Some(words(&command.to_vec())));
    keys.at_start("type", Some(kind.word().to_owned()));
    if let Kind::Oneshot { remain_after_exit } = kind {
        keys.at_start("remain_after_exit", Some(remain_after_exit.to_string()));
    }
    keys.at_start("ready", ready.as_deref().map(care::ready));
    keys.at_start("healthcheck", health.as_deref().map(care::health));
    keys.at_start("watchdog", watchdog.map(care::watchdog));
    keys.at_once("enabled", Some(enabled.to_string()));
    keys.at_once("depends_on", list(needs.iter().map(need)));
    keys.at_once("after", list(after.iter().map(ToString::to_string)));
    keys.at_once("conflicts", list(conflicts.iter().map(ToString::to_string)));
    keys.at_once("condition", list(conditions.iter().map(Entry::written)));
    keys.at_start("start_pre", list(hooks.start_pre.iter().map(hook)));
    keys.at_start("start_post", list(hooks.start_post.iter().map(hook)));
    keys.at_once("stop_post", list(hooks.stop_post.iter().map(hook)));
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
    match reload.as_deref() {
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

/// `/usr/sbin/nginx -t (90s)`, `x (no limit, failure ignored)`.
fn hook(hook: &Hook) -> String {
    let limit = hook.timeout.map_or("no limit".to_owned(), duration);
    let ignored = if hook.ignore_failure { ", failure ignored" } else { "" };
    format!("{} ({limit}{ignored})", words(&hook.command))
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
mod tests;
