//! Reading the log files; needs neither the supervisor nor the lane.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::clean::{as_text, clean_json};
use super::lines::STAMP_BYTES;
use super::log_file::file_name;

/// Bytes of one step backwards.
const STEP: usize = 64 * 1024;
/// A rotation leaves one number empty for an instant, and another where it was interrupted. So
/// many empty ones in a row are the end.
const MISSING_MAX: u32 = 3;

/// One line of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    raw: Vec<u8>,
    stamped: bool,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: Option<&'a str>,
    unit: &'a str,
    line: &'a str,
}

impl Line {
    /// Takes a line of a file without its newline.
    pub(super) fn new(raw: &[u8]) -> Self {
        Self { raw: raw.to_vec(), stamped: is_stamped(raw) }
    }

    /// When the line was read: `2026-11-22T19:48:51.123Z`. `None` where the file holds something
    /// that the lane did not write.
    #[must_use]
    pub fn stamp(&self) -> Option<&str> {
        self.stamped.then(|| std::str::from_utf8(&self.raw[..STAMP_BYTES]).ok()).flatten()
    }

    /// What the service wrote, byte for byte. Use [`super::clean()`] before showing it to people.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if self.stamped { &self.raw[STAMP_BYTES + 1..] } else { &self.raw }
    }

    /// `{"time":"...","unit":"...","line":"..."}`. What is not UTF-8 becomes `\xff`; control
    /// characters are escaped as JSON does.
    #[must_use]
    pub fn to_json(&self, unit: &str) -> String {
        let line = as_text(self.bytes());
        let json = JsonLine { time: self.stamp(), unit, line: &line };
        // Strings always make JSON.
        clean_json(serde_json::to_string(&json).unwrap_or_default())
    }
}

