//! [`Survey`]: which unit files and drop-ins the directories hold, and which of them count.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::diagnostic::Diagnostic;
use super::directory::{Directories, Unreadable};
use super::files::{self, Content, stem};
use super::parts::{Parts, Role, Text, template_of};

/// The most drop-ins of one unit.
const MAX_DROP_INS: usize = 64;

/// A directory of units that is there.
struct Open<'d> {
    path: &'d Path,
    file: File,
}

/// A unit file, or a link to one.
struct Entry {
    file: OsString,
    dir: usize,
    is_link: bool,
}

impl Entry {
    fn stem(&self) -> &OsStr {
        stem(&self.file).unwrap_or_default()
    }
}

/// The names that the directories hold.
pub(super) struct Survey<'d> {
    directories: &'d Directories,
    open: Vec<Open<'d>>,
    /// By name, then in the order of the directories.
    entries: Vec<Entry>,
    /// The directories that have drop-ins for a name, in their order.
    drop_ins: HashMap<OsString, Vec<usize>>,
    /// Directories of drop-ins with an ending that none has.
    misnamed: Vec<PathBuf>,
}

/// What counts for a name.
pub(super) enum Found {
    /// A unit that is one plain file.
    Plain { path: PathBuf, bytes: Vec<u8> },
    /// A unit or an instance that is made of parts, or a template.
    Parts(Parts),
    /// There is to be no such unit: the link that says so.
    Masked(PathBuf),
    /// What is there cannot be used.
    Bad(Vec<Diagnostic>),
}

impl<'d> Survey<'d> {
    pub fn new(directories: &'d Directories) -> Result<Self, Unreadable> {
        let mut survey = Self {
            directories,
            open: Vec::new(),
            entries: Vec::new(),
            drop_ins: HashMap::new(),
            misnamed: Vec::new(),
        };
        for (path, presence) in directories.all() {
            if let Some(file) = directories.open(path, presence)? {
                survey.open.push(Open { path, file });
                let listed = survey.list();
                listed.map_err(|why| Unreadable { dir: path.to_owned(), why })?;
            }
        }
        survey.add_unsaved();
        survey
            .entries
            .sort_unstable_by(|a, b| (a.stem(), a.dir, &a.file).cmp(&(b.stem(), b.dir, &b.file)));
        Ok(survey)
    }

