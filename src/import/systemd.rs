//! A systemd service, with what stands beside it, as a unit.

use super::assemble::Parts;
use super::draft::Draft;
use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::neighbour::Neighbour;
use super::report::{Fate, Report, Verdict, approximated, dropped, kept_by};
use super::specifier::{Names, Piece};
use super::{File, Imported, activation, assemble, conditions, devices, directories, ini, process};
use super::{refused, sandbox, service, unit};

/// A service and all that is known about it.
#[derive(Debug, Clone, Default)]
pub struct Systemd {
    /// The unit's name with its ending, such as `agetty@tty1.service`; the instance is empty for a
    /// template.
    pub name: String,
    /// The service's own file and its drop-ins, in the order in which they count.
    pub files: Vec<File>,
    /// The same for each socket, timer and path unit that starts it, with its name.
    pub beside: Vec<(String, Vec<File>)>,
    /// What tmpfiles.d(5) of that machine makes at boot.
    pub tmpfiles: Vec<File>,
    /// Services that these files name, as far as they are there.
    pub others: Vec<OtherService>,
    /// What is in `/etc/passwd` of the machine it comes from, as far as that is known.
    pub passwd: String,
}

/// A service that another one names.
#[derive(Debug, Clone, Default)]
pub struct OtherService {
    /// The name by which it is named.
    pub name: String,
    /// Its own name; another one where it was named by an alias.
    pub own: String,
    /// Its file and its drop-ins.
    pub files: Vec<File>,
}

/// A directive that counts.
#[derive(Debug)]
pub(super) struct Directive {
    /// Its number in the report.
    pub number: usize,
    pub section: String,
    pub key: String,
    pub value: String,
    /// The name of the unit it belongs to: the service's, or a socket's.
    pub names: Names,
}

impl Directive {
    /// The value with its specifiers replaced.
    pub fn text(&self) -> Result<String, Verdict> {
        self.expand(&self.value)
    }

    /// A part of the value with its specifiers replaced.
    pub fn expand(&self, text: &str) -> Result<String, Verdict> {
        let mut out = String::new();
        for piece in self.names.expand(text).map_err(dropped)? {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Instance('i') => out.push(INSTANCE),
                Piece::Instance(_) => out.push(UNESCAPED_INSTANCE),
                Piece::Variable(_) | Piece::Words(_) | Piece::Output(_) => {
                    return Err(dropped("this specifier is only known when the service starts"));
                }
            }
        }
        Ok(out)
    }

    /// The value's words, with specifiers replaced.
    pub fn words(&self) -> Result<Vec<String>, Verdict> {
        let words = super::words::texts(&self.value).map_err(dropped)?;
        words.iter().map(|word| self.expand(word)).collect()
    }

    /// Names of units, in which a backslash is a part of the name.
    pub fn unit_names(&self) -> Result<Vec<String>, Verdict> {
        let names = self.value.split_whitespace().map(|name| name.trim_matches(['"', '\'']));
        names.map(|name| self.expand(name)).collect()
    }

    /// The value as systemd reads truth.
    pub fn boolean(&self) -> Result<bool, Verdict> {
        match self.value.to_ascii_lowercase().as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
            "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
            _ => Err(dropped("this is neither yes nor no")),
        }
    }
}

/// What one reading of a directive gives: an early end is a verdict, too.
pub(super) type Read = fn(&mut Import, &Directive) -> Result<Verdict, Verdict>;

/// How often a directive counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// The last one wins.
    Once,
    /// All of them; an empty one takes those before it back.
    All,
}

/// Directives of one section that are read in one way.
pub(super) struct Known {
    pub section: &'static str,
    pub keys: &'static [&'static str],
    pub counts: Counts,
    pub read: Read,
}

/// The table of all directives that are read.
fn find(section: &str, key: &str) -> Option<&'static Known> {
    let tables = [
        unit::KEYS,
        service::KEYS,
        process::KEYS,
        directories::KEYS,
        sandbox::KEYS,
        devices::KEYS,
        conditions::KEYS,
        activation::KEYS,
    ];
    let mut all = tables.into_iter().flatten();
    all.find(|known| known.section == section && known.keys.contains(&key))
}

