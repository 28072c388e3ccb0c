//! Values of a Compose file, with their variables.

use super::exec::argv;
use super::report::{Verdict, dropped};
use super::yaml::Yaml;
use crate::unit_file::tree::{Branch, Tree};

/// A command: a list of words, or one string, which Compose splits as a shell would.
pub(super) fn words(value: &Tree) -> Result<Option<Vec<String>>, Verdict> {
    match &value.value {
        Branch::Nothing => Ok(None),
        Branch::List(_) => list(value).map(Some),
        _ => {
            let line = text(value)?;
            let words = super::words::texts(&line).map_err(dropped)?;
            Ok(Some(words).filter(|words| !words.is_empty()))
        }
    }
}

pub(super) fn list(value: &Tree) -> Result<Vec<String>, Verdict> {
    match &value.value {
        Branch::List(list) => list.iter().map(text).collect(),
        _ => Ok(argv(&[&text(value)?])),
    }
}

pub(super) fn text(value: &Tree) -> Result<String, Verdict> {
    match &value.value {
        Branch::Text(text) => interpolated(text),
        _ => Err(dropped("this should be a text")),
    }
}

/// A value with its variables: `$$` is a dollar sign, `${NAME:-default}` its default. Others are
/// not known here.
fn interpolated(text: &str) -> Result<String, Verdict> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let found = braced.and_then(|(inner, after)| {
            let (_, default) = inner.split_once(":-").or(inner.split_once('-'))?;
            Some((default, after))
        });
        match found {
            Some((default, after)) => {
                out.push_str(default);
                rest = after;
            }
            None if rest.starts_with(|c: char| c == '{' || c == '_' || c.is_ascii_alphabetic()) => {
                return Err(dropped("its variable is not known here; write the value"));
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
    Ok(out)
}

pub(super) fn yaml(value: &Tree) -> Result<Yaml, Verdict> {
    Ok(match &value.value {
        Branch::Nothing => return Err(dropped("there is no value")),
        Branch::Text(it) => {
            let it = interpolated(it)?;
            // Words and numbers of the unit language look as they did.
            let is_bare = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
            if !it.is_empty()
                && it.chars().all(is_bare)
                && !it.ends_with(':')
                && !it.starts_with(['-', ':'])
            {
                Yaml::bare(it)
            } else {
                Yaml::text(it)
            }
        }
        Branch::List(list) => Yaml::List(list.iter().map(yaml).collect::<Result<_, _>>()?),
        Branch::Map(map) => Yaml::Map(
            map.iter()
                .map(|(key, _, value)| Ok((key.clone(), yaml(value)?)))
                .collect::<Result<_, Verdict>>()?,
        ),
    })
}
