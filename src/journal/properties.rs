//! What holds for every byte that a service can write.

use super::clean::clean;
use super::lines::{CUT_MARK, LINE_MAX, stamp_lines};
use super::owners::unit_of;
use super::reader::Line;
use super::syslog::text_of;

const STAMP: &[u8] = b"2026-11-22T19:48:51.123Z ";

/// Takes what a service wrote: not a byte is lost, doubled or torn, however it comes in, and what
/// is shown of it is harmless on a terminal.
pub fn log(input: &[u8]) {
    // The first byte says how much comes at once.
    let Some((first, text)) = input.split_first() else { return };
    let (file, partial) = stamped(text, 1 + usize::from(*first));
    assert!(partial.len() <= LINE_MAX, "{} bytes wait", partial.len());
    assert_eq!((&file, &partial), (&stamped(text, text.len().max(1)).0, &partial));
    let mut back = Vec::new();
    for raw in file.split_inclusive(|byte| *byte == b'\n') {
        let line = Line::new(&raw[..raw.len() - 1]);
        assert_eq!(line.stamp(), Some("2026-11-22T19:48:51.123Z"));
        let bytes = line.bytes();
        if bytes.len() > LINE_MAX {
            back.extend_from_slice(bytes.strip_suffix(CUT_MARK).expect("the mark of a cut"));
        } else {
            back.extend_from_slice(bytes);
            back.push(b'\n');
        }
        shown(&line);
    }
    back.extend_from_slice(&partial);
    assert!(back == text, "{:?} came back", String::from_utf8_lossy(&back));
    // A file may hold what the log lane did not write.
    shown(&Line::new(text));
}

fn stamped(text: &[u8], at_once: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut file, mut out, mut partial) = (Vec::new(), Vec::new(), Vec::new());
    for mut chunk in text.chunks(at_once) {
        while !chunk.is_empty() {
            let taken = stamp_lines(&mut out, STAMP, &mut partial, chunk);
            assert!(taken > 0, "nothing was taken of {} bytes", chunk.len());
            chunk = &chunk[taken..];
            file.append(&mut out);
        }
    }
    (file, partial)
}

/// What people and programs see of a line.
fn shown(line: &Line) {
    let shown = clean(line.bytes());
    let harmful = |c: char| {
        (c.is_control() && c != '\t')
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    assert!(!shown.contains(harmful), "{shown:?}");
    assert_eq!(clean(shown.as_bytes()), shown, "what is clean stays as it is");
    let json = line.to_json("web");
    assert!(!json.contains(harmful) && !json.contains('\t'), "{json:?}");
    let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read["unit"], "web");
    if let Ok(text) = std::str::from_utf8(line.bytes()) {
        assert_eq!(read["line"], text);
    }
}

/// Takes a datagram of syslog(3), and the cgroup of its sender: only the head and the end of the
/// text are taken off, and only a name that a unit can have is one.
pub fn syslog(input: &[u8]) {
    const LONGEST_HEAD: usize = "<191>Nov 22 19:48:51 ".len();
    let text = text_of(input);
    let ends = input.iter().rev().take_while(|byte| b"\n\0".contains(byte)).count();
    let body = &input[..input.len() - ends];
    assert!(body.ends_with(text), "{text:?} is not the end of {body:?}");
    assert!(body.len() - text.len() <= LONGEST_HEAD, "of {body:?} only {text:?} is left");
    if let Ok(cgroup) = std::str::from_utf8(input)
        && let Some(unit) = unit_of(cgroup, "/treeward/services")
    {
        assert!(!unit.contains('/') && unit != "." && unit != "..", "{unit:?}");
        assert!(cgroup.contains(&format!("0::/treeward/services/{unit}/")), "{cgroup:?}");
    }
}