/// A service while it is read.
pub(super) struct Import {
    pub names: Names,
    pub report: Report,
    pub draft: Draft,
    pub parts: Parts,
    /// What stands beside the service, by name.
    pub beside: Vec<String>,
    /// The services that it names.
    pub others: Vec<Neighbour>,
    pub passwd: String,
}

/// Turns a service into a unit.
///
/// # Errors
/// Why no unit can be made of it.
pub fn import(source: &Systemd) -> Result<Imported, String> {
    let names = Names::of_file(&source.name);
    let mut import = Import {
        names: names.clone(),
        report: Report::default(),
        draft: Draft::default(),
        parts: Parts::default(),
        beside: source.beside.iter().map(|(name, _)| name.clone()).collect(),
        others: source.others.iter().map(Neighbour::of).collect(),
        passwd: source.passwd.clone(),
    };
    let mut directives = import.read(&source.files, &names)?;
    for (name, files) in &source.beside {
        directives.extend(import.read(files, &Names::of_file(name))?);
    }
    for directive in &directives {
        let verdict = match find(&directive.section, &directive.key) {
            Some(known) => (known.read)(&mut import, directive).unwrap_or_else(|verdict| verdict),
            None => refused::verdict(&directive.section, &directive.key),
        };
        // Without its user a service would run as root.
        let is_user = ["User", "Group", "DynamicUser"].contains(&directive.key.as_str());
        if is_user && directive.section == "Service" && verdict.fate == Fate::Dropped {
            return Err(format!("{}={}: {}", directive.key, directive.value, verdict.why));
        }
        import.report.set(directive.number, verdict);
    }
    super::tmpfiles::take(&mut import, &source.tmpfiles);
    assemble::finish(import)
}

impl Import {
    /// The directives of a unit's files that count; of the others the report says why they do not.
    fn read(&mut self, files: &[File], names: &Names) -> Result<Vec<Directive>, String> {
        let mut all: Vec<Directive> = Vec::new();
        for file in files {
            let read = ini::read(&file.text).map_err(|why| format!("{}: {why}", file.path))?;
            for line in read {
                let key = if line.key.is_empty() { &line.value } else { &line.key };
                let value = if line.key.is_empty() { "" } else { &line.value };
                let number = self.report.open(&file.path, line.line, &line.section, key, value);
                if line.key.is_empty() {
                    self.report.set(number, dropped("this is no assignment"));
                    continue;
                }
                let value = line.value.replace([INSTANCE, UNESCAPED_INSTANCE, '\0'], "\u{fffd}");
                let (section, key) = (line.section, line.key);
                all.push(Directive { number, section, key, value, names: names.clone() });
            }
        }
        let counts =
            |it: &Directive| find(&it.section, &it.key).map_or(Counts::All, |it| it.counts);
        let mut effective: Vec<Directive> = Vec::new();
        for directive in all {
            let same = |it: &Directive| it.section == directive.section && it.key == directive.key;
            if directive.value.is_empty() || counts(&directive) == Counts::Once {
                let taken_back = "a later one takes its place";
                for old in effective.iter().filter(|old| same(old)) {
                    self.report.set(old.number, kept_by(taken_back));
                }
                effective.retain(|old| !same(old));
            }
            // An empty bounding set is one, and no mere new beginning (systemd.exec(5)).
            if directive.value.is_empty() && directive.key != "CapabilityBoundingSet" {
                self.report.set(directive.number, kept_by("it takes back those before it"));
            } else {
                effective.push(directive);
            }
        }
        Ok(effective)
    }

    /// Sets a key that says just what a directive says.
    pub fn keep(&mut self, key: &'static str, value: super::yaml::Yaml, it: &Directive) -> Verdict {
        self.draft.set(key, value, &[it.number]);
        super::report::kept()
    }

    /// Sets a key that says nearly what a directive says.
    pub fn nearly(
        &mut self,
        key: &'static str,
        value: super::yaml::Yaml,
        it: &Directive,
        why: &str,
    ) -> Verdict {
        self.draft.set(key, value, &[it.number]);
        approximated(why)
    }

    /// Whether this unit of systemd's is read together with the service.
    pub fn is_beside(&self, name: &str) -> bool {
        self.beside.iter().any(|known| known == name)
    }

    /// Whether a name stands for the service itself.
    pub fn is_itself(&self, name: &str) -> bool {
        name == format!("{}.service", self.names.stem())
    }
}
