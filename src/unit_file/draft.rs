//! [`Draft`]: what the keys said, before the checks that concern several of them.

use std::path::{Path, PathBuf};

use thin_vec::ThinVec;

use super::activation::ActivationDraft;
use super::common::{HOOKS, LIMITS, PROCESS, RESTART, STOP};
use super::diagnostic::{Place, Report};
use super::hooks;
use super::identity::Identity;
use super::ready::Care;
use super::service::RestartWord;
use crate::supervision::condition::Entry;
use crate::supervision::hooks::{Hook, Hooks};
use crate::supervision::name::UnitName;
use crate::supervision::unit::{
    KillMode, Kind, Limits, Millis, Need, Process, Reload, Restart, RestartPolicy, Stdin, Stop,
    Unit,
};

/// The values of the keys that were written; absent ones are `None` or empty.
#[derive(Default)]
pub(super) struct Draft {
    /// The keys that were written, and where.
    pub seen: Vec<(&'static str, Place)>,
    /// Whether a diagnostic already tells how to write the command.
    pub command_missed: bool,
    pub command: Option<Vec<String>>,
    pub description: Option<String>,
    pub kind: Option<Kind>,
    pub remain_after_exit: Option<bool>,
    pub restart: Option<RestartWord>,
    pub restart_delay: Option<Millis>,
    pub restart_max_delay: Option<Millis>,
    pub restart_max_attempts: Option<u32>,
    pub restart_window: Option<Millis>,
    pub needs: Vec<Need>,
    pub after: Vec<UnitName>,
    pub conflicts: Vec<UnitName>,
    pub conditions: Vec<Entry>,
    pub start_pre: Vec<hooks::Draft>,
    pub start_post: Vec<hooks::Draft>,
    pub stop_post: Vec<hooks::Draft>,
    pub pid_file: Option<PathBuf>,
    pub stop_signal: Option<i32>,
    pub stop_command: Option<Vec<String>>,
    pub stop_grace_period: Option<Millis>,
    pub kill_mode: Option<KillMode>,
    pub reload_command: Option<Vec<String>>,
    pub reload_signal: Option<i32>,
    pub start_timeout: Option<Option<Millis>>,
    pub user: Option<Identity>,
    pub tty: Option<PathBuf>,
    pub process: Process,
    pub limits: Limits,
    pub enabled: Option<bool>,
    pub delegate: Option<bool>,
    pub care: Care,
    pub activation: ActivationDraft,
}

impl Draft {
    /// Fills in the defaults and checks what several keys say together. The unit is only good
    /// where no diagnostic was raised; `None` means there was no command to build one from.
    pub fn finish(mut self, name: UnitName, file: &Path, report: &mut Report<'_>) -> Option<Unit> {
        let kind = self.finish_kind(report);
        let restart = self.finish_restart(kind, report);
        let reload = self.finish_reload(report);
        self.finish_identity(report);
        let activation = self.finish_activation(kind, report);
        if let Some(path) = self.tty.take() {
            self.process.stdin = Stdin::Tty(path);
        }
        if self.command.is_none() && !self.command_missed && self.place("command").is_none() {
            report.at_or_file(None, "there is no command; expected command: PROGRAM ARGUMENTS");
        }
        let default = match kind {
            Kind::Oneshot { .. } => None,
            _ => Some(90_000),
        };
        let start_timeout = self.start_timeout.unwrap_or(default);
        let usual = Stop::default();
        let grace = self.stop_grace_period.unwrap_or(usual.grace);
        let hooks = self.finish_hooks(start_timeout, grace);
        if let Some(at) = self.conflicts.iter().position(|other| *other == name) {
            self.complain("conflicts", report, "a unit cannot conflict with itself; remove it");
            self.conflicts.remove(at);
        }
        let mut unit = Unit {
            name,
            source: file.into(),
            drop_ins: ThinVec::new(),
            description: self.description.take().unwrap_or_default().into(),
            kind,
            ready: None,
            health: None,
            watchdog: None,
            command: self.command.take()?.into(),
            stop: STOP.share(Stop {
                command: self.stop_command.take(),
                signal: self.stop_signal.unwrap_or(usual.signal),
                grace,
                kill_mode: self.kill_mode.unwrap_or(usual.kill_mode),
            }),
            reload: reload.map(Box::new),
            restart: RESTART.share(restart),
            start_timeout,
            needs: std::mem::take(&mut self.needs).into(),
            after: std::mem::take(&mut self.after).into(),
            conflicts: std::mem::take(&mut self.conflicts).into(),
            conditions: std::mem::take(&mut self.conditions).into(),
            hooks: HOOKS.share(hooks),
            pid_file: self.pid_file.take().map(PathBuf::into_boxed_path),
            enabled: self.enabled.unwrap_or(true),
            activation,
            process: PROCESS.share(std::mem::take(&mut self.process)),
            limits: LIMITS.share(std::mem::take(&mut self.limits)),
            delegate: self.delegate.unwrap_or(false),
        };
        self.finish_care(&mut unit, report);
        Some(unit)
    }

    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.seen.iter().find(|(name, _)| *name == key).map(|&(_, place)| place)
    }