fn is_stamped(raw: &[u8]) -> bool {
    const SHAPE: &[u8; STAMP_BYTES + 1] = b"nnnn-nn-nnTnn:nn:nn.nnnZ ";
    raw.len() >= SHAPE.len()
        && raw.iter().zip(SHAPE).all(|(&byte, &shape)| match shape {
            b'n' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

/// Reads a unit's log files.
pub struct Reader;

impl Reader {
    /// The last `count` lines of a unit, oldest first, over as many of its rotated files as that
    /// takes. Reads backwards, so the cost is that of the lines given. `unit` may also be
    /// `treeward` or `syslog`. A unit that never wrote anything has no lines.
    ///
    /// # Errors
    /// What the kernel says when a file cannot be read; `InvalidInput` for a unit that is a path.
    pub fn last(log_dir: &Path, unit: &str, count: usize) -> io::Result<Vec<Line>> {
        let log = Log::new(log_dir, unit)?;
        Ok(log.last(count)?.0)
    }
}

/// A file of the log and what it is called by the kernel, which no rename changes.
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) inode: u64,
}

/// A file and the offset in it up to which it was read, always at the start of a line.
pub(super) type Position = (LogFile, u64);

/// The files of one unit.
pub(super) struct Log {
    dir: PathBuf,
    unit: String,
}

impl Log {
    pub(super) fn new(dir: &Path, unit: &str) -> io::Result<Self> {
        if unit.is_empty() || unit.contains(['/', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a unit's name is no path"));
        }
        Ok(Self { dir: dir.to_owned(), unit: unit.to_owned() })
    }

    pub(super) fn name(&self) -> String {
        file_name(&self.unit, 0)
    }

    /// Opens the file with this number, `None` where there is none.
    pub(super) fn open(&self, number: u32) -> io::Result<Option<LogFile>> {
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.dir.join(file_name(&self.unit, number)));
        match opened {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(LogFile { file, inode }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the files one after the other, the newest first, until `take` says false. Rotation
    /// moves files in the direction of the walk: none is missed, and one that is met twice is
    /// given once.
    pub(super) fn walk(&self, mut take: impl FnMut(LogFile) -> io::Result<bool>) -> io::Result<()> {
        let (mut seen, mut missing) = (Vec::new(), 0);
        for number in 0.. {
            let Some(file) = self.open(number)? else {
                missing += 1;
                if missing == MISSING_MAX {
                    break;
                }
                continue;
            };
            missing = 0;
            if !seen.contains(&file.inode) {
                seen.push(file.inode);
                if !take(file)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The last `count` lines, and the newest file with the offset behind its last whole line.
    pub(super) fn last(&self, count: usize) -> io::Result<(Vec<Line>, Option<Position>)> {
        let (mut lines, mut newest) = (Vec::new(), None);
        self.walk(|log| {
            let end = last_lines(&log.file, count, &mut lines)?;
            if newest.is_none() {
                newest = Some((log, end));
            }
            Ok(lines.len() < count)
        })?;
        lines.reverse();
        Ok((lines, newest))
    }
}

/// Adds lines of the file from its end on, the last one first, until there are `count`. Gives the
/// offset behind the last whole line: one that is being written does not count.
fn last_lines(file: &File, count: usize, lines: &mut Vec<Line>) -> io::Result<u64> {
    let mut start = file.metadata()?.len();
    // The bytes from `start` on that are in no line yet.
    let mut tail: Vec<u8> = Vec::new();
    let mut whole_end = None;
    while start > 0 {
        let step = usize::try_from(start).unwrap_or(usize::MAX).min(STEP);
        start -= step as u64;
        let mut block = vec![0; step];
        file.read_exact_at(&mut block, start)?;
        let fresh = block.len();
        block.append(&mut tail);
        let mut end = block.len();
        for newline in memchr::memrchr_iter(b'\n', &block[..fresh]) {
            match whole_end {
                None => whole_end = Some(start + newline as u64 + 1),
                Some(_) => lines.push(Line::new(&block[newline + 1..end])),
            }
            end = newline;
            if lines.len() >= count {
                return Ok(whole_end.unwrap_or(start));
            }
        }
        block.truncate(end);
        tail = block;
    }
    if whole_end.is_some() && lines.len() < count {
        lines.push(Line::new(&tail));
    }
    Ok(whole_end.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{Line, Reader};

    fn texts(dir: &std::path::Path, count: usize) -> Vec<String> {
        let lines = Reader::last(dir, "web", count).unwrap();
        lines.iter().map(|line| String::from_utf8(line.bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_last_lines_come_from_as_many_files_as_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("web.log.3", "1\n2\n");
        // Number 2 is missing after an interrupted rotation.
        write("web.log.1", "3\n\n");
        write("web.log", "5\n6\nbeing writ");
        assert_eq!(texts(dir.path(), 1), ["6"]);
        assert_eq!(texts(dir.path(), 3), ["", "5", "6"]);
        assert_eq!(texts(dir.path(), 5), ["2", "3", "", "5", "6"]);
        assert_eq!(texts(dir.path(), 100), ["1", "2", "3", "", "5", "6"]);
        assert_eq!(texts(dir.path(), 0), Vec::<String>::new());
    }

    #[test]
    fn lines_across_the_steps_of_reading_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let long: Vec<String> = (0..40).map(|n| format!("{n}").repeat(4_001)).collect();
        std::fs::write(dir.path().join("web.log"), long.join("\n") + "\n").unwrap();
        assert_eq!(texts(dir.path(), 40), long);
        assert_eq!(texts(dir.path(), 17), long[23..]);
    }

    #[test]
    fn no_file_is_no_line_and_a_path_is_no_unit() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Reader::last(dir.path(), "web", 9).unwrap().is_empty());
        assert!(Reader::last(dir.path(), "../web", 9).is_err());
    }

    #[test]
    fn a_line_knows_its_stamp_and_its_json() {
        let line = Line::new(b"2026-11-22T19:48:51.123Z a\x1b\xff\"");
        assert_eq!(line.stamp(), Some("2026-11-22T19:48:51.123Z"));
        assert_eq!(line.bytes(), b"a\x1b\xff\"");
        let json: serde_json::Value = serde_json::from_str(&line.to_json("web")).unwrap();
        assert_eq!(json["time"], "2026-11-22T19:48:51.123Z");
        assert_eq!(json["unit"], "web");
        assert_eq!(json["line"], "a\u{1b}\\xff\"");
        let foreign = Line::new(b"2026-11-22 a");
        assert_eq!((foreign.stamp(), foreign.bytes()), (None, &b"2026-11-22 a"[..]));
        assert!(foreign.to_json("web").starts_with("{\"time\":null"));
    }
}
