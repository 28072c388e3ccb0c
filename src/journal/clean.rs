//! Text that a terminal may show.

use std::borrow::Cow;
use std::fmt::Write;

/// Makes a service's bytes safe to show to people: nothing in them moves the cursor, changes the
/// terminal or hides other text.
///
/// Control characters except tab, DEL and bytes that are not UTF-8 become `\x1b`; the control
/// characters U+0080 to U+009F and the bidirectional ones (U+202A to U+202E, U+2066 to U+2069)
/// become `\u{202e}`. A backslash stays as it is, so the way back is not always unique.
#[must_use]
pub fn clean(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, is_harmful)
}

/// The text of `bytes` with what is not UTF-8 as `\xff`; control characters stay.
pub(super) fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    escape(bytes, |_| false)
}

/// Makes JSON safe to show to people: what [`clean`] would change and JSON does not escape by
/// itself becomes `\u009b`, which means the same to whoever reads it.
#[must_use]
pub fn clean_json(json: String) -> String {
    if !json.contains(is_harmful) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        // All of them are in the plane that has four digits. Writing to a String cannot fail.
        let _ = match c {
            c if is_harmful(c) => write!(out, "\\u{:04x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(bytes: &[u8], harmful: fn(char) -> bool) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains(harmful)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                c if !harmful(c) => out.write_char(c),
                c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
                c => write!(out, "\\u{{{:x}}}", u32::from(c)),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{as_text, clean};

    #[test]
    fn nothing_reaches_a_terminal_that_is_not_text() {
        for (raw, shown) in [
            (&b"plain \xc3\xa9 \t \\ text"[..], "plain \u{e9} \t \\ text"),
            (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"real\rfake", "real\\x0dfake"),
            (b"a\nb\0c\x7f", "a\\x0ab\\x00c\\x7f"),
            (b"\xc2\x9b31m", "\\u{9b}31m"),
            (b"\x9b31m \xff \xe2\x82", "\\x9b31m \\xff \\xe2\\x82"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}".as_bytes(), "\\u{202a}\\u{202e}\\u{2066}\\u{2069}"),
            ("\u{2029}\u{202f}\u{2065}".as_bytes(), "\u{2029}\u{202f}\u{2065}"),
            (b"", ""),
        ] {
            assert_eq!(clean(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn every_single_byte_is_harmless_afterwards() {
        for byte in 0..=255u8 {
            let raw = [byte];
            let shown = clean(&raw);
            assert!(
                shown.chars().all(|c| c == '\t' || !c.is_control()),
                "{byte:#x} gave {shown:?}"
            );
        }
    }

    #[test]
    fn json_is_harmless_and_means_the_same() {
        let text = "\u{1b}[2J \u{7f} \u{9b}31m \u{202e} \u{e9} \\u009b";
        let json = super::clean_json(serde_json::to_string(text).unwrap());
        let shown = r#""\u001b[2J \u007f \u009b31m \u202e é \\u009b""#;
        assert_eq!(json, shown);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(clean(b"plain"), Cow::Borrowed("plain")));
        assert_eq!(as_text(b"\x1b\xff"), "\u{1b}\\xff");
    }
}
