//! [`Leaves`]: which leaf belongs to which start.

use std::collections::{HashMap, VecDeque};

use slab::Slab;

use crate::index::Index;
use crate::kernel::cgroup::Tree;
use crate::kernel::leaf::Leaf;
use crate::kernel::leaf_events::{LeafEvents, Watch};
use crate::supervision::Moment;
use crate::supervision::name::UnitName;

/// A unit's start.
pub type Start = (UnitName, u64);

/// The leaf of one start, from its making to its removal.
#[derive(Debug)]
pub struct Entry {
    start: Start,
    /// The number that the kernel calls it by, for senders that are gone.
    pub inode: u64,
    watch: Option<Watch>,
    /// What was seen of its end.
    pub end: Option<Box<End>>,
    /// How many looks in a row have found a PID file that says nothing usable.
    pub pid_file_refused: u8,
}

impl Entry {
    /// The leaf. Its path is not kept, because it is longer than all the rest.
    pub fn leaf(&self, tree: &Tree) -> Leaf {
        tree.leaf(self.start.0.as_str(), self.start.1)
    }

    /// Whether its tree was killed before.
    pub fn was_killed(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.killed.is_some())
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
#[derive(Debug)]
pub struct Leaves {
    entries: Slab<Entry>,
    by_start: Index<Entry, Start>,
    by_watch: Index<Entry, Option<Watch>>,
    by_inode: Index<Entry, u64>,
    /// Those that are not watched yet: while their first process lives there they do not empty, and
    /// its end is learnt otherwise, so the watch can wait until everything is started.
    unwatched: VecDeque<Start>,
    leaving: HashMap<UnitName, usize>,
    /// The proof of each unit's last end.
    pub proofs: HashMap<UnitName, String>,
}

impl Default for Leaves {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            by_start: Index::new(|entry| &entry.start),
            by_watch: Index::new(|entry| &entry.watch),
            by_inode: Index::new(|entry| &entry.inode),
            unwatched: VecDeque::new(),
            leaving: HashMap::new(),
            proofs: HashMap::new(),
        }
    }
}

impl Leaves {
    /// Takes a leaf. It is not watched before [`Leaves::watch_some`].
    pub fn add(&mut self, start: &Start, inode: u64) {
        let start = start.clone();
        self.unwatched.push_back(start.clone());
        let entry = Entry { start, inode, watch: None, end: None, pid_file_refused: 0 };
        let place = self.entries.insert(entry);
        self.by_start.insert(&self.entries, place);
        self.by_inode.insert(&self.entries, place);
    }

    /// Takes leaves under watch that are not yet, so many at most, and gives them: each must be
    /// looked at once now. One that cannot be watched is still looked at whenever a process of it
    /// ends.
    pub fn watch_some(&mut self, count: usize, tree: &Tree, events: &LeafEvents) -> Vec<Start> {
        let count = count.min(self.unwatched.len());
        let mut looks = Vec::new();
        for start in self.unwatched.drain(..count) {
            let Some(place) = self.by_start.find(&self.entries, &start) else { continue };
            match events.watch(&self.entries[place].leaf(tree)) {
                Ok(watch) => {
                    self.entries[place].watch = Some(watch);
                    self.by_watch.insert(&self.entries, place);
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
        let place = self.by_start.find(&self.entries, &(name.clone(), start))?;
        self.entries.get(place)
    }

    /// The same, to write to.
    pub fn get_mut(&mut self, name: &UnitName, start: u64) -> Option<&mut Entry> {
        let place = self.by_start.find(&self.entries, &(name.clone(), start))?;
        self.entries.get_mut(place)
    }

    /// Whether somebody else has removed the leaf of this start.
    pub fn has_vanished(&self, name: &UnitName, start: u64, tree: &Tree) -> bool {
        self.get(name, start)
            .is_some_and(|entry| entry.leaf(tree).inode().ok() != Some(entry.inode))
    }

    /// Whose leaf has this watch.
    pub fn of_watch(&self, watch: Watch) -> Option<&Start> {
        let place = self.by_watch.find(&self.entries, &Some(watch))?;
        Some(&self.entries[place].start)
    }

    /// Whose leaf has this inode.
    pub fn of_inode(&self, inode: u64) -> Option<&Start> {
        let place = self.by_inode.find(&self.entries, &inode)?;
        Some(&self.entries[place].start)
    }

    /// Every start that has a leaf.
    pub fn starts(&self) -> Vec<Start> {
        self.entries.iter().map(|(_, entry)| entry.start.clone()).collect()
    }

    /// Ends the watch and gives the leaf back, for its removal.
    pub fn remove(&mut self, start: &Start, events: &LeafEvents) -> Option<Entry> {
        let place = self.by_start.find(&self.entries, start)?;
        if let Some(watch) = self.entries[place].watch {
            // The watch goes before the leaf, or the kernel keeps it for ever.
            events.unwatch(watch);
            self.by_watch.remove(&self.entries, place);
        }
        self.by_start.remove(&self.entries, place);
        self.by_inode.remove(&self.entries, place);
        *self.leaving.entry(start.0.clone()).or_insert(0) += 1;
        Some(self.entries.remove(place))
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
