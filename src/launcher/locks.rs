//! What keeps two supervisors from looking after the same services: a lock in the run directory,
//! and one on the tree. Without the second, a supervisor with another run directory would take the
//! living services over from one that lives, and at its end pull the tree away below it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Error;
use crate::kernel::cgroup::Tree;
use crate::kernel::files::{self, LockError};

/// How long a supervisor that was killed, or ends, may take to give its locks back.
const LAST_BREATH: Duration = Duration::from_millis(1_000);

/// The locks, held for as long as this lives.
#[derive(Debug)]
pub(super) struct Locks {
    _run_dir: OwnedFd,
    /// `None` where there is no file that only the owner of the tree can lock (before Linux 5.14).
    _tree: Option<OwnedFd>,
}

/// Takes both. The tree is opened again when another supervisor was waited for: one that ends in
/// order removes its own.
pub(super) fn take(run_dir: &Path, mut tree: Tree) -> Result<(Tree, Locks), Error> {
    let until = Instant::now() + LAST_BREATH;
    let mut is_fresh = true;
    let lock = loop {
        match files::lock(&run_dir.join("lock")) {
            Ok(lock) => break lock,
            Err(LockError::Failed(error)) => return Err(Error::Kernel(error)),
            Err(LockError::Held { pid }) if Instant::now() >= until => {
                return Err(Error::Running { dir: run_dir.to_owned(), pid });
            }
            Err(LockError::Held { .. }) => rest(),
        }
        is_fresh = false;
    };
    loop {
        if !is_fresh {
            tree = Tree::open(tree.root()).map_err(Error::NoCgroup)?;
        }
        match tree.lock() {
            Ok(of_tree) => return Ok((tree, Locks { _run_dir: lock, _tree: Some(of_tree) })),
            Err(LockError::Held { pid }) if Instant::now() >= until => {
                return Err(Error::Claimed { root: tree.root().to_owned(), pid });
            }
            Err(LockError::Held { .. }) => rest(),
            // The tree went away in this very moment, or there is no such file that is ours.
            Err(LockError::Failed(error)) if is_missing(error.errno()) => {
                if !is_fresh {
                    return Ok((tree, Locks { _run_dir: lock, _tree: None }));
                }
            }
            Err(LockError::Failed(error)) => return Err(Error::Kernel(error)),
        }
        is_fresh = false;
    }
}

fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::EACCES)
}

fn rest() {
    std::thread::sleep(Duration::from_millis(10));
}
