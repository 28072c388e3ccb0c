//! The files that an import reads: a service, its drop-ins, and what stands beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File as Opened;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::import::{File, OtherService, RunDirectory, Systemd};
use crate::words::words_of;

/// Where systemd looks for units, in the order in which they count (systemd.unit(5)).
const PLACES: &[&str] = &[
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The endings of what can start a service, and its own.
pub(super) const KINDS: &[&str] = &["service", "socket", "timer", "path"];

/// Directives that name other units.
const RELATIONS: &[&str] = &[
    "After",
    "Before",
    "Requires",
    "Requisite",
    "Wants",
    "BindsTo",
    "PartOf",
    "Upholds",
    "Conflicts",
    "WantedBy",
    "RequiredBy",
];

/// The most services that are looked at because this one names them.
const MOST_OTHERS: usize = 100;

/// The most files of a directory that are looked at for their aliases.
const MOST_SERVICES: usize = 5_000;

/// The largest file in bytes that is read.
const MOST: u64 = 1024 * 1024;

/// Reads a file of bearable size. What is no UTF-8 in it is replaced.
///
/// # Errors
/// What is wrong with it, with its path.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let failed = |error: std::io::Error| format!("{}: {}", path.display(), words_of(&error));
    let mut bytes = Vec::new();
    let opened = Opened::open(path).map_err(failed)?;
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err(format!("{}: this is no file", path.display()));
    }
    opened.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST {
        return Err(format!("{}: more than {MOST} bytes are too many", path.display()));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(File { path: path.display().to_string(), text })
}

/// A service with all that belongs to it.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn systemd(wanted: &Path, root: Option<&Path>) -> Result<Systemd, String> {
    let name = file_name(wanted)?;
    let path = located(wanted, root);
    let root = root.map(Path::to_owned).or_else(|| root_of(&path));
    let place = path.parent().unwrap_or(Path::new("")).to_owned();
    let name = service_of(&path, &name)?;
    let search = Search { place, root };
    let service = search.find(&name).ok_or_else(|| {
        format!("{}: there is no {name} beside it, nor in systemd's directories", wanted.display())
    })?;
    let mut source =
        Systemd { files: search.with_drop_ins(&service, &name)?, ..Systemd::default() };
    let stem = name.trim_end_matches(".service").to_owned();
    for kind in &KINDS[1..] {
        let beside = format!("{stem}.{kind}");
        if let Some(path) = search.find(&beside) {
            let files = search.with_drop_ins(&path, &beside)?;
            if !is_for_instances(&files) {
                source.beside.push((beside, files));
            }
        }
    }
    source.others = search.others(&source)?;
    source.tmpfiles = search.tmpfiles();
    let passwd = search.root.as_deref().unwrap_or(Path::new("/")).join("etc/passwd");
    source.passwd = read(&passwd).map(|file| file.text).unwrap_or_default();
    source.name = name;
    Ok(source)
}

/// Whether a socket starts an instance of a template for each connection: that is another service.
fn is_for_instances(files: &[File]) -> bool {
    let lines = files.iter().flat_map(|file| file.text.lines());
    let mut accept =
        lines.filter_map(|line| line.trim().strip_prefix("Accept")?.trim().strip_prefix('='));
    accept.next_back().is_some_and(|value| ["yes", "true", "1", "on"].contains(&value.trim()))
}

/// A file, and the absolute path of the directory that it is in.
///
/// # Errors
/// It cannot be read.
pub(super) fn with_place(path: &Path) -> Result<(File, String), String> {
    let file = read(path)?;
    let whole =
        path.canonicalize().map_err(|error| format!("{}: {}", path.display(), words_of(&error)))?;
    let place = whole.parent().unwrap_or(Path::new("/"));
    Ok((file, text_of(place)?))
}

fn text_of(path: &Path) -> Result<String, String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{}: this path is no UTF-8", path.display()))
}

/// The most files of a run directory that are looked at.
const MOST_FILES: usize = 500;

