//! [`Slots`]: all services, found by a hash of their names and walked in the order of these.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use hashbrown::HashTable;

use super::name::UnitName;
use super::supervisor::Slot;

/// Hashes alike in every run, so that the rules do; nobody but the operator chooses names.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// Every service, once. A step asks for a few names some dozen times: a map that keeps an order
/// would compare ten names that begin alike for each, and would hold them once more.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    table: HashTable<Box<Slot>>,
}

impl Slots {
    /// The service of this name.
    pub fn get(&self, name: &(impl AsRef<str> + ?Sized)) -> Option<&Slot> {
        let name = name.as_ref();
        self.table.find(hash(name), is(name)).map(|slot| &**slot)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &(impl AsRef<str> + ?Sized)) -> Option<&mut Slot> {
        let name = name.as_ref();
        self.table.find_mut(hash(name), is(name)).map(|slot| &mut **slot)
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &UnitName) -> bool {
        self.get(name).is_some()
    }

    /// Takes one. None of its name is in here.
    pub fn insert(&mut self, slot: Slot) {
        let hash_now = hash(slot.name().as_str());
        self.table.insert_unique(hash_now, Box::new(slot), |slot| hash(slot.name().as_str()));
    }

    /// Forgets the one of this name.
    pub fn remove(&mut self, name: &UnitName) {
        let name = name.as_str();
        if let Ok(found) = self.table.find_entry(hash(name), is(name)) {
            found.remove();
        }
    }

    /// Every one with its name, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&UnitName, &Slot)> {
        let mut all: Vec<&Slot> = self.values().collect();
        all.sort_unstable_by_key(|slot| slot.name());
        all.into_iter().map(|slot| (slot.name(), slot))
    }

    /// Every one, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Slot> {
        self.table.iter().map(|slot| &**slot)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.table.iter_mut().map(|slot| &mut **slot)
    }

    /// Every name, in no order.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.values().map(Slot::name)
    }
}

fn is(name: &str) -> impl Fn(&Box<Slot>) -> bool {
    move |slot| slot.name().as_str() == name
}

fn hash(name: &str) -> u64 {
    Hasher::default().hash_one(name)
}
