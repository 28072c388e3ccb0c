//! Directories and named pipes that tmpfiles.d(5) makes at boot. What is below `/run` is gone after
//! each boot, and no daemon can write its PID file without it, so the unit makes it before each start.

use super::File;
use super::report::{Verdict, dropped, kept_by};
use super::systemd::Import;
use super::words::{self, shell_quoted};

/// One line about a directory or a pipe.
struct Line {
    kind: String,
    path: String,
    mode: String,
    user: String,
    group: String,
}

fn read(text: &str) -> Option<Line> {
    let mut fields = words::texts(text).ok()?.into_iter();
    let (kind, path) = (fields.next()?, fields.next()?);
    let mut field = |usual: &str| match fields.next() {
        Some(field) if field != "-" => field,
        _ => usual.to_owned(),
    };
    let mode = field("0755").trim_start_matches(['~', ':']).to_owned();
    let (user, group) = (field("root"), field("root"));
    let path = path.strip_prefix("/var/run/").map_or(path.clone(), |rest| format!("/run/{rest}"));
    Some(Line { kind, path, mode, user, group })
}

/// Takes the lines that are about this service: about the directory of its name or of its PID file,
/// or in a file of its name.
pub(super) fn take(import: &mut Import, files: &[File]) {
    let prefix = import.names.prefix.clone();
    let pid_file = import.parts.pid_file.clone().unwrap_or_default();
    let mut seen: Vec<String> = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let is_its_own = name.split(['.', '-']).next() == Some(prefix.as_str())
            || name.strip_suffix(".conf") == Some(prefix.as_str());
        for (at, text) in (1..).zip(file.text.lines().map(str::trim)) {
            let Some(line) =
                read(text).filter(|it| !text.starts_with('#') && it.is_made(is_its_own))
            else {
                continue;
            };
            let has_name = line.path.split('/').nth(2) == Some(prefix.as_str());
            let has_pid_file = pid_file
                .replace("/var/run/", "/run/")
                .strip_prefix(&line.path)
                .is_some_and(|rest| rest.starts_with('/'));
            if is_its_own || has_name || has_pid_file {
                let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
                let number = import.report.open(&file.path, at, "", key, value.trim());
                let verdict = match seen.contains(&line.path) {
                    true => kept_by("the first line about a path counts"),
                    false => make(import, number, &line),
                };
                import.report.set(number, verdict);
                seen.push(line.path);
            }
        }
    }
}

impl Line {
    fn is_pipe(&self) -> bool {
        self.kind.starts_with('p')
    }

    /// Whether a unit makes it: below `/run` all that is the service's, elsewhere what a file of its
    /// name says.
    fn is_made(&self, is_its_own: bool) -> bool {
        matches!(self.kind.trim_end_matches(['!', '-', '=', '+']), "d" | "D" | "p")
            && (self.path.starts_with("/run/") || (is_its_own && self.path.starts_with("/var/")))
    }
}

fn make(import: &mut Import, number: usize, line: &Line) -> Verdict {
    let all = [&line.path, &line.mode, &line.user, &line.group];
    if all.iter().any(|field| field.contains('%') || field.contains(char::is_control)) {
        return dropped("a specifier is only known when the service starts");
    }
    let words =
        ["install", "-d", "-m", &line.mode, "-o", &line.user, "-g", &line.group, &line.path];
    let words: Vec<String> = words.iter().map(|word| shell_quoted(word)).collect();
    let mut made = words.join(" ");
    if line.is_pipe() {
        let [path, mode, user, group] = all.map(|field| shell_quoted(field));
        made = format!(
            "[ -p {path} ] || mkfifo {path}; chmod {mode} {path}; chown {user}:{group} {path}"
        );
    }
    import.parts.prepared.push((number, made));
    kept_by(if line.is_pipe() {
        "by mkfifo(1) before the start"
    } else {
        "by install(1) before the start"
    })
}