    /// Takes the names of the directory that was opened last.
    fn list(&mut self) -> io::Result<()> {
        let dir = self.open.len() - 1;
        let path = self.open[dir].path;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let file = entry.file_name();
            if stem(&file).is_some() {
                let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                self.entries.push(Entry { file, dir, is_link });
            } else if let Some(name) = file.as_bytes().strip_suffix(b".d") {
                let name = OsStr::from_bytes(name);
                match stem(name) {
                    Some(unit) if name.as_bytes().ends_with(b".yml") => {
                        self.drop_ins.entry(unit.to_owned()).or_default().push(dir);
                    }
                    Some(_) => self.misnamed.push(path.join(file)),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// A file that is tried out counts as if it were there.
    fn add_unsaved(&mut self) {
        let Some((path, _)) = &self.directories.unsaved else { return };
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else { return };
        if let Some(dir) = self.open.iter().position(|open| open.path == parent) {
            let is_there = |entry: &Entry| entry.dir == dir && entry.file == file;
            self.entries.retain(|entry| !is_there(entry));
            self.entries.push(Entry { file: file.to_owned(), dir, is_link: false });
        } else if let Some(dir) =
            self.open.iter().position(|open| Some(open.path) == parent.parent())
            && let Some(name) =
                parent.file_name().and_then(|name| name.as_bytes().strip_suffix(b".yml.d"))
        {
            let dirs = self.drop_ins.entry(OsStr::from_bytes(name).to_owned()).or_default();
            dirs.push(dir);
            dirs.sort_unstable();
            dirs.dedup();
        }
    }

    /// All names, sorted, with what counts for each.
    pub fn all(&self) -> impl Iterator<Item = (&OsStr, Found)> {
        let same = |a: &Entry, b: &Entry| a.stem() == b.stem();
        self.entries.chunk_by(same).map(|entries| (entries[0].stem(), self.what_counts(entries)))
    }

    /// What counts for a name that a file has.
    pub fn find(&self, name: &str) -> Option<Found> {
        let name = OsStr::new(name);
        let begin = self.entries.partition_point(|entry| entry.stem() < name);
        let length = self.entries[begin..].iter().take_while(|it| it.stem() == name).count();
        (length > 0).then(|| self.what_counts(&self.entries[begin..begin + length]))
    }

    /// Whether a file has this name.
    pub fn has(&self, name: &str) -> bool {
        self.entries.binary_search_by(|entry| entry.stem().cmp(OsStr::new(name))).is_ok()
    }

    /// An instance that no file has the name of.
    pub fn instance(&self, name: &str) -> Option<Found> {
        let template = self.find(&template_of(name)?)?;
        Some(self.instance_of(name, template))
    }

    /// The names of the units that the files have, for those who look for one that is near.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| entry.stem().to_str())
    }

    pub fn misnamed(&self) -> &[PathBuf] {
        &self.misnamed
    }

    /// Directories of drop-ins for which `is_known` knows no unit.
    pub fn unused(&self, is_known: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let mut unused = Vec::new();
        for (name, dirs) in &self.drop_ins {
            let shown = name.to_str().unwrap_or_default();
            let has_template = template_of(shown).is_some_and(|template| self.has(&template));
            if !has_template && !self.has(shown) && !is_known(shown) {
                unused.extend(dirs.iter().map(|dir| self.drop_in_dir(*dir, name)));
            }
        }
        unused.sort();
        unused
    }

    /// What the last of the directories with this name says.
    fn what_counts(&self, entries: &[Entry]) -> Found {
        let last = entries.last().map_or(0, |entry| entry.dir);
        let begin = entries.partition_point(|entry| entry.dir < last);
        let [entry] = &entries[begin..] else {
            return Found::Bad(self.twice(&entries[begin..]));
        };
        let path = self.open[last].path.join(&entry.file);
        if entry.is_link
            && let Some(instance) = self.linked(entry, &path)
        {
            return instance;
        }
        let bytes = match self.read(last, &path) {
            Ok(Content::Bytes(bytes)) => bytes,
            Ok(Content::Masked) => return Found::Masked(path),
            Err(why) => return Found::Bad(vec![Diagnostic::of_file(&path, why)]),
        };
        let is_template = entry.stem().as_bytes().ends_with(b"@");
        if !is_template && !self.drop_ins.contains_key(entry.stem()) {
            return Found::Plain { path, bytes };
        }
        let role = if is_template { Role::Template } else { Role::Unit };
        let name = entry.stem().to_string_lossy().into_owned();
        match self.gather(name, role, path, bytes) {
            Ok(parts) => Found::Parts(parts),
            Err(wrong) => Found::Bad(wrong),
        }
    }

    /// A link `agetty@tty1.yml` to a file `agetty@.yml` is an instance of that template. One that
    /// no directory has is read through the link.
    fn linked(&self, entry: &Entry, path: &Path) -> Option<Found> {
        let name = entry.stem().to_str()?;
        template_of(name)?;
        let target = std::fs::read_link(path).ok()?;
        let template = stem(target.file_name()?)?.to_str()?.to_owned();
        if !template.ends_with('@') || template.len() < 2 {
            return None;
        }
        let found = match self.find(&template) {
            Some(found) => found,
            None => match self.read(entry.dir, path) {
                Ok(Content::Masked) => Found::Masked(path.to_owned()),
                Ok(Content::Bytes(bytes)) => {
                    match self.gather(template, Role::Template, path.to_owned(), bytes) {
                        Ok(parts) => Found::Parts(parts),
                        Err(wrong) => Found::Bad(wrong),
                    }
                }
                Err(why) => Found::Bad(vec![Diagnostic::of_file(path, why)]),
            },
        };
        Some(self.instance_of(name, found))
    }

    /// Makes an instance of what counts for its template.
    pub fn instance_of(&self, name: &str, template: Found) -> Found {
        let mut parts = match template {
            Found::Parts(parts) => parts,
            other => return other,
        };
        match self.drop_ins(name) {
            Ok(drop_ins) => parts.files.extend(drop_ins),
            Err(wrong) => return Found::Bad(wrong),
        }
        name.clone_into(&mut parts.name);
        parts.role = Role::Instance;
        Found::Parts(parts)
    }

    fn gather(
        &self,
        name: String,
        role: Role,
        path: PathBuf,
        bytes: Vec<u8>,
    ) -> Result<Parts, Vec<Diagnostic>> {
        let mut files = vec![Rc::new(Text::new(path, bytes)?)];
        files.extend(self.drop_ins(&name)?);
        let own = files.len();
        Ok(Parts { name, role, files, own })
    }

    /// The drop-ins of a name in the order of their file names; of two with the same name the one
    /// in the later directory counts.
    fn drop_ins(&self, name: &str) -> Result<Vec<Rc<Text>>, Vec<Diagnostic>> {
        let Some(dirs) = self.drop_ins.get(OsStr::new(name)) else { return Ok(Vec::new()) };
        let mut found: BTreeMap<OsString, (usize, PathBuf)> = BTreeMap::new();
        let mut opened = Vec::with_capacity(dirs.len());
        for dir in dirs {
            let path = self.drop_in_dir(*dir, OsStr::new(name));
            let refused = |error: io::Error| {
                vec![Diagnostic::of_file(&path, format!("its drop-ins are not read: {error}"))]
            };
            match files::open_directory(&path, self.directories.trust) {
                Ok(file) => opened.push(Some(file)),
                // One that is only tried out yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    opened.push(None);
                    continue;
                }
                Err(error) => return Err(refused(error)),
            }
            for entry in std::fs::read_dir(&path).map_err(refused)? {
                let file = entry.map_err(refused)?.file_name();
                if stem(&file).is_some() {
                    found.insert(file.clone(), (opened.len() - 1, path.join(file)));
                }
            }
        }
        if let Some((path, _)) = &self.directories.unsaved
            && let Some(at) = dirs.iter().position(|dir| {
                Some(self.drop_in_dir(*dir, OsStr::new(name)).as_path()) == path.parent()
            })
        {
            let file = path.file_name().unwrap_or_default().to_owned();
            if found.get(&file).is_none_or(|(earlier, _)| *earlier <= at) {
                found.insert(file, (at, path.clone()));
            }
        }
        if found.len() > MAX_DROP_INS {
            let message =
                format!("{} drop-ins are too many; at most {MAX_DROP_INS} are read", found.len());
            let path = found.into_values().next().map(|(_, path)| path).unwrap_or_default();
            return Err(vec![Diagnostic::of_file(path.parent().unwrap_or(&path), message)]);
        }
        let mut texts = Vec::with_capacity(found.len());
        for (at, path) in found.into_values() {
            let content = match (self.unsaved(&path), &opened[at]) {
                (Some(bytes), _) => Ok(Content::Bytes(bytes)),
                (None, Some(dir)) => files::read(dir, &path, self.directories.trust),
                (None, None) => continue,
            };
            match content {
                Ok(Content::Bytes(bytes)) => texts.push(Rc::new(Text::new(path, bytes)?)),
                Ok(Content::Masked) => {}
                Err(why) => return Err(vec![Diagnostic::of_file(&path, why)]),
            }
        }
        Ok(texts)
    }

    fn drop_in_dir(&self, dir: usize, name: &OsStr) -> PathBuf {
        let mut file = name.to_owned();
        file.push(".yml.d");
        self.open[dir].path.join(file)
    }

    fn read(&self, dir: usize, path: &Path) -> Result<Content, String> {
        match self.unsaved(path) {
            Some(bytes) => Ok(Content::Bytes(bytes)),
            None => files::read(&self.open[dir].file, path, self.directories.trust),
        }
    }

    fn unsaved(&self, path: &Path) -> Option<Vec<u8>> {
        let unsaved = self.directories.unsaved.as_ref();
        unsaved.filter(|(file, _)| file == path).map(|(_, bytes)| bytes.clone())
    }

    fn twice(&self, entries: &[Entry]) -> Vec<Diagnostic> {
        let names: Vec<_> = entries.iter().map(|entry| entry.file.to_string_lossy()).collect();
        let message = format!("{} are the same unit; keep one of them", names.join(" and "));
        let path = |entry: &Entry| self.open[entry.dir].path.join(&entry.file);
        entries.iter().map(|entry| Diagnostic::of_file(&path(entry), message.clone())).collect()
    }
}
