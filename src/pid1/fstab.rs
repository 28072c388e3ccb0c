//! fstab(5): bytes in, entries and mistakes out. Pure, and no input makes it panic.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::kernel::mounts::unescape;

/// One line that mounts something or swaps somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line's number, from 1.
    pub line: usize,
    /// The first field: a device, a tag as `UUID=...`, a directory, a word.
    pub source: OsString,
    /// Where it is mounted, without a slash at its end; `none` for swap.
    pub point: PathBuf,
    /// The type of the file system: `ext4`, `auto`, `swap`.
    pub kind: String,
    /// The fourth field, word by word.
    pub options: Vec<String>,
    /// The sixth field: when it is checked, 0 for never.
    pub pass: u32,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Mistake {
    /// The line's number, from 1.
    pub line: usize,
    what: String,
}

impl Entry {
    /// Whether the word is among the options.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.options.iter().any(|option| option == word)
    }

    /// The values of the options `NAME=VALUE` of this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let value = move |option: &'a String| option.strip_prefix(name)?.strip_prefix('=');
        self.options.iter().filter_map(value)
    }

    /// Whether it is swapped to, and mounted nowhere.
    #[must_use]
    pub fn is_swap(&self) -> bool {
        self.kind == "swap"
    }

    /// Whether it is the root file system.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.point == Path::new("/") && !self.is_swap()
    }

    /// Whether it shows a directory in a second place.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        self.has("bind") || self.has("rbind")
    }

    /// Whether it can only be mounted once the network is up.
    #[must_use]
    pub fn needs_network(&self) -> bool {
        const KINDS: [&str; 10] = [
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "ceph",
            "glusterfs",
            "afs",
            "ncpfs",
            "fuse.sshfs",
        ];
        self.has("_netdev") || KINDS.contains(&self.kind.as_str())
    }

    /// Every directory or file that must be there first: what it is mounted on, what it shows, what
    /// its options name.
    fn needs(&self) -> Vec<PathBuf> {
        let mut needs = Vec::new();
        if !self.is_swap() {
            needs.extend(self.point.parent().map(Path::to_owned));
        }
        let source = Path::new(&self.source);
        if source.is_absolute() && !source.starts_with("/dev") && !self.is_word() {
            needs.push(tidy(source));
        }
        for name in ["x-systemd.requires-mounts-for", "lowerdir", "upperdir", "workdir"] {
            let paths = self.values(name).flat_map(|value| value.split([':', ' ']));
            needs
                .extend(paths.filter(|path| path.starts_with('/')).map(|path| tidy(path.as_ref())));
        }
        needs
    }

    /// Whether the first field names nothing that exists.
    fn is_word(&self) -> bool {
        ["tmpfs", "proc", "sysfs", "devpts", "overlay"].contains(&self.kind.as_str())
    }
}

/// Reads a whole file. A wrong line never hides the others.
#[must_use]
pub fn parse(text: &[u8]) -> (Vec<Entry>, Vec<Mistake>) {
    let (mut entries, mut mistakes) = (Vec::new(), Vec::new());
    let mut points = HashSet::new();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        match parse_line(at + 1, line) {
            Ok(Some(entry)) => {
                // What is to be mounted twice on one place is a slip; swap is on no place.
                if entry.is_swap() || points.insert(entry.point.clone()) {
                    entries.push(entry);
                } else {
                    let what = format!("{} has a line above already", entry.point.display());
                    mistakes.push(Mistake { line: entry.line, what });
                }
            }
            Ok(None) => {}
            Err(mistake) => mistakes.push(mistake),
        }
    }
    (entries, mistakes)
}

