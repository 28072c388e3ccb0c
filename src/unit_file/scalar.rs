//! Single values: how a scalar is asked for, and the small checks that many keys share.

use std::path::PathBuf;

use super::diagnostic::{Report, Wrong, quoted};
use super::node::{Node, Value};

impl Report<'_> {
    /// The scalar of a node, read by `parse`. Anything else raises a diagnostic that says what
    /// was expected.
    pub fn scalar<T>(
        &mut self,
        node: &Node,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let Value::Scalar(text) = &node.value else {
            self.expected(node, expected);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.at(node.place, wrong.message(expected));
                None
            }
        }
    }

    /// Says that a node is of the wrong shape.
    pub fn expected(&mut self, node: &Node, expected: &str) {
        self.at(node.place, format!("{} is written here; expected {expected}", node.is_a()));
    }

    /// Runs `read` with the key's path made longer by `part`.
    pub fn inside<T>(&mut self, part: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.key.take();
        let mut key =
            String::with_capacity(outer.as_ref().map_or(0, |key| key.len() + 1) + part.len());
        if let Some(outer) = &outer {
            key.push_str(outer);
            key.push('.');
        }
        // Nearly every key is a known word.
        if part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            key.push_str(part);
        } else {
            key.push_str(quoted(part).trim_matches('"'));
        }
        self.key = Some(key);
        let result = read(self);
        self.key = outer;
        result
    }
}

/// Text without control characters. Line feeds and tabs may be allowed: a script can be an
/// argument, a certificate a variable.
pub(super) fn clean(text: &str, allowed: &str) -> Result<String, Wrong> {
    // The common case is told without decoding.
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Ok(text.to_owned());
    }
    match text.chars().find(|&c| c.is_control() && !allowed.contains(c)) {
        Some('\0') => Err(Wrong::new("there is a NUL in it, which ends every text in the kernel")),
        Some(c) => {
            Err(Wrong::new(format!("there is the control character {} in it", c.escape_default())))
        }
        None => Ok(text.to_owned()),
    }
}

/// One line for people.
pub(super) fn line(text: &str) -> Result<String, Wrong> {
    clean(text.trim_end(), "")
}

pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(Wrong::new(format!("{} is neither", quoted(text)))),
    }
}

/// An absolute path. `..` is left alone; the kernel resolves it.
pub(super) fn absolute_path(text: &str) -> Result<PathBuf, Wrong> {
    let path = clean(text, "")?;
    if path.starts_with('~') {
        return Err(Wrong::new(format!("{} needs a shell to expand it", quoted(text))));
    }
    if !path.starts_with('/') {
        return Err(Wrong::new(format!("{} does not start with /", quoted(text))));
    }
    // PATH_MAX counts the final NUL (limits.h).
    if path.len() >= 4096 {
        return Err(Wrong::new("a path has at most 4095 bytes"));
    }
    Ok(PathBuf::from(path))
}

/// An absolute path that can be a file's.
pub(super) fn absolute_file(text: &str) -> Result<PathBuf, Wrong> {
    if text.starts_with('/') && text.ends_with('/') {
        return Err(Wrong::new(format!("{} is a directory", quoted(text))));
    }
    absolute_path(text)
}

/// A whole number in a range.
pub(super) fn whole(text: &str, lowest: i64, highest: i64) -> Result<i64, Wrong> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::new(format!("{} is no whole number", quoted(text))));
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Wrong::new(format!("{} starts with 0 like an octal number", quoted(text))));
    }
    match text.parse() {
        Ok(number) if (lowest..=highest).contains(&number) => Ok(number),
        _ => Err(Wrong::new(format!("{} is out of range", quoted(text)))),
    }
}

/// A file mode creation mask; always octal, however it is written.
pub(super) fn umask(text: &str) -> Result<u32, Wrong> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mask @ ..=0o777) if !digits.starts_with('+') => Ok(mask),
        _ => Err(Wrong::new(format!("{} is no file mode mask", quoted(text)))),
    }
}

/// A number of CPUs in thousandths. Below a hundredth the kernel's smallest quota, one
/// millisecond of each 100 ms, could not hold it (`cpu.max` in cgroup-v2.rst).
pub(super) fn milli_cpus(text: &str) -> Result<u64, Wrong> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let cpus: f64 = match text.parse() {
        Ok(cpus) if plain => cpus,
        _ => return Err(Wrong::new(format!("{} is no number of CPUs", quoted(text)))),
    };
    if !(0.01..=10_000.0).contains(&cpus) {
        return Err(Wrong::new(format!("{text} is out of range")));
    }
    // In range, so neither sign nor size can be lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok((cpus * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::{absolute_path, boolean, milli_cpus, umask, whole};

    #[test]
    fn masks_are_octal_however_they_are_written() {
        for (text, mask) in [("0022", 0o22), ("022", 0o22), ("22", 0o22), ("0o22", 0o22), ("0", 0)]
        {
            assert_eq!(umask(text), Ok(mask), "{text:?}");
        }
        for text in ["", "18", "1000", "0x12", "-22", "+22", "u=rwx", "0o", "0o1000"] {
            assert!(umask(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_keep_their_range() {
        assert_eq!(whole("-20", -20, 19), Ok(-20));
        assert_eq!(whole("+5", -20, 19), Ok(5));
        for text in ["", "-", "20", "1e1", "1.0", "010", "0x1", "1_0", "99999999999999999999"] {
            assert!(whole(text, -20, 19).is_err(), "{text:?}");
        }
        assert_eq!(milli_cpus("1.5"), Ok(1500));
        assert_eq!(milli_cpus("0.01"), Ok(10));
        assert_eq!(milli_cpus("2"), Ok(2000));
        for text in ["0", "0.001", "-1", "NaN", "inf", ".inf", "1e3", "all", "50%", "", "10001"] {
            assert!(milli_cpus(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn booleans_and_paths() {
        assert_eq!(boolean("yes"), Ok(true));
        assert_eq!(boolean("False"), Ok(false));
        assert!(boolean("1").is_err());
        assert!(absolute_path("/run/x.pid").is_ok());
        for text in ["", "run/x", "./x", "~/x", "/a\u{1b}[31m", "/a\0b"] {
            assert!(absolute_path(text).is_err(), "{text:?}");
        }
    }
}
