//! What a supervisor that cannot begin leaves behind: nothing that was not there before.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kernel::cgroup::{self, Tree};
use crate::kernel::files::{self, LockError};

/// What was there before a supervisor began.
#[derive(Debug)]
pub(super) struct Traces {
    /// The run directory and those above it that were missing, the deepest first.
    missing: Vec<PathBuf>,
    root: PathBuf,
    had_root: bool,
    had_tree: bool,
}

impl Traces {
    /// Looks at what is there now. `root` is that of the tree.
    pub(super) fn before(run_dir: &Path, root: &Path) -> Self {
        let is_missing = |dir: &&Path| dir.symlink_metadata().is_err();
        Self {
            missing: run_dir.ancestors().take_while(is_missing).map(Path::to_owned).collect(),
            root: root.to_owned(),
            had_root: root.exists(),
            had_tree: cgroup::is_tree(root),
        }
    }

    /// Removes what has come since. What another supervisor has taken meanwhile stays.
    pub(super) fn remove(&self) {
        if let Some(run_dir) = self.missing.first()
            && let Ok(_lock) = files::lock(&run_dir.join("lock"))
        {
            let _ = fs::remove_dir_all(run_dir);
        }
        // What holds something stays.
        self.missing.iter().for_each(|dir| _ = fs::remove_dir(dir));
        if self.had_tree || !self.root.exists() {
            return;
        }
        let Ok(tree) = Tree::open(&self.root) else { return };
        match tree.lock() {
            Err(LockError::Held { .. }) => {}
            Ok(_) | Err(LockError::Failed(_)) if self.had_root => tree.remove_rooms(),
            Ok(_) | Err(LockError::Failed(_)) => tree.remove(),
        }
    }
}
