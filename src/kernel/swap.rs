//! Swap: swapon(2), swapoff(2), and what is in use (proc_swaps(5)).

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::mounts::unescape;
use super::{Error, sys};

/// How a swap area is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct How {
    /// Areas of a higher priority are used first, 0 to 32767; the kernel chooses when there is
    /// none.
    pub priority: Option<u16>,
    /// What freed pages are reported to the disk for: `None` for nothing.
    pub discard: Option<Discard>,
}

/// When the disk is told that swap space is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// At the beginning for the whole area, and for freed pages.
    Both,
    /// At the beginning only.
    Once,
    /// For freed pages only.
    Pages,
}

impl How {
    /// The flags of swapon(2): SWAP_FLAG_PREFER and SWAP_FLAG_DISCARD (linux/swap.h).
    fn flags(self) -> i32 {
        let priority = self.priority.map_or(0, |priority| 0x8000 | i32::from(priority & 0x7fff));
        let discard = match self.discard {
            None => 0,
            Some(Discard::Both) => 0x1_0000,
            Some(Discard::Once) => 0x3_0000,
            Some(Discard::Pages) => 0x5_0000,
        };
        priority | discard
    }
}

/// Begins to swap to a device or file.
///
/// # Errors
/// EINVAL when it was not prepared by mkswap(8), EBUSY when it is in use.
pub fn on(path: &Path, how: How) -> Result<(), Error> {
    let failed = |errno| Error::at("swap to", path, errno);
    sys::swap_on(&c_path(path).map_err(failed)?, how.flags()).map_err(failed)
}

/// Fetches back what was swapped, and swaps there no more.
///
/// # Errors
/// ENOMEM when what is there does not fit into memory.
pub fn off(path: &Path) -> Result<(), Error> {
    let failed = |errno| Error::at("stop swapping to", path, errno);
    sys::swap_off(&c_path(path).map_err(failed)?).map_err(failed)
}

fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Where is swapped to now. Empty on a kernel without swap.
#[must_use]
pub fn list() -> Vec<PathBuf> {
    parse(&fs::read("/proc/swaps").unwrap_or_default())
}

/// A headline, then `PATH  TYPE  SIZE  USED  PRIORITY` with blanks in the path escaped.
fn parse(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    let first_words = lines.filter_map(|line| line.split(|byte| b" \t".contains(byte)).next());
    first_words.filter(|word| word.starts_with(b"/")).map(|word| unescape(word).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_gives_paths() {
        let table = b"Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n\
            /dev/sda2                               partition\t1\t0\t-2\n\
            /swap\\040file file\t1\t0\t5\n";
        assert_eq!(parse(table), [PathBuf::from("/dev/sda2"), "/swap file".into()]);
        assert!(parse(b"").is_empty());
    }

    #[test]
    fn flags_are_those_of_the_kernel() {
        assert_eq!(How::default().flags(), 0);
        let how = How { priority: Some(5), discard: Some(Discard::Pages) };
        assert_eq!(how.flags(), 0x8005 | 0x1_0000 | 0x4_0000);
        let once = How { priority: Some(0), discard: Some(Discard::Once) };
        assert_eq!(once.flags(), 0x8000 | 0x1_0000 | 0x2_0000);
    }
}
