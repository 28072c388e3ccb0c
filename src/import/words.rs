//! Words as systemd splits them: quotes, and C's escapes (systemd.syntax(7), "Quoting").

/// One word, and whether a part of it was quoted or escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub is_quoted: bool,
}

/// Splits a value into its words.
///
/// # Errors
/// A quote that is not closed, or a backslash at the end.
pub(super) fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                begun(&mut word).is_quoted = true;
            }
            ('\\', _) => {
                let word = begun(&mut word);
                word.is_quoted = true;
                unescape(&mut rest, &mut word.text)?;
            }
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, _) => begun(&mut word).text.push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the quote {open} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// The words as plain texts.
///
/// # Errors
/// As [`split`].
pub(super) fn texts(text: &str) -> Result<Vec<String>, String> {
    Ok(split(text)?.into_iter().map(|word| word.text).collect())
}

fn begun(word: &mut Option<Word>) -> &mut Word {
    word.get_or_insert_with(|| Word { text: String::new(), is_quoted: false })
}

/// What follows a backslash. What is no escape keeps its backslash, as systemd has it.
fn unescape(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    let c = rest.next().ok_or("a backslash ends it")?;
    let plain = match c {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        's' => ' ',
        '\\' | '"' | '\'' => c,
        ';' => ';',
        'x' => return number(rest, 2, 16, "\\x", out),
        'u' => return number(rest, 4, 16, "\\u", out),
        'U' => return number(rest, 8, 16, "\\U", out),
        '0'..='7' => {
            let all = c.to_string() + &rest.as_str().chars().take(2).collect::<String>();
            return match u8::from_str_radix(&all, 8) {
                Ok(byte @ 1..) if all.len() == 3 && byte.is_ascii() => {
                    out.push(char::from(byte));
                    *rest = rest.as_str()[2..].chars();
                    Ok(())
                }
                _ => keep(c, out),
            };
        }
        c => return keep(c, out),
    };
    out.push(plain);
    Ok(())
}

fn keep(c: char, out: &mut String) -> Result<(), String> {
    out.extend(['\\', c]);
    Ok(())
}

fn number(
    rest: &mut std::str::Chars<'_>,
    digits: usize,
    radix: u32,
    begin: &str,
    out: &mut String,
) -> Result<(), String> {
    let text =
        rest.as_str().get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    let found = text.and_then(|text| u32::from_str_radix(text, radix).ok());
    match found.and_then(char::from_u32).filter(|&c| c != '\0') {
        Some(c) => {
            out.push(c);
            *rest = rest.as_str()[digits..].chars();
        }
        None => out.push_str(begin),
    }
    Ok(())
}

/// A word for a POSIX shell, quoted only where it must be.
pub(super) fn shell_quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{shell_quoted, split, texts};

    #[test]
    fn words_are_split_as_systemd_splits_them() {
        for (text, words) in [
            ("", &[] as &[&str]),
            ("  /bin/a  b\tc ", &["/bin/a", "b", "c"]),
            (r#"a "b c" 'd "e"' f"#, &["a", "b c", "d \"e\"", "f"]),
            (r#"a"b c"d '' """#, &["ab cd", "", ""]),
            (r"a\ b", &[r"a\ b"]),
            (r#""\x41\101\u00e9\s" '\n'"#, &["AAé ", "\n"]),
            (r"\x4 \q \400 \x00 \u", &["\\x4", "\\q", "\\400", "\\x00", "\\u"]),
            (r"a \; b", &["a", ";", "b"]),
            ("ä 'ö ü'", &["ä", "ö ü"]),
        ] {
            assert_eq!(texts(text).unwrap(), words, "{text:?}");
        }
        for text in ["a 'b", "\"", "a\\"] {
            assert!(split(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for (text, quoted) in [
            ("a-b/c", "a-b/c"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(shell_quoted(text), quoted);
        }
    }
}
