//! systemd's specifiers, `%i` and its like (systemd.unit(5), "Specifiers").

/// A stretch of a text: known now, or only when the service starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// A part of an instance's name in a template: `%i` or `%I` of Treeward.
    Instance(char),
    /// `${NAME}` inside a word.
    Variable(String),
    /// `$NAME` as a word of its own: split at blanks, nothing at all when it is empty.
    Words(String),
    /// What this shell command prints.
    Output(&'static str),
}

/// What the specifiers stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The unit's name before its `@` and ending.
    pub prefix: String,
    /// What stands behind the `@`; `None` where it is no instance; empty for a template.
    pub instance: Option<String>,
    /// systemd's ending, such as `service`.
    pub kind: String,
}

impl Names {
    /// From a file's name such as `agetty@tty1.service`.
    pub fn of_file(name: &str) -> Self {
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance.to_owned())),
            None => (stem, None),
        };
        Self { prefix: prefix.to_owned(), instance, kind: kind.to_owned() }
    }

    /// Whether the instance is not known yet.
    pub fn is_template(&self) -> bool {
        self.instance.as_deref() == Some("")
    }

    /// The name without the ending.
    pub fn stem(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}@{instance}", self.prefix),
            None => self.prefix.clone(),
        }
    }

    /// Takes a text apart. Percent signs that begin no specifier stay as they are.
    ///
    /// # Errors
    /// A specifier that cannot be carried over, with the reason.
    pub fn expand(&self, text: &str) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                push(&mut pieces, c.encode_utf8(&mut [0; 4]));
                continue;
            }
            match rest.next() {
                None => push(&mut pieces, "%"),
                Some('%') => push(&mut pieces, "%"),
                Some(letter) => self.specifier(letter, &mut pieces)?,
            }
        }
        Ok(pieces)
    }

    fn specifier(&self, letter: char, pieces: &mut Vec<Piece>) -> Result<(), String> {
        let instance = self.instance.as_deref().unwrap_or("");
        let text = match letter {
            'i' | 'I' if self.is_template() => {
                pieces.push(Piece::Instance(letter));
                return Ok(());
            }
            'n' | 'N' if self.is_template() => {
                push(pieces, &format!("{}@", self.prefix));
                pieces.push(Piece::Instance('i'));
                if letter == 'n' {
                    push(pieces, &format!(".{}", self.kind));
                }
                return Ok(());
            }
            'f' if self.is_template() => {
                push(pieces, "/");
                pieces.push(Piece::Instance('I'));
                return Ok(());
            }
            'i' => instance.to_owned(),
            'I' => unescaped(instance),
            'n' => format!("{}.{}", self.stem(), self.kind),
            'N' => self.stem(),
            'p' => self.prefix.clone(),
            'P' => unescaped(&self.prefix),
            'j' => self.last_part().to_owned(),
            'J' => unescaped(self.last_part()),
            'f' => {
                let name = if instance.is_empty() { &self.prefix } else { instance };
                format!("/{}", unescaped(name).trim_start_matches('/'))
            }
            't' => "/run".to_owned(),
            'S' => "/var/lib".to_owned(),
            'C' => "/var/cache".to_owned(),
            'L' => "/var/log".to_owned(),
            'E' => "/etc".to_owned(),
            'T' => "/tmp".to_owned(),
            'V' => "/var/tmp".to_owned(),
            // These are about the user of the service manager, which is root.
            'h' => "/root".to_owned(),
            'u' | 'g' => "root".to_owned(),
            'U' | 'G' => "0".to_owned(),
            's' => "/bin/sh".to_owned(),
            'H' => return output(pieces, "uname -n"),
            'l' => return output(pieces, "uname -n | cut -d. -f1"),
            'v' => return output(pieces, "uname -r"),
            'a' => return output(pieces, "uname -m"),
            'm' => return output(pieces, "cat /etc/machine-id"),
            'b' => return output(pieces, "tr -d - </proc/sys/kernel/random/boot_id"),
            'd' => return Err("there are no credentials (%d)".to_owned()),
            letter if letter.is_ascii_alphabetic() => {
                return Err(format!("%{letter} is not known here"));
            }
            other => format!("%{other}"),
        };
        push(pieces, &text);
        Ok(())
    }

    fn last_part(&self) -> &str {
        self.prefix.rsplit('-').next().unwrap_or_default()
    }
}

fn output(pieces: &mut Vec<Piece>, command: &'static str) -> Result<(), String> {
    pieces.push(Piece::Output(command));
    Ok(())
}

/// Adds a text to pieces, to the last one where that is a text, too.
pub(super) fn push(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// Undoes systemd-escape(1): `-` is `/`, and `\x2d` is `-`.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let code = after.strip_prefix(b"x").and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'-', _) => bytes.push(b'/'),
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = &after[3..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Names, Piece};

    fn expanded(file: &str, text: &str) -> Result<String, String> {
        let pieces = Names::of_file(file).expand(text)?;
        let show = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Instance(letter) => format!("<{letter}>"),
            Piece::Variable(name) | Piece::Words(name) => name,
            Piece::Output(command) => format!("$({command})"),
        };
        Ok(pieces.into_iter().map(show).collect())
    }

    #[test]
    fn specifiers_of_a_plain_unit() {
        for (text, expected) in [
            ("%n %N %p %P %i %j", "a-b.service a-b a-b a/b  b"),
            ("%t %S %C %L %E %T %V", "/run /var/lib /var/cache /var/log /etc /tmp /var/tmp"),
            ("%h %u %U %g %G", "/root root 0 root 0"),
            ("100%% 5%, %H", "100% 5%, $(uname -n)"),
            ("50%", "50%"),
            ("%f", "/a/b"),
        ] {
            assert_eq!(expanded("a-b.service", text).as_deref(), Ok(expected), "{text:?}");
        }
        assert!(expanded("a.service", "%d").is_err());
        assert!(expanded("a.service", "%Q").is_err());
    }

    #[test]
    fn specifiers_of_instances_and_templates() {
        let file = r"fsck@dev-disk\x2done.service";
        assert_eq!(
            expanded(file, "%i|%I|%f").as_deref(),
            Ok(r"dev-disk\x2done|dev/disk-one|/dev/disk-one")
        );
        assert_eq!(
            expanded("a@.service", "%i %I %n %N %f").as_deref(),
            Ok("<i> <I> a@<i>.service a@<i> /<I>")
        );
        assert_eq!(expanded("a@x@y.service", "%p %i").as_deref(), Ok("a x@y"));
    }
}
