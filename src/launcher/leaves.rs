//! [`Leaves`]: which leaf belongs to which start.

use std::collections::{HashMap, VecDeque};

use crate::kernel::leaf::Leaf;
use crate::kernel::leaf_events::{LeafEvents, Watch};
use crate::supervision::Moment;
use crate::supervision::name::UnitName;

/// A unit's start.
pub type Start = (UnitName, u64);

/// The leaf of one start, from its making to its removal.
#[derive(Debug)]
pub struct Entry {
    /// The leaf.
    pub leaf: Leaf,
    /// The number that the kernel calls it by, for senders that are gone.
    pub inode: u64,
    watch: Option<Watch>,
    /// What was seen of its end.
    pub end: Option<End>,
}

impl Entry {
    /// Whether its tree was killed before.
    pub fn was_killed(&self) -> bool {
        self.end.is_some_and(|end| end.killed.is_some())
    }
}

/// How an end went: the proof that nothing survived.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// When it began.
    pub began: Moment,
    /// How many processes there were then.
    pub processes: usize,
    /// When the rest was killed, and how many they were.
    pub killed: Option<(Moment, usize)>,
}

/// All leaves that exist, and those on their way to removal.
#[derive(Debug, Default)]
pub struct Leaves {
    /// Boxed, because a hash table keeps room for twice as many as there are.
    entries: HashMap<Start, Box<Entry>>,
    by_watch: HashMap<Watch, Start>,
    by_inode: HashMap<u64, Start>,
    /// Those that are not watched yet: while their first process lives there they do not empty, and
    /// its end is learnt otherwise, so the watch can wait until everything is started.
    unwatched: VecDeque<Start>,
    leaving: HashMap<UnitName, usize>,
    /// The proof of each unit's last end.
    pub proofs: HashMap<UnitName, String>,
}

impl Leaves {
    /// Takes a leaf. It is not watched before [`Leaves::watch_some`].
    pub fn add(&mut self, start: &Start, leaf: Leaf, inode: u64) {
        self.by_inode.insert(inode, start.clone());
        let entry = Entry { leaf, inode, watch: None, end: None };
        self.entries.insert(start.clone(), Box::new(entry));
        self.unwatched.push_back(start.clone());
    }

    /// Takes leaves under watch that are not yet, so many at most, and gives them: each must be
    /// looked at once now. One that cannot be watched is still looked at whenever a process of it
    /// ends.
    pub fn watch_some(&mut self, count: usize, events: &LeafEvents) -> Vec<Start> {
        let count = count.min(self.unwatched.len());
        let mut looks = Vec::new();
        for start in self.unwatched.drain(..count) {
            let Some(entry) = self.entries.get_mut(&start) else { continue };
            match events.watch(&entry.leaf) {
                Ok(watch) => {
                    entry.watch = Some(watch);
                    self.by_watch.insert(watch, start.clone());
                }
                Err(error) => log::warn!("{error}"),
            }
            looks.push(start);
        }
        if self.unwatched.is_empty() {
            self.unwatched = VecDeque::new();
        }
        looks
    }

    /// Whether [`Leaves::watch_some`] has something to do.
    pub fn has_unwatched(&self) -> bool {
        !self.unwatched.is_empty()
    }

    /// The leaf of a start, while it exists.
    pub fn get(&self, name: &UnitName, start: u64) -> Option<&Entry> {
        self.entries.get(&(name.clone(), start)).map(|entry| &**entry)
    }

    /// The same, to write to.
    pub fn get_mut(&mut self, name: &UnitName, start: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&(name.clone(), start)).map(|entry| &mut **entry)
    }

    /// Whose leaf has this watch.
    pub fn of_watch(&self, watch: Watch) -> Option<&Start> {
        self.by_watch.get(&watch)
    }

    /// Whose leaf has this inode.
    pub fn of_inode(&self, inode: u64) -> Option<&Start> {
        self.by_inode.get(&inode)
    }

    /// Every start that has a leaf.
    pub fn starts(&self) -> Vec<Start> {
        self.entries.keys().cloned().collect()
    }

    /// Ends the watch and gives the leaf back, for its removal.
    pub fn remove(&mut self, start: &Start, events: &LeafEvents) -> Option<Entry> {
        let entry = self.entries.remove(start)?;
        if let Some(watch) = entry.watch {
            // The watch goes before the leaf, or the kernel keeps it for ever.
            events.unwatch(watch);
            self.by_watch.remove(&watch);
        }
        self.by_inode.remove(&entry.inode);
        *self.leaving.entry(start.0.clone()).or_insert(0) += 1;
        Some(*entry)
    }

    /// A leaf of this unit was removed from disk, or could not be.
    pub fn removed(&mut self, name: &UnitName) {
        if let Some(count) = self.leaving.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(name);
            }
        }
    }

    /// Whether leaves of this unit are on their way to removal.
    pub fn is_leaving(&self, name: &UnitName) -> bool {
        self.leaving.contains_key(name)
    }

    /// Whether there is no leaf left, also none on its way to removal.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.leaving.is_empty()
    }
}
