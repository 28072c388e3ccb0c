//! [`Index`]: finds what a slab holds by a key that stands in it. It takes four bytes for each, where
//! a map would hold the key once more.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;
use slab::Slab;

/// Where things are in a slab, by one of their keys. The key of what is in here stays the same.
pub struct Index<T, K: ?Sized> {
    places: HashTable<u32>,
    key: fn(&T) -> &K,
    hasher: RandomState,
}

impl<T, K: ?Sized> fmt::Debug for Index<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Index").field(&self.places).finish()
    }
}

impl<T, K: Hash + Eq + ?Sized> Index<T, K> {
    /// An empty one, by this key.
    pub fn new(key: fn(&T) -> &K) -> Self {
        Self { places: HashTable::new(), key, hasher: RandomState::new() }
    }

    /// Where the one with this key is.
    pub fn find(&self, slab: &Slab<T>, key: &K) -> Option<usize> {
        let same = |place: &u32| (self.key)(&slab[*place as usize]) == key;
        self.places.find(self.hasher.hash_one(key), same).map(|place| *place as usize)
    }

    /// Takes what is at this place. No other with its key is in here.
    ///
    /// # Panics
    /// When the slab holds more than 2^32: what is indexed has a descriptor or a process each.
    pub fn insert(&mut self, slab: &Slab<T>, place: usize) {
        let hash = |place: &u32| self.hasher.hash_one((self.key)(&slab[*place as usize]));
        let place = u32::try_from(place).expect("a place below 2^32");
        self.places.insert_unique(hash(&place), place, hash);
    }

    /// Forgets what is at this place, and still in the slab. Another with its key stays.
    pub fn remove(&mut self, slab: &Slab<T>, place: usize) {
        let hash = self.hasher.hash_one((self.key)(&slab[place]));
        if let Ok(found) = self.places.find_entry(hash, |it| *it as usize == place) {
            found.remove();
        }
    }

    /// Every place that is in here.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| *place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_found_until_it_is_removed() {
        let mut slab = Slab::new();
        let mut index: Index<String, str> = Index::new(String::as_str);
        let places: Vec<usize> = (0..500).map(|number| slab.insert(format!("s{number}"))).collect();
        for place in &places {
            index.insert(&slab, *place);
        }
        assert_eq!(index.find(&slab, "s321"), Some(places[321]));
        assert_eq!(index.find(&slab, "s500"), None);
        for place in places.iter().filter(|place| **place % 2 == 0) {
            index.remove(&slab, *place);
            slab.remove(*place);
        }
        let mut left: Vec<usize> = index.places().collect();
        left.sort_unstable();
        assert_eq!(left, (0..500).filter(|place| place % 2 == 1).collect::<Vec<_>>());
        assert_eq!((index.find(&slab, "s320"), index.find(&slab, "s321")), (None, Some(321)));
    }

    #[test]
    fn the_newer_of_two_with_one_key_takes_its_place() {
        let mut slab = Slab::new();
        let mut index: Index<String, str> = Index::new(String::as_str);
        let old = slab.insert("web".to_owned());
        index.insert(&slab, old);
        let new = slab.insert("web".to_owned());
        index.remove(&slab, old);
        index.insert(&slab, new);
        index.remove(&slab, old);
        assert_eq!(index.find(&slab, "web"), Some(new));
    }
}
