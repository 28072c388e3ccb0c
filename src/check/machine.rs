//! What this machine lacks of what units need: a look at it, each thing once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{io, iter};

use super::Finding;
use crate::kernel::env_file;
use crate::kernel::executable::{self, Unfit};
use crate::kernel::program::{self, DEFAULT_PATH, PrepareError};
use crate::supervision::hooks::Hook;
use crate::supervision::unit::{Probe, Ready, Reload, Stdin, Unit};
use crate::unit_file::{At, Severity};
use crate::words::words_of;

/// What is said about a program.
type Verdict = Option<(Severity, String)>;

/// What was seen of the machine so far.
#[derive(Default)]
pub(super) struct Machine {
    /// By program and PATH.
    programs: HashMap<(String, String), Verdict>,
    /// By user and group.
    ids: HashMap<(Option<String>, Option<String>), Option<PrepareError>>,
    /// Whether a path is a directory, and why not.
    directories: HashMap<PathBuf, Option<String>>,
}

impl Machine {
    /// What a start of this unit would not find.
    pub fn findings(&mut self, unit: &Unit) -> Vec<Finding> {
        let mut found = Vec::new();
        let path = environment(unit, &mut found);
        for (keys, command) in commands(unit) {
            found.extend(command.first().and_then(|program| self.program(keys, program, &path)));
        }
        found.extend(self.ids(unit));
        if let Some(dir) = &unit.process.working_dir {
            let at = At::value(&["working_dir"]);
            let tell = |why| Finding::error(at, format!("{why}; a start fails until there is one"));
            found.extend(self.no_directory(dir).map(tell));
        }
        if let Some(parent) = unit.pid_file.as_deref().and_then(Path::parent) {
            let at = At::value(&["pid_file"]);
            let tell = |why| {
                Finding::warning(at, format!("{why}; the daemon can write it once there is one"))
            };
            found.extend(self.no_directory(parent).map(tell));
        }
        if let Stdin::Tty(tty) = &unit.process.stdin {
            let at = At::value(&["tty"]);
            let tell =
                |why| Finding::warning(at, format!("{why}; a start fails until there is one"));
            found.extend(no_terminal(tty).map(tell));
        }
        found
    }

    fn program(&mut self, keys: Keys, program: &str, path: &str) -> Option<Finding> {
        let known = self.programs.entry((program.to_owned(), path.to_owned()));
        let (severity, message) = known.or_insert_with(|| look_at(program, path)).clone()?;
        Some(Finding { severity, at: At::part(keys, program), message })
    }

    fn ids(&mut self, unit: &Unit) -> Option<Finding> {
        let (user, group) = (&unit.process.user, &unit.process.group);
        let known = self.ids.entry((user.clone(), group.clone()));
        let check = || program::check_ids(user.as_deref(), group.as_deref()).err();
        let wrong = known.or_insert_with(check).as_ref()?;
        let is_group = match wrong {
            PrepareError::NoGroup(_) => true,
            PrepareError::LookUp { name, .. } | PrepareError::BadId(name) => {
                Some(name) == group.as_ref()
            }
            PrepareError::NoUser(_)
            | PrepareError::GroupNeeded(_)
            | PrepareError::NoCommand
            | PrepareError::Nul(_) => false,
        };
        let at = if is_group {
            // It may stand behind the colon of the user.
            At::part(&["group", "user"], group.as_deref().unwrap_or_default())
        } else {
            At::part(&["user"], user.as_deref().unwrap_or_default())
        };
        Some(Finding::error(at, format!("{wrong}, so every start fails")))
    }

    /// Why a path is no directory.
    fn no_directory(&mut self, path: &Path) -> Option<&str> {
        let known = self.directories.entry(path.to_owned());
        let look = || match path.metadata() {
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => Some(format!("{} is no directory", path.display())),
            Err(error) => Some(missing("directory", path, &error)),
        };
        known.or_insert_with(look).as_deref()
    }
}

/// The keys that a value may stand under.
type Keys = &'static [&'static str];