fn parse_line(number: usize, line: &[u8]) -> Result<Option<Entry>, Mistake> {
    let wrong = |what: &str| Mistake { line: number, what: what.to_owned() };
    let words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.collect();
    let (source, point, kind) = match words.as_slice() {
        [] => return Ok(None),
        [first, ..] if first.starts_with(b"#") => return Ok(None),
        [source, point, kind, ..] => (unescape(source), unescape(point), unescape(kind)),
        _ => return Err(wrong("needs at least a device, a mount point and a type")),
    };
    if line.contains(&0) {
        return Err(wrong("holds a NUL byte"));
    }
    if let Some(extra) = words.get(6).filter(|word| !word.starts_with(b"#")) {
        let extra = String::from_utf8_lossy(extra);
        return Err(wrong(&format!("{extra:?} is a seventh field: a blank in a path is \\040")));
    }
    let kind = kind.into_string().map_err(|_| wrong("the type is not UTF-8"))?;
    let point = PathBuf::from(point);
    if kind != "swap" && !point.is_absolute() {
        return Err(wrong("the mount point does not begin with a slash"));
    }
    if point.components().any(|part| part == Component::ParentDir) {
        return Err(wrong("the mount point has a .. in it"));
    }
    let options = words.get(3).map_or_else(|| "defaults".into(), |word| unescape(word));
    let options = options.into_string().map_err(|_| wrong("the options are not UTF-8"))?;
    Ok(Some(Entry {
        line: number,
        source,
        point: tidy(&point),
        kind,
        options: split_options(&options),
        pass: number_in(words.get(5)).ok_or_else(|| wrong("the sixth field is no number"))?,
    }))
}

fn number_in(word: Option<&&[u8]>) -> Option<u32> {
    match word {
        Some(word) if !word.starts_with(b"#") => std::str::from_utf8(word).ok()?.parse().ok(),
        _ => Some(0),
    }
}

/// A comma inside of double quotes separates nothing: `context="system_u:object_r:tmp_t:s0:c1,c2"`.
fn split_options(text: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Without double slashes, `.` and a slash at the end.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Where udev links the device of a tag (`UUID=...`): `/dev/disk/by-uuid/...`. `None` when the
/// source is no tag.
#[must_use]
pub fn device_link(source: &OsString) -> Option<PathBuf> {
    let mut parts = source.as_bytes().splitn(2, |byte| *byte == b'=');
    let directory = match parts.next()? {
        b"UUID" => "/dev/disk/by-uuid",
        b"LABEL" => "/dev/disk/by-label",
        b"PARTUUID" => "/dev/disk/by-partuuid",
        b"PARTLABEL" => "/dev/disk/by-partlabel",
        b"ID" => "/dev/disk/by-id",
        _ => return None,
    };
    let value = parts.next()?;
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let mut name = Vec::new();
    for &byte in quoted.unwrap_or(value) {
        // udev writes all other bytes of ASCII as \x20 (udev's whitelisted characters).
        if byte.is_ascii_alphanumeric() || byte >= 0x80 || b"#+-.:=@_".contains(&byte) {
            name.push(byte);
        } else {
            name.extend(format!("\\x{byte:02x}").bytes());
        }
    }
    (!name.is_empty()).then(|| Path::new(directory).join(OsString::from_vec(name)))
}

/// The entries in the order to mount them: what others need goes first, then the less deep, then
/// as in the file. `/` is among them. Entries that need each other in a circle come last, as they
/// stand in the file.
#[must_use]
pub fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let mut open = entries;
    // Stable: those of the same depth stay in the file's order.
    open.sort_by_key(|entry| (entry.is_swap(), entry.point.components().count()));
    let mut ordered: Vec<Entry> = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let waits = |entry: &Entry| {
            let needs = entry.needs();
            let gives = |other: &&Entry| !other.is_swap() && other.line != entry.line;
            open.iter().filter(gives).any(|other| {
                // `/` is there in any case.
                !other.is_root() && needs.iter().any(|need| need.starts_with(&other.point))
            })
        };
        let free = open.iter().position(|entry| !waits(entry));
        ordered.push(open.remove(free.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests;
