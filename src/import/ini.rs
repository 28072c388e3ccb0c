//! systemd's files as text: sections, assignments, continued lines (systemd.syntax(7)).

/// One line `KEY=VALUE`, or one that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub section: String,
    pub key: String,
    pub value: String,
    /// The line it begins in, counted from 1.
    pub line: usize,
}

/// The longest line in bytes that is read, continuations included (systemd's LONG_LINE_MAX).
const LONGEST_LINE: usize = 1024 * 1024;
/// The most assignments of one file. The largest unit of Debian has about 100.
const MOST: usize = 2_000;

/// A file's assignments. What is neither an assignment nor a section has an empty key.
///
/// # Errors
/// The file is too large to be a unit.
pub(super) fn read(text: &str) -> Result<Vec<Assignment>, String> {
    if text.len() > LONGEST_LINE {
        return Err(format!("{} bytes are too many for a unit", text.len()));
    }
    let text = text.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if is_comment(line) {
            continue;
        }
        let mut whole = line.to_owned();
        // The backslash of a continued line becomes a blank; comments in between are passed over.
        while let Some(begun) = continued(&whole) {
            let next = lines.by_ref().map(|(_, line)| line).find(|line| !is_comment(line));
            whole = match next {
                Some(next) => format!("{begun} {}", next.trim_start()),
                None => begun.to_owned(),
            };
        }
        let whole = whole.trim();
        if whole.is_empty() {
            continue;
        }
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = match whole.split_once('=') {
            Some((key, value)) => (key.trim_end(), value.trim_start()),
            None => ("", whole),
        };
        found.push(Assignment {
            section: section.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            line: at + 1,
        });
        if found.len() > MOST {
            return Err(format!("more than {MOST} assignments are too many for a unit"));
        }
    }
    Ok(found)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';'])
}

/// A line without the backslash at its end that continues it. Two of them are one that is meant.
fn continued(line: &str) -> Option<&str> {
    let begun = line.strip_suffix('\\')?;
    let before = begun.len() - begun.trim_end_matches('\\').len();
    (before % 2 == 0).then_some(begun)
}

#[cfg(test)]
mod tests {
    use super::{Assignment, read};

    fn shown(text: &str) -> Vec<String> {
        let show = |it: Assignment| format!("{} {}:{}={}", it.line, it.section, it.key, it.value);
        read(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn sections_assignments_and_comments() {
        let text = "# c\n[Unit]\nA=1\n; c\n\n B = x = y \n[Service]\r\nC=\nnonsense\n";
        assert_eq!(
            shown(text),
            ["3 Unit:A=1", "6 Unit:B=x = y", "8 Service:C=", "9 Service:=nonsense"]
        );
        assert_eq!(shown("\u{feff}[U]\nA=b"), ["2 U:A=b"]);
        assert_eq!(shown("A=b\n[U"), ["1 :A=b", "2 :=[U"]);
    }

    #[test]
    fn continued_lines_pass_over_comments() {
        let text = "[S]\nA=1 \\\n  # c\n;c\n  2 \\\n3\nB=c\\\\\nC=d\\\n";
        assert_eq!(shown(text), ["2 S:A=1  2  3", "7 S:B=c\\\\", "8 S:C=d"]);
    }

    #[test]
    fn a_flood_is_refused() {
        assert!(read(&"A=1\n".repeat(2_001)).is_err());
        assert!(read(&"x".repeat(1 << 21)).is_err());
    }
}
