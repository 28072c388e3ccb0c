//! A run directory of runit or s6, and a service definition of s6-rc.

use super::draft::Draft;
use super::exec::argv;
use super::report::{Report, Verdict, approximated, dropped, kept, kept_by};
use super::yaml::Yaml;
use super::{Imported, Made, settle};
use crate::unit_file::is_key;

/// A directory with a `run` program, or with a `type` of s6-rc's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunDirectory {
    /// The service's name: the directory's.
    pub name: String,
    /// Its absolute path.
    pub path: String,
    /// The files in it, by their paths in there, with what they hold. Of a directory that is read
    /// by the service itself there is only its name, with a slash at the end.
    pub files: Vec<(String, String)>,
}

impl RunDirectory {
    fn text(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, text)| text.trim())
    }

    fn has(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    /// Whether s6 reads it: runit knows none of these.
    fn is_of_s6(&self) -> bool {
        const OWN: &[&str] = &[
            "type",
            "notification-fd",
            "timeout-kill",
            "timeout-finish",
            "down-signal",
            "dependencies",
        ];
        OWN.iter().any(|name| self.has(name))
            || self.files.iter().any(|(name, _)| name.starts_with("dependencies.d/"))
    }
}

/// Turns the directory into a unit.
///
/// # Errors
/// There is nothing in it that could be run.
pub fn import(source: &RunDirectory) -> Result<Imported, String> {
    let mut report = Report::default();
    let mut draft = Draft::default();
    let oneshot = match source.text("type") {
        None | Some("longrun") => false,
        Some("oneshot" | "bundle") => true,
        Some(other) => return Err(format!("type: there is no type {other:?} of s6-rc")),
    };
    let program = if oneshot { "up" } else { "run" };
    if !source.has(program) && source.text("type") != Some("bundle") {
        return Err(format!("there is no {program} in it"));
    }
    for (name, text) in &source.files {
        let shown =
            if name.ends_with('/') || matches!(name.as_str(), "run" | "finish" | "check" | "up") {
                ""
            } else {
                text.trim()
            };
        let number = report.open(&source.path(name), 0, "", name, shown);
        let verdict = read(source, name, text.trim(), number, &mut draft);
        report.set(number, verdict);
    }
    if source.text("type") == Some("bundle") {
        draft.set("command", Yaml::text("/bin/true"), &[]);
    }
    if oneshot {
        draft.set("type", Yaml::bare("oneshot"), &[]);
        draft.set("remain_after_exit", Yaml::bare("true"), &[]);
        draft.set("restart", Yaml::bare("no"), &[]);
    } else {
        // Both start it again for ever, a second after each start at the earliest.
        draft.set("type", Yaml::bare("simple"), &[]);
        draft.set("restart", Yaml::bare("always"), &[]);
        draft.set("restart_delay", Yaml::bare("1s"), &[]);
        draft.set("restart_max_delay", Yaml::bare("1s"), &[]);
        draft.set("restart_max_attempts", Yaml::bare("0"), &[]);
        draft.set("kill_mode", Yaml::bare("mixed"), &[]);
    }
    let text = settle::text(&mut draft, &mut report, &source.name, &source.path, false)?;
    let units = vec![Made { file: format!("{}.yml", source.name), text }];
    Ok(Imported { units, entries: report.finish() })
}

