//! Patterns of paths: glob(7), and braces as in csh.

use std::fs;
use std::path::{Path, PathBuf};

/// The most patterns that braces may stand for; what is beyond is not looked for.
const MAX_PATTERNS: usize = 1_000;

/// Whether a path is there that the pattern matches; a link to nothing counts, as glob(3) has it.
pub(super) fn matches_any(pattern: &str) -> bool {
    expanded(pattern).iter().any(|plain| {
        let parts: Vec<&str> = plain.split('/').filter(|part| !part.is_empty()).collect();
        is_there(Path::new("/"), &parts)
    })
}

fn is_there(dir: &Path, parts: &[&str]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return true };
    if !first.contains(['*', '?', '[', '\\']) {
        let next: PathBuf = dir.join(first);
        return fs::symlink_metadata(&next).is_ok() && is_there(&next, rest);
    }
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let pattern: Vec<char> = first.chars().collect();
    entries.flatten().any(|entry| {
        let name: Vec<char> = entry.file_name().to_string_lossy().chars().collect();
        // A dot at the begin must be written out.
        (name.first() != Some(&'.') || pattern.first() == Some(&'.'))
            && is_match(&pattern, &name)
            && is_there(&entry.path(), rest)
    })
}

/// The patterns that one with braces stands for. Braces without a partner stand for themselves.
fn expanded(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(next) = open.pop().filter(|_| done.len() < MAX_PATTERNS) {
        match braces(&next) {
            Some((before, choices, after)) if open.len() + choices.len() <= MAX_PATTERNS => {
                open.extend(choices.iter().map(|choice| format!("{before}{choice}{after}")));
            }
            _ => done.push(next),
        }
    }
    done
}

/// The first braces of a pattern: what is before them, their choices, and what is behind.
fn braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let start = pattern.find('{')?;
    let mut depth = 0;
    let mut choices = Vec::new();
    let mut from = start + 1;
    for (at, c) in pattern.bytes().enumerate().skip(start) {
        match c {
            b'{' => depth += 1,
            b',' if depth == 1 => {
                choices.push(&pattern[from..at]);
                from = at + 1;
            }
            b'}' if depth == 1 => {
                choices.push(&pattern[from..at]);
                return Some((&pattern[..start], choices, &pattern[at + 1..]));
            }
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether a name is what the pattern says. Goes back to the last star only, so the time is at most
/// the product of both lengths.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star = None;
    while in_name < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, in_name));
            at += 1;
        } else if let Some(next) = one(pattern, at, name[in_name]) {
            (at, in_name) = (next, in_name + 1);
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            (at, in_name) = (star_at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// Where the pattern goes on when its next part stands for this character.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '\\' if at + 1 < pattern.len() => (pattern[at + 1] == c).then_some(at + 2),
        '[' => match class(&pattern[at + 1..], c) {
            Some((is_in, length)) => is_in.then_some(at + 1 + length),
            None => (c == '[').then_some(at + 1),
        },
        plain => (*plain == c).then_some(at + 1),
    }
}

/// Whether a character is in a class such as `a-z]`, and how long the class is.
fn class(rest: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(rest.first(), Some('!' | '^'));
    let start = usize::from(negated);
    // A bracket at the begin stands for itself.
    let end = rest.iter().skip(start + 1).position(|&it| it == ']')? + start + 1;
    let set = &rest[start..end];
    let mut is_in = false;
    let mut at = 0;
    while at < set.len() {
        match set[at..] {
            [from, '-', to, ..] => {
                is_in |= (from..=to).contains(&c);
                at += 3;
            }
            _ => {
                is_in |= set[at] == c;
                at += 1;
            }
        }
    }
    Some((is_in != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{expanded, is_match, matches_any};

    #[test]
    fn a_pattern_is_the_one_of_glob() {
        let is = |pattern: &str, name: &str| {
            is_match(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name) in [
            ("*", "a"),
            ("a*b*c", "axbxbxc"),
            ("?[a-c]", "xb"),
            ("[!a-c]", "d"),
            ("[]x]", "]"),
            ("[^]]", "x"),
            ("[", "["),
            (r"\*", "*"),
            ("ä?", "äö"),
            ("daily.c[vl]d", "daily.cvd"),
        ] {
            assert!(is(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a*b", "ab c"), ("?", ""), ("[a-c]", "d"), (r"\*", "a"), ("a", "ab"), ("[!x]", "x")]
        {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
        // One that goes back to every star would not come to an end.
        assert!(!is(&format!("{}b", "a*".repeat(30)), &"a".repeat(2_000)));
    }

    #[test]
    fn braces_stand_for_their_choices() {
        let all = |text: &str| {
            let mut all = expanded(text);
            all.sort();
            all
        };
        assert_eq!(all("/a"), ["/a"]);
        assert_eq!(all("/x.{c[vl]d,inc}"), ["/x.c[vl]d", "/x.inc"]);
        assert_eq!(all("{a,{b,c}d}{,e}"), ["a", "ae", "bd", "bde", "cd", "cde"]);
        assert_eq!(all("a{b"), ["a{b"]);
        assert!(expanded(&"{a,b}".repeat(40)).len() <= 2 * super::MAX_PATTERNS);
    }

    #[test]
    fn some_path_of_the_pattern_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("one/deep")).unwrap();
        fs::write(dir.path().join("one/deep/daily.cld"), "").unwrap();
        fs::write(dir.path().join(".hidden"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let any = |pattern: &str| matches_any(&format!("{}/{pattern}", dir.path().display()));
        for pattern in ["one", "o*/d??p/daily.{c[vl]d,inc}", "l*", ".h*", "o*/"] {
            assert!(any(pattern), "{pattern}");
        }
        for pattern in ["two", "*/daily.cld", "*hidden", "one/*/daily.cld/*", "{a,b}*"] {
            assert!(!any(pattern), "{pattern}");
        }
    }
}
