//! Keys about how a service runs: its commands, type, restarts and stops.

use super::diagnostic::{Report, Wrong, quoted};
use super::node::{Node, Value};
use super::scalar::{clean, whole};
use super::signal;
use super::words::{self, SplitError};
use crate::supervision::unit::{KillMode, Kind, RestartPolicy};

pub(super) const COMMAND: &str = "a string, or a list of strings such as [nginx, -g, daemon off;]";
pub(super) const TYPE: &str = "auto, simple, forking, oneshot or notify";
pub(super) const RESTART: &str = "no, on-failure, on-failure:N or always";
pub(super) const KILL_MODE: &str = "control-group or mixed";
pub(super) const START_TIMEOUT: &str = "a duration such as 90 or 1m30s, or none";

/// A policy, and the number behind `on-failure:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RestartWord {
    pub policy: RestartPolicy,
    pub attempts: Option<u32>,
}

/// A command: its words, never empty. The place of every bad word is reported.
pub(super) fn command(node: &Node, report: &mut Report<'_>) -> Option<Vec<String>> {
    let words = match &node.value {
        Value::Scalar(_) => match words::of(node)? {
            Ok(words) => words,
            Err(error) => {
                let key = report.key.as_deref().and_then(|key| key.rsplit('.').next());
                let message = explain(&error, key.unwrap_or("command"));
                match &error {
                    SplitError::Shell(what) | SplitError::Unclosed(what) => {
                        report.at_part(node.place, what, message);
                    }
                    SplitError::Backslash => report.at(node.place, message),
                }
                return None;
            }
        },
        Value::List(list) => {
            let words = list.iter().map(|item| argument(item, report));
            words.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => {
            report.expected(node, COMMAND);
            return None;
        }
    };
    let place = match &node.value {
        Value::List(list) => list.first().map_or(node.place, |first| first.place),
        _ => node.place,
    };
    let checked = program(words.first().map_or("", String::as_str))
        .and_then(|()| words.iter().try_for_each(|word| clean(word, "\n\t").map(drop)));
    match checked {
        Ok(()) => Some(words),
        Err(wrong) => {
            report
                .at(place, wrong.message("a program, by name or absolute path, and its arguments"));
            None
        }
    }
}

fn argument(item: &Node, report: &mut Report<'_>) -> Option<String> {
    if !matches!(item.value, Value::Scalar(_)) {
        let message = format!("{} is written here; put the argument in quotes", item.is_a());
        report.at(item.place, message);
        return None;
    }
    let text = report.scalar(item, "an argument", |text| clean(text, "\n\t"))?;
    if text == "$MAINPID" {
        report.at(item.place, MAINPID);
        return None;
    }
    Some(text)
}

const MAINPID: &str = "there is no $MAINPID; expected reload_signal: or stop_signal:, \
                       which find the main process by themselves";

/// Whether the first word can be a program.
fn program(word: &str) -> Result<(), Wrong> {
    let wrong = |what: &str| Err(Wrong::new(format!("{} {what}", quoted(word))));
    match word {
        "" => Err(Wrong::new("there is no program")),
        "exec" | "cd" | "export" | "source" | "." => {
            let instead = match word {
                "exec" => "leave it out",
                "cd" => "write working_dir: instead",
                "export" => "variables go under environment:",
                _ => "for a file of variables write env_file:",
            };
            wrong("is a word of the shell, and no shell is run").map_err(|it| it.hint(instead))
        }
        _ if word.starts_with(['-', '@', '+', '!', ':']) => {
            wrong("cannot be a program").map_err(|it| {
                it.hint("systemd's prefixes have no meaning here; a hook has ignore_failure")
            })
        }
        _ if word.starts_with('/') && !word.ends_with('/') => Ok(()),
        _ if word.contains('=') && !word.contains('/') => {
            Err(Wrong::new(format!("{} is a variable, not a program", quoted(word)))
                .hint("variables go under environment:"))
        }
        _ if word.contains('/') => wrong("is no absolute path"),
        _ => Ok(()),
    }
}

fn explain(error: &SplitError, key: &str) -> String {
    match error {
        SplitError::Backslash => {
            "a backslash ends it; expected a character after the backslash".to_owned()
        }
        SplitError::Unclosed(from) => {
            let quote = from.chars().next().unwrap_or('"');
            let shown: String = from.chars().take(24).collect();
            let shown = quoted(&shown);
            let shown =
                shown.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(&shown);
            format!("the quote that begins at {shown} is not closed; expected another {quote}")
        }
        SplitError::Shell(what) if what == "$MAINPID" => MAINPID.to_owned(),
        SplitError::Shell(what) if what == "\n" => {
            format!("several lines in one string; no shell is run: write {key}: [sh, -c, ...]")
        }
        SplitError::Shell(what) => format!(
            "{} is for a shell, and no shell is run: write {key}: [sh, -c, ...], or quote it",
            quoted(what)
        ),
    }
}

pub(super) fn kind(text: &str) -> Result<Kind, Wrong> {
    match text {
        "auto" => Ok(Kind::Auto),
        "simple" => Ok(Kind::Simple),
        "forking" => Ok(Kind::Forking),
        "oneshot" => Ok(Kind::Oneshot { remain_after_exit: false }),
        "notify" => Ok(Kind::Notify),
        "exec" => {
            Err(Wrong::new("there is no type \"exec\"").hint("every start waits for the exec"))
        }
        "dbus" | "idle" | "notify-reload" => {
            Err(Wrong::new(format!("there is no type \"{text}\"")).hint("auto fits most services"))
        }
        _ => {
            let words = ["auto", "simple", "forking", "oneshot", "notify"];
            Err(no_word("type", text, &words))
        }
    }
}

/// "There is no ... ", with the nearest word there is.
fn no_word(what: &str, text: &str, words: &[&'static str]) -> Wrong {
    let wrong = Wrong::new(format!("there is no {what} {}", quoted(text)));
    match super::keys::nearest_of(text, words.iter().copied()) {
        Some(near) => wrong.hint(format!("did you mean {near}?")),
        None => wrong,
    }
}

pub(super) fn restart(text: &str) -> Result<RestartWord, Wrong> {
    let word = |policy| Ok(RestartWord { policy, attempts: None });
    match text {
        // Unquoted, `no` is false to many a YAML tool.
        "no" | "false" => word(RestartPolicy::No),
        "on-failure" => word(RestartPolicy::OnFailure),
        "always" | "unless-stopped" => word(RestartPolicy::Always),
        "yes" | "true" => {
            Err(Wrong::new(format!("{text} does not say when")).hint("did you mean always?"))
        }
        _ => match text.strip_prefix("on-failure:") {
            Some(number) => Ok(RestartWord {
                policy: RestartPolicy::OnFailure,
                attempts: Some(attempts(number)?),
            }),
            None => Err(no_word("policy", text, &["no", "on-failure", "always"])),
        },
    }
}

pub(super) fn attempts(text: &str) -> Result<u32, Wrong> {
    whole(text, 0, u32::MAX.into()).map(|number| number as u32)
}

pub(super) fn kill_mode(text: &str) -> Result<KillMode, Wrong> {
    match text {
        "control-group" => Ok(KillMode::ControlGroup),
        "mixed" => Ok(KillMode::Mixed),
        "process" | "none" => {
            Err(Wrong::new(format!("{text} would leave processes behind, and a stop leaves none")))
        }
        _ => Err(no_word("kill mode", text, &["control-group", "mixed"])),
    }
}

pub(super) fn reload_signal(text: &str) -> Result<i32, Wrong> {
    match signal::parse(text)? {
        9 | 19 => Err(Wrong::new(format!("{} would end or halt it", quoted(text)))),
        number => Ok(number),
    }
}