    /// Raises a diagnostic at a key that was written.
    pub(super) fn complain(&self, key: &'static str, report: &mut Report<'_>, message: &str) {
        if let Some(place) = self.place(key) {
            report.inside(key, |report| report.at(place, message));
        }
    }

    fn finish_kind(&self, report: &mut Report<'_>) -> Kind {
        match self.kind {
            Some(Kind::Oneshot { .. }) => {
                Kind::Oneshot { remain_after_exit: self.remain_after_exit.unwrap_or(false) }
            }
            // What is due is work that ends.
            None if self.place("timer").is_some() && self.place("type").is_none() => {
                Kind::Oneshot { remain_after_exit: self.remain_after_exit.unwrap_or(false) }
            }
            kind => {
                // An unreadable type has its own diagnostic; it may well have meant oneshot.
                if kind.is_some() || self.place("type").is_none() {
                    let message = "only a oneshot can remain; add type: oneshot, or remove this";
                    self.complain("remain_after_exit", report, message);
                }
                kind.unwrap_or(Kind::Auto)
            }
        }
    }

    fn finish_restart(&self, kind: Kind, report: &mut Report<'_>) -> Restart {
        let oneshot = matches!(kind, Kind::Oneshot { .. });
        let usual = Restart::default();
        let default = if oneshot { RestartPolicy::No } else { usual.policy };
        let word = self.restart.unwrap_or(RestartWord { policy: default, attempts: None });
        if oneshot && word.policy == RestartPolicy::Always {
            let message = "a oneshot that is always started again is never done; \
                           expected no or on-failure";
            self.complain("restart", report, message);
        }
        if word.attempts.is_some() && self.restart_max_attempts.is_some() {
            let message = "on-failure:N already says how often; remove one of them";
            self.complain("restart_max_attempts", report, message);
        }
        let delay = self.restart_delay.unwrap_or(usual.delay);
        if self.restart_max_delay.is_some_and(|max| max < delay) {
            let message = "the longest pause is shorter than the first, restart_delay; \
                           expected at least as much";
            self.complain("restart_max_delay", report, message);
        }
        Restart {
            policy: word.policy,
            delay,
            max_delay: self.restart_max_delay.unwrap_or(delay.max(usual.max_delay)),
            max_attempts: word.attempts.or(self.restart_max_attempts).unwrap_or(usual.max_attempts),
            healthy_after: self.restart_window.unwrap_or(usual.healthy_after),
        }
    }

    fn finish_reload(&mut self, report: &mut Report<'_>) -> Option<Reload> {
        if self.place("reload_command").is_some() && self.place("reload_signal").is_some() {
            let message = "there is a reload_command too; expected only one of them";
            self.complain("reload_signal", report, message);
        }
        match self.reload_command.take() {
            Some(command) => Some(Reload::Command(command)),
            None => self.reload_signal.map(Reload::Signal),
        }
    }

    /// Hooks without a time-out of their own take that of what they belong to.
    fn finish_hooks(&mut self, start_timeout: Option<Millis>, grace: Millis) -> Hooks {
        let finish = |drafts: &mut Vec<hooks::Draft>, default| {
            let drafts = std::mem::take(drafts).into_iter();
            let hooks = drafts.map(|hooks::Draft { command, timeout, ignore_failure }| Hook {
                command,
                timeout: timeout.unwrap_or(default),
                ignore_failure,
            });
            hooks.collect()
        };
        Hooks {
            start_pre: finish(&mut self.start_pre, start_timeout),
            start_post: finish(&mut self.start_post, start_timeout),
            stop_post: finish(&mut self.stop_post, Some(grace)),
        }
    }

    fn finish_identity(&mut self, report: &mut Report<'_>) {
        let Some(Identity { user, group }) = self.user.take() else {
            return;
        };
        if group.is_some() && self.place("group").is_some() {
            let message = "user already names a group after its colon; remove one of them";
            self.complain("group", report, message);
        }
        self.process.user = Some(user);
        self.process.group = group.or(self.process.group.take());
    }
}