/// A run directory with its small files. Of a directory in it only the names count, and only of
/// those that a supervisor itself looks into.
///
/// # Errors
/// It cannot be read.
pub(super) fn run_directory(path: &Path) -> Result<RunDirectory, String> {
    let whole =
        path.canonicalize().map_err(|error| format!("{}: {}", path.display(), words_of(&error)))?;
    let mut source =
        RunDirectory { name: file_name(&whole)?, path: text_of(&whole)?, files: Vec::new() };
    let listed = |dir: &Path| -> Result<Vec<PathBuf>, String> {
        let failed = |error: std::io::Error| format!("{}: {}", dir.display(), words_of(&error));
        let entries = std::fs::read_dir(dir).map_err(failed)?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    };
    for path in listed(&whole)? {
        let name = file_name(&path)?;
        if !path.is_dir() {
            // A program is not read: it is run.
            let size = path.metadata().map_or(0, |metadata| metadata.len());
            let text = if size < 4_096 { read(&path).map(|file| file.text).ok() } else { None };
            source.files.push((name, text.unwrap_or_default()));
        } else if ["dependencies.d", "contents.d", "control"].contains(&name.as_str()) {
            for inner in listed(&path)? {
                source.files.push((format!("{name}/{}", file_name(&inner)?), String::new()));
            }
        } else {
            source.files.push((format!("{name}/"), String::new()));
        }
        if source.files.len() > MOST_FILES {
            return Err(format!("{}: too many files for a run directory", whole.display()));
        }
    }
    Ok(source)
}

fn file_name(path: &Path) -> Result<String, String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| format!("{}: this is no name of a unit", path.display()))
}

/// The file itself: where it was said to be, or, for a mere name, where systemd would find it.
fn located(wanted: &Path, root: Option<&Path>) -> PathBuf {
    if wanted.exists() || wanted.components().count() > 1 {
        return wanted.to_owned();
    }
    let root = root.unwrap_or(Path::new("/"));
    let mut all = PLACES.iter().map(|place| root.join(place).join(wanted));
    all.find(|path| path.exists()).unwrap_or_else(|| wanted.to_owned())
}

/// The root of the system that a path in one of systemd's directories belongs to.
fn root_of(path: &Path) -> Option<PathBuf> {
    let place = path.parent()?;
    let suffix = PLACES.iter().filter(|suffix| place.ends_with(suffix));
    let suffix = suffix.max_by_key(|suffix| suffix.len())?;
    place.ancestors().nth(Path::new(suffix).components().count()).map(Path::to_owned)
}

/// The service that a unit is about: itself, or the one that a socket, timer or path starts.
fn service_of(path: &Path, name: &str) -> Result<String, String> {
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
    if kind == "service" {
        return Ok(format!("{stem}.service"));
    }
    let text = read(path)?.text;
    let key = if kind == "socket" { "Service" } else { "Unit" };
    let named = text.lines().filter_map(|line| line.trim().split_once('='));
    let mut named = named.filter(|(found, _)| found.trim() == key).map(|(_, value)| value.trim());
    Ok(named.next_back().map_or_else(|| format!("{stem}.service"), str::to_owned))
}

/// Where units are looked for.
struct Search {
    /// The directory of the file that was named.
    place: PathBuf,
    /// The root of a system whose directories count, too.
    root: Option<PathBuf>,
}

impl Search {
    fn places(&self) -> Vec<PathBuf> {
        let all = PLACES.iter().filter_map(|place| Some(self.root.as_ref()?.join(place)));
        let mut places: Vec<PathBuf> = all.collect();
        if !places.contains(&self.place) {
            places.insert(0, self.place.clone());
        }
        places
    }

