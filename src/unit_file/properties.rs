//! What holds for every unit file there can be.

use std::path::Path;
use std::rc::Rc;

use super::parts::{Parts, Role, Text};
use super::{At, Diagnostic, Places, Severity, Unit, find_unprintable, node, parse_bytes, plain};

/// The most diagnostics of one file, with the one that says that there are more.
const MOST: usize = 21;

/// Reads a unit file: it is either a unit that can be carried out, or every complaint points into
/// the text and can be shown on a terminal.
pub fn unit(input: &[u8]) {
    let path = Path::new("/etc/yml-services/web.yml");
    let read = parse_bytes(path, input);
    assert_eq!(read, parse_bytes(path, input), "the same text is read in the same way");
    if let Ok(text) = std::str::from_utf8(input)
        && find_unprintable(text).is_none()
        && let Some(plain) = plain::read(text)
    {
        assert_eq!(Ok(plain), node::read_any(text), "the short way and the library differ");
    }
    match read {
        Ok(unit) => {
            check_places(&unit, &String::from_utf8_lossy(input));
            check_unit(&unit, "web");
            check_shown(&Parts::plain("web", path.into(), input.to_vec()).unwrap(), &unit);
        }
        Err(diagnostics) => {
            assert!((1..=MOST).contains(&diagnostics.len()), "{diagnostics:#?}");
            let text = String::from_utf8_lossy(input);
            diagnostics.iter().for_each(|found| check_diagnostic(found, &text));
        }
    }
}

/// Makes an instance: the input is its name, its template, a drop-in of all instances and one of its
/// own, with lines of `====` between them. It is a unit that can be carried out, and in whose command
/// the name decides no more than what stands in a word; or every complaint points into its file.
pub fn instance(input: &[u8]) {
    let mut pieces = input.split(|&byte| byte == b'\n');
    let mut piece = || {
        let lines = pieces.by_ref().take_while(|line| *line != b"====");
        lines.fold(Vec::new(), |mut text, line| {
            text.extend_from_slice(line);
            text.push(b'\n');
            text
        })
    };
    let Ok(name) = String::from_utf8(piece()) else { return };
    let texts = ["web@.yml", "web@.yml.d/a.yml", "own.yml.d/a.yml"]
        .map(|path| Text::new(path.into(), piece()));
    let mut files = Vec::new();
    for text in texts {
        match text {
            Ok(text) => files.push(Rc::new(text)),
            Err(wrong) => return assert!(!wrong.is_empty()),
        }
    }
    let named = |instance: &str| Parts {
        name: format!("web@{instance}"),
        role: Role::Instance,
        files: files.clone(),
        own: 2,
    };
    let parts = named(name.trim_end_matches('\n'));
    let read = parts.unit();
    assert_eq!(read, parts.unit(), "the same files are read in the same way");
    match read {
        Ok(unit) => {
            check_unit(&unit, &parts.name);
            check_shown(&parts, &unit);
            if let Ok(other) = named("x").unit() {
                assert_eq!(
                    unit.command.iter().count(),
                    other.command.iter().count(),
                    "{unit:?}\n{other:?}"
                );
            }
        }
        Err(diagnostics) => {
            assert!((1..=MOST).contains(&diagnostics.len()), "{diagnostics:#?}");
            for found in &diagnostics {
                let file = files.iter().find(|file| file.path == found.file).expect("one of them");
                check_diagnostic(found, &file.text);
            }
        }
    }
}

/// What `slc cat` prints is the same unit.
fn check_shown(parts: &Parts, unit: &Unit) {
    let (yaml, wrong) = parts.to_yaml();
    assert!(wrong.is_empty(), "{wrong:?}");
    let again = super::parse(&unit.source.with_file_name(format!("{}.yml", unit.name)), &yaml);
    // It may be longer than a file can be, and hold more values than one.
    if yaml.len() < super::MAX_FILE_BYTES / 2 {
        let again = again.map(|again| {
            let (source, drop_ins) = (unit.source.clone(), unit.drop_ins.clone());
            Unit { source, drop_ins, ..again }
        });
        assert_eq!(again.as_ref(), Ok(unit), "{yaml}");
    }
}

/// Nothing that execve(2) or the rules could choke on.
fn check_unit(unit: &Unit, name: &str) {
    assert_eq!(unit.name.as_str(), name);
    let commands = [Some(unit.command.to_vec()), unit.stop.command.clone()];
    for command in commands.into_iter().flatten() {
        assert!(command.first().is_some_and(|program| !program.is_empty()), "{command:?}");
        assert!(command.iter().all(|word| !word.contains('\0')), "{command:?}");
    }
    for (name, value) in &unit.process.environment {
        assert!(!name.is_empty() && !name.contains(['=', '\0']), "{name:?}");
        assert!(!value.contains('\0'), "{value:?}");
    }
    assert!(unit.pid_file.as_ref().is_none_or(|path| path.is_absolute()));
    assert!((1..=64).contains(&unit.stop.signal), "signal {}", unit.stop.signal);
    assert!(unit.restart.delay <= unit.restart.max_delay, "{:?}", unit.restart);
    assert!(unit.needs.iter().all(|need| need.unit != unit.name), "it waits for itself");
    assert!(!unit.description.contains(char::is_control), "{:?}", unit.description);
}

/// Whatever a check has to say about a value of a unit, it has a place in the text.
fn check_places(unit: &Unit, text: &str) {
    let places = Places::in_text(&unit.source, text.to_owned());
    let mut meant = vec![
        At::part(&["command"], unit.command.iter().next().unwrap_or_default()),
        At::part(&["group", "user"], unit.process.group.as_deref().unwrap_or_default()),
        At::value(&["working_dir"]),
    ];
    meant.extend(unit.needs.iter().map(|need| At::part(&["depends_on"], need.unit.as_str())));
    for at in meant {
        let found = places.diagnostic(Severity::Warning, &at, "something");
        check_diagnostic(&found, text);
        assert!(found.line.is_some() || at.key() != "command", "{found}");
    }
}

fn check_diagnostic(found: &Diagnostic, text: &str) {
    let shown = found.to_string();
    assert!(shown.lines().count() <= 3, "{shown}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    assert!(shown.len() < 8_000, "{} bytes", shown.len());
    assert!(!found.message.is_empty());
    let (Some(line), Some(column)) = (found.line, found.column) else {
        assert_eq!((found.line, found.column), (None, None), "{shown}");
        return;
    };
    let line = usize::try_from(line).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    assert!((1..=lines.len()).contains(&line), "line {line} of {}: {shown}", lines.len());
    // Behind the last character something may be missing.
    let width = lines[line - 1].chars().count() as u64 + 1;
    assert!((1..=width).contains(&column), "column {column} of {width}: {shown}");
}
