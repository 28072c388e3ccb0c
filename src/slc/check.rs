//! `slc check`: unit files, without a supervisor.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::args::Place;
use super::end::{End, Failed, put};
use super::style::{Style, clean};
use super::{Supervisor, to_json, unit_dirs};
use crate::check::{self, Checked};
use crate::unit_file::{Diagnostic, Severity};

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// Unit files, and directories of them [default: what the supervisor says, or
    /// /usr/lib/treeward, /etc/yml-services and /run/treeward/units]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Take warnings for errors
    #[arg(long)]
    pub strict: bool,
    /// One JSON object: {"files": N, "errors": N, "warnings": N, "diagnostics": [...]}
    #[arg(long)]
    pub json: bool,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer {
    files: usize,
    errors: usize,
    warnings: usize,
    diagnostics: Vec<Said>,
}

#[derive(Serialize)]
struct Said {
    severity: Severity,
    file: String,
    line: Option<u64>,
    column: Option<u64>,
    key: Option<String>,
    message: String,
    /// As it is shown to people: with the line of the file.
    text: String,
}

impl From<&Diagnostic> for Said {
    fn from(found: &Diagnostic) -> Self {
        Self {
            severity: found.severity,
            file: found.file.to_string_lossy().into_owned(),
            line: found.line,
            column: found.column,
            key: found.key.clone(),
            message: found.message.clone(),
            text: found.to_string(),
        }
    }
}

/// Checks and tells. There is no failure but that of writing: bad units are the answer.
pub(super) fn run(supervisor: &Supervisor, wanted: &Wanted, style: &Style) -> Result<End, Failed> {
    let checked = if wanted.paths.is_empty() {
        check::directories(&unit_dirs::directories(supervisor, &Place { dirs: Vec::new() })?)
    } else {
        check::named(&wanted.paths)
    };
    let (errors, warnings) = count(&checked);
    put(&if wanted.json {
        let diagnostics = checked.diagnostics.iter().map(Said::from).collect();
        to_json(&Answer { files: checked.files, errors, warnings, diagnostics })
    } else {
        render(&checked, style)
    })?;
    Ok(if errors > 0 || (wanted.strict && warnings > 0) { End::Failed } else { End::Done })
}

fn count(checked: &Checked) -> (usize, usize) {
    let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
    let errors = checked.diagnostics.iter().filter(is_error).count();
    (errors, checked.diagnostics.len() - errors)
}

/// Each diagnostic, then a line that counts.
fn render(checked: &Checked, style: &Style) -> String {
    let mut out = String::new();
    for found in &checked.diagnostics {
        diagnostic(&mut out, found, style);
    }
    let (errors, warnings) = count(checked);
    let number = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let files = number(checked.files, "unit file");
    let what = match (errors, warnings) {
        (0, 0) => "nothing wrong".to_owned(),
        (0, _) => number(warnings, "warning"),
        (_, 0) => number(errors, "error"),
        _ => format!("{}, {}", number(errors, "error"), number(warnings, "warning")),
    };
    let color = match (errors, warnings) {
        (0, 0) => "32",
        (0, _) => "33",
        _ => "1;31",
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{files} checked: {}", style.paint(&what, color));
    out
}

/// Its own text, with the place and what is underlined in colours of their own.
fn diagnostic(out: &mut String, found: &Diagnostic, style: &Style) {
    let color = match found.severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    };
    let text = found.to_string();
    let place = found.place();
    for (number, line) in text.lines().enumerate() {
        let line = clean(line);
        let _ = match (number, line.strip_prefix(place.as_str()), line.find('^')) {
            (0, Some(rest), _) => writeln!(out, "{}{rest}", style.paint(&place, "1")),
            (2, _, Some(at)) => writeln!(out, "{}{}", &line[..at], style.paint(&line[at..], color)),
            _ => writeln!(out, "{line}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::{Checked, render};
    use crate::unit_file::{At, Places, Severity, parse};

    fn style(color: bool) -> Style {
        Style { color, width: None, now: 0, zone: TimeZone::UTC }
    }

    fn checked() -> Checked {
        let path = Path::new("units/web\u{1b}.yml");
        let text = "command: ngnix\ncomand: x\n";
        let places = Places::in_text(path, text.to_owned());
        let warning =
            places.diagnostic(Severity::Warning, &At::value(&["command"]), "not here\u{1b}[2J");
        let bad = parse(Path::new("units/web.yml"), text).unwrap_err();
        Checked { files: 2, diagnostics: [vec![warning], bad].concat() }
    }

    #[test]
    fn each_is_shown_with_its_line_and_they_are_counted() {
        assert_eq!(
            render(&checked(), &style(false)),
            "\
units/web\\u{1b}.yml:1:10: warning: command: not here\\x1b[2J
    1 | command: ngnix
      |          ^^^^^
units/web.yml:2:1: comand: unknown key; did you mean \"command\" (the program and its arguments)?
    2 | comand: x
      | ^^^^^^
2 unit files checked: 1 error, 1 warning
"
        );
        let nothing = Checked { files: 1, diagnostics: Vec::new() };
        assert_eq!(render(&nothing, &style(false)), "1 unit file checked: nothing wrong\n");
    }

    #[test]
    fn colours_are_put_round_the_place_and_the_underline() {
        let shown = render(&checked(), &style(true));
        assert!(shown.contains("\u{1b}[1munits/web.yml:2:1\u{1b}[0m: comand: "), "{shown:?}");
        assert!(shown.contains("\n      | \u{1b}[1;31m^^^^^^\u{1b}[0m\n"), "{shown:?}");
        assert!(shown.contains("\u{1b}[1;33m^^^^^\u{1b}[0m\n"), "{shown:?}");
        assert!(shown.ends_with(": \u{1b}[1;31m1 error, 1 warning\u{1b}[0m\n"), "{shown:?}");
        assert!(!shown.contains("\u{1b}[2J"));
    }
}
