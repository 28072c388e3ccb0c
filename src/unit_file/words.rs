//! The words of a command written as one string: quotes and backslashes as in a shell, and
//! nothing else of a shell. What a shell would act on is refused, not passed on as text.

use super::keys;
use super::node::{Node, Value};

/// Why a string cannot be split into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SplitError {
    /// A backslash ends the string.
    Backslash,
    /// A quote is not closed: all from it on.
    Unclosed(String),
    /// An unquoted stretch that only a shell understands.
    Shell(String),
}

/// The words of a scalar. What an instance puts into a template comes after the splitting: with
/// blanks or quotes in it it is still a part of one word.
pub(super) fn of(node: &Node) -> Option<Result<Vec<String>, SplitError>> {
    let words = match &node.raw {
        None => split(node.text()?),
        Some(written) => split(&written.text).map(|words| {
            // A `%` that means nothing has its diagnostic already.
            words.into_iter().map(|word| written.values.fill(&word).unwrap_or(word)).collect()
        }),
    };
    Some(words)
}

/// The value of a key in which each command that something was put into is a list: split again it
/// might be other words.
pub(super) fn put_in<'a>(key: &str, value: &Node<'a>) -> Node<'a> {
    if keys::is_command(key) {
        return as_list(value).unwrap_or_else(|| value.clone());
    }
    if key == "ready" {
        return of_mapping(value);
    }
    if !keys::is_hooks(key) {
        return value.clone();
    }
    match &value.value {
        Value::List(list) => {
            let item = |item: &Node<'a>| as_list(item).unwrap_or_else(|| of_mapping(item));
            Node { value: Value::List(list.iter().map(item).collect()), ..value.clone() }
        }
        // A list alone would be several commands.
        Value::Scalar(_) => match as_list(value) {
            Some(words) => Node { place: value.place, value: Value::List(vec![words]), raw: None },
            None => value.clone(),
        },
        Value::Map(_) | Value::Null => of_mapping(value),
    }
}

/// The same for the `command` of a mapping.
fn of_mapping<'a>(node: &Node<'a>) -> Node<'a> {
    let Value::Map(map) = &node.value else { return node.clone() };
    let entry = |(key, value): &(Node<'a>, Node<'a>)| {
        let words = if key.text() == Some("command") { as_list(value) } else { None };
        (key.clone(), words.unwrap_or_else(|| value.clone()))
    };
    Node { value: Value::Map(map.iter().map(entry).collect()), ..node.clone() }
}

/// The words of a string that something was put into.
fn as_list(node: &Node<'_>) -> Option<Node<'static>> {
    node.raw.as_ref()?;
    let words = of(node)?.ok()?;
    let item =
        |word: String| Node { place: node.place, value: Value::Scalar(word.into()), raw: None };
    let list = Value::List(words.into_iter().map(item).collect());
    Some(Node { place: node.place, value: list, raw: None })
}

/// Splits as a POSIX shell does (XCU 2.2): `'...'` takes all as it is, `"..."` and the backslash
/// as there.
pub(super) fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.trim_end().chars();
    while let Some(c) = rest.next() {
        match c {
            '\n' if !words.is_empty() || word.is_some() => {
                return Err(SplitError::Shell("\n".to_owned()));
            }
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let from = rest.as_str();
                let quoted = single_quoted(&mut rest).ok_or_else(|| unclosed(c, from))?;
                word.get_or_insert_default().push_str(quoted);
            }
            '"' => double_quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => match rest.next() {
                None => return Err(SplitError::Backslash),
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            c => {
                refuse_shell(c, rest.as_str(), "|&;<>()")?;
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word);
    Ok(words)
}

fn unclosed(quote: char, rest: &str) -> SplitError {
    SplitError::Unclosed(format!("{quote}{rest}"))
}

fn single_quoted<'a>(rest: &mut std::str::Chars<'a>) -> Option<&'a str> {
    let (quoted, after) = rest.as_str().split_once('\'')?;
    *rest = after.chars();
    Some(quoted)
}

fn double_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), SplitError> {
    let from = rest.as_str();
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                None => break,
                Some('\n') => {}
                Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
            },
            c => {
                refuse_shell(c, rest.as_str(), "")?;
                word.push(c);
            }
        }
    }
    Err(unclosed('"', from))
}

/// Refuses one of the operators and every expansion that starts at `c`.
fn refuse_shell(c: char, rest: &str, operators: &str) -> Result<(), SplitError> {
    let next = rest.chars().next();
    let shown = match (c, next) {
        ('`', _) => "`".to_owned(),
        ('$', Some(n)) if n.is_ascii_alphabetic() || n == '_' => {
            let name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            std::iter::once(c).chain(rest.chars().take_while(name).take(30)).collect()
        }
        ('$', Some(n)) if "({".contains(n) => format!("${n}"),
        (c, Some(n)) if operators.contains(c) && "|&<>".contains(n) => format!("{c}{n}"),
        (c, _) if operators.contains(c) => c.to_string(),
        _ => return Ok(()),
    };
    Err(SplitError::Shell(shown))
}

#[cfg(test)]
mod tests {
    use super::{SplitError, split};

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        for (text, words) in [
            ("", &[] as &[&str]),
            ("  nginx  ", &["nginx"]),
            ("a  b\tc", &["a", "b", "c"]),
            ("a 'b c' d", &["a", "b c", "d"]),
            (r#"nginx -g "daemon off;""#, &["nginx", "-g", "daemon off;"]),
            (r#"a"b"'c'd"#, &["abcd"]),
            (r"a\ b \| \$x", &["a b", "|", "$x"]),
            (r#""a\"b\\c\d\$x""#, &[r#"a"b\c\d$x"#]),
            (r"'a\b $HOME `x`'", &[r"a\b $HOME `x`"]),
            (r#"a "" ''"#, &["a", "", ""]),
            ("a \\\n b", &["a", "b"]),
            ("price=5$ 100%", &["price=5$", "100%"]),
            ("--exclude=*.o ~ {a,b} x#y", &["--exclude=*.o", "~", "{a,b}", "x#y"]),
            ("ä 'ö ü'", &["ä", "ö ü"]),
            ("a b\n", &["a", "b"]),
        ] {
            let owned: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(split(text), Ok(owned), "{text:?}");
        }
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for (text, shown) in [
            ("a | b", "|"),
            ("a && b", "&&"),
            ("a || b", "||"),
            ("a &", "&"),
            ("a > f", ">"),
            ("a >> f", ">>"),
            ("a 2>&1", ">&"),
            ("a < f", "<"),
            ("a; b", ";"),
            ("(a)", "("),
            ("a $(b)", "$("),
            ("a `b`", "`"),
            ("kill $MAINPID", "$MAINPID"),
            ("echo \"$HOME\"", "$HOME"),
            ("echo ${HOME}", "${"),
            ("a\nb", "\n"),
        ] {
            assert_eq!(split(text), Err(SplitError::Shell(shown.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn open_quotes_are_refused() {
        for (text, from) in [("a 'b", "'b"), ("a \"b", "\"b"), ("\"a\\", "\"a\\")] {
            assert_eq!(split(text), Err(SplitError::Unclosed(from.to_owned())), "{text:?}");
        }
        assert_eq!(split("a\\"), Err(SplitError::Backslash));
    }
}