/// What one file means.
fn read(
    source: &RunDirectory,
    name: &str,
    text: &str,
    number: usize,
    draft: &mut Draft,
) -> Verdict {
    let path = source.path(name);
    let oneshot = matches!(source.text("type"), Some("oneshot" | "bundle"));
    let milliseconds = text.parse::<u64>().ok();
    match name {
        "run" if !oneshot => {
            draft.set("command", Yaml::list([path]), &[number]);
            draft.set("working_dir", Yaml::text(source.path.clone()), &[number]);
            kept()
        }
        "up" => {
            draft.set("command", Yaml::list(["execlineb", "-P", &path]), &[number]);
            kept_by("by execlineb, as s6-rc does")
        }
        "down" if oneshot => {
            draft.set("stop_command", Yaml::list(["execlineb", "-P", &path]), &[number]);
            kept_by("by execlineb, as s6-rc does")
        }
        "down" => {
            draft.set("enabled", Yaml::bare("false"), &[number]);
            kept()
        }
        "type" => kept(),
        "finish" => finish(source, &path, number, draft),
        "check" if is_key("ready") => {
            draft.set("ready", Yaml::map([("command", Yaml::list([path]))]), &[number]);
            approximated("it is asked at the start only")
        }
        "check" => dropped("nobody asks whether it is ready yet"),
        "notification-fd" if is_key("ready") => {
            draft.set("ready", Yaml::map([("fd", Yaml::bare(text))]), &[number]);
            kept()
        }
        "notification-fd" => dropped("no descriptor is read for a newline yet"),
        "timeout-kill" | "timeout-finish" if milliseconds.is_none() => dropped("this is no number"),
        "timeout-kill" => {
            let time = milliseconds.filter(|&time| time > 0).unwrap_or(24 * 60 * 60 * 1000);
            draft.set("stop_grace_period", super::service::duration(time), &[number]);
            if text == "0" { approximated("a stop ends: after a day") } else { kept() }
        }
        "timeout-up" => {
            let time = milliseconds.filter(|&time| time > 0);
            let time = time.map_or_else(|| Yaml::bare("none"), super::service::duration);
            draft.set("start_timeout", time, &[number]);
            kept()
        }
        "timeout-finish" | "timeout-down" => dropped("a stop has one time-out"),
        "down-signal" => {
            draft.set("stop_signal", Yaml::text(text), &[number]);
            kept()
        }
        "dependencies" => {
            for unit in text.split_whitespace() {
                draft.add("depends_on", Yaml::text(unit), number);
            }
            kept()
        }
        "contents" => {
            for unit in text.split_whitespace() {
                draft.add("depends_on", Yaml::text(unit), number);
            }
            approximated("a oneshot that does nothing needs them")
        }
        "control/t" => {
            draft.set("stop_command", Yaml::list([path]), &[number]);
            approximated("the stop signal follows it, whatever it says")
        }
        "nosetsid" => kept_by("a service is followed whatever its session is"),
        "env/" | "data/" | "conf/" => kept_by("the service's own program reads it"),
        "supervise/" | "event/" => kept_by("it is a part of the other supervisor's state"),
        "flag-essential" => approximated("root may stop every unit"),
        name if name.starts_with("log") => dropped("output goes to the unit's log by itself"),
        name if name.starts_with("dependencies.d/") => {
            draft.add("depends_on", Yaml::text(&name["dependencies.d/".len()..]), number);
            kept()
        }
        name if name.starts_with("contents.d/") => {
            draft.add("depends_on", Yaml::text(&name["contents.d/".len()..]), number);
            approximated("a oneshot that does nothing needs it")
        }
        name if name.starts_with("control/") => dropped("only a stop has a command"),
        name if ["producer-for", "consumer-for", "pipeline-name"].contains(&name) => {
            dropped("output goes to the unit's log by itself")
        }
        _ => dropped("no supervisor reads it, or there is nothing like it"),
    }
}

/// `finish` gets how the service ended as its arguments.
fn finish(source: &RunDirectory, path: &str, number: usize, draft: &mut Draft) -> Verdict {
    if !is_key("stop_post") {
        return dropped("there is no stop_post yet");
    }
    // runit(8) says -1 for a signal, s6-supervise(8) 256.
    let killed = if source.is_of_s6() { "256" } else { "-1" };
    let line = format!(
        "if [ \"$EXIT_CODE\" = exited ]; then exec \"$0\" \"$EXIT_STATUS\" 0; fi\n\
         exec \"$0\" {killed} \"$(kill -l \"$EXIT_STATUS\" 2>/dev/null || echo 0)\"\n"
    );
    let words = argv(&["sh", "-c", &line, path]);
    draft.add("stop_post", Yaml::list(words), number);
    approximated("a signal's number is not told where sh has none for its name")
}
