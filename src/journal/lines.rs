//! From bytes to stamped lines: `2026-11-22T19:48:51.123Z text\n`.
//!
//! The text is what the service wrote, byte for byte. Where it is longer than [`LINE_MAX`] it is
//! cut into pieces of exactly that length, each written as a line of its own that ends with
//! [`CUT_MARK`]; the last piece has no mark. A whole line is never longer than [`LINE_MAX`], so a
//! text of `LINE_MAX + 2` bytes is always a cut piece and nothing else ever is.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr_iter;

/// The longest text of a line in bytes.
pub const LINE_MAX: usize = 64 * 1024;
/// What stands at the end of a piece whose line goes on.
pub const CUT_MARK: &[u8] = b" \\";
/// Bytes of `2026-11-22T19:48:51.123Z`.
pub const STAMP_BYTES: usize = 24;

/// The output buffer is handed to the file once it holds this much.
pub(super) const OUT_FULL: usize = 256 * 1024;

/// The clock in UTC as text and a space. The text is made anew only when the millisecond changes.
pub(super) struct Stamp {
    millis: u128,
    text: [u8; STAMP_BYTES + 1],
}

impl Stamp {
    pub(super) fn new() -> Self {
        Self { millis: 0, text: *b"1970-01-01T00:00:00.000Z " }
    }

    /// The time now. A clock outside the years 1970 to 9999 shows the last good time.
    pub(super) fn now(&mut self) -> [u8; STAMP_BYTES + 1] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        if now != self.millis {
            self.millis = now;
            self.format();
        }
        self.text
    }

    fn format(&mut self) {
        let Ok(millis) = i64::try_from(self.millis) else {
            return;
        };
        let Ok(time) = jiff::Timestamp::from_millisecond(millis) else {
            return;
        };
        let mut text = self.text;
        if write!(&mut text[..STAMP_BYTES], "{time:.3}").is_ok() {
            self.text = text;
        }
    }
}

/// Appends one line to `out`, cut into pieces where it is too long.
pub(super) fn push_line(out: &mut Vec<u8>, stamp: &[u8], mut text: &[u8]) {
    while text.len() > LINE_MAX {
        push_piece(out, stamp, &text[..LINE_MAX]);
        text = &text[LINE_MAX..];
    }
    out.extend_from_slice(stamp);
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn push_piece(out: &mut Vec<u8>, stamp: &[u8], piece: &[u8]) {
    out.extend_from_slice(stamp);
    out.extend_from_slice(piece);
    out.extend_from_slice(CUT_MARK);
    out.push(b'\n');
}

/// Appends the lines that end within `input` to `out`, the first of them begun by `partial`. What
/// follows the last newline waits in `partial`, which never holds more than [`LINE_MAX`] bytes.
///
/// Gives the number of bytes taken: fewer than all when `out` became full, because 1-byte lines
/// grow 26-fold. Call again with the rest after emptying `out`.
pub(super) fn stamp_lines(
    out: &mut Vec<u8>,
    stamp: &[u8],
    partial: &mut Vec<u8>,
    input: &[u8],
) -> usize {
    let mut taken = 0;
    for end in memchr_iter(b'\n', input) {
        let text = &input[taken..end];
        if partial.is_empty() {
            push_line(out, stamp, text);
        } else {
            partial.extend_from_slice(text);
            push_line(out, stamp, partial);
            // Not `clear`: an idle service keeps no buffer.
            *partial = Vec::new();
        }
        taken = end + 1;
        if out.len() >= OUT_FULL {
            return taken;
        }
    }
    wait_for_end(out, stamp, partial, &input[taken..]);
    input.len()
}

fn wait_for_end(out: &mut Vec<u8>, stamp: &[u8], partial: &mut Vec<u8>, tail: &[u8]) {
    if tail.is_empty() {
        return;
    }
    partial.extend_from_slice(tail);
    let mut cut = 0;
    while partial.len() - cut > LINE_MAX {
        push_piece(out, stamp, &partial[cut..cut + LINE_MAX]);
        cut += LINE_MAX;
    }
    if cut > 0 {
        *partial = partial[cut..].to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, OUT_FULL, Stamp, stamp_lines};

    fn run(chunks: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut out, mut all, mut partial) = (Vec::new(), Vec::new(), Vec::new());
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let taken = stamp_lines(&mut out, b"T ", &mut partial, rest);
                rest = &rest[taken..];
                all.append(&mut out);
            }
        }
        (all, partial)
    }

    #[test]
    fn lines_are_put_together_wherever_the_reads_cut_them() {
        let (out, partial) = run(&[b"on", b"e\ntw", b"o\n", b"\n\0\xffthree"]);
        assert_eq!(out, b"T one\nT two\nT \n");
        assert_eq!(partial, b"\0\xffthree");
    }

    #[test]
    fn a_line_of_the_greatest_length_is_whole_and_one_byte_more_cuts_it() {
        let mut line = vec![b'x'; LINE_MAX];
        line.push(b'\n');
        assert_eq!(run(&[&line]).0.len(), 2 + LINE_MAX + 1);
        line.insert(0, b'y');
        let whole = run(&[&line]).0;
        assert!(whole.ends_with(b"x \\\nT x\n"));
        // The same bytes in two reads come out the same.
        assert_eq!(run(&[&line[..LINE_MAX + 1], b"\n"]).0, whole);
        assert_eq!(run(&[&line[..LINE_MAX], &line[LINE_MAX..]]).0, whole);
    }

    #[test]
    fn a_line_without_end_holds_no_more_than_one_piece() {
        let endless = vec![b'x'; 10 * LINE_MAX + 5];
        let (out, partial) = run(&[&endless, &endless]);
        assert_eq!(partial.len(), 10);
        assert_eq!(out.len(), 20 * (2 + LINE_MAX + 3));
    }

    #[test]
    fn empty_lines_do_not_grow_the_output_without_bound() {
        let (mut out, mut partial) = (Vec::new(), Vec::new());
        let newlines = vec![b'\n'; OUT_FULL];
        assert!(stamp_lines(&mut out, &[b'T'; 25], &mut partial, &newlines) < OUT_FULL / 20);
        assert!(out.len() < OUT_FULL + 100);
    }

    #[test]
    fn the_stamp_is_utc_with_milliseconds() {
        let mut stamp = Stamp::new();
        stamp.millis = 1_795_376_931_007;
        stamp.format();
        assert_eq!(&stamp.text, b"2026-11-22T19:48:51.007Z ");
        assert_ne!(stamp.now(), *b"2026-11-22T19:48:51.007Z ");
    }
}
