//! Several unit directories, to read units from.

use std::fs;

use treeward::supervision::unit::Unit;
use treeward::unit_file::{Directories, Loaded};

use super::{Directory, shown};

/// Several unit directories, in their order.
pub struct Shelf(pub Vec<Directory>);

impl Shelf {
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| Directory::new()).collect())
    }

    pub fn directories(&self) -> Directories {
        Directories::of(self.0.iter().map(|directory| directory.0.path().to_owned()).collect())
    }

    /// Writes `files`, whose names may have a directory in front, into one of them.
    pub fn fill(&self, number: usize, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.0[number].path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    pub fn link(&self, number: usize, name: &str, target: &str) {
        let path = self.0[number].path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub fn read(&self) -> Loaded {
        self.directories().read(&[]).unwrap()
    }

    /// The units by name with their commands, where none is bad.
    pub fn commands(&self) -> Vec<(String, String)> {
        let loaded = self.read();
        let bad: String = loaded.bad.iter().map(|bad| shown(&bad.diagnostics)).collect();
        assert_eq!(bad, "");
        let one = |unit: &Unit| (unit.name.to_string(), unit.command.to_vec().join("|"));
        loaded.units.iter().map(one).collect()
    }

    /// What is said about a name that cannot be used.
    pub fn refusal(&self, name: &str) -> String {
        let loaded = self.read();
        let bad: Vec<_> = loaded.bad.iter().filter(|bad| bad.name == name).collect();
        assert_eq!(bad.len(), 1, "{name}: {loaded:#?}");
        shown(&bad[0].diagnostics)
    }
}

/// Names and commands, as [`Shelf::commands`] gives them.
pub fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}
