//! What holds for every unit file there can be.

use std::path::Path;

use super::{Diagnostic, Unit, find_unprintable, node, parse_bytes, plain};

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
        Ok(unit) => check_unit(&unit),
        Err(diagnostics) => {
            assert!((1..=MOST).contains(&diagnostics.len()), "{diagnostics:#?}");
            let text = String::from_utf8_lossy(input);
            diagnostics.iter().for_each(|found| check_diagnostic(found, &text));
        }
    }
}

/// Nothing that execve(2) or the rules could choke on.
fn check_unit(unit: &Unit) {
    assert_eq!(unit.name.as_str(), "web");
    let commands = [Some(&unit.command), unit.stop.command.as_ref()];
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