/// The commands of a unit, with their keys.
fn commands(unit: &Unit) -> Vec<(Keys, Cow<'_, [String]>)> {
    let reload = unit.reload.as_deref().and_then(|reload| match reload {
        Reload::Command(command) => Some(&**command),
        Reload::Signal(_) => None,
    });
    let all: [(Keys, Option<&[String]>); 2] =
        [(&["stop_command"], unit.stop.command.as_deref()), (&["reload_command"], reload)];
    let hooks: [(Keys, &[Hook]); 3] = [
        (&["start_pre"], &unit.hooks.start_pre),
        (&["start_post"], &unit.hooks.start_post),
        (&["stop_post"], &unit.hooks.stop_post),
    ];
    let hooks = hooks
        .into_iter()
        .flat_map(|(keys, hooks)| hooks.iter().map(move |hook| (keys, hook.command.as_slice())));
    let ready = match unit.ready.as_deref() {
        Some(Ready::Polled(polled)) => of_probe(&polled.probe),
        _ => None,
    };
    let health = unit.health.as_ref().and_then(|check| of_probe(&check.probe));
    let looks: [(Keys, Option<&[String]>); 2] = [(&["ready"], ready), (&["healthcheck"], health)];
    let other = all.into_iter().chain(looks);
    let other = other.filter_map(|(keys, command)| Some((keys, command?)));
    let other = other.chain(hooks).map(|(keys, command)| (keys, Cow::Borrowed(command)));
    let first: (Keys, _) = (&["command"], Cow::Owned(unit.command.to_vec()));
    iter::once(first).chain(other).collect()
}

fn of_probe(probe: &Probe) -> Option<&[String]> {
    match probe {
        Probe::Command(command) => Some(command),
        Probe::PidFile | Probe::Tcp(_) | Probe::Http(_) => None,
    }
}

/// The PATH that a start would have, and what is wrong with the files it would come from.
fn environment(unit: &Unit, found: &mut Vec<Finding>) -> String {
    let mut path = None;
    let mut take = |pairs: &[(String, String)]| {
        let last = pairs.iter().rev().find(|(name, _)| name == "PATH");
        path = last.map(|(_, value)| value.clone()).or(path.take());
    };
    for file in &unit.process.env_files {
        let at = || At::part(&["env_file"], file.path.display().to_string());
        match env_file::read(&file.path) {
            Ok(pairs) => take(&pairs),
            Err(None) if !file.required => {}
            Err(None) => {
                let message = format!(
                    "there is no file {}; a start fails until there is one; \
                     write {{path: ..., required: false}} if it can do without",
                    file.path.display()
                );
                found.push(Finding::error(at(), message));
            }
            Err(Some(why)) => {
                let path = file.path.display();
                let message = format!("{path}: {why}, so every start fails");
                found.push(Finding::error(at(), message));
            }
        }
    }
    take(&unit.process.environment);
    path.unwrap_or_else(|| DEFAULT_PATH.to_owned())
}

fn look_at(program: &str, path: &str) -> Verdict {
    let unfit = executable::find(program, path).err()?;
    Some(match &unfit {
        // What binfmt_misc knows, and what only another user may see, can still be run.
        Unfit::Format(_) | Unfit::Unknown { .. } => (Severity::Warning, unfit.to_string()),
        Unfit::Missing(_)
        | Unfit::NotInPath { .. }
        | Unfit::NoFile { .. }
        | Unfit::NotExecutable { .. }
        | Unfit::Interpreter { .. } => (Severity::Error, unfit.to_string()),
    })
}

fn no_terminal(path: &Path) -> Option<String> {
    match path.metadata() {
        Ok(metadata) if metadata.file_type().is_char_device() => None,
        Ok(_) => Some(format!("{} is no terminal", path.display())),
        Err(error) => Some(missing("terminal", path, &error)),
    }
}

fn missing(what: &str, path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            format!("there is no {what} {path}")
        }
        _ => format!("{path} cannot be examined: {}", words_of(error)),
    }
}