    /// A unit's file: its own, or its template's.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let mut names = vec![name.to_owned()];
        names.extend(template_of(name));
        let beside = names.iter().map(|name| self.place.join(name));
        let others = names
            .iter()
            .flat_map(|name| self.places().into_iter().map(move |place| place.join(name)));
        beside.chain(others).find(|path| path.is_file())
    }

    /// The services that these files name, as far as they are there, also by their aliases.
    fn others(&self, source: &Systemd) -> Result<Vec<OtherService>, String> {
        let beside = source.beside.iter().flat_map(|(_, files)| files);
        let mut names = BTreeSet::new();
        for line in source.files.iter().chain(beside).flat_map(|file| file.text.lines()) {
            let Some((key, value)) = line.split_once('=') else { continue };
            if RELATIONS.contains(&key.trim()) {
                let words = value.split_whitespace();
                names.extend(
                    words.filter(|it| it.ends_with(".service") && !it.contains(['%', '/'])),
                );
            }
        }
        let mut aliases = None;
        let mut others = Vec::new();
        for name in names.into_iter().take(MOST_OTHERS).filter(|name| **name != source.name) {
            let found = self.find(name);
            let own = match &found {
                Some(path) => path.canonicalize().ok().and_then(|path| file_name(&path).ok()),
                None => aliases.get_or_insert_with(|| self.aliases()).get(name).cloned(),
            };
            // A template's file has another name than its instance.
            let own = own.filter(|own| own.ends_with(".service") && !own.contains('@'));
            let own = own.unwrap_or_else(|| name.to_owned());
            if let Some(path) = self.find(&own) {
                let files = self.with_drop_ins(&path, &own)?;
                others.push(OtherService { name: name.to_owned(), own, files });
            }
        }
        Ok(others)
    }

    /// The files of tmpfiles.d(5), of two with the same name the one that counts.
    fn tmpfiles(&self) -> Vec<File> {
        let mut found = BTreeMap::new();
        for place in ["etc", "run", "usr/local/lib", "usr/lib"] {
            let Some(root) = &self.root else { continue };
            let Ok(entries) = std::fs::read_dir(root.join(place).join("tmpfiles.d")) else {
                continue;
            };
            for path in entries.flatten().map(|entry| entry.path()).take(MOST_SERVICES) {
                if let Some(name) = file_name(&path).ok().filter(|name| name.ends_with(".conf")) {
                    found.entry(name).or_insert(path);
                }
            }
        }
        found.into_values().filter_map(|path| read(&path).ok()).collect()
    }

    /// The services of systemd's directories by the other names that they give themselves.
    fn aliases(&self) -> BTreeMap<String, String> {
        let mut aliases = BTreeMap::new();
        for place in self.places() {
            let Ok(entries) = std::fs::read_dir(place) else { continue };
            for path in entries.flatten().map(|entry| entry.path()).take(MOST_SERVICES) {
                let Some(name) = file_name(&path).ok().filter(|name| name.ends_with(".service"))
                else {
                    continue;
                };
                let text = read(&path).map(|file| file.text).unwrap_or_default();
                let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Alias="));
                for alias in lines.flat_map(str::split_whitespace) {
                    aliases.entry(alias.to_owned()).or_insert_with(|| name.clone());
                }
            }
        }
        aliases
    }

    /// The file and its drop-ins, by their names; of two with the same name the one counts that
    /// stands in the earlier place.
    fn with_drop_ins(&self, path: &Path, name: &str) -> Result<Vec<File>, String> {
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "service"));
        let mut directories = vec![format!("{name}.d")];
        directories.extend(template_of(name).map(|template| format!("{template}.d")));
        // foo-bar.service also reads foo-.service.d, and every service service.d.
        let dashes = stem.match_indices('-').rev().take(16);
        directories.extend(dashes.map(|(at, _)| format!("{}.{kind}.d", &stem[..=at])));
        directories.push(format!("{kind}.d"));
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in directories {
            for place in self.places() {
                let Ok(entries) = std::fs::read_dir(place.join(&directory)) else { continue };
                for path in entries.flatten().map(|entry| entry.path()) {
                    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    if name.ends_with(".conf") {
                        found.entry(name.to_owned()).or_insert(path);
                    }
                }
            }
        }
        let mut files = vec![read(path)?];
        for path in found.into_values() {
            // A link to /dev/null takes a drop-in away.
            if path.is_file() {
                files.push(read(&path)?);
            }
        }
        Ok(files)
    }
}

/// `x@.service` for `x@y.service`.
fn template_of(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}
