//! Files of environment variables.

use std::path::Path;

use nix::errno::Errno;

use super::files;

/// The largest file that is read, in bytes.
const MAX_ENV_FILE: usize = 256 * 1024;

/// Reads lines of `NAME=value`; `#` starts a comment line, and a pair of quotes round the whole
/// value is taken off. `Err(None)` is a missing file.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, Option<String>> {
    let bytes = files::read_small(path, MAX_ENV_FILE).map_err(|error| match error.errno() {
        Errno::ENOENT => None,
        _ => Some(error.to_string()),
    })?;
    parse(&String::from_utf8_lossy(&bytes)).map_err(Some)
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        let Some((name, value)) = pair.filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(format!("line {}: expected NAME=value", number + 1));
        };
        let value = value.trim();
        let unquoted =
            ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        pairs.push((name.trim().to_owned(), unquoted.unwrap_or(value).to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_env_file_has_comments_quotes_and_nothing_else() {
        let text = "# comment\nA=1\n\nexport B=\"two words\"\nC='x=y'\nD=\n";
        let pairs = parse(text).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "two words"), ("C", "x=y"), ("D", "")]);
        assert_eq!(parse("A=1\nnonsense\n").unwrap_err(), "line 2: expected NAME=value");
    }
}
