//! What the next supervisor will find: on the leaf while a start lives, on the unit's cgroup while
//! the service rests, and in the run directory where the kernel refuses extended attributes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::kernel::files;
use crate::kernel::leaf::Leaf;
use crate::supervision::name::UnitName;
use crate::supervision::record::Record;
use crate::words::words_of;

/// The largest record file that is read, in bytes.
const MAX_RECORD: usize = 16 * 1024;

/// Reads a record as an earlier supervisor wrote it.
pub(super) fn parse_record(text: &[u8]) -> serde_json::Result<Record> {
    serde_json::from_slice(text)
}

/// The records on disk.
#[derive(Debug)]
pub struct Records {
    dir: PathBuf,
    on_disk: HashSet<UnitName>,
}

impl Records {
    /// Opens `<run_dir>/state`. Records of an earlier boot are thrown away: their times and
    /// process ids mean nothing now.
    ///
    /// # Errors
    /// When the directory cannot be made or is not safe.
    pub fn open(run_dir: &Path) -> Result<Self, crate::kernel::Error> {
        let dir = run_dir.join("state");
        files::secure_dir(&dir)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mark = run_dir.join("boot-id");
        let mut records = Self { dir, on_disk: HashSet::new() };
        records.find();
        if fs::read_to_string(&mark).ok().as_deref() != Some(boot.as_str()) {
            records.clear();
            if let Err(error) = fs::write(&mark, boot) {
                log::warn!("cannot write {}: {}", mark.display(), words_of(&error));
            }
        }
        Ok(records)
    }

    fn find(&mut self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        self.on_disk =
            entries.filter_map(|entry| UnitName::new(entry.file_name().to_str()?).ok()).collect();
    }

    /// The units whose cgroup could not carry a record.
    pub fn units(&self) -> Vec<UnitName> {
        self.on_disk.iter().cloned().collect()
    }

    /// Whether the run directory has a record of this unit.
    pub fn has(&self, name: &UnitName) -> bool {
        self.on_disk.contains(name)
    }

    /// The record that this cgroup carries, or that the run directory has in its place.
    pub fn read(&self, name: &UnitName, cgroup: &Leaf) -> Option<Record> {
        let text = cgroup.record().or_else(|| {
            self.has(name)
                .then(|| files::read_small(&self.dir.join(name.as_str()), MAX_RECORD).ok())?
        })?;
        parse_record(&text)
            .map_err(|error| log::warn!("{name}: its saved state is unusable ({error})"))
            .ok()
    }

    /// Keeps a record on a cgroup: the leaf while the start lives, the unit's own otherwise.
    /// `keep` writes it there.
    pub fn save(
        &mut self,
        name: &UnitName,
        record: &Record,
        keep: impl FnOnce(&[u8]) -> Result<(), crate::kernel::Error>,
    ) {
        let Ok(text) = serde_json::to_vec(record) else { return };
        if keep(&text).is_ok() {
            self.forget(name);
            return;
        }
        // The name appears with its whole content or not at all.
        let (fresh, path) = (self.dir.join(".new"), self.dir.join(name.as_str()));
        match fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)) {
            Ok(()) => {
                self.on_disk.insert(name.clone());
            }
            Err(error) => log::warn!("cannot write {}: {}", path.display(), words_of(&error)),
        }
    }

    /// Forgets a unit.
    pub fn forget(&mut self, name: &UnitName) {
        if self.on_disk.remove(name) {
            let _ = fs::remove_file(self.dir.join(name.as_str()));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        for name in self.units() {
            self.forget(&name);
        }
    }
}
